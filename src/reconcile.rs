//! One reconcile: observe, decide, act, report. Everything that decides is in the pure modules; here it is carried out.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use k8s_openapi::jiff::Timestamp;
use kube::api::ObjectMeta;
use kube::runtime::controller::Action;
use kube::runtime::events::{Recorder, Reporter};
use kube::runtime::reflector::ObjectRef;
use kube::{Client, ResourceExt};
use tokio_util::task::TaskTracker;
use tracing::{Instrument, Span, debug, field, info, info_span, warn};

use crate::api::{AthenaSession, AthenaSessionStatus, FIELD_MANAGER};
use crate::athena::{Athena, start_session};
use crate::events::{self, Event};
use crate::known::{Known, backoff};
use crate::lifecycle::{Attempt, Circumstances, Identity, Limits, Seen, Step, attempt, found, next_step, surplus, wake_time, wants_stopped};
use crate::limiter::{Lane, Limiter, Turn};
use crate::marker;
use crate::metrics::Metrics;
use crate::observer::{Observer, Sighting};
use crate::orphans::end_orphan;
use crate::publish::publish;
use crate::session::{Class, Refusal, Search, Session};
use crate::status::{Outcome, condition, status_after};
use crate::unreadable::{Measure, measure, unreadable_field};
use crate::wakes::{Key, Received, Wakes};
use crate::writes::{self, Error, Found, Written};

/// What a reconcile works with.
pub struct Operator {
    client: Client,
    athena: Athena,
    limiter: Arc<Limiter<Key>>,
    observer: Arc<Observer<Key>>,
    wakes: Arc<Wakes>,
    account: OnceLock<String>,
    limits: Limits,
    recorder: Recorder,
    metrics: Arc<Metrics>,
    objects: Mutex<HashMap<Key, Memory>>,
    orphans: TaskTracker,
}

/// What this process remembers of an object.
#[derive(Clone, Debug, Default)]
struct Memory {
    uid: String,
    known: Known,
    /// The resourceVersion of this process's last write: a cache that is older must not be acted on.
    written: Option<u64>,
    failures: u32,
    /// Whether the object, as this process last saw it, is to delete itself though a tool would create it again.
    ttl_under_gitops: Option<bool>,
    /// Whether the object was let go: nothing of it needs to be remembered.
    released: bool,
}

impl Operator {
    /// An operator that acts through these clients. `limiter` is the one that `athena` passes.
    pub fn new(client: Client, athena: Athena, limiter: Arc<Limiter<Key>>, limits: Limits, metrics: Arc<Metrics>) -> Self {
        let reporter = Reporter { controller: FIELD_MANAGER.into(), instance: std::env::var("POD_NAME").ok() };
        let recorder = Recorder::new(client.clone(), reporter);
        let observer = Arc::new(Observer::new(limits.observe_interval.unsigned_abs(), limits.stale.unsigned_abs()));
        let wakes = Arc::new(Wakes::default());
        let (account, objects, orphans) = (OnceLock::new(), Mutex::default(), TaskTracker::new());
        Self { client, athena, limiter, observer, wakes, account, limits, recorder, metrics, objects, orphans }
    }

    /// What wakes the operator's objects.
    pub fn wakes(&self) -> &Wakes {
        &self.wakes
    }

    /// Wakes the objects whose turn it is to call Athena, for ever.
    pub async fn give_turns(&self) {
        self.limiter.run(|key| self.wakes.wake(&key)).await;
    }

    /// Tells the operator in which AWS account it works.
    pub fn set_account(&self, account: String) {
        let _ = self.account.set(account);
    }

    fn circumstances(&self) -> Circumstances {
        let identity = Identity { region: self.athena.region().to_owned(), account: self.account.get().cloned() };
        Circumstances { now: Timestamp::now(), identity, limits: self.limits }
    }

    fn remembered(&self, received: &Received) -> Memory {
        let uid = received.uid().unwrap_or_default();
        let before = self.objects.lock().unwrap_or_else(PoisonError::into_inner).remove(&reference(received));
        match before {
            Some(memory) if memory.uid == uid => memory,
            other => {
                self.release_memory(other);
                Memory { uid, known: Known::met(Timestamp::now()), ..Memory::default() }
            }
        }
    }

