//! The pods of each render: what they may, and how they start and end.

use serde_json::{Value, json};

use crate::helm::{CHART, Helm, RELEASE, identity, objects, of_kind, only, read, variable};
use crate::switches::{PAIRWISE, Settings, everything, nothing, with};
use crate::values::get;

/// The operator's pod and those of `helm test`, with what to call them.
fn pods(objects: &[Value]) -> Vec<(String, &Value)> {
    let of_deployments =
        of_kind(objects, "Deployment").map(|object| (identity(object), &object["spec"]["template"]["spec"]));
    of_deployments.chain(of_kind(objects, "Pod").map(|object| (identity(object), &object["spec"]))).collect()
}

/// The chart's own container, which comes before those of the user.
fn container(pod: &Value) -> &Value {
    &pod["containers"][0]
}

fn operator(values: &Value) -> Value {
    container(pods(&RELEASE.objects(values))[0].1).clone()
}

fn set(path: &str, value: Value) -> Settings {
    [(path.to_owned(), value)].into()
}

/// Why the Pod Security Standard `restricted` does not admit a pod with this as its only container.
/// <https://kubernetes.io/docs/concepts/security/pod-security-standards/>
fn against_restricted(pod: &Value, container: &Value) -> Vec<String> {
    let of = |field: &str| container["securityContext"].get(field).unwrap_or(&pod["securityContext"][field]);
    let added = container["securityContext"]["capabilities"]["add"].as_array();
    let volumes = pod["volumes"].as_array().into_iter().flatten();
    let kinds = [
        "configMap",
        "csi",
        "downwardAPI",
        "emptyDir",
        "ephemeral",
        "persistentVolumeClaim",
        "projected",
        "secret",
    ];
    let rules = [
        ("hostNetwork", pod.get("hostNetwork").is_none_or(|set| *set == false)),
        ("hostPID, hostIPC", pod.get("hostPID").is_none() && pod.get("hostIPC").is_none()),
        (
            "volumes",
            volumes
                .flat_map(|volume| volume.as_object().expect("a volume").keys())
                .all(|key| key == "name" || kinds.contains(&key.as_str())),
        ),
        (
            "hostPort",
            container["ports"].as_array().into_iter().flatten().all(|port| port.get("hostPort").is_none()),
        ),
        ("privileged", container["securityContext"].get("privileged").is_none_or(|set| *set == false)),
        ("allowPrivilegeEscalation", container["securityContext"]["allowPrivilegeEscalation"] == false),
        ("runAsNonRoot", *of("runAsNonRoot") == true),
        ("runAsUser", of("runAsUser").as_u64().is_some_and(|user| user >= 10_000)),
        ("seccompProfile", of("seccompProfile")["type"] == "RuntimeDefault"),
        ("capabilities.drop", container["securityContext"]["capabilities"]["drop"] == json!(["ALL"])),
        ("capabilities.add", added.is_none()),
        ("procMount", container["securityContext"].get("procMount").is_none()),
        ("sysctls", pod["securityContext"].get("sysctls").is_none()),
        // Not asked for by the standard.
        ("readOnlyRootFilesystem", container["securityContext"]["readOnlyRootFilesystem"] == true),
    ];
    rules.into_iter().filter(|(_, holds)| !holds).map(|(rule, _)| rule.to_owned()).collect()
}

#[test]
fn each_pod_is_restricted_unless_it_is_to_have_the_nodes_network() {
    for render in &*PAIRWISE {
        let objects = objects(&render.text);
        let expected: &[&str] = if get(&render.values, "hostNetwork").is_some_and(|set| *set == true) {
            &["hostNetwork"]
        } else {
            &[]
        };
        for (name, pod) in pods(&objects) {
            assert_eq!(against_restricted(pod, container(pod)), expected, "{name} with {}", render.values);
        }
    }
}

