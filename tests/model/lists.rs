//! The lists of a work group that serve the objects of a pair: the operator's own plan of them, with the reading of each in two moves.

use std::time::Duration;

use athena_operator::athena::marker_search::group::{Answer, Ask, Group, Next, Read, Reading, Summary};
use athena_operator::session::reply::Session;

/// What is asked of lists, and the lists.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Lists {
    /// The operator's plan for the work group; one for each object in the variant that is broken so.
    groups: Vec<Group<usize, Duration>>,
    readings: Vec<Option<Reading<usize, Duration>>>,
    /// From when on a list is of use to each object that waits for one.
    waiting: [Option<Duration>; 2],
    /// Which objects have an answer that they have not read yet.
    answered: [bool; 2],
}

/// Time that is left between two lists of a work group.
const PAUSE: Duration = Duration::from_secs(20);

impl Lists {
    /// No list, with so many plans.
    pub fn new(plans: usize) -> Self {
        Self {
            groups: vec![Group::default(); plans],
            readings: vec![None; plans],
            waiting: [None; 2],
            answered: [false; 2],
        }
    }

    /// How many plans there are.
    pub fn plans(&self) -> usize {
        self.groups.len()
    }

    fn plan_of(&self, side: usize) -> usize {
        side.min(self.groups.len() - 1)
    }

    /// What a list has told object `side`, or nothing while it waits for one.
    pub fn ask(&mut self, side: usize, ask: Ask<Duration>) -> Option<Answer<Duration>> {
        let plan = self.plan_of(side);
        let from = ask.from;
        let answer = self.groups[plan].ask(&side, ask);
        if answer.is_none() {
            self.waiting[side] = Some(self.waiting[side].map_or(from, |before| before.min(from)));
        }
        answer
    }

    /// Object `side` asks no more.
    pub fn cancel(&mut self, side: usize) {
        let plan = self.plan_of(side);
        self.groups[plan].cancel(&side);
        (self.waiting[side], self.answered[side]) = (None, false);
    }

    /// Whether an answer waits for object `side`.
    pub fn has_answered(&self, side: usize) -> bool {
        self.answered[side]
    }

    /// Begins the next list of a plan, if it is time. Returns whether that is as it should be.
    pub fn begin(&mut self, plan: usize, now: Duration) -> Option<Result<(), &'static str>> {
        if self.readings[plan].is_some() {
            return None;
        }
        let Next::List(reading) = self.groups[plan].next(now) else { return None };
        let is_due = |side: usize| self.waiting[side].is_some_and(|from| from <= now);
        let reads_for = |side: usize| reading.askers().any(|asker| *asker == side);
        let left_out = (0..2).any(|side| is_due(side) && !reads_for(side));
        let needless = !(0..2).any(is_due);
        self.readings[plan] = Some(reading);
        Some(match (left_out, needless) {
            (true, _) => Err("rule 17: a list is read and leaves out an object that waits for one"),
            (_, true) => Err("rule 17: a list is read that nobody needs"),
            _ => Ok(()),
        })
    }

    /// Reads the list of a plan to its end.
    pub fn finish(&mut self, plan: usize, sessions: Vec<Session>, now: Duration) -> Option<()> {
        let mut reading = self.readings[plan].take()?;
        let description = |session: &Session| session.details.as_ref()?.description.clone();
        reading.take(
            sessions
                .into_iter()
                .map(|session| Summary { description: description(&session), id: Some(session.id) })
                .collect(),
        );
        for side in self.groups[plan].finish(reading, &Read::Complete, now, PAUSE, 0.5) {
            (self.waiting[side], self.answered[side]) = (None, true);
        }
        Some(())
    }
}
