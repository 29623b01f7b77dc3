//! AthenaSessions of a test's namespace.

use anyhow::{Context, ensure};
use athena_operator::api::{AthenaSession, AthenaSessionStatus};
use environment::Operator;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::ResourceExt;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use super::{World, look, until};

/// A spec in the work group `spark-35` with further fields.
pub fn spark(mut further: Value) -> Value {
    further["workGroup"] = json!("spark-35");
    further
}

/// A status in which an attempt was recorded long ago, and no session.
pub fn an_attempt_of_long_ago() -> Value {
    json!({ "attempt": 0, "attemptTime": "2026-01-01T00:00:00Z", "region": "eu-west-1", "accountId": "000000000000" })
}

/// An object of this metadata and spec.
pub fn object(metadata: &Value, spec: &Value) -> Value {
    json!({ "apiVersion": "athena-operator.io/v1alpha1", "kind": "AthenaSession", "metadata": metadata, "spec": spec })
}

/// So many names, NAME-0 and so on.
pub fn names(name: &str, count: usize) -> Vec<String> {
    (0..count).map(|number| format!("{name}-{number}")).collect()
}

impl World {
    /// kubectl in the test's namespace, which must succeed.
    pub fn kubectl(&self, arguments: &[&str]) -> anyhow::Result<String> {
        self.stage().kubectl_ok(&[arguments, &["-n", &self.namespace]].concat())
    }

    /// Creates a session object in the work group `spark-35`.
    pub async fn create(&self, name: &str) -> anyhow::Result<AthenaSession> {
        self.create_with(name, spark(json!({}))).await
    }

    /// Creates a session object with this spec.
    pub async fn create_with(&self, name: &str, spec: Value) -> anyhow::Result<AthenaSession> {
        self.create_as(&json!({ "name": name }), &spec).await
    }

    /// Creates a session object with this metadata and spec.
    pub async fn create_as(&self, metadata: &Value, spec: &Value) -> anyhow::Result<AthenaSession> {
        let object = serde_json::from_value(object(metadata, spec))?;
        Ok(self.sessions.create(&PostParams::default(), &object).await?)
    }

    /// Creates an object, waits until it is idle, and returns the id of its session.
    pub async fn idle(&self, name: &str) -> anyhow::Result<String> {
        self.idle_with(name, spark(json!({}))).await
    }

    /// The same with this spec.
    pub async fn idle_with(&self, name: &str, spec: Value) -> anyhow::Result<String> {
        self.create_with(name, spec).await?;
        status(&self.until_idle(name).await?).session_id.context("an id")
    }

    /// Creates objects of these names, and waits until they are idle.
    pub async fn all_idle(&self, names: &[String]) -> anyhow::Result<()> {
        for name in names {
            self.create(name).await?;
        }
        self.until_all(names, "SessionIdle").await
    }

    /// Waits until Ready of each has this reason.
    pub async fn until_all(&self, names: &[String], reason: &str) -> anyhow::Result<()> {
        for name in names {
            self.until_reason(name, reason).await?;
        }
        Ok(())
    }

    /// Waits until all are gone.
    pub async fn until_all_gone(&self, names: &[String]) -> anyhow::Result<()> {
        for name in names {
            self.until_gone(name).await?;
        }
        Ok(())
    }

    /// Merges a patch into an object.
    pub async fn patch(&self, name: &str, patch: Value) -> anyhow::Result<AthenaSession> {
        Ok(self.sessions.patch(name, &PatchParams::default(), &Patch::Merge(patch)).await?)
    }

    /// Merges a patch into an object's spec.
    pub async fn set(&self, name: &str, spec: Value) -> anyhow::Result<AthenaSession> {
        self.patch(name, json!({ "spec": spec })).await
    }

    /// Merges a patch into an object's status.
    pub async fn set_status(&self, name: &str, status: Value) -> anyhow::Result<AthenaSession> {
        let patch = Patch::Merge(json!({ "status": status }));
        Ok(self.sessions.patch_status(name, &PatchParams::default(), &patch).await?)
    }

    /// Deletes an object, without waiting for it to go.
    pub async fn delete(&self, name: &str) -> anyhow::Result<()> {
        self.sessions.delete(name, &DeleteParams::default()).await?;
        Ok(())
    }

    /// Deletes an object, and waits until it is gone.
    pub async fn remove(&self, name: &str) -> anyhow::Result<()> {
        self.delete(name).await?;
        self.until_gone(name).await
    }

    /// The status of an object as it is now.
    pub async fn status(&self, name: &str) -> anyhow::Result<AthenaSessionStatus> {
        Ok(status(&self.sessions.get(name).await?))
    }

    /// Waits until an object is as `wanted` says.
    pub async fn until(
        &self,
        name: &str,
        what: &str,
        wanted: impl Fn(&AthenaSession) -> bool,
    ) -> anyhow::Result<AthenaSession> {
        let seen = async || {
            anyhow::Ok(match self.sessions.get_opt(name).await? {
                Some(object) if wanted(&object) => Ok(object),
                seen => Err(seen),
            })
        };
        look(&format!("{name} is {what}"), seen).await
    }

