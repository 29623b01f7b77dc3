//! The documentation that is made from the code: the sections between `<!-- generated: NAME -->` and `<!-- end -->`. `make generate` writes them.
//!
//! The state diagram and the conditions come from the table of steps itself: [`enumeration::all`] runs it on every combination of object, knowledge and look.

mod argocd;
mod clients;
mod commands;
mod commands_tests;
mod copies;
mod enumeration;
mod links;
#[path = "../kstatus/matrix.rs"]
mod matrix;
mod policies;
mod reference;
#[path = "../charts/rows.rs"]
mod rows;
mod tables;
mod values;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use athena_operator::api::AthenaSession;
use athena_operator::api::REASONS;
use athena_operator::athena::CATALOGUE;
use athena_operator::session::reply::ErrorClass;
use k8s_openapi::api::batch::v1::CronJob;
use k8s_openapi::api::core::v1::ResourceQuota;
use k8s_openapi::api::rbac::v1::Role;
use kube::{CustomResourceExt, Resource};
use serde_json::{Value, json};

use enumeration::Enumeration;

/// Files with generated sections.
const PAGES: [&str; 7] = [
    "docs/gitops.md",
    "docs/lifecycle.md",
    "docs/metrics.md",
    "docs/operating.md",
    "docs/reference.md",
    "README.md",
    "charts/athena-operator/README.md",
];

fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn read(path: &str) -> String {
    std::fs::read_to_string(repository(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The files directly in `folder` whose names end with `.extension`, as paths in the repository.
fn files(folder: &str, extension: &str) -> Vec<String> {
    let entries = std::fs::read_dir(repository(folder)).unwrap_or_else(|error| panic!("{folder}: {error}"));
    let path = |entry: std::io::Result<std::fs::DirEntry>| {
        format!("{folder}/{}", entry.expect("an entry").file_name().to_string_lossy())
    };
    let mut paths: Vec<_> = entries
        .map(path)
        .filter(|path| Path::new(path).extension().is_some_and(|own| own == extension))
        .collect();
    paths.sort();
    paths
}

/// `page` with its generated sections made anew by `section`.
fn generated(page: &str, section: impl Fn(&str) -> String) -> String {
    const BEGIN: &str = "<!-- generated: ";
    const END: &str = "<!-- end -->";
    let mut made = String::new();
    let mut rest = page;
    while let Some(begin) = rest.find(BEGIN) {
        let (before, tail) = rest.split_at(begin);
        let (name, tail) = tail[BEGIN.len()..].split_once(" -->").expect("the marker is closed");
        let (_, tail) = tail.split_once(END).unwrap_or_else(|| panic!("section {name} has no end"));
        made.extend([before, BEGIN, name, " -->\n", section(name).trim_end(), "\n", END]);
        rest = tail;
    }
    made + rest
}

fn section(name: &str, all: &Enumeration) -> String {
    match name.split_once(' ') {
        Some(("flags", command)) => tables::flags(command),
        Some(("file", path)) => format!("```yaml\n{}```", read(path)),
        None if name == "diagram" => tables::diagram(&all.edges),
        None if name == "conditions" => tables::conditions(&all.rows),
        None if name == "events" => tables::events(),
        None if name == "refusals" => tables::refusals(),
        None if name == "classes" => tables::classes(),
        None if name == "ends" => tables::ends(),
        None if name == "metrics" => tables::metrics(),
        None if name == "values" => values::table(),
        None if name == "verdicts" => tables::verdicts(),
        None if name == "spec" || name == "status" => reference::fields(name),
        None if name == "rules" => reference::rules(),
        _ => panic!("there is no section {name}"),
    }
}

#[test]
fn generated_sections_are_those_of_the_code() {
    let all = enumeration::all();
    for path in PAGES {
        let page = read(path);
        let made = generated(&page, |name| section(name, all));
        if std::env::var_os("GENERATE").is_some() {
            std::fs::write(repository(path), made).unwrap_or_else(|error| panic!("{path}: {error}"));
        } else {
            assert!(page == made, "{path} is stale: run `make generate`");
        }
    }
}

#[test]
fn every_step_and_every_kind_of_attempt_occurs() {
    let all = enumeration::all();
    assert_eq!(all.steps, enumeration::STEPS.into_iter().collect::<BTreeSet<_>>());
    let kinds: BTreeSet<_> = all.edges.keys().flat_map(|(before, after)| [*before, *after]).collect();
    assert_eq!(kinds, enumeration::KINDS.into_iter().collect::<BTreeSet<_>>());
}

#[test]
fn every_reason_of_ready_and_every_event_occurs_and_is_explained() {
    let all = enumeration::all();
    let reasons: BTreeSet<&str> = all.rows.keys().map(|row| row.reason.as_str()).collect();
    for reason in &reasons {
        assert!(tables::meaning(reason).is_some(), "{reason} has no meaning");
    }
    let conditions = tables::reasons().filter(|reason| !tables::only_event(reason)).collect::<BTreeSet<_>>();
    assert_eq!(reasons, conditions);
    let events: BTreeSet<&str> = REASONS.iter().map(|row| row.word).collect();
    assert_eq!(all.events.iter().map(String::as_str).collect::<BTreeSet<_>>(), events);
}

#[test]
fn each_class_of_the_catalogue_has_one_meaning_for_each_reason() {
    let mut classes: BTreeMap<&str, ErrorClass> = BTreeMap::new();
    for entry in CATALOGUE {
        assert_eq!(*classes.entry(entry.reason).or_insert(entry.class), entry.class, "{}", entry.reason);
    }
}

#[test]
fn every_recipe_and_example_that_a_page_names_is_there() {
    let pages: String = PAGES.into_iter().map(read).collect();
    for folder in ["examples", "docs/recipes"] {
        for file in std::fs::read_dir(repository(folder)).expect("a folder") {
            let name = file.expect("a file").file_name().into_string().expect("a name");
            assert!(
                folder == "examples" || pages.contains(&format!("{folder}/{name}")),
                "no page shows {folder}/{name}"
            );
        }
    }
    for path in pages
        .split(['(', ' ', '`', ')', '\n'])
        .filter(|word| word.starts_with("examples/") || word.starts_with("docs/"))
    {
        let path = path.split('#').next().unwrap_or_default();
        assert!(repository(path).exists(), "{path} does not exist");
    }
}

#[test]
fn the_recipes_fit_the_resource() {
    let names = AthenaSession::crd().spec.names;
    let quota: ResourceQuota =
        serde_saphyr::from_str(&read("docs/recipes/quota.yaml")).expect("a ResourceQuota");
    let counted = format!("count/{}.{}", names.plural, AthenaSession::group(&()));
    assert!(quota.spec.and_then(|spec| spec.hard).is_some_and(|hard| hard.contains_key(&counted)));

    let documents: Vec<Value> =
        serde_saphyr::from_multiple(&read("docs/recipes/office-hours.yaml")).expect("YAML");
    let of_kind = |kind: &str| {
        documents.iter().filter(|document| document["kind"] == kind).cloned().collect::<Vec<_>>()
    };
    let roles: Vec<Role> =
        of_kind("Role").into_iter().map(|role| serde_json::from_value(role).expect("a Role")).collect();
    let rule = &roles[0].rules.as_ref().expect("rules")[0];
    assert_eq!(
        (&rule.resources, &rule.verbs),
        (&Some(vec![names.plural]), &vec!["get".to_owned(), "patch".to_owned()])
    );
    let mut suspends = Vec::new();
    for job in of_kind("CronJob") {
        let job: CronJob = serde_json::from_value(job).expect("a CronJob");
        let pod = job.spec.and_then(|spec| spec.job_template.spec?.template.spec).expect("a pod");
        let command = pod.containers[0].command.clone().expect("a command");
        assert_eq!(command[..3], ["kubectl", "patch", &names.singular.clone().unwrap_or_default()]);
        assert_eq!(rule.resource_names.as_deref(), Some(&command[3..4]));
        let patch: Value = serde_json::from_str(command[5].trim_start_matches("--patch=")).expect("JSON");
        suspends.push(patch);
    }
    assert_eq!(suspends, [false, true].map(|suspend| json!({ "spec": { "suspend": suspend } })));
}
