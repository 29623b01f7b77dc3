//! Every kind of fault, as a client sees it.

use std::time::{Duration, Instant};

use athena_emulator::{Config, Emulator, Fault, FaultKind, Outcome};
use aws_sdk_athena::config::timeout::TimeoutConfig;
use aws_sdk_athena::error::SdkError;

use crate::client::{
    athena_config, error, eventually, listed, quick, quick_world, raw, refused, start, started, state, sts,
    world,
};

async fn with(fault: Fault) -> (Emulator, aws_sdk_athena::Client) {
    let (emulator, client) = quick_world().await;
    emulator.set_faults(vec![fault]);
    (emulator, client)
}

fn outcomes(emulator: &Emulator) -> Vec<String> {
    emulator.calls().into_iter().map(|call| call.outcome.to_string()).collect()
}

#[tokio::test]
async fn a_failure_has_no_effect_and_is_used_up() {
    let kind = FaultKind::fail(503, "ServiceUnavailableException", "later");
    let (emulator, client) = with(Fault::new("StartSession", kind).times(2).after(1)).await;
    listed(&client).await;
    started(&client, "one").await;
    for _ in 0..2 {
        refused(start(&client, "two").send().await, "ServiceUnavailableException", "later");
    }
    assert_eq!(emulator.sessions().len(), 1);
    started(&client, "two").await;
    assert_eq!(
        outcomes(&emulator),
        ["ok", "ok", "ServiceUnavailableException", "ServiceUnavailableException", "ok"]
    );
}

#[tokio::test]
async fn a_chance_is_kept_and_the_same_with_the_same_seed() {
    let struck = async |seed| {
        let (emulator, client) = world(Config { seed, ..quick() }).await;
        emulator.set_faults(vec![Fault::new("*", FaultKind::Throttle).chance(0.2)]);
        for _ in 0..200 {
            let _ = client.list_sessions().work_group("spark-35").send().await;
        }
        outcomes(&emulator)
    };
    let (one, again, other) = (struck(1).await, struck(1).await, struck(2).await);
    assert_eq!(one, again);
    assert_ne!(one, other);
    let count = one.iter().filter(|outcome| *outcome == "ThrottlingException").count();
    assert!((20..=60).contains(&count), "{count} of 200");
}

#[tokio::test]
async fn a_throttle_of_everything_includes_sts() {
    let (emulator, client) = with(Fault::new("*", FaultKind::Throttle)).await;
    refused(start(&client, "one").send().await, "ThrottlingException", "Rate exceeded");
    assert_eq!(error(sts(&emulator, "test").get_caller_identity().send().await).0, "ThrottlingException");
    emulator.set_faults(Vec::new());
    started(&client, "one").await;
}

#[tokio::test]
async fn a_delay_comes_before_the_effect() {
    let duration = Duration::from_millis(60);
    let (emulator, client) = with(Fault::new("StartSession", FaultKind::Delay { duration })).await;
    let begun = Instant::now();
    let call = tokio::spawn(async move { started(&client, "slow").await });
    eventually("the call arrives", async || !emulator.calls().is_empty()).await;
    if begun.elapsed() < duration {
        assert_eq!(emulator.calls()[0].outcome, Outcome::Pending);
    }
    let id = call.await.expect("a session");
    assert!(begun.elapsed() >= duration);
    assert_eq!(emulator.calls()[0].session_id, Some(id));
}

#[tokio::test]
async fn latency_is_added_to_every_call() {
    let latency = Duration::from_millis(30);
    let (_emulator, client) = world(Config { latency, ..quick() }).await;
    let begun = Instant::now();
    listed(&client).await;
    assert!(begun.elapsed() >= latency);
}

#[tokio::test]
async fn a_dropped_call_has_its_effect_only_after_it() {
    for (kind, effect, outcome) in
        [(FaultKind::DropBefore, 0, Outcome::DroppedBefore), (FaultKind::DropAfter, 1, Outcome::DroppedAfter)]
    {
        let (emulator, client) = with(Fault::new("StartSession", kind).times(1)).await;
        let failed = start(&client, "dropped").send().await.expect_err("dropped");
        assert!(matches!(failed, SdkError::DispatchFailure(_) | SdkError::ResponseError(_)), "{failed:?}");
        assert_eq!(emulator.sessions().len(), effect);
        let call = &emulator.calls()[0];
        assert_eq!((&call.outcome, call.session_id.is_some()), (&outcome, effect == 1));
        let id = started(&client, "dropped").await;
        assert_eq!(state(&client, &id).await, "IDLE");
        assert_eq!(emulator.sessions().len(), 1);
    }
}

#[tokio::test]
async fn a_dropped_call_gets_not_a_single_byte() {
    let (emulator, _) = with(Fault::new("*", FaultKind::DropAfter)).await;
    let request = "POST / HTTP/1.1\r\nhost: emulator\r\nx-amz-target: AmazonAthena.GetSession\r\ncontent-length: 2\r\n\r\n{}";
    assert_eq!(raw(&emulator.url(), request).await, "");
    assert_eq!(outcomes(&emulator), ["dropped-after"]);
}

#[tokio::test]
async fn a_malformed_reply_is_no_success() {
    let (emulator, client) = with(Fault::new("StartSession", FaultKind::malformed()).times(1)).await;
    let failed = start(&client, "html").send().await.expect_err("malformed");
    assert!(matches!(failed, SdkError::ResponseError(_)), "{failed:?}");
    assert!(emulator.sessions().is_empty());
    assert_eq!(outcomes(&emulator), ["malformed"]);
    let empty = FaultKind::Malformed { status: 200, body: "{}".to_owned() };
    emulator.set_faults(vec![Fault::new("StartSession", empty)]);
    let output = start(&client, "empty").send().await.expect("a reply the SDK takes");
    assert_eq!(output.session_id, None);
}

#[tokio::test]
async fn a_hanging_call_never_answers_and_may_have_its_effect() {
    for (effect, outcome) in [(false, "hung-before"), (true, "hung-after")] {
        let (emulator, client) = with(Fault::new("StartSession", FaultKind::Hang { effect }).times(1)).await;
        let timeouts = TimeoutConfig::builder().operation_timeout(Duration::from_millis(80)).build();
        let config = athena_config(&emulator, "test", "test", None).timeout_config(timeouts).build();
        let failed =
            start(&aws_sdk_athena::Client::from_conf(config), "hang").send().await.expect_err("a timeout");
        assert!(matches!(failed, SdkError::TimeoutError(_)), "{failed:?}");
        assert_eq!(outcomes(&emulator), [outcome]);
        assert_eq!(emulator.sessions().len(), usize::from(effect));
        started(&client, "hang").await;
        assert_eq!(emulator.sessions().len(), 1);
    }
}

#[tokio::test]
async fn a_dropped_emulator_closes_its_port() {
    let (emulator, client) = quick_world().await;
    listed(&client).await;
    drop(emulator);
    eventually("nobody answers", async || {
        client.list_sessions().work_group("spark-35").send().await.is_err()
    })
    .await;
}
