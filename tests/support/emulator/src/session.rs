//! One session: its states over time, computed from the clock whenever somebody looks.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use crate::Config;
use crate::record::{Change, SessionRecord};
use crate::state::{CREATED, CREATING, FAILED, IDLE, TERMINATED, TERMINATING, is_final};

/// Athena gives the same reason for a stop by call and for an idle timeout.
pub(crate) const TERMINATED_PER_REQUEST: &str = "Session was terminated per request";

#[derive(Clone, Debug)]
pub(crate) struct Entered {
    pub(crate) state: String,
    pub(crate) at: Timestamp,
    pub(crate) reason: Option<String>,
}

/// What a session is from its start on.
#[derive(Clone, Debug)]
pub(crate) struct Start {
    pub(crate) id: String,
    pub(crate) token: Option<String>,
    pub(crate) work_group: String,
    pub(crate) engine_version: String,
    pub(crate) description: Option<String>,
    /// The body of `StartSession`; null for a session that no call started.
    pub(crate) request: Value,
    pub(crate) engine_configuration: Value,
    pub(crate) execution_role: Option<String>,
    pub(crate) idle_minutes: u32,
    pub(crate) dpus: u32,
    /// Why the session fails instead of becoming ready.
    pub(crate) doom: Option<String>,
}

#[derive(Clone, Debug)]
pub(crate) struct Session {
    pub(crate) start: Start,
    states: Vec<Entered>,
    /// What the clock owed until here has been paid.
    settled: Timestamp,
    vanished: Option<Timestamp>,
    /// Whether a look has shown the state of now.
    shown: bool,
    /// Whether that state ends now.
    stepping: bool,
}

impl Session {
    pub(crate) fn new(start: Start, state: &str, now: Timestamp) -> Self {
        let mut session =
            Self { start, states: Vec::new(), settled: now, vanished: None, shown: false, stepping: false };
        session.enter(state, now, None);
        session
    }

    pub(crate) fn id(&self) -> &str {
        &self.start.id
    }

    pub(crate) fn state(&self) -> &str {
        self.states.last().map_or(CREATING, |last| &last.state)
    }

    pub(crate) fn reason(&self) -> Option<&str> {
        self.states.last().and_then(|last| last.reason.as_deref())
    }

    pub(crate) fn started(&self) -> Timestamp {
        self.states.first().map_or(self.settled, |first| first.at)
    }

    pub(crate) fn modified(&self) -> Timestamp {
        self.states.last().map_or(self.settled, |last| last.at)
    }

    pub(crate) fn ended(&self) -> Option<Timestamp> {
        is_final(self.state()).then(|| self.modified())
    }

    pub(crate) fn idle_since(&self) -> Option<Timestamp> {
        (self.state() == IDLE).then(|| self.modified())
    }

    /// Whether the driver is still paid for.
    pub(crate) fn is_live(&self) -> bool {
        self.vanished.is_none() && !is_final(self.state())
    }

    pub(crate) fn is_vanished(&self) -> bool {
        self.vanished.is_some()
    }

    /// How long the driver has been paid for.
    pub(crate) fn billed(&self, now: Timestamp) -> SignedDuration {
        let until = self.vanished.or(self.ended()).unwrap_or(now);
        until.duration_since(self.started()).max(SignedDuration::ZERO)
    }

    /// Whether the session is found by its id.
    pub(crate) fn is_known(&self, config: &Config, now: Timestamp) -> bool {
        let forgotten = match (self.ended(), config.forget_ended_after) {
            (Some(ended), Some(kept)) => later(ended, kept) <= now,
            _ => false,
        };
        self.vanished.is_none() && !forgotten
    }

    /// Enters every state that is due.
    pub(crate) fn settle(&mut self, config: &Config, now: Timestamp) {
        if self.vanished.is_some() {
            return;
        }
        while let Some(next) = self.next(config) {
            // A transition held back (by `stick_in`, or by a longer duration) happens when it is released, not in the past.
            let at = next.at.max(self.settled);
            if at > now {
                break;
            }
            self.enter(&next.state, at, next.reason);
        }
        self.settled = self.settled.max(now);
    }

    fn next(&self, config: &Config) -> Option<Entered> {
        let current = self.states.last()?;
        if config.stick_in.as_deref() == Some(&current.state) {
            return None;
        }
        let waiting = |after| if self.stepping { Duration::ZERO } else { after };
        let (after, state, reason) = match current.state.as_str() {
            CREATING if self.start.doom.is_some() => {
                (waiting(config.creating), FAILED, self.start.doom.clone())
            }
            CREATING => (waiting(config.creating), CREATED, None),
            CREATED => (waiting(config.created), IDLE, None),
            IDLE => {
                let timeout = config.idle_minute.saturating_mul(self.start.idle_minutes);
                (
                    timeout.saturating_add(config.idle_late),
                    TERMINATING,
                    Some(TERMINATED_PER_REQUEST.to_owned()),
                )
            }
            TERMINATING => (waiting(config.terminating), TERMINATED, current.reason.clone()),
            _ => return None,
        };
        Some(Entered { state: state.to_owned(), at: later(current.at, after), reason })
    }

    fn enter(&mut self, state: &str, at: Timestamp, reason: Option<String>) {
        self.states.push(Entered { state: state.to_owned(), at, reason });
        (self.shown, self.stepping) = (false, false);
        self.settled = self.settled.max(at);
    }

    /// Ends the state that the look before this one has shown, where sessions step by looks.
    pub(crate) fn step(&mut self, config: &Config, now: Timestamp) {
        self.stepping = config.step_by_looks && self.shown;
        self.settle(config, now);
        self.stepping = false;
    }

    /// Notes that a look shows the state of now.
    pub(crate) fn show(&mut self) {
        self.shown = true;
    }

    /// Begins the end, unless it has begun.
    pub(crate) fn terminate(&mut self, now: Timestamp) {
        if self.is_live() && self.state() != TERMINATING {
            self.enter(TERMINATING, now, Some(TERMINATED_PER_REQUEST.to_owned()));
        }
    }

    /// Does what a test asks, whatever Athena would say to it.
    pub(crate) fn change(&mut self, change: Change, now: Timestamp) {
        match change {
            Change::State { state, reason } => self.enter(&state, now, reason),
            Change::IdleOut | Change::Terminate => self.terminate(now),
            Change::Vanish => {
                self.vanished.get_or_insert(now);
            }
        }
    }

    pub(crate) fn record(&self, now: Timestamp) -> SessionRecord {
        let start = &self.start;
        SessionRecord {
            session_id: start.id.clone(),
            token: start.token.clone(),
            work_group: start.work_group.clone(),
            description: start.description.clone(),
            state: self.state().to_owned(),
            reason: self.reason().map(str::to_owned),
            states: self.states.iter().map(|entered| (entered.state.clone(), entered.at)).collect(),
            billed_seconds: self.billed(now).as_secs_f64(),
            vanished: self.is_vanished(),
            live: self.is_live(),
            request: start.request.clone(),
        }
    }
}

/// `at` and `duration`, or the end of time.
pub(crate) fn later(at: Timestamp, duration: Duration) -> Timestamp {
    at.checked_add(duration).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
#[path = "session_tests.rs"]
mod tests;
