//! CRD, operator and sessions come and go in any order, as in one commit whose parts a tool applies, and removes, as it likes.

use std::path::Path;
use std::time::Instant;

use anyhow::{Context, bail, ensure};
use athena_operator::api::AthenaSession;
use environment::{Operator, OperatorOptions, Scope, Stage};
use kube::Api;
use kube::config::Kubeconfig;
use serde_json::json;

use crate::harness::{PATIENCE, PAUSE, World, client_config, condition, ready_condition, tests, until};

tests![
    one_commit_converges_and_goes_in_any_order,
    an_object_that_a_tighter_crd_would_refuse_can_still_be_reported_on_and_edited
];

#[derive(Clone, Copy, Debug, PartialEq)]
enum Part {
    Crd,
    Operator,
    Sessions,
}

use Part::{Crd, Sessions};

const ORDERS: [[Part; 3]; 6] = [
    [Crd, Part::Operator, Sessions],
    [Crd, Sessions, Part::Operator],
    [Part::Operator, Crd, Sessions],
    [Part::Operator, Sessions, Crd],
    [Sessions, Crd, Part::Operator],
    [Sessions, Part::Operator, Crd],
];

const CRD: &str = "crd/athenasessions.athena-operator.io";
const NAMESPACE: &str = "default";
const SESSION: &str = "athenasession/spark-35-minimal";

async fn one_commit_converges_and_goes_in_any_order(world: World) -> anyhow::Result<()> {
    // The definition of a kind is everybody's: taking it away needs an API server of its own.
    let stage = tokio::task::block_in_place(Stage::start)?;
    let athena = world.emulator.url();
    let mut place = Place { stage: &stage, athena: &athena, operator: None };
    place.remove(Crd, true)?;
    for (number, order) in ORDERS.into_iter().enumerate() {
        place.come(order).await.map_err(|error| error.context(format!("applied in the order {order:?}")))?;
        ensure!(
            world.calls("StartSession").len() == number + 1,
            "{order:?}: {:?}",
            world.calls("StartSession")
        );
        place.go(order).await.map_err(|error| error.context(format!("removed in the order {order:?}")))?;
        ensure!(world.live().is_empty(), "{order:?}: {:?}", world.live());
    }
    Ok(())
}

/// A cluster to which a commit is applied.
struct Place<'a> {
    stage: &'a Stage,
    athena: &'a str,
    operator: Option<Operator>,
}

impl Place<'_> {
    /// Applies the parts one after the other, each whether or not the one before came through, and those that did not again, until all have.
    async fn come(&mut self, order: [Part; 3]) -> anyhow::Result<()> {
        let start = Instant::now();
        let mut left = order.to_vec();
        while !left.is_empty() {
            let mut again = Vec::new();
            for part in left {
                if let Err(error) = self.apply(part) {
                    if start.elapsed() > PATIENCE {
                        return Err(error);
                    }
                    again.push(part);
                }
            }
            left = again;
        }
        let sessions = self.sessions().await?;
        loop {
            let session = sessions.get("spark-35-minimal").await?;
            ensure!(condition(&session, "Stalled").is_none(), "{:?}", session.status);
            if ready_condition(&session).is_some_and(|ready| ready.reason == "SessionIdle") {
                return Ok(());
            }
            if let Some(status) = self.operator.as_ref().and_then(Operator::exit_status) {
                bail!("the operator ended with {status}");
            }
            ensure!(start.elapsed() < PATIENCE, "the session is not idle: {:?}", session.status);
            tokio::time::sleep(PAUSE).await;
        }
    }

    fn apply(&mut self, part: Part) -> anyhow::Result<()> {
        let file = |path: &str| self.stage.file(path).display().to_string();
        match part {
            Crd => self.stage.kubectl_ok(&["apply", "-f", &file("crds")])?,
            Sessions => self.stage.kubectl_ok(&[
                "apply",
                "-n",
                NAMESPACE,
                "-f",
                &file("examples/spark-35-minimal.yaml"),
            ])?,
            Part::Operator => {
                self.operator = Some(self.operator()?);
                String::new()
            }
        };
        Ok(())
    }

    fn operator(&self) -> anyhow::Result<Operator> {
        let binary = Path::new(env!("CARGO_BIN_EXE_athena-operator"));
        let env =
            [("ATHENA_OPERATOR_OBSERVE_INTERVAL", "200ms"), ("ATHENA_OPERATOR_TRANSITION_INTERVAL", "50ms")];
        Operator::start(
            self.stage,
            &OperatorOptions { binary, scope: Scope::Everywhere, athena: self.athena, flags: &[], env: &env },
        )
    }

    /// Removes the parts one after the other, and where one hangs since the operator went before it, brings the operator back until all is gone.
    async fn go(&mut self, order: [Part; 3]) -> anyhow::Result<()> {
        let mut operator_is_away = false;
        for part in order {
            // What the operator does not let go would be waited for in vain.
            self.remove(part, !operator_is_away)?;
            operator_is_away |= part == Part::Operator;
        }
        let gone = |what: &str| {
            self.stage
                .kubectl_output(&["get", what, "-n", NAMESPACE])
                .is_ok_and(|output| !output.status.success())
        };
        let operator = if order[0] == Part::Operator {
            // Its finalizer holds the session, and the session the CRD.
            let held = self.stage.kubectl_ok(&[
                "get",
                SESSION,
                "-n",
                NAMESPACE,
                "-o",
                "jsonpath={.metadata.deletionTimestamp}",
            ])?;
            ensure!(!held.is_empty(), "the session is not being deleted");
            Some(self.operator()?)
        } else {
            None
        };
        until("session and CRD are gone", || gone(SESSION) && gone(CRD)).await?;
        drop(operator);
        Ok(())
    }

    fn remove(&mut self, part: Part, wait: bool) -> anyhow::Result<()> {
        let wait = format!("--wait={wait}");
        match part {
            Crd => self.stage.kubectl_ok(&["delete", CRD, "--timeout=60s", &wait])?,
            // Gone with their CRD, unless they hang.
            Sessions if self.stage.kubectl_output(&["get", CRD])?.status.success() => {
                self.stage.kubectl_ok(&[
                    "delete",
                    SESSION,
                    "-n",
                    NAMESPACE,
                    "--timeout=60s",
                    "--ignore-not-found",
                    &wait,
                ])?
            }
            Sessions => String::new(),
            Part::Operator => {
                self.operator = None;
                String::new()
            }
        };
        Ok(())
    }

    async fn sessions(&self) -> anyhow::Result<Api<AthenaSession>> {
        let kubeconfig = Kubeconfig::read_from(self.stage.kubeconfig())?;
        Ok(Api::namespaced(kube::Client::try_from(client_config(kubeconfig).await?)?, NAMESPACE))
    }
}

