//! Local state of a write that the API server refuses.

use std::time::Duration;

use k8s_openapi::jiff::Timestamp;

use super::LocalState;
use crate::session::backoff::backoff;
use crate::session::environment::Environment;
use crate::session::refused_write::{ADD_FINALIZER, DELETE, RefusedWrite, STATUS, UNREADABLE, name};
use crate::session::reply::ErrorClass;
use crate::session::step::Step;

/// Maximum length of the stored text of the API server, in bytes: many objects may be refused with the same text.
const MAX_TEXT_BYTES: usize = 1024;

impl LocalState {
    /// Records that the API server has refused the write `what` with `text`, which has no secrets. Returns whether the refusal is new: texts that
    /// differ in numbers only, such as ports, are the same.
    pub fn write_refused(
        &mut self,
        what: &'static str,
        text: &str,
        version: Option<u64>,
        env: &Environment,
    ) -> bool {
        let text = &text[..text.floor_char_boundary(MAX_TEXT_BYTES)];
        self.refused_write.take_if(|before| before.what != what);
        let begun = RefusedWrite { what, since: env.now, ..RefusedWrite::default() };
        let refused = self.refused_write.get_or_insert_with(|| Box::new(begun));
        let is_new_refusal = refused.count == 0 || !without_digits(&refused.text).eq(without_digits(text));
        if is_new_refusal {
            refused.text = text.into();
        }
        refused.next_time = env.now + backoff(ErrorClass::Capacity, refused.count, env.jitter);
        refused.count = refused.count.saturating_add(1);
        refused.version = version;
        is_new_refusal
    }

    /// Records that the API server has accepted the write `what`, which is the [`name`] of a step: the refusal of any other write stands.
    pub fn write_accepted(&mut self, what: Option<&str>) {
        self.refused_write.take_if(|refused| what == Some(refused.what));
    }

    /// Records that the status is up to date, in this `version` of the object if it was written. The refusals of other writes stand.
    pub fn status_accepted(&mut self, version: Option<u64>) {
        self.refused_write.take_if(|refused| refused.what == STATUS);
        if let Some(refused) = &mut self.refused_write {
            refused.version = version.or(refused.version);
        }
    }

    /// Records that `step` is the next step: the refusal of a write that is no longer needed is dropped.
    pub fn write_wanted(&mut self, step: &Step) {
        self.refused_write.take_if(|refused| match refused.what {
            ADD_FINALIZER => *step != Step::AddFinalizer,
            DELETE => *step != Step::Delete,
            // The object can be read again.
            UNREADABLE => true,
            _ => false,
        });
    }

    /// Returns whether `step` makes the write that was refused at this version of the object, and the time of the next try has not come.
    pub fn awaits_write(&self, step: &Step, version: Option<u64>, now: Timestamp) -> bool {
        let is_same = |refused: &RefusedWrite| name(step) == Some(refused.what) && refused.version == version;
        self.refused_write.as_ref().is_some_and(|refused| is_same(refused) && now < refused.next_time)
    }

    /// Returns the time until the next try of the refused write.
    pub(crate) fn write_wait(&self, now: Timestamp) -> Duration {
        self.refused_write.as_ref().map_or(Duration::ZERO, |refused| {
            Duration::try_from(refused.next_time.duration_since(now)).unwrap_or_default()
        })
    }

    /// Returns the refusal that the status is to report: not a refusal of the status itself, which has ended once the status can report it.
    pub(crate) fn refused_write_to_show(&self) -> Option<&RefusedWrite> {
        self.refused_write.as_deref().filter(|refused| refused.what != STATUS)
    }

    /// Returns whether writes of the status have been refused for so long that other actions should not wait for one.
    pub(crate) fn is_status_lastingly_refused(&self, env: &Environment) -> bool {
        self.refused_write.as_ref().is_some_and(|refused| refused.what == STATUS && refused.is_lasting(env))
    }

    /// Returns the time of the next try of a refused write other than the status, and the time at which the refusal becomes a lasting one.
    pub(crate) fn write_times(&self, env: &Environment) -> [Option<Timestamp>; 2] {
        match self.refused_write_to_show() {
            Some(refused) => [Some(refused.next_time), Some(refused.since + env.limits.healing)],
            None => [None; 2],
        }
    }

    /// Returns the refused write and the refusal if an event is due now: once when the refusal begins, once more when it has become a lasting one,
    /// and every half hour from then on, since the API server forgets an event after an hour and there may be no status that reports it.
    pub fn refused_write_to_tell(&mut self, env: &Environment) -> Option<(&'static str, String)> {
        let refused = self.refused_write.as_deref_mut()?;
        let lasting = env.now.duration_since(refused.since) - env.limits.healing;
        let due = if lasting.is_negative() { 1 } else { 2 + lasting.as_mins() / 30 };
        let is_new_refusal = refused.told < due;
        refused.told = due.max(refused.told);
        is_new_refusal.then(|| (refused.what, refused.message()))
    }
}

