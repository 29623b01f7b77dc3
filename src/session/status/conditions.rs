//! Conditions, and the row of the condition matrix from which they are made.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use k8s_openapi::jiff::Timestamp;

use super::storable;
use super::text::seconds;
use crate::api::AthenaSessionStatus;

/// Condition of kstatus that is present beside Ready and Available.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flag {
    /// Reconciling.
    Reconciling,
    /// Stalled.
    Stalled,
}

/// One row of the condition matrix.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Row {
    /// Status of Ready.
    pub ready: &'static str,
    /// Reason of all conditions.
    pub reason: String,
    /// The flag that is present, if any.
    pub flag: Option<Flag>,
    /// Status of Available.
    pub available: &'static str,
    /// Message of all conditions.
    pub message: String,
}

/// Returns the condition of `type_`, if it is present.
pub fn condition<'a>(status: &'a AthenaSessionStatus, type_: &str) -> Option<&'a Condition> {
    status.conditions.as_deref().unwrap_or_default().iter().find(|condition| condition.type_ == type_)
}

/// Returns the conditions of `row`, each with the time of its transition.
pub(crate) fn conditions(before: &[Condition], row: &Row, generation: Option<i64>, now: Timestamp) -> Vec<Condition> {
    let flag = |flag, type_| (row.flag == Some(flag)).then_some((type_, "True"));
    [Some(("Ready", row.ready)), Some(("Available", row.available)), flag(Flag::Reconciling, "Reconciling"), flag(Flag::Stalled, "Stalled")]
        .into_iter()
        .flatten()
        .map(|(type_, status)| {
            let unchanged = before.iter().find(|condition| condition.type_ == type_ && condition.status == status);
            let since = unchanged.and_then(|condition| storable::time(Some(condition.last_transition_time.clone())));
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
