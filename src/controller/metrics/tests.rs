use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use http::{Method, StatusCode};
use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};

use super::names::OTHER as OTHERS;
use super::*;
use crate::api::AthenaSession;
use crate::session::local_state::LocalState;
use crate::session::reply::{Details, Look, Session};

const HOUR: Duration = Duration::from_hours(1);

fn object(value: &Value) -> AthenaSession {
    let mut object = json!({ "apiVersion": "athena-operator.io/v1alpha1", "kind": "AthenaSession", "spec": { "workGroup": "etl" } });
    harness::merge(&mut object, value);
    serde_json::from_value(object).expect("an object")
}

fn ready(status: &str, reason: &str, since: &str) -> Value {
    json!([{ "type": "Ready", "status": status, "reason": reason, "message": "", "lastTransitionTime": since }])
}

fn idle(namespace: &str, work_group: &str, id: &str, started: &str) -> AthenaSession {
    object(&json!({
        "metadata": { "name": id, "namespace": namespace },
        "spec": { "workGroup": work_group },
        "status": { "conditions": ready("True", "SessionIdle", started), "sessionId": id, "state": "IDLE", "attempt": 0, "startTime": started },
    }))
}

fn noon() -> Timestamp {
    "2026-01-01T12:00:00Z".parse().expect("a time")
}

