//! An error the service answers.

use hyper::StatusCode;
use serde::Serialize;

/// An error, as far as the protocols have it in common.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) status: StatusCode,
    pub(crate) code: String,
    pub(crate) message: String,
    /// `AthenaErrorCode`, which comes again as `ErrorCode`.
    athena_code: Option<&'static str>,
    resource: Option<String>,
    /// AWS's front end writes `message`, Athena behind it `Message`.
    front_end: bool,
}

#[derive(Serialize)]
struct Body<'a> {
    #[serde(rename = "__type")]
    code: &'a str,
    #[serde(rename = "AthenaErrorCode", skip_serializing_if = "Option::is_none")]
    athena_code: Option<&'a str>,
    #[serde(rename = "ErrorCode", skip_serializing_if = "Option::is_none")]
    error_code: Option<&'a str>,
    #[serde(rename = "Message", skip_serializing_if = "Option::is_none")]
    message: Option<&'a str>,
    #[serde(rename = "message", skip_serializing_if = "Option::is_none")]
    front_end_message: Option<&'a str>,
    #[serde(rename = "ResourceName", skip_serializing_if = "Option::is_none")]
    resource: Option<&'a str>,
}

impl Refusal {
    pub(crate) fn new(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            status: StatusCode::BAD_REQUEST,
            code: code.into(),
            message: message.into(),
            athena_code: None,
            resource: None,
            front_end: false,
        }
    }

    pub(crate) fn without_message(code: &str) -> Self {
        Self::new(code, "")
    }

    /// An error of AWS's front end.
    pub(crate) fn front_end(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self { front_end: true, ..Self::new(code, message) }
    }

    /// `InvalidRequestException` with the code `INVALID_INPUT`.
    pub(crate) fn invalid_input(message: impl Into<String>) -> Self {
        Self::invalid_request("INVALID_INPUT", message)
    }

    pub(crate) fn invalid_request(athena_code: &'static str, message: impl Into<String>) -> Self {
        Self { athena_code: Some(athena_code), ..Self::new("InvalidRequestException", message) }
    }

    pub(crate) fn not_found(resource: &str, message: impl Into<String>) -> Self {
        Self { resource: Some(resource.to_owned()), ..Self::new("ResourceNotFoundException", message) }
    }

    pub(crate) fn throttled() -> Self {
        Self::front_end("ThrottlingException", "Rate exceeded")
    }

    /// An error that a test orders. A number that is no HTTP status counts as 500.
    pub(crate) fn ordered(status: u16, code: &str, message: &str) -> Self {
        Self {
            athena_code: (code == "InvalidRequestException").then_some("INVALID_INPUT"),
            ..Self::new(code, message)
                .with_status(StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR))
        }
    }

    pub(crate) fn with_status(self, status: StatusCode) -> Self {
        Self { status, ..self }
    }

    pub(crate) fn json(&self) -> String {
        let message = Some(self.message.as_str()).filter(|message| !message.is_empty());
        let body = Body {
            code: &self.code,
            athena_code: self.athena_code,
            error_code: self.athena_code,
            message: message.filter(|_| !self.front_end),
            front_end_message: message.filter(|_| self.front_end),
            resource: self.resource.as_deref(),
        };
        serde_json::to_string(&body).unwrap_or_default()
    }
}
