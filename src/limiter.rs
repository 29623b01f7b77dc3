//! How many calls to Athena are made, and whose turn it is: one token bucket for all calls of an account and region. Nobody sleeps in a queue: an object
//! that has to wait is woken when it is its turn, and decides anew.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, oneshot};

use crate::metrics::Metrics;

/// What a call is for. Under pressure terminations come first, then starts; looks have a share of their own, so that a wave of starts cannot blind the
/// operator, and starts that were refused before have a small one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Lane {
    /// TerminateSession.
    Terminate,
    /// StartSession.
    Start,
    /// GetSession, GetSessionStatus, ListSessions.
    Look,
    /// StartSession again, after a refusal that somebody has to mend.
    Retry,
}

impl Lane {
    /// All of them, in the order of their turns.
    pub const ALL: [Self; 4] = [Self::Terminate, Self::Start, Self::Look, Self::Retry];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Terminate => "terminate",
            Self::Start => "start",
            Self::Look => "look",
            Self::Retry => "retry",
        }
    }
}

/// Of so many turns one is a look's, if one waits.
const LOOKS: u32 = 4;
/// Of so many turns one is a retry's, if one waits.
const RETRIES: u32 = 32;
/// How long a turn is kept for an object that does not take it.
const KEPT: Duration = Duration::from_mins(1);

/// Whether the next call has had its turn, as the first of a reconcile has; those after it are paid for by whoever comes next.
#[derive(Debug)]
pub struct Turn {
    had: bool,
    begun: bool,
}

impl Turn {
    /// The turn of one call.
    pub fn had() -> Self {
        Self { had: true, begun: true }
    }

    /// No turn.
    pub fn none() -> Self {
        Self { had: false, begun: false }
    }

    /// Whether there was a turn, used or not.
    pub fn is_begun(&self) -> bool {
        self.begun
    }
}

/// Calls per second, and how many may come at once after a pause.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    /// Calls per second; more than nothing.
    pub per_second: f64,
    /// Calls at once; at least one.
    pub burst: u32,
}

/// The turns of a lane: that namespace is next which has waited longest since its last turn, and first come, first served in each.
#[derive(Debug)]
struct Queue<K> {
    waiting: Vec<(String, VecDeque<(K, u64)>)>,
    /// At which of the lane's turns each namespace was last served, as long as anybody waits.
    served: HashMap<String, u64>,
    turns: u64,
}

impl<K> Queue<K> {
    fn new() -> Self {
        Self { waiting: Vec::new(), served: HashMap::new(), turns: 0 }
    }

    fn push(&mut self, namespace: &str, key: K, ticket: u64) {
        match self.waiting.iter_mut().find(|(name, _)| name == namespace) {
            Some((_, waiting)) => waiting.push_back((key, ticket)),
            None => self.waiting.push((namespace.to_owned(), VecDeque::from([(key, ticket)]))),
        }
    }

    /// The next key whose ticket is still `valid`.
    fn pop(&mut self, valid: impl Fn(&K, u64) -> bool) -> Option<K> {
        let key = loop {
            let last = |(_, (name, _)): &(usize, &(String, _))| self.served.get(name).copied().unwrap_or_default();
            let Some(place) = self.waiting.iter().enumerate().min_by_key(last).map(|(place, _)| place) else { break None };
            let (namespace, waiting) = &mut self.waiting[place];
            while waiting.front().is_some_and(|(key, ticket)| !valid(key, *ticket)) {
                waiting.pop_front();
            }
            if let Some((key, _)) = waiting.pop_front() {
                self.turns += 1;
                self.served.insert(namespace.clone(), self.turns);
                break Some(key);
            }
            self.waiting.remove(place);
        };
        self.waiting.retain(|(_, waiting)| !waiting.is_empty());
        if self.waiting.is_empty() {
            self.served.clear();
        }
        key
    }
}

/// A token bucket. It has no clock.
#[derive(Debug)]
struct Bucket {
    rate: Rate,
    level: f64,
    at: Instant,
}

impl Bucket {
    fn full(rate: Rate, now: Instant) -> Self {
        Self { rate, level: f64::from(rate.burst), at: now }
    }

    fn refill(&mut self, now: Instant) {
        let gained = now.saturating_duration_since(self.at).as_secs_f64() * self.rate.per_second;
        self.level = (self.level + gained).min(f64::from(self.rate.burst));
        self.at = self.at.max(now);
    }

    /// A call that cannot wait for a turn: how long it has to wait until the calls before it are paid for.
    fn reserve(&mut self, now: Instant) -> Duration {
        self.refill(now);
        self.level -= 1.0;
        Duration::from_secs_f64((-self.level).max(0.0) / self.rate.per_second)
    }
}

