//! The values of the chart, as `values.yaml` says them and its comments tell of them.

use serde_json::Value;

/// A value.
pub(crate) struct Row {
    /// Its path, joined by dots.
    pub(crate) path: String,
    /// What it is by default.
    pub(crate) default: Value,
    /// Its comment.
    pub(crate) meaning: String,
}

/// The values of a `values.yaml`; each must have a comment.
pub(crate) fn rows(text: &str) -> Vec<Row> {
    let values: Value = serde_saphyr::from_str(text).expect("YAML");
    let lines: Vec<&str> = text.lines().collect();
    let mut rows: Vec<Row> = Vec::new();
    let mut above: Vec<&str> = Vec::new();
    let mut groups: Vec<(usize, String)> = Vec::new();
    let mut number = 0;
    while let Some(line) = lines.get(number) {
        number += 1;
        let key = line.trim_start();
        let depth = line.len() - key.len();
        if let Some(comment) = key.strip_prefix('#') {
            above.push(comment.trim());
            continue;
        }
        let Some((key, _)) = key.split_once(':') else {
            above.clear();
            continue;
        };
        groups.retain(|(outer, _)| *outer < depth);
        let path: Vec<String> = groups.iter().map(|(_, key)| key.clone()).chain([key.to_owned()]).collect();
        let block =
            lines[number..].iter().take_while(|line| line.len() - line.trim_start().len() > depth).count();
        let is_group = lines[number..number + block].iter().any(|line| line.trim_start().starts_with('#'));
        let meaning = std::mem::take(&mut above).join(" ");
        if is_group {
            groups.push((depth, key.to_owned()));
            continue;
        }
        number += block;
        let (pointer, path) = (format!("/{}", path.join("/")), path.join("."));
        assert!(!meaning.is_empty(), "values.yaml: {path} has no comment");
        let default = values.pointer(&pointer).expect("a value").clone();
        rows.push(Row { path, default, meaning });
    }
    rows
}

#[test]
fn a_group_of_values_is_told_from_a_value_that_is_an_object() {
    let text = "# About all.\n\n# A group.\na:\n  # One.\n  b: 1\n  # Two,\n  # and more.\n  c:\n    d: [x]\n    e: z\n# Three.\nf: ''\n";
    let told: Vec<_> =
        rows(text).into_iter().map(|row| (row.path, row.default.to_string(), row.meaning)).collect();
    let row =
        |path: &str, default: &str, meaning: &str| (path.to_owned(), default.to_owned(), meaning.to_owned());
    assert_eq!(
        told,
        [
            row("a.b", "1", "One."),
            row("a.c", r#"{"d":["x"],"e":"z"}"#, "Two, and more."),
            row("f", r#""""#, "Three.")
        ]
    );
}
