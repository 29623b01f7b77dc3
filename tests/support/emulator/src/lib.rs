//! A stateful emulator of the session operations of Amazon Athena for Apache Spark, and of STS's `GetCallerIdentity`.
//!
//! A test starts an [`Emulator`], points a client at [`Emulator::url`], and reads afterwards what was called and what was left running:
//!
//! ```
//! # #[tokio::main]
//! # async fn main() -> std::io::Result<()> {
//! use athena_emulator::{Config, Emulator, Fault, FaultKind};
//!
//! let emulator = Emulator::start(Config::default()).await?;
//! emulator.set_faults(vec![Fault::new("StartSession", FaultKind::DropAfter).times(1)]);
//! // ... run the client against emulator.url() ...
//! assert!(emulator.calls().is_empty());
//! assert!(emulator.sessions().iter().all(|session| !session.live));
//! # Ok(())
//! # }
//! ```
//!
//! Where to look: `call` is the way of one AWS call through `faults`, `signature`, `validate` (against `shapes`) and `limits` to its
//! `operations`; these work on the `world`: every `session` with its timeline, the `tokens`, the `journal`. `engine` has the rules of the two
//! Spark engines, `reply` and `refusal` what goes over the wire, `sts` the other service, `issue` gives out credentials. `control` is the HTTP API for tests in another process,
//! which `server` serves beside AWS's.

mod call;
mod config;
mod control;
mod engine;
mod faults;
mod issue;
mod journal;
mod limits;
mod operations;
mod record;
mod refusal;
mod reply;
mod server;
mod session;
mod shapes;
mod signature;
pub mod state;
mod sts;
mod tokens;
mod validate;
mod world;

use std::net::{Ipv4Addr, SocketAddr};

use jiff::Timestamp;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

pub use config::{
    Classification, Config, Credential, Issue, Rate, TokenMismatch, UnknownSessionError, WorkGroup,
    WorkGroupState,
};
pub use faults::{Fault, FaultKind};
pub use journal::{Call, Outcome};
pub use record::{Change, SessionRecord, UnknownSession};

use server::Shared;
use world::World;

/// A running emulator. Dropping it closes its port and its connections.
#[derive(Debug)]
pub struct Emulator {
    address: SocketAddr,
    shared: Shared,
    server: JoinHandle<()>,
}

impl Emulator {
    /// Starts an emulator on a free port of 127.0.0.1.
    ///
    /// # Errors
    ///
    /// There is no free port.
    pub async fn start(config: Config) -> std::io::Result<Self> {
        Self::listen((Ipv4Addr::LOCALHOST, 0).into(), config).await
    }

    /// Starts an emulator on an address; port 0 is any free port.
    ///
    /// # Errors
    ///
    /// The address cannot be listened on.
    pub async fn listen(address: SocketAddr, config: Config) -> std::io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let shared = Shared::new(World::new(config));
        let server = tokio::spawn(server::serve(listener, shared.clone()));
        Ok(Self { address, shared, server })
    }

    /// Where it listens, such as `http://127.0.0.1:4566`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Every AWS call so far, in the order of arrival.
    pub fn calls(&self) -> Vec<Call> {
        self.shared.world().journal.calls().to_vec()
    }

    /// The calls that arrived after the first `count`.
    pub fn calls_after(&self, count: usize) -> Vec<Call> {
        self.shared.world().journal.calls().get(count..).unwrap_or_default().to_vec()
    }

    /// How many AWS calls there were so far.
    pub fn call_count(&self) -> usize {
        self.shared.world().journal.calls().len()
    }

    /// Every session that ever was, oldest first.
    pub fn sessions(&self) -> Vec<SessionRecord> {
        self.shared.world().records(Timestamp::now())
    }

    /// Replaces the rules of what goes wrong.
    pub fn set_faults(&self, faults: Vec<Fault>) {
        self.shared.world().faults = faults;
    }

    /// Changes the configuration. Sessions and tokens stay; what was due under the old configuration has happened.
    pub fn configure(&self, change: impl FnOnce(&mut Config)) {
        self.shared.world().configure(change, Timestamp::now());
    }

    /// Does something to a session without an API call.
    ///
    /// # Errors
    ///
    /// There never was a session of this id.
    pub fn set_state(&self, session_id: &str, change: Change) -> Result<(), UnknownSession> {
        self.shared.world().change(session_id, change, Timestamp::now())
    }

    /// Starts a session as another client would, without an API call and past every rule, and returns its id. An unknown work group counts as
    /// one of Spark 3.5.
    pub fn create_foreign(&self, work_group: &str, description: Option<&str>) -> String {
        let mut world = self.shared.world();
        world.add_foreign(work_group, description, Timestamp::now()).id().to_owned()
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        self.server.abort();
    }
}
