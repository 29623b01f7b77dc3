//! Measures the operator: many AthenaSessions on a real API server and the emulator of Athena, against the same writes sent raw.
//!
//! - [`ground`]: servers and operator, and what each of them counts; [`client`] and [`watch`] are how the bench itself speaks to the API server.
//! - [`life`]: the changes that the operator makes to an object, recorded; [`form`]: the forms in which they can be written.
//! - [`raw`]: the yardstick, which writes them without an operator; [`wave`]: the operator at the same work.
//! - [`figures`], [`scrape`], [`process`]: sums, counters, the kernel's word.

pub mod client;
pub mod figures;
pub mod form;
pub mod ground;
pub mod life;
pub mod objects;
pub mod process;
pub mod raw;
pub mod run;
pub mod scrape;
pub mod tasks;
pub mod watch;
pub mod wave;
