//! A controller: the operator's own decisions, carried out as `reconcile` does, with the write to the API server as a move of its own.

use std::ops::ControlFlow;
use std::time::Duration;

use crate::session::after_end::{AfterEnd, after_end};
use crate::session::attempt::Attempt;
use crate::session::environment::Environment;
use crate::session::lifecycle::{next_step, search_time, wake_time};
use crate::session::local_state::LocalState;
use crate::session::ownership::attempt;
use crate::session::pass::{Answer, Decisions, Found, Pass, Request, Write, Written};
use crate::session::refused_write::{self, STATUS};
use crate::session::status::{Outcome, status_after};
use crate::session::step::{Seen, Step};
use athena_operator::api::{AthenaSession, AthenaSessionStatus, EndReason, StopCause};
use athena_operator::athena::marker_search::group::{Answer as ListAnswer, Ask};
use athena_operator::session::reply::{ErrorClass, Look, Refusal, Search, Session};
use athena_operator::session::request::start_session;
use k8s_openapi::jiff::{SignedDuration, Timestamp};

use crate::moves::Reply;
use crate::mutant::Mutant;
use crate::object::{Object, TICK, UIDS, time};
use crate::world::World;

/// Replies that have told Athena's time, where the node's clock is another: the second one confirms it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Heard {
    #[default]
    Nothing,
    Once,
    Enough,
}

impl Heard {
    /// Whether the time is told.
    pub fn is_told(self) -> bool {
        self == Self::Enough
    }

    /// A reply came that `tells` the time or does not.
    fn hear(&mut self, tells: bool) {
        if tells {
            *self = if *self == Self::Nothing { Self::Once } else { Self::Enough };
        }
    }
}

/// One process of the operator.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Controller {
    pub cache: Option<Object>,
    /// Whether the cache is behind this process's own last write.
    pub behind: bool,
    pub known: LocalState,
    pub pending: Option<Pending>,
    /// Replies that have told this process Athena's time.
    pub heard: Heard,
    /// Whether something has happened for which it is to reconcile the object.
    pub triggered: bool,
}

impl Controller {
    /// Whether it reconciles the object now: for what has happened, or because a time has come that it waited for since a tick ago.
    pub fn is_woken(&self, world: &World, mutant: Mutant) -> bool {
        if self.triggered {
            return true;
        }
        let Some(cache) = &self.cache else { return false };
        let object = cache.get();
        let now = world.clock(self.heard.is_told());
        let before = Environment {
            now: now - SignedDuration::from_mins(if world.now > 0 { TICK } else { 0 }),
            ..world.at(self.heard.is_told())
        };
        let come = |time: Timestamp| time <= now;
        match next_step(object, &self.known, &Seen::default(), &before) {
            // Only a change of the object triggers it.
            Step::Done | Step::Rest => false,
            Step::Search if world.lists.is_some() => false,
            Step::Search => come(search_time(object, &self.known, &before)),
            _ => {
                self.known.next_time().is_some_and(come)
                    || Deciding(mutant).wake_time(object, &self.known, &before).is_some_and(come)
            }
        }
    }
}

/// A write that is on its way.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Pending {
    /// The version that it is a change of.
    pub base: Object,
    /// The version that it makes; none deletes the object.
    pub next: Option<Object>,
    /// The attempt that it records.
    pub records: Option<i32>,
    /// What it does, if it may be refused.
    pub what: Option<&'static str>,
}

impl Pending {
    /// The write that makes `base` what it is to be; none if it is so already.
    fn of(base: &Object, step: &Step, write: &Write) -> Option<Self> {
        let (next, records) = match write {
            Write::AddFinalizer => (Some(base.with_finalizer(true)), None),
            Write::RemoveFinalizer => (Some(base.with_finalizer(false)), None),
            Write::Delete => (None, None),
            Write::Status { status, records } => {
                (Some(base.edited(|object| object.status = Some((**status).clone()))), *records)
            }
        };
        // The refusal of another status is as a write that is not made yet.
        let may_be_refused = !matches!(write, Write::Status { .. }) || matches!(step, Step::Stop(..));
        let what = may_be_refused.then(|| write.name());
        (next.as_ref() != Some(base)).then(|| Self { base: base.clone(), next, records, what })
    }

