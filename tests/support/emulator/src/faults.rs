//! Faults that a test orders.

use std::time::Duration;

use jiff::fmt::serde::unsigned_duration::friendly::compact as duration;
use serde::{Deserialize, Serialize};

/// A rule: what goes wrong with the next calls of an operation. The first rule that matches a call is the one applied to it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// The operation; `*` for every one, STS's too.
    pub operation: String,
    /// What goes wrong.
    pub kind: FaultKind,
    /// To how many calls; without one, to all until the rules are replaced.
    #[serde(default)]
    pub times: Option<u32>,
    /// How many matching calls are spared first.
    #[serde(default)]
    pub after: u32,
    /// How likely a matching call is struck, from 0 to 1; the dice are those of `seed` in the configuration. Without one, each is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chance: Option<f64>,
}

impl Fault {
    /// A fault of every call of an operation.
    pub fn new(operation: impl Into<String>, kind: FaultKind) -> Self {
        Self { operation: operation.into(), kind, times: None, after: 0, chance: None }
    }

    /// Limits the fault to the next calls.
    #[must_use]
    pub fn times(self, times: u32) -> Self {
        Self { times: Some(times), ..self }
    }

    /// Spares the next calls.
    #[must_use]
    pub fn after(self, after: u32) -> Self {
        Self { after, ..self }
    }

    /// Strikes a matching call with this chance, from 0 to 1.
    #[must_use]
    pub fn chance(self, chance: f64) -> Self {
        Self { chance: Some(chance), ..self }
    }
}

/// What goes wrong with a call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum FaultKind {
    /// It is refused, without effect.
    Fail {
        /// The HTTP status.
        status: u16,
        /// The error's code.
        code: String,
        /// The error's message.
        message: String,
    },
    /// It is refused with `ThrottlingException`, without effect.
    Throttle,
    /// It is answered later; its effect comes at the end of the delay.
    Delay {
        /// How much later.
        #[serde(with = "duration::required")]
        duration: Duration,
    },
    /// The connection is closed without a reply and without the effect.
    DropBefore,
    /// The effect happens, then the connection is closed without a reply.
    DropAfter,
    /// Something that is not Athena's is answered, without effect.
    Malformed {
        /// The HTTP status; 200 when left out.
        #[serde(default = "ok")]
        status: u16,
        /// The body; a proxy's HTML page when left out.
        #[serde(default = "html")]
        body: String,
    },
    /// It is answered as usual, with a `Date` that is wrong.
    Redate {
        /// By how many seconds it is ahead.
        ahead: i64,
    },
    /// No reply ever comes; the connection stays open until the client leaves.
    Hang {
        /// Whether the effect happens first.
        effect: bool,
    },
}

impl FaultKind {
    /// A refusal.
    pub fn fail(status: u16, code: impl Into<String>, message: impl Into<String>) -> Self {
        Self::Fail { status, code: code.into(), message: message.into() }
    }

    /// Status 200 with a proxy's HTML page.
    pub fn malformed() -> Self {
        Self::Malformed { status: ok(), body: html() }
    }
}

fn ok() -> u16 {
    200
}

fn html() -> String {
    "<html><body><h1>It works!</h1></body></html>".to_owned()
}

/// Takes the fault of a call from the rules, counting it. A rule that is used up is removed. `dice` throws a number from 0 to 1, less than 1.
pub(crate) fn take(
    rules: &mut Vec<Fault>,
    operation: &str,
    mut dice: impl FnMut() -> f64,
) -> Option<FaultKind> {
    let taken = harness::take(
        rules,
        |rule| rule.operation == "*" || rule.operation == operation,
        |rule| (&mut rule.after, &mut rule.times),
        |rule| rule.chance.is_none_or(|chance| dice() < chance),
    );
    taken.map(|rule| rule.kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn never() -> f64 {
        unreachable!("no rule has a chance")
    }

    #[test]
    fn rules_apply_in_turn_and_are_used_up() {
        let mut rules = vec![
            Fault::new("StartSession", FaultKind::Throttle).times(2).after(1),
            Fault::new("*", FaultKind::DropBefore).times(2),
        ];
        assert_eq!(take(&mut rules, "StartSession", never), Some(FaultKind::DropBefore));
        assert_eq!(take(&mut rules, "StartSession", never), Some(FaultKind::Throttle));
        assert_eq!(take(&mut rules, "GetSession", never), Some(FaultKind::DropBefore));
        assert_eq!(take(&mut rules, "GetSession", never), None);
        assert_eq!(take(&mut rules, "StartSession", never), Some(FaultKind::Throttle));
        assert!(rules.is_empty());
    }

    #[test]
    fn a_rule_without_times_stays() {
        let mut rules = vec![
            Fault::new("ListSessions", FaultKind::Throttle),
            Fault::new("*", FaultKind::Throttle).times(0),
        ];
        for _ in 0..5 {
            assert!(take(&mut rules, "ListSessions", never).is_some());
            assert!(take(&mut rules, "GetSession", never).is_none());
        }
    }

    #[test]
    fn a_rule_with_a_chance_strikes_as_the_dice_fall_and_is_used_up_by_its_strikes() {
        let mut rules = vec![
            Fault::new("*", FaultKind::Throttle).chance(0.25).times(1),
            Fault::new("*", FaultKind::DropAfter),
        ];
        assert_eq!(take(&mut rules, "GetSession", || 0.25), Some(FaultKind::DropAfter));
        assert_eq!(take(&mut rules, "GetSession", || 0.2), Some(FaultKind::Throttle));
        assert_eq!(rules.len(), 1);
    }

    #[test]
    fn faults_are_read_from_json() {
        let text = r#"[
            {"operation": "*", "kind": "throttle", "times": 1},
            {"operation": "GetSession", "kind": {"delay": {"duration": "250ms"}}},
            {"operation": "GetSession", "kind": {"malformed": {}}, "after": 2},
            {"operation": "StartSession", "kind": {"hang": {"effect": true}}}
        ]"#;
        let rules: Vec<Fault> = serde_json::from_str(text).expect("rules");
        let delay = FaultKind::Delay { duration: Duration::from_millis(250) };
        assert_eq!(rules[1], Fault::new("GetSession", delay));
        assert_eq!(rules[2], Fault::new("GetSession", FaultKind::malformed()).after(2));
    }
}