/// Whose turn it is. It has no clock.
#[derive(Debug)]
struct Turns<K> {
    bucket: Bucket,
    queues: HashMap<Lane, Queue<K>>,
    /// The lane, the ticket and since when.
    waiting: HashMap<K, (Lane, u64, Instant)>,
    /// The waits that are over, until they are counted.
    waits: Vec<(Lane, Duration)>,
    counts: HashMap<Lane, usize>,
    granted: HashMap<K, (Lane, Instant)>,
    tickets: u64,
    turn: u32,
}

#[derive(Debug, PartialEq, Eq)]
enum Next<K> {
    Turn(K),
    At(Instant),
    Nobody,
}

impl<K: Clone + Eq + Hash> Turns<K> {
    fn new(rate: Rate, now: Instant) -> Self {
        let queues = Lane::ALL.into_iter().map(|lane| (lane, Queue::new())).collect();
        let (waiting, counts, granted) = (HashMap::new(), HashMap::new(), HashMap::new());
        Self { bucket: Bucket::full(rate, now), queues, waiting, counts, granted, waits: Vec::new(), tickets: 0, turn: 0 }
    }

    /// Whether `key` may make a call now. If not, it stands in the lane from now on.
    fn ask(&mut self, key: &K, namespace: &str, lane: Lane, now: Instant) -> bool {
        match self.granted.get(key) {
            Some((granted, _)) if *granted == lane => return true,
            Some(_) => {
                self.leave(key, now);
            }
            None => {}
        }
        match self.waiting.get(key) {
            Some((place, ..)) if *place == lane => return false,
            Some(_) => {
                self.leave(key, now);
            }
            None => {}
        }
        self.bucket.refill(now);
        if self.waiting.is_empty() && self.bucket.level >= 1.0 {
            self.bucket.level -= 1.0;
            self.granted.insert(key.clone(), (lane, now));
            self.waits.push((lane, Duration::ZERO));
            return true;
        }
        self.tickets += 1;
        self.waiting.insert(key.clone(), (lane, self.tickets, now));
        *self.counts.entry(lane).or_default() += 1;
        if let Some(queue) = self.queues.get_mut(&lane) {
            queue.push(namespace, key.clone(), self.tickets);
        }
        false
    }

    /// `key` makes the call for which its turn came.
    fn take(&mut self, key: &K) {
        self.granted.remove(key);
    }

    /// `key` neither waits nor calls. Returns whether it gave back a turn, which goes to another.
    fn leave(&mut self, key: &K, now: Instant) -> bool {
        if let Some((lane, ..)) = self.waiting.remove(key) {
            self.uncount(lane);
        }
        let unused = self.granted.remove(key).is_some();
        if unused {
            self.bucket.refill(now);
            self.bucket.level = (self.bucket.level + 1.0).min(f64::from(self.bucket.rate.burst));
        }
        unused
    }

    fn uncount(&mut self, lane: Lane) {
        if let Some(count) = self.counts.get_mut(&lane) {
            *count -= 1;
        }
    }

    /// Who is next, if anybody waits: the turn is given.
    fn next(&mut self, now: Instant) -> Next<K> {
        self.granted.retain(|_, (_, time)| now.saturating_duration_since(*time) < KEPT);
        if self.waiting.is_empty() {
            return Next::Nobody;
        }
        self.bucket.refill(now);
        if self.bucket.level < 1.0 {
            return Next::At(now + Duration::from_secs_f64((1.0 - self.bucket.level) / self.bucket.rate.per_second));
        }
        self.turn = self.turn.wrapping_add(1);
        let order = if self.turn.is_multiple_of(RETRIES) {
            [Lane::Retry, Lane::Terminate, Lane::Start, Lane::Look]
        } else if self.turn.is_multiple_of(LOOKS) {
            [Lane::Look, Lane::Terminate, Lane::Start, Lane::Retry]
        } else {
            Lane::ALL
        };
        for lane in order.into_iter().filter(|lane| self.counts.get(lane).is_some_and(|count| *count > 0)) {
            let waiting = &self.waiting;
            let valid = |key: &K, ticket| waiting.get(key).is_some_and(|(place, number, _)| (*place, *number) == (lane, ticket));
            if let Some(key) = self.queues.get_mut(&lane).and_then(|queue| queue.pop(valid)) {
                if let Some((_, _, since)) = self.waiting.remove(&key) {
                    self.waits.push((lane, now.saturating_duration_since(since)));
                }
                self.uncount(lane);
                self.bucket.level -= 1.0;
                self.granted.insert(key.clone(), (lane, now));
                return Next::Turn(key);
            }
        }
        Next::Nobody
    }
}

