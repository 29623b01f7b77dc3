//! Reasons of conditions and events: their meaning, and what a person can do. The documentation's tables are generated from here.

/// Reason of conditions and events, and the fields that all events with this reason have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reason {
    /// CamelCase word.
    pub word: &'static str,
    /// True for type Warning, false for Normal.
    pub warning: bool,
    /// Meaning of the event. The condition of the same reason means the same.
    pub meaning: &'static str,
    /// Advice for a person.
    pub advice: &'static str,
}

const fn normal(reason: &'static str, meaning: &'static str, advice: &'static str) -> Reason {
    Reason { word: reason, warning: false, meaning, advice }
}

const fn warning(reason: &'static str, meaning: &'static str, advice: &'static str) -> Reason {
    Reason { word: reason, warning: true, meaning, advice }
}

const NOTHING: &str = "nothing";
const RUN_AGAIN: &str =
    "read the message; to run it again, suspend and resume the object, or set `restartPolicy: OnFailure`";
const WAIT: &str = "wait, end other sessions, or ask AWS for a larger quota";

/// Every reason that has an event, in the order of a session's life.
pub const REASONS: &[Reason] = &[
    normal("SessionStarted", "StartSession named the session of the attempt", NOTHING),
    normal("SessionIdle", "the session waits for work", NOTHING),
    normal("SessionBusy", "the session is at work", NOTHING),
    normal(
        "UnknownState",
        "Athena shows a state that this version does not know; the session counts as live",
        "look at the session in Athena's console",
    ),
    normal("SessionTerminating", "the session is being ended, and not by the operator", "wait for the end"),
    normal("Suspending", "the object is suspended, and its session is being ended or not found yet", NOTHING),
    normal(
        "Suspended",
        "the object is suspended, and no session of it is live",
        "set `suspend` to false to start a session",
    ),
    normal(
        "IdleTimeout",
        "the session ended, and can have been idle for its timeout; the message names the times",
        "nothing, or suspend and resume to run it again",
    ),
    normal(
        "DeadlineExceeded",
        "the active deadline is over: the session is being ended, or has been",
        "nothing, or suspend and resume to run it again",
    ),
    warning(
        "ReplacingSession",
        "the session is degraded or was not ready in time and is being ended",
        "wait for the end",
    ),
    warning(
        "RestartingAfterFailure",
        "the attempt has failed and another follows",
        "read the message; if it goes on, look at the session's logs",
    ),
    warning("SessionFailed", "the session failed, or ended before it was ever idle", RUN_AGAIN),
    warning(
        "SessionDegraded",
        "Athena reported the session as DEGRADED, and the operator ended it",
        RUN_AGAIN,
    ),
    warning(
        "StartupDeadlineExceeded",
        "the session was not ready within its startup deadline, and the operator ended it",
        RUN_AGAIN,
    ),
    warning("StoppedOutside", "somebody else ended the session, too early for its idle timeout", RUN_AGAIN),
    warning(
        "SessionVanished",
        "Athena no longer knows the session, too early for its idle timeout",
        RUN_AGAIN,
    ),
    warning("Throttled", "Athena refuses a call for its rate; it is tried for as long as it takes", "wait"),
    warning(
        "QuotaExceeded",
        "the account has no session left; the start is tried for as long as it takes",
        WAIT,
    ),
    warning(
        "CapacityUnavailable",
        "Athena has no capacity for the account; the start is tried for as long as it takes",
        WAIT,
    ),
    warning(
        "AthenaUnavailable",
        "Athena does not answer; the operator asks again with the same token",
        "if it goes on, look at the network",
    ),
    warning(
        "WorkGroupNotFound",
        "the work group does not exist",
        "create it; if the name is wrong, create another AthenaSession",
    ),
    warning("WorkGroupDisabled", "the work group is disabled", "enable it"),
    warning(
        "WorkGroupNotSpark",
        "the engine of the work group is not Apache Spark",
        "change the engine, or create another AthenaSession",
    ),
    warning(
        "AccessDenied",
        "IAM refuses a call; the message names caller, action and resource",
        "correct the operator's IAM policy",
    ),
    warning(
        "CredentialsInvalid",
        "the operator's AWS credentials are missing, wrong, revoked or expired",
        "correct the credentials where the operator gets them from; it looks for them again by itself",
    ),
    warning(
        "AccountChanged",
        "the operator was given credentials of another account than it works in, and makes no call with them",
        "give it credentials of its account again, or restart it to have it work in the other one",
    ),
    warning(
        "WrongRegion",
        "the endpoint is that of another region than the operator works in",
        "correct `AWS_REGION` or the endpoint of the operator (`aws.region`, `aws.endpointUrl` of the chart), and restart it",
    ),
    warning(
        "ClockSkew",
        "the clock of the operator's node is wrong by more than five minutes, and could not be corrected by the time in AWS's replies",
        "set the node's clock",
    ),
    warning(
        "NotFound",
        "something that StartSession names does not exist",
        "create what the message names, or create another AthenaSession",
    ),
    warning(
        "Refused",
        "a call is refused with a text that this version does not know",
        "correct what the message names, or create another AthenaSession",
    ),
    warning(
        "InvalidRequest",
        "StartSession refuses the request for good, or the operator knows that it would",
        "create another AthenaSession",
    ),
    warning(
        "TokenMismatch",
        "Athena has seen the token with another request; the operator looks for the session by its marker",
        "wait; if none is found, suspend and resume the object, or create another AthenaSession",
    ),
    warning(
        "SessionAlreadyExists",
        "Athena says that the session exists already; the operator looks for it by its marker",
        "wait; if none is found, suspend and resume the object, or create another AthenaSession",
    ),
    warning(
        "MarkerMismatch",
        "a session carries the marker of the object, with another role or engine configuration; it is not adopted",
        "find out who started it, and end it",
    ),
    warning(
        "ObservationStale",
        "the session could not be looked at for ten minutes; the status shows what was seen last",
        "read the message and the operator's log",
    ),
    warning(
        "IdentityChanged",
        "the operator works in another region or account than that of the attempt, or cannot tell its account, and starts and ends nothing for it",
        "run the operator there again, or delete the object with `deletionPolicy: Retain`, which an administrator may have to set",
    ),
    warning(
        "ObjectInvalid",
        "this version of the operator cannot read the object: it was stored under another schema, or somebody else wrote its status",
        "correct the field that the message names, or run the version that wrote it",
    ),
    warning(
        "TerminateRefused",
        "the session lives on, and TerminateSession is refused",
        "correct the operator's IAM policy, or end the session by hand",
    ),
    warning(
        "TTLUnderGitOps",
        "Flux or Argo CD applies the object and it has `ttlSecondsAfterFinished`: the tool will create it again each time, and a new session is paid for",
        "remove `ttlSecondsAfterFinished`",
    ),
    warning(
        "WriteRefused",
        "the API server refuses a write to the object: a policy, a webhook, a missing right, a full storage; it is tried again for as long as it takes",
        "read the message; correct what refuses the write, or change the object as it asks",
    ),
    normal(
        "Deleting",
        "the object is being deleted; the message says what that waits for",
        "wait, or do what the message says",
    ),
    normal(
        "SessionEnded",
        "no session of the object is live, and the operator removes its finalizer",
        NOTHING,
    ),
    warning(
        "SessionRetained",
        "the operator removes its finalizer because of `deletionPolicy: Retain`; the session may run on and be billed",
        "end the session by hand when nobody needs it",
    ),
];

/// Returns the row of a reason, if it has an event.
pub fn reason(word: &str) -> Option<&'static Reason> {
    REASONS.iter().find(|reason| reason.word == word)
}
