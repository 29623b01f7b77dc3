//! `helm lint`, and what an installation prints.

use crate::helm::{BOTH, CHART, Helm, RELEASE, of_kind};
use crate::switches::{everything, nothing, with};

#[test]
fn helm_finds_nothing_to_say() {
    for (helm, values) in
        BOTH.into_iter().flat_map(|helm| [nothing(), with(&[everything()])].map(|values| (helm, values)))
    {
        let output = helm.run(&["lint", "--strict", "--quiet", CHART, "--values", "-"], &values);
        let said =
            String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && said.trim().is_empty(), "Helm {helm:?} with {values}: {said}");
    }
}

/// Helm 3 needs a cluster for it.
#[test]
fn the_notes_have_the_next_commands_with_the_names_of_the_release() {
    let values = with(&[everything()]);
    let output = Helm::Four.run(
        &[
            "install",
            RELEASE.name,
            CHART,
            "--namespace",
            RELEASE.namespace,
            "--dry-run=client",
            "--values",
            "-",
        ],
        &values,
    );
    let printed = String::from_utf8(output.stdout).expect("UTF-8");
    let (_, notes) = printed
        .split_once("\nNOTES:\n")
        .unwrap_or_else(|| panic!("no notes: {printed}{}", String::from_utf8_lossy(&output.stderr)));
    let Some(deployment) = of_kind(&RELEASE.objects(&values), "Deployment").next().cloned() else {
        panic!("no Deployment")
    };
    let [name, namespace] =
        ["name", "namespace"].map(|key| deployment["metadata"][key].as_str().expect("text").to_owned());
    for command in [
        format!("kubectl rollout status deployment/{name} --namespace {namespace}"),
        format!("helm test {} --namespace {}", RELEASE.name, RELEASE.namespace),
        "kubectl wait --namespace default --for=condition=Available athenasession/first".to_owned(),
        "kubectl delete athenasessions --all --all-namespaces".to_owned(),
        format!("kubectl get configmap {name}-argocd --namespace {namespace}"),
    ] {
        assert!(notes.contains(&command), "no {command:?} in {notes}");
    }
}
