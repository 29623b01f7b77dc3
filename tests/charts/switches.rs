//! What each value may be switched to, and the renders of all pairs of that.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::Deserialize;
use serde_json::Value;

use crate::helm::{Helm, RELEASE, in_parallel};
use crate::pairwise;
use crate::values::{self, DEFAULTS, VALUES, overlay, schema_of};

/// Values by path.
pub(crate) type Settings = BTreeMap<String, Value>;

/// The file beside this one.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Alternatives {
    always: Settings,
    everything: Settings,
    alone: BTreeMap<String, Vec<Value>>,
    together: BTreeMap<String, Vec<Settings>>,
}

static ALTERNATIVES: LazyLock<Alternatives> = LazyLock::new(|| {
    serde_saphyr::from_str(include_str!("switches.yaml"))
        .unwrap_or_else(|error| panic!("switches.yaml: {error}"))
});

/// A value, or values that are only good together.
pub(crate) struct Switch {
    pub(crate) name: String,
    /// The first one is what the chart does by itself.
    pub(crate) choices: Vec<Settings>,
}

/// All of them: those of the file, and each boolean and enumeration besides.
pub(crate) static SWITCHES: LazyLock<Vec<Switch>> = LazyLock::new(|| {
    let alternatives = &*ALTERNATIVES;
    let with_default = |choices: Vec<Settings>| std::iter::once(Settings::new()).chain(choices).collect();
    let together = alternatives
        .together
        .iter()
        .map(|(name, choices)| Switch { name: name.clone(), choices: with_default(choices.clone()) });
    let mentioned =
        |path: &str| alternatives.together.values().flatten().any(|choice| choice.contains_key(path));
    let others = VALUES.iter().filter(|value| !mentioned(&value.path)).map(|value| {
        let path = &value.path;
        let choices = alternatives.alone.get(path).cloned().unwrap_or_else(|| of_schema(path));
        Switch {
            name: path.clone(),
            choices: with_default(
                choices.into_iter().map(|choice| Settings::from([(path.clone(), choice)])).collect(),
            ),
        }
    });
    together.chain(others).collect()
});

/// What the schema alone tells of a value's choices but the default.
fn of_schema(path: &str) -> Vec<Value> {
    let (schema, default) = (schema_of(path).unwrap_or(&Value::Null), values::get(&DEFAULTS, path));
    let choices = if schema["type"] == "boolean" {
        vec![Value::Bool(false), Value::Bool(true)]
    } else {
        schema["enum"].as_array().cloned().unwrap_or_default()
    };
    choices.into_iter().filter(|choice| Some(choice) != default).collect()
}

/// Values with what every release has to set, and these.
pub(crate) fn with(settings: &[&Settings]) -> Value {
    let mut all = ALTERNATIVES.always.clone();
    all.extend(
        settings
            .iter()
            .flat_map(|settings| settings.iter())
            .map(|(path, value)| (path.clone(), value.clone())),
    );
    overlay(&all)
}

/// The least that can be set.
pub(crate) fn nothing() -> Value {
    with(&[])
}

/// What has to be on for details to matter.
pub(crate) fn everything() -> &'static Settings {
    &ALTERNATIVES.everything
}

/// A render of the chart.
pub(crate) struct Render {
    pub(crate) values: Value,
    pub(crate) text: String,
}

/// Renders in which each pair of choices of all switches occurs, under Helm 4.
pub(crate) static PAIRWISE: LazyLock<Vec<Render>> = LazyLock::new(|| {
    let counts: Vec<usize> = SWITCHES.iter().map(|switch| switch.choices.len()).collect();
    let rows: Vec<Value> = pairwise::rows(&counts)
        .into_iter()
        .map(|row| {
            with(
                &row.iter()
                    .zip(&*SWITCHES)
                    .map(|(choice, switch)| &switch.choices[*choice])
                    .collect::<Vec<_>>(),
            )
        })
        .collect();
    let texts = in_parallel(&rows, |values| RELEASE.template(Helm::Four, values));
    let render = |(values, text): (Value, Result<String, String>)| match text {
        Ok(text) => Render { values, text },
        Err(error) => panic!("cannot render {values}: {error}"),
    };
    rows.into_iter().zip(texts).map(render).collect()
});

#[test]
fn each_value_has_another_one_to_be_switched_to() {
    let without: Vec<&str> = SWITCHES
        .iter()
        .filter(|switch| switch.choices.len() < 2)
        .map(|switch| switch.name.as_str())
        .collect();
    assert!(without.is_empty(), "add another value to switches.yaml for each of {without:#?}");
}

#[test]
fn what_is_switched_is_a_value_of_the_chart() {
    let Alternatives { always, everything, alone, together } = &*ALTERNATIVES;
    let all = always
        .keys()
        .chain(everything.keys())
        .chain(alone.keys())
        .chain(together.values().flatten().flat_map(Settings::keys));
    let unknown: Vec<&String> = all.filter(|path| !VALUES.iter().any(|value| value.path == **path)).collect();
    assert!(
        unknown.is_empty(),
        "switches.yaml names what is no value with a comment in values.yaml: {unknown:#?}"
    );
}

/// Helm 4.3 leaves empty lines between documents where Helm 3 does not.
fn without_empty_lines_between_documents(rendered: &str) -> Vec<&str> {
    let mut kept = Vec::new();
    for line in rendered.trim_end().lines() {
        while line == "---" && kept.last() == Some(&"") {
            kept.pop();
        }
        kept.push(line);
    }
    kept
}

#[test]
fn both_helms_render_the_same_each_time() {
    let differing: Vec<String> = in_parallel(&PAIRWISE, |render| {
        let again = RELEASE.template(Helm::Four, &render.values).expect("it was rendered before");
        let other = RELEASE.template(Helm::Three, &render.values).unwrap_or_else(|error| error);
        let [expected, other] =
            [&render.text, &other].map(|text| without_empty_lines_between_documents(text));
        let line = expected.iter().zip(&other).find(|(expected, other)| expected != other);
        let differs = again != render.text || other != expected;
        differs.then(|| format!("{}: Helm 4 and 3 differ in {line:?}", render.values))
    })
    .into_iter()
    .flatten()
    .collect();
    assert!(
        differing.is_empty(),
        "rendered otherwise by another Helm or a second time:\n{}",
        differing.join("\n")
    );
}
