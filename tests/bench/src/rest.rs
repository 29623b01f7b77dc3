//! What the operator does while nothing happens.

use std::collections::BTreeMap;
use std::time::Duration;

use athena_emulator::{Call, SessionRecord};
use environment::Operator;
use serde_json::Value;

use crate::ground::{Difference, Ground};
use crate::objects::{WORK_GROUPS, work_group};
use crate::process::Memory;
use crate::wave::{by_operation, count};

/// The time between two sweeps of a work group, give or take a quarter: the operator's default.
pub const SWEEP: Duration = Duration::from_secs(20);
/// For so long nothing must happen.
const WINDOW: Duration = Duration::from_mins(1);
/// Sessions on a page of a list.
const PAGE: usize = 100;

/// What happened at rest.
#[derive(Clone, Debug)]
pub struct Rest {
    /// What was counted.
    pub counted: Difference,
    /// Calls to Athena by operation.
    pub calls: BTreeMap<String, usize>,
    /// The pages of each sweep that was seen from its beginning to its end, by work group.
    pub sweeps: BTreeMap<String, Vec<usize>>,
    /// The pages that the lists of each work group have.
    pub pages: BTreeMap<String, usize>,
    /// The operator's memory at the end.
    pub memory: Memory,
}

impl Rest {
    /// Calls of one sweep of all work groups.
    pub fn calls_per_sweep(&self) -> f64 {
        let mean = |pages: &Vec<usize>| count(pages.iter().sum()) / count(pages.len());
        self.sweeps.values().filter(|pages| !pages.is_empty()).map(mean).sum()
    }

    /// Pages of all work groups.
    pub fn pages(&self) -> usize {
        self.pages.values().sum()
    }

    /// Calls to Athena.
    pub fn calls(&self) -> usize {
        self.calls.values().sum()
    }

    /// Whether the only calls were those of lists, and as many as they have pages.
    pub fn calls_are_pages(&self) -> bool {
        let swept = |(group, pages): (&String, &usize)| {
            self.sweeps
                .get(group)
                .is_some_and(|seen| !seen.is_empty() && seen.iter().all(|seen| seen == pages))
        };
        self.calls.keys().all(|operation| operation == "ListSessions") && self.pages.iter().all(swept)
    }
}

/// Watches the operator while nothing happens.
///
/// # Errors
/// When something does not answer.
pub async fn run(ground: &Ground, operator: &Operator) -> anyhow::Result<Rest> {
    let before = ground.counts(operator).await?;
    tokio::time::sleep(WINDOW).await;
    let after = ground.counts(operator).await?;
    let calls = ground.emulator.calls_after(before.calls);
    let sessions = ground.emulator.sessions();
    Ok(Rest {
        counted: after.since(&before),
        calls: by_operation(&calls),
        sweeps: sweeps(&calls),
        pages: pages(&sessions),
        memory: after.memory,
    })
}

/// Adds sessions of somebody else to all work groups.
pub fn add_foreign(ground: &Ground, sessions: usize) {
    for number in 0..sessions {
        ground.emulator.create_foreign(&work_group(number % WORK_GROUPS), Some("of somebody else"));
    }
}

/// The pages that the list of each work group has.
fn pages(sessions: &[SessionRecord]) -> BTreeMap<String, usize> {
    let mut listed = BTreeMap::new();
    // Those that are being ended are not listed.
    for session in sessions
        .iter()
        .filter(|session| session.live && session.state != "TERMINATING" && session.state != "DEGRADED")
    {
        *listed.entry(session.work_group.clone()).or_default() += 1;
    }
    listed.into_iter().map(|(group, count): (String, usize)| (group, count.div_ceil(PAGE))).collect()
}

/// The pages of each sweep of each work group. The first may have begun before, and the last may go on: neither counts.
fn sweeps(calls: &[Call]) -> BTreeMap<String, Vec<usize>> {
    let mut all: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for call in calls.iter().filter(|call| call.operation == "ListSessions") {
        let text = |member: &str| call.request.get(member).and_then(Value::as_str);
        let sweeps = all.entry(text("WorkGroup").unwrap_or_default().to_owned()).or_default();
        match (text("NextToken"), sweeps.last_mut()) {
            (None, _) => sweeps.push(1),
            (Some(_), Some(pages)) => *pages += 1,
            (Some(_), None) => {}
        }
    }
    for sweeps in all.values_mut() {
        sweeps.pop();
    }
    all
}

#[cfg(test)]
mod tests {
    use athena_emulator::Outcome;
    use jiff::Timestamp;
    use serde_json::json;

    use super::*;

    fn list(group: &str, next: Option<&str>) -> Call {
        Call {
            number: 0,
            time: Timestamp::UNIX_EPOCH,
            operation: "ListSessions".to_owned(),
            token: None,
            session_id: None,
            request: json!({ "WorkGroup": group, "NextToken": next }),
            outcome: Outcome::Ok,
            request_id: String::new(),
            access_key_id: None,
        }
    }

    #[test]
    fn a_sweep_counts_from_its_beginning_to_its_end() {
        let calls = [
            list("a", Some("1")),
            list("a", None),
            list("b", None),
            list("a", Some("1")),
            list("a", Some("2")),
            list("b", None),
            list("a", None),
            list("a", Some("1")),
        ];
        assert_eq!(sweeps(&calls), BTreeMap::from([("a".to_owned(), vec![3]), ("b".to_owned(), vec![1])]));
    }
}
