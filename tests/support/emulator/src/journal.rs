//! Every AWS call, in the order of arrival.

use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Call {
    /// Its number, from 1, in order of arrival.
    pub number: u64,
    /// When it arrived.
    pub time: Timestamp,
    /// The operation, such as `StartSession`.
    pub operation: String,
    /// The `ClientRequestToken` in it.
    pub token: Option<String>,
    /// The session it is about: named in it, or started or replayed by it.
    pub session_id: Option<String>,
    /// Its body; a string where it is not JSON.
    pub request: Value,
    /// What became of it.
    pub outcome: Outcome,
    /// The `x-amzn-RequestId` of its reply.
    pub request_id: String,
    /// The access key it was signed with, valid or not.
    pub access_key_id: Option<String>,
}

/// What became of a call. Written as `ok`, `pending`, `dropped-before`, `dropped-after`, `hung-before`, `hung-after`, `malformed` or the
/// error's code.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum Outcome {
    /// Not answered yet, or the client left before it was.
    Pending,
    /// It succeeded.
    Ok,
    /// It was refused with this code.
    Error(String),
    /// A fault closed the connection before the effect.
    DroppedBefore,
    /// A fault closed the connection after the effect.
    DroppedAfter,
    /// A fault left it without reply and without effect.
    HungBefore,
    /// A fault left it without reply, after the effect.
    HungAfter,
    /// A fault answered something that is no reply of Athena, without effect.
    Malformed,
}

impl Outcome {
    /// Whether the client was told of a success.
    pub fn is_ok(&self) -> bool {
        *self == Self::Ok
    }

    fn text(&self) -> &str {
        match self {
            Self::Pending => "pending",
            Self::Ok => "ok",
            Self::Error(code) => code,
            Self::DroppedBefore => "dropped-before",
            Self::DroppedAfter => "dropped-after",
            Self::HungBefore => "hung-before",
            Self::HungAfter => "hung-after",
            Self::Malformed => "malformed",
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.text())
    }
}

impl FromStr for Outcome {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        let named = [
            Self::Pending,
            Self::Ok,
            Self::DroppedBefore,
            Self::DroppedAfter,
            Self::HungBefore,
            Self::HungAfter,
            Self::Malformed,
        ];
        let named = named.into_iter().find(|outcome| outcome.text() == text);
        Ok(named.unwrap_or_else(|| Self::Error(text.to_owned())))
    }
}

impl From<String> for Outcome {
    fn from(text: String) -> Self {
        let Ok(outcome) = text.parse();
        outcome
    }
}

impl From<Outcome> for String {
    fn from(outcome: Outcome) -> Self {
        outcome.to_string()
    }
}

/// The calls so far.
#[derive(Debug, Default)]
pub(crate) struct Journal {
    calls: Vec<Call>,
    arrived: u64,
}

impl Journal {
    pub(crate) fn calls(&self) -> &[Call] {
        &self.calls
    }

    /// Forgets the calls; the numbers go on.
    pub(crate) fn clear(&mut self) {
        self.calls.clear();
    }

    /// Notes a call that has just arrived and returns its number.
    pub(crate) fn arrive(&mut self, call: Call) -> u64 {
        self.arrived += 1;
        let number = self.arrived;
        self.calls.push(Call { number, ..call });
        number
    }

    pub(crate) fn conclude(&mut self, number: u64, outcome: Outcome, session_id: Option<String>) {
        if let Ok(index) = self.calls.binary_search_by_key(&number, |call| call.number) {
            let call = &mut self.calls[index];
            call.outcome = outcome;
            call.session_id = session_id.or(call.session_id.take());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outcome_is_read_as_it_is_written() {
        for text in ["ok", "pending", "dropped-after", "hung-before", "ThrottlingException"] {
            let outcome = Outcome::from(text.to_owned());
            assert_eq!(outcome.to_string(), text);
            assert_eq!(matches!(outcome, Outcome::Error(_)), text == "ThrottlingException");
        }
    }
}
