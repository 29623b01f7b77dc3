//! Clients of the API server. A reply whose head does not come in time is an error. No client repeats a request by itself. The [`ApiServer::leading_client`] holds
//! back each request that is not a read until this process is the leader; the plain [`ApiServer::client`] does not, since the election itself uses it.

mod kubeconfig;
mod no_proxy;
mod proxy;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use clap::Args;
use http::header::{AGE, DATE};
use http::{Method, Request, Response};
use hyper_rustls::{FixedServerNameResolver, HttpsConnectorBuilder};
use hyper_timeout::TimeoutConnector;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use kube::client::{Body, ConfigExt};
use kube::config::{Cluster, KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use tower::timeout::Timeout;
use tower::timeout::error::Elapsed;
use tower::{BoxError, Service, ServiceBuilder, ServiceExt, service_fn};
use tracing::info;

use self::proxy::{Connector, Proxy};
use crate::runtime::bounded_replies::bounded_replies;
use crate::runtime::clock::{BootTime, Clock, Reply};
use crate::runtime::leadership::Leadership;
use crate::runtime::metrics::rest_client::RestClientMetrics;
use crate::runtime::options::duration;

/// The options of the clients of the API server.
#[derive(Args, Clone, Debug)]
pub struct KubernetesOptions {
    /// Longest wait for a connection to the API server and for the head of a reply
    #[arg(long, env = "ATHENA_OPERATOR_KUBERNETES_TIMEOUT", default_value = "10s", value_parser = duration, value_name = "DURATION")]
    pub kubernetes_timeout: Duration,
}

/// Configuration of the connections to the API server.
#[derive(Clone)]
pub struct ApiServer {
    config: Config,
    proxy: Option<Proxy>,
    /// Longest wait for a connection and for the head of a reply.
    timeout: Duration,
    /// The server's clock, which replies correct.
    clock: Clock,
    metrics: Arc<RestClientMetrics>,
}

impl ApiServer {
    /// Finds the API server by the environment: by a kubeconfig, with the proxy that kubectl would use; or, by the service account of the pod,
    /// directly. `timeout` is the longest wait for a connection and for the head of a reply. Replies correct `clock`.
    ///
    /// # Errors
    /// When there is neither, when the kubeconfig cannot be used, or when the proxy's URL is not valid. The error names the setting with that URL.
    pub async fn from_env(
        timeout: Duration,
        clock: Clock,
        metrics: Arc<RestClientMetrics>,
    ) -> anyhow::Result<Self> {
        /// Longest silence on a connection: more than twice as long as the server is silent on a watch without changes.
        const READ_TIMEOUT: Duration = Duration::from_mins(3);
        let kubeconfig = Kubeconfig::read();
        let cluster = kubeconfig.as_ref().ok().and_then(current_cluster);
        let proxy =
            cluster.map(|cluster| Proxy::of(cluster, |name| std::env::var(name).ok())).transpose()?.flatten();
        let found = match kubeconfig {
            Ok(kubeconfig) => Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await,
            Err(error) => Err(error),
        };
        let (mut config, proxy) = match found {
            Ok(config) => (config, proxy),
            Err(error) => match Config::incluster() {
                Ok(config) => (config, None),
                Err(in_pod) => anyhow::bail!(
                    "cannot find a Kubernetes cluster: neither by a kubeconfig ({}) nor as a pod's ({in_pod})",
                    kubeconfig::message(&error)
                ),
            },
        };
        if let Some(problem) = kubeconfig::problem(&config.auth_info) {
            anyhow::bail!(problem);
        }
        config.apply_debug_overrides();
        // The proxy that kube sets there ignores `NO_PROXY`.
        config.proxy_url = None;
        // A little later than the request, whose failure names the proxy.
        config.connect_timeout = Some(timeout + Duration::from_millis(100));
        config.read_timeout = Some(READ_TIMEOUT);
        config.reset_reader_on_write = true;
        // kube's retries take minutes; a reconcile that ends and runs again sees the changes since.
        config.default_retry = false;
        if let Some(proxy) = &proxy {
            info!(
                proxy = proxy.authority(),
                setting = proxy.setting,
                "the API server is reached through a proxy"
            );
        }
        Ok(Self { config, proxy, timeout, clock, metrics })
    }

    /// Returns the namespace of the pod, or that of the kubeconfig's context.
    pub fn namespace(&self) -> &str {
        &self.config.default_namespace
    }

    /// Creates a client that needs no lease: for the lease itself.
    ///
    /// # Errors
    /// When the configuration cannot be used.
    pub fn client(&self) -> anyhow::Result<Client> {
        self.client_of_watches(0)
    }

    /// Creates a client for so many `watches` at a time. A few share the connection of all other requests; many have connections of their own, of
    /// which each carries no more than the server permits.
    fn client_of_watches(&self, watches: usize) -> anyhow::Result<Client> {
        /// The API server permits 100 requests at a time on a connection. A watch that starts again may be on another connection than before.
        const MAX_WATCHES: usize = 50;
        let Self { proxy, timeout, clock, metrics, .. } = self.clone();
        let through = proxy.map(|proxy| format!(" through {proxy}")).unwrap_or_default();
        let late: Arc<str> = format!("no reply within {timeout:?}{through}").into();
        let more = if watches > MAX_WATCHES { watches.div_ceil(MAX_WATCHES) } else { 0 };
        let connect = |_| Ok(Timeout::new(transport(self)?, timeout));
        let connections: Arc<[_]> = (0..=more).map(connect).collect::<anyhow::Result<_>>()?;
        let started = Arc::new(AtomicUsize::new(0));
        let observed = service_fn(move |request: Request<Body>| {
            let of_watches = &connections[usize::from(more > 0)..];
            let service = if is_watch(&request) {
                of_watches[started.fetch_add(1, Ordering::Relaxed) % of_watches.len()].clone()
            } else {
                connections[0].clone()
            };
            let (clock, metrics, late) = (clock.clone(), metrics.clone(), late.clone());
            async move {
                let (method, begun, sent) = (request.method().clone(), Instant::now(), BootTime::now());
                let reply = service.oneshot(request).await;
                if let Ok(reply) = &reply {
                    read_date(&clock, reply, sent);
                }
                metrics.requested(&method, reply.as_ref().ok().map(Response::status), begun.elapsed());
                reply.map_err(|error| {
                    if error.is::<Elapsed>() {
                        return BoxError::from(&*late);
                    }
                    kubeconfig::plugin_failure(&error.to_string()).map_or(error, BoxError::from)
                })
            }
        });
        Ok(Client::new(observed, self.namespace()))
    }

    /// Creates a client whose requests other than reads wait until this process is the leader, and whose replies take a bounded amount of memory.
    /// `watches` is the number of watches that it is to serve at a time.
    ///
    /// # Errors
    /// When the configuration cannot be used.
    pub fn leading_client(&self, leadership: Leadership, watches: usize) -> anyhow::Result<Client> {
        let namespace = self.namespace().to_owned();
        let inner = bounded_replies(self.client_of_watches(watches)?, namespace.clone());
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
}

fn is_watch(request: &Request<Body>) -> bool {
    request
        .uri()
        .query()
        .is_some_and(|query| query.split('&').any(|pair| matches!(pair, "watch=true" | "watch=1")))
}

fn current_cluster(kubeconfig: &Kubeconfig) -> Option<&Cluster> {
    let current = kubeconfig.current_context.as_ref()?;
    let context = kubeconfig.contexts.iter().find(|context| context.name == *current)?.context.as_ref()?;
    kubeconfig.clusters.iter().find(|cluster| cluster.name == context.cluster)?.cluster.as_ref()
}

/// Creates the transport to the API server. With HTTP/2, if the server speaks it, all requests share one connection, which costs both sides less.
fn transport(
    ApiServer { config, proxy, .. }: &ApiServer,
) -> anyhow::Result<
    impl Service<Request<Body>, Response = Response<hyper::body::Incoming>, Error = BoxError, Future: Send>
    + Clone
    + Send
    + 'static,
> {
    /// Longest silence on a connection with open requests before a ping is sent to the server, and longest wait for its answer.
    const PING_AFTER: Duration = Duration::from_secs(30);
    const PING_TIMEOUT: Duration = Duration::from_secs(15);
    /// Most bytes of one reply, and of all replies, that may arrive before they are read: large replies that wait must not block others, however many
    /// wait.
    const STREAM_WINDOW: u32 = 128 << 10;
    const CONNECTION_WINDOW: u32 = 32 << 20;
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    // Requests are smaller than what Nagle's algorithm would hold back.
    tcp.set_nodelay(true);
    let tls_config = config.rustls_client_config()?;
    // As in kubectl, the certificate authorities of the server are also those of an `https://` proxy.
    let to_proxy = HttpsConnectorBuilder::new()
        .with_tls_config(tls_config.clone())
        .https_or_http()
        .enable_http1()
        .wrap_connector(tcp.clone());
    let mut tls = HttpsConnectorBuilder::new().with_tls_config(tls_config).https_or_http();
    if let Some(name) = &config.tls_server_name {
        let name = name
            .clone()
            .try_into()
            .with_context(|| format!("`{name}` cannot be the name of a TLS server"))?;
        tls = tls.with_server_name_resolver(FixedServerNameResolver::new(name));
    }
    let tls = tls.enable_all_versions().wrap_connector(Connector::new(tcp, proxy.as_ref(), to_proxy));
    let mut connector = TimeoutConnector::new(tls);
    connector.set_connect_timeout(config.connect_timeout);
    connector.set_read_timeout(config.read_timeout);
    connector.set_write_timeout(config.write_timeout);
    connector.set_reset_reader_on_write(config.reset_reader_on_write);
    let client = hyper_util::client::legacy::Client::builder(TokioExecutor::new())
        .timer(TokioTimer::new())
        .pool_timer(TokioTimer::new())
        .http2_keep_alive_interval(PING_AFTER)
        .http2_keep_alive_timeout(PING_TIMEOUT)
        .http2_initial_stream_window_size(STREAM_WINDOW)
        .http2_initial_connection_window_size(CONNECTION_WINDOW)
        .build(connector);
    Ok(ServiceBuilder::new()
        .layer(config.base_uri_layer())
        .option_layer(config.auth_layer().map_err(|error| {
            kubeconfig::plugin_failure(&error.to_string()).map_or(error.into(), anyhow::Error::msg)
        })?)
        .layer(config.extra_headers_layer()?)
        // kube shows the text of an error, and not its causes.
        .map_err(|error| BoxError::from(format!("{:#}", anyhow::Error::new(error))))
        .service(client))
}

/// Corrects `clock` by the time of a reply whose request was sent at `sent`.
fn read_date<B>(clock: &Clock, reply: &Response<B>, sent: BootTime) {
    let date = reply.headers().get(DATE).and_then(|date| date.to_str().ok());
    // A reply of a cache or a proxy has the time of another clock, or an old one.
    let is_own = !reply.headers().contains_key(AGE) && !reply.status().is_server_error();
    if let Some(reply) = date.filter(|_| is_own).and_then(|date| Reply::new(date, sent, BootTime::now())) {
        clock.observe(&reply);
    }
}

/// Returns the server's message, or the failure of the connection to it. kube's own text repeats the message in details for developers, once more
/// escaped.
pub fn error_text(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) if status.message.is_empty() => {
            format!("HTTP {} {}", status.code, status.reason)
        }
        kube::Error::Api(status) => status.message.clone(),
        other => other.to_string(),
    }
}
