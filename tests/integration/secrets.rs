//! Nothing secret gets into logs, events or metrics, at any level of logging: not credentials, and not the values of properties in a spec.

use std::time::Duration;

use anyhow::{Context, ensure};
use athena_emulator::{Credential, Fault, FaultKind, Issue};
use serde_json::{Value, json};

use crate::credentials::{Source, credential};
use crate::harness::policies::refuse_statuses;
use crate::harness::{World, failure, has, printed, ran, status, tests, until, until_logged};

tests![
    no_secret_is_in_logs_events_or_metrics,
    a_secret_is_shown_in_no_writing_and_an_arn_is,
    credentials_that_athena_repeats_are_in_no_status_or_event,
    a_reply_with_credentials_that_cannot_be_read_is_not_in_the_log,
    a_credentials_file_that_cannot_be_read_is_not_in_the_log,
    nothing_that_the_process_prints_holds_a_password,
];

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
    let issue =
        Issue { token: secret("token"), access_key_id: secret("key"), lifetime: Duration::from_hours(1) };
    let mend = || {
        let (credentials, issue) = (vec![credential.clone()], Some(issue.clone()));
        world.emulator.configure(|config| (config.credentials, config.issue) = (credentials, issue));
    };
    mend();
    let source = Source::pod_identity(&world, &secret("token"))?;
    let operator = source.operator(&world, &["--log=trace"])?;

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
    world.idle_with("lives", pyspark.clone()).await?;

    // A session that fails and says why, with the value at fault.
    let id = world.idle_with("fails", spark).await?;
    let reason = format!("the value {} of spark.property cannot be used", secret("property"));
    world.enter_with(&id, "FAILED", Some(&reason))?;
    let object = world.until_reason("fails", "RestartingAfterFailure").await?;
    let shown = status(&object).state_change_reason;
    ensure!(shown.as_deref() == Some("the value *** of spark.property cannot be used"), "{shown:?}");

    // Refusals of each kind, one of which repeats what was sent.
    let rejected = format!(
        "1 validation error detected: Value '{{spark.property={}}}' at 'engineConfiguration.sparkProperties' failed to satisfy constraint: x",
        secret("property")
    );
    let unknown = format!("{} is no good", secret("property"));
    let denied = "User: x is not authorized to perform: athena:StartSession";
    let expired = "The security token included in the request is expired";
    for (name, code, text, reason) in [
        ("rejected", "InvalidRequestException", rejected.as_str(), "InvalidRequest"),
        ("unknown", "InvalidRequestException", &unknown, "Refused"),
        ("denied", "AccessDeniedException", denied, "AccessDenied"),
        ("expired", "ExpiredTokenException", expired, "CredentialsInvalid"),
    ] {
        world.fault("StartSession", failure(400, code, text));
        world.create_with(name, pyspark.clone()).await?;
        let message = world.until_told(name, reason).await?;
        let masked = "Value '***' at 'engineConfiguration.sparkProperties' failed";
        ensure!(name != "rejected" || message.contains(masked), "{message}");
    }
    world.clear_faults();
    // A token that is refused, and credentials that are.
    world.emulator.configure(|config| config.credentials.clear());
    world.create_with("revoked", pyspark).await?;
    world.until_reason("revoked", "CredentialsInvalid").await?;
    world.emulator.configure(|config| config.issue = None);
    until_logged(&operator, "the operator has no AWS credentials").await?;
    mend();
    world.kubectl(&["delete", "athenasessions", "--all", "--timeout=60s"])?;

    let sent = serde_json::to_string(&world.emulator.calls())?;
    for what in ["key", "property", "notebook"] {
        ensure!(sent.contains(&secret(what)), "{what} was not sent at all");
    }
    world.until_event("SessionEnded", "").await?;
    has(&operator.raw_log(), &["\"level\":\"DEBUG\"", "Mirror("]).context("the finest level")?;
    world.until_event("InvalidRequest", "'***'").await?;
    has(&operator.get("/metrics")?.1, &["ExpiredTokenException"])?;
    world.is_shown_nowhere(&operator, CANARY)
}

