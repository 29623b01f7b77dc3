use super::*;

const RATE: Rate = Rate { per_second: 5.0, burst: 5 };
const MANY: Bounds = Bounds { in_flight: 1000, large: 1000 };

fn turns<K: Clone + Eq + Hash>(start: Instant) -> LimiterState<K> {
    LimiterState::new(RATE, MANY, start)
}

fn want(priority: Priority) -> Want {
    Want { priority, to_front: false, large: false, reserve_only: false }
}

fn ask<K: Clone + Eq + Hash>(
    turns: &mut LimiterState<K>,
    key: &K,
    namespace: &str,
    priority: Priority,
    now: Instant,
) -> bool {
    turns.ask(key, namespace, want(priority), now)
}

/// Returns a limiter whose bucket is empty, so that a key that asks has to wait.
fn busy(start: Instant) -> LimiterState<&'static str> {
    let mut turns = turns(start);
    for key in ["1", "2", "3", "4", "5"] {
        assert!(ask(&mut turns, &key, "before", Priority::Start, start));
        assert!(call(&mut turns, &key, start));
    }
    turns
}

/// Makes the call of `key`. Returns whether it had its turn.
fn call<K: Clone + Eq + Hash>(turns: &mut LimiterState<K>, key: &K, now: Instant) -> bool {
    let taken = turns.take(key, true);
    if let Some(is_large) = taken {
        turns.spend(now);
        turns.release(true, is_large, true);
    }
    taken.is_some()
}

/// Returns the keys of the next so many calls, one after the other as the rate allows.
fn drain<K: Clone + Eq + Hash>(turns: &mut LimiterState<K>, mut now: Instant, count: usize) -> Vec<K> {
    let mut order = Vec::new();
    while order.len() < count {
        match turns.next(now) {
            Next::Turn(key) => {
                call(turns, &key, now);
                order.push(key);
            }
            Next::At(time) => now = time,
            Next::Nothing => break,
        }
    }
    order
}

#[test]
fn a_burst_passes_at_once_and_the_rest_at_the_rate() {
    let start = Instant::now();
    let mut turns = busy(start);
    assert!(!ask(&mut turns, &"6", "n", Priority::Start, start));
    let Next::At(time) = turns.next(start) else { panic!("it waits") };
    assert_eq!((time - start).as_millis(), 200);
    assert_eq!(turns.next(time), Next::Turn("6"));
    assert!(ask(&mut turns, &"6", "n", Priority::Start, time), "its turn has come");
    assert_eq!(turns.next(time), Next::Nothing);
}

#[test]
fn never_more_than_burst_and_rate_in_any_while_however_late_turns_are_used() {
    for delay in [Duration::ZERO, Duration::from_millis(700), RESERVATION * 2] {
        let start = Instant::now();
        let mut turns = turns(start);
        let keys: Vec<String> = (0..200).map(|number| number.to_string()).collect();
        let (mut calls, mut triggered) = (Vec::new(), VecDeque::new());
        for key in &keys {
            if ask(&mut turns, key, "n", Priority::Start, start) {
                triggered.push_back((start + delay, key.clone()));
            }
        }
        let mut now = start;
        while calls.len() < keys.len() {
            while let Some((_, key)) = triggered.pop_front_if(|(time, _)| *time <= now) {
                if ask(&mut turns, &key, "n", Priority::Start, now) {
                    assert!(call(&mut turns, &key, now));
                    calls.push(now);
                }
            }
            match turns.next(now) {
                Next::Turn(key) => triggered.push_back((now + delay, key)),
                Next::At(time) => now = triggered.front().map_or(time, |(next, _)| time.min(*next)),
                Next::Nothing => now = triggered.front().map_or(now, |(time, _)| *time),
            }
            assert!(now < start + Duration::from_mins(20), "{delay:?}: {} calls", calls.len());
            if delay > RESERVATION {
                // A key that is slower than a reservation lasts makes no call with it: one round is enough to see that no key is forgotten.
                let quick: Vec<_> = triggered.drain(..).collect();
                triggered.extend(quick.into_iter().map(|(time, key)| (time.min(now + RESERVATION / 2), key)));
            }
        }
        for (first, begin) in calls.iter().enumerate() {
            for (last, end) in calls.iter().enumerate().skip(first) {
                let allowed = 5.0 + 5.0 * (*end - *begin).as_secs_f64() + 1e-6;
                assert!(
                    f64::from(u32::try_from(last - first + 1).expect("few")) <= allowed,
                    "{first} to {last}"
                );
            }
        }
    }
}

