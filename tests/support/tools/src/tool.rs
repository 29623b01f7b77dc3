//! The programs of the Go modules beside this crate.

use std::path::PathBuf;

use clap::ValueEnum;

use crate::{GoMod, Program};

macro_rules! module {
    ($name:literal) => {
        Module {
            folder: concat!(env!("CARGO_MANIFEST_DIR"), "/", $name),
            go_mod: GoMod(include_str!(concat!("../", $name, "/go.mod"))),
            go_sum: include_str!(concat!("../", $name, "/go.sum")),
        }
    };
}

struct Module {
    folder: &'static str,
    go_mod: GoMod<'static>,
    go_sum: &'static str,
}

const HELM_4: Module = module!("helm4");
const HELM_3: Module = module!("helm3");
const LINTER: Module = module!("linter");
const PROMTOOL: Module = module!("promtool");
const GOJQ: Module = module!("gojq");

/// A program that tests or people run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Tool {
    /// Helm 4
    Helm,
    /// Helm 3
    Helm3,
    /// Checks manifests against JSON schemas
    Kubeconform,
    /// Checks manifests against rules of good practice
    KubeScore,
    /// Checks and tests rules of Prometheus
    Promtool,
    /// jq, written in Go
    Gojq,
}

impl Tool {
    /// Where the program is; it is built if it is missing, which takes its time and is told on
    /// stderr.
    ///
    /// # Errors
    /// Those of [`Program::path`].
    pub fn path(self) -> anyhow::Result<PathBuf> {
        let Module { folder, go_mod, go_sum } = self.module();
        let (name, package, usual_build_time) = self.build();
        let linker_flags = self
            .variables()
            .iter()
            .map(|(variable, value)| format!("-X {variable}={value}"))
            .collect::<Vec<_>>()
            .join(" ");
        let program = Program {
            name,
            package,
            module: folder,
            go_mod,
            sources: &[go_sum],
            linker_flags: &linker_flags,
            usual_build_time,
        };
        program.path()
    }

    fn module(self) -> Module {
        match self {
            Self::Helm | Self::Kubeconform => HELM_4,
            Self::Helm3 => HELM_3,
            Self::KubeScore => LINTER,
            Self::Promtool => PROMTOOL,
            Self::Gojq => GOJQ,
        }
    }

    /// The file name, the package, and a guess at the time on 2 cores with an empty Go build cache.
    fn build(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::Helm => ("helm", "helm.sh/helm/v4/cmd/helm", "3 min"),
            Self::Helm3 => ("helm3", "helm.sh/helm/v3/cmd/helm", "3 min"),
            Self::Kubeconform => ("kubeconform", "github.com/yannh/kubeconform/cmd/kubeconform", "20 s"),
            Self::KubeScore => ("kube-score", "github.com/zegl/kube-score/cmd/kube-score", "1 min"),
            Self::Promtool => ("promtool", "github.com/prometheus/prometheus/cmd/promtool", "5 min"),
            Self::Gojq => ("gojq", "github.com/itchyny/gojq/cmd/gojq", "10 s"),
        }
    }

    /// What their own builds set, too: without it they take themselves for another version, or for
    /// none.
    fn variables(self) -> Vec<(&'static str, String)> {
        let (_, package, _) = self.build();
        let go_mod = self.module().go_mod;
        let version = go_mod.version_of_package(package).unwrap_or_default().to_owned();
        match self {
            Self::Helm => vec![("helm.sh/helm/v4/internal/version.version", version)],
            // It takes a client of v0.37.0 for one of Kubernetes 1.37, and knows of 1.20 else.
            Self::Helm3 => {
                let client = go_mod.version("k8s.io/client-go").unwrap_or_default();
                let minor = client.split('.').nth(1).unwrap_or_default();
                vec![
                    ("helm.sh/helm/v3/internal/version.version", version),
                    ("helm.sh/helm/v3/pkg/chartutil.k8sVersionMinor", minor.to_owned()),
                    ("helm.sh/helm/v3/pkg/lint/rules.k8sVersionMinor", minor.to_owned()),
                ]
            }
            Self::Kubeconform | Self::KubeScore => vec![("main.version", version)],
            Self::Promtool => vec![("github.com/prometheus/common/version.Version", version)],
            // Its version is a constant.
            Self::Gojq => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_tool_is_a_tool_of_its_module() {
        for tool in Tool::value_variants() {
            let (name, package, _) = tool.build();
            let go_mod = tool.module().go_mod;
            let named =
                go_mod.0.lines().filter(|line| line.split_whitespace().last() == Some(package)).count();
            assert_eq!(named, 1, "{name}: {package}");
            assert!(
                go_mod.version_of_package(package).is_some_and(|version| version.starts_with('v')),
                "{name}"
            );
        }
    }
}
