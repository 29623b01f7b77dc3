//! The lists that serve each object.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::*;

type Search = MarkerSearch<u32>;

/// Returns the UID of object `number`.
fn uid(number: u32) -> String {
    format!("8f3f1f6e-8b0e-4b60-9d5c-{number:012}")
}

fn ask(number: u32, from: Instant) -> Ask {
    Ask { uid: uid(number), attempt: None, session_id: None, from }
}

fn session(id: &str, description: &str) -> Summary {
    Summary { id: Some(id.into()), description: Some(description.into()) }
}

/// Returns a session of object `number`.
fn own(number: u32) -> Summary {
    session(&format!("own-{number}"), &format!("team/etl [athena-operator/{}]", uid(number)))
}

fn refusal(class: ErrorClass, reason: &'static str) -> Refusal {
    Refusal { class, reason, message: "no".into(), request_id: None }
}

fn denied() -> Refusal {
    refusal(ErrorClass::MayHeal, "AccessDenied")
}

fn marked(attempt: i32, id: &str) -> Marked {
    Marked { attempt, id: Some(id.into()) }
}

/// Fake of Athena's lists: pages of 100 sessions.
#[derive(Clone, Default)]
struct Fake(Arc<State>);

#[derive(Default)]
struct State {
    active: Vec<Summary>,
    degraded: Vec<Summary>,
    /// Refusals by the number of the page call, from 0.
    refusals: Mutex<BTreeMap<usize, Refusal>>,
    /// A work group that may not be listed.
    denied: Option<String>,
    missing: bool,
    endless: bool,
    /// True if pages wait for `page`.
    held: bool,
    page: Notify,
    calls: AtomicUsize,
    confirmed: AtomicBool,
}

impl Fake {
    fn of(state: State) -> Self {
        Self(Arc::new(state))
    }

    fn calls(&self) -> usize {
        self.0.calls.load(Ordering::SeqCst)
    }
}

impl Lister for Fake {
    async fn page(
        &self,
        work_group: &str,
        part: Part,
        next: Option<String>,
    ) -> Result<Page<Summary>, Refusal> {
        const PAGE: usize = 100;
        let number = self.0.calls.fetch_add(1, Ordering::SeqCst);
        if self.0.held {
            self.0.page.notified().await;
        }
        if self.0.missing {
            return Err(refusal(ErrorClass::MayHeal, "WorkGroupNotFound"));
        }
        if let Some(refusal) = self.0.refusals.lock().remove(&number) {
            return Err(refusal);
        }
        if self.0.denied.as_deref() == Some(work_group) {
            return Err(denied());
        }
        let sessions = if part == Part::Active { &self.0.active } else { &self.0.degraded };
        let start: usize = next.map_or(0, |token| token.parse().expect("a token of this list"));
        let page = sessions.iter().skip(start).take(PAGE).cloned().collect();
        let end = start + PAGE;
        let next = if self.0.endless {
            Some("0".to_owned())
        } else {
            (end < sessions.len()).then(|| end.to_string())
        };
        Ok(Page { sessions: page, next })
    }

    async fn is_missing(&self, _: &str) -> bool {
        self.0.confirmed.load(Ordering::SeqCst)
    }
}

fn strangers(count: u32) -> Vec<Summary> {
    // Half of them carry markers of another cluster.
    let description = |number: u32| {
        if number.is_multiple_of(2) {
            "a notebook".to_owned()
        } else {
            format!("x [athena-operator/{}]", uid(1_000_000 + number))
        }
    };
    (0..count).map(|number| session(&format!("stranger-{number}"), &description(number))).collect()
}

/// Serves `work_group`. Returns the objects that it triggers.
fn serve(search: &Arc<Search>, work_group: &str, fake: &Fake) -> UnboundedReceiver<u32> {
    let (sender, receiver) = unbounded_channel();
    let trigger = move |key: &u32| sender.send(*key).expect("the test listens");
    tokio::spawn(search.clone().serve(work_group.to_owned(), fake.clone(), trigger));
    receiver
}

/// Asks for object `number`, in whose work group a task serves already or is about to.
fn register(search: &Search, number: u32, from: Instant) -> Option<Answer> {
    search.ask(&number, "etl", ask(number, from), |_| {})
}

fn reading((next, _): (Next<u32>, Arc<Notify>)) -> Reading<u32> {
    match next {
        Next::List(reading) => reading,
        other => panic!("no list begins: {other:?}"),
    }
}