#[test]
fn terminations_come_before_starts_and_starts_before_retries() {
    let start = Instant::now();
    let mut turns = busy(start);
    ask(&mut turns, &"retry", "n", Priority::Retry, start);
    ask(&mut turns, &"start", "n", Priority::Start, start);
    ask(&mut turns, &"end", "n", Priority::Terminate, start);
    assert_eq!(drain(&mut turns, start, 9), ["end", "start", "retry"]);
}

#[test]
fn looks_have_a_share_of_a_wave_of_starts_and_retries_a_small_one() {
    let start = Instant::now();
    let mut turns = turns(start);
    for key in 0..5 {
        assert!(ask(&mut turns, &key, "n", Priority::Start, start));
        call(&mut turns, &key, start);
    }
    for key in 1000..1200 {
        ask(&mut turns, &key, "n", Priority::Start, start);
        ask(&mut turns, &(key + 1000), "n", Priority::Look, start);
        ask(&mut turns, &(key + 2000), "n", Priority::Retry, start);
    }
    let mut calls = [0; 4];
    for key in drain(&mut turns, start, 160) {
        calls[usize::try_from(key / 1000).expect("small")] += 1;
    }
    assert_eq!(calls, [0, 120, 35, 5]);
}

#[test]
fn starts_have_a_share_of_terminations_that_do_not_end() {
    let start = Instant::now();
    let mut turns = turns(start);
    for key in 0..5 {
        assert!(ask(&mut turns, &key, "n", Priority::Terminate, start));
        call(&mut turns, &key, start);
    }
    for key in 1000..1200 {
        ask(&mut turns, &key, "stuck", Priority::Terminate, start);
        ask(&mut turns, &(key + 1000), "other", Priority::Start, start);
    }
    let order = drain(&mut turns, start, 112);
    let started = order.iter().filter(|key| **key >= 2000).count();
    assert_eq!(started, 12, "every seventh turn is a start's, unless it is a look's or a retry's");
    assert!(order[..8].iter().any(|key| *key >= 2000), "the first does not wait for long: {order:?}");
}

#[test]
fn the_namespaces_take_turns() {
    let start = Instant::now();
    let mut turns = turns(start);
    for key in 0..505 {
        ask(&mut turns, &key, "team-a", Priority::Start, start);
        call(&mut turns, &key, start);
    }
    ask(&mut turns, &1000, "team-b", Priority::Start, start);
    let order = drain(&mut turns, start, 2);
    assert!(order.contains(&1000), "{order:?}");
}

#[test]
fn a_namespace_that_asks_again_is_next_and_starves_nobody() {
    let start = Instant::now();
    let mut turns = busy(start);
    for key in ["a-1", "a-2", "a-3", "a-4", "a-5", "a-6"] {
        ask(&mut turns, &key, "a", Priority::Start, start);
    }
    assert_eq!(drain(&mut turns, start, 1), ["a-1"]);
    let now = start + Duration::from_millis(200);
    ask(&mut turns, &"b-1", "b", Priority::Start, now);
    assert_eq!(drain(&mut turns, now, 1), ["b-1"], "it was never served");
    // As soon as the key has had its turn, its namespace asks again.
    ask(&mut turns, &"b-2", "b", Priority::Start, now);
    ask(&mut turns, &"c-1", "c", Priority::Start, now);
    assert_eq!(drain(&mut turns, now, 3), ["c-1", "a-2", "b-2"]);
    ask(&mut turns, &"b-3", "b", Priority::Start, now);
    assert_eq!(drain(&mut turns, now, 9), ["a-3", "b-3", "a-4", "a-5", "a-6"]);
}

#[test]
fn a_call_that_completes_something_goes_ahead() {
    let start = Instant::now();
    let mut turns = busy(start);
    for key in ["a", "b"] {
        ask(&mut turns, &key, "n", Priority::Start, start);
    }
    turns.ask(&"begun", "n", Want { to_front: true, ..want(Priority::Start) }, start);
    assert_eq!(drain(&mut turns, start, 9), ["begun", "a", "b"]);
}

#[test]
fn whoever_cancels_makes_room_and_gives_its_turn_back() {
    let start = Instant::now();
    let mut turns = busy(start);
    ask(&mut turns, &"a", "n", Priority::Start, start);
    ask(&mut turns, &"b", "n", Priority::Start, start);
    assert!(!turns.cancel(&"a"));
    let Next::At(time) = turns.next(start) else { panic!("it waits") };
    assert_eq!(turns.next(time), Next::Turn("b"));
    assert!(turns.cancel(&"b"));
    assert!(ask(&mut turns, &"c", "n", Priority::Look, time), "b's turn was not used");
    call(&mut turns, &"c", time);
    assert!(!ask(&mut turns, &"d", "n", Priority::Look, time));
}

