//! Measures the operator: many AthenaSessions on a real API server and the emulator of Athena, against the same writes sent raw.
//!
//! - [`run`]: the order of it all for one number of objects; [`report`]: the figures and their bounds; [`plot`] and [`page`]: what is written down.
//! - [`raw`]: the yardstick, which writes without an operator; [`wave`]: the operator at the same work.
//! - [`rest`], [`mirror`], [`end`]: what follows a wave; [`limited`]: many objects that wait for the rate limiter; [`flips`]: many sessions
//!   that work and rest in turn.
//! - [`life`]: the changes that the operator makes to an object, recorded.
//! - [`chaos`]: whether all comes to rest after kills, faults and edits at random.
//! - [`soak`]: whether the operator grows over many such days; [`people`]: who keep it busy then.
//! - [`ground`]: servers and operator, and what each of them counts; [`client`] and [`watch`]: how the bench itself speaks to the API server.
//! - [`objects`], [`tasks`], [`figures`], [`scrape`], [`process`]: names, many things at a time, sums, counters, the kernel's word.

pub mod chaos;
pub mod client;
pub mod end;
pub mod figures;
pub mod flips;
pub mod ground;
pub mod life;
pub mod limited;
pub mod mirror;
pub mod objects;
pub mod page;
pub mod people;
pub mod plot;
pub mod process;
pub mod raw;
pub mod report;
pub mod rest;
pub mod run;
pub mod scrape;
pub mod soak;
pub mod tasks;
pub mod watch;
pub mod wave;
