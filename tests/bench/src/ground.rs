//! What is measured on: an API server and an emulator of Athena, and the operator between them; and what each of them counts.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use athena_emulator::{Config, Emulator, WorkGroup};
use environment::{Operator, OperatorOptions, Scope, Signal, Stage};
use http::Method;

use crate::client::{Ask, Client};
use crate::objects::{NAMESPACES, WORK_GROUPS, namespace, work_group};
use crate::process::{self, Memory};
use crate::scrape::{self, Requests};
use crate::watch::Watch;

/// Calls to Athena are to be held up by nothing but their latency: the most that the flags take.
const UNLIMITED: [&str; 2] = ["--athena-rate=10000", "--athena-burst=10000"];
/// The operator's count of reconciles.
pub const RECONCILES: &str = "controller_runtime_reconcile_total";
/// The operator's count of writes, events among them.
const WRITES: &str = "athena_operator_writes_total";
/// Connections of the bench.
const CONNECTIONS: usize = 4;

/// What is measured on.
pub struct Ground {
    /// The bench's watch.
    pub watch: Watch,
    /// The bench's client.
    pub client: Arc<Client>,
    /// Athena.
    pub emulator: Emulator,
    /// The API server.
    pub stage: Stage,
    binary: PathBuf,
    begun: Instant,
}

impl Ground {
    /// Starts everything but the operator, whose binary this is. Every call to Athena takes 50 ms.
    ///
    /// # Errors
    /// When something cannot be started.
    pub async fn start(binary: PathBuf) -> anyhow::Result<Self> {
        let (creating, created) = (Duration::from_millis(300), Duration::ZERO);
        Self::at(
            binary,
            Config { latency: Duration::from_millis(50), creating, created, ..Config::default() },
        )
        .await
    }

    /// The same at another Athena, whose work groups are the bench's.
    ///
    /// # Errors
    /// When something cannot be started.
    pub async fn at(binary: PathBuf, athena: Config) -> anyhow::Result<Self> {
        // Nothing is to end by being idle while it is measured.
        let group =
            |number| WorkGroup { name: work_group(number), idle_minutes: 480, ..WorkGroup::default() };
        let emulator =
            Emulator::start(Config { work_groups: (0..WORK_GROUPS).map(group).collect(), ..athena }).await?;
        let stage = tokio::task::block_in_place(|| {
            let stage = Stage::start_without_audit()?;
            for number in 0..NAMESPACES {
                stage.kubectl_ok(&["create", "namespace", &namespace(number)])?;
            }
            anyhow::Ok(stage)
        })?;
        let client = Arc::new(Client::new(stage.kubeconfig(), CONNECTIONS).await?);
        let watch = Watch::start(client.clone()).await?;
        Ok(Self { watch, client, emulator, stage, binary, begun: Instant::now() })
    }

    /// Another client of the API server.
    ///
    /// # Errors
    /// When there cannot be one.
    pub async fn client(&self) -> anyhow::Result<Arc<Client>> {
        Ok(Arc::new(Client::new(self.stage.kubeconfig(), CONNECTIONS).await?))
    }

    /// Says how far the measurement is.
    pub fn say(&self, what: &str) {
        eprintln!("{:>6.1} s  {what}", self.begun.elapsed().as_secs_f64());
    }

    /// The process of kube-apiserver.
    pub fn api_server(&self) -> u32 {
        self.stage.cluster().map_or(0, environment::Cluster::api_server_pid)
    }

    /// Starts an operator, and waits until it is ready.
    ///
    /// # Errors
    /// When it is not.
    pub fn operator(&self, flags: &[&str]) -> anyhow::Result<Operator> {
        self.limited_operator(&[&UNLIMITED, flags].concat())
    }

    /// Starts an operator with no flags but these, and waits until it is ready: calls to Athena are held up by its rate limiter.
    ///
    /// # Errors
    /// When it is not.
    pub fn limited_operator(&self, flags: &[&str]) -> anyhow::Result<Operator> {
        let url = self.emulator.url();
        let options =
            OperatorOptions { binary: &self.binary, scope: Scope::Everywhere, athena: &url, flags, env: &[] };
        tokio::task::block_in_place(|| {
            let operator = Operator::start(&self.stage, &options)?;
            operator.wait_until_ready()?;
            Ok(operator)
        })
    }

    /// Ends an operator as Kubernetes does. Returns how long that took.
    ///
    /// # Errors
    /// When it goes on, or fails.
    #[allow(clippy::unused_self, reason = "the counterpart of the start")]
    pub fn stop(&self, operator: &Operator) -> anyhow::Result<Duration> {
        let begin = Instant::now();
        let status = tokio::task::block_in_place(|| operator.end(Signal::TERM))?;
        ensure!(status.success(), "the operator ended with {status}:\n{}", operator.raw_log());
        Ok(begin.elapsed())
    }

