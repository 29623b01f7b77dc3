//! Panics, which are told without secrets.

use std::panic::PanicHookInfo;

use tracing::error;

use super::confidential::withheld;

/// Has panics printed to standard error, from the start of the process on.
pub fn print() {
    std::panic::set_hook(Box::new(|panic| eprintln!("athena-operator: {}", told(panic))));
}

/// Has a panic in any task logged, and end the process: what it left half done is taken up by the next.
pub fn abort() {
    std::panic::set_hook(Box::new(|panic| {
        error!("{}", told(panic));
        std::process::abort();
    }));
}

/// A panic for people, without secrets.
fn told(panic: &PanicHookInfo<'_>) -> String {
    let place = panic.location().map(|place| format!(" at {place}")).unwrap_or_default();
    withheld(&format!("a panic{place}: {}", panic.payload_as_str().unwrap_or("without a message")))
}
