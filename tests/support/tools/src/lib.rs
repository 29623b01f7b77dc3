//! The Go programs that the tests run, built from pinned modules into the user's cache folder.
//!
//! - [`Tool`]: the programs of the modules beside this crate, such as Helm; `tool NAME` prints
//!   where one is.
//! - [`Program`]: any program of a Go module of this repository, and how it is built.
//! - [`Published`]: files of a Go module as it was published, such as Kubernetes' API.
//! - [`GoMod`]: the versions that a `go.mod` pins.
//! - [`faketime`]: a library that shows a process another time; the only one that is not Go's.
//! - [`cache_folder`]: where all that is built or downloaded once is kept.
//! - [`on`] and [`tail`]: what is told of a failure.

mod cache;
mod error;
mod faketime;
mod go_build;
mod go_mod;
mod published;
mod tool;

pub use cache::cache_folder;
pub use error::{on, tail};
pub use faketime::faketime;
pub use go_build::{Program, tell};
pub use go_mod::GoMod;
pub use published::Published;
pub use tool::Tool;
