//! The user's cache folder.

use std::path::PathBuf;

use anyhow::Context;

/// The folder of this project in the user's cache folder; nothing says that it exists.
///
/// # Errors
/// When the environment does not tell it.
pub fn cache_folder() -> anyhow::Result<PathBuf> {
    let folder = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let user_cache = user_cache(folder("XDG_CACHE_HOME"), folder("HOME"), cfg!(target_os = "macos"));
    Ok(user_cache
        .context("cannot tell the user's cache folder: set HOME or XDG_CACHE_HOME")?
        .join("athena-operator"))
}

fn user_cache(xdg_cache_home: Option<PathBuf>, home: Option<PathBuf>, macos: bool) -> Option<PathBuf> {
    // The XDG specification has relative paths ignored.
    xdg_cache_home
        .filter(|path| path.is_absolute() && !macos)
        .or_else(|| home.map(|home| home.join(if macos { "Library/Caches" } else { ".cache" })))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cache_folder_is_the_systems() {
        let folder = |xdg: Option<&str>, home: Option<&str>, macos| {
            user_cache(xdg.map(Into::into), home.map(Into::into), macos)
        };
        assert_eq!(folder(Some("/xdg"), Some("/home"), false), Some("/xdg".into()));
        assert_eq!(folder(Some("relative"), Some("/home"), false), Some("/home/.cache".into()));
        assert_eq!(folder(None, Some("/home"), false), Some("/home/.cache".into()));
        assert_eq!(folder(Some("/xdg"), Some("/home"), true), Some("/home/Library/Caches".into()));
        assert_eq!(folder(None, None, false), None);
    }
}
