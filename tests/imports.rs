//! The import contract of `src/lib.rs`: which folder may import which, that no files import each other in a circle, that every module is listed in the overview
//! of its folder, and that what decides has no clock, no client and no I/O.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use syn::visit::{self, Visit};
use syn::{Attribute, Item, ItemMod, ItemUse, Macro, UseTree};

/// Each folder, and what it may import of the others. `src/lib.rs` shows the same table.
const CONTRACT: [(&str, &[&str]); 8] = [
    ("api", &[]),
    ("env_vars", &[]),
    ("session", &["api"]),
    ("runtime", &["env_vars"]),
    ("athena", &["api", "env_vars", "runtime", "session::backoff", "session::marker", "session::reply"]),
    ("controller", &["api", "athena", "runtime", "session"]),
    ("commands", &["api", "athena", "controller", "env_vars", "runtime", "session"]),
    ("main", &["api", "athena", "commands", "controller", "env_vars", "runtime", "session"]),
];

/// Crates that only one folder may name, by how their names begin.
const OWNED_CRATES: [(&str, &str); 1] = [("aws_", "athena")];

/// What `api` may name of other crates: paths, or the beginnings of paths.
const ALLOWED_IN_API: [&str; 9] = [
    "k8s_openapi",
    "kube::CustomResource",
    "kube::CustomResourceExt",
    "schemars",
    "serde",
    "serde_json",
    "serde_with::skip_serializing_none",
    "std::collections",
    "std::fmt",
];

/// What `session` may name of other crates.
const ALLOWED_IN_SESSION: [&str; 14] = [
    "k8s_openapi::apimachinery::pkg::apis::meta::v1",
    "k8s_openapi::jiff::SignedDuration",
    "k8s_openapi::jiff::Timestamp",
    "kube::ResourceExt",
    "kube::api::ObjectMeta",
    "serde_json",
    "serde_path_to_error::deserialize",
    "std::borrow",
    "std::collections",
    "std::fmt",
    "std::iter",
    "std::mem",
    "std::ops",
    "std::time::Duration",
];

/// Functions that ask for the time, of types that are allowed.
const CLOCKS: [&str; 2] = ["::now(", "::now)"];

/// Files that ask for the node's clock: to compare it with those of other machines, and for the lease, whose times people read and no process compares.
const READ_THE_NODES_CLOCK: [&str; 2] = ["runtime/clock.rs", "runtime/lease.rs"];

fn source_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    let mut files: Vec<PathBuf> =
        entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect();
    files.retain(|path| !path.to_string_lossy().ends_with("tests.rs"));
    files.sort();
    files
}

/// The path of the module in `file`, such as `session::status`; `main` for `main.rs`, and nothing for `lib.rs`.
fn module_of(file: &Path) -> String {
    let relative = file.strip_prefix(source_folder()).expect("in src").with_extension("");
    let parts: Vec<&str> = relative
        .iter()
        .map(|part| part.to_str().expect("UTF-8"))
        .filter(|part| !matches!(*part, "mod" | "lib"))
        .collect();
    parts.join("::")
}

/// The paths that a file names, outside its tests: `crate::`, `self::` and `super::` are resolved, and other paths are as they stand.
struct Names {
    module: Vec<String>,
    /// Modules that the file declares.
    children: BTreeSet<String>,
    paths: Vec<Vec<String>>,
}

impl Names {
    fn of(module: &str, source: &str) -> Self {
        let file = syn::parse_file(source).expect("Rust");
        let children = file.items.iter().filter_map(|item| {
            if let Item::Mod(module) = item { Some(module.ident.to_string()) } else { None }
        });
        let module = module.split("::").filter(|part| !part.is_empty()).map(str::to_owned).collect();
        let mut names = Self { module, children: children.collect(), paths: Vec::new() };
        names.visit_file(&file);
        names
    }

