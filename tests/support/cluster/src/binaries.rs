//! Where the programs come from: `KUBEBUILDER_ASSETS`, else the user's cache folder, else a build
//! into it.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use anyhow::{Context, anyhow, bail};
use tools::{GoMod, Program, on};

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
/// When it is not in the folder of the variable, or cannot be built.
pub fn path(binary: Binary) -> anyhow::Result<PathBuf> {
    let assets = std::env::var_os("KUBEBUILDER_ASSETS").filter(|value| !value.is_empty()).map(PathBuf::from);
    let cache = tools::cache_folder().ok().map(|cache| cache.join(VERSIONS.folder_name()));

    match source(binary, assets.as_deref(), cache.as_deref(), Path::is_file)? {
        Source::Found(program) => std::path::absolute(&program).map_err(on("find", &program)),
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
            built.map(|()| target).map_err(|error| with_way_around(binary.name(), &error))
        }
    }
}

fn with_way_around(binary: &str, error: &anyhow::Error) -> anyhow::Error {
    anyhow!("{error}\nor set KUBEBUILDER_ASSETS to a folder with {binary} to do without the build")
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
) -> anyhow::Result<Source> {
    if let Some(folder) = assets {
        let program = folder.join(binary.name());
        if is_file(&program) {
            return Ok(Source::Found(program));
        }
        // The archives that kubebuilder publishes have the other three.
        if binary != Binary::ControllerManager {
            bail!(
                "cannot take {} from KUBEBUILDER_ASSETS: {} holds no such file; put it there, or unset the variable to have it built",
                binary.name(),
                folder.display()
            );
        }
    }
    let cache = cache.context(
        "cannot tell the user's cache folder: set HOME or XDG_CACHE_HOME, or KUBEBUILDER_ASSETS to a folder with the programs",
    )?;
    let program = cache.join(binary.name());
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

    /// A program, the folder of the variable, that of the cache, the files that are there, and what is found.
    type Row = (
        Binary,
        Option<&'static str>,
        Option<&'static str>,
        &'static [&'static str],
        Result<Source, &'static str>,
    );

    #[test]
    fn assets_win_over_the_cache_and_must_hold_all_but_the_controller_manager() {
        use Binary::{ApiServer, ControllerManager, Etcd, Kubectl};
        let found = |path: &str| Ok(Source::Found(path.into()));
        let missing = |path: &str| Ok(Source::Missing(path.into()));
        let (assets, cache) = (Some("/assets"), Some("/cache"));
        let not_in_assets = "cannot take kube-apiserver from KUBEBUILDER_ASSETS: /assets holds no such file; put it there, or unset the variable to have it built";
        let no_cache = "cannot tell the user's cache folder: set HOME or XDG_CACHE_HOME, or KUBEBUILDER_ASSETS to a folder with the programs";
        let rows: [Row; 7] = [
            (Etcd, assets, cache, &["/assets/etcd", "/cache/etcd"], found("/assets/etcd")),
            (ApiServer, assets, cache, &["/cache/kube-apiserver"], Err(not_in_assets)),
            (
                ControllerManager,
                assets,
                cache,
                &["/cache/kube-controller-manager"],
                found("/cache/kube-controller-manager"),
            ),
            (ControllerManager, assets, cache, &[], missing("/cache/kube-controller-manager")),
            (Kubectl, None, cache, &["/cache/kubectl"], found("/cache/kubectl")),
            (Kubectl, None, cache, &["/cache/etcd"], missing("/cache/kubectl")),
            (Kubectl, None, None, &[], Err(no_cache)),
        ];
        for (binary, assets, cache, files, expected) in rows {
            let is_file = |path: &Path| files.iter().any(|file| Path::new(file) == path);
            let looked_up = source(binary, assets.map(Path::new), cache.map(Path::new), is_file);
            let looked_up = looked_up.map_err(|error| error.to_string());
            assert_eq!(looked_up, expected.map_err(str::to_owned), "{binary:?} among {files:?}");
        }
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
        let source = anyhow!("cannot get etcd: there is no `go` in PATH; install Go 1.26.0 or newer");
        let error = with_way_around("etcd", &source).to_string();
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