#[test]
fn whoever_asks_for_something_else_waits_with_the_other_priority() {
    let start = Instant::now();
    let mut turns = busy(start);
    ask(&mut turns, &"a", "n", Priority::Retry, start);
    ask(&mut turns, &"b", "n", Priority::Start, start);
    ask(&mut turns, &"a", "n", Priority::Terminate, start);
    assert_eq!(drain(&mut turns, start, 9), ["a", "b"]);
}

#[test]
fn a_turn_that_is_not_used_holds_up_the_others_for_a_moment_and_its_object_goes_ahead_when_it_asks_again() {
    let start = Instant::now();
    let mut turns = LimiterState::new(Rate { per_second: 5.0, burst: 1 }, MANY, start);
    assert!(ask(&mut turns, &"slow", "n", Priority::Start, start));
    for key in ["a", "b"] {
        assert!(!ask(&mut turns, &key, "n", Priority::Start, start));
    }
    assert_eq!(turns.next(start), Next::At(start + RESERVATION), "the bucket holds no second call");
    let later = start + RESERVATION;
    assert_eq!(turns.next(later), Next::Turn("a"));
    assert!(call(&mut turns, &"a", later));
    let much_later = start + Duration::from_mins(5);
    assert_eq!(turns.next(much_later), Next::Turn("b"));
    assert!(call(&mut turns, &"b", much_later));
    // Its reconcile was delayed for minutes, or failed: it waits again, before all others.
    ask(&mut turns, &"c", "n", Priority::Start, much_later);
    assert!(!ask(&mut turns, &"slow", "n", Priority::Start, much_later));
    assert_eq!(drain(&mut turns, much_later, 9), ["slow", "c"]);
    assert!(turns.granted.is_empty() && turns.lapsed.is_empty());
}

#[test]
fn a_turn_that_is_given_back_is_at_once_anothers_and_its_object_goes_ahead_when_it_asks_again() {
    let start = Instant::now();
    let mut turns = LimiterState::new(Rate { per_second: 5.0, burst: 1 }, MANY, start);
    assert!(ask(&mut turns, &"first", "n", Priority::Start, start));
    for key in ["a", "b"] {
        assert!(!ask(&mut turns, &key, "n", Priority::Start, start));
    }
    assert!(turns.give_back(&"first"));
    assert!(!turns.give_back(&"a"), "it goes on to wait");
    assert_eq!(turns.next(start), Next::Turn("a"));
    assert!(call(&mut turns, &"a", start));
    assert!(!ask(&mut turns, &"first", "n", Priority::Start, start));
    assert_eq!(drain(&mut turns, start, 9), ["first", "b"]);
    assert!(turns.granted.is_empty() && turns.lapsed.is_empty());
}

#[test]
fn what_is_forgotten_leaves_nothing_behind() {
    let start = Instant::now();
    let mut turns = turns(start);
    assert!(ask(&mut turns, &"a", "n", Priority::Start, start));
    turns.next(start + RESERVATION);
    turns.lapse(start + RESERVATION);
    assert!(turns.lapsed.contains("a"));
    turns.cancel(&"a");
    assert!(turns.granted.is_empty() && turns.lapsed.is_empty() && turns.waiting.is_empty());
}

#[test]
fn calls_that_are_not_answered_do_not_take_every_reconcile() {
    let start = Instant::now();
    let mut turns =
        LimiterState::new(Rate { per_second: 1000.0, burst: 1000 }, Bounds { in_flight: 2, ..MANY }, start);
    for key in ["a", "b"] {
        assert!(ask(&mut turns, &key, "n", Priority::Start, start));
    }
    assert!(!ask(&mut turns, &"c", "n", Priority::Start, start), "two are about to be under way");
    for key in ["a", "b"] {
        assert!(turns.take(&key, true).is_some());
        turns.spend(start);
    }
    assert_eq!(turns.next(start), Next::Nothing);
    turns.release(true, false, true);
    assert_eq!(turns.next(start), Next::Turn("c"));
}

