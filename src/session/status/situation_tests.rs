//! One row of the matrix for every combination of object, session and wanted state, and its messages.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::json;

use super::*;
use crate::api::RestartPolicy;
use crate::session::reply::{Look, Search};
use crate::session::status::tests::{
    UID, at, live as live_in, object, over as over_for, recorded_and, refused, with,
};

/// A combination.
#[allow(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
#[derive(Clone, Copy, Debug)]
struct Case {
    attempt: &'static str,
    /// State of a live session, or reason of an end.
    word: &'static str,
    cause: &'static str,
    deleting: bool,
    suspended: bool,
    elsewhere: bool,
    restarting: bool,
    refused: Option<(Call, ErrorClass)>,
    /// Minutes since the first refusal.
    minutes: i64,
}

const STATES: [&str; 10] = [
    "",
    "CREATING",
    "CREATED",
    "IDLE",
    "BUSY",
    "DEGRADED",
    "TERMINATING",
    "TERMINATED",
    "FAILED",
    "HIBERNATING",
];
const CAUSES: [&str; 6] = ["", "Suspended", "ActiveDeadline", "StartupDeadline", "Degraded", "Later"];
const FAILURES: [&str; 5] =
    ["StoppedOutside", "SessionFailed", "SessionDegraded", "StartupDeadlineExceeded", "SessionVanished"];
const OTHER_ENDS: [&str; 8] = [
    "Suspended",
    "DeadlineExceeded",
    "IdleTimeout",
    "SessionLost",
    "InvalidRequest",
    "TokenMismatch",
    "SessionAlreadyExists",
    "Later",
];
const REFUSED: [Option<(Call, ErrorClass)>; 11] = [
    None,
    Some((Call::Start, ErrorClass::Unanswered)),
    Some((Call::Start, ErrorClass::Throttled)),
    Some((Call::Start, ErrorClass::Capacity)),
    Some((Call::Start, ErrorClass::MayHeal)),
    Some((Call::Start, ErrorClass::NotFound)),
    Some((Call::Start, ErrorClass::Rejected)),
    Some((Call::Start, ErrorClass::TokenConflict)),
    Some((Call::Terminate, ErrorClass::MayHeal)),
    Some((Call::Look, ErrorClass::Unanswered)),
    Some((Call::Look, ErrorClass::MayHeal)),
];

fn cases() -> Vec<Case> {
    let ends = FAILURES.into_iter().chain(OTHER_ENDS);
    let attempts = [("none", "", ""), ("unknown", "", "")].into_iter();
    let attempts =
        attempts.chain(STATES.into_iter().flat_map(|state| CAUSES.map(|cause| ("live", state, cause))));
    let attempts =
        attempts.chain(ends.flat_map(|reason| ["", "Suspended"].map(|cause| ("over", reason, cause))));
    let mut all = Vec::new();
    for (attempt, word, cause) in attempts {
        for bits in 0..16 {
            let [deleting, suspended, elsewhere, restarting] = [1, 2, 4, 8].map(|bit| bits & bit != 0);
            for refused in REFUSED {
                for minutes in [4, 5, 9, 10] {
                    all.push(Case {
                        attempt,
                        word,
                        cause,
                        deleting,
                        suspended,
                        elsewhere,
                        restarting,
                        refused,
                        minutes,
                    });
                }
            }
        }
    }
    all
}

/// Returns the row of every combination.
pub(crate) fn rows() -> impl Iterator<Item = Row> {
    cases().into_iter().map(|case| row(&case.object(), &case.known(), &at(case.minutes)))
}

impl Case {
    fn object(self) -> AthenaSession {
        let base = match self.attempt {
            "none" => object(json!({})),
            "unknown" => recorded_and(json!({})),
            "live" => live_in(self.word),
            _ => over_for(self.word),
        };
        with(base, |object| {
            let status = object.status.get_or_insert_default();
            status.stop_cause = (!self.cause.is_empty()).then(|| self.cause.to_owned().into());
            if self.elsewhere && status.region.is_some() {
                status.region = Some("us-east-1".into());
            }
            object.spec.suspend = self.suspended;
            object.spec.restart_policy =
                if self.restarting { RestartPolicy::OnFailure } else { RestartPolicy::Never };
            object.metadata.deletion_timestamp = self.deleting.then(|| Time(at(0).now));
        })
    }

    fn known(self) -> LocalState {
        self.refused.map_or_else(|| LocalState::met(at(0).now), |(call, class)| refused(call, class, 0))
    }

