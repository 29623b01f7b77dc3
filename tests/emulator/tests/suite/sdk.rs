//! What the official SDK reads from the replies.

use std::time::{Duration, SystemTime};

use athena_emulator::{Change, Config, Emulator, Fault, FaultKind, Rate, TokenMismatch, UnknownSessionError};
use aws_sdk_athena::error::ProvideErrorMetadata;
use aws_sdk_athena::operation::get_session::GetSessionError;
use aws_sdk_athena::operation::start_session::StartSessionError;
use aws_sdk_athena::types::{Classification, EngineConfiguration, SessionState, WorkGroupState};

use crate::client::{athena, athena_config, error, eventually, quick, start, started, sts, token};

#[tokio::test]
async fn a_session_reads_back_as_it_was_started() {
    let emulator = Emulator::start(quick()).await.expect("an emulator");
    let client = athena(&emulator);
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
async fn an_ended_session_has_its_end_and_its_reason() {
    let emulator = Emulator::start(quick()).await.expect("an emulator");
    let client = athena(&emulator);
    let id = started(&client, "ended").await;
    let output = client.terminate_session().session_id(&id).send().await.expect("a reply");
    assert_eq!(output.state, Some(SessionState::Terminating));
    let output = client.get_session_status().session_id(&id).send().await.expect("a reply");
    let status = output.status.expect("a status");
    assert_eq!(status.state, Some(SessionState::Terminated));
    assert_eq!(status.state_change_reason(), Some("Session was terminated per request"));
    assert_eq!(status.end_date_time, status.last_modified_date_time);
    let again = client.terminate_session().session_id(&id).send().await.expect("a reply");
    assert_eq!(again.state, Some(SessionState::Terminated));
}

#[tokio::test]
async fn an_unknown_state_is_read_as_unknown() {
    let emulator = Emulator::start(quick()).await.expect("an emulator");
    let client = athena(&emulator);
    let id = started(&client, "unknown").await;
    let stopped = Change::State { state: "STOPPED".to_owned(), reason: Some("internal".to_owned()) };
    emulator.set_state(&id, stopped).expect("a session");
    let output = client.get_session_status().session_id(&id).send().await.expect("a reply");
    let status = output.status.expect("a status");
    assert_eq!(status.state.as_ref().map(SessionState::as_str), Some("STOPPED"));
    assert!(!SessionState::values().contains(&"STOPPED"));
    assert_eq!(status.state_change_reason(), Some("internal"));
}

#[tokio::test]
async fn a_list_has_every_status() {
    let emulator = Emulator::start(quick()).await.expect("an emulator");
    let client = athena(&emulator);
    let id = emulator.create_foreign("spark-35", Some("somebody else's"));
    let output = client.list_sessions().work_group("spark-35").send().await.expect("a list");
    let [session] = output.sessions() else { panic!("one session") };
    assert_eq!(session.session_id(), Some(id.as_str()));
    assert_eq!(session.description(), Some("somebody else's"));
    let engine = session.engine_version().and_then(|engine| engine.effective_engine_version());
    assert_eq!(engine, Some("Apache Spark version 3.5"));
    assert_eq!(session.status().and_then(|status| status.state()), Some(&SessionState::Idle));
}

#[tokio::test]
async fn a_work_group_says_its_engine_and_state() {
    let emulator = Emulator::start(Config::default()).await.expect("an emulator");
    let client = athena(&emulator);
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
    let (code, message) = error(client.get_work_group().work_group("none").send().await);
    assert_eq!((code.as_str(), message.as_str()), ("InvalidRequestException", "WorkGroup is not found."));
}

#[tokio::test]
async fn sts_says_who_calls() {
    let emulator = Emulator::start(Config::default()).await.expect("an emulator");
    let output = sts(&emulator, "test").get_caller_identity().send().await.expect("an identity");
    assert_eq!(output.account(), Some("000000000000"));
    assert_eq!(output.arn(), Some("arn:aws:sts::000000000000:assumed-role/athena-operator/emulator"));
    let (code, message) = error(sts(&emulator, "nobody").get_caller_identity().send().await);
    assert_eq!(
        (code.as_str(), message.as_str()),
        ("InvalidClientTokenId", "The security token included in the request is invalid.")
    );
    let calls = emulator.calls();
    assert_eq!(calls[0].operation, "GetCallerIdentity");
    assert!(calls[0].outcome.is_ok());
    assert_eq!(calls[1].access_key_id.as_deref(), Some("nobody"));
}

/// What a start is answered under a configuration that differs from the default.
async fn start_error(change: impl FnOnce(&mut Config)) -> StartSessionError {
    let mut config = Config::default();
    change(&mut config);
    let emulator = Emulator::start(config).await.expect("an emulator");
    let client = athena(&emulator);
    let _first = start(&client, "one").send().await;
    let second = start(&client, "one").description("changed").send().await;
    second.expect_err("an error").into_service_error()
}

#[tokio::test]
async fn modelled_errors_are_read_as_their_variants() {
    let StartSessionError::InvalidRequestException(mismatch) = start_error(|_| {}).await else {
        panic!("another variant")
    };
    assert_eq!(mismatch.athena_error_code(), Some("IDEMPOTENT_PARAMETER_MISMATCH"));
    assert_eq!(mismatch.message(), Some("Idempotent parameters do not match"));

    let exists = start_error(|config| config.token_mismatch = TokenMismatch::SessionAlreadyExists).await;
    assert!(exists.is_session_already_exists_exception());
    assert_eq!(exists.message(), Some("The specified session already exists."));

    let emulator = Emulator::start(Config::default()).await.expect("an emulator");
    let client = athena(&emulator);
    let get = || client.get_session().session_id("nobody").send();
    let GetSessionError::ResourceNotFoundException(unknown) =
        get().await.expect_err("unknown").into_service_error()
    else {
        panic!("another variant")
    };
    assert_eq!(unknown.message(), Some("Session nobody was not found"));
    assert_eq!(unknown.resource_name(), Some("nobody"));
    emulator.configure(|config| config.unknown_session = UnknownSessionError::InvalidRequest);
    let unknown = get().await.expect_err("unknown").into_service_error();
    assert!(unknown.is_invalid_request_exception());
    assert_eq!(unknown.message(), Some("Session nobody was not found"));

    let fail =
        |status, code: &str| FaultKind::Fail { status, code: code.to_owned(), message: "ordered".to_owned() };
    emulator.set_faults(vec![
        Fault::new("StartSession", fail(500, "InternalServerException")).times(1),
        Fault::new("StartSession", fail(400, "TooManyRequestsException")).times(1),
    ]);
    let internal = start(&client, "two").send().await.expect_err("an error").into_service_error();
    assert!(internal.is_internal_server_exception());
    let many = start(&client, "two").send().await.expect_err("an error").into_service_error();
    assert!(many.is_too_many_requests_exception());
}

#[tokio::test]
async fn errors_outside_the_model_are_read_by_code_and_message() {
    let denied = start_error(|config| config.deny = vec!["StartSession".to_owned()]).await;
    assert_eq!(denied.code(), Some("AccessDeniedException"));
    assert_eq!(
        denied.message(),
        Some(
            "User: arn:aws:sts::000000000000:assumed-role/athena-operator/emulator is not authorized to perform: athena:StartSession \
             on resource: arn:aws:athena:us-east-1:000000000000:workgroup/spark-35 \
             because no identity-based policy allows the athena:StartSession action"
        )
    );
    let throttled = start_error(|config| config.rate = Some(Rate { per_second: 0.001, burst: 1 })).await;
    assert_eq!((throttled.code(), throttled.message()), (Some("ThrottlingException"), Some("Rate exceeded")));

    let expired = start_error(|config| config.credentials[0].expired = true).await;
    assert_eq!(expired.code(), Some("ExpiredTokenException"));
    let region = start_error(|config| config.region = Some("us-west-2".to_owned())).await;
    assert_eq!(region.code(), Some("InvalidSignatureException"));
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
