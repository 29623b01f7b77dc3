//! Tests of the real operator against a real API server and the emulator of Athena.
//!
//! Each test has a namespace, an emulator and, where it needs one, an operator of its own, so that they run alone and side by side.

#![allow(unreachable_pub, reason = "everything here is one program")]

mod absence;
mod admission;
mod adoption;
mod api_proxy;
mod aws_proxy;
mod check;
mod clock;
mod commands;
mod crash;
mod credentials;
mod deletion;
mod drift;
mod events;
mod fields;
mod harness;
mod helm;
mod hostile;
mod leader;
mod load;
mod memory;
mod metrics;
mod order;
mod outage;
mod outcome;
mod policy;
mod process;
mod profiles;
mod recipes;
mod refusals;
mod refused_writes;
mod request;
mod scale;
mod search;
mod secrets;
mod session;
mod settings;
mod user;
mod withdrawn;

use std::process::ExitCode;

fn main() -> ExitCode {
    let mut modules = vec![
        ("absence", absence::tests()),
        ("admission", admission::tests()),
        ("adoption", adoption::tests()),
        ("api_proxy", api_proxy::tests()),
        ("aws_proxy", aws_proxy::tests()),
        ("check", check::tests()),
        ("clock", clock::tests()),
        ("commands", commands::tests()),
        ("crash", crash::tests()),
        ("credentials", credentials::tests()),
        ("deletion", deletion::tests()),
        ("drift", drift::tests()),
        ("events", events::tests()),
        ("hostile", hostile::tests()),
        ("helm", helm::tests()),
        ("leader", leader::tests()),
        ("load", load::tests()),
        ("memory", memory::tests()),
        ("metrics", metrics::tests()),
        ("order", order::tests()),
        ("outage", outage::tests()),
        ("policy", policy::tests()),
        ("process", process::tests()),
        ("profiles", profiles::tests()),
        ("recipes", recipes::tests()),
        ("refusals", refusals::tests()),
        ("refused_writes", refused_writes::tests()),
        ("request", request::tests()),
        ("scale", scale::tests()),
        ("search", search::tests()),
        ("secrets", secrets::tests()),
        ("user", user::tests()),
        ("session", session::tests()),
        ("settings", settings::tests()),
        ("withdrawn", withdrawn::tests()),
    ];
    modules.extend(fields::tests());
    harness::run(modules)
}
