//! Rate limiter of all calls to Athena: one token bucket for an account and region.
//!
//! No reconcile sleeps here. An object that cannot call now waits in the limiter, without a timer and without a permit of the workqueue;
//! [`RateLimiter::dispatch`] triggers it when its turn has come, and it asks again. A turn is a reservation of a call, for a short while: the bucket
//! is charged when the call is made, so that calls never come faster than the rate, however late turns are used.
//!
//! No turn is lost: an object whose reservation lapsed goes to the head of its queue as soon as it asks again.
//!
//! Of the calls with a large request or reply, few are admitted at a time, from the turn to the reply: they cost memory, and those that wait for one
//! another must not keep others from calling.

use std::collections::{HashMap, HashSet, VecDeque};
use std::hash::Hash;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};

use crate::athena::metrics::AthenaMetrics;
use crate::runtime::key::Key;

/// Purpose of a call. Under pressure terminations come first, then starts. Starts and looks each have a share of their own, so that terminations that
/// fail cannot hold up every start, and a wave of starts cannot stop the looks; starts that were refused before have a small share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Priority {
    /// TerminateSession, and looks at a session that is to end.
    Terminate,
    /// StartSession, and GetWorkGroup before it.
    Start,
    /// GetSession, GetSessionStatus, ListSessions.
    Look,
    /// StartSession again, after a refusal that a person has to correct.
    Retry,
}

impl Priority {
    /// All priorities, in the order in which they are served.
    pub const ALL: [Self; 4] = [Self::Terminate, Self::Start, Self::Look, Self::Retry];

    /// Returns the value of the metric's label.
    pub fn name(self) -> &'static str {
        match self {
            Self::Terminate => "terminate",
            Self::Start => "start",
            Self::Look => "look",
            Self::Retry => "retry",
        }
    }
}

/// Every fourth turn goes to a waiting look, unless it goes to a retry.
const LOOK_SHARE: u32 = 4;
/// Every seventh turn goes to a waiting start, unless the turn goes to a look or a retry by their shares: sessions that cannot be ended must not keep
/// others from starting.
const START_SHARE: u32 = 7;
/// Every 32nd turn goes to a waiting retry.
const RETRY_SHARE: u32 = 32;
/// Namespace of callers that are no objects.
const CALLERS: &str = "";
/// Maximum number of turns in a row for such callers while an object waits.
const CALLERS_TURNS: u32 = 7;
/// Time for which an unused turn keeps a call from others.
const RESERVATION: Duration = Duration::from_secs(2);

/// Maximum number of large calls under way at a time.
pub const LARGE_CALLS: usize = 2;

/// Calls per second, and the number of calls at once after a pause.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    /// Calls per second; more than nothing.
    pub per_second: f64,
    /// Calls at once; at least one.
    pub burst: u32,
}

/// Queue of one priority: first come, first served in each namespace, and the namespace that has waited longest since its last turn is next. Callers
/// that are no objects, in the namespace without a name, come first, for [`CALLERS_TURNS`] in a row: their replies serve many objects.
#[derive(Debug)]
struct Queue<K> {
    waiting: Vec<(String, VecDeque<(K, u64)>)>,
    /// Number of the queue's turn at which each namespace was last served, while any key waits.
    served: HashMap<String, u64>,
    turns: u64,
    /// Number of turns in a row, up to the last, that were callers'.
    callers: u32,
}

impl<K> Queue<K> {
    fn new() -> Self {
        Self { waiting: Vec::new(), served: HashMap::new(), turns: 0, callers: 0 }
    }

    /// Returns the keys of `namespace`.
    fn of(&mut self, namespace: &str) -> &mut VecDeque<(K, u64)> {
        let place = self.waiting.iter().position(|(name, _)| name == namespace).unwrap_or_else(|| {
            self.waiting.push((namespace.to_owned(), VecDeque::new()));
            self.waiting.len() - 1
        });
        &mut self.waiting[place].1
    }

