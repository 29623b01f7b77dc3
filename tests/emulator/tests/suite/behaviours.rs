//! Tokens, time, lists and quotas.

use std::time::Duration;

use athena_emulator::{Change, Config, Emulator, Rate, state as states};
use aws_sdk_athena::types::{EngineConfiguration, SessionState, Tag};

use crate::client::{athena, error, eventually, listed, quick, start, started, state, token};

#[tokio::test]
async fn a_token_stands_for_its_session_whatever_became_of_it() {
    let emulator = Emulator::start(quick()).await.expect("an emulator");
    let client = athena(&emulator);
    let id = started(&client, "token").await;
    let replay = start(&client, "token").send().await.expect("a reply");
    assert_eq!((replay.session_id, replay.state), (Some(id.clone()), Some(SessionState::Idle)));
    client.terminate_session().session_id(&id).send().await.expect("a reply");
    let replay = start(&client, "token").send().await.expect("a reply");
    assert_eq!((replay.session_id, replay.state), (Some(id), Some(SessionState::Terminated)));
    assert_eq!(emulator.sessions().len(), 1);
    assert_ne!(started(&client, "another").await, emulator.sessions()[0].session_id);
}

#[tokio::test]
async fn a_token_is_forgotten_after_its_time_or_ignored() {
    let emulator = Emulator::start(Config::default()).await.expect("an emulator");
    let client = athena(&emulator);
    let first = started(&client, "token").await;
    emulator.configure(|config| config.token_memory = Some(Duration::ZERO));
    let second = started(&client, "token").await;
    assert_ne!(first, second);
    emulator.configure(|config| config.token_memory = None);
    assert_eq!(started(&client, "token").await, second);
    emulator.configure(|config| config.ignore_token = true);
    assert_ne!(started(&client, "token").await, second);
}

#[tokio::test]
async fn a_token_is_required_unless_configured_otherwise() {
    let emulator = Emulator::start(Config::default()).await.expect("an emulator");
    let client = athena(&emulator);
    let without = || start(&client, "").set_client_request_token(None).send();
    let (code, message) = error(without().await);
    assert_eq!(
        (code.as_str(), message.as_str()),
        ("InvalidRequestException", "clientRequestToken is null or empty")
    );
    emulator.configure(|config| config.require_token = false);
    let ids = [without().await, without().await].map(|output| output.expect("a session").session_id);
    assert_ne!(ids[0], ids[1]);
}

#[tokio::test]
async fn an_idle_session_ends_after_its_timeout_with_the_reason_of_any_stop() {
    let config = Config {
        idle_minute: Duration::from_millis(10),
        ..quick()
    };
    let emulator = Emulator::start(config).await.expect("an emulator");
    let client = athena(&emulator);
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
    let config = Config {
        stick_in: Some(states::CREATING.to_owned()),
        ignore_terminate: true,
        ..quick()
    };
    let emulator = Emulator::start(config).await.expect("an emulator");
    let client = athena(&emulator);
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
    let config = Config {
        start_state: states::IDLE.to_owned(),
        ..Config::default()
    };
    let emulator = Emulator::start(config).await.expect("an emulator");
    let output = start(&athena(&emulator), "idle").send().await.expect("a session");
    assert_eq!(output.state, Some(SessionState::Idle));
}

#[tokio::test]
async fn a_list_is_newest_first_and_of_active_sessions_of_the_group() {
    let emulator = Emulator::start(quick()).await.expect("an emulator");
    let client = athena(&emulator);
    let mut ids = Vec::new();
    for name in ["idle", "busy", "degraded", "failed", "stopped", "terminated"] {
        ids.push(started(&client, name).await);
    }
    emulator.create_foreign("pyspark-3", None);
    for (id, state) in ids[1..].iter().zip(["BUSY", "DEGRADED", "FAILED", "STOPPED", "TERMINATED"]) {
        let change = Change::State {
            state: state.to_owned(),
            reason: None,
        };
        emulator.set_state(id, change).expect("a session");
    }
    assert_eq!(listed(&client).await, [ids[1].clone(), ids[0].clone()]);
    for (filter, count) in [
        (SessionState::Idle, 1),
        (SessionState::Busy, 1),
        (SessionState::Terminated, 0),
        (SessionState::Degraded, 0),
    ] {
        let list = client.list_sessions().work_group("spark-35").state_filter(filter.clone());
        assert_eq!(list.send().await.expect("a list").sessions().len(), count, "{filter}");
    }
}

