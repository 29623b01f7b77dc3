//! Observation of an object's session, by looks at it and by the sweeps of its work group, and the permits for the calls.

use std::borrow::Cow;
use std::time::Duration;

use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kube::ResourceExt;
use tokio::time::Instant;

use crate::api::{AthenaSession, SessionState};
use crate::athena::observer::{Asked, PageReply, SweepEvent};
use crate::athena::rate_limiter::{Permit, Priority, Want};
use crate::athena::{Answer as MarkerAnswer, Ask, Athena, KnownWorkGroup};
use crate::controller::context::Operator;
use crate::runtime::clock::BootTime;
use crate::runtime::key::Key;
use crate::runtime::workqueue;
use crate::session::attempt::Attempt;
use crate::session::environment::Environment;
use crate::session::lifecycle::{is_stopping, wants_stopped};
use crate::session::local_state::LocalState;
use crate::session::ownership::{attempt, in_other_account_or_region};
use crate::session::pass::{Answer, Pass, is_full_look};
use crate::session::reply::{Look, Refusal, Session};
use crate::session::step::{Seen, Step};

/// Next call of a reconcile. Each call has a permit of its own: a reconcile that gets none ends, and goes on when it is triggered.
#[derive(Debug, Default)]
pub(crate) struct NextCall {
    permit: Option<Permit>,
    /// True if the reconcile has made a call, which the next one completes.
    continues: bool,
}

impl NextCall {
    /// Takes the permit for a call that is made now.
    pub(crate) fn take(&mut self) -> Option<Permit> {
        self.continues = true;
        self.permit.take()
    }
}

impl Operator {
    /// Returns whether the call of `step`, if it makes one, may be made now: then `call` has its permit. If not, the object waits in the rate limiter.
    pub(crate) fn is_permitted(&self, pass: &Pass<'_>, step: &Step, call: &mut NextCall) -> bool {
        let (object, state) = (pass.object, &pass.state);
        let Some(priority) = priority(object, state, step) else { return true };
        if call.permit.is_some() {
            return true;
        }
        let key = Key::of(object);
        // The start makes the call, once its attempt is recorded.
        let reserve_only = matches!(step, Step::Record(_));
        let want = Want {
            priority,
            to_front: call.continues,
            large: object.spec.trimmed && carries_configuration(object, state, step),
            reserve_only,
        };
        if reserve_only {
            return self.limiter().reserve(&key, want);
        }
        call.permit = self.limiter().try_acquire(&key, want);
        call.permit.is_some()
    }

    /// Returns the permit for the call of `step`, which is made now. If there is none, the object waits in the rate limiter.
    fn permit(&self, pass: &Pass<'_>, step: &Step, call: &mut NextCall) -> Option<Permit> {
        if self.is_permitted(pass, step, call) { call.take() } else { None }
    }

    /// Returns whether a session of the object can be started in its work group, by the reply of GetWorkGroup. Returns nothing if the call has to wait
    /// for its turn.
    pub(crate) async fn read_work_group(&self, pass: &Pass<'_>, call: &mut NextCall) -> Option<Answer> {
        let object = pass.object;
        let told = match self.athena.known_work_group(&object.spec.work_group, &Key::of(object)) {
            KnownWorkGroup::WorkGroupReply(told) => told,
            KnownWorkGroup::Asked => {
                // Other objects may have the turn until the reply comes.
                self.limiter().give_back(&Key::of(object));
                return None;
            }
            KnownWorkGroup::Unknown => {
                let permit = self.permit(pass, &Step::ReadWorkGroup, call)?;
                let trigger = |key: &Key| self.trigger.trigger(key, workqueue::Priority::Normal);
                // Another reconcile may have asked meanwhile: the object is triggered when that call is answered.
                self.athena.work_group(&object.spec.work_group, &Key::of(object), permit, trigger).await?
            }
        };
        Some(Answer::WorkGroup(match told {
            Ok(group) => group.refuses(&object.spec).map_or(Ok(()), Err),
            // A caller without the permission for GetWorkGroup finds out by StartSession.
            Err(refusal) if refusal.reason == "AccessDenied" => Ok(()),
            Err(refusal) => Err(self.redact_refusal(object, refusal).await),
        }))
    }

    /// Stops relying on sweeps for every session except the object's live one. After a restart, relies on them for a settled session, in place of a
    /// look.
    pub(crate) fn sync_sweep_coverage(&self, object: &AthenaSession, state: &mut LocalState) {
        let at = self.env();
        let id = match attempt(object, state) {
            Attempt::Live(recorded, id)
                if !is_stopping(object, state, &at)
                    && !in_other_account_or_region(&recorded, &at.identity) =>
            {
                id
            }
            _ => return state.stop_relying_on_sweeps(None),
        };
        state.stop_relying_on_sweeps(Some(id));
        let recorded = recorded_session(object, id, state);
        if recorded.settled() && state.is_new() && self.track(object, &recorded) {
            state.rely_on_sweeps(id);
        }
    }

