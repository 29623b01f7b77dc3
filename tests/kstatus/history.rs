//! Random histories: an object in an API server, its user, the operator and Athena. A seed decides everything.

use std::ops::ControlFlow;

use athena_operator::api::{
    AthenaSession, AthenaSessionSpec, AthenaSessionStatus, DeletionPolicy, FINALIZER, RestartPolicy,
};
use athena_operator::session::environment::{Environment, Identity, Limits};
use athena_operator::session::lifecycle::wake_time;
use athena_operator::session::local_state::LocalState;
use athena_operator::session::marker;
use athena_operator::session::pass::{Answer, End, Found, OperatorDecisions, Pass, Request, Write, Written};
use athena_operator::session::refused_write;
use athena_operator::session::status::{Outcome, condition, may_wait, seconds, status_after};
use athena_operator::session::step::{Seen, Step};
use fastrand::Rng;
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kube::ResourceExt;
use serde_json::json;

use crate::athena::{Athena, FOREIGN, ROLE};
use crate::rules;

const UID: &str = "8f3f1f6e-8b0e-4b60-9d5c-6a4c1b0c7f11";
const OTHER_FINALIZER: &str = "example.com/other";

/// How often the user, Athena and the operator have their turns.
const ROUNDS: u32 = 140;

/// The longest time between two turns.
const MOST: SignedDuration = SignedDuration::from_mins(20);

/// The object as it stood in the API server.
pub(crate) struct Moment {
    /// What led to it.
    pub what: String,
    /// The object.
    pub object: AthenaSession,
    /// The same as a line of JSON.
    pub line: String,
    /// Which rules the report breaks.
    pub faults: Vec<String>,
}

/// The history that `seed` leads to.
pub(crate) fn history(seed: u64) -> Vec<Moment> {
    let mut world = World::new(seed);
    for _ in 0..ROUNDS {
        // A write wakes the operator again.
        let passes = (0..12).take_while(|_| world.exists() && world.pass()).count();
        if !world.exists() {
            break;
        }
        world.rest(passes < 12);
        world.advance();
        world.disturb();
    }
    world.moments
}

/// What decides, in the API server, whether the operator may write objects; the status it always may.
struct Policy {
    rng: Rng,
    refuses: bool,
    /// What it has refused, until the operator tells it.
    newest: Option<&'static str>,
}

impl Policy {
    /// It changes now and then. Returns what has, for people.
    fn change(&mut self) -> Option<&'static str> {
        let changes = self.rng.u8(..if self.refuses { 6 } else { 60 }) == 0;
        self.refuses ^= changes;
        changes.then_some(if self.refuses { "a policy refuses all updates" } else { "the policy is gone" })
    }

    /// What it does not let the operator do.
    fn refused(&self, write: &Write) -> Option<&'static str> {
        Some(write.name()).filter(|name| self.refuses && *name != refused_write::STATUS)
    }
}