    /// Returns whether nobody deletes the object, and the operator works in the region and account of the attempt.
    fn here(self) -> bool {
        let foreign = self.elsewhere && matches!(self.attempt, "unknown" | "live");
        !self.deleting && !foreign
    }

    fn waits_for_start(self, classes: &[ErrorClass]) -> bool {
        let told = match self.refused {
            // A refusal about a session proves nothing about a start.
            Some((Call::Start | Call::Terminate, class)) => classes.contains(&class),
            _ => false,
        };
        self.here() && !self.suspended && matches!(self.attempt, "none" | "unknown") && told
    }

    fn terminate_refused(self) -> bool {
        self.here()
            && self.attempt == "live"
            && matches!(self.refused, Some((Call::Terminate, _)))
            && self.minutes >= 5
    }

    fn stale(self) -> bool {
        self.here()
            && self.attempt == "live"
            && matches!(self.refused, Some((Call::Look, _)))
            && self.minutes >= 10
    }

    /// Returns whether this is a live session whose state is reported, if nobody asked to stop it.
    fn seen(self, states: &[&str]) -> bool {
        self.here()
            && self.attempt == "live"
            && !self.terminate_refused()
            && !self.stale()
            && self.cause.is_empty()
            && states.contains(&self.word)
    }

    fn stopped(self, causes: &[&str]) -> bool {
        self.here()
            && self.attempt == "live"
            && !self.terminate_refused()
            && !self.stale()
            && causes.contains(&self.cause)
    }

    /// Returns whether the attempt is over, on an object that is not suspended and was not.
    fn ended(self, reasons: &[&str]) -> bool {
        self.here()
            && !self.suspended
            && self.attempt == "over"
            && self.cause.is_empty()
            && reasons.contains(&self.word)
    }

    fn starts_again(self) -> bool {
        self.here()
            && !self.suspended
            && self.attempt == "over"
            && (!self.cause.is_empty() || matches!(self.word, "Suspended" | "SessionLost"))
    }
}

type Shape = (&'static str, &'static str, Option<&'static str>, &'static str);
/// Predicate of a case and the reported row; no reason: that of the end or of the refusal.
type Entry = (fn(Case) -> bool, Shape);

/// Returns the rows of the matrix.
fn matrix() -> Vec<Entry> {
    let reconciling = Some("Reconciling");
    let stalled = Some("Stalled");
    vec![
        (|case| case.deleting, ("False", "Deleting", None, "False")),
        (|case| !case.deleting && !case.here(), ("False", "IdentityChanged", stalled, "Unknown")),
        (
            |case| case.here() && case.suspended && matches!(case.attempt, "none" | "over"),
            ("True", "Suspended", None, "False"),
        ),
        (
            |case| case.here() && case.suspended && case.attempt == "unknown",
            ("Unknown", "Suspending", reconciling, "False"),
        ),
        (
            |case| {
                let starts = case.here() && !case.suspended && matches!(case.attempt, "none" | "unknown");
                starts && matches!(case.refused, None | Some((Call::Look, _)))
                    || case.waits_for_start(&[ErrorClass::Unanswered])
            },
            ("Unknown", "Starting", reconciling, "False"),
        ),
        (
            |case| case.waits_for_start(&[ErrorClass::Throttled, ErrorClass::Capacity]),
            ("Unknown", "", reconciling, "False"),
        ),
        (
            |case| case.waits_for_start(&[ErrorClass::MayHeal, ErrorClass::NotFound]) && case.minutes < 5,
            ("Unknown", "", reconciling, "False"),
        ),
        (
            |case| case.waits_for_start(&[ErrorClass::MayHeal, ErrorClass::NotFound]) && case.minutes >= 5,
            ("False", "", stalled, "False"),
        ),
        (|case| case.waits_for_start(&[ErrorClass::TokenConflict]), ("Unknown", "", reconciling, "False")),
        (|case| case.waits_for_start(&[ErrorClass::Rejected]), ("False", "", stalled, "False")),
        (
            |case| case.terminate_refused() && matches!(case.word, "IDLE" | "BUSY"),
            ("False", "TerminateRefused", stalled, "True"),
        ),
        (
            |case| case.terminate_refused() && !matches!(case.word, "IDLE" | "BUSY"),
            ("False", "TerminateRefused", stalled, "False"),
        ),
        (Case::stale, ("Unknown", "ObservationStale", reconciling, "Unknown")),
        (|case| case.stopped(&["Suspended"]), ("Unknown", "Suspending", reconciling, "False")),
        (|case| case.stopped(&["ActiveDeadline"]), ("Unknown", "DeadlineExceeded", reconciling, "False")),
        (
            |case| case.stopped(&["StartupDeadline", "Degraded", "Later"]),
            ("Unknown", "ReplacingSession", reconciling, "False"),
        ),
        (|case| case.seen(&["", "TERMINATED", "FAILED"]), ("Unknown", "Starting", reconciling, "False")),
        (|case| case.seen(&["CREATING"]), ("Unknown", "SessionCreating", reconciling, "False")),
        (|case| case.seen(&["CREATED"]), ("Unknown", "SessionCreated", reconciling, "False")),
        (|case| case.seen(&["IDLE"]), ("True", "SessionIdle", None, "True")),
        (|case| case.seen(&["BUSY"]), ("True", "SessionBusy", None, "True")),
        (|case| case.seen(&["DEGRADED"]), ("Unknown", "ReplacingSession", reconciling, "False")),
        (|case| case.seen(&["TERMINATING"]), ("Unknown", "SessionTerminating", reconciling, "False")),
        (|case| case.seen(&["HIBERNATING"]), ("Unknown", "UnknownState", reconciling, "Unknown")),
        (Case::starts_again, ("Unknown", "Starting", reconciling, "False")),
        (
            |case| case.ended(&FAILURES) && case.restarting,
            ("Unknown", "RestartingAfterFailure", reconciling, "False"),
        ),
        (|case| case.ended(&FAILURES) && !case.restarting, ("False", "", stalled, "False")),
        (|case| case.ended(&["IdleTimeout"]), ("True", "IdleTimeout", None, "False")),
        (|case| case.ended(&["DeadlineExceeded"]), ("True", "DeadlineExceeded", None, "False")),
        (
            |case| case.ended(&["InvalidRequest", "TokenMismatch", "SessionAlreadyExists", "Later"]),
            ("False", "", stalled, "False"),
        ),
    ]
}

