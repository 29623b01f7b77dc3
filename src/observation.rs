//! What is seen of an object's session, by looks at it and by the sweeps of its work group, and when it is its turn to be looked at.

use std::borrow::Cow;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use k8s_openapi::jiff::SignedDuration;
use kube::ResourceExt;
use tokio::time::Instant;

use crate::api::AthenaSession;
use crate::athena::rate_limiter::{Permit, Priority, Want};
use crate::athena::{Answer, Ask, KnownWorkGroup};
use crate::clock::BootTime;
use crate::key::Key;
use crate::known::Known;
use crate::lifecycle::{Attempt, Circumstances, Seen, Step, attempt, elsewhere, found, is_stopping, next_step, search_time, wants_stopped};
use crate::observer::{Asked, Page, Sighting};
use crate::operator::Operator;
use crate::runtime::workqueue;
use crate::session::{Look, Refusal, Search, Session, WorkGroup};

/// The next call of a reconcile. Each has a permit of its own: a reconcile that gets none ends, and goes on when it is triggered.
#[derive(Debug, Default)]
pub(crate) struct NextCall {
    pub(crate) permit: Option<Permit>,
    /// Whether the reconcile has made a call, which the next one completes.
    continues: bool,
    /// Whether Athena is to be asked for its time, which is done for all objects at once.
    pub(crate) asks_time: bool,
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
    pub(crate) fn is_permitted(&self, object: &AthenaSession, known: &Known, step: &Step, call: &mut NextCall) -> bool {
        let Some(priority) = priority(object, known, step) else { return true };
        if call.permit.is_some() {
            return true;
        }
        let (key, namespace) = (Key::of(object), object.metadata.namespace.as_deref().unwrap_or_default());
        // The start makes the call, once its attempt is recorded.
        let later = matches!(step, Step::Record(_));
        let want = Want { priority, ahead: call.continues, large: object.spec.trimmed && carries_configuration(object, known, step), later };
        if later {
            return self.limiter().reserve(&key, namespace, want);
        }
        call.permit = self.limiter().try_acquire(&key, namespace, want);
        call.permit.is_some()
    }

    /// Returns whether a session of `object` can be started in its work group, as GetWorkGroup tells. Returns nothing if the call has to wait for its turn.
    async fn read_work_group(&self, object: &AthenaSession, known: &Known, call: &mut NextCall) -> Option<Result<(), Refusal>> {
        let told = match self.athena.known_work_group(&object.spec.work_group, &Key::of(object)) {
            KnownWorkGroup::Told(told) => told,
            KnownWorkGroup::Asked => {
                // Others may have the turn until it is told.
                self.limiter().give_back(&Key::of(object));
                return None;
            }
            KnownWorkGroup::Unknown if self.is_permitted(object, known, &Step::ReadWorkGroup, call) => self.get_work_group(object, call).await?,
            KnownWorkGroup::Unknown => return None,
        };
        Some(match told {
            Ok(group) => group.refuses(&object.spec).map_or(Ok(()), Err),
            // Whoever may not read work groups finds out by StartSession.
            Err(refusal) if refusal.reason == "AccessDenied" => Ok(()),
            Err(refusal) => Err(self.redact_refusal(object, refusal).await),
        })
    }

    /// Calls GetWorkGroup. Returns nothing if another does: the object is triggered when that is answered.
    async fn get_work_group(&self, object: &AthenaSession, call: &mut NextCall) -> Option<Result<WorkGroup, Refusal>> {
        let permit = call.take()?;
        let trigger = |key: &Key| self.trigger.trigger(key, workqueue::Priority::Normal);
        self.athena.work_group(&object.spec.work_group, &Key::of(object), permit, trigger).await
    }

