//! Profiles that change while the operator runs, and credentials that cannot be sent: what is wrong is reported and heals without a restart, and nothing ends
//! the process with a panic.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::ensure;
use athena_emulator::Credential;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::credentials::{Source, accept, credential, issue, refused};
use crate::harness::{World, condition, has, tests};
use crate::settings::{CANARY, ended};

tests![
    a_wrong_value_of_a_profile_is_refused_at_the_start,
    a_profile_that_becomes_wrong_while_the_operator_runs_is_reported_and_heals,
    a_key_of_pod_identity_that_cannot_be_sent_is_reported_and_heals,
    a_key_that_cannot_sign_the_call_for_another_is_reported_and_heals,
    a_role_of_the_instances_metadata_that_ends_in_a_newline_is_reported_and_heals,
    a_token_of_pod_identity_that_ends_in_a_newline_is_reported_and_heals,
];

async fn a_wrong_value_of_a_profile_is_refused_at_the_start(world: World) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("config");
    let env = [("AWS_CONFIG_FILE", file.clone().into_os_string()), ("AWS_PROFILE", "spark".into())];
    let check = ["check", "--work-group=spark-35"];
    for (line, problem) in [
        ("max_attempts = 0", "must be a whole number"),
        ("retry_mode = canary-value", "must be one of standard, adaptive"),
        ("endpoint_url = canary-value", "is not a URL"),
        ("region = canary value", "is not the name of an AWS region"),
        ("use_fips_endpoint = canary-value", "must be true or false"),
        ("aws_secret_access_key = canary-value\u{7}", "has a control character in it"),
    ] {
        std::fs::write(&file, format!("[profile spark]\n{line}\n"))?;
        let (output, printed) = ended(&world, &check, &env)?;
        let key = line.split(' ').next().unwrap_or_default();
        let sentence =
            format!("cannot use the AWS profile: `{key}` of profile spark in {} {problem}", file.display());
        has(&printed, &[&sentence])?;
        ensure!(output.status.code() == Some(1) && !printed.contains(CANARY), "{line}: {printed}");
    }
    let empty = "[profile spark]\nmax_attempts =\nretry_mode =\nregion =\nendpoint_url =\n";
    std::fs::write(&file, format!("{empty}[profile other]\nmax_attempts = 0\n"))?;
    let (output, printed) = ended(&world, &check, &env)?;
    ensure!(output.status.success(), "{printed}");
    Ok(())
}

async fn a_profile_that_becomes_wrong_while_the_operator_runs_is_reported_and_heals(
    world: World,
) -> anyhow::Result<()> {
    accept(&world, &["one"]);
    let profile = Source::profile("one")?;
    let _operator = profile.operator(&world, &[])?;
    for (number, lines) in
        ["max_attempts = 0", "aws_session_token = canary\u{7}-value"].into_iter().enumerate()
    {
        let (good, next) = (format!("good-{number}"), format!("next-{number}"));
        world.idle(&good).await?;
        let keys = format!("aws_access_key_id = {next}\naws_secret_access_key = secret-of-{next}");
        profile.write("credentials", &format!("[spark]\n{keys}\n{lines}\n"))?;
        // What was used so far is not accepted any more, so that the file is read again.
        world.emulator.configure(|config| {
            config.credentials = vec![Credential { expired: true, ..credential("one") }, credential(&next)];
        });
        let name = format!("wrong-{number}");
        world.create(&name).await?;
        let key = lines.split(' ').next().unwrap_or_default();
        let sentence = format!(
            "the operator's AWS credentials cannot be used: `{key}` of profile spark in {} ",
            profile.path("credentials").display()
        );
        let told = world.until_ready(&name, &sentence, |ready| ready.message.contains(&sentence)).await?;
        ensure!(told.reason == "CredentialsInvalid", "{told:?}");
        let object = world.sessions.get(&name).await?;
        ensure!(condition(&object, "Reconciling").is_some(), "{object:?}");
        ensure!(!serde_json::to_string(&object)?.contains("canary"), "{object:?}");
        accept(&world, &["one"]);
        profile.write_profile("one")?;
        world.until_idle(&name).await?;
    }
    Ok(())
}

async fn a_key_of_pod_identity_that_cannot_be_sent_is_reported_and_heals(world: World) -> anyhow::Result<()> {
    for (number, wrong) in ["one\n", "oné"].into_iter().enumerate() {
        issue(&world, wrong, Duration::from_hours(6));
        let source = Source::pod_identity(&world, "pod")?;
        let operator = source.operator(&world, &[])?;
        let name = format!("pod-{number}");
        world.create(&name).await?;
        let sentence = "the operator's AWS credentials cannot be used: the access key id that was issued ";
        refused(&world, &name, "CredentialsInvalid", &[sentence]).await?;
        issue(&world, "one", Duration::from_hours(6));
        world.until_idle(&name).await?;
        drop(operator);
    }
    Ok(())
}

