//! Athena, simulated: sessions that change as they like, and calls that are refused for a while.

use athena_operator::api::{AthenaSessionSpec, SessionState};
use athena_operator::session::local_state::Call;
use athena_operator::session::marker;
use athena_operator::session::reply::{Details, ErrorClass, Look, Refusal, Session};
use fastrand::Rng;
use k8s_openapi::jiff::{SignedDuration, Timestamp};

/// A session of somebody else.
pub(crate) const FOREIGN: &str = "foreign";
/// The role that the object asks for.
pub(crate) const ROLE: &str = "arn:aws:iam::111122223333:role/etl";

const IDLE_TIMEOUT: SignedDuration = SignedDuration::from_mins(5);

/// Every class, with the reasons that `athena` gives it.
const REFUSALS: [(ErrorClass, &str); 18] = [
    (ErrorClass::Unanswered, "AthenaUnavailable"),
    (ErrorClass::NotSent, "AthenaUnavailable"),
    (ErrorClass::Throttled, "Throttled"),
    (ErrorClass::Capacity, "QuotaExceeded"),
    (ErrorClass::Capacity, "CapacityUnavailable"),
    (ErrorClass::MayHeal, "AccessDenied"),
    (ErrorClass::MayHeal, "CredentialsInvalid"),
    (ErrorClass::MayHeal, "AccountChanged"),
    (ErrorClass::MayHeal, "WrongRegion"),
    (ErrorClass::MayHeal, "ClockSkew"),
    (ErrorClass::MayHeal, "WorkGroupNotFound"),
    (ErrorClass::MayHeal, "WorkGroupDisabled"),
    (ErrorClass::MayHeal, "WorkGroupNotSpark"),
    (ErrorClass::MayHeal, "Refused"),
    (ErrorClass::NotFound, "NotFound"),
    (ErrorClass::Rejected, "InvalidRequest"),
    (ErrorClass::TokenConflict, "TokenMismatch"),
    (ErrorClass::TokenConflict, "SessionAlreadyExists"),
];

pub(crate) struct Athena {
    rng: Rng,
    sessions: Vec<Session>,
    refusals: Vec<(Call, Refusal)>,
}

impl Athena {
    pub(crate) fn new(rng: Rng) -> Self {
        Self { rng, sessions: Vec::new(), refusals: Vec::new() }
    }

    /// Some time passes; what became of it, for people.
    pub(crate) fn live(&mut self, now: Timestamp) -> String {
        if self.rng.u8(..3) == 0 {
            let call = self
                .rng
                .choice([
                    Call::WorkGroup,
                    Call::Start,
                    Call::Start,
                    Call::Start,
                    Call::Look,
                    Call::Search,
                    Call::Terminate,
                ])
                .expect("a call");
            self.refusals.retain(|(refused, _)| *refused != call);
            if self.rng.bool() {
                let (class, reason) = self.rng.choice(REFUSALS).expect("a refusal");
                let message = self.text().unwrap_or_default();
                self.refusals.push((call, Refusal { class, reason, message, request_id: None }));
            }
        }
        for index in 0..self.sessions.len() {
            if !self.sessions[index].ended() && self.rng.bool() {
                self.change(index, now);
            }
        }
        if self.rng.u8(..50) == 0 {
            self.sessions.pop();
        }
        let refusals: Vec<_> =
            self.refusals.iter().map(|(call, refusal)| format!("{call:?} {}", refusal.reason)).collect();
        format!(
            "Athena has {:?}, refuses {refusals:?}",
            self.sessions.iter().map(|session| &session.state).collect::<Vec<_>>()
        )
    }

    fn change(&mut self, index: usize, now: Timestamp) {
        let reason = self.text();
        let session = &mut self.sessions[index];
        let timed_out = session
            .idle_since_time
            .map(|since| since + IDLE_TIMEOUT)
            .filter(|end| session.state.as_str() == "IDLE" && *end <= now);
        let states: &[&str] = match session.state.as_str() {
            "IDLE" if timed_out.is_some() => &["TERMINATED"],
            "IDLE" if self.rng.u8(..4) > 0 => &["BUSY"],
            "BUSY" if self.rng.u8(..4) > 0 => &["IDLE"],
            "IDLE" | "BUSY" => &["TERMINATING", "TERMINATED", "FAILED", "DEGRADED", "HIBERNATING"],
            "TERMINATING" => &["TERMINATING", "TERMINATED"],
            "DEGRADED" => &["DEGRADED", "DEGRADED", "IDLE", "FAILED"],
            _ => &[
                "CREATING",
                "CREATED",
                "CREATED",
                "IDLE",
                "IDLE",
                "IDLE",
                "BUSY",
                "FAILED",
                "TERMINATED",
                "DEGRADED",
                "ÄÖÜ",
            ],
        };
        let state = self.rng.choice(states).expect("a state");
        session.state = if *state == "ÄÖÜ" { state.repeat(30).into() } else { (*state).into() };
        session.state_change_reason = reason;
        session.last_modified_time = Some(now);
        match *state {
            "IDLE" => session.idle_since_time = session.idle_since_time.or(Some(now)),
            "TERMINATED" | "FAILED" => session.end_time = timed_out.or(Some(now).filter(|_| self.rng.bool())),
            _ => session.idle_since_time = None,
        }
    }

