//! Athena or the API server away for long, and back.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use athena_emulator::{Call, Config, Emulator, Fault, FaultKind};
use environment::{Operator, Scope};
use serde_json::{Value, json};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::harness::{World, ready_condition, spark, status, tests, until};

tests![
    athena_away_is_asked_at_a_bounded_rate_and_all_converges_when_it_is_back,
    a_write_that_is_answered_with_404_is_tried_again_as_long_as_the_object_is_there,
    the_api_server_away_is_asked_at_a_bounded_rate_and_all_converges_when_it_is_back,
    writes_that_conflict_for_ever_are_tried_less_and_less_often,
    a_start_that_is_not_answered_is_told_in_one_event,
    a_start_that_is_not_answered_is_told_though_the_status_could_not_be_written,
    deleting_after_a_start_that_could_not_be_sent_needs_no_proof,
    deleting_after_one_start_that_was_not_answered_and_others_that_were_not_sent_waits_for_proof,
];

/// Calls a second, and at once.
const RATE: usize = 10;
const BURST: usize = 10;
/// How long each is away.
const AWAY: Duration = Duration::from_secs(20);
/// How many calls one object may make meanwhile: one at once, then 0.5 s after it at the soonest, then 1, 2, 4 and 8; to end a session, a call and looks.
const TRIES: usize = 7;

async fn athena_away_is_asked_at_a_bounded_rate_and_all_converges_when_it_is_back(
    world: World,
) -> anyhow::Result<()> {
    let flags =
        [&format!("--athena-rate={RATE}"), &format!("--athena-burst={BURST}"), "--observe-interval=2s"];
    let _operator = world.operator_with(&flags, &[])?;
    let names = |what: &str| (0..15).map(|number| format!("{what}-{number}")).collect::<Vec<_>>();
    let (living, ending, starting) = (names("living"), names("ending"), names("starting"));
    for name in living.iter().chain(&ending) {
        world.create(name).await?;
    }
    for name in living.iter().chain(&ending) {
        world.until_idle(name).await?;
    }

    let unavailable =
        FaultKind::Fail { status: 503, code: "ServiceUnavailable".into(), message: String::new() };
    world
        .emulator
        .set_faults(vec![Fault::new("*", FaultKind::DropBefore).chance(0.5), Fault::new("*", unavailable)]);
    let before = world.emulator.calls().len();
    for name in &starting {
        world.create(name).await?;
    }
    for name in &ending {
        world.delete(name).await?;
    }
    tokio::time::sleep(AWAY).await;
    let away = world.emulator.calls().split_off(before);
    world.mend();

    ensure!(
        away.iter().all(|call| !call.outcome.is_ok()) && away.len() >= 60,
        "{} calls while Athena was away",
        away.len()
    );
    let mut tries: BTreeMap<String, usize> = BTreeMap::new();
    for call in &away {
        if let Some(whose) = call.token.clone().or(call.session_id.clone()) {
            *tries.entry(whose).or_default() += 1;
        }
    }
    // Sessions that live on are asked about in lists only.
    ensure!(tries.len() == starting.len() + ending.len(), "calls were made for {} objects", tries.len());
    ensure!(tries.values().all(|count| (2..=TRIES).contains(count)), "{tries:?}");

    for name in &starting {
        world.until_idle(name).await?;
    }
    for name in &ending {
        world.until_gone(name).await?;
    }
    until("only what is wanted lives", || world.live().len() == living.len() + starting.len()).await?;
    ensure!(
        world.emulator.sessions().len() == living.len() + ending.len() + starting.len(),
        "something was started twice"
    );
    let calls = world.emulator.calls();
    let most = (0..calls.len()).map(|first| within_a_second(&calls[first..])).max().unwrap_or_default();
    // What was sent within a second may arrive a little closer together.
    ensure!(most <= BURST + RATE + RATE / 2, "{most} calls within a second");
    Ok(())
}

