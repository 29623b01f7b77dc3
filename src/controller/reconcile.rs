//! One reconcile: observe, decide, act, report. The pure modules decide; this one carries the decisions out.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kube::api::ObjectMeta;
use tracing::{Instrument, Span, debug, info, info_span, warn};

use crate::api::{AthenaSession, AthenaSessionStatus, SessionState, StopCause};
use crate::controller::context::Operator;
use crate::controller::metrics::{Changes, UNKNOWN_LABEL, changes, changes_of_release};
use crate::controller::observation::NextCall;
use crate::controller::state_store::ObjectState;
use crate::controller::trigger::Received;
use crate::controller::writes::{self, Result};
use crate::runtime::key::Key;
use crate::runtime::workqueue::Priority;
use crate::session::backoff::backoff;
use crate::session::events;
use crate::session::invalid_object::{Action, plan, unreadable_field};
use crate::session::local_state::Call;
use crate::session::pass::{Answer, End, Leak, Pass, Request, Write, Written, due_time, resting_step};
use crate::session::refused_write;
use crate::session::reply::{ErrorClass, Refusal};
use crate::session::retained::Retained;
use crate::session::status::condition;
use crate::session::step::Step;

/// Reconciles one object once: at most one change, and the status if it differs. Returns the time until the object is due again, if it is without a
/// change or a trigger. Athena's refusals are reported in the status; the API server's refusals are logged, counted, and tried again with backoff.
pub async fn reconcile(received: Arc<Received>, operator: Arc<Operator>) -> Option<Duration> {
    let begun = Instant::now();
    let key = Key::of(received.as_ref());
    operator.metrics.reconciles.begun();
    let mut object_state = operator.take_state(&received);
    object_state.settled_version = None;
    let status = received.0.as_ref().ok().and_then(|object| object.status.as_ref());
    let span = info_span!(
        "athenasession",
        object = %key,
        uid = object_state.uid,
        attempt = status.and_then(|status| status.attempt),
        session_id = status.and_then(|status| status.session_id.as_deref()),
    );
    let result = match &received.0 {
        Ok(object) => operator.pass(object, &mut object_state).instrument(span.clone()).await,
        Err(metadata) => {
            // An object that cannot be read makes no call.
            operator.limiter().cancel(&key);
            operator.report_unreadable(metadata, &mut object_state).instrument(span.clone()).await
        }
    };
    let succeeded = result.is_ok();
    let next = match result {
        Ok(next) => {
            object_state.failures = 0;
            // The time may have passed meanwhile.
            next.map(|time| Duration::try_from(time.duration_since(operator.clock.now())).unwrap_or_default())
        }
        Err(error) => {
            object_state.failures = object_state.failures.saturating_add(1);
            // The next try asks for its turn again. Other objects may have it until then.
            operator.limiter().cancel(&key);
            Some(operator.failed(&received, &error, &mut object_state).instrument(span.clone()).await)
        }
    };
    span.in_scope(|| debug!(?next, "reconciled"));
    operator.put_state(&received, object_state);
    let took = begun.elapsed();
    operator.metrics.reconciles.ended(succeeded, took);
    operator.metrics.workqueue.worked(succeeded, took);
    next
}

/// Wait before the next reconcile of an object that the API server reports as gone, and the watch does not yet.
const RECHECK_GONE_AFTER: SignedDuration = SignedDuration::from_secs(30);