    /// A text for people, sometimes longer than any field of the status.
    fn text(&mut self) -> Option<String> {
        match self.rng.u8(..40) {
            0 => None,
            1 => Some("ä€😀".repeat(15_000)),
            _ => Some("no".into()),
        }
    }

    fn refusal(&self, call: Call) -> Option<Refusal> {
        self.refusals.iter().find(|(refused, _)| *refused == call).map(|(_, refusal)| refusal.clone())
    }

    /// Reads the work group. Whoever may not, goes on.
    pub(crate) fn work_group(&self) -> Result<(), Refusal> {
        self.refusal(Call::WorkGroup).filter(|refusal| refusal.reason != "AccessDenied").map_or(Ok(()), Err)
    }

    pub(crate) fn start(
        &mut self,
        description: String,
        spec: &AthenaSessionSpec,
        now: Timestamp,
    ) -> Result<(String, SessionState), Refusal> {
        let refusal = self.refusal(Call::Start);
        // A call that was not answered may have had its effect.
        if let Some(refusal) = &refusal
            && (refusal.class != ErrorClass::Unanswered || self.rng.bool())
        {
            return Err(refusal.clone());
        }
        let role = if self.rng.u8(..4) == 0 { "arn:aws:iam::111122223333:role/other" } else { ROLE };
        let replayed = |session: &&Session| {
            session.details.as_ref().is_some_and(|details| details.description.as_ref() == Some(&description))
        };
        let (id, state) = match self.sessions.iter().find(replayed) {
            Some(session) => (session.id.clone(), session.state.clone()),
            None => (
                format!("s-{:08x}", self.rng.u32(..)),
                self.rng.choice(["CREATING", "CREATING", "IDLE", ""]).expect("a state").into(),
            ),
        };
        if !self.sessions.iter().any(|session| session.id == id) {
            let details = Details {
                description: Some(description),
                work_group: Some(spec.work_group.clone()),
                engine_version: Some("Apache Spark version 3.5".into()),
                execution_role: Some(role.into()),
                idle_timeout: Some(IDLE_TIMEOUT),
                dpu_execution_in_millis: Some(self.rng.i64(-1..1000)),
                ..Details::default()
            };
            let (start_time, details) = (Some(now), Some(Box::new(details)));
            self.sessions.push(Session {
                id: id.clone(),
                state: state.clone(),
                start_time,
                details,
                ..Session::default()
            });
        }
        refusal.map_or(Ok((id, state)), Err)
    }

    pub(crate) fn look(&mut self, id: &str, full: bool) -> Look {
        match (self.refusal(Call::Look), self.sessions.iter().find(|session| session.id == id)) {
            (Some(refusal), _) if refusal.class == ErrorClass::NotFound => Look::NotFound { named: true },
            (Some(refusal), _) => Look::Failed(refusal),
            (None, Some(session)) => {
                let details = session.details.clone().filter(|_| full || session.ended());
                // Now and then an old reply is late.
                let last_modified_time = session
                    .last_modified_time
                    .map(|time| if self.rng.u8(..30) == 0 { time - IDLE_TIMEOUT } else { time });
                Look::Seen(Session { details, last_modified_time, ..session.clone() })
            }
            (None, None) if id == FOREIGN => Look::Seen(Session {
                id: id.into(),
                state: "IDLE".into(),
                details: Some(Box::default()),
                ..Session::default()
            }),
            (None, None) => Look::NotFound { named: true },
        }
    }

    pub(crate) fn search(&self, uid: &str) -> Result<Vec<Session>, Refusal> {
        let marked = |session: &&Session| {
            let description = session.details.as_ref().and_then(|details| details.description.as_deref());
            description.is_some_and(|text| marker::attempt_of(text, uid).is_some())
        };
        self.refusal(Call::Search).map_or_else(
            || Ok(self.sessions.iter().filter(|session| !session.ended()).filter(marked).cloned().collect()),
            Err,
        )
    }

    pub(crate) fn terminate(&mut self, id: &str, now: Timestamp) -> Result<(), Refusal> {
        if let Some(refusal) = self.refusal(Call::Terminate) {
            return Err(refusal);
        }
        // Now and then it has no effect.
        if let Some(session) = self.sessions.iter_mut().find(|session| session.id == id && !session.ended())
            && self.rng.u8(..5) > 0
        {
            session.state = "TERMINATING".into();
            session.last_modified_time = Some(now);
        }
        Ok(())
    }
}