#[tokio::test]
async fn a_list_comes_in_pages() {
    let emulator = Emulator::start(quick()).await.expect("an emulator");
    let client = athena(&emulator);
    let mut ids: Vec<_> = (0..52).map(|_| emulator.create_foreign("spark-35", None)).collect();
    ids.reverse();
    assert_eq!(listed(&client).await, ids[..50]);

    let (mut seen, mut next) = (Vec::new(), None);
    loop {
        let page = client.list_sessions().work_group("spark-35").max_results(20).set_next_token(next).send();
        let page = page.await.expect("a page");
        seen.extend(page.sessions().iter().filter_map(|session| session.session_id.clone()));
        // A session that starts meanwhile is newer than every page to come.
        emulator.create_foreign("spark-35", None);
        next = page.next_token;
        if next.is_none() {
            break;
        }
    }
    assert_eq!(seen, ids);

    let full = client
        .list_sessions()
        .work_group("spark-35")
        .max_results(55)
        .send()
        .await
        .expect("a page");
    assert_eq!((full.sessions().len(), full.next_token()), (55, None));
    let first = client.list_sessions().work_group("spark-35").max_results(1).send().await.expect("a page");
    let foreign = client
        .list_sessions()
        .work_group("pyspark-3")
        .set_next_token(first.next_token)
        .send()
        .await;
    assert_eq!(error(foreign).0, "InvalidRequestException");
    for bad in ["", "zz", "30", "ffff"] {
        let page = client.list_sessions().work_group("spark-35").next_token(bad).send().await;
        assert_eq!(error(page).0, "InvalidRequestException");
    }
}

#[tokio::test]
async fn lists_and_reads_may_lag_behind_a_start() {
    let config = Config {
        list_lag: Duration::from_hours(1),
        get_lag: Duration::from_hours(1),
        ..quick()
    };
    let emulator = Emulator::start(config).await.expect("an emulator");
    let client = athena(&emulator);
    let id = started(&client, "lag").await;
    assert!(listed(&client).await.is_empty());
    let (code, message) = error(client.get_session().session_id(&id).send().await);
    assert_eq!(
        (code, message),
        ("ResourceNotFoundException".to_owned(), format!("Session {id} was not found"))
    );
    assert_eq!(
        error(client.get_session_status().session_id(&id).send().await).0,
        "ResourceNotFoundException"
    );
    emulator.configure(|config| config.list_lag = Duration::ZERO);
    assert_eq!(listed(&client).await, [id.clone()]);
    emulator.configure(|config| config.get_lag = Duration::ZERO);
    assert_eq!(state(&client, &id).await, states::IDLE);
}

#[tokio::test]
async fn an_ended_session_may_be_forgotten() {
    let emulator = Emulator::start(quick()).await.expect("an emulator");
    let client = athena(&emulator);
    let id = started(&client, "forgotten").await;
    client.terminate_session().session_id(&id).send().await.expect("a reply");
    assert_eq!(state(&client, &id).await, states::TERMINATED);
    emulator.configure(|config| config.forget_ended_after = Some(Duration::ZERO));
    assert_eq!(error(client.get_session().session_id(&id).send().await).0, "ResourceNotFoundException");
    assert_eq!(
        error(client.terminate_session().session_id(&id).send().await).0,
        "ResourceNotFoundException"
    );
}

