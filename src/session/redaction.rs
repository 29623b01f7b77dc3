//! Keeps the values of a spec's properties, which may be secrets, out of the status, events and logs, which contain texts of Athena and of the API
//! server.
//!
//! A value is hidden as a whole word or more: not within another word, nor within an ARN, by which an administrator knows what to permit. It is
//! searched for raw, escaped as in JSON or in URLs, each up to twice and in any order, whatever the case of its ASCII letters, and cut off at the end
//! of the text.
//!
//! A value of fewer than four characters, a number, `true` or `false` is no secret unless the name of its property marks it as one. The object's work
//! group and role are no secrets either: they stand in its status and in logs anyway.

mod escapes;
mod search;

use std::collections::BTreeMap;

pub(crate) use search::LEFT_OUT;
use search::Search;

use crate::api::AthenaSessionSpec;
use crate::session::reply::{Look, Refusal, Session};

/// Replacement of a text that cannot be shown.
pub const WITHHELD: &str =
    "the text is not shown, since the object's properties could not be read to redact it";
/// Maximum length of a text that is redacted, in bytes; the rest is dropped.
const MAX_TEXT_BYTES: usize = 8192;
/// Minimum length of a secret in characters: neither a shorter value nor a shorter beginning of one is secret.
const SHORTEST: usize = 4;
/// Parts of a property's name that make its value a secret, whatever the value is.
const SECRET_NAMES: [&str; 5] = ["secret", "password", "token", "key", "credential"];

/// Returns `text` without values of properties in `spec`, and without any other value that Athena's validation repeats. With a trimmed spec, which
/// does not have the values, nothing of the text is shown.
pub fn redacted(text: &str, spec: &AthenaSessionSpec) -> String {
    if spec.trimmed {
        return WITHHELD.to_owned();
    }
    // A cut here is treated like one by Athena. The rest takes time linear in the length of this text, for each value.
    let text = without_repeated(&text[..text.floor_char_boundary(MAX_TEXT_BYTES)]);
    let mut search = Search::new(&text);
    for value in values(spec).filter(|value| value.is_secret(value.text)) {
        search.hide(value.text, |length| {
            let beginning = &value.text[..value.text.floor_char_boundary(length)];
            is_long_enough(beginning) && value.is_secret(beginning)
        });
    }
    search.shown()
}

/// The value of a property.
#[derive(Clone, Copy)]
struct Value<'a> {
    text: &'a str,
    /// True if the name of the property marks it as a secret.
    is_named_secret: bool,
}

impl Value<'_> {
    /// Returns whether `part` of the value may be a secret.
    fn is_secret(self, part: &str) -> bool {
        if self.is_named_secret {
            !part.is_empty()
        } else {
            is_long_enough(part) && !is_number(part) && !is_truth(part)
        }
    }
}

/// Returns the values of properties in `spec`.
fn values(spec: &AthenaSessionSpec) -> impl Iterator<Item = Value<'_>> {
    let engine = spec.engine_configuration.as_ref();
    let classified = engine.and_then(|engine| engine.classifications.as_ref()).into_iter().flatten();
    let maps = engine.into_iter().flat_map(|engine| [&engine.spark_properties, &engine.additional_configs]);
    let maps = maps.chain(classified.map(|classification| &classification.properties)).flatten();
    let values = maps
        .flat_map(BTreeMap::iter)
        .map(|(name, value)| Value { text: value.trim(), is_named_secret: names_secret(name) });
    let is_public = |value: &str| value == spec.work_group || Some(value) == spec.execution_role.as_deref();
    values.filter(move |value| value.is_named_secret || !is_public(value.text))
}

fn names_secret(property: &str) -> bool {
    let property = property.to_ascii_lowercase();
    SECRET_NAMES.iter().any(|name| property.contains(name))
}

fn is_long_enough(value: &str) -> bool {
    value.chars().nth(SHORTEST - 1).is_some()
}

fn is_number(value: &str) -> bool {
    /// Maximum length of a number; a longer text is more likely an id or a key.
    const LONGEST_NUMBER: usize = 32;
    // `infinity` is a word.
    value.len() <= LONGEST_NUMBER
        && value.bytes().all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(&byte))
        && value.parse::<f64>().is_ok()
}

fn is_truth(value: &str) -> bool {
    ["true", "false"].iter().any(|truth| value.eq_ignore_ascii_case(truth))
}

/// Returns `text` without the values in `Value '...' at 'field'`.
fn without_repeated(text: &str) -> String {
    const BEGIN: &str = "Value '";
    const END: &str = "' at '";
    let mut kept = String::new();
    let mut rest = text;
    while let Some((before, value)) = rest.split_once(BEGIN) {
        kept.extend([before, BEGIN, LEFT_OUT]);
        // A value may contain a text like its end: the last one before the constraint counts.
        let complaint = value.find(" failed to satisfy constraint").unwrap_or(value.len());
        rest = value[..complaint].rfind(END).map_or("", |end| &value[end..]);
    }
    kept + rest
}

impl Refusal {
    /// Returns the refusal without values of `spec`.
    #[must_use]
    pub fn redacted(self, spec: &AthenaSessionSpec) -> Self {
        Self { message: redacted(&self.message, spec), ..self }
    }
}

impl Session {
    /// Returns the session without values of `spec` in Athena's texts.
    #[must_use]
    pub fn redacted(self, spec: &AthenaSessionSpec) -> Self {
        Self { state_change_reason: self.state_change_reason.map(|text| redacted(&text, spec)), ..self }
    }
}

impl Look {
    /// Returns the look without values of `spec`.
    #[must_use]
    pub fn redacted(self, spec: &AthenaSessionSpec) -> Self {
        match self {
            Self::Seen(session) => Self::Seen(session.redacted(spec)),
            Self::NotFound { named } => Self::NotFound { named },
            Self::Failed(refusal) => Self::Failed(refusal.redacted(spec)),
        }
    }
}

#[cfg(test)]
#[path = "redaction_tests.rs"]
mod tests;
