//! The schema of a CRD, node by node.

use athena_operator::api;
use serde_json::Value;

/// The CRD as it is generated.
pub(crate) fn crd() -> Value {
    serde_json::to_value(api::crd()).expect("a CRD is JSON")
}

/// A node of a schema.
pub(crate) struct Node<'a> {
    /// Such as `spec.tags` or `status.conditions[].type`; `{}` are the values of a map.
    pub path: String,
    /// Its own schema.
    pub schema: &'a Value,
}

impl Node<'_> {
    /// The last name of the path.
    pub(crate) fn name(&self) -> &str {
        self.path.rsplit('.').next().unwrap_or_default()
    }

    /// A member of its schema, as text.
    pub(crate) fn text(&self, name: &str) -> &str {
        self.schema[name].as_str().unwrap_or_default()
    }
}

/// Spec and status, and everything inside of them, in every version.
pub(crate) fn nodes(crd: &Value) -> Vec<Node<'_>> {
    let mut nodes = Vec::new();
    for version in crd["spec"]["versions"].as_array().into_iter().flatten() {
        let properties = &version["schema"]["openAPIV3Schema"]["properties"];
        for part in ["spec", "status"] {
            walk(part.into(), &properties[part], &mut nodes);
        }
    }
    nodes
}

fn walk<'a>(path: String, schema: &'a Value, nodes: &mut Vec<Node<'a>>) {
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        walk(format!("{path}.{name}"), property, nodes);
    }
    for (member, suffix) in [("items", "[]"), ("additionalProperties", "{}")] {
        if schema[member].is_object() {
            walk(format!("{path}{suffix}"), &schema[member], nodes);
        }
    }
    nodes.push(Node { path, schema });
}
