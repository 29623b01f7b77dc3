//! What a failed call means: by its code and its message, since Athena says InvalidRequest to nearly everything.

use std::error::Error;

use aws_sdk_athena::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_athena::operation::RequestId;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;

use super::credentials::Missing;
use crate::session::{Class, Refusal};

/// A row of the catalogue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Codes of the exception or Athena's own ones; `5xx` is any failure of the server. None: any code.
    pub codes: &'static [&'static str],
    /// A part of the message, in lower case; empty where the message does not matter.
    pub text: &'static str,
    /// What to make of it.
    pub class: Class,
    /// Reason for conditions and events.
    pub reason: &'static str,
}

const fn entry(codes: &'static [&'static str], text: &'static str, class: Class, reason: &'static str) -> Entry {
    Entry { codes, text, class, reason }
}

/// Reason of a call that AWS refuses for its credentials, or that could not be made without any.
pub(super) const CREDENTIALS_INVALID: &str = "CredentialsInvalid";

/// What a refusal means. The first row that fits counts.
pub const CATALOGUE: &[Entry] = &[
    entry(
        &["ThrottlingException", "Throttling", "TooManyRequestsException", "RequestLimitExceeded", "LimitExceededException", "SlowDown"],
        "",
        Class::Throttled,
        "Throttled",
    ),
    entry(&["AccessDeniedException", "AccessDenied", "UnauthorizedOperation"], "", Class::MayHeal, "AccessDenied"),
    entry(&["InvalidSignatureException", "SignatureDoesNotMatch"], "signature expired", Class::MayHeal, "ClockSkew"),
    entry(&["InvalidSignatureException", "SignatureDoesNotMatch"], "signature not yet current", Class::MayHeal, "ClockSkew"),
    entry(&["RequestExpired", "RequestTimeTooSkewed"], "", Class::MayHeal, "ClockSkew"),
    entry(&["InvalidSignatureException", "SignatureDoesNotMatch"], "scoped to a valid region", Class::MayHeal, "WrongRegion"),
    entry(
        &[
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
        ],
        "",
        Class::MayHeal,
        CREDENTIALS_INVALID,
    ),
    entry(&["IDEMPOTENT_PARAMETER_MISMATCH"], "", Class::TokenConflict, "TokenMismatch"),
    entry(&["InvalidRequestException"], "idempotent parameters do not match", Class::TokenConflict, "TokenMismatch"),
    entry(&["SessionAlreadyExistsException"], "", Class::TokenConflict, "SessionAlreadyExists"),
    entry(&["InvalidRequestException", "ResourceNotFoundException"], "workgroup is not found", Class::MayHeal, "WorkGroupNotFound"),
    entry(&["InvalidRequestException"], "is disabled", Class::MayHeal, "WorkGroupDisabled"),
    entry(&["InvalidRequestException"], "engineversion is not spark", Class::MayHeal, "WorkGroupNotSpark"),
    entry(&["InvalidRequestException"], "maximum allowed sessions", Class::Capacity, "QuotaExceeded"),
    entry(&["InvalidRequestException"], "required capacity not being available", Class::Capacity, "CapacityUnavailable"),
    entry(&["ResourceNotFoundException"], "", Class::NotFound, "NotFound"),
    entry(&["InvalidRequestException"], "not found", Class::NotFound, "NotFound"),
    entry(&["InvalidRequestException"], "does not exist", Class::NotFound, "NotFound"),
    entry(&["InvalidRequestException", "ValidationException"], "validation error", Class::Rejected, "InvalidRequest"),
    entry(
        &[
            "InternalServerException",
            "InternalFailure",
            "InternalError",
            "ServiceUnavailable",
            "RequestTimeout",
            "RequestTimeoutException",
            SERVER_FAILURE,
        ],
        "",
        Class::Unanswered,
        "AthenaUnavailable",
    ),
    entry(&[], "", Class::MayHeal, "Refused"),
];

/// Stands in the catalogue for any status of 500 and more.
const SERVER_FAILURE: &str = "5xx";

