//! What a failed call means: by its code and its message, since Athena says InvalidRequest to nearly everything.

use std::error::Error;

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_athena::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_athena::operation::RequestId;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;

use crate::session::{Class, Refusal};

/// What the catalogue tells of a refusal by code, and by a part of its message in lower case. The first row that fits counts; an empty part always does.
const CATALOGUE: &[(&[&str], &str, Class, &str)] = &[
    (&["ThrottlingException", "Throttling", "TooManyRequestsException", "RequestLimitExceeded", "SlowDown"], "", Class::Throttled, "Throttled"),
    (&["AccessDeniedException", "AccessDenied", "UnauthorizedOperation"], "", Class::MayHeal, "AccessDenied"),
    (
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
            "RequestExpired",
            "OptInRequired",
        ],
        "",
        Class::MayHeal,
        "CredentialsInvalid",
    ),
    (&["IDEMPOTENT_PARAMETER_MISMATCH"], "", Class::TokenConflict, "TokenMismatch"),
    (&["InvalidRequestException"], "idempotent parameters do not match", Class::TokenConflict, "TokenMismatch"),
    (&["SessionAlreadyExistsException"], "", Class::TokenConflict, "SessionAlreadyExists"),
    (&["InvalidRequestException", "ResourceNotFoundException"], "workgroup is not found", Class::MayHeal, "WorkGroupNotFound"),
    (&["InvalidRequestException"], "workgroup is disabled", Class::MayHeal, "WorkGroupDisabled"),
    (&["InvalidRequestException"], "is disabled", Class::MayHeal, "WorkGroupDisabled"),
    (&["InvalidRequestException"], "engineversion is not spark", Class::MayHeal, "WorkGroupNotSpark"),
    (&["InvalidRequestException"], "maximum allowed sessions", Class::Capacity, "QuotaExceeded"),
    (&["InvalidRequestException"], "required capacity not being available", Class::Capacity, "CapacityUnavailable"),
    (&["ResourceNotFoundException"], "", Class::NotFound, "NotFound"),
    (&["InvalidRequestException"], "not found", Class::NotFound, "NotFound"),
    (&["InvalidRequestException"], "does not exist", Class::NotFound, "NotFound"),
    (&["InvalidRequestException", "ValidationException"], "validation error", Class::Rejected, "InvalidRequest"),
    (&["InternalServerException", "InternalFailure", "InternalError", "ServiceUnavailable"], "", Class::Unanswered, "AthenaUnavailable"),
];

/// The class of a refusal with these codes (the exception's and Athena's own) and this message.
fn class(codes: &[&str], message: &str, status: u16) -> (Class, &'static str) {
    let message = message.to_lowercase();
    CATALOGUE
        .iter()
        .find(|(names, part, ..)| codes.iter().any(|code| names.contains(code)) && message.contains(part))
        .map_or(if status >= 500 { (Class::Unanswered, "AthenaUnavailable") } else { (Class::MayHeal, "Refused") }, |(_, _, class, reason)| {
            (*class, reason)
        })
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
            let message = failure.err().message().unwrap_or(code);
            let athena_code = athena_error_code(failure.raw());
            let (class, reason) = class(&[athena_code.as_str(), code], message, failure.raw().status().as_u16());
            let message = if message.is_empty() { format!("HTTP {}", failure.raw().status().as_u16()) } else { message.to_owned() };
            Refusal { class, reason, message, request_id }
        }
        _ if caused_by_credentials(error) => Refusal {
            class: Class::MayHeal,
            reason: "CredentialsInvalid",
            message: format!("the operator has no AWS credentials (EKS Pod Identity, IRSA, a profile or keys): {}", cause(error)),
            request_id,
        },
        _ => Refusal { class: Class::Unanswered, reason: "AthenaUnavailable", message: chain(error), request_id },
    }
}

/// Label of a failed call for metrics: the service's own code, or what went wrong before there was one.
pub(super) fn code<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> String {
    match error {
        SdkError::ServiceError(failure) => {
            let known = |code: &&str| CATALOGUE.iter().any(|(names, ..)| names.contains(code));
            failure.err().code().filter(known).unwrap_or("other").to_owned()
        }
        SdkError::TimeoutError(_) => "timeout".into(),
        SdkError::DispatchFailure(_) => "transport".into(),
        SdkError::ResponseError(_) => "malformed".into(),
        _ => "other".into(),
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
fn cause(error: &(dyn Error + 'static)) -> String {
    sources(error).last().map(ToString::to_string).unwrap_or_default()
}

fn caused_by_credentials(error: &(dyn Error + 'static)) -> bool {
    sources(error).any(<dyn Error>::is::<CredentialsError>)
}

pub(super) fn chain(error: &(dyn Error + 'static)) -> String {
    sources(error).map(ToString::to_string).collect::<Vec<_>>().join(": ")
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
            ("InternalServerException", "", "", 500, (Class::Unanswered, "AthenaUnavailable")),
            ("", "", "", 503, (Class::Unanswered, "AthenaUnavailable")),
        ] {
            assert_eq!(class(&[athena, code], message, status), expected, "{code} {message}");
        }
    }
}