    fn remember(&self, received: &Received, memory: Memory) {
        self.objects.lock().unwrap_or_else(PoisonError::into_inner).insert(reference(received), memory);
    }

    /// Ends a session that no object owns, on the side.
    fn end_orphan(&self, id: String) {
        self.orphans.spawn(end_orphan(self.athena.clone(), id, self.limits).in_current_span());
    }

    /// Waits until every session without an object has been ended.
    pub async fn orphans_ended(&self) {
        self.orphans.close();
        self.orphans.wait().await;
    }

    /// Forgets an object that is gone. A session of it that was started and never recorded has no owner any more and is ended.
    pub fn forget(&self, object: &Key) {
        self.limiter.leave(object);
        self.observer.forget(object);
        let memory = self.objects.lock().unwrap_or_else(PoisonError::into_inner).remove(object);
        self.release_memory(memory);
    }

    fn release_memory(&self, memory: Option<Memory>) {
        if let Some((_, session)) = memory.and_then(|memory| memory.known.unrecorded) {
            self.end_orphan(session.id);
        }
    }
}

/// Reconciles one object once: at most one change, and the status if it differs.
///
/// # Errors
/// When the API server refuses a write or does not answer. What Athena refuses is reported in the status.
pub async fn reconcile(received: Arc<Received>, operator: Arc<Operator>) -> Result<Action, Error> {
    let begun = Instant::now();
    let mut memory = operator.remembered(&received);
    let status = received.0.as_ref().ok().and_then(|object| object.status.as_ref());
    let span = info_span!(
        "athenasession",
        object = %reference(&received),
        uid = memory.uid,
        attempt = field::Empty,
        session_id = field::Empty,
    );
    span.in_scope(|| record_attempt(None, status));
    let result = match &received.0 {
        Ok(object) => operator.pass(object, &mut memory).instrument(span.clone()).await,
        Err(invalid) => operator.report_unreadable(&invalid.metadata).instrument(span.clone()).await,
    };
    let (result, label) = match result {
        Ok(action) => {
            memory.failures = 0;
            (Ok(action), "success")
        }
        Err(error) => {
            memory.failures = memory.failures.saturating_add(1);
            // What a list showed may not have been written: a look shows it again.
            memory.known.unsettle_but(None);
            span.in_scope(|| warn!("{error}"));
            (Err(error), "error")
        }
    };
    if memory.released {
        operator.forget(&reference(&received));
    } else {
        operator.remember(&received, memory);
    }
    operator.metrics.reconciled(label, begun.elapsed());
    result
}

/// When to try again after the API server failed.
#[allow(clippy::needless_pass_by_value, reason = "the signature that kube's applier asks for")]
pub fn error_policy(received: Arc<Received>, error: &Error, operator: Arc<Operator>) -> Action {
    let objects = operator.objects.lock().unwrap_or_else(PoisonError::into_inner);
    let failures = objects.get(&reference(&received)).map_or(0, |memory| memory.failures);
    let wait = backoff(Class::Unanswered, failures.saturating_sub(1), fastrand::f64()).unsigned_abs();
    Action::requeue(error.retry_after().map_or(wait, |asked| wait.max(asked)))
}

fn reference(received: &Received) -> Key {
    ObjectRef::new(&received.name_any()).within(&received.namespace().unwrap_or_default())
}

