//! What comes after: a restart of the operator, the end of all sessions, the deletion of all objects.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use athena_emulator::Change;
use environment::Operator;
use harness::until_async as until;

use crate::ground::Ground;
use crate::objects::Object;
use crate::process::{self, Memory};
use crate::tasks::for_each;
use crate::wave::{QUIET, by_operation};

/// How long the operator may take for a phase with so many objects.
pub fn patience(objects: usize) -> Duration {
    Duration::from_mins(2) + Duration::from_millis(200) * u32::try_from(objects).unwrap_or(u32::MAX)
}

/// A start of the operator where the objects are there already.
#[derive(Clone, Debug)]
pub struct Start {
    /// Until it was ready.
    pub ready: Duration,
    /// Until it had done what there was to do.
    pub quiet: Duration,
    /// Calls to Athena until then, by operation.
    pub calls: BTreeMap<String, usize>,
    /// Its memory then.
    pub memory: Memory,
}

/// Starts an operator and waits until it is quiet.
///
/// # Errors
/// When it is not.
pub async fn start(ground: &Ground, objects: usize) -> anyhow::Result<(Operator, Start)> {
    let calls = ground.emulator.call_count();
    let begin = Instant::now();
    let operator = ground.operator(&[])?;
    let ready = begin.elapsed();
    ground.quiet(&operator, QUIET, patience(objects)).await?;
    let quiet = begin.elapsed().saturating_sub(QUIET);
    let start = Start {
        ready,
        quiet,
        calls: by_operation(&ground.emulator.calls_after(calls)),
        memory: process::memory(operator.pid())?,
    };
    Ok((operator, start))
}

/// Something that took its time and calls to Athena.
#[derive(Clone, Debug)]
pub struct Work {
    /// How long it took.
    pub time: Duration,
    /// The calls, by operation.
    pub calls: BTreeMap<String, usize>,
}

/// Ends the sessions of all objects in Athena, and waits until every object shows it.
///
/// # Errors
/// When one does not.
pub async fn finish(ground: &Ground, operator: &Operator, objects: usize) -> anyhow::Result<Work> {
    let (calls, begin) = (ground.emulator.call_count(), Instant::now());
    for session in ground.emulator.sessions().iter().filter(|session| session.live && session.token.is_some())
    {
        ground.emulator.set_state(&session.session_id, Change::Terminate)?;
    }
    let ended = || ground.watch.table().ended() == objects;
    until("all objects show the end of their session", patience(objects), ended, || {
        format!("{} do", ground.watch.table().ended())
    })
    .await?;
    let time = begin.elapsed();
    ground.quiet(operator, QUIET, patience(objects)).await?;
    Ok(Work { time, calls: by_operation(&ground.emulator.calls_after(calls)) })
}

/// Deletes the objects of a round and waits until they are gone.
///
/// # Errors
/// When one stays.
pub async fn delete(ground: &Ground, round: &str, objects: usize) -> anyhow::Result<Work> {
    let (calls, begin) = (ground.emulator.call_count(), Instant::now());
    let (client, round) = (ground.client.clone(), round.to_owned());
    let deletion = for_each(objects, 16, move |number| {
        let (client, object) = (client.clone(), Object::new(&round, number));
        async move { client.delete(&object).await }
    });
    let gone = || ground.watch.table().present() == 0;
    let gone = until("all objects are gone", patience(objects), gone, || {
        format!("{} are there", ground.watch.table().present())
    });
    tokio::try_join!(deletion, gone)?;
    Ok(Work { time: begin.elapsed(), calls: by_operation(&ground.emulator.calls_after(calls)) })
}
