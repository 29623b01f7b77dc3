//! The alerts and the dashboard: valid, tested, and about metrics that the operator has.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use serde_json::{Value, json};
use tools::Tool;

use crate::helm::{RELEASE, only, program, read};
use crate::promql;
use crate::switches::{everything, with};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
const TESTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/alerts");

static OBJECTS: LazyLock<Vec<Value>> = LazyLock::new(|| RELEASE.objects(&with(&[everything()])));

/// The groups of rules, as Prometheus reads them.
fn rules() -> Value {
    json!({"groups": only(&OBJECTS, "PrometheusRule")["spec"]["groups"]})
}

fn alerts() -> Vec<Value> {
    let groups = rules()["groups"].as_array().cloned().expect("groups");
    groups.iter().flat_map(|group| group["rules"].as_array().expect("rules").clone()).collect()
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_else(|| panic!("no {key} in {value}"))
}

fn dashboard() -> Value {
    let text = OBJECTS
        .iter()
        .find_map(|object| object["data"]["athena-operator.json"].as_str())
        .expect("a dashboard");
    serde_json::from_str(text).expect("JSON")
}

/// What the dashboard asks for, with a value for each of Grafana's variables, and what its lists of
/// choices are made from.
fn queries() -> Vec<String> {
    let dashboard = dashboard();
    let panels = dashboard["panels"].as_array().expect("panels").iter();
    let nested = panels.clone().flat_map(|panel| panel["panels"].as_array().into_iter().flatten());
    let targets = panels.chain(nested).flat_map(|panel| panel["targets"].as_array().into_iter().flatten());
    let expressions = targets.map(|target| text(target, "expr").replace("$__rate_interval", "5m"));
    let variables = dashboard["templating"]["list"]
        .as_array()
        .expect("variables")
        .iter()
        .filter_map(|variable| variable["query"]["query"].as_str());
    let series = variables
        .filter_map(|query| Some(query.strip_prefix("label_values(")?.rsplit_once(',')?.0.to_owned()))
        .filter(|series| !series.starts_with('{'));
    expressions.chain(series).collect()
}

/// The cells of the rows between two marks of a page in `docs/`.
fn table(page: &str, name: &str) -> Vec<Vec<String>> {
    let page = read(format!("{ROOT}/docs/{page}"));
    let (_, rest) = page.split_once(&format!("<!-- generated: {name} -->")).expect("the table");
    let (table, _) = rest.split_once("<!-- end -->").expect("the end of the table");
    let rows = table.lines().filter(|line| line.starts_with("| ")).skip(1);
    rows.map(|row| row.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect()).collect()
}

/// The words in backquotes of a cell.
fn words(cell: &str) -> impl Iterator<Item = &str> {
    cell.split('`').skip(1).step_by(2)
}

/// The labels of each series that the operator has.
static SERIES: LazyLock<BTreeMap<String, BTreeSet<String>>> = LazyLock::new(|| {
    let mut series = BTreeMap::new();
    for row in table("metrics.md", "metrics") {
        let [name, kind, labels, ..] = row.as_slice() else { panic!("{row:?}") };
        let name = words(name).next().expect("a name");
        let labels: BTreeSet<String> = words(labels).map(str::to_owned).collect();
        if kind == "histogram" {
            let with_le = labels.iter().cloned().chain(["le".to_owned()]).collect();
            series.extend([
                (format!("{name}_bucket"), with_le),
                (format!("{name}_sum"), labels.clone()),
                (format!("{name}_count"), labels),
            ]);
        } else {
            series.insert(name.to_owned(), labels);
        }
    }
    // Of Prometheus itself.
    series.insert("up".to_owned(), BTreeSet::new());
    series
});

