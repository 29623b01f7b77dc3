//! The life of an object as its versions tell it: what the operator has changed, whatever its code is.

use std::time::Duration;

use anyhow::{Context, ensure};
use environment::Operator;
use harness::until_async as until;
use serde_json::{Map, Value};

use crate::ground::Ground;
use crate::objects::Object;

/// How many changes a start takes: the finalizer, the attempt, its session, and that it is idle.
const CHANGES: usize = 4;

/// A change from one version to the next.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// Whether it is one of the status, and not of the rest.
    pub status: bool,
    /// The version before it.
    pub before: Value,
    /// The version after it.
    pub after: Value,
    /// The merge patch from one to the other, as RFC 7386 has it: lists whole.
    pub patch: Value,
}

/// What the operator makes of an object.
#[derive(Clone, Debug)]
pub struct Life {
    /// The four changes of a start.
    pub changes: Vec<Change>,
    /// The patches that the operator has really sent, if it has sent more.
    pub surplus: Option<Vec<String>>,
}

/// Has `operator` start the session of one object, and returns the changes that it made.
///
/// # Errors
/// When they are not the four that a start takes, even if those that leave the conditions as they are count as a part of the next.
pub async fn record(ground: &Ground, operator: &Operator) -> anyhow::Result<Life> {
    let object = Object::new("life", 0);
    ground.watch.record(object.key());
    ground.client.create(&object, &object.manifest()).await?;
    let ready = || ground.watch.table().ready() == 1;
    until("the first object is Ready", Duration::from_mins(1), ready, || operator.raw_log()).await?;
    // Whatever else it would write.
    tokio::time::sleep(Duration::from_secs(3)).await;
    let all = changes(&ground.watch.recorded())?;
    let told: Vec<String> = all.iter().map(|change| change.patch.to_string()).collect();
    let surplus = (all.len() != CHANGES).then(|| told.clone());
    let changes = folded(all);
    ensure!(
        changes.len() == CHANGES,
        "a start took {} changes and not {CHANGES}:\n{}",
        told.len(),
        told.join("\n")
    );
    ground.client.delete(&object).await?;
    until(
        "the first object is gone",
        Duration::from_mins(1),
        || ground.watch.table().present() == 0,
        || operator.raw_log(),
    )
    .await?;
    Ok(Life { changes, surplus })
}

/// With each change of the status that leaves the conditions as they are put into the next: it could have waited for it.
fn folded(changes: Vec<Change>) -> Vec<Change> {
    let mut folded: Vec<Change> = Vec::new();
    for change in changes {
        match folded.last_mut() {
            Some(last)
                if last.status && change.status && last.patch["status"].get("conditions").is_none() =>
            {
                last.patch = difference(&last.before, &change.after);
                last.after = change.after;
            }
            _ => folded.push(change),
        }
    }
    folded
}

fn changes(versions: &[Value]) -> anyhow::Result<Vec<Change>> {
    let mut changes = Vec::new();
    for pair in versions.windows(2) {
        let (before, after) = (stripped(&pair[0]), stripped(&pair[1]));
        let patch = difference(&before, &after);
        let members: Vec<&String> = patch.as_object().context("an object that is none")?.keys().collect();
        ensure!(!members.is_empty(), "a write has changed nothing");
        let status = members.iter().any(|member| *member == "status");
        ensure!(!status || members.len() == 1, "one write has changed the status and the rest: {patch}");
        changes.push(Change { status, before, after, patch });
    }
    Ok(changes)
}

/// Without what the server keeps by itself.
fn stripped(version: &Value) -> Value {
    let mut version = version.clone();
    if let Some(metadata) = version.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.retain(|key, _| !matches!(key.as_str(), "resourceVersion" | "generation" | "managedFields"));
    }
    version
}

/// The merge patch that makes `after` of `before`.
fn difference(before: &Value, after: &Value) -> Value {
    let (Some(old), Some(new)) = (before.as_object(), after.as_object()) else { return after.clone() };
    let mut patch = Map::new();
    for key in old.keys().filter(|key| !new.contains_key(*key)) {
        patch.insert(key.clone(), Value::Null);
    }
    for (key, value) in new {
        match old.get(key) {
            Some(same) if same == value => {}
            Some(other) => {
                patch.insert(key.clone(), difference(other, value));
            }
            None => {
                patch.insert(key.clone(), value.clone());
            }
        }
    }
    Value::Object(patch)
}

#[cfg(test)]
mod tests {
    use harness::merge;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_difference_leads_from_one_version_to_the_next() {
        let before = json!({ "metadata": { "name": "a" }, "status": { "x": 1, "gone": true, "list": [1, 2], "deep": { "a": 1, "b": 2 } } });
        let after = json!({ "metadata": { "name": "a" }, "status": { "x": 1, "list": [1], "deep": { "a": 1, "b": 3 }, "new": {} } });
        let patch = difference(&before, &after);
        assert_eq!(patch, json!({ "status": { "gone": null, "list": [1], "deep": { "b": 3 }, "new": {} } }));
        let mut made = before;
        merge(&mut made, &patch);
        assert_eq!(made, after);
    }

    #[test]
    fn a_change_without_conditions_is_a_part_of_the_next() {
        let change = |before: Value, after: Value| Change {
            status: true,
            patch: difference(&before, &after),
            before,
            after,
        };
        let versions = [
            json!({}),
            json!({ "status": { "conditions": [1] } }),
            json!({ "status": { "conditions": [1], "x": 1 } }),
            json!({ "status": { "conditions": [2], "x": 1 } }),
        ];
        let all = versions.windows(2).map(|pair| change(pair[0].clone(), pair[1].clone())).collect();
        let patches: Vec<Value> = folded(all).into_iter().map(|change| change.patch).collect();
        assert_eq!(
            patches,
            [json!({ "status": { "conditions": [1] } }), json!({ "status": { "conditions": [2], "x": 1 } })]
        );
    }

    #[test]
    fn a_change_is_of_the_status_or_of_the_rest() -> anyhow::Result<()> {
        let version = |number: u32, finalizers: Value, status: Value| json!({ "metadata": { "resourceVersion": number.to_string(), "managedFields": [number], "finalizers": finalizers }, "status": status });
        let versions = [
            version(1, json!([]), json!({})),
            version(2, json!(["f"]), json!({})),
            version(3, json!(["f"]), json!({ "attempt": 0 })),
        ];
        let changes = changes(&versions)?;
        assert_eq!(changes.iter().map(|change| change.status).collect::<Vec<_>>(), [false, true]);
        assert_eq!(changes[0].patch, json!({ "metadata": { "finalizers": ["f"] } }));
        let both = [version(1, json!([]), json!({})), version(2, json!(["f"]), json!({ "attempt": 0 }))];
        assert!(super::changes(&both).is_err());
        Ok(())
    }
}
