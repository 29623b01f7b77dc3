//! Keeps the values of a spec's properties, which may be secrets, out of what Athena's texts are put into: status, events and logs.

use std::ops::Range;

use crate::api::AthenaSessionSpec;
use crate::session::{Look, Refusal, Session};

/// Stands for a text that cannot be shown.
pub const WITHHELD: &str = "the text is not shown, since the object's properties could not be read to redact it";
/// How many bytes of a text are kept.
const LONGEST: usize = 8192;
/// Stands for what was left out.
const LEFT_OUT: &str = "***";
/// A shorter value is no secret, and to replace it wherever it occurs would spoil the text.
const SHORTEST: usize = 4;

/// `text` without values of properties in `spec`, and without any other value that Athena's validation repeats.
/// Without its values, which a trimmed spec does not have, nothing of the text is shown.
pub fn redacted(text: &str, spec: &AthenaSessionSpec) -> String {
    if spec.trimmed {
        return WITHHELD.to_owned();
    }
    let engine = spec.engine_configuration.as_ref();
    let classified = engine.and_then(|engine| engine.classifications.as_ref()).into_iter().flatten();
    let maps = engine.into_iter().flat_map(|engine| [&engine.spark_properties, &engine.additional_configs]);
    let maps = maps.chain(classified.map(|classification| &classification.properties));
    let values = maps.flatten().flat_map(|map| map.values()).map(|value| value.trim()).filter(|value| value.chars().count() >= SHORTEST);
    let text = without_repeated(text);
    // Whoever repeats a value may have escaped it, or changed its case.
    let lower = text.to_ascii_lowercase();
    let written = values.map(str::to_ascii_lowercase).flat_map(|value| [Some(value.clone()), escaped(&value)]).flatten();
    let mut hidden: Vec<Range<usize>> = written.flat_map(|value| places(&lower, &value)).collect();
    hidden.sort_by_key(|place| place.start);
    let (mut kept, mut end) = (String::new(), 0);
    for place in hidden {
        // One value may be a part of another, or overlap it.
        if place.start >= end {
            kept.extend([&text[end..place.start], LEFT_OUT]);
        }
        end = end.max(place.end);
    }
    kept.push_str(&text[end..]);
    bounded(kept)
}

/// `text`, of which nobody shows more than the beginning: Athena may repeat all that it was sent.
fn bounded(mut text: String) -> String {
    if text.len() > LONGEST {
        text.truncate(text.floor_char_boundary(LONGEST));
        text.shrink_to_fit();
    }
    text
}

/// `value` as it stands in JSON, if that is another text.
fn escaped(value: &str) -> Option<String> {
    let quoted = serde_json::to_string(value).ok()?;
    let inner = quoted.strip_prefix('"')?.strip_suffix('"')?;
    (inner != value).then(|| inner.to_owned())
}

/// Where `value` stands in `text`, and where it begins and is cut off: at the end of the text, as Athena does it too, or before dots that say so.
fn places(text: &str, value: &str) -> Vec<Range<usize>> {
    let whole = text.match_indices(value).map(|(start, value)| start..start + value.len());
    let Some((shortest, _)) = value.char_indices().nth(SHORTEST) else { return whole.collect() };
    let begun = text.match_indices(&value[..shortest]).filter_map(|(start, _)| {
        let rest = &text[start..];
        let same: usize = rest.chars().zip(value.chars()).take_while(|(one, other)| one == other).map(|(one, _)| one.len_utf8()).sum();
        let after = rest[same..].trim_start_matches(['\\', '"', ' ']);
        (same < value.len() && (after.is_empty() || after.starts_with("...") || after.starts_with('\u{2026}'))).then(|| start..start + same)
    });
    whole.chain(begun).collect()
}

/// `text` without what stands in `Value '...' at 'field'`.
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
mod tests {
    use serde_json::json;

    use super::*;

    fn told(text: &str) -> String {
        let spec = json!({
            "workGroup": "etl",
            "engineConfiguration": {
                "sparkProperties": { "spark.password": "hunter2", "spark.longer": "hunter2-and-more", "spark.cores": "1" },
                "additionalConfigs": { "NotebookId": "a-notebook" },
                "classifications": [{ "name": "spark-defaults", "properties": { "spark.key": "AKIA/secret" } }],
            },
        });
        redacted(text, &serde_json::from_value(spec).expect("a spec"))
    }

    #[test]
    fn what_validation_repeats_is_left_out() {
        for (text, expected) in [
            (
                "2 validation errors detected: Value '{spark.password=hunter2}' at 'engineConfiguration.sparkProperties' failed to satisfy constraint: \
                 Map value must satisfy constraint: [x]; Value 'a tag' at 'tags.1.member.value' failed to satisfy constraint: y",
                "2 validation errors detected: Value '***' at 'engineConfiguration.sparkProperties' failed to satisfy constraint: \
                 Map value must satisfy constraint: [x]; Value '***' at 'tags.1.member.value' failed to satisfy constraint: y",
            ),
            ("Value 'it' at 'a' at 'b' failed to satisfy constraint: x", "Value '***' at 'b' failed to satisfy constraint: x"),
            ("1 validation error detected: Value 'cut off", "1 validation error detected: Value '***"),
            ("1 validation error detected: Value at 'x' failed", "1 validation error detected: Value at 'x' failed"),
        ] {
            assert_eq!(told(text), expected);
        }
    }

    #[test]
    fn values_of_properties_are_left_out_wherever_they_stand() {
        assert_eq!(told("spark.longer is hunter2-and-more, not hunter2"), "spark.longer is ***, not ***");
        assert_eq!(told("a-notebook AKIA/secret"), "*** ***");
        assert_eq!(told("1 error in work group etl"), "1 error in work group etl");
    }

    #[test]
    fn values_of_properties_are_left_out_however_they_are_written() {
        let spec = json!({ "workGroup": "etl", "engineConfiguration": { "sparkProperties": { "spark.password": "Sup3r\"S3cr\\et-that-is-long" } } });
        let spec = serde_json::from_value(spec).expect("a spec");
        for (text, expected) in [
            (r#"no {"spark.password":"Sup3r\"S3cr\\et-that-is-long"}"#, r#"no {"spark.password":"***"}"#),
            (r#"SUP3R"S3CR\ET-THAT-IS-LONG is no good"#, "*** is no good"),
            (r#"bad: Sup3r"S3cr\et... (truncated)"#, "bad: ***... (truncated)"),
            ("bad: Sup3r\"S3cr\u{2026}", "bad: ***\u{2026}"),
            ("Super is another word", "Super is another word"),
        ] {
            assert_eq!(redacted(text, &spec), expected);
        }
    }

    #[test]
    fn a_value_is_left_out_where_the_text_was_cut_within_it() {
        assert_eq!(told("the value AKIA/sec"), "the value ***");
        assert_eq!(told("the value hunter2-and-mo"), "the value ***");
        assert_eq!(told("the value AKI"), "the value AKI");
        assert_eq!(told("AKIA/sec is cut"), "AKIA/sec is cut");
    }

    #[test]
    fn values_that_overlap_are_left_out_whole() {
        let properties = serde_json::json!({ "spark.a": "first-half", "spark.b": "half-second" });
        let spec = serde_json::json!({ "workGroup": "etl", "engineConfiguration": { "sparkProperties": properties } });
        assert_eq!(redacted("a first-half-second b", &serde_json::from_value(spec).expect("a spec")), "a *** b");
    }
}
