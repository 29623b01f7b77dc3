//! What surrounds a controller: the API server's one object, Athena, the clock, and what may still go wrong.

use crate::session::environment::{Environment, Identity, Limits};
use athena_operator::session::reply::{Details, Session};
use k8s_openapi::jiff::{SignedDuration, Timestamp};

use crate::controller::{Controller, Heard};
use crate::lists::Lists;
use crate::object::{Object, TICK, time};

/// A session at Athena.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Running {
    /// The token that started it; none for a stranger's.
    pub token: Option<String>,
    pub state: &'static str,
    /// The state before, which a late reply still shows.
    pub before: &'static str,
    pub started: u8,
    pub ended: Option<u8>,
    pub idle_since: Option<u8>,
    /// Whether Athena still remembers the token.
    pub token_known: bool,
    /// Whether it was idle for its timeout when it ended by itself, and nobody has asked for another since.
    pub timed_out: bool,
}

impl Running {
    pub fn is_live(&self) -> bool {
        !matches!(self.state, "TERMINATED" | "FAILED" | "VANISHED")
    }

    /// Whether reads may still miss it.
    pub fn is_young(&self, now: u8) -> bool {
        now < self.started + 2
    }

    /// Enters a state.
    pub fn enter(&mut self, state: &'static str, now: u8) {
        self.before = self.state;
        self.state = state;
        self.idle_since = match state {
            "IDLE" => Some(now),
            "TERMINATING" | "TERMINATED" => self.idle_since,
            _ => None,
        };
        if !self.is_live() {
            self.ended = Some(now);
        }
    }

    /// What GetSession answers for it, in its state or, late, in the one before.
    pub fn seen(&self, index: usize, late: bool) -> Session {
        let description = match &self.token {
            Some(token) => format!("team/etl [athena-operator/{token}]"),
            None => "a stranger's".to_owned(),
        };
        Session {
            id: format!("s{index}"),
            state: if late { self.before } else { self.state }.into(),
            state_change_reason: None,
            start_time: Some(time(self.started)),
            last_modified_time: None,
            end_time: self.ended.filter(|_| !late).map(time),
            idle_since_time: self.idle_since.filter(|_| self.state == "IDLE").map(time),
            details: Some(Box::new(Details {
                description: Some(description),
                engine_version: Some("Apache Spark version 3.5".into()),
                idle_timeout: Some(SignedDuration::from_mins(5)),
                ..Details::default()
            })),
        }
    }

    /// Whether it is that object's, started by the operator.
    pub fn is_of(&self, uid: &str) -> bool {
        self.token.as_deref().is_some_and(|token| token.starts_with(uid))
    }
}

/// What may still go wrong, or be asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Budget {
    /// Ticks of the clock.
    pub ticks: u8,
    /// Edits by the user.
    pub edits: u8,
    /// Refused calls and lost replies.
    pub faults: u8,
    /// Crashes of a controller.
    pub crashes: u8,
    /// Moves of Athena that nobody asked for.
    pub upsets: u8,
    /// Damage to the object by others: a wiped status, a forged one, a finalizer removed by force.
    pub damage: u8,
    /// Caches that fall behind.
    pub lags: u8,
}

impl Budget {
    pub fn spent(self) -> bool {
        (self.edits, self.faults, self.crashes, self.upsets, self.damage) == (0, 0, 0, 0, 0)
    }
}

/// What holds all the way in a scenario.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Facts {
    /// Whether GetWorkGroup may be refused or not be answered.
    pub work_group_refuses: bool,
    /// By how many ticks the node's clock is ahead of Athena's, which a process does not know until Athena has answered; if that is looked at.
    pub node_ahead: Option<u8>,
    /// By how many ticks the API server's clock is ahead of Athena's.
    pub api_server_ahead: u8,
    /// Whether no call is lost: the process that makes them knows that each was answered, or never sent.
    pub no_call_is_lost: bool,
    /// Whether nothing goes wrong but what passes: throttling, and answers that are missing.
    pub all_passes: bool,
}

