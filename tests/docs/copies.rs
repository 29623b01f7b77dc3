//! The files that the chart has copies of, since Helm packs nothing from outside of its folder.

use crate::{files, read};

const CHART: &str = "charts/athena-operator/files";
const ARGOCD: &str = "gitops/argocd/resource_customizations/athena-operator.io/AthenaSession";

/// Each copy and what it is made of.
fn copies() -> Vec<(String, String)> {
    let copy = |copy: &str, of: String| (format!("{CHART}/{copy}"), of);
    vec![
        copy("crd.yaml", "crds/athenasessions.athena-operator.io.yaml".into()),
        copy("health.lua", format!("{ARGOCD}/health.lua")),
        copy("actions/discovery.lua", format!("{ARGOCD}/actions/discovery.lua")),
        copy("actions/resume.lua", format!("{ARGOCD}/actions/resume/action.lua")),
        copy("actions/suspend.lua", format!("{ARGOCD}/actions/suspend/action.lua")),
    ]
}

#[test]
fn the_charts_copies_are_what_they_are_made_of() {
    for (copy, of) in copies() {
        assert!(read(&copy) == read(&of), "{copy} is stale: it is not {of}; run `make generate`");
    }
}

#[test]
fn no_script_of_the_chart_is_without_a_source() {
    let known = copies();
    for script in
        [CHART.to_owned(), format!("{CHART}/actions")].iter().flat_map(|folder| files(folder, "lua"))
    {
        assert!(known.iter().any(|(copy, _)| *copy == script), "{script} is a copy of nothing");
    }
}
