//! How long a change in Athena takes to the status when it is seen by a sweep.

use std::time::Duration;

use anyhow::Context;
use athena_emulator::{Change, state};
use harness::until_async as until;
use jiff::Timestamp;

use crate::ground::Ground;
use crate::rest::SWEEP;
use crate::wave::{between, first};

/// Sessions that change.
const SESSIONS: u32 = 100;
/// A page takes its 50 ms, and something more on the way.
const PAGE_TIME: Duration = Duration::from_millis(100);
/// For the write and what lies around it.
const SLACK: Duration = Duration::from_secs(2);

/// The longest time that one sweep of a list of so many pages allows for.
pub fn bound(pages: usize) -> Duration {
    SWEEP.mul_f64(1.25) + PAGE_TIME * u32::try_from(pages).unwrap_or(u32::MAX) + SLACK
}

/// Changes sessions, spread over the time of a sweep. Returns how long it took until each status showed it.
///
/// # Errors
/// When one does not.
pub async fn run(ground: &Ground) -> anyhow::Result<Vec<Duration>> {
    let chosen: Vec<(String, String)> = {
        let table = ground.watch.table();
        let named = table.objects().filter_map(|(key, seen)| Some((key.clone(), seen.session_id.clone()?)));
        named.take(SESSIONS as usize).collect()
    };
    let mut changed = Vec::new();
    for (key, session) in chosen {
        changed.push((key, Timestamp::now()));
        ground.emulator.set_state(&session, Change::State { state: state::BUSY.to_owned(), reason: None })?;
        tokio::time::sleep(SWEEP / SESSIONS).await;
    }
    let shown =
        |key: &str| ground.watch.table().object(key).and_then(|seen| first(&seen.states, state::BUSY));
    let missing = || changed.iter().filter(|(key, _)| shown(key).is_none()).count();
    until(
        "the changed sessions are BUSY in their status",
        SWEEP * 6,
        || missing() == 0,
        || format!("{} are not", missing()),
    )
    .await?;
    changed.iter().map(|(key, time)| Ok(between(*time, shown(key).context("an object is gone")?))).collect()
}