    /// Registers `session` with the sweeps. Returns whether they can observe it.
    fn track(&self, object: &AthenaSession, session: &Session) -> bool {
        self.observer.track(&Key::of(object), &object.spec.work_group, session, |work_group| {
            let (athena, trigger) = (self.athena.clone(), self.trigger.clone());
            let list = move |work_group, next| list(athena.clone(), work_group, next);
            tokio::spawn(self.observer.clone().sweep(work_group, list, move |key| {
                trigger.trigger(&key, workqueue::Priority::Normal);
            }));
        })
    }

    /// Has the next list of the work group show the object's session, whose look waits in the rate limiter: one page serves all objects that wait so.
    fn poll_instead(&self, object: &AthenaSession, state: &LocalState) {
        let Some(id) = object.status.as_ref().and_then(|status| status.session_id.as_deref()) else { return };
        if state.is_missed || !self.track(object, &recorded_session(object, id, state)) {
            return;
        }
        self.observer.poll_instead(&Key::of(object), |work_group| {
            let (athena, trigger) = (self.athena.clone(), self.trigger.clone());
            let list = move |work_group, next| list(athena.clone(), work_group, next);
            // The time of a few looks at one session.
            let pause = self.limits.transition_interval.unsigned_abs() * 2;
            tokio::spawn(self.observer.clone().poll(work_group, pause, list, move |key| {
                trigger.trigger(&key, workqueue::Priority::Normal);
            }));
        });
    }

    /// Registers the object's session, as `step` has left it, with the sweeps.
    pub(crate) fn track_session(&self, object: &AthenaSession, state: &mut LocalState, step: &Step) {
        let is_over = matches!(step, Step::Rest | Step::Stop(..) | Step::Conclude(_));
        let id = match attempt(object, state) {
            Attempt::Live(_, id) if !is_over && !is_stopping(object, state, &self.env()) => id,
            _ => return self.untrack_session(object, state),
        };
        let newest = match step {
            Step::Mirror(session) => session.clone(),
            _ => recorded_session(object, id, state),
        };
        if newest.ended() || newest.state == SessionState::Terminating {
            return self.untrack_session(object, state);
        }
        if self.track(object, &newest) && state.trusts(id) && newest.settled() {
            state.rely_on_sweeps(id);
        }
    }

    /// Removes the object from the sweeps: a live session of it is looked at.
    fn untrack_session(&self, object: &AthenaSession, state: &mut LocalState) {
        state.stop_relying_on_sweeps(None);
        self.observer.untrack(&Key::of(object));
    }

    /// Returns the sweeps' observations of the object's session since the last call.
    pub(crate) async fn take_sweep_event(&self, object: &AthenaSession, state: &mut LocalState) -> Seen {
        let mut seen = Seen::default();
        let Some(status) = &object.status else { return seen };
        let Some(id) = status.session_id.as_deref() else { return seen };
        match self.observer.take_event(&Key::of(object), id) {
            Some(SweepEvent::Missed(time)) => {
                let is_busy = newest_state(object, id, state) == Some(&SessionState::Busy);
                state.missed(time, is_busy);
            }
            Some(SweepEvent::Shown(session, asked)) => {
                let session = self.redact_session(object, *session).await;
                let at = Environment { now: asked, jitter: 0.5, ..self.env() };
                seen.look = state.sighted(session, &object.uid().unwrap_or_default(), id, &at);
                seen.look_time = seen.look.is_some().then_some(asked);
            }
            None => {}
        }
        seen
    }

    /// Looks at the session `id`. Returns nothing if the look has to wait for its turn.
    pub(crate) async fn look(
        &self,
        pass: &Pass<'_>,
        id: &str,
        full: bool,
        call: &mut NextCall,
    ) -> Option<Answer> {
        let object = pass.object;
        let Some(permit) = self.permit(pass, &Step::Look, call) else {
            if !is_stopping(object, &pass.state, &self.env()) {
                self.poll_instead(object, &pass.state);
            }
            return None;
        };
        let asked = BootTime::now();
        let look = self.athena.look(id, full, permit).await.without_configuration();
        let look = self.redact_look(object, look).await;
        // The reply may have corrected the clock.
        Some(Answer::Look(look, self.clock.at(asked)))
    }

