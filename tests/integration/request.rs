//! What reaches Athena is what the user wrote, and nothing else but token and marker.

use anyhow::{Context, ensure};
use serde_json::Value;

use crate::harness::{World, tests, uid, until};

tests![the_request_for_every_field_is_the_golden_one, the_minimal_request_holds_nothing_unasked];

async fn compare(world: World, name: &str) -> anyhow::Result<()> {
    // What its work group tells would keep the operator from asking for what no engine takes.
    world.deny(&["GetWorkGroup"]);
    let _operator = world.operator()?;
    let manifest = world.stage().file(format!("tests/golden/{name}.yaml"));
    world.kubectl(&["apply", "-f", &manifest.display().to_string()])?;
    until("StartSession is called", || !world.calls("StartSession").is_empty()).await?;
    let call = world.calls("StartSession").into_iter().next().context("a call")?;
    let uid = uid(&world.sessions.get(name).await?);
    let golden = std::fs::read_to_string(world.stage().file(format!("tests/golden/{name}.json")))?;
    let expected: Value =
        serde_json::from_str(&golden.replace("<uid>", &uid).replace("<namespace>", &world.namespace))?;
    ensure!(call.request == expected, "{:#}", call.request);
    Ok(())
}

async fn the_request_for_every_field_is_the_golden_one(world: World) -> anyhow::Result<()> {
    compare(world, "every-field").await
}

async fn the_minimal_request_holds_nothing_unasked(world: World) -> anyhow::Result<()> {
    compare(world, "minimal").await
}
