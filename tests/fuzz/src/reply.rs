//! Replies of Athena and STS, through the real client and the SDK in it: into the pure modules, and into whole reconciles with an API server of one object.

pub(crate) mod made;

use std::future::ready;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arbitrary::{Result, Unstructured};
use athena_operator::api::AthenaSession;
use athena_operator::athena::observer::Pages;
use athena_operator::athena::rate_limiter::{Bounds, Permit, Priority, Rate, RateLimiter};
use athena_operator::athena::{Athena, Lister, Part};
use athena_operator::controller::context::Operator;
use athena_operator::controller::metrics::{Metrics, Scraped, tally};
use athena_operator::controller::reconcile::reconcile;
use athena_operator::controller::trigger::Received;
use athena_operator::runtime::clock::Clock;
use athena_operator::runtime::key::Key;
use athena_operator::runtime::leadership::Leadership;
use athena_operator::runtime::metrics::workqueue::Backlog;
use athena_operator::session::environment::{Environment, Identity, Limits};
use athena_operator::session::events;
use athena_operator::session::lifecycle::next_step;
use athena_operator::session::local_state::LocalState;
use athena_operator::session::marker::attempt_of;
use athena_operator::session::ownership::match_marked_sessions;
use athena_operator::session::pass::OperatorDecisions;
use athena_operator::session::reply::{Look, Refusal, Search, Session, WorkGroup};
use athena_operator::session::request::start_session;
use athena_operator::session::status::{Outcome, status_after};
use athena_operator::session::step::{Seen, Step};
use aws_config::stalled_stream_protection::StalledStreamProtectionConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_smithy_async::rt::sleep::{AsyncSleep, Sleep};
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::grammar::{self, ACCOUNT, ID, REGION, UID};
use crate::replay::{Replay, Reply};
use crate::secrets::{self, Lines};
use crate::server::Server;
use crate::{planted, rules};

/// A thing to do with replies.
const DOINGS: [&str; 9] = [
    "Account",
    "StartSession",
    "Look",
    "LookInFull",
    "Search",
    "List",
    "WorkGroup",
    "TerminateSession",
    "Reconcile",
];

/// No input leads to more calls: two lists that do not end, and what is found in them.
const MOST_CALLS: usize = 20_000;

/// Text is a doing, and on the lines after it the replies to its calls, each as HTTP has it; anything else says what is made.
pub fn reply(data: &[u8]) {
    Lines::keep();
    fastrand::seed(1);
    let data = secrets::scrubbed(data);
    let (doing, replay, rest) = if let Some((doing, replies)) = read(&data) {
        (doing, Replay::given(replies), &[][..])
    } else {
        let Some((first, rest)) = data.split_first() else { return };
        let (rest, replies) = rest.split_at(rest.len() / 3);
        // Whole reconciles see more.
        let doing = DOINGS[usize::from(*first).min(DOINGS.len() - 1)];
        (doing, Replay::made(replies.to_vec()), rest)
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    let u = &mut Unstructured::new(rest);
    let metrics = Arc::new(Metrics::default());
    runtime.block_on(async {
        let limiter = RateLimiter::new(
            Rate { per_second: 1e9, burst: u32::MAX },
            Bounds { in_flight: 32, large: 32 },
            metrics.athena.clone(),
        );
        let athena =
            Athena::new(config(replay.clone()), Leadership::unbounded(), limiter, metrics.athena.clone())
                .expect("a client");
        if doing == "Reconcile" {
            // Too short an input for what is to be made ends it.
            let _ = reconciles(u, &athena, &metrics).await;
        } else {
            let _ = call(u, doing, &athena).await;
        }
    });
    drop(runtime);
    assert!(replay.calls() < MOST_CALLS, "{} calls", replay.calls());
    secrets::check("the log", &Lines::taken());
    let nothing = tally(std::iter::empty(), Timestamp::UNIX_EPOCH, Timestamp::UNIX_EPOCH);
    let scraped = Scraped {
        objects: nothing,
        observations: Vec::new(),
        backlog: Backlog::default(),
        refused: Vec::new(),
        clock_skew: None,
        tasks: 3,
        lease: "athena-operator",
        leads: true,
    };
    let metrics = metrics.encode(&scraped, Instant::now());
    secrets::check("the metrics", &metrics);
    assert!(metrics.lines().count() < 2000, "the metrics grow");
}

/// Does not wait between the tries of a call.
#[derive(Clone, Copy, Debug)]
struct NoSleep;

impl AsyncSleep for NoSleep {
    fn sleep(&self, _: Duration) -> Sleep {
        Sleep::new(ready(()))
    }
}

/// The configuration that the environment would give, with credentials that are secret.
fn config(replay: Replay) -> SdkConfig {
    let credentials =
        Credentials::new(secrets::KEY, secrets::SECRET, Some(secrets::TOKEN.into()), None, "fuzz");
    SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::from_static(REGION))
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .sleep_impl(NoSleep)
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
        .http_client(replay)
        .build()
}

