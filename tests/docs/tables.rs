//! The generated sections, as Markdown.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use athena_operator::api::{AthenaSession, EndReason};
use athena_operator::api::{REASONS, Reason};
use athena_operator::athena::{CATALOGUE, Operations, Text};
use athena_operator::commands::args::Cli;
use athena_operator::controller::metrics;
use athena_operator::session::after_end::{AfterEnd, after_end};
use athena_operator::session::backoff::backoff;
use athena_operator::session::environment::{Environment, Identity, Limits};
use athena_operator::session::reply::ErrorClass;
use clap::CommandFactory;
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use serde_json::json;

use crate::enumeration::{ENDS, KINDS, Label, Row};
use crate::matrix::MATRIX;

/// What the conditions of reasons mean that are no events, or mean something else there.
const CONDITIONS: [(&str, &str); 4] = [
    ("Starting", "an attempt is recorded or about to be, and the outcome of StartSession is not known"),
    ("SessionCreating", "Athena is creating the session"),
    ("SessionCreated", "the session is created and not idle yet"),
    (
        "SessionEnded",
        "the status has an `endReason` that cannot be the reason of a condition, for example after an edit by hand",
    ),
];

/// All reasons that have a meaning, each once: first those of a start, then the others in the order of the events.
pub(crate) fn reasons() -> impl Iterator<Item = &'static str> {
    let own = CONDITIONS
        .into_iter()
        .map(|(reason, _)| reason)
        .filter(|reason| REASONS.iter().all(|row| row.word != *reason));
    own.chain(REASONS.iter().map(|row| row.word))
}

/// Whether `reason` is never one of a condition.
pub(crate) fn only_event(reason: &str) -> bool {
    matches!(reason, "SessionStarted" | "SessionRetained" | "AthenaUnavailable" | "TTLUnderGitOps")
}

/// What conditions with `reason` mean.
pub(crate) fn meaning(reason: &str) -> Option<&'static str> {
    let own = CONDITIONS.iter().find(|(own, _)| *own == reason).map(|(_, meaning)| *meaning);
    own.or_else(|| athena_operator::api::reason(reason).map(|row| row.meaning))
}

/// The diagram of the kinds of attempt and the steps between them.
pub(crate) fn diagram(edges: &BTreeMap<(&'static str, &'static str), BTreeSet<Label>>) -> String {
    let names = |kind: &'static str| if kind == "Gone" { "[*]" } else { kind };
    let mut lines = String::from("```mermaid\nstateDiagram-v2\n    [*] --> NoAttempt\n");
    for before in KINDS {
        for after in KINDS {
            if let Some(labels) = edges.get(&(before, after)) {
                writeln!(lines, "    {} --> {} : {}", names(before), names(after), merged(labels))
                    .expect("a string takes all");
            }
        }
    }
    lines + "```"
}

/// The labels of an edge, those of one step together.
fn merged(labels: &BTreeSet<Label>) -> String {
    let mut steps: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (step, which) in labels {
        steps.entry(step).or_default().push(which);
    }
    let label = |(step, which): (&str, Vec<&str>)| {
        if which == [""] { step.to_owned() } else { format!("{step} ({})", which.join(", ")) }
    };
    steps.into_iter().map(label).collect::<Vec<_>>().join(", ")
}

/// A table of Markdown.
pub(crate) fn table<const N: usize>(head: [&str; N], rows: impl IntoIterator<Item = [String; N]>) -> String {
    let line = |cells: &[String]| format!("| {} |\n", cells.join(" | ").replace("|  |", "| |"));
    let mut text = line(&head.map(str::to_owned)) + &format!("|{}\n", "---|".repeat(N));
    text.extend(rows.into_iter().map(|row| line(&row)));
    text
}

/// `word` as code.
pub(crate) fn code(word: &str) -> String {
    format!("`{word}`")
}

/// The matrix of conditions.
pub(crate) fn conditions(rows: &BTreeMap<Row, BTreeSet<String>>) -> String {
    let rows_of = |reason| rows.iter().filter(move |(row, _)| row.reason == reason).rev();
    // What is under way comes first, and what it comes to after.
    let then = |words: Vec<String>| {
        if words.iter().all(|word| *word == words[0]) { words[0].clone() } else { words.join(", then ") }
    };
    table(
        ["reason", "Ready", "Available", "also True", "meaning"],
        reasons().filter(|reason| !only_event(reason)).map(|reason| {
            let ready = then(rows_of(reason).map(|(row, _)| row.ready.clone()).collect());
            let available = rows_of(reason)
                .map(|(_, available)| available.iter().map(String::as_str).collect::<Vec<_>>().join(" or "));
            let flags = then(
                rows_of(reason)
                    .map(|(row, _)| if row.flag.is_empty() { "–" } else { row.flag }.to_owned())
                    .collect(),
            );
            [
                code(reason),
                ready,
                then(available.collect()),
                flags,
                meaning(reason).unwrap_or_default().to_owned(),
            ]
        }),
    )
}

