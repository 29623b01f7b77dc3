//! What all runs came to.

use std::collections::BTreeMap;
use std::fmt::{self, Write};

use crate::run::Run;

/// Sums over runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Runs.
    pub runs: usize,
    /// Faults in them.
    pub faults: usize,
    /// Sessions beyond the first of each attempt.
    pub duplicates: usize,
    /// Sessions without their object, or billed for longer than a fault explains.
    pub leaks: usize,
    /// Runs that did not come to their end.
    pub stuck: usize,
    /// Faults that never came about.
    pub unstruck: usize,
}

impl Tally {
    /// Sums over these runs.
    pub fn of<'a>(runs: impl IntoIterator<Item = &'a Run>) -> Self {
        let mut tally = Self::default();
        for run in runs {
            tally.runs += 1;
            tally.faults += run.strikes.len() - run.unstruck.len();
            tally.duplicates += run.verdict.duplicates;
            tally.leaks += run.verdict.leaks + run.verdict.overbilled;
            tally.stuck += usize::from(run.verdict.stuck.is_some());
            tally.unstruck += run.unstruck.len();
        }
        tally
    }

    /// Whether everything held and everything was struck.
    pub fn is_good(&self) -> bool {
        self.duplicates + self.leaks + self.stuck + self.unstruck == 0
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { runs, faults, duplicates, leaks, stuck, unstruck } = self;
        write!(
            formatter,
            "sweep runs={runs} faults={faults} duplicates={duplicates} leaks={leaks} stuck={stuck}"
        )?;
        if *unstruck > 0 { write!(formatter, " unstruck={unstruck}") } else { Ok(()) }
    }
}

/// A table of what the runs of each scenario came to.
pub fn table(runs: &[Run]) -> String {
    let mut scenarios: BTreeMap<&str, Vec<&Run>> = BTreeMap::new();
    for run in runs {
        scenarios.entry(run.scenario).or_default().push(run);
    }
    let mut text =
        String::from("scenario            calls   runs faults duplicates  leaks  stuck  slowest\n");
    for (name, runs) in scenarios {
        let calls = runs.iter().find(|run| run.strikes.is_empty()).map_or(0, |run| run.calls.len());
        let slowest = runs.iter().map(|run| run.took).max().unwrap_or_default().as_secs_f64();
        let Tally { runs, faults, duplicates, leaks, stuck, .. } = Tally::of(runs);
        let _ = writeln!(
            text,
            "{name:<18} {calls:>6} {runs:>6} {faults:>6} {duplicates:>10} {leaks:>6} {stuck:>6} {slowest:>7.1}s"
        );
    }
    text
}
