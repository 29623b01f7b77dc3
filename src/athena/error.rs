//! The meaning of a failed call: by its code and its message, since Athena answers nearly every failure with InvalidRequest.

use std::error::Error;

use aws_sdk_athena::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_athena::operation::RequestId;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use serde_json::Value;

use self::Operations::{All, Session as OfSession, Start};
use self::Text::{Any, Begins, NoSession, WorkGroup};
use super::missing_credentials::Missing;
use crate::session::reply::ErrorClass::{
    self, Capacity, MayHeal, NotFound, Rejected, Throttled, TokenConflict, Unanswered,
};
use crate::session::reply::Refusal;

/// A row of the catalogue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Codes of the exception or Athena's own ones; `5xx` is any failure of the server. None: any code.
    pub codes: &'static [&'static str],
    /// Operations in whose replies the row counts.
    pub operations: Operations,
    /// Text that the message must have.
    pub text: Text,
    /// Class of the refusal.
    pub class: ErrorClass,
    /// Reason for conditions and events.
    pub reason: &'static str,
}

/// Operations in whose replies a row counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operations {
    /// Every operation.
    All,
    /// StartSession.
    Start,
    /// GetSession, GetSessionStatus and TerminateSession, which name a session by its id.
    Session,
}

/// Text that a message must have for a row to count. Athena answers nearly everything with InvalidRequestException, so that a part of a sentence
/// proves nothing: "KMS key ... does not exist" is not about a session, and "role ... is disabled" not about a work group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Text {
    /// Any message.
    Any,
    /// A message that begins with these words, after a number if there is one.
    Begins(&'static str),
    /// A message that states one of these facts about the work group of the call, by its name or without a name, and nothing else.
    WorkGroup(&'static [&'static str]),
    /// A message that the session of the call does not exist, by its id, and that names nothing else.
    NoSession,
}

impl Text {
    /// Returns a message that fits, in a call about session `session`.
    pub fn example(self, session: &str) -> String {
        match self {
            Self::Any => String::new(),
            Self::Begins(words) => words.to_owned(),
            Self::WorkGroup(said) => format!("WorkGroup {}.", said[0]),
            Self::NoSession => format!("Session {session} was not found"),
        }
    }

    fn fits(self, message: &str, subject: &Subject<'_>) -> bool {
        match self {
            Self::Any => true,
            Self::Begins(words) => {
                let message = message.trim_start_matches(|letter: char| letter.is_ascii_digit()).trim_start();
                strip_words(message, words).is_some()
            }
            Self::WorkGroup(said) => is_said_of_work_group(message, said, subject.work_group),
            Self::NoSession => subject.session.is_some_and(|id| denies_session(message, id)),
        }
    }
}

/// The work group or the session of a call.
#[derive(Clone, Copy, Debug)]
pub(super) struct Subject<'a> {
    operations: Operations,
    work_group: Option<&'a str>,
    session: Option<&'a str>,
}

impl<'a> Subject<'a> {
    /// A call that names neither a work group nor a session.
    pub(super) const OTHER: Self = Self { operations: Operations::All, work_group: None, session: None };

    /// Returns the subject of StartSession in this work group, if the caller knows it.
    pub(super) fn start(work_group: Option<&'a str>) -> Self {
        Self { operations: Operations::Start, work_group, session: None }
    }

    /// Returns the subject of a call about this session.
    pub(super) fn session(id: &'a str) -> Self {
        Self { operations: Operations::Session, work_group: None, session: Some(id) }
    }

    /// Returns the subject of another call about this work group.
    pub(super) fn work_group(name: &'a str) -> Self {
        Self { operations: Operations::All, work_group: Some(name), session: None }
    }
}

/// Returns the rest of `text` after `words`, whatever their case.
fn strip_words<'a>(text: &'a str, words: &str) -> Option<&'a str> {
    let (head, rest) = text.split_at_checked(words.len())?;
    head.eq_ignore_ascii_case(words).then_some(rest)
}

