//! A controller: the operator's own decisions, carried out as `reconcile` does, with the write to the API server as a move of its own.

use crate::known::Known;
use crate::lifecycle::{Attempt, Seen, Step, attempt, found, next_step, search_time, surplus};
use crate::status::{Outcome, status_after};
use athena_operator::api::{AthenaSession, AthenaSessionStatus, EndReason};
use athena_operator::athena::start_session;
use athena_operator::session::{Class, Look, Refusal, Search};

use crate::moves::Reply;
use crate::mutant::Mutant;
use crate::object::{Object, UIDS, time};
use crate::world::World;

/// One process of the operator.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Controller {
    pub cache: Option<Object>,
    /// Whether the cache is behind this process's own last write.
    pub behind: bool,
    pub known: Known,
    pub pending: Option<Pending>,
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
}

/// What a reconcile has come to.
pub struct Reconciled {
    pub world: World,
    /// The step before any reply was taken into account, where it was a call.
    pub called: Option<Step>,
    pub step: Step,
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
    let mut called = None;
    let at = world.at();
    let step = loop {
        let step = broken_step(object, &known, &seen, mutant, next_step(object, &known, &seen, &at));
        // No list that tells more may begin yet.
        let step = if step == Step::Search && search_time(object, &known, &at) > at.now { Step::Wait } else { step };
        if matches!(step, Step::Look | Step::Search | Step::Start(_) | Step::Terminate) && called.is_none() {
            called = Some(step.clone());
        }
        let first = called.as_ref() == Some(&step);
        match &step {
            Step::Look => {
                let id = object.status.as_ref()?.session_id.clone()?;
                let look = look(&world, &id, if first { reply } else { Reply::Answer });
                seen.look_time = Some(time(world.now));
                seen.look = Some(known.looked(look, world.uid, &id, time(world.now), &at.limits, 0.0));
                if mutant == Mutant::TrustStatus {
                    known.started(0, &id, "IDLE", time(world.now), &at.limits);
                    known.session_recorded();
                }
            }
            Step::ReadWorkGroup => {
                // What it may refuse is a scenario of its own; elsewhere every start would have as many ways.
                let read = match reply {
                    Reply::Refused(class) if world.work_group_refuses && called.is_none() => Err(refusal(class)),
                    Reply::Lost | Reply::Dropped if world.work_group_refuses && called.is_none() => Err(refusal(Class::Unanswered)),
                    _ => Ok(()),
                };
                if read.is_err() {
                    called = Some(step.clone());
                }
                known.work_group_read(read.as_ref().copied(), time(world.now), 0.0);
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
                let search = match if first { reply } else { Reply::Answer } {
                    Reply::Answer | Reply::Late => found(listed(false), object, &known, at.now),
                    Reply::Lagging => found(listed(true), object, &known, at.now),
                    Reply::Lost | Reply::Dropped => Search::Failed(refusal(Class::Unanswered)),
                    Reply::Refused(class) => Search::Failed(refusal(class)),
                };
                known.searched(&search, time(world.now), &at.limits, 0.0);
                seen.search = Some(search);
            }
            _ => break step,
        }
    };
    let own = matches!(attempt(object, &known), Attempt::Unknown(made) if known.recorded_by_itself(&made));
    if matches!(step, Step::Start(_)) && mutant != Mutant::StartBeforeRecord && !own && before.object.as_ref() != Some(&base) {
        return None;
    }
    let outcome = act(&mut world, object, &mut known, &step, if called.as_ref() == Some(&step) { reply } else { Reply::Answer }, mutant);
    let pending = write_of(&base, &known, &step, &outcome, &world, mutant);
    let controller = &mut world.controllers[index];
    controller.known = known;
    controller.pending = pending;
    Some(Reconciled { world, called, step })
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

fn act(world: &mut World, object: &AthenaSession, known: &mut Known, step: &Step, reply: Reply, mutant: Mutant) -> Outcome {
    let now = time(world.now);
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
                known.start_refused(refusal.clone(), doubted, now, 0.0);
                return Outcome::Refused(refusal);
            }
            let index = world.start(&token, body);
            let (id, state) = (format!("s{index}"), world.sessions[index].state.to_owned());
            known.started(*number, &id, &state, now, &world.at().limits);
            Outcome::Started { id, state }
        }
        Step::Terminate => {
            let Some(id) = object.status.as_ref().and_then(|status| status.session_id.clone()) else { return Outcome::Nothing };
            check_cause(world);
            if !matches!(reply, Reply::Dropped | Reply::Refused(_)) {
                world.terminate(&id);
            }
            match reply {
                Reply::Lost | Reply::Dropped => {
                    known.terminate_refused(refusal(Class::Unanswered), now, 0.0);
                    Outcome::Refused(refusal(Class::Unanswered))
                }
                Reply::Refused(class) => {
                    known.terminate_refused(refusal(class), now, 0.0);
                    Outcome::Refused(refusal(class))
                }
                _ => {
                    known.terminated(now, &world.at().limits, 0.0);
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
fn check_cause(world: &mut World) {
    let Some(object) = world.object.clone() else { return };
    let caused =
        object.get().status.as_ref().is_some_and(|status| status.stop_cause.is_some() || status.end_reason.is_some() || status.attempt.is_none());
    if !object.is_deleting() && !caused && world.budget_is_sound() {
        world.violate("rule 2: a session was ended before the cause was recorded");
    }
}

fn write_of(base: &Object, known: &Known, step: &Step, outcome: &Outcome, world: &World, mutant: Mutant) -> Option<Pending> {
    let at = world.at();
    let next = match step {
        Step::Done => return None,
        Step::AddFinalizer => Some(base.with_finalizer(true)),
        Step::Release => Some(base.with_finalizer(false)),
        Step::Delete => None,
        _ => {
            let mut status = status_after(base.get(), known, step, outcome, &at);
            break_status(base.get(), &mut status, step, mutant);
            Some(base.edited(|object| object.status = Some(status)))
        }
    };
    let records = match step {
        Step::Record(number) => Some(*number),
        _ => None,
    };
    (next.as_ref() != Some(base)).then(|| Pending { base: base.clone(), next, records })
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
        (Mutant::WriteEveryLook, Step::Mirror(_)) if status.end_reason.is_none() => {
            let flip = object.status.as_ref().and_then(|status| status.restarts).unwrap_or(0);
            status.restarts = Some(1 - flip.min(1));
        }
        _ => {}
    }
}
