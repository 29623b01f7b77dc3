//! One run of a scenario.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;

use crate::call::Call;
use crate::end::End;
use crate::ground::Ground;
use crate::scenario::Scenario;
use crate::strike::Strike;
use crate::verdict::{Verdict, duplicates, leaks, overbilled};
use crate::world::World;

/// Longest time for a run.
const LONGEST: Duration = Duration::from_mins(10);

/// Longest time from the wish to end a session to its end, without a fault: a look or two, and a machine that is busy with other runs.
const UNDISTURBED: Duration = Duration::from_secs(5);
/// Until another operator takes the lease of one that was killed.
const LEASE: Duration = Duration::from_secs(6);
/// How long nothing may happen until nothing is expected to happen.
const SETTLED: Duration = Duration::from_millis(400);

/// What became of a run.
#[derive(Clone, Debug)]
pub struct Run {
    /// The scenario's name.
    pub scenario: &'static str,
    /// What was to be struck.
    pub strikes: Vec<Strike>,
    /// What the operator called.
    pub calls: Vec<Call>,
    /// What did not hold.
    pub verdict: Verdict,
    /// What was not struck.
    pub unstruck: Vec<Strike>,
    /// What all sessions together were billed for, in seconds.
    pub billed: f64,
    /// How long it took.
    pub took: Duration,
    /// Logs and journals, of a run in which something did not hold.
    pub log: Option<PathBuf>,
}

impl Run {
    /// Whether everything held and everything was struck.
    pub fn is_good(&self) -> bool {
        self.verdict.is_good() && self.unstruck.is_empty()
    }
}

impl fmt::Display for Run {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let strikes: Vec<String> = self.strikes.iter().map(ToString::to_string).collect();
        write!(
            formatter,
            "{} {}:",
            self.scenario,
            if strikes.is_empty() { "without a fault".to_owned() } else { strikes.join("+") }
        )?;
        let Verdict { duplicates, leaks, overbilled, stuck } = &self.verdict;
        write!(formatter, " duplicates={duplicates} leaks={leaks} overbilled={overbilled}")?;
        if let Some(stuck) = stuck {
            write!(formatter, " stuck: {stuck}")?;
        }
        if !self.unstruck.is_empty() {
            write!(formatter, " unstruck")?;
        }
        Ok(())
    }
}

/// Runs a scenario without a fault, several times: the calls that are told are those of all, since a look more or less is a matter of time.
///
/// # Errors
/// When its world cannot be made.
pub(crate) async fn record(ground: &Arc<Ground>, scenario: &'static Scenario) -> anyhow::Result<Run> {
    const TIMES: usize = 4;
    let mut recorded = once(ground, scenario, &[]).await?;
    for _ in 1..TIMES {
        if !recorded.is_good() {
            break;
        }
        let mut again = once(ground, scenario, &[]).await?;
        again.calls.retain(|call| recorded.calls.contains(call));
        recorded = again;
    }
    Ok(recorded)
}

/// Runs a scenario with these faults; again where time made the call to be struck not appear.
///
/// # Errors
/// When its world cannot be made.
pub(crate) async fn perform(
    ground: &Arc<Ground>,
    scenario: &'static Scenario,
    strikes: &[Strike],
) -> anyhow::Result<Run> {
    /// A look that comes sooner or later may move the ones after it by one.
    const TRIES: usize = 5;
    let mut run = once(ground, scenario, strikes).await?;
    for _ in 1..TRIES {
        if !run.verdict.is_good() || run.unstruck.is_empty() {
            break;
        }
        run = once(ground, scenario, strikes).await?;
    }
    Ok(run)
}

async fn once(ground: &Arc<Ground>, scenario: &'static Scenario, strikes: &[Strike]) -> anyhow::Result<Run> {
    let begun = Instant::now();
    let world = World::new(ground.clone(), scenario, strikes)
        .await
        .with_context(|| format!("cannot prepare {}", scenario.name))?;
    let outcome = tokio::select! {
        outcome = tokio::time::timeout(LONGEST, to_the_end(&world)) => outcome.unwrap_or_else(|_| anyhow::bail!("the run does not end")),
        () = world.strike() => unreachable!("it never ends"),
    };
    let object = world.object().await?;
    let sessions = world.emulator.sessions();
    let explained = UNDISTURBED
        + strikes.iter().map(|strike| strike.blow.explains()).sum::<Duration>()
        + LEASE * u32::from(scenario.replicas > 1);
    let verdict = Verdict {
        duplicates: duplicates(&sessions, object.as_ref(), scenario.attempts),
        leaks: outcome.as_ref().map_or(0, |end| leaks(&sessions, end)).max(world.abandoned()),
        overbilled: overbilled(&sessions, &world.asked(), explained),
        stuck: outcome.err().map(|error| format!("{error:#}")),
    };
    let mut unstruck = world.unstruck();
    if unstruck.len() < strikes.len() {
        // What follows the first fault of several need not be as it was recorded.
        unstruck.retain(|_| strikes.len() == 1);
    }
    let log = tokio::task::block_in_place(|| world.close(!verdict.is_good() || !unstruck.is_empty()));
    Ok(Run {
        scenario: scenario.name,
        strikes: strikes.to_vec(),
        calls: world.calls(),
        verdict,
        unstruck,
        billed: sessions.iter().map(|session| session.billed_seconds).sum(),
        took: begun.elapsed(),
        log,
    })
}

/// Does what the scenario says, or what a fault makes of it, and waits for its end.
async fn to_the_end(world: &World) -> anyhow::Result<End> {
    let as_written = async {
        let end = (world.scenario.script)(world).await?;
        world.until_end(&end).await?;
        world.await_strikes().await;
        anyhow::Ok(end)
    };
    let end = tokio::select! {
        biased;
        () = world.diverted() => world.scenario.deleted.clone(),
        end = as_written => end?,
    };
    world.until_end(&end).await?;
    world.quiet(SETTLED).await;
    if !world.proxy.deliver().await?.is_empty() {
        world.quiet(SETTLED).await;
    }
    world.until_end(&end).await?;
    Ok(end)
}
