//! One reconcile: observe, decide, act, report. Everything that decides is in the pure modules; here it is carried out.

use std::sync::Arc;
use std::time::{Duration, Instant};

use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kube::api::ObjectMeta;
use tracing::{Instrument, Span, debug, field, info, info_span, warn};

use crate::api::{AthenaSession, AthenaSessionStatus};
use crate::athena::start_session;
use crate::events;
use crate::key::Key;
use crate::known::{Known, backoff};
use crate::lifecycle::{Attempt, Circumstances, Seen, Step, attempt, awaits_time, ends_without_record, next_step, surplus, wake_time};
use crate::memory::{Adopted, Memory};
use crate::metrics::{Changes, UNTOLD, changes, changes_of_release};
use crate::observation::NextCall;
use crate::operator::Operator;
use crate::refused_write;
use crate::retained::Retained;
use crate::runtime::workqueue::Priority;
use crate::session::{Class, Look, Refusal, Session};
use crate::status::{Outcome, condition, may_wait, status_after};
use crate::unreadable::{Measure, measure, unreadable_field};
use crate::wakes::Received;
use crate::writes::{self, Error, Found, Written};

/// Reconciles one object once: at most one change, and the status if it differs. Returns how long until it is due again, if it is without a change or a
/// trigger. What Athena refuses is reported in the status; what the API server refuses is logged, counted, and tried again with backoff.
pub async fn reconcile(received: Arc<Received>, operator: Arc<Operator>) -> Option<Duration> {
    let begun = Instant::now();
    let key = Key::of(received.as_ref());
    operator.metrics.reconciling();
    let mut memory = operator.remembered(&received);
    memory.quiet = None;
    let status = received.0.as_ref().ok().and_then(|object| object.status.as_ref());
    let span = info_span!(
        "athenasession",
        object = %key,
        uid = memory.uid,
        attempt = field::Empty,
        session_id = field::Empty,
    );
    span.in_scope(|| record_attempt(None, status));
    let result = match &received.0 {
        Ok(object) => operator.pass(object, &mut memory).instrument(span.clone()).await,
        Err(invalid) => {
            // No call is made for it.
            operator.limiter().cancel(&key);
            operator.report_unreadable(&invalid.metadata, &mut memory).instrument(span.clone()).await
        }
    };
    let succeeded = result.is_ok();
    let next = match result {
        Ok(next) => {
            memory.failures = 0;
            next.map(|time| until(time, operator.clock.now()))
        }
        Err(error) => {
            memory.failures = memory.failures.saturating_add(1);
            // What a list showed may not have been written: a look shows it again.
            memory.known.unsettle_but(None);
            // The next try asks for its turn again. Others may have it until then.
            operator.limiter().cancel(&key);
            Some(operator.failed(&received, &error, &mut memory).instrument(span.clone()).await)
        }
    };
    span.in_scope(|| debug!(?next, "reconciled"));
    operator.remember(&received, memory);
    operator.metrics.reconciled(succeeded, begun.elapsed());
    next
}

/// Wait before the next reconcile of an object that the API server says to be gone, and the watch does not yet.
const GONE: SignedDuration = SignedDuration::from_secs(30);

