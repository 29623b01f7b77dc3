//! What objects are called, and that releases do not meet.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::helm::{RELEASE, Release, identity, objects, of_kind, only, read};
use crate::switches::{PAIRWISE, Settings, everything, nothing, with};

const CLUSTER_SCOPED: [&str; 5] = [
    "ClusterRole",
    "ClusterRoleBinding",
    "CustomResourceDefinition",
    "ValidatingAdmissionPolicy",
    "ValidatingAdmissionPolicyBinding",
];

#[test]
fn each_object_has_a_namespace_of_its_own_unless_it_is_the_clusters() {
    for render in &*PAIRWISE {
        let objects = objects(&render.text);
        let identities: BTreeSet<String> = objects.iter().map(identity).collect();
        assert_eq!(identities.len(), objects.len(), "twice in {}", render.values);
        for object in &objects {
            let is_clusters = CLUSTER_SCOPED.contains(&object["kind"].as_str().expect("a kind"));
            assert_eq!(
                object["metadata"].get("namespace").is_none(),
                is_clusters,
                "{} with {}",
                identity(object),
                render.values
            );
        }
    }
}

#[test]
fn each_object_tells_what_it_belongs_to() {
    for object in RELEASE.objects(&with(&[everything()])) {
        let labels = &object["metadata"]["labels"];
        let told = ["name", "instance", "version", "part-of", "managed-by"]
            .map(|label| &labels[format!("app.kubernetes.io/{label}")]);
        assert_eq!(
            told,
            ["athena-operator", "athena-operator", "0.1.0", "athena-operator", "Helm"],
            "{}",
            identity(&object)
        );
    }
}

/// What two releases of a cluster may not share: objects, the job of their metrics, their lease.
fn claims(release: Release, settings: &[&Settings]) -> BTreeSet<String> {
    let objects = release.objects(&with(settings));
    let mut claims: BTreeSet<String> = objects.iter().map(identity).collect();
    claims.insert(format!(
        "job {}",
        only(&objects, "ServiceMonitor")["spec"]["endpoints"][0]["relabelings"][0]["replacement"]
    ));
    for role in of_kind(&objects, "Role") {
        for rule in
            role["rules"].as_array().expect("rules").iter().filter(|rule| rule.get("resourceNames").is_some())
        {
            claims.insert(format!("lease {} {}", role["metadata"]["namespace"], rule["resourceNames"][0]));
        }
    }
    claims
}

#[test]
fn two_releases_share_nothing_but_the_crd_that_one_of_them_has() {
    let second_has_no_crd = Settings::from([("crds.enabled".to_owned(), json!(false))]);
    let watching = |namespace: &str| Settings::from([("watch.namespaces".to_owned(), json!([namespace]))]);
    let one_lease_namespace = Settings::from([("leaderElection.namespace".to_owned(), json!("leases"))]);
    let release = |name, namespace| Release { name, namespace };
    let pairs = [
        (release("one", "a"), release("two", "a")),
        (release("one", "a"), release("one", "b")),
        (release("athena-operator", "a"), release("athena-operator", "b")),
        // These would be the same if a name and a namespace were joined by a dash.
        (release("one-athena-operator", "a-b"), release("one-athena-operator-a", "b")),
    ];
    for (first, second) in pairs {
        for more in [Settings::new(), one_lease_namespace.clone()] {
            let first_claims = claims(first, &[everything(), &watching("etl"), &more]);
            let second_claims =
                claims(second, &[everything(), &watching("adhoc"), &second_has_no_crd, &more]);
            let shared: Vec<_> = first_claims.intersection(&second_claims).collect();
            assert!(
                shared.is_empty(),
                "{}/{} and {}/{} share {shared:?}",
                first.namespace,
                first.name,
                second.namespace,
                second.name
            );
            assert!(first_claims.contains("CustomResourceDefinition athenasessions.athena-operator.io"));
        }
    }
}

#[test]
fn names_stay_valid_for_the_longest_release_and_for_one_with_dots() {
    let dns = |label: &str| {
        let is_allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        (1..=63).contains(&label.len())
            && label.bytes().all(is_allowed)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    for name in ["an-extremely-long-name-of-a-release-as-long-as-helm-ok", "release.with.dots"]
        .map(|name| &name[..name.len().min(53)])
    {
        let release =
            Release { name, namespace: "a-namespace-whose-name-is-as-long-as-that-of-a-namespace-may-be" };
        for object in release.objects(&with(&[everything()])) {
            let of_object = object["metadata"]["name"].as_str().expect("a name");
            let is_valid = if CLUSTER_SCOPED.contains(&object["kind"].as_str().expect("a kind"))
                || object["kind"].as_str() == Some("Role")
                || object["kind"].as_str() == Some("RoleBinding")
            {
                of_object.len() <= 253 && of_object.split('.').all(dns)
            } else {
                dns(of_object)
            };
            assert!(is_valid, "{}", identity(&object));
            for (key, value) in object["metadata"]["labels"].as_object().expect("labels") {
                let value = value.as_str().expect("text");
                let ends = value.bytes().next().into_iter().chain(value.bytes().last());
                assert!(
                    value.len() <= 63 && ends.into_iter().all(|byte| byte.is_ascii_alphanumeric()),
                    "{}: {key}: {value}",
                    identity(&object)
                );
            }
        }
    }
}

#[test]
fn the_crd_is_the_one_made_from_the_code_and_is_kept_unless_said_otherwise() {
    let made: Value = serde_saphyr::from_str(&read(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../crds/athenasessions.athena-operator.io.yaml"
    )))
    .expect("YAML");
    let rendered = |values: &Value| only(&RELEASE.objects(values), "CustomResourceDefinition").clone();
    let kept = rendered(&nothing());
    for field in ["apiVersion", "kind", "spec"] {
        assert_eq!(kept[field], made[field], "{field}");
    }
    assert_eq!(kept["metadata"]["name"], made["metadata"]["name"]);
    assert_eq!(kept["metadata"]["annotations"]["helm.sh/resource-policy"], "keep");
    let not_kept = rendered(&with(&[&[("crds.keep".to_owned(), json!(false))].into()]));
    assert_eq!(
        not_kept["metadata"]
            .get("annotations")
            .and_then(|annotations| annotations.get("helm.sh/resource-policy")),
        None
    );
}
