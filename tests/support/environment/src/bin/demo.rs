//! The operator's main job, shown and checked: a session starts once though a reply is lost, is mirrored, and ends with its object.

use std::path::PathBuf;
use std::process::{ExitCode, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use athena_emulator::{Config, Emulator, Fault, FaultKind};
use clap::Parser;
use environment::Stage;

/// Shows the operator at work, and fails when it does not do what it should.
#[derive(Parser)]
struct Arguments {
    /// The operator's binary
    #[arg(long)]
    operator: PathBuf,
    /// Run in the cluster of this kubeconfig instead of one of its own
    #[arg(long)]
    kubeconfig: Option<PathBuf>,
    /// Configuration of the emulator of Athena, YAML or JSON
    #[arg(long)]
    emulator_config: Option<PathBuf>,
}

const NAME: &str = "spark-35-minimal";
const MANIFEST: &str = "examples/spark-35-minimal.yaml";
const PATIENCE: Duration = Duration::from_secs(20);

#[tokio::main]
async fn main() -> ExitCode {
    match demo(Arguments::parse()).await {
        Ok(()) => {
            println!("\nThe demo has shown all that it should.");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("\nthe demo failed: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn demo(arguments: Arguments) -> anyhow::Result<()> {
    let config = match &arguments.emulator_config {
        None => Config::default(),
        Some(path) => {
            let text =
                std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
            Config::parse(&text)
                .map_err(|error| anyhow::anyhow!("cannot read {}: {error}", path.display()))?
        }
    };
    say("Starting a Kubernetes API server, an emulator of Athena, and the operator");
    let stage = || match &arguments.kubeconfig {
        Some(kubeconfig) => Stage::given(kubeconfig),
        None => Stage::start(),
    };
    let (emulator, stage, operator) = environment::start(&arguments.operator, config, stage).await?;
    println!("Athena is emulated at {}; the operator is ready.", emulator.url());
    // A namespace that an earlier run left on its way out must not be in the way.
    let namespace = format!("athena-demo-{}", std::process::id());
    kubectl(&stage, &format!("create namespace {namespace}"))?;

    let shown = show(&stage, &emulator, &namespace);
    let cleaned = clean_up(&stage, &namespace);
    if shown.is_err() {
        eprintln!("\nThe operator's log:\n{}", operator.raw_log());
    }
    shown.and(cleaned)
}

fn show(stage: &Stage, emulator: &Emulator, namespace: &str) -> anyhow::Result<()> {
    say(
        "The reply to the first StartSession will be lost: the session starts, and the operator does not hear of it",
    );
    emulator.set_faults(vec![Fault::new("StartSession", FaultKind::DropAfter).times(1)]);

    say("A session is asked for");
    kubectl(stage, &format!("apply -n {namespace} -f {MANIFEST}"))?;
    let mut watch = stage.kubectl(&["get", "athenasession", NAME, "-n", namespace, "--watch"]);
    let mut watch = watch.stdin(Stdio::null()).spawn().context("cannot run kubectl")?;
    let available = stage.kubectl_words(&format!(
        "wait --for=condition=Available -n {namespace} athenasession/{NAME} --timeout=20s"
    ));
    let _ = watch.kill();
    let _ = watch.wait();
    let get = format!("get athenasession {NAME} -n {namespace}");
    if available.is_err() {
        let object = stage.kubectl_words(&get).unwrap_or_default();
        bail!("the session did not become Available within {} s:\n{object}", PATIENCE.as_secs());
    }

    say("What reached Athena");
    let uid = stage.kubectl_words(&format!("{get} -o jsonpath={{.metadata.uid}}"))?;
    let starts: Vec<_> =
        emulator.calls().into_iter().filter(|call| call.operation == "StartSession").collect();
    println!("UID of the AthenaSession: {uid}");
    for call in &starts {
        println!("{}", serde_json::to_string_pretty(call)?);
    }
    ensure!(
        starts.len() >= 2,
        "StartSession was called {} time(s), but the first reply was lost: the token was not replayed",
        starts.len()
    );
    ensure!(
        starts.iter().all(|call| call.token.as_deref() == Some(&*uid)),
        "a StartSession does not carry the UID as its token"
    );
    let sessions = emulator.sessions();
    ensure!(
        sessions.len() == 1,
        "{} sessions were started for one AthenaSession: Athena did not honour the token",
        sessions.len()
    );
    let id = &sessions[0].session_id;
    let recorded = stage.kubectl_words(&format!("{get} -o jsonpath={{.status.sessionId}}"))?;
    ensure!(recorded == *id, "the status names session {recorded}, but {id} was started");
    println!(
        "StartSession was called {} times with one token, and one session was started: {id}",
        starts.len()
    );
    kubectl(stage, &format!("get athenasession -n {namespace} -o wide"))?;
    kubectl(stage, &format!("events -n {namespace}"))?;

    say("The AthenaSession is deleted");
    kubectl(stage, &format!("delete athenasession {NAME} -n {namespace} --wait=false"))?;
    until_gone(stage, emulator, namespace, id)?;
    let session = emulator.sessions().into_iter().next().context("the session is not known any more")?;
    ensure!(!session.live, "the AthenaSession is gone, but its session is {} and costs money", session.state);
    println!(
        "The AthenaSession is gone. Session {id} is {} after {:.0} s that are billed.",
        session.state, session.billed_seconds
    );
    Ok(())
}

fn until_gone(stage: &Stage, emulator: &Emulator, namespace: &str, id: &str) -> anyhow::Result<()> {
    let start = Instant::now();
    let mut last = String::new();
    loop {
        let object = stage.kubectl_words(&present(namespace))?;
        if object.is_empty() {
            return Ok(());
        }
        if object != last {
            print!("{object}");
            last = object;
        }
        if start.elapsed() > PATIENCE {
            let state = emulator
                .sessions()
                .into_iter()
                .find(|session| session.session_id == id)
                .map(|session| session.state);
            bail!(
                "the AthenaSession is still there after {} s, since its session is {}: TerminateSession had no effect",
                PATIENCE.as_secs(),
                state.unwrap_or_default()
            );
        }
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// Removes what the demo has put into the cluster, also when the emulator does not let a session end.
fn clean_up(stage: &Stage, namespace: &str) -> anyhow::Result<()> {
    let release = r#"--type=merge -p {"spec":{"deletionPolicy":"Retain"}}"#;
    if !stage.kubectl_words(&present(namespace))?.is_empty() {
        stage.kubectl_words(&format!("patch athenasession {NAME} -n {namespace} {release}"))?;
        stage.kubectl_words(&format!("delete athenasession {NAME} -n {namespace} --timeout=20s"))?;
    }
    stage.kubectl_words(&format!("delete namespace {namespace} --wait=false")).map(drop)
}

fn say(text: &str) {
    println!("\n== {text}");
}

/// Runs kubectl as a user would, and shows it.
/// What kubectl shows of the object, if it is there.
fn present(namespace: &str) -> String {
    format!("get athenasession {NAME} -n {namespace} --ignore-not-found")
}

fn kubectl(stage: &Stage, words: &str) -> anyhow::Result<()> {
    println!("$ kubectl {words}");
    let mut command = stage.kubectl(&words.split_whitespace().collect::<Vec<_>>());
    command.current_dir(environment::repository()).stdin(Stdio::null());
    let status = command.status().context("cannot run kubectl")?;
    ensure!(status.success(), "kubectl {words} failed");
    Ok(())
}
