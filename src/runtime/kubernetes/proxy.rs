//! Proxy between this process and the API server: its choice, by kubectl's rules, and the connections through it.

use std::fmt;
use std::task::{Context, Poll};

use futures::future::{BoxFuture, FutureExt};
use http::Uri;
use http::uri::Scheme;
use hyper_rustls::{HttpsConnector, MaybeHttpsStream};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::proxy::{SocksV5, Tunnel};
use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use hyper_util::rt::TokioIo;
use kube::config::Cluster;
use tokio::net::TcpStream;
use tower::{BoxError, Service, ServiceExt};

use super::no_proxy::is_direct;

/// The member of a kubeconfig's cluster that names a proxy.
const PROXY_URL: &str = "proxy-url in the kubeconfig";

/// Proxy. Neither `Display` nor `Debug` shows the password.
#[derive(Clone)]
pub(super) struct Proxy {
    /// URL, and apart from it the user and the password.
    intercept: Intercept,
    /// Setting that names the proxy.
    pub(super) setting: &'static str,
}

/// Setting whose value is not the URL of a proxy. The value is not shown: it may contain a password.
#[derive(Debug, thiserror::Error)]
#[error(
    "{0} is not the URL of a proxy: it must be http://HOST:PORT, https://HOST:PORT or socks5://HOST:PORT; after the scheme it may have USER:PASSWORD@, percent-encoded"
)]
pub(super) struct InvalidProxy(&'static str);

impl Proxy {
    /// Returns the proxy to the API server of `cluster`: its `proxy-url`, whatever else is set; otherwise `HTTPS_PROXY` (`HTTP_PROXY` for a server
    /// without TLS), unless the server is the own machine or `NO_PROXY` names it. If a variable is unset or empty, the one in lower case counts.
    pub(super) fn of(
        cluster: &Cluster,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Option<Self>, InvalidProxy> {
        let value =
            |name: &'static str| variable(name).filter(|value| !value.is_empty()).map(|value| (name, value));
        if let Some(url) = cluster.proxy_url.as_ref().filter(|url| !url.is_empty()) {
            return Self::new(PROXY_URL, url)
                .filter(|_| url.contains("://"))
                .map(Some)
                .ok_or(InvalidProxy(PROXY_URL));
        }
        // kube reports a wrong URL of the server.
        let Some(server) = cluster.server.as_ref().and_then(|url| url.parse::<Uri>().ok()) else {
            return Ok(None);
        };
        let names =
            if is_plain(&server) { ["HTTP_PROXY", "http_proxy"] } else { ["HTTPS_PROXY", "https_proxy"] };
        let Some((name, url)) = names.into_iter().find_map(value) else { return Ok(None) };
        let proxy = Self::new(name, &url).ok_or(InvalidProxy(name))?;
        let no_proxy =
            ["NO_PROXY", "no_proxy"].into_iter().find_map(value).map(|(_, list)| list).unwrap_or_default();
        let is_direct = server.host().is_none_or(|host| is_direct(&no_proxy, host, port(&server)));
        Ok((!is_direct).then_some(proxy))
    }

    fn new(setting: &'static str, url: &str) -> Option<Self> {
        let intercept = Matcher::builder().all(url).build().intercept(&Uri::from_static("https://any"))?;
        let (scheme, authority) = (intercept.uri().scheme_str()?, intercept.uri().authority()?);
        // A password that is not encoded may end at one of `@/?#` in it. The text after that, or before it, would be taken for the host.
        let after_scheme = url.split_once("://").map_or(url, |(_, rest)| rest).trim_end_matches('/');
        let is_whole = !authority.as_str().contains('@') && !after_scheme.contains(['/', '?', '#']);
        let has_port = authority.port_u16().is_some() || authority.as_str() == authority.host();
        let is_known = matches!(scheme, "http" | "https" | "socks5" | "socks5h");
        (is_known && is_whole && has_port).then_some(Self { intercept, setting })
    }

    /// Returns host and port.
    pub(super) fn authority(&self) -> &str {
        self.intercept.uri().authority().map_or("", http::uri::Authority::as_str)
    }
}

/// Form for messages.
impl fmt::Display for Proxy {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "the proxy {} of {}", self.authority(), self.setting)
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

fn is_plain(server: &Uri) -> bool {
    server.scheme() == Some(&Scheme::HTTP)
}

fn port(server: &Uri) -> u16 {
    server.port_u16().unwrap_or(if is_plain(server) { 80 } else { 443 })
}

/// Returns `url` with `port` if it has none. Whatever the scheme, hyper takes 443 for a server behind a proxy, and 80 for a SOCKS proxy.
fn with_port(url: Uri, port: u16) -> Uri {
    let Some(authority) = url.authority().filter(|authority| authority.port().is_none()) else { return url };
    let authority = format!("{authority}:{port}");
    let mut parts = url.clone().into_parts();
    parts.authority = authority.parse().ok();
    Uri::from_parts(parts).unwrap_or(url)
}

/// Connector for the connections below the API server's TLS.
#[derive(Clone)]
pub(super) enum Connector {
    /// Connection to the server itself.
    Direct(HttpConnector),
    /// Connection through a proxy, by CONNECT.
    Tunnel(Tunnel<HttpsConnector<HttpConnector>>, Proxy),
    /// Connection through a SOCKS proxy, which looks up the server's name.
    Socks(SocksV5<HttpConnector>, Proxy),
}

impl Connector {
    /// Creates a connector by `tcp`, or through `proxy`, to which `to_proxy` connects, with TLS if the proxy has an `https://` URL.
    pub(super) fn new(
        tcp: HttpConnector,
        proxy: Option<&Proxy>,
        to_proxy: HttpsConnector<HttpConnector>,
    ) -> Self {
        let Some(proxy) = proxy.cloned() else { return Self::Direct(tcp) };
        let url = proxy.intercept.uri().clone();
        if url.scheme_str().is_some_and(|scheme| scheme.starts_with("socks5")) {
            let mut socks = SocksV5::new(with_port(url, 1080), tcp);
            if let Some((user, password)) = proxy.intercept.raw_auth() {
                socks = socks.with_auth(user.to_owned(), password.to_owned());
            }
            return Self::Socks(socks, proxy);
        }
        let mut tunnel = Tunnel::new(url, to_proxy);
        if let Some(authorization) = proxy.intercept.basic_auth() {
            tunnel = tunnel.with_auth(authorization.clone());
        }
        Self::Tunnel(tunnel, proxy)
    }
}

impl Service<Uri> for Connector {
    type Response = MaybeHttpsStream<TokioIo<TcpStream>>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Self::Response, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, server: Uri) -> Self::Future {
        let connector = self.clone();
        let port = port(&server);
        let target = with_port(server.clone(), port);
        async move {
            let (connected, proxy) = match connector {
                Self::Direct(tcp) => return Ok(MaybeHttpsStream::Http(tcp.oneshot(server).await?)),
                Self::Tunnel(tunnel, proxy) => {
                    (tunnel.oneshot(target.clone()).await.map_err(BoxError::from), proxy)
                }
                Self::Socks(socks, proxy) => (
                    socks.oneshot(target.clone()).await.map(MaybeHttpsStream::Http).map_err(BoxError::from),
                    proxy,
                ),
            };
            connected.map_err(|error| {
                let target = target.authority().map(ToString::to_string).unwrap_or_default();
                let problem = format!("no connection to {target} through {proxy}");
                anyhow::Error::from_boxed(error).context(problem).into()
            })
        }
        .boxed()
    }
}

#[cfg(test)]
#[path = "proxy_tests.rs"]
mod tests;
