//! Files of published Go modules, of which nothing is built.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{bail, ensure};
use serde_json::Value;

use crate::cache_folder;
use crate::error::on;
use crate::go_build::{failure, no_go, tell, turn};

/// A version of a Go module.
#[derive(Clone, Copy, Debug)]
pub struct Published {
    /// Its path, such as `k8s.io/kubernetes`.
    pub module: &'static str,
    /// Such as `v1.36.3`.
    pub version: &'static str,
    /// The hash of its content as a `go.sum` has it, `h1:...`.
    pub sum: &'static str,
}

impl Published {
    /// The folder in the user's cache folder that has these files, under their paths in the module.
    /// They are downloaded if they are not there, which is told on stderr.
    ///
    /// # Errors
    /// When Go fails, the module is another one than it was, or has no such file.
    pub fn files(&self, files: &[&str]) -> anyhow::Result<PathBuf> {
        let Self { module, version, .. } = self;
        let modules = cache_folder()?.join("modules");
        let folder = modules.join(format!("{}-{version}", module.replace('/', "_")));
        let is_there = || files.iter().all(|file| folder.join(file).is_file());
        if is_there() {
            return Ok(folder);
        }
        fs::create_dir_all(&folder).map_err(on("create", &folder))?;
        let _turn = turn(module, &folder.join("lock"))?;
        if is_there() {
            return Ok(folder);
        }

        tell(&format!("downloading {module} {version}, once"));
        // Not into Go's own cache, where the few files wanted would keep all the others.
        let temporary = folder.join("download");
        let taken = self.download(&temporary).and_then(|source| take(module, files, &source, &folder));
        let removed = fs::remove_dir_all(&temporary).map_err(on("remove", &temporary));
        taken.and(removed).map(|()| folder)
    }

    /// Returns the folder of the module's content.
    fn download(&self, cache: &Path) -> anyhow::Result<PathBuf> {
        let Self { module, version, sum } = *self;
        fs::create_dir_all(cache).map_err(on("create", cache))?;
        let output = Command::new("go")
            .current_dir(cache)
            .env("GOMODCACHE", cache)
            .env("GOFLAGS", "-modcacherw")
            // The hash is known here.
            .env("GOSUMDB", "off")
            .args(["mod", "download", "-json", &format!("{module}@{version}")])
            .output()
            .map_err(no_go(module, "1.21"))?;
        let said: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        if let (Some(folder), Some(found)) = (said["Dir"].as_str(), said["Sum"].as_str()) {
            ensure!(
                found == sum,
                "cannot use {module} {version}: its content is {found} and not {sum}; look at what serves Go modules here (see GOPROXY)"
            );
            return Ok(folder.into());
        }
        let stderr = String::from_utf8_lossy(&output.stderr);
        Err(failure(module, said["Error"].as_str().unwrap_or(&stderr)))
    }
}

fn take(module: &str, files: &[&str], from: &Path, to: &Path) -> anyhow::Result<()> {
    for file in files {
        let (source, target) = (from.join(file), to.join(file));
        if !source.is_file() {
            bail!("cannot use {module}: it has no file {file}; name one that it has, or another version");
        }
        let folder = target.parent().unwrap_or(to);
        fs::create_dir_all(folder).map_err(on("create", folder))?;
        fs::rename(&source, &target).map_err(on("move the download to", &target))?;
    }
    Ok(())
}