fn scraped(objects: Objects<'_>) -> Scraped<'_> {
    Scraped {
        objects,
        observations: Vec::new(),
        backlog: Backlog::default(),
        refused: vec!["closed".into()],
        clock_skew: Some(SignedDuration::from_secs(-400)),
        tasks: 3,
        lease: "lease",
        leads: true,
    }
}

/// Returns the samples of a text, by name and labels.
fn samples(text: &str) -> BTreeMap<String, f64> {
    let sample = |line: &str| {
        line.rsplit_once(' ').map(|(name, value)| (name.to_owned(), value.parse().expect("a number")))
    };
    text.lines().filter(|line| !line.starts_with('#')).filter_map(sample).collect()
}

/// Creates metrics with a sample of each.
fn full() -> (Metrics, String) {
    let metrics = Metrics::default();
    metrics.athena.called("StartSession", "ok", HOUR);
    metrics.rest_client.requested(&Method::PATCH, Some(StatusCode::CONFLICT), HOUR);
    metrics.rest_client.requested(&Method::GET, None, HOUR);
    metrics.reconciles.set_max_concurrent(32);
    metrics.written("status", "ok");
    let changes = Changes {
        start: Some(SignedDuration::from_secs(7)),
        restart: None,
        end: Some("SessionFailed"),
        dpu_millis: 5,
    };
    metrics.changed(&changes, "team", "etl");
    metrics.retained("team", "adhoc");
    let deleting = object(&json!({
        "metadata": { "name": "d", "namespace": "team", "deletionTimestamp": "2026-01-01T11:59:00Z", "finalizers": [crate::api::FINALIZER] },
    }));
    let objects = [idle("team", "etl", "s", "2026-01-01T11:00:00Z"), deleting];
    let observation = Observation {
        work_group: "etl".into(),
        age: Duration::from_secs(9),
        unclaimed: Some(["s", "foreign", "strange"].map(str::to_owned).into()),
    };
    let scraped =
        Scraped { observations: vec![observation], ..scraped(tally(objects.iter().map(Ok), noon(), noon())) };
    let text = metrics.encode(&scraped, Instant::now());
    (metrics, text)
}

#[test]
fn the_table_is_what_is_shown() {
    let (_, text) = full();
    let told = |word: &str| -> BTreeMap<String, String> {
        let line = |line: &str| {
            line.strip_prefix(word)?.split_once(' ').map(|(name, rest)| (name.to_owned(), rest.to_owned()))
        };
        text.lines().filter_map(line).collect()
    };
    let (kinds, helps) = (told("# TYPE "), told("# HELP "));
    assert_eq!(kinds.len(), table().len());
    for row in table() {
        let family = if row.kind.as_str() == "counter" {
            row.name.strip_suffix("_total").expect(row.name)
        } else {
            row.name
        };
        assert_eq!(kinds.get(family).map(String::as_str), Some(row.kind.as_str()), "{}", row.name);
        assert_eq!(helps.get(family), Some(&format!("{}.", row.help)));
        let name = if row.kind.as_str() == "histogram" {
            format!("{}_count", row.name)
        } else {
            row.name.to_owned()
        };
        let samples = samples(&text);
        let sample = samples
            .keys()
            .find(|sample| sample.split('{').next() == Some(&name))
            .unwrap_or_else(|| panic!("{name} has no sample"));
        let labels = sample.trim_end_matches('}').split_once('{').map_or("", |(_, labels)| labels);
        let labels: Vec<&str> = labels
            .split(',')
            .filter_map(|label| label.split('=').next())
            .filter(|label| !label.is_empty())
            .collect();
        assert_eq!(labels, row.labels, "{name}");
    }
}

#[test]
fn values_are_those_that_were_counted_and_found() {
    let (_, text) = full();
    let samples = samples(&text);
    for (sample, value) in [
        ("athena_operator_athenasessions{namespace=\"team\",ready=\"True\",reason=\"SessionIdle\"}", 1.0),
        ("athena_operator_athenasessions{namespace=\"team\",ready=\"Unknown\",reason=\"Unknown\"}", 1.0),
        ("athena_operator_sessions{work_group=\"etl\",state=\"IDLE\"}", 1.0),
        ("athena_operator_session_age_seconds{namespace=\"team\",work_group=\"etl\"}", 3600.0),
        ("athena_operator_deletion_age_seconds{namespace=\"team\"}", 60.0),
        ("athena_operator_start_duration_seconds_sum{work_group=\"etl\"}", 7.0),
        ("athena_operator_start_duration_seconds_bucket{le=\"5.0\",work_group=\"etl\"}", 0.0),
        ("athena_operator_start_duration_seconds_bucket{le=\"10.0\",work_group=\"etl\"}", 1.0),
        ("athena_operator_ends_total{reason=\"SessionFailed\"}", 1.0),
        ("athena_operator_ends_total{reason=\"IdleTimeout\"}", 0.0),
        ("athena_operator_restarts_total{reason=\"SessionFailed\"}", 0.0),
        ("athena_operator_dpu_milliseconds_total{namespace=\"team\",work_group=\"etl\"}", 5.0),
        ("athena_operator_retained_sessions_total{namespace=\"team\",work_group=\"adhoc\"}", 1.0),
        // Shown as long as the session lives, so that the first one that is retained is an increase.
        ("athena_operator_retained_sessions_total{namespace=\"team\",work_group=\"etl\"}", 0.0),
        ("athena_operator_work_group_observation_age_seconds{work_group=\"etl\"}", 9.0),
        ("athena_operator_foreign_sessions{work_group=\"etl\"}", 2.0),
        ("athena_operator_athena_calls_total{operation=\"StartSession\",code=\"ok\"}", 1.0),
        ("athena_operator_athena_calls_total{operation=\"StartSession\",code=\"ThrottlingException\"}", 0.0),
        ("rest_client_requests_total{code=\"409\",method=\"PATCH\"}", 1.0),
        ("rest_client_requests_total{code=\"<error>\",method=\"GET\"}", 1.0),
        ("rest_client_request_duration_seconds_sum{verb=\"PATCH\"}", 3600.0),
        ("controller_runtime_max_concurrent_reconciles{controller=\"athenasession\"}", 32.0),
        ("leader_election_master_status{name=\"lease\"}", 1.0),
        ("athena_operator_tasks{}", 3.0),
        ("workqueue_adds_total{name=\"athenasession\"}", 0.0),
        ("workqueue_depth{name=\"athenasession\"}", 0.0),
    ] {
        assert_eq!(samples.get(sample), Some(&value), "{sample}\n{text}");
    }
}

#[test]
fn a_reconcile_is_active_until_it_is_counted() {
    let metrics = Metrics::default();
    let shown = |name: &str| {
        samples(&metrics.encode(&scraped(Objects::default()), Instant::now())).get(name).copied()
    };
    let active = "controller_runtime_active_workers{controller=\"athenasession\"}";
    assert_eq!(shown(active), Some(0.0));
    metrics.reconciles.begun();
    metrics.reconciles.begun();
    assert_eq!(shown(active), Some(2.0));
    metrics.reconciles.ended(true, Duration::ZERO);
    metrics.reconciles.ended(false, Duration::ZERO);
    assert_eq!(shown(active), Some(0.0));
    assert_eq!(
        shown("controller_runtime_reconcile_total{controller=\"athenasession\",result=\"success\"}"),
        Some(1.0)
    );
    assert_eq!(
        shown("controller_runtime_reconcile_total{controller=\"athenasession\",result=\"error\"}"),
        Some(1.0)
    );
    assert_eq!(shown("controller_runtime_reconcile_errors_total{controller=\"athenasession\"}"), Some(1.0));
}

#[test]
fn what_is_gone_is_shown_no_more_and_counters_an_hour_later() {
    let (metrics, _) = full();
    let shown = |after: Duration| metrics.encode(&scraped(Objects::default()), Instant::now() + after);
    for (after, counted) in [(HOUR / 2, true), (HOUR * 2, false)] {
        let text = shown(after);
        for gauge in [
            "athena_operator_athenasessions{",
            "_sessions{work_group",
            "_age_seconds{",
            "athena_operator_foreign_sessions{",
        ] {
            assert!(!text.contains(gauge), "{text}");
        }
        for counter in
            ["dpu_milliseconds_total{", "retained_sessions_total{", "start_duration_seconds_count{"]
                .map(|name| format!("athena_operator_{name}"))
        {
            assert_eq!(text.contains(&counter), counted, "{text}");
        }
    }
}

#[test]
fn names_beyond_the_bound_are_summed_and_their_oldest_is_shown() {
    let metrics = Metrics::default();
    let number = MAX_LABELS + 3;
    let objects: Vec<AthenaSession> = (0..number)
        .map(|number| {
            let started = Timestamp::from_second(noon().as_second() - i64::try_from(number).expect("a few"))
                .expect("a time")
                .to_string();
            idle(&format!("n-{number:03}"), &format!("w-{number:03}"), &format!("s-{number}"), &started)
        })
        .collect();
    let changes = Changes { dpu_millis: 1, start: Some(SignedDuration::ZERO), ..Changes::default() };
    metrics.encode(&scraped(tally(objects.iter().map(Ok), noon(), noon())), Instant::now());
    for object in &objects {
        let namespace = object.metadata.namespace.as_deref().expect("a namespace");
        metrics.changed(&changes, namespace, &object.spec.work_group);
        metrics.retained(namespace, &object.spec.work_group);
    }
    let samples =
        samples(&metrics.encode(&scraped(tally(objects.iter().map(Ok), noon(), noon())), Instant::now()));
    for (sample, value) in [
        (
            format!(
                "athena_operator_athenasessions{{namespace=\"{OTHERS}\",ready=\"True\",reason=\"SessionIdle\"}}"
            ),
            3.0,
        ),
        (format!("athena_operator_sessions{{work_group=\"{OTHERS}\",state=\"IDLE\"}}"), 3.0),
        (
            format!("athena_operator_session_age_seconds{{namespace=\"{OTHERS}\",work_group=\"{OTHERS}\"}}"),
            202.0,
        ),
        (
            format!(
                "athena_operator_dpu_milliseconds_total{{namespace=\"{OTHERS}\",work_group=\"{OTHERS}\"}}"
            ),
            3.0,
        ),
        (
            format!(
                "athena_operator_retained_sessions_total{{namespace=\"{OTHERS}\",work_group=\"{OTHERS}\"}}"
            ),
            3.0,
        ),
        (format!("athena_operator_start_duration_seconds_count{{work_group=\"{OTHERS}\"}}"), 3.0),
    ] {
        assert_eq!(samples.get(&sample), Some(&value), "{sample}");
        let metric = sample.split('{').next().expect("a name");
        assert_eq!(
            samples.keys().filter(|sample| sample.split('{').next() == Some(metric)).count(),
            MAX_LABELS + 1,
            "{metric}"
        );
    }
    let states: BTreeSet<_> = (0..number).map(|number| format!("STATE_{number}")).collect();
    let objects: Vec<_> = states
        .iter()
        .map(|state| object(&json!({ "metadata": {}, "status": { "sessionId": state, "state": state } })))
        .collect();
    let text = metrics.encode(&scraped(tally(objects.iter().map(Ok), noon(), noon())), Instant::now());
    assert!(text.lines().filter(|line| line.contains("state=\"STATE_")).count() < MAX_LABELS, "{text}");
}

#[test]
fn objects_come_to_counts_and_ages() {
    let running = idle("a", "etl", "s-1", "2026-01-01T11:59:30Z");
    let older = idle("a", "etl", "s-2", "2026-01-01T11:58:30Z");
    let mut over = idle("b", "adhoc", "s-3", "2026-01-01T01:00:00Z");
    over.status.get_or_insert_default().end_reason = Some(EndReason::IdleTimeout);
    let fresh = object(&json!({ "metadata": { "namespace": "b" } }));
    let started = object(
        &json!({ "metadata": { "namespace": "b" }, "status": { "sessionId": "s-4", "attemptTime": "2026-01-01T11:59:59Z" } }),
    );
    let finalizers = [crate::api::FINALIZER];
    let deleting = |held: bool, time: &str| {
        let finalizers = if held { &finalizers[..] } else { &[] };
        object(
            &json!({ "metadata": { "namespace": "c", "deletionTimestamp": time, "finalizers": finalizers } }),
        )
    };
    // A deletion that only another finalizer holds up does not wait for the operator.
    let deletions =
        [("2026-01-01T11:59:50Z", true), ("2026-01-01T11:59:55Z", true), ("2026-01-01T11:00:00Z", false)];
    let deletions = deletions.map(|(time, held)| deleting(held, time));
    let unreadable = deleting(true, "2026-01-01T11:59:00Z").metadata;
    let strange = object(
        &json!({ "metadata": { "namespace": "d" }, "status": { "conditions": ready("Perhaps", "Why", "2026-01-01T00:00:00Z") } }),
    );
    let readable =
        [&running, &older, &over, &fresh, &started, &strange].into_iter().chain(&deletions).map(Ok);
    let all = tally(readable.chain([Err(&unreadable)]), noon(), noon());

    let counts = [
        (("a", "True", "SessionIdle"), 2),
        (("b", "True", "SessionIdle"), 1),
        (("b", UNKNOWN_LABEL, UNKNOWN_LABEL), 2),
        (("c", "False", crate::session::invalid_object::REASON), 1),
        (("c", UNKNOWN_LABEL, UNKNOWN_LABEL), 3),
        (("d", UNKNOWN_LABEL, "Why"), 1),
    ];
    assert_eq!(all.counts, BTreeMap::from(counts));
    assert_eq!(all.sessions, BTreeMap::from([(("etl", "IDLE"), 2), (("etl", UNKNOWN_LABEL), 1)]));
    let age = SignedDuration::from_secs;
    assert_eq!(all.session_ages, BTreeMap::from([(("a", "etl"), age(90)), (("b", "etl"), age(1))]));
    assert_eq!(all.deletion_ages, BTreeMap::from([("c", age(60))]));
    assert_eq!(all.work_groups, BTreeSet::from(["adhoc", "etl"]));
    assert_eq!(all.session_ids, BTreeSet::from(["s-1", "s-2", "s-3", "s-4"]));
}

/// Creates an object with this status and generation, created at 10:00.
fn with(generation: i64, status: &Value) -> AthenaSession {
    object(
        &json!({ "metadata": { "creationTimestamp": "2026-01-01T10:00:00Z", "generation": generation }, "status": status }),
    )
}

/// Returns the changes when the status of `before` has become that of `after`.
fn new(before: &AthenaSession, after: &AthenaSession) -> Changes {
    changes(before, after.status.as_ref().expect("a status"), SignedDuration::ZERO)
}

#[test]
fn a_start_is_counted_once_from_creation_or_resume() {
    let (first, later, was_ready) = ("2026-01-01T10:00:05Z", "2026-01-01T11:00:05Z", "2026-01-01T11:00:20Z");
    let creating = |generation, ready_since: &str, first: &str| {
        let conditions = ready("Unknown", "SessionCreated", ready_since);
        with(
            generation,
            &json!({ "attempt": 1, "sessionId": "s", "startTime": later, "firstStartTime": first, "conditions": conditions }),
        )
    };
    let is_idle = |before: &AthenaSession| {
        let mut after = before.clone();
        after.status.get_or_insert_default().ready_time =
            Some(serde_json::from_value(json!(was_ready)).expect("a time"));
        after
    };
    let started = |seconds| Changes { start: Some(SignedDuration::from_secs(seconds)), ..Changes::default() };
    let fresh = creating(1, later, later);
    assert_eq!(new(&fresh, &is_idle(&fresh)), started(3620), "from its creation on");
    let resumed = creating(2, "2026-01-01T11:00:00Z", later);
    assert_eq!(new(&resumed, &is_idle(&resumed)), started(20));
    let restarted = creating(1, later, first);
    assert_eq!(new(&restarted, &is_idle(&restarted)), Changes::default(), "a restart is no start");
    assert_eq!(new(&is_idle(&fresh), &is_idle(&fresh)), Changes::default());
    let ahead = creating(2, "2026-01-01T12:00:00Z", later);
    assert_eq!(new(&ahead, &is_idle(&ahead)), started(0), "whoever's clock is ahead");
}

#[test]
fn an_end_and_its_dpu_time_are_counted_once() {
    let live = with(1, &json!({ "attempt": 0, "sessionId": "s", "state": "IDLE" }));
    let over = |reason: &str, millis: Value| {
        let mut status =
            json!({ "attempt": 0, "sessionId": "s", "state": "TERMINATED", "endReason": reason });
        if !millis.is_null() {
            status["dpuExecutionInMillis"] = millis;
        }
        with(1, &status)
    };
    let ended = |end, dpu_millis| Changes { end: Some(end), dpu_millis, ..Changes::default() };
    let idled_out = over("IdleTimeout", json!(1200));
    assert_eq!(new(&live, &idled_out), ended("IdleTimeout", 1200));
    assert_eq!(new(&idled_out, &idled_out), Changes::default(), "nor again after a restart of the operator");
    assert_eq!(new(&live, &over("SessionVanished", Value::Null)), ended("SessionVanished", 0));
    assert_eq!(new(&live, &over("FromTheFuture", Value::Null)), ended(OTHER, 0));
    for word in EndReason::WORDS {
        assert_eq!(new(&live, &over(word, Value::Null)), ended(word, 0));
    }
}

#[test]
fn a_restart_is_counted_with_the_end_before_it() {
    let over = with(
        1,
        &json!({ "attempt": 0, "sessionId": "s", "endReason": "SessionFailed", "dpuExecutionInMillis": 7 }),
    );
    let next = with(1, &json!({ "attempt": 1 }));
    assert_eq!(new(&over, &next), Changes { restart: Some("SessionFailed"), ..Changes::default() });
    let unstarted = with(2, &json!({ "attempt": 0, "endReason": "Suspended" }));
    assert_eq!(
        new(&unstarted, &with(2, &json!({ "attempt": 0 }))),
        Changes::default(),
        "the same attempt again"
    );
    assert_eq!(
        new(&with(1, &json!({})), &with(1, &json!({ "attempt": 0 }))),
        Changes::default(),
        "the first"
    );
}

#[test]
fn a_session_that_ends_with_its_object_is_counted_when_that_is_let_go() {
    let recorded = json!({ "attempt": 0, "attemptTime": "2026-01-01T10:00:00Z", "region": "r", "sessionId": "s", "state": "TERMINATING" });
    let live = with(1, &recorded);
    let seen = |state: &str, millis| {
        let details = Details { dpu_execution_in_millis: millis, ..Details::default() };
        Look::Seen(Session {
            id: "s".into(),
            state: state.into(),
            details: Some(Box::new(details)),
            ..Session::default()
        })
    };
    let deleted = |dpu_millis| Changes { end: Some(DELETED), dpu_millis, ..Changes::default() };
    let new = |object: &AthenaSession, look: Option<Look>| {
        changes_of_release(object, &LocalState::default(), look.as_ref())
    };
    assert_eq!(new(&live, Some(seen("TERMINATED", Some(9)))), deleted(9));
    assert_eq!(new(&live, Some(seen("FAILED", None))), deleted(0));
    assert_eq!(new(&live, Some(Look::NotFound { named: true })), deleted(0), "it has vanished");
    let mut retained = live.clone();
    retained.spec.deletion_policy = crate::api::DeletionPolicy::Retain;
    for look in [None, Some(seen("IDLE", Some(9))), Some(Look::NotFound { named: true })] {
        assert_eq!(new(&retained, look), Changes::default(), "it runs on");
    }
    let mut over = live.clone();
    over.status.get_or_insert_default().end_reason = Some(EndReason::IdleTimeout);
    assert_eq!(new(&over, None), Changes::default(), "its end was counted when it was recorded");
    assert_eq!(new(&with(1, &json!({})), None), Changes::default());
}
