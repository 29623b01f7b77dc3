//! Waiting for the rate limiter: many suspended objects are resumed at once, at the default rate of calls.

use std::collections::HashMap;
use std::fmt;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use athena_emulator::{Change, state};
use harness::until_async as until;
use jiff::Timestamp;

use crate::figures::percentile;
use crate::ground::Ground;
use crate::objects::Object;
use crate::process;
use crate::tasks::for_each;
use crate::wave::{between, count, first};

/// Calls to Athena a second, as by default.
const RATE: f64 = 5.0;
/// The round of the objects.
const ROUND: &str = "limited";
/// The most that may be: reconciles per object, cores, time of a deletion that needs no call, and the 99th percentile of the time to the first look.
const RECONCILES: f64 = 10.0;
const CORE: f64 = 0.05;
const DELETION: Duration = Duration::from_secs(1);
const FIRST_LOOK: Duration = Duration::from_secs(10);

/// What came of it.
#[derive(Clone, Debug)]
pub struct Limited {
    objects: usize,
    /// From the first resume until all showed IDLE.
    time: Duration,
    reconciles: f64,
    cpu: f64,
    /// Each deletion of an object that needs no call.
    deletions: Vec<Duration>,
    /// From each StartSession until the status showed IDLE, less the time that the session took to be so.
    first_looks: Vec<Duration>,
    calls: usize,
}

impl Limited {
    fn reconciles_per_object(&self) -> f64 {
        self.reconciles / count(self.objects)
    }

    fn core(&self) -> f64 {
        self.cpu / self.time.as_secs_f64()
    }

    fn deletion(&self) -> Duration {
        self.deletions.iter().max().copied().unwrap_or(Duration::MAX)
    }

    fn first_look(&self) -> Duration {
        percentile(&self.first_looks, 0.99).unwrap_or(Duration::MAX)
    }

    /// Returns the bounds that are broken.
    pub fn broken(&self) -> Vec<String> {
        let mut broken = Vec::new();
        let mut check = |holds: bool, what: String| {
            broken.extend((!holds).then_some(format!("waiting for the limiter: {what}")));
        };
        check(
            self.reconciles_per_object() <= RECONCILES,
            format!("{:.1} reconciles per object and not {RECONCILES}", self.reconciles_per_object()),
        );
        check(self.core() <= CORE, format!("{:.3} of a core and not {CORE}", self.core()));
        check(
            self.deletion() <= DELETION,
            format!("a deletion that needs no call took {:?} and not {DELETION:?}", self.deletion()),
        );
        check(
            self.first_look() <= FIRST_LOOK,
            format!("the first look came after {:?} and not {FIRST_LOOK:?}", self.first_look()),
        );
        broken
    }
}

impl fmt::Display for Limited {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "limited N={} rate={RATE} seconds={:.1} reconciles_per_object={:.2} core={:.4} deletion_ms={} p99_first_look_ms={} calls_per_object={:.2}",
            self.objects,
            self.time.as_secs_f64(),
            self.reconciles_per_object(),
            self.core(),
            self.deletion().as_millis(),
            self.first_look().as_millis(),
            count(self.calls) / count(self.objects),
        )
    }
}

