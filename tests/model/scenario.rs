//! What is explored: scenarios that together reach every step and every row, and the broken variants with the scenario that catches each.

use std::fmt::Debug;
use std::hash::Hash;
use std::sync::Arc;
use std::time::Instant;

use athena_operator::session::reply::ErrorClass;
use libtest_mimic::{Failed, Trial};
use serde_json::json;
use stateright::{Checker, HasDiscoveries, Model};

use crate::moves::{Damage, Edit, Exploration, Reached, Reply};
use crate::mutant::Mutant;
use crate::pair::Pair;
use crate::session::arms::NAMES;
use crate::world::{Budget, World};

const LOST: [Reply; 2] = [Reply::Lost, Reply::Dropped];
const REFUSED: [Reply; 5] = [
    Reply::Refused(ErrorClass::Throttled),
    Reply::Refused(ErrorClass::Capacity),
    Reply::Refused(ErrorClass::MayHeal),
    Reply::Refused(ErrorClass::Rejected),
    Reply::Refused(ErrorClass::TokenConflict),
];

fn base(budget: Budget) -> Exploration {
    Exploration {
        spec: json!({}),
        controllers: 1,
        budget,
        edits: vec![],
        replies: vec![],
        upsets: vec![],
        damage: vec![],
        stranger: false,
        work_group_refuses: false,
        refuses_writes: false,
        clocks_ahead: None,
        unanswered_for: None,
        quota: None,
        tolerant: false,
        mutant: Mutant::None,
        reached: Arc::default(),
        resting: Arc::default(),
    }
}

