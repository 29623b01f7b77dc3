//! The operator's binary.

use std::process::ExitCode;

use athena_operator::commands::dispatch::dispatch;
use athena_operator::session::pass::OperatorDecisions;

/// Allocator of the process. Short-lived tasks allocate between the long-lived states of objects; glibc's malloc keeps those holes, and takes more
/// CPU.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    dispatch(&OperatorDecisions)
}
