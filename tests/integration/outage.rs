//! Athena or the API server away for long, and back.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use athena_emulator::{Call, Config, Emulator, Fault, FaultKind};
use environment::Operator;
use kube::config::Kubeconfig;
use serde_json::{Value, json};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::harness::{World, failed, fails, failure, has, names, spark, tests, until};

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
    let (living, ending, starting) = (names("living", 15), names("ending", 15), names("starting", 15));
    world.all_idle(&[&living[..], &ending].concat()).await?;

    let lost = Fault::new("*", FaultKind::DropBefore).chance(0.5);
    let unavailable = Fault::new("*", failure(503, "ServiceUnavailable", ""));
    world.emulator.set_faults(vec![lost, unavailable]);
    let before = world.emulator.calls().len();
    for name in &starting {
        world.create(name).await?;
    }
    for name in &ending {
        world.delete(name).await?;
    }
    tokio::time::sleep(AWAY).await;
    let away = world.emulator.calls().split_off(before);
    world.clear_faults();

    let refused = away.iter().all(|call| !call.outcome.is_ok());
    ensure!(refused && away.len() >= 60, "{} calls while Athena was away", away.len());
    let mut tries: BTreeMap<String, usize> = BTreeMap::new();
    for call in &away {
        if let Some(whose) = call.token.clone().or(call.session_id.clone()) {
            *tries.entry(whose).or_default() += 1;
        }
    }
    // Sessions that live on are asked about in lists only.
    ensure!(tries.len() == starting.len() + ending.len(), "calls were made for {} objects", tries.len());
    ensure!(tries.values().all(|count| (2..=TRIES).contains(count)), "{tries:?}");

    world.until_all(&starting, "SessionIdle").await?;
    world.until_all_gone(&ending).await?;
    until("only what is wanted lives", || world.live().len() == living.len() + starting.len()).await?;
    ensure!(world.emulator.sessions().len() == 3 * 15, "something was started twice");
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
    let kubeconfig = Kubeconfig::read_from(world.stage().kubeconfig())?;
    let server = kubeconfig.clusters[0].cluster.as_ref().and_then(|cluster| cluster.server.as_deref());
    let upstream = server.context("a server")?.trim_start_matches("https://").to_owned();
    let relay = Relay::start(upstream).await?;
    let (_folder, file) = world.kubeconfig_at(&format!("https://127.0.0.1:{}", relay.port))?;
    let operator = world.operator_with(&["--observe-interval=2s"], &[("KUBECONFIG", &file)])?;
    let [living, failing, deleted, created] =
        ["living", "failing", "deleted", "created"].map(|name| names(name, 10));
    let before = [&living[..], &failing, &deleted].concat();
    world.all_idle(&before).await?;
    let mut ids = BTreeMap::new();
    for name in before {
        let id = world.status(&name).await?.session_id.context("an id")?;
        ids.insert(name, id);
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
    let expected = failing.len()..=(2 + failing.len()) * TRIES;
    ensure!(expected.contains(&asked), "the API server was asked {asked} times");
    ensure!(operator.exit_status().is_none(), "{}", operator.raw_log());

    relay.join();
    world.until_all(&failing, "SessionFailed").await?;
    world.until_all_gone(&deleted).await?;
    world.until_all(&created, "SessionIdle").await?;
    ensure!(world.emulator.sessions().len() == ids.len() + created.len(), "something was started twice");
    ensure!(world.live().len() == living.len() + created.len());
    let ended: Vec<_> =
        world.calls("TerminateSession").into_iter().filter_map(|call| call.session_id).collect();
    let is_ended = |name: &String| ended.contains(&ids[name]);
    ensure!(deleted.iter().all(is_ended) && ended.len() == deleted.len(), "{ended:?}");
    Ok(())
}

async fn a_write_that_is_answered_with_404_is_tried_again_as_long_as_the_object_is_there(
    world: World,
) -> anyhow::Result<()> {
    // Writes of the status: attempt, session, IDLE, cause of the end, end.
    const STATUS: usize = 5;
    let (proxy, _operator, _folder) = world.behind_a_proxy().await?;
    let not_found = |verb: &str, resource: &str, after| fails(verb, resource, 404).after(after).times(1);
    let spec = spark(json!({ "activeDeadlineSeconds": 3 }));
    for number in 0..STATUS {
        let name = format!("status-{number}");
        proxy.set_faults(vec![not_found("update", "athenasessions/status", u32::try_from(number)?)]);
        world.create_with(&name, spec.clone()).await?;
        world.until_reason(&name, "DeadlineExceeded").await?;
        world.until_status(&name, "over", |status| status.end_time.is_some()).await?;
        let failed = failed(&proxy, 404);
        ensure!(failed == number + 1, "{failed} writes were answered with 404");
    }
    for name in ["added", "removed"] {
        proxy.set_faults(vec![not_found("patch", "athenasessions", u32::from(name == "removed"))]);
        world.idle(name).await?;
        world.remove(name).await?;
    }
    let sessions = world.emulator.sessions();
    ensure!(world.live().is_empty() && sessions.len() == STATUS + 2, "{sessions:?}");
    Ok(())
}

/// The reason of events that tell of missing answers.
const UNANSWERED: &str = "AthenaUnavailable";

async fn a_start_that_is_not_answered_is_told_in_one_event(world: World) -> anyhow::Result<()> {
    world.fault("StartSession", FaultKind::DropBefore);
    let _operator = world.operator()?;
    world.create("one").await?;
    until("it is tried again and again", || world.calls("StartSession").len() >= 4).await?;
    world.until_event(UNANSWERED, "").await?;
    let events = world.events(UNANSWERED)?;
    ensure!(events.len() == 1 && events[0]["count"] == 1, "{events:?}");
    world.clear_faults();
    world.until_idle("one").await?;
    Ok(())
}

async fn a_start_that_is_not_answered_is_told_though_the_status_could_not_be_written(
    world: World,
) -> anyhow::Result<()> {
    world.fault("StartSession", FaultKind::DropBefore);
    let (proxy, _operator, _folder) = world.behind_a_proxy().await?;
    for code in [409, 500] {
        // The second write says why the session does not start yet.
        proxy.set_faults(vec![fails("update", "athenasessions/status", code).after(1).times(1)]);
        let name = format!("after-{code}");
        world.create(&name).await?;
        let tells_of = |event: &Value| event["involvedObject"]["name"] == name.as_str();
        let told = || world.events(UNANSWERED).is_ok_and(|events| events.iter().any(tells_of));
        until("it is told", told).await?;
        let failed = failed(&proxy, code);
        ensure!(failed == 1, "{failed} writes failed with {code}");
    }
    world.clear_faults();
    for code in [409, 500] {
        world.until_idle(&format!("after-{code}")).await?;
    }
    Ok(())
}

async fn writes_that_conflict_for_ever_are_tried_less_and_less_often(world: World) -> anyhow::Result<()> {
    // After 0.5 to 1 s, then twice as long each time.
    const TRIES: usize = 4;
    let (proxy, _operator, _folder) = world.behind_a_proxy().await?;
    proxy.set_faults(vec![fails("update", "athenasessions/status", 409)]);
    world.create("one").await?;
    let tries = || failed(&proxy, 409);
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
    world.until_ready(name, "tried", |ready| ready.reason == "Starting" && told(&ready.message)).await?;
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
    has(&world.until_told("second", "Deleting").await?, &["proof that StartSession started no session"])
}
