//! What all runs share: one API server, and the operator's binary.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, ensure};
use environment::{Scope, Stage, repository};
use kube::Client;
use kube::config::{AuthInfo, KubeConfigOptions, Kubeconfig};
use serde_json::{Value, json};

/// The operator's binary.
pub const OPERATOR: &str = "athena-operator";
/// The binary of the operator with broken decisions.
pub const BROKEN_OPERATOR: &str = "broken-operator";

/// Builds a binary of the workspace unless it is built, with the features that it has in `make test`: no package can depend on a binary.
///
/// # Errors
/// When it cannot be built.
pub fn built(name: &str) -> anyhow::Result<PathBuf> {
    let mut build = Command::new(program("CARGO", "cargo"));
    build.current_dir(repository()).args([
        "build",
        "--locked",
        "--quiet",
        "--workspace",
        "--test",
        "cluster",
        "--bin",
        name,
    ]);
    ensure!(build.status().context("cannot run cargo")?.success(), "{name} cannot be built");
    Ok(target_folder()?.join(name))
}

/// The program that a variable names, or else this one.
pub(crate) fn program(variable: &str, otherwise: &str) -> OsString {
    std::env::var_os(variable).unwrap_or_else(|| otherwise.into())
}

/// The folder of the binaries that are built beside this one.
pub(crate) fn target_folder() -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe()?;
    let folder = own.parent().context("a program is in a folder")?;
    Ok(if folder.ends_with("deps") { folder.parent().unwrap_or(folder) } else { folder }.to_owned())
}

/// What all runs share.
#[derive(Clone)]
pub struct Ground {
    pub(crate) stage: Arc<Stage>,
    pub(crate) operator: PathBuf,
    pub(crate) mutant: Option<&'static str>,
    pub(crate) client: Client,
    /// The way to the API server, without credentials.
    pub(crate) server: kube::Config,
    operator_access: Value,
    folder: Arc<tempfile::TempDir>,
    number: Arc<AtomicU32>,
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
        let client = Client::try_from(
            kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?,
        )?;
        let folder = Arc::new(tempfile::tempdir()?);
        Ok(Self {
            stage: Arc::new(stage),
            operator,
            mutant: None,
            client,
            server,
            operator_access,
            folder,
            number: Arc::default(),
        })
    }

    /// The same API server for runs of a broken variant, from the binary [`BROKEN_OPERATOR`].
    #[must_use]
    pub fn with_mutant(&self, binary: PathBuf, name: &'static str) -> Self {
        Self { operator: binary, mutant: Some(name), ..self.clone() }
    }

    /// A name that no other run has.
    pub(crate) fn fresh_name(&self, prefix: &str) -> String {
        format!("{prefix}-{}", self.number.fetch_add(1, Ordering::Relaxed))
    }

    /// A kubeconfig of the operator's own account, by way of a proxy; another for each of several operators.
    pub(crate) fn kubeconfig(&self, name: &str, proxy: &str) -> anyhow::Result<PathBuf> {
        let mut config = self.operator_access.clone();
        for entry in config["clusters"].as_array_mut().into_iter().flatten() {
            entry["cluster"] = json!({ "server": proxy });
        }
        let file = self.folder.path().join(format!("{name}.kubeconfig"));
        std::fs::write(&file, config.to_string())?;
        Ok(file)
    }
}

/// Where the logs of failed runs are kept, also when this process has ended.
pub(crate) fn logs() -> anyhow::Result<PathBuf> {
    let folder = target_folder()?.join("sweep-logs");
    std::fs::create_dir_all(&folder)?;
    Ok(folder)
}
