use super::*;

fn boot(millis: u64) -> BootTime {
    BootTime(Duration::from_millis(millis))
}

fn time(millis: i64) -> Timestamp {
    Timestamp::from_millisecond(1_800_000_000_000 + millis).expect("a time")
}

/// A reply of a machine that was started `ahead` milliseconds before the time that [`time`] counts from, and whose `Date` is written after `there`.
fn reply(ahead: i64, sent: u64, there: u64, back: u64) -> Reply {
    let written = time(ahead + i64::try_from(sent + there).expect("a time"));
    Reply {
        date: Timestamp::from_second(written.as_second()).expect("a time"),
        sent: boot(sent),
        received: boot(sent + there + back),
    }
}

fn node() -> Estimate {
    Estimate { origin: time(-5_000), source: Source::Node, suspect: None }
}

#[test]
fn a_date_that_no_clock_shows_is_ignored() {
    let read = |date: &str| Reply::new(date, boot(0), boot(10)).map(|reply| reply.date);
    assert_eq!(read("Tue, 15 Nov 2022 08:12:31 GMT"), None, "older than what it tells of");
    assert_eq!(read("Fri, 15 Jan 2027 08:00:00 GMT"), Some(time(0)));
    for date in [
        "",
        "now",
        "1800000000",
        "Fri, 15 Jan 2027",
        "Wed, 15 Jan 2270 08:00:00 GMT",
        "Thu, 01 Jan 1970 00:00:00 GMT",
    ] {
        assert_eq!(read(date), None, "{date}");
    }
    let late = Reply::new("Fri, 15 Jan 2027 08:00:00 GMT", boot(0), boot(301_000));
    assert!(late.is_none(), "it says little of the time of its arrival");
}

#[test]
fn the_first_reply_is_taken_and_the_way_back_is_half_of_the_round_trip() {
    let mut estimate = node();
    estimate.observe(&reply(0, 5_000, 200, 200));
    assert_eq!(estimate, Estimate { origin: time(-200), source: Source::Own, suspect: None });
    assert_eq!(
        estimate.at(boot(5_400)),
        time(5_200),
        "the Date says 5 s, and was written half a round trip ago"
    );
}

#[test]
fn whole_seconds_make_no_clock_run_backwards_and_the_estimate_comes_close() {
    let mut rng = fastrand::Rng::with_seed(6);
    let (mut estimate, mut sent) = (node(), 1_000);
    estimate.observe(&reply(0, sent, 1, 1));
    for _ in 0..1_000 {
        sent += rng.u64(1..30_000);
        let reply = reply(0, sent, rng.u64(0..50), rng.u64(0..50));
        let before = estimate;
        estimate.observe(&reply);
        assert!(estimate.origin >= before.origin, "{before:?} {estimate:?} {reply:?}");
        let off = estimate.origin.duration_since(time(0));
        assert!(off.abs() <= SignedDuration::from_millis(1_002), "{off:?}");
    }
    let off = estimate.origin.duration_since(time(0));
    assert!(off.abs() <= SignedDuration::from_millis(150), "after a thousand replies it is {off:?} off");
}

#[test]
fn a_clock_that_is_really_off_is_followed_either_way() {
    for ahead in [3_600_000, -3_600_000, 5_000, -5_000] {
        let mut estimate = node();
        estimate.observe(&reply(0, 1_000, 10, 10));
        estimate.observe(&reply(ahead, 2_000, 10, 10));
        estimate.observe(&reply(ahead, 3_000, 10, 10));
        let off = estimate.origin.duration_since(time(ahead));
        assert!(off.abs() <= SignedDuration::from_secs(1), "{ahead} {off:?}");
    }
}

#[test]
fn a_single_date_that_is_far_off_changes_nothing() {
    let mut estimate = node();
    estimate.observe(&reply(0, 1_000, 10, 10));
    let before = estimate.origin;
    for ahead in [7_200_000, -7_200_000, 3_600_000] {
        estimate.observe(&reply(ahead, 2_000, 10, 10));
        assert_eq!(estimate.origin, before, "{ahead}");
    }
    estimate.observe(&reply(0, 3_000, 10, 10));
    estimate.observe(&reply(3_600_000, 4_000, 10, 10));
    assert_eq!(estimate.origin, before, "the two were not in a row");
    estimate.observe(&reply(3_600_000, 5_000, 10, 10));
    assert_ne!(estimate.origin, before);
}

