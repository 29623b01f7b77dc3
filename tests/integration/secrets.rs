//! Nothing secret gets into logs, events or metrics, at any level of logging: not credentials, and not the values of properties in a spec.

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use athena_emulator::{Change, Credential, Fault, FaultKind, Issue};
use kube::api::{Patch, PatchParams};
use serde_json::json;

use crate::credentials::{NO_KEYS, WebIdentity};
use crate::harness::{World, condition, status, tests, until};

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
    world
        .emulator
        .configure(|config| (config.credentials, config.issue) = (vec![credential.clone()], Some(issue)));
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("token");
    std::fs::write(&file, secret("token"))?;
    let (url, file, none) = (
        format!("{}/v1/credentials", world.emulator.url()),
        file.display().to_string(),
        folder.path().join("none"),
    );
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
    world.emulator.set_state(
        &status(&object).session_id.context("an id")?,
        Change::State { state: "FAILED".into(), reason: Some(reason) },
    )?;
    let object = world.until_reason("fails", "RestartingAfterFailure").await?;
    ensure!(
        status(&object).state_change_reason.as_deref()
            == Some("the value *** of spark.property cannot be used"),
        "{object:?}"
    );

    // Refusals of each kind, one of which repeats what was sent.
    let text = format!(
        "1 validation error detected: Value '{{spark.property={}}}' at 'engineConfiguration.sparkProperties' failed to satisfy constraint: x",
        secret("property")
    );
    for (name, code, text, reason) in [
        ("rejected", "InvalidRequestException", text.as_str(), "InvalidRequest"),
        ("unknown", "InvalidRequestException", &format!("{} is no good", secret("property")), "Refused"),
        (
            "denied",
            "AccessDeniedException",
            "User: x is not authorized to perform: athena:StartSession",
            "AccessDenied",
        ),
        (
            "expired",
            "ExpiredTokenException",
            "The security token included in the request is expired",
            "CredentialsInvalid",
        ),
    ] {
        let kind = FaultKind::Fail { status: 400, code: code.into(), message: text.into() };
        world.emulator.set_faults(vec![Fault::new("StartSession", kind)]);
        world.create_with(name, pyspark.clone()).await?;
        let object = world.until_reason(name, reason).await?;
        let message = condition(&object, "Ready").map(|ready| ready.message).unwrap_or_default();
        ensure!(
            name != "rejected"
                || message.contains("Value '***' at 'engineConfiguration.sparkProperties' failed"),
            "{message}"
        );
    }
    world.emulator.set_faults(vec![]);
    // A token that is refused, and credentials that are.
    world.emulator.configure(|config| config.credentials.clear());
    world.create_with("revoked", pyspark).await?;
    world.until_reason("revoked", "CredentialsInvalid").await?;
    world.emulator.configure(|config| config.issue = None);
    until("there are no credentials any more", || {
        operator.raw_log().contains("the operator has no AWS credentials")
    })
    .await?;
    world.emulator.configure(|config| config.credentials = vec![credential]);
    world.emulator.configure(|config| {
        config.issue = Some(Issue {
            token: secret("token"),
            access_key_id: secret("key"),
            lifetime: Duration::from_hours(1),
        });
    });
    world.kubectl(&["delete", "athenasessions", "--all", "--timeout=60s"])?;

    let sent = serde_json::to_string(&world.emulator.calls())?;
    for what in ["key", "property", "notebook"] {
        ensure!(sent.contains(&secret(what)), "{what} was not sent at all");
    }
    until("events are told", || {
        world
            .kubectl(&["get", "events", "-o", "yaml"])
            .is_ok_and(|events| events.contains("reason: SessionEnded"))
    })
    .await?;
    let (log, events, (_, metrics)) =
        (operator.raw_log(), world.kubectl(&["get", "events", "-o", "yaml"])?, operator.get("/metrics")?);
    ensure!(
        log.contains("\"level\":\"DEBUG\"") && log.contains("Mirror("),
        "the log is not that of the finest level"
    );
    ensure!(
        events.contains("'***'") && metrics.contains("ExpiredTokenException"),
        "the refusals are not told"
    );
    for (place, text) in [("log", log), ("events", events), ("metrics", metrics)] {
        let line = text.lines().find(|line| line.contains(CANARY));
        ensure!(line.is_none(), "the {place} hold a secret: {}", line.unwrap_or_default());
    }
    Ok(())
}

