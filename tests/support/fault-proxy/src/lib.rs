//! A proxy before a Kubernetes API server. It takes plain HTTP/1.1 on loopback, passes everything on over TLS with the credentials it came with,
//! journals it, and has go wrong what a test asks for.
//!
//! Where to look: `server` takes a request and applies its fault, `upstream` passes it on, `watch` is what becomes of the events of a watch,
//! `request` tells what a request is about, `reply` what the proxy answers itself. [`Fault`] and [`Request`] are what a test works with.

mod faults;
mod journal;
mod line;
mod reply;
mod request;
mod server;
mod upstream;
mod watch;

use std::net::{Ipv4Addr, SocketAddr};

use tokio::net::TcpListener;
use tokio::task::JoinHandle;

pub use faults::{Fault, FaultKind};
pub use journal::{Outcome, Request};
pub use request::Operation;

use server::{CLIENTS, Shared};
use upstream::Upstream;

/// A running proxy. Dropping it closes its port and its connections.
pub struct FaultProxy {
    address: SocketAddr,
    shared: Shared,
    server: JoinHandle<()>,
}

impl FaultProxy {
    /// Starts a proxy on a free port of 127.0.0.1 before the API server that `config` names. Credentials in it are not used: each request goes on with
    /// its own.
    ///
    /// # Errors
    /// When the server's certificates cannot be used or there is no free port.
    pub async fn start(config: &kube::Config) -> anyhow::Result<Self> {
        let upstream = Upstream::new(config)?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let shared = Shared::new(upstream);
        let server = tokio::spawn(server::serve(listener, shared.clone()));
        Ok(Self { address, shared, server })
    }

    /// Where it listens, such as `http://127.0.0.1:8001`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The same for one of several clients, which is then named in the journal.
    pub fn url_for(&self, client: &str) -> String {
        format!("http://{}{CLIENTS}{client}", self.address)
    }

    /// Every request so far, in the order of arrival.
    pub fn requests(&self) -> Vec<Request> {
        self.shared.state().journal.requests().to_vec()
    }

    /// How many requests have arrived so far.
    pub fn arrived(&self) -> usize {
        self.shared.state().journal.requests().len()
    }

    /// The requests that arrived after the first `count`.
    pub fn requests_after(&self, count: usize) -> Vec<Request> {
        self.shared.state().journal.requests().get(count..).unwrap_or_default().to_vec()
    }

    /// Replaces the rules of what goes wrong.
    pub fn set_faults(&self, faults: Vec<Fault>) {
        self.shared.state().faults = faults;
    }

    /// Replaces the resourceVersion of each status that is written from now on by the present one, as if the client compared nothing.
    pub fn write_blindly(&self) {
        self.shared.state().writes_blindly = true;
    }

    /// Closes the connections of all watches that are open.
    pub fn cut_watches(&self) {
        self.shared.cut_watches();
    }

    /// Passes on what [`FaultKind::Late`] has held back, in the order of arrival, and returns the statuses of the replies.
    ///
    /// # Errors
    /// When the API server does not answer.
    pub async fn deliver(&self) -> anyhow::Result<Vec<u16>> {
        server::deliver(&self.shared).await
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        self.server.abort();
    }
}
