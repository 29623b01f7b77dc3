//! Waiting for what is to come.

use std::time::{Duration, Instant};

use anyhow::bail;

/// Wait between two looks.
const PAUSE: Duration = Duration::from_millis(10);

/// Waits until `so` holds, on this thread.
///
/// # Errors
/// That of `so`, or when it does not hold after `patience`.
pub fn until(
    what: &str,
    patience: Duration,
    mut so: impl FnMut() -> anyhow::Result<bool>,
) -> anyhow::Result<()> {
    let start = Instant::now();
    while !so()? {
        if start.elapsed() > patience {
            bail!("after {} s it has not come to be that {what}", patience.as_secs());
        }
        std::thread::sleep(PAUSE);
    }
    Ok(())
}

/// Waits until `so` holds, while other tasks go on.
///
/// # Errors
/// When it does not hold after `patience`; `state` says how it stands then.
pub async fn until_async(
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
        tokio::time::sleep(PAUSE).await;
    }
    Ok(())
}