    /// The same as a pass has asked for it.
    fn write(&self) -> Write {
        match &self.next {
            None => Write::Delete,
            Some(next) if next.has_finalizer() && !self.base.has_finalizer() => Write::AddFinalizer,
            Some(next) if !next.has_finalizer() && self.base.has_finalizer() => Write::RemoveFinalizer,
            Some(next) => Write::Status {
                status: Box::new(next.get().status.clone().unwrap_or_default()),
                records: self.records,
            },
        }
    }
}

/// The operator's own decisions, or those of a broken variant.
#[derive(Clone, Copy, Debug)]
struct Deciding(Mutant);

impl Decisions for Deciding {
    fn next_step(&self, object: &AthenaSession, state: &LocalState, seen: &Seen, env: &Environment) -> Step {
        broken_step(object, state, seen, self.0, next_step(object, state, seen, env))
    }

    fn status_after(
        &self,
        object: &AthenaSession,
        state: &LocalState,
        step: &Step,
        outcome: &Outcome,
        env: &Environment,
    ) -> AthenaSessionStatus {
        let mut status = status_after(object, state, step, outcome, env);
        break_status(object, &mut status, step, self.0);
        status
    }

    fn awaits_write(&self, state: &LocalState, step: &Step, version: Option<u64>, now: Timestamp) -> bool {
        let is_given_up = self.0 == Mutant::NeverWritesAgain
            && state.refused_write.is_some()
            && refused_write::name(step).is_some();
        is_given_up || state.awaits_write(step, version, now)
    }

    fn wake_time(&self, object: &AthenaSession, state: &LocalState, env: &Environment) -> Option<Timestamp> {
        match (self.0, attempt(object, state)) {
            (Mutant::WakesInThePast, Attempt::Over(..))
                if let AfterEnd::Attempt { time, .. } = after_end(object, env) =>
            {
                Some(time)
            }
            (Mutant::ForgetsTimes, Attempt::Over(..)) => None,
            _ => wake_time(object, state, env),
        }
    }
}

/// What a reconcile has come to.
pub struct Reconciled {
    pub world: World,
    /// The step before any reply was taken into account, where it was a call.
    pub called: Option<Step>,
    /// The steps, of which the last is not one to learn more.
    pub steps: Vec<Step>,
}

fn refusal(class: ErrorClass) -> Refusal {
    let reason = match class {
        ErrorClass::Unanswered | ErrorClass::NotSent => "AthenaUnavailable",
        ErrorClass::Throttled => "Throttled",
        ErrorClass::Capacity => "QuotaExceeded",
        ErrorClass::MayHeal => "AccessDenied",
        ErrorClass::Rejected => "InvalidRequest",
        ErrorClass::TokenConflict => "TokenMismatch",
        ErrorClass::NotFound => "NotFound",
    };
    Refusal { class, reason, message: "no".into(), request_id: None }
}

/// Runs a reconcile of controller `index` up to its write. Its first call gets `reply`.
pub fn reconcile(before: &World, index: usize, reply: Reply, mutant: Mutant) -> Option<Reconciled> {
    let controller = &before.controllers[index];
    if controller.behind || controller.pending.is_some() {
        return None;
    }
    let base = controller.cache.clone()?;
    let side = UIDS.iter().position(|uid| *uid == before.uid)?;
    let mut surroundings =
        Surroundings { world: before.clone(), side, reply, mutant, heard: controller.heard, called: None };
    let deciding = Deciding(mutant);
    let mut pass = Pass::new(
        &deciding,
        base.get(),
        None,
        controller.known.clone(),
        Seen::default(),
        &surroundings.env(),
    );
    let mut steps = Vec::new();
    let pending = loop {
        let next = pass.next(&surroundings.env());
        if !surroundings.heard.is_told() {
            check_untold(&mut surroundings.world, &pass.step);
        }
        match next {
            ControlFlow::Continue(Request::Write(write)) => break Pending::of(&base, &pass.step, &write),
            ControlFlow::Continue(request) => {
                if matches!(
                    request,
                    Request::AskTime | Request::Look { .. } | Request::Search(_) | Request::ReadWorkGroup
                ) {
                    steps.push(pass.step.clone());
                }
                let answer = surroundings.answer(&mut pass, &request, before, &base)?;
                if answer == Answer::Wait {
                    steps.pop();
                }
                pass.answered(answer, &surroundings.env());
                surroundings.break_state(&mut pass, &request);
            }
            ControlFlow::Break(_) => break None,
        }
    };
    steps.push(pass.step.clone());
    let (known, _) = pass.finish();
    let Surroundings { mut world, heard, called, .. } = surroundings;
    let at = world.at(heard.is_told());
    if base.is_deleting() {
        check_unsent(&mut world, steps.last()?);
    }
    if pending.is_none()
        && Deciding(mutant).wake_time(base.get(), &known, &at).is_some_and(|time| time <= at.now)
    {
        world.violate("rule 11: an object is to be reconciled again at a time that has passed");
    }
    let controller = &mut world.controllers[index];
    controller.known = known;
    controller.pending = pending;
    (controller.heard, controller.triggered) = (heard, false);
    Some(Reconciled { world, called, steps })
}