/// Scenarios in which the operator as it is keeps every rule.
#[allow(clippy::too_many_lines, reason = "each is an entry")]
fn scenarios() -> Vec<(&'static str, Exploration)> {
    let budget = Budget::default();
    let restarting = json!({ "restartPolicy": "OnFailure", "maxRestarts": 2 });
    vec![
        ("deleted at any moment, with a crash and a lost reply", {
            let budget = Budget { ticks: 2, edits: 1, faults: 1, crashes: 1, ..budget };
            Exploration { edits: vec![Edit::Delete], replies: LOST.into(), ..base(budget) }
        }),
        ("starts that are lost for good", {
            let budget = Budget { ticks: 5, faults: 1, ..budget };
            Exploration { replies: LOST.into(), ..base(budget) }
        }),
        ("refusals that come and go, deleted at any moment", {
            let budget = Budget { ticks: 3, edits: 1, faults: 2, ..budget };
            Exploration { edits: vec![Edit::Delete], replies: REFUSED.into(), ..base(budget) }
        }),
        ("looks that fail for long", {
            let budget = Budget { ticks: 4, faults: 3, ..budget };
            Exploration { replies: vec![Reply::Dropped], ..base(budget) }
        }),
        ("suspended and resumed at any moment", {
            let budget = Budget { ticks: 1, edits: 3, faults: 1, ..budget };
            Exploration {
                edits: vec![Edit::Suspend, Edit::Resume, Edit::Delete],
                replies: vec![Reply::Lost, Reply::Late],
                ..base(budget)
            }
        }),
        ("terminations that are refused", {
            let budget = Budget { ticks: 2, edits: 1, faults: 3, ..budget };
            Exploration {
                edits: vec![Edit::Suspend],
                replies: vec![Reply::Refused(ErrorClass::MayHeal)],
                ..base(budget)
            }
        }),
        ("sessions that fail and are restarted", {
            let budget = Budget { ticks: 2, upsets: 2, ..budget };
            let upsets = vec!["FAILED", "DEGRADED", "TERMINATING", "VANISHED", "HIBERNATING", "BUSY"];
            Exploration { spec: restarting.clone(), upsets, ..base(budget) }
        }),
        ("sessions that end for good", {
            let budget = Budget { ticks: 3, upsets: 1, ..budget };
            Exploration {
                upsets: vec!["CREATED", "FAILED", "DEGRADED", "TERMINATING", "VANISHED"],
                ..base(budget)
            }
        }),
        ("an operator that is moved to another region", {
            let budget = Budget { ticks: 1, edits: 2, faults: 1, damage: 1, ..budget };
            let edits = vec![Edit::Delete, Edit::Retain];
            Exploration { edits, replies: LOST.into(), damage: vec![Damage::Relocate], ..base(budget) }
        }),
        ("sessions that fail, suspended or deleted at any moment", {
            let budget = Budget { ticks: 1, edits: 2, upsets: 1, ..budget };
            let edits = vec![Edit::Suspend, Edit::Resume, Edit::Delete];
            Exploration {
                spec: restarting,
                edits,
                upsets: vec!["FAILED", "DEGRADED", "TERMINATING", "VANISHED"],
                ..base(budget)
            }
        }),
        ("deadlines, and a time after the end", {
            let budget = Budget { ticks: 3, edits: 1, upsets: 1, ..budget };
            let edits = vec![Edit::Deadline, Edit::Suspend, Edit::Resume];
            Exploration {
                spec: json!({ "ttlSecondsAfterFinished": 300 }),
                edits,
                upsets: vec!["FAILED", "TERMINATING"],
                ..base(budget)
            }
        }),
        ("a wiped or forged status, with a crash", {
            let budget = Budget { ticks: 1, edits: 1, crashes: 1, damage: 1, ..budget };
            Exploration {
                edits: vec![Edit::Delete],
                damage: vec![Damage::Wipe, Damage::Forge],
                stranger: true,
                ..base(budget)
            }
        }),
        ("a finalizer removed by force during the start", {
            let budget = Budget { ticks: 1, damage: 1, lags: 2, ..budget };
            Exploration { damage: vec![Damage::Force], ..base(budget) }
        }),
        ("an end by Athena that nothing tells of, deleted at any moment", {
            let budget = Budget { ticks: 2, edits: 1, upsets: 1, ..budget };
            Exploration { edits: vec![Edit::Delete], upsets: vec!["VANISHED"], ..base(budget) }
        }),
        ("starts that are lost and found degraded", {
            let budget = Budget { ticks: 2, faults: 1, upsets: 1, ..budget };
            Exploration { replies: vec![Reply::Lost], upsets: vec!["DEGRADED"], ..base(budget) }
        }),
        ("starts that are rejected after one that was not answered", {
            let budget = Budget { ticks: 2, edits: 1, faults: 2, ..budget };
            Exploration {
                edits: vec![Edit::Delete],
                replies: vec![Reply::Lost, Reply::Refused(ErrorClass::Rejected)],
                ..base(budget)
            }
        }),
        ("an operator that does not know its account yet", {
            let budget = Budget { ticks: 2, edits: 1, faults: 1, damage: 1, ..budget };
            Exploration {
                edits: vec![Edit::Delete],
                replies: vec![Reply::Lost],
                damage: vec![Damage::Account],
                ..base(budget)
            }
        }),
        ("an operator that is started again and finds an attempt of which nothing tells the account", {
            let budget = Budget { ticks: 1, edits: 1, faults: 1, crashes: 1, damage: 1, ..budget };
            Exploration {
                edits: vec![Edit::Delete],
                replies: LOST.into(),
                damage: vec![Damage::Account],
                ..base(budget)
            }
        }),
        ("finalizers of others, and one that is removed while nothing lives", {
            let budget = Budget { ticks: 1, edits: 2, upsets: 1, damage: 1, ..budget };
            let spec = json!({ "restartPolicy": "OnFailure" });
            Exploration {
                spec,
                edits: vec![Edit::Delete, Edit::Hold],
                upsets: vec!["FAILED"],
                damage: vec![Damage::Strip],
                ..base(budget)
            }
        }),
        ("Retain as the way out", {
            let budget = Budget { ticks: 1, edits: 2, faults: 1, crashes: 1, ..budget };
            Exploration { edits: vec![Edit::Delete, Edit::Retain], replies: LOST.into(), ..base(budget) }
        }),
        ("stale caches and late lists", {
            let budget = Budget { edits: 2, crashes: 1, lags: 2, ..budget };
            Exploration { edits: vec![Edit::Delete, Edit::Suspend, Edit::Resume], ..base(budget) }
        }),
        ("work groups that take no session, at first and at a restart", {
            let budget = Budget { ticks: 1, edits: 1, faults: 2, upsets: 1, ..budget };
            let replies = vec![
                Reply::Refused(ErrorClass::MayHeal),
                Reply::Refused(ErrorClass::Rejected),
                Reply::Dropped,
            ];
            let (spec, edits, upsets) =
                (json!({ "restartPolicy": "OnFailure" }), vec![Edit::Suspend, Edit::Delete], vec!["FAILED"]);
            Exploration { spec, edits, replies, upsets, work_group_refuses: true, ..base(budget) }
        }),
        ("calls that cannot be sent, suspended or deleted at any moment", {
            let budget = Budget { ticks: 1, edits: 2, faults: 2, ..budget };
            let edits = vec![Edit::Suspend, Edit::Delete];
            Exploration {
                edits,
                replies: vec![Reply::Refused(ErrorClass::NotSent), Reply::Refused(ErrorClass::Throttled)],
                ..base(budget)
            }
        }),
        ("a call that cannot be sent after one that was not answered", {
            let budget = Budget { ticks: 2, edits: 1, faults: 2, ..budget };
            Exploration {
                edits: vec![Edit::Delete],
                replies: vec![Reply::Lost, Reply::Refused(ErrorClass::NotSent)],
                ..base(budget)
            }
        }),
        ("terminations that are throttled or not answered for long", {
            let budget = Budget { ticks: 2, edits: 1, faults: 2, ..budget };
            let replies = vec![
                Reply::Refused(ErrorClass::Throttled),
                Reply::Refused(ErrorClass::NotSent),
                Reply::Dropped,
            ];
            Exploration { edits: vec![Edit::Suspend, Edit::Deadline], replies, ..base(budget) }
        }),
        ("sessions that are idle for their timeout while the operator is down", {
            let budget = Budget { ticks: 3, crashes: 1, upsets: 1, ..budget };
            Exploration {
                spec: json!({ "restartPolicy": "OnFailure" }),
                upsets: vec!["TERMINATING", "VANISHED"],
                ..base(budget)
            }
        }),
        ("sessions that are at work and then idle for their timeout", {
            let budget = Budget { ticks: 3, upsets: 2, ..budget };
            Exploration {
                spec: json!({ "restartPolicy": "OnFailure" }),
                upsets: vec!["BUSY", "TERMINATING", "VANISHED"],
                ..base(budget)
            }
        }),
        ("sessions that nobody finds, in lists that are refused", {
            let budget = Budget { ticks: 3, faults: 2, upsets: 1, ..budget };
            let replies =
                vec![Reply::ListRefused(ErrorClass::Throttled), Reply::ListRefused(ErrorClass::MayHeal)];
            Exploration { replies, upsets: vec!["VANISHED"], ..base(budget) }
        }),
        ("an operator on a node whose clock is 25 minutes ahead, with crashes and a lost reply", {
            let budget = Budget { ticks: 2, edits: 1, faults: 1, crashes: 2, ..budget };
            Exploration {
                edits: vec![Edit::Delete],
                replies: vec![Reply::Lost, Reply::Dropped, Reply::Undated],
                clocks_ahead: Some((5, 0)),
                ..base(budget)
            }
        }),
        ("restarts, deadlines and deletions on clocks that disagree", {
            let budget = Budget { ticks: 2, edits: 1, crashes: 1, upsets: 1, ..budget };
            let spec =
                json!({ "restartPolicy": "OnFailure", "maxRestarts": 1, "ttlSecondsAfterFinished": 300 });
            let edits = vec![Edit::Deadline, Edit::Delete];
            Exploration {
                spec,
                edits,
                upsets: vec!["FAILED", "TERMINATING"],
                clocks_ahead: Some((5, 2)),
                ..base(budget)
            }
        }),
        ("writes that the API server refuses, suspended or deleted at any moment", {
            let budget = Budget { ticks: 2, edits: 2, faults: 2, upsets: 1, ..budget };
            let spec = json!({ "ttlSecondsAfterFinished": 300 });
            let edits = vec![Edit::Suspend, Edit::Delete];
            Exploration {
                spec,
                edits,
                upsets: vec!["FAILED"],
                damage: vec![Damage::Strip],
                refuses_writes: true,
                ..base(budget)
            }
        }),
        ("a status that cannot say why the session is to end", {
            let budget = Budget { ticks: 2, edits: 1, faults: 1, crashes: 1, ..budget };
            let spec = json!({ "restartPolicy": "OnFailure" });
            Exploration {
                spec,
                edits: vec![Edit::Suspend, Edit::Deadline],
                refuses_writes: true,
                ..base(budget)
            }
        }),
        ("two controllers at once, with sessions that fail", {
            let budget = Budget { faults: 1, upsets: 1, lags: 1, ..budget };
            let spec = json!({ "restartPolicy": "OnFailure" });
            Exploration {
                spec,
                controllers: 2,
                replies: vec![Reply::Lost],
                upsets: vec!["FAILED"],
                ..base(budget)
            }
        }),
        ("two controllers at once and a deletion, but for the rule that needs one", {
            let budget = Budget { edits: 1, ..budget };
            Exploration { controllers: 2, edits: vec![Edit::Delete], tolerant: true, ..base(budget) }
        }),
    ]
}

