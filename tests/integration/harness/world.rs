//! The world of a test, and the operators in it.

use std::fs::File;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyhow::Context;
use athena_emulator::{Config, Emulator};
use athena_operator::api::AthenaSession;
use environment::{Operator, OperatorOptions, Scope, Stage};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client};

use super::Logs;

/// The world of one test: a namespace, an emulator, and clients.
pub struct World {
    stage: Arc<OnceLock<Result<Stage, String>>>,
    /// The test's namespace.
    pub namespace: String,
    /// The test's Athena.
    pub emulator: Emulator,
    /// A client of the administrator.
    pub client: Client,
    /// AthenaSessions of the test's namespace.
    pub sessions: Api<AthenaSession>,
    pub(super) logs: Logs,
}

static NUMBER: AtomicU32 = AtomicU32::new(0);

impl World {
    pub(super) async fn new(stage: Arc<OnceLock<Result<Stage, String>>>, name: &str) -> anyhow::Result<Self> {
        let short: String =
            name.chars().take(40).map(|letter| if letter == '_' { '-' } else { letter }).collect();
        let namespace = format!("{}-{}", short.trim_matches('-'), NUMBER.fetch_add(1, Ordering::Relaxed));
        let config = Config {
            creating: Duration::from_millis(100),
            created: Duration::from_millis(50),
            terminating: Duration::from_millis(100),
            ..Config::default()
        };
        let emulator = Emulator::start(config).await?;
        let kubeconfig = {
            let stage = ready(&stage)?;
            stage.kubectl_ok(&["create", "namespace", &namespace])?;
            Kubeconfig::read_from(stage.kubeconfig())?
        };
        let client = Client::try_from(client_config(kubeconfig).await?)?;
        let sessions = Api::namespaced(client.clone(), &namespace);
        Ok(Self { stage, namespace, emulator, client, sessions, logs: Logs::default() })
    }

    /// The API server.
    pub fn stage(&self) -> &Stage {
        ready(&self.stage).expect("a test runs only on a stage")
    }

    /// Starts an operator with short intervals and waits until it is ready.
    pub fn operator(&self) -> anyhow::Result<Operator> {
        self.operator_with(&[], &[])
    }

    /// Starts an operator with further flags and environment variables, and waits until it is ready.
    pub fn operator_with(&self, flags: &[&str], env: &[(&str, &str)]) -> anyhow::Result<Operator> {
        self.operator_of(Scope::Namespace(&self.namespace), flags, env)
    }

    /// Starts an operator that STS does not answer, and waits until it is ready.
    pub fn operator_without_sts(&self) -> anyhow::Result<Operator> {
        // Nothing listens on the port of discard.
        let sts = ("AWS_ENDPOINT_URL_STS", "http://127.0.0.1:9");
        self.operator_with(&[], &[sts, ("AWS_ENDPOINT_URL_ATHENA", &self.emulator.url())])
    }

    /// Starts an operator whose account and rights stay when the namespace goes, and waits until it is ready.
    pub fn lasting_operator(&self) -> anyhow::Result<Operator> {
        self.operator_of(Scope::Everywhere, &[&format!("--namespaces={}", self.namespace)], &[])
    }

    /// Starts an operator that may see this, with further flags, and waits until it is ready.
    pub fn operator_in(&self, scope: Scope<'_>, flags: &[&str]) -> anyhow::Result<Operator> {
        self.operator_of(scope, flags, &[])
    }

    /// Starts an operator without waiting.
    pub fn unready_operator(&self, flags: &[&str], env: &[(&str, &str)]) -> anyhow::Result<Operator> {
        self.started(Scope::Namespace(&self.namespace), flags, env)
    }

    fn operator_of(
        &self,
        scope: Scope<'_>,
        flags: &[&str],
        env: &[(&str, &str)],
    ) -> anyhow::Result<Operator> {
        let operator = self.started(scope, flags, env)?;
        operator.wait_until_ready()?;
        Ok(operator)
    }

    fn started(&self, scope: Scope<'_>, flags: &[&str], env: &[(&str, &str)]) -> anyhow::Result<Operator> {
        let env = [
            &[
                ("ATHENA_OPERATOR_OBSERVE_INTERVAL", "200ms"),
                ("ATHENA_OPERATOR_TRANSITION_INTERVAL", "50ms"),
                ("ATHENA_OPERATOR_ATHENA_RATE", "1000"),
                ("ATHENA_OPERATOR_ATHENA_BURST", "1000"),
            ],
            env,
        ]
        .concat();
        let url = self.emulator.url();
        let binary = operator_binary();
        let operator = Operator::start(
            self.stage(),
            &OperatorOptions { binary: &binary, scope, athena: &url, flags, env: &env },
        )?;
        self.logs.lock().expect("no holder panics").push(File::open(operator.log_file())?);
        Ok(operator)
    }

    /// AthenaSessions of the test's namespace, for a user with every right. Admission still applies to such a user.
    pub async fn sessions_of_user(&self, user: &str, groups: &[&str]) -> anyhow::Result<Api<AthenaSession>> {
        let mut kubeconfig = Kubeconfig::read_from(self.stage().kubeconfig())?;
        for named in &mut kubeconfig.auth_infos {
            let info = named.auth_info.get_or_insert_default();
            info.impersonate = Some(user.to_owned());
            info.impersonate_groups =
                Some(groups.iter().chain(&["system:masters"]).map(|group| (*group).to_owned()).collect());
        }
        Ok(Api::namespaced(Client::try_from(client_config(kubeconfig).await?)?, &self.namespace))
    }
}

/// The operator under test: the one that was just built or, to see how another build behaves, the one that `OPERATOR` names.
pub fn operator_binary() -> PathBuf {
    std::env::var_os("OPERATOR").map_or_else(|| env!("CARGO_BIN_EXE_athena-operator").into(), PathBuf::from)
}

fn ready(stage: &OnceLock<Result<Stage, String>>) -> anyhow::Result<&Stage> {
    stage.get().and_then(|stage| stage.as_ref().ok()).context("the stage did not start")
}

/// The configuration of a client that a kubeconfig says.
pub async fn client_config(kubeconfig: Kubeconfig) -> anyhow::Result<kube::Config> {
    Ok(kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?)
}
