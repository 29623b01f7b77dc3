//! The calls of TerminateSession.

use k8s_openapi::jiff::Timestamp;

use super::{Call, LocalState, Terminated, growing};
use crate::api::{SessionState, StopCause};
use crate::session::backoff::backoff;
use crate::session::environment::Limits;
use crate::session::reply::{ErrorClass, Look, Refusal};

impl LocalState {
    /// Returns whether TerminateSession may be called for the session `id` in `state`: at once the first time, and again, with backoff, only after a
    /// look that shows that the last call had no effect.
    pub fn may_terminate(
        &self,
        id: &str,
        state: Option<&SessionState>,
        look: Option<&Look>,
        now: Timestamp,
    ) -> bool {
        let looked = matches!(look, Some(Look::Seen(_)));
        // The look may have been in an earlier reconcile, in which the rate limiter had no permit for the call.
        let ending = state == Some(&SessionState::Terminating) && (looked || !self.lives_on);
        let waited = self.terminated.as_ref().is_none_or(|terminated| terminated.next_time <= now);
        self.trusts(id) && !ending && waited && (self.terminated.is_none() || looked || self.lives_on)
    }

    /// Records that the session is ended for `cause`, which the status does not name yet.
    pub fn ends_without_record(&mut self, cause: StopCause) {
        self.unrecorded_cause = Some(Box::new(cause));
    }

    /// Returns the cause for which the session is being ended, if the status did not name it before.
    pub fn unrecorded_cause(&self) -> Option<&StopCause> {
        self.unrecorded_cause.as_deref()
    }

    /// Records that TerminateSession was accepted; a look shows whether it had an effect.
    pub fn terminated(&mut self, now: Timestamp, limits: &Limits, jitter: f64) {
        self.refused = None;
        self.unsettle_but(None);
        let count = self.terminations().saturating_add(1);
        self.lives_on = false;
        let next_time = now + backoff(ErrorClass::Throttled, count.saturating_add(1), jitter);
        self.terminated = Some(Box::new(Terminated { count, next_time }));
        self.looks = 0;
        self.wait_until(now, now + growing(limits.transition_interval, 0, jitter));
    }

    /// Records that TerminateSession was refused.
    pub fn terminate_refused(&mut self, refusal: Refusal, now: Timestamp, jitter: f64) {
        let count = self.terminations().saturating_add(1);
        self.lives_on = false;
        self.refused(Call::Terminate, refusal, now, jitter);
        let next_time = self.next_time().unwrap_or(now);
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

    /// Returns whether TerminateSession was accepted before and a session still lives.
    pub fn terminated_without_effect(&self) -> bool {
        self.terminations() > 1
    }
}
