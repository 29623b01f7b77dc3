//! Everything at once: two replicas that are killed and stopped, an Athena that errs, people who suspend, resume and delete, and sessions that fail. Then it is
//! left alone, and all has to come to rest, with nothing started twice and nothing left over.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::ensure;
use athena_emulator::{Change, Config, Fault, FaultKind, SessionRecord, state};
use clap::Args;
use environment::{Operator, OperatorOptions, Scope, Signal};
use fastrand::Rng;
use http::Method;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::client::Ask;
use crate::ground::Ground;
use crate::objects::Object;
use crate::tasks::for_each;

/// The round of the objects.
const ROUND: &str = "chaos";
/// Replicas of the operator.
const REPLICAS: usize = 2;
/// How long nothing may change before that counts as rest: longer than anything waits but a refusal that somebody has to mend.
const QUIET: Duration = Duration::from_secs(45);
/// Characters of a UID, with which every token begins.
const UID: usize = 36;

/// What happens.
#[derive(Args, Clone, Copy, Debug)]
pub struct Chaos {
    /// AthenaSessions
    #[arg(long, env = "OBJECTS", default_value_t = 300)]
    objects: usize,
    /// Calls to Athena a second that each replica may make
    #[arg(long, env = "RATE", default_value_t = 200.0)]
    rate: f64,
    /// Seconds for which Athena's reads count as late; by default 60 from 200 calls a second on, and else the operator's 600. An object that is deleted between
    /// its finalizer and its first attempt, when the operator was killed there, waits for so long
    #[arg(long, env = "UNCERTAINTY")]
    uncertainty: Option<u64>,
    /// Seconds of disturbance
    #[arg(long, default_value_t = 90)]
    seconds: u64,
    /// Seed of all that is random
    #[arg(long, env = "SEED", default_value_t = 1)]
    seed: u64,
}

/// What came of it.
#[derive(Clone, Debug)]
pub struct Report {
    chaos: Chaos,
    /// From the last disturbance until the last change.
    pub rest: Duration,
    /// What was done, by name.
    pub done: BTreeMap<&'static str, usize>,
    /// Sessions that were started.
    pub sessions: usize,
    /// Calls to Athena.
    pub calls: usize,
    /// Attempts with more than one session, and sessions that began while another of their object lived.
    pub duplicates: Vec<String>,
    /// Sessions that live and are not those of an object that asks for one.
    pub leaks: Vec<String>,
    /// Objects that are not where their spec asks.
    pub unsettled: Vec<String>,
}

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Chaos { objects, rate, seed, .. } = &self.chaos;
        write!(
            formatter,
            "chaos objects={objects} rate={rate} uncertainty={} seed={seed} seconds_to_rest={:.0} sessions={} calls={} duplicates={} leaks={} unsettled={}",
            self.chaos.uncertainty(),
            self.rest.as_secs_f64(),
            self.sessions,
            self.calls,
            self.duplicates.len(),
            self.leaks.len(),
            self.unsettled.len(),
        )?;
        self.done.iter().try_for_each(|(name, count)| write!(formatter, " {name}={count}"))
    }
}

impl Report {
    /// What must not be.
    pub fn broken(&self) -> Vec<String> {
        let mut broken: Vec<String> =
            [&self.duplicates, &self.leaks, &self.unsettled].into_iter().flatten().cloned().collect();
        let (rest, patience) = (self.rest.as_secs(), self.chaos.patience().as_secs());
        if rest > patience {
            broken.push(format!("it came to rest after {rest} s and not within {patience} s"));
        }
        broken
    }
}

/// A replica, and until when it is stopped.
struct Replica {
    operator: Operator,
    stopped_until: Option<Instant>,
}

impl Replica {
    fn wake(&mut self) {
        if self.stopped_until.take().is_some() {
            self.operator.signal(Signal::CONT);
        }
    }
}

struct Run<'a> {
    chaos: Chaos,
    ground: &'a Ground,
    binary: &'a Path,
    random: Rng,
    replicas: Vec<Replica>,
    deleted: HashSet<usize>,
    done: BTreeMap<&'static str, usize>,
}

impl Chaos {
    fn uncertainty(&self) -> u64 {
        self.uncertainty.unwrap_or(if self.rate >= 200.0 { 60 } else { 600 })
    }

