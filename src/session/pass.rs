//! One reconcile of an AthenaSession, as a state machine without I/O.
//!
//! A [`Pass`] returns one [`Request`] at a time for what it needs from outside, and takes in each [`Answer`], until it reaches an [`End`]. The
//! controller performs the requests with real clients, the rate limiter and the lease; the model check, the random histories and the fuzz target
//! answer them from data. So the proofs run the same code as the operator.

mod messages;

use std::fmt::Debug;
use std::ops::ControlFlow;

use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;

pub use self::messages::{Answer, End, Found, Leak, Report, Request, Write, Written};
use crate::api::{AthenaSession, AthenaSessionStatus};
use crate::session::attempt::Attempt;
use crate::session::environment::Environment;
use crate::session::events;
use crate::session::lifecycle::{
    awaits_time, must_end_unrecorded_session, next_step, search_time, unrecorded_cause, wake_time,
    wants_stopped,
};
use crate::session::local_state::LocalState;
use crate::session::ownership::{attempt, leaked_session, match_marked_sessions};
use crate::session::refused_write;
use crate::session::reply::{Look, Search};
use crate::session::request::start_session;
use crate::session::status::{Outcome, may_wait, status_after};
use crate::session::step::{Seen, Step};

/// Decisions of a pass. The defaults are the operator's; a test replaces them with broken ones, which it must detect.
pub trait Decisions: Debug + Send + Sync {
    /// Returns the next step: see [`next_step`].
    fn next_step(&self, object: &AthenaSession, state: &LocalState, seen: &Seen, env: &Environment) -> Step {
        next_step(object, state, seen, env)
    }

    /// Returns the status after a step: see [`status_after`].
    fn status_after(
        &self,
        object: &AthenaSession,
        state: &LocalState,
        step: &Step,
        outcome: &Outcome,
        env: &Environment,
    ) -> AthenaSessionStatus {
        status_after(object, state, step, outcome, env)
    }

    /// Returns whether the write of `step` was refused at this version of the object and waits for its next try.
    fn awaits_write(&self, state: &LocalState, step: &Step, version: Option<u64>, now: Timestamp) -> bool {
        state.awaits_write(step, version, now)
    }

    /// Returns the time at which the object is due without a change or a trigger: see [`wake_time`].
    fn wake_time(&self, object: &AthenaSession, state: &LocalState, env: &Environment) -> Option<Timestamp> {
        wake_time(object, state, env)
    }

    /// Returns the token and the body of StartSession for attempt `number`: see [`start_session`].
    fn start_session(&self, object: &AthenaSession, number: i32) -> (String, Vec<u8>) {
        start_session(object, number)
    }

    /// Returns the answer of which the pass takes note: `answer` itself, unless a test replaces it.
    fn take_in(&self, answer: Answer) -> Answer {
        answer
    }
}

/// The operator's own decisions.
#[derive(Clone, Copy, Debug, Default)]
pub struct OperatorDecisions;

impl Decisions for OperatorDecisions {}

#[derive(Clone, Debug)]
enum Stage {
    Begin,
    Decide,
    /// This request waits for its answer.
    Asked(Request),
    /// The step has its permit, if it calls Athena.
    Act,
    /// The step is to be carried out.
    CarryOut,
    /// The status is to report the outcome of the step.
    Report,
    End(End),
}

/// One reconcile of an object.
#[derive(Clone, Debug)]
#[allow(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub struct Pass<'a> {
    /// The object.
    pub object: &'a AthenaSession,
    decisions: &'a dyn Decisions,
    version: Option<u64>,
    begun: Timestamp,
    /// The current local state of the object, which the code that performs the requests may change.
    pub state: LocalState,
    /// The results of the looks, of the search and of reading the work group.
    pub seen: Seen,
    stage: Stage,
    /// The step that was decided on last.
    pub step: Step,
    /// The outcome of that step's call.
    pub outcome: Outcome,
    /// True if a list showed the session before the pass began.
    is_sighted: bool,
    /// True if the object waits for a permit to call Athena.
    pub queued: bool,
    /// True once the pass has requested Athena's time.
    asks_time: bool,
    /// True if the API server has the object as it was read.
    is_confirmed: bool,
    /// True if a write found another version of the object.
    is_conflict: bool,
    /// True if StartSession's outcome was in doubt before the current call.
    doubted: bool,
    /// True if the pass reports a refused write, and ends with the report.
    is_after_refusal: bool,
    /// End of the pass once a leaked session is being ended; without one the pass continues.
    after_leak: Option<End>,
    report: Report,
}

