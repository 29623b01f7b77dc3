//! Tests of the real operator against a real API server and the emulator of Athena.
//!
//! Each test has a namespace, an emulator and, where it needs one, an operator of its own, so that they run alone and side by side.

#![allow(unreachable_pub, reason = "everything here is one program")]

mod crash;
mod deletion;
mod harness;
mod session;

use std::process::ExitCode;

fn main() -> ExitCode {
    harness::run(vec![("crash", crash::tests()), ("deletion", deletion::tests()), ("session", session::tests())])
}