    /// Returns the object's sessions in a list of the work group that begins no earlier than `from`. Returns nothing while the object waits for the
    /// list, or for its turn to look at the sessions in it.
    pub(crate) async fn search(
        &self,
        pass: &mut Pass<'_>,
        from: Timestamp,
        call: &mut NextCall,
    ) -> Option<Answer> {
        let object = pass.object;
        let Some(answer) = self.ask(object, &pass.state, from) else {
            self.limiter().cancel(&Key::of(object));
            return None;
        };
        let (begun, marked) = match answer {
            MarkerAnswer::Failed(refusal) => {
                return Some(Answer::Refused(self.redact_refusal(object, refusal).await));
            }
            // The list contains the session by its id, though its marker is not what it should be: the session lives.
            MarkerAnswer::Complete { contains_session: true, marked, .. } if marked.is_empty() => {
                return Some(Answer::Refused(unknown_to_get_session()));
            }
            MarkerAnswer::Complete { begun, marked, .. } => {
                (self.clock.now() - SignedDuration::try_from(begun.elapsed()).unwrap_or_default(), marked)
            }
        };
        // Left out, a session without an id would seem not to exist.
        let Some(ids) = marked.into_iter().map(|marked| marked.id).collect::<Option<Vec<_>>>() else {
            return Some(Answer::Refused(Refusal::unanswered(
                "ListSessions does not name a session that carries the marker of this object",
            )));
        };
        pass.state.marked.retain(|session| ids.contains(&session.id));
        for id in ids {
            if pass.state.marked.iter().any(|session| session.id == id) {
                continue;
            }
            let permit = self.permit(pass, &Step::Search, call)?;
            let compared = match self.athena.look(&id, true, permit).await {
                Look::Seen(session) => self.compare(object, session).await,
                Look::Failed(refusal) => Err(self.redact_refusal(object, refusal).await),
                Look::NotFound { .. } => Err(unknown_to_get_session()),
            };
            match compared {
                Ok(session) => pass.state.marked.push(session),
                Err(refusal) => return Some(Answer::Refused(refusal)),
            }
        }
        self.searches.cancel(&Key::of(object));
        Some(Answer::Listed(std::mem::take(&mut pass.state.marked), begun))
    }

    /// Compares a session that carries the object's marker with the object's spec. Of the session's configuration, only the result is kept.
    async fn compare(&self, object: &AthenaSession, session: Session) -> Result<Session, Refusal> {
        let whole = match self.whole(object).await {
            Ok(Some(whole)) => whole,
            // The session is ended whatever its configuration is.
            _ if object.is_deleting() || object.spec.suspend => Cow::Borrowed(object),
            Ok(None) => return Err(unread("the API server no longer has the object")),
            Err(error) => return Err(unread(error.class())),
        };
        Ok(session.redacted(&whole.spec).compared(&whole.spec))
    }

    /// Requests the sessions with the object's marker, from a list that begins no earlier than `from`.
    fn ask(&self, object: &AthenaSession, state: &LocalState, from: Timestamp) -> Option<MarkerAnswer> {
        // The clock may not run evenly: the list must not seem to have begun a little too early.
        const MARGIN: Duration = Duration::from_millis(50);
        let (recorded, session_id) = match attempt(object, state) {
            Attempt::Unknown(recorded) => (Some(recorded.number), None),
            Attempt::Live(recorded, id) => (Some(recorded.number), Some(id.to_owned())),
            Attempt::None | Attempt::Withdrawn(_) | Attempt::Over(..) => (None, None),
        };
        let wait = Duration::try_from(from.duration_since(self.clock.now())).unwrap_or_default();
        let wait = if wait.is_zero() { wait } else { wait.saturating_add(MARGIN).min(MAX_WAIT) };
        let ask = Ask {
            uid: object.uid().unwrap_or_default(),
            attempt: recorded,
            session_id,
            from: Instant::now() + wait,
        };
        self.searches.ask(&Key::of(object), &object.spec.work_group, ask, |work_group| {
            let trigger = self.trigger.clone();
            let trigger = move |key: &Key| trigger.trigger(key, workqueue::Priority::Normal);
            tokio::spawn(self.searches.clone().serve(work_group, self.athena.clone(), trigger));
        })
    }
}

/// Reads a page of a list for the observer.
async fn list(athena: Athena, work_group: String, next: Option<String>) -> PageReply {
    let permit = athena.limiter().acquire(Priority::Look).await;
    (Asked::now(), athena.list(&work_group, next, permit).await)
}

/// Longest wait for which a list is planned: a time that somebody has written by hand may be any.
const MAX_WAIT: Duration = Duration::from_hours(24);

fn unknown_to_get_session() -> Refusal {
    Refusal::unanswered("ListSessions names a session of this object that GetSession does not find")
}

/// Returns the refusal for a session that carries the object's marker and could not be compared with the object's spec.
fn unread(why: &str) -> Refusal {
    Refusal::unanswered(format!(
        "a session carries the marker of this object, which cannot be compared with it: {why}"
    ))
}

