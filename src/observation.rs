//! What is seen of an object's session, by looks at it and by the sweeps of its work group, and when it is its turn to be looked at.

use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;

use crate::api::AthenaSession;
use crate::athena::rate_limiter::{Permit, Priority};
use crate::key::Key;
use crate::known::Known;
use crate::lifecycle::{Attempt, Seen, Step, attempt, elsewhere, found, next_step, wants_stopped};
use crate::marker;
use crate::observer::Sighting;
use crate::operator::Operator;
use crate::runtime::workqueue;
use crate::session::{Look, Refusal, Search, Session};

/// The next call of a reconcile. Each has a permit of its own: a reconcile that gets none ends, and goes on when it is triggered.
#[derive(Debug, Default)]
pub(crate) struct NextCall {
    pub(crate) permit: Option<Permit>,
    /// Whether the reconcile has made a call, which the next one completes.
    continues: bool,
    /// Why a start would be refused.
    pub(crate) refusal: Option<Refusal>,
}

impl NextCall {
    /// Takes the permit for a call that is made now.
    fn take(&mut self) -> Option<Permit> {
        self.continues = true;
        self.permit.take()
    }
}

impl Operator {
    /// Returns whether the call of `step`, if it makes one, may be made now: then `call` has its permit. If not, the object waits in the rate limiter.
    fn is_permitted(&self, object: &AthenaSession, known: &Known, step: &Step, call: &mut NextCall) -> bool {
        let Some(priority) = priority(object, known, step) else { return true };
        if call.permit.is_some() {
            return true;
        }
        let (key, namespace) = (Key::of(object), object.metadata.namespace.as_deref().unwrap_or_default());
        if matches!(step, Step::Record(_)) {
            // Its start makes the call.
            return self.limiter().reserve(&key, namespace, priority, call.continues);
        }
        call.permit = self.limiter().try_acquire(&key, namespace, priority, call.continues);
        call.permit.is_some()
    }

    /// Returns whether `step` may be carried out now: its call has a permit and, for a start, the work group was read.
    pub(crate) async fn may_act(&self, object: &AthenaSession, known: &Known, step: &Step, call: &mut NextCall) -> bool {
        if !self.is_permitted(object, known, step, call) {
            return false;
        }
        if matches!(step, Step::Start(_)) && nothing_started(object, known) {
            call.refusal = self.preflight(object, call).await;
            return call.refusal.is_some() || self.is_permitted(object, known, step, call);
        }
        true
    }

