//! What a person sees with kubectl.

use anyhow::ensure;

use crate::harness::{World, failure, tests, until};

tests![
    every_example_is_accepted_and_becomes_available,
    get_shows_the_columns,
    wait_for_available_returns_when_the_session_can_take_work,
    a_field_selector_finds_sessions_by_state_and_work_group,
    explain_has_a_text_for_every_field,
    describe_shows_conditions_and_events,
    re_applying_a_manifest_changes_nothing,
];

async fn every_example_is_accepted_and_becomes_available(world: World) -> anyhow::Result<()> {
    let _operator = world.operator()?;
    let folder = world.stage().file("examples");
    world.kubectl(&["apply", "-f", &folder.display().to_string()])?;
    // As kubectl does, without the folders in it.
    let examples =
        std::fs::read_dir(folder)?.filter_map(Result::ok).filter(|entry| entry.path().is_file()).count();
    let created = world.kubectl(&["get", "athenasessions", "-o", "name"])?;
    ensure!(created.lines().count() == examples && examples > 0, "{created}");
    world.kubectl(&["wait", "--for=condition=Available", "athenasessions", "--all", "--timeout=60s"])?;
    world.kubectl(&["delete", "athenasessions", "--all", "--timeout=60s"])?;
    ensure!(world.live().is_empty() && world.emulator.sessions().len() == examples);
    Ok(())
}

async fn get_shows_the_columns(world: World) -> anyhow::Result<()> {
    world.create("shown").await?;
    let columns =
        |text: &str| text.lines().next().unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" ");
    let fresh = world.kubectl(&["get", "asess"])?;
    ensure!(columns(&fresh) == "NAME READY STATE REASON WORKGROUP AGE", "{fresh}");
    let _operator = world.operator()?;
    world.until_idle("shown").await?;
    let id = world.emulator.sessions()[0].session_id.clone();
    let wide = world.kubectl(&["get", "athena", "-o", "wide"])?;
    ensure!(
        columns(&wide) == "NAME READY STATE REASON WORKGROUP SESSION-ID RESTARTS IDLE-SINCE AGE",
        "{wide}"
    );
    let row: Vec<_> = wide.lines().nth(1).unwrap_or_default().split_whitespace().collect();
    ensure!(row[..6] == ["shown", "True", "IDLE", "SessionIdle", "spark-35", &id], "{wide}");
    Ok(())
}

async fn wait_for_available_returns_when_the_session_can_take_work(world: World) -> anyhow::Result<()> {
    let _operator = world.operator()?;
    world.emulator.configure(|config| config.stick_in = Some("CREATED".into()));
    world.create("awaited").await?;
    world.until_reason("awaited", "SessionCreated").await?;
    let wait = ["wait", "--for=condition=Available", "athenasession/awaited"];
    ensure!(
        world.kubectl(&[&wait[..], &["--timeout=1s"]].concat()).is_err(),
        "it returned for a session in CREATED"
    );
    world.emulator.configure(|config| config.stick_in = None);
    world.kubectl(&[&wait[..], &["--timeout=60s"]].concat())?;
    Ok(())
}

async fn a_field_selector_finds_sessions_by_state_and_work_group(world: World) -> anyhow::Result<()> {
    let _operator = world.operator()?;
    world.idle("idle").await?;
    world.create_with("other", serde_json::json!({ "workGroup": "sql" })).await?;
    world.until_reason("other", "WorkGroupNotSpark").await?;
    for (selector, expected) in [
        ("status.state=IDLE", "athenasession.athena-operator.io/idle"),
        ("spec.workGroup=sql", "athenasession.athena-operator.io/other"),
    ] {
        let found = world.kubectl(&["get", "athenasessions", "-o", "name", "--field-selector", selector])?;
        ensure!(found.trim() == expected, "{selector}: {found}");
    }
    Ok(())
}

async fn explain_has_a_text_for_every_field(world: World) -> anyhow::Result<()> {
    let spec = world.kubectl(&["explain", "athenasession.spec", "--recursive"])?;
    for field in [
        "engineConfiguration",
        "maxConcurrentDpus",
        "classifications",
        "logStreamNamePrefix",
        "deletionPolicy",
    ] {
        ensure!(spec.contains(field), "{field} is missing: {spec}");
    }
    let field = world.kubectl(&["explain", "athenasession.spec.sessionIdleTimeoutInMinutes"])?;
    ensure!(field.contains("Immutable. Minutes without work"), "{field}");
    Ok(())
}

async fn describe_shows_conditions_and_events(world: World) -> anyhow::Result<()> {
    world.fault("StartSession", failure(400, "InvalidRequestException", "1 validation error detected: no"));
    let _operator = world.operator()?;
    world.create("described").await?;
    world.until_reason("described", "InvalidRequest").await?;
    let complete = || {
        let text = world.kubectl(&["describe", "athenasession", "described"]).unwrap_or_default();
        ["Stalled", "1 validation error detected: no", "AWS request id", "Warning"]
            .iter()
            .all(|part| text.contains(part))
    };
    until("describe tells of the refusal", complete).await
}

async fn re_applying_a_manifest_changes_nothing(world: World) -> anyhow::Result<()> {
    let _operator = world.operator()?;
    let manifest = world.stage().file("examples/spark-35-full.yaml").display().to_string();
    world.kubectl(&["apply", "-f", &manifest])?;
    let before = world.until_idle("spark-35-full").await?;
    let said = world.kubectl(&["apply", "-f", &manifest])?;
    ensure!(said.contains("unchanged"), "{said}");
    let after = world.sessions.get("spark-35-full").await?;
    ensure!(after.metadata.resource_version == before.metadata.resource_version);
    Ok(())
}
