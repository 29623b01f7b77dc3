//! A call in the journals of a run.

use crate::call::{Call, Target};

/// A call as it arrived.
pub(crate) struct Recent {
    /// Which of several operators made it.
    pub(crate) replica: usize,
    pub(crate) target: Target,
    pub(crate) operation: String,
    pub(crate) nanos: i128,
    /// Whether a fault has come about.
    pub(crate) struck: bool,
    /// Whether it has not been answered.
    pub(crate) pending: bool,
    /// Whether it has come to what was asked for, in time or late.
    pub(crate) came_through: bool,
}

impl Recent {
    pub(crate) fn is(&self, call: &Call) -> bool {
        self.target == call.target && self.operation == call.operation
    }
}

impl From<athena_emulator::Call> for Recent {
    fn from(call: athena_emulator::Call) -> Self {
        use athena_emulator::Outcome;
        let (struck, pending) =
            (!matches!(call.outcome, Outcome::Pending | Outcome::Ok), call.outcome == Outcome::Pending);
        let replica =
            call.access_key_id.and_then(|key| key.strip_prefix("replica-")?.parse().ok()).unwrap_or(0);
        Self {
            replica,
            target: Target::Athena,
            operation: call.operation,
            nanos: call.time.as_nanosecond(),
            struck,
            pending,
            came_through: call.outcome == Outcome::Ok,
        }
    }
}

impl From<fault_proxy::Request> for Recent {
    fn from(request: fault_proxy::Request) -> Self {
        use fault_proxy::Outcome;
        let nanos = request
            .time
            .duration_since(std::time::UNIX_EPOCH)
            .map_or(0, |time| i128::try_from(time.as_nanos()).unwrap_or(i128::MAX));
        let struck = !matches!(
            request.outcome,
            Outcome::Pending | Outcome::Passed(_) | Outcome::Unreachable | Outcome::Stale(_)
        );
        let pending = request.outcome == Outcome::Pending;
        let came_through = match request.outcome {
            Outcome::Passed(code) | Outcome::Slowed(code) => code < 300,
            Outcome::Stale(_) => true,
            _ => false,
        };
        let replica = request.client.and_then(|client| client.parse().ok()).unwrap_or(0);
        Self {
            replica,
            target: Target::Kubernetes,
            operation: request.operation.to_string(),
            nanos,
            struck,
            pending,
            came_through,
        }
    }
}