/// Returns the begin of the next list, if none begins at `now`.
fn planned(search: &Search, now: Instant) -> Option<Instant> {
    match search.next("etl", now).0 {
        Next::Wait(time) => time,
        other => panic!("it does not wait: {other:?}"),
    }
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[tokio::test]
async fn a_thousand_objects_share_one_list_of_twenty_pages() {
    let mut active = strangers(1990);
    active.insert(700, own(3));
    let fake = Fake::of(State { active, degraded: vec![own(4)], ..State::default() });
    let search = Arc::new(Search::new(seconds(60)));
    for number in 0..1000 {
        assert_eq!(register(&search, number, Instant::now()), None);
    }
    let mut triggered = serve(&search, "etl", &fake);
    let mut keys = BTreeSet::new();
    for _ in 0..1000 {
        keys.insert(triggered.recv().await.expect("a trigger"));
    }
    assert_eq!((keys.len(), fake.calls()), (1000, 21), "20 pages of the active, one of the degraded");
    for number in 0..1000 {
        let Some(Answer::Complete { marked: found, contains_session, .. }) =
            register(&search, number, Instant::now())
        else {
            panic!("{number} has no answer")
        };
        let expected =
            if [3, 4].contains(&number) { vec![marked(0, &format!("own-{number}"))] } else { vec![] };
        assert_eq!((found, contains_session), (expected, false), "{number}");
    }
    assert_eq!(fake.calls(), 21, "an answer is read without a call");
}

#[tokio::test]
async fn a_list_begins_for_the_earliest_object_and_serves_all_whose_time_is_before_its_first_page() {
    let (search, start) = (Search::new(seconds(20)), Instant::now());
    for (number, wait) in [(1, 60), (2, 30), (3, 100)] {
        register(&search, number, start + seconds(wait));
    }
    assert_eq!(planned(&search, start + seconds(29)), Some(start + seconds(30)));
    let list = reading(search.next("etl", start + seconds(70)));
    let mut served = search.finish("etl", list, &Read::Complete, start + seconds(75), 0.0);
    served.sort_unstable();
    assert_eq!(served, [1, 2], "those that were registered and due");
    assert_eq!(planned(&search, start + seconds(76)), Some(start + seconds(100)));

    register(&search, 4, start);
    assert_eq!(
        planned(&search, start + seconds(76)),
        Some(start + seconds(95)),
        "the pause after the last list"
    );
}

#[tokio::test]
async fn a_work_group_is_not_listed_for_more_than_a_quarter_of_the_time() {
    let (search, start) = (Search::new(seconds(20)), Instant::now());
    register(&search, 1, start);
    let list = reading(search.next("etl", start + seconds(1)));
    assert_eq!(search.finish("etl", list, &Read::Complete, start + seconds(41), 0.0), [1]);
    register(&search, 2, start);
    assert_eq!(planned(&search, start + seconds(41)), Some(start + seconds(161)));
}

#[tokio::test]
async fn an_object_that_asks_during_a_list_waits_for_the_next() {
    let (search, start) = (Search::new(seconds(20)), Instant::now());
    register(&search, 1, start);
    let list = reading(search.next("etl", start + seconds(1)));
    register(&search, 2, start);
    assert_eq!(
        search.finish("etl", list, &Read::Complete, start + seconds(2), 0.0),
        [1],
        "pages that were read before may have shown its session"
    );
    let list = reading(search.next("etl", start + seconds(22)));
    assert_eq!(search.finish("etl", list, &Read::Complete, start + seconds(23), 0.0), [2]);
}

#[tokio::test]
async fn an_object_that_asks_again_is_served_by_the_list_that_is_being_read_for_it() {
    let (search, start) = (Search::new(seconds(20)), Instant::now());
    register(&search, 1, start);
    let list = reading(search.next("etl", start + seconds(1)));
    assert_eq!(register(&search, 1, start + seconds(2)), None, "something has changed in it meanwhile");
    assert_eq!(search.finish("etl", list, &Read::Complete, start + seconds(3), 0.0), [1]);
}

#[tokio::test]
async fn an_object_that_misses_its_session_is_told_each_time_that_the_list_is_refused() {
    let (search, start) = (Search::new(seconds(20)), Instant::now());
    for time in [start, start + seconds(60)] {
        search.ask(&1, "etl", Ask { session_id: Some("s".into()), ..ask(1, start) }, |_| {});
        let list = reading(search.next("etl", time));
        assert_eq!(search.finish("etl", list, &Read::Failed(denied()), time, 1.0), [1]);
        search.cancel(&1);
    }
}

#[tokio::test]
async fn a_session_that_is_found_is_told_before_its_time() {
    let (search, start) = (Search::new(seconds(20)), Instant::now());
    register(&search, 1, start + seconds(600));
    register(&search, 2, start);
    search.ask(&3, "etl", Ask { session_id: Some("s".into()), ..ask(3, start + seconds(600)) }, |_| {});
    search.ask(&4, "etl", Ask { attempt: Some(7), ..ask(4, start + seconds(600)) }, |_| {});
    register(&search, 5, start + seconds(600));
    let mut list = reading(search.next("etl", start));
    let begun = list.begun;
    list.take(vec![own(1), session("s", "without a marker"), own(4)]);
    let mut served = search.finish("etl", list, &Read::Complete, start + seconds(1), 0.0);
    served.sort_unstable();
    assert_eq!(served, [1, 2, 3]);
    let complete = |marked, contains_session| Some(Answer::Complete { begun, marked, contains_session });
    assert_eq!(register(&search, 1, start + seconds(600)), complete(vec![marked(0, "own-1")], false));
    assert_eq!(register(&search, 2, start), complete(vec![], false));
    let third = Ask { session_id: Some("s".into()), ..ask(3, start + seconds(600)) };
    assert_eq!(search.ask(&3, "etl", third, |_| {}), complete(vec![], true));
}

#[tokio::test]
async fn an_answer_stays_until_the_object_has_read_it() {
    let (search, start) = (Search::new(seconds(20)), Instant::now());
    register(&search, 1, start);
    let list = reading(search.next("etl", start));
    search.finish("etl", list, &Read::Complete, start, 0.0);
    assert!(register(&search, 1, start).is_some() && register(&search, 1, start).is_some());
    search.cancel(&1);
    assert_eq!(register(&search, 1, start), None, "it asks for another list");
    search.ask(&1, "etl", Ask { attempt: Some(2), ..ask(1, start) }, |_| {});
    let list = reading(search.next("etl", start + seconds(20)));
    assert_eq!(list.uids[&uid(1)], [(1, Some(2))], "what was asked last counts");
}

#[tokio::test]
async fn all_that_wait_are_told_once_that_lists_fail_and_the_list_is_tried_again() {
    let (search, start) = (Search::new(seconds(20)), Instant::now());
    register(&search, 1, start);
    register(&search, 2, start + seconds(600));
    let list = reading(search.next("etl", start));
    assert_eq!(
        search.finish("etl", list, &Read::Failed(denied()), start, 1.0),
        [1],
        "it is too early for the other"
    );
    assert_eq!(register(&search, 1, start), Some(Answer::Failed(denied())));
    search.cancel(&1);
    search.cancel(&2);
    assert_eq!(
        planned(&search, start),
        Some(start + seconds(605)),
        "the work group is not forgotten while its objects wait to ask again"
    );
    assert_eq!(register(&search, 1, start), None);
    assert_eq!(planned(&search, start), Some(start + seconds(5)), "the backoff of the class");

    let list = reading(search.next("etl", start + seconds(5)));
    let again = Refusal { request_id: Some("another".into()), ..denied() };
    assert_eq!(search.finish("etl", list, &Read::Failed(again), start + seconds(5), 1.0), [0; 0], "it knows");
    assert_eq!(planned(&search, start + seconds(5)), Some(start + seconds(15)));

    let list = reading(search.next("etl", start + seconds(15)));
    let throttled = refusal(ErrorClass::Throttled, "Throttled");
    assert_eq!(
        search.finish("etl", list, &Read::Failed(throttled), start + seconds(15), 1.0),
        [1],
        "another refusal is news"
    );
    search.cancel(&1);
    register(&search, 1, start);
    let list = reading(search.next("etl", start + seconds(16)));
    assert_eq!(search.finish("etl", list, &Read::Complete, start + seconds(16), 1.0), [1]);
}

#[tokio::test]
async fn a_page_that_fails_in_passing_is_asked_for_again_and_not_the_list() {
    let fake = Fake::of(State { active: strangers(1000), ..State::default() });
    let refusals = [
        (4, refusal(ErrorClass::Throttled, "Throttled")),
        (5, refusal(ErrorClass::Unanswered, "AthenaUnavailable")),
    ];
    fake.0.refusals.lock().extend(refusals);
    let search = Arc::new(Search::new(seconds(60)));
    register(&search, 1, Instant::now());
    assert_eq!(serve(&search, "etl", &fake).recv().await, Some(1));
    assert!(matches!(register(&search, 1, Instant::now()), Some(Answer::Complete { .. })));
    assert_eq!(fake.calls(), 13, "10 pages, one of them three times, and the degraded");
}

#[tokio::test]
async fn a_list_that_is_refused_in_the_middle_shows_nothing_of_anybody() {
    let fake = Fake::of(State { active: [vec![own(1)], strangers(1000)].concat(), ..State::default() });
    fake.0.refusals.lock().insert(4, denied());
    let search = Arc::new(Search::new(seconds(60)));
    register(&search, 1, Instant::now());
    register(&search, 2, Instant::now());
    let mut triggered = serve(&search, "etl", &fake);
    assert!(triggered.recv().await.is_some() && triggered.recv().await.is_some());
    for number in [1, 2] {
        assert_eq!(register(&search, number, Instant::now()), Some(Answer::Failed(denied())));
    }
    assert_eq!(fake.calls(), 5);
}

#[tokio::test]
async fn a_list_that_does_not_end_fails() {
    let fake = Fake::of(State { endless: true, ..State::default() });
    let search = Arc::new(Search::new(seconds(60)));
    register(&search, 1, Instant::now());
    assert_eq!(serve(&search, "etl", &fake).recv().await, Some(1));
    let Some(Answer::Failed(refusal)) = register(&search, 1, Instant::now()) else {
        panic!("it was read to an end")
    };
    assert_eq!((refusal.class, fake.calls()), (ErrorClass::Unanswered, 2));
}

#[tokio::test]
async fn a_list_for_which_nobody_waits_is_not_read_on() {
    let fake = Fake::of(State { active: strangers(1000), held: true, ..State::default() });
    let search = Arc::new(Search::new(Duration::ZERO));
    register(&search, 1, Instant::now());
    register(&search, 2, Instant::now());
    let _triggered = serve(&search, "etl", &fake);
    until(|| fake.calls() == 1).await;
    search.cancel(&1);
    fake.0.page.notify_one();
    until(|| fake.calls() == 2).await;
    search.cancel(&2);
    fake.0.page.notify_one();
    until(|| search.groups.lock().is_empty()).await;
    assert_eq!(fake.calls(), 2);
}

#[tokio::test]
async fn a_work_group_that_cannot_be_listed_does_not_stop_the_others() {
    let fake = Fake::of(State { active: vec![own(2)], denied: Some("etl".into()), ..State::default() });
    let search = Arc::new(Search::new(seconds(60)));
    let mut served = Vec::new();
    for (number, work_group) in [(1, "etl"), (2, "other"), (3, "other")] {
        search.ask(&number, work_group, ask(number, Instant::now()), |work_group| served.push(work_group));
    }
    assert_eq!(served, ["etl", "other"], "each is served once");
    let (mut etl, mut other) = (serve(&search, "etl", &fake), serve(&search, "other", &fake));
    assert_eq!(etl.recv().await, Some(1));
    let others = BTreeSet::from([other.recv().await, other.recv().await]);
    assert_eq!(others, BTreeSet::from([Some(2), Some(3)]));
    assert_eq!(register(&search, 1, Instant::now()), Some(Answer::Failed(denied())));
    let Some(Answer::Complete { marked: found, .. }) =
        search.ask(&2, "other", ask(2, Instant::now()), |_| {})
    else {
        panic!("no answer")
    };
    assert_eq!(found, [marked(0, "own-2")]);
}

#[tokio::test]
async fn a_work_group_that_is_not_found_proves_something_only_if_get_work_group_says_the_same() {
    for confirmed in [false, true] {
        let fake = Fake::of(State { missing: true, confirmed: confirmed.into(), ..State::default() });
        let search = Arc::new(Search::new(seconds(60)));
        register(&search, 1, Instant::now());
        assert_eq!(serve(&search, "etl", &fake).recv().await, Some(1));
        let answer = register(&search, 1, Instant::now());
        assert_eq!(matches!(answer, Some(Answer::Complete { .. })), confirmed, "{answer:?}");
    }
}

#[tokio::test]
async fn nothing_is_kept_of_a_hundred_thousand_foreign_sessions() {
    let (search, start) = (Search::new(seconds(20)), Instant::now());
    register(&search, 1, start);
    let mut list = reading(search.next("etl", start));
    for _ in 0..1000 {
        list.take(strangers(100));
    }
    list.take(vec![own(1), own(2), own(1)]);
    assert_eq!(
        list.marked,
        BTreeMap::from([(1, vec![marked(0, "own-1")])]),
        "a session that moves to another page is one"
    );
    assert!(list.contained.is_empty());
}

#[tokio::test]
async fn a_session_without_an_id_is_not_left_out() {
    let (search, start) = (Search::new(seconds(20)), Instant::now());
    register(&search, 1, start);
    let mut list = reading(search.next("etl", start));
    list.take(vec![Summary { id: None, ..own(1) }]);
    assert_eq!(list.marked[&1], [Marked { attempt: 0, id: None }]);
}

/// Waits until `so` returns true.
async fn until(so: impl Fn() -> bool) {
    let waiting = async {
        while !so() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(seconds(30), waiting).await.expect("it did not happen in time");
}
