//! The modules that decide have no clock, no client and no I/O: what they name of the world outside is listed here.

use std::path::{Path, PathBuf};

use syn::visit::{Visit, visit_macro, visit_path};
use syn::{File, ItemUse, Macro, UseTree};

/// The modules that are to be pure, with what is in their folders.
const MODULES: [&str; 10] = [
    "athena/marker_search/group",
    "events",
    "known",
    "lifecycle",
    "marker",
    "metrics/changes",
    "metrics/objects",
    "refused_write",
    "session",
    "status",
];

/// What they may name: paths, or the beginnings of paths.
const ALLOWED: [&str; 34] = [
    "crate::api",
    "crate::events",
    "crate::key::Key",
    "crate::known",
    "crate::lifecycle",
    "crate::marker",
    "crate::refused_write",
    "crate::retained",
    "crate::session",
    "crate::status",
    "k8s_openapi::apimachinery::pkg::apis::meta::v1",
    "k8s_openapi::jiff::SignedDuration",
    "k8s_openapi::jiff::Timestamp",
    "kube::ResourceExt",
    "crate::unreadable::REASON",
    "self",
    "std::borrow",
    "std::collections",
    "std::fmt",
    "std::iter::once",
    "std::mem::replace",
    "std::ops",
    "std::sync::Arc",
    "std::time::Duration",
    // Imported above, or a primitive type.
    "fmt",
    "marker",
    "refused_write",
    "f64",
    "i32",
    "u32",
    "u64",
    "format",
    "matches",
    "super",
];

/// Functions that ask for the time, of types that are allowed.
const CLOCKS: [&str; 2] = ["::now(", "::now)"];

#[derive(Default)]
struct Named(Vec<String>);

impl Named {
    fn of(file: &File) -> Self {
        let mut named = Self::default();
        named.visit_file(file);
        named
    }

    fn import(&mut self, tree: &UseTree, before: &str) {
        match tree {
            UseTree::Path(path) => self.import(&path.tree, &format!("{before}{}::", path.ident)),
            UseTree::Name(name) => self.0.push(format!("{before}{}", name.ident)),
            UseTree::Rename(name) => self.0.push(format!("{before}{}", name.ident)),
            UseTree::Glob(_) => self.0.push(format!("{before}*")),
            UseTree::Group(group) => group.items.iter().for_each(|tree| self.import(tree, before)),
        }
    }

    /// Those that are not allowed.
    fn strangers(&self) -> Vec<&String> {
        let allowed = |name: &str| ALLOWED.iter().any(|allowed| name == *allowed || name.starts_with(&format!("{allowed}::")));
        self.0.iter().filter(|name| !allowed(name)).collect()
    }
}

impl<'ast> Visit<'ast> for Named {
    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        let mut imported = Self::default();
        imported.import(&item.tree, "");
        self.0.extend(imported.0.into_iter().filter(|name| is_foreign(name)));
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let segments: Vec<String> = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        let name = segments.join("::");
        if segments.len() > 1 && is_foreign(&name) {
            self.0.push(name);
        }
        visit_path(self, path);
    }

    fn visit_macro(&mut self, called: &'ast Macro) {
        self.0.extend(called.path.get_ident().map(ToString::to_string));
        visit_macro(self, called);
    }

    fn visit_attribute(&mut self, _: &'ast syn::Attribute) {}
}

/// Whether a path begins with a module: a type was imported or is defined here.
fn is_foreign(name: &str) -> bool {
    name.starts_with(|letter: char| letter.is_ascii_lowercase())
}

fn is_pure(source: &str) -> Result<(), String> {
    // Tests stand at the end.
    let (source, _) = source.split_once("#[cfg(test)]").unwrap_or((source, ""));
    let named = Named::of(&syn::parse_file(source).expect("Rust"));
    if named.0.is_empty() {
        return Err("names nothing".to_owned());
    }
    let clocks = CLOCKS.into_iter().filter(|clock| source.contains(clock)).map(str::to_owned);
    let strangers: Vec<String> = named.strangers().into_iter().cloned().chain(clocks).collect();
    if strangers.is_empty() { Ok(()) } else { Err(format!("names {strangers:?}")) }
}

fn files(module: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let inner = std::fs::read_dir(folder.join(module)).into_iter().flatten().map(|entry| entry.expect("an entry").path());
    let inner = inner.filter(|path| !path.to_string_lossy().ends_with("_tests.rs"));
    [folder.join(format!("{module}.rs"))].into_iter().chain(inner).collect()
}

#[test]
fn the_modules_that_decide_have_no_clock_no_client_and_no_io() {
    for path in MODULES.into_iter().flat_map(files) {
        let source = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        is_pure(&source).unwrap_or_else(|strangers| panic!("{} {strangers}", path.display()));
    }
}

#[test]
fn a_clock_a_client_and_io_are_noticed() {
    for source in [
        "use k8s_openapi::jiff::Timestamp; fn f() { Timestamp::now(); }",
        "use k8s_openapi::jiff::Timestamp; fn f() { None.unwrap_or_else(Timestamp::now); }",
        "use std::{collections::BTreeMap, time::SystemTime};",
        "fn f() { std::fs::read(\"x\"); }",
        "use kube::{Client, ResourceExt};",
        "use crate::athena::Client;",
        "fn f() { tokio::spawn(g()); }",
        "fn f() { println!(\"x\"); }",
        "fn f() { tracing::info!(\"x\"); }",
        "use k8s_openapi::jiff::Timestamp; fn f() { format!(\"{}\", Timestamp::now()); }",
    ] {
        assert!(is_pure(source).is_err(), "{source}");
    }
    assert_eq!(is_pure("use kube::ResourceExt; fn f() { matches!(x, 1); }"), Ok(()));
}

/// The clock of other machines, and the lease, which is read by people only: no process compares its times.
const READ_THE_NODES_CLOCK: [&str; 2] = ["clock.rs", "lease.rs"];

fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    entries.flat_map(|path| if path.is_dir() { sources(&path) } else { vec![path] }).collect()
}

#[test]
fn times_are_never_compared_with_the_nodes_clock() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let reads = |path: &PathBuf| {
        let source = std::fs::read_to_string(path).expect("a source");
        let (source, _) = source.split_once("#[cfg(test)]").unwrap_or((&source, ""));
        let is_test = path.to_string_lossy().ends_with("_tests.rs");
        !is_test && ["Timestamp::now", "SystemTime::now", "Utc::now"].iter().any(|clock| source.contains(clock))
    };
    let found: Vec<PathBuf> = sources(&src).into_iter().filter(reads).map(|path| path.strip_prefix(&src).expect("in src").to_owned()).collect();
    let allowed: Vec<PathBuf> = READ_THE_NODES_CLOCK.iter().map(PathBuf::from).collect();
    let strangers: Vec<&PathBuf> = found.iter().filter(|path| !allowed.contains(path)).collect();
    assert!(strangers.is_empty(), "{strangers:?} read the node's clock: the time is that of Clock");
    assert_eq!(found.len(), allowed.len(), "the list names more files than read it");
}
