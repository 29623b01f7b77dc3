//! What a test stands on.

use std::fs::File;
use std::future::Future;
use std::io::Read;
use std::path::PathBuf;
use std::pin::Pin;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use athena_emulator::{Call, Config, Emulator, SessionRecord};
use athena_operator::api::{AthenaSession, AthenaSessionStatus};
use environment::{Operator, OperatorOptions, Request, Scope, Stage};
use fault_proxy::FaultProxy;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::{Api, Client, ResourceExt};
use libtest_mimic::{Arguments, Failed, Trial};
use serde_json::{Value, json};

type Running = Pin<Box<dyn Future<Output = anyhow::Result<()>> + Send>>;

/// A named test.
pub struct Test {
    name: &'static str,
    run: Box<dyn FnOnce(World) -> Running + Send>,
}

/// A test made of an asynchronous function.
pub fn test<F: Future<Output = anyhow::Result<()>> + Send + 'static>(
    name: &'static str,
    run: fn(World) -> F,
) -> Test {
    Test { name, run: Box::new(move |world| Box::pin(run(world))) }
}

/// The tests of these functions, under their names.
macro_rules! tests {
    ($($name:ident),+ $(,)?) => {
        pub fn tests() -> Vec<$crate::harness::Test> {
            vec![$($crate::harness::test(stringify!($name), $name)),+]
        }
    };
}
pub(crate) use tests;

