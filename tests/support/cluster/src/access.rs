//! What a client needs: URL, certificate, kubeconfigs, kubectl.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::json;
use tools::on;

/// The way to one API server.
pub(crate) struct Access {
    pub(crate) kubectl: PathBuf,
    pub(crate) url: String,
    pub(crate) ca_file: PathBuf,
    pub(crate) admin_kubeconfig: PathBuf,
    /// Where kubectl keeps what it learns about the server.
    pub(crate) kubectl_cache: PathBuf,
}

impl Access {
    /// Writes a kubeconfig of one user with a bearer token; JSON, which is YAML.
    pub(crate) fn write_kubeconfig(&self, file: &Path, user: &str, token: &str) -> anyhow::Result<()> {
        let cluster = json!({ "server": self.url, "certificate-authority": self.ca_file });
        let kubeconfig = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{ "name": "cluster", "cluster": cluster }],
            "users": [{ "name": user, "user": { "token": token } }],
            "contexts": [{ "name": "cluster", "context": { "cluster": "cluster", "user": user } }],
            "current-context": "cluster",
        });
        write_secret(file, &format!("{kubeconfig:#}\n"))
    }

    pub(crate) fn kubectl_command(&self) -> Command {
        let mut command = Command::new(&self.kubectl);
        command.env("KUBECONFIG", &self.admin_kubeconfig).env("KUBECACHEDIR", &self.kubectl_cache);
        command
    }
}

/// Whether a GET of the path through kubectl succeeds.
pub(crate) fn answers(mut kubectl: Command, path: &str) -> bool {
    kubectl
        .args(["get", "--request-timeout=5s", "--raw", path])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// Writes a file that its owner alone may read.
pub(crate) fn write_secret(path: &Path, text: &str) -> anyhow::Result<()> {
    OpenOptions::new()
        .create(true)
        .write(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .map_err(on("write", path))
}

pub(crate) fn random_token() -> anyhow::Result<String> {
    let source = Path::new("/dev/urandom");
    let mut bytes = [0; 16];
    File::open(source).and_then(|mut file| file.read_exact(&mut bytes)).map_err(on("read", source))?;
    Ok(format!("{:032x}", u128::from_ne_bytes(bytes)))
}
