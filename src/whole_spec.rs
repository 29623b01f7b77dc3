//! Reads what is not kept of a large object, for the few calls that need it: StartSession, the comparison with a session that carries the object's marker,
//! and the redaction of texts. It is dropped after use. What it reads of the immutable part cannot differ from what the watch has brought, as long as the UID is
//! the same.

use std::borrow::Cow;

use tokio::sync::SemaphorePermit;
use tracing::debug;

use crate::api::{AthenaSession, AthenaSessionSpec};
use crate::operator::Operator;
use crate::redaction::redacted;
use crate::session::{Look, Refusal, Session};
use crate::writes::{self, Error};

/// How many calls to Athena may carry a large request or reply at a time.
pub(crate) const LARGE_CALLS: usize = 2;

impl Operator {
    /// Returns `object` with its whole spec, or nothing if the API server does not have the object any more.
    ///
    /// # Errors
    /// When the API server does not tell, or the object cannot be read any more.
    pub(crate) async fn whole<'a>(&self, object: &'a AthenaSession) -> Result<Option<Cow<'a, AthenaSession>>, Error> {
        if !object.spec.trimmed {
            return Ok(Some(Cow::Borrowed(object)));
        }
        let Some(spec) = Box::pin(writes::read_spec(&self.client, object)).await? else { return Ok(None) };
        Ok(Some(Cow::Owned(AthenaSession { metadata: object.metadata.clone(), spec, status: object.status.clone() })))
    }

    /// Waits until `object` may have a call of its own that carries its properties: few large ones are made at a time.
    pub(crate) async fn large_call(&self, object: &AthenaSession) -> Option<SemaphorePermit<'_>> {
        if object.spec.trimmed { self.large_calls.acquire().await.ok() } else { None }
    }

    /// The spec by which texts about `object` can be redacted: the whole one, or the trimmed one if that cannot be had, by which no text is shown.
    async fn redacting_spec<'a>(&self, object: &'a AthenaSession) -> Cow<'a, AthenaSessionSpec> {
        if !object.spec.trimmed {
            return Cow::Borrowed(&object.spec);
        }
        match Box::pin(writes::read_spec(&self.client, object)).await {
            Ok(Some(spec)) => Cow::Owned(spec),
            Ok(None) => Cow::Borrowed(&object.spec),
            Err(error) => {
                debug!("cannot redact a text: {}", error.class());
                Cow::Borrowed(&object.spec)
            }
        }
    }

    /// Returns `refusal` without values of the object's properties.
    pub(crate) async fn redact_refusal(&self, object: &AthenaSession, refusal: Refusal) -> Refusal {
        let spec = self.redacting_spec(object).await;
        refusal.redacted(&spec)
    }

    /// Returns `session` without values of the object's properties in Athena's texts. The object is read only if there is a text.
    pub(crate) async fn redact_session(&self, object: &AthenaSession, session: Session) -> Session {
        if session.state_change_reason.as_ref().is_none_or(String::is_empty) {
            return session;
        }
        let spec = self.redacting_spec(object).await;
        session.redacted(&spec)
    }

    /// Returns `look` without values of the object's properties in Athena's texts.
    pub(crate) async fn redact_look(&self, object: &AthenaSession, look: Look) -> Look {
        match look {
            Look::Seen(session) => Look::Seen(self.redact_session(object, session).await),
            not_found @ Look::NotFound { .. } => not_found,
            Look::Failed(refusal) => Look::Failed(self.redact_refusal(object, refusal).await),
        }
    }

    /// Returns what the API server or the way to it says in `error`, without values of the object's properties.
    pub(crate) async fn redact_error(&self, object: &AthenaSession, error: &Error) -> String {
        let spec = self.redacting_spec(object).await;
        if spec.trimmed { format!("{}: {}", error.class(), crate::redaction::WITHHELD) } else { redacted(&error.to_string(), &spec) }
    }
}
