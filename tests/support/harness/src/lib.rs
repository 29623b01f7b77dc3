//! What several tests have in common.
//!
//! - [`until`] and [`until_async`]: waiting for what is to come.
//! - [`merge`]: a JSON merge patch. [`session_object`]: an AthenaSession.
//! - [`http`]: a server on a port of its own.
//! - [`take`]: which of some rules of what goes wrong strikes a call.

pub mod http;
mod json;
mod rules;
mod wait;

pub use json::{merge, session_object};
pub use rules::take;
pub use wait::{until, until_async};