/// What of an expression the operator does not have.
fn unknown(expression: &str) -> Vec<String> {
    let (selected, grouped) = promql::parse(expression);
    assert!(!selected.is_empty(), "no metric in {expression}");
    let mut unknown = Vec::new();
    let mut labels = BTreeSet::from(["job".to_owned()]);
    for selected in selected {
        match SERIES.get(&selected.metric) {
            Some(of_metric) => {
                let extra = selected
                    .labels
                    .iter()
                    .map(|(label, _, _)| label)
                    .filter(|label| *label != "job" && !of_metric.contains(*label));
                unknown.extend(
                    extra.map(|label| format!("{} has no label {label}: {expression}", selected.metric)),
                );
                labels.extend(of_metric.iter().cloned());
            }
            None => unknown.push(format!("{}: {expression}", selected.metric)),
        }
    }
    unknown.extend(
        grouped
            .into_iter()
            .filter(|label| !labels.contains(label))
            .map(|label| format!("no label {label}: {expression}")),
    );
    unknown
}

#[test]
fn alerts_and_dashboard_ask_for_metrics_and_labels_that_the_operator_has() {
    let of_alerts: Vec<String> = alerts().iter().map(|alert| text(alert, "expr").to_owned()).collect();
    let unknown: Vec<String> =
        of_alerts.iter().chain(&queries()).flat_map(|expression| unknown(expression)).collect();
    assert!(unknown.is_empty(), "not in docs/metrics.md: {unknown:#?}");
}

#[test]
fn the_dashboard_shows_each_metric() {
    let queries = queries();
    let shown: BTreeSet<String> =
        queries.iter().flat_map(|query| promql::parse(query).0).map(|selected| selected.metric).collect();
    let is_shown =
        |name: &str| ["", "_bucket"].iter().any(|suffix| shown.contains(&format!("{name}{suffix}")));
    let hidden: Vec<String> = table("metrics.md", "metrics")
        .iter()
        .map(|row| words(&row[0]).next().expect("a name").to_owned())
        .filter(|name| !is_shown(name))
        .collect();
    assert!(hidden.is_empty(), "the dashboard does not show {hidden:?}");
}

/// The values that a matcher is for, when it lists them.
fn listed(alert: &str, label: &str) -> Vec<String> {
    let alert = alerts().into_iter().find(|found| found["alert"] == alert).expect("the alert");
    let selected = promql::parse(text(&alert, "expr")).0;
    let matchers = selected
        .iter()
        .flat_map(|selected| &selected.labels)
        .filter(|(name, operator, _)| name == label && operator == "=~");
    matchers.flat_map(|(_, _, values)| values.split('|').map(str::to_owned)).collect()
}

fn fits(pattern: &str, value: &str) -> bool {
    pattern.strip_suffix(".*").map_or(pattern == value, |start| value.starts_with(start))
}

#[test]
fn what_counts_as_throttled_is_what_the_operator_takes_for_it() {
    let throttled = table("lifecycle.md", "refusals")
        .into_iter()
        .find(|row| words(&row[3]).next() == Some("Throttled"))
        .expect("a row");
    let codes: BTreeSet<&str> = words(&throttled[0]).collect();
    let patterns = listed("AthenaThrottled", "code");
    for code in &codes {
        assert!(patterns.iter().any(|pattern| fits(pattern, code)), "{code} is not in {patterns:?}");
    }
    for pattern in &patterns {
        assert!(codes.iter().any(|code| fits(pattern, code)), "{pattern} is for none of {codes:?}");
    }
}

#[test]
fn reasons_for_which_a_start_counts_as_refused_are_those_that_a_condition_can_have() {
    let conditions = table("lifecycle.md", "conditions");
    // Stalled after a refusal, or with it.
    let stalled: BTreeSet<&str> =
        conditions.iter().filter(|row| row[1].ends_with("False")).flat_map(|row| words(&row[0])).collect();
    let reasons = listed("AthenaSessionStartRefused", "reason");
    let unknown: Vec<&String> = reasons.iter().filter(|reason| !stalled.contains(reason.as_str())).collect();
    assert!(!reasons.is_empty() && unknown.is_empty(), "{unknown:?} is not among {stalled:?}");
    let of_refusals: BTreeSet<String> = table("lifecycle.md", "refusals")
        .iter()
        .filter(|row| ["may heal", "rejected", "token conflict", "not found"].contains(&row[3].as_str()))
        .flat_map(|row| words(&row[2]).map(str::to_owned).collect::<Vec<_>>())
        .collect();
    let missing: Vec<&String> = of_refusals.iter().filter(|reason| !reasons.contains(reason)).collect();
    assert!(missing.is_empty(), "no alert for {missing:?}");
}

