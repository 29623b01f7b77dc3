use super::*;
use crate::runtime::metrics::registry::Registry;

fn queue() -> Workqueue {
    Workqueue::new(1, Arc::new(WorkqueueMetrics::register(&mut Registry::default(), "")))
}

/// Returns the key `namespace/name`, or `name` in a namespace without a name.
fn key(text: &str) -> Key {
    let (namespace, name) = text.split_once('/').unwrap_or(("", text));
    Key::new(namespace, name)
}

#[test]
fn a_group_with_much_to_do_leaves_every_other_place_to_another() {
    let (mut state, now) = (State::new(4), Instant::now());
    for name in ["a/1", "a/2", "a/3", "a/4", "b/1", "a/5", "c/1", "b/2"] {
        state.add(key(name), Priority::Normal, now);
    }
    state.add(key("a/6"), Priority::High, now);
    assert_eq!(order(&mut state, now), ["a/6", "a/1", "b/1", "c/1"]);
    for name in ["a/6", "a/1", "b/1", "c/1"] {
        state.end(&key(name), None);
    }
    assert_eq!(order(&mut state, now), ["a/2", "b/2", "a/3", "a/4"]);
    state.end(&key("a/4"), None);
    assert_eq!(order(&mut state, now), ["a/5"]);
}

fn begin(state: &mut State, now: Instant) -> Option<Key> {
    state.ring(now);
    match state.next(now) {
        Next::Begin(key, _) => Some(key),
        Next::At(_) | Next::Nothing => None,
    }
}

fn order(state: &mut State, now: Instant) -> Vec<String> {
    std::iter::from_fn(|| begin(state, now))
        .map(|key| key.to_string().trim_start_matches('/').into())
        .collect()
}

#[test]
fn keys_are_served_by_priority_deletions_first_and_new_objects_last() {
    let (mut state, now) = (State::new(16), Instant::now());
    for (name, priority) in [
        ("new", Priority::Low),
        ("changed", Priority::Normal),
        ("deleted", Priority::High),
        ("later", Priority::Normal),
    ] {
        assert!(state.add(key(name), priority, now));
    }
    assert!(!state.add(key("later"), Priority::High, now), "it waits once, and goes forward");
    assert_eq!(order(&mut state, now), ["deleted", "later", "changed", "new"]);
}

#[test]
fn what_is_due_waits_in_line_within_the_bound() {
    let (mut state, start) = (State::new(2), Instant::now());
    let due = start + Duration::from_secs(1);
    for name in ["a", "b", "c"] {
        state.set_timer(&key(name), Some(due));
    }
    assert_eq!(state.next(start), Next::At(due));
    state.add(key("deleted"), Priority::High, due);
    assert_eq!(order(&mut state, due), ["deleted", "a"]);
    assert_eq!(state.backlog(due).depth, 2);
    state.end(&key("deleted"), None);
    assert_eq!(order(&mut state, due), ["b"]);
}

#[test]
fn nothing_waits_for_ever_though_what_comes_before_it_never_ends() {
    for busy in [Priority::High, Priority::Normal] {
        for waiting in [Priority::Normal, Priority::Low].into_iter().filter(|waiting| *waiting > busy) {
            let (mut state, now) = (State::new(1), Instant::now());
            state.add(key("waiting"), waiting, now);
            let served = (0..=2 * LOWER_SHARE).any(|number| {
                state.add(key("busy"), busy, now);
                // New keys never end either.
                if waiting == Priority::Normal && number > 0 {
                    state.add(key("new"), Priority::Low, now);
                }
                let begun = begin(&mut state, now).expect("something waits");
                state.end(&begun, None);
                begun == key("waiting")
            });
            assert!(served, "{waiting:?} behind {busy:?}");
        }
    }
}

#[test]
fn a_key_is_reconciled_once_at_a_time_and_again_if_it_was_added_meanwhile() {
    let (mut state, now) = (State::new(16), Instant::now());
    state.add(key("a"), Priority::Normal, now);
    assert_eq!(order(&mut state, now), ["a"]);
    assert!(state.add(key("a"), Priority::Low, now));
    assert!(!state.add(key("a"), Priority::High, now));
    assert_eq!(begin(&mut state, now), None);
    // The reconcile that set the time has not seen the key that was added while it ran.
    state.end(&key("a"), Some(now + Duration::from_mins(1)));
    assert_eq!(order(&mut state, now), ["a"]);
    state.end(&key("a"), None);
    assert_eq!(state.next(now), Next::Nothing);
}

#[test]
fn a_key_has_one_time_which_a_reconcile_replaces() {
    let (mut state, start) = (State::new(16), Instant::now());
    let after = |seconds| start + Duration::from_secs(seconds);
    state.add(key("a"), Priority::Normal, start);
    assert_eq!(order(&mut state, start), ["a"]);
    state.end(&key("a"), Some(after(10)));
    assert_eq!(state.next(start), Next::At(after(10)));
    state.add(key("a"), Priority::Normal, after(1));
    assert_eq!(order(&mut state, after(1)), ["a"]);
    assert_eq!(state.next(after(10)), Next::Nothing, "the reconcile that runs tells the next time");
    state.end(&key("a"), Some(after(5)));
    assert_eq!(state.next(after(1)), Next::At(after(5)));
    assert_eq!((state.timers.len(), state.due.len()), (1, 1));
}

#[test]
fn a_key_waits_from_its_first_change_or_the_time_it_is_due_until_its_reconcile_begins() {
    let (mut state, start) = (State::new(16), Instant::now());
    let after = |seconds| start + Duration::from_secs(seconds);
    state.add(key("a"), Priority::Normal, start);
    state.add(key("a"), Priority::Normal, after(1));
    state.add(key("b"), Priority::Normal, after(1));
    assert_eq!(state.backlog(after(1)).depth, 2, "twice in line is once");
    assert_eq!(state.next(after(2)), Next::Begin(key("a"), Duration::from_secs(2)));
    assert_eq!(state.next(after(3)), Next::Begin(key("b"), Duration::from_secs(2)));
    let backlog = Backlog { depth: 0, unfinished: Duration::from_secs(3), longest: Duration::from_secs(2) };
    assert_eq!(state.backlog(after(4)), backlog);
    state.end(&key("a"), Some(after(9)));
    state.end(&key("b"), None);
    assert_eq!(
        [after(8), after(9)].map(|now| state.backlog(now).depth),
        [0, 1],
        "only what is due is in line"
    );
    assert_eq!(state.ring(after(12)), 1);
    assert_eq!(state.next(after(12)), Next::Begin(key("a"), Duration::from_secs(3)));
}

#[tokio::test]
async fn a_permit_is_free_again_when_its_work_ends() {
    let queue = queue();
    queue.add(key("a"), Priority::Normal);
    queue.add(key("b"), Priority::Normal);
    let work = queue.next().await;
    assert!(tokio::time::timeout(Duration::from_millis(20), queue.next()).await.is_err());
    assert!(queue.is_busy());
    work.end(None);
    assert_eq!(*queue.next().await.key(), key("b"));
    assert!(!queue.is_busy());
}

#[tokio::test]
async fn what_is_due_is_served_at_its_time() {
    let queue = queue();
    queue.add(key("a"), Priority::Normal);
    let begun = Instant::now();
    queue.next().await.end(Some(Duration::from_millis(30)));
    drop(queue.next().await);
    assert!(begun.elapsed() >= Duration::from_millis(30));
    assert!(tokio::time::timeout(Duration::from_millis(60), queue.next()).await.is_err(), "once");
}
