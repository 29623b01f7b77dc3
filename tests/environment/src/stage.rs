//! An API server with the operator's CRD and roles.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::{Context, bail};
use cluster::{Cluster, Options};

use crate::repository;

/// The service account's name, in whatever namespace it stands.
const ACCOUNT: &str = "athena-operator";

/// An API server with the operator's CRD and roles.
pub struct Stage {
    cluster: Cluster,
}

/// What an operator's service account may see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope<'a> {
    /// All namespaces, as `deploy/rbac.yaml` has it.
    Everywhere,
    /// One namespace, in which the account stands too.
    Namespace(&'a str),
}

impl Stage {
    /// Starts the servers, building what is missing, and installs what the operator needs.
    ///
    /// # Errors
    /// When something cannot be built, started or installed.
    pub fn start() -> anyhow::Result<Self> {
        let stage = Self { cluster: Cluster::start(Options::default())? };
        let repository = repository();
        stage.kubectl_ok(&["apply", "-f", &repository.join("crds").display().to_string()])?;
        stage.kubectl_ok(&["apply", "-f", &repository.join("deploy/rbac.yaml").display().to_string()])?;
        stage.kubectl_ok(&["wait", "--for=condition=Established", "crd/athenasessions.athena-operator.io", "--timeout=60s"])?;
        Ok(stage)
    }

    /// The servers.
    pub fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// kubectl as the administrator.
    pub fn kubectl(&self, arguments: &[&str]) -> Command {
        let mut command = self.cluster.kubectl_command();
        command.args(arguments);
        command
    }

    /// Runs kubectl as the administrator and returns what it did.
    ///
    /// # Errors
    /// When it cannot be run.
    pub fn kubectl_output(&self, arguments: &[&str]) -> anyhow::Result<Output> {
        self.kubectl(arguments).output().context("cannot run kubectl")
    }

    /// Runs kubectl as the administrator and returns what it printed.
    ///
    /// # Errors
    /// When it fails; the error holds its message.
    pub fn kubectl_ok(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let output = self.kubectl_output(arguments)?;
        if !output.status.success() {
            bail!("kubectl {}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// A kubeconfig of the operator's service account, with the rights of the role `athena-operator` in `scope` and no others.
    ///
    /// # Errors
    /// When the account or its token cannot be made.
    pub fn operator_kubeconfig(&self, scope: Scope<'_>) -> anyhow::Result<PathBuf> {
        let namespace = match scope {
            Scope::Everywhere => ACCOUNT,
            Scope::Namespace(namespace) => {
                if !self.kubectl_output(&["get", "serviceaccount", ACCOUNT, "-n", namespace])?.status.success() {
                    let subject = format!("--serviceaccount={namespace}:{ACCOUNT}");
                    self.kubectl_ok(&["create", "serviceaccount", ACCOUNT, "-n", namespace])?;
                    self.kubectl_ok(&["create", "rolebinding", ACCOUNT, "--clusterrole=athena-operator", &subject, "-n", namespace])?;
                }
                namespace
            }
        };
        let token = self.kubectl_ok(&["create", "token", ACCOUNT, "-n", namespace, "--duration=24h"])?;
        Ok(self.cluster.kubeconfig_for(&format!("operator-{namespace}"), token.trim())?)
    }

    /// A path inside the repository.
    pub fn file(&self, path: impl AsRef<Path>) -> PathBuf {
        repository().join(path)
    }
}