#[test]
fn every_combination_of_object_session_and_wanted_has_one_row() {
    let matrix = matrix();
    let mut taken = vec![0; matrix.len()];
    for case in cases() {
        let fitting: Vec<usize> = (0..matrix.len()).filter(|&row| matrix[row].0(case)).collect();
        let [number] = fitting[..] else { panic!("{case:?} has the rows {fitting:?}") };
        taken[number] += 1;
        let (ready, reason, flag, available) = matrix[number].1;
        let state = case.known();
        let refusal = state.refused.as_ref().map(|refused| refused.refusal.reason);
        let reason = match reason {
            "" if case.attempt == "over" => case.word,
            "" => refusal.unwrap_or_default(),
            reason => reason,
        };
        let row = row(&case.object(), &state, &at(case.minutes));
        assert_eq!(
            (row.ready, row.reason.as_str(), row.flag, row.available.word()),
            (ready, reason, flag, available),
            "{case:?}"
        );
        assert!(!row.message.is_empty(), "{case:?}");
    }
    assert!(taken.iter().all(|count| *count > 0), "rows that no combination has: {taken:?}");
}

#[test]
fn a_row_goes_on_where_it_stood_before_a_restart_of_the_operator() {
    let status = |type_: &str, reason: &str| {
        json!({ "conditions": [{
            "type": type_, "status": "True", "reason": reason, "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z",
        }] })
    };
    let reason = |object: &AthenaSession, state: &LocalState| {
        let row = row(object, state, &at(0));
        (row.reason, row.flag)
    };
    for (class, word) in [(ErrorClass::MayHeal, "AccessDenied"), (ErrorClass::TokenConflict, "TokenMismatch")]
    {
        let state = refused(Call::Start, class, 0);
        assert_eq!(
            reason(&recorded_and(status("Stalled", word)), &state),
            (word.to_owned(), Some("Stalled"))
        );
        assert_eq!(
            reason(&recorded_and(status("Stalled", "Throttled")), &state),
            (word.to_owned(), Some("Reconciling"))
        );
    }
    let mut searched = refused(Call::Start, ErrorClass::TokenConflict, 0);
    searched.searched(&Search::Absent { begun: at(0).now }, &at(0));
    assert_eq!(reason(&recorded_and(json!({})), &searched), ("TokenMismatch".to_owned(), Some("Stalled")));

    let mut unwritable = LocalState::met(at(0).now);
    unwritable.write_refused(refused_write::ADD_FINALIZER, "no", None, &at(0));
    assert_eq!(
        reason(&recorded_and(status("Stalled", "WriteRefused")), &unwritable),
        ("WriteRefused".to_owned(), Some("Stalled"))
    );
    assert_eq!(
        reason(&recorded_and(status("Stalled", "Throttled")), &unwritable),
        ("WriteRefused".to_owned(), Some("Reconciling"))
    );

    let stale = with(live_in("IDLE"), |object| {
        let conditions =
            recorded_and(status("Ready", "ObservationStale")).status.unwrap_or_default().conditions;
        object.status.get_or_insert_default().conditions = conditions;
    });
    assert_eq!(reason(&stale, &refused(Call::Look, ErrorClass::Unanswered, 0)).0, "ObservationStale");
    assert_eq!(reason(&stale, &LocalState::met(at(0).now)).0, "SessionIdle");
    assert_eq!(reason(&live_in("IDLE"), &refused(Call::Look, ErrorClass::Unanswered, 0)).0, "SessionIdle");
}