    /// Returns the next key whose ticket is still `valid`.
    fn pop(&mut self, valid: impl Fn(&K, u64) -> bool) -> Option<K> {
        let key = loop {
            let last = |(_, (name, _)): &(usize, &(String, _))| match name.as_str() {
                CALLERS if self.callers >= CALLERS_TURNS => u64::MAX,
                CALLERS => 0,
                name => self.served.get(name).map_or(1, |turn| turn + 1),
            };
            let Some(place) = self.waiting.iter().enumerate().min_by_key(last).map(|(place, _)| place) else {
                break None;
            };
            let (namespace, waiting) = &mut self.waiting[place];
            while waiting.front().is_some_and(|(key, ticket)| !valid(key, *ticket)) {
                waiting.pop_front();
            }
            if let Some((key, _)) = waiting.pop_front() {
                self.turns += 1;
                self.callers = if namespace == CALLERS { self.callers + 1 } else { 0 };
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
    time: Instant,
}

impl Bucket {
    fn refill(&mut self, now: Instant) {
        let gained = now.saturating_duration_since(self.time).as_secs_f64() * self.rate.per_second;
        self.level = (self.level + gained).min(f64::from(self.rate.burst));
        self.time = self.time.max(now);
    }
}

/// A key that waits for its turn.
#[derive(Debug)]
struct Waiting {
    priority: Priority,
    ticket: u64,
    since: Instant,
    /// Namespace of a key that waits for admission.
    awaiting_admission: Option<String>,
}

/// A turn that was granted.
#[derive(Clone, Copy, Debug)]
struct Turn {
    priority: Priority,
    since: Instant,
    /// True if the call comes later.
    reserve_only: bool,
}

/// Bounds of the calls under way at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Maximum number of objects' calls under way.
    pub in_flight: usize,
    /// Maximum number of large calls among them.
    pub large: usize,
}

/// A key's request for a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Want {
    /// Purpose of the call.
    pub priority: Priority,
    /// True if the call completes something that was begun, and so is served before calls that begin something.
    pub to_front: bool,
    /// True if its request or its reply may be large.
    pub large: bool,
    /// True if another action, such as a write, comes before the call: until then its turn is reserved, and does not count among the calls under way.
    pub reserve_only: bool,
}

/// The decisions of the limiter. It has no clock.
#[derive(Debug)]
struct LimiterState<K> {
    bucket: Bucket,
    /// The queue of each priority.
    queues: [Queue<K>; 4],
    /// Keys with a large call that are not admitted yet, by priority.
    awaiting_admission: [Queue<K>; 4],
    /// Keys with a large call that were admitted, until they have their permit.
    large: HashSet<K>,
    waiting: HashMap<K, Waiting>,
    /// Number of admitted keys that wait, by priority.
    counts: [usize; 4],
    /// Turns that were granted and not used yet. Each reserves one token of the bucket.
    granted: HashMap<K, Turn>,
    /// Keys whose reservation lapsed before they asked again.
    lapsed: HashSet<K>,
    /// Waits that are over, until the metrics count them.
    waits: Vec<(Priority, Duration)>,
    tickets: u64,
    turn: u32,
    /// Number of permits that were taken and whose call was not made yet. Each reserves one token too.
    unspent: usize,
    /// Number of permits of objects.
    in_flight: usize,
    /// Number of permits of large calls.
    large_in_flight: usize,
    bounds: Bounds,
}

#[derive(Debug, PartialEq, Eq)]
enum Next<K> {
    Turn(K),
    At(Instant),
    /// No turn can be granted until another event.
    Nothing,
}

impl<K: Clone + Eq + Hash> LimiterState<K> {
    fn new(rate: Rate, bounds: Bounds, now: Instant) -> Self {
        Self {
            bucket: Bucket { rate, level: f64::from(rate.burst), time: now },
            queues: Priority::ALL.map(|_| Queue::new()),
            awaiting_admission: Priority::ALL.map(|_| Queue::new()),
            large: HashSet::new(),
            waiting: HashMap::new(),
            counts: [0; 4],
            granted: HashMap::new(),
            lapsed: HashSet::new(),
            waits: Vec::new(),
            tickets: 0,
            turn: 0,
            unspent: 0,
            in_flight: 0,
            large_in_flight: 0,
            bounds: Bounds { in_flight: bounds.in_flight.max(1), large: bounds.large.max(1) },
        }
    }

