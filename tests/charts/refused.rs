//! What would not work is refused before anything is installed, and told with the way out.

use serde_json::{Value, json};

use crate::helm::{BOTH, CHART, RELEASE, Release};
use crate::switches::{nothing, with};

#[test]
fn what_cannot_work_is_refused_with_the_way_out() {
    let role = "arn:aws:iam::123456789012:role/athena-operator";
    let cases: &[(&[(&str, Value)], &str)] = &[
        (&[("aws.region", json!(""))], "aws.region must be set, such as --set aws.region=eu-west-1"),
        (&[("aws.inheritRegion", json!(true))], "aws.region and aws.inheritRegion exclude each other"),
        (&[("aws.region", json!("Frankfurt"))], "at '/aws/region'"),
        (
            &[("replicaCount", json!(2)), ("leaderElection.enabled", json!(false))],
            "at '/leaderElection/enabled': value must be true",
        ),
        (
            &[("leaderElection.enabled", json!(false)), ("strategy", json!({"type": "RollingUpdate"}))],
            "strategy.type must be Recreate",
        ),
        (
            &[("terminationGracePeriodSeconds", json!(29))],
            "terminationGracePeriodSeconds must be at least 30",
        ),
        (
            &[("aws.roleArn", json!(role)), ("serviceAccount.create", json!(false))],
            "aws.roleArn needs serviceAccount.create=true",
        ),
        (
            &[("aws.fipsEndpoint", json!(true)), ("aws.endpointUrl", json!("https://vpce.example.org"))],
            "aws.fipsEndpoint excludes aws.endpointUrl",
        ),
        (
            &[("aws.fipsEndpoint", json!(true)), ("aws.stsEndpointUrl", json!("https://vpce.example.org"))],
            "aws.fipsEndpoint excludes aws.endpointUrl",
        ),
        (&[("extraEnv", json!([{"name": "AWS_REGION", "value": "x"}]))], "extraEnv must not hold AWS_REGION"),
        (
            &[("extraEnv", json!([{"name": "ATHENA_OPERATOR_LISTEN", "value": "x"}]))],
            "extraEnv must not hold ATHENA_OPERATOR_LISTEN",
        ),
        (
            &[("metrics.enabled", json!(false)), ("metrics.serviceMonitor.enabled", json!(true))],
            "at '/metrics/serviceMonitor/enabled'",
        ),
        (&[("policy.enabled", json!(true))], "at '/policy/rules'"),
        (&[("image.digest", json!("latest"))], "at '/image/digest'"),
        (&[("metrics.port", json!(80))], "at '/metrics/port'"),
        (&[("fullnameOverride", json!("1st"))], "at '/fullnameOverride'"),
    ];
    for (settings, expected) in cases {
        let values =
            with(&[&settings.iter().map(|(path, value)| ((*path).to_owned(), value.clone())).collect()]);
        RELEASE.is_refused(&values, expected);
    }
}

#[test]
fn a_release_whose_name_does_not_fit_a_service_is_refused_with_the_way_out() {
    let release = Release { name: "1st", ..RELEASE };
    release.is_refused(&nothing(), "--set fullnameOverride=athena-operator");
    for helm in BOTH {
        release
            .template(helm, &with(&[&[("fullnameOverride".to_owned(), json!("athena-operator"))].into()]))
            .expect("the way out");
    }
}

#[test]
fn an_older_kubernetes_is_refused() {
    for helm in BOTH {
        let output = helm
            .run(&["template", RELEASE.name, CHART, "--kube-version", "1.32.9", "--values", "-"], &nothing());
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            !output.status.success() && said.contains("kubeVersion: >=1.33.0-0"),
            "Helm {helm:?}: {said}"
        );
    }
}
