//! The looks at a session, the lists that show it or do not, and the sweeps that stand in for looks.

use k8s_openapi::jiff::{SignedDuration, Timestamp};

use super::{
    Absence, Call, LONGEST_AFTER, LocalState, Missed, NOT_FOUND_OFTEN_ENOUGH, Refused, Swept, growing, scaled,
};
use crate::api::SessionState;
use crate::session::backoff::backoff;
use crate::session::environment::{Environment, Limits};
use crate::session::marker;
use crate::session::reply::{ErrorClass, Look, Refusal, Search, Session};

impl LocalState {
    /// Returns the time at which Athena last changed the session, as far as it was seen.
    pub fn last_modified_time(&self) -> Option<Timestamp> {
        self.last_modified_time
    }

    /// Returns the idle timeout in effect, if a look has shown it.
    pub fn idle_timeout(&self) -> Option<SignedDuration> {
        self.idle_timeout.map(|seconds| SignedDuration::from_secs(seconds.into()))
    }

    /// Returns the time at which the session was last seen at work.
    pub fn busy_time(&self) -> Option<Timestamp> {
        self.busy_time
    }

    /// Returns the time of the first of the looks that did not find the session, if the newest did not find it.
    pub fn missed_time(&self) -> Option<Timestamp> {
        self.missed.as_ref().map(|missed| missed.first)
    }

    /// Returns the number of looks in a row that did not find the session, up to [`NOT_FOUND_OFTEN_ENOUGH`].
    pub fn not_found(&self) -> u32 {
        self.missed.as_ref().map_or(0, |missed| missed.count)
    }

    /// Returns the complete lists without the attempt's marker, if any was read.
    pub fn absence(&self) -> Option<Absence> {
        self.absence.as_deref().copied()
    }

    /// Starts to rely on sweeps for the session `id`.
    pub fn settle(&mut self, id: &str) {
        self.swept = Swept::Now(id.into());
        self.wait = None;
    }

    /// Returns whether no look and no sweep has shown the session yet.
    pub fn is_new(&self) -> bool {
        self.trusted.is_none() && self.swept == Swept::Never
    }

    /// Stops relying on sweeps for every session except `id`, if that is given; looks follow instead.
    pub fn unsettle_but(&mut self, id: Option<&str>) {
        match &self.swept {
            Swept::Now(swept) if Some(&**swept) != id => self.swept = Swept::Before,
            _ => {}
        }
    }

    /// Makes a look due at once, since the status that a look or a list led to could not be written.
    pub fn look_again(&mut self) {
        self.unsettle_but(None);
        self.wait = None;
    }

    /// Records that the session is not in the lists, in which it was last seen at `seen`, if ever; `is_busy` is true if it was at work then.
    pub fn missed(&mut self, seen: Option<Timestamp>, is_busy: bool) {
        if is_busy {
            self.busy_time = seen.max(self.busy_time);
        }
        self.unsettle_but(None);
        self.wait = None;
        self.is_missed = true;
        self.seen_time = seen.max(self.seen_time);
    }

    /// Records that a list, requested at `asked`, showed the session. Returns the session as a look, unless an older reply must be ignored.
    pub fn sighted(
        &mut self,
        session: Session,
        uid: &str,
        id: &str,
        asked: Timestamp,
        limits: &Limits,
    ) -> Option<Look> {
        let older = matches!((session.last_modified_time, self.last_modified_time), (Some(time), Some(newest)) if time < newest);
        let look = (!older).then(|| self.looked(Look::Seen(session), uid, id, asked, limits, 0.5));
        // The next list shows later changes.
        if matches!(self.swept, Swept::Now(_)) {
            self.wait = None;
        }
        look
    }

    /// Returns whether `id` came from this process's own StartSession, or a look has shown the object's marker on it.
    pub fn trusts(&self, id: &str) -> bool {
        self.trusted.as_deref() == Some(id)
    }

    /// Returns whether a look has shown that `id` does not carry the object's marker.
    pub fn disowns(&self, id: &str) -> bool {
        self.disowned.as_deref() == Some(id)
    }

    /// Records that the session exists: earlier looks that did not find it no longer count.
    pub(super) fn is_found(&mut self) {
        self.missed = None;
    }

    /// Returns whether looks do not find the session, twice in a row and the newest time not before `earliest`. A list cannot replace that look: it
    /// does not show a session that is ending.
    pub fn is_missing(&self, earliest: Timestamp) -> bool {
        self.missed
            .as_ref()
            .is_some_and(|missed| missed.count >= NOT_FOUND_OFTEN_ENOUGH && missed.last >= earliest)
    }

    /// Returns whether `search` proves that the session, which looks do not find, is gone. It must have begun after the first look that missed the
    /// session, and not before `earliest`. Without the permission to list, two answers with ResourceNotFoundException that names the session are the
    /// proof.
    pub fn is_proved_gone(&self, search: &Search, earliest: Timestamp) -> bool {
        match search {
            Search::Absent { begun } => {
                *begun >= earliest && self.missed.as_ref().is_some_and(|missed| *begun >= missed.first)
            }
            Search::Failed(refusal) => {
                refusal.reason == "AccessDenied"
                    && self.missed.as_ref().is_some_and(|missed| missed.named >= NOT_FOUND_OFTEN_ENOUGH)
            }
            Search::Found { .. } => false,
        }
    }

