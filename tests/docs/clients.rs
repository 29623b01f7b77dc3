//! The examples of Pods that use a session: each manifest is what Kubernetes' types take, all of it, and names what the others name.

use athena_operator::api::AthenaSession;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ConfigMap, ServiceAccount};
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::{CustomResourceExt, Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::read;

/// The one object of type `T` among `documents`, of which no field was lost in reading it.
fn only<T: DeserializeOwned + Serialize>(documents: &[Value], kind: &str) -> T {
    let found: Vec<_> = documents.iter().filter(|document| document["kind"] == kind).collect();
    let [document] = found[..] else { panic!("{} of kind {kind}", found.len()) };
    let object: T =
        serde_json::from_value(document.clone()).unwrap_or_else(|error| panic!("{kind}: {error}"));
    assert_eq!(
        serde_json::to_value(&object).expect("JSON"),
        *document,
        "{kind} has fields that Kubernetes does not know"
    );
    object
}

#[test]
fn a_client_reads_the_one_session_that_it_waits_for() {
    let crd = AthenaSession::crd().spec.names;
    for engine in ["spark-35", "pyspark-3"] {
        let documents: Vec<Value> =
            serde_saphyr::from_multiple(&read(&format!("examples/clients/{engine}.yaml"))).expect("YAML");
        let account: ServiceAccount = only(&documents, "ServiceAccount");
        let role: Role = only(&documents, "Role");
        let binding: RoleBinding = only(&documents, "RoleBinding");
        let code: ConfigMap = only(&documents, "ConfigMap");
        let job: Job = only(&documents, "Job");
        assert_eq!(documents.len(), 5);

        let session: AthenaSession =
            serde_saphyr::from_str(&read(&format!("examples/{engine}-minimal.yaml")))
                .expect("an AthenaSession");
        assert_eq!(session.spec.work_group, engine, "the work group that the policy names");
        let [rule] = &role.rules.clone().unwrap_or_default()[..] else { panic!("one rule") };
        assert_eq!(rule.api_groups, Some(vec![AthenaSession::group(&()).into_owned()]));
        assert_eq!(
            (&rule.resources, &rule.resource_names),
            (&Some(vec![crd.plural.clone()]), &Some(vec![session.name_any()]))
        );
        assert_eq!(rule.verbs, ["get", "list", "watch"]);
        let subjects = binding.subjects.clone().unwrap_or_default();
        assert_eq!((&binding.role_ref.name, &subjects[0].name), (&role.name_any(), &account.name_any()));

        let pod = job.spec.expect("a spec").template.spec.expect("a pod");
        assert_eq!(
            (pod.service_account_name.as_deref(), pod.restart_policy.as_deref()),
            (Some(account.name_any().as_str()), Some("Never"))
        );
        let [init] = &pod.init_containers.clone().unwrap_or_default()[..] else {
            panic!("one init container")
        };
        let waited = format!(
            "kubectl wait {}/{} --for=condition=Available ",
            crd.singular.clone().unwrap_or_default(),
            session.name_any()
        );
        let [script] = &init.args.clone().unwrap_or_default()[..] else { panic!("one command") };
        assert!(
            script.starts_with(&waited) && script.ends_with("-o jsonpath='{.status.sessionId}' >/session/id"),
            "{script}"
        );

        let volumes = pod.volumes.clone().unwrap_or_default();
        let mounted: Vec<_> =
            volumes.iter().filter_map(|volume| Some(volume.config_map.as_ref()?.name.clone())).collect();
        assert_eq!(mounted, [code.name_any()]);
        let program = &code.data.unwrap_or_default()["client.py"];
        let variables = pod.containers[0].env.clone().unwrap_or_default();
        for variable in program.split("os.environ[\"").skip(1).filter_map(|rest| rest.split('"').next()) {
            assert!(variables.iter().any(|set| set.name == variable), "{variable} is not set");
        }
    }
}

#[test]
fn a_client_may_make_the_calls_that_it_makes() {
    for engine in ["spark-35", "pyspark-3"] {
        let program = read(&format!("examples/clients/{engine}.yaml"));
        let policy = read(&format!("examples/clients/{engine}-policy.json"));
        let called: Vec<_> = program
            .split("athena.")
            .skip(1)
            .filter_map(|rest| rest.split_once('('))
            .map(|(name, _)| name)
            .collect();
        assert!(!called.is_empty());
        for name in called {
            let action: String = name.split('_').map(|word| word[..1].to_uppercase() + &word[1..]).collect();
            assert!(
                policy.contains(&format!("\"athena:{action}\"")),
                "{engine}: athena:{action} is not allowed"
            );
        }
        assert_eq!(policy.matches("\"athena:").count(), if engine == "spark-35" { 1 } else { 3 });
    }
}
