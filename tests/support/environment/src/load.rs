//! A load: many AthenaSessions at once at an Athena that is slow and errs, some of which it refuses for ever; and what the operator makes of it.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use athena_emulator::{Call, Config, Emulator, Fault, FaultKind, WorkGroup};
use clap::Args;
use serde_json::{Value, json};

use crate::{Operator, OperatorOptions, Scope, Stage};

/// An execution role that the operator may not pass.
const DENIED_ROLE: &str = "arn:aws:iam::000000000000:role/denied";
/// How the work groups begin that do not exist.
const MISSING: &str = "missing-";
/// Namespaces over which the objects are spread.
const NAMESPACES: u32 = 4;
/// Calls to Athena that may come at once.
const BURST: u32 = 10;
/// What is added for the last objects, however few there are: a call that fails is tried again after some seconds, and a list is read every 4 s.
const LAST: Duration = Duration::from_secs(10);
/// How much closer together calls may arrive than they were sent.
pub const JITTER: Duration = Duration::from_millis(500);

/// What the operator has to cope with.
#[derive(Args, Clone, Debug)]
pub struct Load {
    /// How the names of the namespaces begin.
    #[arg(skip = "load")]
    pub name: String,
    /// AthenaSessions
    #[arg(long, env = "OBJECTS", default_value_t = 1000)]
    pub objects: u32,
    /// How many of them are refused for ever: half of them by a work group that does not exist, half by a role that may not be passed
    #[arg(long, env = "REFUSED", default_value_t = 50)]
    pub refused: u32,
    /// How many work groups their sessions are started in
    #[arg(long, env = "WORK_GROUPS", default_value_t = 3)]
    pub work_groups: u32,
    /// Calls to Athena a second that the operator may make
    #[arg(long, env = "RATE", default_value_t = 5.0)]
    pub rate: f64,
    /// Which part of the calls fails, in one of four ways
    #[arg(long, env = "ERRORS", default_value_t = 0.05)]
    pub errors: f64,
    /// Seed of the failures
    #[arg(long, env = "SEED", default_value_t = 1)]
    pub seed: u64,
}

/// What came of it.
#[derive(Clone, Debug)]
pub struct Report {
    load: Load,
    /// How long it took until every healthy object showed an idle session.
    pub time: Duration,
    /// Calls to Athena until then.
    pub calls: usize,
    /// Calls for objects that are refused.
    pub refused_calls: usize,
    /// Calls that failed without any object's doing.
    pub failed_calls: usize,
    /// By how much the calls were ahead of the limiter at most.
    pub ahead: Duration,
    /// Sessions that Athena started.
    pub sessions: usize,
    /// Calls by operation.
    pub operations: BTreeMap<String, usize>,
}

impl Report {
    /// How long the limiter alone holds up the starts of the healthy objects.
    pub fn limit(&self) -> Duration {
        Duration::from_secs_f64(f64::from(self.load.objects - self.load.refused) / self.load.rate)
    }

    /// Which part of the calls the refused objects took.
    #[allow(clippy::cast_precision_loss, reason = "counts of calls are small")]
    pub fn refused_share(&self) -> f64 {
        self.refused_calls as f64 / self.calls.max(1) as f64
    }

    /// The bounds that do not hold, whatever the size of the load.
    pub fn broken(&self) -> Vec<String> {
        let healthy = (self.load.objects - self.load.refused) as usize;
        let mut broken = Vec::new();
        if self.time > self.limit() * 2 + LAST {
            broken.push(format!(
                "the healthy objects took more than twice the time that the limiter needs, and {} s",
                LAST.as_secs()
            ));
        }
        if self.ahead > JITTER {
            broken.push("calls came faster than the limiter allows".to_owned());
        }
        if self.sessions != healthy {
            broken.push(format!("{} sessions were started for {healthy} objects", self.sessions));
        }
        broken
    }
}

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Load { objects, refused, work_groups, rate, errors, seed, .. } = &self.load;
        write!(
            formatter,
            "objects={objects} refused={refused} work_groups={work_groups} rate={rate} errors={errors} seed={seed} seconds={:.1} limiter_seconds={:.1} calls={} \
             refused_calls={} refused_share={:.3} failed_calls={} ahead_seconds={:.3} sessions={}",
            self.time.as_secs_f64(),
            self.limit().as_secs_f64(),
            self.calls,
            self.refused_calls,
            self.refused_share(),
            self.failed_calls,
            self.ahead.as_secs_f64(),
            self.sessions,
        )?;
        self.operations.iter().try_for_each(|(operation, count)| write!(formatter, " {operation}={count}"))
    }
}

