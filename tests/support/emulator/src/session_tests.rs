use super::*;
use crate::state::BUSY;

fn at(seconds: i64) -> Timestamp {
    Timestamp::UNIX_EPOCH + SignedDuration::from_secs(1_700_000_000 + seconds)
}

fn session(doom: Option<&str>) -> Session {
    let start = Start {
        id: "s".to_owned(),
        token: None,
        work_group: "spark-35".to_owned(),
        engine_version: crate::WorkGroup::SPARK_3_5.to_owned(),
        description: None,
        request: Value::Null,
        engine_configuration: Value::Null,
        execution_role: None,
        idle_minutes: 2,
        dpus: 2,
        doom: doom.map(str::to_owned),
    };
    Session::new(start, CREATING, at(0))
}

fn states(session: &Session) -> Vec<(&str, Timestamp)> {
    session.states.iter().map(|entered| (entered.state.as_str(), entered.at)).collect()
}

#[test]
fn a_session_nobody_looked_at_has_entered_each_state_in_time() {
    let mut session = session(None);
    session.settle(&Config::default(), at(1000));
    let expected =
        [(CREATING, at(0)), (CREATED, at(1)), (IDLE, at(2)), (TERMINATING, at(122)), (TERMINATED, at(123))];
    assert_eq!(states(&session), expected);
    assert_eq!(session.reason(), Some(TERMINATED_PER_REQUEST));
    assert_eq!(session.ended(), Some(at(123)));
    assert_eq!(session.billed(at(1000)), SignedDuration::from_secs(123));
}

#[test]
fn an_idle_session_may_be_ended_late() {
    let mut session = session(None);
    let late = Config { idle_late: Duration::from_mins(5), ..Config::default() };
    session.settle(&late, at(421));
    assert_eq!(session.state(), IDLE);
    session.settle(&late, at(422));
    assert_eq!(session.state(), TERMINATING);
}

#[test]
fn a_doomed_session_fails_with_its_reason() {
    let mut session = session(Some("bad property"));
    session.settle(&Config::default(), at(10));
    assert_eq!(states(&session), [(CREATING, at(0)), (FAILED, at(1))]);
    assert_eq!(session.reason(), Some("bad property"));
    assert!(!session.is_live());
}

#[test]
fn a_stuck_session_goes_on_when_released_and_not_in_the_past() {
    let mut session = session(None);
    let stuck = Config { stick_in: Some(CREATING.to_owned()), ..Config::default() };
    session.settle(&stuck, at(50));
    assert_eq!(session.state(), CREATING);
    session.settle(&Config::default(), at(51));
    assert_eq!(states(&session), [(CREATING, at(0)), (CREATED, at(50)), (IDLE, at(51))]);
}

#[test]
fn a_busy_session_does_not_idle_out() {
    let mut session = session(None);
    session.settle(&Config::default(), at(3));
    let busy = Change::State { state: BUSY.to_owned(), reason: None };
    session.change(busy, at(3));
    session.settle(&Config::default(), at(10_000));
    assert_eq!(session.state(), BUSY);
    assert_eq!(session.idle_since(), None);
    assert!(session.is_live());
}

#[test]
fn terminating_an_ended_session_has_no_effect() {
    let mut session = session(None);
    session.terminate(at(1));
    session.settle(&Config::default(), at(5));
    let before = states(&session).len();
    session.terminate(at(6));
    assert_eq!((session.state(), states(&session).len()), (TERMINATED, before));
}

#[test]
fn an_ended_session_is_forgotten_after_its_time() {
    let mut session = session(None);
    let config = Config { forget_ended_after: Some(Duration::from_secs(10)), ..Config::default() };
    session.terminate(at(1));
    session.settle(&config, at(5));
    assert!(session.is_known(&config, at(11)));
    assert!(!session.is_known(&config, at(12)));
}

#[test]
fn a_vanished_session_is_unknown_and_no_longer_billed() {
    let mut session = session(None);
    session.change(Change::Vanish, at(7));
    session.settle(&Config::default(), at(500));
    assert!(!session.is_known(&Config::default(), at(500)));
    assert_eq!(session.billed(at(500)), SignedDuration::from_secs(7));
}

#[test]
fn a_look_ends_the_state_that_the_one_before_has_shown_where_sessions_step_by_looks() {
    let config = Config { step_by_looks: true, ..Config::default() };
    let mut session = session(None);
    session.settle(&config, at(0));
    assert_eq!(session.state(), CREATING);
    session.show();
    session.settle(&config, at(0));
    assert_eq!(session.state(), CREATING);
    session.step(&config, at(0));
    assert_eq!(session.state(), CREATED);
    session.step(&config, at(0));
    assert_eq!(session.state(), CREATED);
    session.show();
    session.step(&config, at(0));
    assert_eq!(session.state(), IDLE);
    session.terminate(at(0));
    session.settle(&config, at(1));
    assert_eq!(session.state(), TERMINATED);
}