impl Operator {
    async fn pass(&self, object: &AthenaSession, memory: &mut Memory) -> Result<Option<Timestamp>, Error> {
        let version: Option<u64> = object.metadata.resource_version.as_deref().and_then(|version| version.parse().ok());
        if memory.written > version {
            // The watch brings what was written; it may have done so after the object was taken from the store, and before this reconcile began.
            if self.has_newer(object) {
                self.trigger.trigger(&Key::of(object), Priority::High);
            }
            return Ok(None);
        }
        let before = memory.ttl_under_gitops.replace(events::undoes_ttl(object));
        if let Some(event) = events::ttl_under_gitops(object, before) {
            self.publisher.publish(&object.metadata, event);
        }
        let begun = self.clock.now();
        let known = &mut memory.known;
        if let Some(id) = surplus(object, known).map(str::to_owned) {
            warn!(session_id = id, "a session was started for an attempt that is over: it is ended");
            known.session_recorded();
            self.end_orphan(id);
        }
        self.time(known);
        self.sight(object, known);
        let mut call = NextCall::default();
        let mut seen = self.sighting(object, known).await;
        let (step, queued) = match self.observe(object, known, &mut seen, &mut call).await {
            Some(step) if self.is_permitted(object, known, &step, &mut call) => (step, false),
            _ => (Step::Wait, true),
        };
        // The turn to record an attempt is kept for its start.
        if !queued && !matches!(step, Step::Record(_)) {
            self.limiter().cancel(&Key::of(object));
        }
        known.write_wanted(&step);
        let step = if known.awaits_write(&step, version, begun) { Step::Wait } else { step };
        debug!(?step, queued, "decided");
        if awaits_time(object, known, &self.circumstances()) {
            self.await_time(&Key::of(object), call.asks_time.then_some(object.spec.work_group.as_str()));
        }
        let mut reported = None;
        let written = match &step {
            Step::Done => {
                memory.released = memory.known.unrecorded.is_none();
                return Ok(None);
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
            Step::Release => self.release(object, seen.look.as_ref(), memory).await?,
            // After a restart the list may have lagged: what it shows to be in doubt may be over by now.
            Step::Start(_) if !is_own_attempt(object, known) && writes::find(&self.client, &object.metadata).await? != Found::Same => {
                return Ok(Some(self.outdated(&mut memory.outdated)));
            }
            _ => {
                let Some(outcome) = self.act(object, known, &step, call).await? else { return Ok(Some(self.outdated(&mut memory.outdated))) };
                if let Step::Adopt(_, Session { id, .. }) = &step
                    && memory.adopted.as_ref().is_none_or(|adopted| adopted.id != *id)
                {
                    memory.adopted = Some(Box::new(Adopted { id: id.clone(), ends: false }));
                }
                let (written, status) = self.report(object, known, &step, &outcome).await?;
                reported = Some(status);
                written
            }
        };
        match &written {
            Written::Yes(version) => {
                memory.written = version.parse().ok().or(memory.written);
                memory.outdated = 0;
                memory.known.write_accepted(refused_write::name(&step));
            }
            Written::Conflict => {
                memory.known.unsettle_but(None);
                return Ok(Some(self.outdated(&mut memory.outdated)));
            }
            // The watch tells it, which ends the wait.
            Written::Gone => return Ok(Some(self.clock.now() + GONE)),
        }
        // What waits for a look is not left to the sweeps again, which have missed it.
        if !queued {
            self.look_out(object, &mut memory.known, &step);
        }
        if let Written::Yes(version) = written
            && !version.is_empty()
        {
            let Some(status) = reported else { return Ok(None) };
            // The object as the watch will bring it, before it does.
            let metadata = ObjectMeta { resource_version: Some(version), ..object.metadata.clone() };
            let left = AthenaSession { metadata, spec: object.spec.clone(), status: Some(status) };
            if let Some(step) = self.rest(&left, &mut memory.known) {
                memory.quiet = memory.written;
                return Ok(self.due_time(&left, &memory.known, &step, begun));
            }
            // The watch brings what was written, and what is due then is done.
            return Ok(None);
        }
        Ok(self.due_time(object, &memory.known, &step, begun))
    }

    /// What another pass would decide, where it would do nothing now.
    fn rest(&self, object: &AthenaSession, known: &mut Known) -> Option<Step> {
        self.sight(object, known);
        let at = self.circumstances();
        let step = next_step(object, known, &Seen::default(), &at);
        let rests = matches!(step, Step::Rest | Step::Wait)
            && surplus(object, known).is_none()
            && object.status.as_ref() == Some(&status_after(object, known, &step, &Outcome::Nothing, &at));
        if rests {
            self.look_out(object, known, &step);
        }
        rests.then_some(step)
    }

    /// Returns when an object is due again after `step`, if it is without a change or a trigger. What has become due since the reconcile began, at `begun`, is
    /// due at once, since no decision has seen it; what was due before that was done, or waits for its turn.
    fn due_time(&self, object: &AthenaSession, known: &Known, step: &Step, begun: Timestamp) -> Option<Timestamp> {
        match step {
            // The watch brings the change.
            Step::Rest | Step::Release | Step::AddFinalizer | Step::Delete => None,
            _ => {
                let at = self.circumstances();
                // The clock may have been put back meanwhile.
                wake_time(object, known, &Circumstances { now: begun.min(at.now), ..at })
            }
        }
    }

    /// Returns when to try again what the API server knows better, `times` in a row and now again: its watch tells, unless the difference was passing.
    fn outdated(&self, times: &mut u32) -> Timestamp {
        let wait = backoff(Class::Unanswered, *times, fastrand::f64());
        *times = times.saturating_add(1);
        self.clock.now() + wait
    }

    /// Says in an object that cannot be read why that is, or lets it go.
    async fn report_unreadable(&self, object: &ObjectMeta, memory: &mut Memory) -> Result<Option<Timestamp>, Error> {
        let Some(raw) = writes::read_raw(&self.client, object).await? else { return Ok(None) };
        // It may have been mended since, of which the watch tells.
        let Some(field) = unreadable_field(&raw) else { return Ok(None) };
        let measure = measure(&raw, &field, self.clock.now());
        let retained = Retained::of_unreadable(&raw);
        // It may be large, and the writes take their time.
        drop(raw);
        let written = match measure {
            Measure::Nothing => return Ok(None),
            Measure::Report { patch, message } => {
                let written = self.counted("status", writes::write_raw(&self.client, object, &patch, true).await)?;
                if matches!(written, Written::Yes(_)) {
                    warn!(reason = crate::unreadable::REASON, "{message}");
                    self.publisher.publish(object, events::unreadable(&message));
                }
                written
            }
            Measure::Release(patch) => {
                self.announce(object, &retained, &mut memory.retention_told).await;
                let written = self.counted("finalizer", writes::write_raw(&self.client, object, &patch, false).await)?;
                if matches!(written, Written::Yes(_)) {
                    self.retain(object, &retained);
                }
                written
            }
        };
        Ok(matches!(written, Written::Conflict).then(|| self.outdated(&mut memory.outdated)))
    }

    /// Makes the call to Athena that a step asks for. Returns nothing if the object is not there any more as it was.
    async fn act(&self, object: &AthenaSession, known: &mut Known, step: &Step, call: NextCall) -> Result<Option<Outcome>, Error> {
        let outcome = match step {
            Step::Start(number) => {
                let Some(permit) = call.permit else { return Ok(Some(Outcome::Nothing)) };
                let Some(whole) = self.whole(object).await? else { return Ok(None) };
                let (_, body) = start_session(&whole, *number);
                drop(whole);
                let doubted = known.starting();
                match self.athena.start_session(&object.spec.work_group, body, permit).await {
                    Ok((id, state)) => {
                        let now = self.time(known);
                        known.started(*number, &id, &state, now, &self.limits);
                        Outcome::Started { id, state }
                    }
                    Err(refusal) => {
                        let refusal = self.redact_refusal(object, refusal).await;
                        log_refusal("StartSession", &refusal);
                        let now = self.time(known);
                        known.start_refused(refusal.clone(), doubted, now, fastrand::f64());
                        Outcome::Refused(refusal)
                    }
                }
            }
            Step::Terminate => {
                let Some(id) = object.status.as_ref().and_then(|status| status.session_id.as_deref()) else {
                    return Ok(Some(Outcome::Nothing));
                };
                let Some(permit) = call.permit else { return Ok(Some(Outcome::Nothing)) };
                if let Some(cause) = ends_without_record(object, known, &self.circumstances()) {
                    warn!(
                        reason = refused_write::REASON,
                        cause = cause.as_str(),
                        "the session is ended though the status cannot say why: the API server refuses that"
                    );
                }
                match self.athena.terminate_session(id, permit).await {
                    Ok(()) => {
                        info!("the session is asked to end");
                        let now = self.time(known);
                        known.terminated(now, &self.limits, fastrand::f64());
                        Outcome::Nothing
                    }
                    Err(refusal) => {
                        let refusal = self.redact_refusal(object, refusal).await;
                        log_refusal("TerminateSession", &refusal);
                        let now = self.time(known);
                        known.terminate_refused(refusal.clone(), now, fastrand::f64());
                        Outcome::Refused(refusal)
                    }
                }
            }
            Step::Hold(refusal) | Step::Reject(_, refusal) => {
                log_refusal("GetWorkGroup", refusal);
                Outcome::Refused(refusal.clone())
            }
            _ => Outcome::Nothing,
        };
        Ok(Some(outcome))
    }

    /// Writes the status if it differs, and tells people. Returns the status too.
    pub(crate) async fn report(
        &self,
        object: &AthenaSession,
        known: &mut Known,
        step: &Step,
        outcome: &Outcome,
    ) -> Result<(Written, AthenaSessionStatus), Error> {
        let at = self.circumstances();
        let status = status_after(object, known, step, outcome, &at);
        let before = object.status.as_ref();
        let missing = || known.missing_answer_to_tell(&at).map(|refusal| events::unanswered(refusal, status.attempt));
        let event = events::event(before, &status, step, outcome, known).or_else(missing);
        let tell = |known: &mut Known| {
            known.missing_answer_told(&at);
            if let Some(event) = event {
                self.publisher.publish(&object.metadata, event);
            }
        };
        if before == Some(&status) {
            known.status_accepted(None);
            if matches!(step, Step::Mirror(_)) {
                known.work_is_as_written();
            }
            tell(known);
            return Ok((Written::Yes(String::new()), status));
        }
        if may_wait(before, &status, known, &at) {
            if let Step::Mirror(session) = step {
                known.hold_work(session.clone());
            }
            return Ok((Written::Yes(String::new()), status));
        }
        let written = self.counted("status", writes::write_status(&self.client, object, &status).await)?;
        match &written {
            Written::Yes(version) => {
                known.status_accepted(version.parse().ok());
                if let (Step::Record(number), Some(time)) = (step, &status.attempt_time) {
                    known.recorded(*number, time.0, matches!(attempt(object, known), Attempt::Withdrawn(_)));
                }
                known.session_recorded();
                known.status_written(at.now);
                let ahead = at.api_server_ahead.unwrap_or_default();
                self.count(object, &changes(object, &status, ahead));
                log_change(before, &status);
                tell(known);
            }
            Written::Conflict | Written::Gone => {
                if let Some((_, Session { id, .. })) = known.unrecorded.as_deref().cloned()
                    && (matches!(written, Written::Gone) || writes::find(&self.client, &object.metadata).await? == Found::Gone)
                {
                    warn!(session_id = id, "the object is gone before its session could be recorded: the session is ended");
                    known.session_recorded();
                    self.end_orphan(id);
                }
            }
        }
        Ok((written, status))
    }

    /// Removes the finalizer of `object` after `look`, and tells people whether its session runs on.
    async fn release(&self, object: &AthenaSession, look: Option<&Look>, memory: &mut Memory) -> Result<Written, Error> {
        let retained = Retained::of(object, &memory.known);
        if let Some(retained) = &retained {
            self.announce(&object.metadata, retained, &mut memory.retention_told).await;
        }
        let written = self.counted("finalizer", writes::write_finalizer(&self.client, object, false).await)?;
        if matches!(written, Written::Yes(_)) {
            if let Some(retained) = retained {
                self.retain(&object.metadata, &retained);
            } else {
                let event = events::release(object);
                info!(reason = &*event.reason, "{}", event.note);
                self.publisher.publish(&object.metadata, event);
            }
            self.count(object, &changes_of_release(object, &memory.known, look));
            memory.released = memory.known.unrecorded.is_none();
        }
        Ok(written)
    }

    /// Tells people that a session will run on without its object: once, whatever is remembered, and before the object goes, since no event can be about one
    /// that is gone from a namespace that goes too. In such a namespace it is refused, and the object is let go all the same.
    async fn announce(&self, object: &ObjectMeta, retained: &Retained, told: &mut bool) {
        if !std::mem::replace(told, true) {
            self.publisher.publish_first(object, events::retained(retained)).await;
        }
    }

    /// Counts and logs a session that runs on without its object, which is the last trace of it in the cluster.
    fn retain(&self, object: &ObjectMeta, retained: &Retained) {
        let Retained { session_id, work_group, region } = retained;
        let event = events::retained(retained);
        warn!(reason = &*event.reason, session_id, work_group, region, "{}", event.note);
        self.metrics.retained(object.namespace.as_deref().unwrap_or_default(), work_group.as_deref().unwrap_or(UNTOLD));
    }

    fn count(&self, object: &AthenaSession, changes: &Changes) {
        self.metrics.changed(changes, object.metadata.namespace.as_deref().unwrap_or_default(), &object.spec.work_group);
    }

    fn counted(&self, write: &'static str, result: Result<Written, Error>) -> Result<Written, Error> {
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

/// Returns how long it is from `now` until `time`, which may have come meanwhile.
fn until(time: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(time.duration_since(now)).unwrap_or_default()
}