    /// Returns whether `key` may make a call now; if so, [`LimiterState::take`] takes the permit. If not, it waits from now on.
    fn ask(&mut self, key: &K, namespace: &str, want: Want, now: Instant) -> bool {
        let Want { priority, to_front, large, reserve_only } = want;
        self.lapse(now);
        let is_admitted = !large || self.large.contains(key);
        if is_admitted && let Some(turn) = self.granted.get_mut(key).filter(|turn| turn.priority == priority)
        {
            let was_reserve_only = std::mem::replace(&mut turn.reserve_only, reserve_only);
            // Others may have taken the room meanwhile: then the key waits as the next.
            if reserve_only || !was_reserve_only || self.under_way() <= self.bounds.in_flight {
                return true;
            }
        }
        match self.waiting.get(key) {
            Some(waiting)
                if waiting.priority == priority && is_admitted == waiting.awaiting_admission.is_none() =>
            {
                return false;
            }
            Some(_) => self.leave(key),
            None => {}
        }
        let had_turn = self.granted.remove(key).is_some();
        let to_front = self.lapsed.remove(key) || had_turn || to_front;
        let can_admit = !large || self.large.contains(key) || self.has_room_for_large();
        self.bucket.refill(now);
        if can_admit && large {
            self.large.insert(key.clone());
        }
        if can_admit && self.waiting.is_empty() && self.has_token() && self.has_room() {
            self.granted.insert(key.clone(), Turn { priority, since: now, reserve_only });
            self.waits.push((priority, Duration::ZERO));
            return true;
        }
        self.tickets += 1;
        let awaiting_admission = (!can_admit).then(|| namespace.to_owned());
        self.waiting
            .insert(key.clone(), Waiting { priority, ticket: self.tickets, since: now, awaiting_admission });
        let queues = if can_admit { &mut self.queues } else { &mut self.awaiting_admission };
        let queue = &mut queues[priority as usize];
        self.counts[priority as usize] += usize::from(can_admit);
        // A key that is admitted for a large call holds one of the few places for them while it waits for its turn, so it goes to the front of its
        // namespace's queue: otherwise it would block large calls of all namespaces for longer.
        if to_front || can_admit && large {
            queue.of(namespace).push_front((key.clone(), self.tickets));
        } else {
            queue.of(namespace).push_back((key.clone(), self.tickets));
        }
        if to_front {
            queue.served.remove(namespace);
        }
        false
    }

    fn has_room_for_large(&self) -> bool {
        self.large.len() + self.large_in_flight < self.bounds.large
    }

    /// Admits keys that wait outside, as far as there is room: they then wait for their turn.
    fn admit(&mut self) {
        for priority in Priority::ALL {
            while self.has_room_for_large() {
                let waiting = &self.waiting;
                let is_outside = |key: &K, ticket| {
                    waiting.get(key).is_some_and(|waiting| {
                        waiting.awaiting_admission.is_some() && waiting.ticket == ticket
                    })
                };
                let Some(key) = self.awaiting_admission[priority as usize].pop(is_outside) else { break };
                let Some(waiting) = self.waiting.get_mut(&key) else { continue };
                let namespace = waiting.awaiting_admission.take().unwrap_or_default();
                self.queues[priority as usize].of(&namespace).push_front((key.clone(), waiting.ticket));
                self.counts[priority as usize] += 1;
                self.large.insert(key);
            }
        }
    }

    /// Converts the turn of `key` into a permit, if it had one. Returns whether its call is large.
    fn take(&mut self, key: &K, is_object: bool) -> Option<bool> {
        self.granted.remove(key)?;
        let is_large = self.large.remove(key);
        self.unspent += 1;
        self.in_flight += usize::from(is_object);
        self.large_in_flight += usize::from(is_large);
        Some(is_large)
    }

    /// Charges the bucket for the call of a permit, which is made now.
    fn spend(&mut self, now: Instant) {
        self.bucket.refill(now);
        self.bucket.level -= 1.0;
        self.unspent -= 1;
    }

    /// Releases a permit.
    fn release(&mut self, is_object: bool, is_large: bool, is_spent: bool) {
        self.in_flight -= usize::from(is_object);
        self.large_in_flight -= usize::from(is_large);
        self.unspent -= usize::from(!is_spent);
    }

    fn leave(&mut self, key: &K) {
        if let Some(waiting) = self.waiting.remove(key).filter(|waiting| waiting.awaiting_admission.is_none())
        {
            self.counts[waiting.priority as usize] -= 1;
        }
    }

    /// Cancels the wait or the turn of `key`. Returns whether another key may have its turn.
    fn cancel(&mut self, key: &K) -> bool {
        self.leave(key);
        self.lapsed.remove(key);
        let was_let_in = self.large.remove(key);
        self.granted.remove(key).is_some() || was_let_in
    }

    /// Revokes the turn of `key`, if it has one, as if it had lapsed: the key goes ahead when it asks again. Returns whether it had one.
    fn give_back(&mut self, key: &K) -> bool {
        let had_turn = self.granted.remove(key).is_some();
        if had_turn {
            self.large.remove(key);
            self.lapsed.insert(key.clone());
        }
        had_turn
    }