/// Creates the objects, starts an operator with these further flags, and waits until every healthy object shows an idle session.
///
/// # Errors
/// When something cannot be started, or the objects do not get there in ten times the time that the limiter needs.
pub fn run(
    stage: &Stage,
    emulator: &Emulator,
    binary: &Path,
    load: &Load,
    flags: &[&str],
) -> anyhow::Result<Report> {
    ensure!(load.refused <= load.objects, "more objects are refused than there are");
    ensure!(load.rate > 0.0 && load.work_groups > 0, "there is no rate or no work group");
    emulator.configure(|config| configure(config, load));
    let namespaces: Vec<String> = (0..NAMESPACES).map(|number| format!("{}-{number}", load.name)).collect();
    for namespace in &namespaces {
        stage.kubectl_ok(&["create", "namespace", namespace])?;
    }
    let folder = tempfile::tempdir()?;
    let manifest = folder.path().join("load.json");
    std::fs::write(&manifest, objects(load, &namespaces).to_string())?;
    stage.kubectl_ok(&["create", "-f", &manifest.display().to_string()])?;

    let (rate, burst) = (format!("--athena-rate={}", load.rate), format!("--athena-burst={BURST}"));
    let watched = format!("--namespaces={}", namespaces.join(","));
    let flags = [&[rate.as_str(), &burst, &watched], flags].concat();
    let url = emulator.url();
    emulator.set_faults(faults(load.errors));
    let operator = Operator::start(
        stage,
        &OperatorOptions { binary, scope: Scope::Everywhere, athena: &url, flags: &flags, env: &[] },
    )?;
    let healthy = (load.objects - load.refused) as usize;
    let patience = Duration::from_secs_f64(f64::from(load.objects) / load.rate) * 10;
    let mut start = Instant::now();
    while idle(stage, emulator, &load.name, healthy)? < healthy {
        // The limiter counts from the first call.
        if emulator.calls().is_empty() {
            start = Instant::now();
        }
        if let Some(status) = operator.exit_status() {
            bail!("the operator ended with {status}:\n{}", operator.raw_log());
        }
        ensure!(
            start.elapsed() < patience,
            "after {patience:?} there are {} sessions of {healthy}",
            emulator.sessions().len()
        );
        std::thread::sleep(Duration::from_millis(100));
    }
    let time = start.elapsed();
    let calls: Vec<Call> =
        emulator.calls().into_iter().filter(|call| call.operation != "GetCallerIdentity").collect();
    drop(operator);
    emulator.set_faults(Vec::new());
    Ok(Report {
        load: load.clone(),
        time,
        calls: calls.len(),
        refused_calls: calls.iter().filter(|call| is_of_refused(call)).count(),
        failed_calls: calls.iter().filter(|call| !call.outcome.is_ok() && !is_of_refused(call)).count(),
        ahead: ahead(&calls, load.rate, BURST).context("there was no call")?,
        sessions: emulator.sessions().len(),
        operations: calls.iter().fold(BTreeMap::new(), |mut counts, call| {
            *counts.entry(call.operation.clone()).or_default() += 1;
            counts
        }),
    })
}

fn configure(config: &mut Config, load: &Load) {
    config.seed = load.seed;
    config.latency = Duration::from_millis(50);
    config.deny_roles = vec![DENIED_ROLE.to_owned()];
    config.work_groups = (0..load.work_groups)
        .map(|number| WorkGroup { name: work_group(number), ..WorkGroup::default() })
        .collect();
}

fn work_group(number: u32) -> String {
    format!("load-{number}")
}

fn faults(errors: f64) -> Vec<Fault> {
    let broken = FaultKind::fail(500, "InternalServerException", "an internal error");
    [FaultKind::Throttle, broken, FaultKind::DropBefore, FaultKind::DropAfter]
        .map(|kind| Fault::new("*", kind).chance(errors / 4.0))
        .to_vec()
}

/// The objects, the refused ones among the others.
fn objects(load: &Load, namespaces: &[String]) -> Value {
    let mut refused = 0;
    let object = |number: u32| {
        let mut spec = json!({ "workGroup": work_group(number % load.work_groups) });
        // The first refused object comes with the first, the last with the last.
        if refused < load.refused
            && u64::from(number) * u64::from(load.refused) >= u64::from(refused) * u64::from(load.objects)
        {
            match refused % 2 {
                0 => spec["workGroup"] = json!(format!("{MISSING}{refused}")),
                _ => spec["executionRole"] = json!(DENIED_ROLE),
            }
            refused += 1;
        }
        let namespace = &namespaces[number as usize % namespaces.len()];
        json!({
            "apiVersion": "athena-operator.io/v1alpha1",
            "kind": "AthenaSession",
            "metadata": { "name": format!("load-{number}"), "namespace": namespace, "labels": { "load": load.name } },
            "spec": spec,
        })
    };
    json!({ "apiVersion": "v1", "kind": "List", "items": (0..load.objects).map(object).collect::<Vec<_>>() })
}

/// How many objects show an idle session; asked only once there are so many sessions, since it costs the API server something.
fn idle(stage: &Stage, emulator: &Emulator, name: &str, healthy: usize) -> anyhow::Result<usize> {
    if emulator.sessions().len() < healthy {
        return Ok(0);
    }
    let list = stage.kubectl_words(&format!(
        "get athenasessions --all-namespaces -l load={name} --field-selector status.state=IDLE -o name"
    ))?;
    Ok(list.lines().count())
}

fn is_of_refused(call: &Call) -> bool {
    let text = |member| call.request.get(member).and_then(Value::as_str).unwrap_or_default();
    text("ExecutionRole") == DENIED_ROLE || text("WorkGroup").starts_with(MISSING)
}

/// By how much the calls were ahead of a token bucket of `burst` calls at most, in time. `rate` is in calls a second.
pub fn ahead(calls: &[Call], rate: f64, burst: u32) -> Option<Duration> {
    let mut level = f64::from(burst);
    let mut before = calls.first()?.time;
    let mut least = 0.0_f64;
    for call in calls {
        level = (level + call.time.duration_since(before).as_secs_f64().max(0.0) * rate)
            .min(f64::from(burst))
            - 1.0;
        (before, least) = (call.time, least.min(level));
    }
    Some(Duration::from_secs_f64(-least / rate))
}
