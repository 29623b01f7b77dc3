//! Failed calls that certainly were not sent, at real sockets, and those that may have been.

use std::net::SocketAddr;

use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::Provider;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_runtime_api::client::http::{SharedHttpConnector, http_client_fn};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::athena::error::UNAVAILABLE;
use crate::athena::rate_limiter::{Bounds, Rate};

/// Returns a client of Athena at `url`, behind a proxy if there is one. A call takes a second at most.
fn athena(url: &str, proxy: Option<&str>) -> Athena {
    let timeouts = TimeoutConfig::builder().operation_timeout(Duration::from_secs(1)).build();
    let config = SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(aws_config::Region::from_static("eu-west-1"))
        .credentials_provider(SharedCredentialsProvider::new(Credentials::new(
            "key", "secret", None, None, "test",
        )))
        .sleep_impl(aws_smithy_async::rt::sleep::default_async_sleep().expect("tokio is there"))
        .timeout_config(timeouts)
        .endpoint_url(url);
    let proxy = proxy.map_or_else(ProxyConfig::disabled, |url| ProxyConfig::https(url).expect("a URL"));
    let connector = aws_smithy_http_client::Connector::builder()
        .proxy_config(proxy)
        .tls_provider(Provider::Rustls(CryptoMode::AwsLc))
        .build();
    let connector = SharedHttpConnector::new(connector);
    let config = config.http_client(http_client_fn(move |_, _| connector.clone()));
    let limiter = RateLimiter::new(
        Rate { per_second: 1000.0, burst: 1000 },
        Bounds { in_flight: 1000, large: 2 },
        Arc::default(),
    );
    Athena::new(config.build(), Leadership::unbounded(), limiter, Arc::default()).expect("a client")
}

async fn start(athena: &Athena) -> Refusal {
    athena
        .start_session("etl", b"{}".to_vec(), athena.limiter().acquire(Priority::Start).await)
        .await
        .expect_err("nobody starts anything here")
}

/// Starts a server that does this with every connection.
async fn server<F: Future<Output = ()> + Send + 'static>(serve: fn(TcpStream) -> F) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((connection, _)) = listener.accept().await {
            tokio::spawn(serve(connection));
        }
    });
    address
}

/// Ends a connection so that the peer sees a reset.
fn reset(connection: TcpStream) {
    connection.set_zero_linger().expect("a socket");
    drop(connection);
}

async fn read_request(connection: &mut TcpStream) {
    let (mut request, mut buffer) = (Vec::new(), [0; 4096]);
    // The body is `{}`.
    while !request.ends_with(b"{}") {
        let count = connection.read(&mut buffer).await.unwrap_or(0);
        if count == 0 {
            return;
        }
        request.extend_from_slice(&buffer[..count]);
    }
}

async fn answer(connection: &mut TcpStream, status: &str, body: &str) {
    let reply = format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/x-amz-json-1.1\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let _ = connection.write_all(reply.as_bytes()).await;
}

#[tokio::test]
async fn a_call_without_a_connection_was_not_sent_and_names_the_host_that_was_tried() {
    let closed = TcpListener::bind("127.0.0.1:0").await.expect("a port").local_addr().expect("an address");
    let deaf = server(|connection| async move { drop(connection) }).await;
    let refusing = server(|mut connection| async move {
        let _ = connection.read(&mut [0; 4096]).await;
        answer(&mut connection, "403 Forbidden", "no").await;
    })
    .await;
    // No label of a name may have more than 63 letters, so that no DNS server is asked for it.
    let unknown = format!("{}.example", "x".repeat(64));
    for (case, url, proxy, host) in [
        ("refused", format!("http://{closed}"), None, closed.to_string()),
        ("no such name", format!("http://{unknown}:1"), None, unknown.clone()),
        ("no TLS", format!("https://{deaf}"), None, deaf.to_string()),
        (
            "a proxy that refuses CONNECT",
            "https://athena.example".to_owned(),
            Some(format!("http://{refusing}")),
            "athena.example".to_owned(),
        ),
        (
            "a proxy that is not there",
            "https://athena.example".to_owned(),
            Some(format!("http://{closed}")),
            "athena.example".to_owned(),
        ),
    ] {
        let refusal = start(&athena(&url, proxy.as_deref())).await;
        assert_eq!(
            (refusal.class, refusal.reason),
            (ErrorClass::NotSent, UNAVAILABLE),
            "{case}: {}",
            refusal.message
        );
        assert!(refusal.message.starts_with(&host), "{case}: {}", refusal.message);
    }
}

#[tokio::test]
async fn a_call_that_may_have_been_sent_is_in_doubt() {
    let reset_at_once = server(|connection| async move { reset(connection) }).await;
    let reset_after_the_request = server(|mut connection| async move {
        read_request(&mut connection).await;
        reset(connection);
    })
    .await;
    let closed_after_the_request =
        server(|mut connection| async move { read_request(&mut connection).await }).await;
    let silent = server(|mut connection| async move {
        read_request(&mut connection).await;
        std::future::pending::<()>().await;
    })
    .await;
    let bad_gateway = server(|mut connection| async move {
        read_request(&mut connection).await;
        answer(&mut connection, "502 Bad Gateway", "<html></html>").await;
    })
    .await;
    for (case, address) in [
        ("reset before the request was read", reset_at_once),
        ("reset after the request was read", reset_after_the_request),
        ("closed without an answer", closed_after_the_request),
        ("no answer in time", silent),
        ("a proxy's 502", bad_gateway),
    ] {
        let refusal = start(&athena(&format!("http://{address}"), None)).await;
        assert_eq!(
            (refusal.class, refusal.reason),
            (ErrorClass::Unanswered, UNAVAILABLE),
            "{case}: {}",
            refusal.message
        );
    }
}

#[tokio::test]
async fn a_call_on_a_connection_that_is_closed_as_it_arrives_is_in_doubt() {
    // The first call is answered, and the connection kept; the second finds it reset.
    let address = server(|mut connection| async move {
        read_request(&mut connection).await;
        answer(
            &mut connection,
            "400 Bad Request",
            r#"{"__type":"ThrottlingException","message":"Rate exceeded"}"#,
        )
        .await;
        let _ = connection.read(&mut [0; 1]).await;
        reset(connection);
    })
    .await;
    let athena = athena(&format!("http://{address}"), None);
    assert_eq!(start(&athena).await.class, ErrorClass::Throttled);
    let refusal = start(&athena).await;
    assert_eq!(refusal.class, ErrorClass::Unanswered, "{}", refusal.message);
}
