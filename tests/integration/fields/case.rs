//! A row of a field's table, and how it is driven.

use std::time::Duration;

use anyhow::{Context, bail};
use athena_emulator::{Change, Config};
use futures::future::join_all;
use serde_json::{Value, json};

use crate::harness::{World, spark, uid};
use crate::outcome::{Outcome, row};

/// One object: how it is made, what happens to it, and what has to become of it.
pub struct Case {
    name: &'static str,
    spec: Value,
    moves: Moves,
    wanted: Outcome,
}

/// What happens to an object, one after the other.
pub type Moves = Vec<Move>;

/// What happens to an object.
#[derive(Clone)]
pub enum Move {
    /// It comes to a row.
    Reach(&'static str),
    /// Athena has got these calls for it.
    Called(&'static str),
    /// Its spec is changed.
    Set(Value),
    /// Something happens to its newest session.
    Athena(Change),
    /// Athena itself becomes another, for all objects.
    Service(fn(&mut Config)),
    /// It is deleted.
    Delete,
}

/// Has the object come to a row.
pub fn reach(row: &'static str) -> Moves {
    vec![Move::Reach(row)]
}

/// Has the object come to be idle.
pub fn idle() -> Moves {
    reach(row::IDLE)
}

/// Has Athena get these calls for it.
pub fn called(calls: &'static str) -> Moves {
    vec![Move::Called(calls)]
}

/// Changes the spec.
pub fn set(spec: Value) -> Moves {
    vec![Move::Set(spec)]
}

/// Suspends the object.
pub fn suspend() -> Moves {
    set(json!({ "suspend": true }))
}

/// Suspends the object, which comes to rest.
pub fn suspended() -> Moves {
    [suspend(), reach(row::SUSPENDED)].concat()
}

/// Resumes the object.
pub fn resume() -> Moves {
    set(json!({ "suspend": false }))
}

/// Has the newest session enter a state.
pub fn state(state: &str) -> Moves {
    vec![Move::Athena(Change::State { state: state.into(), reason: None })]
}

/// Has the session come to be idle, and then busy.
pub fn busy() -> Moves {
    [idle(), state("BUSY"), reach(row::BUSY)].concat()
}

/// Has the session come to be idle, and then fail.
pub fn fail() -> Moves {
    [idle(), state("FAILED")].concat()
}

/// Has the session fail once it is idle, which is not made good.
pub fn failed() -> Moves {
    [fail(), reach(row::FAILED)].concat()
}

/// Has the session fail once it is idle, so that a restart waits.
pub fn restarting() -> Moves {
    [fail(), reach(row::RESTARTING)].concat()
}

/// Has somebody else end the session once it is idle.
pub fn end_outside() -> Moves {
    [idle(), vec![Move::Athena(Change::Terminate)]].concat()
}

/// Has Athena itself become another, for all objects.
pub fn service(change: fn(&mut Config)) -> Moves {
    vec![Move::Service(change)]
}

/// Deletes the object.
pub fn delete() -> Moves {
    vec![Move::Delete]
}

/// Makes a row of a table. `further` is the spec but for its work group.
#[allow(clippy::needless_pass_by_value, reason = "rows read better")]
pub fn case<const N: usize>(name: &'static str, further: Value, moves: [Moves; N], wanted: Outcome) -> Case {
    Case { name, spec: spark(further), moves: moves.concat(), wanted }
}

/// Makes a service in which nothing happens to a session by itself but that StartSession starts it.
pub fn starts_nothing_by_itself(config: &mut Config) {
    let hour = Duration::from_hours(1);
    (config.creating, config.created) = (hour, hour);
}

/// Makes a service in which no session comes to its end by itself.
pub fn ends_nothing_by_itself(config: &mut Config) {
    config.terminating = Duration::from_hours(1);
}

/// Drives all cases side by side. Each comes to its outcome, and when the last has come to its own, all are still there.
pub async fn drive(world: &World, cases: Vec<Case>) -> anyhow::Result<()> {
    stay(world, side_by_side(world, cases).await).await
}

/// Drives all cases, and then a witness: when what it waits for has come, the same would have come to the others, whose outcomes stay.
pub async fn outlast(world: &World, cases: Vec<Case>, witness: Case) -> anyhow::Result<()> {
    let mut results = side_by_side(world, cases).await;
    results.push(run(world, witness).await);
    stay(world, results).await
}

type Driven = (&'static str, String, Outcome);

async fn side_by_side(world: &World, cases: Vec<Case>) -> Vec<anyhow::Result<Driven>> {
    join_all(cases.into_iter().map(|case| run(world, case))).await
}

async fn stay(world: &World, results: Vec<anyhow::Result<Driven>>) -> anyhow::Result<()> {
    let mut failures = Vec::new();
    for result in results {
        match result {
            Err(error) => failures.push(format!("{error:#}")),
            Ok((name, uid, wanted)) => {
                let found = world.outcome(name, &uid).await?;
                if found != wanted {
                    failures.push(format!("case {name}: it did not stay: \n  is {found}\n not {wanted}"));
                }
            }
        }
    }
    if failures.is_empty() { Ok(()) } else { bail!("{}", failures.join("\n")) }
}

async fn run(world: &World, case: Case) -> anyhow::Result<Driven> {
    let name = case.name;
    moved(world, case).await.with_context(|| format!("case {name}"))
}

async fn moved(world: &World, case: Case) -> anyhow::Result<Driven> {
    let Case { name, spec, moves, wanted } = case;
    let uid = uid(&world.create_with(name, spec).await?);
    for step in moves {
        match step {
            Move::Reach(row) => world.until_found(name, &uid, row, |found| found.row == row).await?,
            Move::Called(calls) => world.until_found(name, &uid, calls, |found| found.calls == calls).await?,
            Move::Set(spec) => drop(world.set(name, spec).await?),
            Move::Athena(change) => {
                let session = world.sessions_of(&uid).pop().context("no session was started")?;
                world.change(&session.session_id, change)?;
            }
            Move::Service(change) => world.emulator.configure(change),
            Move::Delete => world.delete(name).await?,
        }
    }
    world.until_outcome(name, &uid, &wanted).await?;
    Ok((name, uid, wanted))
}
