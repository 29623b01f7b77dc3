//! The subcommands of the binary.
//!
//! - [`dispatch`]: from the command line to the subcommand.
//! - [`args`]: command line.
//! - [`run`]: starts, runs and stops the operator.
//! - [`check`]: reports whether AWS lets the operator make its calls.
//! - [`crd`]: prints the CustomResourceDefinition.

pub mod args;
pub mod check;
pub mod crd;
pub mod dispatch;
pub mod run;
