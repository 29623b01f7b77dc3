use k8s_openapi::jiff::SignedDuration;

use super::*;

fn session(id: &str, state: &str, modified: i64) -> Session {
    Session { id: id.into(), state: state.into(), last_modified_time: Some(time(modified)), ..Session::default() }
}

fn time(second: i64) -> Timestamp {
    Timestamp::UNIX_EPOCH + SignedDuration::from_secs(second)
}

fn refusal(class: Class) -> Refusal {
    Refusal { class, reason: "No", message: String::new(), request_id: None }
}

/// A group in which these sessions are looked out for since `since`, idle since second 1.
fn group(ids: &[&'static str], since: Instant) -> Group<&'static str> {
    let entry = |id| Entry { object: id, since, state: "IDLE".into(), modified: Some(time(1)), sweep: 0, seen: None };
    Group { sessions: ids.iter().map(|id| ((*id).to_owned(), entry(*id))).collect(), sweep: 1, ..Group::default() }
}

fn whom(told: &[(&'static str, Sighting)]) -> Vec<&'static str> {
    let mut whom: Vec<_> = told.iter().map(|(object, _)| *object).collect();
    whom.sort_unstable();
    whom
}

#[test]
fn only_what_has_changed_is_told_and_foreign_sessions_are_nothing() {
    let start = Instant::now();
    let mut group = group(&["a", "b", "c"], start);
    let page = vec![session("a", "IDLE", 1), session("foreign", "BUSY", 9), session("b", "BUSY", 9), session("c", "IDLE", 2)];
    let told = group.page(page.clone(), start, time(10));
    assert_eq!(whom(&told), ["b", "c"]);
    assert!(told.contains(&("b", Sighting::Shown(Box::new(session("b", "BUSY", 9)), time(10)))));
    assert_eq!(group.page(page, start, time(11)), []);
    assert_eq!(group.complete(start), []);
}

#[test]
fn a_page_that_was_asked_for_before_says_nothing_of_what_was_seen_since() {
    let asked = Instant::now();
    let mut group = group(&["a"], asked + Duration::from_millis(1));
    assert_eq!(group.page(vec![session("a", "CREATED", 0)], asked, time(10)), []);
    assert_eq!(group.complete(asked), [], "nor does its absence");
}

#[test]
fn only_a_complete_list_begun_later_shows_an_absence_and_only_once() {
    let start = Instant::now();
    let mut group = group(&["a", "b"], start);
    assert_eq!(group.page(vec![session("a", "IDLE", 1)], start, time(10)), []);
    assert_eq!(group.complete(start), [("b", Sighting::Missed(None))]);
    group.sweep += 1;
    assert_eq!(group.complete(start), [("a", Sighting::Missed(Some(time(10))))]);
    assert!(group.sessions.is_empty());
}

#[test]
fn a_list_that_fails_in_the_middle_updates_and_removes_nothing() {
    let start = Instant::now();
    let mut group = group(&["a", "b"], start);
    assert_eq!(whom(&group.page(vec![session("a", "BUSY", 2)], start, time(10))), ["a"]);
    assert_eq!(group.failed(&refusal(Class::Throttled), start, Duration::from_mins(10)), []);
    assert_eq!(group.sessions.len(), 2);
}

#[test]
fn after_long_failure_or_a_lasting_refusal_all_are_looked_at_in_another_way() {
    let start = Instant::now();
    let patience = Duration::from_mins(10);
    let mut group = group(&["a", "b"], start);
    assert_eq!(group.failed(&refusal(Class::Unanswered), start, patience), []);
    assert_eq!(whom(&group.failed(&refusal(Class::Unanswered), start + patience, patience)), ["a", "b"]);
    assert!(group.refused.is_none());

    let mut group = self::group(&["a"], start);
    assert_eq!(whom(&group.failed(&refusal(Class::MayHeal), start, patience)), ["a"]);
    assert_eq!(group.refused, Some(start));
}

#[test]
fn a_list_that_succeeds_ends_the_failure() {
    let start = Instant::now();
    let patience = Duration::from_mins(10);
    let mut group = group(&["a"], start);
    group.failed(&refusal(Class::Unanswered), start, patience);
    group.page(vec![session("a", "IDLE", 1)], start + Duration::from_mins(1), time(60));
    group.complete(start);
    assert_eq!(group.failed(&refusal(Class::Unanswered), start + patience, patience), []);
}

fn observer() -> Observer<&'static str> {
    Observer::new(Duration::from_secs(20), Duration::from_mins(10))
}

#[test]
fn a_work_group_is_swept_once_however_many_live_in_it() {
    let observer = observer();
    let begun = std::cell::Cell::new(0);
    for (object, id) in [("a", "1"), ("b", "2"), ("a", "1"), ("a", "3")] {
        assert!(observer.watch(&object, "etl", &session(id, "IDLE", 1), |_| begun.set(begun.get() + 1)));
    }
    assert_eq!(begun.get(), 1);
    let roster = observer.roster();
    let mut ids: Vec<_> = roster.groups["etl"].sessions.keys().collect();
    ids.sort_unstable();
    assert_eq!(ids, ["2", "3"], "an object has one session");
}

#[test]
fn what_is_told_is_of_the_session_that_the_object_has() {
    let observer = observer();
    observer.watch(&"a", "etl", &session("1", "IDLE", 1), |_| {});
    let asked = Instant::now();
    let told = observer.in_group("etl", |group| group.page(vec![session("1", "BUSY", 2)], asked, time(3)));
    assert_eq!(told, ["a"]);
    assert_eq!(observer.sighting(&"a", "2"), None);
    assert_eq!(observer.sighting(&"a", "1"), None, "it is told once");
    let told = observer.in_group("etl", |group| group.page(vec![session("1", "IDLE", 4)], asked, time(5)));
    assert_eq!(told, ["a"]);
    assert_eq!(observer.sighting(&"a", "1"), Some(Sighting::Shown(Box::new(session("1", "IDLE", 4)), time(5))));
    observer.in_group("etl", |group| group.page(vec![session("1", "BUSY", 6)], asked, time(7)));
    observer.forget(&"a");
    assert_eq!(observer.sighting(&"a", "1"), None);
}

#[test]
fn an_older_look_written_late_has_the_change_told_again() {
    let observer = observer();
    observer.watch(&"a", "etl", &session("1", "IDLE", 1), |_| {});
    let page = || vec![session("1", "BUSY", 2)];
    assert_eq!(observer.in_group("etl", |group| group.page(page(), Instant::now(), time(3))), ["a"]);
    assert_eq!(observer.in_group("etl", |group| group.page(page(), Instant::now(), time(3))), [] as [&str; 0]);
    observer.watch(&"a", "etl", &session("1", "IDLE", 1), |_| {});
    assert_eq!(observer.in_group("etl", |group| group.page(page(), Instant::now(), time(4))), ["a"]);
}

#[test]
fn a_session_that_another_object_claims_stays_with_the_first() {
    let observer = observer();
    assert!(observer.watch(&"owner", "etl", &session("1", "IDLE", 1), |_| {}));
    assert!(!observer.watch(&"thief", "etl", &session("1", "IDLE", 1), |_| {}));
    observer.forget(&"thief");
    assert_eq!(observer.in_group("etl", |group| group.page(vec![session("1", "BUSY", 2)], Instant::now(), time(3))), ["owner"]);
}

#[test]
fn where_lists_are_refused_nobody_looks_out() {
    let observer = observer();
    observer.watch(&"a", "etl", &session("1", "IDLE", 1), |_| {});
    observer.in_group("etl", |group| group.failed(&refusal(Class::MayHeal), Instant::now(), Duration::from_mins(10)));
    assert_eq!(observer.sighting(&"a", "1"), Some(Sighting::Missed(None)));
    assert!(!observer.watch(&"a", "etl", &session("1", "IDLE", 1), |_| {}));
}

/// The tokens of a list of any length.
fn list_with(token: impl Fn(usize) -> Option<String>) -> (bool, usize) {
    let observer = observer();
    observer.watch(&"a", "etl", &session("1", "IDLE", 1), |_| {});
    let asked = std::cell::Cell::new(0);
    let list = |_, _| {
        asked.set(asked.get() + 1);
        std::future::ready(Ok(Page { sessions: Vec::new(), next: token(asked.get()) }))
    };
    let failed = futures::FutureExt::now_or_never(observer.sweep_once("etl", &list, &|_| {}));
    (failed.expect("nothing to wait for"), asked.get())
}

#[test]
fn a_list_that_does_not_end_is_given_up() {
    assert_eq!(list_with(|page| (page < 1000).then(|| page.to_string())), (false, 1000));
    assert_eq!(list_with(|_| Some("again".into())), (true, 2));
    assert_eq!(list_with(|page| Some((page % 3).to_string())), (true, 4));
    let (failed, asked) = list_with(|page| Some(page.to_string()));
    assert!(failed && asked <= 1001, "{asked} pages");
}
