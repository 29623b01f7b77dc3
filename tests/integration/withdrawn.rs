//! An attempt that certainly started nothing belongs to no region and no account: correcting the operator's environment helps.

use anyhow::ensure;
use athena_emulator::{Config, Fault, FaultKind};
use environment::Signal;

use crate::harness::{World, condition, failure, ready_condition, status, tests, uid, until};

tests![
    a_work_group_that_is_missing_in_a_wrong_region_leaves_no_attempt_there,
    a_start_that_was_denied_in_a_wrong_region_is_made_in_the_right_one,
    deleting_what_was_denied_in_another_region_needs_no_proof,
    a_start_without_credentials_leaves_no_attempt,
    a_start_that_a_quota_refuses_stays_recorded,
    a_start_that_was_not_answered_before_it_was_denied_stays_recorded,
];

const WRONG: [(&str, &str); 1] = [("AWS_REGION", "us-east-1")];

async fn a_work_group_that_is_missing_in_a_wrong_region_leaves_no_attempt_there(
    world: World,
) -> anyhow::Result<()> {
    world.emulator.configure(|config| config.work_groups.clear());
    let operator = world.operator_with(&[], &WRONG)?;
    let object = world.create("etl").await?;
    world.until_reason("etl", "WorkGroupNotFound").await?;
    operator.end(Signal::TERM)?;
    world.emulator.configure(|config| config.work_groups = Config::default().work_groups);
    let _operator = world.operator()?;
    let idle = world.until_idle("etl").await?;
    ensure!(status(&idle).region.as_deref() == Some("eu-west-1"), "{:?}", status(&idle));
    ensure!(world.emulator.sessions().len() == 1 && world.emulator.sessions()[0].token == Some(uid(&object)));
    Ok(())
}

async fn a_start_that_was_denied_in_a_wrong_region_is_made_in_the_right_one(
    world: World,
) -> anyhow::Result<()> {
    world.deny(&["StartSession"]);
    let operator = world.operator_with(&[], &WRONG)?;
    let object = world.create("etl").await?;
    let denied = world.until_reason("etl", "AccessDenied").await?;
    let before = status(&denied);
    ensure!(
        before.attempt == Some(0)
            && before.region.is_none()
            && before.account_id.is_none()
            && before.attempt_time.is_none(),
        "{before:?}"
    );
    operator.end(Signal::TERM)?;
    world.deny(&[]);
    let _operator = world.operator()?;
    let idle = world.until_idle("etl").await?;
    ensure!(
        status(&idle).region.as_deref() == Some("eu-west-1") && status(&idle).attempt == Some(0),
        "{:?}",
        status(&idle)
    );
    ensure!(world.emulator.sessions().len() == 1 && world.emulator.sessions()[0].token == Some(uid(&object)));
    Ok(())
}

async fn deleting_what_was_denied_in_another_region_needs_no_proof(world: World) -> anyhow::Result<()> {
    world.deny(&["StartSession", "ListSessions"]);
    let operator = world.operator_with(&[], &WRONG)?;
    world.create("etl").await?;
    world.until_reason("etl", "AccessDenied").await?;
    operator.end(Signal::TERM)?;
    world.delete("etl").await?;
    let _operator = world.operator()?;
    world.until_gone("etl").await
}

async fn a_start_without_credentials_leaves_no_attempt(world: World) -> anyhow::Result<()> {
    let _operator = world.operator_with(&[], &[("AWS_ACCESS_KEY_ID", "unknown")])?;
    world.create("etl").await?;
    let object = world.until_reason("etl", "CredentialsInvalid").await?;
    ensure!(condition(&object, "Reconciling").is_some());
    ensure!(
        status(&object).region.is_none() && world.calls("StartSession").is_empty(),
        "{:?}",
        status(&object)
    );
    // It was never tried.
    world.remove("etl").await
}

async fn a_start_that_a_quota_refuses_stays_recorded(world: World) -> anyhow::Result<()> {
    world.emulator.configure(|config| config.max_sessions = Some(0));
    let _operator = world.operator()?;
    world.create("etl").await?;
    let object = world.until_reason("etl", "QuotaExceeded").await?;
    ensure!(
        status(&object).region.as_deref() == Some("eu-west-1") && status(&object).attempt_time.is_some(),
        "{:?}",
        status(&object)
    );
    Ok(())
}

async fn a_start_that_was_not_answered_before_it_was_denied_stays_recorded(
    world: World,
) -> anyhow::Result<()> {
    let denied = failure(400, "AccessDeniedException", "no");
    world.emulator.set_faults(vec![
        Fault::new("StartSession", FaultKind::DropAfter).times(1),
        Fault::new("StartSession", denied),
    ]);
    let _operator = world.operator()?;
    world.create("etl").await?;
    until("it was denied", || world.calls("StartSession").len() >= 2).await?;
    let object = world.until_reason("etl", "AccessDenied").await?;
    ensure!(status(&object).region.is_some(), "{:?}", status(&object));
    world.clear_faults();
    world.until_idle("etl").await?;
    ensure!(world.emulator.sessions().len() == 1, "{:?}", ready_condition(&object));
    Ok(())
}
