//! What one run has: a namespace, an emulator of Athena, a proxy before the API server, and its operators.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use athena_emulator::{Change, Config, Credential, Emulator, SessionRecord};
use environment::{Operator, OperatorOptions, Scope, Signal};
use fault_proxy::{Fault as KubernetesFault, FaultKind, FaultProxy};
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use k8s_openapi::jiff::Timestamp;
use kube::Api;
use kube::api::{ApiResource, DeleteParams, DynamicObject, GroupVersionKind, Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::blow::Blow;
use crate::call::{Call, Target};
use crate::end::{End, ready};
use crate::ground::Ground;
use crate::mutants::VARIABLE;
use crate::scenario::Scenario;
use crate::strike::Strike;

/// Longest wait for a condition. It bounds a run that hangs and says nothing about speed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
/// How long a phase waits for a call that is to be struck in it.
const STRIKE_PATIENCE: Duration = Duration::from_secs(8);
const PAUSE: Duration = Duration::from_millis(10);
/// The object's name.
pub(crate) const NAME: &str = "session";

/// One run.
pub(crate) struct World {
    ground: Arc<Ground>,
    pub(crate) scenario: &'static Scenario,
    pub(crate) emulator: Emulator,
    pub(crate) proxy: FaultProxy,
    sessions: Api<DynamicObject>,
    namespace: String,
    operators: Mutex<Vec<Option<Operator>>>,
    state: Mutex<State>,
    diverted: watch::Sender<bool>,
}

#[derive(Default)]
struct State {
    phases: Vec<Phase>,
    strikes: Vec<Active>,
    /// Whether the operator is to run.
    wanted: bool,
    list_is_stale: bool,
    watching: Watching,
    /// How late patches of objects arrive.
    slow_patch: Option<Duration>,
    /// Sessions that lived when their object was gone.
    abandoned: usize,
    complaints: Vec<String>,
    logs: Vec<String>,
}

/// What becomes of watches.
#[derive(Clone, Copy, Default)]
enum Watching {
    #[default]
    Open,
    /// They are refused.
    Cut,
    /// The next is told that its version is too old, so that what happened meanwhile is never seen.
    Outdated,
}

/// A part of a scenario, and how many calls came before it.
#[derive(Clone)]
struct Phase {
    name: &'static str,
    athena: usize,
    kubernetes: usize,
}

struct Active {
    strike: Strike,
    struck: Option<Instant>,
}

impl World {
    pub(crate) async fn new(ground: Arc<Ground>, scenario: &'static Scenario, strikes: &[Strike]) -> anyhow::Result<Self> {
        let namespace = ground.fresh_name(scenario.name);
        let object = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": namespace } });
        let namespaces: Api<k8s_openapi::api::core::v1::Namespace> = Api::all(ground.client.clone());
        namespaces.create(&PostParams::default(), &serde_json::from_value(object)?).await.context("cannot create a namespace")?;
        let second = Duration::from_secs(1);
        let mut config = Config { creating: second, created: second, terminating: second, step_by_looks: true, ..Config::default() };
        (scenario.athena)(&mut config);
        config.credentials = (0..scenario.replicas).map(credential).collect();
        let emulator = Emulator::start(config).await?;
        let proxy = FaultProxy::start(&ground.server).await?;
        let kind = ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk("athena-operator.io", "v1alpha1", "AthenaSession"), "athenasessions");
        let sessions = Api::namespaced_with(ground.client.clone(), &namespace, &kind);
        let strikes = strikes.iter().map(|strike| Active { strike: strike.clone(), struck: None }).collect();
        let state = Mutex::new(State { strikes, ..State::default() });
        let diverted = watch::Sender::new(false);
        Ok(Self { ground, scenario, emulator, proxy, sessions, namespace, operators: Mutex::default(), state, diverted })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn operators(&self) -> MutexGuard<'_, Vec<Option<Operator>>> {
        self.operators.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins a part of the scenario, once what is to be struck in the one before has been and nothing of it goes on but looks.
    pub(crate) async fn phase(&self, name: &'static str) {
        self.await_strikes().await;
        if !self.state().phases.is_empty() {
            self.quiet(Duration::from_millis(150)).await;
        }
        let (athena, kubernetes) = (self.emulator.calls().len(), self.proxy.arrived());
        self.state().phases.push(Phase { name, athena, kubernetes });
        self.set_faults();
    }

    /// Waits a while for what is to be struck in this phase.
    pub(crate) async fn await_strikes(&self) {
        let begun = Instant::now();
        while begun.elapsed() < STRIKE_PATIENCE && self.awaits_strike() {
            tokio::time::sleep(PAUSE).await;
        }
    }

    fn awaits_strike(&self) -> bool {
        let state = self.state();
        let phase = state.phases.last().map(|phase| phase.name);
        state.strikes.iter().any(|active| active.struck.is_none() && Some(active.strike.call.phase.as_str()) == phase)
    }

    /// The calls since the current phase began.
    fn recent(&self) -> Vec<Recent> {
        let Some(phase) = self.state().phases.last().cloned() else { return Vec::new() };
        let athena = self.emulator.calls_after(phase.athena).into_iter().map(Recent::from);
        athena.chain(self.proxy.requests_after(phase.kubernetes).into_iter().map(Recent::from)).collect()
    }

    /// Orders the faults of the current phase.
    fn set_faults(&self) {
        let recent = self.recent();
        let (mut athena, mut kubernetes) = (Vec::new(), Vec::new());
        let state = self.state();
        let phase = state.phases.last().map(|phase| phase.name);
        for active in state.strikes.iter().filter(|active| active.struck.is_none() && Some(active.strike.call.phase.as_str()) == phase) {
            let Strike { blow, call } = &active.strike;
            let arrived = recent.iter().filter(|recent| recent.is(call)).count();
            let after = call.occurrence.saturating_sub(1).saturating_sub(u32::try_from(arrived).unwrap_or(u32::MAX));
            match call.target {
                Target::Athena => athena.push(blow.of_athena(&call.operation).after(after).times(blow.times())),
                Target::Kubernetes => {
                    let (verb, resource) = call.verb_and_resource();
                    kubernetes.push(blow.of_kubernetes(verb, resource).after(after).times(blow.times()));
                }
            }
        }
        if state.list_is_stale {
            kubernetes.push(KubernetesFault::new("list", "athenasessions", FaultKind::StaleList { back: 2 }).times(1));
        }
        match state.watching {
            Watching::Open => {}
            Watching::Cut => kubernetes.push(KubernetesFault::new("watch", "athenasessions", FaultKind::DropBefore)),
            Watching::Outdated => kubernetes.push(KubernetesFault::new("watch", "athenasessions", FaultKind::Gone).times(1)),
        }
        if let Some(delay) = state.slow_patch {
            kubernetes.push(KubernetesFault::new("patch", "athenasessions", FaultKind::Delay(delay)));
        }
        drop(state);
        self.emulator.set_faults(athena);
        self.proxy.set_faults(kubernetes);
    }

    /// Notices what has been struck and does what the faults themselves cannot: kill the operator and start it again. Never ends.
    pub(crate) async fn strike(&self) {
        loop {
            tokio::time::sleep(PAUSE / 2).await;
            if !self.awaits_strike() {
                continue;
            }
            let recent = self.recent();
            let mut blows = Vec::new();
            {
                let mut state = self.state();
                let phase = state.phases.last().map(|phase| phase.name);
                for active in &mut state.strikes {
                    let call = &active.strike.call;
                    let is_struck = |recent: &&Recent| recent.is(call) && recent.struck;
                    if active.struck.is_none()
                        && Some(call.phase.as_str()) == phase
                        && let Some(recent) = recent.iter().find(is_struck)
                    {
                        active.struck = Some(Instant::now());
                        blows.push((active.strike.blow, recent.replica));
                    }
                }
            }
            for (blow, replica) in blows.into_iter().filter(|(blow, _)| blow.kills()) {
                if let Err(error) = self.kill_and_start(blow, replica).await {
                    self.complain(format!("{error:#}"));
                }
            }
        }
    }

    async fn kill_and_start(&self, blow: Blow, replica: usize) -> anyhow::Result<()> {
        self.kill(replica)?;
        match blow {
            Blow::KillDelete => {
                self.delete().await?;
                let _ = self.diverted.send(true);
            }
            Blow::KillStale => {
                self.state().list_is_stale = true;
                self.set_faults();
            }
            _ => {}
        }
        if self.state().wanted { self.start_replica(replica) } else { Ok(()) }
    }

    /// Starts the operator and waits until it is ready.
    pub(crate) async fn boot(&self) -> anyhow::Result<()> {
        self.start()?;
        self.until("the operator is ready", || {
            let ready = |operator: &Option<Operator>| operator.as_ref().is_some_and(|operator| matches!(operator.get("/readyz"), Ok((200, _))));
            Ok(self.operators().iter().all(ready))
        })
        .await
    }

    /// Starts the operator, or each of several.
    pub(crate) fn start(&self) -> anyhow::Result<()> {
        self.state().wanted = true;
        self.operators().resize_with(self.scenario.replicas, || None);
        (0..self.scenario.replicas).try_for_each(|replica| self.start_replica(replica))
    }

    fn start_replica(&self, replica: usize) -> anyhow::Result<()> {
        let key = credential(replica).access_key_id;
        let kubeconfig = self.ground.kubeconfig(&format!("{}-{replica}", self.namespace), &self.proxy.url_for(&replica.to_string()))?;
        let (url, kubeconfig) = (self.emulator.url(), kubeconfig.display().to_string());
        let lease_namespace = format!("--lease-namespace={}", self.namespace);
        let namespaces = format!("--namespaces={}", self.namespace);
        let flags = [&[namespaces.as_str(), "--athena-timeout=1s", "--uncertainty=10s", "--kubernetes-timeout=1s", "--shutdown-grace=2s", &lease_namespace], self.scenario.flags].concat();
        let env = [
            ("KUBECONFIG", kubeconfig.as_str()),
            ("AWS_ACCESS_KEY_ID", key.as_str()),
            ("ATHENA_OPERATOR_OBSERVE_INTERVAL", "600ms"),
            ("ATHENA_OPERATOR_TRANSITION_INTERVAL", "50ms"),
            ("ATHENA_OPERATOR_LOG", "warn,athena_operator=debug"),
            (VARIABLE, self.ground.mutant.unwrap_or_default()),
        ];
        let options = OperatorOptions { binary: &self.ground.operator, scope: Scope::Everywhere, athena: &url, flags: &flags, env: &env };
        let started = tokio::task::block_in_place(|| Operator::start(&self.ground.stage, &options))?;
        self.operators()[replica] = Some(started);
        Ok(())
    }

    /// Gives the operators' account the rights of a lease in the run's namespace.
    pub(crate) async fn allow_lease(&self) -> anyhow::Result<()> {
        let rules = json!([{ "apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["create", "get", "update"] }]);
        let role = json!({ "metadata": { "name": "lease" }, "rules": rules });
        let reference = json!({ "apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "lease" });
        let subjects = json!([{ "kind": "ServiceAccount", "name": "athena-operator", "namespace": "athena-operator" }]);
        let binding = json!({ "metadata": { "name": "lease" }, "roleRef": reference, "subjects": subjects });
        let (client, namespace) = (self.ground.client.clone(), &self.namespace);
        Api::<Role>::namespaced(client.clone(), namespace).create(&PostParams::default(), &serde_json::from_value(role)?).await?;
        Api::<RoleBinding>::namespaced(client, namespace).create(&PostParams::default(), &serde_json::from_value(binding)?).await?;
        Ok(())
    }

    /// Has every patch of an object arrive late.
    pub(crate) fn slow_patches(&self, delay: Option<Duration>) {
        self.state().slow_patch = delay;
        self.set_faults();
    }

    /// Whether a patch of the object is on its way.
    pub(crate) fn is_patching(&self) -> bool {
        let pending = |recent: Recent| recent.operation == "patch athenasessions" && !recent.struck && recent.pending;
        self.recent().into_iter().any(pending)
    }

    /// Whether a list was read in this phase.
    pub(crate) fn has_listed(&self) -> bool {
        self.recent().into_iter().any(|recent| recent.operation == "list athenasessions" && !recent.struck && !recent.pending)
    }

    /// Cuts the operator off from events.
    pub(crate) fn cut_watches(&self) {
        self.state().watching = Watching::Cut;
        self.set_faults();
        self.proxy.cut_watches();
    }

    /// Lets it watch again, from now on.
    pub(crate) fn let_watch(&self) {
        self.state().watching = Watching::Outdated;
        self.set_faults();
    }

    /// Kills every operator; they are not started again until somebody does.
    pub(crate) fn leave(&self) -> anyhow::Result<()> {
        self.state().wanted = false;
        (0..self.scenario.replicas).try_for_each(|replica| self.kill(replica))
    }

    fn kill(&self, replica: usize) -> anyhow::Result<()> {
        let Some(operator) = self.operators().get_mut(replica).and_then(Option::take) else { return Ok(()) };
        tokio::task::block_in_place(|| operator.end(Signal::KILL))?;
        self.state().logs.push(operator.raw_log());
        Ok(())
    }

    /// Waits until something is so.
    pub(crate) async fn until(&self, what: &str, so: impl Fn() -> anyhow::Result<bool>) -> anyhow::Result<()> {
        let begun = Instant::now();
        while !so()? {
            self.check()?;
            if begun.elapsed() > PATIENCE {
                bail!("it did not come to be that {what}");
            }
            tokio::time::sleep(PAUSE).await;
        }
        Ok(())
    }

    /// Fails when the operator has ended by itself.
    fn check(&self) -> anyhow::Result<()> {
        if let Some(complaint) = self.state().complaints.first() {
            bail!("{complaint}");
        }
        let has_ended = |operator: &Option<Operator>| operator.as_ref().is_some_and(|operator| operator.exit_status().is_some());
        let ended: Vec<usize> = self.operators().iter().enumerate().filter(|(_, operator)| has_ended(operator)).map(|(replica, _)| replica).collect();
        for replica in ended {
            if self.scenario.replicas == 1 {
                bail!("the operator ended by itself");
            }
            // One that has lost its lease ends, and Kubernetes starts it again.
            self.kill(replica)?;
            self.start_replica(replica)?;
        }
        Ok(())
    }

    fn complain(&self, complaint: String) {
        self.state().complaints.push(complaint);
    }

    pub(crate) async fn create(&self, further: Value) -> anyhow::Result<()> {
        let mut spec = json!({ "workGroup": "spark-35" });
        if let (Value::Object(spec), Value::Object(further)) = (&mut spec, further) {
            spec.extend(further);
        }
        let object = json!({ "apiVersion": "athena-operator.io/v1alpha1", "kind": "AthenaSession", "metadata": { "name": NAME }, "spec": spec });
        self.sessions.create(&PostParams::default(), &serde_json::from_value(object)?).await?;
        Ok(())
    }

    pub(crate) async fn suspend(&self, suspend: bool) -> anyhow::Result<()> {
        self.sessions.patch(NAME, &PatchParams::default(), &Patch::Merge(json!({ "spec": { "suspend": suspend } }))).await?;
        Ok(())
    }

    /// Deletes the object, if it is there, without waiting for it to go.
    pub(crate) async fn delete(&self) -> anyhow::Result<()> {
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
        self.until_object(reason, |object| object.is_some_and(|object| ready(object)["reason"] == *reason)).await
    }

    /// Waits until shortly before so many seconds after a time of the status.
    pub(crate) async fn past(&self, member: &str, seconds: i64) -> anyhow::Result<()> {
        let told = |object: Option<&DynamicObject>| object.is_some_and(|object| object.data["status"][member].is_string());
        self.until_object(&format!("told a {member}"), told).await?;
        let object = self.object().await?.context("the object is there")?;
        let time: Timestamp = serde_json::from_value(object.data["status"][member].clone())?;
        let left = time.as_millisecond() + seconds * 1000 - 30 - Timestamp::now().as_millisecond();
        tokio::time::sleep(Duration::from_millis(u64::try_from(left).unwrap_or(0))).await;
        Ok(())
    }

    /// Waits until the object is as `wanted` says.
    pub(crate) async fn until_object(&self, what: &str, wanted: impl Fn(Option<&DynamicObject>) -> bool) -> anyhow::Result<()> {
        let begun = Instant::now();
        loop {
            let object = self.object().await?;
            if wanted(object.as_ref()) {
                return Ok(());
            }
            self.check()?;
            if begun.elapsed() > PATIENCE {
                bail!("the object did not come to be {what}: {}", serde_json::to_string(&object)?);
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
                bail!("{missing}: {}", serde_json::to_string(&object)?);
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Ends once a fault has made an end of the scenario of its own: the object is deleted.
    pub(crate) async fn diverted(&self) {
        let _ = self.diverted.subscribe().wait_for(|diverted| *diverted).await;
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

    /// Every call so far, in the order of arrival, by its phase.
    pub(crate) fn calls(&self) -> Vec<Call> {
        let phases = self.state().phases.clone();
        let athena = self.emulator.calls().into_iter().enumerate().map(|(place, call)| (place, Recent::from(call)));
        let kubernetes = self.proxy.requests().into_iter().enumerate().map(|(place, request)| (place, Recent::from(request)));
        let mut all: Vec<(usize, Recent)> = athena.chain(kubernetes).collect();
        all.sort_by_key(|(_, recent)| recent.nanos);
        let mut calls: Vec<Call> = Vec::new();
        for (place, recent) in all {
            let began = |phase: &&Phase| place >= if recent.target == Target::Athena { phase.athena } else { phase.kubernetes };
            let Some(phase) = phases.iter().rev().find(began) else { continue };
            let same = |call: &&Call| call.phase == phase.name && call.target == recent.target && call.operation == recent.operation;
            let occurrence = u32::try_from(calls.iter().filter(same).count()).unwrap_or(u32::MAX).saturating_add(1);
            calls.push(Call { phase: phase.name.into(), target: recent.target, operation: recent.operation, occurrence });
        }
        calls
    }

    /// Waits until the operator makes no further call but looks.
    pub(crate) async fn quiet(&self, pause: Duration) {
        let mut last = (0, Instant::now());
        while last.1.elapsed() < pause {
            let looks = |operation: &str| matches!(operation, "GetSession" | "GetSessionStatus");
            let requests = self.proxy.requests();
            let writes = requests.iter().filter(|request| request.operation.resource != "leases").count();
            let count = writes + self.emulator.calls().iter().filter(|call| !looks(&call.operation)).count();
            if count != last.0 {
                last = (count, Instant::now());
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// The strikes that never came about.
    pub(crate) fn unstruck(&self) -> Vec<Strike> {
        self.state().strikes.iter().filter(|active| active.struck.is_none()).map(|active| active.strike.clone()).collect()
    }

    pub(crate) fn abandoned(&self) -> usize {
        self.state().abandoned
    }

    /// Ends the operator and writes what it logged, and what was called, where a person can read it.
    pub(crate) fn close(&self, keep: bool) -> Option<PathBuf> {
        let _ = self.leave();
        if !keep {
            return None;
        }
        let mut text = self.state().logs.join("--- killed ---\n");
        text.push_str("--- Athena ---\n");
        for call in self.emulator.calls() {
            text.push_str(&format!("{} {} {:?} {}\n", call.time, call.operation, call.session_id, call.outcome));
        }
        text.push_str("--- Kubernetes ---\n");
        for request in self.proxy.requests() {
            text.push_str(&format!("{:?} {} {:?} {}\n", request.time, request.operation, request.outcome, request.body));
        }
        for session in self.emulator.sessions() {
            text.push_str(&format!("{session:?}\n"));
        }
        let file = self.ground.logs().ok()?.join(format!("{}.log", self.namespace));
        std::fs::write(&file, text).ok().map(|()| file)
    }
}

/// The credential of one of several operators.
fn credential(replica: usize) -> Credential {
    Credential { access_key_id: format!("replica-{replica}"), ..Credential::default() }
}

/// A call as it arrived.
struct Recent {
    /// Which of several operators made it.
    replica: usize,
    target: Target,
    operation: String,
    nanos: i128,
    /// Whether a fault has come about.
    struck: bool,
    /// Whether it has not been answered.
    pending: bool,
}

impl Recent {
    fn is(&self, call: &Call) -> bool {
        self.target == call.target && self.operation == call.operation
    }
}

impl From<athena_emulator::Call> for Recent {
    fn from(call: athena_emulator::Call) -> Self {
        use athena_emulator::Outcome;
        let (struck, pending) = (!matches!(call.outcome, Outcome::Pending | Outcome::Ok), call.outcome == Outcome::Pending);
        let replica = call.access_key_id.and_then(|key| key.strip_prefix("replica-")?.parse().ok()).unwrap_or(0);
        Self { replica, target: Target::Athena, operation: call.operation, nanos: call.time.as_nanosecond(), struck, pending }
    }
}

impl From<fault_proxy::Request> for Recent {
    fn from(request: fault_proxy::Request) -> Self {
        use fault_proxy::Outcome;
        let nanos = request.time.duration_since(std::time::UNIX_EPOCH).map_or(0, |time| i128::try_from(time.as_nanos()).unwrap_or(i128::MAX));
        let struck = !matches!(request.outcome, Outcome::Pending | Outcome::Passed(_) | Outcome::Unreachable | Outcome::Stale(_));
        let pending = request.outcome == Outcome::Pending;
        let replica = request.client.and_then(|client| client.parse().ok()).unwrap_or(0);
        Self { replica, target: Target::Kubernetes, operation: request.operation.to_string(), nanos, struck, pending }
    }
}
