//! The folder a cluster works in.

use std::fs::{self, DirBuilder, File, TryLockError};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use anyhow::bail;
use tools::on;

const PREFIX: &str = "athena-operator-cluster-";

/// A folder that one cluster at a time works in, told by a lock on it.
pub(crate) struct Folder {
    path: PathBuf,
    remove: bool,
    _lock: File,
}

impl Folder {
    /// A fresh one, removed when dropped; or by a later cluster, if this process is killed or keeps
    /// the cluster in a `static`.
    pub(crate) fn fresh() -> anyhow::Result<Self> {
        let parent = std::env::temp_dir();
        remove_abandoned(&parent);
        let in_parent = on("create a folder in", &parent);
        // Under another name until it is locked, so that nobody takes it for abandoned.
        let unlocked = tempfile::Builder::new()
            .prefix(&format!(".{PREFIX}"))
            .tempdir_in(&parent)
            .map_err(in_parent)?
            .keep();
        let lock = lock(&unlocked)?;
        let name = unlocked.file_name().unwrap_or_default().to_string_lossy();
        let path = unlocked.with_file_name(name.trim_start_matches('.'));
        fs::rename(&unlocked, &path).map_err(on("rename", &unlocked))?;
        Ok(Self { path, remove: true, _lock: lock })
    }

    /// One that stays, with what an earlier cluster left in it.
    pub(crate) fn lasting(path: &Path) -> anyhow::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(on("create", path))?;
        let path = path.canonicalize().map_err(on("find", path))?;
        Ok(Self { _lock: lock(&path)?, path, remove: false })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Leaves a fresh folder to whoever wants to read the logs in it, until the next fresh one is
    /// made.
    pub(crate) fn abandon(&mut self) {
        self.remove = false;
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if self.remove {
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}

fn lock(folder: &Path) -> anyhow::Result<File> {
    let file = File::open(folder).map_err(on("open", folder))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => bail!(
            "cannot start a cluster in {}: another one runs there; stop it, or give another folder",
            folder.display()
        ),
        Err(TryLockError::Error(source)) => Err(on("lock", folder)(source)),
    }
}

/// Removes the folders of killed processes: each holds over 100 MB.
fn remove_abandoned(parent: &Path) {
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        let is_ours = entry.file_name().to_string_lossy().starts_with(PREFIX)
            && entry.file_type().is_ok_and(|kind| kind.is_dir());
        if is_ours && let Ok(_lock) = lock(&entry.path()) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fresh_folder_is_removed_when_dropped() {
        let folder = Folder::fresh().unwrap();
        let path = folder.path().to_owned();
        assert!(path.is_dir());
        drop(folder);
        assert!(!path.exists());
    }

    #[test]
    fn an_abandoned_folder_is_removed_and_a_used_one_is_not() {
        let parent = tempfile::tempdir().unwrap();
        let [abandoned, used, other] = [format!("{PREFIX}a"), format!("{PREFIX}b"), "other".to_owned()]
            .map(|name| parent.path().join(name));
        drop(Folder::lasting(&abandoned).unwrap());
        let _used = Folder::lasting(&used).unwrap();
        fs::create_dir(&other).unwrap();
        remove_abandoned(parent.path());
        assert_eq!([&abandoned, &used, &other].map(|path| path.exists()), [false, true, true]);
    }

    #[test]
    fn a_folder_serves_one_cluster_at_a_time() {
        let parent = tempfile::tempdir().unwrap();
        let first = Folder::lasting(parent.path()).unwrap();
        let refused = Folder::lasting(parent.path()).err().unwrap().to_string();
        assert!(refused.contains("another one runs there"), "{refused}");
        drop(first);
        assert!(Folder::lasting(parent.path()).is_ok());
    }
}
