//! What people do to the object of a run, and what they wait for.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use athena_emulator::{Change, SessionRecord};
use harness::{merge, session_object};
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use k8s_openapi::jiff::Timestamp;
use kube::Api;
use kube::api::{DeleteParams, DynamicObject, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use crate::end::{End, ready};
use crate::world::{PATIENCE, PAUSE, World};

/// The object's name.
const NAME: &str = "session";

impl World {
    /// Gives the operators' account the rights of a lease in the run's namespace.
    pub(crate) async fn allow_lease(&self) -> anyhow::Result<()> {
        let rules = json!([{ "apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["create", "get", "update"] }]);
        let role = json!({ "metadata": { "name": "lease" }, "rules": rules });
        let reference = json!({ "apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "lease" });
        let subjects =
            json!([{ "kind": "ServiceAccount", "name": "athena-operator", "namespace": "athena-operator" }]);
        let binding = json!({ "metadata": { "name": "lease" }, "roleRef": reference, "subjects": subjects });
        let (client, namespace) = (self.ground.client.clone(), &self.namespace);
        Api::<Role>::namespaced(client.clone(), namespace)
            .create(&PostParams::default(), &serde_json::from_value(role)?)
            .await?;
        Api::<RoleBinding>::namespaced(client, namespace)
            .create(&PostParams::default(), &serde_json::from_value(binding)?)
            .await?;
        Ok(())
    }

    pub(crate) async fn create(&self, further: Value) -> anyhow::Result<()> {
        let mut spec = json!({ "workGroup": "spark-35" });
        merge(&mut spec, &further);
        let object = session_object(NAME, &spec);
        self.sessions.create(&PostParams::default(), &serde_json::from_value(object)?).await?;
        Ok(())
    }

    /// Notes that every session that lives is to end from now on.
    pub(crate) fn ask_end(&self) {
        let live = self.live();
        let mut state = self.state();
        for session in live {
            state.asked.entry(session.session_id).or_insert_with(Timestamp::now);
        }
    }

    /// Since when each session is to end, by its id.
    pub(crate) fn asked(&self) -> HashMap<String, Timestamp> {
        self.state().asked.clone()
    }

    pub(crate) async fn suspend(&self, suspend: bool) -> anyhow::Result<()> {
        if suspend {
            self.ask_end();
        }
        self.sessions
            .patch(NAME, &PatchParams::default(), &Patch::Merge(json!({ "spec": { "suspend": suspend } })))
            .await?;
        Ok(())
    }

    /// Deletes the object, if it is there, without waiting for it to go.
    pub(crate) async fn delete(&self) -> anyhow::Result<()> {
        self.ask_end();
        match self.sessions.delete(NAME, &DeleteParams::default()).await {
            Err(kube::Error::Api(status)) if !status.is_not_found() => Err(kube::Error::Api(status).into()),
            Err(kube::Error::Api(_)) | Ok(_) => Ok(()),
            Err(other) => Err(other.into()),
        }
    }

    pub(crate) async fn object(&self) -> anyhow::Result<Option<DynamicObject>> {
        Ok(self.sessions.get_opt(NAME).await?)
    }

    /// Waits until Ready has this reason.
    pub(crate) async fn until_ready(&self, reason: &str) -> anyhow::Result<()> {
        self.until_ready_one_of(&[reason]).await
    }

    /// Waits until Ready has one of these reasons.
    pub(crate) async fn until_ready_one_of(&self, reasons: &[&str]) -> anyhow::Result<()> {
        let wanted =
            |object: &DynamicObject| reasons.iter().any(|reason| ready(object)["reason"] == **reason);
        self.until_object(&reasons.join(" or "), |object| object.is_some_and(wanted)).await
    }

    /// Waits until shortly before so many seconds after a time of the status.
    pub(crate) async fn past(&self, member: &str, seconds: i64) -> anyhow::Result<()> {
        let told = |object: Option<&DynamicObject>| {
            object.is_some_and(|object| object.data["status"][member].is_string())
        };
        self.until_object(&format!("told a {member}"), told).await?;
        let object = self.object().await?.context("the object is there")?;
        let time: Timestamp = serde_json::from_value(object.data["status"][member].clone())?;
        let left = time.as_millisecond() + seconds * 1000 - 500 - Timestamp::now().as_millisecond();
        tokio::time::sleep(Duration::from_millis(u64::try_from(left).unwrap_or(0))).await;
        Ok(())
    }

    /// Waits until the object is as `wanted` says.
    pub(crate) async fn until_object(
        &self,
        what: &str,
        wanted: impl Fn(Option<&DynamicObject>) -> bool,
    ) -> anyhow::Result<()> {
        let begun = Instant::now();
        loop {
            let object = self.object().await?;
            if wanted(object.as_ref()) {
                return Ok(());
            }
            self.check()?;
            if begun.elapsed() > PATIENCE {
                bail!("the object did not come to be {what}: {}", told(object.as_ref()));
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Waits until the object is gone. What lives at that moment is a leak, unless it may.
    pub(crate) async fn until_gone(&self, may_live: usize) -> anyhow::Result<()> {
        self.until_object("gone", |object| object.is_none()).await?;
        let live = self.live().len();
        let mut state = self.state();
        state.abandoned = state.abandoned.max(live.saturating_sub(may_live));
        Ok(())
    }

    /// Waits until the scenario's end.
    pub(crate) async fn until_end(&self, end: &End) -> anyhow::Result<()> {
        if matches!(end, End::Gone | End::Retained) {
            self.until_gone(end.may_live()).await?;
        }
        let begun = Instant::now();
        loop {
            let object = self.object().await?;
            let Some(missing) = end.misses(object.as_ref(), &self.emulator.sessions()) else { return Ok(()) };
            self.check()?;
            if begun.elapsed() > PATIENCE {
                bail!("{missing}: {}", told(object.as_ref()));
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Sessions that cost money.
    pub(crate) fn live(&self) -> Vec<SessionRecord> {
        self.emulator.sessions().into_iter().filter(|session| session.live).collect()
    }

    /// Puts the newest session into a state.
    pub(crate) fn set_state(&self, state: &str) -> anyhow::Result<()> {
        let newest = self.emulator.sessions().pop().context("there is a session")?;
        self.emulator.set_state(&newest.session_id, Change::State { state: state.into(), reason: None })?;
        Ok(())
    }

    pub(crate) fn abandoned(&self) -> usize {
        self.state().abandoned
    }
}

/// What an object tells of itself.
fn told(object: Option<&DynamicObject>) -> String {
    object.map_or("it is gone".to_owned(), |object| object.data["status"].to_string())
}
