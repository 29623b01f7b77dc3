//! Quotas of the account.

use jiff::Timestamp;

use crate::Config;
use crate::config::Rate;
use crate::refusal::Refusal;
use crate::session::Session;

/// A token bucket over all operations.
#[derive(Debug)]
pub(crate) struct Bucket {
    level: f64,
    at: Timestamp,
}

impl Bucket {
    /// A full bucket, whatever its size.
    pub(crate) fn full() -> Self {
        Self { level: f64::INFINITY, at: Timestamp::UNIX_EPOCH }
    }

    pub(crate) fn take(&mut self, rate: Rate, now: Timestamp) -> Result<(), Refusal> {
        let elapsed = now.duration_since(self.at).as_secs_f64().max(0.0);
        self.level = (self.level + elapsed * rate.per_second).min(f64::from(rate.burst));
        self.at = now;
        if self.level < 1.0 {
            return Err(Refusal::throttled());
        }
        self.level -= 1.0;
        Ok(())
    }
}

/// Whether one more session of so many DPUs fits in the account.
pub(crate) fn check_quotas<'a>(
    config: &Config,
    live: impl Iterator<Item = &'a Session>,
    dpus: u32,
) -> Result<(), Refusal> {
    let (mut sessions, mut used) = (0, 0_u32);
    for session in live {
        sessions += 1;
        used = used.saturating_add(session.start.dpus);
    }
    if config.max_sessions.is_some_and(|max| sessions >= max) {
        return Err(Refusal::invalid_input("Maximum allowed sessions reached"));
    }
    if config.max_dpus.is_some_and(|max| used.saturating_add(dpus) > max) {
        return Err(Refusal::invalid_input(
            "Failed to Provision session due to required capacity not being available for the account",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;

    #[test]
    fn a_bucket_gives_its_burst_and_then_its_rate() {
        let rate = Rate { per_second: 2.0, burst: 3 };
        let start = Timestamp::UNIX_EPOCH;
        let mut bucket = Bucket::full();
        let taken = |bucket: &mut Bucket, milliseconds| {
            let now = start + SignedDuration::from_millis(milliseconds);
            (0..10).filter(|_| bucket.take(rate, now).is_ok()).count()
        };
        assert_eq!(taken(&mut bucket, 0), 3);
        assert_eq!(taken(&mut bucket, 400), 0);
        assert_eq!(taken(&mut bucket, 500), 1);
        assert_eq!(taken(&mut bucket, 100_000), 3);
    }
}