impl Facts {
    /// What a process that begins knows of Athena's time: all, where clocks are not looked at.
    pub fn heard(self) -> Heard {
        if self.node_ahead.is_some() { Heard::Nothing } else { Heard::Enough }
    }
}

/// A state of the world.
#[allow(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct World {
    /// The object's.
    pub uid: &'static str,
    pub now: u8,
    pub object: Option<Object>,
    /// The version before, which a lagging list still shows.
    pub former: Option<Object>,
    pub sessions: Vec<Running>,
    /// Bodies that were sent, by token.
    pub bodies: Vec<(String, Vec<u8>)>,
    pub controllers: Vec<Controller>,
    pub budget: Budget,
    /// What the scenario is about.
    pub facts: Facts,
    /// The lists that both objects of a pair are served by; otherwise each reads its own.
    pub lists: Option<Lists>,
    /// How many sessions may live at once, if that is limited.
    pub quota: Option<usize>,
    /// Whether the object was let go by Retain, or by force: what lives on is then nobody's fault.
    pub let_go: bool,
    /// Whether the finalizer was removed by force.
    pub forced: bool,
    /// Whether the operator works in another region by now.
    pub elsewhere: bool,
    /// Whether the operator was started again and STS has not told the account yet.
    pub accountless: bool,
    /// Whether sessions may outlive their object, as with two controllers at once.
    pub tolerant: bool,
    /// Whether somebody has damaged the object.
    pub damaged: bool,
    /// The first rule that was broken.
    pub violated: Option<&'static str>,
}

impl World {
    /// The time as a process has it that Athena has told it, or not.
    pub fn clock(&self, told: bool) -> Timestamp {
        time(self.now) + self.clock_origin(told).duration_since(time(0))
    }

    /// What the clock of such a process showed at the beginning.
    pub fn clock_origin(&self, told: bool) -> Timestamp {
        time(if told { 0 } else { self.facts.node_ahead.unwrap_or_default() })
    }

    /// The time of the API server.
    pub fn api_server_clock(&self) -> Timestamp {
        time(self.now + self.facts.api_server_ahead)
    }

    /// The circumstances of a process that Athena has told the time, or not.
    pub fn at(&self, told: bool) -> Environment {
        Environment {
            now: self.clock(told),
            is_time_certain: told,
            api_server_ahead: Some(SignedDuration::from_mins(TICK * i64::from(self.facts.api_server_ahead))),
            identity: Identity {
                region: if self.elsewhere { "us-east-1" } else { "eu-west-1" }.into(),
                account: (!self.accountless).then(|| "000000000000".into()),
            },
            limits: Limits {
                transition_interval: SignedDuration::ZERO,
                observe_interval: SignedDuration::ZERO,
                ..Limits::default()
            },
            clock_origin: self.clock_origin(told),
            jitter: 0.0,
        }
    }

    /// The next tick of the clock.
    pub fn tick(&mut self) {
        self.now = self.now.saturating_add(1);
        if std::mem::take(&mut self.accountless) {
            self.controllers.iter_mut().for_each(|controller| controller.triggered = true);
        }
    }

    /// Puts a version of the object in place of the last one.
    pub fn put(&mut self, object: Object) {
        self.former = self.object.take();
        self.object = (!object.is_gone()).then_some(object);
        self.check_ownerless();
    }

    pub fn violate(&mut self, rule: &'static str) {
        let tolerated = self.tolerant && rule.starts_with("rule 3");
        self.violated = self.violated.or(Some(rule).filter(|_| !tolerated));
    }