#[test]
fn a_wait_lasts_from_the_first_question_to_the_turn() {
    let start = Instant::now();
    let mut turns = busy(start);
    turns.waits.clear();
    assert!(!ask(&mut turns, &"6", "n", Priority::Start, start));
    assert!(!ask(&mut turns, &"6", "n", Priority::Start, start + Duration::from_secs(1)), "it asks again");
    assert_eq!(turns.waits, []);
    assert_eq!(turns.next(start + Duration::from_secs(2)), Next::Turn("6"));
    assert_eq!(turns.waits, [(Priority::Start, Duration::from_secs(2))]);
    assert!(ask(&mut turns, &"6", "n", Priority::Start, start + Duration::from_secs(3)));
    assert_eq!(turns.waits.len(), 1, "the turn that it had");
}

#[test]
fn callers_that_are_no_objects_come_first_but_not_for_ever() {
    let start = Instant::now();
    let mut turns = LimiterState::new(RATE, MANY, start);
    for key in 0..5 {
        assert!(ask(&mut turns, &key, "before", Priority::Look, start) && call(&mut turns, &key, start));
    }
    for key in 0..3 {
        ask(&mut turns, &(10 + key), &format!("team-{key}"), Priority::Look, start);
    }
    for key in 0..9 {
        ask(&mut turns, &(100 + key), "", Priority::Look, start);
    }
    assert_eq!(drain(&mut turns, start, 12), [100, 101, 102, 103, 104, 105, 106, 10, 107, 108, 11, 12]);
}

/// Asks for a large call.
fn ask_large<K: Clone + Eq + Hash>(
    turns: &mut LimiterState<K>,
    key: &K,
    namespace: &str,
    now: Instant,
) -> bool {
    turns.ask(key, namespace, Want { large: true, ..want(Priority::Start) }, now)
}

#[test]
fn few_large_calls_are_let_in_and_the_others_keep_nobody_from_calling() {
    let start = Instant::now();
    let mut turns = LimiterState::new(
        Rate { per_second: 1000.0, burst: 1000 },
        Bounds { in_flight: 10, large: 2 },
        start,
    );
    for key in 0..20 {
        assert_eq!(ask_large(&mut turns, &key, "n", start), key < 2, "{key}");
        // The key asks again when its object has changed.
        assert_eq!(ask_large(&mut turns, &key, "n", start), key < 2, "{key}");
    }
    assert_eq!([0, 1].map(|key| turns.take(&key, true)), [Some(true); 2]);
    assert_eq!(turns.next(start), Next::Nothing, "two are under way");
    ask(&mut turns, &100, "n", Priority::Terminate, start);
    assert_eq!(turns.next(start), Next::Turn(100), "what is small does not wait for them");
    assert_eq!(turns.take(&100, true), Some(false));

    turns.spend(start);
    turns.release(true, true, true);
    assert_eq!(turns.next(start), Next::Turn(2));
    assert_eq!(turns.next(start), Next::At(start + RESERVATION), "or when the turn has lapsed");
    assert_eq!(turns.next(start + RESERVATION), Next::Turn(3), "the turn was not used");
    assert!(!ask_large(&mut turns, &2, "n", start + RESERVATION), "others were let in meanwhile");
    assert_eq!(turns.take(&3, true), Some(true));
    turns.spend(start + RESERVATION);
    turns.release(true, true, true);
    assert_eq!(turns.next(start + RESERVATION), Next::Turn(2), "it is the next");
    assert!(ask_large(&mut turns, &2, "n", start + RESERVATION));
}

#[test]
fn a_call_that_comes_later_keeps_its_turn_and_takes_nothing_of_what_may_be_under_way() {
    let start = Instant::now();
    let mut turns =
        LimiterState::new(Rate { per_second: 1000.0, burst: 1000 }, Bounds { in_flight: 2, large: 2 }, start);
    let later = Want { reserve_only: true, ..want(Priority::Start) };
    for key in ["a", "b", "c", "d"] {
        assert!(turns.ask(&key, "n", later, start), "{key}");
    }
    for key in ["a", "b"] {
        assert!(ask(&mut turns, &key, "n", Priority::Start, start) && turns.take(&key, true).is_some());
    }
    assert!(!ask(&mut turns, &"c", "n", Priority::Start, start), "two are under way");
    ask(&mut turns, &"e", "n", Priority::Start, start);
    assert_eq!(turns.next(start), Next::At(start + RESERVATION));
    turns.spend(start);
    turns.release(true, false, true);
    assert_eq!(turns.next(start), Next::Turn("c"), "it is the next");
    assert!(ask(&mut turns, &"c", "n", Priority::Start, start));
    assert!(turns.cancel(&"d") && turns.granted.values().all(|turn| !turn.reserve_only));
}

