//! The roles of each render: no right too many, and each bound to whom it is for.

use serde_json::{Value, json};

use crate::helm::{RELEASE, identity, objects, of_kind, only, variable};
use crate::switches::{PAIRWISE, Settings, everything, with};
use crate::values::get;

const ROLES: [&str; 2] = ["ClusterRole", "Role"];
const BINDINGS: [&str; 2] = ["ClusterRoleBinding", "RoleBinding"];

fn of_kinds<'a>(objects: &'a [Value], kinds: &'a [&str]) -> impl Iterator<Item = &'a Value> {
    kinds.iter().flat_map(|kind| of_kind(objects, kind))
}

fn rules(role: &Value) -> &Vec<Value> {
    role["rules"].as_array().expect("rules")
}

fn list<'a>(rule: &'a Value, key: &str) -> Vec<&'a str> {
    rule[key].as_array().expect("a list").iter().map(|entry| entry.as_str().expect("text")).collect()
}

/// Whether the role is part of `view`, `edit` or `admin`.
fn is_aggregated(role: &Value) -> bool {
    role["metadata"]["labels"]
        .as_object()
        .expect("labels")
        .keys()
        .any(|label| label.starts_with("rbac.authorization.k8s.io/aggregate-to-"))
}

fn watched(values: &Value) -> Vec<String> {
    let namespaces = get(values, "watch.namespaces").and_then(Value::as_array).into_iter().flatten();
    namespaces.map(|namespace| namespace.as_str().expect("a name").to_owned()).collect()
}

#[test]
fn a_release_that_watches_namespaces_has_no_role_of_the_cluster() {
    let mut seen = 0;
    for render in PAIRWISE.iter().filter(|render| !watched(&render.values).is_empty()) {
        let objects = objects(&render.text);
        let of_cluster: Vec<String> =
            of_kinds(&objects, &["ClusterRole", "ClusterRoleBinding"]).map(identity).collect();
        assert!(of_cluster.is_empty(), "{of_cluster:?} with {}", render.values);
        if get(&render.values, "rbac.create") != Some(&json!(false)) {
            let mut of_sessions: Vec<String> = of_kind(&objects, "Role")
                .filter(|role| role["rules"].to_string().contains("athenasessions"))
                .map(namespace)
                .collect();
            of_sessions.sort();
            let mut watched = watched(&render.values);
            watched.sort();
            assert_eq!(of_sessions, watched, "{}", render.values);
            seen += 1;
        }
    }
    assert!(seen > 0);
}

fn namespace(object: &Value) -> String {
    object["metadata"]["namespace"].as_str().expect("a namespace").to_owned()
}

#[test]
fn no_role_has_a_wildcard_or_a_right_to_secrets_or_more_than_it_is_for() {
    let needed = [
        ("athena-operator.io", "athenasessions", vec!["get", "list", "watch", "patch", "delete"]),
        ("athena-operator.io", "athenasessions/status", vec!["patch", "update"]),
        ("", "events", vec!["create", "patch"]),
        ("coordination.k8s.io", "leases", vec!["create"]),
        ("coordination.k8s.io", "leases", vec!["get", "update"]),
    ];
    for render in &*PAIRWISE {
        for role in of_kinds(&objects(&render.text), &ROLES) {
            for rule in rules(role) {
                assert!(
                    rule.get("nonResourceURLs").is_none() && !rule.to_string().contains('*'),
                    "{}: {rule}",
                    identity(role)
                );
                let [groups, resources, verbs] =
                    ["apiGroups", "resources", "verbs"].map(|key| list(rule, key));
                if is_aggregated(role) {
                    assert_eq!(
                        (groups.as_slice(), resources.as_slice()),
                        (["athena-operator.io"].as_slice(), ["athenasessions"].as_slice()),
                        "{}",
                        identity(role)
                    );
                } else {
                    let is_needed = needed.iter().any(|(group, resource, needed)| {
                        groups == [*group] && resources == [*resource] && verbs == *needed
                    });
                    assert!(is_needed, "{}: {rule}", identity(role));
                }
            }
        }
    }
}

