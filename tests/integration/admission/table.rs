//! The bounds of an `AthenaSession`'s fields, written down from Athena's model (`StartSession`, API version 2017-05-18) and the design, and never
//! from the product's code.

use serde_json::{Map, Value, json};

/// A field of the spec: values at its bounds and just past them.
pub(crate) struct Field {
    /// Where it is; `0` is the first item of a list.
    pub(crate) path: &'static str,
    pub(super) required: bool,
    /// The first two differ in nothing but an allowed choice.
    pub(crate) valid: Vec<Value>,
    pub(super) invalid: Vec<Value>,
    /// Whether it is made of other fields, so that a change inside it is a change of one of them.
    pub(crate) structure: bool,
    /// What its parent needs for the field to be allowed.
    beside: Value,
}

impl Field {
    fn beside(self, beside: Value) -> Self {
        Self { beside, ..self }
    }

    fn structure(self) -> Self {
        Self { structure: true, ..self }
    }

    fn required(self) -> Self {
        Self { required: true, ..self }
    }

    /// The last name in the path, by which a refusal names the field.
    pub(crate) fn name(&self) -> &'static str {
        self.path.rsplit('.').next().unwrap_or(self.path)
    }

    /// What is immutable as a whole: the field, or the list that it is inside.
    pub(super) fn immutable_name(&self) -> &'static str {
        let whole = self.path.split(".0.").next().unwrap_or(self.path);
        whole.rsplit('.').next().unwrap_or(whole)
    }

    pub(crate) fn in_list(&self) -> bool {
        self.path.contains(".0.")
    }

    pub(super) fn mutable(&self) -> bool {
        matches!(
            self.path,
            "deletionPolicy"
                | "suspend"
                | "restartPolicy"
                | "maxRestarts"
                | "startupDeadlineSeconds"
                | "activeDeadlineSeconds"
                | "ttlSecondsAfterFinished"
        )
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
    pub(crate) fn parent_in<'a>(&self, spec: &'a mut Value) -> &'a mut Map<String, Value> {
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

/// A field with the values that it accepts and refuses. A macro, so that a row stays a row.
macro_rules! field {
    ($path:literal accepts [$($valid:tt)*] refuses [$($invalid:tt)*]) => {
        field($path, json!([$($valid)*]), json!([$($invalid)*]))
    };
}