    /// How long it may take to come to rest.
    fn patience(&self) -> Duration {
        Duration::from_mins(if self.rate >= 200.0 { 5 } else { 30 })
    }

    /// Runs it with the operator `binary`.
    ///
    /// # Errors
    /// When something cannot be started, a replica panics, or the API server does not answer.
    pub async fn run(self, binary: &Path) -> anyhow::Result<Report> {
        ensure!(self.rate >= 5.0, "there is no bound for less than 5 calls a second");
        let latency = Duration::from_millis(50);
        let ground =
            Ground::at(binary.to_owned(), Config { latency, seed: self.seed, ..Config::default() }).await?;
        let random = Rng::with_seed(self.seed);
        let mut run = Run {
            chaos: self,
            ground: &ground,
            binary,
            random,
            replicas: Vec::new(),
            deleted: HashSet::new(),
            done: BTreeMap::new(),
        };
        for _ in 0..REPLICAS {
            let replica = run.replica()?;
            run.replicas.push(replica);
        }
        run.create().await?;
        run.disturb().await?;
        let (rest, objects) = run.settle().await?;
        let sessions = ground.emulator.sessions();
        let calls = ground.emulator.call_count();
        for replica in &run.replicas {
            check_log(&replica.operator)?;
        }
        Ok(Report {
            chaos: self,
            rest,
            done: run.done,
            sessions: sessions.len(),
            calls,
            duplicates: duplicates(&sessions),
            leaks: leaks(&sessions, &objects),
            unsettled: objects.iter().filter_map(|object| unsettled(object, &sessions)).collect(),
        })
    }
}

fn check_log(operator: &Operator) -> anyhow::Result<()> {
    let log = operator.raw_log();
    let panic = log.lines().find(|line| line.contains("panicked"));
    ensure!(panic.is_none(), "a replica panicked: {}", panic.unwrap_or_default());
    Ok(())
}