fn within_a_second(calls: &[Call]) -> usize {
    calls.iter().take_while(|call| call.time.duration_since(calls[0].time).as_secs_f64() < 1.0).count()
}

async fn the_api_server_away_is_asked_at_a_bounded_rate_and_all_converges_when_it_is_back(
    world: World,
) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let own = world.stage().operator_kubeconfig(Scope::Namespace(&world.namespace))?;
    let mut kubeconfig: Value = serde_json::from_str(&std::fs::read_to_string(own)?)?;
    let server = kubeconfig["clusters"][0]["cluster"]["server"].as_str().context("a server")?;
    let relay = Relay::start(server.trim_start_matches("https://").to_owned()).await?;
    kubeconfig["clusters"][0]["cluster"]["server"] = json!(format!("https://127.0.0.1:{}", relay.port));
    let file = folder.path().join("kubeconfig");
    std::fs::write(&file, kubeconfig.to_string())?;
    let operator =
        world.operator_with(&["--observe-interval=2s"], &[("KUBECONFIG", &file.display().to_string())])?;
    let names = |what: &str| (0..10).map(|number| format!("{what}-{number}")).collect::<Vec<_>>();
    let (living, failing, deleted, created) =
        (names("living"), names("failing"), names("deleted"), names("created"));
    let mut ids = BTreeMap::new();
    for name in living.iter().chain(&failing).chain(&deleted) {
        world.create(name).await?;
    }
    for name in living.iter().chain(&failing).chain(&deleted) {
        let object = world.until_idle(name).await?;
        ids.insert(name.clone(), status(&object).session_id.context("an id")?);
    }

    relay.part();
    let before = relay.asked();
    for name in &failing {
        world.enter(&ids[name], "FAILED")?;
    }
    for name in &deleted {
        world.delete(name).await?;
    }
    for name in &created {
        world.create(name).await?;
    }
    tokio::time::sleep(AWAY).await;
    let asked = relay.asked() - before;
    ensure!(world.emulator.sessions().len() == ids.len(), "a session was started that could not be recorded");
    // The watch, all events together, and one status for each that has failed: each after 0.5 s at the soonest, then 1, 2, 4 and 8.
    ensure!(
        asked >= failing.len() && asked <= (2 + failing.len()) * TRIES,
        "the API server was asked {asked} times"
    );
    ensure!(operator.exit_status().is_none(), "{}", operator.raw_log());

    relay.join();
    for name in &failing {
        world.until_reason(name, "SessionFailed").await?;
    }
    for name in &deleted {
        world.until_gone(name).await?;
    }
    for name in &created {
        world.until_idle(name).await?;
    }
    ensure!(world.emulator.sessions().len() == ids.len() + created.len(), "something was started twice");
    ensure!(world.live().len() == living.len() + created.len());
    let ended: Vec<_> =
        world.calls("TerminateSession").into_iter().filter_map(|call| call.session_id).collect();
    ensure!(
        deleted.iter().all(|name| ended.contains(&ids[name])) && ended.len() == deleted.len(),
        "{ended:?}"
    );
    Ok(())
}

