//! Makes a copy of the operator's sources with the planted panics in it: `plant FOLDER`.

use std::fs;
use std::path::{Path, PathBuf};

use fuzz_targets::planted::planted;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

fn main() -> Result<()> {
    let folder = PathBuf::from(std::env::args_os().nth(1).ok_or("usage: plant FOLDER")?);
    copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../.."), &folder, Path::new("src"))
}

/// Copies a file or a folder. What has not changed since the last time is not written, and so not built again.
fn copy(from: &Path, to: &Path, path: &Path) -> Result<()> {
    if from.join(path).is_dir() {
        return fs::read_dir(from.join(path))?
            .try_for_each(|entry| copy(from, to, &path.join(entry?.file_name())));
    }
    let text = fs::read_to_string(from.join(path))?;
    let text = planted(path.to_str().unwrap_or_default(), &text)?.unwrap_or(text);
    let target = to.join(path);
    if !fs::read_to_string(&target).is_ok_and(|before| before == text) {
        fs::create_dir_all(target.parent().ok_or("a file has a folder")?)?;
        fs::write(target, text)?;
    }
    Ok(())
}