#[test]
fn a_first_date_that_is_far_from_the_nodes_clock_has_to_be_confirmed() {
    for ahead in [7_200_000, -7_200_000] {
        let mut estimate = node();
        estimate.observe(&reply(ahead, 1_000, 10, 10));
        assert_eq!((estimate.source, estimate.origin), (Source::Node, node().origin), "{ahead}");
        let mut right = estimate;
        right.observe(&reply(0, 2_000, 10, 10));
        assert_eq!((right.source, right.suspect), (Source::Own, None));
        assert!(
            right.origin.duration_since(time(0)).abs() <= SignedDuration::from_secs(1),
            "the node's clock and the second reply agree"
        );
        // The node's clock is wrong.
        estimate.observe(&reply(ahead, 2_000, 10, 10));
        assert_eq!((estimate.source, estimate.suspect), (Source::Own, None));
        assert!(estimate.origin.duration_since(time(ahead)).abs() <= SignedDuration::from_secs(1));
    }
    // A reply of another machine of AWS came before.
    let mut estimate = node();
    estimate.hint(&reply(3_600_000, 1_000, 10, 10));
    assert_eq!((estimate.source, estimate.origin), (Source::Hint, time(3_599_990)));
    estimate.observe(&reply(3_600_000, 2_000, 10, 10));
    assert_eq!(estimate.source, Source::Own);
}

#[test]
fn what_has_to_be_confirmed_is_tried_for_signatures() {
    let clock = Clock::new("Athena");
    let sent = BootTime::now();
    let near = |shown: Timestamp, wanted: Timestamp| {
        shown.duration_since(wanted).abs() < SignedDuration::from_secs(10)
    };
    let told = |date| Reply { date, sent, received: BootTime::now() };
    let node = clock.now();
    let wrong = node + SignedDuration::from_hours(2);
    clock.observe(&told(wrong));
    assert!(
        near(clock.now(), node)
            && near(clock.signing_time(), wrong)
            && clock.is_in_doubt()
            && !clock.read().is_certain
    );
    clock.observe(&told(node));
    assert!(
        near(clock.now(), node)
            && near(clock.signing_time(), node)
            && !clock.is_in_doubt()
            && clock.read().is_certain
    );
    // One reply does not move a clock that is certain.
    clock.observe(&told(wrong));
    assert!(near(clock.now(), node) && near(clock.signing_time(), node));
}

#[tokio::test]
async fn timers_are_set_anew_for_what_moves_the_clock_far_and_not_for_machines_that_differ() {
    let clock = Clock::new("Athena");
    let sent = BootTime::now();
    let told = |seconds| Reply {
        date: Timestamp::now() + SignedDuration::from_secs(seconds),
        sent,
        received: BootTime::now(),
    };
    let is_announced = |clock: &Clock| {
        let clock = clock.clone();
        async move { tokio::time::timeout(Duration::ZERO, clock.corrected()).await.is_ok() }
    };
    clock.observe(&told(0));
    assert!(is_announced(&clock).await, "the time is announced");
    for _ in 0..10 {
        clock.observe(&told(6));
        clock.observe(&told(0));
    }
    assert!(!is_announced(&clock).await);
    for seconds in [6, 12, 18] {
        clock.observe(&told(seconds));
    }
    assert!(is_announced(&clock).await, "by many steps, too");
}

#[test]
fn a_slow_reply_says_less_and_does_not_undo_a_quick_one() {
    let mut estimate = node();
    estimate.observe(&reply(0, 1_000, 1, 1));
    let before = estimate;
    estimate.observe(&reply(0, 2_000, 20_000, 100));
    estimate.observe(&reply(0, 30_000, 100, 20_000));
    assert_eq!(estimate, before);
}

#[test]
fn a_hint_counts_until_the_machine_itself_has_told_its_time() {
    let clock = Clock::new("Athena");
    let sent = BootTime::now();
    let shown =
        |clock: &Clock| clock.read().now.duration_since(time(0)).abs() < SignedDuration::from_secs(10);
    let told = |date| Reply { date, sent, received: BootTime::now() };
    clock.hint(&told(time(0)));
    assert!(shown(&clock) && !clock.read().is_certain && clock.node_skew().is_none());
    clock.hint(&told(time(3_600_000)));
    assert!(!shown(&clock), "the newest counts");
    clock.observe(&told(time(0)));
    assert!(!shown(&clock) && !clock.read().is_certain, "it is far from the hint");
    clock.observe(&told(time(0)));
    assert!(shown(&clock) && clock.read().is_certain && clock.node_skew().is_some());
    clock.hint(&told(time(3_600_000)));
    assert!(shown(&clock) && clock.read().is_certain);
}
