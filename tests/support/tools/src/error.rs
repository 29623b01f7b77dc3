//! What is told of a failure.

use std::io;
use std::path::Path;

use anyhow::anyhow;

/// The error of doing something to a file or with a program.
pub fn on<'a>(verb: &'a str, path: &'a Path) -> impl FnOnce(io::Error) -> anyhow::Error + 'a {
    move |error| anyhow!("cannot {verb} {}: {error}", path.display())
}

/// The last lines of what a program has said.
pub fn tail(output: &str) -> String {
    const LINES: usize = 20;
    let lines: Vec<&str> = output.lines().collect();
    lines[lines.len().saturating_sub(LINES)..].join("\n")
}