    /// No money without an owner: when the object has gone by itself, or has been let go, nothing of it lives.
    pub fn check_ownerless(&mut self) {
        // Lists do not show what is ending, so after a wiped status the object may go just before its session has.
        let lives = |session: &Running| {
            session.is_of(self.uid) && session.is_live() && !(self.damaged && session.state == "TERMINATING")
        };
        let owned =
            self.object.as_ref().is_some_and(|object| !object.is_deleting() || object.has_finalizer());
        if !owned && !self.let_go && self.sessions.iter().any(lives) {
            self.violate("rule 3: a session lives without its object");
        }
    }

    /// Rule 9: once every controller knows that the object is gone, what it was starting is being ended.
    pub fn check_orphans(&mut self) {
        let known = self
            .controllers
            .iter()
            .all(|controller| controller.pending.is_none() && controller.cache.is_none());
        let runs = |session: &Running| {
            session.is_of(self.uid) && session.is_live() && session.state != "TERMINATING"
        };
        if self.forced && known && self.sessions.iter().any(runs) {
            self.violate("rule 9: a session whose object vanished runs on");
        }
    }

    /// The session with this id.
    pub fn index_of(id: &str) -> Option<usize> {
        id.strip_prefix('s')?.parse().ok()
    }

    /// Whether the quota keeps StartSession with this token from starting anything.
    pub fn is_full_for(&self, token: &str) -> bool {
        let replayed = self
            .sessions
            .iter()
            .any(|session| session.token_known && session.token.as_deref() == Some(token));
        !replayed && self.is_full()
    }

    pub fn is_full(&self) -> bool {
        self.quota
            .is_some_and(|quota| self.sessions.iter().filter(|session| session.is_live()).count() >= quota)
    }

    /// StartSession with this token: the session behind it.
    pub fn start(&mut self, token: &str, body: Vec<u8>) -> usize {
        match self.bodies.iter().find(|(known, _)| known == token) {
            Some((_, known)) if *known != body => self.violate("rule 1: a token was sent with another body"),
            Some(_) => {}
            None => {
                self.bodies.push((token.to_owned(), body));
                self.bodies.sort();
            }
        }
        if let Some(index) = self
            .sessions
            .iter()
            .position(|session| session.token_known && session.token.as_deref() == Some(token))
        {
            return index;
        }
        if self.sessions.iter().any(|session| session.token.as_deref() == Some(token)) {
            self.violate("rule 1: a second session was started for one attempt");
        }
        if self.object.is_none() && !self.let_go {
            self.violate("rule 3: a session was started without its object");
        }
        if self
            .sessions
            .iter()
            .any(|session| session.is_of(self.uid) && session.is_live() && session.state != "TERMINATING")
        {
            self.violate("rule 1: a session was started beside a live one");
        }
        if self.sessions.iter().any(|session| session.is_of(self.uid) && session.timed_out) && !self.damaged {
            self.violate("rule 12: a session was started after one that was idle for its timeout");
        }
        self.sessions.push(Running {
            token: Some(token.to_owned()),
            state: "CREATING",
            before: "CREATING",
            started: self.now,
            ended: None,
            idle_since: None,
            token_known: true,
            timed_out: false,
        });
        self.sessions.len() - 1
    }

    /// TerminateSession.
    pub fn terminate(&mut self, id: &str) {
        let (now, uid) = (self.now, self.uid);
        let Some(session) = Self::index_of(id).and_then(|index| self.sessions.get_mut(index)) else { return };
        if !session.is_of(uid) {
            self.violate("rule 8: a stranger's session was ended");
        } else if session.is_live() {
            session.enter("TERMINATING", now);
        }
    }

    /// What ListSessions and a list of the degraded show; sessions of this very tick may lag.
    pub fn listed(&self, lagging: bool) -> Vec<Session> {
        let shown = |session: &Running| {
            matches!(session.state, "CREATING" | "CREATED" | "IDLE" | "BUSY" | "DEGRADED")
        };
        let sessions = self.sessions.iter().enumerate();
        let listed =
            sessions.filter(|(_, session)| shown(session) && !(lagging && session.is_young(self.now)));
        listed.map(|(index, session)| session.seen(index, false)).collect()
    }
}
