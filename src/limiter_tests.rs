use super::*;

const RATE: Rate = Rate { per_second: 5.0, burst: 5 };

/// Turns of a bucket that is empty, so that whoever asks has to wait.
fn busy(start: Instant) -> Turns<&'static str> {
    let mut turns = Turns::new(RATE, start);
    for key in ["1", "2", "3", "4", "5"] {
        assert!(turns.ask(&key, "before", Lane::Start, start));
        turns.take(&key);
    }
    turns
}

/// The turns of the next so many calls, one after the other as the rate allows.
fn drain<K: Clone + Eq + Hash>(turns: &mut Turns<K>, mut now: Instant, count: usize) -> Vec<K> {
    let mut order = Vec::new();
    while order.len() < count {
        match turns.next(now) {
            Next::Turn(key) => {
                turns.take(&key);
                order.push(key);
            }
            Next::At(time) => now = time,
            Next::Nobody => break,
        }
    }
    order
}

#[test]
fn a_burst_passes_at_once_and_the_rest_at_the_rate() {
    let start = Instant::now();
    let mut turns = busy(start);
    assert!(!turns.ask(&"6", "n", Lane::Start, start));
    let Next::At(time) = turns.next(start) else { panic!("it waits") };
    assert_eq!((time - start).as_millis(), 200);
    assert_eq!(turns.next(time), Next::Turn("6"));
    assert!(turns.ask(&"6", "n", Lane::Start, time), "its turn has come");
    assert_eq!(turns.next(time), Next::Nobody);
}

#[test]
fn never_more_than_burst_and_rate_in_any_while() {
    let start = Instant::now();
    let mut turns = Turns::new(RATE, start);
    let keys: Vec<String> = (0..200).map(|number| number.to_string()).collect();
    let mut calls = Vec::new();
    for key in &keys {
        if turns.ask(key, "n", Lane::Start, start) {
            calls.push(start);
        }
    }
    let mut now = start;
    loop {
        match turns.next(now) {
            Next::Turn(key) => {
                turns.take(&key);
                calls.push(now);
            }
            Next::At(time) => now = time,
            Next::Nobody => break,
        }
    }
    assert_eq!(calls.len(), 200);
    for (first, begin) in calls.iter().enumerate() {
        for (last, end) in calls.iter().enumerate().skip(first) {
            let allowed = 5.0 + 5.0 * (*end - *begin).as_secs_f64() + 1e-6;
            assert!(f64::from(u32::try_from(last - first + 1).expect("few")) <= allowed, "{first} to {last}");
        }
    }
}

#[test]
fn terminations_come_before_starts_and_starts_before_retries() {
    let start = Instant::now();
    let mut turns = busy(start);
    turns.ask(&"retry", "n", Lane::Retry, start);
    turns.ask(&"start", "n", Lane::Start, start);
    turns.ask(&"end", "n", Lane::Terminate, start);
    assert_eq!(drain(&mut turns, start, 9), ["end", "start", "retry"]);
}

#[test]
fn looks_have_a_share_of_a_wave_of_starts_and_retries_a_small_one() {
    let start = Instant::now();
    let mut turns = Turns::new(RATE, start);
    for key in 0..5 {
        assert!(turns.ask(&key, "n", Lane::Start, start));
        turns.take(&key);
    }
    for key in 1000..1200 {
        turns.ask(&key, "n", Lane::Start, start);
        turns.ask(&(key + 1000), "n", Lane::Look, start);
        turns.ask(&(key + 2000), "n", Lane::Retry, start);
    }
    let mut now = start;
    let mut lanes = [0; 4];
    while lanes.iter().sum::<u32>() < 160 {
        match turns.next(now) {
            Next::Turn(key) => {
                turns.take(&key);
                lanes[usize::try_from(key / 1000).expect("small")] += 1;
            }
            Next::At(time) => now = time,
            Next::Nobody => panic!("they wait"),
        }
    }
    assert_eq!(lanes, [0, 120, 35, 5]);
}

#[test]
fn the_namespaces_take_turns() {
    let start = Instant::now();
    let mut turns = Turns::new(RATE, start);
    for key in 0..505 {
        turns.ask(&key, "team-a", Lane::Start, start);
        turns.take(&key);
    }
    turns.ask(&1000, "team-b", Lane::Start, start);
    let mut now = start;
    let mut order = Vec::new();
    while order.len() < 2 {
        match turns.next(now) {
            Next::Turn(key) => order.push(key),
            Next::At(time) => now = time,
            Next::Nobody => panic!("they wait"),
        }
    }
    assert!(order.contains(&1000), "{order:?}");
}

#[test]
fn a_namespace_that_asks_anew_is_next_and_starves_nobody() {
    let start = Instant::now();
    let mut turns = busy(start);
    for key in ["a-1", "a-2", "a-3", "a-4", "a-5", "a-6"] {
        turns.ask(&key, "a", Lane::Start, start);
    }
    assert_eq!(drain(&mut turns, start, 1), ["a-1"]);
    let now = start + Duration::from_millis(200);
    turns.ask(&"b-1", "b", Lane::Start, now);
    assert_eq!(drain(&mut turns, now, 1), ["b-1"], "it was never served");
    // As soon as it has had its turn, it asks again.
    turns.ask(&"b-2", "b", Lane::Start, now);
    turns.ask(&"c-1", "c", Lane::Start, now);
    assert_eq!(drain(&mut turns, now, 3), ["c-1", "a-2", "b-2"]);
    turns.ask(&"b-3", "b", Lane::Start, now);
    assert_eq!(drain(&mut turns, now, 9), ["a-3", "b-3", "a-4", "a-5", "a-6"]);
}

