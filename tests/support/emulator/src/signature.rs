//! The check of Signature Version 4.

use hmac::{Hmac, KeyInit, Mac};
use hyper::http::request::Parts;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use sha2::{Digest, Sha256};

use crate::config::{Config, Credential};

const DATE_FORMAT: &str = "%Y%m%dT%H%M%SZ";
const ALLOWED_SKEW: SignedDuration = SignedDuration::from_mins(5);

/// Why a request is not accepted. The text is AWS's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unauthentic {
    #[error("Missing Authentication Token")]
    Missing,
    #[error("{0}")]
    Incomplete(String),
    #[error("The security token included in the request is invalid.")]
    UnknownKey,
    #[error("The security token included in the request is expired")]
    Expired,
    #[error(
        "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method. \
         Consult the service documentation for details."
    )]
    Mismatch,
    #[error("{0}")]
    Scope(String),
    #[error("{0}")]
    Skewed(String),
}

/// The parts of an `authorization` header.
struct Authorization<'a> {
    key: &'a str,
    date: &'a str,
    region: &'a str,
    service: &'a str,
    signed: Vec<&'a str>,
    signature: &'a str,
}

impl<'a> Authorization<'a> {
    fn parse(header: &'a str) -> Option<Self> {
        let fields = header.strip_prefix("AWS4-HMAC-SHA256")?;
        let field = |name: &str| {
            fields.split(',').find_map(|field| field.trim().strip_prefix(name)?.strip_prefix('='))
        };
        let scope: Vec<&str> = field("Credential")?.split('/').collect();
        let [key, date, region, service, "aws4_request"] = scope[..] else {
            return None;
        };
        Some(Self {
            key,
            date,
            region,
            service,
            signed: field("SignedHeaders")?.split(';').collect(),
            signature: field("Signature")?,
        })
    }
}

/// The access key a request says it is signed with.
pub(crate) fn access_key_id(request: &Parts) -> Option<&str> {
    Authorization::parse(header(request, "authorization")?).map(|authorization| authorization.key)
}

/// Checks that a request comes from one of the configured credentials, now, for this service, unchanged.
pub(crate) fn check(
    request: &Parts,
    body: &[u8],
    service: &str,
    config: &Config,
    now: Timestamp,
) -> Result<(), Unauthentic> {
    let header_value = header(request, "authorization").ok_or(Unauthentic::Missing)?;
    let incomplete = |what: &str| Unauthentic::Incomplete(format!("Authorization header requires {what}."));
    let authorization = Authorization::parse(header_value).ok_or_else(|| {
        incomplete("'Credential', 'SignedHeaders' and 'Signature' parameters of AWS4-HMAC-SHA256")
    })?;
    let date = header(request, "x-amz-date")
        .ok_or_else(|| incomplete("existence of either a 'X-Amz-Date' or a 'Date' header"))?;

    let found = config.credentials.iter().find(|credential| credential.access_key_id == authorization.key);
    let credential = found.ok_or(Unauthentic::UnknownKey)?;
    if credential.session_token.is_some()
        && credential.session_token.as_deref() != header(request, "x-amz-security-token")
    {
        return Err(Unauthentic::UnknownKey);
    }
    if credential.expired {
        return Err(Unauthentic::Expired);
    }
    check_scope(&authorization, service, config)?;
    check_date(&authorization, date, now)?;

    let canonical = canonical_request(request, &authorization.signed, body).ok_or(Unauthentic::Mismatch)?;
    let signature = hex::decode(authorization.signature).map_err(|_| Unauthentic::Mismatch)?;
    let mac = signature_of(credential, &authorization, date, &canonical).ok_or(Unauthentic::Mismatch)?;
    mac.verify_slice(&signature).map_err(|_| Unauthentic::Mismatch)
}

