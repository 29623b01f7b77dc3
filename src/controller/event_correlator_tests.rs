//! Tests of the writes of events, and of their times.

use std::collections::BTreeSet;

use super::*;

const MINUTE: u64 = 60;

fn about(name: &str) -> About {
    About { key: Key::new("team", name), uid: Some(name.into()) }
}

fn event(note: &str) -> Event {
    let (reason, note) = ("TerminateRefused".into(), note.into());
    Event {
        warning: true,
        reason,
        note,
        action: "Terminate",
        attempt: Some(0),
        refusal: Some("AccessDenied"),
    }
}

fn at(second: u64) -> Duration {
    Duration::from_secs(second)
}

fn time(second: u64) -> Timestamp {
    Timestamp::UNIX_EPOCH + at(second)
}

/// Event object as people see it: time of the first occurrence, count and note.
type Shown = (Timestamp, i32, String);

/// Correlator at a time, and the Event objects that it has led to.
#[derive(Default)]
struct World {
    correlator: Correlator,
    second: u64,
    /// Writes, and the second of each.
    writes: Vec<(u64, Write)>,
    shown: BTreeMap<String, Shown>,
}

impl World {
    /// Makes the writes that are due until `second`, each at its time.
    fn pass(&mut self, second: u64, answer: Answer) {
        loop {
            while let Some(write) = self.correlator.due(at(self.second)) {
                self.write(write, answer);
            }
            match self.correlator.next_time() {
                Some(next) if next <= at(second) => {
                    self.second = self.second.max(next.as_secs() + u64::from(next.subsec_nanos() > 0));
                }
                _ => break,
            }
        }
        self.second = second;
    }

    fn write(&mut self, write: Write, answer: Answer) {
        if answer == Answer::Written {
            let shown = (write.first, write.count, write.event.note.to_string());
            let before = self.shown.insert(write.object_name(), shown);
            assert_eq!(before.is_some(), write.is_created, "{write:?}");
        }
        self.correlator.answered(&write, answer, at(self.second), 0.5);
        self.writes.push((self.second, write));
    }

    /// Adds `event` about `name` at `second`.
    fn happens(&mut self, name: &str, event: Event, second: u64) {
        self.pass(second, Answer::Written);
        if let Some(write) = self.correlator.add(about(name), event, time(second), at(second)) {
            self.write(write, Answer::Written);
        }
        self.pass(second, Answer::Written);
    }

    fn seconds(&self) -> Vec<u64> {
        self.writes.iter().map(|(second, _)| *second).collect()
    }
}

#[test]
fn the_same_event_is_one_object_which_shows_the_newest_note_after_a_wait_that_grows() {
    let mut world = World::default();
    for second in 0..20 * MINUTE {
        world.happens("one", event(&format!("request {second}")), second);
    }
    assert_eq!(world.seconds(), [0, 10, 30, 70, 150, 310, 610, 910]);
    let notes: Vec<&str> = world.writes.iter().map(|(_, write)| &*write.event.note).collect();
    assert_eq!(notes[..4], ["request 0", "request 9", "request 29", "request 69"]);
    world.pass(21 * MINUTE, Answer::Written);
    assert_eq!(world.shown.into_values().collect::<Vec<_>>(), [(time(0), 1200, "request 1199".into())]);
}

#[test]
fn another_object_reason_attempt_or_kind_of_refusal_is_another_event_at_once() {
    let mut world = World::default();
    let same = || event("no");
    for (name, event) in [
        ("one", same()),
        ("two", same()),
        ("one", Event { reason: "SessionStarted".into(), ..same() }),
        ("one", Event { attempt: Some(1), ..same() }),
        ("one", Event { attempt: None, ..same() }),
        ("one", Event { refusal: Some("Throttled"), ..same() }),
        ("one", Event { refusal: None, ..same() }),
    ] {
        world.happens(name, event, world.second + 1);
    }
    assert_eq!(world.seconds(), [1, 2, 3, 4, 5, 6, 7]);
    assert_eq!(world.shown.len(), 7);
    // An object of the same name that was created later.
    let later = About { uid: Some("later".into()), ..about("one") };
    world.correlator.add(later, same(), time(8), at(8));
    world.pass(8, Answer::Written);
    // A different note or action does not make another event.
    world.happens("one", Event { note: "yes".into(), action: "Observe", ..same() }, 9);
    assert_eq!((world.seconds().len(), world.shown.len()), (8, 8));
}

