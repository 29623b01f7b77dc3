//! A running operator.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Command, ExitStatus};
use std::sync::OnceLock;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use cluster::{Process, Signal};
use harness::until;
use serde_json::Value;

use crate::stage::{Scope, Stage};

/// Longest wait for an operator.
const PATIENCE: Duration = Duration::from_secs(30);

/// How to run an operator.
#[derive(Clone, Debug)]
pub struct OperatorOptions<'a> {
    /// The binary.
    pub binary: &'a Path,
    /// What it may see and watches.
    pub scope: Scope<'a>,
    /// Where Athena is.
    pub athena: &'a str,
    /// Further flags.
    pub flags: &'a [&'a str],
    /// Further environment variables. Without one that says otherwise, there is no leader election: what follows a kill need not wait for a lease.
    pub env: &'a [(&'a str, &'a str)],
}

/// A running operator; stopped when dropped.
pub struct Operator {
    process: Process,
    address: OnceLock<SocketAddr>,
}

impl Operator {
    /// Starts an operator. It has its own service account, and credentials that the emulator takes by default.
    ///
    /// # Errors
    /// When its account cannot be made or it cannot be run.
    pub fn start(stage: &Stage, options: &OperatorOptions<'_>) -> anyhow::Result<Self> {
        let mut command = Command::new(options.binary);
        command.arg("run").args(["--listen=127.0.0.1:0", "--log-format=json"]);
        command.env_remove("AWS_PROFILE").env("AWS_EC2_METADATA_DISABLED", "true");
        command.envs([
            ("AWS_REGION", "eu-west-1"),
            ("AWS_ACCESS_KEY_ID", "test"),
            ("AWS_SECRET_ACCESS_KEY", "test"),
            ("AWS_ENDPOINT_URL", options.athena),
            ("ATHENA_OPERATOR_LEADER_ELECTION", "false"),
        ]);
        command.env("KUBECONFIG", stage.operator_kubeconfig(options.scope)?);
        if let Scope::Namespace(namespace) = options.scope {
            command.arg(format!("--namespaces={namespace}"));
        }
        command.args(options.flags).envs(options.env.iter().copied());
        Ok(Self { process: stage.spawn("athena-operator", command)?, address: OnceLock::new() })
    }

    /// What it has logged, line by line.
    pub fn log(&self) -> Vec<Value> {
        self.process.log().lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// What it has logged, as it is.
    pub fn raw_log(&self) -> String {
        self.process.log()
    }

    /// The file that it logs to.
    pub fn log_file(&self) -> &Path {
        self.process.log_file()
    }

    /// Where its probes and metrics are, once it says so.
    pub fn address(&self) -> Option<SocketAddr> {
        // Kept, since the log of a busy operator is long.
        if let Some(address) = self.address.get() {
            return Some(*address);
        }
        let starting = |line: &Value| line.get("address").and_then(|address| address.as_str()?.parse().ok());
        let address = self.log().iter().find_map(starting)?;
        Some(*self.address.get_or_init(|| address))
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Waits until `/readyz` says ok.
    ///
    /// # Errors
    /// When it ends, or is not ready after 30 s; with its log.
    pub fn wait_until_ready(&self) -> anyhow::Result<()> {
        let ready = until("the operator is ready", PATIENCE, || {
            if let Some(status) = self.exit_status() {
                bail!("the operator ended with {status}");
            }
            Ok(matches!(self.get("/readyz"), Ok((200, _))))
        });
        ready.map_err(|error| anyhow!("{error}:\n{}", self.raw_log()))
    }

    /// Status and body of a path of its HTTP server.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn get(&self, path: &str) -> anyhow::Result<(u16, String)> {
        let address = self.address().context("the operator has not said its address")?;
        let mut connection = TcpStream::connect_timeout(&address, Duration::from_secs(5))?;
        connection.set_read_timeout(Some(Duration::from_secs(5)))?;
        write!(connection, "GET {path} HTTP/1.1\r\nhost: operator\r\nconnection: close\r\n\r\n")?;
        let mut reply = String::new();
        connection.read_to_string(&mut reply)?;
        let (head, body) = reply.split_once("\r\n\r\n").context("no reply")?;
        let status =
            head.split_whitespace().nth(1).and_then(|status| status.parse().ok()).context("no status")?;
        Ok((status, body.to_owned()))
    }

    /// Its exit status, once it has ended.
    pub fn exit_status(&self) -> Option<ExitStatus> {
        self.process.exit_status()
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        self.process.signal(signal);
    }

    /// Sends it a signal and waits, at most 30 s, until it has ended.
    ///
    /// # Errors
    /// When it goes on.
    pub fn end(&self, signal: Signal) -> anyhow::Result<ExitStatus> {
        self.process.signal(signal);
        let ended = until("it ends", PATIENCE, || Ok(self.exit_status().is_some()));
        let status = ended.ok().and_then(|()| self.exit_status());
        status.ok_or_else(|| anyhow!("the operator goes on after {signal:?}:\n{}", self.raw_log()))
    }
}
