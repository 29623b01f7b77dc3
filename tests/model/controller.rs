//! A controller: the operator's own decisions, carried out as `reconcile` does, with the write to the API server as a move of its own.

use std::time::Duration;

use crate::known::Known;
use crate::lifecycle::{
    Attempt, Circumstances, Seen, Sequel, Step, attempt, ends_without_record, found, next_step, search_time, sequel, surplus, wake_time,
};
use crate::refused_write::{self, STATUS};
use crate::status::{Outcome, status_after};
use athena_operator::api::{AthenaSession, AthenaSessionStatus, EndReason, StopCause};
use athena_operator::athena::marker_search::group::{Answer, Ask};
use athena_operator::athena::start_session;
use athena_operator::session::{Class, Look, Refusal, Search};
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
    pub known: Known,
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
        let before = Circumstances { now: now - SignedDuration::from_mins(if world.now > 0 { TICK } else { 0 }), ..world.at(self.heard.is_told()) };
        let come = |time: Timestamp| time <= now;
        match next_step(object, &self.known, &Seen::default(), &before) {
            // Only a change of the object triggers it.
            Step::Done | Step::Rest => false,
            Step::Search if world.lists.is_some() => false,
            Step::Search => come(search_time(object, &self.known, &before)),
            _ => self.known.next_time().is_some_and(come) || wake(object, &self.known, &before, mutant).is_some_and(come),
        }
    }
}

