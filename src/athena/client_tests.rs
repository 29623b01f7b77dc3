//! Conversion of Athena's replies.

use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::http::StatusCode;

use super::*;
use crate::athena::rate_limiter::{Bounds, Rate};

/// HTTP connector that gives the same reply to every call.
#[derive(Clone, Debug)]
struct Reply(String);

impl HttpConnector for Reply {
    fn call(&self, _: HttpRequest) -> HttpConnectorFuture {
        let status = StatusCode::try_from(200).expect("a status");
        HttpConnectorFuture::ready(Ok(HttpResponse::new(status, SdkBody::from(self.0.clone()))))
    }
}

fn athena(reply: &str) -> Athena {
    let reply = Reply(reply.to_owned());
    let credentials = Credentials::new("key", "secret", None, None, "test");
    let config = SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(aws_config::Region::from_static("eu-west-1"))
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .http_client(http_client_fn(move |_, _| SharedHttpConnector::new(reply.clone())));
    let limiter = RateLimiter::new(
        Rate { per_second: 1000.0, burst: 1000 },
        Bounds { in_flight: 1000, large: 2 },
        Arc::default(),
    );
    Athena::new(config.build(), Leadership::unbounded(), limiter, Arc::default()).expect("a client")
}

#[tokio::test]
async fn an_id_that_does_not_fit_is_none() {
    let start = async |id: String| {
        let athena = athena(&format!(r#"{{"SessionId":"{id}","State":"CREATING"}}"#));
        athena.start_session("etl", Vec::new(), athena.limiter().acquire(Priority::Start).await).await
    };
    assert_eq!(start("x".repeat(256)).await, Ok(("x".repeat(256), "CREATING".into())));
    for id in [String::new(), "x".repeat(257)] {
        assert_eq!(start(id).await.map_err(|refusal| refusal.class), Err(ErrorClass::Unanswered));
    }
}

#[tokio::test]
async fn a_summary_without_an_id_that_fits_stays_in_its_page() {
    for id in ["null".to_owned(), "\"\"".to_owned(), format!("\"{}\"", "x".repeat(257))] {
        let reply = format!(
            r#"{{"Sessions":[{{"SessionId":{id},"Description":"marked","Status":{{"State":"IDLE"}}}}]}}"#
        );
        let athena = athena(&reply);
        for part in [Part::Active, Part::Degraded] {
            let page = athena.page("etl", part, None).await.expect("a page");
            assert_eq!(page.sessions, [Summary { id: None, description: Some("marked".into()) }], "{id}");
        }
    }
}
