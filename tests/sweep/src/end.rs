//! Where an object and its sessions must end.

use athena_emulator::SessionRecord;
use kube::api::DynamicObject;
use serde_json::Value;

/// Where an object and its sessions must end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The object is gone, and nothing of it lives.
    Gone,
    /// The object is gone; its session may live on.
    Retained,
    /// The session of this attempt is IDLE, and lives alone.
    Idle(i64),
    /// Ready has this reason, and nothing lives.
    Over(&'static str),
}

impl End {
    /// What is not yet so; nothing at the end.
    pub(crate) fn misses(
        &self,
        object: Option<&DynamicObject>,
        sessions: &[SessionRecord],
    ) -> Option<String> {
        let live: Vec<&SessionRecord> = sessions.iter().filter(|session| session.live).collect();
        match (self, object) {
            (Self::Gone | Self::Retained, None) => None,
            (Self::Gone | Self::Retained, Some(_)) => Some("the object is still there".into()),
            (_, None) => Some("the object is gone".into()),
            (Self::Idle(attempt), Some(object)) => {
                let status = &object.data["status"];
                let alone = live.len() == 1 && status["sessionId"] == *live[0].session_id;
                let reached = status["attempt"] == *attempt && ready(object)["reason"] == "SessionIdle";
                (!reached || !alone).then(|| format!("attempt {attempt} is not idle, or not alone"))
            }
            (Self::Over(reason), Some(object)) => (ready(object)["reason"] != **reason || !live.is_empty())
                .then(|| format!("the object is not {reason}, or a session lives")),
        }
    }

    /// Whether a session may live at this end.
    pub(crate) fn may_live(&self) -> usize {
        match self {
            Self::Gone | Self::Over(_) => 0,
            Self::Retained | Self::Idle(_) => 1,
        }
    }
}

/// The Ready condition.
pub(crate) fn ready(object: &DynamicObject) -> Value {
    let conditions = object.data["status"]["conditions"].as_array();
    conditions
        .into_iter()
        .flatten()
        .find(|condition| condition["type"] == "Ready")
        .cloned()
        .unwrap_or_default()
}