    /// Returns why StartSession would be refused, as the work group tells before a call is spent. Whoever may not read work groups finds out by the call;
    /// and an attempt that may have been started already is tried in any case, to learn its session.
    async fn preflight(&self, object: &AthenaSession, call: &mut NextCall) -> Option<Refusal> {
        let group = self.athena.work_group(&object.spec.work_group, &mut call.permit).await;
        call.continues |= call.permit.is_none();
        match group {
            Ok(group) => group.refuses(&object.spec),
            Err(refusal) => (refusal.reason == "WorkGroupNotFound").then(|| refusal.redacted(&object.spec)),
        }
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
            let (athena, trigger) = (self.athena.clone(), self.trigger.clone());
            let list = move |work_group: String, next| {
                let athena = athena.clone();
                async move {
                    let permit = athena.limiter().acquire(Priority::Look).await;
                    athena.list(&work_group, next, permit).await
                }
            };
            tokio::spawn(self.observer.clone().sweep(work_group, list, move |key| trigger.trigger(&key, workqueue::Priority::Normal)));
        })
    }

    /// Has the next list of the work group show the object's session, whose look waits in the rate limiter: one page serves all that wait so.
    fn poll_instead(&self, object: &AthenaSession, known: &Known) {
        let Some(id) = object.status.as_ref().and_then(|status| status.session_id.as_deref()) else { return };
        if known.is_missed || !self.watch(object, &recorded_session(object, id, known)) {
            return;
        }
        self.observer.poll_instead(&Key::of(object), |work_group| {
            let (athena, trigger) = (self.athena.clone(), self.trigger.clone());
            let list = move |work_group: String, next| {
                let athena = athena.clone();
                async move {
                    let permit = athena.limiter().acquire_ahead(Priority::Look).await;
                    athena.list(&work_group, next, permit).await
                }
            };
            // A few looks of one session.
            let pause = self.limits.transition_interval.unsigned_abs() * 2;
            tokio::spawn(self.observer.clone().poll(work_group, pause, list, move |key| trigger.trigger(&key, workqueue::Priority::Normal)));
        });
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
    pub(crate) fn sighting(&self, object: &AthenaSession, known: &mut Known) -> Seen {
        let mut seen = Seen::default();
        let Some(status) = &object.status else { return seen };
        let Some(id) = status.session_id.as_deref() else { return seen };
        match self.observer.sighting(&Key::of(object), id) {
            Some(Sighting::Missed(time)) => known.missed(time, status.state.as_deref() == Some("BUSY")),
            Some(Sighting::Shown(session, asked)) => {
                seen.look = known.sighted(session.redacted(&object.spec), &object.uid().unwrap_or_default(), id, asked, &self.limits);
                seen.look_time = seen.look.is_some().then_some(asked);
            }
            None => {}
        }
        seen
    }

    /// Decides, looking at Athena as long as the decision asks for it. Returns nothing if a look has to wait for its turn.
    pub(crate) async fn observe(&self, object: &AthenaSession, known: &mut Known, seen: &mut Seen, call: &mut NextCall) -> Option<Step> {
        let uid = object.uid().unwrap_or_default();
        loop {
            let at = self.circumstances();
            let id = object.status.as_ref().and_then(|status| status.session_id.as_deref());
            let step = next_step(object, known, seen, &at);
            if matches!(step, Step::Look | Step::Search) && !self.is_permitted(object, known, &step, call) {
                if step == Step::Look && !wants_stopped(object) {
                    self.poll_instead(object, known);
                }
                return None;
            }
            match (step, id) {
                (Step::Look, Some(id)) => {
                    let status = object.status.as_ref();
                    let full = !known.trusts(id) || known.has_ended || status.is_some_and(|status| status.engine_version.is_none());
                    let permit = call.take()?;
                    seen.look_time = Some(Timestamp::now());
                    let look = self.athena.look(id, full, permit).await.redacted(&object.spec);
                    // How it ended is seen in full only, which is another call.
                    known.has_ended = matches!(&look, Look::Seen(session) if session.ended() && !full);
                    if !known.has_ended {
                        seen.look = Some(known.looked(look, &uid, id, Timestamp::now(), &at.limits, fastrand::f64()));
                    }
                }
                (Step::Search, _) => {
                    let search = self.search(object, known, at.now, call.take()?).await;
                    known.searched(&search, Timestamp::now(), &at.limits, fastrand::f64());
                    seen.search = Some(search);
                }
                (step, _) => return Some(step),
            }
        }
    }

    async fn search(&self, object: &AthenaSession, known: &Known, begun: Timestamp, permit: Permit) -> Search {
        let uid = object.uid().unwrap_or_default();
        match self.athena.search(&object.spec.work_group, |description| marker::attempt_of(description, &uid).is_some(), permit).await {
            Ok(sessions) => found(sessions.into_iter().map(|session| session.redacted(&object.spec)).collect(), object, known, begun),
            // A work group that does not exist has no sessions.
            Err(refusal) if refusal.reason == "WorkGroupNotFound" && self.athena.lacks_work_group(&object.spec.work_group).await => {
                Search::Absent { begun }
            }
            Err(refusal) => Search::Failed(refusal.redacted(&object.spec)),
        }
    }
}

fn nothing_started(object: &AthenaSession, known: &Known) -> bool {
    matches!(attempt(object, known), Attempt::Unknown(made) if known.nothing_started(&made))
}

/// Returns the priority of the call of `step`, if it makes one. What ends a session comes first, the calls that find it included.
fn priority(object: &AthenaSession, known: &Known, step: &Step) -> Option<Priority> {
    match step {
        Step::Terminate => Some(Priority::Terminate),
        Step::Look | Step::Start(_) if wants_stopped(object) => Some(Priority::Terminate),
        Step::Look | Step::Search => Some(Priority::Look),
        Step::Record(_) | Step::Start(_) if known.was_refused() => Some(Priority::Retry),
        Step::Record(_) | Step::Start(_) => Some(Priority::Start),
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
    use serde_json::json;

    use super::*;
    use crate::session::{Class, Refusal};

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
            (&object, &fresh, Step::Record(0), Some(Priority::Start)),
            (&object, &fresh, Step::Start(0), Some(Priority::Start)),
            (&object, &refused(Class::Throttled), Step::Start(0), Some(Priority::Start)),
            (&object, &refused(Class::MayHeal), Step::Start(0), Some(Priority::Retry)),
            (&object, &refused(Class::Capacity), Step::Record(0), Some(Priority::Retry)),
            (&object, &fresh, Step::Look, Some(Priority::Look)),
            (&object, &fresh, Step::Search, Some(Priority::Look)),
            (&object, &fresh, Step::Terminate, Some(Priority::Terminate)),
            (&deleting, &fresh, Step::Look, Some(Priority::Terminate)),
            (&deleting, &refused(Class::MayHeal), Step::Start(0), Some(Priority::Terminate)),
            (&object, &fresh, Step::AddFinalizer, None),
            (&object, &fresh, Step::Wait, None),
        ] {
            assert_eq!(priority(object, known, &step), expected, "{step:?}");
        }
    }
}