/// Every field of the spec.
pub(crate) fn fields() -> Vec<Field> {
    let role = "arn:aws:iam::123456789012:role/";
    let enabled = json!({ "enabled": true });
    let stdout = |count| json!({ "SPARK_DRIVER": vec!["STDOUT"; count] });
    let lists = |count| many(count, "TYPE", &json!(["STDOUT"]));
    let defaults = |key: &str| json!({ "name": "spark-defaults", "properties": { key: "1" } });
    vec![
        field!("workGroup" accepts ["etl", "dev", "a", "aZ0._-", x(128)] refuses ["", x(129), "a b", "a/b", "a:b", "é", "a\n"]).required(),
        field!("description"
            accepts ["nightly", "weekly", "a", x(960), "é".repeat(960), "😀".repeat(960), "a\nb", "athena-operator/", "[athena-operator]"]
            refuses ["", x(961), "😀".repeat(961), "[athena-operator/x]", "a [athena-operator/"]),
        field!("engineConfiguration" accepts [{ "maxConcurrentDpus": 4 }, {}] refuses []).structure(),
        field!("engineConfiguration.coordinatorDpuSize" accepts [1] refuses [0, 2, -1]),
        field!("engineConfiguration.maxConcurrentDpus" accepts [4, 5, 2, 5000] refuses [1, 5001, 0, -2]),
        field!("engineConfiguration.defaultExecutorDpuSize" accepts [1] refuses [0, 2, -1]),
        field("engineConfiguration.additionalConfigs", properties("", &[]), not_properties("", &[])),
        field("engineConfiguration.sparkProperties", properties("spark.", SPARK), not_properties("spark.", NOT_SPARK)),
        field!("engineConfiguration.classifications"
            accepts [[defaults("spark.a")], [defaults("spark.b")], [defaults("spark.a"), { "name": "other" }], [], vec![defaults("spark.a"); 10]]
            refuses [vec![defaults("spark.a"); 11]]),
        field!("engineConfiguration.classifications.0.name"
            accepts ["one", "two", "a", x(128), "spark-defaults", "athena-query-engine-properties-2"]
            refuses ["", x(129), "athena-query-engine-properties"]),
        field("engineConfiguration.classifications.0.properties", properties("", NOT_SPARK), not_properties("", &[]))
            .beside(json!({ "name": "other" })),
        field("engineConfiguration.classifications.0.properties", properties("spark.", SPARK), not_properties("spark.", NOT_SPARK))
            .beside(json!({ "name": "spark-defaults" })),
        field!("executionRole"
            accepts [format!("{role}etl"), format!("{role}dev"), format!("{role}a"), fill(role, 2048),
                "arn:aws-us-gov:iam::123456789012:role/a/B_9+=,.@-c", "arn:aws:iam::123456789012:roles"]
            refuses ["", fill(role, 2049), "etl", "arn:aws:iam::12345678901:role/etl", "arn:aws:iam::1234567890123:role/etl",
                "arn:aws:iam::123456789012:role", "arn:aws:iam::123456789012:user/etl", "arn:Aws:iam::123456789012:role/etl", format!("{role}a b"),
                format!("{role}é"), format!("{role}a\n"), format!("x{role}a")]),
        field!("monitoringConfiguration" accepts [{ "managedLoggingConfiguration": { "enabled": true } }, {}] refuses []).structure(),
        field!("monitoringConfiguration.cloudWatchLoggingConfiguration" accepts [{ "enabled": true }, { "enabled": false }] refuses []).structure(),
        field!("monitoringConfiguration.cloudWatchLoggingConfiguration.enabled" accepts [true, false] refuses []).required(),
        field!("monitoringConfiguration.cloudWatchLoggingConfiguration.logGroup"
            accepts ["/spark/etl", "/spark/dev", "a", "aZ09._/-", x(512)]
            refuses ["", x(513), "a b", "${workgroup}", "a:b", "a#b", "é", "a\n"])
        .beside(enabled.clone()),
        field!("monitoringConfiguration.cloudWatchLoggingConfiguration.logStreamNamePrefix"
            accepts ["etl", "dev", "a", x(512), "😀".repeat(512), "${a} b/c"]
            refuses ["", x(513), "a:b", "*", "a*"])
        .beside(enabled.clone()),
        field!("monitoringConfiguration.cloudWatchLoggingConfiguration.logTypes"
            accepts [stdout(1), stdout(2), { "SPARK_DRIVER": ["STDERR"] }, { "SPARK_DRIVER": ["STDOUT"], "SPARK_EXECUTOR": ["STDOUT", "STDERR"] }, {},
                stdout(0), stdout(10), { "A": [x(128)] }, { x(128): ["a"] }, { "é".repeat(128): ["a"] }, lists(10)]
            refuses [stdout(11), { "A": [x(129)] }, { x(129): ["a"] }, { "": ["a"] }, { "A": "a" }, { "A": [1] }, lists(11)])
        .beside(enabled.clone()),
        field!("monitoringConfiguration.managedLoggingConfiguration" accepts [{ "enabled": true }, { "enabled": false }] refuses []).structure(),
        field!("monitoringConfiguration.managedLoggingConfiguration.enabled" accepts [true, false] refuses []).required(),
        field("monitoringConfiguration.managedLoggingConfiguration.kmsKey", kms_keys(), not_kms_keys()).beside(enabled.clone()),
        field!("monitoringConfiguration.s3LoggingConfiguration" accepts [{ "enabled": true }, { "enabled": false }] refuses []).structure(),
        field!("monitoringConfiguration.s3LoggingConfiguration.enabled" accepts [true, false] refuses []).required(),
        field("monitoringConfiguration.s3LoggingConfiguration.kmsKey", kms_keys(), not_kms_keys()).beside(enabled.clone()),
        field!("monitoringConfiguration.s3LoggingConfiguration.logLocation"
            accepts ["s3://logs/etl", "s3://logs/dev", "s3://ab", "s3://0-9/", "s3://logs/A b:*/é", fill("s3://logs/", 1024)]
            refuses ["", fill("s3://logs/", 1025), "s3://", "s3://a", "s3://-a", "s3://a-", "s3://a.b", "s3://Logs", "s3a://logs", "logs",
                "xs3://logs", "s3://logs/a\nb"])
        .beside(enabled),
        field!("notebookVersion" accepts ["Athena notebook version 1", "Athena notebook version 2", "a", x(128)] refuses ["", x(129)])
            .beside(json!({ "engineConfiguration": { "additionalConfigs": { "NotebookId": "notebook" } } })),
        field!("sessionIdleTimeoutInMinutes" accepts [20, 30, 1, 480] refuses [0, 481, -1]),
        field!("tags"
            accepts [{ "team": "etl" }, { "team": "dev" }, { "team": "etl", "stage": "one" }, {}, { "a": "" }, { x(128): x(256) }, { "aws": "a" },
                { "é".repeat(128): "é".repeat(256) }, { "aZ0 9_.:/=+@-": "aZ0 9_.:/=+@-" }, { "awsx:a": "a" }, { "x aws:": "a" },
                many(50, "t", &json!("a"))]
            refuses [{ "": "a" }, { x(129): "a" }, { "a": x(257) }, { "aws:": "a" }, { "aws:a": "a" }, { "a*": "a" }, { "a\tb": "a" }, { "a\n": "a" },
                { "a#b": "a" }, { "a": "a*" }, { "a": "a\tb" }, { "a": "a\n" }, { "a": "a,b" }, { "a": 1 }, many(51, "t", &json!("a"))]),
        field!("copyWorkGroupTags" accepts [true, false] refuses []),
        field!("deletionPolicy" accepts ["Terminate", "Retain"] refuses ["", "Delete", "retain"]),
        field!("suspend" accepts [true, false] refuses ["true", 1]),
        field!("restartPolicy" accepts ["Never", "OnFailure"] refuses ["", "Always", "never"]),
        field!("maxRestarts" accepts [0, 1, 10_000] refuses [-1, 10_001, "5", 1.5]),
        field!("startupDeadlineSeconds" accepts [1, 86_400] refuses [0, -1, 86_401, "5m"]),
        field!("activeDeadlineSeconds" accepts [1, 31_536_000] refuses [0, -1, 31_536_001, "8h"]),
        field!("ttlSecondsAfterFinished" accepts [0, 31_536_000] refuses [-1, 31_536_001, "1h"]),
    ]
}

