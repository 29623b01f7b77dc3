//! In which form a change is sent. Each of them is refused by the server when the object has changed since it was read.

use std::fmt;

use anyhow::Context;
use http::Method;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::client::{Ask, JSON, METADATA};
use crate::life::{Change, merge};
use crate::objects::Object;

/// A form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A merge patch with the resourceVersion in it.
    Merge,
    /// The same; the reply has the metadata alone.
    MergeMetadata,
    /// A JSON patch that tests the resourceVersion first.
    JsonPatch,
    /// The same; the reply has the metadata alone.
    JsonPatchMetadata,
    /// The whole object, as the last reply had it but for the change.
    Put,
    /// The whole object, as the writer knows it, without managed fields; the reply has the metadata alone.
    PutMetadata,
    /// Server-side apply with the resourceVersion in it.
    Apply,
}

impl Form {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Merge,
        Self::MergeMetadata,
        Self::JsonPatch,
        Self::JsonPatchMetadata,
        Self::Put,
        Self::PutMetadata,
        Self::Apply,
    ];

    /// What it wants as a reply.
    pub fn accept(self) -> &'static str {
        if matches!(self, Self::MergeMetadata | Self::JsonPatchMetadata | Self::PutMetadata) {
            METADATA
        } else {
            JSON
        }
    }
}

impl fmt::Display for Form {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Self::Merge => "merge patch",
            Self::MergeMetadata => "merge patch, metadata back",
            Self::JsonPatch => "JSON patch with test",
            Self::JsonPatchMetadata => "JSON patch with test, metadata back",
            Self::Put => "PUT",
            Self::PutMetadata => "PUT, metadata back",
            Self::Apply => "server-side apply",
        })
    }
}

/// What stands for the resourceVersion, the name and the work group in a body that is made once.
const VERSION: &str = "@version@";
const NAME: &str = "@name@";
const WORK_GROUP: &str = "@work-group@";

/// A change, made ready to be sent many times.
#[derive(Clone, Debug)]
pub struct Write {
    form: Form,
    status: bool,
    /// Of every form but the PUT whose body is made of the last reply.
    body: String,
    patch: Value,
}

/// The writes of a life in a form.
pub fn writes(changes: &[Change], form: Form) -> Vec<Write> {
    let write = |change: &Change| Write {
        form,
        status: change.status,
        body: body(change, form).to_string(),
        patch: change.patch.clone(),
    };
    changes.iter().map(write).collect()
}

fn body(change: &Change, form: Form) -> Value {
    match form {
        Form::Merge | Form::MergeMetadata => {
            let mut patch = change.patch.clone();
            patch["metadata"]["resourceVersion"] = json!(VERSION);
            patch
        }
        Form::JsonPatch | Form::JsonPatchMetadata => json_patch(change),
        Form::Put => Value::Null,
        Form::PutMetadata => {
            let mut whole = change.after.clone();
            // The server adds what it alone can know, if it is missing.
            whole["metadata"] = json!({ "name": NAME, "resourceVersion": VERSION, "finalizers": change.after["metadata"]["finalizers"] });
            whole["spec"]["workGroup"] = json!(WORK_GROUP);
            whole
        }
        Form::Apply => {
            let mut applied = json!({
                "apiVersion": change.after["apiVersion"],
                "kind": change.after["kind"],
                "metadata": { "name": NAME, "resourceVersion": VERSION },
            });
            if change.status {
                applied["status"] = change.after["status"].clone();
            } else {
                applied["metadata"]["finalizers"] = change.after["metadata"]["finalizers"].clone();
            }
            applied
        }
    }
}

fn json_patch(change: &Change) -> Value {
    let root = if change.status { "status" } else { "metadata" };
    let mut operations = vec![json!({ "op": "test", "path": "/metadata/resourceVersion", "value": VERSION })];
    if change.before.get(root).is_none() {
        operations.push(json!({ "op": "add", "path": format!("/{root}"), "value": change.after[root] }));
        return Value::Array(operations);
    }
    for (member, value) in change.patch[root].as_object().into_iter().flat_map(Map::iter) {
        // No member of a status or of metadata has a `/` or `~` in its name.
        let path = format!("/{root}/{member}");
        operations.push(match change.after[root].get(member) {
            _ if value.is_null() => json!({ "op": "remove", "path": path }),
            whole => json!({ "op": "add", "path": path, "value": whole }),
        });
    }
    Value::Array(operations)
}