#[test]
fn a_large_call_that_is_given_up_lets_in_another() {
    let start = Instant::now();
    let mut turns = LimiterState::new(
        Rate { per_second: 1000.0, burst: 1000 },
        Bounds { in_flight: 10, large: 1 },
        start,
    );
    assert!(ask_large(&mut turns, &"a", "n", start));
    assert!(!ask_large(&mut turns, &"b", "n", start));
    assert!(!ask_large(&mut turns, &"c", "n", start));
    assert!(turns.cancel(&"a"));
    assert!(!turns.cancel(&"b"), "it kept nobody out");
    assert_eq!(turns.next(start), Next::Turn("c"));
}

#[test]
fn large_calls_that_enter_at_once_do_not_wait_behind_small_ones_of_their_namespace() {
    let start = Instant::now();
    let mut turns =
        LimiterState::new(Rate { per_second: 1.0, burst: 1 }, Bounds { in_flight: 1000, large: 2 }, start);
    assert!(ask(&mut turns, &"first", "z", Priority::Start, start) && call(&mut turns, &"first", start));
    for key in ["a1", "a2", "a3", "a4", "a5"] {
        ask(&mut turns, &key, "a", Priority::Start, start);
    }
    for key in ["a-large-1", "a-large-2"] {
        assert!(!ask_large(&mut turns, &key, "a", start));
    }
    ask_large(&mut turns, &"b-large", "b", start);
    // One of the two admitted keys must have had its turn.
    assert_eq!(drain(&mut turns, start, 9)[..2], ["a-large-2", "b-large"]);
}

#[test]
fn large_calls_of_a_namespace_do_not_wait_behind_small_ones_of_another() {
    let start = Instant::now();
    let mut turns =
        LimiterState::new(Rate { per_second: 1.0, burst: 1 }, Bounds { in_flight: 1000, large: 1 }, start);
    assert!(ask_large(&mut turns, &"first", "a", start) && turns.take(&"first", true).is_some());
    for key in ["a-1", "a-2", "a-3"] {
        ask(&mut turns, &key, "a", Priority::Start, start);
    }
    ask_large(&mut turns, &"a-large", "a", start);
    ask_large(&mut turns, &"b-large", "b", start);
    turns.spend(start);
    turns.release(true, true, true);
    assert_eq!(drain(&mut turns, start, 5)[..2], ["a-large", "b-large"]);
}

fn key(name: &str) -> Key {
    Key::new("n", name)
}

#[tokio::test]
async fn a_permit_that_is_not_spent_is_anothers() {
    let limiter = RateLimiter::new(Rate { per_second: 0.01, burst: 1 }, MANY, Arc::default());
    drop(limiter.try_acquire(&key("a"), want(Priority::Start)).expect("a full bucket"));
    let mut permit = limiter.try_acquire(&key("b"), want(Priority::Start)).expect("a's call was not made");
    permit.spend();
    drop(permit);
    assert!(limiter.try_acquire(&key("c"), want(Priority::Start)).is_none());
}

#[tokio::test]
async fn a_caller_has_its_turn_beside_the_objects_and_cannot_take_theirs() {
    let limiter = RateLimiter::new(Rate { per_second: 1000.0, burst: 1 }, MANY, Arc::default());
    limiter.try_acquire(&key("0"), want(Priority::Start)).expect("a full bucket").spend();
    for number in 1..=30 {
        limiter.reserve(&key(&number.to_string()), want(Priority::Start));
    }
    let order = Arc::new(Mutex::new(Vec::new()));
    let caller = {
        let (limiter, order) = (limiter.clone(), order.clone());
        async move {
            for _ in 0..5 {
                limiter.acquire(Priority::Look).await.spend();
                order.lock().push("caller");
            }
        }
    };
    let caller = tokio::spawn(caller);
    let giving = {
        let (limiter, order) = (limiter.clone(), order.clone());
        async move {
            let trigger = |key| {
                limiter.try_acquire(&key, want(Priority::Start)).expect("its turn").spend();
                order.lock().push("object");
            };
            limiter.dispatch(trigger).await;
        }
    };
    tokio::select! {
        () = giving => {}
        result = caller => result.expect("it ends"),
    }
    let order = order.lock().clone();
    let objects = order.iter().filter(|who| **who == "object").count();
    assert!((10..=20).contains(&objects), "{order:?}");
}
