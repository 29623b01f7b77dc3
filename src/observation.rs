//! What is seen of an object's session, by looks at it and by the sweeps of its work group, and when it is its turn to be looked at.

use std::borrow::Cow;
use std::time::Duration;

use k8s_openapi::jiff::SignedDuration;
use kube::ResourceExt;
use tokio::time::Instant;

use crate::api::AthenaSession;
use crate::athena::{Answer, Ask};
use crate::clock::BootTime;
use crate::key::Key;
use crate::known::Known;
use crate::lifecycle::{Attempt, Circumstances, Seen, Step, attempt, elsewhere, found, next_step, search_time, wants_stopped};
use crate::limiter::{Lane, Turn};
use crate::observer::Sighting;
use crate::operator::Operator;
use crate::session::{Class, Look, Refusal, Search, Session};

impl Operator {
    /// Whether the call of `step`, if it makes one, may be made now. The first call of a reconcile waits for its turn; what has been begun is finished.
    pub(crate) fn is_in_turn(&self, object: &AthenaSession, known: &Known, step: &Step, turn: &mut Turn) -> bool {
        let Some(lane) = lane(object, known, step).filter(|_| !turn.is_begun()) else { return true };
        let key = Key::of(object);
        let may = self.limiter.ask(&key, object.metadata.namespace.as_deref().unwrap_or_default(), lane);
        // The turn to record an attempt is kept for its start.
        if may && !matches!(step, Step::ReadWorkGroup | Step::Record(_)) {
            self.limiter.take(&key);
            *turn = Turn::had();
        }
        may
    }

    /// Takes in what the sweeps have shown of the object's session. After a restart, they tell of a settled one in place of a look.
    pub(crate) fn sight(&self, object: &AthenaSession, known: &mut Known) {
        let id = match attempt(object, known) {
            Attempt::Live(made, id) if !wants_stopped(object) && !elsewhere(&made, &self.circumstances().identity) => id,
            _ => return known.unsettle_but(None),
        };
        known.unsettle_but(Some(id));
        let recorded = recorded_session(object, id, known);
        if recorded.settled() && known.is_new() && self.watch(object, &recorded) {
            known.settle(id);
        }
    }

    /// Has the sweeps look out for `session`. Returns whether they can.
    fn watch(&self, object: &AthenaSession, session: &Session) -> bool {
        self.observer.watch(&Key::of(object), &object.spec.work_group, session, |work_group| {
            let (athena, wakes) = (self.athena.clone(), self.wakes.clone());
            let list = move |work_group: String, next| {
                let athena = athena.clone();
                async move { athena.list(&work_group, next).await }
            };
            tokio::spawn(self.observer.clone().sweep(work_group, list, move |key| wakes.wake(&key)));
        })
    }

    /// Has the sweeps look out for the object's session as `step` has left it.
    pub(crate) fn look_out(&self, object: &AthenaSession, known: &mut Known, step: &Step) {
        let live = match attempt(object, known) {
            Attempt::Live(_, id) if !wants_stopped(object) && !matches!(step, Step::Rest | Step::Stop(..) | Step::Conclude(_)) => Some(id),
            _ => None,
        };
        let Some(id) = live else { return self.look_away(object, known) };
        let newest = match step {
            Step::Mirror(session) => session.clone(),
            _ => recorded_session(object, id, known),
        };
        if newest.ended() || newest.state == "TERMINATING" {
            return self.look_away(object, known);
        }
        if self.watch(object, &newest) && known.trusts(id) && newest.settled() {
            known.settle(id);
        }
    }

    /// Has the sweeps look out for nothing of the object: what lives of it is looked at.
    fn look_away(&self, object: &AthenaSession, known: &mut Known) {
        known.unsettle_but(None);
        self.observer.forget(&Key::of(object));
    }

    /// What the sweeps have shown of the object's session since the last time.
    pub(crate) async fn sighting(&self, object: &AthenaSession, known: &mut Known) -> Seen {
        let mut seen = Seen::default();
        let Some(status) = &object.status else { return seen };
        let Some(id) = status.session_id.as_deref() else { return seen };
        match self.observer.sighting(&Key::of(object), id) {
            Some(Sighting::Missed(time)) => known.missed(time, status.state.as_deref() == Some("BUSY")),
            Some(Sighting::Shown(session, asked)) => {
                let session = self.redact_session(object, *session).await;
                seen.look = known.sighted(session, &object.uid().unwrap_or_default(), id, asked, &self.limits);
                seen.look_time = seen.look.is_some().then_some(asked);
            }
            None => {}
        }
        seen
    }

