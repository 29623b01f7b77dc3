//! Credentials that are missing, wrong, expired, revoked, replaced, of another account or region, or signed by a wrong clock: what an object shows, and
//! that it heals without a restart.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, ensure};
use athena_emulator::{Config, Credential, Emulator, Issue, SessionRecord};
use athena_operator::api::EndReason;
use environment::Operator;
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use serde_json::json;

use crate::harness::{World, condition, failure, has, is, spark, status, tests, uid, until, until_logged};

tests![
    expired_credentials_of_a_profile_are_replaced_without_a_restart,
    a_wrong_secret_is_told_and_mended_without_a_restart,
    missing_credentials_are_told_and_found_without_a_restart,
    credentials_of_pod_identity_that_are_revoked_before_their_end_are_replaced,
    credentials_of_pod_identity_are_renewed_at_their_end,
    web_identity_heals_when_its_token_is_right,
    web_identity_is_exchanged_at_the_endpoint_of_sts_where_athenas_does_not_know_it,
    the_account_of_pod_identity_is_known_without_sts,
    an_account_that_a_profile_names_is_not_believed,
    credentials_revoked_in_the_middle_of_a_deletion_hold_the_object_until_they_are_mended,
    an_attempt_of_another_account_is_left_alone,
    the_account_of_a_session_is_recorded_once_sts_has_told_it,
    a_session_whose_account_is_not_recorded_is_not_given_up_in_another,
    credentials_of_another_account_are_not_used,
    an_endpoint_of_another_region_is_told,
    a_wrong_clock_is_corrected,
    a_clock_that_cannot_be_corrected_is_told,
];

/// The environment of an operator that has no keys in it.
pub(crate) const NO_KEYS: [(&str, &str); 2] = [("AWS_ACCESS_KEY_ID", ""), ("AWS_SECRET_ACCESS_KEY", "")];

/// The only source of an operator's credentials: files in a folder, and the variables that name them.
pub(crate) struct Source {
    folder: tempfile::TempDir,
    env: Vec<(&'static str, String)>,
}

impl Source {
    /// Makes a source without keys, and without files.
    pub(crate) fn new() -> anyhow::Result<Self> {
        let source = Self { folder: tempfile::tempdir()?, env: Vec::new() };
        Ok(source.file("AWS_SHARED_CREDENTIALS_FILE", "none").file("AWS_CONFIG_FILE", "none"))
    }

    /// Makes a credentials file with one profile, which has these keys.
    pub(crate) fn profile(key: &str) -> anyhow::Result<Self> {
        let source = Self::new()?.file("AWS_SHARED_CREDENTIALS_FILE", "credentials");
        source.write_profile(key)?;
        Ok(source.variable("AWS_PROFILE", "spark"))
    }

