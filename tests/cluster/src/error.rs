//! All that can fail, with the cure.

use std::io;
use std::path::{Path, PathBuf};

/// Why a program could not be found or built, or a cluster not started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// `KUBEBUILDER_ASSETS` is set, and the program is not there.
    #[error(
        "cannot take {binary} from KUBEBUILDER_ASSETS: {folder} holds no such file; put it there, or unset the variable to have it built"
    )]
    NotInAssets {
        /// The program's file name.
        binary: &'static str,
        /// The value of the variable.
        folder: PathBuf,
    },
    /// Neither `XDG_CACHE_HOME` nor `HOME` is set.
    #[error(
        "cannot tell the user's cache folder: set HOME or XDG_CACHE_HOME, or KUBEBUILDER_ASSETS to a folder with the programs"
    )]
    NoCacheFolder,
    /// The program could not be built.
    #[error("{source}\nor set KUBEBUILDER_ASSETS to a folder with {binary} to do without the build")]
    Build {
        /// The program's file name.
        binary: &'static str,
        /// Why not.
        source: tools::Error,
    },
    /// Another cluster works in the folder given.
    #[error("cannot start a cluster in {folder}: another one runs there; stop it, or give another folder")]
    FolderInUse {
        /// The folder given.
        folder: PathBuf,
    },
    /// A server ended while it or another one was being started.
    #[error("cannot start {component}: it ended with {status}; the end of {log}:\n{tail}")]
    Ended {
        /// The server's name.
        component: &'static str,
        /// Its exit status.
        status: std::process::ExitStatus,
        /// Its whole log; after a failed start of a cluster it stays until the next start.
        log: PathBuf,
        /// The end of that log.
        tail: String,
    },
    /// A server did not become ready in time.
    #[error("cannot start {component}: it is not ready after {seconds} s; the end of {log}:\n{tail}")]
    NotReady {
        /// The server's name.
        component: &'static str,
        /// How long it was waited for.
        seconds: u64,
        /// Its whole log; after a failed start of a cluster it stays until the next start.
        log: PathBuf,
        /// The end of that log.
        tail: String,
    },
    /// The system refused something.
    #[error("cannot {action}: {source}")]
    System {
        /// What was tried, and on what.
        action: String,
        /// The system's reason.
        source: io::Error,
    },
}

impl Error {
    /// For `map_err`: the system refused to `verb` this path.
    pub(crate) fn on<'a>(verb: &'a str, path: &'a Path) -> impl FnOnce(io::Error) -> Self + 'a {
        move |source| Self::System { action: format!("{verb} {}", path.display()), source }
    }

    /// Whether another program took the port between our choosing it and the server's listening on
    /// it.
    pub(crate) fn is_port_taken(&self) -> bool {
        matches!(self, Self::Ended { tail, .. } if tail.contains("address already in use"))
    }
}

/// The last lines of a program's output.
pub(crate) fn tail(output: &str) -> String {
    const LINES: usize = 20;
    let lines: Vec<&str> = output.lines().collect();
    lines[lines.len().saturating_sub(LINES)..].join("\n")
}
