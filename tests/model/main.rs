//! A model check of the operator: its own decisions, carried out in every order against an API server, Athena and a user, with crashes, lost replies,
//! refusals and stale caches; and broken variants of it, each of which must be caught.
//!
//! The modules that decide are compiled anew here, so that each arm of the table and of the condition matrix can be seen to be taken.

#![allow(unreachable_pub, reason = "everything here is one program")]

mod controller;
mod lists;
mod moves;
mod mutant;
mod object;
mod pair;
mod scenario;
mod world;

use std::process::ExitCode;

use athena_operator::api;

mod session {
    pub use athena_operator::session::{attempt, backoff, environment, marker, reply, request, step};

    mark_arms::modules!(Step, Row, Stage, Option<Request>;
        "src/session/after_end.rs", "src/session/events.rs", "src/session/invalid_object.rs", "src/session/lifecycle.rs",
        "src/session/local_state.rs", "src/session/ownership.rs", "src/session/pass.rs", "src/session/refused_write.rs",
        "src/session/retained.rs", "src/session/status.rs"
    );
}

fn main() -> ExitCode {
    let arguments = libtest_mimic::Arguments::from_args();
    libtest_mimic::run(&arguments, scenario::trials()).exit_code()
}
