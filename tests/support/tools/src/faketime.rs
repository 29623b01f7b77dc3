//! A library that shows a process another time, from Debian's package.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::anyhow;

use crate::cache_folder;
use crate::error::on;
use crate::go_build::{tell, turn};

const PACKAGE: &str = "libfaketime";
const FILE: &str = "libfaketimeMT.so.1";

/// Returns the path of `libfaketimeMT.so.1` for `LD_PRELOAD`: the system's or, where the package is not installed, one in the user's cache folder. It is
/// downloaded with apt-get once, which does not need root and is told on stderr.
///
/// # Errors
/// When there is no package.
pub fn faketime() -> anyhow::Result<PathBuf> {
    if let Some(installed) = find(Path::new("/usr/lib")) {
        return Ok(installed);
    }
    let folder = cache_folder()?.join("tools").join(PACKAGE);
    let unpacked = folder.join("unpacked");
    if let Some(kept) = find(&unpacked.join("usr/lib")) {
        return Ok(kept);
    }
    fs::create_dir_all(&folder).map_err(on("create", &folder))?;
    let _turn = turn(PACKAGE, &folder.join("lock"))?;
    if let Some(kept) = find(&unpacked.join("usr/lib")) {
        return Ok(kept);
    }
    tell(&format!("downloading {PACKAGE}, once"));
    if run(&folder, "apt-get", &["download", PACKAGE]).is_err() {
        // Root keeps the system's lists of packages; these are the user's own.
        for name in ["lists/partial", "cache/archives/partial"] {
            let name = folder.join(name);
            fs::create_dir_all(&name).map_err(on("create", &name))?;
        }
        let own = [
            format!("Dir::State::lists={}/lists", folder.display()),
            format!("Dir::Cache={}/cache", folder.display()),
        ];
        let own = ["-o", &own[0], "-o", &own[1]];
        run(&folder, "apt-get", &[&own[..], &["update"]].concat())?;
        run(&folder, "apt-get", &[&own[..], &["download", PACKAGE]].concat())?;
    }
    let packages =
        fs::read_dir(&folder).map_err(on("read", &folder))?.filter_map(Result::ok).map(|entry| entry.path());
    let package = packages.filter(|path| path.extension().is_some_and(|kind| kind == "deb")).max();
    let package = package.ok_or_else(|| missing("apt-get downloaded no package"))?;
    run(&folder, "dpkg-deb", &["-x", &package.to_string_lossy(), &unpacked.to_string_lossy()])?;
    find(&unpacked.join("usr/lib")).ok_or_else(|| missing(&format!("the package has no {FILE}")))
}

/// The library in `lib/<architecture>/faketime`.
fn find(lib: &Path) -> Option<PathBuf> {
    let folders = fs::read_dir(lib).ok()?.filter_map(Result::ok).map(|entry| entry.path());
    folders.map(|folder| folder.join("faketime").join(FILE)).find(|file| file.is_file())
}

fn run(folder: &Path, program: &str, arguments: &[&str]) -> anyhow::Result<()> {
    let output = Command::new(program)
        .current_dir(folder)
        .args(arguments)
        .output()
        .map_err(|error| missing(&format!("{program}: {error}")))?;
    if output.status.success() {
        Ok(())
    } else {
        Err(missing(String::from_utf8_lossy(&output.stderr).trim()))
    }
}

fn missing(output: &str) -> anyhow::Error {
    anyhow!("cannot get {PACKAGE}: install the package, or let apt-get and dpkg-deb download it:\n{output}")
}