async fn a_secret_is_shown_in_no_writing_and_an_arn_is(world: World) -> anyhow::Result<()> {
    const ARN: &str = "arn:aws:iam::000000000000:role/etl/true";
    let secret = format!("{CANARY}\"and\\{CANARY} + é");
    let spec = json!({
        "workGroup": "pyspark-3",
        "engineConfiguration": { "sparkProperties": {
            "spark.hadoop.javax.jdo.option.ConnectionPassword": secret, "spark.assumed": "role", "spark.sql.adaptive.enabled": "true", "spark.pin.secret": "etl",
        } },
    });
    let operator = world.operator_with(&["--log=trace"], &[])?;
    let id = world.idle_with("fails", spec.clone()).await?;
    let json = |text: &str| serde_json::to_string(text).map(|text| text.trim_matches('"').to_owned());
    let escaped = |byte: u8| match byte {
        byte if byte.is_ascii_alphanumeric() => char::from(byte).to_string(),
        byte => format!("%{byte:02x}"),
    };
    let url: String = secret.bytes().map(escaped).collect();
    let (once, twice) = (json(&secret)?, json(&json(&secret)?)?);
    let (ascii, form) = (once.replace('é', "\\u00e9"), url.replace("%20", "+"));
    let writings = [secret.clone(), once, twice, ascii, url, form];

    // A session that fails and says why; the API server takes the text.
    let reason = |shown: &[&str]| {
        let (all, again) = (shown.join("; "), shown[1]);
        format!("{ARN} may not use the role: it is true of etl and roles. {all}; and {again}")
    };
    let said: Vec<&str> = writings.iter().map(String::as_str).collect();
    // The last one was cut off within an escape.
    let text = reason(&said);
    let text = text[..text.len() - r#""and\\canary + é"#.len()].to_owned();
    world.enter_with(&id, "FAILED", Some(&text))?;
    let object = world.until_reason("fails", "SessionFailed").await?;
    let shown = status(&object).state_change_reason.unwrap_or_default();
    let expected = reason(&["***"; 6]).replace("use the role", "use the ***").replace("of etl", "of ***");
    ensure!(shown == expected, "{shown}\n{expected}");

    // The API server refuses a status, and says why in the same ways.
    let writings = writings.iter().map(|writing| json(writing)).collect::<Result<Vec<_>, _>>()?;
    let message = format!("{ARN:?} + ' for the role: ' + \"{}\"", writings.join("; "));
    let refusing = refuse_statuses(&world, &message, "fails").await?;
    world.create_with("denied", spec).await?;
    let expected = format!("no status with {ARN} for the ***: ***; ***; ***; ***; ***; ***");
    let is_told = |line: &Value| line["message"].as_str().is_some_and(|text| text.ends_with(&expected));
    until("the refusal is logged", || operator.log().iter().any(is_told)).await?;
    drop(refusing);
    world.until_idle("denied").await?;
    world.until_event("SessionFailed", "").await?;
    world.is_shown_nowhere(&operator, CANARY)
}

/// Sees that the log of the finest level says that there are no credentials, and holds none of `secrets`.
async fn none_of(operator: &environment::Operator, secrets: &[String]) -> anyhow::Result<()> {
    until_logged(operator, "the operator has no AWS credentials").await?;
    let log = operator.raw_log();
    let line = log.lines().find(|line| secrets.iter().any(|secret| line.contains(secret.as_str())));
    ensure!(line.is_none(), "the log holds a secret: {}", line.unwrap_or_default());
    Ok(())
}

async fn credentials_that_athena_repeats_are_in_no_status_or_event(world: World) -> anyhow::Result<()> {
    let secret = format!("{CANARY}-of-one");
    let credential = Credential { secret_access_key: secret.clone(), ..credential("one") };
    world.emulator.configure(|config| config.credentials = vec![credential]);
    let message = format!("The security token that was signed with {secret} is not known");
    world.fault("StartSession", failure(400, "UnrecognizedClientException", &message));
    let operator =
        world.operator_with(&[], &[("AWS_ACCESS_KEY_ID", "one"), ("AWS_SECRET_ACCESS_KEY", &secret)])?;
    world.create("etl").await?;
    let object = world.until_reason("etl", "CredentialsInvalid").await?;
    let told = |text: &str| text.contains("that was signed with ***") && !text.contains(CANARY);
    let shown = serde_json::to_string(&status(&object).conditions)?;
    ensure!(told(&shown), "{shown}");
    world.until_event("CredentialsInvalid", "that was signed with").await?;
    let events = world.kubectl(&["events"])?;
    ensure!(told(&events) && told(&operator.raw_log()), "{events}");
    Ok(())
}

async fn a_reply_with_credentials_that_cannot_be_read_is_not_in_the_log(world: World) -> anyhow::Result<()> {
    let secret = format!("{CANARY}-secret");
    // As a proxy that rewrites what passes through it leaves it.
    let body = format!(
        "<AssumeRoleWithWebIdentityResponse><AssumeRoleWithWebIdentityResult><Credentials><AccessKeyId>AKIAEXAMPLE</AccessKeyId>\
         <SecretAccessKey>{secret}</SecretAccessKey><SessionToken>{secret}-token</SessionToken><Expiration>soon</Expiration>"
    );
    for status in [200, 502] {
        world.fault("AssumeRoleWithWebIdentity", FaultKind::Malformed { status, body: body.clone() });
        let identity = Source::web_identity(&format!("{secret}-identity"))?;
        let operator = identity.operator(&world, &["--log=trace"])?;
        none_of(&operator, std::slice::from_ref(&secret)).await?;
    }
    Ok(())
}

async fn a_credentials_file_that_cannot_be_read_is_not_in_the_log(world: World) -> anyhow::Result<()> {
    let secret = format!("{CANARY}-secret");
    let source = Source::new()?.file("AWS_SHARED_CREDENTIALS_FILE", "credentials");
    // A comment in Latin-1.
    let comment = b"# M\xfcller\n[default]\naws_access_key_id = AKIAEXAMPLE\naws_secret_access_key = ";
    std::fs::write(source.path("credentials"), [comment, secret.as_bytes(), b"\n"].concat())?;
    let operator = source.operator(&world, &["--log=trace"])?;
    let decimal: Vec<String> = CANARY.bytes().map(|byte| byte.to_string()).collect();
    none_of(&operator, &[secret, decimal.join(", ")]).await
}

async fn nothing_that_the_process_prints_holds_a_password(world: World) -> anyhow::Result<()> {
    type Run<'a> = (&'a [&'a str], &'a [(&'a str, &'a str)]);
    let secret = format!("{CANARY}-password");
    let proxy = format!("http://user:{secret}@127.0.0.1:9");
    let no_proxy = proxy.replace("http:", "ftp:");
    let kubeconfig = world.stage().kubeconfig().display().to_string();
    let runs: [Run<'_>; 5] = [
        // A proxy that would be used has the process go on: api_proxy.rs looks at its log.
        (&["run"], &[("HTTPS_PROXY", &no_proxy), ("KUBECONFIG", &kubeconfig)]),
        (&["run", "--listen", &proxy], &[]),
        (&["run", "--help"], &[("ATHENA_OPERATOR_LEASE_NAME", &proxy)]),
        (&["run"], &[("ATHENA_OPERATOR_NAMESPACES", &proxy)]),
        (
            &["check", "--output=json", "--work-group=spark-35"],
            &[("HTTPS_PROXY", &proxy), ("AWS_ACCESS_KEY_ID", "AKIA"), ("AWS_SECRET_ACCESS_KEY", &secret)],
        ),
    ];
    for (arguments, env) in runs {
        let printed = printed(&ran(arguments, env)?);
        ensure!(!printed.is_empty(), "{arguments:?} prints nothing");
        ensure!(!printed.contains(CANARY), "{arguments:?} prints a password: {printed}");
    }
    Ok(())
}