fn check_scope(authorization: &Authorization, service: &str, config: &Config) -> Result<(), Unauthentic> {
    if authorization.service != service {
        return Err(Unauthentic::Scope(format!(
            "Credential should be scoped to correct service: '{service}'."
        )));
    }
    match &config.region {
        Some(region) if region != authorization.region => Err(Unauthentic::Scope(format!(
            "Credential should be scoped to a valid region, not '{}'.",
            authorization.region
        ))),
        _ => Ok(()),
    }
}

fn check_date(authorization: &Authorization, date: &str, now: Timestamp) -> Result<(), Unauthentic> {
    let incomplete =
        || Unauthentic::Incomplete(format!("Date must be in ISO-8601 'basic format'. Got '{date}'."));
    let civil = DateTime::strptime(DATE_FORMAT, date).map_err(|_| incomplete())?;
    let signed = civil.to_zoned(TimeZone::UTC).map_err(|_| incomplete())?.timestamp();
    if !date.starts_with(authorization.date) {
        return Err(Unauthentic::Scope(
            "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP."
                .to_owned(),
        ));
    }
    let basic = |at: Timestamp| at.strftime(DATE_FORMAT).to_string();
    let skew = now.duration_since(signed);
    if skew > ALLOWED_SKEW {
        let (earliest, now) = (basic(now.saturating_sub(ALLOWED_SKEW).unwrap_or(now)), basic(now));
        return Err(Unauthentic::Skewed(format!(
            "Signature expired: {date} is now earlier than {earliest} ({now} - 5 min.)"
        )));
    }
    if -skew > ALLOWED_SKEW {
        let (latest, now) = (basic(now.saturating_add(ALLOWED_SKEW).unwrap_or(now)), basic(now));
        return Err(Unauthentic::Skewed(format!(
            "Signature not yet current: {date} is still later than {latest} ({now} + 5 min.)"
        )));
    }
    Ok(())
}

fn header<'a>(request: &'a Parts, name: &str) -> Option<&'a str> {
    request.headers.get(name)?.to_str().ok()
}

/// None where a signed header is absent or no text.
fn canonical_request(request: &Parts, signed: &[&str], body: &[u8]) -> Option<String> {
    let mut headers = String::new();
    for name in signed {
        let mut values = Vec::new();
        for value in request.headers.get_all(*name) {
            values.push(value.to_str().ok()?.split_whitespace().collect::<Vec<_>>().join(" "));
        }
        if values.is_empty() {
            return None;
        }
        headers.extend([*name, ":", &values.join(","), "\n"]);
    }
    let mut query: Vec<String> =
        request.uri.query().unwrap_or_default().split('&').map(with_equals).collect();
    query.sort();
    Some(format!(
        "{}\n{}\n{}\n{headers}\n{}\n{}",
        request.method,
        request.uri.path(),
        query.join("&"),
        signed.join(";"),
        hex::encode(Sha256::digest(body)),
    ))
}

fn with_equals(pair: &str) -> String {
    if pair.is_empty() || pair.contains('=') { pair.to_owned() } else { format!("{pair}=") }
}

fn signature_of(
    credential: &Credential,
    authorization: &Authorization,
    date: &str,
    canonical: &str,
) -> Option<Hmac<Sha256>> {
    let Authorization { date: day, region, service, .. } = authorization;
    let mut key = format!("AWS4{}", credential.secret_access_key).into_bytes();
    for part in [*day, *region, *service, "aws4_request"] {
        key = keyed(&key, part)?.finalize().into_bytes().to_vec();
    }
    let hash = hex::encode(Sha256::digest(canonical));
    keyed(&key, &format!("AWS4-HMAC-SHA256\n{date}\n{day}/{region}/{service}/aws4_request\n{hash}"))
}

fn keyed(key: &[u8], message: &str) -> Option<Hmac<Sha256>> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).ok()?;
    mac.update(message.as_bytes());
    Some(mac)
}

#[cfg(test)]
#[path = "signature_tests.rs"]
mod tests;
