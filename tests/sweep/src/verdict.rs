//! What must hold at the end of a run.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use athena_emulator::SessionRecord;
use k8s_openapi::jiff::Timestamp;
use kube::api::DynamicObject;

use crate::end::End;

/// What did not hold at the end of a run.
#[derive(Clone, Debug, Default)]
pub struct Verdict {
    /// Sessions beyond the first of each attempt, and attempts that nothing explains.
    pub duplicates: usize,
    /// Sessions that live, or lived, without their object.
    pub leaks: usize,
    /// Sessions that were billed for longer, after they were to end, than the faults explain.
    pub overbilled: usize,
    /// Why the scenario did not come to its end in time.
    pub stuck: Option<String>,
}

impl Verdict {
    /// Whether everything held.
    pub fn is_good(&self) -> bool {
        self.duplicates == 0 && self.leaks == 0 && self.overbilled == 0 && self.stuck.is_none()
    }
}

/// The token in the marker of a session.
fn marker(session: &SessionRecord) -> Option<&str> {
    let description = session.description.as_deref()?;
    description.rsplit_once("[athena-operator/")?.1.strip_suffix(']')
}

/// Sessions beyond the first of each attempt, and attempts beyond `planned` that were not lost.
pub(crate) fn duplicates(
    sessions: &[SessionRecord],
    object: Option<&DynamicObject>,
    planned: usize,
) -> usize {
    let mut attempts: BTreeMap<&str, usize> = BTreeMap::new();
    for session in sessions {
        *attempts.entry(marker(session).unwrap_or("none")).or_default() += 1;
    }
    let lost = object.map_or(0, |object| {
        let previous = object.data["status"]["previousAttempts"].as_array();
        previous.into_iter().flatten().filter(|attempt| attempt["endReason"] == "SessionLost").count()
    });
    let twice: usize = attempts.values().map(|count| count - 1).sum();
    twice + attempts.len().saturating_sub(planned + lost)
}

/// Sessions that ended more than `explained` after they were to.
pub(crate) fn overbilled(
    sessions: &[SessionRecord],
    asked: &HashMap<String, Timestamp>,
    explained: Duration,
) -> usize {
    let late = |session: &&SessionRecord| {
        let (Some(asked), Some((_, ended))) = (asked.get(&session.session_id), session.states.last()) else {
            return false;
        };
        !session.live
            && Duration::try_from(ended.duration_since(*asked)).is_ok_and(|billed| billed > explained)
    };
    sessions.iter().filter(late).count()
}

/// Sessions that live and may not.
pub(crate) fn leaks(sessions: &[SessionRecord], end: &End) -> usize {
    sessions.iter().filter(|session| session.live).count().saturating_sub(end.may_live())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn session(token: &str, live: bool) -> SessionRecord {
        let record = json!({
            "session_id": "id", "token": token, "work_group": "w", "description": format!("n/s [athena-operator/{token}]"),
            "state": if live { "IDLE" } else { "TERMINATED" }, "reason": null, "states": [], "billed_seconds": 1.0, "vanished": false,
            "live": live, "request": null,
        });
        serde_json::from_value(record).expect("a record")
    }

    #[test]
    fn a_second_session_of_an_attempt_and_an_attempt_too_many_are_duplicates() {
        let sessions = [session("a", false), session("a-1", true)];
        assert_eq!(duplicates(&sessions, None, 2), 0);
        assert_eq!(duplicates(&sessions, None, 1), 1);
        assert_eq!(duplicates(&[session("a", false), session("a", true)], None, 2), 1);
    }

    #[test]
    fn an_attempt_that_was_lost_explains_the_next() {
        let object =
            json!({ "metadata": {}, "status": { "previousAttempts": [{ "endReason": "SessionLost" }] } });
        let object: DynamicObject = serde_json::from_value(object).expect("an object");
        assert_eq!(duplicates(&[session("a", false), session("a-1", true)], Some(&object), 1), 0);
    }

    #[test]
    fn what_ends_later_than_a_fault_explains_is_overbilled() {
        let mut ended = session("a", false);
        ended.states = vec![("TERMINATED".into(), Timestamp::from_second(10).expect("a time"))];
        let asked = HashMap::from([("id".to_owned(), Timestamp::from_second(5).expect("a time"))]);
        assert_eq!(overbilled(&[ended.clone()], &asked, Duration::from_secs(4)), 1);
        assert_eq!(overbilled(&[ended], &asked, Duration::from_secs(5)), 0);
    }

    #[test]
    fn what_lives_beyond_what_may_is_a_leak() {
        let sessions = [session("a", true), session("a-1", false)];
        assert_eq!(leaks(&sessions, &End::Gone), 1);
        assert_eq!(leaks(&sessions, &End::Retained), 0);
    }
}