impl Operator {
    /// Carries out a pass over `object`. Returns the time at which the object is due again, if it is without a change or a trigger.
    async fn pass(
        &self,
        object: &AthenaSession,
        object_state: &mut ObjectState,
    ) -> Result<Option<Timestamp>> {
        let version: Option<u64> =
            object.metadata.resource_version.as_deref().and_then(|version| version.parse().ok());
        if object_state.written > version {
            // The watch brings the written version; it may have done so after the object was taken from the store, and before this reconcile began.
            if self.has_newer(object) {
                self.trigger.trigger(&Key::of(object), Priority::High);
            }
            return Ok(None);
        }
        let before = object_state.ttl_under_gitops.replace(events::undone_by(object).is_some());
        if let Some(event) = events::ttl_under_gitops(object, before) {
            self.event_recorder.publish(&object.metadata, event);
        }
        self.time(&mut object_state.local_state);
        self.sync_sweep_coverage(object, &mut object_state.local_state);
        let seen = self.take_sweep_event(object, &mut object_state.local_state).await;
        let env = self.env();
        let begun = env.now;
        let mut pass = Pass::new(
            self.decisions,
            object,
            version,
            std::mem::take(&mut object_state.local_state),
            seen,
            &env,
        );
        let end = self.perform_all(&mut pass, object_state).await;
        let step = pass.step.clone();
        // A session that waits for a look is not left to the sweeps again, which have missed it.
        if matches!(end, Ok(End::Rest | End::Written(_))) && !pass.queued {
            self.track_session(object, &mut pass.state, &step);
        }
        let due = pass.due_time(&self.env());
        let (state, report) = pass.finish();
        object_state.local_state = state;
        if let Some(event) = report.event.filter(|_| end.is_ok()) {
            self.event_recorder.publish(&object.metadata, event);
        }
        match end? {
            End::Done => {
                object_state.released = object_state.local_state.unrecorded.is_none();
                Ok(None)
            }
            End::Rest => {
                object_state.outdated = 0;
                Ok(due)
            }
            End::Written(version) => {
                object_state.written = version.or(object_state.written);
                object_state.outdated = 0;
                let (Some(version), Some(status)) = (version, report.status) else { return Ok(None) };
                // The object as the watch will bring it, before it does.
                let metadata =
                    ObjectMeta { resource_version: Some(version.to_string()), ..object.metadata.clone() };
                let left = AthenaSession { metadata, spec: object.spec.clone(), status: Some(*status) };
                // Otherwise the watch brings the written version, and its reconcile does what is due.
                self.sync_sweep_coverage(&left, &mut object_state.local_state);
                let Some(step) = resting_step(self.decisions, &left, &object_state.local_state, &self.env())
                else {
                    return Ok(None);
                };
                self.track_session(&left, &mut object_state.local_state, &step);
                object_state.settled_version = object_state.written;
                Ok(due_time(self.decisions, &left, &object_state.local_state, &step, begun, &self.env()))
            }
            // The watch brings the present version of the object.
            End::Outdated | End::Refused(_) => Ok(Some(self.outdated(&mut object_state.outdated))),
            // The watch brings the deletion, which ends the wait.
            End::Gone => Ok(Some(self.clock.now() + RECHECK_GONE_AFTER)),
        }
    }

    /// Performs the requests of `pass` until it ends.
    ///
    /// # Errors
    /// When the API server refuses a request, or does not answer it.
    pub(crate) async fn perform_all(
        &self,
        pass: &mut Pass<'_>,
        object_state: &mut ObjectState,
    ) -> Result<End> {
        let key = Key::of(pass.object);
        let mut call = NextCall::default();
        loop {
            let next = pass.next(&self.env());
            debug!(step = ?pass.step, queued = pass.queued, "decided");
            let is_question = matches!(&next, ControlFlow::Continue(request) if request.is_question());
            // The turn to record an attempt is kept for its start.
            if !is_question && !pass.queued && !matches!(pass.step, Step::Record(_)) {
                self.limiter().cancel(&key);
            }
            let request = match next {
                ControlFlow::Continue(request) => request,
                ControlFlow::Break(end) => return Ok(end),
            };
            if !pass.queued && !matches!(request, Request::Search(_) | Request::EndLeaked { .. }) {
                self.searches.cancel(&key);
            }
            match self.perform(pass, request, object_state, &mut call).await {
                Ok(answer) => pass.answered(answer, &self.env()),
                Err(error) => {
                    pass.abandon();
                    return Err(error);
                }
            }
        }
    }

    async fn perform(
        &self,
        pass: &mut Pass<'_>,
        request: Request,
        object_state: &mut ObjectState,
        call: &mut NextCall,
    ) -> Result<Answer> {
        let object = pass.object;
        let answer = match request {
            Request::EndLeaked { id, leak } => {
                log_leak(&id, leak);
                self.end_leaked_session(id);
                Some(Answer::Done)
            }
            Request::AskTime => match self.athena_time.refusal() {
                Some(refusal) => Some(Answer::Refused(self.redact_refusal(object, refusal).await)),
                None => None,
            },
            Request::Look { id, full } => self.look(pass, &id, full, call).await,
            Request::Search(from) => Box::pin(self.search(pass, from, call)).await,
            Request::ReadWorkGroup => self.read_work_group(pass, call).await,
            Request::Turn(step) => self.is_permitted(pass, &step, call).then_some(Answer::Done),
            Request::AwaitTime { ask } => {
                self.athena_time.wait(&Key::of(object), ask.then_some(object.spec.work_group.as_str()));
                Some(Answer::Done)
            }
            Request::ReadAgain => Some(Answer::Found(writes::find(&self.client, &object.metadata).await?)),
            Request::Start(number) => Some(self.start(object, number, call).await?),
            Request::Terminate { id, unrecorded_cause } => {
                Some(self.terminate(object, &id, unrecorded_cause, call).await)
            }
            Request::Write(write) => Some(Answer::Written(self.write(pass, &write, object_state).await?)),
        };
        Ok(answer.unwrap_or(Answer::Wait))
    }