impl Write {
    /// The request that makes this change to `object`, whose last reply was `reply`.
    ///
    /// # Errors
    /// When that cannot be read.
    pub fn ask(&self, object: &Object, reply: &[u8]) -> anyhow::Result<Ask> {
        let (method, content_type) = match self.form {
            Form::Merge | Form::MergeMetadata => (Method::PATCH, "application/merge-patch+json"),
            Form::JsonPatch | Form::JsonPatchMetadata => (Method::PATCH, "application/json-patch+json"),
            Form::Put | Form::PutMetadata => (Method::PUT, JSON),
            Form::Apply => (Method::PATCH, "application/apply-patch+yaml"),
        };
        let body = if self.form == Form::Put {
            let mut whole: Value = serde_json::from_slice(reply)?;
            merge(&mut whole, &self.patch);
            whole.to_string()
        } else {
            self.body
                .replace(VERSION, &version(reply)?)
                .replace(NAME, &object.name)
                .replace(WORK_GROUP, &object.work_group)
        };
        let subresource = if self.status { "/status" } else { "" };
        let force = if self.form == Form::Apply { "&force=true" } else { "" };
        let path = format!("{}{subresource}?fieldManager=athena-operator{force}", object.path());
        Ok(Ask { method, path, content_type, accept: self.form.accept(), body: body.into() })
    }
}

/// The resourceVersion in a reply.
fn version(reply: &[u8]) -> anyhow::Result<String> {
    #[derive(Deserialize)]
    struct Reply {
        metadata: Metadata,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Metadata {
        resource_version: String,
    }
    let reply: Reply = serde_json::from_slice(reply).context("a reply without a resourceVersion")?;
    Ok(reply.metadata.resource_version)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(before: Value, after: Value, patch: Value) -> Change {
        Change { status: true, before, after, patch }
    }

    #[test]
    fn every_form_carries_the_version_that_was_read() -> anyhow::Result<()> {
        let before = json!({ "apiVersion": "v", "kind": "K", "metadata": {}, "status": { "a": 1 } });
        let after = json!({ "apiVersion": "v", "kind": "K", "metadata": {}, "status": { "b": 2 } });
        let change = change(before, after, json!({ "status": { "a": null, "b": 2 } }));
        let reply = br#"{"apiVersion":"v","kind":"K","metadata":{"name":"x","resourceVersion":"41"},"status":{"a":1}}"#;
        let object = Object::new("x", 0);
        for form in Form::ALL {
            let ask = writes(std::slice::from_ref(&change), form)[0].ask(&object, reply)?;
            let body: Value = serde_json::from_slice(&ask.body)?;
            let version =
                if body.is_array() { &body[0]["value"] } else { &body["metadata"]["resourceVersion"] };
            assert_eq!(version, "41", "{form}");
            assert!(ask.path.contains("/bench-0/athenasessions/x-0/status?"), "{}", ask.path);
        }
        Ok(())
    }

    #[test]
    fn a_json_patch_makes_a_status_that_was_not_there() {
        let made = change(json!({}), json!({ "status": { "a": 1 } }), json!({ "status": { "a": 1 } }));
        assert_eq!(json_patch(&made)[1], json!({ "op": "add", "path": "/status", "value": { "a": 1 } }));
        let changed = change(
            json!({ "status": { "a": { "x": 1, "y": 1 } } }),
            json!({ "status": { "a": { "x": 2, "y": 1 } } }),
            json!({ "status": { "a": { "x": 2 } } }),
        );
        assert_eq!(
            json_patch(&changed)[1],
            json!({ "op": "add", "path": "/status/a", "value": { "x": 2, "y": 1 } })
        );
    }
}
