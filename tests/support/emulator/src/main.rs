//! The emulator as a process.

use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::{Context, bail};
use athena_emulator::{Config, Emulator};
use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};

/// Emulates the session operations of Amazon Athena for Apache Spark.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// The address to listen on; port 0 is any free one.
    #[arg(long, env = "ATHENA_EMULATOR_LISTEN", default_value = "127.0.0.1:4566")]
    listen: SocketAddr,
    /// The configuration, YAML or JSON.
    #[arg(long, env = "ATHENA_EMULATOR_CONFIG")]
    config: Option<PathBuf>,
    /// Listen on an address others can reach. Whoever reaches it can change everything in it.
    #[arg(long, env = "ATHENA_EMULATOR_ALLOW_REMOTE")]
    allow_remote: bool,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    if !arguments.listen.ip().is_loopback() && !arguments.allow_remote {
        bail!(
            "will not listen on {}: others can reach it, and whoever does can drive the emulator; --allow-remote permits it",
            arguments.listen
        );
    }
    let config = match &arguments.config {
        None => Config::default(),
        Some(path) => {
            let text = std::fs::read_to_string(path)
                .with_context(|| format!("cannot read the configuration {}", path.display()))?;
            Config::parse(&text)
                .map_err(|error| anyhow::anyhow!("the configuration {} is wrong: {error}", path.display()))?
        }
    };
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let emulator = Emulator::listen(arguments.listen, config)
        .await
        .with_context(|| format!("cannot listen on {}", arguments.listen))?;
    let mut stdout = std::io::stdout();
    writeln!(stdout, "listening on {}", emulator.url())
        .and_then(|()| stdout.flush())
        .context("cannot write to stdout")?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}
