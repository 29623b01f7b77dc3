//! The bench's own client of the API server: plain requests over HTTP/2, which kube's stock client does not speak.

use std::path::Path;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, bail};
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client as Pool;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use kube::client::ConfigExt;
use kube::config::{KubeConfigOptions, Kubeconfig};
use serde_json::{Value, json};

use crate::objects::Object;

/// JSON, whole.
pub const JSON: &str = "application/json";
/// JSON of the metadata alone.
pub const METADATA: &str = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";

/// The longest time for a whole reply.
const TIMEOUT: Duration = Duration::from_mins(1);

/// A client with the rights of the administrator.
#[derive(Debug)]
pub struct Client {
    /// Each has one connection: the server takes 100 requests at a time on one.
    pools: Vec<Pool<HttpsConnector<HttpConnector>, Full<Bytes>>>,
    next: AtomicUsize,
    base: String,
    token: HeaderValue,
    writes: AtomicU64,
}

/// A request.
#[derive(Clone, Debug)]
pub struct Ask {
    /// The method.
    pub method: Method,
    /// Path and query.
    pub path: String,
    /// Type of the body.
    pub content_type: &'static str,
    /// Type of the reply.
    pub accept: &'static str,
    /// The body, empty for none.
    pub body: Bytes,
}

impl Ask {
    /// A request without a body.
    pub fn bare(method: Method, path: impl Into<String>) -> Self {
        Self { method, path: path.into(), content_type: JSON, accept: JSON, body: Bytes::new() }
    }
}

impl Client {
    /// A client of the server of a kubeconfig with a token in it.
    ///
    /// # Errors
    /// When the file cannot be used.
    pub async fn new(kubeconfig: &Path, connections: usize) -> anyhow::Result<Self> {
        let file = Kubeconfig::read_from(kubeconfig).context("cannot read the kubeconfig")?;
        // kube keeps the token to itself; a kubeconfig of the test cluster is JSON.
        let text: Value =
            serde_json::from_slice(&std::fs::read(kubeconfig)?).context("the kubeconfig is not JSON")?;
        let token = text
            .pointer("/users/0/user/token")
            .and_then(Value::as_str)
            .context("the kubeconfig has no token")?;
        let config = kube::Config::from_custom_kubeconfig(file, &KubeConfigOptions::default())
            .await
            .context("cannot use the kubeconfig")?;
        let pool = || {
            let mut connector = HttpConnector::new();
            connector.enforce_http(false);
            // Small writes that wait for each other's replies would wait for Nagle's algorithm, too.
            connector.set_nodelay(true);
            let builder =
                HttpsConnectorBuilder::new().with_tls_config(config.rustls_client_config()?).https_only();
            let connector = builder.enable_all_versions().wrap_connector(connector);
            anyhow::Ok(Pool::builder(TokioExecutor::new()).build(connector))
        };
        let mut header = HeaderValue::from_str(&format!("Bearer {token}"))?;
        header.set_sensitive(true);
        Ok(Self {
            pools: (0..connections).map(|_| pool()).collect::<Result<_, _>>()?,
            next: AtomicUsize::new(0),
            base: config.cluster_url.to_string().trim_end_matches('/').to_owned(),
            token: header,
            writes: AtomicU64::new(0),
        })
    }

    /// How many requests other than reads it has made.
    pub fn writes(&self) -> u64 {
        self.writes.load(Ordering::Relaxed)
    }

    /// Sends a request, and returns the reply once its head is there, whatever its status.
    ///
    /// # Errors
    /// When there is none.
    pub async fn open(&self, ask: Ask) -> anyhow::Result<http::Response<Incoming>> {
        if ask.method != Method::GET {
            self.writes.fetch_add(1, Ordering::Relaxed);
        }
        let pool = &self.pools[self.next.fetch_add(1, Ordering::Relaxed) % self.pools.len()];
        let request = Request::builder()
            .method(ask.method)
            .uri(format!("{}{}", self.base, ask.path))
            .header(AUTHORIZATION, &self.token)
            .header(CONTENT_TYPE, ask.content_type)
            .header(ACCEPT, ask.accept)
            .body(Full::new(ask.body))?;
        pool.request(request).await.context("the API server does not answer")
    }

    /// Sends a request and returns status and body of the reply.
    ///
    /// # Errors
    /// When there is none.
    pub async fn send(&self, ask: Ask) -> anyhow::Result<(StatusCode, Bytes)> {
        let whole = async {
            let reply = self.open(ask).await?;
            let status = reply.status();
            Ok((status, reply.into_body().collect().await.context("a reply breaks off")?.to_bytes()))
        };
        tokio::time::timeout(TIMEOUT, whole).await.context("the API server does not answer in time")?
    }

    /// Sends a request and returns the body of the reply.
    ///
    /// # Errors
    /// When there is none, or it tells of a failure.
    pub async fn ok(&self, ask: Ask) -> anyhow::Result<Bytes> {
        let what = format!("{} {}", ask.method, ask.path);
        let (status, body) = self.send(ask).await?;
        if !status.is_success() {
            bail!("{what}: {status}: {}", String::from_utf8_lossy(&body));
        }
        Ok(body)
    }

    /// Creates an object. Returns its metadata.
    ///
    /// # Errors
    /// When it cannot be created.
    pub async fn create(&self, object: &Object, manifest: &Value) -> anyhow::Result<Bytes> {
        let body = manifest.to_string().into();
        self.ok(Ask { accept: METADATA, body, ..Ask::bare(Method::POST, object.collection()) }).await
    }

    /// Merges a patch into an object.
    ///
    /// # Errors
    /// When that is refused.
    pub async fn merge(&self, object: &Object, patch: &Value) -> anyhow::Result<()> {
        let (content_type, body) = ("application/merge-patch+json", patch.to_string().into());
        let patch = Ask { content_type, accept: METADATA, body, ..Ask::bare(Method::PATCH, object.path()) };
        self.ok(patch).await.map(drop)
    }

    /// Suspends or resumes an object.
    ///
    /// # Errors
    /// When that is refused.
    pub async fn suspend(&self, object: &Object, suspend: bool) -> anyhow::Result<()> {
        self.merge(object, &json!({ "spec": { "suspend": suspend } })).await
    }

    /// Deletes an object, without waiting for it to go.
    ///
    /// # Errors
    /// When that is refused.
    pub async fn delete(&self, object: &Object) -> anyhow::Result<()> {
        self.ok(Ask { accept: METADATA, ..Ask::bare(Method::DELETE, object.path()) }).await.map(drop)
    }
}