#[test]
fn whatever_happens_the_newest_note_is_shown_in_time_and_at_bounded_cost() {
    for seed in 0..300 {
        let mut random = fastrand::Rng::with_seed(seed);
        let (mut world, mut happened) = (World::default(), Vec::new());
        let longest = [1, 5, 30, 120, 300][random.usize(..5)];
        while world.second < 60 * MINUTE {
            let second = world.second + random.u64(..=longest);
            // Each note is the number of its occurrence.
            world.happens("one", event(&happened.len().to_string()), second);
            happened.push(second);
            let (_, count, note) = world.shown.values().next().expect("it is written at once");
            let shown: usize = note.parse().expect("a number");
            assert_eq!(usize::try_from(*count), Ok(shown + 1), "seed {seed}");
            let longest = (second - happened[0] + 10).min(5 * MINUTE);
            let lag = happened.get(shown + 1).map_or(0, |unshown| second - unshown);
            assert!(lag <= longest, "seed {seed}: at {second} an event of {lag} s ago is not shown");
        }
        assert!(world.seconds().len() <= 6 + 12, "seed {seed}: {:?}", world.seconds());
        world.pass(world.second + 5 * MINUTE, Answer::Written);
        let shown: Vec<&Shown> = world.shown.values().collect();
        let count = i32::try_from(happened.len()).expect("a few");
        assert_eq!(shown, [&(time(happened[0]), count, (count - 1).to_string())], "seed {seed}");
    }
}

#[test]
fn what_happens_again_after_seven_minutes_is_another_event_and_nothing_is_remembered() {
    let mut world = World::default();
    world.happens("one", event("a"), 0);
    world.happens("one", event("b"), 7 * MINUTE - 1);
    world.happens("one", event("c"), 14 * MINUTE - 1);
    let shown: Vec<Shown> = world.shown.values().cloned().collect();
    assert_eq!(shown, [(time(0), 2, "b".into()), (time(14 * MINUTE - 1), 1, "c".into())]);
    world.pass(21 * MINUTE, Answer::Written);
    let Correlator { events, unwritten, written, .. } = &world.correlator;
    assert_eq!((events.len(), unwritten.len(), written.len(), world.correlator.next_time()), (0, 0, 0, None));
}

#[test]
fn what_is_remembered_is_bounded_and_what_has_nothing_to_be_written_gives_way_first() {
    let mut world = World::default();
    world.happens("repeated", event("a"), 0);
    world.happens("repeated", event("b"), 1);
    for number in 2..MAX_EVENTS + 10 {
        world.happens(&format!("object-{number}"), event("a"), 1);
    }
    assert_eq!((world.correlator.events.len(), world.shown.len()), (MAX_EVENTS, MAX_EVENTS + 9));
    world.pass(10, Answer::Written);
    assert_eq!(world.shown.values().filter(|(_, count, note)| *count == 2 && note == "b").count(), 1);

    // If all events have to be written, the displaced one is written.
    let mut world = World::default();
    for second in [0, 1] {
        for number in 0..MAX_EVENTS {
            world.happens(&format!("object-{number}"), event(&format!("{number} at {second}")), second);
        }
    }
    assert_eq!(world.writes.len(), MAX_EVENTS);
    world.happens("one", event("a"), 2);
    let written: BTreeSet<&str> =
        world.writes[MAX_EVENTS..].iter().map(|(_, write)| &*write.event.note).collect();
    assert_eq!(written, BTreeSet::from(["0 at 1", "a"]));
    assert!(
        world.correlator.events.len() == MAX_EVENTS && size_of::<Recorded>() <= 128,
        "{} bytes",
        size_of::<Recorded>()
    );
}

#[test]
fn a_write_without_an_answer_is_tried_again_with_what_is_new_and_given_up_after_some_minutes() {
    let mut world = World::default();
    world.correlator.add(about("one"), event("a"), time(0), at(0));
    world.pass(3, Answer::Missing);
    world.correlator.add(about("one"), event("b"), time(3), at(3));
    world.pass(4, Answer::Missing);
    world.pass(20, Answer::Written);
    assert_eq!(world.shown.values().cloned().collect::<Vec<_>>(), [(time(0), 2, "b".into())]);
    assert_eq!(world.seconds(), [0, 1, 3, 6]);

    let mut world = World::default();
    world.correlator.add(about("one"), event("a"), time(0), at(0));
    world.pass(6 * MINUTE, Answer::Missing);
    assert_eq!(world.writes.len(), 12);
    let last = world.seconds()[11];
    assert!((2 * MINUTE..5 * MINUTE).contains(&last), "{last} s");
    // A further occurrence of the same event is tried again.
    world.happens("one", event("b"), 6 * MINUTE);
    assert_eq!(world.shown.values().cloned().collect::<Vec<_>>(), [(time(0), 2, "b".into())]);
}

#[test]
fn a_write_that_is_refused_is_tried_no_more_often_than_one_that_is_not() {
    let mut world = World::default();
    for second in 0..20 {
        world.correlator.add(about("one"), event("a"), time(second), at(second));
        world.pass(second, Answer::Refused);
    }
    assert_eq!(world.seconds(), [0, 10]);
    assert!(world.writes.iter().all(|(_, write)| !write.is_created));
}

#[test]
fn the_name_of_an_event_object_fits_and_ends_in_the_time_of_the_first_occurrence() {
    let name = |name: &str| Write::first(about(name), event(""), time(1)).object_name();
    assert_eq!(name("etl"), "etl.3b9aca00");
    let long = name(&format!("{}-{}", "a".repeat(199), "b".repeat(53)));
    assert_eq!(long, format!("{}.3b9aca00", "a".repeat(199)));
    let only = |second| Write::only(about("etl"), event(""), time(second)).object_name();
    assert_eq!([only(1), only(2)], ["etl.etl", "etl.etl"], "by the UID");
}
