//! Builds a program with Go from a module of this repository.

use std::fs::{self, File, TryLockError};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{self, Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{anyhow, bail};

use crate::error::{on, tail};
use crate::{GoMod, cache_folder};

const PROGRESS_EVERY: Duration = Duration::from_secs(10);

/// A program of a Go module of this repository.
#[derive(Clone, Debug)]
pub struct Program<'a> {
    /// Its file name.
    pub name: &'static str,
    /// Its package, which a module is required for, or a folder of the module, such as `.`.
    pub package: &'a str,
    /// The module's folder.
    pub module: &'a str,
    /// The text of the module's `go.mod`.
    pub go_mod: GoMod<'a>,
    /// The texts of all else that a build depends on: `go.sum`, sources in the module.
    pub sources: &'a [&'a str],
    /// For the linker, such as `-X PACKAGE.VARIABLE=TEXT`.
    pub linker_flags: &'a str,
    /// What to tell those who wait.
    pub usual_build_time: &'static str,
}

impl Program<'_> {
    /// Where the program is in the user's cache folder; it is built if it is not there, which takes
    /// its time and is told on stderr.
    ///
    /// # Errors
    /// When there is no cache folder, and those of [`Self::build`].
    pub fn path(&self) -> anyhow::Result<PathBuf> {
        let mut hasher = DefaultHasher::new();
        (self.go_mod.0, self.sources, self.linker_flags).hash(&mut hasher);
        let module = Path::new(self.module).file_name().unwrap_or_default().to_string_lossy();
        let program =
            cache_folder()?.join("tools").join(format!("{module}-{:016x}", hasher.finish())).join(self.name);
        if !program.is_file() {
            self.build(&program)?;
        }
        Ok(program)
    }

    /// Builds the program as the file `target`; does nothing if another process did so while this
    /// one waited for its turn.
    ///
    /// # Errors
    /// When there is no Go, or it is too old or fails.
    pub fn build(&self, target: &Path) -> anyhow::Result<()> {
        let folder = target.parent().unwrap_or(target);
        fs::create_dir_all(folder).map_err(on("create", folder))?;
        let _turn = turn(self.name, &folder.join(format!("{}.lock", self.name)))?;
        if target.is_file() {
            return Ok(());
        }

        if !Path::new(self.module).join("go.mod").is_file() {
            bail!("cannot build {}: {} is gone; compile what asked for it again", self.name, self.module);
        }
        self.usable_go(self.go_version())?;

        let version = self
            .go_mod
            .version_of_package(self.package)
            .map(|version| format!(" {version}"))
            .unwrap_or_default();
        tell(&format!("building {}{version}, once, usually {}", self.name, self.usual_build_time));
        let unfinished = target.with_file_name(format!("{}.{}.tmp", self.name, process::id()));
        let built = self.go_build(&unfinished);
        if built.is_err() {
            let _ = fs::remove_file(&unfinished);
        }
        built?;
        fs::rename(&unfinished, target).map_err(on("move the build to", target))
    }

    fn go_build(&self, target: &Path) -> anyhow::Result<()> {
        let mut go = Command::new("go")
            .current_dir(self.module)
            .env("CGO_ENABLED", "0")
            .env("GOFLAGS", "-mod=readonly")
            .args(["build", "-trimpath", "-ldflags", &format!("-s -w {}", self.linker_flags), "-o"])
            .arg(target)
            .arg(self.package)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(on("run", Path::new("go")))?;

        let (sender, output) = mpsc::channel();
        let mut stderr = go.stderr.take().expect("stderr is a pipe");
        thread::spawn(move || {
            let mut text = Vec::new();
            let _ = stderr.read_to_end(&mut text);
            let _ = sender.send(text);
        });
        let start = Instant::now();
        let output = loop {
            match output.recv_timeout(PROGRESS_EVERY) {
                Err(RecvTimeoutError::Timeout) => {
                    tell(&format!("building {}: {} s", self.name, start.elapsed().as_secs()));
                }
                output => break output.unwrap_or_default(),
            }
        };
        let status = go.wait().map_err(on("wait for", Path::new("go")))?;
        if status.success() { Ok(()) } else { Err(failure(self.name, &String::from_utf8_lossy(&output))) }
    }

    /// What `go env GOVERSION` prints, such as `go1.26.8`; outside an error of running `go`, the
    /// error is what it says.
    ///
    /// In the module's folder, so that with `GOTOOLCHAIN=auto` it is the version that will build.
    fn go_version(&self) -> io::Result<Result<String, String>> {
        let output = Command::new("go").current_dir(self.module).args(["env", "GOVERSION"]).output()?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
        Ok(if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) })
    }

    fn usable_go(&self, version: io::Result<Result<String, String>>) -> anyhow::Result<()> {
        let (program, needed) = (self.name, self.go_mod.go().unwrap_or_default());
        let found = version.map_err(no_go(program, needed))?.map_err(|output| failure(program, &output))?;
        if numbers(&found) < numbers(needed) {
            bail!(
                "cannot build {program}: it needs Go {needed} and `go` is {found}; install a newer one, or set GOTOOLCHAIN=auto to let it fetch one"
            );
        }
        Ok(())
    }
}

