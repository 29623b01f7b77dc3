//! What the tools of GitOps make of objects: a Go program over their own libraries, built once into the user's cache folder.

use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::LazyLock;
use std::thread;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tools::{GoMod, Program};

/// What people give to Argo CD.
pub(crate) const CUSTOMIZATION: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/gitops/argocd/resource_customizations/athena-operator.io/AthenaSession"
);
/// The Kustomization of Flux that people copy the expressions from.
const EXPRESSIONS: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/gitops/flux/sessions-with-health-check-exprs.yaml");

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
        scope.spawn(move || {
            objects.iter().try_for_each(|object| writeln!(to, "{object}")).and_then(|()| to.flush())
        });
        from.lines().map(|line| serde_json::from_str(&line.expect("a line")).expect("an answer")).collect()
    });
    let status = judge.wait().expect("it ends");
    assert!(
        status.success(),
        "{arguments:?} answered {} of {} objects and ended with {status}",
        answers.len(),
        objects.len()
    );
    assert_eq!(answers.len(), objects.len());
    answers
}

fn program() -> PathBuf {
    let judge = Program {
        name: "gitops-judge",
        package: ".",
        module: concat!(env!("CARGO_MANIFEST_DIR"), "/tests/kstatus/go"),
        go_mod: GoMod(include_str!("go/go.mod")),
        sources: &[
            include_str!("go/go.sum"),
            include_str!("go/main.go"),
            include_str!("go/argo.go"),
            include_str!("go/flux.go"),
        ],
        linker_flags: "",
        usual_build_time: "2 min",
    };
    judge.path().unwrap_or_else(|error| panic!("{error}"))
}