/// Returns whether `message` is "work group ... `said`" and nothing else, where only `name` may stand between.
fn is_said_of_work_group(message: &str, said: &[&str], name: Option<&str>) -> bool {
    let message = message.trim().trim_end_matches('.');
    let message = ["the specified ", "the requested ", "the "]
        .iter()
        .find_map(|article| strip_words(message, article))
        .unwrap_or(message);
    let Some(rest) = ["workgroup ", "work group "].iter().find_map(|noun| strip_words(message, noun)) else {
        return false;
    };
    let ends = |rest: &str| said.iter().any(|words| rest.trim().eq_ignore_ascii_case(words));
    let named = |name| {
        ["", "'", "\"", "`"].iter().find_map(|quote| rest.strip_prefix(&format!("{quote}{name}{quote} ")))
    };
    ends(rest) || name.and_then(named).is_some_and(ends)
}

/// Returns whether `message` states that session `id` does not exist, and names nothing else.
fn denies_session(message: &str, id: &str) -> bool {
    /// Words that such a sentence may have besides the id. A sentence with any other word may be about something else.
    const WORDS: &str = "a an any be been can cannot could did do does exist exists find found has have id is it \
                         longer no not requested resource session sessionid specified such the there to unable was \
                         with";
    /// Phrases of which such a sentence must have one.
    const ABSENCE: &[&str] = &[
        "not found",
        "not exist",
        "not be found",
        "not been found",
        "no such",
        "no session",
        "no longer exists",
        "not find",
        "unable to find",
    ];
    let words: Vec<String> = message
        .split_whitespace()
        .map(|word| word.trim_matches(|letter: char| letter.is_ascii_punctuation()))
        .filter(|word| !word.is_empty())
        .map(|word| if word == id { String::new() } else { word.to_lowercase() })
        .collect();
    let sentence = words.join(" ");
    words.iter().any(String::is_empty)
        && words.iter().all(|word| word.is_empty() || WORDS.split(' ').any(|known| known == word))
        && ABSENCE.iter().any(|absence| sentence.contains(absence))
}

const fn row(
    operations: Operations,
    codes: &'static [&'static str],
    text: Text,
    class: ErrorClass,
    reason: &'static str,
) -> Entry {
    Entry { codes, operations, text, class, reason }
}

/// Reason of a call that AWS refuses for its credentials, or that could not be made without any.
pub(super) const CREDENTIALS_INVALID: &str = "CredentialsInvalid";
/// Reason of a call that was not answered.
pub(super) const UNAVAILABLE: &str = "AthenaUnavailable";
/// Reason of a call that names a work group that does not exist.
pub(super) const WORK_GROUP_NOT_FOUND: &str = "WorkGroupNotFound";

/// Code of a call that names something that does not exist.
const RESOURCE_NOT_FOUND: &str = "ResourceNotFoundException";

const INVALID_REQUEST: &[&str] = &["InvalidRequestException"];
const DENIED: &[&str] = &["AccessDeniedException", "AccessDenied", "UnauthorizedOperation"];
const WRONG_SIGNATURE: &[&str] = &["InvalidSignatureException", "SignatureDoesNotMatch"];
const THROTTLING: &[&str] = &[
    "ThrottlingException",
    "Throttling",
    "TooManyRequestsException",
    "RequestLimitExceeded",
    "LimitExceededException",
    "SlowDown",
];
const WRONG_CREDENTIALS: &[&str] = &[
    "ExpiredTokenException",
    "ExpiredToken",
    "UnrecognizedClientException",
    "InvalidSignatureException",
    "SignatureDoesNotMatch",
    "IncompleteSignatureException",
    "IncompleteSignature",
    "MissingAuthenticationTokenException",
    "MissingAuthenticationToken",
    "InvalidClientTokenId",
    "OptInRequired",
];
const NO_RESULT: &[&str] = &[
    "InternalServerException",
    "InternalFailure",
    "InternalError",
    "ServiceUnavailable",
    "RequestTimeout",
    "RequestTimeoutException",
    SERVER_FAILURE,
];

