//! Broken variants of the operator, which the sweep must find.
//!
//! The binary `broken-operator` is the operator with [`Broken`] in place of its own decisions. So no variant can come into the operator itself.

use std::sync::OnceLock;

use athena_operator::api::{AthenaSession, EndReason, FINALIZER, SessionState};
use athena_operator::session::attempt::Attempt;
use athena_operator::session::environment::Environment;
use athena_operator::session::lifecycle::next_step;
use athena_operator::session::local_state::LocalState;
use athena_operator::session::ownership::attempt;
use athena_operator::session::pass::{Answer, Decisions};
use athena_operator::session::reply::{Look, Refusal};
use athena_operator::session::request::start_session;
use athena_operator::session::step::{Seen, Step};
use serde_json::Value;

use crate::verdict::Verdict;

/// The variable that chooses a variant.
pub(crate) const VARIABLE: &str = "BROKEN_OPERATOR_VARIANT";

/// A broken variant.
#[derive(Clone, Copy, Debug)]
pub struct Mutant {
    /// Its name.
    pub name: &'static str,
    /// The scenario and the fault that find it; none where the scenario alone does.
    pub caught_by: (&'static str, Option<&'static str>),
    /// What goes wrong there.
    pub symptom: Symptom,
}

/// What goes wrong with a broken variant. Another fault, such as one of a binary that does not run at all, does not count.
#[derive(Clone, Copy, Debug)]
pub enum Symptom {
    /// A session beyond the first of an attempt.
    Duplicate,
    /// A session without its object.
    Leak,
    /// The run does not come to its end, for a reason that says this.
    Stuck(&'static str),
}

impl Symptom {
    /// Whether a run came to it.
    pub fn is_of(&self, verdict: &Verdict) -> bool {
        match self {
            Self::Duplicate => verdict.duplicates > 0,
            Self::Leak => verdict.leaks > 0,
            Self::Stuck(reason) => verdict.stuck.as_ref().is_some_and(|stuck| stuck.contains(reason)),
        }
    }
}

/// The name of the variant that is not broken: the same binary, which has to do all well where the others are found.
pub const SOUND: &str = "sound";

/// The variant that writes a status whatever has happened to the object since. The fault proxy makes it of the operator's writes.
pub(crate) const BLIND_STATUS: &str = "blind-status";

/// Every broken variant.
pub const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "start-before-record",
        caught_by: ("resume", Some("kill-delete@resume/StartSession#1")),
        symptom: Symptom::Leak,
    },
    Mutant {
        name: "random-token",
        caught_by: ("start", Some("drop@start/StartSession#1")),
        symptom: Symptom::Duplicate,
    },
    Mutant { name: "release-while-ending", caught_by: ("delete-idle", None), symptom: Symptom::Leak },
    Mutant {
        name: BLIND_STATUS,
        caught_by: ("resume", Some("kill-late@start/update:athenasessions/status#2")),
        symptom: Symptom::Stuck(
            "attempt 1 is not idle, or not alone: {\"accountId\":\"000000000000\",\"attempt\":0",
        ),
    },
    Mutant {
        name: "terminate-once",
        caught_by: ("delete-idle", Some("outage@delete/TerminateSession#1")),
        symptom: Symptom::Stuck("did not come to be gone"),
    },
    Mutant {
        name: "forget-id",
        caught_by: ("start", None),
        symptom: Symptom::Stuck("StartSession is not answered: forgotten"),
    },
    Mutant {
        name: "not-found-once",
        caught_by: ("start", Some("error-404@start/GetSessionStatus#2")),
        symptom: Symptom::Stuck("Athena no longer knows session"),
    },
    Mutant {
        name: "finalizer-last",
        caught_by: ("start", Some("kill-delete@start/StartSession#1")),
        symptom: Symptom::Leak,
    },
];

/// The decisions of the variant that the environment names.
#[derive(Debug, Default)]
pub struct Broken(OnceLock<String>);

impl Broken {
    /// Those of the variant that is chosen when the first decision is made.
    pub const fn chosen() -> Self {
        Self(OnceLock::new())
    }

    fn name(&self) -> &str {
        self.0.get_or_init(|| std::env::var(VARIABLE).unwrap_or_default())
    }
}

impl Decisions for Broken {
    fn next_step(&self, object: &AthenaSession, state: &LocalState, seen: &Seen, env: &Environment) -> Step {
        let step = next_step(object, state, seen, env);
        let is_live = matches!(attempt(object, state), Attempt::Live(..));
        match (self.name(), step, &seen.look) {
            ("start-before-record", Step::Record(number), _) if state.unrecorded.is_none() => {
                Step::Start(number)
            }
            ("release-while-ending", _, Some(Look::Seen(session)))
                if object.is_deleting() && session.state == SessionState::Terminating =>
            {
                Step::Release
            }
            ("terminate-once", Step::Terminate, _) if state.terminations() > 0 => Step::Wait,
            ("not-found-once", _, Some(Look::NotFound { .. })) if is_live && object.is_deleting() => {
                Step::Release
            }
            ("not-found-once", _, Some(Look::NotFound { .. })) if is_live => {
                Step::Conclude(EndReason::SessionVanished)
            }
            ("finalizer-last", Step::AddFinalizer, _) if !is_live => {
                let mut held = object.clone();
                held.metadata.finalizers.get_or_insert_default().push(FINALIZER.into());
                next_step(&held, state, seen, env)
            }
            (_, step, _) => step,
        }
    }

    fn start_session(&self, object: &AthenaSession, number: i32) -> (String, Vec<u8>) {
        let (token, body) = start_session(object, number);
        match serde_json::from_slice::<Value>(&body) {
            Ok(mut body) if self.name() == "random-token" => {
                body["ClientRequestToken"] = format!("{:032x}", fastrand::u128(..)).into();
                (token, body.to_string().into_bytes())
            }
            _ => (token, body),
        }
    }

    fn take_in(&self, answer: Answer) -> Answer {
        match (self.name(), answer) {
            ("forget-id", Answer::Started(..)) => Answer::Refused(Refusal::unanswered("forgotten")),
            ("forget-id", Answer::Listed(_, begun)) => Answer::Listed(Vec::new(), begun),
            (_, answer) => answer,
        }
    }
}
