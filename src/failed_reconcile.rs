//! What follows a reconcile that failed at the API server: who is told, and when the next one is.

use std::time::Duration;

use kube::{Resource, ResourceExt};
use tracing::{debug, warn};

use crate::api::AthenaSession;
use crate::events;
use crate::known::backoff;
use crate::lifecycle::{Step, ends_unrecorded};
use crate::memory::{Adopted, Memory};
use crate::operator::Operator;
use crate::redaction::WITHHELD;
use crate::refused_write::{self, STATUS};
use crate::session::Class;
use crate::status::Outcome;
use crate::wakes::Received;
use crate::writes::{Error, Written};

/// Returns how long to wait after the API server failed so many times in a row.
fn retry_after(error: &Error, failures: u32) -> Duration {
    let wait = backoff(Class::Unanswered, failures.saturating_sub(1), fastrand::f64()).unsigned_abs();
    error.retry_after().map_or(wait, |asked| wait.max(asked))
}

impl Operator {
    /// Tells that a reconcile of `received` failed with `error`: in the log and, if a write was refused, in the status and by an event. Returns how long
    /// to wait before the next.
    pub(crate) async fn failed(&self, received: &Received, error: &Error, memory: &mut Memory) -> Duration {
        let wait = retry_after(error, memory.failures);
        let again = memory.failures > 1 || memory.known.refused_write.is_some();
        let Some((what, said)) = error.refused_write(again) else {
            // What an object that cannot be read holds cannot be told from what the text repeats of it.
            let text = if let Ok(object) = &received.0 { self.redact_error(object, error).await } else { error.class().to_owned() };
            warn!("{text}");
            return wait;
        };
        let said = match &received.0 {
            Ok(object) => self.redact_text(object, said).await,
            Err(_) => WITHHELD.to_owned(),
        };
        let version = received.resource_version().and_then(|version| version.parse().ok());
        let now = self.time(&mut memory.known);
        if memory.known.write_refused(what, &said, version, now, fastrand::f64()) {
            warn!(reason = refused_write::REASON, "cannot {what}: {said}");
        } else {
            debug!(reason = refused_write::REASON, "cannot {what}: {said}");
        }
        match &received.0 {
            Ok(object) if what == STATUS => self.end_unrecorded(object, memory),
            Ok(object) => self.report_refused_write(object, memory).await,
            Err(_) => {}
        }
        if let Some((what, message)) = memory.known.refused_write_to_tell(&self.circumstances()) {
            self.publisher.publish(received.meta(), events::write_refused(what, &message));
        }
        wait.max(memory.known.write_wait(now))
    }

    /// Ends the session that no status can name, once, if it is to end.
    fn end_unrecorded(&self, object: &AthenaSession, memory: &mut Memory) {
        let is_to_end = ends_unrecorded(object, &memory.known, &self.circumstances());
        if let Some(Adopted { id, ends }) = memory.adopted.as_deref_mut().filter(|adopted| is_to_end && !adopted.ends) {
            warn!(
                reason = refused_write::REASON,
                session_id = id,
                "the session is ended though the status cannot name it: the API server refuses that"
            );
            self.end_orphan(id.clone());
            *ends = true;
        }
    }

    /// Has the status say that a write is refused. The next try comes by here again if that cannot be done.
    async fn report_refused_write(&self, object: &AthenaSession, memory: &mut Memory) {
        match self.report(object, &mut memory.known, &Step::Wait, &Outcome::Nothing).await {
            Ok((Written::Yes(version), _)) => memory.written = version.parse().ok().or(memory.written),
            // The watch brings the object as it is by now, or tells that it is gone.
            Ok((Written::Conflict | Written::Gone, _)) => {}
            Err(error) => warn!("the status cannot say so: {}", self.redact_error(object, &error).await),
        }
    }
}