    fn add(&mut self, path: Vec<String>) {
        let mut place = self.module.clone();
        let mut rest = path.into_iter().peekable();
        match rest.peek().map(String::as_str) {
            Some("crate") => {
                rest.next();
                place.clear();
            }
            // Both name the library: one is the binary's word for it.
            Some("athena_operator") => {
                rest.next();
                place.clear();
            }
            Some("self") => drop(rest.next()),
            Some("super") => {
                while rest.next_if(|part| part == "super").is_some() {
                    place.pop();
                }
            }
            Some(first) if self.children.contains(first) => {}
            _ => return self.paths.push(rest.collect()),
        }
        self.paths.push(std::iter::once("crate".to_owned()).chain(place).chain(rest).collect());
    }

    fn import(&mut self, tree: &UseTree, before: &[String]) {
        let with = |name: &syn::Ident| [before, &[name.to_string()]].concat();
        match tree {
            UseTree::Path(path) => self.import(&path.tree, &with(&path.ident)),
            UseTree::Name(name) if name.ident == "self" => self.add(before.to_vec()),
            UseTree::Name(name) => self.add(with(&name.ident)),
            UseTree::Rename(name) => self.add(with(&name.ident)),
            UseTree::Glob(_) => self.add([before, &["*".to_owned()]].concat()),
            UseTree::Group(group) => group.items.iter().for_each(|tree| self.import(tree, before)),
        }
    }

    /// The paths of other crates, without those that begin with a type or with a name that was imported.
    fn foreign(&self) -> impl Iterator<Item = String> {
        let known: BTreeSet<&String> = self.paths.iter().filter_map(|path| path.last()).collect();
        let is_foreign = move |path: &&Vec<String>| {
            let first = &path[0];
            let is_imported = known.contains(first)
                && path.len() > 1
                && !matches!(first.as_str(), "std" | "kube" | "serde_json");
            path.len() > 1
                && first != "crate"
                && first.starts_with(|letter: char| letter.is_ascii_lowercase())
                && !is_imported
        };
        self.paths.iter().filter(is_foreign).map(|path| path.join("::"))
    }
}

fn is_test(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("cfg")
            && attribute.parse_args::<syn::Ident>().is_ok_and(|cfg| cfg == "test")
    })
}

impl<'ast> Visit<'ast> for Names {
    fn visit_item_mod(&mut self, module: &'ast ItemMod) {
        if !is_test(&module.attrs) {
            visit::visit_item_mod(self, module);
        }
    }

    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        if !is_test(&item.attrs) {
            self.import(&item.tree, &[]);
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        if path.segments.len() > 1 {
            self.add(path.segments.iter().map(|segment| segment.ident.to_string()).collect());
        }
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, called: &'ast Macro) {
        if let Some(name) = called.path.get_ident() {
            self.paths.push(vec!["macro".to_owned(), name.to_string()]);
        }
        // Of what stands in the macro, no more than words is known: paths among them are found as they are written.
        let words: Vec<String> =
            called.tokens.to_string().replace(" :: ", "::").split_whitespace().map(str::to_owned).collect();
        for word in words {
            let word = word.trim_matches(|letter: char| !letter.is_alphanumeric());
            if word.starts_with("crate::") {
                self.add(word.split("::").map(str::to_owned).collect());
            }
        }
        visit::visit_macro(self, called);
    }

