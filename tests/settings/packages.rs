//! The packages that the operator is linked from, in the versions of Cargo.lock, and their sources.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// A package.
pub(crate) struct Package {
    pub(crate) name: String,
    /// The folder of its library or, of the operator, of the program.
    source: PathBuf,
    /// The folder of all of it, if it has code in C.
    c: Option<PathBuf>,
}

impl Package {
    fn new(package: &Value) -> Option<Self> {
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let of_kind = |target: &&Value, kind: &str| {
            target["kind"].as_array().is_some_and(|kinds| kinds.iter().any(|own| own == kind))
        };
        let targets = package["targets"].as_array()?;
        let is_library = |target: &&Value| ["lib", "rlib"].iter().any(|kind| of_kind(target, kind));
        let source = Path::new(targets.iter().find(is_library)?["src_path"].as_str()?).parent()?.to_owned();
        let folder = || Some(Path::new(package["manifest_path"].as_str()?).parent()?.to_owned());
        Some(Self {
            name: text(&package["name"])?,
            source,
            c: package["links"].as_str().and_then(|_| folder()),
        })
    }

    /// Its files in Rust: path within the package, and text.
    pub(crate) fn rust(&self) -> Vec<(String, String)> {
        files(&self.source, &["rs"])
    }

    /// Its files in C or C++.
    pub(crate) fn c(&self) -> Vec<(String, String)> {
        self.c.as_deref().map(|folder| files(folder, &["c", "cc", "h"])).unwrap_or_default()
    }
}

/// The operator and what it is linked from. Macros run while it is compiled, and are left out.
pub(crate) fn packages() -> Vec<Package> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let arguments = [
        "metadata",
        "--locked",
        "--offline",
        "--format-version=1",
        "--filter-platform=x86_64-unknown-linux-gnu",
    ];
    let output = Command::new(cargo)
        .args(arguments)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo can be run");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let nodes = list(&metadata["resolve"]["nodes"]);
    let packages: Vec<(Value, Package)> = list(&metadata["packages"])
        .iter()
        .filter_map(|package| Some((package["id"].clone(), Package::new(package)?)))
        .collect();
    let mut waiting = vec![metadata["resolve"]["root"].clone()];
    let mut linked = BTreeSet::new();
    while let Some(id) = waiting.pop() {
        let is_macro = !packages.iter().any(|(own, _)| *own == id);
        if is_macro || !linked.insert(id.to_string()) {
            continue;
        }
        let node = nodes.iter().find(|node| node["id"] == id).expect("each package is resolved");
        let is_linked =
            |dependency: &&Value| list(&dependency["dep_kinds"]).iter().any(|kind| kind["kind"].is_null());
        waiting
            .extend(list(&node["deps"]).iter().filter(is_linked).map(|dependency| dependency["pkg"].clone()));
    }
    packages
        .into_iter()
        .filter(|(id, _)| linked.contains(&id.to_string()))
        .map(|(_, package)| package)
        .collect()
}

/// The files below `folder` with one of these extensions, but for those of tests.
fn files(folder: &Path, extensions: &[&str]) -> Vec<(String, String)> {
    const TESTS: [&str; 9] =
        ["bin", "test", "tests", "test_case", "test_util", "test-data", "benches", "examples", "tool"];
    let mut found = Vec::new();
    let mut waiting = vec![folder.to_owned()];
    while let Some(next) = waiting.pop() {
        for entry in std::fs::read_dir(&next).expect("a folder").flatten() {
            let path = entry.path();
            let name = entry.file_name().to_string_lossy().into_owned();
            let stem = name.split('.').next().unwrap_or_default();
            if TESTS.contains(&stem) || stem.ends_with("_test") || stem.ends_with("_tests") {
                continue;
            }
            if path.is_dir() {
                waiting.push(path);
            } else if path.extension().is_some_and(|own| extensions.iter().any(|extension| own == *extension))
            {
                let text = std::fs::read(&path)
                    .map(|text| String::from_utf8_lossy(&text).into_owned())
                    .expect("a file");
                found.push((path.strip_prefix(folder).unwrap_or(&path).display().to_string(), text));
            }
        }
    }
    found.sort();
    found
}
