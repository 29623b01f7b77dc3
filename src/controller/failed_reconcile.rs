//! Report of a reconcile that failed at the API server, and the wait before the next one.

use std::time::Duration;

use kube::{Resource, ResourceExt};
use tracing::{debug, warn};

use crate::api::AthenaSession;
use crate::controller::context::Operator;
use crate::controller::state_store::ObjectState;
use crate::controller::trigger::Received;
use crate::controller::writes::Error;
use crate::session::backoff::backoff;
use crate::session::events;
use crate::session::pass::{End, Pass};
use crate::session::redaction::WITHHELD;
use crate::session::refused_write;
use crate::session::reply::ErrorClass;

impl Operator {
    /// Reports that a reconcile of `received` failed with `error`: in the log and, if a write was refused, in the status and by an event. Returns the
    /// wait before the next.
    pub(crate) async fn failed(
        &self,
        received: &Received,
        error: &Error,
        object_state: &mut ObjectState,
    ) -> Duration {
        let failures = object_state.failures.saturating_sub(1);
        let wait = backoff(ErrorClass::Unanswered, failures, fastrand::f64()).unsigned_abs();
        let wait = wait.max(error.retry_after().unwrap_or_default());
        let again = object_state.failures > 1 || object_state.local_state.refused_write.is_some();
        let Some((what, said)) = error.refused_write(again) else {
            // The text may repeat any part of the object, which cannot be recognised in it if the object cannot be read.
            let text = if let Ok(object) = &received.0 {
                self.redact_error(object, error).await
            } else {
                error.class().to_owned()
            };
            warn!("{text}");
            return wait;
        };
        let version = received.resource_version().and_then(|version| version.parse().ok());
        let (said, is_new_refusal) = if let Ok(object) = &received.0 {
            let said = self.redact_text(object, said).await;
            let is_new_refusal = self.tell_refused_write(object, version, (what, &said), object_state).await;
            (said, is_new_refusal)
        } else {
            let env = self.env();
            object_state.local_state.set_clock(env.clock_origin);
            (WITHHELD.to_owned(), object_state.local_state.write_refused(what, WITHHELD, version, &env))
        };
        if is_new_refusal {
            warn!(reason = refused_write::REASON, "cannot {what}: {said}");
        } else {
            debug!(reason = refused_write::REASON, "cannot {what}: {said}");
        }
        if let Some((what, message)) = object_state.local_state.refused_write_to_tell(&self.env()) {
            self.event_recorder.publish(received.meta(), events::write_refused(what, &message));
        }
        wait.max(object_state.local_state.write_wait(self.clock.now()))
    }

    /// Reports a refused write in the status or, if it is that of the status, ends a session that is to end and that no status can name. If that
    /// fails, the next try comes by here again. Returns whether the refusal is news.
    async fn tell_refused_write(
        &self,
        object: &AthenaSession,
        version: Option<u64>,
        refused: (&'static str, &str),
        object_state: &mut ObjectState,
    ) -> bool {
        let (mut pass, is_new_refusal) = Pass::after_refused_write(
            self.decisions,
            object,
            version,
            std::mem::take(&mut object_state.local_state),
            refused,
            &self.env(),
        );
        let end = self.perform_all(&mut pass, object_state).await;
        let (state, report) = pass.finish();
        object_state.local_state = state;
        match end {
            Ok(end) => {
                if let End::Refused(Some(version)) = end {
                    object_state.written = Some(version);
                }
                if let Some(event) = report.event {
                    self.event_recorder.publish(&object.metadata, event);
                }
            }
            Err(error) => warn!(
                "the write of the status that reports this has failed, too: {}",
                self.redact_error(object, &error).await
            ),
        }
        is_new_refusal
    }
}
