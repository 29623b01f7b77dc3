//! A row of a field's table, and how it is driven.

use std::time::Duration;

use anyhow::{Context, bail};
use athena_emulator::{Change, Config};
use futures::future::join_all;
use serde_json::{Value, json};

use crate::harness::{World, uid};
use crate::outcome::{Outcome, outcome};

/// One object: how it is made, what happens to it, and what has to become of it.
pub struct Case {
    name: &'static str,
    spec: Value,
    moves: Vec<Move>,
    wanted: Outcome,
}

/// What happens to an object.
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

pub use Move::{Called, Delete, Reach, Service};

/// The spec is changed.
pub fn set(spec: Value) -> Move {
    Move::Set(spec)
}

/// The newest session enters a state.
pub fn state(state: &str) -> Move {
    Move::Athena(Change::State { state: state.into(), reason: None })
}

/// Somebody else ends the newest session.
pub fn ended_outside() -> Move {
    Move::Athena(Change::Terminate)
}

/// A row of a table. `further` is the spec but for its work group.
pub fn case<const N: usize>(
    name: &'static str,
    further: Value,
    moves: [Move; N],
    row: &str,
    attempt: &str,
    calls: &str,
) -> Case {
    let mut spec = json!({ "workGroup": "spark-35" });
    if let (Value::Object(spec), Value::Object(further)) = (&mut spec, further) {
        spec.extend(further);
    }
    Case { name, spec, moves: moves.into(), wanted: outcome(row, attempt, calls) }
}

/// A service in which nothing happens to a session by itself but that StartSession starts it.
pub fn starts_nothing_by_itself(config: &mut Config) {
    let hour = Duration::from_hours(1);
    (config.creating, config.created) = (hour, hour);
}

/// A service in which no session comes to its end by itself.
pub fn ends_nothing_by_itself(config: &mut Config) {
    config.terminating = Duration::from_hours(1);
}

/// Drives all cases side by side. Each comes to its outcome, and when the last has come to its own, all are still there.
pub async fn drive(world: &World, cases: Vec<Case>) -> anyhow::Result<()> {
    let results = join_all(cases.into_iter().map(async |case| {
        let name = case.name;
        run(world, case).await.with_context(|| format!("case {name}"))
    }))
    .await;
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

async fn run(world: &World, case: Case) -> anyhow::Result<(&'static str, String, Outcome)> {
    let Case { name, spec, moves, wanted } = case;
    let uid = uid(&world.create_with(name, spec).await?);
    for step in moves {
        match step {
            Reach(row) => {
                world.until_outcome(name, &uid, |found| found.row == row, &outcome(row, "any", "any")).await?
            }
            Called(calls) => {
                world
                    .until_outcome(name, &uid, |found| found.calls == calls, &outcome("any", "any", calls))
                    .await?
            }
            Move::Set(spec) => drop(world.patch(name, json!({ "spec": spec })).await?),
            Move::Athena(change) => {
                let session = world.sessions_of(&uid).pop().context("no session was started")?;
                world.emulator.set_state(&session.session_id, change)?;
            }
            Service(change) => world.emulator.configure(change),
            Delete => world.delete(name).await?,
        }
    }
    world.until_outcome(name, &uid, |found| *found == wanted, &wanted).await?;
    Ok((name, uid, wanted))
}