/// A doing and its replies, if `data` is a text of them.
fn read(data: &[u8]) -> Option<(&'static str, Vec<Reply>)> {
    let text = std::str::from_utf8(data).ok()?;
    let (doing, replies) = text.split_once('\n')?;
    let doing = DOINGS.into_iter().find(|known| *known == doing)?;
    Some((doing, replies.split("\n---\n").take(64).filter_map(read_reply).collect()))
}

fn read_reply(text: &str) -> Option<Reply> {
    if text.trim() == "LOST" {
        return Some(Reply::Io);
    }
    let (head, body) = text.split_once("\n\n").unwrap_or((text, ""));
    let mut lines = head.lines();
    let status = lines.next()?.strip_prefix("HTTP ")?.trim().parse().ok()?;
    let headers = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec()))
        .collect();
    Some(Reply::Http {
        status,
        headers,
        body: body.trim_end_matches('\n').as_bytes().to_vec(),
        broken: false,
    })
}

/// An object whose session lives, with secrets in its spec.
fn living() -> (Value, AthenaSession) {
    let raw = json!({
        "apiVersion": "athena-operator.io/v1alpha1", "kind": "AthenaSession",
        "metadata": { "name": "nightly", "namespace": "team", "uid": UID, "resourceVersion": "7", "generation": 1,
            "finalizers": ["athena-operator.io/session"] },
        "spec": { "workGroup": "spark-35", "restartPolicy": "OnFailure", "engineConfiguration": {
            "classifications": [{ "name": "spark-defaults", "properties": {
                "spark.a": secrets::PROPERTY, "spark.b": secrets::LONGER_PROPERTY, "spark.c": secrets::ESCAPED_PROPERTY } }] } },
        "status": { "attempt": 0, "attemptTime": "2026-01-01T00:00:00Z", "region": REGION, "accountId": ACCOUNT, "sessionId": ID },
    });
    let object = serde_json::from_value(raw.clone()).expect("an object");
    (raw, object)
}

/// One call, and what follows from it by the pure modules.
#[allow(clippy::too_many_lines, reason = "a branch for each call")]
async fn call(u: &mut Unstructured<'_>, doing: &str, athena: &Athena) -> Result<()> {
    let (raw, mut object) = living();
    let at = Environment {
        now: Timestamp::now() + SignedDuration::from_secs(u.arbitrary::<u16>()?.into()),
        is_time_certain: true,
        api_server_ahead: Some(SignedDuration::ZERO),
        identity: Identity { region: REGION.into(), account: Some(ACCOUNT.into()) },
        limits: Limits::default(),
        clock_origin: Timestamp::UNIX_EPOCH,
        jitter: 0.5,
    };
    let mut known = LocalState::met(at.now);
    let mut seen = Seen::default();
    let permit = athena.limiter().acquire(Priority::Look).await;
    let (step, outcome) = match doing {
        "Account" => {
            let told = athena.account().await;
            secrets::check("what is told of STS", &format!("{told:?}"));
            assert!(told.is_err() || told.is_ok_and(|account| account.len() == 12));
            return Ok(());
        }
        "StartSession" => {
            if let Some(status) = &mut object.status {
                (status.session_id, status.account_id) = (None, None);
            }
            let doubted = known.starting();
            let outcome = match athena
                .start_session(&object.spec.work_group, start_session(&object, 0).1, permit)
                .await
            {
                Ok((id, state)) => {
                    known.started(0, &id, state.clone(), &at);
                    Outcome::Started { id, state }
                }
                Err(refusal) => {
                    let refusal = refusal.redacted(&object.spec);
                    known.start_refused(refusal.clone(), doubted, &at);
                    Outcome::Refused(refusal)
                }
            };
            (Step::Start(0), outcome)
        }
        "Look" | "LookInFull" => {
            let look = athena.look(ID, doing == "LookInFull", permit).await.redacted(&object.spec);
            planted::reply(&look);
            seen.look_time = Some(at.now);
            seen.look = Some(known.looked(look, UID, ID, &at));
            (next_step(&object, &known, &seen, &at), Outcome::Nothing)
        }
        "Search" => {
            if let Some(status) = &mut object.status {
                status.session_id = None;
            }
            let search = match search(athena, permit).await {
                Ok(sessions) => match_marked_sessions(
                    sessions.into_iter().map(|session| session.redacted(&object.spec)).collect(),
                    &object,
                    &known,
                    at.now,
                ),
                Err(refusal) => Search::Failed(refusal.redacted(&object.spec)),
            };
            known.searched(&search, &at);
            seen.search = Some(search);
            (next_step(&object, &known, &seen, &at), Outcome::Nothing)
        }
        "List" => {
            let page = athena.list("spark-35", None, permit).await.unwrap_or_default();
            let session = page.sessions.into_iter().find(|session| session.id == ID);
            seen.look =
                session.and_then(|session| known.sighted(session.redacted(&object.spec), UID, ID, &at));
            (next_step(&object, &known, &seen, &at), Outcome::Nothing)
        }
        "WorkGroup" => {
            let refusal = athena.work_group("spark-35", &Key::new("team", "one"), permit, |_| {}).await;
            let refusal = refusal
                .unwrap_or_else(|| Ok(WorkGroup::default()))
                .map_or_else(Some, |group| group.refuses(&object.spec));
            let Some(refusal) = refusal.map(|refusal| refusal.redacted(&object.spec)) else { return Ok(()) };
            known.start_refused(refusal.clone(), false, &at);
            (Step::Start(0), Outcome::Refused(refusal))
        }
        _ => {
            known.looked(Look::NotFound { named: true }, UID, ID, &at);
            match athena.terminate_session(ID, permit).await {
                Ok(()) => {
                    known.terminated(&at);
                    (Step::Terminate, Outcome::Nothing)
                }
                Err(refusal) => {
                    let refusal = refusal.redacted(&object.spec);
                    known.terminate_refused(refusal.clone(), &at);
                    (Step::Terminate, Outcome::Refused(refusal))
                }
            }
        }
    };
    let status = status_after(&object, &known, &step, &outcome, &at);
    rules::check_conditions(&object, &status);
    rules::written(&raw, &object, &status);
    if let Some(event) = events::event(object.status.as_ref(), &status, &step, &outcome, &known) {
        rules::check_event(&event);
    }
    Ok(())
}