/// What a reconcile has to do with: it answers the requests of a pass.
struct Surroundings {
    world: World,
    /// Which of the two objects of a pair it is about.
    side: usize,
    /// What the first call gets.
    reply: Reply,
    mutant: Mutant,
    heard: Heard,
    /// The step of the first call.
    called: Option<Step>,
}

impl Surroundings {
    fn env(&self) -> Environment {
        let is_told = self.heard.is_told();
        Environment {
            is_time_certain: is_told || self.mutant == Mutant::TrustsNodeClock,
            ..self.world.at(is_told)
        }
    }

    /// Returns what the call of `step` gets.
    fn reply_to(&mut self, step: &Step) -> Reply {
        let called = self.called.get_or_insert_with(|| step.clone());
        if called == step { self.reply } else { Reply::Answer }
    }

    /// Answers `request`. Returns nothing where the reconcile cannot be made: its object is not in the API server any more as it was read.
    fn answer(
        &mut self,
        pass: &mut Pass<'_>,
        request: &Request,
        before: &World,
        base: &Object,
    ) -> Option<Answer> {
        if !matches!(request, Request::Search(_) | Request::EndLeaked { .. })
            && !pass.queued
            && let Some(lists) = &mut self.world.lists
        {
            lists.cancel(self.side);
        }
        let step = pass.step.clone();
        Some(match request {
            Request::EndLeaked { id, .. } => {
                self.world.terminate(id);
                Answer::Done
            }
            Request::AskTime => {
                if self.reply_to(&step).tells_time() {
                    self.heard.hear(true);
                    // The next reply is to confirm it: it is asked for anew.
                    if !self.heard.is_told() {
                        return self.answer(pass, request, before, base);
                    }
                    Answer::Done
                } else {
                    Answer::Refused(refusal(ErrorClass::Unanswered))
                }
            }
            Request::Look { id, .. } => {
                let reply = self.reply_to(&step);
                self.heard.hear(reply.tells_time());
                Answer::Look(look(&self.world, id, reply), self.world.clock(self.heard.is_told()))
            }
            Request::ReadWorkGroup => Answer::WorkGroup(self.read_work_group(&step)),
            Request::Search(from) => self.search(pass, &step, *from),
            Request::Turn(_) | Request::AwaitTime { .. } => Answer::Done,
            // The watch cache may be older than the API server, for example after a restart. A broken variant that records nothing does not read
            // again.
            Request::ReadAgain
                if self.mutant == Mutant::StartBeforeRecord || before.object.as_ref() == Some(base) =>
            {
                Answer::Found(Found::Same)
            }
            Request::ReadAgain => return None,
            Request::Start(number) => self.start(pass.object, &step, *number),
            Request::Terminate { id, .. } => self.terminate(pass, &step, id),
            Request::Write(_) => return None,
        })
    }

    fn read_work_group(&mut self, step: &Step) -> Result<(), Refusal> {
        // What it may refuse is a scenario of its own; elsewhere every start would have as many ways.
        let refuses = self.world.facts.work_group_refuses && self.called.is_none();
        let read = match self.reply {
            Reply::Refused(class) if refuses => Err(refusal(class)),
            Reply::Lost | Reply::Dropped if refuses => Err(refusal(ErrorClass::Unanswered)),
            _ => Ok(()),
        };
        let undated = self.reply == Reply::Undated && !self.heard.is_told() && self.called.is_none();
        if read.is_err() || undated {
            self.called = Some(step.clone());
        }
        self.heard.hear(!undated && (read.is_ok() || self.reply.tells_time()));
        read
    }