struct World {
    rng: Rng,
    now: Timestamp,
    identity: Identity,
    athena: Athena,
    known: LocalState,
    policy: Policy,
    object: Option<AthenaSession>,
    moments: Vec<Moment>,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let now: Timestamp = "2026-01-01T00:00:00.123Z".parse().expect("a time");
        let object = json!({
            "apiVersion": "athena-operator.io/v1alpha1", "kind": "AthenaSession",
            "metadata": { "name": "etl", "namespace": "team", "uid": UID, "generation": 1, "creationTimestamp": seconds(now) },
            "spec": { "workGroup": "etl", "executionRole": ROLE, "suspend": rng.u8(..8) == 0 },
        });
        let mut object: AthenaSession = serde_json::from_value(object).expect("an AthenaSession");
        object.metadata.finalizers = (rng.u8(..4) == 0).then(|| vec![OTHER_FINALIZER.into()]);
        object.status = Some(default_status());
        let athena = Athena::new(rng.fork());
        let policy = Policy { rng: Rng::with_seed(!seed), refuses: false, newest: None };
        let mut world = Self {
            rng,
            now,
            identity: identity(u8::MAX),
            athena,
            known: LocalState::met(now),
            policy,
            object: None,
            moments: Vec::new(),
        };
        world.store("created", object, Vec::new());
        world
    }

    fn exists(&self) -> bool {
        self.object.is_some()
    }

    fn object(&self) -> AthenaSession {
        self.object.clone().expect("the object is there")
    }

    fn at(&self) -> Environment {
        Environment {
            now: self.now,
            is_time_certain: true,
            api_server_ahead: Some(SignedDuration::ZERO),
            identity: self.identity.clone(),
            limits: Limits::default(),
            clock_origin: Timestamp::UNIX_EPOCH,
            jitter: 0.0,
        }
    }

    /// The API server takes `object`, and gives back what it has stored.
    fn store(&mut self, what: &str, object: AthenaSession, mut faults: Vec<String>) {
        let line = serde_json::to_string(&object).expect("JSON");
        let stored: AthenaSession = serde_json::from_str(&line).expect("an AthenaSession");
        if stored != object {
            faults.push("it does not come back from the API server as it was written".into());
        }
        let what = format!("{} {what}", self.now);
        let let_go = object.metadata.deletion_timestamp.is_some()
            && object.metadata.finalizers.iter().flatten().next().is_none();
        self.object = Some(stored).filter(|_| !let_go);
        self.moments.push(Moment { what, object, line, faults });
    }

    /// One reconcile. Returns whether the watch has something new.
    fn pass(&mut self) -> bool {
        let (object, env) = (self.object(), self.at());
        let pass = Pass::new(
            &OperatorDecisions,
            &object,
            None,
            std::mem::take(&mut self.known),
            Seen::default(),
            &env,
        );
        let (pass, mut changed) = self.perform_all(pass);
        let (mut state, _) = pass.finish();
        // A policy may refuse what it wrote.
        if let Some(what) = self.policy.newest.take() {
            let env = Environment { jitter: self.policy.rng.f64(), ..self.at() };
            let (pass, _) = Pass::after_refused_write(
                &OperatorDecisions,
                &object,
                None,
                state,
                (what, "a policy says no"),
                &env,
            );
            let (pass, _) = self.perform_all(pass);
            (state, _) = pass.finish();
            changed = true;
        }
        // The object may have gone, and what is known of it.
        self.known = state;
        changed
    }

    /// Performs what `pass` asks for. Returns it at its end or, where its write is refused, then; and whether the watch has something new.
    fn perform_all<'a>(&mut self, mut pass: Pass<'a>) -> (Pass<'a>, bool) {
        loop {
            let request = match pass.next(&self.at()) {
                ControlFlow::Continue(request) => request,
                ControlFlow::Break(End::Rest) => {
                    self.check_report(&pass, &pass.object.status.clone().unwrap_or_default(), false);
                    return (pass, false);
                }
                ControlFlow::Break(end) => return (pass, matches!(end, End::Written(_) | End::Outdated)),
            };
            let answer = match request {
                Request::Write(write) => match self.write(&pass, write) {
                    Some(written) => Answer::Written(written),
                    None => return (pass, true),
                },
                request => self.answer(&pass, request),
            };
            let env = Environment { jitter: self.rng.f64(), ..self.at() };
            pass.answered(answer, &env);
        }
    }

    fn answer(&mut self, pass: &Pass<'_>, request: Request) -> Answer {
        let (object, now) = (pass.object, self.now);
        match request {
            Request::Look { id, full } => Answer::Look(self.athena.look(&id, full), now),
            // No list that tells more may begin yet.
            Request::Search(from) if from > now => Answer::Wait,
            Request::Search(_) => match self.athena.search(UID) {
                Ok(sessions) => Answer::Listed(sessions, now),
                Err(refusal) if refusal.reason == "WorkGroupNotFound" => Answer::Listed(Vec::new(), now),
                Err(refusal) => Answer::Refused(refusal),
            },
            Request::ReadWorkGroup => Answer::WorkGroup(self.athena.work_group()),
            Request::ReadAgain => Answer::Found(Found::Same),
            Request::Start(number) => {
                let description =
                    marker::description(&object.spec, "team", "etl", &marker::token(UID, number));
                match self.athena.start(description, &object.spec, now) {
                    Ok((id, state)) => Answer::Started(id, state),
                    Err(refusal) => Answer::Refused(refusal),
                }
            }
            Request::Terminate { id, .. } => {
                self.athena.terminate(&id, now).map_or_else(Answer::Refused, |()| Answer::Done)
            }
            Request::EndLeaked { id, .. } => {
                let _ = self.athena.terminate(&id, now);
                Answer::Done
            }
            Request::AskTime | Request::Turn(_) | Request::AwaitTime { .. } | Request::Write(_) => {
                Answer::Done
            }
        }
    }

    /// Writes to the API server, unless its policy refuses that.
    fn write(&mut self, pass: &Pass<'_>, write: Write) -> Option<Written> {
        let mut object = pass.object.clone();
        if let Some(what) = self.policy.refused(&write) {
            self.policy.newest = Some(what);
            return None;
        }
        let finalizers = object.metadata.finalizers.get_or_insert_default();
        match write {
            Write::AddFinalizer => {
                finalizers.push(FINALIZER.into());
                self.store("finalizer added", object, Vec::new());
            }
            Write::RemoveFinalizer => {
                finalizers.retain(|name| name != FINALIZER);
                self.store("finalizer removed", object, Vec::new());
            }
            Write::Delete => self.delete("the operator"),
            Write::Status { .. } if self.rng.u8(..40) == 0 => {
                let object = self.object();
                self.store("write lost to a conflict", object, Vec::new());
                return Some(Written::Conflict);
            }
            Write::Status { status, .. } => self.check_report(pass, &status, true),
        }
        Some(Written::Yes(None))
    }

    /// Stores the object with `status`, which is what `pass` reports, newly written or as it was.
    fn check_report(&mut self, pass: &Pass<'_>, status: &AthenaSessionStatus, is_written: bool) {
        let (before, at) = (pass.object, self.at());
        let after = AthenaSession { status: Some(status.clone()), ..before.clone() };
        let mut faults = rules::broken(before, status, at.now);
        let mut state = pass.state.clone();
        if is_written {
            state.status_written(&at);
        }
        for (again, outcome) in [(&pass.step, &pass.outcome), (&Step::Wait, &Outcome::Nothing)] {
            let told = status_after(&after, &state, again, outcome, &at);
            if told != *status && !may_wait(Some(status), &told, &state, &at) {
                faults.push(format!("the report changes when it is made again after {again:?}"));
            }
        }
        self.store(&rules::short(&format!("{:?} {:?}", pass.step, pass.outcome), 300), after, faults);
    }

    fn delete(&mut self, who: &str) {
        let mut object = self.object();
        if object.metadata.deletion_timestamp.is_none() {
            object.metadata.deletion_timestamp = Some(seconds(self.now));
            // As the API server does.
            object.metadata.generation = object.metadata.generation.map(|generation| generation + 1);
            self.store(&format!("deleted by {who}"), object, Vec::new());
        }
    }

    /// The operator sleeps: nothing is left to do, and nothing that it reports changes until it wakes by itself.
    fn rest(&mut self, at_rest: bool) {
        let (object, mut at) = (self.object(), self.at());
        let wake = wake_time(&object, &self.known, &at);
        at.now = wake
            .map_or(at.now + MOST, |wake| wake - SignedDuration::from_millis(1))
            .clamp(at.now, at.now + MOST);
        let held = object.finalizers().iter().any(|name| name == FINALIZER);
        let done = object.metadata.deletion_timestamp.is_some() && !held;
        let Some(moment) = self.moments.last_mut().filter(|_| !done) else { return };
        if !at_rest {
            moment.faults.push("the operator does not come to rest".into());
        }
        let later = status_after(&object, &self.known, &Step::Wait, &Outcome::Nothing, &at);
        if object.status.as_ref() != Some(&later)
            && !may_wait(object.status.as_ref(), &later, &self.known, &at)
        {
            let ready = condition(&later, "Ready")
                .map(|ready| format!("{} {} {}", ready.status, ready.reason, ready.message));
            moment.faults.push(rules::short(
                &format!(
                    "the report changes while the operator sleeps until {wake:?}, at {} to {ready:?}",
                    at.now
                ),
                300,
            ));
        }
    }

    /// The clock goes on: to when the operator wants to wake, or to when it happens to be woken.
    fn advance(&mut self) {
        let wake = wake_time(&self.object(), &self.known, &self.at())
            .map(|time| time.duration_since(self.now).as_millis());
        let most = i64::try_from(MOST.as_millis()).expect("minutes");
        let jump = match (self.rng.u8(..4), wake.and_then(|wake| i64::try_from(wake).ok())) {
            (0 | 1, Some(wake)) => wake.clamp(10, most),
            (2, _) => self.rng.i64(1000..=most),
            _ => self.rng.i64(1000..60_000),
        };
        self.now += SignedDuration::from_millis(jump);
    }

    /// What happens beside the operator.
    fn disturb(&mut self) {
        let athena = self.athena.live(self.now);
        self.store(&athena, self.object(), Vec::new());
        if self.rng.u8(..12) == 0 {
            self.known = LocalState::met(self.now);
            self.identity = identity(self.rng.u8(..20));
            self.store("the operator starts anew", self.object(), Vec::new());
        }
        if self.rng.u8(..4) == 0 {
            let mut object = self.object();
            let what = edit(&mut self.rng, &mut object.spec);
            if object != self.object() {
                object.metadata.generation = object.metadata.generation.map(|generation| generation + 1);
            }
            self.store(what, object, Vec::new());
        }
        if let Some(what) = self.policy.change() {
            self.store(what, self.object(), Vec::new());
        }
        let mut object = self.object();
        match self.rng.u8(..120) {
            0 => self.delete("its user"),
            1 | 2 => {
                object.status = Some(default_status());
                self.store("the status is wiped", object, Vec::new());
            }
            3 => {
                object.status.get_or_insert_default().session_id = Some(FOREIGN.into());
                self.store("the status names a foreign session", object, Vec::new());
            }
            _ => {}
        }
    }
}

