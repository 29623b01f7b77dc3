//! The bounds of an AthenaSession's fields, written down from Athena's model (StartSession, API version 2017-05-18) and the design, and never
//! from the product's code.

use serde_json::{Map, Value, json};

/// A field of the spec: values at its bounds and just past them.
pub(super) struct Field {
    /// Where it is; `0` is the first item of a list.
    pub(super) path: &'static str,
    pub(super) required: bool,
    /// The first two differ in nothing but an allowed choice.
    pub(super) valid: Vec<Value>,
    pub(super) invalid: Vec<Value>,
    /// What its parent needs for the field to be allowed.
    beside: Value,
}

impl Field {
    fn beside(self, beside: Value) -> Self {
        Self { beside, ..self }
    }

    fn required(self) -> Self {
        Self { required: true, ..self }
    }

    /// The last name in the path, by which a refusal names the field.
    pub(super) fn name(&self) -> &'static str {
        self.path.rsplit('.').next().unwrap_or(self.path)
    }

    /// What is immutable as a whole: the field, or the list that it is inside.
    pub(super) fn immutable_name(&self) -> &'static str {
        let whole = self.path.split(".0.").next().unwrap_or(self.path);
        whole.rsplit('.').next().unwrap_or(whole)
    }

    pub(super) fn in_list(&self) -> bool {
        self.path.contains(".0.")
    }

    pub(super) fn mutable(&self) -> bool {
        self.path == "deletionPolicy"
    }

    /// The least spec with this value, or with everything but the field.
    pub(super) fn spec(&self, value: Option<&Value>) -> Value {
        let mut spec = json!({ "workGroup": "etl" });
        let parent = self.parent_in(&mut spec);
        match value {
            Some(value) => parent.insert(self.name().into(), value.clone()),
            None => parent.remove(self.name()),
        };
        spec
    }

    /// The field's parent in a spec, made where it is missing, with what the field needs beside it.
    pub(super) fn parent_in<'a>(&self, spec: &'a mut Value) -> &'a mut Map<String, Value> {
        let mut names: Vec<_> = self.path.split('.').collect();
        names.pop();
        let parent = names.into_iter().fold(spec, |parent, name| match name {
            "0" => {
                if parent.is_null() {
                    *parent = json!([{}]);
                }
                &mut parent[0]
            }
            name => &mut parent[name],
        });
        if parent.is_null() {
            *parent = json!({});
        }
        let parent = parent.as_object_mut().expect("a path goes through structures");
        parent.extend(self.beside.as_object().cloned().unwrap_or_default());
        parent
    }
}

fn field(path: &'static str, valid: impl Into<Values>, invalid: impl Into<Values>) -> Field {
    Field { path, required: false, valid: valid.into().0, invalid: invalid.into().0, beside: json!({}) }
}

/// A list, given as JSON or as it is.
struct Values(Vec<Value>);

impl From<Value> for Values {
    fn from(list: Value) -> Self {
        Self(list.as_array().cloned().expect("a list"))
    }
}

impl From<Vec<Value>> for Values {
    fn from(list: Vec<Value>) -> Self {
        Self(list)
    }
}

fn x(length: usize) -> String {
    "x".repeat(length)
}

/// `start`, filled up to a length in characters.
fn fill(start: &str, length: usize) -> String {
    format!("{start}{}", x(length - start.chars().count()))
}

/// A map of this many keys.
fn map_of(count: usize, prefix: &str, value: &Value) -> Value {
    (0..count).map(|number| (format!("{prefix}{number}"), value.clone())).collect()
}

/// Maps of one entry.
fn maps(prefix: &str, keys: &[String], value: &str) -> Vec<Value> {
    keys.iter().map(|key| json!({ format!("{prefix}{key}"): value })).collect()
}

fn maps_of(prefix: &str, keys: &[&str]) -> Vec<Value> {
    keys.iter().map(|key| json!({ format!("{prefix}{key}"): "v" })).collect()
}

/// Maps of properties at the bounds, with keys that start with a prefix.
fn properties(prefix: &str) -> Vec<Value> {
    let key = |key: &str| format!("{prefix}{key}");
    let mut maps = maps_of(prefix, &["tab\there", " \u{20}é\u{d7ff}\u{e000}\u{fffd}😀"]);
    maps.splice(0..0, [json!({ key("a"): "1" }), json!({ key("a"): "2" }), json!({ key("a"): "1", key("b"): "1" }), json!({})]);
    maps.extend([json!({ fill(prefix, 255): "" }), json!({ key("a"): x(51_200) }), json!({ key("a"): "é".repeat(51_200) })]);
    maps.extend([json!({ format!("{prefix}{}", "é".repeat(255 - prefix.len())): "é" }), map_of(100, prefix, &json!("v"))]);
    maps
}

/// Maps of properties just past the bounds.
fn not_properties(prefix: &str) -> Vec<Value> {
    let mut maps = maps_of(prefix, &["a\n", "\r", "a\u{0}b", "\u{1f}", "a\u{fffe}b", "\u{ffff}"]);
    maps.extend([json!({ "": "v" }), json!({ fill(prefix, 256): "v" }), json!({ format!("{prefix}a"): x(51_201) }), json!({ format!("{prefix}a"): 1 })]);
    maps.push(map_of(101, prefix, &json!("v")));
    maps
}

/// What only Spark's own properties have to heed.
fn not_spark_properties() -> Vec<Value> {
    let mut maps = not_properties("spark.");
    maps.extend(maps_of("", &["a", "spark", "sparkx.a", "Spark.a", "x.spark.a", "spark.athena.", "spark.athena.a"]));
    maps
}

fn spark_properties() -> Vec<Value> {
    let mut maps = properties("spark.");
    maps.extend(maps_of("", &["spark.athena", "spark.athenax.a", "spark.x.spark.athena.a"]));
    maps
}
