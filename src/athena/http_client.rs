//! The SDK's HTTP client, with a check of each reply before the SDK reads it.

use aws_config::BehaviorVersion;
use aws_smithy_runtime::client::defaults::default_http_client_plugin_v2;
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, SharedHttpClient, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponentsBuilder;
use aws_smithy_runtime_api::client::runtime_plugin::RuntimePlugin;
use aws_smithy_types::body::SdkBody;
use futures::future::{BoxFuture, FutureExt};
use http_body_util::Limited;

/// Maximum length of a reply, in bytes. The SDK reads a reply whole. The longest ones, a page of sessions and a session with its properties, have some
/// hundred kilobytes.
const LARGEST: usize = 4 << 20;

/// Check of a reply, beside the URI of its request.
pub(super) type Check = fn(&str, HttpResponse) -> BoxFuture<'static, Result<HttpResponse, ConnectorError>>;

/// Returns the SDK's client, whose replies are bounded: a longer one is an error.
pub(super) fn bounded() -> Option<SharedHttpClient> {
    checked(|_, reply| async move { Ok(limited(reply, LARGEST)) }.boxed())
}

/// Returns the SDK's client with `check` of each reply.
pub(super) fn checked(check: Check) -> Option<SharedHttpClient> {
    let plugin = default_http_client_plugin_v2(BehaviorVersion::latest())?;
    let inner = plugin.runtime_components(&RuntimeComponentsBuilder::new("replies")).http_client()?;
    Some(http_client_fn(move |settings, components| {
        SharedHttpConnector::new(Connector { inner: inner.http_connector(settings, components), check })
    }))
}

/// Returns `reply` with a body that fails once it is longer than `largest` bytes.
pub(super) fn limited(reply: HttpResponse, largest: usize) -> HttpResponse {
    reply.map(|body| SdkBody::from_body_1_x(Limited::new(body, largest)))
}

#[derive(Debug)]
struct Connector {
    inner: SharedHttpConnector,
    check: Check,
}

impl HttpConnector for Connector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let (uri, check) = (request.uri().to_owned(), self.check);
        let reply = self.inner.call(request);
        HttpConnectorFuture::new(async move { check(&uri, reply.await?).await })
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    #[tokio::test]
    async fn a_reply_fails_beyond_its_bound() {
        let read = async |length: usize| {
            let status = 200.try_into().expect("a status");
            let reply = HttpResponse::new(status, SdkBody::from("x".repeat(length)));
            limited(reply, 10).into_body().collect().await.map(|body| body.to_bytes().len()).ok()
        };
        assert_eq!((read(10).await, read(11).await), (Some(10), None));
    }

    #[test]
    fn the_sdk_has_a_client_to_bound() {
        assert!(bounded().is_some());
    }
}