    /// Waits until an object's status is as `wanted` says, and returns it.
    pub async fn until_status(
        &self,
        name: &str,
        what: &str,
        wanted: impl Fn(&AthenaSessionStatus) -> bool,
    ) -> anyhow::Result<AthenaSessionStatus> {
        Ok(status(&self.until(name, what, |object| wanted(&status(object))).await?))
    }

    /// Waits until Ready is as `wanted` says, and returns it.
    pub async fn until_ready(
        &self,
        name: &str,
        what: &str,
        wanted: impl Fn(&Condition) -> bool,
    ) -> anyhow::Result<Condition> {
        let object =
            self.until(name, what, |object| ready_condition(object).is_some_and(|ready| wanted(&ready)));
        ready_condition(&object.await?).context("Ready")
    }

    /// Waits until Ready has this reason.
    pub async fn until_reason(&self, name: &str, reason: &str) -> anyhow::Result<AthenaSession> {
        self.until(name, reason, |object| ready_condition(object).is_some_and(|ready| ready.reason == reason))
            .await
    }

    /// Waits until Ready has this reason, and returns its message.
    pub async fn until_told(&self, name: &str, reason: &str) -> anyhow::Result<String> {
        Ok(self.until_ready(name, reason, |ready| ready.reason == reason).await?.message)
    }

    /// Waits until an object's session is idle.
    pub async fn until_idle(&self, name: &str) -> anyhow::Result<AthenaSession> {
        self.until_reason(name, "SessionIdle").await
    }

    /// Waits until the session of an object's attempt is idle.
    pub async fn until_attempt(&self, name: &str, attempt: i32) -> anyhow::Result<AthenaSessionStatus> {
        self.until_status(name, &format!("idle in attempt {attempt}"), |status| {
            status.attempt == Some(attempt) && status.state == Some("IDLE".into())
        })
        .await
    }

    /// Waits until an object's attempt is over.
    pub async fn until_over(&self, name: &str) -> anyhow::Result<AthenaSession> {
        self.until(name, "over", |object| status(object).end_reason.is_some()).await
    }

    /// Waits until an object is gone.
    pub async fn until_gone(&self, name: &str) -> anyhow::Result<()> {
        let seen = async || anyhow::Ok(self.sessions.get_opt(name).await?.map_or(Ok(()), Err));
        look(&format!("{name} is gone"), seen).await
    }

    /// The events with a reason, the oldest first.
    pub fn events(&self, reason: &str) -> anyhow::Result<Vec<Value>> {
        let selector = format!("--field-selector=reason={reason}");
        let sorted = "--sort-by=.metadata.creationTimestamp";
        let events = self.kubectl(&["get", "events", &selector, sorted, "-o", "json"])?;
        serde_json::from_str::<Value>(&events)?["items"].as_array().cloned().context("no list of events")
    }

    /// Waits until an event with a reason has this text.
    pub async fn until_event(&self, reason: &str, text: &str) -> anyhow::Result<()> {
        let says = |event: &Value| event["message"].as_str().is_some_and(|message| message.contains(text));
        let what = format!("an event {reason} says {text}");
        until(&what, || self.events(reason).is_ok_and(|events| events.iter().any(says))).await
    }

    /// Fails if a text stands in the operator's log, in an event or in a metric.
    pub fn is_shown_nowhere(&self, operator: &Operator, text: &str) -> anyhow::Result<()> {
        let events = self.kubectl(&["get", "events", "-o", "yaml"])?;
        let places =
            [("log", operator.raw_log()), ("events", events), ("metrics", operator.get("/metrics")?.1)];
        for (place, shown) in places {
            let line = shown.lines().find(|line| line.contains(text));
            ensure!(line.is_none(), "the {place} hold it: {}", line.unwrap_or_default());
        }
        Ok(())
    }
}

/// Waits until an operator has logged a text.
pub async fn until_logged(operator: &Operator, text: &str) -> anyhow::Result<()> {
    until(&format!("{text} is logged"), || operator.raw_log().contains(text)).await
}

/// Fails unless a text has each of these parts.
pub fn has(text: &str, parts: &[&str]) -> anyhow::Result<()> {
    let missing: Vec<_> = parts.iter().filter(|part| !text.contains(**part)).collect();
    ensure!(missing.is_empty(), "{missing:?} is not in: {text}");
    Ok(())
}

/// The status of an object, empty if it has none.
pub fn status(object: &AthenaSession) -> AthenaSessionStatus {
    object.status.clone().unwrap_or_default()
}

/// A condition of an object.
pub fn condition(object: &AthenaSession, type_: &str) -> Option<Condition> {
    status(object).conditions?.into_iter().find(|condition| condition.type_ == type_)
}

/// Tells of a condition of an object whether it has this status.
pub fn is(object: &AthenaSession, type_: &str, status: &str) -> bool {
    condition(object, type_).is_some_and(|condition| condition.status == status)
}

/// The Ready condition of an object.
pub fn ready_condition(object: &AthenaSession) -> Option<Condition> {
    condition(object, "Ready")
}

/// The message of an object's Ready condition.
pub fn message(object: &AthenaSession) -> String {
    ready_condition(object).map(|ready| ready.message).unwrap_or_default()
}

/// The UID of an object.
pub fn uid(object: &AthenaSession) -> String {
    object.uid().unwrap_or_default()
}
