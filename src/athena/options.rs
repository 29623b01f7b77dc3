//! The options of the calls to Athena.

use std::time::Duration;

use clap::Args;

use crate::athena::rate_limiter::Rate;
use crate::runtime::options::duration;

/// The options of the calls to Athena. Region, credentials and endpoint come from the environment.
#[derive(Args, Clone, Debug)]
pub struct AthenaOptions {
    /// Longest time for a call to Athena, such as 10s
    #[arg(long, env = "ATHENA_OPERATOR_ATHENA_TIMEOUT", default_value = "10s", value_parser = duration, value_name = "DURATION")]
    pub athena_timeout: Duration,

    /// Maximum number of calls to Athena per second, of all operations together; all clients of the account in the region share Athena's own limit
    #[arg(long, env = "ATHENA_OPERATOR_ATHENA_RATE", default_value_t = 5.0, value_parser = rate, value_name = "CALLS")]
    pub athena_rate: f64,

    /// Maximum number of calls to Athena at once after a pause
    #[arg(long, env = "ATHENA_OPERATOR_ATHENA_BURST", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub athena_burst: u32,
}

impl AthenaOptions {
    /// Returns the rate of calls.
    pub fn rate(&self) -> Rate {
        Rate { per_second: self.athena_rate, burst: self.athena_burst }
    }
}

fn rate(text: &str) -> Result<f64, String> {
    let rate: f64 = text.parse().map_err(|_| format!("`{text}` is not a number such as 5 or 0.5"))?;
    if (0.01..=10_000.0).contains(&rate) {
        Ok(rate)
    } else {
        Err(format!("`{text}` must be at least 0.01 and at most 10000"))
    }
}