impl Operator {
    async fn pass(&self, object: &AthenaSession, memory: &mut Memory) -> Result<Action, Error> {
        let version: Option<u64> = object.metadata.resource_version.as_deref().and_then(|version| version.parse().ok());
        if memory.written > version {
            // The watch brings what was written; the time is for a watch that lost it.
            return Ok(Action::requeue(Duration::from_secs(10)));
        }
        let before = memory.ttl_under_gitops.replace(events::undoes_ttl(object));
        events::ttl_under_gitops(object, before).into_iter().for_each(|event| self.publish(&object.metadata, event));
        let known = &mut memory.known;
        if let Some(id) = surplus(object, known).map(str::to_owned) {
            warn!(session_id = id, "a session was started for an attempt that is over: it is ended");
            known.session_recorded();
            self.end_orphan(id);
        }
        self.sight(object, known);
        let mut turn = Turn::none();
        let (step, queued) = match self.observe(object, known, &mut turn).await {
            Some(step) if self.is_in_turn(object, known, &step, &mut turn) => (step, false),
            _ => (Step::Wait, true),
        };
        if !queued && !matches!(step, Step::Record(_)) {
            self.limiter.leave(&ObjectRef::from_obj(object));
        }
        debug!(?step, queued, "decided");
        let written = match &step {
            Step::Done => {
                memory.released = memory.known.unrecorded.is_none();
                return Ok(Action::await_change());
            }
            Step::AddFinalizer => {
                let written = self.counted("finalizer", writes::write_finalizer(&self.client, object, true).await)?;
                // Put back on an object with an attempt, it tells nothing of what was recorded before.
                known.finalizer_added = matches!(written, Written::Yes(_)) && attempt(object, known) == Attempt::None;
                written
            }
            Step::Delete => {
                info!("the time after the end is over: the object is deleted");
                self.counted("object", writes::delete(&self.client, object).await)?
            }
            Step::Release => {
                let written = self.counted("finalizer", writes::write_finalizer(&self.client, object, false).await)?;
                if matches!(written, Written::Yes(_)) {
                    let event = events::release(object);
                    info!(reason = event.reason, "{}", event.note);
                    self.publish(&object.metadata, event);
                    memory.released = known.unrecorded.is_none();
                }
                written
            }
            // After a restart the list may have lagged: what it shows to be in doubt may be over by now.
            Step::Start(_) if !is_own_attempt(object, known) && writes::find(&self.client, object).await? != Found::Same => {
                return Ok(Action::requeue(Duration::from_secs(1)));
            }
            _ => {
                let outcome = self.act(object, known, &step, &mut turn).await;
                self.report(object, known, &step, &outcome).await?
            }
        };
        match written {
            Written::Yes(version) => memory.written = version.parse().ok().or(memory.written),
            Written::Conflict => {
                memory.known.unsettle_but(None);
                return Ok(Action::requeue(Duration::from_secs(1)));
            }
            Written::Gone => return Ok(Action::await_change()),
        }
        self.look_out(object, &mut memory.known, &step);
        let known = if queued { &memory.known.in_turn() } else { &memory.known };
        Ok(match step {
            // The watch brings the change.
            Step::Rest | Step::Release | Step::AddFinalizer | Step::Delete => Action::await_change(),
            _ => wake_time(object, known, &self.circumstances()).map_or_else(Action::await_change, |time| Action::requeue(until(time))),
        })
    }

    /// Whether the call of `step`, if it makes one, may be made now. The first call of a reconcile waits for its turn; what has been begun is finished.
    fn is_in_turn(&self, object: &AthenaSession, known: &Known, step: &Step, turn: &mut Turn) -> bool {
        let lane = match step {
            Step::Terminate => Lane::Terminate,
            Step::Look if wants_stopped(object) => Lane::Terminate,
            Step::Look | Step::Search => Lane::Look,
            Step::Record(_) | Step::Start(_) if known.was_refused() => Lane::Retry,
            Step::Record(_) | Step::Start(_) => Lane::Start,
            _ => return true,
        };
        if turn.is_begun() {
            return true;
        }
        let key = ObjectRef::from_obj(object);
        let may = self.limiter.ask(&key, object.metadata.namespace.as_deref().unwrap_or_default(), lane);
        // The turn to record an attempt is kept for its start.
        if may && !matches!(step, Step::Record(_)) {
            self.limiter.take(&key);
            *turn = Turn::had();
        }
        may
    }