    /// Takes in what the sweeps have shown of the object's session. After a restart, they tell of a settled one in place of a look.
    pub(crate) fn sight(&self, object: &AthenaSession, known: &mut Known) {
        let at = self.circumstances();
        let id = match attempt(object, known) {
            Attempt::Live(made, id) if !is_stopping(object, known, &at) && !elsewhere(&made, &at.identity) => id,
            _ => return known.unsettle_but(None),
        };
        known.unsettle_but(Some(id));
        let recorded = recorded_session(object, id, known);
        if recorded.settled() && known.is_new() && self.watch(object, &recorded) {
            known.settle(id);
        }
    }

    /// Reads pages of lists for the observer, each with a turn of its own.
    fn pages(&self) -> impl Fn(String, Option<String>) -> BoxFuture<'static, (Asked, Result<Page, Refusal>)> + Send + use<> {
        let athena = self.athena.clone();
        move |work_group, next| {
            let athena = athena.clone();
            async move {
                let permit = athena.limiter().acquire(Priority::Look).await;
                let asked = Asked::now();
                (asked, athena.list(&work_group, next, permit).await)
            }
            .boxed()
        }
    }

    /// Has the sweeps look out for `session`. Returns whether they can.
    fn watch(&self, object: &AthenaSession, session: &Session) -> bool {
        self.observer.watch(&Key::of(object), &object.spec.work_group, session, |work_group| {
            let trigger = self.trigger.clone();
            tokio::spawn(self.observer.clone().sweep(work_group, self.pages(), move |key| trigger.trigger(&key, workqueue::Priority::Normal)));
        })
    }

    /// Has the next list of the work group show the object's session, whose look waits in the rate limiter: one page serves all that wait so.
    fn poll_instead(&self, object: &AthenaSession, known: &Known) {
        let Some(id) = object.status.as_ref().and_then(|status| status.session_id.as_deref()) else { return };
        if known.is_missed || !self.watch(object, &recorded_session(object, id, known)) {
            return;
        }
        self.observer.poll_instead(&Key::of(object), |work_group| {
            let trigger = self.trigger.clone();
            // A few looks of one session.
            let pause = self.limits.transition_interval.unsigned_abs() * 2;
            tokio::spawn(self.observer.clone().poll(work_group, pause, self.pages(), move |key| trigger.trigger(&key, workqueue::Priority::Normal)));
        });
    }

    /// Has the sweeps look out for the object's session as `step` has left it.
    pub(crate) fn look_out(&self, object: &AthenaSession, known: &mut Known, step: &Step) {
        let is_stopping = || is_stopping(object, known, &self.circumstances());
        let live = match attempt(object, known) {
            Attempt::Live(_, id) if !is_stopping() && !matches!(step, Step::Rest | Step::Stop(..) | Step::Conclude(_)) => Some(id),
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
            Some(Sighting::Missed(time)) => {
                let is_busy = newest_state(object, id, known) == Some("BUSY");
                known.missed(time, is_busy);
            }
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
    pub(crate) async fn observe(&self, object: &AthenaSession, known: &mut Known, seen: &mut Seen, call: &mut NextCall) -> Option<Step> {
        let uid = object.uid().unwrap_or_default();
        loop {
            self.time(known);
            let at = self.circumstances();
            if at.is_time_certain {
                known.time_told();
            }
            let id = object.status.as_ref().and_then(|status| status.session_id.as_deref());
            let step = next_step(object, known, seen, &at);
            if step != Step::Search {
                self.searches.cancel(&Key::of(object));
                known.marked = Vec::new();
            }
            if step == Step::Look && !self.is_permitted(object, known, &step, call) {
                if !is_stopping(object, known, &at) {
                    self.poll_instead(object, known);
                }
                return None;
            }
            match (step, id) {
                (Step::AskTime, _) => {
                    call.asks_time = true;
                    let refusal = self.redact_refusal(object, self.athena_time.refusal()?).await;
                    let now = self.time(known);
                    known.time_refused(&refusal, now);
                    return Some(Step::Hold(refusal));
                }
                (Step::Look, Some(id)) => {
                    let full = is_full_look(object, known, id);
                    let permit = call.take()?;
                    let asked = BootTime::now();
                    let look = self.athena.look(id, full, permit).await.without_configuration();
                    let look = self.redact_look(object, look).await;
                    // The reply may have corrected the clock.
                    seen.look_time = Some(self.clock.at(asked));
                    let now = self.time(known);
                    // How it ended is seen in full only, which is another call.
                    known.has_ended = matches!(&look, Look::Seen(session) if session.ended() && !full);
                    if !known.has_ended {
                        seen.look = Some(known.looked(look, &uid, id, now, &at.limits, fastrand::f64()));
                    }
                }
                (Step::Search, _) => {
                    let search = Box::pin(self.search(object, known, &at, call)).await?;
                    self.searches.cancel(&Key::of(object));
                    let now = self.time(known);
                    known.searched(&search, now, &at.limits, fastrand::f64());
                    seen.search = Some(search);
                }
                (Step::ReadWorkGroup, _) => {
                    let read = self.read_work_group(object, known, call).await?;
                    let now = self.time(known);
                    known.work_group_read(read.as_ref().copied(), now, fastrand::f64());
                    seen.work_group = Some(read);
                }
                (step, _) => return Some(step),
            }
        }
    }

    /// Returns what a list of the work group shows of the object's sessions. Returns nothing while the object waits for the list, or for its turn to look at
    /// the sessions in it.
    async fn search(&self, object: &AthenaSession, known: &mut Known, at: &Circumstances, call: &mut NextCall) -> Option<Search> {
        let Some(answer) = self.ask(object, known, at) else {
            self.limiter().cancel(&Key::of(object));
            return None;
        };
        let (begun, marked) = match answer {
            Answer::Failed(refusal) => return Some(Search::Failed(self.redact_refusal(object, refusal).await)),
            // In the list by its id, though its marker is not what it should be: it lives.
            Answer::Complete { contains_session: true, marked, .. } if marked.is_empty() => return Some(Search::Failed(unknown_to_get_session())),
            Answer::Complete { begun, marked, .. } => (at.now - SignedDuration::try_from(begun.elapsed()).unwrap_or_default(), marked),
        };
        // Left out, one without an id would seem not to exist.
        let Some(ids) = marked.into_iter().map(|marked| marked.id).collect::<Option<Vec<_>>>() else { return Some(Search::Failed(unnamed())) };
        known.marked.retain(|session| ids.contains(&session.id));
        for id in ids {
            if known.marked.iter().any(|session| session.id == id) {
                continue;
            }
            if !self.is_permitted(object, known, &Step::Search, call) {
                return None;
            }
            let permit = call.take()?;
            let look = self.athena.look(&id, true, permit).await;
            match look {
                Look::Seen(session) => match self.compare(object, session).await {
                    Ok(session) => known.marked.push(session),
                    Err(refusal) => return Some(Search::Failed(refusal)),
                },
                Look::Failed(refusal) => return Some(Search::Failed(self.redact_refusal(object, refusal).await)),
                Look::NotFound { .. } => return Some(Search::Failed(unknown_to_get_session())),
            }
        }
        Some(found(std::mem::take(&mut known.marked), object, known, begun))
    }

    /// Compares a session that carries the object's marker with what the object asks for. Of its configuration, no more than the result is kept.
    async fn compare(&self, object: &AthenaSession, session: Session) -> Result<Session, Refusal> {
        let whole = match self.whole(object).await {
            Ok(Some(whole)) => whole,
            // It is ended whatever it looks like.
            _ if object.metadata.deletion_timestamp.is_some() || object.spec.suspend => Cow::Borrowed(object),
            Ok(None) => return Err(unread("the API server does not have the object any more")),
            Err(error) => return Err(unread(error.class())),
        };
        Ok(session.redacted(&whole.spec).compared(&whole.spec))
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
            let trigger = self.trigger.clone();
            let trigger = move |key: &Key| trigger.trigger(key, workqueue::Priority::Normal);
            tokio::spawn(self.searches.clone().serve(work_group, self.athena.clone(), trigger));
        })
    }
}