impl<'a> Pass<'a> {
    /// Begins a pass over `object` at this `version`, with the local state of the object, and with the results of sweeps since the last pass.
    pub fn new(
        decisions: &'a dyn Decisions,
        object: &'a AthenaSession,
        version: Option<u64>,
        state: LocalState,
        seen: Seen,
        env: &Environment,
    ) -> Self {
        Self {
            object,
            decisions,
            version,
            begun: env.now,
            state,
            is_sighted: seen.look.is_some(),
            seen,
            stage: Stage::Begin,
            step: Step::Wait,
            outcome: Outcome::Nothing,
            queued: false,
            asks_time: false,
            is_confirmed: false,
            is_conflict: false,
            doubted: false,
            is_after_refusal: false,
            after_leak: None,
            report: Report::default(),
        }
    }

    /// Continues a pass whose last request was `write`: for a proof in which another event happens before the answer.
    pub fn awaiting(
        decisions: &'a dyn Decisions,
        object: &'a AthenaSession,
        write: Write,
        state: LocalState,
        env: &Environment,
    ) -> Self {
        Self {
            stage: Stage::Asked(Request::Write(write)),
            ..Self::new(decisions, object, None, state, Seen::default(), env)
        }
    }

    /// Begins a pass that reports a write that the API server has refused: in the status, unless the status is refused. `said` is the server's text,
    /// without secrets. The second value is true if the text is new.
    pub fn after_refused_write(
        decisions: &'a dyn Decisions,
        object: &'a AthenaSession,
        version: Option<u64>,
        mut state: LocalState,
        (what, said): (&'static str, &str),
        env: &Environment,
    ) -> (Self, bool) {
        state.set_clock(env.clock_origin);
        let is_new_refusal = state.write_refused(what, said, version, env);
        let mut pass = Self::new(decisions, object, version, state, Seen::default(), env);
        pass.is_after_refusal = true;
        pass.stage = if what != refused_write::STATUS {
            Stage::Report
        } else if let Some(id) =
            pass.state.adopted_to_end(must_end_unrecorded_session(object, &pass.state, env))
        {
            pass.after_leak = Some(End::Refused(None));
            Stage::Asked(Request::EndLeaked { id, leak: Leak::StatusRefused })
        } else {
            Stage::End(End::Refused(None))
        };
        (pass, is_new_refusal)
    }

    /// Ends the pass: returns the local state of the object, and the event and status to publish.
    pub fn finish(self) -> (LocalState, Report) {
        (self.state, self.report)
    }

    /// Returns the next request, or the end. A request that has no answer yet is returned again.
    pub fn next(&mut self, env: &Environment) -> ControlFlow<End, Request> {
        self.state.set_clock(env.clock_origin);
        loop {
            self.stage = match &self.stage {
                Stage::Begin => leaked_session(self.object, &self.state).map_or(Stage::Decide, |id| {
                    Stage::Asked(Request::EndLeaked { id: id.to_owned(), leak: Leak::AttemptOver })
                }),
                Stage::Decide => self.decide(env),
                Stage::Act => self.settle(env),
                Stage::CarryOut if self.step == Step::Done => Stage::End(End::Done),
                Stage::CarryOut => self.carry_out(env).map_or(Stage::Report, Stage::Asked),
                Stage::Report => self.write_status(env),
                Stage::Asked(request) => return ControlFlow::Continue(request.clone()),
                Stage::End(end) => return ControlFlow::Break(end.clone()),
            };
        }
    }

    fn session_id(&self) -> Option<&'a str> {
        self.object.status.as_ref()?.session_id.as_deref()
    }

