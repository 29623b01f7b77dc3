//! A fault of a call.

use std::fmt;
use std::str::FromStr;

use anyhow::Context;

use crate::blow::Blow;
use crate::call::Call;

/// A fault of a call. Written as `kill-after@start/StartSession#1`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Strike {
    /// What with.
    pub blow: Blow,
    /// The call.
    pub call: Call,
}

impl fmt::Display for Strike {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}@{}", self.blow, self.call)
    }
}

impl FromStr for Strike {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        let (blow, call) = text.split_once('@').context("a fault is BLOW@PHASE/OPERATION#N")?;
        Ok(Self { blow: blow.parse()?, call: call.parse()? })
    }
}