/// Longest wait for which a list is planned: a time that somebody has written by hand may be any.
const MAX_WAIT: Duration = Duration::from_hours(24);

fn unnamed() -> Refusal {
    Refusal::unanswered("ListSessions does not name a session that carries the marker of this object")
}

fn unknown_to_get_session() -> Refusal {
    Refusal::unanswered("ListSessions names a session of this object that GetSession does not find")
}

/// A session was found that carries the object's marker, and could not be compared with what the object asks for.
fn unread(why: &str) -> Refusal {
    Refusal::unanswered(format!("a session carries the marker of this object, which cannot be compared with it: {why}"))
}

/// Returns the priority of the call of `step`, if it makes one. What ends a session comes first, the calls that find it included.
fn priority(object: &AthenaSession, known: &Known, step: &Step) -> Option<Priority> {
    match step {
        Step::Terminate => Some(Priority::Terminate),
        // That it has ended is learnt in the end: it must not keep others from starting.
        Step::Look if wants_stopped(object) && is_ending(object, known) => Some(Priority::Look),
        Step::Look | Step::Search | Step::Start(_) if wants_stopped(object) => Some(Priority::Terminate),
        Step::Look | Step::Search => Some(Priority::Look),
        Step::ReadWorkGroup | Step::Record(_) | Step::Start(_) if known.was_refused() => Some(Priority::Retry),
        Step::ReadWorkGroup | Step::Record(_) | Step::Start(_) => Some(Priority::Start),
        _ => None,
    }
}

