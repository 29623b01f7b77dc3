//! The chart as a release `athena-operator`, a process in place of its pod, and a shell for commands on them.

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::{Command, ExitStatus};

use anyhow::{Context, bail, ensure};
use environment::{Operator, OperatorOptions, Scope, repository};
use serde_json::{Value, json};
use tools::Tool;

use crate::harness::{World, operator_binary, until};

/// The release's pod. No node runs it.
const POD: &str = "athena-operator-0";

/// What a command wrote, and its exit status.
pub struct Said {
    pub status: ExitStatus,
    pub output: String,
    pub errors: String,
}

/// The chart, installed in a namespace of its own, which watches the test's namespace.
pub struct Release<'a> {
    world: &'a World,
    /// The release's namespace.
    pub namespace: String,
    /// Programs, files and the output of commands.
    folder: tempfile::TempDir,
}

impl<'a> Release<'a> {
    /// Installs the chart, and makes the pod of its Deployment.
    pub async fn install(world: &'a World) -> anyhow::Result<Self> {
        let release =
            Self { world, namespace: format!("{}-operator", world.namespace), folder: tempfile::tempdir()? };
        world.stage().kubectl_ok(&["create", "namespace", &release.namespace])?;
        release.lay_out()?;
        let values = json!({
            "aws": { "region": "eu-west-1" }, "watch": { "namespaces": [world.namespace] }, "crds": { "enabled": false },
            "awsRateLimits": { "callsPerSecond": 1000, "burst": 1000 }, "observeInterval": "200ms", "transitionInterval": "50ms",
        });
        fs::write(release.file("values.json"), values.to_string())?;
        let values = release.file("values.json").display().to_string();
        release
            .succeed(&format!(
                "helm install athena-operator charts/athena-operator -n athena-operator --values {values}"
            ))
            .await?;
        release.make_pod()?;
        Ok(release)
    }

    /// Upgrades the release to the same chart and values.
    pub async fn upgrade(&self) -> anyhow::Result<()> {
        self.succeed("helm upgrade athena-operator charts/athena-operator -n athena-operator --reuse-values")
            .await
    }

    /// Has the Deployment say that it is rolled out.
    pub fn roll_out(&self) -> anyhow::Result<()> {
        let generation = &self.deployment()?["metadata"]["generation"];
        let status = json!({ "observedGeneration": generation, "replicas": 1, "updatedReplicas": 1, "readyReplicas": 1, "availableReplicas": 1 });
        self.write_status("deployment/athena-operator", &status)
    }

    /// The value of a variable of the Deployment's container.
    pub fn variable(&self, name: &str) -> anyhow::Result<Option<String>> {
        Ok(self
            .env_of_deployment()?
            .into_iter()
            .find_map(|(variable, value)| (variable == name).then_some(value)))
    }

    /// Applies objects.
    pub fn apply(&self, objects: &Value) -> anyhow::Result<()> {
        fs::write(self.file("objects.json"), objects.to_string())?;
        self.world.stage().kubectl_ok(&["apply", "-f", &self.file("objects.json").display().to_string()])?;
        Ok(())
    }

    /// Starts the operator as the Deployment has it, with further variables, and waits until it is ready.
    pub fn operator(&self, env: &[(&str, &str)]) -> anyhow::Result<Operator> {
        let operator = self.unready_operator(env)?;
        operator.wait_until_ready()?;
        Ok(operator)
    }

