//! Policies of the API server that hold in the namespace of a test.

use std::future::Future;

use anyhow::Context;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

use super::{World, look};

/// Resources of the whole cluster that the test made for its namespace; they go with it.
pub struct ForNamespace<'a> {
    world: &'a World,
    file: tempfile::NamedTempFile,
}

impl<'a> ForNamespace<'a> {
    /// Applies them.
    pub fn apply(world: &'a World, items: &[Value]) -> anyhow::Result<Self> {
        let file = tempfile::NamedTempFile::new()?;
        let list = json!({ "apiVersion": "v1", "kind": "List", "items": items });
        std::fs::write(file.path(), list.to_string())?;
        let made = Self { world, file };
        world.stage().kubectl_ok(&["apply", "-f", &made.path()])?;
        Ok(made)
    }

    fn path(&self) -> String {
        self.file.path().display().to_string()
    }
}

impl Drop for ForNamespace<'_> {
    fn drop(&mut self) {
        let _ = self.world.stage().kubectl_ok(&["delete", "--ignore-not-found", "-f", &self.path()]);
    }
}

/// Matches an operation on a resource in the test's namespace.
pub fn matched(world: &World, operation: &str, resource: &str) -> Value {
    json!({
        "namespaceSelector": { "matchLabels": { "kubernetes.io/metadata.name": world.namespace } },
        "resourceRules": [{ "apiGroups": ["athena-operator.io"], "apiVersions": ["*"], "operations": [operation], "resources": [resource] }],
    })
}

/// Makes a policy that lets through what `expression` says, and else says `message`, an expression too.
pub fn policy(world: &World, matched: &Value, expression: &str, message: &str) -> [Value; 2] {
    let metadata = json!({ "name": world.namespace });
    [
        json!({
            "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy", "metadata": metadata,
            "spec": {
                "failurePolicy": "Fail", "matchConstraints": matched,
                "validations": [{ "expression": expression, "messageExpression": message }],
            },
        }),
        json!({
            "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicyBinding", "metadata": metadata,
            "spec": { "policyName": world.namespace, "validationActions": ["Deny"] },
        }),
    ]
}

/// Makes a policy that changes objects of the test's namespace when they are updated, if `condition` holds.
pub fn mutating_policy(world: &World, resource: &str, condition: &str, mutation: &Value) -> [Value; 2] {
    let metadata = json!({ "name": world.namespace });
    [
        json!({
            "apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingAdmissionPolicy", "metadata": metadata,
            "spec": {
                "failurePolicy": "Fail", "reinvocationPolicy": "Never", "matchConstraints": matched(world, "UPDATE", resource),
                "matchConditions": [{ "name": "condition", "expression": condition }], "mutations": [mutation],
            },
        }),
        json!({
            "apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingAdmissionPolicyBinding", "metadata": metadata,
            "spec": { "policyName": world.namespace },
        }),
    ]
}

/// Waits until `asked`, a dry run, fails with `text`: the API server takes up a policy some moments after it was made.
pub async fn in_force<T, F: Future<Output = kube::Result<T>> + Send>(
    text: &str,
    asked: impl Fn() -> F + Send,
) -> anyhow::Result<()> {
    let refused = |answer: kube::Result<T>| {
        answer.err().filter(|error| error.to_string().contains(text)).context("it is not refused")
    };
    let asked = async || anyhow::Ok(refused(asked().await).map(drop));
    look(&format!("a policy says {text}"), asked).await
}

/// Waits until an update of the object `name`, or of its status, is refused with `text`.
pub async fn updates_refused(world: &World, name: &str, is_status: bool, text: &str) -> anyhow::Result<()> {
    let dry_run = PatchParams { dry_run: true, ..PatchParams::default() };
    let (update, of_status) = (
        json!({ "metadata": { "annotations": { "tried": "yes" } } }),
        json!({ "status": { "restarts": 1 } }),
    );
    in_force(text, || async {
        if is_status {
            world.sessions.patch_status(name, &dry_run, &Patch::Merge(&of_status)).await
        } else {
            world.sessions.patch(name, &dry_run, &Patch::Merge(&update)).await
        }
    })
    .await
}

/// Has the API server refuse every status and say what `message` evaluates to, and waits until it does of `object`.
pub async fn refuse_statuses<'a>(
    world: &'a World,
    message: &str,
    object: &str,
) -> anyhow::Result<ForNamespace<'a>> {
    let message = format!("'no status with ' + {message}");
    let policy = policy(world, &matched(world, "UPDATE", "athenasessions/status"), "false", &message);
    let refusing = ForNamespace::apply(world, &policy)?;
    updates_refused(world, object, true, "no status with ").await?;
    Ok(refusing)
}
