//! Where the programs come from: `KUBEBUILDER_ASSETS`, else the user's cache folder, else a build
//! into it.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use tools::{GoMod, Program};

use crate::Error;

const MODULE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/kubernetes");
const GO_MOD: GoMod<'_> = GoMod(include_str!("../kubernetes/go.mod"));

/// The versions of this crate's `go.mod`.
pub(crate) static VERSIONS: LazyLock<Versions<'static>> =
    LazyLock::new(|| Versions::of(GO_MOD).expect("go.mod names the versions of Go, Kubernetes and etcd"));

/// A program of the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Binary {
    /// The store of the API server.
    Etcd,
    /// The command line client.
    Kubectl,
    /// The API server.
    ApiServer,
    /// The controllers, of which a cluster runs a few.
    ControllerManager,
}

impl Binary {
    /// The file name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Etcd => "etcd",
            Self::Kubectl => "kubectl",
            Self::ApiServer => "kube-apiserver",
            Self::ControllerManager => "kube-controller-manager",
        }
    }

    pub(crate) fn package(self) -> &'static str {
        match self {
            Self::Etcd => "go.etcd.io/etcd/server/v3",
            Self::Kubectl => "k8s.io/kubernetes/cmd/kubectl",
            Self::ApiServer => "k8s.io/kubernetes/cmd/kube-apiserver",
            Self::ControllerManager => "k8s.io/kubernetes/cmd/kube-controller-manager",
        }
    }

    /// Measured on 2 cores with an empty Go build cache, in the order of a first start.
    pub(crate) fn usual_build_time(self) -> &'static str {
        match self {
            Self::Etcd | Self::Kubectl => "40 s",
            Self::ApiServer => "5 min",
            Self::ControllerManager => "6 min",
        }
    }
}

/// Finds the program, or builds it, which takes minutes and is told on stderr.
///
/// # Errors
/// [`Error::NotInAssets`] and [`Error::NoCacheFolder`], and those of a build.
pub fn path(binary: Binary) -> Result<PathBuf, Error> {
    let assets = std::env::var_os("KUBEBUILDER_ASSETS").filter(|value| !value.is_empty()).map(PathBuf::from);
    let cache = tools::cache_folder().ok().map(|cache| cache.join(VERSIONS.folder_name()));

    match source(binary, assets.as_deref(), cache.as_deref(), Path::is_file)? {
        Source::Found(program) => std::path::absolute(&program).map_err(Error::on("find", &program)),
        Source::Missing(target) => {
            let program = Program {
                name: binary.name(),
                package: binary.package(),
                module: MODULE,
                go_mod: GO_MOD,
                sources: &[],
                linker_flags: &stamp(&VERSIONS),
                usual_build_time: binary.usual_build_time(),
            };
            let built = program.build(&target);
            built.map(|()| target).map_err(|source| Error::Build { binary: binary.name(), source })
        }
    }
}

#[derive(Debug, PartialEq)]
enum Source {
    Found(PathBuf),
    Missing(PathBuf),
}

fn source(
    binary: Binary,
    assets: Option<&Path>,
    cache: Option<&Path>,
    is_file: impl Fn(&Path) -> bool,
) -> Result<Source, Error> {
    if let Some(folder) = assets {
        let program = folder.join(binary.name());
        if is_file(&program) {
            return Ok(Source::Found(program));
        }
        // The archives that kubebuilder publishes have the other three.
        if binary != Binary::ControllerManager {
            return Err(Error::NotInAssets { binary: binary.name(), folder: folder.to_owned() });
        }
    }
    let program = cache.ok_or(Error::NoCacheFolder)?.join(binary.name());
    Ok(if is_file(&program) { Source::Found(program) } else { Source::Missing(program) })
}

/// The versions a `go.mod` pins.
#[derive(Debug, PartialEq)]
pub(crate) struct Versions<'a> {
    /// Such as `v1.36.3`.
    kubernetes: &'a str,
    /// Such as `v3.6.8`.
    etcd: &'a str,
}

impl<'a> Versions<'a> {
    fn of(go_mod: GoMod<'a>) -> Option<Self> {
        Some(Self {
            kubernetes: go_mod.version("k8s.io/kubernetes")?,
            etcd: go_mod.version("go.etcd.io/etcd/server/v3")?,
        })
    }

    fn folder_name(&self) -> String {
        format!("kubernetes-{}-etcd-{}", self.kubernetes, self.etcd)
    }
}

