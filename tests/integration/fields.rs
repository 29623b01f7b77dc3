//! Every field that can change acts as docs/lifecycle.md says, at its edge values and at every moment of a session.
//!
//! Each module is a table of one field: the value, when it is set, the calls that Athena gets and the row that the object comes to rest in.

mod at_once;
mod case;
mod deadlines;
mod idle_timeout;
mod policy;
mod restarts;
mod startup;
mod suspend;
mod ttl;

use crate::harness::Test;

/// The tests of each field.
pub fn tests() -> Vec<(&'static str, Vec<Test>)> {
    vec![
        ("fields::at_once", at_once::tests()),
        ("fields::deadlines", deadlines::tests()),
        ("fields::idle_timeout", idle_timeout::tests()),
        ("fields::policy", policy::tests()),
        ("fields::restarts", restarts::tests()),
        ("fields::startup", startup::tests()),
        ("fields::suspend", suspend::tests()),
        ("fields::ttl", ttl::tests()),
    ]
}