    /// Decides on a step, and requests what the step needs before it is acted on.
    fn decide(&mut self, env: &Environment) -> Stage {
        if env.is_time_certain {
            self.state.time_told();
        }
        self.step = self.decisions.next_step(self.object, &self.state, &self.seen, env);
        if self.step != Step::Search {
            self.state.marked = Vec::new();
        }
        Stage::Asked(match (&self.step, self.session_id()) {
            (Step::AskTime, _) => {
                self.asks_time = true;
                Request::AskTime
            }
            (Step::Look, Some(id)) => {
                Request::Look { id: id.to_owned(), full: is_full_look(self.object, &self.state, id) }
            }
            (Step::Search, _) => Request::Search(search_time(self.object, &self.state, env)),
            (Step::ReadWorkGroup, _) => Request::ReadWorkGroup,
            (step @ (Step::Record(_) | Step::Start(_) | Step::Terminate), _) => Request::Turn(step.clone()),
            _ => return Stage::Act,
        })
    }

    /// Settles on the step, or on waiting where its write was refused and waits for the next try.
    fn settle(&mut self, env: &Environment) -> Stage {
        self.state.write_wanted(&self.step);
        if self.decisions.awaits_write(&self.state, &self.step, self.version, self.begun) {
            self.step = Step::Wait;
        }
        if awaits_time(self.object, &self.state, env) {
            Stage::Asked(Request::AwaitTime { ask: self.asks_time })
        } else {
            Stage::CarryOut
        }
    }

    /// Carries out the step. Returns the request that the step needs, or nothing where the status is to be written.
    fn carry_out(&mut self, env: &Environment) -> Option<Request> {
        match &self.step {
            Step::AddFinalizer => Some(Request::Write(Write::AddFinalizer)),
            Step::Release => Some(Request::Write(Write::RemoveFinalizer)),
            Step::Delete => Some(Request::Write(Write::Delete)),
            // The watch cache may be older than the API server, for example after a restart: an attempt that it shows as unknown may be over by now.
            Step::Start(_) if !self.is_confirmed && !is_own_attempt(self.object, &self.state) => {
                Some(Request::ReadAgain)
            }
            Step::Start(number) => {
                self.doubted = self.state.starting();
                Some(Request::Start(*number))
            }
            Step::Terminate => {
                let id = self.session_id()?.to_owned();
                let unrecorded_cause =
                    unrecorded_cause(self.object, &self.state, env).filter(|_| !wants_stopped(self.object));
                // It is remembered until the status names it.
                if let Some(cause) = &unrecorded_cause {
                    self.state.unrecorded_cause = Some(Box::new(cause.clone()));
                }
                Some(Request::Terminate { id, unrecorded_cause })
            }
            Step::Hold(refusal) | Step::Reject(_, refusal) => {
                self.outcome = Outcome::Refused(refusal.clone());
                None
            }
            Step::Adopt(_, session) => {
                self.state.adopting(&session.id);
                None
            }
            _ => None,
        }
    }

    /// Updates the status with the outcome of the step: requests the write, or ends the pass where the status stays.
    fn write_status(&mut self, env: &Environment) -> Stage {
        let Self { object, step, outcome, .. } = self;
        let status = self.decisions.status_after(object, &self.state, step, outcome, env);
        let before = object.status.as_ref();
        let missing = || {
            self.state.missing_answer_to_tell(env).map(|refusal| events::unanswered(refusal, status.attempt))
        };
        let event = events::event(before, &status, step, outcome, &self.state).or_else(missing);
        if before == Some(&status) {
            self.state.status_accepted(None);
            if matches!(step, Step::Mirror(_)) {
                self.state.hold_work(None);
            }
            self.state.missing_answer_told(env);
            self.report.event = event;
        } else if may_wait(before, &status, &self.state, env) {
            if let Step::Mirror(session) = step {
                self.state.hold_work(Some(session.clone()));
            }
        } else {
            self.report.event = event;
            let records = if let Step::Record(number) = step { Some(*number) } else { None };
            return Stage::Asked(Request::Write(Write::Status { status: Box::new(status), records }));
        }
        Stage::End(if self.is_after_refusal { End::Refused(None) } else { End::Rest })
    }

    /// Returns the time at which the object is due again without a change or a trigger, if it is: see [`due_time`].
    pub fn due_time(&self, env: &Environment) -> Option<Timestamp> {
        // A list showed the session as it was before this pass began: the look that has become due since was not made.
        if self.is_sighted && !self.queued && self.state.next_time().is_some_and(|time| time <= self.begun) {
            return Some(env.now);
        }
        due_time(self.decisions, self.object, &self.state, &self.step, self.begun, env)
    }