/// Returns the priority of the call of `step`, if it makes one. Calls that end a session come first, the calls that find it included.
fn priority(object: &AthenaSession, state: &LocalState, step: &Step) -> Option<Priority> {
    match step {
        Step::Terminate => Some(Priority::Terminate),
        // The end is observed sooner or later: these looks must not keep other sessions from starting.
        Step::Look if wants_stopped(object) && is_ending(object, state) => Some(Priority::Look),
        Step::Look | Step::Search | Step::Start(_) if wants_stopped(object) => Some(Priority::Terminate),
        Step::Look | Step::Search => Some(Priority::Look),
        Step::ReadWorkGroup | Step::Record(_) | Step::Start(_) if state.was_refused() => {
            Some(Priority::Retry)
        }
        Step::ReadWorkGroup | Step::Record(_) | Step::Start(_) => Some(Priority::Start),
        _ => None,
    }
}

/// Returns whether Athena has accepted TerminateSession for the session of `object`, or shows it ending.
fn is_ending(object: &AthenaSession, state: &LocalState) -> bool {
    state.awaits_end()
        || object.status.as_ref().is_some_and(|status| status.state == Some(SessionState::Terminating))
}

/// Returns whether the call of `step` carries the engine configuration of the session: it is in the request of a start, and in the reply to a look in
/// full.
fn carries_configuration(object: &AthenaSession, state: &LocalState, step: &Step) -> bool {
    let id = object.status.as_ref().and_then(|status| status.session_id.as_deref());
    match step {
        Step::Record(_) | Step::Start(_) | Step::Search => true,
        Step::Look => id.is_some_and(|id| is_full_look(object, state, id)),
        _ => false,
    }
}

/// Returns the state of the session `id` of `object`: the observed one that is yet to be written, or that of the status.
fn newest_state<'a>(object: &'a AthenaSession, id: &str, state: &'a LocalState) -> Option<&'a SessionState> {
    let held = state.unwritten_work(id).map(|session| &session.state);
    held.or(object.status.as_ref().and_then(|status| status.state.as_ref()))
}

/// Returns the session `id` of `object` as it was last seen.
fn recorded_session(object: &AthenaSession, id: &str, state: &LocalState) -> Session {
    let session_state = newest_state(object, id, state).cloned().unwrap_or_default();
    Session {
        id: id.to_owned(),
        state: session_state,
        last_modified_time: state.last_modified_time,
        ..Session::default()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::session::reply::ErrorClass;

    #[test]
    fn what_ends_a_session_comes_first_and_what_was_refused_last() {
        let session = |metadata| {
            let spec = json!({ "workGroup": "etl" });
            let object = json!({ "apiVersion": "athena-operator.io/v1alpha1", "kind": "AthenaSession", "metadata": metadata, "spec": spec });
            serde_json::from_value::<AthenaSession>(object).expect("an object")
        };
        let object = session(json!({ "name": "n" }));
        let deleting = session(json!({ "name": "n", "deletionTimestamp": "2026-01-01T00:00:00Z" }));
        let at = crate::session::status::tests::at(0);
        let refused = |class| {
            let mut state = LocalState::default();
            let refusal = Refusal { class, reason: "No", message: String::new(), request_id: None };
            state.start_refused(refusal, false, &at);
            state
        };
        let fresh = LocalState::default();
        let mut terminated = LocalState::default();
        terminated.terminated(&at);
        for (object, state, step, expected) in [
            (&object, &fresh, Step::Record(0), Some(Priority::Start)),
            (&object, &fresh, Step::Start(0), Some(Priority::Start)),
            (&object, &refused(ErrorClass::Throttled), Step::Start(0), Some(Priority::Start)),
            (&object, &refused(ErrorClass::MayHeal), Step::Start(0), Some(Priority::Retry)),
            (&object, &refused(ErrorClass::Capacity), Step::Record(0), Some(Priority::Retry)),
            (&object, &fresh, Step::Look, Some(Priority::Look)),
            (&object, &fresh, Step::Search, Some(Priority::Look)),
            (&object, &fresh, Step::Terminate, Some(Priority::Terminate)),
            (&deleting, &fresh, Step::Look, Some(Priority::Terminate)),
            (&deleting, &terminated, Step::Look, Some(Priority::Look)),
            (&deleting, &fresh, Step::Search, Some(Priority::Terminate)),
            (&deleting, &refused(ErrorClass::MayHeal), Step::Start(0), Some(Priority::Terminate)),
            (&object, &fresh, Step::AddFinalizer, None),
            (&object, &fresh, Step::Wait, None),
        ] {
            assert_eq!(priority(object, state, &step), expected, "{step:?}");
        }
    }
}