impl Run<'_> {
    fn replica(&self) -> anyhow::Result<Replica> {
        let rate = format!("--athena-rate={}", self.chaos.rate);
        let uncertainty = format!("--uncertainty={}s", self.chaos.uncertainty());
        let url = self.ground.emulator.url();
        let options = OperatorOptions {
            binary: self.binary,
            scope: Scope::Everywhere,
            athena: &url,
            flags: &[&rate, &uncertainty, "--lease-namespace=athena-operator"],
            env: &[("ATHENA_OPERATOR_LEADER_ELECTION", "true")],
        };
        let operator = tokio::task::block_in_place(|| Operator::start(&self.ground.stage, &options))?;
        Ok(Replica { operator, stopped_until: None })
    }

    async fn create(&self) -> anyhow::Result<()> {
        let client = self.ground.client.clone();
        for_each(self.chaos.objects, 16, move |number| {
            let (client, object) = (client.clone(), Object::new(ROUND, number));
            let mut manifest = object.manifest();
            match number % 3 {
                0 => manifest["spec"]["restartPolicy"] = json!("OnFailure"),
                1 => manifest["spec"]["suspend"] = json!(number % 2 == 0),
                _ => {}
            }
            async move { client.create(&object, &manifest).await.map(drop) }
        })
        .await
    }

    /// Does one thing after another.
    async fn disturb(&mut self) -> anyhow::Result<()> {
        let end = Instant::now() + Duration::from_secs(self.chaos.seconds);
        while Instant::now() < end {
            tokio::time::sleep(Duration::from_millis(self.random.u64(50..400))).await;
            self.mend()?;
            let name = match self.random.u32(0..100) {
                0..35 => self.edit().await?,
                35..45 => self.delete().await?,
                45..65 => self.fail()?,
                65..70 => self.kill()?,
                70..76 => self.stop(),
                _ => self.set_faults(),
            };
            *self.done.entry(name).or_default() += 1;
        }
        self.ground.emulator.set_faults(Vec::new());
        self.replicas.iter_mut().for_each(Replica::wake);
        Ok(())
    }

    /// Starts again what has ended by itself, and wakes what was stopped for long enough.
    fn mend(&mut self) -> anyhow::Result<()> {
        for index in 0..self.replicas.len() {
            let replica = &mut self.replicas[index];
            if replica.stopped_until.is_some_and(|time| time <= Instant::now()) {
                replica.wake();
            }
            if replica.operator.exit_status().is_some() {
                check_log(&replica.operator)?;
                self.replicas[index] = self.replica()?;
                *self.done.entry("restarts").or_default() += 1;
            }
        }
        Ok(())
    }

    fn any_object(&mut self) -> Option<Object> {
        let number = self.random.usize(0..self.chaos.objects);
        (!self.deleted.contains(&number)).then(|| Object::new(ROUND, number))
    }

    async fn edit(&mut self) -> anyhow::Result<&'static str> {
        let suspend = self.random.bool();
        let Some(object) = self.any_object() else { return Ok("nothing") };
        self.ground.client.suspend(&object, suspend).await?;
        Ok(if suspend { "suspends" } else { "resumes" })
    }

    async fn delete(&mut self) -> anyhow::Result<&'static str> {
        let number = self.random.usize(0..self.chaos.objects);
        if self.deleted.len() * 3 >= self.chaos.objects || !self.deleted.insert(number) {
            return Ok("nothing");
        }
        self.ground.client.delete(&Object::new(ROUND, number)).await?;
        Ok("deletions")
    }

    fn fail(&mut self) -> anyhow::Result<&'static str> {
        let live: Vec<SessionRecord> =
            self.ground.emulator.sessions().into_iter().filter(|session| session.live).collect();
        let Some(session) = self.random.choice(&live) else { return Ok("nothing") };
        let named =
            |state: &str| Change::State { state: state.to_owned(), reason: Some("it was so".to_owned()) };
        let change = match self.random.u32(0..4) {
            0 => named(state::FAILED),
            1 => named("DEGRADED"),
            2 => named(state::BUSY),
            _ => Change::Terminate,
        };
        self.ground.emulator.set_state(&session.session_id, change)?;
        Ok("session_changes")
    }

    fn kill(&mut self) -> anyhow::Result<&'static str> {
        let index = self.random.usize(0..self.replicas.len());
        check_log(&self.replicas[index].operator)?;
        let operator = &self.replicas[index].operator;
        tokio::task::block_in_place(|| operator.end(Signal::KILL))?;
        self.replicas[index] = self.replica()?;
        Ok("kills")
    }

    /// For a moment, or for longer than the lease lasts.
    fn stop(&mut self) -> &'static str {
        let index = self.random.usize(0..self.replicas.len());
        let pause = Duration::from_millis(self.random.u64(200..25_000));
        let replica = &mut self.replicas[index];
        if replica.stopped_until.is_some() {
            return "nothing";
        }
        replica.operator.signal(Signal::STOP);
        replica.stopped_until = Some(Instant::now() + pause);
        "stops"
    }

    fn set_faults(&mut self) -> &'static str {
        let kinds = [
            FaultKind::Throttle,
            FaultKind::fail(500, "InternalServerException", "an internal error"),
            FaultKind::DropBefore,
            FaultKind::DropAfter,
            FaultKind::Delay { duration: Duration::from_secs(3) },
            FaultKind::Hang { effect: self.random.bool() },
            FaultKind::malformed(),
            FaultKind::fail(400, "TooManyRequestsException", "Maximum allowed sessions exceeded"),
            FaultKind::fail(400, "InvalidRequestException", "KMS key k does not exist"),
        ];
        let chance = self.random.f64() * 0.05;
        self.ground
            .emulator
            .set_faults(kinds.into_iter().map(|kind| Fault::new("*", kind).chance(chance)).collect());
        "fault_changes"
    }

    async fn list(&self) -> anyhow::Result<Vec<Value>> {
        let text = self
            .ground
            .client
            .ok(Ask::bare(Method::GET, "/apis/athena-operator.io/v1alpha1/athenasessions"))
            .await?;
        let mut list: Value = serde_json::from_slice(&text)?;
        Ok(list["items"].as_array_mut().map(std::mem::take).unwrap_or_default())
    }

    /// Waits until nothing changes any more. Returns how long that took, and the objects then.
    async fn settle(&mut self) -> anyhow::Result<(Duration, Vec<Value>)> {
        let begin = Instant::now();
        let mut last_change = begin;
        let mut before = None;
        loop {
            tokio::time::sleep(Duration::from_secs(2)).await;
            self.mend()?;
            let objects = self.list().await?;
            let versions: Vec<Value> =
                objects.iter().map(|object| object["metadata"]["resourceVersion"].clone()).collect();
            let sessions = self.ground.emulator.sessions();
            let lives: Vec<(String, String)> =
                sessions.iter().map(|session| (session.session_id.clone(), session.state.clone())).collect();
            let now = Some((versions, lives));
            if before != now {
                (last_change, before) = (Instant::now(), now);
            }
            let is_settled = objects.iter().all(|object| unsettled(object, &sessions).is_none());
            let is_over = begin.elapsed() > self.chaos.patience() + QUIET;
            if is_over || is_settled && last_change.elapsed() > QUIET {
                return Ok((last_change.duration_since(begin), objects));
            }
        }
    }
}

