//! What happens at Athena, and what it was asked.

use athena_emulator::{Call, Change, Fault, FaultKind, SessionRecord};

use super::{World, until};

/// A reply with this HTTP status and code in place of Athena's.
pub fn failure(status: u16, code: &str, message: &str) -> FaultKind {
    FaultKind::Fail { status, code: code.into(), message: message.into() }
}

/// A refusal of the operation's calls.
pub fn refusal(operation: &str, code: &str, message: &str) -> Fault {
    Fault::new(operation, failure(400, code, message))
}

impl World {
    /// Has a session enter a state.
    pub fn enter(&self, session: &str, state: &str) -> anyhow::Result<()> {
        self.enter_with(session, state, None)
    }

    /// Has a session enter a state, with the reason that Athena says.
    pub fn enter_with(&self, session: &str, state: &str, reason: Option<&str>) -> anyhow::Result<()> {
        let change = Change::State { state: state.into(), reason: reason.map(Into::into) };
        self.change(session, change)
    }

    /// Has something happen to a session.
    pub fn change(&self, session: &str, change: Change) -> anyhow::Result<()> {
        Ok(self.emulator.set_state(session, change)?)
    }

    /// Denies these operations, and no others.
    pub fn deny(&self, operations: &[&str]) {
        let denied: Vec<String> = operations.iter().map(|operation| (*operation).into()).collect();
        self.emulator.configure(|config| config.deny = denied);
    }

    /// Has the calls of an operation do this, and those of others what they should.
    pub fn fault(&self, operation: &str, kind: FaultKind) {
        self.emulator.set_faults(vec![Fault::new(operation, kind)]);
    }

    /// Ends all faults.
    pub fn clear_faults(&self) {
        self.emulator.set_faults(vec![]);
    }

    /// Calls of an operation that the emulator has journalled.
    pub fn calls(&self, operation: &str) -> Vec<Call> {
        self.emulator.calls().into_iter().filter(|call| call.operation == operation).collect()
    }

    /// Waits for so many more calls of an operation.
    pub async fn further_calls(&self, operation: &str, count: usize) -> anyhow::Result<()> {
        let before = self.calls(operation).len();
        let what = format!("{operation} is called {count} times more");
        until(&what, || self.calls(operation).len() >= before + count).await
    }

    /// How often sessions were looked at one by one.
    pub fn looks(&self) -> usize {
        self.calls("GetSessionStatus").len() + self.calls("GetSession").len()
    }

    /// Waits until so many sessions have been started in all.
    pub async fn until_sessions(&self, count: usize) -> anyhow::Result<()> {
        until(&format!("there are {count} sessions"), || self.emulator.sessions().len() == count).await
    }

    /// Sessions that cost money.
    pub fn live(&self) -> Vec<SessionRecord> {
        self.emulator.sessions().into_iter().filter(|session| session.live).collect()
    }
}
