//! Reads the whole spec of a large object, which is not kept, for the few calls that need it: StartSession, the comparison with a session that
//! carries the object's marker, and the redaction of texts. It is dropped after use. Its immutable part cannot differ from the one that the watch has
//! brought, as long as the UID is the same.

use std::borrow::Cow;

use tracing::debug;

use crate::api::{AthenaSession, AthenaSessionSpec};
use crate::controller::context::Operator;
use crate::controller::writes::{self, Error, Result};
use crate::runtime::confidential::redact_secrets;
use crate::session::redaction::{WITHHELD, redacted};
use crate::session::reply::{Look, Refusal, Session};

impl Operator {
    /// Returns `object` with its whole spec, or nothing if the API server no longer has the object.
    ///
    /// # Errors
    /// When the API server does not return the object, or the object can no longer be read.
    pub(crate) async fn whole<'a>(
        &self,
        object: &'a AthenaSession,
    ) -> Result<Option<Cow<'a, AthenaSession>>> {
        if !object.spec.trimmed {
            return Ok(Some(Cow::Borrowed(object)));
        }
        let spec = Box::pin(writes::read_spec(&self.client, object)).await?;
        Ok(spec.map(|spec| Cow::Owned(AthenaSession { spec, ..object.clone() })))
    }

    /// Redacts a text about `object` by its spec: the whole one, or the trimmed one if that cannot be read, by which no text is shown.
    async fn redact<T>(&self, object: &AthenaSession, redact: impl FnOnce(&AthenaSessionSpec) -> T) -> T {
        if !object.spec.trimmed {
            return redact(&object.spec);
        }
        let _place = self.large_reads.acquire().await;
        match Box::pin(writes::read_spec(&self.client, object)).await {
            Ok(whole) => redact(whole.as_ref().unwrap_or(&object.spec)),
            Err(error) => {
                debug!("cannot redact a text: {}", error.class());
                redact(&object.spec)
            }
        }
    }

    /// Returns `refusal` without values of the object's properties and without credentials.
    pub(crate) async fn redact_refusal(&self, object: &AthenaSession, refusal: Refusal) -> Refusal {
        let refusal = self.redact(object, |spec| refusal.redacted(spec)).await;
        Refusal { message: redact_secrets(&refusal.message), ..refusal }
    }

    /// Returns `session` without values of the object's properties and without credentials in Athena's texts. The object is read only if there is a text.
    pub(crate) async fn redact_session(&self, object: &AthenaSession, session: Session) -> Session {
        if session.state_change_reason.as_ref().is_none_or(String::is_empty) {
            return session;
        }
        let session = self.redact(object, |spec| session.redacted(spec)).await;
        Session { state_change_reason: session.state_change_reason.as_deref().map(redact_secrets), ..session }
    }

    /// Returns `look` without values of the object's properties in Athena's texts.
    pub(crate) async fn redact_look(&self, object: &AthenaSession, look: Look) -> Look {
        match look {
            Look::Seen(session) => Look::Seen(self.redact_session(object, session).await),
            not_found @ Look::NotFound { .. } => not_found,
            Look::Failed(refusal) => Look::Failed(self.redact_refusal(object, refusal).await),
        }
    }

    /// Returns `text` of the API server without values of the object's properties and without credentials.
    pub(crate) async fn redact_text(&self, object: &AthenaSession, text: &str) -> String {
        self.redact(object, |spec| redact_secrets(&redacted(text, spec))).await
    }

    /// Returns the text of `error`, from the API server or the connection to it, without values of the object's properties, which a refusal may
    /// repeat, and without credentials. No text about an object gets into its status, an event or a log line otherwise; if the whole object cannot be
    /// read, the failure is reported without the text.
    pub(crate) async fn redact_error(&self, object: &AthenaSession, error: &Error) -> String {
        let redact = |spec: &AthenaSessionSpec| {
            if spec.trimmed {
                format!("{}: {WITHHELD}", error.class())
            } else {
                redact_secrets(&redacted(&error.to_string(), spec))
            }
        };
        self.redact(object, redact).await
    }
}
