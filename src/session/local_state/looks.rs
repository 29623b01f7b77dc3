//! The looks at a session, the lists that show it or do not, and the sweeps that stand in for looks.

use k8s_openapi::jiff::{SignedDuration, Timestamp};

use super::{
    Absence, Call, LONGEST_AFTER, LocalState, Missed, NOT_FOUND_OFTEN_ENOUGH, Refused, SweepCoverage,
};
use crate::api::SessionState;
use crate::session::backoff::backoff;
use crate::session::environment::Environment;
use crate::session::marker;
use crate::session::reply::{ErrorClass, Look, Refusal, Search, Session};

impl LocalState {
    /// Returns the idle timeout in effect, if a look has shown it.
    pub fn idle_timeout(&self) -> Option<SignedDuration> {
        self.idle_timeout.map(|seconds| SignedDuration::from_secs(seconds.into()))
    }

    /// Returns whether a complete list that began at `since` or later did not show the attempt's marker.
    pub fn is_absent_since(&self, since: Timestamp) -> bool {
        self.absence.as_ref().is_some_and(|absence| absence.newest >= since)
    }

    /// Starts to rely on sweeps for the session `id`.
    pub fn rely_on_sweeps(&mut self, id: &str) {
        self.swept = SweepCoverage::Now(id.into());
        self.wait = None;
    }

    /// Returns whether no look and no sweep has shown the session yet.
    pub fn is_new(&self) -> bool {
        self.trusted.is_none() && self.swept == SweepCoverage::Never
    }

    /// Stops relying on sweeps for every session except `id`, if that is given; looks follow instead.
    pub fn stop_relying_on_sweeps(&mut self, id: Option<&str>) {
        if matches!(&self.swept, SweepCoverage::Now(swept) if Some(&**swept) != id) {
            self.swept = SweepCoverage::Before;
        }
    }

    /// Makes a look due at once, since the status that a look or a list led to could not be written.
    pub fn look_again(&mut self) {
        self.stop_relying_on_sweeps(None);
        self.wait = None;
    }

    /// Records that the session is not in the lists, in which it was last seen at `seen`, if ever; `is_busy` is true if it was at work then.
    pub fn missed(&mut self, seen: Option<Timestamp>, is_busy: bool) {
        if is_busy {
            self.busy_time = seen.max(self.busy_time);
        }
        self.look_again();
        self.is_missed = true;
        self.seen_time = seen.max(self.seen_time);
    }

    /// Records that a list, requested at `env.now`, showed the session. Returns the session as a look, unless an older reply must be ignored.
    pub fn sighted(&mut self, session: Session, uid: &str, id: &str, env: &Environment) -> Option<Look> {
        let look = (!self.is_older(&session)).then(|| self.looked(Look::Seen(session), uid, id, env));
        // The next list shows later changes.
        if matches!(self.swept, SweepCoverage::Now(_)) {
            self.wait = None;
        }
        look
    }

    /// Returns whether Athena has changed the session since the reply that shows it so.
    fn is_older(&self, session: &Session) -> bool {
        session.last_modified_time.zip(self.last_modified_time).is_some_and(|(time, newest)| time < newest)
    }

    /// Returns whether `id` came from this process's own StartSession, or a look has shown the object's marker on it.
    pub fn trusts(&self, id: &str) -> bool {
        self.trusted.as_deref() == Some(id)
    }

    /// Returns whether a look has shown that `id` does not carry the object's marker.
    pub fn disowns(&self, id: &str) -> bool {
        self.disowned.as_deref() == Some(id)
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
        let Some(missed) = &self.missed else { return false };
        match search {
            Search::Absent { begun } => *begun >= earliest && *begun >= missed.first,
            Search::Failed(refusal) => {
                refusal.reason == "AccessDenied" && missed.named >= NOT_FOUND_OFTEN_ENOUGH
            }
            Search::Found { .. } => false,
        }
    }

