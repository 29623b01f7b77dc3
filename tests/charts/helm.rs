//! Both Helms on the chart.

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::{LazyLock, Mutex};
use std::thread;

use serde_json::Value;
use tools::Tool;

pub(crate) const CHART: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../charts/athena-operator");

static HELM_4: LazyLock<PathBuf> = LazyLock::new(|| program(Tool::Helm));
static HELM_3: LazyLock<PathBuf> = LazyLock::new(|| program(Tool::Helm3));
static EMPTY: LazyLock<tempfile::TempDir> = LazyLock::new(|| tempfile::tempdir().expect("a folder"));

pub(crate) fn program(tool: Tool) -> PathBuf {
    tool.path().unwrap_or_else(|error| panic!("{error}"))
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Helm {
    Four,
    Three,
}

pub(crate) const BOTH: [Helm; 2] = [Helm::Four, Helm::Three];

impl Helm {
    /// Runs it with the values as its input, for `--values -`.
    pub(crate) fn run(self, arguments: &[&str], values: &Value) -> Output {
        let program = match self {
            Self::Four => &*HELM_4,
            Self::Three => &*HELM_3,
        };
        let mut helm = secluded(program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("helm runs");
        helm.stdin
            .take()
            .expect("a pipe")
            .write_all(values.to_string().as_bytes())
            .expect("helm reads the values");
        helm.wait_with_output().expect("helm ends")
    }
}

/// A program in which Helm finds neither the user's cluster nor the user's plugins.
pub(crate) fn secluded(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    command.env("KUBECONFIG", EMPTY.path().join("none")).env("HELM_PLUGINS", EMPTY.path());
    command
}

/// A release that is rendered only.
#[derive(Clone, Copy)]
pub(crate) struct Release {
    pub(crate) name: &'static str,
    pub(crate) namespace: &'static str,
}

pub(crate) const RELEASE: Release = Release { name: "athena-operator", namespace: "athena-system" };

impl Release {
    /// What `helm template` prints, or its error.
    pub(crate) fn template(self, helm: Helm, values: &Value) -> Result<String, String> {
        let output =
            helm.run(&["template", self.name, CHART, "--namespace", self.namespace, "--values", "-"], values);
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
        if output.status.success() { Ok(text(output.stdout)) } else { Err(text(output.stderr)) }
    }

    /// Holds that both Helms refuse the values and say this.
    pub(crate) fn is_refused(self, values: &Value, expected: &str) {
        for helm in BOTH {
            let refusal = self.template(helm, values).expect_err(expected);
            assert!(refusal.contains(expected), "Helm {helm:?} says nothing of {expected:?}: {refusal}");
        }
    }

    /// The objects, under Helm 4.
    pub(crate) fn objects(self, values: &Value) -> Vec<Value> {
        let text =
            self.template(Helm::Four, values).unwrap_or_else(|error| panic!("values {values}: {error}"));
        objects(&text)
    }
}

pub(crate) fn objects(rendered: &str) -> Vec<Value> {
    let documents: Vec<Value> =
        serde_saphyr::from_multiple(rendered).unwrap_or_else(|error| panic!("{error}: {rendered}"));
    documents.into_iter().filter(|document| !document.is_null()).collect()
}

/// `kind namespace/name`, for messages and comparison.
pub(crate) fn identity(object: &Value) -> String {
    let mut identity = object["kind"].as_str().expect("a kind").to_owned() + " ";
    if let Some(namespace) = object["metadata"]["namespace"].as_str() {
        let _ = write!(identity, "{namespace}/");
    }
    identity + object["metadata"]["name"].as_str().expect("a name")
}

/// The only object of this kind.
pub(crate) fn only<'a>(objects: &'a [Value], kind: &str) -> &'a Value {
    let mut found = of_kind(objects, kind);
    let first = found.next().unwrap_or_else(|| panic!("no {kind}"));
    assert!(found.next().is_none(), "more than one {kind}");
    first
}

pub(crate) fn of_kind<'a>(objects: &'a [Value], kind: &str) -> impl Iterator<Item = &'a Value> {
    objects.iter().filter(move |object| object["kind"] == kind)
}

/// What a variable of a container is set to, if it is there.
pub(crate) fn variable<'a>(container: &'a Value, name: &str) -> Option<&'a Value> {
    let mut variables = container["env"].as_array().expect("variables").iter();
    variables.find(|variable| variable["name"] == name).map(|variable| &variable["value"])
}

/// Applies `check` to all of `items`, as many at a time as there are processors.
pub(crate) fn in_parallel<T: Sync, R: Send>(items: &[T], check: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let queue = Mutex::new(items.iter().enumerate());
    let work = || {
        let next = || queue.lock().expect("nobody panics with it").next();
        std::iter::from_fn(next).map(|(index, item)| (index, check(item))).collect::<Vec<_>>()
    };
    let mut results: Vec<(usize, R)> = thread::scope(|scope| {
        let workers: Vec<_> =
            (0..thread::available_parallelism().map_or(1, usize::from)).map(|_| scope.spawn(work)).collect();
        workers
            .into_iter()
            .flat_map(|worker| worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect()
    });
    results.sort_by_key(|(index, _)| *index);
    results.into_iter().map(|(_, result)| result).collect()
}

pub(crate) fn read(path: impl AsRef<Path>) -> String {
    let path = path.as_ref();
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("cannot read {}: {error}", path.display()))
}