/// Scenarios with two objects in one work group.
fn pairs() -> Vec<(&'static str, Exploration)> {
    let budget = Budget::default();
    vec![
        ("two objects, one with a wiped status", {
            let budget = Budget { damage: 1, ..budget };
            Exploration { damage: vec![Damage::Wipe], ..base(budget) }
        }),
        ("two objects that wait for the same lists, deleted at any moment", {
            let budget = Budget { ticks: 1, edits: 1, ..budget };
            Exploration { edits: vec![Edit::Delete], unanswered_for: Some(4), ..base(budget) }
        }),
        ("two objects and a quota of one session, deleted at any moment", {
            let budget = Budget { edits: 1, ..budget };
            Exploration { edits: vec![Edit::Delete], quota: Some(1), ..base(budget) }
        }),
    ]
}

/// Each broken variant, with the scenario that catches it and the rule that it breaks.
fn broken() -> Vec<(Mutant, &'static str, Exploration)> {
    let budget = Budget::default();
    let delete = vec![Edit::Delete];
    let lost = |budget| Exploration { replies: LOST.into(), ..base(budget) };
    vec![
        (Mutant::FreshTokens, "rule 1", lost(Budget { ticks: 1, faults: 1, ..budget })),
        (Mutant::BodyWithTime, "rule 1", lost(Budget { ticks: 1, faults: 1, ..budget })),
        (Mutant::StartBeforeRecord, "rule 2", base(budget)),
        (
            Mutant::TerminateBeforeCause,
            "rule 2",
            Exploration { edits: vec![Edit::Suspend], ..base(Budget { edits: 1, ..budget }) },
        ),
        (Mutant::RecordBeforeFinalizer, "rule 3", base(budget)),
        (
            Mutant::ReleaseOnNotFound,
            "rule 3",
            Exploration { edits: delete.clone(), ..base(Budget { edits: 1, ..budget }) },
        ),
        (Mutant::ReleaseOnRefusal, "rule 3", {
            let budget = Budget { ticks: 1, edits: 1, faults: 2, ..budget };
            Exploration {
                edits: delete.clone(),
                replies: vec![Reply::Lost, Reply::Refused(ErrorClass::MayHeal)],
                ..base(budget)
            }
        }),
        (Mutant::TrustEarlyList, "rule 3", {
            let budget = Budget { ticks: 2, edits: 1, faults: 2, ..budget };
            Exploration { edits: delete.clone(), replies: LOST.into(), ..base(budget) }
        }),
        (Mutant::BlindWrites, "rule 5", {
            let budget = Budget { ticks: 1, edits: 1, upsets: 1, ..budget };
            let spec = json!({ "ttlSecondsAfterFinished": 300 });
            Exploration { spec, edits: vec![Edit::Suspend], upsets: vec!["FAILED"], ..base(budget) }
        }),
        (Mutant::WriteEveryLook, "rule 10", base(budget)),
        (Mutant::BackFromTerminating, "rule 6", {
            let budget = Budget { edits: 1, faults: 1, ..budget };
            Exploration { edits: vec![Edit::Suspend], replies: vec![Reply::Late], ..base(budget) }
        }),
        (Mutant::FailedLookIsAnEnd, "rule 7", lost(Budget { faults: 1, ..budget })),
        (Mutant::TrustStatus, "rule 8", {
            let budget = Budget { edits: 1, crashes: 1, damage: 1, ..budget };
            Exploration { edits: delete.clone(), damage: vec![Damage::Forge], stranger: true, ..base(budget) }
        }),
        (
            Mutant::ForgetOrphans,
            "rule 9",
            Exploration { damage: vec![Damage::Force], ..base(Budget { damage: 1, lags: 2, ..budget }) },
        ),
        (Mutant::NoSearch, "rule 10", lost(Budget { ticks: 2, faults: 1, crashes: 1, ..budget })),
        (
            Mutant::NeverWritesAgain,
            "rule 10",
            Exploration { refuses_writes: true, ..base(Budget { ticks: 1, faults: 1, ..budget }) },
        ),
        (Mutant::WakesInThePast, "rule 11", {
            let budget = Budget { ticks: 2, faults: 2, upsets: 1, ..budget };
            let (spec, replies) =
                (json!({ "restartPolicy": "OnFailure" }), vec![Reply::Refused(ErrorClass::MayHeal)]);
            Exploration { spec, replies, upsets: vec!["FAILED"], work_group_refuses: true, ..base(budget) }
        }),
        (Mutant::ForgetsTimes, "rule 10", {
            let spec = json!({ "restartPolicy": "OnFailure" });
            Exploration { spec, upsets: vec!["FAILED"], ..base(Budget { upsets: 1, ..budget }) }
        }),
        (Mutant::LateIsStopped, "rule 12", {
            let spec = json!({ "restartPolicy": "OnFailure" });
            Exploration {
                spec,
                upsets: vec!["TERMINATING"],
                ..base(Budget { ticks: 3, upsets: 1, ..budget })
            }
        }),
        (Mutant::TrustsNodeClock, "rule 14", {
            let spec = json!({ "activeDeadlineSeconds": 600 });
            Exploration { spec, clocks_ahead: Some((5, 0)), ..base(Budget { crashes: 1, ..budget }) }
        }),
        (Mutant::UnsentIsInDoubt, "rule 15", {
            let budget = Budget { edits: 1, faults: 1, ..budget };
            Exploration {
                edits: delete.clone(),
                replies: vec![Reply::Refused(ErrorClass::NotSent)],
                ..base(budget)
            }
        }),
        (Mutant::ThrottlingFails, "rule 16", {
            let budget = Budget { ticks: 2, edits: 1, faults: 1, ..budget };
            Exploration {
                edits: vec![Edit::Suspend],
                replies: vec![Reply::Refused(ErrorClass::Throttled)],
                ..base(budget)
            }
        }),
        (
            Mutant::NoResume,
            "rule 10",
            Exploration { edits: vec![Edit::Suspend, Edit::Resume], ..base(Budget { edits: 2, ..budget }) },
        ),
    ]
}

