//! The HTTP server for probes and metrics.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use clap::Args;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::CONTENT_TYPE;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tracing::debug;

use crate::runtime::readiness::Readiness;

/// The options of the server.
#[derive(Args, Clone, Debug)]
pub struct ServerOptions {
    /// Address of /livez, /readyz and /metrics
    #[arg(long, env = "ATHENA_OPERATOR_LISTEN", default_value = "0.0.0.0:8080", value_name = "ADDRESS")]
    pub listen: SocketAddr,
}

/// Serves `/livez`, `/readyz` and `/metrics`, with the text that `metrics` returns, on `listener` for ever.
pub async fn serve(
    listener: TcpListener,
    metrics: impl Fn() -> String + Send + Sync + 'static,
    readiness: Readiness,
) {
    let metrics = Arc::new(metrics);
    loop {
        let connection = match listener.accept().await {
            Ok((connection, _)) => connection,
            Err(error) => {
                debug!("cannot accept a connection: {error}");
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                continue;
            }
        };
        let (metrics, readiness) = (metrics.clone(), readiness.clone());
        tokio::spawn(async move {
            let service = service_fn(|request| {
                std::future::ready(Ok::<_, Infallible>(answer(&request, &*metrics, &readiness)))
            });
            if let Err(error) = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(connection), service)
                .await
            {
                debug!("a connection ended: {error}");
            }
        });
    }
}

fn answer(
    request: &Request<Incoming>,
    metrics: &impl Fn() -> String,
    readiness: &Readiness,
) -> Response<Full<Bytes>> {
    let plain = |status, text: String| (status, "text/plain", text);
    let (status, kind, body) = match (request.method(), request.uri().path()) {
        (&Method::GET, "/livez") => plain(StatusCode::OK, "ok\n".into()),
        (&Method::GET, "/readyz") => {
            let status = if readiness.is_ready() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
            plain(status, readiness.report())
        }
        (&Method::GET, "/metrics") => {
            (StatusCode::OK, "application/openmetrics-text; version=1.0.0; charset=utf-8", metrics())
        }
        _ => plain(StatusCode::NOT_FOUND, "not found; there are /livez, /readyz and /metrics\n".into()),
    };
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static(kind));
    response
}
