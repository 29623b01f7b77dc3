//! Builds a program with Go from the module beside this crate.

use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Write};
use std::path::Path;
use std::process::{self, Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use crate::Error;
use crate::binaries::{Binary, VERSIONS, Versions};
use crate::error::tail;

const MODULE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/kubernetes");
const PROGRESS_EVERY: Duration = Duration::from_secs(10);

/// Builds `binary` as the file `target`; does nothing if another process did so while this one
/// waited for its turn.
pub(crate) fn build(binary: Binary, target: &Path) -> Result<(), Error> {
    let folder = target.parent().unwrap_or(target);
    fs::create_dir_all(folder).map_err(Error::on("create", folder))?;
    let _turn = turn(binary, &folder.join(format!("{}.lock", binary.name())))?;
    if target.is_file() {
        return Ok(());
    }

    if !Path::new(MODULE).join("go.mod").is_file() {
        return Err(Error::NoModule { binary: binary.name(), module: MODULE.into() });
    }
    usable_go(binary, go_version())?;

    tell(&format!("building {} {}, once, usually {}", binary.name(), version(binary), binary.usual_build_time()));
    let unfinished = target.with_file_name(format!("{}.{}.tmp", binary.name(), process::id()));
    let built = go_build(binary, &unfinished);
    if built.is_err() {
        let _ = fs::remove_file(&unfinished);
    }
    built?;
    fs::rename(&unfinished, target).map_err(Error::on("move the build to", target))
}

/// Waits for the exclusive right to build the program; it ends with the returned file.
fn turn(binary: Binary, path: &Path) -> Result<File, Error> {
    let lock = File::create(path).map_err(Error::on("create", path))?;
    match lock.try_lock() {
        Ok(()) => return Ok(lock),
        Err(TryLockError::WouldBlock) => tell(&format!("waiting for another process to build {}", binary.name())),
        Err(TryLockError::Error(source)) => return Err(Error::on("lock", path)(source)),
    }
    lock.lock().map_err(Error::on("lock", path))?;
    Ok(lock)
}

fn go_build(binary: Binary, target: &Path) -> Result<(), Error> {
    let mut go = Command::new("go")
        .current_dir(MODULE)
        .env("CGO_ENABLED", "0")
        .env("GOFLAGS", "-mod=readonly")
        .args(["build", "-trimpath", "-ldflags", &stamp(&VERSIONS), "-o"])
        .arg(target)
        .arg(binary.package())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(Error::on("run", Path::new("go")))?;

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
            Err(RecvTimeoutError::Timeout) => tell(&format!("building {}: {} s", binary.name(), start.elapsed().as_secs())),
            output => break output.unwrap_or_default(),
        }
    };
    let status = go.wait().map_err(Error::on("wait for", Path::new("go")))?;
    if status.success() { Ok(()) } else { Err(failure(binary, &String::from_utf8_lossy(&output))) }
}

/// What `go env GOVERSION` prints, such as `go1.26.8`; outside an error of running `go`, the error
/// is what it says.
///
/// In the module's folder, so that with `GOTOOLCHAIN=auto` it is the version that will build.
fn go_version() -> io::Result<Result<String, String>> {
    let output = Command::new("go").current_dir(MODULE).args(["env", "GOVERSION"]).output()?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    Ok(if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) })
}

fn usable_go(binary: Binary, version: io::Result<Result<String, String>>) -> Result<(), Error> {
    let (binary_name, needed) = (binary.name(), VERSIONS.go);
    match version {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(Error::NoGo { binary: binary_name, needed }),
        Err(source) => Err(Error::System { action: "run go".to_owned(), source }),
        Ok(Err(output)) => Err(failure(binary, &output)),
        Ok(Ok(found)) if numbers(&found) < numbers(needed) => Err(Error::GoTooOld { binary: binary_name, needed, found }),
        Ok(Ok(_)) => Ok(()),
    }
}

/// The numbers of a version of Go, for comparison: `[1, 26, 8]` of `go1.26.8`, `[1, 27]` of `devel
/// go1.27-4a1b`.
fn numbers(version: &str) -> Vec<u32> {
    let version = version.rsplit_once("go").map_or(version, |(_, version)| version);
    let end = version.find(|c: char| c != '.' && !c.is_ascii_digit()).unwrap_or(version.len());
    version[..end].split('.').filter_map(|number| number.parse().ok()).collect()
}

fn failure(binary: Binary, output: &str) -> Error {
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
    let (binary, end) = (binary.name(), tail(output));
    if NETWORK.iter().any(|sign| output.contains(sign)) { Error::NoNetwork { binary, output: end } } else { Error::Build { binary, output: end } }
}

fn version(binary: Binary) -> &'static str {
    if binary == Binary::Etcd { VERSIONS.etcd } else { VERSIONS.kubernetes }
}

/// The linker flags: without the version in them a Kubernetes server takes itself for v0.0.0.
fn stamp(versions: &Versions<'_>) -> String {
    let mut parts = versions.kubernetes.trim_start_matches('v').split('.');
    let (major, minor) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let package = "k8s.io/component-base/version";
    let version = versions.kubernetes;
    format!("-s -w -X {package}.gitVersion={version} -X {package}.gitMajor={major} -X {package}.gitMinor={minor}")
}

/// A line on stderr that shows in a test, too: the test harness holds back what `eprintln` writes,
/// and a build takes minutes.
fn tell(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(version: io::Result<Result<&str, &str>>) -> Result<(), String> {
        let version = version.map(|said| said.map(str::to_owned).map_err(str::to_owned));
        usable_go(Binary::Etcd, version).map_err(|error| error.to_string())
    }

    #[test]
    fn a_go_of_at_least_the_modules_version_is_usable() {
        for version in ["go1.26.0", "go1.26.8", "go1.100.0", "go2.0", "devel go1.99-4a1b Mon", "go1.26.8-X:nodwarf5"] {
            assert_eq!(verdict(Ok(Ok(version))), Ok(()), "{version}");
        }
    }

    #[test]
    fn an_older_go_is_refused_with_both_versions() {
        let error = verdict(Ok(Ok("go1.9.12"))).unwrap_err();
        assert!(error.contains(VERSIONS.go) && error.contains("`go` is go1.9.12"), "{error}");
    }

    #[test]
    fn no_go_in_path_says_what_to_install() {
        let error = verdict(Err(io::ErrorKind::NotFound.into())).unwrap_err();
        assert!(error.contains("there is no `go` in PATH; install Go"), "{error}");
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
        let error = failure(Binary::Kubectl, &said).to_string();
        assert!(error.starts_with("cannot build kubectl;") && error.ends_with("error 99") && !error.contains("error 50"), "{error}");
    }

    #[test]
    fn the_stamp_carries_the_version_of_kubernetes() {
        let stamp = stamp(&Versions { go: "1", kubernetes: "v1.36.3", etcd: "v3" });
        assert_eq!(
            stamp,
            "-s -w -X k8s.io/component-base/version.gitVersion=v1.36.3 -X k8s.io/component-base/version.gitMajor=1 \
             -X k8s.io/component-base/version.gitMinor=36"
        );
    }
}
