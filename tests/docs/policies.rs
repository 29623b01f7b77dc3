//! The IAM policies and the other JSON that people copy: in `docs/aws/`, and beside the examples of clients.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::{files, read};

/// Actions that no call has for its name: those that StartSession needs for what it is given.
const OF_ARGUMENTS: [&str; 2] = ["athena:TagResource", "iam:PassRole"];

/// All JSON files that the pages tell people to copy.
fn documents() -> Vec<(String, Value)> {
    let paths = ["docs/aws", "examples/clients"].into_iter().flat_map(|folder| files(folder, "json"));
    let parsed = |path: String| {
        let document = serde_json::from_str(&read(&path)).unwrap_or_else(|error| panic!("{path}: {error}"));
        (path, document)
    };
    paths.map(parsed).collect()
}

/// One value, or a list of them.
fn strings(value: &Value) -> Vec<&str> {
    value.as_array().map_or_else(
        || value.as_str().into_iter().collect(),
        |list| list.iter().filter_map(Value::as_str).collect(),
    )
}

fn statements(policy: &Value) -> &[Value] {
    policy["Statement"].as_array().map(Vec::as_slice).unwrap_or_default()
}

/// The operations of Athena that the operator's client calls, as its source has them: `athena.start_session()` is StartSession.
fn called() -> BTreeSet<String> {
    let source: String = files("src/athena", "rs").iter().map(|path| read(path)).collect();
    let source: String = source.split_whitespace().collect();
    let name = |text: &str| {
        let (name, _) = text.split_once("()")?;
        let snake = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
        let capital = |word: &str| word[..1].to_uppercase() + &word[1..];
        snake.then(|| format!("athena:{}", name.split('_').map(capital).collect::<String>()))
    };
    let calls = |client| source.split(client).skip(1).filter_map(name);
    ["self.athena.", "self.connection.athena."].into_iter().flat_map(calls).collect()
}

#[test]
fn the_operators_policy_allows_what_it_calls_and_nothing_else() {
    let policy: Value = serde_json::from_str(&read("docs/aws/operator-policy.json")).expect("JSON");
    let allowed: BTreeSet<String> = statements(&policy)
        .iter()
        .flat_map(|statement| strings(&statement["Action"]))
        .map(str::to_owned)
        .collect();
    let calls = called();
    assert!(
        calls.contains("athena:StartSession"),
        "the calls are not where this test looks for them: {calls:?}"
    );
    let needed = calls.into_iter().chain(OF_ARGUMENTS.map(str::to_owned)).collect();
    assert_eq!(allowed, needed);
}

#[test]
fn policies_allow_named_actions_on_named_resources() {
    let documents = documents();
    let policies: Vec<_> =
        documents.iter().filter(|(_, document)| document.get("Statement").is_some()).collect();
    assert!(policies.len() >= 5, "{}", policies.len());
    for (path, policy) in policies {
        assert_eq!(policy["Version"], "2012-10-17", "{path}");
        let trust = path.ends_with("-trust.json");
        for statement in statements(policy) {
            let actions = strings(&statement["Action"]);
            assert!(statement["Effect"] == "Allow" && !actions.is_empty(), "{path}: {statement}");
            assert!(actions.iter().all(|action| !action.contains('*')), "{path}: {statement}");
            // CloudWatch knows no resources, so the namespace bounds it. A trust policy is bounded by who may assume the role, and for what.
            let bounded = if trust || actions == ["cloudwatch:PutMetricData"] {
                statement["Condition"].is_object() && trust == statement["Principal"].is_object()
            } else {
                let resources = strings(&statement["Resource"]);
                !resources.is_empty() && resources.iter().all(|resource| resource.starts_with("arn:aws:"))
            };
            assert!(bounded, "{path}: {statement}");
        }
    }
}

#[test]
fn there_is_a_work_group_of_each_engine_with_the_role_that_the_operator_may_pass() {
    let policy: Value = serde_json::from_str(&read("docs/aws/operator-policy.json")).expect("JSON");
    let passed = statements(&policy)
        .iter()
        .find(|statement| statement["Action"] == "iam:PassRole")
        .expect("iam:PassRole")["Resource"]
        .clone();
    for (name, engine) in
        [("spark-35", "Apache Spark version 3.5"), ("pyspark-3", "PySpark engine version 3")]
    {
        let group: Value =
            serde_json::from_str(&read(&format!("docs/aws/work-group-{name}.json"))).expect("JSON");
        assert_eq!(
            (&group["EngineVersion"]["SelectedEngineVersion"], &group["ExecutionRole"]),
            (&engine.into(), &passed),
            "{name}"
        );
        let arn = format!("arn:aws:athena:REGION:ACCOUNT:workgroup/{name}");
        for file in ["operator-policy", "execution-trust"] {
            assert!(read(&format!("docs/aws/{file}.json")).contains(&arn), "{file} does not name {arn}");
        }
    }
}

#[test]
fn the_page_shows_where_each_file_goes() {
    let pages = read("docs/aws.md") + &read("docs/using-a-session.md");
    for (path, _) in documents() {
        let name = path.rsplit('/').next().unwrap_or_default();
        assert!(pages.contains(name), "no page names {path}");
    }
}