/// How many states there are, and what is wrong in one of them, with the shortest way to it.
fn explore<M>(model: M, worlds: fn(&M::State) -> &[World]) -> (usize, Option<String>)
where
    M: Model<
            State: Clone + Debug + Hash + PartialEq + Send + Sync,
            Action: Clone + Debug + PartialEq + Send + Sync,
        > + Send
        + Sync
        + 'static,
{
    let checker = model.checker().threads(2).finish_when(HasDiscoveries::Any).spawn_bfs().join();
    let found = checker.discoveries().into_iter().next().map(|(property, path)| {
        let last = path.last_state().clone();
        let worlds = worlds(&last);
        let rule = worlds.iter().find_map(|world| world.violated).unwrap_or(property);
        let moves: Vec<String> = path
            .into_actions()
            .iter()
            .enumerate()
            .map(|(number, action)| format!("{:>4}. {action:?}", number + 1))
            .collect();
        format!("{rule}\n{}\n{}", moves.join("\n"), worlds.iter().map(summary).collect::<Vec<_>>().join("\n"))
    });
    (checker.unique_state_count(), found)
}

fn explore_one(exploration: &Exploration) -> (usize, Option<String>) {
    explore(exploration.clone(), std::slice::from_ref)
}

fn explore_pair(exploration: &Exploration) -> (usize, Option<String>) {
    explore(Pair(exploration.clone()), <[World; 2]>::as_slice)
}