    /// What the API server was asked for so far.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn requests(&self) -> anyhow::Result<Requests> {
        let text = self.client.ok(Ask::bare(Method::GET, "/metrics")).await?;
        Ok(Requests::read(&String::from_utf8_lossy(&text)))
    }

    /// What has been counted so far.
    ///
    /// # Errors
    /// When a process has ended or does not answer.
    pub async fn counts(&self, operator: &Operator) -> anyhow::Result<Counts> {
        let cluster = self.stage.cluster().context("the API server is somebody else's")?;
        Ok(Counts {
            requests: self.requests().await?,
            own: self.client.writes(),
            calls: self.emulator.call_count(),
            reconciles: reconciles(operator)?,
            operator_cpu: process::cpu(operator.pid())?,
            server_cpu: process::cpu(cluster.api_server_pid())?,
            etcd_cpu: process::cpu(cluster.etcd_pid())?,
            memory: process::memory(operator.pid())?,
        })
    }

    /// Waits until the operator neither reconciles nor writes nor calls Athena for anything but lists for so long.
    ///
    /// # Errors
    /// When that does not come to be within `patience`.
    pub async fn quiet(
        &self,
        operator: &Operator,
        so_long: Duration,
        patience: Duration,
    ) -> anyhow::Result<()> {
        let begin = Instant::now();
        let mut since = begin;
        let mut calls = self.emulator.call_count();
        let mut before = work(operator)?;
        while since.elapsed() < so_long {
            tokio::time::sleep(Duration::from_secs(1)).await;
            let new = self.emulator.calls_after(calls);
            calls += new.len();
            let now = work(operator)?;
            #[allow(clippy::float_cmp, reason = "a counter that has not moved")]
            if now != before || new.iter().any(|call| call.operation != "ListSessions") {
                since = Instant::now();
            }
            before = now;
            ensure!(begin.elapsed() < patience, "the operator is not quiet after {} s", patience.as_secs());
        }
        Ok(())
    }
}

/// What an operator's `/metrics` shows.
///
/// # Errors
/// When it shows nothing.
pub fn metrics(operator: &Operator) -> anyhow::Result<String> {
    let (status, text) = tokio::task::block_in_place(|| operator.get("/metrics"))?;
    ensure!(status == 200, "/metrics says {status}");
    Ok(text)
}

/// How many reconciles an operator has done.
fn reconciles(operator: &Operator) -> anyhow::Result<f64> {
    Ok(scrape::sum(&metrics(operator)?, RECONCILES, |_| true))
}

/// How many reconciles an operator has done, and how many events it has published.
fn work(operator: &Operator) -> anyhow::Result<f64> {
    let metrics = metrics(operator)?;
    Ok([RECONCILES, WRITES].iter().map(|name| scrape::sum(&metrics, name, |_| true)).sum())
}

/// What has been counted up to a moment.
#[derive(Clone, Copy, Debug)]
pub struct Counts {
    /// What the API server was asked for.
    pub requests: Requests,
    /// What the bench has written itself.
    pub own: u64,
    /// Calls to Athena.
    pub calls: usize,
    /// Reconciles.
    pub reconciles: f64,
    /// CPU seconds of the operator.
    pub operator_cpu: f64,
    /// CPU seconds of the API server.
    pub server_cpu: f64,
    /// CPU seconds of etcd.
    pub etcd_cpu: f64,
    /// The operator's memory at that moment.
    pub memory: Memory,
}

/// What was counted from one moment to another.
#[derive(Clone, Copy, Debug)]
pub struct Difference {
    /// The operator's writes of objects.
    pub object_writes: f64,
    /// The operator's writes of events.
    pub event_writes: f64,
    /// Reconciles.
    pub reconciles: f64,
    /// CPU seconds of the operator.
    pub operator_cpu: f64,
    /// CPU seconds of the API server.
    pub server_cpu: f64,
    /// CPU seconds of etcd.
    pub etcd_cpu: f64,
}

impl Counts {
    /// What was counted since `before`. The bench writes nothing but objects.
    pub fn since(&self, before: &Self) -> Difference {
        #[allow(clippy::cast_precision_loss, reason = "counts are small")]
        let own = (self.own - before.own) as f64;
        Difference {
            object_writes: self.requests.objects - before.requests.objects - own,
            event_writes: self.requests.events - before.requests.events,
            reconciles: self.reconciles - before.reconciles,
            operator_cpu: self.operator_cpu - before.operator_cpu,
            server_cpu: self.server_cpu - before.server_cpu,
            etcd_cpu: self.etcd_cpu - before.etcd_cpu,
        }
    }
}