    fn search(&mut self, pass: &Pass<'_>, step: &Step, from: Timestamp) -> Answer {
        let env = self.env();
        // No list that tells more may begin yet.
        if self.world.lists.is_none() && from > env.now {
            return Answer::Wait;
        }
        let reply = self.reply_to(step);
        let answer = match reply {
            _ if let Reply::ListRefused(class) = self.reply => Answer::Refused(refusal(class)),
            Reply::Lost | Reply::Dropped => Answer::Refused(refusal(ErrorClass::Unanswered)),
            Reply::Refused(class) => Answer::Refused(refusal(class)),
            _ if self.world.lists.is_some() => {
                match ask(&mut self.world, self.side, pass.object, &pass.state, from) {
                    Some(answer) => answer,
                    None => return Answer::Wait,
                }
            }
            _ => Answer::Listed(self.listed(reply == Reply::Lagging), env.now),
        };
        self.heard.hear(reply.tells_time() && !matches!(self.reply, Reply::ListRefused(_)));
        if matches!(self.reply, Reply::ListRefused(_)) {
            self.called = Some(step.clone());
        }
        answer
    }

    fn listed(&self, lagging: bool) -> Vec<Session> {
        let mut sessions = self.world.listed(lagging);
        for description in
            sessions.iter_mut().filter_map(|session| session.details.as_mut()?.description.as_mut())
        {
            if self.mutant == Mutant::AnyMarker {
                *description =
                    UIDS.iter().fold(description.clone(), |text, uid| text.replace(uid, self.world.uid));
            }
        }
        sessions
    }

    fn start(&mut self, object: &AthenaSession, step: &Step, number: i32) -> Answer {
        check_recorded(&mut self.world, number);
        let (mut token, mut body) = start_session(object, number);
        match self.mutant {
            Mutant::FreshTokens => token = format!("{token}-{}", self.world.bodies.len()),
            Mutant::BodyWithTime => body.push(self.world.now),
            _ => {}
        }
        let (reply, full) = (self.reply_to(step), self.world.is_full_for(&token));
        self.heard.hear(reply.tells_time());
        let class = match reply {
            Reply::Refused(ErrorClass::NotSent) if self.mutant == Mutant::UnsentIsInDoubt => {
                Some(ErrorClass::Unanswered)
            }
            Reply::Refused(class) => Some(class),
            Reply::Dropped => Some(ErrorClass::Unanswered),
            Reply::Lost if full => Some(ErrorClass::Unanswered),
            Reply::Lost => {
                self.world.start(&token, body.clone());
                Some(ErrorClass::Unanswered)
            }
            _ => full.then_some(ErrorClass::Capacity),
        };
        if let Some(class) = class {
            return Answer::Refused(refusal(class));
        }
        let index = self.world.start(&token, body);
        Answer::Started(format!("s{index}"), self.world.sessions[index].state.into())
    }

    fn terminate(&mut self, pass: &Pass<'_>, step: &Step, id: &str) -> Answer {
        check_cause(&mut self.world, &pass.state);
        let reply = self.reply_to(step);
        self.heard.hear(reply.tells_time());
        if !matches!(reply, Reply::Dropped | Reply::Refused(_)) {
            self.world.terminate(id);
        }
        match reply {
            Reply::Lost | Reply::Dropped => Answer::Refused(refusal(ErrorClass::Unanswered)),
            Reply::Refused(_) if self.mutant == Mutant::ThrottlingFails => {
                Answer::Refused(refusal(ErrorClass::MayHeal))
            }
            Reply::Refused(class) => Answer::Refused(refusal(class)),
            _ => Answer::Done,
        }
    }

    /// What a broken variant does with the answer.
    fn break_state(&self, pass: &mut Pass<'_>, request: &Request) {
        if let (Mutant::TrustStatus, Request::Look { id, .. }) = (self.mutant, request) {
            let env = self.env();
            pass.state.started(0, id, "IDLE", &env);
            pass.state.session_recorded();
        }
    }
}

/// Has the pass of controller `index` whose write was `pending` go on after that.
pub fn settle(world: &mut World, index: usize, pending: &Pending, written: Written, mutant: Mutant) {
    let env = world.at(world.controllers[index].heard.is_told());
    let known = std::mem::take(&mut world.controllers[index].known);
    let deciding = Deciding(mutant);
    let mut pass = Pass::awaiting(&deciding, pending.base.get(), pending.write(), known, &env);
    pass.answered(Answer::Written(written), &env);
    let written = finish(world, &mut pass, &env, mutant);
    assert!(written.is_none(), "a pass writes once");
    (world.controllers[index].known, _) = pass.finish();
}