/// Facts about a work group that does not exist, that is disabled, and that has another engine.
const IS_NOT_FOUND: &[&str] = &[
    "is not found",
    "was not found",
    "not found",
    "does not exist",
    "cannot be found",
    "could not be found",
];
const IS_DISABLED: &[&str] = &[
    "is disabled",
    "is not enabled",
    "is currently disabled",
    "is in DISABLED state",
    "is in the DISABLED state",
];
const IS_NOT_SPARK: &[&str] = &["EngineVersion is not Spark", "engine version is not Spark"];

/// Meaning of each refusal. The first row that fits counts.
pub const CATALOGUE: &[Entry] = &[
    row(All, THROTTLING, Any, Throttled, "Throttled"),
    row(All, DENIED, Any, MayHeal, "AccessDenied"),
    row(All, WRONG_SIGNATURE, Begins("signature expired"), MayHeal, "ClockSkew"),
    row(All, WRONG_SIGNATURE, Begins("signature not yet current"), MayHeal, "ClockSkew"),
    row(All, &["RequestExpired", "RequestTimeTooSkewed"], Any, MayHeal, "ClockSkew"),
    row(
        All,
        WRONG_SIGNATURE,
        Begins("credential should be scoped to a valid region"),
        MayHeal,
        "WrongRegion",
    ),
    row(All, WRONG_CREDENTIALS, Any, MayHeal, CREDENTIALS_INVALID),
    row(Start, &["IDEMPOTENT_PARAMETER_MISMATCH"], Any, TokenConflict, "TokenMismatch"),
    row(Start, INVALID_REQUEST, Begins("idempotent parameters do not match"), TokenConflict, "TokenMismatch"),
    row(Start, &["SessionAlreadyExistsException"], Any, TokenConflict, "SessionAlreadyExists"),
    row(OfSession, &[RESOURCE_NOT_FOUND], Any, NotFound, "NotFound"),
    row(OfSession, INVALID_REQUEST, NoSession, NotFound, "NotFound"),
    row(
        All,
        &["InvalidRequestException", RESOURCE_NOT_FOUND],
        WorkGroup(IS_NOT_FOUND),
        MayHeal,
        WORK_GROUP_NOT_FOUND,
    ),
    row(All, INVALID_REQUEST, WorkGroup(IS_DISABLED), MayHeal, "WorkGroupDisabled"),
    row(All, INVALID_REQUEST, WorkGroup(IS_NOT_SPARK), MayHeal, "WorkGroupNotSpark"),
    row(Start, INVALID_REQUEST, Begins("maximum allowed sessions"), Capacity, "QuotaExceeded"),
    row(
        Start,
        INVALID_REQUEST,
        Begins("failed to provision session due to required capacity not being available"),
        Capacity,
        "CapacityUnavailable",
    ),
    row(Start, &[RESOURCE_NOT_FOUND], Any, NotFound, "NotFound"),
    row(
        All,
        &["InvalidRequestException", "ValidationException"],
        Begins("validation error"),
        Rejected,
        "InvalidRequest",
    ),
    row(All, NO_RESULT, Any, Unanswered, UNAVAILABLE),
    row(All, &[], Any, MayHeal, "Refused"),
];

/// Code in the catalogue for any status of 500 and more.
const SERVER_FAILURE: &str = "5xx";

/// Returns the class and the reason of a refusal with these codes (the exception's and Athena's own) and this message.
fn class(codes: &[&str], message: &str, status: u16, subject: &Subject<'_>) -> (ErrorClass, &'static str) {
    let names = |row: &Entry, code: &str| row.codes.contains(&code) || row.codes.is_empty();
    let counts = |row: &Entry| row.operations == Operations::All || row.operations == subject.operations;
    let server = if status >= 500 { SERVER_FAILURE } else { "" };
    CATALOGUE
        .iter()
        .find(|row| {
            counts(row)
                && codes.iter().chain([&server]).any(|code| names(row, code))
                && row.text.fits(message, subject)
        })
        .map_or((MayHeal, "Refused"), |row| (row.class, row.reason))
}

/// Returns whether AWS answered ResourceNotFoundException and named `id` in it.
pub(super) fn is_resource_not_found<E: ProvideErrorMetadata>(
    error: &SdkError<E, HttpResponse>,
    id: &str,
) -> bool {
    let SdkError::ServiceError(failure) = error else { return false };
    let body = failure.raw().body().bytes().map(String::from_utf8_lossy).unwrap_or_default();
    failure.err().code() == Some(RESOURCE_NOT_FOUND) && body.contains(id)
}