/// A policy by which the API server refuses every status in the namespace of a test.
pub(crate) struct Refusing(tempfile::NamedTempFile);

impl Refusing {
    /// Has the API server say what `message` evaluates to, and waits until it does of `object`.
    pub(crate) async fn statuses(world: &World, message: &str, object: &str) -> anyhow::Result<Self> {
        let name = world.namespace.clone();
        let policy = json!({
            "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy", "metadata": { "name": name },
            "spec": {
                "failurePolicy": "Fail",
                "matchConstraints": {
                    "namespaceSelector": { "matchLabels": { "kubernetes.io/metadata.name": name } },
                    "resourceRules": [
                        { "apiGroups": ["athena-operator.io"], "apiVersions": ["*"], "operations": ["UPDATE"], "resources": ["athenasessions/status"] },
                    ],
                },
                "validations": [{ "expression": "false", "messageExpression": format!("'no status with ' + {message}") }],
            },
        });
        let binding = json!({
            "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicyBinding", "metadata": { "name": name },
            "spec": { "policyName": name, "validationActions": ["Deny"] },
        });
        let list = json!({ "apiVersion": "v1", "kind": "List", "items": [policy, binding] });
        let file = tempfile::NamedTempFile::new()?;
        std::fs::write(file.path(), list.to_string())?;
        world.stage().kubectl_ok(&["apply", "-f", &file.path().display().to_string()])?;
        let tried = json!({ "status": { "restarts": 1 } });
        let begun = Instant::now();
        loop {
            let reply =
                world.sessions.patch_status(object, &PatchParams::default(), &Patch::Merge(&tried)).await;
            if reply.is_err_and(|error| error.to_string().contains("no status with ")) {
                return Ok(Self(file));
            }
            ensure!(begun.elapsed() < Duration::from_mins(1), "the policy is not in force");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Has the API server accept statuses again.
    pub(crate) fn end(self, world: &World) -> anyhow::Result<()> {
        world.stage().kubectl_ok(&["delete", "-f", &self.0.path().display().to_string()])?;
        Ok(())
    }
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
    world.create_with("fails", spec.clone()).await?;
    let object = world.until_reason("fails", "SessionIdle").await?;
    let json = |text: &str| serde_json::to_string(text).map(|text| text.trim_matches('"').to_owned());
    let url: String =
        secret
            .bytes()
            .map(|byte| {
                if byte.is_ascii_alphanumeric() {
                    char::from(byte).to_string()
                } else {
                    format!("%{byte:02x}")
                }
            })
            .collect();
    let (once, twice) = (json(&secret)?, json(&json(&secret)?)?);
    let writings = [
        secret.clone(),
        once.clone(),
        twice,
        once.replace('é', "\\u00e9"),
        url.clone(),
        url.replace("%20", "+"),
    ];

    // A session that fails and says why; the API server takes the text.
    let reason = |shown: &[&str]| {
        format!(
            "{ARN} may not use the role: it is true of etl and roles. {}; and {}",
            shown.join("; "),
            shown[1]
        )
    };
    let said: Vec<&str> = writings.iter().map(String::as_str).collect();
    // The last one was cut off within an escape.
    let text = reason(&said);
    let text = text[..text.len() - r#""and\\canary + é"#.len()].to_owned();
    let change = Change::State { state: "FAILED".into(), reason: Some(text) };
    world.emulator.set_state(&status(&object).session_id.context("an id")?, change)?;
    let object = world.until_reason("fails", "SessionFailed").await?;
    let shown = status(&object).state_change_reason.unwrap_or_default();
    let expected = reason(&["***"; 6]).replace("use the role", "use the ***").replace("of etl", "of ***");
    ensure!(shown == expected, "{shown}\n{expected}");

    // The API server refuses a status, and says why in the same ways.
    let writings = writings.iter().map(|writing| json(writing)).collect::<Result<Vec<_>, _>>()?;
    let message = format!("{ARN:?} + ' for the role: ' + \"{}\"", writings.join("; "));
    let refusing = Refusing::statuses(&world, &message, "fails").await?;
    world.create_with("denied", spec).await?;
    let expected = format!("no status with {ARN} for the ***: ***; ***; ***; ***; ***; ***");
    until("the refusal is logged", || {
        operator
            .log()
            .iter()
            .any(|line| line["message"].as_str().is_some_and(|text| text.ends_with(&expected)))
    })
    .await?;
    refusing.end(&world)?;
    world.until_reason("denied", "SessionIdle").await?;
    until("events are told", || {
        world
            .kubectl(&["get", "events", "-o", "yaml"])
            .is_ok_and(|events| events.contains("reason: SessionFailed"))
    })
    .await?;
    let (log, events, (_, metrics)) =
        (operator.raw_log(), world.kubectl(&["get", "events", "-o", "yaml"])?, operator.get("/metrics")?);
    for (place, text) in [("log", log), ("events", events), ("metrics", metrics)] {
        let line = text.lines().find(|line| line.contains(CANARY));
        ensure!(line.is_none(), "the {place} hold a secret: {}", line.unwrap_or_default());
    }
    Ok(())
}

/// Sees that the log of the finest level says that there are no credentials, and holds none of `secrets`.
async fn none_of(operator: &environment::Operator, secrets: &[String]) -> anyhow::Result<()> {
    until("it is told that there are no credentials", || {
        operator.raw_log().contains("the operator has no AWS credentials")
    })
    .await?;
    let log = operator.raw_log();
    let line = log.lines().find(|line| secrets.iter().any(|secret| line.contains(secret.as_str())));
    ensure!(line.is_none(), "the log holds a secret: {}", line.unwrap_or_default());
    Ok(())
}

async fn credentials_that_athena_repeats_are_in_no_status_or_event(world: World) -> anyhow::Result<()> {
    let secret = format!("{CANARY}-of-one");
    let credential = Credential {
        access_key_id: "one".into(),
        secret_access_key: secret.clone(),
        ..Credential::default()
    };
    world.emulator.configure(|config| config.credentials = vec![credential]);
    let message = format!("The security token that was signed with {secret} is not known");
    let refusal = FaultKind::Fail { status: 400, code: "UnrecognizedClientException".into(), message };
    world.emulator.set_faults(vec![Fault::new("StartSession", refusal)]);
    let operator =
        world.operator_with(&[], &[("AWS_ACCESS_KEY_ID", "one"), ("AWS_SECRET_ACCESS_KEY", &secret)])?;
    world.create("etl").await?;
    let object = world.until_reason("etl", "CredentialsInvalid").await?;
    let told = |text: &str| text.contains("that was signed with ***") && !text.contains(CANARY);
    let shown = serde_json::to_string(&status(&object).conditions)?;
    ensure!(told(&shown), "{shown}");
    until("an event tells it", || {
        world.kubectl(&["events"]).is_ok_and(|events| events.contains("that was signed with"))
    })
    .await?;
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
        world.emulator.set_faults(vec![Fault::new(
            "AssumeRoleWithWebIdentity",
            FaultKind::Malformed { status, body: body.clone() },
        )]);
        let identity = WebIdentity::with(&format!("{secret}-identity"))?;
        let operator = world.operator_with(&["--log=trace"], &identity.env())?;
        none_of(&operator, std::slice::from_ref(&secret)).await?;
    }
    Ok(())
}

async fn a_credentials_file_that_cannot_be_read_is_not_in_the_log(world: World) -> anyhow::Result<()> {
    let secret = format!("{CANARY}-secret");
    let folder = tempfile::tempdir()?;
    let (file, none) = (folder.path().join("credentials"), folder.path().join("none").display().to_string());
    // A comment in Latin-1.
    let text = [
        b"# M\xfcller\n[default]\naws_access_key_id = AKIAEXAMPLE\naws_secret_access_key = ".as_slice(),
        secret.as_bytes(),
        b"\n",
    ]
    .concat();
    std::fs::write(&file, text)?;
    let file = file.display().to_string();
    let env = [("AWS_SHARED_CREDENTIALS_FILE", file.as_str()), ("AWS_CONFIG_FILE", &none)];
    let operator = world.operator_with(&["--log=trace"], &[&NO_KEYS[..], &env].concat())?;
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
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_athena-operator"));
        command
            .args(arguments)
            .env_clear()
            .envs([("AWS_EC2_METADATA_DISABLED", "true"), ("AWS_REGION", "eu-west-1")])
            .envs(env.iter().copied());
        let output = command.output().context("cannot run the operator")?;
        let printed =
            [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
        ensure!(!printed.is_empty(), "{arguments:?} prints nothing");
        ensure!(!printed.contains(CANARY), "{arguments:?} prints a password: {printed}");
    }
    Ok(())
}