/// When an object is due without a change or a trigger.
fn wake(object: &AthenaSession, known: &Known, at: &Circumstances, mutant: Mutant) -> Option<Timestamp> {
    match (mutant, attempt(object, known)) {
        (Mutant::WakesInThePast, Attempt::Over(..)) if let Sequel::Attempt { time, .. } = sequel(object, at) => Some(time),
        (Mutant::ForgetsTimes, Attempt::Over(..)) => None,
        _ => wake_time(object, known, at),
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

/// What a reconcile has come to.
pub struct Reconciled {
    pub world: World,
    /// The step before any reply was taken into account, where it was a call.
    pub called: Option<Step>,
    /// The steps, of which the last is not one to learn more.
    pub steps: Vec<Step>,
}

fn refusal(class: Class) -> Refusal {
    let reason = match class {
        Class::Unanswered | Class::NotSent => "AthenaUnavailable",
        Class::Throttled => "Throttled",
        Class::Capacity => "QuotaExceeded",
        Class::MayHeal => "AccessDenied",
        Class::Rejected => "InvalidRequest",
        Class::TokenConflict => "TokenMismatch",
        Class::NotFound => "NotFound",
    };
    Refusal { class, reason, message: "no".into(), request_id: None }
}

/// Runs a reconcile of controller `index` up to its write. Its first call gets `reply`.
#[allow(clippy::too_many_lines, reason = "each call is an arm")]
pub fn reconcile(before: &World, index: usize, reply: Reply, mutant: Mutant) -> Option<Reconciled> {
    let mut world = before.clone();
    let controller = &before.controllers[index];
    if controller.behind || controller.pending.is_some() {
        return None;
    }
    let base = controller.cache.clone()?;
    let object = base.get();
    let mut known = controller.known.clone();
    if let Some(id) = surplus(object, &known).map(str::to_owned) {
        known.session_recorded();
        world.terminate(&id);
    }
    let mut seen = Seen::default();
    let (mut called, mut steps) = (None, Vec::new());
    let mut heard = controller.heard;
    let side = UIDS.iter().position(|uid| *uid == world.uid)?;
    let step = loop {
        known.set_clock(world.clock_origin(heard.is_told()));
        let at = Circumstances { is_time_certain: heard.is_told() || mutant == Mutant::TrustsNodeClock, ..world.at(heard.is_told()) };
        let step = broken_step(object, &known, &seen, mutant, next_step(object, &known, &seen, &at));
        // No list that tells more may begin yet.
        let step = if step == Step::Search && world.lists.is_none() && search_time(object, &known, &at) > at.now { Step::Wait } else { step };
        if let Some(lists) = world.lists.as_mut().filter(|_| step != Step::Search) {
            lists.cancel(side);
        }
        let is_call = matches!(step, Step::AskTime | Step::Look | Step::Search | Step::Start(_) | Step::Terminate);
        if is_call && called.is_none() {
            called = Some(step.clone());
        }
        let first = called.as_ref() == Some(&step);
        let answers = if first { reply } else { Reply::Answer };
        if !heard.is_told() {
            check_untold(&mut world, &step);
        }
        match &step {
            Step::AskTime => {
                if answers.tells_time() {
                    heard.hear(true);
                    if heard.is_told() {
                        known.time_told();
                    }
                } else {
                    let refusal = refusal(Class::Unanswered);
                    known.time_refused(&refusal, at.now);
                    break Step::Hold(refusal);
                }
            }
            Step::Look => {
                let id = object.status.as_ref()?.session_id.clone()?;
                heard.hear(answers.tells_time());
                known.set_clock(world.clock_origin(heard.is_told()));
                let (look, now) = (look(&world, &id, answers), world.clock(heard.is_told()));
                seen.look_time = Some(now);
                seen.look = Some(known.looked(look, world.uid, &id, now, &at.limits, 0.0));
                if mutant == Mutant::TrustStatus {
                    known.started(0, &id, "IDLE", now, &at.limits);
                    known.session_recorded();
                }
            }
            Step::ReadWorkGroup => {
                // What it may refuse is a scenario of its own; elsewhere every start would have as many ways.
                let refuses = world.facts.work_group_refuses && called.is_none();
                let read = match reply {
                    Reply::Refused(class) if refuses => Err(refusal(class)),
                    Reply::Lost | Reply::Dropped if refuses => Err(refusal(Class::Unanswered)),
                    _ => Ok(()),
                };
                let undated = reply == Reply::Undated && !heard.is_told() && called.is_none();
                if read.is_err() || undated {
                    called = Some(step.clone());
                }
                heard.hear(!undated && (read.is_ok() || reply.tells_time()));
                known.set_clock(world.clock_origin(heard.is_told()));
                known.work_group_read(read.as_ref().copied(), world.clock(heard.is_told()), 0.0);
                seen.work_group = Some(read);
            }
            Step::Search => {
                let listed = |lagging| {
                    let mut sessions = world.listed(lagging);
                    for description in sessions.iter_mut().filter_map(|session| session.details.as_mut()?.description.as_mut()) {
                        if mutant == Mutant::AnyMarker {
                            *description = UIDS.iter().fold(description.clone(), |text, uid| text.replace(uid, world.uid));
                        }
                    }
                    sessions
                };
                let search = match answers {
                    _ if let Reply::ListRefused(class) = reply => Search::Failed(refusal(class)),
                    Reply::Lost | Reply::Dropped => Search::Failed(refusal(Class::Unanswered)),
                    Reply::Refused(class) => Search::Failed(refusal(class)),
                    _ if world.lists.is_some() => match ask(&mut world, side, object, &known, &at) {
                        Some(search) => search,
                        None => break Step::Wait,
                    },
                    _ => found(listed(answers == Reply::Lagging), object, &known, at.now),
                };
                heard.hear(answers.tells_time() && !matches!(reply, Reply::ListRefused(_)));
                known.set_clock(world.clock_origin(heard.is_told()));
                known.searched(&search, world.clock(heard.is_told()), &at.limits, 0.0);
                if matches!(reply, Reply::ListRefused(_)) {
                    called = Some(step.clone());
                }
                seen.search = Some(search);
            }
            _ => break step,
        }
        steps.push(step);
    };
    known.write_wanted(&step);
    let now = world.clock(heard.is_told());
    let is_given_up = mutant == Mutant::NeverWritesAgain && known.refused_write.is_some() && refused_write::name(&step).is_some();
    let step = if is_given_up || known.awaits_write(&step, None, now) { Step::Wait } else { step };
    let own = matches!(attempt(object, &known), Attempt::Unknown(made) if known.recorded_by_itself(&made));
    if matches!(step, Step::Start(_)) && mutant != Mutant::StartBeforeRecord && !own && before.object.as_ref() != Some(&base) {
        return None;
    }
    let answers = if called.as_ref() == Some(&step) { reply } else { Reply::Answer };
    if matches!(step, Step::Start(_) | Step::Terminate) {
        heard.hear(answers.tells_time());
        known.set_clock(world.clock_origin(heard.is_told()));
    }
    let at = world.at(heard.is_told());
    let outcome = act(&mut world, object, &mut known, &step, answers, &at, mutant);
    let pending = write_of(&base, &known, &step, &outcome, &at, mutant);
    if object.metadata.deletion_timestamp.is_some() {
        check_unsent(&mut world, &step);
    }
    if pending.is_none() && wake(object, &known, &at, mutant).is_some_and(|time| time <= at.now) {
        world.violate("rule 11: an object is to be reconciled again at a time that has passed");
    }
    let controller = &mut world.controllers[index];
    controller.known = known;
    controller.pending = pending;
    (controller.heard, controller.triggered) = (heard, false);
    steps.push(step);
    Some(Reconciled { world, called, steps })
}

/// What a list that serves both objects shows of `object`, once it has been read.
fn ask(world: &mut World, side: usize, object: &AthenaSession, known: &Known, at: &Circumstances) -> Option<Search> {
    let (recorded, session_id) = match attempt(object, known) {
        Attempt::Unknown(made) => (Some(made.number), None),
        Attempt::Live(made, id) => (Some(made.number), Some(id.to_owned())),
        Attempt::None | Attempt::Withdrawn(_) | Attempt::Over(..) => (None, None),
    };
    let from = Duration::try_from(search_time(object, known, at).duration_since(time(0))).unwrap_or_default();
    let ask = Ask { uid: world.uid.to_owned(), attempt: recorded, session_id, from };
    let answer = world.lists.as_mut()?.ask(side, ask)?;
    world.lists.as_mut()?.cancel(side);
    Some(match answer {
        Answer::Failed(refusal) => Search::Failed(refusal),
        Answer::Complete { contains_session: true, marked, .. } if marked.is_empty() => Search::Failed(refusal(Class::Unanswered)),
        Answer::Complete { begun, marked, .. } => {
            let looked = marked.into_iter().filter_map(|marked| World::index_of(&marked.id?));
            let sessions = looked.filter_map(|index| Some(world.sessions.get(index)?.seen(index, false))).collect();
            found(sessions, object, known, time(0) + begun)
        }
    })
}

/// Rule 14: before Athena has told its time, nothing is started or ended because of a time alone.
fn check_untold(world: &mut World, step: &Step) {
    let by_time = match step {
        Step::Record(_) | Step::Reject(..) | Step::Start(_) | Step::Delete => true,
        Step::Stop(cause, _) => matches!(cause, StopCause::ActiveDeadline | StopCause::StartupDeadline),
        Step::Conclude(reason) => matches!(reason, EndReason::SessionVanished | EndReason::SessionLost | EndReason::DeadlineExceeded),
        _ => false,
    };
    if by_time {
        world.violate("rule 14: something was started or ended by a time that Athena has not told");
    }
}

/// Rule 15: an object of which all calls were refused or never sent goes without a proof.
fn check_unsent(world: &mut World, step: &Step) {
    if world.facts.no_call_is_lost && world.sessions.is_empty() && !matches!(step, Step::Release | Step::Done) {
        world.violate("rule 15: a deletion waits though no call can have started anything");
    }
}

fn look(world: &World, id: &str, reply: Reply) -> Look {
    let session = World::index_of(id).and_then(|index| Some((index, world.sessions.get(index)?)));
    match (reply, session) {
        (Reply::Lost | Reply::Dropped, _) => Look::Failed(refusal(Class::Unanswered)),
        (Reply::Refused(class), _) => Look::Failed(refusal(class)),
        (_, None) => Look::NotFound { named: true },
        (_, Some((_, session))) if session.state == "VANISHED" => Look::NotFound { named: true },
        (Reply::Lagging, Some((_, session))) if session.is_young(world.now) => Look::NotFound { named: true },
        (reply, Some((index, session))) => Look::Seen(session.seen(index, reply == Reply::Late)),
    }
}

fn act(world: &mut World, object: &AthenaSession, known: &mut Known, step: &Step, reply: Reply, at: &Circumstances, mutant: Mutant) -> Outcome {
    let now = at.now;
    match step {
        Step::Start(number) => {
            check_recorded(world, *number);
            let (mut token, mut body) = start_session(object, *number);
            match mutant {
                Mutant::FreshTokens => token = format!("{token}-{}", world.bodies.len()),
                Mutant::BodyWithTime => body.push(world.now),
                _ => {}
            }
            let doubted = known.starting();
            let full = world.is_full_for(&token);
            let unanswered = match reply {
                Reply::Refused(class) => Some(refusal(class)),
                Reply::Dropped => Some(refusal(Class::Unanswered)),
                Reply::Lost if full => Some(refusal(Class::Unanswered)),
                Reply::Lost => {
                    world.start(&token, body.clone());
                    Some(refusal(Class::Unanswered))
                }
                _ => full.then(|| refusal(Class::Capacity)),
            };
            if let Some(refusal) = unanswered {
                let is_broken = mutant == Mutant::UnsentIsInDoubt && refusal.class == Class::NotSent;
                let known_as = if is_broken { self::refusal(Class::Unanswered) } else { refusal.clone() };
                known.start_refused(known_as, doubted, now, 0.0);
                return Outcome::Refused(refusal);
            }
            let index = world.start(&token, body);
            let (id, state) = (format!("s{index}"), world.sessions[index].state.to_owned());
            known.started(*number, &id, &state, now, &at.limits);
            Outcome::Started { id, state }
        }
        Step::Terminate => {
            let Some(id) = object.status.as_ref().and_then(|status| status.session_id.clone()) else { return Outcome::Nothing };
            ends_without_record(object, known, at);
            check_cause(world, known);
            if !matches!(reply, Reply::Dropped | Reply::Refused(_)) {
                world.terminate(&id);
            }
            match reply {
                Reply::Lost | Reply::Dropped => {
                    known.terminate_refused(refusal(Class::Unanswered), now, 0.0);
                    Outcome::Refused(refusal(Class::Unanswered))
                }
                Reply::Refused(class) => {
                    let class = if mutant == Mutant::ThrottlingFails { Class::MayHeal } else { class };
                    known.terminate_refused(refusal(class), now, 0.0);
                    Outcome::Refused(refusal(class))
                }
                _ => {
                    known.terminated(now, &at.limits, 0.0);
                    Outcome::Nothing
                }
            }
        }
        Step::Hold(refusal) | Step::Reject(_, refusal) => Outcome::Refused(refusal.clone()),
        _ => Outcome::Nothing,
    }
}

/// Rules 2 and 3, at the moment of a call: its attempt is in the server's status, and the finalizer on the object.
fn check_recorded(world: &mut World, number: i32) {
    let Some(object) = world.object.clone() else { return };
    let recorded = object.get().status.as_ref().filter(|status| status.attempt_time.is_some()).and_then(|status| status.attempt);
    if recorded.is_none_or(|recorded| recorded < number) && world.budget_is_sound() {
        world.violate("rule 2: an attempt was tried before it was recorded");
    }
    if !object.has_finalizer() && !world.let_go {
        world.violate("rule 3: an attempt was tried without the finalizer");
    }
}

/// Rule 2, at the moment of a termination.
fn check_cause(world: &mut World, known: &Known) {
    let Some(object) = world.object.clone() else { return };
    let caused =
        object.get().status.as_ref().is_some_and(|status| status.stop_cause.is_some() || status.end_reason.is_some() || status.attempt.is_none());
    if !object.is_deleting() && !caused && known.unrecorded_cause().is_none() && world.budget_is_sound() {
        world.violate("rule 2: a session was ended before the cause was recorded");
    }
}

fn write_of(base: &Object, known: &Known, step: &Step, outcome: &Outcome, at: &Circumstances, mutant: Mutant) -> Option<Pending> {
    let next = match step {
        Step::Done => return None,
        Step::AddFinalizer => Some(base.with_finalizer(true)),
        Step::Release => Some(base.with_finalizer(false)),
        Step::Delete => None,
        _ => {
            let mut status = status_after(base.get(), known, step, outcome, at);
            break_status(base.get(), &mut status, step, mutant);
            Some(base.edited(|object| object.status = Some(status)))
        }
    };
    let records = match step {
        Step::Record(number) => Some(*number),
        _ => None,
    };
    let what = match step {
        // The refusal of another status is as a write that is not made yet.
        Step::Stop(..) => Some(STATUS),
        _ => refused_write::name(step),
    };
    (next.as_ref() != Some(base)).then(|| Pending { base: base.clone(), next, records, what })
}

/// The API server refuses the write of controller `index`, which has the status say so unless that is what is refused.
pub fn refuse(world: &mut World, index: usize) -> Option<()> {
    let told = world.controllers[index].heard.is_told();
    let (now, at) = (world.clock(told), world.at(told));
    let controller = &mut world.controllers[index];
    let pending = controller.pending.take()?;
    controller.known.write_refused(pending.what?, "no", None, now, 0.0);
    if pending.what == Some(STATUS) {
        // What fails is tried again.
        controller.triggered = true;
        return Some(());
    }
    let known = controller.known.clone();
    controller.pending = write_of(&pending.base, &known, &Step::Wait, &Outcome::Nothing, &at, Mutant::None);
    Some(())
}

/// The step of a broken variant.
fn broken_step(object: &AthenaSession, known: &Known, seen: &Seen, mutant: Mutant, step: Step) -> Step {
    let deleting = object.metadata.deletion_timestamp.is_some();
    let kind = attempt(object, known);
    match (mutant, &step) {
        (Mutant::StartBeforeRecord, Step::Record(0)) if known.unrecorded.is_some() => step,
        (Mutant::StartBeforeRecord, Step::Record(0)) => Step::Start(0),
        (Mutant::TerminateBeforeCause, Step::Stop(..)) if matches!(kind, Attempt::Live(..)) => Step::Terminate,
        (Mutant::RecordBeforeFinalizer, Step::AddFinalizer) if kind == Attempt::None => Step::Record(0),
        (Mutant::RecordBeforeFinalizer, Step::AddFinalizer) => match kind {
            Attempt::Unknown(made) => Step::Start(made.number),
            _ => step,
        },
        (Mutant::ReleaseOnNotFound, _) if deleting && seen.look == Some(Look::NotFound { named: true }) => Step::Release,
        (Mutant::ReleaseOnRefusal, _) if deleting && known.refused.is_some() && matches!(kind, Attempt::Unknown(_)) => Step::Release,
        (Mutant::TrustEarlyList, Step::Search) if matches!(seen.search, Some(Search::Absent { .. })) && deleting => Step::Release,
        (Mutant::FailedLookIsAnEnd, _) if matches!(seen.look, Some(Look::Failed(_))) && matches!(kind, Attempt::Live(..)) => {
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
        (Mutant::BackFromTerminating, Step::Mirror(session)) if !session.ended() => status.state = Some(session.state.clone()),
        (Mutant::LateIsStopped, Step::Mirror(_)) if status.end_reason == Some(EndReason::IdleTimeout) => {
            // By two minutes or more.
            let late = status.idle_since_time.as_ref().zip(status.end_time.as_ref());
            if late.is_none_or(|(since, end)| end.0.duration_since(since.0) > SignedDuration::from_mins(TICK + 2)) {
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