    /// Records the result of a look. Returns the look, or a failure if the reply is older than an earlier one.
    pub fn looked(
        &mut self,
        look: Look,
        uid: &str,
        id: &str,
        now: Timestamp,
        limits: &Limits,
        jitter: f64,
    ) -> Look {
        match look {
            Look::Seen(session) => {
                if let Some(details) = &session.details {
                    if details
                        .description
                        .as_deref()
                        .is_some_and(|text| marker::attempt_of(text, uid).is_some())
                    {
                        self.trust(id);
                    } else if !self.trusts(id) {
                        self.disowned = Some(id.into());
                        self.wait = None;
                        return Look::Seen(session);
                    }
                    let shown =
                        details.idle_timeout.and_then(|timeout| i32::try_from(timeout.as_secs()).ok());
                    self.idle_timeout = shown.or(self.idle_timeout);
                }
                self.is_found();
                self.is_missed = false;
                self.lives_on = !session.ended() && session.state != SessionState::Terminating;
                self.seen_time = Some(now);
                if session.state == SessionState::Busy {
                    self.busy_time = Some(now).max(self.busy_time);
                }
                self.look_refused = None;
                if session.ended() || session.state == SessionState::Terminating {
                    self.refused = None;
                }
                let older = matches!((session.last_modified_time, self.last_modified_time), (Some(time), Some(newest)) if time < newest);
                if older && !session.ended() {
                    self.schedule_look(&session, now, limits, jitter);
                    let message = "the reply is older than what was seen before".into();
                    return Look::Failed(Refusal {
                        class: ErrorClass::Unanswered,
                        reason: "ReplyOutdated",
                        message,
                        request_id: None,
                    });
                }
                if session.last_modified_time != self.last_modified_time {
                    self.looks = 0;
                }
                self.last_modified_time = session.last_modified_time.or(self.last_modified_time);
                self.schedule_look(&session, now, limits, jitter);
                Look::Seen(session)
            }
            Look::NotFound { named } => {
                self.unsettle_but(None);
                let missed = self
                    .missed
                    .get_or_insert_with(|| Box::new(Missed { count: 0, named: 0, first: now, last: now }));
                missed.count = (missed.count + 1).min(NOT_FOUND_OFTEN_ENOUGH);
                missed.named = (missed.named + u32::from(named)).min(NOT_FOUND_OFTEN_ENOUGH);
                missed.last = now;
                self.looks = (self.looks + 1).min(LONGEST_AFTER);
                self.wait_until(now, now + growing(limits.transition_interval, self.looks, jitter));
                Look::NotFound { named }
            }
            Look::Failed(refusal) => {
                self.unsettle_but(None);
                let count = self.look_refused.as_ref().map_or(0, |before| before.count.saturating_add(1));
                let since = self.look_refused.as_ref().map_or(now, |before| before.since);
                self.wait_until(now, now + backoff(refusal.class, count, jitter));
                self.look_refused = Some(Box::new(Refused {
                    call: Call::Look,
                    refusal: refusal.clone(),
                    since,
                    count,
                    told: 0,
                }));
                Look::Failed(refusal)
            }
        }
    }

    /// Records the result of a search.
    pub fn searched(&mut self, search: &Search, now: Timestamp, limits: &Limits, jitter: f64) {
        match search {
            // Looks lag behind the list: the next look follows as after one that did not find the session.
            Search::Found { .. } if self.missed.is_some() => {
                self.is_found();
                self.wait_until(now, now + growing(limits.transition_interval, self.looks, jitter));
            }
            Search::Failed(refusal) if self.missed.is_some() => {
                self.wait_until(now, now + backoff(refusal.class, 3, jitter));
            }
            Search::Found { session, .. } => {
                self.trust(&session.id);
                self.answered_search();
                self.absence = None;
            }
            Search::Absent { begun } => {
                self.answered_search();
                let earlier = self.absence().filter(|absence| absence.newest <= *begun);
                let is_apart = |time: &Timestamp| *time + limits.list_interval() <= *begun;
                let before =
                    earlier.and_then(|absence| Some(absence.newest).filter(is_apart).or(absence.before));
                self.absence = Some(Box::new(Absence { newest: *begun, before }));
                if self.missed.is_some() {
                    // If the list does not prove that the session is gone, looks go on.
                    self.wait_until(now, now + growing(limits.transition_interval, self.looks, jitter));
                }
            }
            // Athena's answer about the token stays the reason to report.
            Search::Failed(refusal) if self.has_conflict() => {
                self.wait_until(now, now + backoff(refusal.class, 3, jitter));
            }
            Search::Failed(refusal) => self.refused(Call::Search, refusal.clone(), now, jitter),
        }
    }

    /// Records that a list was read: no call waits, and no refusal of a list stands.
    pub(super) fn answered_search(&mut self) {
        self.wait = None;
        self.refused = self.refused.take().filter(|refused| refused.call != Call::Search);
    }

    /// Returns whether looks have failed, or have not found the session, for longer than `limits.stale`.
    pub fn is_stale(&self, at: &Environment) -> bool {
        self.stale_time(at).is_some_and(|time| time <= at.now)
    }

    /// Returns the time from which on the last view of the session is out of date, if looks fail.
    pub fn stale_time(&self, at: &Environment) -> Option<Timestamp> {
        let failing = self.look_refused.is_some() || self.missed.is_some();
        let since = self.seen_time.or(self.met_time)?;
        failing.then_some(since + at.limits.stale)
    }

    pub(super) fn schedule_look(&mut self, session: &Session, now: Timestamp, limits: &Limits, jitter: f64) {
        let wait = if session.settled() {
            scaled(limits.observe_interval, 0.75 + 0.5 * jitter)
        } else {
            // Lists need not show the changes of a session that is not settled.
            self.unsettle_but(None);
            growing(limits.transition_interval, self.looks, jitter)
        };
        self.looks = (self.looks + 1).min(LONGEST_AFTER);
        self.wait = (!session.ended()).then_some((now, now + wait));
    }
}
