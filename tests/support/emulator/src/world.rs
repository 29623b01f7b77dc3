//! Everything the emulator remembers.

use std::collections::HashMap;

use jiff::Timestamp;
use serde_json::Value;

use crate::config::{Config, WorkGroup};
use crate::faults::{self, Fault, FaultKind};
use crate::journal::Journal;
use crate::limits::Bucket;
use crate::record::{Change, SessionRecord, UnknownSession};
use crate::session::{Session, Start};
use crate::tokens::Tokens;

#[derive(Debug)]
pub(crate) struct World {
    pub(crate) config: Config,
    pub(crate) tokens: Tokens,
    pub(crate) faults: Vec<Fault>,
    pub(crate) journal: Journal,
    pub(crate) bucket: Bucket,
    dice: fastrand::Rng,
    /// Oldest first.
    sessions: Vec<Session>,
    places: HashMap<String, usize>,
}

impl World {
    pub(crate) fn new(config: Config) -> Self {
        Self {
            dice: fastrand::Rng::with_seed(config.seed),
            config,
            tokens: Tokens::default(),
            faults: Vec::new(),
            journal: Journal::default(),
            bucket: Bucket::full(),
            sessions: Vec::new(),
            places: HashMap::new(),
        }
    }

    /// Takes the fault of a call.
    pub(crate) fn fault(&mut self, operation: &str) -> Option<FaultKind> {
        faults::take(&mut self.faults, operation, || self.dice.f64())
    }

    /// Every session there ever was, oldest first, as [`World::settle`] left them.
    pub(crate) fn sessions(&self) -> std::slice::Iter<'_, Session> {
        self.sessions.iter()
    }

    /// Brings every session to its state of now.
    pub(crate) fn settle(&mut self, now: Timestamp) {
        for session in &mut self.sessions {
            session.settle(&self.config, now);
        }
    }

    /// The session of this id in its state of now.
    pub(crate) fn session(&mut self, id: &str, now: Timestamp) -> Option<&mut Session> {
        let session = self.sessions.get_mut(*self.places.get(id)?)?;
        session.settle(&self.config, now);
        Some(session)
    }

    /// The session of this id, unless it has vanished or been forgotten.
    pub(crate) fn known_session(&mut self, id: &str, now: Timestamp) -> Option<&mut Session> {
        let session = self.sessions.get_mut(*self.places.get(id)?)?;
        session.settle(&self.config, now);
        session.is_known(&self.config, now).then_some(session)
    }

    /// The session of this id as a look finds it.
    pub(crate) fn looked_at(&mut self, id: &str, now: Timestamp) -> Option<&mut Session> {
        let session = self.sessions.get_mut(*self.places.get(id)?)?;
        session.step(&self.config, now);
        session.is_known(&self.config, now).then_some(session)
    }

    pub(crate) fn work_group_of(&self, session_id: &str) -> Option<&str> {
        let session = self.sessions.get(*self.places.get(session_id)?)?;
        Some(&session.start.work_group)
    }

    pub(crate) fn add(&mut self, session: Session) -> &Session {
        let place = self.sessions.len();
        self.places.insert(session.id().to_owned(), place);
        self.sessions.push(session);
        &self.sessions[place]
    }

    /// Starts a session as somebody else would, past every rule and quota.
    pub(crate) fn add_foreign(
        &mut self,
        work_group: &str,
        description: Option<&str>,
        now: Timestamp,
    ) -> &Session {
        let group = self
            .config
            .work_group(work_group)
            .cloned()
            .unwrap_or_else(|| WorkGroup { name: work_group.to_owned(), ..WorkGroup::default() });
        let start = Start {
            id: uuid::Uuid::new_v4().to_string(),
            token: None,
            work_group: group.name,
            engine_version: group.engine,
            description: description.map(str::to_owned),
            request: Value::Null,
            engine_configuration: Value::Object(serde_json::Map::new()),
            execution_role: group.execution_role,
            idle_minutes: group.idle_minutes,
            dpus: 2,
            doom: None,
        };
        let session = Session::new(start, &self.config.start_state, now);
        self.add(session)
    }

    pub(crate) fn change(
        &mut self,
        session_id: &str,
        change: Change,
        now: Timestamp,
    ) -> Result<(), UnknownSession> {
        let session = self.session(session_id, now).ok_or_else(|| UnknownSession(session_id.to_owned()))?;
        session.change(change, now);
        Ok(())
    }

    /// Changes the configuration; what was due under the old one has happened.
    pub(crate) fn configure(&mut self, change: impl FnOnce(&mut Config), now: Timestamp) {
        self.settle(now);
        let (rate, seed) = (self.config.rate, self.config.seed);
        change(&mut self.config);
        if self.config.seed != seed {
            self.dice = fastrand::Rng::with_seed(self.config.seed);
        }
        if self.config.rate != rate {
            self.bucket = Bucket::full();
        }
    }

    pub(crate) fn records(&mut self, now: Timestamp) -> Vec<SessionRecord> {
        self.settle(now);
        self.sessions.iter().map(|session| session.record(now)).collect()
    }
}
