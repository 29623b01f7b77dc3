//! What a request is about, as its method, path and query tell.

use std::fmt;

use hyper::{Method, Uri};

/// What a request asks of which resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation {
    /// The API's verb: `get`, `list`, `watch`, `create`, `update`, `patch`, `delete` or `deletecollection`.
    pub verb: String,
    /// The resource and its subresource, such as `athenasessions/status`; the path of a request that is about no resource.
    pub resource: String,
    /// The namespace, if there is one.
    pub namespace: Option<String>,
    /// The object's name, if there is one.
    pub name: Option<String>,
}

impl fmt::Display for Operation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {}", self.verb, self.resource)
    }
}

impl Operation {
    /// What a request of this method and address asks.
    pub fn new(method: &Method, uri: &Uri) -> Self {
        let parts: Vec<&str> = uri.path().split('/').filter(|part| !part.is_empty()).collect();
        let about = match parts.as_slice() {
            ["api", _version, about @ ..] | ["apis", _, _version, about @ ..] => about,
            _ => &[],
        };
        let (namespace, about) = match about {
            ["namespaces", namespace, about @ ..] if !about.is_empty() => {
                (Some((*namespace).to_owned()), about)
            }
            about => (None, about),
        };
        let (resource, name) = match about {
            [] => (uri.path().to_owned(), None),
            [resource] => ((*resource).to_owned(), None),
            [resource, name] => ((*resource).to_owned(), Some((*name).to_owned())),
            [resource, name, subresource @ ..] => {
                (format!("{resource}/{}", subresource.join("/")), Some((*name).to_owned()))
            }
        };
        let watches = uri
            .query()
            .is_some_and(|query| query.split('&').any(|part| matches!(part, "watch=true" | "watch=1")));
        let verb = match (method.as_str(), &name) {
            ("GET", _) if watches => "watch",
            ("GET", None) if !about.is_empty() => "list",
            ("GET", _) => "get",
            ("POST", _) => "create",
            ("PUT", _) => "update",
            ("PATCH", _) => "patch",
            ("DELETE", None) => "deletecollection",
            ("DELETE", Some(_)) => "delete",
            (other, _) => other,
        };
        Self { verb: verb.to_owned(), resource, namespace, name }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verb_resource_and_name_are_told_from_the_address() {
        let group = "/apis/athena-operator.io/v1alpha1";
        for (method, path, verb, resource, namespace, name) in [
            ("GET", format!("{group}/athenasessions?limit=500"), "list", "athenasessions", None, None),
            (
                "GET",
                format!("{group}/namespaces/n/athenasessions?a=b&watch=true"),
                "watch",
                "athenasessions",
                Some("n"),
                None,
            ),
            (
                "GET",
                format!("{group}/namespaces/n/athenasessions/s"),
                "get",
                "athenasessions",
                Some("n"),
                Some("s"),
            ),
            (
                "PATCH",
                format!("{group}/namespaces/n/athenasessions/s/status"),
                "patch",
                "athenasessions/status",
                Some("n"),
                Some("s"),
            ),
            (
                "DELETE",
                format!("{group}/namespaces/n/athenasessions/s"),
                "delete",
                "athenasessions",
                Some("n"),
                Some("s"),
            ),
            ("POST", "/api/v1/namespaces/n/events".into(), "create", "events", Some("n"), None),
            (
                "PUT",
                "/apis/coordination.k8s.io/v1/namespaces/n/leases/l".into(),
                "update",
                "leases",
                Some("n"),
                Some("l"),
            ),
            ("GET", "/api/v1/namespaces/n".into(), "get", "namespaces", None, Some("n")),
            ("GET", "/api/v1/namespaces".into(), "list", "namespaces", None, None),
            ("GET", "/version".into(), "get", "/version", None, None),
        ] {
            let operation =
                Operation::new(&method.parse().expect("a method"), &path.parse().expect("an address"));
            let expected = Operation {
                verb: verb.into(),
                resource: resource.into(),
                namespace: namespace.map(Into::into),
                name: name.map(Into::into),
            };
            assert_eq!(operation, expected, "{method} {path}");
        }
    }
}
