//! The calls that start and end a session: the attempt that this process recorded, its StartSession, the session that came of it, and TerminateSession.

use k8s_openapi::jiff::Timestamp;

use super::{Adopted, Call, LocalState, Terminated};
use crate::api::{EndReason, SessionState};
use crate::session::attempt::Recorded;
use crate::session::backoff::backoff;
use crate::session::environment::Environment;
use crate::session::reply::{ErrorClass, Refusal, Session, passes};

impl LocalState {
    /// Returns whether StartSession was refused for something that somebody has to fix, or that takes its time.
    pub fn was_refused(&self) -> bool {
        self.refused.as_ref().is_some_and(|refused| {
            matches!(refused.call, Call::WorkGroup | Call::Start) && !passes(refused.refusal.class)
        })
    }

    /// Returns whether nothing can have been started for this attempt: this process recorded it, made all of its calls, and each was answered with a
    /// refusal.
    pub fn nothing_started(&self, recorded: &Recorded<'_>) -> bool {
        self.recorded_by_itself(recorded) && !self.in_doubt
    }

    /// Returns whether this process recorded the attempt, as its first record.
    pub fn recorded_by_itself(&self, recorded: &Recorded<'_>) -> bool {
        self.is_first_record && self.recorded_here(recorded)
    }

    /// Returns whether this process recorded the attempt, which may have been tried before.
    pub fn recorded_here(&self, recorded: &Recorded<'_>) -> bool {
        self.recorded == Some((recorded.number, recorded.time))
    }

    /// Returns the session that this process started for the attempt and could not record.
    pub fn started_of(&self, recorded: &Recorded<'_>) -> Option<&Session> {
        self.unrecorded
            .as_deref()
            .filter(|(number, _)| *number == recorded.number)
            .map(|(_, session)| session)
    }

    /// Returns whether this process started the session `id` and could not record it.
    pub fn has_started(&self, id: &str) -> bool {
        self.unrecorded.as_deref().is_some_and(|(_, session)| session.id == id)
    }

    /// Returns whether Athena knows the attempt's token with another request or an existing session.
    pub fn has_conflict(&self) -> bool {
        self.conflict().is_some()
    }

    fn conflict(&self) -> Option<&Refusal> {
        let refusal = self.refused.as_ref().map(|refused| &refused.refusal);
        refusal.filter(|refusal| refusal.class == ErrorClass::TokenConflict)
    }

    /// Returns the end reason of an attempt of which no session was found.
    pub fn lost_reason(&self) -> EndReason {
        self.conflict().map_or(EndReason::SessionLost, |refusal| refusal.reason.to_owned().into())
    }

    /// Takes note that this process has recorded attempt `number` in the status: from now on this process knows every call of the attempt. One
    /// exception: attempt 0 of an object whose finalizer this process did not add. An earlier process may have recorded and tried that attempt, and
    /// somebody may have removed the status since. `withdrawn`: the attempt was withdrawn before, so nothing was started for it.
    pub fn recorded(&mut self, number: i32, time: Timestamp, withdrawn: bool) {
        let again =
            self.is_first_record && self.recorded.is_some_and(|(own, _)| own == number) && !self.in_doubt;
        let is_first_record = again || withdrawn || number > 0 || self.finalizer_added;
        *self = Self {
            is_first_record,
            recorded: Some((number, time)),
            met_time: Some(time),
            clock_origin: self.clock_origin,
            refused: self.refused.take().filter(|_| again),
            ..Self::default()
        };
    }

    /// Records that StartSession is about to be called. Returns whether its outcome was in doubt before.
    pub fn starting(&mut self) -> bool {
        std::mem::replace(&mut self.in_doubt, true)
    }

    /// Records that StartSession returned a session, which is this attempt's whatever its state.
    pub fn started(&mut self, number: i32, id: &str, state: impl Into<SessionState>, env: &Environment) {
        self.refused = None;
        self.trust(id);
        let session = Session { id: id.to_owned(), state: state.into(), ..Session::default() };
        self.unrecorded = Some(Box::new((number, session)));
        // Some sessions exist within a second.
        self.wait_for(env.limits.transition_interval / 2, env);
    }

    /// Records that `id` is the object's own session. Facts known of another session do not hold for it.
    pub(super) fn trust(&mut self, id: &str) {
        if self.trusted.as_deref() != Some(id) {
            self.trusted = Some(id.into());
            self.disowned = None;
            (self.last_modified_time, self.seen_time, self.terminated) = (None, None, None);
            (self.idle_timeout, self.busy_time) = (None, None);
            self.looks = 0;
            self.missed = None;
            (self.has_ended, self.is_missed, self.lives_on) = (false, false, false);
            (self.look_refused, self.absence, self.unwritten_work) = (None, None, None);
        }
    }

    /// Records the result of reading the work group before an attempt is recorded: a refusal also stands for a work group that cannot take the
    /// session.
    pub fn work_group_read(&mut self, result: Result<(), &Refusal>, env: &Environment) {
        match result {
            Ok(()) => drop(self.refused.take_if(|refused| refused.call == Call::WorkGroup)),
            Err(refusal) => self.refused(Call::WorkGroup, refusal.clone(), env),
        }
    }