/// The API server refuses the write of controller `index`, which has the status say so unless that is what is refused.
pub fn refuse(world: &mut World, index: usize, mutant: Mutant) -> Option<()> {
    let env = world.at(world.controllers[index].heard.is_told());
    let controller = &mut world.controllers[index];
    let Pending { base, what, .. } = controller.pending.take()?;
    // What fails is tried again.
    controller.triggered |= what == Some(STATUS);
    let known = std::mem::take(&mut controller.known);
    let deciding = Deciding(mutant);
    let (mut pass, _) = Pass::after_refused_write(&deciding, base.get(), None, known, (what?, "no"), &env);
    let write = finish(world, &mut pass, &env, mutant);
    let pending = write.and_then(|write| Pending::of(&base, &pass.step, &write));
    let controller = &mut world.controllers[index];
    (controller.known, _) = pass.finish();
    controller.pending = pending;
    Some(())
}

/// Performs what a pass asks for after its write. Returns another write, if it asks for one.
fn finish(world: &mut World, pass: &mut Pass<'_>, env: &Environment, mutant: Mutant) -> Option<Write> {
    loop {
        let answer = match pass.next(env) {
            ControlFlow::Continue(Request::EndLeaked { id, .. }) => {
                if mutant != Mutant::ForgetOrphans {
                    world.terminate(&id);
                }
                Answer::Done
            }
            ControlFlow::Continue(Request::ReadAgain) => {
                Answer::Found(if world.object.is_some() { Found::Changed } else { Found::Gone })
            }
            ControlFlow::Continue(Request::Write(write)) => return Some(write),
            ControlFlow::Continue(request) => panic!("nothing else is asked for after a write: {request:?}"),
            ControlFlow::Break(_) => return None,
        };
        pass.answered(answer, env);
    }
}

/// What a list that serves both objects shows of `object`, once it has been read.
fn ask(
    world: &mut World,
    side: usize,
    object: &AthenaSession,
    known: &LocalState,
    from: Timestamp,
) -> Option<Answer> {
    let (recorded, session_id) = match attempt(object, known) {
        Attempt::Unknown(recorded) => (Some(recorded.number), None),
        Attempt::Live(made, id) => (Some(made.number), Some(id.to_owned())),
        Attempt::None | Attempt::Withdrawn(_) | Attempt::Over(..) => (None, None),
    };
    let from = Duration::try_from(from.duration_since(time(0))).unwrap_or_default();
    let ask = Ask { uid: world.uid.to_owned(), attempt: recorded, session_id, from };
    let answer = world.lists.as_mut()?.ask(side, ask)?;
    world.lists.as_mut()?.cancel(side);
    Some(match answer {
        ListAnswer::Failed(refusal) => Answer::Refused(refusal),
        ListAnswer::Complete { contains_session: true, marked, .. } if marked.is_empty() => {
            Answer::Refused(refusal(ErrorClass::Unanswered))
        }
        ListAnswer::Complete { begun, marked, .. } => {
            let looked = marked.into_iter().filter_map(|marked| World::index_of(&marked.id?));
            let sessions =
                looked.filter_map(|index| Some(world.sessions.get(index)?.seen(index, false))).collect();
            Answer::Listed(sessions, time(0) + begun)
        }
    })
}

/// Rule 14: before Athena has told its time, nothing is started or ended because of a time alone.
fn check_untold(world: &mut World, step: &Step) {
    let by_time = match step {
        Step::Record(_) | Step::Reject(..) | Step::Start(_) | Step::Delete => true,
        Step::Stop(cause, _) => matches!(cause, StopCause::ActiveDeadline | StopCause::StartupDeadline),
        Step::Conclude(reason) => matches!(
            reason,
            EndReason::SessionVanished | EndReason::SessionLost | EndReason::DeadlineExceeded
        ),
        _ => false,
    };
    if by_time {
        world.violate("rule 14: something was started or ended by a time that Athena has not told");
    }
}

/// Rule 15: an object of which all calls were refused or never sent goes without a proof.
fn check_unsent(world: &mut World, step: &Step) {
    if world.facts.no_call_is_lost && world.sessions.is_empty() && !matches!(step, Step::Release | Step::Done)
    {
        world.violate("rule 15: a deletion waits though no call can have started anything");
    }
}

fn look(world: &World, id: &str, reply: Reply) -> Look {
    let session = World::index_of(id).and_then(|index| Some((index, world.sessions.get(index)?)));
    match (reply, session) {
        (Reply::Lost | Reply::Dropped, _) => Look::Failed(refusal(ErrorClass::Unanswered)),
        (Reply::Refused(class), _) => Look::Failed(refusal(class)),
        (_, None) => Look::NotFound { named: true },
        (_, Some((_, session))) if session.state == "VANISHED" => Look::NotFound { named: true },
        (Reply::Lagging, Some((_, session))) if session.is_young(world.now) => Look::NotFound { named: true },
        (reply, Some((index, session))) => Look::Seen(session.seen(index, reply == Reply::Late)),
    }
}