#[test]
fn whoever_leaves_makes_room_and_gives_its_turn_back() {
    let start = Instant::now();
    let mut turns = busy(start);
    turns.ask(&"a", "n", Lane::Start, start);
    turns.ask(&"b", "n", Lane::Start, start);
    turns.leave(&"a", start);
    let Next::At(time) = turns.next(start) else { panic!("it waits") };
    assert_eq!(turns.next(time), Next::Turn("b"));
    turns.leave(&"b", time);
    assert!(turns.ask(&"c", "n", Lane::Look, time), "b's turn was not used");
    turns.take(&"c");
    assert!(!turns.ask(&"d", "n", Lane::Look, time));
}

#[test]
fn whoever_asks_for_something_else_stands_in_the_other_lane() {
    let start = Instant::now();
    let mut turns = busy(start);
    turns.ask(&"a", "n", Lane::Retry, start);
    turns.ask(&"b", "n", Lane::Start, start);
    turns.ask(&"a", "n", Lane::Terminate, start);
    assert_eq!(drain(&mut turns, start, 9), ["a", "b"]);
}

#[test]
fn a_turn_that_nobody_takes_is_not_kept_for_ever() {
    let start = Instant::now();
    let mut turns = Turns::new(RATE, start);
    assert!(turns.ask(&"a", "n", Lane::Start, start));
    turns.next(start + KEPT);
    assert!(turns.granted.is_empty());
}

#[test]
fn calls_without_a_turn_are_paid_for_by_those_that_follow() {
    let start = Instant::now();
    let mut turns = Turns::new(RATE, start);
    for _ in 0..5 {
        assert_eq!(turns.bucket.reserve(start), Duration::ZERO);
    }
    assert_eq!(turns.bucket.reserve(start).as_millis(), 200);
    assert_eq!(turns.bucket.reserve(start).as_millis(), 400);
    assert!(!turns.ask(&"a", "n", Lane::Start, start));
    assert_eq!(turns.next(start), Next::At(start + Duration::from_millis(600)));
}

#[tokio::test]
async fn turns_that_are_used_all_at_once_are_sent_one_after_the_other() {
    let limiter = Limiter::<&str>::new(Rate { per_second: 1000.0, burst: 1 }, Arc::default());
    let start = Instant::now();
    for _ in 0..51 {
        limiter.pay(&mut Turn::had()).await;
    }
    assert!(start.elapsed() >= Duration::from_millis(49), "{:?}", start.elapsed());
}

#[test]
fn a_wait_lasts_from_the_first_question_to_the_turn() {
    let start = Instant::now();
    let mut turns = busy(start);
    turns.waits.clear();
    assert!(!turns.ask(&"6", "n", Lane::Start, start));
    assert!(!turns.ask(&"6", "n", Lane::Start, start + Duration::from_secs(1)), "it asks again");
    assert_eq!(turns.waits, []);
    assert_eq!(turns.next(start + Duration::from_secs(2)), Next::Turn("6"));
    assert_eq!(turns.waits, [(Lane::Start, Duration::from_secs(2))]);
    assert!(turns.ask(&"6", "n", Lane::Start, start + Duration::from_secs(3)));
    assert_eq!(turns.waits.len(), 1, "the turn that it had");

    let mut turns = Turns::new(RATE, start);
    assert!(turns.ask(&"free", "n", Lane::Look, start));
    assert_eq!(turns.waits, [(Lane::Look, Duration::ZERO)]);
}

#[tokio::test]
async fn a_caller_has_its_turn_beside_the_objects_and_cannot_take_theirs() {
    let limiter = Arc::new(Limiter::new(Rate { per_second: 1000.0, burst: 1 }, Arc::default()));
    assert!(limiter.ask(&0, "n", Lane::Start));
    for key in 1..=30 {
        limiter.ask(&key, "n", Lane::Start);
    }
    let order = Arc::new(Mutex::new(Vec::new()));
    let caller = {
        let (limiter, order) = (limiter.clone(), order.clone());
        async move {
            for _ in 0..5 {
                limiter.turn(Lane::Look).await;
                order.lock().expect("a list").push("caller");
            }
        }
    };
    let caller = tokio::spawn(caller);
    let giving = {
        let (limiter, order) = (limiter.clone(), order.clone());
        async move {
            let wake = |key| {
                limiter.take(&key);
                order.lock().expect("a list").push("object");
            };
            limiter.run(wake).await;
        }
    };
    tokio::select! {
        () = giving => {}
        result = caller => result.expect("it ends"),
    }
    let order = order.lock().expect("a list").clone();
    let objects = order.iter().filter(|who| **who == "object").count();
    assert!((10..=20).contains(&objects), "{order:?}");
}
