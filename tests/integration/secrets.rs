//! Nothing secret gets into logs, events or metrics, at any level of logging: not credentials, and not the values of properties in a spec.

use std::time::Duration;

use anyhow::{Context, ensure};
use athena_emulator::{Change, Credential, Fault, FaultKind, Issue};
use serde_json::json;

use crate::harness::{World, condition, status, tests, until};

tests![no_secret_is_in_logs_events_or_metrics];

/// Every secret holds it.
const CANARY: &str = "canary";

async fn no_secret_is_in_logs_events_or_metrics(world: World) -> anyhow::Result<()> {
    let secret = |what: &str| format!("{CANARY}-{what}");
    let credential = Credential {
        access_key_id: secret("key"),
        secret_access_key: secret("secret"),
        session_token: Some(secret("session")),
        ..Credential::default()
    };
    let issue = Issue { token: secret("token"), access_key_id: secret("key"), lifetime: Duration::from_hours(1) };
    world.emulator.configure(|config| (config.credentials, config.issue) = (vec![credential.clone()], Some(issue)));
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("token");
    std::fs::write(&file, secret("token"))?;
    let (url, file, none) = (format!("{}/v1/credentials", world.emulator.url()), file.display().to_string(), folder.path().join("none"));
    let none = none.display().to_string();
    let env = [
        ("AWS_ACCESS_KEY_ID", ""),
        ("AWS_SECRET_ACCESS_KEY", ""),
        ("AWS_SHARED_CREDENTIALS_FILE", none.as_str()),
        ("AWS_CONFIG_FILE", &none),
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", &url),
        ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", &file),
    ];
    let operator = world.operator_with(&["--log=trace"], &env)?;

    // A whole life, with a look at the session in full and a search for it.
    let pyspark = json!({
        "workGroup": "pyspark-3",
        "notebookVersion": "Athena notebook version 1",
        "engineConfiguration": {
            "sparkProperties": { "spark.property": secret("property") },
            "additionalConfigs": { "NotebookId": secret("notebook") },
        },
    });
    let spark = json!({
        "workGroup": "spark-35",
        "restartPolicy": "OnFailure",
        "engineConfiguration": { "classifications": [{ "name": "spark-defaults", "properties": { "spark.property": secret("property") } }] },
    });
    world.emulator.set_faults(vec![Fault::new("StartSession", FaultKind::DropAfter).times(1)]);
    world.create_with("lives", pyspark.clone()).await?;
    world.until_reason("lives", "SessionIdle").await?;

    // A session that fails and says why, with the value at fault.
    world.create_with("fails", spark.clone()).await?;
    let object = world.until_reason("fails", "SessionIdle").await?;
    let reason = format!("the value {} of spark.property cannot be used", secret("property"));
    world.emulator.set_state(&status(&object).session_id.context("an id")?, Change::State { state: "FAILED".into(), reason: Some(reason) })?;
    let object = world.until_reason("fails", "RestartingAfterFailure").await?;
    ensure!(status(&object).state_change_reason.as_deref() == Some("the value *** of spark.property cannot be used"), "{object:?}");

    // Refusals of each kind, one of which repeats what was sent.
    let text = format!(
        "1 validation error detected: Value '{{spark.property={}}}' at 'engineConfiguration.sparkProperties' failed to satisfy constraint: x",
        secret("property")
    );
    for (name, code, text, reason) in [
        ("rejected", "InvalidRequestException", text.as_str(), "InvalidRequest"),
        ("unknown", "InvalidRequestException", &format!("{} is no good", secret("property")), "Refused"),
        ("denied", "AccessDeniedException", "User: x is not authorized to perform: athena:StartSession", "AccessDenied"),
        ("expired", "ExpiredTokenException", "The security token included in the request is expired", "CredentialsInvalid"),
    ] {
        let kind = FaultKind::Fail { status: 400, code: code.into(), message: text.into() };
        world.emulator.set_faults(vec![Fault::new("StartSession", kind)]);
        world.create_with(name, pyspark.clone()).await?;
        let object = world.until_reason(name, reason).await?;
        let message = condition(&object, "Ready").map(|ready| ready.message).unwrap_or_default();
        ensure!(name != "rejected" || message.contains("Value '***' at 'engineConfiguration.sparkProperties' failed"), "{message}");
    }
    world.emulator.set_faults(vec![]);
    // A token that is refused, and credentials that are.
    world.emulator.configure(|config| config.credentials.clear());
    world.create_with("revoked", pyspark).await?;
    world.until_reason("revoked", "CredentialsInvalid").await?;
    world.emulator.configure(|config| config.issue = None);
    until("there are no credentials any more", || operator.raw_log().contains("the operator has no AWS credentials")).await?;
    world.emulator.configure(|config| config.credentials = vec![credential]);
    world.emulator.configure(|config| {
        config.issue = Some(Issue { token: secret("token"), access_key_id: secret("key"), lifetime: Duration::from_hours(1) });
    });
    world.kubectl(&["delete", "athenasessions", "--all", "--timeout=60s"])?;

    let sent = serde_json::to_string(&world.emulator.calls())?;
    for what in ["key", "property", "notebook"] {
        ensure!(sent.contains(&secret(what)), "{what} was not sent at all");
    }
    until("events are told", || world.kubectl(&["get", "events", "-o", "yaml"]).is_ok_and(|events| events.contains("reason: SessionEnded"))).await?;
    let (log, events, (_, metrics)) = (operator.raw_log(), world.kubectl(&["get", "events", "-o", "yaml"])?, operator.get("/metrics")?);
    ensure!(log.contains("\"level\":\"DEBUG\"") && log.contains("Mirror("), "the log is not that of the finest level");
    ensure!(events.contains("'***'") && metrics.contains("ExpiredTokenException"), "the refusals are not told");
    for (place, text) in [("log", log), ("events", events), ("metrics", metrics)] {
        let line = text.lines().find(|line| line.contains(CANARY));
        ensure!(line.is_none(), "the {place} hold a secret: {}", line.unwrap_or_default());
    }
    Ok(())
}
