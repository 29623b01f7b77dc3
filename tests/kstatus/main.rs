//! The conditions, read by the real kstatus, by Argo CD's Lua and by Flux's expressions: every row of the matrix, and random histories of the operator's
//! own decisions and reports.

mod argocd;
mod athena;
mod flux;
mod history;
mod matrix;
mod rules;
mod verdicts;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use athena_operator::api::AthenaSession;
use athena_operator::session::status::condition;

use crate::history::{Moment, history};

/// The seed of each is its index.
static HISTORIES: LazyLock<Vec<Vec<Moment>>> = LazyLock::new(|| (0..350).map(history).collect());

/// Every reason of Ready that can occur, by its status. The reasons of refusals are those of `athena::error`, and MarkerMismatch and AccountChanged.
const READY: [(&str, &str); 3] = [
    (
        "False",
        "AccessDenied AccountChanged ClockSkew CredentialsInvalid Deleting IdentityChanged InvalidRequest MarkerMismatch NotFound Refused \
         SessionAlreadyExists SessionDegraded SessionFailed SessionVanished StartupDeadlineExceeded StoppedOutside TerminateRefused TokenMismatch \
         WorkGroupDisabled WorkGroupNotFound WorkGroupNotSpark WriteRefused WrongRegion",
    ),
    ("True", "DeadlineExceeded IdleTimeout SessionBusy SessionIdle Suspended"),
    (
        "Unknown",
        "AccessDenied AccountChanged CapacityUnavailable ClockSkew CredentialsInvalid DeadlineExceeded MarkerMismatch NotFound ObservationStale QuotaExceeded Refused \
         ReplacingSession RestartingAfterFailure SessionAlreadyExists SessionCreated SessionCreating SessionTerminating Starting Suspending Throttled \
         TokenMismatch UnknownState WorkGroupDisabled WorkGroupNotFound WorkGroupNotSpark WriteRefused WrongRegion",
    ),
];

#[test]
fn every_tool_reads_every_moment_as_ready_tells_it() {
    let moments: Vec<(usize, usize, &Moment)> = moments().collect();
    assert!(moments.len() >= 20_000, "only {} objects", moments.len());
    let lines: Vec<&str> = moments.iter().map(|(_, _, moment)| moment.line.as_str()).collect();
    let verdicts = verdicts::verdicts(&lines);
    let mut faults = Vec::new();
    for ((seed, index, moment), verdicts) in moments.iter().zip(&verdicts) {
        let expected = rules::expected_verdict(&moment.object);
        let (argo, exprs) = match expected {
            "Current" => ("Healthy", "Current"),
            "Failed" => ("Degraded", "Failed"),
            // Expressions know of no deletion, and with them, too, it is waited for.
            _ => ("Progressing", "InProgress"),
        };
        let given = [&verdicts.kstatus, &verdicts.fork, &verdicts.argo.status, &verdicts.exprs];
        if given != [expected, expected, argo, exprs] {
            faults.push((
                *seed,
                *index,
                format!("Ready means {expected}, but the verdicts are {verdicts:?}"),
            ));
        }
    }
    let seen: BTreeSet<_> =
        verdicts.iter().map(|verdicts| [&verdicts.kstatus, &verdicts.argo.status, &verdicts.exprs]).collect();
    println!("{} objects; verdicts of kstatus, Argo CD and Flux's expressions: {seen:?}", moments.len());
    assert_none(faults);
    assert_eq!(seen.len(), 4, "{seen:?}");
}

#[test]
fn every_report_keeps_the_rules_of_conditions() {
    let faults = moments().filter(|(_, _, moment)| !moment.faults.is_empty());
    assert_none(faults.map(|(seed, index, moment)| (seed, index, moment.faults.join("; "))).collect());
}

#[test]
fn work_that_comes_and_goes_leaves_the_time_of_ready_alone() {
    let since = |object: &AthenaSession| {
        object
            .status
            .as_ref()
            .and_then(|status| condition(status, "Ready"))
            .map(|ready| ready.last_transition_time.clone())
    };
    let (mut flips, mut faults) = (0, Vec::new());
    for (seed, history) in HISTORIES.iter().enumerate() {
        for (index, pair) in history
            .windows(2)
            .enumerate()
            .filter(|(_, pair)| rules::is_flip(&pair[0].object, &pair[1].object))
        {
            flips += 1;
            if since(&pair[0].object) != since(&pair[1].object) {
                faults.push((seed, index + 1, "the time of Ready has changed".to_owned()));
            }
        }
    }
    println!("{flips} flips between IDLE and BUSY");
    assert_none(faults);
    assert!(flips >= 100, "only {flips} flips between IDLE and BUSY");
}

#[test]
fn the_histories_reach_every_row_of_the_matrix() {
    let mut seen: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for ready in moments().filter_map(|(_, _, moment)| condition(moment.object.status.as_ref()?, "Ready")) {
        seen.entry(&ready.status).or_default().insert(&ready.reason);
    }
    println!("reasons of Ready: {seen:#?}");
    for (status, reasons) in READY {
        let reasons: BTreeSet<&str> = reasons.split_whitespace().collect();
        assert_eq!(seen.remove(status), Some(reasons), "Ready {status}");
    }
    assert!(seen.is_empty(), "{seen:?}");
}

/// All moments, with the seed of their history and their place in it.
fn moments() -> impl Iterator<Item = (usize, usize, &'static Moment)> {
    HISTORIES.iter().enumerate().flat_map(|(seed, history)| {
        history.iter().enumerate().map(move |(index, moment)| (seed, index, moment))
    })
}

/// Fails with the history that comes to a fault soonest.
fn assert_none(faults: Vec<(usize, usize, String)>) {
    let count = faults.len();
    let Some((seed, index, fault)) = faults.into_iter().min_by_key(|(_, index, _)| *index) else { return };
    let history = &HISTORIES[seed][..=index];
    let events: Vec<&str> = history.iter().map(|moment| moment.what.as_str()).collect();
    panic!(
        "{count} faults; the first of seed {seed}: {fault}\n{}\n{}",
        events.join("\n"),
        rules::short(&history[index].line, 5000)
    );
}