async fn a_write_that_is_answered_with_404_is_tried_again_as_long_as_the_object_is_there(
    world: World,
) -> anyhow::Result<()> {
    // Writes of the status: attempt, session, IDLE, cause of the end, end.
    const STATUS: usize = 5;
    let (proxy, operator, _folder) = world.proxied(vec![], &[]).await?;
    operator.wait_until_ready()?;
    let not_found = |verb: &str, resource: &str, after| {
        let kind = fault_proxy::FaultKind::Fail { code: 404, retry_after: None };
        fault_proxy::Fault::new(verb, resource, kind).after(after).times(1)
    };
    let spec = spark(json!({ "activeDeadlineSeconds": 3 }));
    for number in 0..STATUS {
        let name = format!("status-{number}");
        proxy.set_faults(vec![not_found("update", "athenasessions/status", u32::try_from(number)?)]);
        world.create_with(&name, spec.clone()).await?;
        world.until_reason(&name, "DeadlineExceeded").await?;
        world.until_status(&name, "over", |status| status.end_time.is_some()).await?;
        let failed = proxy
            .requests()
            .iter()
            .filter(|request| request.outcome == fault_proxy::Outcome::Failed(404))
            .count();
        ensure!(failed == number + 1, "{failed} writes were answered with 404");
    }
    for name in ["added", "removed"] {
        proxy.set_faults(vec![not_found("patch", "athenasessions", u32::from(name == "removed"))]);
        world.idle(name).await?;
        world.remove(name).await?;
    }
    ensure!(
        world.live().is_empty() && world.emulator.sessions().len() == STATUS + 2,
        "{:?}",
        world.emulator.sessions()
    );
    Ok(())
}

/// The events that tell of missing answers.
fn unavailable(world: &World) -> anyhow::Result<Vec<Value>> {
    let events: Value = serde_json::from_str(&world.kubectl(&["get", "events", "-o", "json"])?)?;
    let events = events["items"].as_array().cloned().unwrap_or_default();
    Ok(events.into_iter().filter(|event| event["reason"] == "AthenaUnavailable").collect())
}

async fn a_start_that_is_not_answered_is_told_in_one_event(world: World) -> anyhow::Result<()> {
    world.fault("StartSession", FaultKind::DropBefore);
    let _operator = world.operator()?;
    world.create("one").await?;
    until("it is tried again and again", || world.calls("StartSession").len() >= 4).await?;
    until("it is told", || unavailable(&world).is_ok_and(|events| !events.is_empty())).await?;
    let events = unavailable(&world)?;
    ensure!(events.len() == 1 && events[0]["count"] == 1, "{events:?}");
    world.mend();
    world.until_idle("one").await?;
    Ok(())
}

async fn a_start_that_is_not_answered_is_told_though_the_status_could_not_be_written(
    world: World,
) -> anyhow::Result<()> {
    world.fault("StartSession", FaultKind::DropBefore);
    let (proxy, operator, _folder) = world.proxied(vec![], &[]).await?;
    operator.wait_until_ready()?;
    for code in [409, 500] {
        // The second write says why the session does not start yet.
        let kind = fault_proxy::FaultKind::Fail { code, retry_after: None };
        proxy.set_faults(vec![
            fault_proxy::Fault::new("update", "athenasessions/status", kind).after(1).times(1),
        ]);
        let name = format!("after-{code}");
        world.create(&name).await?;
        let tells_of = |event: &Value| event["involvedObject"]["name"] == name.as_str();
        until("it is told", || unavailable(&world).is_ok_and(|events| events.iter().any(tells_of))).await?;
        let failed = proxy
            .requests()
            .iter()
            .filter(|request| request.outcome == fault_proxy::Outcome::Failed(code))
            .count();
        ensure!(failed == 1, "{failed} writes failed with {code}");
    }
    world.mend();
    for code in [409, 500] {
        world.until_idle(&format!("after-{code}")).await?;
    }
    Ok(())
}

async fn writes_that_conflict_for_ever_are_tried_less_and_less_often(world: World) -> anyhow::Result<()> {
    // After 0.5 to 1 s, then twice as long each time.
    const TRIES: usize = 4;
    let (proxy, operator, _folder) = world.proxied(vec![], &[]).await?;
    operator.wait_until_ready()?;
    let kind = fault_proxy::FaultKind::Fail { code: 409, retry_after: None };
    proxy.set_faults(vec![fault_proxy::Fault::new("update", "athenasessions/status", kind)]);
    world.create("one").await?;
    let tries = || {
        proxy.requests().iter().filter(|request| request.outcome == fault_proxy::Outcome::Failed(409)).count()
    };
    until("the first is tried", || tries() > 0).await?;
    let start = Instant::now();
    until("it is tried again and again", || tries() > TRIES).await?;
    let least = Duration::from_millis(500) * ((1 << TRIES) - 1);
    ensure!(start.elapsed() >= least, "{} tries within {:?}", tries(), start.elapsed());
    proxy.set_faults(vec![]);
    world.until_idle("one").await?;
    ensure!(world.calls("StartSession").len() == 1);
    Ok(())
}

