//! Logs.

use std::io::{IsTerminal, Write};

use clap::{Args, ValueEnum};
use tracing::Subscriber;
use tracing_subscriber::filter::{FilterExt, LevelFilter, filter_fn};
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, fmt};

use crate::runtime::confidential::Withholding;

/// The options of the log.
#[derive(Args, Clone, Debug)]
pub struct LogOptions {
    /// Form of the log lines
    #[arg(long, env = "ATHENA_OPERATOR_LOG_FORMAT", default_value = "json")]
    pub log_format: LogFormat,

    /// Log filter: a level, or directives such as `info,athena_operator::runtime::lease=debug`. Other crates log nothing: their lines would show
    /// requests and replies, with credentials in them
    #[arg(long, env = "ATHENA_OPERATOR_LOG", default_value = "warn,athena_operator=info", value_parser = filter, value_name = "FILTER")]
    pub log: String,
}

/// Form of the log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// Text for people.
    Text,
}

/// Sends log lines to standard error, as [`lines`] makes them.
///
/// # Errors
/// When `filter` cannot be read.
pub fn init(format: LogFormat, filter: &str) -> anyhow::Result<()> {
    lines(format, filter, std::io::stderr, std::io::stderr().is_terminal())?.init();
    Ok(())
}

/// Returns a subscriber that sends log lines to what `writer` returns, in `format`, as `filter` says, without secrets. It leaves out the lines of other crates,
/// whatever `filter` says: they show requests and replies, with credentials and properties in them. The operator logs what people need of those in
/// lines of its own.
///
/// # Errors
/// When `filter` cannot be read.
pub fn lines<W: Write + 'static>(
    format: LogFormat,
    filter: &str,
    writer: impl Fn() -> W + Send + Sync + 'static,
    colours: bool,
) -> anyhow::Result<impl Subscriber + Send + Sync> {
    let filter = EnvFilter::try_new(filter)
        .map_err(|error| anyhow::anyhow!("cannot read the log filter `{filter}`: {error}"))?;
    let filter = filter.and(filter_fn(|metadata| is_own(metadata.target())));
    let lines = fmt::layer().with_writer(move || Withholding(writer()));
    let lines = match format {
        LogFormat::Json => lines.json().flatten_event(true).with_span_list(false).with_filter(filter).boxed(),
        LogFormat::Text => lines.with_target(false).with_ansi(colours).with_filter(filter).boxed(),
    };
    Ok(tracing_subscriber::registry().with(lines))
}

/// Returns whether lines and spans of `target` are the operator's own.
fn is_own(target: &str) -> bool {
    target.split("::").next() == Some(env!("CARGO_CRATE_NAME"))
}

/// Checks a filter of the log, in which each directive must be a level or about this program.
fn filter(text: &str) -> Result<String, String> {
    for directive in text.split(',') {
        let target = directive.split(['=', '[']).next().unwrap_or_default().trim();
        let is_own = is_own(target) || directive.starts_with('[');
        if !is_own && (directive.trim().is_empty() || directive.trim().parse::<LevelFilter>().is_err()) {
            return Err(format!(
                "`{directive}` is neither a level nor a directive for {}: other crates log nothing",
                env!("CARGO_CRATE_NAME")
            ));
        }
    }
    EnvFilter::try_new(text)
        .map(|_| text.to_owned())
        .map_err(|error| format!("`{text}` cannot be read: {error}"))
}