    // `derive` and `doc` import nothing.
    fn visit_attribute(&mut self, _: &'ast Attribute) {}
}

/// Every module with the modules that it imports.
fn graph() -> BTreeMap<String, BTreeSet<String>> {
    let files = files(&source_folder());
    let modules: BTreeSet<String> = files.iter().map(|file| module_of(file)).collect();
    let imports = |file: &PathBuf| {
        let module = module_of(file);
        let names = Names::of(&module, &std::fs::read_to_string(file).expect("a source"));
        let resolved = names.paths.iter().filter(|path| path[0] == "crate").filter_map(|path| {
            (1..=path.len())
                .rev()
                .map(|length| path[1..length].join("::"))
                .find(|prefix| !prefix.is_empty() && modules.contains(prefix))
        });
        (module.clone(), resolved.filter(|import| *import != module).collect())
    };
    files.iter().map(imports).collect()
}

fn folder(module: &str) -> &str {
    module.split("::").next().unwrap_or_default()
}

fn violations(graph: &BTreeMap<String, BTreeSet<String>>) -> Vec<String> {
    let is_within = |module: &str, place: &str| {
        module.strip_prefix(place).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
    };
    let mut found = Vec::new();
    for (module, imports) in graph.iter().filter(|(module, _)| !module.is_empty()) {
        let Some((_, allowed)) = CONTRACT.iter().find(|(name, _)| *name == folder(module)) else {
            found.push(format!("{module} is in no folder of the contract"));
            continue;
        };
        let is_allowed = |import: &String| {
            folder(import) == folder(module) || allowed.iter().any(|place| is_within(import, place))
        };
        found.extend(
            imports
                .iter()
                .filter(|import| !is_allowed(import))
                .map(|import| format!("{module} imports {import}")),
        );
    }
    found
}

#[test]
fn folders_import_what_the_contract_lets_them() {
    let found = violations(&graph());
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn the_contract_notices_a_forbidden_import() {
    let graph = |module: &str, source: &str| {
        let names = Names::of(module, source);
        let imports = names.paths.iter().map(|path| path[1..path.len() - 1].join("::")).collect();
        BTreeMap::from([(module.to_owned(), imports)])
    };
    for (module, source) in [
        ("session::status", "use crate::controller::metrics::Metrics;"),
        ("athena::client", "fn f() { crate::session::lifecycle::next_step(); }"),
        ("runtime::lease", "use super::super::session::{reply::Session};"),
        ("elsewhere", "use crate::api::AthenaSession;"),
    ] {
        assert_eq!(violations(&graph(module, source)).len(), 1, "{source}");
    }
    assert_eq!(
        violations(&graph("athena::client", "use crate::session::reply::Session;")),
        <[String; 0]>::default()
    );
}

#[test]
fn no_files_import_each_other_in_a_circle() {
    let mut left = graph();
    // What imports nothing that is left is in no circle.
    while let Some(module) = left
        .iter()
        .find(|(_, imports)| imports.iter().all(|import| !left.contains_key(import)))
        .map(|(module, _)| module.clone())
    {
        left.remove(&module);
    }
    assert!(left.is_empty(), "in a circle, or importing one: {left:#?}");
}

#[test]
fn crates_are_named_where_they_belong() {
    for file in files(&source_folder()) {
        let module = module_of(&file);
        let source = std::fs::read_to_string(&file).expect("a source");
        for path in Names::of(&module, &source).paths {
            let owner = OWNED_CRATES.iter().find(|(prefix, _)| path[0].starts_with(prefix));
            assert!(
                owner.is_none_or(|(_, owner)| *owner == folder(&module)),
                "{module} names {}",
                path.join("::")
            );
        }
    }
}

/// What a source of a folder that decides names though it must not.
fn strangers(folder: &str, module: &str, source: &str) -> Vec<String> {
    // Tests stand at the end.
    let (source, _) = source.split_once("#[cfg(test)]").unwrap_or((source, ""));
    let allowed: &[&str] = if folder == "api" { &ALLOWED_IN_API } else { &ALLOWED_IN_SESSION };
    let names = Names::of(module, source);
    let is_allowed = |name: &str| {
        allowed.iter().any(|allowed| {
            name == *allowed || name.strip_prefix(allowed).is_some_and(|rest| rest.starts_with("::"))
        })
    };
    let primitive = |name: &str| {
        ["f64", "i32", "i64", "u16", "u8", "u32", "u64", "str", "char", "usize"]
            .contains(&name.split("::").next().unwrap_or_default())
    };
    let macros = [
        "macro::format",
        "macro::matches",
        "macro::json",
        "macro::assert",
        "macro::vec",
        "macro::write",
        "macro::json_schema",
        "macro::unreachable",
        "macro::panic",
        "macro::macro_rules",
        "macro::open_words",
    ];
    let is_macro = |name: &str| macros.contains(&name);
    let foreign = names.foreign().filter(|name| !is_allowed(name) && !primitive(name) && !is_macro(name));
    let clocks = CLOCKS.into_iter().filter(|clock| source.contains(clock)).map(str::to_owned);
    foreign.chain(clocks).collect()
}

#[test]
fn what_decides_has_no_clock_no_client_and_no_io() {
    for folder in ["api", "session"] {
        for file in files(&source_folder().join(folder)) {
            let source = std::fs::read_to_string(&file).expect("a source");
            let found = strangers(folder, &module_of(&file), &source);
            assert!(found.is_empty(), "{} names {found:?}", file.display());
        }
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
        "fn f() { tokio::spawn(g()); }",
        "fn f() { println!(\"x\"); }",
        "fn f() { tracing::info!(\"x\"); }",
        "use fastrand::f64;",
        "use prometheus_client::metrics::counter::Counter;",
        "use k8s_openapi::jiff::Timestamp; fn f() { format!(\"{}\", Timestamp::now()); }",
    ] {
        assert!(!strangers("session", "session::x", source).is_empty(), "{source}");
    }
    assert_eq!(
        strangers("session", "session::x", "use kube::ResourceExt; fn f() { matches!(x, 1); }"),
        <[String; 0]>::default()
    );
}

#[test]
fn times_are_never_compared_with_the_nodes_clock() {
    let reads = |path: &&PathBuf| {
        let source = std::fs::read_to_string(path).expect("a source");
        let (source, _) = source.split_once("#[cfg(test)]").unwrap_or((&source, ""));
        ["Timestamp::now", "SystemTime::now", "Utc::now"].iter().any(|clock| source.contains(clock))
    };
    let all = files(&source_folder());
    let found: Vec<String> = all
        .iter()
        .filter(reads)
        .map(|path| path.strip_prefix(source_folder()).expect("in src").display().to_string())
        .collect();
    assert_eq!(found, READ_THE_NODES_CLOCK, "the node's clock is read here: the time is that of Clock");
}

#[test]
fn every_module_is_listed_in_the_overview_of_its_folder() {
    let root = source_folder();
    for overview in
        files(&root).into_iter().filter(|file| file.ends_with("mod.rs") || file.ends_with("lib.rs"))
    {
        let source = std::fs::read_to_string(&overview).expect("a source");
        let text: String = source.lines().take_while(|line| line.starts_with("//!")).collect();
        let declared =
            syn::parse_file(&source).expect("Rust").items.into_iter().filter_map(|item| match item {
                Item::Mod(module) if !is_test(&module.attrs) => Some(module.ident.to_string()),
                _ => None,
            });
        let is_listed = |module: &String| {
            text.contains(&format!("`{module}`")) || text.contains(&format!("//! {module} "))
        };
        let missing: Vec<String> = declared.filter(|module| !is_listed(module)).collect();
        assert!(missing.is_empty(), "{} does not list {missing:?}", overview.display());
    }
}

#[test]
fn the_library_shows_the_contract() {
    let text = std::fs::read_to_string(source_folder().join("lib.rs")).expect("a source");
    for (folder, allowed) in CONTRACT.iter().filter(|(folder, _)| *folder != "main") {
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix(&format!("//! {folder} ")))
            .unwrap_or_else(|| panic!("{folder} is not in the map"));
        let (_, imports) =
            line.rsplit_once("| ").unwrap_or_else(|| panic!("the map does not say what {folder} imports"));
        let expected = if *folder == "commands" {
            "everything".to_owned()
        } else if allowed.is_empty() {
            "-".to_owned()
        } else {
            allowed.join(", ")
        };
        assert_eq!(imports.trim(), expected, "imports of {folder}");
    }
}