    /// Ends reservations that are too old. Their objects were triggered already, and go ahead when they ask again.
    fn lapse(&mut self, now: Instant) {
        let is_old = |_: &K, turn: &mut Turn| now.saturating_duration_since(turn.since) >= RESERVATION;
        for (key, _) in self.granted.extract_if(is_old) {
            self.large.remove(&key);
            self.lapsed.insert(key);
        }
    }

    fn reserved(&self) -> f64 {
        u32::try_from(self.granted.len() + self.unspent).map_or(f64::MAX, f64::from)
    }

    fn has_token(&self) -> bool {
        self.bucket.level - self.reserved() >= 1.0 - 1e-9
    }

    /// Returns the number of objects' calls under way, with those whose turn has come.
    fn under_way(&self) -> usize {
        self.in_flight + self.granted.values().filter(|turn| !turn.reserve_only).count()
    }

    fn has_room(&self) -> bool {
        self.under_way() < self.bounds.in_flight
    }

    /// Grants the next turn, if a key waits and a call may be made.
    fn next(&mut self, now: Instant) -> Next<K> {
        self.lapse(now);
        if self.waiting.is_empty() {
            return Next::Nothing;
        }
        self.admit();
        self.bucket.refill(now);
        let oldest = self.granted.values().map(|turn| turn.since + RESERVATION).min();
        let Bucket { level, rate, .. } = self.bucket;
        let missing = 1.0 + self.reserved() - level;
        // Sums of floats are not exact.
        if missing > 1e-9 {
            // If more tokens are missing than the bucket holds, the next comes only when a turn is used or lapses.
            let filled = (level + missing <= f64::from(rate.burst) + 1e-6)
                .then(|| now + Duration::from_secs_f64(missing / rate.per_second));
            return filled.into_iter().chain(oldest).min().map_or(Next::Nothing, Next::At);
        }
        if !self.has_room() {
            return oldest.map_or(Next::Nothing, Next::At);
        }
        self.turn = self.turn.wrapping_add(1);
        let order = if self.turn.is_multiple_of(RETRY_SHARE) {
            [Priority::Retry, Priority::Terminate, Priority::Start, Priority::Look]
        } else if self.turn.is_multiple_of(LOOK_SHARE) {
            [Priority::Look, Priority::Terminate, Priority::Start, Priority::Retry]
        } else if self.turn.is_multiple_of(START_SHARE) {
            [Priority::Start, Priority::Terminate, Priority::Look, Priority::Retry]
        } else {
            Priority::ALL
        };
        for priority in order {
            if self.counts[priority as usize] == 0 {
                continue;
            }
            let waiting = &self.waiting;
            let valid = |key: &K, ticket| {
                waiting
                    .get(key)
                    .is_some_and(|waiting| (waiting.priority, waiting.ticket) == (priority, ticket))
            };
            if let Some(key) = self.queues[priority as usize].pop(valid) {
                if let Some(waiting) = self.waiting.remove(&key) {
                    self.waits.push((priority, now.saturating_duration_since(waiting.since)));
                }
                self.counts[priority as usize] -= 1;
                self.granted.insert(key.clone(), Turn { priority, since: now, reserve_only: false });
                return Next::Turn(key);
            }
        }
        // All waiting keys are outside: there is room once a turn is used, or lapses.
        oldest.map_or(Next::Nothing, Next::At)
    }
}

/// Holder of a turn: an object, which decides again when its turn has come, or a caller that is no object and continues.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Holder {
    Object(Key),
    Caller(u64),
}

#[derive(Debug)]
struct Shared {
    turns: Mutex<LimiterState<Holder>>,
    /// Callers that wait, by their numbers.
    callers: Mutex<HashMap<u64, oneshot::Sender<Permit>>>,
    last_caller: AtomicU64,
    changed: Notify,
    metrics: Arc<AthenaMetrics>,
}

/// The right to make one call. The caller holds it until the reply has arrived; a permit that is dropped before [`Permit::spend`] goes to another
/// call.
#[derive(Debug)]
#[must_use = "a permit that is dropped goes to another call"]
pub struct Permit {
    limiter: RateLimiter,
    is_object: bool,
    is_large: bool,
    is_spent: bool,
}

