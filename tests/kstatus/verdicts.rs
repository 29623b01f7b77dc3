//! The real kstatus: a Go program over the library, built once into the user's cache folder.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{env, fs, process, thread};

const MODULE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/kstatus/go");
const SOURCES: [&str; 3] = [include_str!("go/go.mod"), include_str!("go/go.sum"), include_str!("go/main.go")];

/// What kstatus makes of each object: the verdict of the original library and that of Flux's fork.
pub(crate) fn verdicts(objects: &[&str]) -> Vec<(String, String)> {
    let program = program();
    let mut kstatus = Command::new(&program)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("cannot run {}: {error}", program.display()));
    let mut to = BufWriter::new(kstatus.stdin.take().expect("stdin is a pipe"));
    let from = BufReader::new(kstatus.stdout.take().expect("stdout is a pipe"));
    let verdicts: Vec<_> = thread::scope(|scope| {
        // A program that ends early breaks the pipe; its exit status says so below.
        scope.spawn(move || objects.iter().try_for_each(|object| writeln!(to, "{object}")).and_then(|()| to.flush()));
        let lines = from.lines().map(|line| line.expect("a line of kstatus"));
        lines.map(|line| line.split_once(' ').map(|(original, fork)| (original.to_owned(), fork.to_owned())).expect("two verdicts")).collect()
    });
    let status = kstatus.wait().expect("kstatus ends");
    assert!(status.success(), "kstatus judged {} of {} objects and ended with {status}", verdicts.len(), objects.len());
    verdicts
}

fn program() -> PathBuf {
    let mut hasher = DefaultHasher::new();
    SOURCES.hash(&mut hasher);
    let program = user_cache().join("athena-operator").join(format!("kstatus-{:016x}", hasher.finish()));
    if !program.is_file() {
        build(&program).unwrap_or_else(|error| panic!("cannot build {}: {error}", program.display()));
    }
    program
}

fn user_cache() -> PathBuf {
    let folder = |name| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let home = || folder("HOME").expect("cannot find the user's cache folder: set HOME or XDG_CACHE_HOME");
    if cfg!(target_os = "macos") { home().join("Library/Caches") } else { folder("XDG_CACHE_HOME").unwrap_or_else(|| home().join(".cache")) }
}

/// Two that build at the same time do not harm each other: each moves its own whole file.
fn build(program: &Path) -> io::Result<()> {
    // Past the harness, which holds back what `eprintln` writes.
    let _ = writeln!(io::stderr(), "building kstatus, once, usually 1 min");
    fs::create_dir_all(program.parent().unwrap_or(program))?;
    let unfinished = program.with_extension(format!("{}.tmp", process::id()));
    let built = Command::new("go")
        .current_dir(MODULE)
        .env("CGO_ENABLED", "0")
        .env("GOFLAGS", "-mod=readonly")
        .args(["build", "-trimpath", "-ldflags", "-s -w", "-o"])
        .args([&unfinished, Path::new(".")])
        .output();
    match built {
        Ok(output) if output.status.success() => fs::rename(&unfinished, program),
        Ok(output) => Err(io::Error::other(format!("go build says: {}", String::from_utf8_lossy(&output.stderr)))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(io::Error::new(error.kind(), "there is no `go` in PATH; install Go")),
        Err(error) => Err(error),
    }
}
