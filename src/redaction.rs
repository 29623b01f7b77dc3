//! Keeps the values of a spec's properties, which may be secrets, out of what Athena's texts are put into: status, events and logs.

use std::collections::HashSet;
use std::ops::Range;

use crate::api::AthenaSessionSpec;
use crate::session::{Look, Refusal, Session};

/// Stands for a text that cannot be shown.
pub const WITHHELD: &str = "the text is not shown, since the object's properties could not be read to redact it";
/// How many bytes of a text are kept.
const LONGEST: usize = 8192;
/// Stands for what was left out.
pub(crate) const LEFT_OUT: &str = "***";
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
    let values = maps.flatten().flat_map(|map| map.values()).map(|value| value.trim()).filter(|value| is_long_enough(value));
    // What is cut off here is as what Athena cuts off. All that follows takes time by the length of this text, for each value.
    let text = without_repeated(&text[..text.floor_char_boundary(LONGEST)]);
    // Whoever repeats a value may have escaped it, or changed its case.
    let lower = text.to_ascii_lowercase();
    let written = values.map(str::to_ascii_lowercase).flat_map(|value| [escaped(&value), Some(value)]).flatten();
    let ends = ends(&lower);
    let mut hidden: Vec<Range<usize>> = written.collect::<HashSet<_>>().iter().flat_map(|value| places(&lower, &ends, value)).collect();
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
    kept
}

/// Whether `value` can be a secret.
fn is_long_enough(value: &str) -> bool {
    value.chars().nth(SHORTEST - 1).is_some()
}

/// `value` as it stands in JSON, if that is another text.
fn escaped(value: &str) -> Option<String> {
    let quoted = serde_json::to_string(value).ok()?;
    let inner = quoted.strip_prefix('"')?.strip_suffix('"')?;
    (inner != value).then(|| inner.to_owned())
}

/// Where `value` stands in `text`, and where it begins and is cut off, at one of `ends`. It takes time by the lengths of both.
fn places(text: &str, ends: &[usize], value: &str) -> Vec<Range<usize>> {
    let whole = text.match_indices(value).map(|(start, value)| start..start + value.len());
    let begun = begun(text, value);
    let cut = ends.iter().map(|end| end - begun[*end]..*end).filter(|place| is_long_enough(&text[place.clone()]));
    whole.chain(cut).collect()
}

/// Where `text` may have been cut off: at its end, as Athena does it too, or before dots that say so; quotes, backslashes and spaces do not count.
fn ends(text: &str) -> Vec<usize> {
    let mut ends = vec![text.len()];
    let mut after = text.len();
    for (place, character) in text.char_indices().rev() {
        let is_before_end = ends.last() == Some(&after);
        let is_dots = text[place..].starts_with("...") || character == '\u{2026}';
        if is_dots || is_before_end && matches!(character, '\\' | '"' | ' ') {
            ends.push(place);
        }
        after = place;
    }
    ends
}

/// The length of the longest beginning of `value` that ends at each place of `text`, as the algorithm of Knuth, Morris and Pratt finds them.
fn begun(text: &str, value: &str) -> Vec<usize> {
    let (text, value) = (text.as_bytes(), value.as_bytes());
    // No more of it can stand in the text.
    let value = &value[..value.len().min(text.len() + 1)];
    let advance = |borders: &[usize], mut length: usize, byte: u8| {
        while length > 0 && (length == value.len() || value[length] != byte) {
            length = borders[length];
        }
        if value.get(length) == Some(&byte) { length + 1 } else { 0 }
    };
    let mut borders = vec![0; 2.min(value.len() + 1)];
    for byte in value.iter().skip(1) {
        let length = advance(&borders, *borders.last().unwrap_or(&0), *byte);
        borders.push(length);
    }
    let mut lengths = vec![0];
    for byte in text {
        lengths.push(advance(&borders, *lengths.last().unwrap_or(&0), *byte));
    }
    lengths
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
    fn a_text_that_repeats_the_beginning_of_many_values_takes_no_longer_than_another() {
        // Each beginning of a value stands at each place of the text, and ends nowhere.
        let properties: serde_json::Map<_, _> =
            (0..100).map(|number| (format!("spark.{number}"), json!(format!("{}{number}", "a".repeat(8000))))).collect();
        let spec = json!({ "workGroup": "etl", "engineConfiguration": { "sparkProperties": properties } });
        let spec: AthenaSessionSpec = serde_json::from_value(spec).expect("a spec");
        let begun = std::time::Instant::now();
        assert_eq!(redacted(&"a".repeat(6000), &spec), "***");
        assert_eq!(redacted(&format!("{} is cut", "a".repeat(4000)), &spec), format!("{} is cut", "a".repeat(4000)));
        // It took minutes. In a build without optimisations it takes less than a second.
        assert!(begun.elapsed() < std::time::Duration::from_secs(20), "{:?}", begun.elapsed());
    }

    #[test]
    fn the_longest_beginning_of_a_value_is_found_at_each_place() {
        for (text, value, expected) in [
            ("abab", "abac", &[0, 1, 2, 3, 2][..]),
            ("aaab", "aab", &[0, 1, 2, 2, 3]),
            ("xyz", "a", &[0, 0, 0, 0]),
            ("aba", "ab", &[0, 1, 2, 1]),
            ("", "abc", &[0]),
        ] {
            assert_eq!(begun(text, value), expected, "{value} in {text}");
        }
        assert_eq!(ends("a \"b\\... c\" "), [12, 11, 10, 5, 4], "from the end on");
    }

    #[test]
    fn values_that_overlap_are_left_out_whole() {
        let properties = serde_json::json!({ "spark.a": "first-half", "spark.b": "half-second" });
        let spec = serde_json::json!({ "workGroup": "etl", "engineConfiguration": { "sparkProperties": properties } });
        assert_eq!(redacted("a first-half-second b", &serde_json::from_value(spec).expect("a spec")), "a *** b");
    }
}
