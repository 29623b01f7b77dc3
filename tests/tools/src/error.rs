//! All that can fail, with the cure.

use std::io;
use std::path::{Path, PathBuf};

/// Why a program could not be built, or a file not be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Neither `XDG_CACHE_HOME` nor `HOME` is set.
    #[error("cannot tell the user's cache folder: set HOME or XDG_CACHE_HOME")]
    NoCacheFolder,
    /// The sources of the build are not where they were when the caller was compiled.
    #[error("cannot build {program}: {module} is gone; compile what asked for it again")]
    NoModule {
        /// The program's file name.
        program: &'static str,
        /// The Go module that pins the versions.
        module: PathBuf,
    },
    /// There is no `go` command.
    #[error("cannot get {program}: there is no `go` in PATH; install Go {needed} or newer")]
    NoGo {
        /// The program's file name.
        program: &'static str,
        /// The oldest Go that will do.
        needed: String,
    },
    /// The `go` command is older than the module asks for.
    #[error(
        "cannot build {program}: it needs Go {needed} and `go` is {found}; install a newer one, or set GOTOOLCHAIN=auto to let it fetch one"
    )]
    GoTooOld {
        /// The program's file name.
        program: &'static str,
        /// The oldest Go that will do.
        needed: String,
        /// What `go env GOVERSION` said.
        found: String,
    },
    /// Go could not fetch modules or a toolchain.
    #[error(
        "cannot get {program}: Go cannot fetch what it needs, which it must once; restore the network (see GOPROXY, HTTPS_PROXY):\n{output}"
    )]
    NoNetwork {
        /// The program's file name.
        program: &'static str,
        /// The end of what Go said.
        output: String,
    },
    /// `go` failed for another reason.
    #[error("cannot build {program}:\n{output}")]
    Build {
        /// The program's file name.
        program: &'static str,
        /// The end of what Go said.
        output: String,
    },
    /// A published module has another content than it had.
    #[error(
        "cannot use {module} {version}: its content is {found} and not {expected}; look at what serves Go modules here (see GOPROXY)"
    )]
    OtherContent {
        /// The module's path.
        module: &'static str,
        /// Its version.
        version: &'static str,
        /// The hash that it is pinned with.
        expected: &'static str,
        /// The hash of what was downloaded.
        found: String,
    },
    /// A published module does not have a file.
    #[error("cannot use {module}: it has no file {file}; name one that it has, or another version")]
    NoFile {
        /// The module's path.
        module: &'static str,
        /// The file's path in it.
        file: String,
    },
    /// A package of Debian's could not be had.
    #[error("cannot get {package}: install the package, or let apt-get and dpkg-deb download it:\n{output}")]
    NoPackage {
        /// The package's name.
        package: &'static str,
        /// What was said.
        output: String,
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
}