/// Returns the part of an AWS text that conditions, events and logs may show: not the request behind a refused signature, which holds the session
/// token, and not more than a condition accepts.
fn showable(text: &str) -> &str {
    /// Maximum length of a text, in bytes.
    const MAX_TEXT_BYTES: usize = 4096;
    let text = text.split_once("The Canonical String").map_or(text, |(before, _)| before.trim_end());
    // The SDK's text of a failed call to the instance's metadata shows the whole reply.
    let text = text.split_once(" Response {").map_or(text, |(before, _)| before.trim_end_matches([':', ' ']));
    &text[..text.floor_char_boundary(MAX_TEXT_BYTES)]
}

/// Returns the refusal that a failed call about `subject` means.
pub(super) fn refusal<E>(error: &SdkError<E, HttpResponse>, subject: &Subject<'_>) -> Refusal
where
    E: ProvideErrorMetadata + Error + Send + Sync + 'static,
{
    let request_id = error.request_id().map(str::to_owned);
    match error {
        SdkError::ServiceError(failure) => {
            let status = failure.raw().status().as_u16();
            let code = failure.err().code().unwrap_or_default();
            let message = showable(failure.err().message().unwrap_or(code));
            let athena_code = athena_error_code(failure.raw());
            let (class, reason) = class(&[athena_code.as_str(), code], message, status, subject);
            let message = if message.is_empty() { format!("HTTP {status}") } else { message.to_owned() };
            Refusal { class, reason, message, request_id }
        }
        _ if let Some(missing) = sources(error).find_map(|source| source.downcast_ref()) => unsigned(missing),
        _ => {
            let class = if is_not_sent(error) { ErrorClass::NotSent } else { Unanswered };
            Refusal { class, reason: UNAVAILABLE, message: chain(error), request_id }
        }
    }
}

/// Returns the refusal of a call that could not be signed.
pub(super) fn unsigned(missing: &Missing) -> Refusal {
    let is_of_another_account = matches!(missing, Missing::AccountChanged { .. });
    let reason = if is_of_another_account { "AccountChanged" } else { CREDENTIALS_INVALID };
    Refusal { class: MayHeal, reason, message: missing.to_string(), request_id: None }
}

/// Returns whether a call certainly failed before its first byte left: it could not be made, or no connection was established, because of DNS, TCP,
/// TLS, or a proxy that refuses CONNECT. Texts, timeouts of the whole call and errors of an open connection leave that in doubt.
fn is_not_sent<E: Error + 'static>(error: &SdkError<E, HttpResponse>) -> bool {
    type Transport = hyper_util::client::legacy::Error;
    match error {
        SdkError::ConstructionFailure(_) => true,
        SdkError::DispatchFailure(_) => {
            sources(error).any(|source| source.downcast_ref::<Transport>().is_some_and(Transport::is_connect))
        }
        _ => false,
    }
}

/// Returns the label of a failed call for metrics: the service's own code, or the kind of failure before there was one.
pub(super) fn code<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> &'static str {
    match error {
        SdkError::ServiceError(failure) => {
            let known = |code: &str| {
                CATALOGUE.iter().flat_map(|row| row.codes).find(|known| **known == code).copied()
            };
            failure.err().code().and_then(known).unwrap_or("Other")
        }
        SdkError::TimeoutError(_) => "timeout",
        SdkError::DispatchFailure(_) => "transport",
        SdkError::ResponseError(_) => "malformed",
        _ => "Other",
    }
}

fn athena_error_code(reply: &HttpResponse) -> String {
    let body = reply.body().bytes().and_then(|body| serde_json::from_slice::<Value>(body).ok());
    body.and_then(|body| body["AthenaErrorCode"].as_str().map(str::to_owned)).unwrap_or_default()
}