#[tokio::test]
async fn quotas_have_their_texts_and_ended_sessions_make_room() {
    let config = Config {
        max_sessions: Some(2),
        max_dpus: Some(8),
        ..quick()
    };
    let emulator = Emulator::start(config).await.expect("an emulator");
    let client = athena(&emulator);
    let id = started(&client, "one").await;
    let engine = EngineConfiguration::builder().max_concurrent_dpus(5).build();
    let (code, message) = error(start(&client, "big").engine_configuration(engine).send().await);
    assert_eq!(code, "InvalidRequestException");
    assert_eq!(
        message,
        "Failed to Provision session due to required capacity not being available for the account"
    );
    started(&client, "two").await;
    let (code, message) = error(start(&client, "three").send().await);
    assert_eq!(
        (code.as_str(), message.as_str()),
        ("InvalidRequestException", "Maximum allowed sessions reached")
    );
    assert_eq!(started(&client, "one").await, id);
    client.terminate_session().session_id(&id).send().await.expect("a reply");
    started(&client, "three").await;
}

#[tokio::test]
async fn the_rate_is_of_all_operations_together() {
    let config = Config {
        rate: Some(Rate { per_second: 0.001, burst: 2 }),
        ..Config::default()
    };
    let emulator = Emulator::start(config).await.expect("an emulator");
    let client = athena(&emulator);
    listed(&client).await;
    started(&client, "one").await;
    let (code, message) = error(client.get_session().session_id("any").send().await);
    assert_eq!((code.as_str(), message.as_str()), ("ThrottlingException", "Rate exceeded"));
    emulator.configure(|config| config.rate = None);
    listed(&client).await;
}

#[tokio::test]
async fn a_work_group_must_exist_be_enabled_and_be_spark() {
    let emulator = Emulator::start(Config::default()).await.expect("an emulator");
    let client = athena(&emulator);
    for (group, text) in [
        ("none", "WorkGroup is not found."),
        ("sql", "Workgroup EngineVersion is not Spark."),
        ("disabled", "WorkGroup is disabled."),
    ] {
        let (code, message) = error(start(&client, "group").work_group(group).send().await);
        assert_eq!((code.as_str(), message.as_str()), ("InvalidRequestException", text));
    }
    assert_eq!(error(client.list_sessions().work_group("none").send().await).1, "WorkGroup is not found.");
}

#[tokio::test]
async fn a_reserved_property_makes_the_session_fail_and_not_the_call() {
    let emulator = Emulator::start(quick()).await.expect("an emulator");
    let client = athena(&emulator);
    let engine = EngineConfiguration::builder().spark_properties("spark.athena.x", "1").build();
    let output = start(&client, "doomed").work_group("pyspark-3").engine_configuration(engine).send().await;
    let id = output.expect("a session").session_id.expect("an id");
    let status = client
        .get_session_status()
        .session_id(&id)
        .send()
        .await
        .expect("a reply")
        .status
        .expect("a status");
    assert_eq!(status.state, Some(SessionState::Failed));
    assert!(status.state_change_reason.is_some_and(|reason| reason.contains("spark.athena.x")));
    assert!(status.end_date_time.is_some());
}

#[tokio::test]
async fn a_session_has_at_most_fifty_tags() {
    let emulator = Emulator::start(Config::default()).await.expect("an emulator");
    let client = athena(&emulator);
    let tags = |count| {
        (0..count)
            .map(|number| Tag::builder().key(number.to_string()).value("").build())
            .collect()
    };
    start(&client, "fifty").set_tags(Some(tags(50))).send().await.expect("a session");
    let refused = start(&client, "more").set_tags(Some(tags(51))).send().await;
    assert_eq!(error(refused).0, "InvalidRequestException");
}

#[tokio::test]
async fn a_session_can_vanish_and_be_stopped_from_outside() {
    let emulator = Emulator::start(quick()).await.expect("an emulator");
    let client = athena(&emulator);
    let id = started(&client, "vanishing").await;
    let other = emulator.create_foreign("spark-35", None);
    assert_eq!(listed(&client).await.len(), 2);
    emulator.set_state(&id, Change::Vanish).expect("a session");
    assert_eq!(listed(&client).await, [other.clone()]);
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