#[test]
fn who_may_view_or_edit_may_neither_see_sessions_nor_spend_money_unless_asked_for() {
    let aggregated = |settings: Settings| -> Vec<(String, Vec<String>)> {
        let objects = RELEASE.objects(&with(&[&settings]));
        let mut roles: Vec<_> = of_kind(&objects, "ClusterRole")
            .filter(|role| is_aggregated(role))
            .flat_map(|role| {
                let labels = role["metadata"]["labels"].as_object().expect("labels").keys();
                let verbs: Vec<String> =
                    rules(role).iter().flat_map(|rule| list(rule, "verbs")).map(str::to_owned).collect();
                labels
                    .filter_map(|label| label.strip_prefix("rbac.authorization.k8s.io/aggregate-to-"))
                    .map(move |to| (to.to_owned(), verbs.clone()))
                    .collect::<Vec<_>>()
            })
            .collect();
        roles.sort();
        roles
    };
    let named = |roles: &[(&str, &[&str])]| -> Vec<(String, Vec<String>)> {
        roles
            .iter()
            .map(|(to, verbs)| ((*to).to_owned(), verbs.iter().map(|verb| (*verb).to_owned()).collect()))
            .collect()
    };
    let view: (&str, &[&str]) = ("view", &["get", "list", "watch"]);
    let write: &[&str] = &["get", "list", "watch", "create", "update", "patch", "delete", "deletecollection"];
    let set = |path: &str, value: bool| Settings::from([(path.to_owned(), json!(value))]);
    // An object may hold secrets.
    assert_eq!(aggregated(Settings::new()), named(&[]));
    assert_eq!(aggregated(set("rbac.aggregateToView", true)), named(&[view]));
    // Kubernetes makes admin of edit, and edit of view.
    assert_eq!(aggregated(set("rbac.aggregateToEdit", true)), named(&[("edit", write)]));
    assert_eq!(aggregated(set("rbac.aggregateToAdmin", true)), named(&[("admin", write)]));
}

#[test]
fn each_role_of_the_operator_is_bound_to_its_service_account_alone() {
    for render in &*PAIRWISE {
        let objects = objects(&render.text);
        let deployment = only(&objects, "Deployment");
        let subject = json!([{"kind": "ServiceAccount", "name": deployment["spec"]["template"]["spec"]["serviceAccountName"], "namespace": deployment["metadata"]["namespace"]}]);
        let mut bound = Vec::new();
        for binding in of_kinds(&objects, &BINDINGS) {
            assert_eq!(binding["subjects"], subject, "{} with {}", identity(binding), render.values);
            let role = binding["roleRef"]["kind"].as_str().expect("a kind");
            bound.push(identity(binding).replacen(binding["kind"].as_str().expect("a kind"), role, 1));
            assert_eq!(binding["roleRef"]["name"], binding["metadata"]["name"], "{}", identity(binding));
        }
        let mut of_operator: Vec<String> =
            of_kinds(&objects, &ROLES).filter(|role| !is_aggregated(role)).map(identity).collect();
        bound.sort();
        of_operator.sort();
        assert_eq!(bound, of_operator, "{}", render.values);
    }
}

#[test]
fn the_lease_that_may_be_replaced_is_the_one_that_the_operator_is_told() {
    let mut seen = 0;
    for render in &*PAIRWISE {
        let objects = objects(&render.text);
        let deployment = only(&objects, "Deployment");
        let operator = &deployment["spec"]["template"]["spec"]["containers"][0];
        for role in of_kind(&objects, "Role") {
            for rule in rules(role)
                .iter()
                .filter(|rule| list(rule, "resources") == ["leases"] && list(rule, "verbs") != ["create"])
            {
                let told = variable(operator, "ATHENA_OPERATOR_LEASE_NAME");
                assert_eq!(Some(&rule["resourceNames"][0]), told, "{}", render.values);
                let namespace = variable(operator, "ATHENA_OPERATOR_LEASE_NAMESPACE")
                    .unwrap_or(&deployment["metadata"]["namespace"]);
                assert_eq!(role["metadata"]["namespace"], *namespace, "{}", render.values);
                seen += 1;
            }
        }
    }
    assert!(seen > 0);
}

#[test]
fn roles_are_left_out_if_somebody_else_makes_them() {
    let none = Settings::from([("rbac.create".to_owned(), json!(false))]);
    let objects = RELEASE.objects(&with(&[everything(), &none]));
    assert_eq!(of_kinds(&objects, &ROLES).chain(of_kinds(&objects, &BINDINGS)).count(), 0);
}