    /// Decides, looking at Athena as long as the decision asks for it. Returns nothing if a look has to wait for its turn,
    /// or a search for a list.
    pub(crate) async fn observe(&self, object: &AthenaSession, known: &mut Known, seen: &mut Seen, turn: &mut Turn) -> Option<Step> {
        let uid = object.uid().unwrap_or_default();
        loop {
            self.time(known);
            let at = self.circumstances();
            let id = object.status.as_ref().and_then(|status| status.session_id.as_deref());
            let step = next_step(object, known, seen, &at);
            if step != Step::Search {
                self.searches.cancel(&Key::of(object));
            }
            if matches!(step, Step::Look | Step::AskTime | Step::ReadWorkGroup) && !self.is_in_turn(object, known, &step, turn) {
                return None;
            }
            match (step, id) {
                (Step::AskTime, _) => {
                    if let Some(refusal) = self.ask_time(object, turn).await {
                        let now = self.time(known);
                        known.work_group_read(Err(&refusal), now, fastrand::f64());
                        return Some(Step::Hold(refusal));
                    }
                    known.time_told();
                }
                (Step::Look, Some(id)) => {
                    let status = object.status.as_ref();
                    let full = !known.trusts(id) || status.is_some_and(|status| status.engine_version.is_none());
                    let asked = BootTime::now();
                    // In full, the reply repeats the properties of the session.
                    let permit = if full { self.large_call(object).await } else { None };
                    let look = self.athena.look(id, full, turn).await.without_configuration();
                    drop(permit);
                    let look = self.redact_look(object, look).await;
                    // The reply may have corrected the clock.
                    seen.look_time = Some(self.clock.at(asked));
                    let now = self.time(known);
                    seen.look = Some(known.looked(look, &uid, id, now, &at.limits, fastrand::f64()));
                }
                (Step::Search, _) => {
                    let search = Box::pin(self.search(object, known, &at, turn)).await?;
                    self.searches.cancel(&Key::of(object));
                    let now = self.time(known);
                    known.searched(&search, now, &at.limits, fastrand::f64());
                    seen.search = Some(search);
                }
                (Step::ReadWorkGroup, _) => {
                    let read = match self.athena.work_group(&object.spec.work_group, turn).await {
                        Ok(group) => group.refuses(&object.spec).map_or(Ok(()), Err),
                        // Whoever may not read work groups finds out by StartSession.
                        Err(refusal) if refusal.reason == "AccessDenied" => Ok(()),
                        Err(refusal) => Err(self.redact_refusal(object, refusal).await),
                    };
                    let now = self.time(known);
                    known.work_group_read(read.as_ref().copied(), now, fastrand::f64());
                    seen.work_group = Some(read);
                }
                (step, _) => return Some(step),
            }
        }
    }

    /// Asks Athena for its time. Returns why it has not told it. What Athena says of the work group does not matter.
    async fn ask_time(&self, object: &AthenaSession, turn: &mut Turn) -> Option<Refusal> {
        let reply = self.athena.work_group(&object.spec.work_group, turn).await;
        if self.clock.read().is_certain {
            return None;
        }
        let undated = || unanswered("the reply has no Date header with a request id of AWS's, by which times are compared");
        Some(match reply {
            Ok(_) => undated(),
            Err(refusal) => self.redact_refusal(object, refusal).await,
        })
    }

    /// Returns what a list of the work group shows of the object's sessions. Returns nothing while the object waits for the list, or for its turn to look at
    /// the sessions in it.
    async fn search(&self, object: &AthenaSession, known: &Known, at: &Circumstances, turn: &mut Turn) -> Option<Search> {
        let Some(answer) = self.ask(object, known, at) else {
            self.limiter.leave(&Key::of(object));
            return None;
        };
        let (begun, marked) = match answer {
            Answer::Failed(refusal) => return Some(Search::Failed(self.redact_refusal(object, refusal).await)),
            // In the list by its id, though its marker is not what it should be: it lives.
            Answer::Complete { contains_session: true, marked, .. } if marked.is_empty() => return Some(Search::Failed(unknown_to_get_session())),
            Answer::Complete { begun, marked, .. } => (at.now - SignedDuration::try_from(begun.elapsed()).unwrap_or_default(), marked),
        };
        if marked.is_empty() {
            return Some(found(Vec::new(), object, known, begun));
        }
        if !self.is_in_turn(object, known, &Step::Search, turn) {
            return None;
        }
        // In full, the replies repeat the properties of the sessions.
        let permit = self.large_call(object).await;
        let mut sessions = Vec::new();
        for marked in marked {
            let look = match marked.id {
                Some(id) => self.athena.look(&id, true, turn).await,
                // Left out, it would seem not to exist.
                None => Look::Failed(unnamed()),
            };
            match look {
                Look::Seen(session) => sessions.push(session),
                Look::Failed(refusal) => return Some(Search::Failed(self.redact_refusal(object, refusal).await)),
                Look::NotFound { .. } => return Some(Search::Failed(unknown_to_get_session())),
            }
        }
        let whole = match self.whole(object).await {
            Ok(Some(whole)) => whole,
            // It is ended whatever it looks like.
            _ if object.metadata.deletion_timestamp.is_some() || object.spec.suspend => Cow::Borrowed(object),
            Ok(None) => return Some(Search::Failed(unread("the API server does not have the object any more"))),
            Err(error) => return Some(Search::Failed(unread(error.class()))),
        };
        let sessions = sessions.into_iter().map(|session| session.redacted(&whole.spec)).collect();
        let search = found(sessions, &whole, known, begun);
        drop(permit);
        Some(search.without_configuration())
    }

