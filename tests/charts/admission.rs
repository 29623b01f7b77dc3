//! The policy: it knows the operator that it is made for, and nobody by a pattern.

use serde_json::{Value, json};

use crate::helm::{RELEASE, Release, objects, of_kind, only};
use crate::switches::{PAIRWISE, Settings, everything, with};

/// The pod's service account, as the API server authenticates it.
fn account(objects: &[Value]) -> String {
    let deployment = only(objects, "Deployment");
    let name =
        deployment["spec"]["template"]["spec"]["serviceAccountName"].as_str().expect("a service account");
    format!(
        "system:serviceaccount:{}:{name}",
        deployment["metadata"]["namespace"].as_str().expect("a namespace")
    )
}

/// The expressions of a policy by which requests are told apart.
fn requests(policy: &Value) -> Vec<&str> {
    let condition = policy["spec"]["matchConditions"][0]["expression"].as_str().expect("a condition");
    let variables = policy["spec"]["variables"].as_array().expect("variables").iter();
    let releases = variables
        .filter(|variable| variable["name"] == "releases")
        .filter_map(|variable| variable["expression"].as_str());
    releases.chain([condition]).collect()
}

#[test]
fn the_policy_lets_the_pods_own_service_account_remove_the_finalizer_and_no_other() {
    let mut seen = 0;
    for render in &*PAIRWISE {
        let objects = objects(&render.text);
        for policy in of_kind(&objects, "ValidatingAdmissionPolicy") {
            let expressions = requests(policy);
            assert_eq!(expressions.len(), 2, "{policy}");
            for expression in expressions {
                let named: Vec<&str> = expression
                    .split('\'')
                    .filter(|word| word.starts_with("system:serviceaccount:"))
                    .collect();
                assert_eq!(named, [account(&objects)], "{}", render.values);
            }
            seen += 1;
        }
    }
    assert!(seen > 3, "{seen}");
}

#[test]
fn the_policies_of_two_releases_hold_in_their_own_namespaces_for_their_own_operators() {
    let told = |name, namespace, watched: &str| {
        let watching = Settings::from([("watch.namespaces".to_owned(), json!([watched]))]);
        let objects = Release { name, namespace }.objects(&with(&[everything(), &watching]));
        let binding = only(&objects, "ValidatingAdmissionPolicyBinding").clone();
        assert_eq!(
            binding["spec"]["policyName"],
            only(&objects, "ValidatingAdmissionPolicy")["metadata"]["name"]
        );
        let expressions = requests(only(&objects, "ValidatingAdmissionPolicy")).concat();
        assert!(expressions.contains(&account(&objects)), "{expressions}");
        (
            account(&objects),
            binding["spec"]["matchResources"]["namespaceSelector"]["matchExpressions"][0]["values"].clone(),
        )
    };
    assert_eq!(
        told("one", "a", "etl"),
        ("system:serviceaccount:a:one-athena-operator".to_owned(), json!(["etl"]))
    );
    assert_eq!(
        told("two", "b", "adhoc"),
        ("system:serviceaccount:b:two-athena-operator".to_owned(), json!(["adhoc"]))
    );
}

#[test]
fn whom_a_rule_exempts_is_named_whole() {
    for (more, expected) in [
        (json!({ "retainExemptions": { "users": ["*"] } }), "at '/policy/rules/0/retainExemptions/users/0'"),
        (
            json!({ "retainExemptions": { "groups": ["team-*"] } }),
            "at '/policy/rules/0/retainExemptions/groups/0'",
        ),
        (
            json!({ "retainExemptions": { "serviceAccounts": ["janitor"] } }),
            "at '/policy/rules/0/retainExemptions/serviceAccounts/0'",
        ),
        (
            json!({ "retainExemptions": { "serviceAccounts": ["ops/*"] } }),
            "at '/policy/rules/0/retainExemptions/serviceAccounts/0'",
        ),
        (json!({ "retainExemptions": { "user": ["carol"] } }), "at '/policy/rules/0/retainExemptions'"),
        (json!({ "maxConcurrentDpus": 1 }), "at '/policy/rules/0/maxConcurrentDpus'"),
    ] {
        let mut rule = json!({ "namespaces": ["etl"] });
        rule.as_object_mut().expect("a rule").extend(more.as_object().expect("a map").clone());
        let settings = Settings::from([
            ("policy.enabled".to_owned(), json!(true)),
            ("policy.rules".to_owned(), json!([rule])),
        ]);
        RELEASE.is_refused(&with(&[&settings]), expected);
    }
}
