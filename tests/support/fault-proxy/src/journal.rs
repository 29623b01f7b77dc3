//! Every request, in the order of arrival.

use std::time::SystemTime;

use hyper::Method;
use serde_json::Value;

use crate::request::Operation;

/// A request.
#[derive(Clone, Debug)]
pub struct Request {
    /// Its number, from 1, in order of arrival.
    pub number: usize,
    /// When it arrived.
    pub time: SystemTime,
    /// Who sent it, where that was told by [`crate::FaultProxy::url_for`].
    pub client: Option<String>,
    /// Its method.
    pub method: Method,
    /// What it asks of which resource.
    pub operation: Operation,
    /// Its body, where that is JSON; else null.
    pub body: Value,
    /// What became of it.
    pub outcome: Outcome,
}

/// What became of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Not answered yet, or the client left before it was.
    Pending,
    /// The server answered with this status, and the client was told.
    Passed(u16),
    /// A fault answered with this status, without effect.
    Failed(u16),
    /// A fault closed the connection before the effect.
    DroppedBefore,
    /// A fault closed the connection after the effect, to which the server gave this status.
    DroppedAfter(u16),
    /// A fault left it without reply and without effect.
    HungBefore,
    /// A fault left it without reply, after the effect, to which the server gave this status.
    HungAfter(u16),
    /// A fault has the reply come late; the server gave this status.
    Slowed(u16),
    /// A fault silenced its connection, and the others of its client, before the effect.
    Silenced,
    /// A fault held it back.
    Held,
    /// A fault held it back and delivered it later; the server gave this status, and no one was told.
    Delivered(u16),
    /// A fault answered that the version asked for is too old.
    Gone,
    /// The server answered as it was at this version.
    Stale(String),
    /// The API server could not be reached.
    Unreachable,
}

#[derive(Debug, Default)]
pub(crate) struct Journal {
    requests: Vec<Request>,
}

impl Journal {
    pub(crate) fn requests(&self) -> &[Request] {
        &self.requests
    }

    pub(crate) fn arrive(
        &mut self,
        client: Option<String>,
        method: Method,
        operation: Operation,
        body: Value,
    ) -> usize {
        let number = self.requests.len() + 1;
        self.requests.push(Request {
            number,
            time: SystemTime::now(),
            client,
            method,
            operation,
            body,
            outcome: Outcome::Pending,
        });
        number
    }

    pub(crate) fn conclude(&mut self, number: usize, outcome: Outcome) {
        if let Some(request) = number.checked_sub(1).and_then(|index| self.requests.get_mut(index)) {
            request.outcome = outcome;
        }
    }
}
