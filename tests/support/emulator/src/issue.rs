//! Credentials that are issued for a token: by STS `AssumeRoleWithWebIdentity`, as IRSA asks for them, and by the agent of EKS Pod Identity.

use hyper::StatusCode;
use hyper::http::request::Parts;
use jiff::{Timestamp, Unit};
use serde_json::{Map, Value, json};

use crate::config::{Config, Credential, Issue};
use crate::journal::{Call, Outcome};
use crate::refusal::Refusal;
use crate::server::{Answer, Shared, answer};
use crate::sts::escaped;

/// The path under which the agent of EKS Pod Identity issues credentials.
pub(crate) const AGENT: &str = "/v1/credentials";

/// What is issued to whoever shows `token`, and until when it is valid.
fn issued<'a>(
    config: &'a Config,
    token: Option<&str>,
    now: Timestamp,
) -> Option<(&'a Credential, Timestamp)> {
    let Issue { access_key_id, lifetime, .. } =
        config.issue.as_ref().filter(|issue| Some(issue.token.as_str()) == token)?;
    let credential =
        config.credentials.iter().find(|credential| credential.access_key_id == *access_key_id)?;
    let end = now.saturating_add(*lifetime).unwrap_or(Timestamp::MAX);
    Some((credential, end.round(Unit::Second).unwrap_or(end)))
}

fn session_token(credential: &Credential) -> &str {
    credential.session_token.as_deref().unwrap_or("any")
}

/// Answers what EKS Pod Identity's agent is asked for. It is in the journal as `AssumeRoleForPodIdentity`; faults do not strike it.
pub(crate) fn agent(shared: &Shared, parts: &Parts) -> Answer {
    let mut world = shared.world();
    let now = Timestamp::now();
    let id = uuid::Uuid::new_v4().to_string();
    let token = parts.headers.get("authorization").and_then(|value| value.to_str().ok());
    let config = &world.config;
    let (status, body, outcome) = if let Some((credential, end)) = issued(config, token, config.clock(now)) {
        let body = json!({
            "AccessKeyId": credential.access_key_id,
            "SecretAccessKey": credential.secret_access_key,
            "Token": session_token(credential),
            "AccountId": config.account_of(Some(&credential.access_key_id)),
            "Expiration": end,
        });
        (StatusCode::OK, body, Outcome::Ok)
    } else {
        let code = "AccessDeniedException";
        (
            StatusCode::FORBIDDEN,
            json!({ "code": code, "message": "the token is not known" }),
            Outcome::Error(code.to_owned()),
        )
    };
    let call = Call {
        number: 0,
        time: now,
        operation: "AssumeRoleForPodIdentity".to_owned(),
        token: None,
        session_id: None,
        request: Value::Null,
        outcome,
        request_id: id.clone(),
        access_key_id: None,
    };
    world.journal.arrive(call);
    answer(status, "application/json", Some(&id), body.to_string())
}

/// The reply of `AssumeRoleWithWebIdentity`.
pub(crate) fn web_identity(
    config: &Config,
    input: &Map<String, Value>,
    request_id: &str,
    now: Timestamp,
) -> Result<String, Refusal> {
    let text = |name: &str| input.get(name).and_then(Value::as_str);
    let (credential, end) = issued(config, text("WebIdentityToken"), now).ok_or_else(|| {
        Refusal::new(
            "InvalidIdentityToken",
            "No OpenIDConnect provider found in your account for the issuer of the token",
        )
    })?;
    let role = text("RoleArn").and_then(|arn| arn.rsplit('/').next()).unwrap_or_default();
    let session = text("RoleSessionName").unwrap_or_default();
    let account = config.account_of(Some(&credential.access_key_id));
    Ok(format!(
        "<AssumeRoleWithWebIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">\n  \
         <AssumeRoleWithWebIdentityResult>\n    \
         <Audience>sts.amazonaws.com</Audience>\n    \
         <AssumedRoleUser>\n      \
         <AssumedRoleId>AROAEMULATOREXAMPLE:{session}</AssumedRoleId>\n      \
         <Arn>arn:aws:sts::{account}:assumed-role/{role}/{session}</Arn>\n    \
         </AssumedRoleUser>\n    \
         <Credentials>\n      \
         <AccessKeyId>{}</AccessKeyId>\n      \
         <SecretAccessKey>{}</SecretAccessKey>\n      \
         <SessionToken>{}</SessionToken>\n      \
         <Expiration>{end}</Expiration>\n    \
         </Credentials>\n  \
         </AssumeRoleWithWebIdentityResult>\n  \
         <ResponseMetadata>\n    \
         <RequestId>{request_id}</RequestId>\n  \
         </ResponseMetadata>\n\
         </AssumeRoleWithWebIdentityResponse>",
        escaped(&credential.access_key_id),
        escaped(&credential.secret_access_key),
        escaped(session_token(credential)),
        session = escaped(session),
        role = escaped(role),
    ))
}
