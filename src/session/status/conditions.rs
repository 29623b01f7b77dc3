//! Conditions, and the row of the condition matrix from which they are made.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use k8s_openapi::jiff::Timestamp;

use super::storable;
use super::text::{bounded, seconds};
use crate::api::AthenaSessionStatus;

/// Status of Available: whether the session takes work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Available {
    /// It does.
    True,
    /// It does not, or there is none.
    False,
    /// Nobody knows.
    Unknown,
}

impl Available {
    /// Returns the word of the condition.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::True => "True",
            Self::False => "False",
            Self::Unknown => "Unknown",
        }
    }
}

/// One row of the condition matrix. Its constructors are the only ways to make one, so that Ready and the flag always agree.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Row {
    /// Status of Ready.
    pub(super) ready: &'static str,
    /// Condition of kstatus that is present beside Ready and Available: Reconciling or Stalled.
    pub(super) flag: Option<&'static str>,
    /// Status of Available.
    pub(super) available: Available,
    /// Reason of all conditions.
    pub(crate) reason: String,
    /// Message of all conditions.
    pub(crate) message: String,
}

impl Row {
    fn new(
        ready: &'static str,
        flag: Option<&'static str>,
        reason: &str,
        available: Available,
        message: impl AsRef<str>,
    ) -> Self {
        Self { ready, flag, available, reason: reason.to_owned(), message: bounded(message.as_ref(), 4096) }
    }

    /// Creates the row of an object that is as its spec asks; kstatus computes Current.
    pub(crate) fn ready(reason: &str, available: Available, message: impl AsRef<str>) -> Self {
        Self::new("True", None, reason, available, message)
    }

    /// Creates the row of an object on which the operator works; kstatus computes InProgress.
    pub(crate) fn progressing(reason: &str, available: Available, message: impl AsRef<str>) -> Self {
        Self::new("Unknown", Some("Reconciling"), reason, available, message)
    }

    /// Creates the row of an object that somebody has to correct; kstatus computes Failed.
    pub(crate) fn stalled(reason: &str, available: Available, message: impl AsRef<str>) -> Self {
        Self::new("False", Some("Stalled"), reason, available, message)
    }

    /// Creates the row of an object that is being deleted; kstatus computes Terminating.
    pub(crate) fn deleting(message: impl AsRef<str>) -> Self {
        Self::new("False", None, "Deleting", Available::False, message)
    }
}

/// Returns the condition of `type_`, if it is present.
pub fn condition<'a>(status: &'a AthenaSessionStatus, type_: &str) -> Option<&'a Condition> {
    status.conditions.as_deref().unwrap_or_default().iter().find(|condition| condition.type_ == type_)
}

/// Returns the conditions of `row`, each with the time of its transition.
pub(crate) fn conditions(
    before: &[Condition],
    row: &Row,
    generation: Option<i64>,
    now: Timestamp,
) -> Vec<Condition> {
    let always = [("Ready", row.ready), ("Available", row.available.word())];
    let present = always.into_iter().chain(row.flag.map(|flag| (flag, "True")));
    present
        .map(|(type_, status)| {
            let unchanged =
                before.iter().find(|condition| condition.type_ == type_ && condition.status == status);
            let since =
                unchanged.and_then(|condition| storable::time(Some(condition.last_transition_time.clone())));
            Condition {
                type_: type_.to_owned(),
                status: status.to_owned(),
                reason: row.reason.clone(),
                message: row.message.clone(),
                last_transition_time: since.unwrap_or_else(|| seconds(now)),
                observed_generation: generation,
            }
        })
        .collect()
}