/// Waits for the exclusive right to make something; it ends with the returned file.
pub(crate) fn turn(name: &str, path: &Path) -> anyhow::Result<File> {
    let lock = File::create(path).map_err(on("create", path))?;
    match lock.try_lock() {
        Ok(()) => return Ok(lock),
        Err(TryLockError::WouldBlock) => tell(&format!("waiting for another process to make {name}")),
        Err(TryLockError::Error(source)) => return Err(on("lock", path)(source)),
    }
    lock.lock().map_err(on("lock", path))?;
    Ok(lock)
}

/// The numbers of a version of Go, for comparison: `[1, 26, 8]` of `go1.26.8`, `[1, 27]` of `devel
/// go1.27-4a1b`.
/// The error of running Go for a program.
pub(crate) fn no_go(program: &str, needed: &str) -> impl FnOnce(io::Error) -> anyhow::Error {
    move |error| match error.kind() {
        io::ErrorKind::NotFound => {
            anyhow!("cannot get {program}: there is no `go` in PATH; install Go {needed} or newer")
        }
        _ => on("run", Path::new("go"))(error),
    }
}

fn numbers(version: &str) -> Vec<u32> {
    let version = version.rsplit_once("go").map_or(version, |(_, version)| version);
    let end = version.find(|c: char| c != '.' && !c.is_ascii_digit()).unwrap_or(version.len());
    version[..end].split('.').filter_map(|number| number.parse().ok()).collect()
}

pub(crate) fn failure(program: &str, output: &str) -> anyhow::Error {
    const NETWORK: [&str; 8] = [
        "dial tcp",
        "proxyconnect",
        "no such host",
        "i/o timeout",
        "TLS handshake",
        "tls: failed to verify",
        "module lookup disabled",
        "unrecognized import path",
    ];
    let end = tail(output);
    if NETWORK.iter().any(|sign| output.contains(sign)) {
        anyhow!(
            "cannot get {program}: Go cannot fetch what it needs, which it must once; restore the network (see GOPROXY, HTTPS_PROXY):\n{end}"
        )
    } else {
        anyhow!("cannot build {program}:\n{end}")
    }
}

/// A line on stderr that shows in a test, too: the test harness holds back what `eprintln` writes,
/// and a build takes minutes.
pub fn tell(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROGRAM: Program<'_> = Program {
        name: "etcd",
        package: ".",
        module: "/nowhere",
        go_mod: GoMod("module m\n\ngo 1.26.0\n"),
        sources: &[],
        linker_flags: "",
        usual_build_time: "1 s",
    };

    fn verdict(version: io::Result<Result<&str, &str>>) -> Result<(), String> {
        let version = version.map(|said| said.map(str::to_owned).map_err(str::to_owned));
        PROGRAM.usable_go(version).map_err(|error| error.to_string())
    }

    #[test]
    fn a_go_of_at_least_the_modules_version_is_usable() {
        for version in
            ["go1.26.0", "go1.26.8", "go1.100.0", "go2.0", "devel go1.99-4a1b Mon", "go1.26.8-X:nodwarf5"]
        {
            assert_eq!(verdict(Ok(Ok(version))), Ok(()), "{version}");
        }
    }

    #[test]
    fn an_older_go_is_refused_with_both_versions() {
        let error = verdict(Ok(Ok("go1.9.12"))).unwrap_err();
        assert!(error.contains("it needs Go 1.26.0 and `go` is go1.9.12"), "{error}");
    }

    #[test]
    fn no_go_in_path_says_what_to_install() {
        let error = verdict(Err(io::ErrorKind::NotFound.into())).unwrap_err();
        assert!(error.contains("there is no `go` in PATH; install Go 1.26.0"), "{error}");
    }

    #[test]
    fn a_toolchain_that_cannot_be_fetched_is_a_matter_of_the_network() {
        let said = "go: download go1.26.0: dial tcp: lookup proxy: no such host";
        let error = verdict(Ok(Err(said))).unwrap_err();
        assert!(error.contains("restore the network") && error.ends_with(said), "{error}");
    }

    #[test]
    fn a_failing_build_shows_the_end_of_what_go_said() {
        let said = (0..100).map(|line| format!("error {line}")).collect::<Vec<_>>().join("\n");
        let error = failure("kubectl", &said).to_string();
        assert!(
            error.starts_with("cannot build kubectl:")
                && error.ends_with("error 99")
                && !error.contains("error 50"),
            "{error}"
        );
    }

    #[test]
    fn a_build_from_a_module_that_is_gone_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let error = PROGRAM.build(&folder.path().join("etcd")).unwrap_err().to_string();
        assert_eq!(error, "cannot build etcd: /nowhere is gone; compile what asked for it again");
    }

    #[test]
    fn what_is_there_is_not_built() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("etcd");
        fs::write(&target, "built").unwrap();
        PROGRAM.build(&target).unwrap();
    }
}