    /// Takes in what the sweeps have shown of the object's session. After a restart, they tell of a settled one in place of a look.
    fn sight(&self, object: &AthenaSession, known: &mut Known) {
        let id = match attempt(object, known) {
            Attempt::Live(_, id) if !wants_stopped(object) => id,
            _ => return known.unsettle_but(None),
        };
        known.unsettle_but(Some(id));
        if recorded_session(object, id, known).settled() && known.is_new() && self.watch(object, &recorded_session(object, id, known)) {
            known.settle(id);
        }
    }

    /// Has the sweeps look out for `session`. Returns whether they can.
    fn watch(&self, object: &AthenaSession, session: &Session) -> bool {
        self.observer.watch(&ObjectRef::from_obj(object), &object.spec.work_group, session, |work_group| {
            let (athena, wakes) = (self.athena.clone(), self.wakes.clone());
            let list = move |work_group: String, next| {
                let athena = athena.clone();
                async move { athena.list(&work_group, next).await }
            };
            tokio::spawn(self.observer.clone().sweep(work_group, list, move |key| wakes.wake(&key)));
        })
    }

    /// Has the sweeps look out for the object's session as `step` has left it.
    fn look_out(&self, object: &AthenaSession, known: &mut Known, step: &Step) {
        let live = match attempt(object, known) {
            Attempt::Live(_, id) if !wants_stopped(object) && !matches!(step, Step::Stop(..) | Step::Conclude(_)) => Some(id),
            _ => None,
        };
        let Some(id) = live else { return self.observer.forget(&ObjectRef::from_obj(object)) };
        let newest = match step {
            Step::Mirror(session) => session.clone(),
            _ => recorded_session(object, id, known),
        };
        if newest.ended() || newest.state == "TERMINATING" {
            return self.observer.forget(&ObjectRef::from_obj(object));
        }
        if self.watch(object, &newest) && known.trusts(id) && newest.settled() {
            known.settle(id);
        }
    }

    /// Says in an object that cannot be read why that is, or lets it go.
    async fn report_unreadable(&self, object: &ObjectMeta) -> Result<Action, Error> {
        let Some(raw) = writes::read_raw(&self.client, object).await? else { return Ok(Action::await_change()) };
        // It may have been mended since, of which the watch tells.
        let Some(field) = unreadable_field(&raw) else { return Ok(Action::await_change()) };
        let written = match measure(&raw, &field, Timestamp::now()) {
            Measure::Nothing => return Ok(Action::await_change()),
            Measure::Report { patch, message } => {
                let written = self.counted("status", writes::write_raw(&self.client, object, &patch, true).await)?;
                if matches!(written, Written::Yes(_)) {
                    warn!(reason = crate::unreadable::REASON, "{message}");
                    self.publish(object, events::unreadable(&message));
                }
                written
            }
            Measure::Release(patch) => {
                let written = self.counted("finalizer", writes::write_raw(&self.client, object, &patch, false).await)?;
                info!("the object is let go, and a session that it may have runs on");
                written
            }
        };
        Ok(if matches!(written, Written::Conflict) { Action::requeue(Duration::from_secs(1)) } else { Action::await_change() })
    }

    /// What the sweeps have shown of the object's session since the last time.
    fn sighting(&self, object: &AthenaSession, known: &mut Known) -> Seen {
        let mut seen = Seen::default();
        let Some(id) = object.status.as_ref().and_then(|status| status.session_id.as_deref()) else { return seen };
        match self.observer.sighting(&ObjectRef::from_obj(object), id) {
            Some(Sighting::Missed(time)) => known.missed(time),
            Some(Sighting::Shown(session, asked)) => {
                seen.look = known.sighted(*session, &object.uid().unwrap_or_default(), id, asked, &self.limits);
                seen.look_time = seen.look.is_some().then_some(asked);
            }
            None => {}
        }
        seen
    }