async fn an_object_that_a_tighter_crd_would_refuse_can_still_be_reported_on_and_edited(
    _world: World,
) -> anyhow::Result<()> {
    let stage = tokio::task::block_in_place(Stage::start)?;
    let file = tempfile::NamedTempFile::with_suffix(".json")?;
    let path = file.path().display().to_string();
    let mut looser = json!(athena_operator::api::crd());
    let spec =
        looser.pointer_mut("/spec/versions/0/schema/openAPIV3Schema/properties/spec").context("a spec")?;
    spec["properties"]["workGroup"].as_object_mut().context("a schema")?.remove("pattern");
    let rules = spec["x-kubernetes-validations"].as_array_mut().context("rules")?;
    rules.retain(|rule| rule["message"].as_str().is_some_and(|message| message.contains("is immutable")));
    std::fs::write(&file, looser.to_string())?;
    stage.kubectl_ok(&["replace", "-f", &path])?;
    let object = json!({
        "apiVersion": "athena-operator.io/v1alpha1", "kind": "AthenaSession", "metadata": { "name": "old", "namespace": NAMESPACE },
        "spec": { "workGroup": "with a space", "description": "[athena-operator/x]" },
    });
    std::fs::write(&file, object.to_string())?;
    until("the looser definition is in force", || {
        stage.kubectl_output(&["create", "-f", &path]).is_ok_and(|output| output.status.success())
    })
    .await?;

    stage.kubectl_ok(&["replace", "-f", &stage.file("crds").display().to_string()])?;
    let patch = |patch: &str, flags: &[&str]| {
        stage.kubectl_output(
            &[&["patch", "athenasession", "old", "-n", NAMESPACE, "--type=merge", "-p", patch], flags]
                .concat(),
        )
    };
    let other = object.to_string().replace("old", "new");
    std::fs::write(&file, other)?;
    until("the definition is in force", || {
        stage
            .kubectl_output(&["create", "-f", &path, "--dry-run=server"])
            .is_ok_and(|output| !output.status.success())
    })
    .await?;
    let edits: [(&str, &[&str]); 4] = [
        (r#"{"metadata":{"labels":{"team":"etl"}}}"#, &[]),
        (r#"{"metadata":{"finalizers":["athena-operator.io/session"]}}"#, &[]),
        (r#"{"status":{"state":"IDLE","observedGeneration":1}}"#, &["--subresource=status"]),
        (r#"{"metadata":{"finalizers":null}}"#, &[]),
    ];
    for (edit, flags) in edits {
        let output = patch(edit, flags)?;
        ensure!(output.status.success(), "{edit}: {}", String::from_utf8_lossy(&output.stderr));
    }
    let refused = patch(r#"{"spec":{"workGroup":"another"}}"#, &[])?;
    ensure!(
        !refused.status.success() && String::from_utf8_lossy(&refused.stderr).contains("is immutable"),
        "{refused:?}"
    );
    Ok(())
}
