//! Reports of panics, without secrets.

use std::panic::PanicHookInfo;

use tracing::error;

use super::confidential::redact_secrets;

/// Sets a hook that prints panics to standard error, from the start of the process on.
pub fn print() {
    std::panic::set_hook(Box::new(|panic| eprintln!("athena-operator: {}", panic_text(panic))));
}

/// Sets a hook that logs a panic in any task, and ends the process: the next process takes up the unfinished work.
pub fn abort() {
    std::panic::set_hook(Box::new(|panic| {
        error!("{}", panic_text(panic));
        std::process::abort();
    }));
}

/// Returns the text of a panic for people, without secrets.
fn panic_text(panic: &PanicHookInfo<'_>) -> String {
    let place = panic.location().map(|place| format!(" at {place}")).unwrap_or_default();
    redact_secrets(&format!("a panic{place}: {}", panic.payload_as_str().unwrap_or("without a message")))
}