/// Who waits for a turn: an object that decides anew when it has it, or a caller that goes on.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Who<K> {
    Object(K),
    Caller(u64),
}

/// The limiter of all calls to Athena.
#[derive(Debug)]
pub struct Limiter<K> {
    turns: Mutex<Turns<Who<K>>>,
    callers: Mutex<Callers>,
    /// What is sent. A turn may be used long after it was given, and then many at once.
    sent: Mutex<Bucket>,
    asked: Notify,
    metrics: Arc<Metrics>,
}

#[derive(Debug, Default)]
struct Callers {
    last: u64,
    waiting: HashMap<u64, oneshot::Sender<()>>,
}

impl<K: Clone + Eq + Hash> Limiter<K> {
    /// A limiter of so many calls.
    pub fn new(rate: Rate, metrics: Arc<Metrics>) -> Self {
        let now = Instant::now();
        let (turns, sent) = (Mutex::new(Turns::new(rate, now)), Mutex::new(Bucket::full(rate, now)));
        Self { turns, callers: Mutex::default(), sent, asked: Notify::new(), metrics }
    }

    fn turns(&self) -> MutexGuard<'_, Turns<Who<K>>> {
        self.turns.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn callers(&self) -> MutexGuard<'_, Callers> {
        self.callers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What `act` returns; the waits that it ends are counted.
    fn counted<T>(&self, act: impl FnOnce(&mut Turns<Who<K>>) -> T) -> T {
        let (result, waits) = {
            let mut turns = self.turns();
            (act(&mut turns), std::mem::take(&mut turns.waits))
        };
        for (lane, duration) in waits {
            self.metrics.waited(lane, duration);
        }
        result
    }

    fn ask_as(&self, who: &Who<K>, namespace: &str, lane: Lane) -> bool {
        let may = self.counted(|turns| turns.ask(who, namespace, lane, Instant::now()));
        if !may {
            self.asked.notify_one();
        }
        may
    }

    /// Whether `key` may make a call now. If not, [`Limiter::run`] tells when its turn has come, and it is to ask again.
    pub fn ask(&self, key: &K, namespace: &str, lane: Lane) -> bool {
        self.ask_as(&Who::Object(key.clone()), namespace, lane)
    }

    /// `key` makes the call for which it had its turn.
    pub fn take(&self, key: &K) {
        self.turns().take(&Who::Object(key.clone()));
    }

    /// `key` does not want a turn any more.
    pub fn leave(&self, key: &K) {
        self.leave_as(&Who::Object(key.clone()));
    }

    fn leave_as(&self, who: &Who<K>) {
        if self.turns().leave(who, Instant::now()) {
            self.asked.notify_one();
        }
    }

    /// Waits for the turn of a call that is not an object's, beside those of the namespaces. [`Limiter::run`] gives it.
    pub async fn turn(&self, lane: Lane) -> Turn {
        let (sender, receiver) = oneshot::channel();
        let number = {
            let mut callers = self.callers();
            callers.last += 1;
            let number = callers.last;
            callers.waiting.insert(number, sender);
            number
        };
        let who = Who::Caller(number);
        if self.ask_as(&who, "", lane) {
            self.callers().waiting.remove(&number);
        } else {
            // The sender is dropped with the limiter only, or to say that the turn is there.
            let _ = receiver.await;
        }
        self.turns().take(&who);
        Turn::had()
    }

    /// Waits until a call may be sent, which is not long if it has had its `turn`. The turn is used up.
    pub async fn pay(&self, turn: &mut Turn) {
        if !std::mem::take(&mut turn.had) {
            let wait = self.turns().bucket.reserve(Instant::now());
            pause(wait).await;
        }
        let wait = self.sent.lock().unwrap_or_else(PoisonError::into_inner).reserve(Instant::now());
        pause(wait).await;
    }

    /// Gives the turns, for ever: `wake` is told whose it is.
    pub async fn run(&self, wake: impl Fn(K)) {
        loop {
            match self.counted(|turns| turns.next(Instant::now())) {
                Next::Turn(Who::Object(key)) => wake(key),
                Next::Turn(Who::Caller(number)) => {
                    let sender = self.callers().waiting.remove(&number);
                    if sender.is_none_or(|sender| sender.send(()).is_err()) {
                        self.leave_as(&Who::Caller(number));
                    }
                }
                Next::Nobody => self.asked.notified().await,
                Next::At(time) => tokio::time::sleep_until(time.into()).await,
            }
        }
    }
}

/// Waits for `time`; not until the timer's next tick if there is nothing to wait for.
async fn pause(time: Duration) {
    if !time.is_zero() {
        tokio::time::sleep(time).await;
    }
}

#[cfg(test)]
#[path = "limiter_tests.rs"]
mod tests;
