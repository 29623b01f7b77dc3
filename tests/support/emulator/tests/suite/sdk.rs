//! What the official SDK reads from the replies.

use std::time::{Duration, SystemTime};

use athena_emulator::{Config, Emulator, Fault, FaultKind};
use aws_sdk_athena::types::{Classification, EngineConfiguration, SessionState, WorkGroupState};

use crate::client::{athena_config, eventually, quick, quick_world, refused, started, sts, token, world};

#[tokio::test]
async fn a_session_reads_back_as_it_was_started() {
    let (_emulator, client) = quick_world().await;
    let before = SystemTime::now() - Duration::from_millis(5);
    let spark = Classification::builder().name("spark-defaults").properties("spark.x", "1").build();
    let output = client
        .start_session()
        .work_group("spark-35")
        .description("nightly")
        .engine_configuration(
            EngineConfiguration::builder().max_concurrent_dpus(7).classifications(spark.clone()).build(),
        )
        .execution_role("arn:aws:iam::123456789012:role/other")
        .session_idle_timeout_in_minutes(33)
        .client_request_token(token("whole"))
        .send()
        .await
        .expect("a session");
    assert_eq!(output.state, Some(SessionState::Creating));
    let id = output.session_id.expect("an id");

    let session = client.get_session().session_id(&id).send().await.expect("a session");
    assert_eq!(session.session_id(), Some(id.as_str()));
    assert_eq!(session.description(), Some("nightly"));
    assert_eq!(session.work_group(), Some("spark-35"));
    assert_eq!(session.engine_version(), Some("Apache Spark version 3.5"));
    let engine = session.engine_configuration().expect("a configuration");
    assert_eq!((engine.max_concurrent_dpus, engine.classifications()), (7, [spark].as_slice()));
    let configuration = session.session_configuration().expect("a configuration");
    assert_eq!(configuration.execution_role(), Some("arn:aws:iam::123456789012:role/other"));
    assert_eq!(configuration.session_idle_timeout_in_minutes(), Some(33));
    assert!(session.statistics().and_then(|statistics| statistics.dpu_execution_in_millis).is_some());
    let status = session.status().expect("a status");
    assert_eq!(status.state(), Some(&SessionState::Idle));
    let started: SystemTime = (*status.start_date_time().expect("a time")).try_into().expect("a time");
    assert!(before <= started && started <= SystemTime::now());
    assert_eq!(status.idle_since_date_time(), status.last_modified_date_time());
    assert_eq!(status.end_date_time(), None);
    assert_eq!(status.state_change_reason(), None);
}

#[tokio::test]
async fn a_work_group_says_its_engine_and_state() {
    let (_emulator, client) = world(Config::default()).await;
    for (name, engine, state) in [
        ("spark-35", "Apache Spark version 3.5", WorkGroupState::Enabled),
        ("pyspark-3", "PySpark engine version 3", WorkGroupState::Enabled),
        ("sql", "Athena engine version 3", WorkGroupState::Enabled),
        ("disabled", "Apache Spark version 3.5", WorkGroupState::Disabled),
    ] {
        let output = client.get_work_group().work_group(name).send().await.expect("a work group");
        let group = output.work_group.expect("a work group");
        assert_eq!((group.name(), group.state()), (name, Some(&state)));
        let configuration = group.configuration().expect("a configuration");
        assert_eq!(configuration.execution_role(), Some("arn:aws:iam::000000000000:role/athena-spark"));
        let version = configuration.engine_version().and_then(|version| version.selected_engine_version());
        assert_eq!(version, Some(engine));
    }
    refused(
        client.get_work_group().work_group("none").send().await,
        "InvalidRequestException",
        "WorkGroup is not found.",
    );
}

#[tokio::test]
async fn sts_says_who_calls() {
    let emulator = Emulator::start(Config::default()).await.expect("an emulator");
    let output = sts(&emulator, "test").get_caller_identity().send().await.expect("an identity");
    assert_eq!(output.account(), Some("000000000000"));
    assert_eq!(output.arn(), Some("arn:aws:sts::000000000000:assumed-role/athena-operator/emulator"));
    refused(
        sts(&emulator, "nobody").get_caller_identity().send().await,
        "InvalidClientTokenId",
        "The security token included in the request is invalid.",
    );
    let calls = emulator.calls();
    assert_eq!(calls[0].operation, "GetCallerIdentity");
    assert!(calls[0].outcome.is_ok());
    assert_eq!(calls[1].access_key_id.as_deref(), Some("nobody"));
}

#[tokio::test]
async fn a_retry_of_the_sdk_starts_one_session() {
    let emulator = Emulator::start(quick()).await.expect("an emulator");
    emulator.set_faults(vec![Fault::new("StartSession", FaultKind::DropAfter).times(1)]);
    let retries =
        aws_sdk_athena::config::retry::RetryConfig::standard().with_initial_backoff(Duration::from_millis(1));
    let config = athena_config(&emulator, "test", "test", None).retry_config(retries).build();
    let id = started(&aws_sdk_athena::Client::from_conf(config), "retry").await;
    eventually("one session, two calls", async || {
        let ids: Vec<_> = emulator.sessions().into_iter().map(|session| session.session_id).collect();
        ids == [id.clone()] && emulator.calls().len() == 2
    })
    .await;
}