    /// Records the result of a look. Returns the look, or a failure if the reply is older than an earlier one.
    pub fn looked(&mut self, look: Look, uid: &str, id: &str, env: &Environment) -> Look {
        match look {
            Look::Seen(session) => {
                if let Some(details) = &session.details {
                    let text = details.description.as_deref();
                    if text.is_some_and(|text| marker::attempt_of(text, uid).is_some()) {
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
                self.missed = None;
                self.is_missed = false;
                self.lives_on = !session.ended() && session.state != SessionState::Terminating;
                self.seen_time = Some(env.now);
                if session.state == SessionState::Busy {
                    self.busy_time = Some(env.now).max(self.busy_time);
                }
                self.look_refused = None;
                if !self.lives_on {
                    self.refused = None;
                }
                if self.is_older(&session) && !session.ended() {
                    self.schedule_look(&session, env);
                    let message = "the reply is older than what was seen before";
                    return Look::Failed(Refusal::new(ErrorClass::Unanswered, "ReplyOutdated", message));
                }
                if session.last_modified_time != self.last_modified_time {
                    self.looks = 0;
                }
                self.last_modified_time = session.last_modified_time.or(self.last_modified_time);
                self.schedule_look(&session, env);
                Look::Seen(session)
            }
            Look::NotFound { named } => {
                self.stop_relying_on_sweeps(None);
                let first = Missed { count: 0, named: 0, first: env.now, last: env.now };
                let missed = self.missed.get_or_insert_with(|| Box::new(first));
                missed.count = (missed.count + 1).min(NOT_FOUND_OFTEN_ENOUGH);
                missed.named = (missed.named + u32::from(named)).min(NOT_FOUND_OFTEN_ENOUGH);
                missed.last = env.now;
                self.looks = (self.looks + 1).min(LONGEST_AFTER);
                self.wait_for_change(env);
                Look::NotFound { named }
            }
            Look::Failed(refusal) => {
                self.stop_relying_on_sweeps(None);
                let count = self.look_refused.as_ref().map_or(0, |before| before.count.saturating_add(1));
                let since = self.look_refused.as_ref().map_or(env.now, |before| before.since);
                self.wait_for(backoff(refusal.class, count, env.jitter), env);
                let refused = Refused { call: Call::Look, refusal: refusal.clone(), since, count, told: 0 };
                self.look_refused = Some(Box::new(refused));
                Look::Failed(refusal)
            }
        }
    }

    /// Records the result of a search.
    pub fn searched(&mut self, search: &Search, env: &Environment) {
        match search {
            // Looks lag behind the list: the next look follows as after one that did not find the session.
            Search::Found { .. } if self.missed.is_some() => {
                self.missed = None;
                self.wait_for_change(env);
            }
            // If looks miss the session, they go on. Athena's answer about the token stays the reason to report.
            Search::Failed(refusal) if self.missed.is_some() || self.has_conflict() => {
                self.wait_for(backoff(refusal.class, 3, env.jitter), env);
            }
            Search::Failed(refusal) => self.refused(Call::Search, refusal.clone(), env),
            Search::Found { session, .. } => {
                self.trust(&session.id);
                self.answered_search();
                self.absence = None;
            }
            Search::Absent { begun } => {
                self.answered_search();
                let earlier = self.absence.take().filter(|absence| absence.newest <= *begun);
                let is_apart = |time: &Timestamp| *time + env.limits.list_interval() <= *begun;
                let before =
                    earlier.and_then(|absence| Some(absence.newest).filter(is_apart).or(absence.before));
                self.absence = Some(Box::new(Absence { newest: *begun, before }));
                if self.missed.is_some() {
                    // If the list does not prove that the session is gone, looks go on.
                    self.wait_for_change(env);
                }
            }
        }
    }

    /// Records that a list was read: no call waits, and no refusal of a list stands.
    fn answered_search(&mut self) {
        self.wait = None;
        self.refused.take_if(|refused| refused.call == Call::Search);
    }

    /// Returns the time from which on the last view of the session is out of date, if looks fail.
    pub fn stale_time(&self, env: &Environment) -> Option<Timestamp> {
        let failing = self.look_refused.is_some() || self.missed.is_some();
        let since = self.seen_time.or(self.met_time)?;
        failing.then_some(since + env.limits.stale)
    }

    fn schedule_look(&mut self, session: &Session, env: &Environment) {
        if session.settled() {
            self.wait_for(env.limits.observe_interval.mul_f64(0.75 + 0.5 * env.jitter), env);
        } else {
            // Lists need not show the changes of a session that is not settled.
            self.stop_relying_on_sweeps(None);
            self.wait_for_change(env);
        }
        self.looks = (self.looks + 1).min(LONGEST_AFTER);
        self.wait = self.wait.filter(|_| !session.ended());
    }

    /// Sets the wait for the next look at a session that is not settled: it grows by half with each look to five times its length.
    pub(super) fn wait_for_change(&mut self, env: &Environment) {
        let factor = 1.5_f64.powi(self.looks).min(5.0);
        self.wait_for(env.limits.transition_interval.mul_f64(factor * (0.9 + 0.2 * env.jitter)), env);
    }
}