    /// Makes what EKS Pod Identity gives to a pod.
    pub(crate) fn pod_identity(world: &World, token: &str) -> anyhow::Result<Self> {
        let url = format!("{}/v1/credentials", world.emulator.url());
        let source = Self::new()?.variable("AWS_CONTAINER_CREDENTIALS_FULL_URI", &url);
        source.file("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "token").with("token", token)
    }

    /// Makes what IRSA gives to a pod.
    pub(crate) fn web_identity(token: &str) -> anyhow::Result<Self> {
        let role = "arn:aws:iam::000000000000:role/athena-operator";
        let source = Self::new()?.variable("AWS_ROLE_ARN", role);
        source.file("AWS_WEB_IDENTITY_TOKEN_FILE", "token").with("token", token)
    }

    /// Sets a variable.
    pub(crate) fn variable(mut self, name: &'static str, value: &str) -> Self {
        self.env.push((name, value.to_owned()));
        self
    }

    /// Has a variable name a file.
    pub(crate) fn file(self, variable: &'static str, name: &str) -> Self {
        let path = self.path(name).display().to_string();
        self.variable(variable, &path)
    }

    fn with(self, name: &str, text: &str) -> anyhow::Result<Self> {
        self.write(name, text)?;
        Ok(self)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Replaces a file as a whole, as a Secret's volume does.
    pub(crate) fn write(&self, name: &str, text: &str) -> anyhow::Result<()> {
        std::fs::write(self.path("new"), text)?;
        Ok(std::fs::rename(self.path("new"), self.path(name))?)
    }

    pub(crate) fn write_profile(&self, key: &str) -> anyhow::Result<()> {
        let lines = format!("[spark]\naws_access_key_id = {key}\naws_secret_access_key = secret-of-{key}\n");
        self.write("credentials", &lines)
    }

    /// The variables.
    pub(crate) fn env(&self) -> Vec<(&str, &str)> {
        let own = self.env.iter().map(|(name, value)| (*name, value.as_str()));
        NO_KEYS.into_iter().chain(own).collect()
    }

    /// Starts an operator, and waits until it is ready.
    pub(crate) fn operator(&self, world: &World, flags: &[&str]) -> anyhow::Result<Operator> {
        world.operator_with(flags, &self.env())
    }
}

pub(crate) fn credential(key: &str) -> Credential {
    Credential {
        access_key_id: key.into(),
        secret_access_key: format!("secret-of-{key}"),
        ..Credential::default()
    }
}

/// Has Athena accept these keys and no others.
pub(crate) fn accept(world: &World, keys: &[&str]) {
    let credentials: Vec<Credential> = keys.iter().map(|key| credential(key)).collect();
    world.emulator.configure(|config| config.credentials = credentials);
}

/// How many calls to Athena were signed with a key.
fn signed(world: &World, key: &str) -> usize {
    let own = |call: &&athena_emulator::Call| {
        call.access_key_id.as_deref() == Some(key) && call.operation != "GetCallerIdentity"
    };
    world.emulator.calls().iter().filter(own).count()
}

/// Waits until an object is refused for `reason`, which is still tried, and an event has told it. The message has these parts.
pub(crate) async fn refused(world: &World, name: &str, reason: &str, parts: &[&str]) -> anyhow::Result<()> {
    let object = world.until_reason(name, reason).await?;
    ensure!(is(&object, "Ready", "Unknown") && condition(&object, "Stalled").is_none());
    world.until_event(reason, "").await?;
    has(&condition(&object, "Reconciling").context("it is not Reconciling")?.message, parts)
}

async fn expired_credentials_of_a_profile_are_replaced_without_a_restart(world: World) -> anyhow::Result<()> {
    accept(&world, &["one"]);
    let profile = Source::profile("one")?;
    let _operator = profile.operator(&world, &[])?;
    world.idle("before").await?;
    world.emulator.configure(|config| {
        config.credentials = vec![Credential { expired: true, ..credential("one") }, credential("two")];
    });
    world.create("after").await?;
    refused(
        &world,
        "after",
        "CredentialsInvalid",
        &["The security token included in the request is expired"],
    )
    .await?;
    ensure!(signed(&world, "two") == 0);
    profile.write_profile("two")?;
    world.until_idle("after").await?;
    ensure!(signed(&world, "two") > 0 && world.emulator.sessions().len() == 2);
    Ok(())
}

async fn a_wrong_secret_is_told_and_mended_without_a_restart(world: World) -> anyhow::Result<()> {
    world.emulator.configure(|config| {
        config.credentials = vec![Credential { secret_access_key: "another".into(), ..credential("one") }];
    });
    let profile = Source::profile("one")?;
    let _operator = profile.operator(&world, &[])?;
    world.create("wrong").await?;
    refused(&world, "wrong", "CredentialsInvalid", &["does not match the signature you provided"]).await?;
    accept(&world, &["one"]);
    world.until_idle("wrong").await?;
    Ok(())
}

async fn missing_credentials_are_told_and_found_without_a_restart(world: World) -> anyhow::Result<()> {
    accept(&world, &["one"]);
    let profile = Source::profile("one")?;
    std::fs::remove_file(profile.path("credentials"))?;
    let _operator = profile.operator(&world, &[])?;
    world.create("without").await?;
    refused(&world, "without", "CredentialsInvalid", &["the operator has no AWS credentials"]).await?;
    ensure!(world.emulator.calls().is_empty(), "a call was made without credentials");
    profile.write_profile("one")?;
    world.until_idle("without").await?;
    Ok(())
}

pub(crate) fn issue(world: &World, key: &str, lifetime: Duration) {
    let credential = Credential { session_token: Some(format!("session-of-{key}")), ..credential(key) };
    let issue = Issue { token: "pod".into(), access_key_id: key.into(), lifetime };
    world.emulator.configure(|config| (config.credentials, config.issue) = (vec![credential], Some(issue)));
}

async fn credentials_of_pod_identity_that_are_revoked_before_their_end_are_replaced(
    world: World,
) -> anyhow::Result<()> {
    issue(&world, "one", Duration::from_hours(6));
    let source = Source::pod_identity(&world, "pod")?;
    let _operator = source.operator(&world, &[])?;
    world.idle("before").await?;
    // Credentials that are valid are not asked for again.
    ensure!(world.calls("AssumeRoleForPodIdentity").len() == 1);
    issue(&world, "two", Duration::from_hours(6));
    world.idle("after").await?;
    ensure!(signed(&world, "two") > 0);
    ensure!(world.calls("AssumeRoleForPodIdentity").len() == 2);
    world.remove("before").await
}

async fn credentials_of_pod_identity_are_renewed_at_their_end(world: World) -> anyhow::Result<()> {
    issue(&world, "one", Duration::from_secs(33));
    let source = Source::pod_identity(&world, "pod")?;
    let _operator = source.operator(&world, &[])?;
    world.idle("renewed").await?;
    // Both are good: only the end of the one has the other used.
    let session =
        |key: &str| Credential { session_token: Some(format!("session-of-{key}")), ..credential(key) };
    world.emulator.configure(|config| {
        config.credentials = vec![session("one"), session("two")];
        let (token, access_key_id) = ("pod".into(), "two".into());
        config.issue = Some(Issue { token, access_key_id, lifetime: Duration::from_hours(6) });
    });
    until("the new ones are used", || signed(&world, "two") > 0).await?;
    let refused = world.emulator.calls().iter().filter(|call| !call.outcome.is_ok()).count();
    ensure!(refused == 0, "{refused} calls were refused");
    ensure!(world.calls("AssumeRoleForPodIdentity").len() <= 3);
    Ok(())
}

async fn web_identity_heals_when_its_token_is_right(world: World) -> anyhow::Result<()> {
    issue(&world, "one", Duration::from_hours(1));
    let identity = Source::web_identity("of-another-cluster")?;
    let _operator = identity.operator(&world, &[])?;
    world.create("irsa").await?;
    refused(&world, "irsa", "CredentialsInvalid", &["No OpenIDConnect provider found"]).await?;
    identity.write("token", "pod")?;
    world.until_idle("irsa").await?;
    Ok(())
}

async fn web_identity_is_exchanged_at_the_endpoint_of_sts_where_athenas_does_not_know_it(
    world: World,
) -> anyhow::Result<()> {
    issue(&world, "one", Duration::from_hours(1));
    let mut issuing = None;
    world.emulator.configure(|config| {
        issuing = Some(config.clone());
        config.sts = false;
    });
    let sts = Emulator::start(issuing.unwrap_or_default()).await?;
    let identity = Source::web_identity("pod")?.variable("AWS_ENDPOINT_URL_STS", &sts.url());
    let identity = identity.variable("AWS_ENDPOINT_URL_ATHENA", &world.emulator.url());
    let _operator = identity.operator(&world, &[])?;
    world.idle("irsa").await?;
    until_recorded(&world, "irsa").await?;
    let asked = |operation: &str| sts.calls().iter().filter(|call| call.operation == operation).count();
    ensure!(asked("AssumeRoleWithWebIdentity") > 0);
    ensure!(world.calls("AssumeRoleWithWebIdentity").is_empty());
    ensure!(asked("GetCallerIdentity") == 0, "the account came with the credentials");
    Ok(())
}

/// Waits until the account that everybody is in by default is recorded.
async fn until_recorded(world: &World, name: &str) -> anyhow::Result<()> {
    let status = world.until_status(name, "recorded", |status| status.account_id.is_some()).await?;
    ensure!(status.account_id.as_deref() == Some("000000000000"), "{status:?}");
    Ok(())
}

async fn the_account_of_pod_identity_is_known_without_sts(world: World) -> anyhow::Result<()> {
    issue(&world, "one", Duration::from_hours(6));
    world.emulator.configure(|config| config.sts = false);
    let source = Source::pod_identity(&world, "pod")?;
    let _operator = source.operator(&world, &[])?;
    world.idle("known").await?;
    until_recorded(&world, "known").await
}

async fn an_account_that_a_profile_names_is_not_believed(world: World) -> anyhow::Result<()> {
    let profile =
        "[default]\naws_access_key_id = test\naws_secret_access_key = test\naws_account_id = 999999999999\n";
    let source = Source::new()?.file("AWS_SHARED_CREDENTIALS_FILE", "credentials");
    let source = source.with("credentials", profile)?.variable("AWS_ACCOUNT_ID", "999999999999");
    let _operator = source.operator(&world, &[])?;
    world.create("own").await?;
    until_recorded(&world, "own").await
}

async fn credentials_revoked_in_the_middle_of_a_deletion_hold_the_object_until_they_are_mended(
    world: World,
) -> anyhow::Result<()> {
    let _operator = world.operator()?;
    world.idle("held").await?;
    world.emulator.configure(|config| config.credentials.clear());
    world.delete("held").await?;
    let reason = "The security token included in the request is invalid";
    let ready = world.until_ready("held", reason, |ready| ready.message.contains(reason)).await?;
    ensure!(ready.reason == "Deleting" && ready.message.contains("deletionPolicy"), "{}", ready.message);
    world.until_event("TerminateRefused", "").await?;
    ensure!(world.live().len() == 1);
    world.emulator.configure(|config| config.credentials = vec![Credential::default()]);
    world.until_gone("held").await?;
    ensure!(world.live().is_empty());
    Ok(())
}

async fn an_attempt_of_another_account_is_left_alone(world: World) -> anyhow::Result<()> {
    accept(&world, &["one"]);
    let profile = Source::profile("one")?;
    let operator = profile.operator(&world, &[])?;
    world.idle("elsewhere").await?;
    until_recorded(&world, "elsewhere").await?;
    drop(operator);
    let other = Credential { account: Some("111111111111".into()), ..credential("other") };
    world.emulator.configure(|config| config.credentials.push(other));
    profile.write_profile("other")?;
    let operator = profile.operator(&world, &[])?;
    let object = world.until_reason("elsewhere", "IdentityChanged").await?;
    has(&condition(&object, "Stalled").context("Stalled")?.message, &["000000000000", "111111111111"])?;
    world.delete("elsewhere").await?;
    let waits = "waiting for an operator that works in region eu-west-1, account 000000000000";
    world.until_ready("elsewhere", "waiting", |ready| ready.message.contains(waits)).await?;
    ensure!(signed(&world, "other") == 0, "a call was made in the other account");
    ensure!(world.live().len() == 1);
    drop(operator);
    profile.write_profile("one")?;
    let _operator = profile.operator(&world, &[])?;
    world.until_gone("elsewhere").await?;
    ensure!(world.live().is_empty());
    Ok(())
}

async fn the_account_of_a_session_is_recorded_once_sts_has_told_it(world: World) -> anyhow::Result<()> {
    world.fault("GetCallerIdentity", failure(500, "InternalFailure", "not now"));
    let _operator = world.operator()?;
    world.create("etl").await?;
    let object = world.until_idle("etl").await?;
    ensure!(status(&object).account_id.is_none(), "{object:?}");
    world.clear_faults();
    until_recorded(&world, "etl").await?;
    Ok(())
}

async fn a_session_whose_account_is_not_recorded_is_not_given_up_in_another(
    world: World,
) -> anyhow::Result<()> {
    let operator = world.operator_without_sts()?;
    let spec = spark(json!({ "restartPolicy": "OnFailure", "sessionIdleTimeoutInMinutes": 480 }));
    world.create_with("restarted", spec).await?;
    world.create("deleted").await?;
    for name in ["restarted", "deleted"] {
        ensure!(status(&world.until_idle(name).await?).account_id.is_none());
    }
    operator.end(environment::Signal::KILL)?;

    let elsewhere = Emulator::start(Config { account: "222222222222".into(), ..Config::default() }).await?;
    world.delete("deleted").await?;
    let other = world.operator_with(&["--uncertainty=1s"], &[("AWS_ENDPOINT_URL", &elsewhere.url())])?;
    // More than prove that a session is gone where its account is known.
    let looks = |name: &str| elsewhere.calls().iter().filter(|call| call.operation == name).count();
    until("looks have not found the sessions", || looks("GetSession") > 8).await?;
    for name in ["deleted", "restarted"] {
        world.sessions.get(name).await?;
    }
    ensure!(looks("StartSession") == 0 && world.live().len() == 2, "{} starts", looks("StartSession"));
    other.end(environment::Signal::TERM)?;

    let _operator = world.operator()?;
    world.until_gone("deleted").await?;
    until_recorded(&world, "restarted").await?;
    ensure!(world.live().len() == 1);
    Ok(())
}

async fn credentials_of_another_account_are_not_used(world: World) -> anyhow::Result<()> {
    accept(&world, &["one"]);
    let profile = Source::profile("one")?;
    let operator = profile.operator(&world, &[])?;
    until_logged(&operator, "STS returned the account").await?;
    let other = Credential { account: Some("111111111111".into()), ..credential("other") };
    world.emulator.configure(|config| {
        config.credentials = vec![Credential { expired: true, ..credential("one") }, other];
    });
    profile.write_profile("other")?;
    world.create("here").await?;
    refused(&world, "here", "AccountChanged", &["000000000000", "111111111111"]).await?;
    ensure!(signed(&world, "other") == 0, "a call was made in the other account");
    accept(&world, &["one"]);
    profile.write_profile("one")?;
    world.until_idle("here").await?;
    Ok(())
}

async fn an_endpoint_of_another_region_is_told(world: World) -> anyhow::Result<()> {
    world.emulator.configure(|config| config.region = Some("us-east-1".into()));
    let _operator = world.operator()?;
    world.create("astray").await?;
    refused(
        &world,
        "astray",
        "WrongRegion",
        &["Credential should be scoped to a valid region, not 'eu-west-1'"],
    )
    .await?;
    world.emulator.configure(|config| config.region = Some("eu-west-1".into()));
    world.until_idle("astray").await?;
    Ok(())
}

/// What is left at least of a time of four seconds that begins before a session does and is kept in whole seconds, however busy the machine.
/// With a clock that is not corrected it would be nothing, or there would be no end.
const LEAST: SignedDuration = SignedDuration::from_secs(1);

async fn a_wrong_clock_is_corrected(world: World) -> anyhow::Result<()> {
    // AWS takes no signature of a clock that is off by five minutes; by less, only times are compared wrongly.
    for (name, seconds) in [
        ("slow", 3600),
        ("fast", -3600),
        ("behind", 280),
        ("ahead", -280),
        ("far-behind", 400),
        ("far-ahead", -400),
    ] {
        world.emulator.configure(|config| config.clock_ahead = seconds);
        let _operator = world.operator()?;
        let long = json!({
            "workGroup": "spark-35", "restartPolicy": "OnFailure",
            "startupDeadlineSeconds": 60, "activeDeadlineSeconds": 200, "ttlSecondsAfterFinished": 200,
        });
        world.create_with(name, long).await?;
        let spec = spark(
            json!({ "startupDeadlineSeconds": 60, "activeDeadlineSeconds": 4, "ttlSecondsAfterFinished": 4 }),
        );
        let brief = uid(&world.create_with(&format!("{name}-brief"), spec).await?);
        let is_over =
            |reason: &Option<EndReason>| reason.as_ref().map(EndReason::as_str) == Some("DeadlineExceeded");
        let short = format!("{name}-brief");
        world.until_status(&short, "ended at its deadline", |status| is_over(&status.end_reason)).await?;
        world.until_gone(&short).await?;
        let ended = entered(&world.sessions_of(&brief), "TERMINATED");
        let kept = ended.map(|ended| Timestamp::now().duration_since(ended));
        ensure!(kept.is_some_and(|kept| kept >= LEAST), "{name}: it was deleted {kept:?} after its end");
        world.until_idle(name).await?;
        world.emulator.configure(|config| config.stick_in = Some("CREATED".into()));
        let stuck = format!("{name}-stuck");
        world.create_with(&stuck, spark(json!({ "startupDeadlineSeconds": 4 }))).await?;
        world.until_reason(&stuck, "StartupDeadlineExceeded").await?;
        world.emulator.configure(|config| config.stick_in = None);
        world.remove(name).await?;
    }
    until("no session lives", || world.live().is_empty()).await?;
    let sessions = world.emulator.sessions();
    ensure!(sessions.len() == 18, "{} sessions were started", sessions.len());
    for session in sessions.iter().filter(|session| session.states.len() > 2) {
        let ended = entered(std::slice::from_ref(session), "TERMINATING");
        let lived = ended.map(|ended| ended.duration_since(session.states[0].1));
        ensure!(lived.is_some_and(|lived| lived >= LEAST), "it ended {lived:?} after its start: {session:?}");
    }
    Ok(())
}

/// When one of these sessions came into a state.
fn entered(sessions: &[SessionRecord], state: &str) -> Option<Timestamp> {
    let mut states = sessions.iter().flat_map(|session| &session.states);
    states.find(|(entered, _)| entered == state).map(|(_, time)| *time)
}

async fn a_clock_that_cannot_be_corrected_is_told(world: World) -> anyhow::Result<()> {
    let message = "Signature expired: 20261122T093723Z is now earlier than 20261122T103223Z (20261122T103723Z - 5 min.)";
    world.fault("StartSession", failure(403, "InvalidSignatureException", message));
    let _operator = world.operator()?;
    world.create("late").await?;
    refused(&world, "late", "ClockSkew", &[message]).await?;
    world.clear_faults();
    world.until_idle("late").await?;
    Ok(())
}
