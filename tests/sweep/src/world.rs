//! What one run has: a namespace, an emulator of Athena, a proxy before the API server, and its operators.

use std::collections::HashMap;
use std::fmt::Write;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use athena_emulator::{Config, Credential, Emulator};
use environment::{Operator, OperatorOptions, Scope, Signal};
use fault_proxy::FaultProxy;
use harness::http::lock;
use k8s_openapi::jiff::Timestamp;
use kube::Api;
use kube::api::{ApiResource, DynamicObject, GroupVersionKind, PostParams};
use serde_json::json;
use tokio::sync::watch;

use crate::blow::Blow;
use crate::ground::{Ground, logs};
use crate::mutants::{BLIND_STATUS, VARIABLE};
use crate::scenario::Scenario;
use crate::strike::Strike;

/// Longest wait for a condition. It bounds a run that hangs and says nothing about speed. A watch that was refused some times is tried again after up to
/// 30 s, and one that is silent is given up after three minutes.
pub(crate) const PATIENCE: Duration = Duration::from_mins(4);
pub(crate) const PAUSE: Duration = Duration::from_millis(10);

/// One run.
pub(crate) struct World {
    pub(crate) ground: Arc<Ground>,
    pub(crate) scenario: &'static Scenario,
    pub(crate) emulator: Emulator,
    pub(crate) proxy: FaultProxy,
    pub(crate) sessions: Api<DynamicObject>,
    pub(crate) namespace: String,
    pub(crate) operators: Mutex<Vec<Option<Operator>>>,
    pub(crate) state: Mutex<State>,
    pub(crate) diverted: watch::Sender<bool>,
}

#[derive(Default)]
pub(crate) struct State {
    pub(crate) phases: Vec<Phase>,
    pub(crate) strikes: Vec<Active>,
    /// Whether the operator is to run.
    pub(crate) wanted: bool,
    pub(crate) list_is_stale: bool,
    pub(crate) watching: Watching,
    /// How late patches of objects arrive.
    pub(crate) slow_patch: Option<Duration>,
    /// Since when each session is to end, by its id.
    pub(crate) asked: HashMap<String, Timestamp>,
    /// Sessions that lived when their object was gone.
    pub(crate) abandoned: usize,
    pub(crate) complaints: Vec<String>,
    pub(crate) logs: Vec<String>,
}

/// What becomes of watches.
#[derive(Clone, Copy, Default)]
pub(crate) enum Watching {
    #[default]
    Open,
    /// They are refused.
    Cut,
    /// The next is told that its version is too old, so that what happened meanwhile is never seen.
    Outdated,
}

/// A part of a scenario, and how many calls came before it.
#[derive(Clone)]
pub(crate) struct Phase {
    pub(crate) name: &'static str,
    pub(crate) athena: usize,
    pub(crate) kubernetes: usize,
}

pub(crate) struct Active {
    pub(crate) strike: Strike,
    /// Whether the call has been struck.
    pub(crate) struck: bool,
    /// Whether what follows from it has been done.
    pub(crate) done: bool,
}

impl World {
    pub(crate) async fn new(
        ground: Arc<Ground>,
        scenario: &'static Scenario,
        strikes: &[Strike],
    ) -> anyhow::Result<Self> {
        let namespace = ground.fresh_name(scenario.name);
        let object = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": namespace } });
        let namespaces: Api<k8s_openapi::api::core::v1::Namespace> = Api::all(ground.client.clone());
        namespaces
            .create(&PostParams::default(), &serde_json::from_value(object)?)
            .await
            .context("cannot create a namespace")?;
        let second = Duration::from_secs(1);
        let mut config = Config {
            creating: second,
            created: second,
            terminating: second,
            step_by_looks: true,
            ..Config::default()
        };
        (scenario.athena)(&mut config);
        config.credentials = (0..scenario.replicas).map(credential).collect();
        let emulator = Emulator::start(config).await?;
        let proxy = FaultProxy::start(&ground.server).await?;
        if ground.mutant == Some(BLIND_STATUS) {
            proxy.write_blindly();
        }
        let kind = ApiResource::from_gvk_with_plural(
            &GroupVersionKind::gvk("athena-operator.io", "v1alpha1", "AthenaSession"),
            "athenasessions",
        );
        let sessions = Api::namespaced_with(ground.client.clone(), &namespace, &kind);
        let strikes = strikes
            .iter()
            .map(|strike| Active { strike: strike.clone(), struck: false, done: false })
            .collect();
        let state = Mutex::new(State { strikes, ..State::default() });
        let diverted = watch::Sender::new(false);
        Ok(Self {
            ground,
            scenario,
            emulator,
            proxy,
            sessions,
            namespace,
            operators: Mutex::default(),
            state,
            diverted,
        })
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    pub(crate) fn operators(&self) -> MutexGuard<'_, Vec<Option<Operator>>> {
        lock(&self.operators)
    }

