//! Sessions that run on without their object, because it has `deletionPolicy: Retain`. Pure.

use serde_json::Value;

use crate::api::{AthenaSession, DeletionPolicy};
use crate::session::attempt::Attempt;
use crate::session::local_state::LocalState;
use crate::session::ownership::attempt;

/// Session that may run on, unowned and billed, once an object is released with `deletionPolicy: Retain`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retained {
    /// UID of the object.
    pub uid: String,
    /// Athena's id of the session; none where only the attempt is recorded, or where the id could not be read.
    pub session_id: Option<String>,
    /// The work group, where it could be read.
    pub work_group: Option<String>,
    /// The region of the attempt, where it is recorded.
    pub region: Option<String>,
}

impl Retained {
    /// Returns the session that may run on when `object` is released, and none where no session of it can live or where its session is ended first.
    pub fn of(object: &AthenaSession, state: &LocalState) -> Option<Self> {
        if object.spec.deletion_policy != DeletionPolicy::Retain {
            return None;
        }
        let (session_id, region) = match attempt(object, state) {
            Attempt::Live(recorded, id) => (Some(id.to_owned()), Some(recorded.region.to_owned())),
            Attempt::Unknown(recorded) if state.nothing_started(&recorded) => return None,
            Attempt::Unknown(recorded) => (None, Some(recorded.region.to_owned())),
            // A finalizer of unknown origin may stand on a status that was wiped.
            Attempt::None if !state.finalizer_added => (None, None),
            Attempt::None | Attempt::Withdrawn(_) | Attempt::Over(..) => return None,
        };
        let uid = object.metadata.uid.clone().unwrap_or_default();
        Some(Self { uid, session_id, work_group: Some(object.spec.work_group.clone()), region })
    }

    /// Returns the session that may run on when an object is released that this version cannot read. A text of the object counts only if it looks
    /// like an id or a name.
    pub fn of_unreadable(object: &Value) -> Self {
        /// Athena's bound of a session id, the longest of the three texts.
        const MAX_TEXT_BYTES: usize = 256;
        let word = |pointer: &str| {
            let text = object.pointer(pointer)?.as_str()?;
            let plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
            (plain && !text.is_empty() && text.len() <= MAX_TEXT_BYTES).then(|| text.to_owned())
        };
        Self {
            uid: word("/metadata/uid").unwrap_or_default(),
            session_id: word("/status/sessionId"),
            work_group: word("/spec/workGroup"),
            region: word("/status/region"),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[allow(clippy::needless_pass_by_value, reason = "rows read better")]
    fn object(policy: &str, status: Value) -> Value {
        json!({
            "apiVersion": "athena-operator.io/v1alpha1", "kind": "AthenaSession", "metadata": { "name": "n", "namespace": "ns", "uid": "u" },
            "spec": { "workGroup": "w", "deletionPolicy": policy }, "status": status,
        })
    }

    fn recorded(more: Value) -> Value {
        let mut status =
            json!({ "attempt": 0, "attemptTime": "2026-01-01T10:00:00Z", "region": "eu-west-1" });
        let Value::Object(more) = more else { panic!("a map") };
        status.as_object_mut().expect("a map").extend(more);
        status
    }

    #[test]
    fn what_runs_on_is_told_as_far_as_it_is_recorded() {
        let retained = |id: Option<&str>, region: Option<&str>| {
            Some(Retained {
                uid: "u".into(),
                session_id: id.map(str::to_owned),
                work_group: Some("w".into()),
                region: region.map(str::to_owned),
            })
        };
        let live = || recorded(json!({ "sessionId": "s", "state": "BUSY" }));
        let (met, mut added) = (LocalState::default(), LocalState::default());
        added.finalizer_added = true;
        for (case, policy, status, state, expected) in [
            ("a live session", "Retain", live(), &met, retained(Some("s"), Some("eu-west-1"))),
            (
                "a start without an answer",
                "Retain",
                recorded(json!({})),
                &met,
                retained(None, Some("eu-west-1")),
            ),
            ("a status that may have been wiped", "Retain", json!({}), &met, retained(None, None)),
            ("nothing was recorded", "Retain", json!({}), &added, None),
            (
                "an end",
                "Retain",
                recorded(json!({ "sessionId": "s", "endReason": "IdleTimeout" })),
                &met,
                None,
            ),
            ("Terminate", "Terminate", live(), &met, None),
        ] {
            let object = serde_json::from_value(object(policy, status)).expect("an AthenaSession");
            assert_eq!(Retained::of(&object, state), expected, "{case}");
        }
    }

    #[test]
    fn of_an_object_that_cannot_be_read_only_words_are_told() {
        let told = Retained::of_unreadable(&object(
            "Retain",
            json!({ "sessionId": "s-1", "region": "eu-west-1", "attemptTime": 1 }),
        ));
        assert_eq!(
            told,
            Retained {
                uid: "u".into(),
                session_id: Some("s-1".into()),
                work_group: Some("w".into()),
                region: Some("eu-west-1".into())
            }
        );
        for text in
            [json!("a canary"), json!({ "canary": 1 }), json!("c".repeat(257)), json!(""), Value::Null]
        {
            let mut other = object("Retain", json!({ "sessionId": text, "region": text }));
            other["spec"]["workGroup"] = text;
            assert_eq!(
                Retained::of_unreadable(&other),
                Retained { uid: "u".into(), session_id: None, work_group: None, region: None }
            );
        }
    }
}