fn summary(world: &World) -> String {
    let sessions: Vec<String> = world
        .sessions
        .iter()
        .map(|session| format!("{} {}", session.token.as_deref().unwrap_or("a stranger's"), session.state))
        .collect();
    let status = world.object.as_ref().and_then(|object| object.get().status.clone());
    format!("sessions: {sessions:?}\nstatus: {}", serde_json::to_string(&status).unwrap_or_default())
}

/// Everything that the scenarios must reach together.
const REACHED: &[&str] = &[
    "Ready False AccessDenied",
    "Ready False Deleting",
    "Ready False IdentityChanged",
    "Ready False InvalidRequest",
    "Ready False SessionDegraded",
    "Ready False SessionFailed",
    "Ready False SessionVanished",
    "Ready False StartupDeadlineExceeded",
    "Ready False StoppedOutside",
    "Ready False TerminateRefused",
    "Ready False TokenMismatch",
    "Ready True DeadlineExceeded",
    "Ready True IdleTimeout",
    "Ready True SessionBusy",
    "Ready True SessionIdle",
    "Ready True Suspended",
    "Ready Unknown AccessDenied",
    "Ready Unknown DeadlineExceeded",
    "Ready Unknown ObservationStale",
    "Ready Unknown QuotaExceeded",
    "Ready Unknown ReplacingSession",
    "Ready Unknown RestartingAfterFailure",
    "Ready Unknown SessionCreated",
    "Ready Unknown SessionCreating",
    "Ready Unknown SessionTerminating",
    "Ready Unknown Starting",
    "Ready Unknown Suspending",
    "Ready Unknown Throttled",
    "Ready Unknown TokenMismatch",
    "Ready Unknown UnknownState",
    "Ready False WriteRefused",
    "Ready Unknown WriteRefused",
    "step AddFinalizer of none",
    "step Adopt of none",
    "step AskTime of none",
    "step AskTime of over",
    "step AskTime of unknown",
    "step AskTime of unknown, deleting",
    "step Hold of none",
    "step Hold of over",
    "step Record of withdrawn",
    "step Reject of none",
    "step Reject of over",
    "step Release of withdrawn, deleting",
    "step Adopt of none, deleting",
    "step Adopt of unknown",
    "step Adopt of unknown, deleting",
    "step Conclude of live",
    "step Conclude of unknown",
    "step Delete of over",
    "step Look of live",
    "step Look of live, deleting",
    "step Mirror of live",
    "step Mirror of live, deleting",
    "step Record of none",
    "step Record of over",
    "step Record of unknown",
    "step Release of live, deleting",
    "step Release of none, deleting",
    "step Release of over, deleting",
    "step Release of unknown, deleting",
    "step Rest of live",
    "step Rest of live, deleting",
    "step Rest of none",
    "step Rest of over",
    "step Rest of unknown",
    "step Search of none",
    "step Search of none, deleting",
    "step Search of unknown",
    "step Search of unknown, deleting",
    "step Start of unknown",
    "step Start of unknown, deleting",
    "step Stop of live",
    "step Suspend of over",
    "step Terminate of live",
    "step Terminate of live, deleting",
    "step Wait of live",
    "step Wait of none, deleting",
    "step Wait of over",
    "step Wait of unknown",
];

