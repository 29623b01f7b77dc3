//! The operator's outgoing calls, named so that another run can find the same one again.

use std::fmt;
use std::str::FromStr;

use anyhow::{Context, bail};

/// Who is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Target {
    /// Athena or STS.
    Athena,
    /// The API server.
    Kubernetes,
}

/// A call: the n-th of its operation in a phase of a scenario. Written as `start/StartSession#1` or `start/patch:athenasessions/status#2`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Call {
    /// The phase of the scenario, which begins with something that people do.
    pub phase: String,
    /// Who is called.
    pub target: Target,
    /// Athena's operation, or verb and resource of Kubernetes.
    pub operation: String,
    /// Which of its operation in its phase, from 1.
    pub occurrence: u32,
}

impl Call {
    /// Verb and resource of a call to the API server.
    pub fn verb_and_resource(&self) -> (&str, &str) {
        self.operation.split_once(' ').unwrap_or((&self.operation, "*"))
    }

    /// Whether it changes anything.
    pub fn writes(&self) -> bool {
        match self.target {
            Target::Athena => matches!(self.operation.as_str(), "StartSession" | "TerminateSession"),
            Target::Kubernetes => !matches!(self.verb_and_resource().0, "get" | "list" | "watch"),
        }
    }

    /// Whether it only tells people of something.
    pub fn is_event(&self) -> bool {
        self.target == Target::Kubernetes && self.verb_and_resource().1 == "events"
    }
}

impl fmt::Display for Call {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}#{}", self.phase, self.operation.replace(' ', ":"), self.occurrence)
    }
}

impl FromStr for Call {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        let (phase, rest) = text.split_once('/').context("a call is PHASE/OPERATION#N")?;
        let (operation, occurrence) = rest.rsplit_once('#').context("a call is PHASE/OPERATION#N")?;
        let target = if operation.contains(':') { Target::Kubernetes } else { Target::Athena };
        let occurrence = occurrence.parse()?;
        if occurrence == 0 {
            bail!("calls are counted from 1");
        }
        Ok(Self { phase: phase.to_owned(), target, operation: operation.replace(':', " "), occurrence })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_read_as_it_is_written() {
        for text in ["start/StartSession#1", "delete/patch:athenasessions/status#12"] {
            assert_eq!(text.parse::<Call>().expect("a call").to_string(), text);
        }
        assert!("start/StartSession".parse::<Call>().is_err());
    }
}
