//! What a `ClientRequestToken` stands for.

use std::time::Duration;

use athena_emulator::Config;
use aws_sdk_athena::types::SessionState;

use crate::client::{quick_world, refused, start, started, world};

#[tokio::test]
async fn a_token_stands_for_its_session_whatever_became_of_it() {
    let (emulator, client) = quick_world().await;
    let id = started(&client, "token").await;
    let replay = start(&client, "token").send().await.expect("a reply");
    assert_eq!((replay.session_id, replay.state), (Some(id.clone()), Some(SessionState::Idle)));
    client.terminate_session().session_id(&id).send().await.expect("a reply");
    let replay = start(&client, "token").send().await.expect("a reply");
    assert_eq!((replay.session_id, replay.state), (Some(id), Some(SessionState::Terminated)));
    assert_eq!(emulator.sessions().len(), 1);
    assert_ne!(started(&client, "another").await, emulator.sessions()[0].session_id);
}

#[tokio::test]
async fn a_token_is_forgotten_after_its_time_or_ignored() {
    let (emulator, client) = world(Config::default()).await;
    let first = started(&client, "token").await;
    emulator.configure(|config| config.token_memory = Some(Duration::ZERO));
    let second = started(&client, "token").await;
    assert_ne!(first, second);
    emulator.configure(|config| config.token_memory = None);
    assert_eq!(started(&client, "token").await, second);
    emulator.configure(|config| config.ignore_token = true);
    assert_ne!(started(&client, "token").await, second);
}

#[tokio::test]
async fn a_token_is_required_unless_configured_otherwise() {
    let (emulator, client) = world(Config::default()).await;
    let without = || start(&client, "").set_client_request_token(None).send();
    refused(without().await, "InvalidRequestException", "clientRequestToken is null or empty");
    emulator.configure(|config| config.require_token = false);
    let ids = [without().await, without().await].map(|output| output.expect("a session").session_id);
    assert_ne!(ids[0], ids[1]);
}
