//! The calls of TerminateSession.

use k8s_openapi::jiff::Timestamp;

use super::{Call, LocalState, Terminated};
use crate::api::SessionState;
use crate::session::backoff::backoff;
use crate::session::environment::Environment;
use crate::session::reply::{ErrorClass, Refusal};

impl LocalState {
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
    pub fn terminated(&mut self, at: &Environment) {
        self.refused = None;
        self.unsettle_but(None);
        let count = self.terminations().saturating_add(1);
        self.lives_on = false;
        let next_time = at.now + backoff(ErrorClass::Throttled, count.saturating_add(1), at.jitter);
        self.terminated = Some(Box::new(Terminated { count, next_time }));
        self.looks = 0;
        self.wait_for_change(at);
    }

    /// Records that TerminateSession was refused.
    pub fn terminate_refused(&mut self, refusal: Refusal, at: &Environment) {
        let count = self.terminations().saturating_add(1);
        self.lives_on = false;
        self.refused(Call::Terminate, refusal, at);
        let next_time = self.next_time().unwrap_or(at.now);
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