    /// Takes in the answer to the last request.
    ///
    /// # Panics
    /// When there was no request, or the answer does not fit the request.
    pub fn answered(&mut self, answer: Answer, env: &Environment) {
        self.state.set_clock(env.clock_origin);
        let Stage::Asked(request) = std::mem::replace(&mut self.stage, Stage::Decide) else {
            panic!("an answer without a request: {answer:?}")
        };
        self.stage = match (request, self.decisions.take_in(answer)) {
            (Request::EndLeaked { .. }, Answer::Done) => {
                if !self.is_after_refusal {
                    self.state.session_recorded();
                }
                self.after_leak.take().map_or(Stage::Decide, Stage::End)
            }
            (Request::AskTime, Answer::Done) => {
                self.state.time_told();
                Stage::Decide
            }
            (Request::AskTime, Answer::Refused(refusal)) => {
                self.state.time_refused(&refusal, env);
                self.step = Step::Hold(refusal);
                Stage::Act
            }
            (Request::Look { full, id }, Answer::Look(look, asked)) => {
                self.seen.look_time = Some(asked);
                // Only a full look, which is another call, shows the details of an end.
                self.state.has_ended = matches!(&look, Look::Seen(session) if session.ended() && !full);
                if !self.state.has_ended {
                    let uid = self.object.uid().unwrap_or_default();
                    self.seen.look = Some(self.state.looked(look, &uid, &id, env));
                }
                Stage::Decide
            }
            (Request::Search(_), Answer::Listed(sessions, begun)) => {
                self.searched(match_marked_sessions(sessions, self.object, &self.state, begun), env)
            }
            (Request::Search(_), Answer::Refused(refusal)) => self.searched(Search::Failed(refusal), env),
            (Request::ReadWorkGroup, Answer::WorkGroup(read)) => {
                self.state.work_group_read(read.as_ref().copied(), env);
                self.seen.work_group = Some(read);
                Stage::Decide
            }
            (Request::Turn(_), Answer::Done) => Stage::Act,
            (request, Answer::Wait) if request.is_question() => {
                self.queued = true;
                self.step = Step::Wait;
                Stage::Act
            }
            (Request::AwaitTime { .. }, Answer::Done) => Stage::CarryOut,
            (Request::ReadAgain, Answer::Found(Found::Same)) if !self.is_conflict => {
                self.is_confirmed = true;
                Stage::CarryOut
            }
            (Request::ReadAgain, Answer::Found(Found::Gone)) if self.is_conflict => self.leak(End::Outdated),
            (Request::ReadAgain, Answer::Found(_)) => Stage::End(End::Outdated),
            (Request::Start(number), Answer::Started(id, state)) => {
                self.state.started(number, &id, state.clone(), env);
                self.outcome = Outcome::Started { id, state };
                Stage::Report
            }
            (Request::Start(_), Answer::Refused(refusal)) => {
                self.state.start_refused(refusal.clone(), self.doubted, env);
                self.outcome = Outcome::Refused(refusal);
                Stage::Report
            }
            (Request::Start(_), Answer::Outdated) => {
                self.state.in_doubt = self.doubted;
                Stage::End(End::Outdated)
            }
            (Request::Terminate { .. }, Answer::Done) => {
                self.state.terminated(env);
                Stage::Report
            }
            (Request::Terminate { .. }, Answer::Refused(refusal)) => {
                self.state.terminate_refused(refusal.clone(), env);
                self.outcome = Outcome::Refused(refusal);
                Stage::Report
            }
            (Request::Write(write), Answer::Written(written)) => self.written(write, written, env),
            (request, answer) => panic!("no answer to {request:?}: {answer:?}"),
        };
    }

    fn searched(&mut self, search: Search, env: &Environment) -> Stage {
        self.state.searched(&search, env);
        self.seen.search = Some(search);
        Stage::Decide
    }