/// What each tool makes of each row of the matrix.
pub(crate) fn verdicts() -> String {
    let said = |ready: &str| if ready.is_empty() { "–".to_owned() } else { ready.to_owned() };
    table(
        [
            "reason of Ready",
            "Ready",
            "kstatus: Flux, Helm 4",
            "Argo CD",
            "`kubectl wait --for=condition=Ready`",
        ],
        MATRIX.iter().map(|row| {
            let reason = match row.reason {
                "Created" => "(created, not seen by the operator yet)".to_owned(),
                "Edited" => "(edited, not seen by the operator yet)".to_owned(),
                reason => code(reason),
            };
            let waits = if row.kstatus == "Current" { "returns" } else { "waits" };
            [reason, said(row.ready), row.kstatus.to_owned(), row.argo.to_owned(), waits.to_owned()]
        }),
    )
}

/// The flags of a subcommand.
pub(crate) fn flags(name: &str) -> String {
    let command = Cli::command();
    let command = command.find_subcommand(name).expect(name);
    let shown =
        command.get_arguments().filter(|argument| argument.get_long().is_some_and(|long| long != "help"));
    table(
        ["flag", "variable", "default", "meaning"],
        shown.map(|argument| {
            let variable = argument.get_env().and_then(|name| name.to_str()).unwrap_or_default();
            let default = argument
                .get_default_values()
                .iter()
                .filter_map(|value| value.to_str())
                .collect::<Vec<_>>()
                .join(",");
            let flag = format!("--{}", argument.get_long().unwrap_or_default());
            let help = argument.get_help().map(ToString::to_string).unwrap_or_default();
            [code(&flag), code(variable), if default.is_empty() { "–".into() } else { code(&default) }, help]
        }),
    )
}

/// The metrics.
pub(crate) fn metrics() -> String {
    table(
        ["metric", "kind", "labels", "meaning"],
        metrics::table().iter().map(|row| {
            let labels = row.labels.iter().map(|label| code(label)).collect::<Vec<_>>().join(", ");
            [code(row.name), row.kind.as_str().to_owned(), labels, row.help.replace('<', "&lt;")]
        }),
    )
}

/// The events.
pub(crate) fn events() -> String {
    let row = |row: &Reason| {
        let type_ = if row.warning { "Warning" } else { "Normal" };
        [type_.to_owned(), code(row.word), row.meaning.to_owned(), row.advice.to_owned()]
    };
    table(["type", "reason", "meaning", "what to do"], REASONS.iter().map(row))
}

/// The catalogue of refusals.
pub(crate) fn refusals() -> String {
    table(
        ["code", "in", "and the message", "reason", "class"],
        CATALOGUE.iter().map(|entry| {
            let codes = entry.codes.iter().map(|name| code(name)).collect::<Vec<_>>().join(", ");
            let codes = if codes.is_empty() { "any other".to_owned() } else { codes };
            let operations = match entry.operations {
                Operations::All => "every operation",
                Operations::Start => "StartSession",
                Operations::Session => "GetSession, GetSessionStatus, TerminateSession",
            };
            let text = match entry.text {
                Text::Any => String::new(),
                Text::Begins(words) => format!("begins with {}", code(words)),
                Text::WorkGroup(said) => {
                    let said: Vec<String> = said.iter().map(|said| code(said)).collect();
                    format!(
                        "says of the work group, by its name or without one, that it {}, and nothing else",
                        said.join(" or ")
                    )
                }
                Text::NoSession => {
                    "says of the session, by its id, that it is not found, and names nothing else".to_owned()
                }
            };
            [codes, operations.to_owned(), text, code(entry.reason), class(entry.class).0.to_owned()]
        }),
    )
}

/// The classes of refusals.
pub(crate) fn classes() -> String {
    let all = [
        ErrorClass::Unanswered,
        ErrorClass::NotSent,
        ErrorClass::Throttled,
        ErrorClass::Capacity,
        ErrorClass::MayHeal,
        ErrorClass::NotFound,
        ErrorClass::TokenConflict,
        ErrorClass::Rejected,
    ];
    assert!(CATALOGUE.iter().all(|entry| all.contains(&entry.class)));
    table(
        ["class", "what the operator does", "wait between tries, at most"],
        all.map(|entry| {
            let (name, action) = class(entry);
            let waits = format!("{:#} doubling to {:#}", backoff(entry, 0, 1.0), backoff(entry, 16, 1.0));
            [name.to_owned(), action.to_owned(), waits]
        }),
    )
}

