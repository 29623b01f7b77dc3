//! Sessions at work that become idle and busy again and again: how often that is written.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use anyhow::ensure;
use athena_emulator::{Change, state};
use harness::until_async;

use crate::ground::{Difference, Ground};
use crate::process;
use crate::rest::SWEEP;
use crate::wave::{self, count};

/// Time between two changes of a session.
const PERIOD: Duration = Duration::from_secs(15);
/// Changes of each session.
const CHANGES: u32 = 16;

/// Figures of a [`run`].
#[derive(Clone, Copy, Debug)]
pub struct Flips {
    objects: usize,
    counted: Difference,
    calls: usize,
}

impl Flips {
    fn minutes() -> f64 {
        (PERIOD * CHANGES).as_secs_f64() / 60.0
    }

    /// Writes of an object in a minute.
    fn writes(&self) -> f64 {
        self.counted.object_writes / count(self.objects) / Self::minutes()
    }

    /// Returns the bounds that are broken.
    pub fn broken(&self) -> Vec<String> {
        let writes = self.writes();
        if writes <= 1.0 {
            return Vec::new();
        }
        vec![format!("sessions at work: {writes:.3} writes of an object in a minute and not 1")]
    }
}

impl fmt::Display for Flips {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { objects, counted, calls } = self;
        write!(
            formatter,
            "flips N={objects} period_s={} writes_per_object_and_minute={:.2} events={:.0} reconciles_per_object_and_minute={:.2} core={:.4} \
             server_core={:.3} calls_per_minute={:.1}",
            PERIOD.as_secs(),
            self.writes(),
            counted.event_writes,
            counted.reconciles / count(*objects) / Self::minutes(),
            counted.operator_cpu / Self::minutes() / 60.0,
            counted.server_cpu / Self::minutes() / 60.0,
            count(*calls) / Self::minutes(),
        )
    }
}

/// Has so many sessions become busy and idle in turn, all in the same moment, under an operator with its default flags.
///
/// # Errors
/// When something does not come to be that has to.
pub async fn run(binary: &Path, objects: usize) -> anyhow::Result<Flips> {
    process::check()?;
    let ground = Ground::start(binary.to_owned()).await?;
    let operator = ground.operator(&[])?;
    wave::run(&ground, &operator, "flips", objects).await?;
    ground.stop(&operator)?;
    let operator = ground.limited_operator(&[])?;
    ground.quiet(&operator, Duration::from_secs(5), Duration::from_mins(2)).await?;
    ground.say("the sessions begin to work and to rest in turn");
    let sessions: Vec<String> = ground
        .emulator
        .sessions()
        .into_iter()
        .filter(|session| session.live)
        .map(|session| session.session_id)
        .collect();
    ensure!(sessions.len() == objects, "{} sessions of {objects} live", sessions.len());
    // Their first work is recorded at once.
    change(&ground, &sessions, state::BUSY)?;
    let shown = || {
        ground
            .watch
            .table()
            .objects()
            .filter(|(_, seen)| seen.states.last().is_some_and(|(last, _)| last == state::BUSY))
            .count()
    };
    until_async("all are busy", SWEEP * 6, || shown() == objects, || format!("{} are", shown())).await?;
    let before = ground.counts(&operator).await?;
    let mut clock = tokio::time::interval(PERIOD);
    for number in 0..CHANGES {
        clock.tick().await;
        change(&ground, &sessions, if number % 2 == 0 { state::IDLE } else { state::BUSY })?;
    }
    clock.tick().await;
    ensure!(operator.exit_status().is_none(), "the operator ended:\n{}", operator.raw_log());
    let counted = ground.counts(&operator).await?.since(&before);
    let calls = ground.emulator.calls_after(before.calls).len();
    ground.stop(&operator)?;
    Ok(Flips { objects, counted, calls })
}

fn change(ground: &Ground, sessions: &[String], state: &str) -> anyhow::Result<()> {
    for session in sessions {
        ground.emulator.set_state(session, Change::State { state: state.to_owned(), reason: None })?;
    }
    Ok(())
}
