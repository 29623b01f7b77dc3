//! Sessions over time, work groups and quotas.

use std::time::Duration;

use athena_emulator::{Change, Config, Emulator, Rate, state as states};
use aws_sdk_athena::types::{EngineConfiguration, SessionState, Tag};

use crate::client::{
    athena, error, eventually, listed, quick, quick_world, refused, start, started, state, token, world,
};

#[tokio::test]
async fn an_idle_session_ends_after_its_timeout_with_the_reason_of_any_stop() {
    let (emulator, client) = world(Config { idle_minute: Duration::from_millis(10), ..quick() }).await;
    let output = start(&client, "idle").session_idle_timeout_in_minutes(2).send().await.expect("a session");
    let id = output.session_id.expect("an id");
    eventually("terminated", async || state(&client, &id).await == states::TERMINATED).await;
    let session = &emulator.sessions()[0];
    assert_eq!(session.reason.as_deref(), Some("Session was terminated per request"));
    let names: Vec<_> = session.states.iter().map(|(state, _)| state.as_str()).collect();
    assert_eq!(names, ["CREATING", "CREATED", "IDLE", "TERMINATING", "TERMINATED"]);
    assert!((session.billed_seconds - 0.02).abs() < 1e-6, "{}", session.billed_seconds);
    assert!(!session.live);
}

#[tokio::test]
async fn a_session_can_be_stuck_and_a_termination_ignored() {
    let (emulator, client) =
        world(Config { stick_in: Some(states::CREATING.to_owned()), ignore_terminate: true, ..quick() })
            .await;
    let id = started(&client, "stuck").await;
    assert_eq!(state(&client, &id).await, states::CREATING);
    let output = client.terminate_session().session_id(&id).send().await.expect("a reply");
    assert_eq!(output.state, Some(SessionState::Terminating));
    assert_eq!(state(&client, &id).await, states::CREATING);
    emulator.configure(|config| config.stick_in = None);
    assert_eq!(state(&client, &id).await, states::IDLE);
}

#[tokio::test]
async fn a_session_may_begin_in_another_state() {
    let config = Config { start_state: states::IDLE.to_owned(), ..Config::default() };
    let emulator = Emulator::start(config).await.expect("an emulator");
    let output = start(&athena(&emulator), "idle").send().await.expect("a session");
    assert_eq!(output.state, Some(SessionState::Idle));
}

#[tokio::test]
async fn an_ended_session_may_be_forgotten() {
    let (emulator, client) = quick_world().await;
    let id = started(&client, "forgotten").await;
    client.terminate_session().session_id(&id).send().await.expect("a reply");
    assert_eq!(state(&client, &id).await, states::TERMINATED);
    emulator.configure(|config| config.forget_ended_after = Some(Duration::ZERO));
    assert_eq!(error(client.get_session().session_id(&id).send().await).0, "ResourceNotFoundException");
    assert_eq!(error(client.terminate_session().session_id(&id).send().await).0, "ResourceNotFoundException");
}

#[tokio::test]
async fn quotas_have_their_texts_and_ended_sessions_make_room() {
    let (_emulator, client) = world(Config { max_sessions: Some(2), max_dpus: Some(8), ..quick() }).await;
    let id = started(&client, "one").await;
    let engine = EngineConfiguration::builder().max_concurrent_dpus(5).build();
    let no_capacity =
        "Failed to Provision session due to required capacity not being available for the account";
    let big = start(&client, "big").engine_configuration(engine).send().await;
    refused(big, "InvalidRequestException", no_capacity);
    started(&client, "two").await;
    refused(
        start(&client, "three").send().await,
        "InvalidRequestException",
        "Maximum allowed sessions reached",
    );
    assert_eq!(started(&client, "one").await, id);
    client.terminate_session().session_id(&id).send().await.expect("a reply");
    started(&client, "three").await;
}

#[tokio::test]
async fn the_rate_is_of_all_operations_together() {
    let (emulator, client) =
        world(Config { rate: Some(Rate { per_second: 0.001, burst: 2 }), ..Config::default() }).await;
    listed(&client).await;
    started(&client, "one").await;
    refused(client.get_session().session_id("any").send().await, "ThrottlingException", "Rate exceeded");
    emulator.configure(|config| config.rate = None);
    listed(&client).await;
}

#[tokio::test]
async fn a_work_group_must_exist_be_enabled_and_be_spark() {
    let (_emulator, client) = world(Config::default()).await;
    for (group, text) in [
        ("none", "WorkGroup is not found."),
        ("sql", "Workgroup EngineVersion is not Spark."),
        ("disabled", "WorkGroup is disabled."),
    ] {
        refused(start(&client, "group").work_group(group).send().await, "InvalidRequestException", text);
    }
    assert_eq!(error(client.list_sessions().work_group("none").send().await).1, "WorkGroup is not found.");
}