    /// Decides, looking at Athena as long as the decision asks for it. Returns nothing if a look has to wait for its turn.
    async fn observe(&self, object: &AthenaSession, known: &mut Known, turn: &mut Turn) -> Option<Step> {
        let uid = object.uid().unwrap_or_default();
        let mut seen = self.sighting(object, known);
        loop {
            let at = self.circumstances();
            let id = object.status.as_ref().and_then(|status| status.session_id.as_deref());
            let step = next_step(object, known, &seen, &at);
            if matches!(step, Step::Look | Step::Search) && !self.is_in_turn(object, known, &step, turn) {
                return None;
            }
            match (step, id) {
                (Step::Look, Some(id)) => {
                    let status = object.status.as_ref();
                    let full = !known.trusts(id) || status.is_some_and(|status| status.engine_version.is_none());
                    seen.look_time = Some(Timestamp::now());
                    let look = self.athena.look(id, full, turn).await;
                    seen.look = Some(known.looked(look, &uid, id, Timestamp::now(), &at.limits, fastrand::f64()));
                }
                (Step::Search, _) => {
                    let search = self.search(object, known, at.now, turn).await;
                    known.searched(&search, Timestamp::now(), &at.limits, fastrand::f64());
                    seen.search = Some(search);
                }
                (step, _) => return Some(step),
            }
        }
    }

    async fn search(&self, object: &AthenaSession, known: &Known, begun: Timestamp, turn: &mut Turn) -> Search {
        let uid = object.uid().unwrap_or_default();
        match self.athena.search(&object.spec.work_group, |description| marker::attempt_of(description, &uid).is_some(), turn).await {
            Ok(sessions) => found(sessions, object, known, begun),
            // A work group that does not exist has no sessions.
            Err(refusal) if refusal.reason == "WorkGroupNotFound" => Search::Absent { begun },
            Err(refusal) => Search::Failed(refusal),
        }
    }

    /// Makes the call to Athena that a step asks for.
    async fn act(&self, object: &AthenaSession, known: &mut Known, step: &Step, turn: &mut Turn) -> Outcome {
        match step {
            Step::Start(number) => {
                let (_, body) = start_session(object, *number);
                if let Some(refusal) = self.preflight(object, known).await {
                    log_refusal("StartSession", &refusal);
                    known.start_refused(refusal.clone(), false, Timestamp::now(), fastrand::f64());
                    return Outcome::Refused(refusal);
                }
                let doubted = known.starting();
                match self.athena.start_session(body, turn).await {
                    Ok((id, state)) => {
                        known.started(*number, &id, &state, Timestamp::now(), &self.limits);
                        Outcome::Started { id, state }
                    }
                    Err(refusal) => {
                        log_refusal("StartSession", &refusal);
                        known.start_refused(refusal.clone(), doubted, Timestamp::now(), fastrand::f64());
                        Outcome::Refused(refusal)
                    }
                }
            }
            Step::Terminate => {
                let Some(id) = object.status.as_ref().and_then(|status| status.session_id.as_deref()) else {
                    return Outcome::Nothing;
                };
                match self.athena.terminate_session(id, turn).await {
                    Ok(()) => {
                        info!("the session is asked to end");
                        known.terminated(Timestamp::now(), &self.limits, fastrand::f64());
                        Outcome::Nothing
                    }
                    Err(refusal) => {
                        log_refusal("TerminateSession", &refusal);
                        known.terminate_refused(refusal.clone(), Timestamp::now(), fastrand::f64());
                        Outcome::Refused(refusal)
                    }
                }
            }
            _ => Outcome::Nothing,
        }
    }

    /// Why StartSession would be refused, as the work group tells before a call is spent. Whoever may not read work groups finds out by the call; and
    /// an attempt that may have been started already is tried in any case, to learn its session.
    async fn preflight(&self, object: &AthenaSession, known: &Known) -> Option<Refusal> {
        if !nothing_started(object, known) {
            return None;
        }
        match self.athena.work_group(&object.spec.work_group).await {
            Ok(group) => group.refuses(&object.spec),
            Err(refusal) => (refusal.reason == "WorkGroupNotFound").then_some(refusal),
        }
    }

