//! Waits for conditions.

use std::fmt::Debug;
use std::future::{Future, ready};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

/// Longest wait for a condition. It bounds a hanging test and says nothing about speed.
pub const PATIENCE: Duration = Duration::from_mins(1);
/// Wait between two looks.
pub const PAUSE: Duration = Duration::from_millis(20);

/// Looks until a look returns `Ok`, and fails with what the last one has seen in its place.
pub async fn look<T, E: Debug, F: Future<Output = anyhow::Result<Result<T, E>>>>(
    what: &str,
    mut look: impl FnMut() -> F,
) -> anyhow::Result<T> {
    let start = Instant::now();
    loop {
        match look().await? {
            Ok(found) => return Ok(found),
            Err(seen) if start.elapsed() > PATIENCE => {
                bail!("it did not come to be that {what}: {seen:#?}")
            }
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}

/// Waits until something is so.
pub async fn until(what: &str, mut so: impl FnMut() -> bool) -> anyhow::Result<()> {
    look(what, || ready(Ok(so().then_some(()).context("it is not")))).await
}
