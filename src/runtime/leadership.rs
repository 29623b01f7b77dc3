//! Leadership: this process may act while it holds the lease, or if there is no election.

use std::time::Instant;

use tokio::sync::watch;

/// Time for which this process is the leader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Term {
    /// This process is not the leader, and sees no other one.
    None,
    /// Another process is the leader.
    Other,
    /// This process is the leader until this time, unless it renews the lease.
    Until(Instant),
    /// This process is the leader for as long as it runs: there is no election.
    Unbounded,
}

impl Term {
    /// Returns whether this process may act now.
    fn is_held(&self) -> bool {
        match self {
            Self::None | Self::Other => false,
            Self::Until(time) => Instant::now() < *time,
            Self::Unbounded => true,
        }
    }
}

/// Read handle of the leadership: shows whether this process may act.
#[derive(Clone, Debug)]
pub struct Leadership(watch::Receiver<Term>);

/// Write handle of the leadership.
#[derive(Debug)]
pub struct LeadershipHandle(watch::Sender<Term>);

/// Creates the handles of a leadership that an election decides.
pub fn elected() -> (LeadershipHandle, Leadership) {
    let (sender, receiver) = watch::channel(Term::None);
    (LeadershipHandle(sender), Leadership(receiver))
}

impl Leadership {
    /// Returns the leadership of a process that runs alone.
    pub fn unbounded() -> Self {
        Self(watch::channel(Term::Unbounded).1)
    }

    /// Returns whether this process may act now.
    pub fn is_held(&self) -> bool {
        self.0.borrow().is_held()
    }

    /// Returns whether another process is known to act in place of this one.
    pub fn is_elsewhere(&self) -> bool {
        *self.0.borrow() == Term::Other
    }

    /// Waits until this process may act. A process that has lost the lease waits for ever: it is about to end.
    pub async fn held(&self) {
        let mut term = self.0.clone();
        if term.wait_for(Term::is_held).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

impl LeadershipHandle {
    /// Lets this process act until `time`.
    pub fn hold_until(&self, time: Instant) {
        self.0.send_replace(Term::Until(time));
    }

    /// Records that another process acts.
    pub fn wait(&self) {
        self.0.send_replace(Term::Other);
    }

    /// Records that this process may no longer act.
    pub fn leave(&self) {
        self.0.send_replace(Term::None);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_term_ends_by_itself() {
        let (handle, leadership) = elected();
        assert!(!leadership.is_held());
        handle.hold_until(Instant::now() + Duration::from_hours(1));
        assert!(leadership.is_held());
        handle.hold_until(Instant::now());
        assert!(!leadership.is_held());
        handle.wait();
        assert!(!leadership.is_held() && leadership.is_elsewhere());
        handle.leave();
        assert!(!leadership.is_held() && !leadership.is_elsewhere());
        assert!(Leadership::unbounded().is_held());
    }

    #[tokio::test]
    async fn whoever_waits_goes_on_when_the_lease_is_won() {
        let (handle, leadership) = elected();
        let waiting = tokio::spawn(async move { leadership.held().await });
        handle.hold_until(Instant::now() + Duration::from_hours(1));
        waiting.await.expect("held");
    }
}