/// The linker flags: without the version in them a Kubernetes server takes itself for v0.0.0.
fn stamp(versions: &Versions<'_>) -> String {
    let mut parts = versions.kubernetes.trim_start_matches('v').split('.');
    let (major, minor) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let package = "k8s.io/component-base/version";
    let version = versions.kubernetes;
    format!("-X {package}.gitVersion={version} -X {package}.gitMajor={major} -X {package}.gitMinor={minor}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn looked_up(
        binary: Binary,
        assets: Option<&str>,
        cache: Option<&str>,
        files: &[&str],
    ) -> Result<Source, String> {
        let is_file = |path: &Path| files.iter().any(|file| Path::new(file) == path);
        source(binary, assets.map(Path::new), cache.map(Path::new), is_file)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn assets_win_over_the_cache() {
        let found =
            looked_up(Binary::Etcd, Some("/assets"), Some("/cache"), &["/assets/etcd", "/cache/etcd"]);
        assert_eq!(found, Ok(Source::Found("/assets/etcd".into())));
    }

    #[test]
    fn assets_must_hold_the_program_even_if_the_cache_does() {
        let error = looked_up(Binary::ApiServer, Some("/assets"), Some("/cache"), &["/cache/kube-apiserver"])
            .unwrap_err();
        assert_eq!(
            error,
            "cannot take kube-apiserver from KUBEBUILDER_ASSETS: /assets holds no such file; put it there, or unset the variable to have it built"
        );
    }

    #[test]
    fn the_controller_manager_may_be_lacking_from_assets() {
        let cached = looked_up(
            Binary::ControllerManager,
            Some("/assets"),
            Some("/cache"),
            &["/cache/kube-controller-manager"],
        );
        assert_eq!(cached, Ok(Source::Found("/cache/kube-controller-manager".into())));
        let missing = looked_up(Binary::ControllerManager, Some("/assets"), Some("/cache"), &[]);
        assert_eq!(missing, Ok(Source::Missing("/cache/kube-controller-manager".into())));
    }

    #[test]
    fn what_is_neither_in_assets_nor_in_the_cache_is_built_into_the_cache() {
        assert_eq!(
            looked_up(Binary::Kubectl, None, Some("/cache"), &["/cache/kubectl"]),
            Ok(Source::Found("/cache/kubectl".into()))
        );
        assert_eq!(
            looked_up(Binary::Kubectl, None, Some("/cache"), &["/cache/etcd"]),
            Ok(Source::Missing("/cache/kubectl".into()))
        );
    }

    #[test]
    fn without_a_cache_folder_the_error_names_the_variables_to_set() {
        let error = looked_up(Binary::Kubectl, None, None, &[]).unwrap_err();
        assert!(error.contains("set HOME or XDG_CACHE_HOME, or KUBEBUILDER_ASSETS"), "{error}");
    }

    #[test]
    fn the_folder_in_the_cache_carries_the_versions() {
        let go_mod = "go 1.30.1\n\nrequire k8s.io/kubernetes v1.2.3\n\nrequire (\n\tgo.etcd.io/etcd/server/v3 v3.4.5 // indirect\n)\n";
        assert_eq!(Versions::of(GoMod(go_mod)).unwrap().folder_name(), "kubernetes-v1.2.3-etcd-v3.4.5");
        assert_eq!(Versions::of(GoMod("go 1.30.1\n")), None);
    }

    #[test]
    fn the_stamp_carries_the_version_of_kubernetes() {
        assert_eq!(
            stamp(&Versions { kubernetes: "v1.36.3", etcd: "v3" }),
            "-X k8s.io/component-base/version.gitVersion=v1.36.3 -X k8s.io/component-base/version.gitMajor=1 \
             -X k8s.io/component-base/version.gitMinor=36"
        );
    }

    #[test]
    fn an_error_of_a_build_names_the_way_around_it() {
        let source = tools::Error::NoGo { program: "etcd", needed: "1.26.0".to_owned() };
        let error = Error::Build { binary: "etcd", source }.to_string();
        assert_eq!(
            error,
            "cannot get etcd: there is no `go` in PATH; install Go 1.26.0 or newer\n\
             or set KUBEBUILDER_ASSETS to a folder with etcd to do without the build"
        );
    }

    #[test]
    fn the_pinned_go_mod_names_all_versions() {
        assert!(VERSIONS.kubernetes.starts_with("v1."), "{:?}", *VERSIONS);
    }
}
