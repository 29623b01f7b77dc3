//! Replies that issue credentials, checked before the SDK reads them. The SDK signs calls of its own with issued credentials, such as AssumeRole, and
//! asks the instance's metadata for the role whose name they gave; it ends the process when a key cannot stand in a header, or a name in a URL.

use aws_smithy_runtime_api::client::http::SharedHttpClient;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_types::body::SdkBody;
use futures::future::FutureExt;
use http_body_util::BodyExt;
use serde_json::Value;

use super::http_client;
use crate::env_vars::Kind;

/// Maximum length of a reply with credentials, in bytes.
const LARGEST: usize = 1 << 20;
/// Members of replies that go into headers: the words for messages and the names in replies.
const MEMBERS: [(&str, &str); 4] = [
    ("access key id", "AccessKeyId"),
    ("secret access key", "SecretAccessKey"),
    ("session token", "SessionToken"),
    ("session token", "Token"),
];

/// Reason why the credentials of a reply cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Unusable(String);

/// Returns the SDK's own HTTP client with that check, for a search of credentials.
pub(super) fn http_client() -> Option<SharedHttpClient> {
    http_client::checked(|uri, reply| checked(reply, uri.ends_with("/security-credentials/")).boxed())
}

async fn checked(reply: HttpResponse, names_role: bool) -> Result<HttpResponse, ConnectorError> {
    let mut reply = http_client::limited(reply, LARGEST);
    if !reply.status().is_success() {
        return Ok(reply);
    }
    let body = std::mem::replace(reply.body_mut(), SdkBody::taken());
    let body = body.collect().await.map_err(ConnectorError::io)?.to_bytes();
    let text = String::from_utf8_lossy(&body);
    let problem = if names_role { problem_of_role(&text) } else { problem_of_credentials(&text) };
    if let Some(problem) = problem {
        return Err(ConnectorError::other(Unusable(problem).into(), None));
    }
    *reply.body_mut() = SdkBody::from(body);
    Ok(reply)
}

/// Returns the problem with the name of a role for which the instance's metadata have credentials.
fn problem_of_role(name: &str) -> Option<String> {
    let is_path = || format!("/{name}").parse::<http::Uri>().is_ok();
    let problem = Kind::Key.problem(name).or_else(|| (!is_path()).then(|| "cannot stand in a URL".into()));
    problem.map(|problem| format!("the name of the role in the instance's metadata {problem}"))
}

/// Returns the problem with the credentials in a reply, which is JSON or XML.
fn problem_of_credentials(reply: &str) -> Option<String> {
    let problem = |part: &str, value: &str| {
        Some(format!("the {part} that was issued {}", Kind::SecretKey.problem(value)?))
    };
    if let Ok(Value::Object(members)) = serde_json::from_str(reply) {
        return members.iter().find_map(|(name, value)| {
            let (part, _) = MEMBERS.iter().find(|(_, member)| member.eq_ignore_ascii_case(name))?;
            problem(part, value.as_str()?)
        });
    }
    MEMBERS.iter().find_map(|(part, member)| {
        let value = reply.split_once(&format!("<{member}>"))?.1.split_once('<')?.0;
        // No key has a character that XML would escape.
        problem(part, value).or_else(|| {
            value
                .contains('&')
                .then(|| format!("the {part} that was issued has a character in it that no key has"))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_that_cannot_be_sent_are_found_in_json_and_xml() {
        let xml = |key: &str, token: &str| {
            format!(
                "<R><Credentials>\n  <AccessKeyId>{key}</AccessKeyId>\n  <SecretAccessKey>a/b+c=</SecretAccessKey><SessionToken>{token}</SessionToken></R>"
            )
        };
        for (reply, part) in [
            (
                r#"{"AccessKeyId": "AKIA\n", "SecretAccessKey": "a", "Token": "b"}"#.to_owned(),
                "access key id",
            ),
            (r#"{"accessKeyId": "AKIA\u0007"}"#.to_owned(), "access key id"),
            (r#"{"AccessKeyId": "é"}"#.to_owned(), "access key id"),
            (r#"{"AccessKeyId": "AKIA", "Token": "b c"}"#.to_owned(), "session token"),
            (xml("AKIA\n", "b"), "access key id"),
            (xml("AKIA&#10;", "b"), "access key id"),
            (xml("AKIA", "b\u{7}"), "session token"),
        ] {
            let problem = problem_of_credentials(&reply).expect(part);
            assert!(
                problem.starts_with(&format!("the {part} that was issued ")) && !problem.contains("AKIA"),
                "{problem}"
            );
        }
        for reply in [
            "{\n  \"AccessKeyId\": \"AKIA\",\n  \"SecretAccessKey\": \"a/b+c=\",\n  \"Token\": \"b\", \"Message\": \"two\\nlines\"\n}\n",
            &xml("AKIA", "b"),
            "token-of-the-metadata",
            "",
            "[1]",
        ] {
            assert_eq!(problem_of_credentials(reply), None, "{reply}");
        }
    }

    #[test]
    fn a_name_of_a_role_that_cannot_stand_in_a_url_is_found() {
        for name in ["role\n", "a role", "rôle", "ro\u{7}le", "ro<le"] {
            assert!(problem_of_role(name).is_some(), "{name}");
        }
        assert_eq!(problem_of_role("spark-role_1.a@b"), None);
    }
}
