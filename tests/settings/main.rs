//! The tables of environment variables and profile keys hold what the sources of the versions in Cargo.lock read, and nothing else.

#![allow(unreachable_pub, reason = "everything here is one program")]

mod packages;
mod reads;
mod reads_tests;

use std::collections::{BTreeMap, BTreeSet};

use athena_operator::env_vars::{Kind, PROFILE_KEYS, VARIABLES, Variable};

use packages::packages;
use reads::{of_c, of_rust};

/// Variables that Rust's standard library reads: its sources are not among those of Cargo.lock.
const STANDARD_LIBRARY: [&str; 3] = ["RUST_BACKTRACE", "RUST_LIB_BACKTRACE", "RUST_MIN_STACK"];

/// Files that read variables whose names others give them: package and path.
const NAMED_BY_OTHERS: [&str; 14] = [
    // All of the environment, to check it.
    "athena-operator commands/dispatch.rs",
    // All of the environment, to start again without empty variables.
    "athena-operator env_vars/mod.rs",
    // The variables of a proxy, which the module proxy names.
    "athena-operator runtime/kubernetes.rs",
    // The names are those of functions: SSL_CERT_DIR and SSL_CERT_FILE.
    "aws-lc-sys aws-lc/crypto/x509/by_dir.c",
    "aws-lc-sys aws-lc/crypto/x509/by_file.c",
    // What `env` and `service_config_key` are called with.
    "aws-runtime env_config.rs",
    // What `get` is called with.
    "aws-types os_shim_internal.rs",
    // The flags.
    "clap_builder builder/arg.rs",
    // The options.
    "libmimalloc-sys c_src/mimalloc/v2/src/alloc-posix.c",
    "libmimalloc-sys c_src/mimalloc/v2/src/prim/unix/prim.c",
    "libmimalloc-sys c_src/mimalloc/v2/src/prim/wasi/prim.c",
    "libmimalloc-sys c_src/mimalloc/v3/src/alloc-posix.c",
    "libmimalloc-sys c_src/mimalloc/v3/src/prim/unix/prim.c",
    "libmimalloc-sys c_src/mimalloc/v3/src/prim/wasi/prim.c",
];

type Readers = BTreeMap<String, BTreeSet<String>>;

/// The packages by the names of the variables that they read, by those of the keys, and the files that get names from others.
fn all() -> (Readers, Readers, BTreeSet<String>) {
    let (mut variables, mut keys, mut unknown) = (Readers::new(), Readers::new(), BTreeSet::new());
    for package in packages() {
        for reads in [of_rust(&package.rust()), of_c(&package.c())] {
            for (names, readers) in [(reads.variables, &mut variables), (reads.keys, &mut keys)] {
                for name in names {
                    readers.entry(name).or_default().insert(package.name.clone());
                }
            }
            unknown.extend(reads.unknown.into_iter().map(|path| format!("{} {path}", package.name)));
        }
    }
    (variables, keys, unknown)
}

#[test]
fn the_tables_hold_what_the_sources_read() {
    let (variables, keys, unknown) = all();
    let missing: Readers =
        variables.clone().into_iter().filter(|(name, _)| Variable::named(name).is_none()).collect();
    assert_eq!(
        missing,
        Readers::new(),
        "these are read, by these packages, and missing in VARIABLES of src/env_vars/table.rs"
    );
    let is_read = |variable: &&Variable| match variable.name.strip_suffix('*') {
        Some(beginning) => variables.keys().any(|name| name.starts_with(beginning)),
        None => variables.contains_key(variable.name) || STANDARD_LIBRARY.contains(&variable.name),
    };
    // Those of the flags are compared with the flags where these are.
    let unread: Vec<_> = VARIABLES
        .iter()
        .filter(|variable| variable.kind != Kind::Flag && !is_read(variable))
        .map(|variable| variable.name)
        .collect();
    assert_eq!(
        unread,
        <[&str; 0]>::default(),
        "these are in VARIABLES of src/env_vars/table.rs, and nothing reads them"
    );

    let missing: Readers = keys
        .clone()
        .into_iter()
        .filter(|(name, _)| !PROFILE_KEYS.iter().any(|key| key.name == *name))
        .collect();
    assert_eq!(
        missing,
        Readers::new(),
        "these are read, by these packages, and missing in PROFILE_KEYS of src/env_vars/table.rs"
    );
    let unread: Vec<_> =
        PROFILE_KEYS.iter().map(|key| key.name).filter(|name| !keys.contains_key(*name)).collect();
    assert_eq!(
        unread,
        <[&str; 0]>::default(),
        "these are in PROFILE_KEYS of src/env_vars/table.rs, and nothing reads them"
    );

    let known: BTreeSet<String> = NAMED_BY_OTHERS.map(str::to_owned).into();
    assert_eq!(
        unknown, known,
        "files that read a variable whose name they do not hold: see what they read, and list them here"
    );
}

#[test]
fn the_packages_are_those_that_the_operator_is_linked_from() {
    let names: BTreeSet<String> = packages().into_iter().map(|package| package.name).collect();
    for linked in [
        "athena-operator",
        "aws-config",
        "aws-lc-sys",
        "aws-runtime",
        "aws-sdk-athena",
        "kube-client",
        "libmimalloc-sys",
        "rustls-native-certs",
        "tokio",
    ] {
        assert!(names.contains(linked), "{linked} is missing in {names:?}");
    }
    for other in ["athena-emulator", "clap_derive", "cc", "cmake", "tempfile"] {
        assert!(!names.contains(other), "{other} is in no operator");
    }
}
