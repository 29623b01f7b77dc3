//! What all runs share: one API server, and the operator's binary.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, ensure};
use environment::{Scope, Stage, repository};
use kube::Client;
use kube::config::{AuthInfo, KubeConfigOptions, Kubeconfig};
use serde_json::{Value, json};

/// The operator's binary, built if it is not: this package cannot depend on it.
///
/// # Errors
/// When it cannot be built.
pub fn operator() -> anyhow::Result<PathBuf> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut build = Command::new(cargo);
    build.current_dir(repository()).args(["build", "--locked", "--quiet", "--package", "athena-operator", "--bin", "athena-operator"]);
    ensure!(build.status().context("cannot run cargo")?.success(), "the operator cannot be built");
    Ok(target_folder()?.join("athena-operator"))
}

/// The folder of the binaries that are built beside this one.
pub(crate) fn target_folder() -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe()?;
    let folder = own.parent().context("a program is in a folder")?;
    Ok(if folder.ends_with("deps") { folder.parent().unwrap_or(folder) } else { folder }.to_owned())
}

/// What all runs share.
pub struct Ground {
    pub(crate) stage: Stage,
    pub(crate) operator: PathBuf,
    pub(crate) client: Client,
    /// The way to the API server, without credentials.
    pub(crate) server: kube::Config,
    operator_access: Value,
    folder: tempfile::TempDir,
    number: AtomicU32,
}

impl Ground {
    /// Starts an API server for runs of this operator.
    ///
    /// # Errors
    /// When it cannot be started.
    pub async fn new(operator: PathBuf) -> anyhow::Result<Self> {
        let (stage, operator_access) = tokio::task::spawn_blocking(|| {
            let stage = Stage::start()?;
            let access = std::fs::read(stage.operator_kubeconfig(Scope::Everywhere)?)?;
            anyhow::Ok((stage, serde_json::from_slice(&access)?))
        })
        .await??;
        let kubeconfig = Kubeconfig::read_from(stage.kubeconfig())?;
        let mut anonymous = kubeconfig.clone();
        for user in &mut anonymous.auth_infos {
            user.auth_info = Some(AuthInfo::default());
        }
        let server = kube::Config::from_custom_kubeconfig(anonymous, &KubeConfigOptions::default()).await?;
        let client = Client::try_from(kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?)?;
        Ok(Self { stage, operator, client, server, operator_access, folder: tempfile::tempdir()?, number: AtomicU32::new(0) })
    }

    /// The same ground for another operator.
    pub fn set_operator(&mut self, operator: PathBuf) {
        self.operator = operator;
    }

    /// A name that no other run has.
    pub(crate) fn fresh_name(&self, prefix: &str) -> String {
        format!("{prefix}-{}", self.number.fetch_add(1, Ordering::Relaxed))
    }

    /// A kubeconfig of the operator's own account, by way of a proxy.
    pub(crate) fn kubeconfig(&self, name: &str, proxy: &str) -> anyhow::Result<PathBuf> {
        let mut config = self.operator_access.clone();
        for entry in config["clusters"].as_array_mut().into_iter().flatten() {
            entry["cluster"] = json!({ "server": proxy });
        }
        let file = self.folder.path().join(format!("{name}.kubeconfig"));
        std::fs::write(&file, config.to_string())?;
        Ok(file)
    }

    /// Where the logs of failed runs are kept.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }
}
