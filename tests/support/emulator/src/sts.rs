//! AWS STS in AWS's Query protocol: form in, XML out.

use serde_json::{Map, Value};

use crate::Config;
use crate::refusal::Refusal;

/// The reply of `GetCallerIdentity`.
pub(crate) fn caller_identity(config: &Config, access_key_id: Option<&str>, request_id: &str) -> String {
    let account = config.account_of(access_key_id);
    format!(
        "<GetCallerIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">\n  \
         <GetCallerIdentityResult>\n    \
         <Arn>{}</Arn>\n    \
         <UserId>AROAEMULATOREXAMPLE:emulator</UserId>\n    \
         <Account>{}</Account>\n  \
         </GetCallerIdentityResult>\n  \
         <ResponseMetadata>\n    \
         <RequestId>{request_id}</RequestId>\n  \
         </ResponseMetadata>\n\
         </GetCallerIdentityResponse>",
        escaped(&Config::caller_arn(account)),
        escaped(account),
    )
}

/// An error in the Query protocol's form.
pub(crate) fn error(refusal: &Refusal, request_id: &str) -> String {
    let fault = if refusal.status.is_server_error() { "Receiver" } else { "Sender" };
    format!(
        "<ErrorResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">\n  \
         <Error>\n    \
         <Type>{fault}</Type>\n    \
         <Code>{}</Code>\n    \
         <Message>{}</Message>\n  \
         </Error>\n  \
         <RequestId>{request_id}</RequestId>\n\
         </ErrorResponse>",
        escaped(&refusal.code),
        escaped(&refusal.message),
    )
}

/// A form as a JSON object.
pub(crate) fn form(body: &[u8]) -> Map<String, Value> {
    form_urlencoded::parse(body)
        .map(|(name, value)| (name.into_owned(), Value::String(value.into_owned())))
        .collect()
}

pub(crate) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
