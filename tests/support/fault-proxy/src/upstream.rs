//! The way to the API server.

use anyhow::Context;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::http::request::Parts;
use hyper::http::uri::PathAndQuery;
use hyper::{HeaderMap, Method, Request, Response, Uri, header};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use kube::client::ConfigExt;
use serde_json::Value;

/// A request whose body is complete, so that it can be passed on when the client has left.
#[derive(Clone, Debug)]
pub(crate) struct Whole {
    pub(crate) parts: Parts,
    pub(crate) body: Bytes,
}

impl Whole {
    /// The same with other parameters.
    pub(crate) fn with_query(&self, query: &str) -> Self {
        let mut whole = self.clone();
        if let Ok(target) = format!("{}?{query}", self.parts.uri.path()).parse() {
            whole.parts.uri = target;
        }
        whole
    }

    /// The request that reads the object, if this one writes a status with PUT.
    pub(crate) fn read_of_status_write(&self) -> Option<Self> {
        let object =
            self.parts.uri.path().strip_suffix("/status").filter(|_| self.parts.method == Method::PUT)?;
        let mut read = Self { parts: self.parts.clone(), body: Bytes::new() };
        read.parts.uri = object.parse().ok()?;
        read.parts.method = Method::GET;
        Some(read)
    }

    /// Gives the written object the resourceVersion of `present`.
    pub(crate) fn set_version(&mut self, present: &[u8]) -> anyhow::Result<()> {
        let present: Value = serde_json::from_slice(present)?;
        let mut written: Value = serde_json::from_slice(&self.body)?;
        written["metadata"]["resourceVersion"] = present["metadata"]["resourceVersion"].clone();
        self.body = written.to_string().into();
        Ok(())
    }
}

/// The API server.
pub(crate) struct Upstream {
    server: Uri,
    client: Client<Connector, Full<Bytes>>,
}

type Connector = hyper_rustls::HttpsConnector<HttpConnector>;

impl Upstream {
    pub(crate) fn new(config: &kube::Config) -> anyhow::Result<Self> {
        let connector =
            config.rustls_https_connector().context("cannot use the certificates of the API server")?;
        Ok(Self {
            server: config.cluster_url.clone(),
            client: Client::builder(TokioExecutor::new()).build(connector),
        })
    }

    /// Passes a request on, with its own credentials.
    pub(crate) async fn send(&self, whole: Whole) -> anyhow::Result<Response<Incoming>> {
        let path = whole.parts.uri.path_and_query().map_or("/", PathAndQuery::as_str);
        let mut request = Request::builder().method(whole.parts.method.clone());
        let authority = self.server.authority().context("the API server has no address")?;
        request = request
            .uri(Uri::builder().scheme("https").authority(authority.clone()).path_and_query(path).build()?);
        if let Some(headers) = request.headers_mut() {
            *headers = end_to_end(&whole.parts.headers);
        }
        Ok(self.client.request(request.body(Full::new(whole.body))?).await?)
    }
}

/// The headers that are not about one connection.
pub(crate) fn end_to_end(headers: &HeaderMap) -> HeaderMap {
    let mut kept = headers.clone();
    for name in
        [header::HOST, header::CONNECTION, header::TRANSFER_ENCODING, header::CONTENT_LENGTH, header::UPGRADE]
    {
        kept.remove(name);
    }
    kept
}