/// Those whose name contains the value of the variable SCENARIO, which is for the development of one; else all.
fn every_scenario_keeps_every_rule() -> Result<(), Failed> {
    let part = std::env::var("SCENARIO").unwrap_or_default();
    let mut reached = Reached::default();
    let mut total = 0;
    let alone = scenarios().into_iter().map(|(name, exploration)| (name, exploration, false));
    let all = alone.chain(pairs().into_iter().map(|(name, exploration)| (name, exploration, true)));
    for (name, exploration, paired) in all.filter(|(name, ..)| name.contains(&part)) {
        let begun = Instant::now();
        let (states, found) = if paired { explore_pair(&exploration) } else { explore_one(&exploration) };
        println!("  {states:>8} states in {:>3} s: {name}", begun.elapsed().as_secs());
        if let Some(found) = found {
            return Err(Failed::from(format!("{name}: {found}")));
        }
        total += states;
        let here = exploration.reached.lock().expect("no holder panics");
        reached.names.extend(here.names.iter().cloned());
        reached.arms |= here.arms;
    }
    println!("model: {total} states");
    let arms =
        NAMES.iter().enumerate().filter(|(number, _)| reached.arms >> number & 1 == 0).map(|(_, name)| name);
    if !part.is_empty() {
        return Ok(());
    }
    let missing: Vec<&&str> =
        REACHED.iter().filter(|wanted| !reached.names.contains(**wanted)).chain(arms).collect();
    println!(
        "model: {} arms of the pass, of the table of steps and of the condition matrix",
        reached.arms.count_ones()
    );
    if missing.is_empty() { Ok(()) } else { Err(Failed::from(format!("not reached: {missing:#?}"))) }
}

