//! What the pages on GitOps tell people to do.

use std::fs;
use std::path::Path;

use anyhow::{Context, ensure};
use serde_json::Value;

use crate::harness::{World, tests};

tests![a_name_with_a_hash_of_the_file_makes_another_session_of_an_edit];

async fn a_name_with_a_hash_of_the_file_makes_another_session_of_an_edit(world: World) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    for entry in fs::read_dir(world.stage().file("examples/sessions-kustomize"))? {
        let entry = entry?;
        fs::copy(entry.path(), folder.path().join(entry.file_name()))?;
    }
    let edit = |file: &str, from: &str, to: &str| -> anyhow::Result<()> {
        let path = folder.path().join(file);
        let text = fs::read_to_string(&path)?;
        ensure!(text.contains(from), "{file} has no {from}");
        Ok(fs::write(path, text.replace(from, to))?)
    };
    let _operator = world.operator()?;
    let apply = async || apply(&world, folder.path()).await;

    let first = apply().await?;
    ensure!(first.starts_with("nightly-"), "{first}");
    edit("options.yaml", "activeDeadlineSeconds: 28800", "activeDeadlineSeconds: 14400")?;
    ensure!(apply().await? == first, "an edit of a field that can change leads to another name");
    ensure!(world.sessions.get(&first).await?.spec.active_deadline_seconds == Some(14400));

    edit("session.yaml", "sessionIdleTimeoutInMinutes: 30", "sessionIdleTimeoutInMinutes: 60")?;
    let second = apply().await?;
    ensure!(second != first, "an edit of an immutable field leads to the same name");
    ensure!(world.live().len() == 2, "the former session goes when its object is pruned, and no sooner");
    // As every tool prunes what its source has no more.
    world.remove(&first).await?;
    ensure!(world.live().len() == 1 && world.calls("StartSession").len() == 2);
    Ok(())
}

/// Builds and applies a folder of Kustomize, and waits until its session is idle. Returns the name of it.
async fn apply(world: &World, folder: &Path) -> anyhow::Result<String> {
    let folder = folder.display().to_string();
    let objects: Vec<Value> =
        serde_saphyr::from_multiple(&world.stage().kubectl_ok(&["kustomize", &folder])?)?;
    ensure!(
        objects.len() == 1 && objects[0]["kind"] == "AthenaSession",
        "the AthenaSession is the only object: {objects:?}"
    );
    let name = objects[0]["metadata"]["name"].as_str().context("no name")?.to_owned();
    world.kubectl(&["apply", "-k", &folder])?;
    world.until_idle(&name).await?;
    Ok(name)
}