fn without_digits(text: &str) -> impl Iterator<Item = char> {
    text.chars().filter(|letter| !letter.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use k8s_openapi::jiff::SignedDuration;

    use super::*;
    use crate::session::refused_write::REMOVE_FINALIZER;
    use crate::session::status::tests::at;

    fn refused(state: &mut LocalState, what: &'static str, text: &str, minutes: i64) -> bool {
        state.write_refused(what, text, Some(7), &at(minutes))
    }

    #[test]
    fn a_refused_write_is_new_when_it_begins_and_when_its_text_changes() {
        let mut state = LocalState::met(at(0).now);
        assert!(refused(&mut state, ADD_FINALIZER, "no label", 0));
        assert!(!refused(&mut state, ADD_FINALIZER, "no label", 1));
        assert!(refused(&mut state, ADD_FINALIZER, "read tcp 10.0.0.1:4001: timeout", 2));
        assert!(!refused(&mut state, ADD_FINALIZER, "read tcp 10.0.0.1:58102: timeout", 3));
        let told = state.refused_write.as_ref().map(|refused| refused.message());
        assert_eq!(
            told.as_deref(),
            Some(
                "the API server refuses to let the operator add the finalizer: read tcp 10.0.0.1:4001: timeout"
            )
        );
        assert!(refused(&mut state, DELETE, "read tcp 10.0.0.1:4001: timeout", 4), "another write");
    }

    #[test]
    fn a_refused_write_has_an_event_at_its_begin_after_five_minutes_and_every_half_hour() {
        let mut state = LocalState::met(at(0).now);
        assert_eq!(state.refused_write_to_tell(&at(0)), None);
        for (minutes, is_told) in [
            (0, true),
            (1, false),
            (4, false),
            (5, true),
            (6, false),
            (34, false),
            (35, true),
            (64, false),
            (600, true),
            (601, false),
        ] {
            refused(&mut state, STATUS, "no", minutes);
            assert_eq!(
                state.refused_write_to_tell(&at(minutes)).is_some(),
                is_told,
                "after {minutes} minutes"
            );
        }
    }

    #[test]
    fn another_try_waits_for_its_time_unless_somebody_else_has_changed_the_object() {
        let mut state = LocalState::met(at(0).now);
        refused(&mut state, REMOVE_FINALIZER, "no", 0);
        let later = |seconds| at(0).now + SignedDuration::from_secs(seconds);
        for (step, version, seconds, waits) in [
            (Step::Release, Some(7), 2, true),
            (Step::Release, Some(7), 3, false),
            (Step::Release, Some(8), 2, false),
            (Step::Delete, Some(7), 2, false),
            (Step::Terminate, Some(7), 2, false),
        ] {
            assert_eq!(
                state.awaits_write(&step, version, later(seconds)),
                waits,
                "{step:?} at {version:?} after {seconds} s"
            );
        }
        state.status_accepted(Some(8));
        assert!(
            state.awaits_write(&Step::Release, Some(8), later(2)),
            "the operator's own write corrects nothing"
        );
        assert_eq!(
            state.write_times(&at(0)),
            [Some(later(0) + SignedDuration::from_millis(2500)), Some(at(5).now)]
        );
    }

    #[test]
    fn it_stands_until_the_write_is_accepted_or_is_not_wanted_any_more() {
        let refusing = |what| {
            let mut state = LocalState::met(at(0).now);
            refused(&mut state, what, "no", 0);
            state
        };
        for (what, step, stands) in [
            (ADD_FINALIZER, Step::AddFinalizer, true),
            (ADD_FINALIZER, Step::Rest, false),
            (DELETE, Step::Delete, true),
            (DELETE, Step::Wait, false),
            (REMOVE_FINALIZER, Step::Look, true),
            (STATUS, Step::Rest, true),
            (UNREADABLE, Step::Rest, false),
        ] {
            let mut state = refusing(what);
            state.write_wanted(&step);
            assert_eq!(state.refused_write.is_some(), stands, "{what}: {step:?}");
        }
        for (what, step, stands) in [
            (ADD_FINALIZER, Step::AddFinalizer, false),
            (ADD_FINALIZER, Step::Wait, true),
            (DELETE, Step::Delete, false),
            (REMOVE_FINALIZER, Step::AddFinalizer, true),
            (STATUS, Step::AddFinalizer, true),
        ] {
            let mut state = refusing(what);
            state.write_accepted(name(&step));
            assert_eq!(state.refused_write.is_some(), stands, "{what}: {step:?} is accepted");
        }
        let mut state = refusing(STATUS);
        state.status_accepted(None);
        assert_eq!(state.refused_write, None);
    }

    #[test]
    fn little_is_kept_of_what_the_server_says() {
        let mut state = LocalState::met(at(0).now);
        refused(&mut state, STATUS, &"\u{e9}".repeat(5000), 0);
        assert!(state.refused_write.is_some_and(|refused| refused.text.len() == MAX_TEXT_BYTES));
    }
}