    fn written(&mut self, write: Write, written: Written, env: &Environment) -> Stage {
        let (is_status, name) = (matches!(write, Write::Status { .. }), write.name());
        if !matches!(written, Written::Yes(_)) {
            self.report.event = None;
        }
        match written {
            Written::Yes(version) => {
                match write {
                    // A finalizer that is added again to an object with an attempt proves nothing about earlier records.
                    Write::AddFinalizer => {
                        self.state.finalizer_added = attempt(self.object, &self.state) == Attempt::None;
                    }
                    Write::RemoveFinalizer | Write::Delete => {}
                    Write::Status { status, records } => {
                        self.state.status_accepted(version);
                        if let (Some(number), Some(time)) = (records, &status.attempt_time) {
                            let attempt = attempt(self.object, &self.state);
                            self.state.recorded(number, time.0, matches!(attempt, Attempt::Withdrawn(_)));
                        }
                        self.state.session_recorded();
                        self.state.status_written(env);
                        self.state.missing_answer_told(env);
                        self.report.status = Some(status);
                    }
                }
                if self.is_after_refusal {
                    return Stage::End(End::Refused(version));
                }
                self.state.write_accepted(Some(name));
                Stage::End(End::Written(version))
            }
            Written::Conflict => {
                self.is_not_written();
                self.is_conflict = true;
                // The object may be gone, and then nothing would record the session.
                if is_status && self.state.unrecorded.is_some() {
                    Stage::Asked(Request::ReadAgain)
                } else {
                    Stage::End(End::Outdated)
                }
            }
            Written::Gone if is_status => self.leak(End::Gone),
            Written::Gone => Stage::End(End::Gone),
        }
    }

    /// Ends the pass after a request that failed and may have had an effect. The caller begins another pass later.
    pub fn abandon(&mut self) {
        match std::mem::replace(&mut self.stage, Stage::End(End::Outdated)) {
            // The failure came before anything was sent.
            Stage::Asked(Request::Start(_)) => self.state.in_doubt = self.doubted,
            _ => self.is_not_written(),
        }
    }

    /// Records that a write had no effect, or may have had none. Sweeps would not show again what it was to report.
    fn is_not_written(&mut self) {
        if matches!(self.step, Step::Mirror(_) | Step::Stop(_, Some(_))) {
            self.state.look_again();
        } else {
            self.state.stop_relying_on_sweeps(None);
        }
    }

    /// Ends the pass for an object that is gone; if a session was started and could not be recorded, ends that first.
    fn leak(&mut self, end: End) -> Stage {
        let Some((_, session)) = self.state.unrecorded.as_deref() else { return Stage::End(end) };
        self.after_leak = Some(end);
        Stage::Asked(Request::EndLeaked { id: session.id.clone(), leak: Leak::ObjectGone })
    }
}

/// Returns the time at which `object` is due again after `step` without a change or a trigger, if it is. An action that became due since the pass began,
/// at `begun`, is due at once, since no decision has seen it; an action that was due before was done, or waits for its permit.
pub fn due_time(
    decisions: &dyn Decisions,
    object: &AthenaSession,
    state: &LocalState,
    step: &Step,
    begun: Timestamp,
    env: &Environment,
) -> Option<Timestamp> {
    match step {
        // The watch delivers the change.
        Step::Rest | Step::Release | Step::AddFinalizer | Step::Delete => None,
        // The clock may have been put back meanwhile.
        _ => decisions.wake_time(object, state, &Environment { now: begun.min(env.now), ..env.clone() }),
    }
}

/// Returns the step of another pass over `object`, if that pass would neither call nor write anything now.
pub fn resting_step(
    decisions: &dyn Decisions,
    object: &AthenaSession,
    state: &LocalState,
    env: &Environment,
) -> Option<Step> {
    let step = decisions.next_step(object, state, &Seen::default(), env);
    let rests = matches!(step, Step::Rest | Step::Wait)
        && leaked_session(object, state).is_none()
        && object.status.as_ref()
            == Some(&decisions.status_after(object, state, &step, &Outcome::Nothing, env));
    rests.then_some(step)
}

fn is_own_attempt(object: &AthenaSession, state: &LocalState) -> bool {
    matches!(attempt(object, state), Attempt::Unknown(recorded) if state.recorded_by_itself(&recorded))
}

/// Returns whether a look at the session `id` must read all of it.
pub fn is_full_look(object: &AthenaSession, state: &LocalState, id: &str) -> bool {
    !state.trusts(id)
        || state.has_ended
        || object.status.as_ref().is_some_and(|status| status.engine_version.is_none())
}

#[cfg(test)]
#[path = "pass_tests.rs"]
mod tests;