async fn a_key_that_cannot_sign_the_call_for_another_is_reported_and_heals(
    world: World,
) -> anyhow::Result<()> {
    issue(&world, "one\n", Duration::from_hours(6));
    let source = Source::pod_identity(&world, "pod")?.variable("AWS_PROFILE", "spark");
    let source = source.file("AWS_CONFIG_FILE", "config");
    let profile = "[profile spark]\ncredential_source = EcsContainer\n";
    source.write("config", &format!("{profile}role_arn = arn:aws:iam::000000000000:role/spark\n"))?;
    let _operator = source.operator(&world, &[])?;
    world.create("chain").await?;
    let sentence = "cannot be used: the access key id that was issued ends in a newline";
    refused(&world, "chain", "CredentialsInvalid", &[sentence]).await?;
    // Without a role to assume, the credentials of the container are used as they are.
    issue(&world, "one", Duration::from_hours(6));
    source.write("config", profile)?;
    world.until_idle("chain").await?;
    Ok(())
}

/// The metadata of an instance, whose role has the name that `role` holds.
async fn metadata(role: Arc<Mutex<String>>) -> anyhow::Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", listener.local_addr()?);
    tokio::spawn(async move {
        while let Ok((mut connection, _)) = listener.accept().await {
            let mut request = vec![0; 4096];
            let length = connection.read(&mut request).await.unwrap_or_default();
            let request = String::from_utf8_lossy(&request[..length]).into_owned();
            let path = request.split(' ').nth(1).unwrap_or_default();
            let (body, header) = match path {
                "/latest/api/token" => ("token".to_owned(), "x-aws-ec2-metadata-token-ttl-seconds: 600\r\n"),
                "/latest/meta-data/iam/security-credentials/" => {
                    (role.lock().map(|role| role.clone()).unwrap_or_default(), "")
                }
                "/latest/meta-data/iam/security-credentials/spark" => {
                    let credentials = json!({
                        "Code": "Success", "Type": "AWS-HMAC", "LastUpdated": "2024-01-01T00:00:00Z", "AccessKeyId": "one", "SecretAccessKey": "secret-of-one",
                        "Token": "session-of-one", "Expiration": "2099-01-01T00:00:00Z",
                    });
                    (credentials.to_string(), "")
                }
                _ => (String::new(), ""),
            };
            let head = format!(
                "HTTP/1.1 200 OK\r\n{header}connection: close\r\ncontent-length: {}\r\n\r\n",
                body.len()
            );
            let _ = connection.write_all(format!("{head}{body}").as_bytes()).await;
        }
    });
    Ok(url)
}

async fn a_role_of_the_instances_metadata_that_ends_in_a_newline_is_reported_and_heals(
    world: World,
) -> anyhow::Result<()> {
    issue(&world, "one", Duration::from_hours(6));
    let role = Arc::new(Mutex::new("spark\n".to_owned()));
    let url = metadata(role.clone()).await?;
    let source = Source::new()?.variable("AWS_EC2_METADATA_DISABLED", "false");
    let source = source.variable("AWS_EC2_METADATA_SERVICE_ENDPOINT", &url);
    let _operator = source.operator(&world, &[])?;
    world.create("instance").await?;
    let sentence = "the name of the role in the instance's metadata ends in a newline";
    refused(&world, "instance", "CredentialsInvalid", &[sentence]).await?;
    *role.lock().map_err(|_| anyhow::anyhow!("poisoned"))? = "spark".into();
    world.until_idle("instance").await?;
    Ok(())
}

async fn a_token_of_pod_identity_that_ends_in_a_newline_is_reported_and_heals(
    world: World,
) -> anyhow::Result<()> {
    issue(&world, "one", Duration::from_hours(6));
    let source = Source::pod_identity(&world, "canary-value\n")?;
    let _operator = source.operator(&world, &[])?;
    world.create("pod").await?;
    let sentence = "token (AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE) ends in a newline";
    refused(&world, "pod", "CredentialsInvalid", &[sentence]).await?;
    let shown = serde_json::to_string(&world.status("pod").await?)?;
    ensure!(!shown.contains(CANARY), "{shown}");
    source.write("token", "pod")?;
    world.until_idle("pod").await?;
    Ok(())
}
