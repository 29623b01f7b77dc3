//! Keeps the values of a spec's properties, which may be secrets, out of what the texts of Athena and of the API server are put into: status, events and logs.
//!
//! A value is hidden as a whole word or more: not within another word, nor within an ARN, by which an administrator knows what to permit. It is sought raw,
//! escaped as in JSON or in URLs, each up to twice and in any order, whatever the case of its ASCII letters, and cut off at the end of the text.
//!
//! A value of fewer than four characters, a number, `true` or `false` is no secret unless the name of its property says so. Nor is what the object says of its
//! work group and its role, which stand in its status and in logs anyway.

mod escapes;
mod search;

use std::collections::BTreeMap;

pub(crate) use search::LEFT_OUT;
use search::Search;

use crate::api::AthenaSessionSpec;
use crate::session::reply::{Look, Refusal, Session};

/// Stands for a text that cannot be shown.
pub const WITHHELD: &str = "the text is not shown, since the object's properties could not be read to redact it";
/// How many bytes of a text are kept.
const LONGEST: usize = 8192;
/// A value with fewer characters is no secret, nor is so short a beginning of one.
const SHORTEST: usize = 4;
/// A property with one of these in its name holds a secret, whatever that is.
const SECRET_NAMES: [&str; 5] = ["secret", "password", "token", "key", "credential"];

/// Returns `text` without values of properties in `spec`, and without any other value that Athena's validation repeats.
/// Without its values, which a trimmed spec does not have, nothing of the text is shown.
pub fn redacted(text: &str, spec: &AthenaSessionSpec) -> String {
    if spec.trimmed {
        return WITHHELD.to_owned();
    }
    // What is cut off here is as what Athena cuts off. All that follows takes time by the length of this text, for each value.
    let text = without_repeated(&text[..text.floor_char_boundary(LONGEST)]);
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
    /// Whether the name of the property says that it is a secret.
    is_named_secret: bool,
}

impl Value<'_> {
    /// Returns whether `part` of the value may be a secret.
    fn is_secret(self, part: &str) -> bool {
        if self.is_named_secret { !part.is_empty() } else { is_long_enough(part) && !is_number(part) && !is_truth(part) }
    }
}

/// Returns the values of properties in `spec`.
fn values(spec: &AthenaSessionSpec) -> impl Iterator<Item = Value<'_>> {
    let engine = spec.engine_configuration.as_ref();
    let classified = engine.and_then(|engine| engine.classifications.as_ref()).into_iter().flatten();
    let maps = engine.into_iter().flat_map(|engine| [&engine.spark_properties, &engine.additional_configs]);
    let maps = maps.chain(classified.map(|classification| &classification.properties)).flatten();
    let values = maps.flat_map(BTreeMap::iter).map(|(name, value)| Value { text: value.trim(), is_named_secret: names_secret(name) });
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
    /// What has more characters is rather an id or a key.
    const LONGEST_NUMBER: usize = 32;
    // `infinity` is a word.
    value.len() <= LONGEST_NUMBER && value.bytes().all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(&byte)) && value.parse::<f64>().is_ok()
}

fn is_truth(value: &str) -> bool {
    ["true", "false"].iter().any(|truth| value.eq_ignore_ascii_case(truth))
}

/// Returns `text` without what stands in `Value '...' at 'field'`.
fn without_repeated(text: &str) -> String {
    const BEGIN: &str = "Value '";
    const END: &str = "' at '";
    let mut kept = String::new();
    let mut rest = text;
    while let Some((before, value)) = rest.split_once(BEGIN) {
        kept.extend([before, BEGIN, LEFT_OUT]);
        // A value may hold what looks like its end: the last one before the constraint counts.
        let complaint = value.find(" failed to satisfy constraint").unwrap_or(value.len());
        rest = value[..complaint].rfind(END).map_or("", |end| &value[end..]);
    }
    kept + rest
}

impl Refusal {
    /// The same without values of `spec`.
    #[must_use]
    pub fn redacted(self, spec: &AthenaSessionSpec) -> Self {
        Self { message: redacted(&self.message, spec), ..self }
    }
}

impl Session {
    /// The same without values of `spec` in Athena's texts.
    #[must_use]
    pub fn redacted(self, spec: &AthenaSessionSpec) -> Self {
        Self { state_change_reason: self.state_change_reason.map(|text| redacted(&text, spec)), ..self }
    }
}

impl Look {
    /// The same without values of `spec`.
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
