//! The subcommands of the binary.
//!
//! - [`args`]: the command line.
//! - [`run`]: the operator.
//! - [`check`]: whether AWS lets the operator do what it does.
//! - [`crd`]: prints the CustomResourceDefinition.

pub mod args;
pub mod check;
pub mod crd;
pub mod run;