    /// Writes the status if it differs, and tells people.
    async fn report(&self, object: &AthenaSession, known: &mut Known, step: &Step, outcome: &Outcome) -> Result<Written, Error> {
        let status = status_after(object, known, step, outcome, &self.circumstances());
        let before = object.status.as_ref();
        let events = events::event(before, &status, step, outcome).into_iter();
        if before == Some(&status) {
            events.for_each(|event| self.publish(&object.metadata, event));
            return Ok(Written::Yes(String::new()));
        }
        let written = self.counted("status", writes::write_status(&self.client, object, &status).await)?;
        match &written {
            Written::Yes(_) => {
                if let (Step::Record(number), Some(time)) = (step, &status.attempt_time) {
                    known.recorded(*number, time.0);
                }
                known.session_recorded();
                log_change(before, &status);
                events.for_each(|event| self.publish(&object.metadata, event));
            }
            Written::Conflict | Written::Gone => {
                if let Some((_, Session { id, .. })) = known.unrecorded.clone()
                    && (matches!(written, Written::Gone) || writes::find(&self.client, object).await? == Found::Gone)
                {
                    warn!(session_id = id, "the object is gone before its session could be recorded: the session is ended");
                    known.session_recorded();
                    self.end_orphan(id);
                }
            }
        }
        Ok(written)
    }

    fn counted(&self, write: &'static str, result: Result<Written, Error>) -> Result<Written, Error> {
        let label = match &result {
            Ok(Written::Yes(_)) => "ok",
            Ok(Written::Conflict) => "conflict",
            Ok(Written::Gone) => "gone",
            Err(_) => "error",
        };
        self.metrics.written(write, label);
        result
    }

    /// Publishes an event on the side: one that cannot be written, in a namespace that is going away for one, holds nothing up.
    fn publish(&self, object: &ObjectMeta, event: Event) {
        tokio::spawn(publish(self.recorder.clone(), object.clone(), event).in_current_span());
    }
}

/// The session `id` of `object` as its status has it.
fn recorded_session(object: &AthenaSession, id: &str, known: &Known) -> Session {
    let state = object.status.as_ref().and_then(|status| status.state.clone()).unwrap_or_default();
    Session { id: id.to_owned(), state, last_modified_time: known.last_modified_time(), ..Session::default() }
}

fn nothing_started(object: &AthenaSession, known: &Known) -> bool {
    matches!(attempt(object, known), Attempt::Unknown(made) if known.nothing_started(&made))
}

fn is_own_attempt(object: &AthenaSession, known: &Known) -> bool {
    matches!(attempt(object, known), Attempt::Unknown(made) if known.recorded_by_itself(&made))
}

fn log_refusal(operation: &str, refusal: &Refusal) {
    warn!(reason = refusal.reason, request_id = refusal.request_id, "{operation} is refused: {}", refusal.message);
}

fn log_change(before: Option<&AthenaSessionStatus>, after: &AthenaSessionStatus) {
    let told = |status: &AthenaSessionStatus| (status.state.clone(), condition(status, "Ready").map(|ready| ready.reason.clone()));
    let (state, reason) = told(after);
    record_attempt(before, Some(after));
    if before.map(told) != Some((state.clone(), reason.clone())) {
        let message = condition(after, "Ready").map(|ready| ready.message.as_str()).unwrap_or_default();
        info!(state, reason, "{message}");
    }
}

/// Has the lines of this reconcile carry the attempt and its session from here on.
fn record_attempt(before: Option<&AthenaSessionStatus>, after: Option<&AthenaSessionStatus>) {
    let attempt = |status: Option<&AthenaSessionStatus>| status.and_then(|status| status.attempt);
    let session = |status: Option<&AthenaSessionStatus>| status.and_then(|status| status.session_id.clone());
    if let Some(number) = attempt(after).filter(|_| attempt(before) != attempt(after)) {
        Span::current().record("attempt", number);
    }
    if let Some(id) = session(after).filter(|_| session(before) != session(after)) {
        Span::current().record("session_id", id);
    }
}

/// How long until `time`; at least a little, so that a time in the past does not make a loop.
fn until(time: Timestamp) -> Duration {
    Duration::try_from(time.duration_since(Timestamp::now())).unwrap_or_default().max(Duration::from_millis(10))
}
