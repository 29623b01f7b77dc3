//! Clients of the API server: every reply begins in time or not at all, nothing is sent twice behind the caller's back, and nothing is changed without
//! the lease.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures::future::{BoxFuture, FutureExt};
use http::{Method, Request, Response};
use kube::client::{Body, ClientBuilder};
use kube::{Client, Config};
use tower::timeout::TimeoutLayer;
use tower::{Layer, Service, service_fn};

use crate::leadership::Leadership;
use crate::metrics::Metrics;

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

/// A client that needs no lease: for the lease itself.
///
/// # Errors
/// When the configuration cannot be used.
pub fn client(config: Config, timeout: Duration, metrics: Arc<Metrics>) -> kube::Result<Client> {
    Ok(ClientBuilder::try_from(config)?.with_layer(&TimeoutLayer::new(timeout)).with_layer(&Counting(metrics)).build())
}

/// Counts requests.
struct Counting(Arc<Metrics>);

#[derive(Clone)]
struct Counted<S> {
    inner: S,
    metrics: Arc<Metrics>,
}

impl<S> Layer<S> for Counting {
    type Service = Counted<S>;

    fn layer(&self, inner: S) -> Counted<S> {
        Counted { inner, metrics: self.0.clone() }
    }
}

impl<S, B> Service<Request<Body>> for Counted<S>
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
        let (metrics, method, begun) = (self.metrics.clone(), request.method().clone(), Instant::now());
        let reply = self.inner.call(request);
        async move {
            let reply = reply.await;
            metrics.api_request(&method, reply.as_ref().ok().map(Response::status), begun.elapsed());
            reply
        }
        .boxed()
    }
}

/// A client whose requests other than reads wait until this process is the leader.
///
/// # Errors
/// When the configuration cannot be used.
pub fn leading_client(config: Config, timeout: Duration, leadership: Leadership, metrics: Arc<Metrics>) -> kube::Result<Client> {
    let namespace = config.default_namespace.clone();
    let inner = client(config, timeout, metrics)?;
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
