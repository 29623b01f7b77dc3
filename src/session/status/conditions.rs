//! Conditions, and the row of the condition matrix from which they are made.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use k8s_openapi::jiff::Timestamp;

use super::storable;
use super::text::{bounded, seconds};
use crate::api::AthenaSessionStatus;

/// Condition of kstatus that is present beside Ready and Available.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flag {
    /// Reconciling.
    Reconciling,
    /// Stalled.
    Stalled,
}

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

/// Result of kstatus for an object, which Ready and the flags say in its words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outlook {
    /// Current: Ready is True.
    Ready,
    /// `InProgress`: Ready is Unknown, and Reconciling is present.
    Progressing,
    /// Failed: Ready is False, and Stalled is present.
    Stalled,
    /// Terminating: Ready is False.
    Deleting,
}

/// One row of the condition matrix. Its constructors are the only ways to make one, so that Ready and the flags always agree.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Row {
    outlook: Outlook,
    available: Available,
    /// Reason of all conditions.
    pub(crate) reason: String,
    /// Message of all conditions.
    pub(crate) message: String,
}

impl Row {
    fn new(outlook: Outlook, reason: &str, available: Available, message: impl AsRef<str>) -> Self {
        Self { outlook, available, reason: reason.to_owned(), message: bounded(message.as_ref(), 4096) }
    }

    /// Creates the row of an object that is as its spec asks.
    pub(crate) fn ready(reason: &str, available: Available, message: impl AsRef<str>) -> Self {
        Self::new(Outlook::Ready, reason, available, message)
    }

    /// Creates the row of an object on which the operator works.
    pub(crate) fn progressing(reason: &str, available: Available, message: impl AsRef<str>) -> Self {
        Self::new(Outlook::Progressing, reason, available, message)
    }

    /// Creates the row of an object that somebody has to correct.
    pub(crate) fn stalled(reason: &str, available: Available, message: impl AsRef<str>) -> Self {
        Self::new(Outlook::Stalled, reason, available, message)
    }

    /// Creates the row of an object that is being deleted.
    pub(crate) fn deleting(message: impl AsRef<str>) -> Self {
        Self::new(Outlook::Deleting, "Deleting", Available::False, message)
    }

    /// Returns the status of Ready.
    pub(crate) fn ready_word(&self) -> &'static str {
        match self.outlook {
            Outlook::Ready => "True",
            Outlook::Progressing => "Unknown",
            Outlook::Stalled | Outlook::Deleting => "False",
        }
    }

    /// Returns the flag that is present, if any.
    pub(crate) fn flag(&self) -> Option<Flag> {
        match self.outlook {
            Outlook::Progressing => Some(Flag::Reconciling),
            Outlook::Stalled => Some(Flag::Stalled),
            Outlook::Ready | Outlook::Deleting => None,
        }
    }

    /// Returns the status of Available.
    pub(crate) fn available(&self) -> Available {
        self.available
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
    let flag = |flag, type_| (row.flag() == Some(flag)).then_some((type_, "True"));
    [
        Some(("Ready", row.ready_word())),
        Some(("Available", row.available().word())),
        flag(Flag::Reconciling, "Reconciling"),
        flag(Flag::Stalled, "Stalled"),
    ]
    .into_iter()
    .flatten()
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
