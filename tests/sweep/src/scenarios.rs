//! The scenarios.

use std::time::Duration;

use athena_emulator::Config;
use kube::api::DynamicObject;
use serde_json::json;

use crate::end::{End, ready};
use crate::scenario::{Scenario, Script};
use crate::world::World;

/// A scenario of one operator and one attempt.
const fn scenario(name: &'static str, script: for<'a> fn(&'a World) -> Script<'a>) -> Scenario {
    Scenario {
        name,
        quick: false,
        attempts: 1,
        replicas: 1,
        deleted: End::Gone,
        athena: |_| {},
        flags: &[],
        script,
    }
}

fn stuck_in_creating(config: &mut Config) {
    config.stick_in = Some("CREATING".into());
}

/// Every call waits for the rate limiter.
const SLOW: &[&str] = &["--athena-rate=3", "--athena-burst=1"];
const ELECTION: &[&str] = &["--leader-election=true", "--lease-duration=3s"];

/// Every scenario.
pub const SCENARIOS: &[Scenario] = &[
    Scenario { quick: true, ..scenario("start", |world| Box::pin(start(world))) },
    Scenario {
        athena: stuck_in_creating,
        ..scenario("delete-starting", |world| Box::pin(delete_starting(world)))
    },
    Scenario { quick: true, ..scenario("delete-idle", |world| Box::pin(delete_idle(world))) },
    scenario("delete-busy", |world| Box::pin(delete_busy(world))),
    scenario("delete-suspended", |world| Box::pin(delete_suspended(world))),
    Scenario { quick: true, ..scenario("delete-away", |world| Box::pin(delete_away(world))) },
    Scenario { attempts: 2, ..scenario("restart", |world| Box::pin(restart(world))) },
    Scenario { quick: true, attempts: 2, ..scenario("resume", |world| Box::pin(resume(world))) },
    Scenario { attempts: 2, flags: SLOW, ..scenario("resume-slow", |world| Box::pin(resume(world))) },
    Scenario {
        athena: stuck_in_creating,
        ..scenario("startup-deadline", |world| Box::pin(startup_deadline(world)))
    },
    scenario("active-deadline", |world| Box::pin(active_deadline(world))),
    scenario("ttl", |world| Box::pin(ttl(world))),
    Scenario { quick: true, ..scenario("unseen-resume", |world| Box::pin(unseen_resume(world))) },
    Scenario { attempts: 2, ..scenario("unseen-recreate", |world| Box::pin(unseen_recreate(world))) },
    Scenario {
        replicas: 2,
        flags: ELECTION,
        ..scenario("two-replicas", |world| Box::pin(with_a_lease(world)))
    },
    Scenario {
        replicas: 3,
        flags: ELECTION,
        ..scenario("three-replicas", |world| Box::pin(with_a_lease(world)))
    },
    Scenario { replicas: 2, ..scenario("two-at-once", |world| Box::pin(start(world))) },
    Scenario { deleted: End::Retained, ..scenario("retain", |world| Box::pin(retain(world))) },
];

async fn idle(world: &World, further: serde_json::Value) -> anyhow::Result<()> {
    world.phase("boot").await;
    world.boot().await?;
    world.phase("start").await;
    world.create(further).await?;
    world.until_ready("SessionIdle").await
}

async fn delete(world: &World) -> anyhow::Result<End> {
    world.phase("delete").await;
    world.delete().await?;
    Ok(End::Gone)
}

async fn start(world: &World) -> anyhow::Result<End> {
    idle(world, json!({})).await?;
    Ok(End::Idle(0))
}

async fn delete_starting(world: &World) -> anyhow::Result<End> {
    world.phase("boot").await;
    world.boot().await?;
    world.phase("start").await;
    world.create(json!({})).await?;
    world.until_ready("SessionCreating").await?;
    delete(world).await
}

async fn delete_idle(world: &World) -> anyhow::Result<End> {
    idle(world, json!({})).await?;
    delete(world).await
}

async fn delete_busy(world: &World) -> anyhow::Result<End> {
    idle(world, json!({})).await?;
    world.phase("busy").await;
    world.set_state("BUSY")?;
    world.until_ready("SessionBusy").await?;
    delete(world).await
}

async fn suspended(world: &World) -> anyhow::Result<()> {
    idle(world, json!({})).await?;
    world.phase("suspend").await;
    world.suspend(true).await?;
    world.until_ready("Suspended").await
}

async fn delete_suspended(world: &World) -> anyhow::Result<End> {
    suspended(world).await?;
    delete(world).await
}

async fn delete_away(world: &World) -> anyhow::Result<End> {
    idle(world, json!({})).await?;
    world.phase("away").await;
    world.leave()?;
    world.delete().await?;
    world.start()?;
    Ok(End::Gone)
}

async fn restart(world: &World) -> anyhow::Result<End> {
    idle(world, json!({ "restartPolicy": "OnFailure" })).await?;
    world.phase("fail").await;
    world.set_state("FAILED")?;
    // An outage may last longer than the backoff before the restart.
    let restarting = |object: &DynamicObject| {
        ready(object)["reason"] == "RestartingAfterFailure" || object.data["status"]["attempt"] == 1
    };
    world.until_object("restarting", |object| object.is_some_and(restarting)).await?;
    world.phase("restart").await;
    world.until_ready("SessionIdle").await?;
    Ok(End::Idle(1))
}

async fn resume(world: &World) -> anyhow::Result<End> {
    suspended(world).await?;
    world.phase("resume").await;
    world.suspend(false).await?;
    world.until_ready("SessionIdle").await?;
    Ok(End::Idle(1))
}

async fn startup_deadline(world: &World) -> anyhow::Result<End> {
    world.phase("boot").await;
    world.boot().await?;
    world.phase("start").await;
    world.create(json!({ "startupDeadlineSeconds": 2 })).await?;
    world.until_ready("SessionCreating").await?;
    world.past("startTime", 2).await?;
    world.phase("deadline").await;
    world.ask_end();
    Ok(End::Over("StartupDeadlineExceeded"))
}

async fn active_deadline(world: &World) -> anyhow::Result<End> {
    world.phase("boot").await;
    world.boot().await?;
    world.phase("start").await;
    world.create(json!({ "activeDeadlineSeconds": 3 })).await?;
    // An outage may last longer than the deadline.
    world.until_ready_one_of(&["SessionIdle", "DeadlineExceeded"]).await?;
    world.past("firstStartTime", 3).await?;
    world.phase("deadline").await;
    world.ask_end();
    Ok(End::Over("DeadlineExceeded"))
}

async fn ttl(world: &World) -> anyhow::Result<End> {
    idle(world, json!({ "ttlSecondsAfterFinished": 1 })).await?;
    world.phase("fail").await;
    world.set_state("FAILED")?;
    Ok(End::Gone)
}

async fn retain(world: &World) -> anyhow::Result<End> {
    idle(world, json!({ "deletionPolicy": "Retain" })).await?;
    world.phase("delete").await;
    world.delete().await?;
    Ok(End::Retained)
}

/// What was suspended and resumed before the operator has seen either is as it was.
async fn unseen_resume(world: &World) -> anyhow::Result<End> {
    idle(world, json!({})).await?;
    world.phase("unseen").await;
    world.cut_watches();
    world.suspend(true).await?;
    world.suspend(false).await?;
    world.let_watch();
    world.until("the operator lists anew", || Ok(world.has_listed())).await?;
    Ok(End::Idle(0))
}

/// The operator lets an object go, and sees next another one of that name.
async fn unseen_recreate(world: &World) -> anyhow::Result<End> {
    idle(world, json!({})).await?;
    world.phase("delete").await;
    world.slow_patches(Some(Duration::from_millis(300)));
    world.delete().await?;
    world.until_object("let go", |object| object.is_none() || world.is_patching()).await?;
    world.cut_watches();
    world.until_gone(0).await?;
    world.phase("recreate").await;
    world.slow_patches(None);
    world.create(json!({})).await?;
    world.let_watch();
    Ok(End::Idle(0))
}

async fn with_a_lease(world: &World) -> anyhow::Result<End> {
    world.allow_lease().await?;
    idle(world, json!({})).await?;
    delete(world).await
}