/// The sessions with the object's marker in one list, each looked at.
async fn search(athena: &Athena, permit: Permit) -> std::result::Result<Vec<Session>, Refusal> {
    drop(permit);
    let mut sessions = Vec::new();
    for part in [Part::Active, Part::Degraded] {
        let (mut pages, mut next) = (Pages::default(), None);
        loop {
            let page = athena.page("spark-35", part, next).await?;
            let marked = page.sessions.into_iter().filter(|session| {
                session.description.as_deref().is_some_and(|text| attempt_of(text, UID).is_some())
            });
            for id in marked.filter_map(|session| session.id) {
                match athena.look(&id, true, athena.limiter().acquire(Priority::Look).await).await {
                    Look::Seen(session) => sessions.push(session),
                    Look::Failed(refusal) => return Err(refusal),
                    Look::NotFound { .. } => {}
                }
            }
            next = pages.next(page.next)?;
            if next.is_none() {
                break;
            }
        }
    }
    Ok(sessions)
}

/// Reconciles of one object, while Athena says what it likes.
async fn reconciles(u: &mut Unstructured<'_>, athena: &Athena, metrics: &Arc<Metrics>) -> Result<()> {
    let limits = Limits {
        uncertainty: SignedDuration::from_secs(*u.choose(&[600, 1])?),
        transition_interval: SignedDuration::ZERO,
        observe_interval: SignedDuration::from_secs(1),
        ..Limits::default()
    };
    let raw = if u.arbitrary()? { grammar::object(u, Timestamp::now())? } else { living().0 };
    let server = Server::new(raw);
    let start = || {
        Arc::new(Operator::new(
            &OperatorDecisions,
            server.client(),
            Clock::new("the API server"),
            athena.clone(),
            limits,
            metrics.clone(),
        ))
    };
    let mut operator = start();
    for round in 0..u.int_in_range(3..=12)? {
        let Some(raw) = server.object() else { break };
        let Ok(received) = serde_json::from_str::<Received>(&raw.to_string()) else { break };
        match u.int_in_range(0..=5)? {
            // Another process takes over, and forgets every wait.
            1 | 2 => operator = start(),
            3 => operator.set_account(ACCOUNT.into()),
            _ => {}
        }
        // What the API server refuses has been found by the server itself.
        let _ = reconcile(Arc::new(received), operator.clone()).await;
        // What goes on beside it: events, a first sweep of the work group, sessions without an owner.
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
        assert!(server.writes() <= 4 * (round + 1), "{} writes in {round} rounds", server.writes());
    }
    Ok(())
}