#[test]
fn each_end_says_what_was_and_what_can_be_done() {
    const AGAIN: &str = "; to run it again, suspend and resume the object, or create another AthenaSession";
    let told = |object: AthenaSession| row(&object, &LocalState::met(at(0).now), &at(0)).message;
    let because = |reason: &str| {
        with(over_for(reason), |object| {
            object.status.get_or_insert_default().state_change_reason = Some("out".into());
        })
    };
    for (reason, expected) in [
        ("DeadlineExceeded", "session s was ended when the active deadline was over".to_owned()),
        (
            "IdleTimeout",
            "session s ended at 2026-01-01T00:00:00Z: this counts as its idle timeout".to_owned(),
        ),
        ("StoppedOutside", format!("session s was ended from outside: out{AGAIN}")),
        ("SessionFailed", format!("session s failed: out{AGAIN}")),
        ("SessionDegraded", format!("session s was degraded and was ended{AGAIN}")),
        (
            "StartupDeadlineExceeded",
            format!("session s was not ready within its startup deadline and was ended{AGAIN}"),
        ),
        (
            "SessionVanished",
            format!("Athena no longer knows session s, too early for its idle timeout{AGAIN}"),
        ),
        (
            "InvalidRequest",
            "no session can be started with this spec: out; create another AthenaSession".to_owned(),
        ),
        ("TokenMismatch", format!("StartSession refuses the request: out{AGAIN}")),
        ("SessionAlreadyExists", format!("StartSession refuses the request: out{AGAIN}")),
        ("Later", format!("session s ended: Later: out{AGAIN}")),
        ("Suspended", "suspended before; starting again".to_owned()),
        (
            "SessionLost",
            "the outcome of StartSession is unknown, and complete lists show no session of this attempt: the operator starts another attempt"
                .to_owned(),
        ),
    ] {
        assert_eq!(told(because(reason)), expected);
    }
    assert_eq!(told(over_for("SessionFailed")), format!("session s failed{AGAIN}"));
    let restarting =
        with(over_for("SessionFailed"), |object| object.spec.restart_policy = RestartPolicy::OnFailure);
    assert_eq!(
        told(restarting),
        "SessionFailed: session s failed; restart 1 of 5 follows at 2026-01-01T00:00:10Z"
    );
}

#[test]
fn a_reason_that_no_condition_takes_is_replaced() {
    for (word, expected) in [
        ("Later2", "Later2"),
        ("2Later", "SessionEnded"),
        ("not-a-word", "SessionEnded"),
        ("", "SessionEnded"),
    ] {
        assert_eq!(reason_word(&EndReason::from(word.to_owned())), expected);
    }
    assert_eq!(reason_word(&EndReason::Other("x".repeat(65))), "SessionEnded");
}

#[test]
fn a_session_that_is_not_seen_or_lives_on_is_told_with_the_cause() {
    let told =
        |object: &AthenaSession, state: &LocalState, minutes: i64| row(object, state, &at(minutes)).message;
    let mut seen = LocalState::met(at(0).now);
    seen.seen_time = Some(at(1).now);
    seen.looked(Look::NotFound { named: true }, UID, "s", &at(2));
    assert_eq!(
        told(&live_in("IDLE"), &seen, 11),
        "session s has not been seen since 2026-01-01T00:01:00Z: Athena does not find it"
    );
    let unseen = refused(Call::Look, ErrorClass::Unanswered, 0);
    assert_eq!(
        told(&live_in("IDLE"), &unseen, 10),
        "session s has not been seen: GetSession is not answered: no"
    );
    let refused = refused(Call::Terminate, ErrorClass::MayHeal, 0);
    assert_eq!(told(&live_in("IDLE"), &refused, 5), "session s lives on: TerminateSession is refused: no");
}

