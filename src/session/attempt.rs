//! The newest attempt of an object, as data.

use k8s_openapi::jiff::Timestamp;

use crate::api::EndReason;

/// The newest attempt, as the status records it.
#[derive(Clone, Debug, PartialEq)]
pub enum Attempt<'a> {
    /// No attempt is recorded.
    None,
    /// The attempt with this number was recorded, its calls were refused, and it is proved that they started nothing: it no longer belongs to a
    /// region and an account. It keeps its number, since its token must not change.
    Withdrawn(i32),
    /// Recorded attempt; the outcome of StartSession is not known.
    Unknown(Recorded<'a>),
    /// Attempt with a session that has not ended.
    Live(Recorded<'a>, &'a str),
    /// Ended attempt: no session of it lives.
    Over(Recorded<'a>, &'a EndReason),
}

/// Facts recorded of an attempt before StartSession is called for it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Recorded<'a> {
    /// Number of the attempt.
    pub number: i32,
    /// Time at which it was recorded.
    pub time: Timestamp,
    /// AWS region of the attempt.
    pub region: &'a str,
    /// AWS account of the attempt, where it was known.
    pub account: Option<&'a str>,
}
