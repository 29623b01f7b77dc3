//! A wave: many objects are created at once, and the operator starts their sessions.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use athena_emulator::{Call, state};
use environment::Operator;
use harness::until_async as until;
use jiff::Timestamp;

use crate::ground::{Difference, Ground};
use crate::objects::Object;
use crate::process::Memory;
use crate::tasks::for_each;

/// Requests at a time of whoever creates the objects.
const WIDTH: usize = 16;
/// The operator is quiet when nothing has happened for so long.
pub const QUIET: Duration = Duration::from_secs(10);

/// What a wave came to.
#[derive(Clone, Debug)]
pub struct Wave {
    /// How many objects there were.
    pub objects: usize,
    /// From the first request to create one until the last showed that it is Ready.
    pub time: Duration,
    /// From the request to create each until StartSession for it.
    pub starts: Vec<Duration>,
    /// From IDLE in Athena until it was in the status, of each.
    pub mirrors: Vec<Duration>,
    /// What was counted until the operator was quiet again.
    pub counted: Difference,
    /// Calls to Athena until the last was Ready, by operation.
    pub calls: BTreeMap<String, usize>,
    /// The operator's memory when it was quiet again.
    pub memory: Memory,
}

impl Wave {
    /// Objects a second.
    pub fn per_second(&self) -> f64 {
        count(self.objects) / self.time.as_secs_f64()
    }

    /// Calls to Athena for each object.
    pub fn calls_per_object(&self) -> f64 {
        count(self.calls.values().sum()) / count(self.objects)
    }
}

/// Creates `objects` and waits until all are Ready and the operator is quiet.
///
/// # Errors
/// When they do not become Ready in time.
pub async fn run(ground: &Ground, operator: &Operator, name: &str, objects: usize) -> anyhow::Result<Wave> {
    let patience = Duration::from_mins(1) + Duration::from_millis(200) * u32::try_from(objects)?;
    ensure!(ground.watch.table().present() == 0, "there are objects of another round");
    let before = ground.counts(operator).await?;
    let created: Arc<[OnceLock<Timestamp>]> = (0..objects).map(|_| OnceLock::new()).collect();
    let begin = Instant::now();
    let (client, round, times) = (ground.client.clone(), name.to_owned(), created.clone());
    let creation = for_each(objects, WIDTH, move |number| {
        let (client, object, times) = (client.clone(), Object::new(&round, number), times.clone());
        async move {
            let _ = times[number].set(Timestamp::now());
            client.create(&object, &object.manifest()).await.map(drop)
        }
    });
    let all = || ground.watch.table().ready() == objects || operator.exit_status().is_some();
    let state = || format!("{} of {objects} are", ground.watch.table().ready());
    tokio::try_join!(creation, until("all objects are Ready", patience, all, state))?;
    if let Some(status) = operator.exit_status() {
        anyhow::bail!("the operator ended with {status}:\n{}", operator.raw_log());
    }
    let time = ground.watch.table().ready_at.context("nothing was ever Ready")?.duration_since(begin);
    let calls = ground.emulator.calls_after(before.calls);
    ground.quiet(operator, QUIET, patience).await?;
    let after = ground.counts(operator).await?;
    let (starts, mirrors) = delays(ground, name, &created, &calls);
    ensure!(
        starts.len() == objects && mirrors.len() == objects,
        "{} starts and {} states of {objects} were seen",
        starts.len(),
        mirrors.len()
    );
    Ok(Wave {
        objects,
        time,
        starts,
        mirrors,
        counted: after.since(&before),
        calls: by_operation(&calls),
        memory: after.memory,
    })
}

/// How long each object waited for its start, and its status for IDLE.
fn delays(
    ground: &Ground,
    name: &str,
    created: &[OnceLock<Timestamp>],
    calls: &[Call],
) -> (Vec<Duration>, Vec<Duration>) {
    // An object's first session has its UID as the token.
    let started: HashMap<&str, Timestamp> = calls
        .iter()
        .filter(|call| call.operation == "StartSession")
        .filter_map(|call| Some((call.token.as_deref()?, call.time)))
        .collect();
    let sessions = ground.emulator.sessions();
    let idle: HashMap<&str, Timestamp> = sessions
        .iter()
        .filter_map(|session| Some((session.token.as_deref()?, first(&session.states, state::IDLE)?)))
        .collect();
    let table = ground.watch.table();
    let (mut starts, mut mirrors) = (Vec::new(), Vec::new());
    for (number, created) in created.iter().enumerate() {
        let Some(seen) = table.object(&Object::new(name, number).key()) else { continue };
        if let (Some(created), Some(started)) = (created.get(), started.get(seen.uid.as_str())) {
            starts.push(between(*created, *started));
        }
        if let (Some(idle), Some(shown)) = (idle.get(seen.uid.as_str()), first(&seen.states, state::IDLE)) {
            mirrors.push(between(*idle, shown));
        }
    }
    (starts, mirrors)
}

/// When a state was first entered.
pub fn first(states: &[(String, Timestamp)], state: &str) -> Option<Timestamp> {
    states.iter().find(|(entered, _)| entered == state).map(|(_, time)| *time)
}

/// The time from one moment to another; none if that is before it.
pub fn between(from: Timestamp, to: Timestamp) -> Duration {
    Duration::try_from(to.duration_since(from)).unwrap_or_default()
}

/// Calls to Athena by operation.
pub fn by_operation(calls: &[Call]) -> BTreeMap<String, usize> {
    calls.iter().filter(|call| call.operation != "GetCallerIdentity").fold(
        BTreeMap::new(),
        |mut counts, call| {
            *counts.entry(call.operation.clone()).or_default() += 1;
            counts
        },
    )
}

/// A count, to reckon with.
#[allow(clippy::cast_precision_loss, reason = "counts are small")]
pub fn count(number: usize) -> f64 {
    number as f64
}