#[tokio::test]
async fn a_reserved_property_makes_the_session_fail_and_not_the_call() {
    let (_emulator, client) = quick_world().await;
    let engine = EngineConfiguration::builder().spark_properties("spark.athena.x", "1").build();
    let output = start(&client, "doomed").work_group("pyspark-3").engine_configuration(engine).send().await;
    let id = output.expect("a session").session_id.expect("an id");
    let status =
        client.get_session_status().session_id(&id).send().await.expect("a reply").status.expect("a status");
    assert_eq!(status.state, Some(SessionState::Failed));
    assert!(status.state_change_reason.is_some_and(|reason| reason.contains("spark.athena.x")));
    assert!(status.end_date_time.is_some());
}

#[tokio::test]
async fn a_role_that_may_not_be_passed_is_refused() {
    let emulator = Emulator::start(quick()).await.expect("an emulator");
    let role = "arn:aws:iam::000000000000:role/denied";
    emulator.configure(|config| config.deny_roles = vec![role.to_owned()]);
    let client = athena(&emulator);
    let (code, message) = error(start(&client, "denied").execution_role(role).send().await);
    assert_eq!(code, "AccessDeniedException");
    assert!(message.contains(&format!("iam:PassRole on resource: {role}")), "{message}");
    start(&client, "other")
        .execution_role("arn:aws:iam::000000000000:role/other")
        .send()
        .await
        .expect("a session");
}

#[tokio::test]
async fn a_session_has_at_most_fifty_tags() {
    let (_emulator, client) = world(Config::default()).await;
    let tags =
        |count| (0..count).map(|number| Tag::builder().key(number.to_string()).value("").build()).collect();
    start(&client, "fifty").set_tags(Some(tags(50))).send().await.expect("a session");
    let refused = start(&client, "more").set_tags(Some(tags(51))).send().await;
    assert_eq!(error(refused).0, "InvalidRequestException");
}

#[tokio::test]
async fn a_session_can_vanish_and_be_stopped_from_outside() {
    let (emulator, client) = quick_world().await;
    let id = started(&client, "vanishing").await;
    let other = emulator.create_foreign("spark-35", None);
    assert_eq!(listed(&client).await.len(), 2);
    emulator.set_state(&id, Change::Vanish).expect("a session");
    assert_eq!(listed(&client).await, std::slice::from_ref(&other));
    assert_eq!(error(client.get_session().session_id(&id).send().await).0, "ResourceNotFoundException");
    assert_eq!(started(&client, "vanishing").await, id);
    emulator.set_state(&other, Change::Terminate).expect("a session");
    assert_eq!(state(&client, &other).await, states::TERMINATED);
    let sessions = emulator.sessions();
    assert!(sessions[0].vanished && !sessions[0].live);
    assert_eq!(sessions[0].token, Some(token("vanishing")));
    assert_eq!((sessions[1].token.as_deref(), sessions[1].vanished), (None, false));
    let billed = sessions[0].billed_seconds;
    assert!((emulator.sessions()[0].billed_seconds - billed).abs() < f64::EPSILON);
    assert!(emulator.set_state("nobody", Change::IdleOut).is_err());
}

#[tokio::test]
async fn a_policy_that_names_work_groups_allows_no_others() {
    let emulator = Emulator::start(quick()).await.expect("an emulator");
    emulator.configure(|config| config.allowed_work_groups = Some(vec!["spark-35".to_owned()]));
    let client = athena(&emulator);
    start(&client, "named").send().await.expect("a session");
    for group in ["pyspark-3", "none"] {
        let (code, message) = error(start(&client, "other").work_group(group).send().await);
        assert_eq!(code, "AccessDeniedException");
        assert!(message.contains(&format!("workgroup/{group}")), "{message}");
    }
}

#[tokio::test]
async fn whether_an_input_or_a_permission_is_looked_at_first_can_be_chosen() {
    let emulator = Emulator::start(quick()).await.expect("an emulator");
    emulator.configure(|config| config.deny = vec!["StartSession".to_owned()]);
    let client = athena(&emulator);
    let invalid = || start(&client, "invalid").session_idle_timeout_in_minutes(0).send();
    assert_eq!(error(invalid().await).0, "AccessDeniedException");
    emulator.configure(|config| config.validate_first = true);
    assert_eq!(error(invalid().await).0, "InvalidRequestException");
    assert_eq!(error(start(&client, "valid").send().await).0, "AccessDeniedException");
}

#[tokio::test]
async fn only_a_session_that_exists_can_be_tagged() {
    let (emulator, client) = quick_world().await;
    let tag = |id: &str| {
        let arn = format!("arn:aws:athena:us-east-1:000000000000:workgroup/spark-35/session/{id}");
        client.tag_resource().resource_arn(arn).tags(Tag::builder().key("key").value("value").build()).send()
    };
    let id = start(&client, "tagged").send().await.expect("a session").session_id.expect("an id");
    tag(&id).await.expect("it is tagged");
    assert_eq!(error(tag("nobody").await).0, "ResourceNotFoundException");
    emulator.configure(|config| config.deny = vec!["TagResource".to_owned()]);
    assert_eq!(error(tag(&id).await).0, "AccessDeniedException");
}