#[test]
fn each_alert_leads_to_a_section_of_the_runbooks() {
    let runbooks = read(format!("{ROOT}/docs/runbooks.md"));
    let sections: BTreeSet<String> =
        runbooks.lines().filter_map(|line| line.strip_prefix("## ")).map(str::to_lowercase).collect();
    for alert in alerts() {
        let (page, anchor) = text(&alert["annotations"], "runbook_url").split_once('#').expect("an anchor");
        assert!(page.ends_with("docs/runbooks.md"), "{page}");
        assert_eq!(anchor, text(&alert, "alert").to_lowercase());
        assert!(sections.contains(anchor), "docs/runbooks.md has no section {anchor}, only {sections:?}");
    }
}

/// Whether promtool is content, and what it says.
fn promtool(arguments: &[&str], files: &[PathBuf]) -> (bool, String) {
    let output =
        Command::new(program(Tool::Promtool)).args(arguments).args(files).output().expect("promtool runs");
    (
        output.status.success(),
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr),
    )
}

/// A folder with the rules as `rules.yaml`, and its path.
fn with_rules(rules: &Value) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("rules.yaml");
    fs::write(&file, rules.to_string()).expect("a file");
    (folder, file)
}

#[test]
fn prometheus_takes_the_alerts_and_the_queries_of_the_dashboard() {
    let queries: Vec<Value> = queries()
        .into_iter()
        .enumerate()
        .map(|(index, query)| json!({"record": format!("query:{index}"), "expr": query}))
        .collect();
    assert!(queries.len() > 10, "only {} queries", queries.len());
    for rules in [rules(), json!({"groups": [{"name": "dashboard", "rules": queries}]})] {
        let (_folder, file) = with_rules(&rules);
        let (is_content, said) = promtool(&["check", "rules", "--lint=all", "--lint-fatal"], &[file]);
        assert!(is_content, "{said}");
    }
}

fn test_files() -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> =
        fs::read_dir(TESTS).expect("a folder").map(|entry| entry.expect("an entry").path()).collect();
    files.sort();
    files
}

#[test]
fn each_alert_is_raised_when_it_should_be_and_not_otherwise() {
    let (folder, _) = with_rules(&rules());
    let mut files = Vec::new();
    for file in test_files() {
        let copy = folder.path().join(file.file_name().expect("a name"));
        fs::copy(&file, &copy).expect("a copy");
        files.push(copy);
    }
    let (is_content, said) = promtool(&["test", "rules", "--diff"], &files);
    assert!(is_content, "{said}");
}

#[test]
fn each_alert_has_a_test_of_both() {
    let (mut raised, mut quiet) = (BTreeSet::new(), BTreeSet::new());
    for file in test_files() {
        let tests: Value = serde_saphyr::from_str(&read(&file)).expect("YAML");
        for test in tests["tests"]
            .as_array()
            .expect("tests")
            .iter()
            .flat_map(|test| test["alert_rule_test"].as_array().expect("tests of alerts"))
        {
            assert_eq!(Some(text(test, "alertname")), file.file_stem().and_then(|stem| stem.to_str()));
            let is_quiet = test["exp_alerts"].as_array().expect("alerts").is_empty();
            if is_quiet { &mut quiet } else { &mut raised }.insert(text(test, "alertname").to_owned());
        }
    }
    let all: BTreeSet<String> = alerts().iter().map(|alert| text(alert, "alert").to_owned()).collect();
    assert_eq!((&raised, &quiet), (&all, &all));
    assert_eq!(all.len(), 11);
}

#[test]
fn an_alert_that_is_not_raised_would_be_noticed() {
    let mut rules = rules();
    for rule in rules["groups"][0]["rules"].as_array_mut().expect("rules") {
        rule["expr"] = json!("vector(0) > 1");
    }
    let (folder, _) = with_rules(&rules);
    for file in test_files() {
        let copy = folder.path().join(file.file_name().expect("a name"));
        fs::copy(&file, &copy).expect("a copy");
        let (is_content, said) = promtool(&["test", "rules"], &[copy]);
        assert!(!is_content, "{}: {said}", Path::new(&file).display());
    }
}