/// Specs that lack what a field needs elsewhere, and the field.
pub(super) fn incomplete() -> Vec<(&'static str, Value)> {
    let spec = |engine| json!({ "workGroup": "etl", "notebookVersion": "Athena notebook version 1", "engineConfiguration": engine });
    let engines = [
        json!({}),
        json!({ "additionalConfigs": {} }),
        json!({ "additionalConfigs": { "notebookId": "notebook" } }),
    ];
    let mut specs: Vec<_> = engines.map(|engine| ("notebookVersion", spec(engine))).into();
    specs.push((
        "notebookVersion",
        json!({ "workGroup": "etl", "notebookVersion": "Athena notebook version 1" }),
    ));
    specs
}

/// Keys that Spark's rule for names allows and refuses.
const SPARK: &[&str] = &["spark.athena", "spark.athenax.a", "spark.x.spark.athena.a"];
const NOT_SPARK: &[&str] =
    &["a", "spark", "sparkx.a", "Spark.a", "x.spark.a", "spark.athena.", "spark.athena.a"];

/// Maps of properties at their bounds, whose keys start with a prefix, and maps of other keys.
fn properties(prefix: &str, keys: &[&str]) -> Value {
    let key = |end: &str| format!("{prefix}{end}");
    let long = key(&"😀".repeat(255 - prefix.len()));
    let allowed = key("\t ~é\u{d7ff}\u{e000}\u{fffd}😀");
    list(json!([{ key("a"): "1" }, { key("a"): "2" }, { key("a"): "1", key("b"): "2" }, {}, { key("a"): "" }, { fill(prefix, 255): "a" },
        { long: "a" }, { key("a"): x(51_200) }, { key("a"): "é".repeat(51_200) }, { allowed: "\n" }, many(100, prefix, &json!("a"))]))
    .into_iter()
    .chain(keys.iter().map(|key| json!({ *key: "a" })))
    .collect()
}

/// Maps of properties just past their bounds, whose keys start with a prefix, and maps of other keys.
fn not_properties(prefix: &str, keys: &[&str]) -> Value {
    let key = |end: &str| format!("{prefix}{end}");
    let refused = ["a\n", "a\rb", "\u{0}", "\u{1f}a", "a\u{fffe}", "\u{ffff}"];
    list(json!([{ "": "a" }, { fill(prefix, 256): "a" }, { key("a"): x(51_201) }, { key("a"): 1 }, many(101, prefix, &json!("a"))]))
        .into_iter()
        .chain(refused.map(|end| json!({ key(end): "a" })))
        .chain(keys.iter().map(|key| json!({ *key: "a" })))
        .collect()
}

const KEY: &str = "arn:aws:kms:eu-west-1:123456789012:key/";
const UUID: &str = "0a1b2c3d-4e5f-6789-abcd-ef0123456789";

fn kms_keys() -> Value {
    json!([
        format!("{KEY}{UUID}"),
        UUID,
        "alias/logs",
        "alias/aZ09/_-",
        "arn:aws-cn:kms:cn-north-1:123456789012:alias/logs",
        fill(KEY, 2048),
        fill("alias/", 2048),
        format!("{KEY}aZ_0+=,.@-/")
    ])
}

fn not_kms_keys() -> Value {
    json!([
        "",
        "logs",
        fill("alias/", 2049),
        fill(KEY, 2049),
        "alias/",
        "alias/a b",
        "alias/a.b",
        "alias/é",
        UUID.to_uppercase(),
        format!("{UUID}0"),
        &UUID[1..],
        "arn:aws:kms:eu-west-1:12345678901:key/a",
        "arn:aws:kms:EU:123456789012:key/a",
        "arn:aws:kms:eu-west-1:123456789012:grant/a",
        format!("{KEY}a\n"),
        format!("x{KEY}a"),
        format!("x{UUID}")
    ])
}

fn field(path: &'static str, valid: Value, invalid: Value) -> Field {
    Field {
        path,
        required: false,
        structure: false,
        valid: list(valid),
        invalid: list(invalid),
        beside: json!({}),
    }
}

fn list(values: Value) -> Vec<Value> {
    serde_json::from_value(values).expect("a list")
}

fn x(length: usize) -> String {
    "x".repeat(length)
}

/// `start`, filled up to a length in characters.
fn fill(start: &str, length: usize) -> String {
    format!("{start}{}", x(length - start.chars().count()))
}

/// A map of this many keys.
fn many(count: usize, prefix: &str, value: &Value) -> Value {
    (0..count).map(|number| (format!("{prefix}{number}"), value.clone())).collect()
}