    /// The same without waiting.
    pub fn unready_operator(&self, env: &[(&str, &str)]) -> anyhow::Result<Operator> {
        let of_deployment = self.env_of_deployment()?;
        // As in a pod, where it is the pod's namespace.
        let mut all = vec![("ATHENA_OPERATOR_LEASE_NAMESPACE", self.namespace.as_str())];
        all.extend(of_deployment.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        all.extend(env);
        let (binary, athena) = (operator_binary(), self.world.emulator.url());
        Operator::start(
            self.world.stage(),
            &OperatorOptions {
                binary: &binary,
                scope: Scope::Given(&self.namespace),
                athena: &athena,
                flags: &[],
                env: &all,
            },
        )
    }

    /// Has `kubectl logs --previous` show what an operator has logged.
    pub fn is_previous(&self, operator: &Operator) -> anyhow::Result<()> {
        Ok(fs::write(self.file("previous.log"), operator.raw_log())?)
    }

    /// `text` of a page, with the names of this world in place of the page's.
    pub fn here(&self, text: &str) -> String {
        text.replace("team-a", &self.world.namespace)
            .replace("-n athena-operator", &format!("-n {}", self.namespace))
            .replace("serviceaccount:athena-operator:", &format!("serviceaccount:{}:", self.namespace))
            .replace("/namespaces/athena-operator/", &format!("/namespaces/{}/", self.namespace))
    }

    /// Runs a command of a page in a shell, as of now in the life of `operator`.
    pub async fn run(&self, operator: Option<&Operator>, command: &str) -> anyhow::Result<Said> {
        fs::write(self.file("operator.log"), operator.map(Operator::raw_log).unwrap_or_default())?;
        let (output, errors) = (self.file("output"), self.file("errors"));
        let mut child = self
            .shell(operator)?
            .arg(self.here(command))
            .stdout(File::create(&output)?)
            .stderr(File::create(&errors)?)
            .spawn()?;
        if let Err(error) = until("it ends", || child.try_wait().is_ok_and(|status| status.is_some())).await {
            child.kill()?;
            return Err(error);
        }
        let text = |file| fs::read(file).map(|text| String::from_utf8_lossy(&text).into_owned());
        Ok(Said { status: child.wait()?, output: text(output)?, errors: text(errors)? })
    }

    /// Runs a command that must succeed.
    pub async fn succeed(&self, command: &str) -> anyhow::Result<()> {
        let said = self.run(None, command).await?;
        ensure!(said.status.success(), "{command}: {}{}", said.output, said.errors);
        Ok(())
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Puts the programs where the shell looks first, with the kubeconfig of somebody who works in the test's namespace.
    fn lay_out(&self) -> anyhow::Result<()> {
        let programs = self.file("programs");
        fs::create_dir(&programs)?;
        symlink(repository().join("tests/integration/commands/kubectl.sh"), programs.join("kubectl"))?;
        symlink(Tool::Helm.path()?, programs.join("helm"))?;
        symlink(Tool::Gojq.path()?, programs.join("jq"))?;
        fs::write(self.file("previous.log"), "")?;
        fs::copy(self.world.stage().kubeconfig(), self.file("kubeconfig"))?;
        let kubeconfig = format!("--kubeconfig={}", self.file("kubeconfig").display());
        self.world.stage().kubectl_ok(&[
            "config",
            "set-context",
            "--current",
            "--namespace",
            &self.world.namespace,
            &kubeconfig,
        ])?;
        Ok(())
    }

    fn shell(&self, operator: Option<&Operator>) -> anyhow::Result<Command> {
        let path = std::env::var_os("PATH").context("there is no PATH")?;
        let path =
            std::env::join_paths([self.file("programs")].into_iter().chain(std::env::split_paths(&path)))?;
        let mut shell = Command::new("sh");
        shell.arg("-c").current_dir(repository()).env("PATH", path).env("LC_ALL", "C");
        shell.env("KUBECONFIG", self.file("kubeconfig")).env("KUBECACHEDIR", self.file("cache"));
        // Not the user's plugins.
        shell.env("HELM_PLUGINS", "/nonexistent");
        let url = operator
            .and_then(Operator::address)
            .map(|address| format!("http://{address}"))
            .unwrap_or_default();
        shell
            .env("REAL_KUBECTL", self.world.stage().kubectl_program())
            .env("OPERATOR", operator_binary())
            .env("OPERATOR_URL", url);
        shell.env("OPERATOR_LOG", self.file("operator.log")).env("PREVIOUS_LOG", self.file("previous.log"));
        // What the operator's container has, for what is executed in it.
        shell
            .env_remove("AWS_PROFILE")
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .env("AWS_ENDPOINT_URL", self.world.emulator.url());
        shell.envs([
            ("AWS_REGION", "eu-west-1"),
            ("AWS_ACCESS_KEY_ID", "test"),
            ("AWS_SECRET_ACCESS_KEY", "test"),
        ]);
        Ok(shell)
    }

    fn deployment(&self) -> anyhow::Result<Value> {
        let text = self.world.stage().kubectl_ok(&[
            "get",
            "deployment",
            "athena-operator",
            "-n",
            &self.namespace,
            "-o",
            "json",
        ])?;
        Ok(serde_json::from_str(&text)?)
    }

    /// The environment of the Deployment's container.
    fn env_of_deployment(&self) -> anyhow::Result<Vec<(String, String)>> {
        let deployment = self.deployment()?;
        let env = deployment
            .pointer("/spec/template/spec/containers/0/env")
            .and_then(Value::as_array)
            .context("no environment")?;
        let variable = |entry: &Value| {
            let value = match (
                entry["value"].as_str(),
                entry.pointer("/valueFrom/fieldRef/fieldPath").and_then(Value::as_str),
            ) {
                (Some(value), None) => value,
                (None, Some("metadata.name")) => POD,
                _ => bail!("cannot tell the value of {entry}"),
            };
            Ok((entry["name"].as_str().context("no name")?.to_owned(), value.to_owned()))
        };
        env.iter().map(variable).collect()
    }

    /// Makes the pod that Kubernetes would make of the Deployment, and has it run.
    fn make_pod(&self) -> anyhow::Result<()> {
        let mut template = self.deployment()?["spec"]["template"].take();
        template["metadata"]["name"] = json!(POD);
        template["metadata"]["namespace"] = json!(self.namespace);
        let pod = json!({ "apiVersion": "v1", "kind": "Pod", "metadata": template["metadata"], "spec": template["spec"] });
        self.apply(&pod)?;
        let container = json!({
            "name": "operator", "ready": true, "restartCount": 0, "image": "operator", "imageID": "", "state": { "running": {} },
        });
        self.write_status(
            &format!("pod/{POD}"),
            &json!({ "phase": "Running", "containerStatuses": [container] }),
        )
    }

    fn write_status(&self, object: &str, status: &Value) -> anyhow::Result<()> {
        let patch = json!({ "status": status }).to_string();
        self.world.stage().kubectl_ok(&[
            "patch",
            object,
            "-n",
            &self.namespace,
            "--subresource=status",
            "--type=merge",
            "-p",
            &patch,
        ])?;
        Ok(())
    }
}