/// Resumes so many objects at once, and deletes others meanwhile.
///
/// # Errors
/// When something does not come to be that has to.
pub async fn run(binary: &Path, objects: usize) -> anyhow::Result<Limited> {
    process::check()?;
    let ground = Ground::start(binary.to_owned()).await?;
    let finished = prepare(&ground, objects).await?;
    let operator = ground.limited_operator(&["--athena-rate=5", "--athena-burst=10"])?;
    ground.say("the suspended objects are resumed");
    let (before, begin) = (ground.counts(&operator).await?, Instant::now());
    let calls = ground.emulator.call_count();
    let table = || ground.watch.table();
    // A suspended object is Ready too, but shows the end of its session.
    let all = || table().ready() == objects && table().ended() == 0 || operator.exit_status().is_some();
    let patience = Duration::from_mins(2) + Duration::from_secs_f64(4.0 * count(objects) / RATE);
    let deleted = async {
        let mut times = Vec::new();
        for object in &finished {
            tokio::time::sleep(Duration::from_secs(5)).await;
            let begin = Instant::now();
            ground.client.delete(object).await?;
            let gone = || table().object(&object.key()).is_none();
            until("an object that needs no call is gone", patience, gone, || object.key()).await?;
            times.push(begin.elapsed());
        }
        anyhow::Ok(times)
    };
    let resumed = suspend(&ground, objects, false);
    let idle =
        until("all objects are idle", patience, all, || format!("{} of {objects} are", table().ready()));
    let ((), (), deletions) = tokio::try_join!(resumed, idle, deleted)?;
    ensure!(operator.exit_status().is_none(), "the operator ended:\n{}", operator.raw_log());
    let time = begin.elapsed();
    let counted = ground.counts(&operator).await?.since(&before);
    let made = ground.emulator.calls_after(calls);
    let first_looks = first_looks(&ground);
    ensure!(first_looks.len() == objects, "{} first looks of {objects} were seen", first_looks.len());
    ground.stop(&operator)?;
    Ok(Limited {
        objects,
        time,
        reconciles: counted.reconciles,
        cpu: counted.operator_cpu,
        deletions,
        first_looks,
        calls: made.len(),
    })
}

/// Makes objects whose sessions have ended since they are suspended, and a few that have finished, which are returned.
async fn prepare(ground: &Ground, objects: usize) -> anyhow::Result<Vec<Object>> {
    let operator = ground.operator(&[])?;
    let finished: Vec<Object> = (0..5).map(|number| Object::new("finished", number)).collect();
    let all: Vec<Object> =
        (0..objects).map(|number| Object::new(ROUND, number)).chain(finished.iter().cloned()).collect();
    let (client, created) = (ground.client.clone(), all.clone());
    let patience = Duration::from_mins(2) + Duration::from_millis(200) * u32::try_from(objects)?;
    for_each(all.len(), 16, move |number| {
        let (client, object) = (client.clone(), created[number].clone());
        async move { client.create(&object, &object.manifest()).await.map(drop) }
    })
    .await?;
    let table = || ground.watch.table();
    until(
        "all objects are Ready",
        patience,
        || table().ready() == all.len(),
        || format!("{} are", table().ready()),
    )
    .await?;
    for object in &finished {
        let session =
            table().object(&object.key()).and_then(|seen| seen.session_id.clone()).context("a session")?;
        ground.emulator.set_state(&session, Change::Terminate)?;
    }
    suspend(ground, objects, true).await?;
    until(
        "all sessions have ended",
        patience,
        || table().ended() == all.len(),
        || format!("{} have", table().ended()),
    )
    .await?;
    ground.quiet(&operator, Duration::from_secs(3), patience).await?;
    ground.stop(&operator)?;
    Ok(finished)
}

async fn suspend(ground: &Ground, objects: usize, suspend: bool) -> anyhow::Result<()> {
    let client = ground.client.clone();
    for_each(objects, 16, move |number| {
        let (client, object) = (client.clone(), Object::new(ROUND, number));
        async move { client.suspend(&object, suspend).await }
    })
    .await
}

/// How long each live session was idle in Athena until the status showed it: nobody looked at it before.
fn first_looks(ground: &Ground) -> Vec<Duration> {
    let sessions = ground.emulator.sessions();
    let idle: HashMap<&str, Timestamp> = sessions
        .iter()
        .filter(|session| session.live)
        .filter_map(|session| Some((session.session_id.as_str(), first(&session.states, state::IDLE)?)))
        .collect();
    let table = ground.watch.table();
    let shown = |seen: &crate::watch::Seen| {
        seen.states.iter().rev().find(|(name, _)| name == state::IDLE).map(|(_, time)| *time)
    };
    table
        .objects()
        .filter_map(|(_, seen)| Some(between(*idle.get(seen.session_id.as_deref()?)?, shown(seen)?)))
        .collect()
}