fn caught(mutant: Mutant, rule: &str, (states, found): (usize, Option<String>)) -> Result<(), Failed> {
    match found {
        Some(found) if found.starts_with(rule) => {
            println!("{mutant:?} is caught in {states} states: {found}");
            Ok(())
        }
        Some(found) => Err(Failed::from(format!("{mutant:?} breaks another rule than {rule}: {found}"))),
        None => Err(Failed::from(format!("{mutant:?} is not caught in {states} states"))),
    }
}

/// With two controllers, a session can outlive its object: that, and nothing more, is why one is elected.
fn two_controllers_break_one_rule() -> Result<(), Failed> {
    let budget = Budget { edits: 1, lags: 1, ..Budget::default() };
    let exploration = Exploration { controllers: 2, edits: vec![Edit::Delete], ..base(budget) };
    caught(Mutant::None, "rule 3", explore_one(&exploration))
}

fn another_objects_marker_does_not_count() -> Result<(), Failed> {
    let mutant = Mutant::AnyMarker;
    let budget = Budget { damage: 1, ..Budget::default() };
    caught(
        mutant,
        "rule 8",
        explore_pair(&Exploration { damage: vec![Damage::Wipe], mutant, ..base(budget) }),
    )
}

fn a_list_for_each_object_is_caught() -> Result<(), Failed> {
    let mutant = Mutant::ListsForEach;
    let budget = Budget { ticks: 1, ..Budget::default() };
    caught(mutant, "rule 17", explore_pair(&Exploration { unanswered_for: Some(4), mutant, ..base(budget) }))
}

pub fn trials() -> Vec<Trial> {
    let mutants = broken().into_iter().map(|(mutant, rule, exploration)| {
        let run = move || caught(mutant, rule, explore_one(&Exploration { mutant, ..exploration }));
        Trial::test(format!("{mutant:?} is caught"), run)
    });
    mutants
        .chain([
            Trial::test("AnyMarker is caught", another_objects_marker_does_not_count),
            Trial::test("ListsForEach is caught", a_list_for_each_object_is_caught),
            Trial::test(
                "two controllers at once let a session outlive its object",
                two_controllers_break_one_rule,
            ),
            Trial::test("every scenario keeps every rule", every_scenario_keeps_every_rule),
        ])
        .collect()
}
