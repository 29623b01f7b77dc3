//! What service accounts have asked of the API server, by its audit log.

use std::path::Path;

use anyhow::Context;
use serde_json::Value;

/// A request of a service account.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Request {
    /// Such as `system:serviceaccount:athena-operator:athena-operator`.
    pub user: String,
    /// Kubernetes' word, such as `patch`.
    pub verb: String,
    /// API group, empty for the core.
    pub group: String,
    /// Plural and subresource, such as `athenasessions/status`; the path of what is no resource.
    pub resource: String,
    /// Name of the object, empty in a list and where the server chooses it.
    pub name: String,
    /// Namespace, empty in a request over all of them.
    pub namespace: String,
    /// Whether the roles allow it.
    pub is_allowed: bool,
}

/// The requests in an audit log.
pub(crate) fn requests(log: &Path) -> anyhow::Result<Vec<Request>> {
    let text = std::fs::read_to_string(log).with_context(|| format!("cannot read {}", log.display()))?;
    // The server may be writing the last line.
    let whole = text.rsplit_once('\n').map_or("", |(lines, _)| lines);
    whole
        .lines()
        .map(|line| {
            Ok(request(
                &serde_json::from_str(line).with_context(|| format!("not a line of an audit log: {line}"))?,
            ))
        })
        .collect()
}

fn request(event: &Value) -> Request {
    let text = |pointer: &str| event.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    let resource = match (text("/objectRef/resource"), text("/objectRef/subresource")) {
        (resource, _) if resource.is_empty() => text("/requestURI"),
        (resource, subresource) if subresource.is_empty() => resource,
        (resource, subresource) => format!("{resource}/{subresource}"),
    };
    Request {
        user: text("/user/username"),
        verb: text("/verb"),
        group: text("/objectRef/apiGroup"),
        resource,
        name: text("/objectRef/name"),
        namespace: text("/objectRef/namespace"),
        is_allowed: event
            .pointer("/annotations/authorization.k8s.io~1decision")
            .is_some_and(|decision| decision == "allow"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_told_with_its_subresource_and_whether_it_was_allowed() {
        let event = serde_json::json!({
            "verb": "patch",
            "user": { "username": "system:serviceaccount:a:b" },
            "objectRef": { "resource": "athenasessions", "subresource": "status", "apiGroup": "athena-operator.io", "namespace": "n", "name": "s" },
            "annotations": { "authorization.k8s.io/decision": "forbid" },
        });
        let told = request(&event);
        assert_eq!(
            (told.resource.as_str(), told.verb.as_str(), told.is_allowed),
            ("athenasessions/status", "patch", false)
        );
        assert!(
            request(&serde_json::json!({ "annotations": { "authorization.k8s.io/decision": "allow" } }))
                .is_allowed
        );
    }
}
