//! The order of the rounds and of what follows them.

use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use environment::Operator;

use crate::end::{self, Start, Work};
use crate::ground::Ground;
use crate::life::{self, Life};
use crate::raw::{Round, Writer};
use crate::rest::{self, Rest};
use crate::wave::{self, Wave};
use crate::{mirror, process};

/// Objects of a raw round at most.
const RAW: usize = 1000;
/// Objects of a round that only finds the fastest writer.
const CALIBRATION: usize = 200;
/// Sessions of somebody else in the lists.
pub const FOREIGN: usize = 300;

/// What was measured with so many objects.
#[derive(Clone, Debug)]
pub struct Report {
    /// How many.
    pub objects: usize,
    /// What the operator makes of an object.
    pub life: Life,
    /// Objects that the raw writer had under way at a time.
    pub width: usize,
    /// Raw rounds.
    pub raw: Vec<Round>,
    /// Waves.
    pub waves: Vec<Wave>,
    /// Deletions of the objects of all waves but the last, while their sessions lived.
    pub deletions: Vec<Work>,
    /// At rest.
    pub rest: Rest,
    /// From changes in Athena to the status.
    pub mirrors: Vec<Duration>,
    /// How long the operator took to end.
    pub stop: Duration,
    /// The start after that.
    pub restart: Start,
    /// The end of all sessions.
    pub finish: Work,
    /// At rest with ended sessions.
    pub finished: Rest,
    /// A start with ended sessions.
    pub finished_start: Start,
    /// The deletion of all objects, whose sessions had ended.
    pub deletion: Work,
    /// The most memory of any of the operators.
    pub peak: f64,
    /// Writes of objects that were refused with 409, of the operator or of the bench, from the beginning to the end.
    pub conflicts: f64,
    /// Sessions that were started, less those that had to be.
    pub surplus_sessions: usize,
}

/// Measures with so many objects.
///
/// # Errors
/// When something does not come to be that has to.
pub async fn run(binary: &Path, objects: usize) -> anyhow::Result<Report> {
    process::check()?;
    let ground = Ground::start(binary.to_owned()).await?;
    ground.say(&format!("N = {objects}: the servers are up"));
    let mut peak = 0.0_f64;
    let operator = ground.operator(&[])?;
    let life = life::record(&ground, &operator).await?;
    ground.stop(&operator)?;
    let writer =
        Writer::fastest(ground.client().await?, &ground, &life.changes, objects.min(CALIBRATION)).await?;

    let (mut raw, mut waves, mut deletions) = (Vec::new(), Vec::new(), Vec::new());
    let few = objects <= RAW;
    // The last wave stays, and the raw rounds after it find its objects.
    let earlier: &[bool] = if few { &[false, true, false, true, false] } else { &[false, false] };
    for (number, is_wave) in earlier.iter().enumerate() {
        let name = format!("round-{number}");
        if *is_wave {
            let operator = ground.operator(&[])?;
            waves.push(wave(&ground, &operator, &name, objects).await?);
            deletions.push(end::delete(&ground, &name, objects).await?);
            peak = peak.max(stopped(&ground, &operator)?.0);
        } else {
            raw.push(round(&ground, &writer, &name, &life, objects).await?);
        }
    }
    let operator = ground.operator(&[])?;
    waves.push(wave(&ground, &operator, LAST, objects).await?);

    rest::add_foreign(&ground, FOREIGN);
    let rest = rest::run(&ground, &operator).await?;
    ground.say(&format!("at rest: {:.0} reconciles, calls {:?}", rest.counted.reconciles, rest.calls));
    let mirrors = mirror::run(&ground).await?;
    ground.say("changes in Athena were shown");
    let (most, stop) = stopped(&ground, &operator)?;
    peak = peak.max(most);

    for number in 0..if few { 2 } else { 3 } {
        raw.push(round(&ground, &writer, &format!("after-{number}"), &life, objects).await?);
    }
    let (operator, restart) = end::start(&ground, objects).await?;
    ground.say(&format!(
        "restarted: ready after {:.1} s, quiet after {:.1} s, calls {:?}",
        restart.ready.as_secs_f64(),
        restart.quiet.as_secs_f64(),
        restart.calls
    ));
    let finish = end::finish(&ground, &operator, objects).await?;
    ground.say(&format!(
        "all sessions have ended: {:.1} s, calls {:?}",
        finish.time.as_secs_f64(),
        finish.calls
    ));
    let finished = rest::run(&ground, &operator).await?;
    ground
        .say(&format!("at rest: {:.0} reconciles, calls {:?}", finished.counted.reconciles, finished.calls));
    peak = peak.max(stopped(&ground, &operator)?.0);

    let (operator, finished_start) = end::start(&ground, objects).await?;
    ground.say(&format!(
        "restarted: quiet after {:.1} s, calls {:?}",
        finished_start.quiet.as_secs_f64(),
        finished_start.calls
    ));
    let deletion = end::delete(&ground, LAST, objects).await?;
    ground.say(&format!(
        "all objects are deleted: {:.1} s, calls {:?}",
        deletion.time.as_secs_f64(),
        deletion.calls
    ));
    peak = peak.max(stopped(&ground, &operator)?.0);

    let conflicts = ground.requests().await?.conflicts;
    let started = ground.emulator.sessions().iter().filter(|session| session.token.is_some()).count();
    let surplus_sessions =
        started.checked_sub(1 + waves.len() * objects).context("fewer sessions than objects")?;
    Ok(Report {
        objects,
        life,
        width: writer.width,
        raw,
        waves,
        deletions,
        rest,
        mirrors,
        stop,
        restart,
        finish,
        finished,
        finished_start,
        deletion,
        peak,
        conflicts,
        surplus_sessions,
    })
}

/// The name of the last wave.
const LAST: &str = "last";

async fn wave(ground: &Ground, operator: &Operator, name: &str, objects: usize) -> anyhow::Result<Wave> {
    let wave = wave::run(ground, operator, name, objects).await?;
    ground.say(&format!("wave: {:.1} objects/s", wave.per_second()));
    Ok(wave)
}

async fn round(
    ground: &Ground,
    writer: &Writer,
    name: &str,
    life: &Life,
    objects: usize,
) -> anyhow::Result<Round> {
    let round = writer.round(ground, name, &life.changes, objects.min(RAW)).await?;
    ground.say(&format!("raw:  {:.1} objects/s", round.per_second));
    Ok(round)
}

/// Stops an operator. Returns the most memory that it had, and how long it took to end.
fn stopped(ground: &Ground, operator: &Operator) -> anyhow::Result<(f64, Duration)> {
    let peak = process::memory(operator.pid())?.peak;
    Ok((peak, ground.stop(operator)?))
}