/// Runs the tests on one API server, which is started for the first of them.
pub fn run(modules: Vec<(&'static str, Vec<Test>)>) -> ExitCode {
    let mut arguments = Arguments::from_args();
    // They wait more than they work.
    arguments.test_threads = arguments.test_threads.or(Some(8));
    let runtime = Arc::new(
        tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("threads can be started"),
    );
    let stage: Arc<OnceLock<Result<Stage, String>>> = Arc::default();
    let trials = modules
        .into_iter()
        .flat_map(|(module, tests)| tests.into_iter().map(move |test| (module, test)))
        .map(|(module, test)| {
            let (runtime, stage) = (runtime.clone(), stage.clone());
            Trial::test(format!("{module}::{}", test.name), move || {
                let started = stage.get_or_init(|| Stage::start().map_err(|error| format!("{error:#}")));
                if let Err(error) = started {
                    return Err(Failed::from(error.clone()));
                }
                let world = runtime.block_on(World::new(stage.clone(), test.name));
                let mut logs = Logs::default();
                let result = world.and_then(|world| {
                    logs = world.logs.clone();
                    runtime.block_on((test.run)(world))
                });
                result.map_err(|error| Failed::from(format!("{error:#}\n{}", ends(&logs))))
            })
        })
        .collect();
    let conclusion = libtest_mimic::run(&arguments, trials);
    let refused = stage.get().and_then(|stage| stage.as_ref().ok()).map_or_else(|| Ok(Vec::new()), refused);
    // The servers end with the stage.
    drop(stage);
    match refused {
        Ok(refused) if refused.is_empty() => conclusion.exit_code(),
        Ok(refused) => {
            eprintln!("the operator asked for what its roles do not allow: {refused:#?}");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("cannot tell what the operator asked for: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// The logs of the operators of a test, which stay readable when those have ended.
type Logs = Arc<Mutex<Vec<File>>>;

/// The last lines of each log, for a test that has failed.
fn ends(logs: &Logs) -> String {
    const LINES: usize = 40;
    let mut ends = String::new();
    for log in logs.lock().expect("no holder panics").iter_mut() {
        let mut text = String::new();
        if log.read_to_string(&mut text).is_ok() {
            let lines: Vec<&str> = text.lines().collect();
            let end = lines[lines.len().saturating_sub(LINES)..].join("\n");
            ends.extend(["\nthe end of an operator's log:\n", &end, "\n"]);
        }
    }
    ends
}

/// Tests of an operator that lacks a right, as their namespaces begin.
const WITHOUT_A_RIGHT: [&str; 3] =
    ["without-the-right-to-the-lease", "it-is-alive-and-not-ready-while-all", "a-namespace-that-is-refused"];

/// What an operator asked for and its roles do not allow.
fn refused(stage: &Stage) -> anyhow::Result<Vec<Request>> {
    let is_wanted = |request: &Request| {
        WITHOUT_A_RIGHT.iter().any(|test| request.user.starts_with(&format!("system:serviceaccount:{test}")))
    };
    Ok(stage.requests()?.into_iter().filter(|request| !request.is_allowed && !is_wanted(request)).collect())
}

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
    logs: Logs,
}

static NUMBER: AtomicU32 = AtomicU32::new(0);

impl World {
    async fn new(stage: Arc<OnceLock<Result<Stage, String>>>, name: &str) -> anyhow::Result<Self> {
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
            kube::config::Kubeconfig::read_from(stage.kubeconfig())?
        };
        let config =
            kube::Config::from_custom_kubeconfig(kubeconfig, &kube::config::KubeConfigOptions::default())
                .await?;
        let client = Client::try_from(config)?;
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

    /// Starts an operator, without waiting, whose requests to the API server pass through a proxy with these faults. The folder has its kubeconfig.
    pub async fn proxied(
        &self,
        faults: Vec<fault_proxy::Fault>,
        flags: &[&str],
    ) -> anyhow::Result<(FaultProxy, Operator, tempfile::TempDir)> {
        let kubeconfig = kube::config::Kubeconfig::read_from(self.stage().kubeconfig())?;
        let config =
            kube::Config::from_custom_kubeconfig(kubeconfig, &kube::config::KubeConfigOptions::default())
                .await?;
        let proxy = FaultProxy::start(&config).await?;
        proxy.set_faults(faults);
        let own = self.stage().operator_kubeconfig(Scope::Namespace(&self.namespace))?;
        let mut kubeconfig: Value = serde_json::from_str(&std::fs::read_to_string(own)?)?;
        kubeconfig["clusters"][0]["cluster"]["server"] = json!(proxy.url());
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("kubeconfig");
        std::fs::write(&file, kubeconfig.to_string())?;
        let operator = self.unready_operator(flags, &[("KUBECONFIG", &file.display().to_string())])?;
        Ok((proxy, operator, folder))
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
        let mut kubeconfig = kube::config::Kubeconfig::read_from(self.stage().kubeconfig())?;
        for named in &mut kubeconfig.auth_infos {
            let info = named.auth_info.get_or_insert_default();
            info.impersonate = Some(user.to_owned());
            info.impersonate_groups =
                Some(groups.iter().chain(&["system:masters"]).map(|group| (*group).to_owned()).collect());
        }
        let config =
            kube::Config::from_custom_kubeconfig(kubeconfig, &kube::config::KubeConfigOptions::default())
                .await?;
        Ok(Api::namespaced(Client::try_from(config)?, &self.namespace))
    }

    /// kubectl in the test's namespace, which must succeed.
    pub fn kubectl(&self, arguments: &[&str]) -> anyhow::Result<String> {
        self.stage().kubectl_ok(&[arguments, &["-n", &self.namespace]].concat())
    }

    /// Creates a session object in the work group `spark-35`.
    pub async fn create(&self, name: &str) -> anyhow::Result<AthenaSession> {
        self.create_with(name, json!({ "workGroup": "spark-35" })).await
    }

    /// Creates a session object with this spec.
    pub async fn create_with(&self, name: &str, spec: Value) -> anyhow::Result<AthenaSession> {
        let object = json!({ "apiVersion": "athena-operator.io/v1alpha1", "kind": "AthenaSession", "metadata": { "name": name }, "spec": spec });
        Ok(self.sessions.create(&PostParams::default(), &serde_json::from_value(object)?).await?)
    }

    /// Merges a patch into an object.
    pub async fn patch(&self, name: &str, patch: Value) -> anyhow::Result<AthenaSession> {
        Ok(self.sessions.patch(name, &PatchParams::default(), &Patch::Merge(patch)).await?)
    }

    /// Deletes an object, without waiting for it to go.
    pub async fn delete(&self, name: &str) -> anyhow::Result<()> {
        self.sessions.delete(name, &DeleteParams::default()).await?;
        Ok(())
    }

    /// Waits until an object is as `wanted` says.
    pub async fn until(
        &self,
        name: &str,
        what: &str,
        wanted: impl Fn(&AthenaSession) -> bool,
    ) -> anyhow::Result<AthenaSession> {
        let start = Instant::now();
        loop {
            let object = self.sessions.get_opt(name).await?;
            match &object {
                Some(object) if wanted(object) => return Ok(object.clone()),
                _ if start.elapsed() > PATIENCE => {
                    bail!("{name} did not come to be {what}: {}", serde_json::to_string_pretty(&object)?)
                }
                _ => tokio::time::sleep(PAUSE).await,
            }
        }
    }

    /// Waits until Ready has this reason.
    pub async fn until_reason(&self, name: &str, reason: &str) -> anyhow::Result<AthenaSession> {
        self.until(name, reason, |object| ready_condition(object).is_some_and(|ready| ready.reason == reason))
            .await
    }

    /// Waits until an object is gone.
    pub async fn until_gone(&self, name: &str) -> anyhow::Result<()> {
        let start = Instant::now();
        while let Some(object) = self.sessions.get_opt(name).await? {
            if start.elapsed() > PATIENCE {
                bail!("{name} is still there: {}", serde_json::to_string_pretty(&object)?);
            }
            tokio::time::sleep(PAUSE).await;
        }
        Ok(())
    }

    /// Calls of an operation that the emulator has journalled.
    pub fn calls(&self, operation: &str) -> Vec<Call> {
        self.emulator.calls().into_iter().filter(|call| call.operation == operation).collect()
    }

    /// Sessions that cost money.
    pub fn live(&self) -> Vec<SessionRecord> {
        self.emulator.sessions().into_iter().filter(|session| session.live).collect()
    }
}

/// The operator under test: the one that was just built or, to see how another build behaves, the one that `OPERATOR` names.
pub fn operator_binary() -> PathBuf {
    std::env::var_os("OPERATOR").map_or_else(|| env!("CARGO_BIN_EXE_athena-operator").into(), PathBuf::from)
}

/// Longest wait for a condition. It bounds a hanging test and says nothing about speed.
pub const PATIENCE: Duration = Duration::from_mins(1);
/// Wait between two looks.
pub const PAUSE: Duration = Duration::from_millis(20);

/// Waits until something is so.
pub async fn until(what: &str, mut so: impl FnMut() -> bool) -> anyhow::Result<()> {
    let start = Instant::now();
    while !so() {
        if start.elapsed() > PATIENCE {
            bail!("it did not come to be that {what}");
        }
        tokio::time::sleep(PAUSE).await;
    }
    Ok(())
}

fn ready(stage: &OnceLock<Result<Stage, String>>) -> anyhow::Result<&Stage> {
    stage.get().and_then(|stage| stage.as_ref().ok()).context("the stage did not start")
}

/// The status of an object, empty if it has none.
pub fn status(object: &AthenaSession) -> AthenaSessionStatus {
    object.status.clone().unwrap_or_default()
}

/// A condition of an object.
pub fn condition(object: &AthenaSession, type_: &str) -> Option<Condition> {
    status(object).conditions?.into_iter().find(|condition| condition.type_ == type_)
}

/// The Ready condition of an object.
pub fn ready_condition(object: &AthenaSession) -> Option<Condition> {
    condition(object, "Ready")
}

/// The UID of an object.
pub fn uid(object: &AthenaSession) -> String {
    object.uid().unwrap_or_default()
}