#[test]
fn the_token_is_mounted_into_the_operators_container_alone() {
    for render in &*PAIRWISE {
        let objects = objects(&render.text);
        for account in of_kind(&objects, "ServiceAccount") {
            assert_eq!(account["automountServiceAccountToken"], false, "{}", render.values);
        }
        for (name, pod) in pods(&objects) {
            assert_eq!(pod["automountServiceAccountToken"], false, "{name}");
            let is_token =
                |volume: &&Value| volume["projected"]["sources"].to_string().contains("serviceAccountToken");
            let tokens: Vec<&Value> = pod["volumes"]
                .as_array()
                .into_iter()
                .flatten()
                .filter(is_token)
                .map(|volume| &volume["name"])
                .collect();
            assert_eq!(tokens.len(), usize::from(name.starts_with("Deployment")), "{name}");
            let lists = ["containers", "initContainers"].map(|list| pod[list].as_array());
            for each in lists.into_iter().flatten().flatten() {
                let mounts = each["volumeMounts"]
                    .as_array()
                    .into_iter()
                    .flatten()
                    .filter(|mount| tokens.contains(&&mount["name"]))
                    .count();
                assert_eq!(
                    mounts,
                    usize::from(each["name"] == "operator"),
                    "{name}, container {}",
                    each["name"]
                );
            }
        }
    }
}

#[test]
fn memory_is_limited_and_all_probes_are_on_unless_said_otherwise() {
    let operator = operator(&nothing());
    let resources = &operator["resources"];
    for resource in ["/requests/cpu", "/requests/memory", "/limits/memory"] {
        assert!(resources.pointer(resource).is_some(), "no {resource} in {resources}");
    }
    let port = &operator["ports"][0];
    for (probe, path) in
        [("startupProbe", "/livez"), ("livenessProbe", "/livez"), ("readinessProbe", "/readyz")]
    {
        assert_eq!(operator[probe]["httpGet"], json!({"path": path, "port": port["name"]}), "{probe}");
    }
}

#[test]
fn the_port_is_the_one_that_the_operator_listens_on() {
    let operator = operator(&with(&[&set("metrics.port", json!(9090))]));
    assert_eq!(operator["ports"][0]["containerPort"], 9090);
    assert_eq!(variable(&operator, "ATHENA_OPERATOR_LISTEN"), Some(&json!("0.0.0.0:9090")));
}

#[test]
fn an_endpoint_of_athena_is_not_asked_for_what_only_sts_knows() {
    let urls = |values: &Value| {
        let operator = operator(values);
        ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_ATHENA", "AWS_ENDPOINT_URL_STS"]
            .map(|name| variable(&operator, name).cloned())
    };
    let (athena, sts) = (json!("https://vpce-1.athena.example.org"), json!("https://vpce-2.sts.example.org"));
    assert_eq!(urls(&nothing()), [None, None, None]);
    assert_eq!(urls(&with(&[&set("aws.endpointUrl", athena.clone())])), [None, Some(athena), None]);
    assert_eq!(urls(&with(&[&set("aws.stsEndpointUrl", sts.clone())])), [None, None, Some(sts)]);
}

#[test]
fn an_image_is_pinned_by_its_digest_if_there_is_one() {
    let chart: Value = serde_saphyr::from_str(&read(format!("{CHART}/Chart.yaml"))).expect("YAML");
    let own = format!(
        "ghcr.io/athena-operator/athena-operator:{}",
        chart["appVersion"].as_str().expect("a version")
    );
    let digest = format!("sha256:{}", "0123456789abcdef".repeat(4));
    let mirror = [
        ("image.registry".to_owned(), json!("")),
        ("image.tag".to_owned(), json!("1.2.3")),
        ("image.digest".to_owned(), json!(digest)),
    ];
    assert_eq!(operator(&nothing())["image"], own.as_str());
    assert_eq!(operator(&with(&[&set("image.digest", json!(digest))]))["image"], format!("{own}@{digest}"));
    assert_eq!(
        operator(&with(&[&mirror.into()]))["image"],
        format!("athena-operator/athena-operator:1.2.3@{digest}")
    );
}