/// A way to the API server that can be cut.
struct Relay {
    port: u16,
    open: watch::Sender<bool>,
    asked: Arc<AtomicUsize>,
    server: JoinHandle<()>,
}

impl Relay {
    async fn start(upstream: String) -> anyhow::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let port = listener.local_addr()?.port();
        let (open, opened) = watch::channel(true);
        let asked = Arc::new(AtomicUsize::new(0));
        let count = asked.clone();
        let server = tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::Relaxed);
                let (upstream, mut opened) = (upstream.clone(), opened.clone());
                tokio::spawn(async move {
                    if !*opened.borrow() {
                        return;
                    }
                    let Ok(mut server) = TcpStream::connect(upstream).await else { return };
                    tokio::select! {
                        _ = copy_bidirectional(&mut client, &mut server) => {}
                        _ = opened.wait_for(|open| !open) => {}
                    }
                });
            }
        });
        Ok(Self { port, open, asked, server })
    }

    /// Cuts all connections, and refuses others.
    fn part(&self) {
        self.open.send_replace(false);
    }

    fn join(&self) {
        self.open.send_replace(true);
    }

    /// How often a connection was asked for.
    fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// An Athena of its own, and an operator that has read the work group there. STS stays when it goes.
async fn own_athena(world: &World) -> anyhow::Result<(Emulator, Operator)> {
    let brief = Duration::from_millis(50);
    let athena =
        Emulator::start(Config { creating: brief, created: brief, terminating: brief, ..Config::default() })
            .await?;
    let operator = world.operator_with(&[], &[("AWS_ENDPOINT_URL_ATHENA", &athena.url())])?;
    world.idle("first").await?;
    Ok((athena, operator))
}

async fn is_tried(world: &World, name: &str, address: &str) -> anyhow::Result<()> {
    let told = |message: &str| {
        message.starts_with("StartSession ")
            && message.contains(address)
            && message != "StartSession is to be called"
    };
    world
        .until(name, "tried", |object| {
            ready_condition(object).is_some_and(|ready| ready.reason == "Starting" && told(&ready.message))
        })
        .await?;
    Ok(())
}

async fn deleting_after_a_start_that_could_not_be_sent_needs_no_proof(world: World) -> anyhow::Result<()> {
    let (athena, _operator) = own_athena(&world).await?;
    let address = athena.url().replace("http://", "");
    drop(athena);
    world.create("second").await?;
    is_tried(&world, "second", "").await?;
    world.remove("second").await?;

    // In the conditions it is a missing answer, and the message says who did not answer.
    world.create("third").await?;
    is_tried(&world, "third", &address).await
}

async fn deleting_after_one_start_that_was_not_answered_and_others_that_were_not_sent_waits_for_proof(
    world: World,
) -> anyhow::Result<()> {
    let (athena, _operator) = own_athena(&world).await?;
    athena.set_faults(vec![Fault::new("StartSession", FaultKind::DropAfter)]);
    world.create("second").await?;
    until("a session was started and nobody told", || athena.sessions().len() == 2).await?;
    drop(athena);
    is_tried(&world, "second", "cannot be sent").await?;
    world.delete("second").await?;
    let object = world
        .until("second", "waiting", |object| {
            ready_condition(object).is_some_and(|ready| ready.reason == "Deleting")
        })
        .await?;
    ensure!(
        ready_condition(&object)
            .is_some_and(|ready| ready.message.contains("proof that StartSession started nothing")),
        "{object:?}"
    );
    Ok(())
}