/// Returns whether the failure came from the way to AWS and not from AWS.
pub(super) fn is_of_transport<E>(error: &SdkError<E, HttpResponse>) -> bool {
    matches!(error, SdkError::DispatchFailure(_) | SdkError::TimeoutError(_) | SdkError::ResponseError(_))
}

pub(super) fn sources<'a>(
    error: &'a (dyn Error + 'static),
) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error: &&'a (dyn Error + 'static)| (*error).source())
}

/// Returns the text of the innermost cause.
pub(super) fn cause(error: &(dyn Error + 'static)) -> String {
    showable(&sources(error).last().map(ToString::to_string).unwrap_or_default()).to_owned()
}

/// Returns the texts of the error and its causes.
pub(super) fn chain(error: &(dyn Error + 'static)) -> String {
    sources(error).map(|source| showable(&source.to_string()).to_owned()).collect::<Vec<_>>().join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[allow(clippy::too_many_lines, reason = "a table")]
    fn texts_of_the_service_have_their_class() {
        for (code, athena, message, status, expected) in [
            ("ThrottlingException", "", "Rate exceeded", 400, (ErrorClass::Throttled, "Throttled")),
            ("TooManyRequestsException", "", "", 400, (ErrorClass::Throttled, "Throttled")),
            (
                "InvalidRequestException",
                "INVALID_INPUT",
                "Workgroup EngineVersion is not Spark.",
                400,
                (ErrorClass::MayHeal, "WorkGroupNotSpark"),
            ),
            (
                "InvalidRequestException",
                "INVALID_INPUT",
                "WorkGroup is not found.",
                400,
                (ErrorClass::MayHeal, "WorkGroupNotFound"),
            ),
            (
                "InvalidRequestException",
                "",
                "WorkGroup etl is disabled",
                400,
                (ErrorClass::MayHeal, "WorkGroupDisabled"),
            ),
            (
                "InvalidRequestException",
                "",
                "Maximum allowed sessions reached",
                400,
                (ErrorClass::Capacity, "QuotaExceeded"),
            ),
            (
                "InvalidRequestException",
                "",
                "Failed to Provision session due to required capacity not being available for the account",
                400,
                (ErrorClass::Capacity, "CapacityUnavailable"),
            ),
            (
                "InvalidRequestException",
                "IDEMPOTENT_PARAMETER_MISMATCH",
                "Idempotent parameters do not match",
                400,
                (ErrorClass::TokenConflict, "TokenMismatch"),
            ),
            (
                "SessionAlreadyExistsException",
                "",
                "The specified session already exists.",
                400,
                (ErrorClass::TokenConflict, "SessionAlreadyExists"),
            ),
            (
                "ResourceNotFoundException",
                "",
                "Session s-1 not found",
                400,
                (ErrorClass::NotFound, "NotFound"),
            ),
            (
                "InvalidRequestException",
                "INVALID_INPUT",
                "Session s-1 was not found",
                400,
                (ErrorClass::NotFound, "NotFound"),
            ),
            (
                "InvalidRequestException",
                "INVALID_INPUT",
                "1 validation error detected: Value at 'x'",
                400,
                (ErrorClass::Rejected, "InvalidRequest"),
            ),
            (
                "InvalidRequestException",
                "INVALID_INPUT",
                "a text that nobody knows",
                400,
                (ErrorClass::MayHeal, "Refused"),
            ),
            (
                "AccessDeniedException",
                "",
                "User: x is not authorized",
                400,
                (ErrorClass::MayHeal, "AccessDenied"),
            ),
            ("ExpiredTokenException", "", "", 400, (ErrorClass::MayHeal, "CredentialsInvalid")),
            (
                "InvalidSignatureException",
                "",
                "Signature expired: 20261122T093723Z is now earlier than 2",
                400,
                (ErrorClass::MayHeal, "ClockSkew"),
            ),
            (
                "InvalidSignatureException",
                "",
                "Signature not yet current: 20261122T093723Z is still later",
                400,
                (ErrorClass::MayHeal, "ClockSkew"),
            ),
            (
                "InvalidSignatureException",
                "",
                "Credential should be scoped to a valid region, not 'x'.",
                400,
                (ErrorClass::MayHeal, "WrongRegion"),
            ),
            (
                "InvalidSignatureException",
                "",
                "The request signature we calculated does not match",
                400,
                (ErrorClass::MayHeal, "CredentialsInvalid"),
            ),
            ("AccessDenied", "", "", 503, (ErrorClass::MayHeal, "AccessDenied")),
            ("LimitExceededException", "", "", 400, (ErrorClass::Throttled, "Throttled")),
            ("InternalServerException", "", "", 500, (ErrorClass::Unanswered, "AthenaUnavailable")),
            ("RequestTimeoutException", "", "", 400, (ErrorClass::Unanswered, "AthenaUnavailable")),
            ("a code that nobody knows", "", "", 500, (ErrorClass::Unanswered, "AthenaUnavailable")),
            ("", "", "", 503, (ErrorClass::Unanswered, "AthenaUnavailable")),
        ] {
            let subject = if expected.0 == ErrorClass::NotFound {
                Subject::session("s-1")
            } else {
                Subject::start(Some("etl"))
            };
            assert_eq!(class(&[athena, code], message, status, &subject), expected, "{code} {message}");
        }
    }

    fn subjects() -> [Subject<'static>; 4] {
        [Subject::OTHER, Subject::start(Some("etl")), Subject::session("s-1"), Subject::work_group("etl")]
    }

    #[test]
    fn each_row_of_the_catalogue_is_taken() {
        for row in CATALOGUE {
            let code = row.codes.first().copied().unwrap_or("a code that nobody knows");
            for subject in subjects() {
                let counts = row.operations == Operations::All || row.operations == subject.operations;
                // For a session, NotFound comes before every other meaning of the code.
                if counts && !(subject.session.is_some() && code == RESOURCE_NOT_FOUND) {
                    let said = class(&[code], &row.text.example("s-1"), 400, &subject);
                    assert_eq!(said, (row.class, row.reason), "{row:?} {subject:?}");
                }
            }
        }
    }

    /// Sentences that have the words of a row and are about something else.
    const OTHER_THINGS: &[&str] = &[
        "KMS key arn:aws:kms:eu-west-1:000000000000:key/1 does not exist",
        "KMS key arn:aws:kms:eu-west-1:000000000000:key/1 of session s-1 does not exist",
        "KMS key arn:aws:kms:eu-west-1:000000000000:key/1 is disabled",
        "KMS key arn:aws:kms:eu-west-1:000000000000:key/1 of workgroup etl is disabled",
        "The role arn:aws:iam::000000000000:role/etl is disabled",
        "The role of WorkGroup etl was not found",
        "WorkGroup other is not found.",
        "WorkGroup other is disabled.",
        "WorkGroup other EngineVersion is not Spark.",
        "WorkGroup etl of account 111111111111 is not found.",
        "S3 bucket logs does not exist",
        "Log group /aws/etl was not found for session s-1",
        "Session s-2 was not found",
        "Session s-1 of s-2 was not found",
        "Session s-1 is in the TERMINATED state",
        "Session s-1 was found",
        "The session has no coordinator, which was not found",
        "Role etl cannot pass: maximum allowed sessions reached for role chaining",
        "The policy says: required capacity not being available",
        "The key policy failed with 1 validation error",
        "Tag value 'idempotent parameters do not match' is not allowed",
        "",
    ];

    #[test]
    fn a_sentence_about_something_else_takes_no_row_that_reads_the_message() {
        for subject in subjects() {
            for message in OTHER_THINGS {
                let said = class(&["InvalidRequestException", "INVALID_INPUT"], message, 400, &subject);
                assert_eq!(said, (ErrorClass::MayHeal, "Refused"), "{message} {subject:?}");
            }
        }
        for message in OTHER_THINGS {
            for code in ["InvalidSignatureException", "SignatureDoesNotMatch"] {
                assert_eq!(
                    class(&[code], message, 400, &Subject::OTHER),
                    (ErrorClass::MayHeal, CREDENTIALS_INVALID),
                    "{message}"
                );
            }
            assert_eq!(
                class(&["ValidationException"], message, 400, &Subject::OTHER),
                (ErrorClass::MayHeal, "Refused"),
                "{message}"
            );
            let listed = class(&[RESOURCE_NOT_FOUND], message, 400, &Subject::work_group("etl"));
            assert_eq!(listed, (ErrorClass::MayHeal, "Refused"), "a list names no session: {message}");
        }
    }

    #[test]
    fn a_session_is_not_found_by_its_id_only() {
        let said = |message| class(&["InvalidRequestException"], message, 400, &Subject::session("s-1"));
        for message in [
            "Session s-1 was not found",
            "Session 's-1' does not exist.",
            "The specified session (s-1) could not be found",
            "There is no session with id s-1.",
            "Unable to find session: s-1",
            "Session with id \"s-1\" no longer exists",
        ] {
            assert_eq!(said(message), (ErrorClass::NotFound, "NotFound"), "{message}");
        }
        let started = class(
            &["InvalidRequestException"],
            "Session s-1 was not found",
            400,
            &Subject::start(Some("etl")),
        );
        assert_eq!(started, (ErrorClass::MayHeal, "Refused"));
    }

    #[test]
    fn a_work_group_is_the_one_of_the_call_or_has_no_name() {
        let said =
            |message: &str, name| class(&["InvalidRequestException"], message, 400, &Subject::start(name)).1;
        for message in [
            "WorkGroup is not found.",
            "WorkGroup etl is not found.",
            "The work group 'etl' does not exist",
            "workgroup `etl` was not found",
        ] {
            assert_eq!(said(message, Some("etl")), WORK_GROUP_NOT_FOUND, "{message}");
        }
        for message in
            ["WorkGroup etl is not found.", "WorkGroup is is not found.", "WorkGroup etl-2 is not found."]
        {
            assert_eq!(said(message, Some("et")), "Refused", "{message}");
            assert_eq!(said(message, None), "Refused", "{message}");
        }
        // A name may be any word of the sentence.
        for name in ["is", "not", "found", "a.b-c_d"] {
            assert_eq!(said(&format!("WorkGroup {name} is not found."), Some(name)), WORK_GROUP_NOT_FOUND);
            assert_eq!(said(&format!("WorkGroup {name} is disabled."), Some(name)), "WorkGroupDisabled");
        }
    }

    #[test]
    fn a_denied_call_names_caller_action_and_resource_in_athenas_own_words() {
        use aws_sdk_athena::error::ErrorMetadata;
        use aws_sdk_athena::operation::start_session::StartSessionError;
        use aws_smithy_runtime_api::http::StatusCode;
        use aws_smithy_types::body::SdkBody;

        let text = "User: arn:aws:sts::000000000000:assumed-role/operator/x is not authorized to perform: athena:StartSession on resource: \
                    arn:aws:athena:eu-west-1:000000000000:workgroup/etl because no identity-based policy allows the athena:StartSession action";
        let denied = StartSessionError::generic(
            ErrorMetadata::builder().code("AccessDeniedException").message(text).build(),
        );
        let reply = HttpResponse::new(StatusCode::try_from(400).expect("a status"), SdkBody::empty());
        let refusal = refusal(&SdkError::service_error(denied, reply), &Subject::start(None));
        assert_eq!((refusal.reason, refusal.message.as_str()), ("AccessDenied", text));

        let mut known = crate::session::local_state::LocalState::default();
        known.start_refused(refusal, false, &crate::session::status::tests::at(0));
        assert_eq!(
            known.refused.map(|refused| refused.message()),
            Some(format!("StartSession is refused: {text}"))
        );
    }

    #[test]
    fn a_refused_signature_does_not_tell_the_request() {
        let text = "The request signature we calculated does not match the signature you provided.";
        let quoting = format!(
            "{text}\n\nThe Canonical String for this request should have been\n'POST\n/\n\nx-amz-security-token:canary\n'"
        );
        assert_eq!(showable(&quoting), text);
        let refused = std::io::Error::other(std::io::Error::other(quoting));
        assert!(
            !chain(&refused).contains("canary") && !cause(&refused).contains("canary"),
            "STS says it in the same words"
        );
        assert_eq!(showable(&"\u{20ac}".repeat(5000)).len(), 4095);
    }
}