/// Why an object is not where its spec asks.
fn unsettled(object: &Value, sessions: &[SessionRecord]) -> Option<String> {
    let name = &object["metadata"]["name"];
    let ready =
        object["status"]["conditions"].as_array()?.iter().find(|condition| condition["type"] == "Ready");
    let shown = ready
        .map(|ready| format!("{} {}: {}", ready["status"], ready["reason"], ready["message"]))
        .unwrap_or_default();
    let id = object["status"]["sessionId"].as_str().unwrap_or_default();
    let live = sessions.iter().any(|session| session.session_id == id && session.live);
    let reason = ready.map(|ready| ready["reason"].clone()).unwrap_or_default();
    let is_at_rest = ready.is_some_and(|ready| ready["status"] != "Unknown")
        && object["metadata"]["generation"] == object["status"]["observedGeneration"];
    let wants = object["spec"]["suspend"] != true;
    let works = reason == "SessionIdle" || reason == "SessionBusy";
    let is_right = object["metadata"]["deletionTimestamp"].is_null()
        && is_at_rest
        && works == live
        && (wants || reason == "Suspended");
    (!is_right)
        .then(|| format!("{name} is not at rest: suspend {}, session {id} live {live}, {shown}", !wants))
}

/// Attempts and objects that had more than one session at a time.
fn duplicates(sessions: &[SessionRecord]) -> Vec<String> {
    let mut attempts: HashMap<&str, Vec<&SessionRecord>> = HashMap::new();
    let mut objects: HashMap<&str, Vec<&SessionRecord>> = HashMap::new();
    for session in sessions {
        let Some(token) = session.token.as_deref() else { continue };
        attempts.entry(token).or_default().push(session);
        objects.entry(token.get(..UID).unwrap_or(token)).or_default().push(session);
    }
    let ending = |session: &SessionRecord| {
        session
            .states
            .iter()
            .find(|(name, _)| matches!(name.as_str(), "TERMINATING" | "TERMINATED" | "FAILED"))
            .map(|(_, time)| *time)
    };
    let begin = |session: &SessionRecord| session.states.first().map_or(Timestamp::MAX, |(_, time)| *time);
    let twice = attempts
        .into_iter()
        .filter(|(_, sessions)| sessions.len() > 1)
        .map(|(token, sessions)| format!("{} sessions have token {token}", sessions.len()));
    let beside = objects.into_iter().filter_map(|(uid, mut sessions)| {
        sessions.sort_by_key(|session| begin(session));
        let overlap =
            sessions.windows(2).find(|pair| ending(pair[0]).is_none_or(|end| end > begin(pair[1])))?;
        Some(format!(
            "sessions {} and {} of {uid} lived at a time",
            overlap[0].session_id, overlap[1].session_id
        ))
    });
    twice.chain(beside).collect()
}

/// Live sessions that no object has.
fn leaks(sessions: &[SessionRecord], objects: &[Value]) -> Vec<String> {
    let named: HashSet<&str> =
        objects.iter().filter_map(|object| object["status"]["sessionId"].as_str()).collect();
    let left = sessions.iter().filter(|session| session.live && !named.contains(session.session_id.as_str()));
    left.map(|session| {
        format!(
            "session {} lives in {} without an object: {:?}",
            session.session_id, session.state, session.token
        )
    })
    .collect()
}
