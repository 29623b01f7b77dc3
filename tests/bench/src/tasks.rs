//! Many things at a time, and waiting for what is to come.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::bail;
use tokio::task::JoinSet;

/// Does `act` for each number below `count`, `width` at a time.
///
/// # Errors
/// The first one; what is under way then is given up.
pub async fn for_each<F>(
    count: usize,
    width: usize,
    act: impl Fn(usize) -> F + Clone + Send + 'static,
) -> anyhow::Result<()>
where
    F: Future<Output = anyhow::Result<()>> + Send,
{
    let next = Arc::new(AtomicUsize::new(0));
    let mut workers = JoinSet::new();
    for _ in 0..width.min(count) {
        let (next, act) = (next.clone(), act.clone());
        workers.spawn(async move {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= count {
                    return anyhow::Ok(());
                }
                act(number).await?;
            }
        });
    }
    while let Some(ended) = workers.join_next().await {
        ended??;
    }
    Ok(())
}

/// Waits until `so` holds.
///
/// # Errors
/// When it does not after `patience`; `what` says what was waited for, `state` how it stands.
pub async fn until(
    what: &str,
    patience: Duration,
    mut so: impl FnMut() -> bool,
    state: impl Fn() -> String,
) -> anyhow::Result<()> {
    let start = Instant::now();
    while !so() {
        if start.elapsed() > patience {
            bail!("after {} s it has not come to be that {what}: {}", patience.as_secs(), state());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}
