//! Random histories: an object in an API server, its user, the operator and Athena. A seed decides everything.

use athena_operator::api::{AthenaSession, AthenaSessionSpec, AthenaSessionStatus, DeletionPolicy, FINALIZER, RestartPolicy};
use athena_operator::known::Known;
use athena_operator::lifecycle::{Attempt, Circumstances, Identity, Limits, Seen, Step, attempt, found, next_step, search_time, wake_time};
use athena_operator::marker;
use athena_operator::refused_write;
use athena_operator::session::Search;
use athena_operator::status::{Outcome, condition, seconds, status_after};
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
}

impl Policy {
    /// It changes now and then. Returns what has, for people.
    fn change(&mut self) -> Option<&'static str> {
        let changes = self.rng.u8(..if self.refuses { 6 } else { 60 }) == 0;
        self.refuses ^= changes;
        changes.then_some(if self.refuses { "a policy refuses all updates" } else { "the policy is gone" })
    }

    /// What it does not let the operator do.
    fn refused(&self, step: &Step) -> Option<&'static str> {
        refused_write::name(step).filter(|_| self.refuses)
    }
}

struct World {
    rng: Rng,
    now: Timestamp,
    identity: Identity,
    athena: Athena,
    known: Known,
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
        let policy = Policy { rng: Rng::with_seed(!seed), refuses: false };
        let mut world = Self { rng, now, identity: identity(u8::MAX), athena, known: Known::met(now), policy, object: None, moments: Vec::new() };
        world.store("created", object, Vec::new());
        world
    }

    fn exists(&self) -> bool {
        self.object.is_some()
    }

    fn object(&self) -> AthenaSession {
        self.object.clone().expect("the object is there")
    }

    fn at(&self) -> Circumstances {
        Circumstances {
            now: self.now,
            is_time_certain: true,
            api_server_ahead: Some(SignedDuration::ZERO),
            identity: self.identity.clone(),
            limits: Limits::default(),
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
        let let_go = object.metadata.deletion_timestamp.is_some() && object.metadata.finalizers.iter().flatten().next().is_none();
        self.object = Some(stored).filter(|_| !let_go);
        self.moments.push(Moment { what, object, line, faults });
    }

    /// One reconcile, as `reconcile` does it. Returns whether the watch has something new.
    fn pass(&mut self) -> bool {
        let mut object = self.object();
        let at = self.at();
        let step = self.observe(&object, &at);
        self.known.write_wanted(&step);
        let step = if self.known.awaits_write(&step, None, at.now) { Step::Wait } else { step };
        if let Some(what) = self.policy.refused(&step) {
            let jitter = self.policy.rng.f64();
            self.known.write_refused(what, "a policy says no", None, at.now, jitter);
            self.report(&Step::Wait, &at);
            return true;
        }
        let finalizers = object.metadata.finalizers.get_or_insert_default();
        match &step {
            Step::Done => return false,
            Step::AddFinalizer => {
                finalizers.push(FINALIZER.into());
                self.known.finalizer_added = true;
                self.known.write_accepted(refused_write::name(&step));
                self.store("finalizer added", object, Vec::new());
            }
            Step::Release => {
                finalizers.retain(|name| name != FINALIZER);
                self.store("finalizer removed", object, Vec::new());
            }
            Step::Delete => {
                self.known.write_accepted(refused_write::name(&step));
                self.delete("the operator");
            }
            _ => return self.report(&step, &at),
        }
        true
    }

    fn observe(&mut self, object: &AthenaSession, at: &Circumstances) -> Step {
        let mut seen = Seen::default();
        loop {
            let status = object.status.clone().unwrap_or_default();
            let jitter = self.rng.f64();
            match (next_step(object, &self.known, &seen, at), status.session_id) {
                (Step::Look, Some(id)) => {
                    seen.look_time = Some(at.now);
                    let look = self.athena.look(&id, !self.known.trusts(&id) || status.engine_version.is_none());
                    seen.look = Some(self.known.looked(look, UID, &id, at.now, &at.limits, jitter));
                }
                // No list that tells more may begin yet.
                (Step::Search, _) if search_time(object, &self.known, at) > at.now => return Step::Wait,
                (Step::Search, _) => {
                    let search = match self.athena.search(UID) {
                        Ok(sessions) => found(sessions, object, &self.known, at.now),
                        Err(refusal) if refusal.reason == "WorkGroupNotFound" => Search::Absent { begun: at.now },
                        Err(refusal) => Search::Failed(refusal),
                    };
                    self.known.searched(&search, at.now, &at.limits, jitter);
                    seen.search = Some(search);
                }
                (Step::ReadWorkGroup, _) => {
                    let read = self.athena.work_group();
                    self.known.work_group_read(read.as_ref().copied(), at.now, jitter);
                    seen.work_group = Some(read);
                }
                (step, _) => return step,
            }
        }
    }

    fn act(&mut self, object: &AthenaSession, step: &Step, at: &Circumstances) -> Outcome {
        let (now, jitter) = (at.now, self.rng.f64());
        match step {
            Step::Start(number) => {
                let description = marker::description(&object.spec, "team", "etl", &marker::token(UID, *number));
                let doubted = self.known.starting();
                match self.athena.start(description, &object.spec, now) {
                    Ok((id, state)) => {
                        self.known.started(*number, &id, &state, now, &at.limits);
                        Outcome::Started { id, state }
                    }
                    Err(refusal) => {
                        self.known.start_refused(refusal.clone(), doubted, now, jitter);
                        Outcome::Refused(refusal)
                    }
                }
            }
            Step::Terminate => {
                let id = object.status.as_ref().and_then(|status| status.session_id.as_deref()).unwrap_or_default();
                match self.athena.terminate(id, now) {
                    Ok(()) => {
                        self.known.terminated(now, &at.limits, jitter);
                        Outcome::Nothing
                    }
                    Err(refusal) => {
                        self.known.terminate_refused(refusal.clone(), now, jitter);
                        Outcome::Refused(refusal)
                    }
                }
            }
            Step::Hold(refusal) | Step::Reject(_, refusal) => Outcome::Refused(refusal.clone()),
            _ => Outcome::Nothing,
        }
    }

    fn report(&mut self, step: &Step, at: &Circumstances) -> bool {
        let before = self.object();
        let outcome = self.act(&before, step, at);
        let status = status_after(&before, &self.known, step, &outcome, at);
        let changed = before.status.as_ref() != Some(&status);
        if changed && self.rng.u8(..40) == 0 {
            self.store("write lost to a conflict", before, Vec::new());
            return true;
        }
        let after = AthenaSession { status: Some(status.clone()), ..before.clone() };
        let mut faults = rules::broken(&before, &status, at.now);
        for (again, outcome) in [(step, &outcome), (&Step::Wait, &Outcome::Nothing)] {
            if status_after(&after, &self.known, again, outcome, at) != status {
                faults.push(format!("the report changes when it is made again after {again:?}"));
            }
        }
        self.store(&rules::short(&format!("{step:?} {outcome:?}"), 300), after, faults);
        if changed {
            if let (Step::Record(number), Some(time)) = (step, &status.attempt_time) {
                self.known.recorded(*number, time.0, matches!(attempt(&before, &self.known), Attempt::Withdrawn(_)));
            }
            self.known.session_recorded();
        }
        changed
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
        at.now = wake.map_or(at.now + MOST, |wake| wake - SignedDuration::from_millis(1)).clamp(at.now, at.now + MOST);
        let held = object.finalizers().iter().any(|name| name == FINALIZER);
        let done = object.metadata.deletion_timestamp.is_some() && !held;
        let Some(moment) = self.moments.last_mut().filter(|_| !done) else { return };
        if !at_rest {
            moment.faults.push("the operator does not come to rest".into());
        }
        let later = status_after(&object, &self.known, &Step::Wait, &Outcome::Nothing, &at);
        if object.status.as_ref() != Some(&later) {
            let ready = condition(&later, "Ready").map(|ready| format!("{} {} {}", ready.status, ready.reason, ready.message));
            moment
                .faults
                .push(rules::short(&format!("the report changes while the operator sleeps until {wake:?}, at {} to {ready:?}", at.now), 300));
        }
    }

    /// The clock goes on: to when the operator wants to wake, or to when it happens to be woken.
    fn advance(&mut self) {
        let wake = wake_time(&self.object(), &self.known, &self.at()).map(|time| time.duration_since(self.now).as_millis());
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
            self.known = Known::met(self.now);
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
            spec.deletion_policy = if rng.bool() { DeletionPolicy::Retain } else { DeletionPolicy::Terminate };
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
