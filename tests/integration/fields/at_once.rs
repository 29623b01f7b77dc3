//! A change of spec, label or annotation takes effect at once: here the next look at a session is minutes away.

use anyhow::ensure;
use environment::Operator;
use kube::api::PostParams;
use serde_json::{Value, json};

use super::case::{Delete, Reach, case, drive, set, starts_nothing_by_itself};
use crate::harness::{World, tests, until};
use crate::outcome::row;

tests![
    a_change_takes_effect_before_the_next_look,
    a_session_that_starts_is_ended_before_the_next_look,
    a_ttl_that_a_tool_would_undo_is_warned_of_once
];

/// An operator that takes no further look at a settled session while a test runs.
fn unhurried(world: &World) -> anyhow::Result<Operator> {
    world.operator_with(&["--observe-interval=10m"], &[])
}

async fn a_change_takes_effect_before_the_next_look(world: World) -> anyhow::Result<()> {
    let _operator = unhurried(&world)?;
    let ended = "start 0, terminate 0";
    let suspended = "attempt 0, TERMINATED, stopCause Suspended, endReason Suspended";
    let exceeded = "attempt 0, TERMINATED, stopCause ActiveDeadline, endReason DeadlineExceeded";
    let idle = |name, change| {
        case(name, json!({}), [Reach(row::IDLE), set(change)], row::IDLE, "attempt 0, IDLE", "start 0")
    };
    drive(
        &world,
        vec![
            case(
                "suspend",
                json!({}),
                [Reach(row::IDLE), set(json!({ "suspend": true }))],
                row::SUSPENDED,
                suspended,
                ended,
            ),
            case(
                "active-deadline",
                json!({}),
                [Reach(row::IDLE), set(json!({ "activeDeadlineSeconds": 1 }))],
                row::EXCEEDED,
                exceeded,
                ended,
            ),
            // Its end is between two looks.
            case(
                "active-deadline-to-come",
                json!({ "activeDeadlineSeconds": 4 }),
                [],
                row::EXCEEDED,
                exceeded,
                ended,
            ),
            case("deleted", json!({}), [Reach(row::IDLE), Delete], row::GONE, "", ended),
            case(
                "retain",
                json!({}),
                [Reach(row::IDLE), set(json!({ "deletionPolicy": "Retain" })), Delete],
                row::GONE,
                "",
                "start 0",
            ),
            // What changes nothing now is reported at once all the same: the rows are of the newest generation.
            idle("restart-policy", json!({ "restartPolicy": "OnFailure" })),
            idle("max-restarts", json!({ "maxRestarts": 0 })),
            idle("startup-deadline", json!({ "startupDeadlineSeconds": 1 })),
            idle("ttl", json!({ "ttlSecondsAfterFinished": 0 })),
        ],
    )
    .await
}

async fn a_session_that_starts_is_ended_before_the_next_look(world: World) -> anyhow::Result<()> {
    world.emulator.configure(starts_nothing_by_itself);
    let _operator = world.operator_with(&["--transition-interval=10m"], &[])?;
    world.create("suspended").await?;
    world.create("deleted").await?;
    until("both are started", || world.emulator.sessions().len() == 2).await?;
    for name in ["suspended", "deleted"] {
        world
            .until(name, "recorded", |object| {
                object.status.as_ref().is_some_and(|status| status.session_id.is_some())
            })
            .await?;
    }
    ensure!(
        world.calls("GetSession").is_empty() && world.calls("GetSessionStatus").is_empty(),
        "{:?}",
        world.emulator.calls()
    );
    world.patch("suspended", json!({ "spec": { "suspend": true } })).await?;
    world.delete("deleted").await?;
    until("both are ended", || world.live().is_empty()).await
}

/// How often the warning was published for an object.
fn warnings(world: &World, name: &str) -> anyhow::Result<u64> {
    let selector = format!("--field-selector=reason=TTLUnderGitOps,involvedObject.name={name}");
    let events: Value = serde_json::from_str(&world.kubectl(&["get", "events", &selector, "-o", "json"])?)?;
    Ok(events["items"].as_array().into_iter().flatten().filter_map(|event| event["count"].as_u64()).sum())
}

async fn a_ttl_that_a_tool_would_undo_is_warned_of_once(world: World) -> anyhow::Result<()> {
    let operator = unhurried(&world)?;
    let ttl = json!({ "spec": { "ttlSecondsAfterFinished": 3600 } });
    let changes = [
        (
            "label",
            json!({ "metadata": { "labels": { "kustomize.toolkit.fluxcd.io/name": "apps" } } }),
            ttl.clone(),
        ),
        (
            "annotation",
            json!({ "metadata": { "annotations": { "argocd.argoproj.io/tracking-id": "apps:x" } } }),
            ttl.clone(),
        ),
    ];
    for (name, mark, ttl) in changes {
        for (first, second, order) in [(&mark, &ttl, "first"), (&ttl, &mark, "last")] {
            let name = format!("{name}-{order}");
            world.create(&name).await?;
            world.until_reason(&name, "SessionIdle").await?;
            world.patch(&name, first.clone()).await?;
            world.until_reason(&name, "SessionIdle").await?;
            ensure!(warnings(&world, &name)? == 0, "{name}: half of it is no reason to warn");
            world.patch(&name, second.clone()).await?;
            until("it is warned of", || warnings(&world, &name).is_ok_and(|count| count == 1)).await?;
        }
    }
    drop(operator);

    // Another process, and changes of something else, are no reason to repeat it.
    let lists = world.calls("ListSessions").len();
    let _operator = unhurried(&world)?;
    until("the sessions are listed anew", || world.calls("ListSessions").len() > lists).await?;
    for name in ["label-first", "label-last", "annotation-first", "annotation-last"] {
        let changed = world.patch(name, json!({ "spec": { "maxRestarts": 1 } })).await?;
        let observed =
            |object: &_| crate::harness::status(object).observed_generation == changed.metadata.generation;
        world.until(name, "observed", observed).await?;
    }
    // When this one is told, whatever was published before it is there too.
    let metadata = json!({ "name": "both-at-creation", "labels": { "argocd.argoproj.io/instance": "apps" } });
    let spec = json!({ "workGroup": "spark-35", "ttlSecondsAfterFinished": 3600 });
    let object = json!({ "apiVersion": "athena-operator.io/v1alpha1", "kind": "AthenaSession", "metadata": metadata, "spec": spec });
    world.sessions.create(&PostParams::default(), &serde_json::from_value(object)?).await?;
    world.until_reason("both-at-creation", "SessionIdle").await?;
    until("it is warned of", || warnings(&world, "both-at-creation").is_ok_and(|count| count == 1)).await?;
    for name in ["label-first", "label-last", "annotation-first", "annotation-last"] {
        ensure!(warnings(&world, name)? == 1, "{name}: told again");
    }
    Ok(())
}