impl Permit {
    /// Marks the call as made: the bucket is charged now.
    pub fn spend(&mut self) {
        if !std::mem::replace(&mut self.is_spent, true) {
            self.limiter.0.turns.lock().spend(Instant::now());
            // The bucket fills again.
            self.limiter.0.changed.notify_one();
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.limiter.0.turns.lock().release(self.is_object, self.is_large, self.is_spent);
        self.limiter.0.changed.notify_one();
    }
}

/// The limiter of all calls to Athena. Copies share one bucket.
#[derive(Clone, Debug)]
pub struct RateLimiter(Arc<Shared>);

impl RateLimiter {
    /// Creates a limiter with this rate, which allows objects no more calls under way at a time than `bounds`: while Athena does not answer, the
    /// other reconciles continue.
    pub fn new(rate: Rate, bounds: Bounds, metrics: Arc<AthenaMetrics>) -> Self {
        let turns = Mutex::new(LimiterState::new(rate, bounds, Instant::now()));
        let (callers, last_caller, changed) = (Mutex::default(), AtomicU64::new(0), Notify::new());
        Self(Arc::new(Shared { turns, callers, last_caller, changed, metrics }))
    }

    /// Returns the result of `act`; the metrics count the waits that it ends.
    fn with<T>(&self, act: impl FnOnce(&mut LimiterState<Holder>) -> T) -> T {
        let (result, waits) = {
            let mut turns = self.0.turns.lock();
            (act(&mut turns), std::mem::take(&mut turns.waits))
        };
        for (priority, duration) in waits {
            self.0.metrics.waited(priority.name(), duration);
        }
        result
    }

    fn permit(&self, is_object: bool, is_large: bool) -> Permit {
        Permit { limiter: self.clone(), is_object, is_large, is_spent: false }
    }

    /// Reserves the next call of `key`, and returns whether it may be made now. If not, [`RateLimiter::dispatch`] triggers `key` when its turn has
    /// come, and it must ask again.
    pub fn reserve(&self, key: &Key, want: Want) -> bool {
        let holder = Holder::Object(key.clone());
        let may = self.with(|turns| turns.ask(&holder, key.namespace(), want, Instant::now()));
        if !may {
            self.0.changed.notify_one();
        }
        may
    }

    /// Returns a permit if `key` may make a call now; otherwise acts like [`RateLimiter::reserve`].
    pub fn try_acquire(&self, key: &Key, want: Want) -> Option<Permit> {
        if !self.reserve(key, want) {
            return None;
        }
        let is_large = self.with(|turns| turns.take(&Holder::Object(key.clone()), true))?;
        Some(self.permit(true, is_large))
    }

    /// Cancels the wait or the reservation of `key`.
    pub fn cancel(&self, key: &Key) {
        if self.with(|turns| turns.cancel(&Holder::Object(key.clone()))) {
            self.0.changed.notify_one();
        }
    }

    /// Gives the turn of `key`, if it has one, to others. A waiting key still waits, and goes ahead when it asks again.
    pub fn give_back(&self, key: &Key) {
        if self.with(|turns| turns.give_back(&Holder::Object(key.clone()))) {
            self.0.changed.notify_one();
        }
    }

    /// Waits for a permit for a caller that is no object and is not in a namespace. [`RateLimiter::dispatch`] must run.
    pub async fn acquire(&self, priority: Priority) -> Permit {
        let (sender, receiver) = oneshot::channel();
        let number = self.0.last_caller.fetch_add(1, Ordering::Relaxed);
        self.0.callers.lock().insert(number, sender);
        let holder = Holder::Caller(number);
        let want = Want { priority, to_front: false, large: false, reserve_only: false };
        let may = self.with(|turns| {
            turns.ask(&holder, CALLERS, want, Instant::now()) && turns.take(&holder, false).is_some()
        });
        if may {
            self.0.callers.lock().remove(&number);
            return self.permit(false, false);
        }
        self.0.changed.notify_one();
        match receiver.await {
            Ok(permit) => permit,
            // The sender is dropped with the limiter only.
            Err(_) => std::future::pending().await,
        }
    }

    /// Grants turns for ever: calls `trigger` for each object whose turn has come.
    pub async fn dispatch(&self, trigger: impl Fn(Key)) {
        loop {
            match self.with(|turns| turns.next(Instant::now())) {
                Next::Turn(Holder::Object(key)) => trigger(key),
                Next::Turn(Holder::Caller(number)) => {
                    let sender = self.0.callers.lock().remove(&number);
                    let taken = self.with(|turns| turns.take(&Holder::Caller(number), false));
                    let permit = taken.map(|_| self.permit(false, false));
                    if let (Some(sender), Some(permit)) = (sender, permit) {
                        // A caller that has gone returns its permit.
                        let _ = sender.send(permit);
                    }
                }
                Next::Nothing => self.0.changed.notified().await,
                Next::At(time) => {
                    let _ = tokio::time::timeout_at(time.into(), self.0.changed.notified()).await;
                }
            }
        }
    }
}

#[cfg(test)]
#[path = "rate_limiter_tests.rs"]
mod tests;
