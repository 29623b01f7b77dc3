//! Each value does something, and is in the schema. That each has a comment and a row in the README, `tests/docs` proves.

use crate::helm::{Helm, RELEASE, in_parallel};
use crate::switches::{SWITCHES, Settings, everything, with};
use crate::values::{VALUES, schema_of};

#[test]
fn each_value_is_in_the_schema() {
    let without: Vec<&str> = VALUES
        .iter()
        .filter(|value| schema_of(&value.path).is_none())
        .map(|value| value.path.as_str())
        .collect();
    assert!(without.is_empty(), "values.schema.json lacks {without:#?}");
    assert!(VALUES.len() > 100, "only {} values", VALUES.len());
}

/// Whether the two differ in what is rendered on top of most or of least; one that is refused is
/// another one.
fn differ(one: &Settings, other: &Settings) -> bool {
    [everything().clone(), Settings::new()].iter().any(|below| {
        let [one, other] =
            [one, other].map(|settings| RELEASE.template(Helm::Four, &with(&[below, settings])).ok());
        one != other
    })
}

#[test]
fn each_value_does_something() {
    let choices: Vec<&Settings> = SWITCHES.iter().flat_map(|switch| &switch.choices[1..]).collect();
    let idle: Vec<String> = in_parallel(&choices, |choice| {
        // Without one of its values, a choice of several is another one.
        let without = |path: &String| -> Settings {
            let others = choice.iter().filter(|(other, _)| *other != path);
            others.map(|(path, value)| (path.clone(), value.clone())).collect()
        };
        let has_no_effect = |path: &&String| !differ(choice, &without(path));
        choice.keys().filter(has_no_effect).map(|path| format!("{path} in {choice:?}")).collect::<Vec<_>>()
    })
    .into_iter()
    .flatten()
    .collect();
    assert!(idle.is_empty(), "set to another value, they change nothing in what is rendered: {idle:#?}");
}