    /// Records that StartSession was refused. `doubted` is the result of [`LocalState::starting`].
    pub fn start_refused(&mut self, refusal: Refusal, doubted: bool, env: &Environment) {
        // A conflict means that the token was used: a session may live behind it. A call that was not sent started nothing; those before it may have.
        self.in_doubt =
            doubted || matches!(refusal.class, ErrorClass::Unanswered | ErrorClass::TokenConflict);
        self.refused(Call::Start, refusal, env);
    }

    /// Records that Athena did not answer the request for its time, on which something depends. The object waits for Athena's time, not for a point
    /// in time.
    pub fn time_refused(&mut self, refusal: &Refusal, env: &Environment) {
        self.refused(Call::WorkGroup, refusal.clone(), env);
        self.wait = None;
        self.lacks_time = true;
    }

    /// Records that Athena's time is known.
    pub fn time_told(&mut self) {
        if std::mem::replace(&mut self.lacks_time, false)
            && self.refused.take_if(|refused| refused.call == Call::WorkGroup).is_some()
        {
            self.wait = None;
        }
    }

    /// Records that the object's status names the session.
    pub fn session_recorded(&mut self) {
        (self.unrecorded, self.adopted) = (None, None);
    }

    /// Records that the session `id`, which was found by the object's marker, is to be recorded in the status.
    pub fn adopting(&mut self, id: &str) {
        if self.adopted.as_ref().is_none_or(|adopted| *adopted.id != *id) {
            self.adopted = Some(Box::new(Adopted { id: id.into(), ends: false }));
        }
    }

    /// Returns the session that was found by the object's marker and that no status can name, once, if it `is_to_end`.
    pub fn adopted_to_end(&mut self, is_to_end: bool) -> Option<String> {
        let adopted = self.adopted.as_deref_mut().filter(|adopted| is_to_end && !adopted.ends)?;
        adopted.ends = true;
        Some(adopted.id.to_string())
    }

    /// Returns the missing answer to a call for a start, if an event about it is due: once when the missing answers begin, and once more when they
    /// have lasted for `limits.healing`.
    pub fn missing_answer_to_tell(&self, env: &Environment) -> Option<&Refusal> {
        let news = self.refused.as_deref().filter(|refused| refused.told < refused.to_be_told(env));
        news.map(|refused| &refused.refusal)
    }

    /// Records that the event about the missing answer was published, as [`LocalState::missing_answer_to_tell`] returned it.
    pub fn missing_answer_told(&mut self, env: &Environment) {
        if let Some(refused) = &mut self.refused {
            refused.told = refused.to_be_told(env);
        }
    }

    /// Returns the time at which the standing refusal stops counting as being in progress.
    pub fn healing_time(&self, env: &Environment) -> Option<Timestamp> {
        self.refused.as_ref().map(|refused| refused.since + env.limits.healing)
    }

    /// Returns whether TerminateSession may be called for the session `id` in `state`: at once the first time, and again, with backoff, only after a
    /// look that shows that the last call had no effect. `looked` is true if this reconcile has looked.
    pub fn may_terminate(
        &self,
        id: &str,
        state: Option<&SessionState>,
        looked: bool,
        now: Timestamp,
    ) -> bool {
        // The look may have been in an earlier reconcile, in which the rate limiter had no permit for the call.
        let ending = state == Some(&SessionState::Terminating) && (looked || !self.lives_on);
        let waited = self.terminated.as_ref().is_none_or(|terminated| terminated.next_time <= now);
        self.trusts(id) && !ending && waited && (self.terminated.is_none() || looked || self.lives_on)
    }

    /// Records that TerminateSession was accepted; a look shows whether it had an effect.
    pub fn terminated(&mut self, env: &Environment) {
        self.refused = None;
        self.stop_relying_on_sweeps(None);
        let count = self.terminations().saturating_add(1);
        self.lives_on = false;
        let next_time = env.now + backoff(ErrorClass::Throttled, count.saturating_add(1), env.jitter);
        self.terminated = Some(Box::new(Terminated { count, next_time }));
        self.looks = 0;
        self.wait_for_change(env);
    }

    /// Records that TerminateSession was refused.
    pub fn terminate_refused(&mut self, refusal: Refusal, env: &Environment) {
        let count = self.terminations().saturating_add(1);
        self.lives_on = false;
        self.refused(Call::Terminate, refusal, env);
        let next_time = self.next_time().unwrap_or(env.now);
        self.terminated = Some(Box::new(Terminated { count, next_time }));
    }

    /// Returns the number of calls of TerminateSession for the session.
    pub fn terminations(&self) -> u32 {
        self.terminated.as_ref().map_or(0, |terminated| terminated.count)
    }

    /// Returns whether TerminateSession was accepted, and no look has shown since that the session lives on.
    pub fn awaits_end(&self) -> bool {
        self.terminated.is_some()
            && !self.lives_on
            && self.refused.as_ref().is_none_or(|refused| refused.call != Call::Terminate)
    }
}
