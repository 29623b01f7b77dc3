//! Redaction of output: credentials, and passwords in URLs such as those of proxies, are never printed. All text that the process writes to its
//! standard output and error passes [`redact_secrets`].

use std::collections::VecDeque;
use std::io::{self, Write};

use parking_lot::RwLock;

/// Replacement of a secret.
const LEFT_OUT: &str = "***";
/// Length of the shortest secret, in bytes: a shorter text is no secret, and replacing it wherever it occurs would spoil the output.
const MIN_SECRET_BYTES: usize = 8;
/// Most secrets that are known at a time: those of the environment, and of the last credentials.
const MAX_SECRETS: usize = 32;
/// Members of AWS's replies and keys of its files that hold secrets, in lower case.
const MEMBERS: [&str; 5] =
    ["secretaccesskey", "sessiontoken", "aws_secret_access_key", "aws_session_token", "\"token\""];

static KNOWN: RwLock<VecDeque<String>> = RwLock::new(VecDeque::new());

/// Adds `secret` to those that [`redact_secrets`] replaces.
pub fn register_secret(secret: &str) {
    let mut known = KNOWN.write();
    let secret = secret.trim();
    if secret.len() >= MIN_SECRET_BYTES && !known.iter().any(|other| other == secret) {
        if known.len() == MAX_SECRETS {
            known.pop_front();
        }
        known.push_back(secret.to_owned());
    }
}

/// Returns `text` without secrets: those that are known, members that hold one by their name, and passwords in URLs.
pub fn redact_secrets(text: &str) -> String {
    let mut text = without_passwords(text);
    for secret in KNOWN.read().iter() {
        let quoted = serde_json::to_string(secret).unwrap_or_default();
        for written in [quoted.trim_matches('"'), secret] {
            if text.contains(written) {
                text = text.replace(written, LEFT_OUT);
            }
        }
    }
    MEMBERS.iter().fold(text, |text, member| without_member(&text, member))
}

/// Returns `text` without the part before an `@` in the authority of each URL.
fn without_passwords(text: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("://") {
        kept.extend([before, "://"]);
        let authority = &after[..end(after, "/?#\"'<>`")];
        rest = match authority.rfind('@') {
            Some(at) => {
                kept.push_str(LEFT_OUT);
                &after[at..]
            }
            None => after,
        };
    }
    kept.push_str(rest);
    kept
}

/// Returns the place in `text` of its first space or character of `others`, or else its length.
fn end(text: &str, others: &str) -> usize {
    text.find(|letter: char| letter.is_whitespace() || others.contains(letter)).unwrap_or(text.len())
}

/// Returns `text` without the values of `member`, in JSON, XML or a file of settings.
fn without_member(text: &str, member: &str) -> String {
    let lower = text.to_ascii_lowercase();
    let (mut kept, mut done) = (String::with_capacity(text.len()), 0);
    for (place, _) in lower.match_indices(member) {
        let after = place + member.len();
        if after < done {
            continue;
        }
        let value = text[after..].trim_start_matches(['"', '\\', ':', '=', '>', ' ']);
        let begin = text.len() - value.len();
        let length = end(value, "\"\\<,&");
        if begin > after && length > 0 {
            kept.extend([&text[done..begin], LEFT_OUT]);
            done = begin + length;
        }
    }
    kept.push_str(&text[done..]);
    kept
}

/// Writer that leaves secrets out of lines, each of which comes in one piece.
pub(crate) struct Withholding<W>(pub(crate) W);

impl<W: Write> Write for Withholding<W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.write_all(redact_secrets(&String::from_utf8_lossy(line)).as_bytes())?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_in_urls_are_left_out() {
        for (text, expected) in [
            ("cannot reach http://user:pass@proxy:3128/x", "cannot reach http://***@proxy:3128/x"),
            ("a \"https://p@ss@host\" b http://h/a@b", "a \"https://***@host\" b http://h/a@b"),
            ("no URL: a@b", "no URL: a@b"),
            ("cut off at http://user:pass@", "cut off at http://***@"),
            ("://", "://"),
        ] {
            assert_eq!(redact_secrets(text), expected);
        }
    }

    #[test]
    fn members_that_hold_a_secret_are_left_out_however_they_are_written() {
        for (text, expected) in [
            (
                "<SecretAccessKey>abc/def+1=</SecretAccessKey><Broken",
                "<SecretAccessKey>***</SecretAccessKey><Broken",
            ),
            (
                r#"{"SecretAccessKey": "abc", "Token":"def", "AccessKeyId":"AKIA"}"#,
                r#"{"SecretAccessKey": "***", "Token":"***", "AccessKeyId":"AKIA"}"#,
            ),
            (r#"{\"SessionToken\":\"abc\"}"#, r#"{\"SessionToken\":\"***\"}"#),
            (
                "aws_secret_access_key = abc\naws_session_token=def",
                "aws_secret_access_key = ***\naws_session_token=***",
            ),
            ("the SecretAccessKey", "the SecretAccessKey"),
            ("SecretAccessKeyring", "SecretAccessKeyring"),
        ] {
            assert_eq!(redact_secrets(text), expected);
        }
    }

    #[test]
    fn what_is_known_to_be_secret_is_left_out_wherever_it_stands() {
        register_secret("a-known-secret");
        register_secret("quoted\"secret");
        register_secret("short");
        assert_eq!(redact_secrets("x=a-known-secret, short"), "x=***, short");
        assert_eq!(redact_secrets(r#"{"x":"quoted\"secret"}"#), r#"{"x":"***"}"#);
        for number in 0..2 * MAX_SECRETS {
            register_secret(&format!("another-secret-{number}"));
        }
        assert_eq!(KNOWN.read().len(), MAX_SECRETS);
    }
}