    /// Starts the operator and waits until it is ready.
    pub(crate) async fn boot(&self) -> anyhow::Result<()> {
        self.start()?;
        self.until("the operator is ready", || {
            let ready = |operator: &Option<Operator>| {
                operator.as_ref().is_some_and(|operator| matches!(operator.get("/readyz"), Ok((200, _))))
            };
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

    pub(crate) fn start_replica(&self, replica: usize) -> anyhow::Result<()> {
        let key = credential(replica).access_key_id;
        let kubeconfig = self.ground.kubeconfig(
            &format!("{}-{replica}", self.namespace),
            &self.proxy.url_for(&replica.to_string()),
        )?;
        let (url, kubeconfig) = (self.emulator.url(), kubeconfig.display().to_string());
        let lease_namespace = format!("--lease-namespace={}", self.namespace);
        let namespaces = format!("--namespaces={}", self.namespace);
        let is_slow = self.state().strikes.iter().any(|active| active.strike.blow == Blow::Slow);
        let kubernetes_timeout = format!("--kubernetes-timeout={}s", if is_slow { 5 } else { 1 });
        let flags: Vec<&str> = [
            &[namespaces.as_str(), "--athena-timeout=1s", "--uncertainty=10s", "--shutdown-grace=2s"][..],
            &[&lease_namespace, &kubernetes_timeout],
            self.scenario.flags,
        ]
        .concat();
        let env = [
            // The flags of a scenario come before these.
            ("ATHENA_OPERATOR_ATHENA_RATE", "1000"),
            ("ATHENA_OPERATOR_ATHENA_BURST", "1000"),
            ("KUBECONFIG", kubeconfig.as_str()),
            ("AWS_ACCESS_KEY_ID", key.as_str()),
            ("ATHENA_OPERATOR_OBSERVE_INTERVAL", "600ms"),
            ("ATHENA_OPERATOR_TRANSITION_INTERVAL", "50ms"),
            ("ATHENA_OPERATOR_LOG", "warn,athena_operator=debug"),
            (VARIABLE, self.ground.mutant.unwrap_or_default()),
        ];
        let options = OperatorOptions {
            binary: &self.ground.operator,
            scope: Scope::Everywhere,
            athena: &url,
            flags: &flags,
            env: &env,
        };
        let started = tokio::task::block_in_place(|| Operator::start(&self.ground.stage, &options))?;
        self.operators()[replica] = Some(started);
        Ok(())
    }

    /// Kills every operator; they are not started again until somebody does.
    pub(crate) fn leave(&self) -> anyhow::Result<()> {
        self.state().wanted = false;
        (0..self.scenario.replicas).try_for_each(|replica| self.kill(replica))
    }

    pub(crate) fn kill(&self, replica: usize) -> anyhow::Result<()> {
        let Some(operator) = self.operators().get_mut(replica).and_then(Option::take) else { return Ok(()) };
        tokio::task::block_in_place(|| operator.end(Signal::KILL))?;
        self.state().logs.push(operator.raw_log());
        Ok(())
    }

    /// Waits until something is so.
    pub(crate) async fn until(
        &self,
        what: &str,
        so: impl Fn() -> anyhow::Result<bool>,
    ) -> anyhow::Result<()> {
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
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        if let Some(complaint) = self.state().complaints.first() {
            bail!("{complaint}");
        }
        let has_ended = |operator: &Option<Operator>| {
            operator.as_ref().is_some_and(|operator| operator.exit_status().is_some())
        };
        let ended: Vec<usize> = self
            .operators()
            .iter()
            .enumerate()
            .filter(|(_, operator)| has_ended(operator))
            .map(|(replica, _)| replica)
            .collect();
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

    /// Ends the operator and writes what it logged, and what was called, where a person can read it.
    pub(crate) fn close(&self, keep: bool) -> Option<PathBuf> {
        let _ = self.leave();
        if !keep {
            return None;
        }
        let mut text = self.state().logs.join("--- killed ---\n");
        text.push_str("--- Athena ---\n");
        for call in self.emulator.calls() {
            let _ = writeln!(text, "{} {} {:?} {}", call.time, call.operation, call.session_id, call.outcome);
        }
        text.push_str("--- Kubernetes ---\n");
        for request in self.proxy.requests() {
            let _ = writeln!(
                text,
                "{:?} {} {:?} {}",
                request.time, request.operation, request.outcome, request.body
            );
        }
        for session in self.emulator.sessions() {
            let _ = writeln!(text, "{session:?}");
        }
        let file = logs().ok()?.join(format!("{}.log", self.namespace));
        std::fs::write(&file, text).ok().map(|()| file)
    }
}

/// The credential of one of several operators.
fn credential(replica: usize) -> Credential {
    Credential { access_key_id: format!("replica-{replica}"), ..Credential::default() }
}