fn class(class: ErrorClass) -> (&'static str, &'static str) {
    match class {
        ErrorClass::NotSent => (
            "not sent",
            "finds no connection (DNS, TCP, TLS, a proxy that refuses CONNECT): calls again as when *unanswered*, and knows that this call started nothing",
        ),
        ErrorClass::Unanswered => (
            "unanswered",
            "calls again, StartSession with the same token until ten minutes after the attempt was recorded; then it searches the work group for the session's marker",
        ),
        ErrorClass::Throttled => ("throttled", "waits for as long as it takes; never Stalled"),
        ErrorClass::Capacity => ("capacity", "waits for as long as it takes; never Stalled"),
        ErrorClass::MayHeal => (
            "may heal",
            "tries again until the call succeeds; Ready is Unknown for five minutes, then False with Stalled",
        ),
        ErrorClass::NotFound => (
            "not found",
            "of StartSession: as *may heal*. Of a session: looks again, then reads a complete list. The session has vanished if two looks did not find it, \
                 the last of them ten minutes or more after the session's start, and a list begun after the first of them, and ten minutes or more after the start, does not show it; without the permission to list, if \
                 ResourceNotFoundException named the session twice",
        ),
        ErrorClass::TokenConflict => (
            "token conflict",
            "stops calling StartSession, searches for the session by its marker, and adopts it; if there is none, the attempt is over",
        ),
        ErrorClass::Rejected => (
            "rejected",
            "sets Ready to False with Stalled and stops calling, if Athena answered every call of the attempt; else searches first, since an earlier call may have started a session",
        ),
    }
}

/// The reasons of an end and what follows each.
pub(crate) fn ends() -> String {
    let row = |reason: &'static str| {
        let reason = EndReason::from(reason.to_owned());
        let failure = if reason.is_failure() { "yes" } else { "" };
        let follows = ["Never", "OnFailure"].map(|policy| follows(&reason, policy).to_owned());
        let [never, on_failure] = follows;
        [code(reason.as_str()), evidence(&reason).to_owned(), failure.to_owned(), never, on_failure]
    };
    table(
        ["`endReason`", "the operator concludes it when", "failure", "`Never`", "`OnFailure`"],
        ENDS.map(row),
    )
}

fn follows(reason: &EndReason, policy: &str) -> &'static str {
    let begun = Timestamp::UNIX_EPOCH;
    let object: AthenaSession = serde_json::from_value(json!({
        "apiVersion": "athena-operator.io/v1alpha1", "kind": "AthenaSession", "metadata": {},
        "spec": { "workGroup": "etl", "restartPolicy": policy },
        "status": { "attempt": 0, "sessionId": "s", "endTime": begun, "endReason": reason },
    }))
    .expect("an AthenaSession");
    let at = Environment {
        now: begun,
        is_time_certain: true,
        api_server_ahead: Some(SignedDuration::ZERO),
        identity: Identity::default(),
        limits: Limits::default(),
        clock_origin: Timestamp::UNIX_EPOCH,
        jitter: 0.0,
    };
    match after_end(&object, &at) {
        AfterEnd::Attempt { resumed: true, .. } => "an attempt, when resumed",
        AfterEnd::Attempt { time, .. } if time == begun => "an attempt, at once",
        AfterEnd::Attempt { .. } => "an attempt, after the backoff",
        AfterEnd::Deletion { .. } | AfterEnd::None => "finished",
    }
}

fn evidence(reason: &EndReason) -> &'static str {
    match reason {
        EndReason::Suspended => "the operator ended the session, `stopCause` Suspended",
        EndReason::DeadlineExceeded => "the operator ended the session, `stopCause` ActiveDeadline",
        EndReason::StartupDeadlineExceeded => "the operator ended the session, `stopCause` StartupDeadline",
        EndReason::SessionDegraded => "the operator ended the session, `stopCause` Degraded",
        EndReason::IdleTimeout => {
            "the session is TERMINATED or unknown to Athena, Athena gives no other reason, and the session may have been idle for its full timeout"
        }
        EndReason::StoppedOutside => {
            "the session is TERMINATED, too early for its idle timeout or with another reason from Athena"
        }
        EndReason::SessionFailed => {
            "the session is FAILED, or it ended before it was ever IDLE or BUSY and too early for its idle timeout"
        }
        EndReason::SessionVanished => {
            "two looks, and a complete list begun after the first of them, did not find the session (the newer look and the list 10 minutes or more after the start), and it was too early for its idle timeout"
        }
        EndReason::SessionLost => {
            "the outcome of StartSession is not known, and two complete lists (begun 20 minutes or more after the attempt was recorded, a minute apart) show no session with its marker; for an object that is deleted or suspended, one list"
        }
        EndReason::InvalidRequest => {
            "StartSession was rejected, and Athena answered every call of the attempt"
        }
        EndReason::TokenMismatch | EndReason::SessionAlreadyExists => {
            "StartSession gave this error, and two complete lists (begun 20 minutes or more after the attempt was recorded, a minute apart) show no session with the attempt's marker"
        }
        EndReason::Other(_) => "another version of the operator wrote it",
    }
}
