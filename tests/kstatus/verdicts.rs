//! What the tools of GitOps make of objects: a Go program over their own libraries, built once into the user's cache folder.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::LazyLock;
use std::{env, fs, process, thread};

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

const MODULE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/kstatus/go");
const SOURCES: [&str; 5] =
    [include_str!("go/go.mod"), include_str!("go/go.sum"), include_str!("go/main.go"), include_str!("go/argo.go"), include_str!("go/flux.go")];

/// What people give to Argo CD.
pub(crate) const CUSTOMIZATION: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/gitops/argocd/resource_customizations/athena-operator.io/AthenaSession");
/// The Kustomization of Flux that people copy the expressions from.
const EXPRESSIONS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/gitops/flux/sessions-with-health-check-exprs.yaml");

/// What the tools make of an object.
#[derive(Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Verdicts {
    /// Of the original kstatus.
    pub kstatus: String,
    /// Of Flux's fork of kstatus, which Helm 4 has, too.
    pub fork: String,
    /// Of Flux with `healthCheckExprs`.
    pub exprs: String,
    /// Of Argo CD with `health.lua`.
    pub argo: Health,
}

/// What Argo CD shows of an object.
#[derive(Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Health {
    pub status: String,
    pub message: String,
}

/// What the tools make of each object, a line of JSON.
pub(crate) fn verdicts(objects: &[&str]) -> Vec<Verdicts> {
    let health = format!("{CUSTOMIZATION}/health.lua");
    answers(&["judge", &health, EXPRESSIONS], objects)
}

/// What a Lua script of Argo CD returns for each object.
pub(crate) fn lua(script: &str, objects: &[&str]) -> Vec<Value> {
    answers(&["lua", &format!("{CUSTOMIZATION}/{script}")], objects)
}

/// Each object as its type of Flux has it, which must know every field.
pub(crate) fn flux_types(objects: &[&str]) -> Vec<Value> {
    answers(&["decode"], objects)
}

fn answers<T: DeserializeOwned + Send>(arguments: &[&str], objects: &[&str]) -> Vec<T> {
    static PROGRAM: LazyLock<PathBuf> = LazyLock::new(program);
    let mut judge = Command::new(&*PROGRAM)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("cannot run {}: {error}", PROGRAM.display()));
    let mut to = BufWriter::new(judge.stdin.take().expect("stdin is a pipe"));
    let from = BufReader::new(judge.stdout.take().expect("stdout is a pipe"));
    let answers: Vec<T> = thread::scope(|scope| {
        // A program that ends early breaks the pipe; its exit status says so below.
        scope.spawn(move || objects.iter().try_for_each(|object| writeln!(to, "{object}")).and_then(|()| to.flush()));
        from.lines().map(|line| serde_json::from_str(&line.expect("a line")).expect("an answer")).collect()
    });
    let status = judge.wait().expect("it ends");
    assert!(status.success(), "{arguments:?} answered {} of {} objects and ended with {status}", answers.len(), objects.len());
    assert_eq!(answers.len(), objects.len());
    answers
}

fn program() -> PathBuf {
    let mut hasher = DefaultHasher::new();
    SOURCES.hash(&mut hasher);
    let program = user_cache().join("athena-operator").join(format!("gitops-judge-{:016x}", hasher.finish()));
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
    let _ = writeln!(io::stderr(), "building kstatus, Argo CD's Lua and Flux's CEL, once, usually 2 min");
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