#[test]
fn the_kubelet_waits_longer_than_the_operator_takes_to_end() {
    for render in &*PAIRWISE {
        let objects = objects(&render.text);
        let pod = pods(&objects)[0].1;
        let grace = variable(container(pod), "ATHENA_OPERATOR_SHUTDOWN_GRACE").and_then(Value::as_str);
        let grace: u64 = grace.and_then(|value| value.strip_suffix('s')?.parse().ok()).expect("seconds");
        assert!(
            pod["terminationGracePeriodSeconds"].as_u64().expect("seconds") >= grace + 5,
            "{}",
            render.values
        );
    }
}

#[test]
fn a_disruption_budget_is_there_only_with_more_than_one_replica() {
    for (replicas, budgets) in [(0, 0), (1, 0), (2, 1), (3, 1)] {
        let objects = RELEASE.objects(&with(&[&set("replicaCount", json!(replicas))]));
        assert_eq!(of_kind(&objects, "PodDisruptionBudget").count(), budgets, "with {replicas} replicas");
    }
}

#[test]
fn two_processes_never_run_without_leader_election() {
    for render in &*PAIRWISE {
        let objects = objects(&render.text);
        let spec = &only(&objects, "Deployment")["spec"];
        if get(&render.values, "leaderElection.enabled").is_some_and(|set| *set == false) {
            assert!(spec["replicas"].as_u64().is_some_and(|replicas| replicas <= 1), "{}", render.values);
            assert_eq!(spec["strategy"], json!({"type": "Recreate"}), "{}", render.values);
        }
    }
}

#[test]
fn selectors_hold_over_versions_and_choose_the_operators_pods_alone() {
    let chart = tempfile::tempdir().expect("a folder");
    copy(CHART.as_ref(), chart.path());
    let file = chart.path().join("Chart.yaml");
    let text = read(&file);
    let next = text.replace("ersion: 0.1.0", "ersion: 7.8.9");
    assert_ne!(text, next);
    std::fs::write(file, next).expect("a chart");
    let values = with(&[everything()]);
    let path = chart.path().to_str().expect("UTF-8");
    let output = Helm::Four
        .run(&["template", RELEASE.name, path, "--namespace", RELEASE.namespace, "--values", "-"], &values);
    let (now, later) = (RELEASE.objects(&values), objects(&String::from_utf8(output.stdout).expect("UTF-8")));

    let selectors = |objects: &[Value]| -> Vec<Value> {
        let spec = |kind: &str| only(objects, kind)["spec"].clone();
        vec![
            spec("Deployment")["selector"]["matchLabels"].clone(),
            spec("PodDisruptionBudget")["selector"]["matchLabels"].clone(),
            spec("Service")["selector"].clone(),
        ]
    };
    assert_eq!(selectors(&now), selectors(&later));
    // A new chart alone need not restart the pods: only the image's version is another one.
    let template = |objects: &[Value]| only(objects, "Deployment")["spec"]["template"].to_string();
    assert_eq!(template(&now), template(&later).replace("7.8.9", "0.1.0"));

    let test = &only(&now, "Pod")["metadata"]["labels"];
    let operator = &only(&now, "Deployment")["spec"]["template"]["metadata"]["labels"];
    let chooses = |selector: &Value, labels: &Value| {
        selector.as_object().expect("labels").iter().all(|(key, value)| labels.get(key) == Some(value))
    };
    for selector in selectors(&now) {
        assert!(chooses(&selector, operator) && !chooses(&selector, test), "{selector}");
    }
}

fn copy(from: &std::path::Path, to: &std::path::Path) {
    for entry in std::fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("an entry");
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            std::fs::create_dir(&target).expect("a folder");
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).expect("a copy");
        }
    }
}
