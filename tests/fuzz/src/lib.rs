//! What the fuzz targets do with bytes from outside. Each target is a function that panics where a property does not hold: no panic, no endless loop, no
//! secret in a log line, an event, a status or a metric, and nothing written that the API server would refuse.
//!
//! ```text
//! object    objects as the API server may deliver them
//! reply     replies of Athena and STS
//! flags     command line and environment
//! grammar   JSON by the schema of the CustomResourceDefinition, with hostile values
//! circumstances  what else a decision depends on
//! rules     what every status, patch and event must be like
//! schema    what the API server accepts
//! server    an API server of one object
//! replay    an HTTP client of the SDK that gives the replies it was told to
//! secrets   what must not be told, and what was logged
//! planted   panics that each target must find, to show that it would
//! ```
//!
//! `.ci/fuzz` has libFuzzer drive them; the inputs in `corpus/` are run again by an ordinary test.

mod circumstances;
mod flags;
mod grammar;
mod object;
mod planted;
mod replay;
mod reply;
mod rules;
mod schema;
mod secrets;
mod server;

pub use flags::flags;
pub use object::object;
pub use reply::reply;

/// The targets.
pub const TARGETS: [&str; 3] = ["object", "reply", "flags"];
/// So many inputs of a target are kept.
pub const MOST_INPUTS: usize = 60;
/// Of so many bytes together.
pub const MOST_BYTES: u64 = 150_000;
