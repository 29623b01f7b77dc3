//! The control API.

use athena_emulator::{Call, Config, Emulator, SessionRecord};
use serde_json::{Value, json};

use crate::client::{control, listed, quick, quick_world, start, started, state, token};

#[tokio::test]
async fn calls_are_journaled_in_order() {
    let (emulator, client) = quick_world().await;
    let id = started(&client, "journal").await;
    state(&client, &id).await;
    let _refused = start(&client, "journal").description("changed").send().await;
    let (status, body) = control(&emulator.url(), "GET", "calls", "").await;
    assert_eq!(status, 200);
    let calls: Vec<Call> = serde_json::from_value(body).expect("calls");
    assert_eq!(calls, emulator.calls());
    let seen: Vec<_> =
        calls.iter().map(|call| (call.number, call.operation.as_str(), call.outcome.to_string())).collect();
    let expected = [
        (1, "StartSession", "ok".to_owned()),
        (2, "GetSessionStatus", "ok".to_owned()),
        (3, "StartSession", "InvalidRequestException".to_owned()),
    ];
    assert_eq!(seen, expected);
    assert_eq!(calls[0].token, Some(token("journal")));
    assert_eq!(calls[0].session_id, Some(id.clone()));
    assert_eq!(calls[0].access_key_id.as_deref(), Some("test"));
    assert_eq!(calls[0].request["EngineConfiguration"], json!({"MaxConcurrentDpus": 4}));
    assert_eq!(calls[1].session_id, Some(id));
    assert_eq!(calls[2].session_id, None);

    assert_eq!(control(&emulator.url(), "DELETE", "calls", "").await, (200, json!([])));
    listed(&client).await;
    let numbers: Vec<_> = emulator.calls().iter().map(|call| call.number).collect();
    assert_eq!(numbers, [4]);
}

#[tokio::test]
async fn sessions_are_made_and_changed() {
    let (emulator, client) = quick_world().await;
    let url = emulator.url();
    let (status, made) =
        control(&url, "POST", "sessions", r#"{"work_group": "spark-35", "description": "foreign"}"#).await;
    assert_eq!((status, &made["description"], &made["token"]), (201, &json!("foreign"), &Value::Null));
    let id = made["session_id"].as_str().expect("an id").to_owned();
    assert_eq!(listed(&client).await, std::slice::from_ref(&id));

    let path = format!("sessions/{id}");
    let (status, changed) =
        control(&url, "POST", &path, r#"{"set": "DEGRADED", "reason": "no coordinator"}"#).await;
    assert_eq!(
        (status, &changed["state"], &changed["reason"]),
        (200, &json!("DEGRADED"), &json!("no coordinator"))
    );
    assert_eq!(state(&client, &id).await, "DEGRADED");
    control(&url, "POST", &path, r#"{"set": "IDLE"}"#).await;
    control(&url, "POST", &path, r#"{"set": "idle-out"}"#).await;
    assert_eq!(state(&client, &id).await, "TERMINATED");

    let other = emulator.create_foreign("spark-35", None);
    control(&url, "POST", &format!("sessions/{other}"), r#"{"set": "vanish"}"#).await;
    let stopped = emulator.create_foreign("spark-35", None);
    control(&url, "POST", &format!("sessions/{stopped}"), r#"{"set": "terminate"}"#).await;
    let (_, body) = control(&url, "GET", "sessions", "").await;
    let sessions: Vec<SessionRecord> = serde_json::from_value(body).expect("sessions");
    let ends: Vec<_> =
        sessions.iter().map(|session| (session.state.as_str(), session.vanished, session.live)).collect();
    assert_eq!(ends, [("TERMINATED", false, false), ("IDLE", true, false), ("TERMINATED", false, false)]);
}

#[tokio::test]
async fn faults_and_configuration_are_replaced() {
    let (emulator, client) = quick_world().await;
    let url = emulator.url();
    let rules = r#"[{"operation": "StartSession", "kind": "throttle", "times": 1}]"#;
    assert_eq!(control(&url, "PUT", "faults", rules).await.0, 200);
    assert_eq!(control(&url, "GET", "faults", "").await.1[0]["kind"], json!("throttle"));
    assert!(start(&client, "one").send().await.is_err());
    assert_eq!(control(&url, "GET", "faults", "").await.1, json!([]));
    let id = started(&client, "one").await;

    let (status, config) =
        control(&url, "PUT", "config", r#"{"deny": ["GetSessionStatus"], "creating": "250ms"}"#).await;
    assert_eq!((status, &config["creating"], &config["created"]), (200, &json!("250ms"), &json!("1s")));
    assert_eq!(control(&url, "GET", "config", "").await.1, config);
    assert!(client.get_session_status().session_id(&id).send().await.is_err());
    assert!(client.get_session().session_id(&id).send().await.is_ok());
    let read: Config = serde_json::from_value(config).expect("a configuration");
    assert_eq!(read.deny, ["GetSessionStatus"]);
}

#[tokio::test]
async fn what_cannot_be_understood_is_refused_with_a_reason() {
    let emulator = Emulator::start(quick()).await.expect("an emulator");
    let url = emulator.url();
    for (method, path, body, status, text) in [
        ("PUT", "config", r#"{"latencies": "1s"}"#, 400, "latencies"),
        ("PUT", "config", r#"{"latency": "soon"}"#, 400, "duration"),
        ("PUT", "faults", r#"[{"operation": "*", "kind": "explode"}]"#, 400, "explode"),
        ("PUT", "faults", r#"[{"operation": "*", "kind": "throttle", "time": 1}]"#, 400, "time"),
        ("POST", "sessions/nobody", r#"{"set": "BUSY"}"#, 404, "nobody"),
        ("POST", "sessions", "", 400, "EOF"),
        ("GET", "nothing", "", 404, "nothing"),
    ] {
        let (found, body) = control(&url, method, path, body).await;
        assert_eq!(found, status, "{method} {path}");
        assert!(body["error"].as_str().is_some_and(|error| error.contains(text)), "{body}");
    }
    assert_eq!(control(&url, "GET", "healthz", "").await, (200, json!({"status": "ok"})));
}

#[test]
fn a_configuration_file_is_yaml_or_json() {
    let yaml = "region: eu-west-1\nlatency: 50ms\nrate: {per_second: 5, burst: 10}\ncreating: 1m 30s\ntoken_memory: 10s\n\
                work_groups:\n  - {name: etl, engine: Apache Spark version 3.5, state: DISABLED}\n";
    let config = Config::parse(yaml).expect("a configuration");
    assert_eq!(config.region.as_deref(), Some("eu-west-1"));
    assert_eq!(config.creating.as_secs(), 90);
    assert_eq!(config.work_groups.len(), 1);
    let json = serde_json::to_string(&config).expect("json");
    assert_eq!(Config::parse(&json), Ok(config));
    assert_eq!(Config::parse(""), Ok(Config::default()));
    assert!(Config::parse("regions: eu-west-1").is_err_and(|error| error.contains("regions")));
}
