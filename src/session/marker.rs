//! The token of an attempt and the marker in a session's description, which names the object and the attempt that started the session.
//!
//! Released builds must never change these bytes: Athena refuses a replay whose body differs from the one that it saw with the token.

use crate::api::{AthenaSessionSpec, MARKER_PREFIX};

/// Returns the ClientRequestToken of attempt `number` of the object with `uid`: the UID itself for the first, `<uid>-<n>` after.
pub fn token(uid: &str, number: i32) -> String {
    if number == 0 { uid.to_owned() } else { format!("{uid}-{number}") }
}

/// Returns the description for StartSession: the user's text, or `<namespace>/<name>` where there is none, and the marker.
pub fn description(spec: &AthenaSessionSpec, namespace: &str, name: &str, token: &str) -> String {
    match &spec.description {
        Some(text) => format!("{text} {MARKER_PREFIX}{token}]"),
        None => format!("{namespace}/{name} {MARKER_PREFIX}{token}]"),
    }
}

/// Returns the token in the marker of this description. A marker counts only whole and at the end.
fn token_in(description: &str) -> Option<&str> {
    let (_, marked) = description.rsplit_once(MARKER_PREFIX)?;
    marked.strip_suffix(']')
}

/// Returns the attempt of the object with `uid` that started the session with this description.
pub fn attempt_of(description: &str, uid: &str) -> Option<i32> {
    let rest = token_in(description)?.strip_prefix(uid)?;
    if rest.is_empty() {
        return Some(0);
    }
    let digits = rest.strip_prefix('-')?;
    let canonical = !digits.starts_with('0') && digits.bytes().all(|digit| digit.is_ascii_digit());
    if canonical { digits.parse().ok() } else { None }
}

/// Returns the UIDs to which the marker at the end of this description can belong: its token, and its token without an attempt's number.
pub fn possible_uids(description: &str) -> impl Iterator<Item = &str> {
    let token = token_in(description);
    let first_part = token.and_then(|token| token.rsplit_once('-')).map(|(uid, _)| uid);
    [token, first_part].into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    const UID: &str = "8f3f1f6e-8b0e-4b60-9d5c-6a4c1b0c7f11";

    #[test]
    fn the_token_of_the_first_attempt_is_the_uid() {
        assert_eq!(token(UID, 0), UID);
        assert_eq!(token(UID, 12), format!("{UID}-12"));
    }

    #[test]
    fn a_description_tells_its_attempt() {
        let spec = AthenaSessionSpec { description: Some("nightly".into()), ..Default::default() };
        for number in [0, 1, 7, i32::MAX] {
            let text = description(&spec, "team", "etl", &token(UID, number));
            assert!(text.starts_with("nightly ["));
            assert_eq!(attempt_of(&text, UID), Some(number));
            let attempts: Vec<_> =
                possible_uids(&text).filter(|uid| *uid == UID).map(|uid| attempt_of(&text, uid)).collect();
            assert_eq!(attempts, [Some(number)]);
        }
        let unnamed = description(&AthenaSessionSpec::default(), "team", "etl", UID);
        assert_eq!(unnamed, format!("team/etl [athena-operator/{UID}]"));
    }

    #[test]
    fn the_longest_description_fits_into_the_api() {
        let spec = AthenaSessionSpec { description: Some("x".repeat(960)), ..Default::default() };
        assert!(description(&spec, "n", "n", &token(UID, 999)).len() <= 1024);
    }

    #[test]
    fn a_marker_counts_only_whole_at_the_end_and_with_the_uid() {
        for text in [
            String::new(),
            "unmarked".into(),
            format!("[athena-operator/{UID}"),
            format!("[athena-operator/{UID}] and more"),
            format!("[athena-operator/{UID}-]"),
            format!("[athena-operator/{UID}-01]"),
            format!("[athena-operator/{UID}-+1]"),
            format!("[athena-operator/{UID}-99999999999]"),
            format!("[athena-operator/x{UID}]"),
            format!("athena-operator/{UID}]"),
            "[athena-operator/00000000-0000-0000-0000-000000000000]".into(),
        ] {
            assert_eq!(attempt_of(&text, UID), None, "{text}");
        }
    }
}
