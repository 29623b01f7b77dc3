//! Clients: the official SDK, and HTTP by hand.

use std::future::Future;
use std::time::Duration;

use athena_emulator::{Config, Emulator};
use aws_sdk_athena::config::retry::RetryConfig;
use aws_sdk_athena::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_athena::error::ProvideErrorMetadata;
use aws_sdk_athena::operation::start_session::builders::StartSessionFluentBuilder;
use aws_sdk_athena::types::EngineConfiguration;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Sessions are ready, and ended, at the next look.
pub(crate) fn quick() -> Config {
    Config {
        creating: Duration::ZERO,
        created: Duration::ZERO,
        terminating: Duration::ZERO,
        ..Config::default()
    }
}

pub(crate) fn athena_config(
    emulator: &Emulator,
    key: &str,
    secret: &str,
    session_token: Option<&str>,
) -> aws_sdk_athena::config::Builder {
    aws_sdk_athena::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .endpoint_url(emulator.url())
        .region(Region::new("eu-west-1"))
        .credentials_provider(Credentials::new(key, secret, session_token.map(str::to_owned), None, "test"))
        .retry_config(RetryConfig::disabled())
}

/// A client that does not retry.
pub(crate) fn athena(emulator: &Emulator) -> aws_sdk_athena::Client {
    aws_sdk_athena::Client::from_conf(athena_config(emulator, "test", "test", None).build())
}

pub(crate) fn sts(emulator: &Emulator, key: &str) -> aws_sdk_sts::Client {
    let config = aws_sdk_sts::Config::builder()
        .behavior_version(aws_sdk_sts::config::BehaviorVersion::latest())
        .endpoint_url(emulator.url())
        .region(aws_sdk_sts::config::Region::new("eu-west-1"))
        .credentials_provider(aws_sdk_sts::config::Credentials::new(key, "test", None, None, "test"))
        .retry_config(aws_sdk_sts::config::retry::RetryConfig::disabled());
    aws_sdk_sts::Client::from_conf(config.build())
}

/// An emulator, and a client of it that does not retry.
pub(crate) async fn world(config: Config) -> (Emulator, aws_sdk_athena::Client) {
    let emulator = Emulator::start(config).await.expect("an emulator");
    let client = athena(&emulator);
    (emulator, client)
}

/// The same, where sessions are ready, and ended, at the next look.
pub(crate) async fn quick_world() -> (Emulator, aws_sdk_athena::Client) {
    world(quick()).await
}

/// A token of a valid length.
pub(crate) fn token(name: &str) -> String {
    format!("{name:-<36}")
}

/// A start in the work group `spark-35`, not sent yet.
pub(crate) fn start(client: &aws_sdk_athena::Client, name: &str) -> StartSessionFluentBuilder {
    client
        .start_session()
        .work_group("spark-35")
        .engine_configuration(EngineConfiguration::builder().max_concurrent_dpus(4).build())
        .client_request_token(token(name))
}

/// Starts a session and returns its id.
pub(crate) async fn started(client: &aws_sdk_athena::Client, name: &str) -> String {
    let output = start(client, name).send().await.expect("a session");
    output.session_id.expect("an id")
}

pub(crate) async fn state(client: &aws_sdk_athena::Client, id: &str) -> String {
    let output = client.get_session_status().session_id(id).send().await.expect("a status");
    output.status.and_then(|status| status.state).expect("a state").as_str().to_owned()
}

/// The ids that `ListSessions` returns for `spark-35`.
pub(crate) async fn listed(client: &aws_sdk_athena::Client) -> Vec<String> {
    let output = client.list_sessions().work_group("spark-35").send().await.expect("a list");
    output.sessions().iter().filter_map(|session| session.session_id.clone()).collect()
}

/// Code and message of an error.
pub(crate) fn error<T>(result: Result<T, impl ProvideErrorMetadata>) -> (String, String) {
    match result {
        Ok(_) => panic!("succeeded"),
        Err(error) => {
            (error.code().unwrap_or_default().to_owned(), error.message().unwrap_or_default().to_owned())
        }
    }
}

/// Holds that a call is refused with this code and message.
pub(crate) fn refused<T>(result: Result<T, impl ProvideErrorMetadata>, code: &str, message: &str) {
    assert_eq!(error(result), (code.to_owned(), message.to_owned()));
}

/// Waits until a condition holds.
pub(crate) async fn eventually<F: Future<Output = bool>>(what: &str, mut holds: impl FnMut() -> F) {
    for _ in 0..2000 {
        if holds().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("never: {what}");
}

/// Sends bytes and returns everything that comes back until the connection closes.
pub(crate) async fn raw(url: &str, request: &str) -> String {
    let address = url.strip_prefix("http://").expect("a url");
    let mut stream = TcpStream::connect(address).await.expect("a connection");
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut reply = Vec::new();
    stream.read_to_end(&mut reply).await.expect("a reply");
    String::from_utf8(reply).expect("text")
}

/// A request to the control API: status and body.
pub(crate) async fn control(url: &str, method: &str, path: &str, body: &str) -> (u16, Value) {
    let length = body.len();
    let request = format!(
        "{method} /_emulator/{path} HTTP/1.1\r\nhost: emulator\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
    );
    let reply = raw(url, &request).await;
    let (head, body) = reply.split_once("\r\n\r\n").expect("a reply");
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    (status, serde_json::from_str(body).expect("json"))
}