    /// Asks for the sessions with the object's marker, in a list that begins when it is of use.
    fn ask(&self, object: &AthenaSession, known: &Known, at: &Circumstances) -> Option<Answer> {
        // The clock may not run evenly: the list must not seem to have begun a little too early.
        const MARGIN: Duration = Duration::from_millis(50);
        let (recorded, session_id) = match attempt(object, known) {
            Attempt::Unknown(made) => (Some(made.number), None),
            Attempt::Live(made, id) => (Some(made.number), Some(id.to_owned())),
            Attempt::None | Attempt::Withdrawn(_) | Attempt::Over(..) => (None, None),
        };
        let wait = Duration::try_from(search_time(object, known, at).duration_since(at.now)).unwrap_or_default();
        let wait = if wait.is_zero() { wait } else { wait.saturating_add(MARGIN).min(MAX_WAIT) };
        let ask = Ask { uid: object.uid().unwrap_or_default(), attempt: recorded, session_id, from: Instant::now() + wait };
        self.searches.ask(&Key::of(object), &object.spec.work_group, ask, |work_group| {
            let wakes = self.wakes.clone();
            tokio::spawn(self.searches.clone().serve(work_group, self.athena.clone(), move |key| wakes.wake(key)));
        })
    }
}

/// Longest wait for which a list is planned: a time that somebody has written by hand may be any.
const MAX_WAIT: Duration = Duration::from_hours(24);

fn unnamed() -> Refusal {
    unanswered("ListSessions does not name a session that carries the marker of this object")
}

fn unknown_to_get_session() -> Refusal {
    unanswered("ListSessions names a session of this object that GetSession does not find")
}

fn unanswered(message: &str) -> Refusal {
    Refusal { class: Class::Unanswered, reason: "AthenaUnavailable", message: message.into(), request_id: None }
}

/// A session was found that carries the object's marker, and could not be compared with what the object asks for.
fn unread(why: &str) -> Refusal {
    unanswered(&format!("a session carries the marker of this object, which cannot be compared with it: {why}"))
}

/// Where the call of `step` waits for its turn, if it makes one. What ends a session comes first, the calls that find it included.
fn lane(object: &AthenaSession, known: &Known, step: &Step) -> Option<Lane> {
    match step {
        Step::Terminate => Some(Lane::Terminate),
        Step::Look | Step::AskTime | Step::Search | Step::Start(_) if wants_stopped(object) => Some(Lane::Terminate),
        Step::Look | Step::AskTime | Step::Search => Some(Lane::Look),
        Step::ReadWorkGroup | Step::Record(_) | Step::Start(_) if known.was_refused() => Some(Lane::Retry),
        Step::ReadWorkGroup | Step::Record(_) | Step::Start(_) => Some(Lane::Start),
        _ => None,
    }
}

/// The session `id` of `object` as its status has it.
fn recorded_session(object: &AthenaSession, id: &str, known: &Known) -> Session {
    let state = object.status.as_ref().and_then(|status| status.state.clone()).unwrap_or_default();
    Session { id: id.to_owned(), state, last_modified_time: known.last_modified_time(), ..Session::default() }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::jiff::Timestamp;
    use serde_json::json;

    use super::*;

    #[test]
    fn what_ends_a_session_comes_first_and_what_was_refused_last() {
        let session = |metadata| {
            let spec = json!({ "workGroup": "etl" });
            let object = json!({ "apiVersion": "athena-operator.io/v1alpha1", "kind": "AthenaSession", "metadata": metadata, "spec": spec });
            serde_json::from_value::<AthenaSession>(object).expect("an object")
        };
        let object = session(json!({ "name": "n" }));
        let deleting = session(json!({ "name": "n", "deletionTimestamp": "2026-01-01T00:00:00Z" }));
        let refused = |class| {
            let mut known = Known::default();
            let refusal = Refusal { class, reason: "No", message: String::new(), request_id: None };
            known.start_refused(refusal, false, Timestamp::UNIX_EPOCH, 0.0);
            known
        };
        let fresh = Known::default();
        for (object, known, step, expected) in [
            (&object, &fresh, Step::Record(0), Some(Lane::Start)),
            (&object, &fresh, Step::Start(0), Some(Lane::Start)),
            (&object, &refused(Class::Throttled), Step::Start(0), Some(Lane::Start)),
            (&object, &refused(Class::MayHeal), Step::Start(0), Some(Lane::Retry)),
            (&object, &refused(Class::Capacity), Step::Record(0), Some(Lane::Retry)),
            (&object, &fresh, Step::Look, Some(Lane::Look)),
            (&object, &fresh, Step::Search, Some(Lane::Look)),
            (&object, &fresh, Step::Terminate, Some(Lane::Terminate)),
            (&deleting, &fresh, Step::Look, Some(Lane::Terminate)),
            (&deleting, &fresh, Step::Search, Some(Lane::Terminate)),
            (&deleting, &refused(Class::MayHeal), Step::Start(0), Some(Lane::Terminate)),
            (&object, &fresh, Step::AddFinalizer, None),
            (&object, &fresh, Step::Wait, None),
        ] {
            assert_eq!(lane(object, known, &step), expected, "{step:?}");
        }
    }
}
