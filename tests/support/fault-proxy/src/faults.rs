//! Faults that a test orders.

use std::time::Duration;

use crate::request::Operation;

/// A rule: what goes wrong with the next requests of an operation. The first rule that matches a request is the one applied to it.
#[derive(Clone, Debug, PartialEq)]
pub struct Fault {
    verb: String,
    resource: String,
    kind: FaultKind,
    times: Option<u32>,
    after: u32,
}

impl Fault {
    /// A fault of every request of a verb and a resource with its subresource, such as `patch` of `athenasessions/status`; `*` for any.
    pub fn new(verb: impl Into<String>, resource: impl Into<String>, kind: FaultKind) -> Self {
        Self { verb: verb.into(), resource: resource.into(), kind, times: None, after: 0 }
    }

    /// Limits the fault to the next requests.
    #[must_use]
    pub fn times(self, times: u32) -> Self {
        Self { times: Some(times), ..self }
    }

    /// Spares the next requests.
    #[must_use]
    pub fn after(self, after: u32) -> Self {
        Self { after, ..self }
    }

    fn matches(&self, operation: &Operation) -> bool {
        let fits = |rule: &str, text: &str| rule == "*" || rule == text;
        fits(&self.verb, &operation.verb) && fits(&self.resource, &operation.resource)
    }
}

/// What goes wrong with a request.
#[derive(Clone, Debug, PartialEq)]
pub enum FaultKind {
    /// It goes on to the server after this delay.
    Delay(Duration),
    /// The connection is closed without a reply and without the effect.
    DropBefore,
    /// The effect happens, then the connection is closed without a reply.
    DropAfter,
    /// It is answered with a Status of this code, without effect.
    Fail {
        /// The HTTP status: 409, 410, 429, 500, 503, 504 or any other.
        code: u16,
        /// Seconds of a Retry-After.
        retry_after: Option<u32>,
    },
    /// No reply ever comes; the connection stays open until the client leaves.
    Hang {
        /// Whether the effect happens first.
        effect: bool,
    },
    /// The effect happens at once, and the reply comes so much later.
    Slow(Duration),
    /// No reply ever comes, and there is no effect: this connection and all others that its client has open now carry nothing any more, and are not closed
    /// either. Others can be opened.
    Silence,
    /// As [`Self::Hang`] without effect, but the effect happens later: when [`crate::FaultProxy::deliver`] says so, whether the client has left or not.
    Late,
    /// A watch is answered as one whose resource version is too old: with an event of type ERROR and code 410.
    Gone,
    /// A list is answered by the server as it was this many versions ago, as far as lists and watches that went through here have told of versions.
    StaleList {
        /// How many versions.
        back: usize,
    },
}

/// Takes the fault of a request from the rules, counting it. A rule that is used up is removed.
pub(crate) fn take(rules: &mut Vec<Fault>, operation: &Operation) -> Option<FaultKind> {
    let taken = harness::take(
        rules,
        |rule| rule.matches(operation),
        |rule| (&mut rule.after, &mut rule.times),
        |_| true,
    );
    taken.map(|rule| rule.kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn operation(verb: &str, resource: &str) -> Operation {
        Operation { verb: verb.into(), resource: resource.into(), namespace: None, name: None }
    }

    #[test]
    fn rules_apply_in_turn_and_are_used_up() {
        let late = Fault::new("patch", "athenasessions/status", FaultKind::Late).times(1).after(1);
        let mut rules = vec![late, Fault::new("*", "athenasessions", FaultKind::DropBefore).times(1)];
        let (status, watch) =
            (operation("patch", "athenasessions/status"), operation("watch", "athenasessions"));
        assert_eq!(take(&mut rules, &status), None);
        assert_eq!(take(&mut rules, &watch), Some(FaultKind::DropBefore));
        assert_eq!(take(&mut rules, &watch), None);
        assert_eq!(take(&mut rules, &status), Some(FaultKind::Late));
        assert_eq!(take(&mut rules, &status), None);
        assert!(rules.is_empty());
    }
}