/// The class and the reason of a refusal with these codes (the exception's and Athena's own) and this message.
fn class(codes: &[&str], message: &str, status: u16) -> (Class, &'static str) {
    let message = message.to_lowercase();
    let names = |row: &Entry, code: &str| row.codes.contains(&code) || row.codes.is_empty();
    let server = if status >= 500 { SERVER_FAILURE } else { "" };
    CATALOGUE
        .iter()
        .find(|row| codes.iter().chain([&server]).any(|code| names(row, code)) && message.contains(row.text))
        .map_or((Class::MayHeal, "Refused"), |row| (row.class, row.reason))
}

/// What people are told of a text of AWS's: not the request behind a refused signature, which holds the session token, and not more than a condition takes.
fn told(text: &str) -> &str {
    /// A text is cut after so many bytes.
    const LONGEST: usize = 4096;
    let text = text.split_once("The Canonical String").map_or(text, |(before, _)| before.trim_end());
    &text[..text.floor_char_boundary(LONGEST)]
}

/// What a failed call means.
pub(super) fn refusal<E>(error: &SdkError<E, HttpResponse>) -> Refusal
where
    E: ProvideErrorMetadata + Error + Send + Sync + 'static,
{
    let request_id = error.request_id().map(str::to_owned);
    match error {
        SdkError::ServiceError(failure) => {
            let code = failure.err().code().unwrap_or_default();
            let message = told(failure.err().message().unwrap_or(code));
            let athena_code = athena_error_code(failure.raw());
            let (class, reason) = class(&[athena_code.as_str(), code], message, failure.raw().status().as_u16());
            let message = if message.is_empty() { format!("HTTP {}", failure.raw().status().as_u16()) } else { message.to_owned() };
            Refusal { class, reason, message, request_id }
        }
        _ if let Some(missing) = missing(error) => {
            let reason = if matches!(missing, Missing::AccountChanged { .. }) { "AccountChanged" } else { CREDENTIALS_INVALID };
            Refusal { class: Class::MayHeal, reason, message: missing.to_string(), request_id }
        }
        _ => Refusal { class: Class::Unanswered, reason: "AthenaUnavailable", message: chain(error), request_id },
    }
}

/// Label of a failed call for metrics: the service's own code, or what went wrong before there was one.
pub(super) fn code<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> &'static str {
    match error {
        SdkError::ServiceError(failure) => {
            let known = |code: &str| CATALOGUE.iter().flat_map(|row| row.codes).find(|known| **known == code).copied();
            failure.err().code().and_then(known).unwrap_or("Other")
        }
        SdkError::TimeoutError(_) => "timeout",
        SdkError::DispatchFailure(_) => "transport",
        SdkError::ResponseError(_) => "malformed",
        _ => "Other",
    }
}

fn athena_error_code(reply: &HttpResponse) -> String {
    reply
        .body()
        .bytes()
        .and_then(|body| serde_json::from_slice::<serde_json::Value>(body).ok())
        .and_then(|body| body.get("AthenaErrorCode").and_then(|code| code.as_str().map(str::to_owned)))
        .unwrap_or_default()
}

fn sources<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error: &&'a (dyn Error + 'static)| (*error).source())
}