    /// Calls StartSession for attempt `number`, unless the object no longer exists.
    async fn start(&self, object: &AthenaSession, number: i32, call: &mut NextCall) -> Result<Answer> {
        let Some(whole) = self.whole(object).await? else { return Ok(Answer::Outdated) };
        let (_, body) = self.decisions.start_session(&whole, number);
        drop(whole);
        let Some(permit) = call.take() else { return Ok(Answer::Outdated) };
        Ok(match self.athena.start_session(&object.spec.work_group, body, permit).await {
            Ok((id, state)) => Answer::Started(id, state),
            Err(refusal) => self.refused(object, Call::Start, refusal).await,
        })
    }

    /// Calls TerminateSession for the session `id`.
    async fn terminate(
        &self,
        object: &AthenaSession,
        id: &str,
        unrecorded_cause: Option<StopCause>,
        call: &mut NextCall,
    ) -> Answer {
        // The pass gets a permit before.
        let Some(permit) = call.take() else {
            return Answer::Refused(Refusal::unanswered("there was no turn for the call"));
        };
        if let Some(cause) = unrecorded_cause {
            warn!(
                reason = refused_write::REASON,
                cause = cause.as_str(),
                "the session is ended though the status cannot say why: the API server refuses that"
            );
        }
        match self.athena.terminate_session(id, permit).await {
            Ok(()) => {
                info!("the session is asked to end");
                Answer::Done
            }
            Err(refusal) => self.refused(object, Call::Terminate, refusal).await,
        }
    }

    async fn refused(&self, object: &AthenaSession, call: Call, refusal: Refusal) -> Answer {
        let refusal = self.redact_refusal(object, refusal).await;
        log_refusal(call, &refusal);
        Answer::Refused(refusal)
    }

    /// Writes to the API server, and logs and counts the changes.
    async fn write(&self, pass: &Pass<'_>, write: &Write, object_state: &mut ObjectState) -> Result<Written> {
        let object = pass.object;
        match write {
            Write::AddFinalizer => {
                self.counted("finalizer", writes::write_finalizer(&self.client, object, true).await)
            }
            Write::RemoveFinalizer => self.release(pass, object_state).await,
            Write::Delete => {
                info!("ttlSecondsAfterFinished has passed: the object is deleted");
                self.counted("object", writes::delete(&self.client, object).await)
            }
            Write::Status { status, .. } => {
                if let Step::Hold(refusal) | Step::Reject(_, refusal) = &pass.step {
                    log_refusal(Call::WorkGroup, refusal);
                }
                let written =
                    self.counted("status", writes::write_status(&self.client, object, status).await)?;
                if matches!(written, Written::Yes(_)) {
                    let ahead = self.env().api_server_ahead.unwrap_or_default();
                    self.count(object, &changes(object, status, ahead));
                    log_change(object.status.as_ref(), status);
                }
                Ok(written)
            }
        }
    }

    /// Returns the time of the next try after the API server had another version of the object, `times` in a row and now again: the watch brings that
    /// version, unless the difference was passing.
    fn outdated(&self, times: &mut u32) -> Timestamp {
        let wait = backoff(ErrorClass::Unanswered, *times, fastrand::f64());
        *times = times.saturating_add(1);
        self.clock.now() + wait
    }

    /// Reports the reason in the status of an object that cannot be read, or releases the object.
    async fn report_unreadable(
        &self,
        object: &ObjectMeta,
        object_state: &mut ObjectState,
    ) -> Result<Option<Timestamp>> {
        let Some(raw) = writes::read_raw(&self.client, object).await? else { return Ok(None) };
        // The object may have been fixed since: the watch brings that.
        let Some(field) = unreadable_field(&raw) else { return Ok(None) };
        let action = plan(&raw, &field, self.clock.now());
        let retained = Retained::of_unreadable(&raw);
        // The object may be large, and the writes take their time.
        drop(raw);
        let written = match action {
            Action::Nothing => return Ok(None),
            Action::Report { patch, message } => {
                let written =
                    self.counted("status", writes::write_raw(&self.client, object, &patch, true).await)?;
                if matches!(written, Written::Yes(_)) {
                    warn!(reason = crate::session::invalid_object::REASON, "{message}");
                    self.event_recorder.publish(object, events::unreadable(&message));
                }
                written
            }
            Action::Release(patch) => {
                self.announce(object, &retained, &mut object_state.retention_published).await;
                let written =
                    self.counted("finalizer", writes::write_raw(&self.client, object, &patch, false).await)?;
                if matches!(written, Written::Yes(_)) {
                    self.retain(object, &retained);
                }
                written
            }
        };
        Ok(matches!(written, Written::Conflict).then(|| self.outdated(&mut object_state.outdated)))
    }

