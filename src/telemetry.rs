//! Logs.

use std::io::IsTerminal;

use tracing::{Metadata, Subscriber};
use tracing_subscriber::filter::{FilterExt, filter_fn};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, fmt};

use crate::args::LogFormat;
use crate::confidential::Withholding;

/// Sends log lines to standard error, as [`lines`] makes them.
///
/// # Errors
/// When `filter` cannot be read.
pub fn init(format: LogFormat, filter: &str) -> anyhow::Result<()> {
    lines(format, filter, std::io::stderr, std::io::stderr().is_terminal())?.init();
    Ok(())
}

/// What sends log lines to `writer`, in `format`, as `filter` says, without secrets. What other crates log is left out, whatever `filter` says: they show
/// requests and replies, with credentials and properties in them. What people need of it is a line of the operator's own.
///
/// # Errors
/// When `filter` cannot be read.
pub fn lines<W>(format: LogFormat, filter: &str, writer: W, colours: bool) -> anyhow::Result<impl Subscriber + Send + Sync>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let filter = EnvFilter::try_new(filter).map_err(|error| anyhow::anyhow!("cannot read the log filter `{filter}`: {error}"))?;
    let filter = filter.and(filter_fn(is_own));
    let lines = fmt::layer().with_writer(Withholding(writer));
    let lines = match format {
        LogFormat::Json => lines.json().flatten_event(true).with_span_list(false).with_filter(filter).boxed(),
        LogFormat::Text => lines.with_target(false).with_ansi(colours).with_filter(filter).boxed(),
    };
    Ok(tracing_subscriber::registry().with(lines))
}

/// Whether a line or span is the operator's own.
fn is_own(metadata: &Metadata<'_>) -> bool {
    metadata.target().split("::").next() == Some(env!("CARGO_CRATE_NAME"))
}