/// What the API server makes of an object without a status.
fn default_status() -> AthenaSessionStatus {
    let default = rules::status_schema().get("default").cloned().expect("the status has a default");
    assert_eq!(default, json!({ "observedGeneration": -1 }));
    serde_json::from_value(default).expect("a status")
}

fn identity(choice: u8) -> Identity {
    let (region, account) = match choice {
        0 => ("us-east-1", Some("111122223333")),
        1 => ("eu-west-1", Some("444455556666")),
        2 | 3 => ("eu-west-1", None),
        _ => ("eu-west-1", Some("111122223333")),
    };
    Identity { region: region.into(), account: account.map(Into::into) }
}

/// The user edits the spec; which field, for people.
fn edit(rng: &mut Rng, spec: &mut AthenaSessionSpec) -> &'static str {
    let seconds = rng.choice([None, Some(1), Some(60), Some(900), Some(86_400)]).flatten();
    match rng.u8(..16) {
        0 => {
            spec.deletion_policy =
                if rng.bool() { DeletionPolicy::Retain } else { DeletionPolicy::Terminate };
            "deletionPolicy edited"
        }
        1 | 2 => {
            spec.restart_policy = if rng.bool() { RestartPolicy::OnFailure } else { RestartPolicy::Never };
            "restartPolicy edited"
        }
        3 => {
            spec.max_restarts = Some(rng.i32(0..4));
            "maxRestarts edited"
        }
        4 => {
            spec.startup_deadline_seconds = seconds;
            "startupDeadlineSeconds edited"
        }
        5 | 6 => {
            spec.active_deadline_seconds = seconds;
            "activeDeadlineSeconds edited"
        }
        7 => {
            spec.ttl_seconds_after_finished = seconds;
            "ttlSecondsAfterFinished edited"
        }
        _ => {
            spec.suspend = !spec.suspend;
            if spec.suspend { "suspended" } else { "resumed" }
        }
    }
}