/// Rules 2 and 3, at the moment of a call: its attempt is in the server's status, and the finalizer on the object.
fn check_recorded(world: &mut World, number: i32) {
    let Some(object) = world.object.clone() else { return };
    let recorded = object
        .get()
        .status
        .as_ref()
        .filter(|status| status.attempt_time.is_some())
        .and_then(|status| status.attempt);
    if recorded.is_none_or(|recorded| recorded < number) && world.budget_is_sound() {
        world.violate("rule 2: an attempt was tried before it was recorded");
    }
    if !object.has_finalizer() && !world.let_go {
        world.violate("rule 3: an attempt was tried without the finalizer");
    }
}

/// Rule 2, at the moment of a termination.
fn check_cause(world: &mut World, known: &LocalState) {
    let Some(object) = world.object.clone() else { return };
    let caused = object.get().status.as_ref().is_some_and(|status| {
        status.stop_cause.is_some() || status.end_reason.is_some() || status.attempt.is_none()
    });
    if !object.is_deleting() && !caused && known.unrecorded_cause.is_none() && world.budget_is_sound() {
        world.violate("rule 2: a session was ended before the cause was recorded");
    }
}

/// The step of a broken variant.
fn broken_step(object: &AthenaSession, known: &LocalState, seen: &Seen, mutant: Mutant, step: Step) -> Step {
    let deleting = object.metadata.deletion_timestamp.is_some();
    let kind = attempt(object, known);
    match (mutant, &step) {
        (Mutant::StartBeforeRecord, Step::Record(0)) if known.unrecorded.is_some() => step,
        (Mutant::StartBeforeRecord, Step::Record(0)) => Step::Start(0),
        (Mutant::TerminateBeforeCause, Step::Stop(..)) if matches!(kind, Attempt::Live(..)) => {
            Step::Terminate
        }
        (Mutant::RecordBeforeFinalizer, Step::AddFinalizer) if kind == Attempt::None => Step::Record(0),
        (Mutant::RecordBeforeFinalizer, Step::AddFinalizer) => match kind {
            Attempt::Unknown(recorded) => Step::Start(recorded.number),
            _ => step,
        },
        (Mutant::ReleaseOnNotFound, _) if deleting && seen.look == Some(Look::NotFound { named: true }) => {
            Step::Release
        }
        (Mutant::ReleaseOnRefusal, _)
            if deleting && known.refused.is_some() && matches!(kind, Attempt::Unknown(_)) =>
        {
            Step::Release
        }
        (Mutant::TrustEarlyList, Step::Search)
            if matches!(seen.search, Some(Search::Absent { .. })) && deleting =>
        {
            Step::Release
        }
        (Mutant::FailedLookIsAnEnd, _)
            if matches!(seen.look, Some(Look::Failed(_))) && matches!(kind, Attempt::Live(..)) =>
        {
            Step::Conclude(EndReason::SessionVanished)
        }
        (Mutant::NoSearch, Step::Search) => Step::Wait,
        (Mutant::NoResume, Step::Record(number)) if *number > 0 => Step::Rest,
        _ => step,
    }
}

/// The status of a broken variant.
fn break_status(object: &AthenaSession, status: &mut AthenaSessionStatus, step: &Step, mutant: Mutant) {
    match (mutant, step) {
        (Mutant::BackFromTerminating, Step::Mirror(session)) if !session.ended() => {
            status.state = Some(session.state.clone());
        }
        (Mutant::LateIsStopped, Step::Mirror(_)) if status.end_reason == Some(EndReason::IdleTimeout) => {
            // By two minutes or more.
            let late = status.idle_since_time.as_ref().zip(status.end_time.as_ref());
            if late.is_none_or(|(since, end)| {
                end.0.duration_since(since.0) > SignedDuration::from_mins(TICK + 2)
            }) {
                status.end_reason = Some(EndReason::StoppedOutside);
            }
        }
        (Mutant::WriteEveryLook, Step::Mirror(_)) if status.end_reason.is_none() => {
            let flip = object.status.as_ref().and_then(|status| status.restarts).unwrap_or(0);
            status.restarts = Some(1 - flip.min(1));
        }
        _ => {}
    }
}