/// Whether Athena has taken TerminateSession for the session of `object`, or shows it ending.
fn is_ending(object: &AthenaSession, known: &Known) -> bool {
    known.awaits_end() || object.status.as_ref().and_then(|status| status.state.as_deref()) == Some("TERMINATING")
}

/// Whether a look at the session `id` is to show all of it.
fn is_full_look(object: &AthenaSession, known: &Known, id: &str) -> bool {
    !known.trusts(id) || known.has_ended || object.status.as_ref().is_some_and(|status| status.engine_version.is_none())
}

/// Whether the call of `step` carries the engine configuration of the session: it is in the request of a start, and in the reply to a look in full.
fn carries_configuration(object: &AthenaSession, known: &Known, step: &Step) -> bool {
    let id = object.status.as_ref().and_then(|status| status.session_id.as_deref());
    match step {
        Step::Record(_) | Step::Start(_) | Step::Search => true,
        Step::Look => id.is_some_and(|id| is_full_look(object, known, id)),
        _ => false,
    }
}

/// The state of the session `id` of `object`, as its status has it or is yet to say.
fn newest_state<'a>(object: &'a AthenaSession, id: &str, known: &'a Known) -> Option<&'a str> {
    let held = known.unwritten_work(id).map(|session| session.state.as_str());
    held.or(object.status.as_ref().and_then(|status| status.state.as_deref()))
}

/// The session `id` of `object` as it was last seen.
fn recorded_session(object: &AthenaSession, id: &str, known: &Known) -> Session {
    let state = newest_state(object, id, known).unwrap_or_default().to_owned();
    Session { id: id.to_owned(), state, last_modified_time: known.last_modified_time(), ..Session::default() }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::jiff::Timestamp;
    use serde_json::json;

    use super::*;
    use crate::session::Class;

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
        let mut terminated = Known::default();
        terminated.terminated(Timestamp::UNIX_EPOCH, &crate::lifecycle::Limits::default(), 0.0);
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
            (&deleting, &terminated, Step::Look, Some(Priority::Look)),
            (&deleting, &fresh, Step::Search, Some(Priority::Terminate)),
            (&deleting, &refused(Class::MayHeal), Step::Start(0), Some(Priority::Terminate)),
            (&object, &fresh, Step::AddFinalizer, None),
            (&object, &fresh, Step::Wait, None),
        ] {
            assert_eq!(priority(object, known, &step), expected, "{step:?}");
        }
    }
}
