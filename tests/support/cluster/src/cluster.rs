//! The running servers.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, MutexGuard};

use crate::binaries::{self, Binary};
use crate::folder::Folder;
use crate::ports::with_free_ports;
use crate::process::{Process, Spawner};
use crate::servers::{self, Programs, Servers};

/// How to start a [`Cluster`].
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Start kube-controller-manager at once, see [`Cluster::start_controller_manager`].
    pub controller_manager: bool,
    /// Have the server write down each request of a service account, see [`Cluster::audit_log`].
    pub audit: bool,
    /// Where its data, logs and kubeconfigs are. A folder given stays, and a cluster started in it
    /// again has its former objects. By default a fresh temporary folder, removed on stop.
    pub directory: Option<PathBuf>,
}

/// A running API server with its store; both are stopped when this is dropped.
///
/// On Linux they also die with this process, however it ends. Elsewhere those of a cluster that is
/// never dropped, such as one in a `static`, stay.
pub struct Cluster {
    // In the order of their end: the spawner after what it spawned.
    controller_manager: Mutex<Option<Process>>,
    servers: Servers,
    spawner: Spawner,
    folder: Folder,
}

impl Cluster {
    /// Starts a cluster and waits until it serves requests; builds the programs that are missing,
    /// which takes minutes the first time.
    ///
    /// Blocks: to be called in `spawn_blocking` from asynchronous code, and so is a drop.
    ///
    /// # Errors
    /// Those of [`binaries::path`], and when a server ends or is not ready in time, with the end of the
    /// log of the server that failed.
    pub fn start(options: Options) -> anyhow::Result<Self> {
        let Options { controller_manager, audit, directory } = options;
        let programs = Programs {
            etcd: binaries::path(Binary::Etcd)?,
            kubectl: binaries::path(Binary::Kubectl)?,
            api_server: binaries::path(Binary::ApiServer)?,
        };
        if controller_manager {
            binaries::path(Binary::ControllerManager)?;
        }

        let mut folder = match directory {
            None => Folder::fresh()?,
            Some(path) => Folder::lasting(&path)?,
        };
        let spawner = Spawner::new();
        let servers = match with_free_ports(|| servers::start(&programs, &spawner, folder.path(), audit)) {
            Ok(servers) => servers,
            Err(error) => {
                folder.abandon();
                return Err(error);
            }
        };
        let mut cluster = Self { controller_manager: Mutex::default(), servers, spawner, folder };
        if controller_manager && let Err(error) = cluster.start_controller_manager() {
            cluster.folder.abandon();
            return Err(error);
        }
        Ok(cluster)
    }

    /// Starts kube-controller-manager with the controllers of namespaces, owner references, service
    /// accounts, quotas and aggregated roles, unless it runs.
    ///
    /// It makes the `default` service account of a namespace, removes what is in a deleted
    /// namespace (5 s after its deletion, as anywhere) and what is left without its owner. It sees
    /// owners of a kind whose definition is installed later only after up to 30 s: install
    /// definitions first. Without it the roles `admin`, `edit` and `view` allow nothing, as they
    /// are aggregated.
    ///
    /// # Errors
    /// Those of [`binaries::path`], and when it ends or is not ready in time, with the end of its
    /// log.
    pub fn start_controller_manager(&self) -> anyhow::Result<()> {
        let mut running = self.running_controller_manager();
        if running.is_none() {
            let program = binaries::path(Binary::ControllerManager)?;
            let (access, folder) = (&self.servers.access, self.folder.path());
            *running = Some(with_free_ports(|| {
                servers::start_controller_manager(&program, access, &self.spawner, folder)
            })?);
        }
        Ok(())
    }

    /// The kubeconfig of a user who may do anything (group `system:masters`).
    pub fn admin_kubeconfig(&self) -> &Path {
        &self.servers.access.admin_kubeconfig
    }

    /// The kubectl program; [`Self::kubectl_command`] has it talk to this cluster.
    pub fn kubectl(&self) -> &Path {
        &self.servers.access.kubectl
    }

    /// kubectl as the administrator, with its cache of API groups in the cluster's folder: the one
    /// in the home folder is keyed by port, and another cluster may get that port.
    pub fn kubectl_command(&self) -> Command {
        self.servers.access.kubectl_command()
    }

    /// Such as `https://127.0.0.1:6443`.
    pub fn url(&self) -> &str {
        &self.servers.access.url
    }

    /// The certificate that the server's is signed with, as PEM.
    pub fn ca_file(&self) -> &Path {
        &self.servers.access.ca_file
    }

    /// Writes a kubeconfig with this bearer token, such as one of `kubectl create token`, as
    /// `NAME.kubeconfig` in the cluster's folder; it replaces an earlier one of that name.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn kubeconfig_for(&self, name: &str, token: &str) -> anyhow::Result<PathBuf> {
        let file = self.folder.path().join(format!("{name}.kubeconfig"));
        self.servers.access.write_kubeconfig(&file, name, token)?;
        Ok(file)
    }

    /// The folder of its data, logs and kubeconfigs.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The requests of service accounts with the decision of the authorizer, as a line of JSON each (`audit.k8s.io/v1`), if
    /// they are written down.
    pub fn audit_log(&self) -> PathBuf {
        self.folder.path().join(servers::AUDIT_LOG)
    }

    /// The processes that run.
    pub fn pids(&self) -> Vec<u32> {
        let mut pids = vec![self.servers.etcd.pid(), self.servers.api_server.pid()];
        pids.extend(self.running_controller_manager().as_ref().map(Process::pid));
        pids
    }

    /// The process of etcd.
    pub fn etcd_pid(&self) -> u32 {
        self.servers.etcd.pid()
    }

    /// The process of kube-apiserver.
    pub fn api_server_pid(&self) -> u32 {
        self.servers.api_server.pid()
    }

    fn running_controller_manager(&self) -> MutexGuard<'_, Option<Process>> {
        self.controller_manager.lock().expect("no holder of this lock panics")
    }
}