#[test]
fn a_deletion_tells_what_it_waits_for() {
    const WAY_OUT: &str = "; to delete the object although its session may run on and be billed, which may need an administrator: \
        kubectl patch athenasession etl -n team --type merge -p '{\"spec\":{\"deletionPolicy\":\"Retain\"}}'";
    let elsewhere = |object: AthenaSession| {
        with(object, |object| {
            let status = object.status.get_or_insert_default();
            status.region = Some("us-east-1".into());
            status.account_id = Some("000000000000".into());
        })
    };
    let met = || LocalState::met(at(0).now);
    let mut terminated = met();
    terminated.terminated(&at(0));
    let mut without_effect = terminated.clone();
    without_effect.terminated(&at(1));
    let start_refused = || refused(Call::Start, ErrorClass::MayHeal, 0);
    for (object, state, awaited) in vec![
        (object(json!({})), met(), "proof that nothing was started before the status was lost"),
        (
            object(json!({})),
            start_refused(),
            "proof that nothing was started before the status was lost; StartSession is refused: no",
        ),
        (recorded_and(json!({})), met(), "the outcome of StartSession"),
        (
            recorded_and(json!({})),
            start_refused(),
            "proof that StartSession started no session, which may take half an hour; StartSession is refused: no",
        ),
        (
            elsewhere(recorded_and(json!({}))),
            met(),
            "an operator that works in region us-east-1, account 000000000000",
        ),
        (
            elsewhere(live_in("IDLE")),
            met(),
            "an operator that works in region us-east-1, account 000000000000",
        ),
        (live_in("IDLE"), met(), "session s to end"),
        (live_in("IDLE"), terminated, "session s to end"),
        (live_in("IDLE"), without_effect, "session s to end; TerminateSession has had no effect so far"),
        (
            live_in("IDLE"),
            refused(Call::Terminate, ErrorClass::MayHeal, 0),
            "session s to end; TerminateSession is refused: no",
        ),
        (
            live_in("IDLE"),
            refused(Call::Look, ErrorClass::MayHeal, 0),
            "session s to end; GetSession is refused: no",
        ),
    ] {
        let deleted = with(object, |object| object.metadata.deletion_timestamp = Some(Time(at(0).now)));
        assert_eq!(row(&deleted, &state, &at(0)).message, format!("waiting for {awaited}{WAY_OUT}"));
    }
    let over =
        with(over_for("IdleTimeout"), |object| object.metadata.deletion_timestamp = Some(Time(at(0).now)));
    assert_eq!(row(&over, &met(), &at(0)).message, "no session of the object runs");
}

#[test]
fn an_attempt_of_another_region_tells_both() {
    let moved = with(live_in("IDLE"), |object| {
        object.status.get_or_insert_default().region = Some("us-east-1".into());
    });
    let mut circumstances = at(0);
    circumstances.identity.account = Some("000000000000".into());
    let told = row(&moved, &LocalState::met(at(0).now), &circumstances).message;
    assert!(told.starts_with("the attempt was made in region us-east-1, and the operator now works in eu-west-1, account 000000000000:"), "{told}");
}

#[test]
fn an_attempt_that_waits_for_the_operators_account_says_so_and_not_that_a_call_is_made() {
    let object = recorded_and(json!({ "accountId": "000000000000" }));
    let mut unknown = at(1);
    unknown.identity.account = None;
    let said = |object: &AthenaSession, at: &Environment| row(object, &LocalState::default(), at);
    let row = said(&object, &unknown);
    assert!(
        row.reason == "Starting"
            && row.message.starts_with("waiting for STS to return the operator's account"),
        "{row:?}"
    );
    let mut deleted = object.clone();
    deleted.metadata.deletion_timestamp = Some(Time(at(0).now));
    assert!(
        said(&deleted, &unknown).message.starts_with("waiting for STS to return"),
        "{:?}",
        said(&deleted, &unknown)
    );
    let mut suspended = object.clone();
    suspended.spec.suspend = true;
    assert!(
        said(&suspended, &unknown).message.contains("waiting for STS to return"),
        "{:?}",
        said(&suspended, &unknown)
    );
    let mut known = at(1);
    known.identity.account = Some("000000000000".into());
    assert_eq!(said(&object, &known).message, "StartSession is to be called");
}

#[test]
fn an_object_whose_finalizer_cannot_be_removed_waits_for_no_session() {
    let deleting = with(live_in("IDLE"), |object| object.metadata.deletion_timestamp = Some(Time(at(0).now)));
    let mut state = LocalState::met(at(0).now);
    state.write_refused(refused_write::REMOVE_FINALIZER, "workGroup is immutable", None, &at(0));
    assert_eq!(
        row(&deleting, &state, &at(99)).message,
        "nothing else holds the object: the API server refuses to let the operator remove the finalizer: workGroup is immutable"
    );
}
