//! Clients of the API server: every reply begins in time or not at all, nothing is sent twice behind the caller's back, and nothing is changed without
//! the lease.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use futures::future::{BoxFuture, FutureExt};
use http::header::{AGE, DATE};
use http::{Method, Request, Response};
use hyper_rustls::{FixedServerNameResolver, HttpsConnectorBuilder};
use hyper_timeout::TimeoutConnector;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use kube::client::{Body, ClientBuilder, ConfigExt};
use kube::{Client, Config};
use tower::timeout::TimeoutLayer;
use tower::{BoxError, Layer, Service, ServiceBuilder, service_fn};

use crate::clock::{BootTime, Clock, Reply};
use crate::leadership::Leadership;
use crate::metrics::Metrics;
use crate::runtime::bounded_replies::bounded_replies;

/// How the API server is reached, from the environment: the pod's service account, or a kubeconfig. `timeout` is the longest wait for a connection and
/// for the head of a reply.
///
/// # Errors
/// When there is neither.
pub async fn config(timeout: Duration) -> anyhow::Result<Config> {
    /// Twice as long as the server is silent on a watch of which nothing changes, and more.
    const SILENCE: Duration = Duration::from_mins(3);
    let mut config = Config::infer().await.map_err(|error| anyhow::anyhow!("cannot find a Kubernetes cluster: {error}"))?;
    config.connect_timeout = Some(timeout);
    config.read_timeout = Some(SILENCE);
    config.reset_reader_on_write = true;
    // Its tries take minutes; a reconcile that ends and comes again sees what has changed.
    config.default_retry = false;
    Ok(config)
}

/// A client that needs no lease: for the lease itself. Replies correct `clock`.
///
/// # Errors
/// When the configuration cannot be used.
pub fn client(config: Config, timeout: Duration, clock: Clock, metrics: Arc<Metrics>) -> anyhow::Result<Client> {
    let layer = Observing { clock, metrics };
    let exec = config.auth_info.exec.is_some();
    // kube's own client knows what to do with them, and speaks HTTP/1.1 only.
    if exec || config.proxy_url.is_some() {
        return Ok(finished(ClientBuilder::try_from(config)?, timeout, &layer));
    }
    let namespace = config.default_namespace.clone();
    Ok(finished(ClientBuilder::new(transport(&config)?, namespace), timeout, &layer))
}

fn finished<S, B>(builder: ClientBuilder<S>, timeout: Duration, layer: &Observing) -> Client
where
    S: Service<Request<Body>, Response = Response<B>> + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Into<BoxError> + Send + Sync + 'static,
    B: http_body::Body<Data = hyper::body::Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    builder.with_layer(&TimeoutLayer::new(timeout)).with_layer(layer).build()
}

/// The way to the API server. HTTP/2, if the server speaks it, has all requests share one connection, which costs both sides less.
fn transport(
    config: &Config,
) -> anyhow::Result<impl Service<Request<Body>, Response = Response<hyper::body::Incoming>, Error = BoxError, Future: Send> + Send + 'static> {
    /// How long nothing may come on a connection with open requests until the server is asked for a sign of life, and how long that may take.
    const SILENCE: Duration = Duration::from_secs(30);
    const PATIENCE: Duration = Duration::from_secs(15);
    /// How much of a reply may arrive before it is read, and how much of all replies: no number of large ones that wait may keep the others out.
    const STREAM_WINDOW: u32 = 128 << 10;
    const CONNECTION_WINDOW: u32 = 32 << 20;
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    // Requests are smaller than what Nagle's algorithm would hold back.
    tcp.set_nodelay(true);
    let mut tls = HttpsConnectorBuilder::new().with_tls_config(config.rustls_client_config()?).https_or_http();
    if let Some(name) = &config.tls_server_name {
        let name = name.clone().try_into().with_context(|| format!("`{name}` cannot be the name of a TLS server"))?;
        tls = tls.with_server_name_resolver(FixedServerNameResolver::new(name));
    }
    let mut connector = TimeoutConnector::new(tls.enable_all_versions().wrap_connector(tcp));
    connector.set_connect_timeout(config.connect_timeout);
    connector.set_read_timeout(config.read_timeout);
    connector.set_write_timeout(config.write_timeout);
    connector.set_reset_reader_on_write(config.reset_reader_on_write);
    let client = hyper_util::client::legacy::Client::builder(TokioExecutor::new())
        .timer(TokioTimer::new())
        .pool_timer(TokioTimer::new())
        .http2_keep_alive_interval(SILENCE)
        .http2_keep_alive_timeout(PATIENCE)
        .http2_initial_stream_window_size(STREAM_WINDOW)
        .http2_initial_connection_window_size(CONNECTION_WINDOW)
        .build(connector);
    Ok(ServiceBuilder::new()
        .layer(config.base_uri_layer())
        .option_layer(config.auth_layer()?)
        .layer(config.extra_headers_layer()?)
        .map_err(BoxError::from)
        .service(client))
}

/// Counts requests, and reads the server's clock in the replies.
#[derive(Clone)]
struct Observing {
    clock: Clock,
    metrics: Arc<Metrics>,
}

#[derive(Clone)]
struct Observed<S> {
    inner: S,
    by: Observing,
}

impl<S> Layer<S> for Observing {
    type Service = Observed<S>;

    fn layer(&self, inner: S) -> Observed<S> {
        Observed { inner, by: self.clone() }
    }
}

impl Observing {
    fn read_date<B>(&self, reply: &Response<B>, sent: BootTime) {
        let date = reply.headers().get(DATE).and_then(|date| date.to_str().ok());
        // What a cache or a proxy answers tells another clock, or an old time.
        let is_own = !reply.headers().contains_key(AGE) && !reply.status().is_server_error();
        if let Some(reply) = date.filter(|_| is_own).and_then(|date| Reply::new(date, sent, BootTime::now())) {
            self.clock.observe(&reply);
        }
    }
}

impl<S, B> Service<Request<Body>> for Observed<S>
where
    S: Service<Request<Body>, Response = Response<B>>,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<S::Response, S::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let (by, method, begun, sent) = (self.by.clone(), request.method().clone(), Instant::now(), BootTime::now());
        let reply = self.inner.call(request);
        async move {
            let reply = reply.await;
            if let Ok(reply) = &reply {
                by.read_date(reply, sent);
            }
            by.metrics.api_request(&method, reply.as_ref().ok().map(Response::status), begun.elapsed());
            reply
        }
        .boxed()
    }
}

/// A client whose requests other than reads wait until this process is the leader, and whose replies take a bounded amount of memory. Replies correct `clock`.
///
/// # Errors
/// When the configuration cannot be used.
pub fn leading_client(config: Config, timeout: Duration, leadership: Leadership, clock: Clock, metrics: Arc<Metrics>) -> anyhow::Result<Client> {
    let namespace = config.default_namespace.clone();
    let inner = bounded_replies(client(config, timeout, clock, metrics)?, namespace.clone());
    let gate = service_fn(move |request: Request<Body>| {
        let (inner, leadership) = (inner.clone(), leadership.clone());
        async move {
            if request.method() != Method::GET {
                leadership.held().await;
            }
            inner.send(request).await
        }
    });
    Ok(Client::new(gate, namespace))
}
