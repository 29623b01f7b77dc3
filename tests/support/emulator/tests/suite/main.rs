//! The emulator from outside: over raw HTTP, through the official SDK, and as a process.

mod client;

mod behaviours;
mod control;
mod faults;
mod fixtures;
mod issue;
mod lists;
mod process;
mod sdk;
mod signatures;
mod tokens;