/// The innermost cause.
pub(super) fn cause(error: &(dyn Error + 'static)) -> String {
    told(&sources(error).last().map(ToString::to_string).unwrap_or_default()).to_owned()
}

/// Why the call could not be signed, if that is why it failed.
fn missing<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a Missing> {
    sources(error).find_map(|source| source.downcast_ref())
}

/// The error and its causes.
pub(super) fn chain(error: &(dyn Error + 'static)) -> String {
    sources(error).map(|source| told(&source.to_string()).to_owned()).collect::<Vec<_>>().join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_the_service_have_their_class() {
        for (code, athena, message, status, expected) in [
            ("ThrottlingException", "", "Rate exceeded", 400, (Class::Throttled, "Throttled")),
            ("TooManyRequestsException", "", "", 400, (Class::Throttled, "Throttled")),
            ("InvalidRequestException", "INVALID_INPUT", "Workgroup EngineVersion is not Spark.", 400, (Class::MayHeal, "WorkGroupNotSpark")),
            ("InvalidRequestException", "INVALID_INPUT", "WorkGroup is not found.", 400, (Class::MayHeal, "WorkGroupNotFound")),
            ("InvalidRequestException", "", "WorkGroup etl is disabled", 400, (Class::MayHeal, "WorkGroupDisabled")),
            ("InvalidRequestException", "", "Maximum allowed sessions reached", 400, (Class::Capacity, "QuotaExceeded")),
            (
                "InvalidRequestException",
                "",
                "Failed to Provision session due to required capacity not being available for the account",
                400,
                (Class::Capacity, "CapacityUnavailable"),
            ),
            (
                "InvalidRequestException",
                "IDEMPOTENT_PARAMETER_MISMATCH",
                "Idempotent parameters do not match",
                400,
                (Class::TokenConflict, "TokenMismatch"),
            ),
            ("SessionAlreadyExistsException", "", "The specified session already exists.", 400, (Class::TokenConflict, "SessionAlreadyExists")),
            ("ResourceNotFoundException", "", "Session s-1 not found", 400, (Class::NotFound, "NotFound")),
            ("InvalidRequestException", "INVALID_INPUT", "Session s-1 was not found", 400, (Class::NotFound, "NotFound")),
            ("InvalidRequestException", "INVALID_INPUT", "1 validation error detected: Value at 'x'", 400, (Class::Rejected, "InvalidRequest")),
            ("InvalidRequestException", "INVALID_INPUT", "a text that nobody knows", 400, (Class::MayHeal, "Refused")),
            ("AccessDeniedException", "", "User: x is not authorized", 400, (Class::MayHeal, "AccessDenied")),
            ("ExpiredTokenException", "", "", 400, (Class::MayHeal, "CredentialsInvalid")),
            ("InvalidSignatureException", "", "Signature expired: 20261122T093723Z is now earlier than 2", 400, (Class::MayHeal, "ClockSkew")),
            ("InvalidSignatureException", "", "Signature not yet current: 20261122T093723Z is still later", 400, (Class::MayHeal, "ClockSkew")),
            ("InvalidSignatureException", "", "Credential should be scoped to a valid region, not 'x'.", 400, (Class::MayHeal, "WrongRegion")),
            ("InvalidSignatureException", "", "The request signature we calculated does not match", 400, (Class::MayHeal, "CredentialsInvalid")),
            ("AccessDenied", "", "", 503, (Class::MayHeal, "AccessDenied")),
            ("LimitExceededException", "", "", 400, (Class::Throttled, "Throttled")),
            ("InternalServerException", "", "", 500, (Class::Unanswered, "AthenaUnavailable")),
            ("RequestTimeoutException", "", "", 400, (Class::Unanswered, "AthenaUnavailable")),
            ("a code that nobody knows", "", "", 500, (Class::Unanswered, "AthenaUnavailable")),
            ("", "", "", 503, (Class::Unanswered, "AthenaUnavailable")),
        ] {
            assert_eq!(class(&[athena, code], message, status), expected, "{code} {message}");
        }
    }

    #[test]
    fn each_row_of_the_catalogue_is_taken() {
        for row in CATALOGUE {
            let code = row.codes.first().copied().unwrap_or("a code that nobody knows");
            assert_eq!(class(&[code], &format!("It says: {}.", row.text.to_uppercase()), 400), (row.class, row.reason), "{row:?}");
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
        let denied = StartSessionError::generic(ErrorMetadata::builder().code("AccessDeniedException").message(text).build());
        let reply = HttpResponse::new(StatusCode::try_from(400).expect("a status"), SdkBody::empty());
        let refusal = refusal(&SdkError::service_error(denied, reply));
        assert_eq!((refusal.reason, refusal.message.as_str()), ("AccessDenied", text));

        let mut known = crate::known::Known::default();
        known.start_refused(refusal, false, k8s_openapi::jiff::Timestamp::UNIX_EPOCH, 0.0);
        assert_eq!(known.refused.map(|refused| refused.message()), Some(format!("StartSession is refused: {text}")));
    }

    #[test]
    fn a_refused_signature_does_not_tell_the_request() {
        let text = "The request signature we calculated does not match the signature you provided.";
        let quoting = format!("{text}\n\nThe Canonical String for this request should have been\n'POST\n/\n\nx-amz-security-token:canary\n'");
        assert_eq!(told(&quoting), text);
        let refused = std::io::Error::other(std::io::Error::other(quoting));
        assert!(!chain(&refused).contains("canary") && !cause(&refused).contains("canary"), "STS says it in the same words");
        assert_eq!(told(&"\u{20ac}".repeat(5000)).len(), 4095);
    }
}
