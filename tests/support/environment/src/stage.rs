//! An API server with the operator's CRD and roles.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, bail};
use cluster::binaries::{self, Binary};
use cluster::{Cluster, Options, Process, Spawner};
use serde_json::{Value, json};

use crate::audit::{self, Request};
use crate::repository;

/// The service account's name, in whatever namespace it stands.
const ACCOUNT: &str = "athena-operator";
/// The role with the rights of the operator, as `deploy/install.yaml` names it, and the one of its lease.
const ROLE: &str = "athena-operator.athena-operator";
const LEASE_ROLE: &str = "athena-operator-lease.athena-operator";

/// An API server with the operator's CRD and roles.
pub struct Stage {
    server: Server,
    kubectl: PathBuf,
    kubeconfig: PathBuf,
    spawner: Spawner,
    spawned: AtomicU32,
    everywhere: OnceLock<PathBuf>,
    folder: tempfile::TempDir,
}

enum Server {
    /// Ends with the stage.
    Own(Box<Cluster>),
    /// Somebody else's.
    Given,
}

/// What an operator's service account may see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope<'a> {
    /// All namespaces, as `deploy/install.yaml` has it.
    Everywhere,
    /// One namespace, in which the account stands too.
    Namespace(&'a str),
    /// What somebody has given to the account in this namespace; a flag says what is watched.
    Given(&'a str),
}

impl Stage {
    /// Starts the servers, building what is missing, and installs what the operator needs.
    ///
    /// # Errors
    /// When something cannot be built, started or installed.
    pub fn start() -> anyhow::Result<Self> {
        Self::own(true)
    }

    /// The same without a log of what service accounts ask, which costs the server something: for measurements.
    ///
    /// # Errors
    /// When something cannot be built, started or installed.
    pub fn start_without_audit() -> anyhow::Result<Self> {
        Self::own(false)
    }

    fn own(audit: bool) -> anyhow::Result<Self> {
        let cluster = Cluster::start(Options { audit, ..Options::default() })?;
        let (kubectl, kubeconfig) = (cluster.kubectl().to_owned(), cluster.admin_kubeconfig().to_owned());
        Self::installed(Server::Own(Box::new(cluster)), kubectl, kubeconfig)
    }

    /// Uses the cluster of a kubeconfig, and installs what the operator needs in it.
    ///
    /// # Errors
    /// When it cannot be installed.
    pub fn given(kubeconfig: &Path) -> anyhow::Result<Self> {
        Self::installed(Server::Given, binaries::path(Binary::Kubectl)?, std::path::absolute(kubeconfig)?)
    }

    fn installed(server: Server, kubectl: PathBuf, kubeconfig: PathBuf) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let stage = Self {
            server,
            kubectl,
            kubeconfig,
            spawner: Spawner::new(),
            spawned: AtomicU32::new(0),
            everywhere: OnceLock::new(),
            folder,
        };
        let repository = repository();
        stage.kubectl_ok(&["apply", "-f", &repository.join("crds").display().to_string()])?;
        let rights =
            ["Namespace", "ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"];
        stage.apply(
            "rights",
            &installed(|manifest| rights.iter().any(|kind| has_line(manifest, &format!("kind: {kind}"))))?,
        )?;
        stage.kubectl_words(
            "wait --for=condition=Established crd/athenasessions.athena-operator.io --timeout=60s",
        )?;
        Ok(stage)
    }

    /// A path inside the repository.
    #[allow(clippy::unused_self, reason = "a test asks its stage")]
    pub fn file(&self, path: impl AsRef<Path>) -> PathBuf {
        repository().join(path)
    }

    /// Starts kube-controller-manager, unless it runs: for what needs the deletion of namespaces, quotas or owner references.
    ///
    /// # Errors
    /// When it cannot be built or started.
    pub fn start_controller_manager(&self) -> anyhow::Result<()> {
        if let Server::Own(cluster) = &self.server {
            cluster.start_controller_manager()?;
        }
        Ok(())
    }

    /// The servers, unless they are somebody else's.
    pub fn cluster(&self) -> Option<&Cluster> {
        match &self.server {
            Server::Own(cluster) => Some(cluster),
            Server::Given => None,
        }
    }

    /// The administrator's kubeconfig.
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// The kubectl program.
    pub fn kubectl_program(&self) -> &Path {
        &self.kubectl
    }

    /// kubectl as the administrator.
    pub fn kubectl(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.kubectl);
        command
            .env("KUBECONFIG", &self.kubeconfig)
            .env("KUBECACHEDIR", self.folder.path().join("kubectl"))
            .args(arguments);
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

    /// The same of words in a line, none of which has a space in it.
    ///
    /// # Errors
    /// When it cannot be run, or fails.
    pub fn kubectl_words(&self, line: &str) -> anyhow::Result<String> {
        self.kubectl_ok(&line.split_whitespace().collect::<Vec<_>>())
    }

    /// Runs a program that ends with this process, its output in a file.
    ///
    /// # Errors
    /// When it cannot be run.
    pub fn spawn(&self, name: &'static str, command: Command) -> anyhow::Result<Process> {
        let number = self.spawned.fetch_add(1, Ordering::Relaxed);
        let log = self.folder.path().join(format!("{name}-{number}.log"));
        Process::start(&self.spawner, name, command, log)
    }

    /// A kubeconfig of the operator's service account, with the rights of the role `athena-operator` in `scope` and no others.
    ///
    /// # Errors
    /// When the account or its token cannot be made.
    pub fn operator_kubeconfig(&self, scope: Scope<'_>) -> anyhow::Result<PathBuf> {
        if let (Scope::Everywhere, Some(file)) = (scope, self.everywhere.get()) {
            return Ok(file.clone());
        }
        let namespace = match scope {
            Scope::Everywhere => ACCOUNT,
            Scope::Given(namespace) => namespace,
            Scope::Namespace(namespace) => {
                let account = format!("serviceaccount {ACCOUNT} -n {namespace}");
                if self.kubectl_words(&format!("get {account} --ignore-not-found"))?.is_empty() {
                    self.kubectl_words(&format!("create {account}"))?;
                    self.kubectl_words(&format!(
                        "create rolebinding {ACCOUNT} --clusterrole={ROLE} --serviceaccount={namespace}:{ACCOUNT} -n {namespace}"
                    ))?;
                    self.grant_lease(namespace)?;
                }
                namespace
            }
        };
        let token = self.kubectl_words(&format!("create token {ACCOUNT} -n {namespace} --duration=24h"))?;
        let file = self.folder.path().join(format!("operator-{namespace}.kubeconfig"));
        std::fs::write(&file, self.with_token(token.trim())?.to_string())
            .with_context(|| format!("cannot write {}", file.display()))?;
        if scope == Scope::Everywhere {
            let _ = self.everywhere.set(file.clone());
        }
        Ok(file)
    }

    /// Gives the account of a namespace the rights to its lease that `deploy/install.yaml` gives to the operator in its own.
    fn grant_lease(&self, namespace: &str) -> anyhow::Result<()> {
        let own = installed(|manifest| has_line(manifest, &format!("  name: {LEASE_ROLE}")))?;
        self.apply(
            &format!("lease-{namespace}"),
            &own.replace("namespace: athena-operator", &format!("namespace: {namespace}")),
        )
    }

    /// Applies manifests.
    fn apply(&self, name: &str, manifests: &str) -> anyhow::Result<()> {
        let file = self.folder.path().join(format!("{name}.yaml"));
        std::fs::write(&file, manifests)?;
        self.kubectl_ok(&["apply", "-f", &file.display().to_string()])?;
        Ok(())
    }

    /// What service accounts have asked of an API server of its own so far.
    ///
    /// # Errors
    /// When the API server is somebody else's or writes no log, or the log cannot be read.
    pub fn requests(&self) -> anyhow::Result<Vec<Request>> {
        let Server::Own(cluster) = &self.server else {
            bail!("only an API server of its own tells what it was asked")
        };
        audit::requests(&cluster.audit_log())
    }

    /// The administrator's kubeconfig, with a token in place of the administrator.
    fn with_token(&self, token: &str) -> anyhow::Result<Value> {
        let own = self.kubectl_words("config view --raw --minify --flatten -o json")?;
        let mut config: Value = serde_json::from_str(&own)?;
        let context = config["current-context"].clone();
        config["users"] = json!([{ "name": ACCOUNT, "user": { "token": token } }]);
        for entry in
            config["contexts"].as_array_mut().into_iter().flatten().filter(|entry| entry["name"] == context)
        {
            entry["context"]["user"] = json!(ACCOUNT);
        }
        Ok(config)
    }
}

/// The manifests of `deploy/install.yaml` that are `wanted`.
fn installed(wanted: impl Fn(&str) -> bool) -> anyhow::Result<String> {
    let file = repository().join("deploy/install.yaml");
    let all = std::fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
    Ok(all.split("\n---\n").filter(|manifest| wanted(manifest)).collect::<Vec<_>>().join("\n---\n"))
}

fn has_line(manifest: &str, line: &str) -> bool {
    manifest.lines().any(|other| other == line)
}