    /// Removes the finalizer of the object, and reports whether its session runs on.
    async fn release(&self, pass: &Pass<'_>, object_state: &mut ObjectState) -> Result<Written> {
        let object = pass.object;
        let retained = Retained::of(object, &pass.state);
        if let Some(retained) = &retained {
            self.announce(&object.metadata, retained, &mut object_state.retention_published).await;
        }
        let written =
            self.counted("finalizer", writes::write_finalizer(&self.client, object, false).await)?;
        if matches!(written, Written::Yes(_)) {
            if let Some(retained) = retained {
                self.retain(&object.metadata, &retained);
            } else {
                let event = events::release(object);
                info!(reason = &*event.reason, "{}", event.note);
                self.event_recorder.publish(&object.metadata, event);
            }
            self.count(object, &changes_of_release(object, &pass.state, pass.seen.look.as_ref()));
            object_state.released = pass.state.unrecorded.is_none();
        }
        Ok(written)
    }

    /// Publishes the event that a session will run on without its object: once, whatever this process remembers, and before the object is gone, since
    /// no event can be about an object that is gone from a namespace that is going too. In such a namespace the event is refused, and the object is
    /// released all the same.
    async fn announce(&self, object: &ObjectMeta, retained: &Retained, told: &mut bool) {
        if !std::mem::replace(told, true) {
            self.event_recorder.publish_first(object, events::retained(retained)).await;
        }
    }

    /// Counts and logs a session that runs on without its object: the log line is the last trace of it in the cluster.
    fn retain(&self, object: &ObjectMeta, retained: &Retained) {
        let Retained { session_id, work_group, region, .. } = retained;
        let event = events::retained(retained);
        warn!(reason = &*event.reason, session_id, work_group, region, "{}", event.note);
        self.metrics.retained(
            object.namespace.as_deref().unwrap_or_default(),
            work_group.as_deref().unwrap_or(UNKNOWN_LABEL),
        );
    }

    fn count(&self, object: &AthenaSession, changes: &Changes) {
        self.metrics.changed(
            changes,
            object.metadata.namespace.as_deref().unwrap_or_default(),
            &object.spec.work_group,
        );
    }

    fn counted(&self, write: &'static str, result: Result<Written>) -> Result<Written> {
        let label = match &result {
            Ok(Written::Yes(_)) => "ok",
            Ok(Written::Conflict) => "conflict",
            Ok(Written::Gone) => "gone",
            Err(error) if error.refused_write(true).is_some() => "refused",
            Err(_) => "error",
        };
        self.metrics.written(write, label);
        result
    }
}

fn log_leak(session_id: &str, leak: Leak) {
    let text = match leak {
        Leak::AttemptOver => "a session was started for an attempt that is over: it is ended",
        Leak::ObjectGone => "the object is gone before its session could be recorded: the session is ended",
        Leak::StatusRefused => {
            "the session is ended though the status cannot name it: the API server refuses that"
        }
    };
    let reason = (leak == Leak::StatusRefused).then_some(refused_write::REASON);
    warn!(reason, session_id, "{text}");
}

fn log_refusal(call: Call, refusal: &Refusal) {
    warn!(reason = refusal.reason, request_id = refusal.request_id, "{}", call.message(refusal));
}

/// Logs the change of a status, and adds a new attempt and its session to the log lines of this reconcile from here on.
fn log_change(before: Option<&AthenaSessionStatus>, after: &AthenaSessionStatus) {
    if let Some(number) = after.attempt.filter(|_| before.and_then(|before| before.attempt) != after.attempt)
    {
        Span::current().record("attempt", number);
    }
    let id = after.session_id.as_deref();
    if let Some(id) = id.filter(|_| before.and_then(|before| before.session_id.as_deref()) != id) {
        Span::current().record("session_id", id);
    }
    let ready = condition(after, "Ready");
    let (state, reason) = (after.state.as_ref(), ready.map(|ready| &ready.reason));
    let is_same = |before: &AthenaSessionStatus| {
        let ready = condition(before, "Ready");
        (before.state.as_ref(), ready.map(|ready| &ready.reason)) == (state, reason)
    };
    if !before.is_some_and(is_same) {
        let message = ready.map(|ready| ready.message.as_str()).unwrap_or_default();
        info!(state = state.map(SessionState::as_str), reason, "{message}");
    }
}
