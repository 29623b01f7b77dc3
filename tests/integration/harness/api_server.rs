//! An API server that does not do what the operator asks.

use environment::{Operator, Scope};
use fault_proxy::{Fault, FaultKind, FaultProxy, Outcome};
use kube::config::Kubeconfig;
use serde_json::{Value, json};

use super::World;
use super::world::client_config;

/// Makes a request fail with this HTTP status.
pub fn fails(verb: &str, resource: &str, code: u16) -> Fault {
    Fault::new(verb, resource, FaultKind::Fail { code, retry_after: None })
}

/// Counts the requests that failed with this HTTP status.
pub fn failed(proxy: &FaultProxy, code: u16) -> usize {
    proxy.requests().iter().filter(|request| request.outcome == Outcome::Failed(code)).count()
}

impl World {
    /// Writes the operator's kubeconfig with another URL of the API server into a folder.
    pub fn kubeconfig_at(&self, url: &str) -> anyhow::Result<(tempfile::TempDir, String)> {
        let own = self.stage().operator_kubeconfig(Scope::Namespace(&self.namespace))?;
        let mut kubeconfig: Value = serde_json::from_str(&std::fs::read_to_string(own)?)?;
        kubeconfig["clusters"][0]["cluster"]["server"] = json!(url);
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("kubeconfig");
        std::fs::write(&file, kubeconfig.to_string())?;
        Ok((folder, file.display().to_string()))
    }

    /// Starts an operator, without waiting, whose requests to the API server pass through a proxy with these faults. The folder has its kubeconfig.
    pub async fn proxied(
        &self,
        faults: Vec<Fault>,
        flags: &[&str],
    ) -> anyhow::Result<(FaultProxy, Operator, tempfile::TempDir)> {
        let kubeconfig = Kubeconfig::read_from(self.stage().kubeconfig())?;
        let proxy = FaultProxy::start(&client_config(kubeconfig).await?).await?;
        proxy.set_faults(faults);
        let (folder, file) = self.kubeconfig_at(&proxy.url())?;
        let operator = self.unready_operator(flags, &[("KUBECONFIG", &file)])?;
        Ok((proxy, operator, folder))
    }

    /// Starts an operator behind a proxy, and waits until it is ready.
    pub async fn behind_a_proxy(&self) -> anyhow::Result<(FaultProxy, Operator, tempfile::TempDir)> {
        let (proxy, operator, folder) = self.proxied(vec![], &[]).await?;
        operator.wait_until_ready()?;
        Ok((proxy, operator, folder))
    }
}
