//! Which sessions the operator takes for an object's own, by their marker.

use anyhow::ensure;
use athena_emulator::{Classification, FaultKind};
use serde_json::{Value, json};

use crate::harness::{World, condition, spark, status, tests, uid, until};

tests![
    a_session_whose_classifications_were_merged_and_reordered_is_adopted,
    a_session_that_looks_otherwise_is_ended_when_its_object_is_deleted,
    a_session_that_looks_otherwise_is_ended_when_its_object_is_suspended_and_is_never_available,
];

/// A session whose start is never answered, so that only its marker tells of it.
fn lose_starts(world: &World) {
    world.fault("StartSession", FaultKind::DropAfter);
}

fn classified() -> Value {
    let properties = json!({ "spark.executor.memory": "4g" });
    let classifications = json!([{ "name": "spark-defaults", "properties": properties }, { "name": "spark-log4j", "properties": { "a": "b" } }]);
    spark(json!({ "engineConfiguration": { "classifications": classifications } }))
}

async fn a_session_whose_classifications_were_merged_and_reordered_is_adopted(
    world: World,
) -> anyhow::Result<()> {
    lose_starts(&world);
    let added = |name: &str, key: &str| Classification {
        name: name.into(),
        properties: [(key.to_owned(), "added".to_owned())].into(),
    };
    world.emulator.configure(|config| {
        config.reorder_classifications = true;
        for group in &mut config.work_groups {
            group.classifications = vec![added("spark-defaults", "spark.default"), added("spark-env", "x")];
        }
    });
    let _operator = world.operator_with(&["--uncertainty=1s"], &[])?;
    world.create_with("etl", classified()).await?;
    let idle = world.until_idle("etl").await?;
    ensure!(world.emulator.sessions().len() == 1 && status(&idle).attempt == Some(0), "{:?}", status(&idle));
    Ok(())
}

/// An object whose start was never answered, and the only session that carries its token, which looks otherwise.
async fn strange(world: &World, name: &str) -> anyhow::Result<String> {
    world.fault("StartSession", FaultKind::DropBefore);
    let uid = uid(&world.create_with(name, classified()).await?);
    until("it was tried", || !world.calls("StartSession").is_empty()).await?;
    let id = world.emulator.create_foreign("spark-35", Some(&format!("{name} [athena-operator/{uid}]")));
    let object = world.until_reason(name, "MarkerMismatch").await?;
    ensure!(status(&object).session_id.is_none(), "it is not adopted for use: {:?}", status(&object));
    Ok(id)
}

async fn a_session_that_looks_otherwise_is_ended_when_its_object_is_deleted(
    world: World,
) -> anyhow::Result<()> {
    let _operator = world.operator_with(&["--uncertainty=1s"], &[])?;
    let id = strange(&world, "etl").await?;
    world.remove("etl").await?;
    ensure!(world.live().iter().all(|session| session.session_id != id));
    Ok(())
}

async fn a_session_that_looks_otherwise_is_ended_when_its_object_is_suspended_and_is_never_available(
    world: World,
) -> anyhow::Result<()> {
    let _operator = world.operator_with(&["--uncertainty=1s"], &[])?;
    let id = strange(&world, "etl").await?;
    world.set("etl", json!({ "suspend": true })).await?;
    let ending = world.until("etl", "recorded", |object| status(object).session_id.is_some()).await?;
    let told = status(&ending);
    ensure!(told.stop_cause.is_some() && told.session_id == Some(id), "{told:?}");
    ensure!(condition(&ending, "Available").is_none_or(|available| available.status == "False"), "{told:?}");
    world.until_reason("etl", "Suspended").await?;
    until("the session has ended", || world.live().is_empty()).await
}
