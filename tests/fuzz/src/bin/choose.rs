//! Chooses the inputs that are kept: `choose CONTROL FOLDER`. CONTROL is libFuzzer's control file of a merge, which tells what each input reaches. The inputs
//! that reach the most that no other reaches are copied into FOLDER, up to the bounds that a test checks. What has a name there stays.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use fuzz_targets::{MOST_BYTES, MOST_INPUTS};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

fn main() -> Result<()> {
    let mut arguments = std::env::args_os().skip(1).map(PathBuf::from);
    let (Some(control), Some(folder)) = (arguments.next(), arguments.next()) else {
        return Err("usage: choose CONTROL FOLDER".into());
    };
    let mut reached = reached(&fs::read_to_string(control)?)?;
    let (mut inputs, mut bytes) = (0, 0);
    let mut seen = BTreeSet::new();
    for entry in fs::read_dir(&folder)? {
        let path = entry?.path();
        if is_found(&path) {
            continue;
        }
        seen.extend(reached.remove(&path).unwrap_or_default());
        (inputs, bytes) = (inputs + 1, bytes + fs::metadata(&path)?.len());
    }
    let mut chosen = BTreeMap::new();
    while inputs < MOST_INPUTS {
        let new = |features: &BTreeSet<u64>| features.difference(&seen).count();
        let Some(best) =
            reached.iter().max_by_key(|(_, features)| new(features)).map(|(path, _)| path.clone())
        else {
            break;
        };
        let features = reached.remove(&best).unwrap_or_default();
        let input = fs::read(&best)?;
        if new(&features) == 0 {
            break;
        }
        if bytes + input.len() as u64 > MOST_BYTES {
            continue;
        }
        (inputs, bytes) = (inputs + 1, bytes + input.len() as u64);
        seen.extend(features);
        chosen.insert(best.file_name().ok_or("an input has a name")?.to_owned(), input);
    }
    for entry in fs::read_dir(&folder)? {
        let path = entry?.path();
        if is_found(&path) {
            fs::remove_file(path)?;
        }
    }
    chosen.into_iter().try_for_each(|(name, input)| fs::write(folder.join(name), input))?;
    println!("{}: {inputs} inputs of {bytes} bytes reach {} features", folder.display(), seen.len());
    Ok(())
}

/// Whether libFuzzer named the input, by its hash.
fn is_found(path: &Path) -> bool {
    path.file_name()
        .and_then(|name| name.to_str())
        .is_some_and(|name| name.len() == 40 && name.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// What each input reaches: after the number of files, of those in the first folder, and their names come lines like `FT INDEX FEATURE...`.
fn reached(control: &str) -> Result<BTreeMap<PathBuf, BTreeSet<u64>>> {
    let mut lines = control.lines();
    let count: usize = lines.next().ok_or("the control file is empty")?.parse()?;
    let paths: Vec<PathBuf> = lines.by_ref().skip(1).take(count).map(PathBuf::from).collect();
    let mut reached: BTreeMap<PathBuf, BTreeSet<u64>> = BTreeMap::new();
    for line in lines {
        let mut words = line.split(' ');
        if words.next() != Some("FT") {
            continue;
        }
        let index: usize = words.next().ok_or("FT has an index")?.parse()?;
        let features = words.map(str::parse).collect::<std::result::Result<BTreeSet<u64>, _>>()?;
        reached
            .entry(paths.get(index).ok_or("an index beyond the files")?.clone())
            .or_default()
            .extend(features);
    }
    Ok(reached)
}
