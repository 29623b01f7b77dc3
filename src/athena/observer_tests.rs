use k8s_openapi::jiff::SignedDuration;

use super::*;

fn session(id: &str, state: &str, modified: i64) -> Session {
    Session {
        id: id.into(),
        state: state.into(),
        last_modified_time: Some(time(modified)),
        ..Session::default()
    }
}

fn time(second: i64) -> Timestamp {
    Timestamp::UNIX_EPOCH + SignedDuration::from_secs(second)
}

fn refusal(class: ErrorClass) -> Refusal {
    Refusal { class, reason: "No", message: String::new(), request_id: None }
}

/// Returns a group in which these sessions are tracked since `since`, idle since second 1.
fn group(ids: &[&'static str], since: Instant) -> Group<&'static str> {
    let entry = |id| Entry {
        object: id,
        since,
        state: "IDLE".into(),
        modified: Some(time(1)),
        sweep: 0,
        seen: None,
        wanted: None,
        unlisted: false,
    };
    Group {
        sessions: ids.iter().map(|id| ((*id).to_owned(), entry(*id))).collect(),
        sweep: 1,
        ..Group::default()
    }
}

fn whom(told: &[(&'static str, SweepEvent)]) -> Vec<&'static str> {
    let mut whom: Vec<_> = told.iter().map(|(object, _)| *object).collect();
    whom.sort_unstable();
    whom
}

#[test]
fn only_what_has_changed_is_told_and_foreign_sessions_are_nothing() {
    let start = Instant::now();
    let mut group = group(&["a", "b", "c"], start);
    let page = vec![
        session("a", "IDLE", 1),
        session("foreign", "BUSY", 9),
        session("b", "BUSY", 9),
        session("c", "IDLE", 2),
    ];
    let told = group.page(page.clone(), start, time(10));
    assert_eq!(whom(&told), ["b", "c"]);
    assert!(told.contains(&("b", SweepEvent::Shown(Box::new(session("b", "BUSY", 9)), time(10)))));
    assert_eq!(group.page(page, start, time(11)), []);
    assert_eq!(group.complete(start), []);
}

#[test]
fn a_session_that_is_still_starting_is_no_news() {
    let start = Instant::now();
    let mut group = group(&["a"], start);
    let told = group.page(vec![session("a", "CREATING", 2)], start, time(10));
    assert_eq!(whom(&told), ["a"], "another state");
    assert_eq!(group.page(vec![session("a", "CREATING", 3)], start, time(11)), []);
    assert_eq!(whom(&group.page(vec![session("a", "IDLE", 4)], start, time(12))), ["a"]);
}

#[test]
fn a_session_that_moves_to_a_page_already_read_is_looked_at_and_not_taken_for_gone() {
    let start = Instant::now();
    let mut group = group(&["a", "b"], start);
    assert_eq!(group.page(vec![session("a", "IDLE", 1)], start, time(10)), []);
    // Others have ended meanwhile, so that the second page begins behind it.
    assert_eq!(group.page(vec![session("foreign", "IDLE", 1)], start, time(11)), []);
    assert_eq!(group.complete(start), [("b", SweepEvent::Missed(None))]);
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
    assert_eq!(group.complete(start), [("b", SweepEvent::Missed(None))]);
    group.sweep += 1;
    assert_eq!(group.complete(start), [("a", SweepEvent::Missed(Some(time(10))))]);
    assert!(group.sessions.is_empty());
}

#[test]
fn a_list_that_fails_in_the_middle_updates_and_removes_nothing() {
    let start = Instant::now();
    let mut group = group(&["a", "b"], start);
    assert_eq!(whom(&group.page(vec![session("a", "BUSY", 2)], start, time(10))), ["a"]);
    assert_eq!(group.failed(&refusal(ErrorClass::Throttled), start, Duration::from_mins(10)), []);
    assert_eq!(group.sessions.len(), 2);
}

#[test]
fn after_long_failure_or_a_lasting_refusal_all_are_looked_at_in_another_way() {
    let start = Instant::now();
    let patience = Duration::from_mins(10);
    let mut group = group(&["a", "b"], start);
    assert_eq!(group.failed(&refusal(ErrorClass::Unanswered), start, patience), []);
    assert_eq!(whom(&group.failed(&refusal(ErrorClass::Unanswered), start + patience, patience)), ["a", "b"]);
    assert!(group.refused.is_none());

    let mut group = self::group(&["a"], start);
    let skewed = Refusal { reason: "ClockSkew", ..refusal(ErrorClass::MayHeal) };
    assert_eq!(
        group.failed(&skewed, start, patience),
        [],
        "the next list is signed with the corrected clock"
    );
    assert_eq!(whom(&group.failed(&refusal(ErrorClass::MayHeal), start, patience)), ["a"]);
    assert_eq!(group.refused, Some(start));
}

#[test]
fn a_list_that_succeeds_ends_the_failure() {
    let start = Instant::now();
    let patience = Duration::from_mins(10);
    let mut group = group(&["a"], start);
    group.failed(&refusal(ErrorClass::Unanswered), start, patience);
    group.page(vec![session("a", "IDLE", 1)], start + Duration::from_mins(1), time(60));
    group.complete(start);
    assert_eq!(group.failed(&refusal(ErrorClass::Unanswered), start + patience, patience), []);
}

fn observer() -> Observer<&'static str> {
    Observer::new(Duration::from_secs(20), Duration::from_mins(10), Clock::new("Athena"))
}

#[test]
fn a_work_group_is_swept_once_however_many_live_in_it() {
    let observer = observer();
    let begun = std::cell::Cell::new(0);
    for (object, id) in [("a", "1"), ("b", "2"), ("a", "1"), ("a", "3")] {
        assert!(observer.track(&object, "etl", &session(id, "IDLE", 1), |_| begun.set(begun.get() + 1)));
    }
    assert_eq!(begun.get(), 1);
    let tracked = observer.tracked.lock();
    let mut ids: Vec<_> = tracked.groups["etl"].sessions.keys().collect();
    ids.sort_unstable();
    assert_eq!(ids, ["2", "3"], "an object has one session");
}

#[test]
fn what_is_told_is_of_the_session_that_the_object_has() {
    let observer = observer();
    observer.track(&"a", "etl", &session("1", "IDLE", 1), |_| {});
    let asked = Instant::now();
    let told = observer.in_group("etl", |group| group.page(vec![session("1", "BUSY", 2)], asked, time(3)));
    assert_eq!(told, ["a"]);
    assert_eq!(observer.take_event(&"a", "2"), None);
    assert_eq!(observer.take_event(&"a", "1"), None, "an event is returned once");
    let told = observer.in_group("etl", |group| group.page(vec![session("1", "IDLE", 4)], asked, time(5)));
    assert_eq!(told, ["a"]);
    assert_eq!(
        observer.take_event(&"a", "1"),
        Some(SweepEvent::Shown(Box::new(session("1", "IDLE", 4)), time(5)))
    );
    observer.in_group("etl", |group| group.page(vec![session("1", "BUSY", 6)], asked, time(7)));
    observer.untrack(&"a");
    assert_eq!(observer.take_event(&"a", "1"), None);
}

#[test]
fn an_older_look_written_late_has_the_change_told_again() {
    let observer = observer();
    observer.track(&"a", "etl", &session("1", "IDLE", 1), |_| {});
    let page = || vec![session("1", "BUSY", 2)];
    assert_eq!(observer.in_group("etl", |group| group.page(page(), Instant::now(), time(3))), ["a"]);
    assert_eq!(
        observer.in_group("etl", |group| group.page(page(), Instant::now(), time(3))),
        [] as [&str; 0]
    );
    observer.track(&"a", "etl", &session("1", "IDLE", 1), |_| {});
    assert_eq!(observer.in_group("etl", |group| group.page(page(), Instant::now(), time(4))), ["a"]);
}

#[test]
fn a_session_that_another_object_claims_stays_with_the_first() {
    let observer = observer();
    assert!(observer.track(&"owner", "etl", &session("1", "IDLE", 1), |_| {}));
    assert!(!observer.track(&"thief", "etl", &session("1", "IDLE", 1), |_| {}));
    observer.untrack(&"thief");
    assert_eq!(
        observer.in_group("etl", |group| group.page(vec![session("1", "BUSY", 2)], Instant::now(), time(3))),
        ["owner"]
    );
}

#[test]
fn a_session_is_not_tracked_in_a_work_group_whose_lists_are_refused() {
    let observer = observer();
    observer.track(&"a", "etl", &session("1", "IDLE", 1), |_| {});
    observer.in_group("etl", |group| {
        group.failed(&refusal(ErrorClass::MayHeal), Instant::now(), Duration::from_mins(10))
    });
    assert_eq!(observer.take_event(&"a", "1"), Some(SweepEvent::Missed(None)));
    assert!(!observer.track(&"a", "etl", &session("1", "IDLE", 1), |_| {}));
}

/// Sweeps once with a list of any length. Returns whether it failed, and the number of pages read.
fn list_with(token: impl Fn(usize) -> Option<String>) -> (bool, usize) {
    let observer = observer();
    observer.track(&"a", "etl", &session("1", "IDLE", 1), |_| {});
    let asked = std::cell::Cell::new(0);
    let list = |_, _| {
        asked.set(asked.get() + 1);
        std::future::ready((Asked::now(), Ok(Page { sessions: Vec::new(), next: token(asked.get()) })))
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

/// Sweeps a work group with these pages, one after the other.
fn sweep(observer: &Observer<&'static str>, pages: Vec<Result<Page<Session>, Refusal>>) -> bool {
    let pages = std::cell::RefCell::new(pages.into_iter());
    let list = |_, _| {
        std::future::ready((Asked::now(), pages.borrow_mut().next().expect("no more pages than there are")))
    };
    futures::FutureExt::now_or_never(observer.sweep_once("etl", &list, &|_| {})).expect("nothing to wait for")
}

#[test]
fn sessions_that_nobody_looks_out_for_are_those_of_the_last_complete_list() {
    let observer = observer();
    observer.track(&"a", "etl", &session("1", "IDLE", 1), |_| {});
    let unclaimed = || observer.observations(|_| false).into_iter().next().and_then(|seen| seen.unclaimed);
    let page = |ids: &[&str], next: Option<&str>| {
        Ok(Page {
            sessions: ids.iter().map(|id| session(id, "IDLE", 1)).collect(),
            next: next.map(Into::into),
        })
    };
    assert_eq!(unclaimed(), None);
    assert!(!sweep(&observer, vec![page(&["x", "1"], Some("more")), page(&["y"], None)]));
    assert_eq!(unclaimed(), Some(vec!["x".to_owned(), "y".to_owned()]));
    assert!(sweep(
        &observer,
        vec![page(&["x", "1", "z"], Some("more")), Err(refusal(ErrorClass::Throttled))]
    ));
    assert_eq!(
        unclaimed(),
        Some(vec!["x".to_owned(), "y".to_owned()]),
        "a list that is not complete tells nothing"
    );
    assert!(!sweep(&observer, vec![page(&["1"], None)]));
    assert_eq!(unclaimed(), Some(vec![]));
}

#[test]
fn a_work_group_ages_until_it_is_listed_to_the_end_and_as_long_as_anything_lives_in_it() {
    let observer = observer();
    let age = |live: bool| observer.observations(|_| live).first().map(|seen| seen.age);
    assert_eq!(age(true), None);
    observer.track(&"a", "etl", &session("1", "IDLE", 1), |_| {});
    let long_ago = Instant::now().checked_sub(Duration::from_secs(100)).expect("a time");
    observer.tracked.lock().unlisted.insert("etl".into(), long_ago);
    assert!(sweep(&observer, vec![Err(refusal(ErrorClass::MayHeal))]));
    assert!(age(false).is_some_and(|age| age >= Duration::from_secs(100)));
    observer.tracked.lock().groups.clear();
    assert!(age(true).is_some_and(|age| age >= Duration::from_secs(100)), "though nobody can list it");
    observer.track(&"a", "etl", &session("1", "IDLE", 1), |_| {});
    assert!(age(true).is_some_and(|age| age >= Duration::from_secs(100)), "it was not listed since");
    assert!(!sweep(&observer, vec![Ok(Page { sessions: vec![session("1", "IDLE", 1)], next: None })]));
    assert!(age(true).is_some_and(|age| age < Duration::from_secs(50)));
    observer.tracked.lock().groups.clear();
    assert_eq!(age(false), None);
    assert_eq!(age(true), None);
}

/// Polls once for the look of object "a" at session 1, which was tracked since before the request for the first page. Before each page is returned,
/// calls `meanwhile` with its number. Returns the number of pages read.
fn poll(observer: &Arc<Observer<&'static str>>, pages: &[&[&str]], meanwhile: impl Fn(usize)) -> usize {
    let read = std::cell::Cell::new(0);
    let list = |_, _| {
        let asked = Asked::now();
        let number = read.get();
        read.set(number + 1);
        meanwhile(number);
        let sessions = pages[number].iter().map(|id| session(id, "IDLE", 1)).collect();
        std::future::ready((
            asked,
            Ok(Page { sessions, next: (number + 1 < pages.len()).then(|| number.to_string()) }),
        ))
    };
    // The poll ends in the pause after it, for which nothing here waits.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    let poll = observer.clone().poll("etl".into(), Duration::from_hours(1), list, |_| {});
    runtime.block_on(async {
        tokio::select! { biased; () = poll => {}, () = std::future::ready(()) => {} }
    });
    read.get()
}

#[test]
fn a_look_that_begins_to_wait_while_a_page_is_read_waits_for_the_next_poll_and_has_no_more_pages_read() {
    let observer = Arc::new(observer());
    let want = |object, id| {
        observer.track(&object, "etl", &session(id, "CREATING", 1), |_| {});
        observer.poll_instead(&object, |_| {});
    };
    want("a", "1");
    let late = |page| {
        if page == 0 {
            std::thread::sleep(Duration::from_millis(1));
            want("b", "2");
        }
    };
    assert_eq!(poll(&observer, &[&["2", "1"], &["3"], &["4"]], late), 1);
    assert!(observer.take_event(&"a", "1").is_some());
    assert_eq!(observer.take_event(&"b", "2"), None, "the page was asked for before it was looked out for");
    let wanted = |id: &str| observer.tracked.lock().groups["etl"].sessions[id].wanted.is_some();
    assert!(wanted("2") && !wanted("1"));
    assert!(!observer.tracked.lock().groups["etl"].sessions["2"].unlisted, "the next poll shows it");
    assert_eq!(poll(&observer, &[&["2", "1"], &["3"]], |_| {}), 1);
    assert!(observer.take_event(&"b", "2").is_some());
}

#[test]
fn what_a_whole_poll_does_not_show_is_looked_at() {
    let observer = Arc::new(observer());
    observer.track(&"a", "etl", &session("1", "CREATING", 1), |_| {});
    observer.poll_instead(&"a", |_| {});
    assert_eq!(poll(&observer, &[&["2"], &["3"]], |_| {}), 2);
    assert!(observer.tracked.lock().groups["etl"].sessions["1"].unlisted);
    let asked = std::cell::Cell::new(false);
    observer.poll_instead(&"a", |_| asked.set(true));
    assert!(!asked.get(), "only a look tells");
}
