//! The inputs that are kept do what they should, or what they once did not.

use std::path::{Path, PathBuf};

use fuzz_targets::{MOST_BYTES, MOST_INPUTS, TARGETS, flags, object, reply};

fn inputs(target: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target);
    let mut paths: Vec<PathBuf> =
        std::fs::read_dir(folder).expect("inputs").map(|entry| entry.expect("an input").path()).collect();
    paths.sort();
    paths
}

/// Runs every input of `target`; the last path that is printed is that of the one that panics.
fn replay(target: &str, run: fn(&[u8])) {
    let paths = inputs(target);
    assert!(!paths.is_empty());
    for path in paths {
        println!("{}", path.display());
        run(&std::fs::read(path).expect("an input"));
    }
}

#[test]
fn objects_that_were_kept_are_dealt_with() {
    replay("object", object);
}

#[test]
fn replies_that_were_kept_are_dealt_with() {
    replay("reply", reply);
}

#[test]
fn flags_that_were_kept_are_dealt_with() {
    replay("flags", flags);
}

#[test]
fn few_inputs_are_kept() {
    for target in TARGETS {
        let paths = inputs(target);
        let bytes: u64 = paths.iter().map(|path| path.metadata().expect("an input").len()).sum();
        assert!(
            paths.len() <= MOST_INPUTS && bytes <= MOST_BYTES,
            "{target}: {} inputs of {bytes} bytes",
            paths.len()
        );
    }
}
