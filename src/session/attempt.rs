//! The newest attempt of an object, as data.

use k8s_openapi::jiff::Timestamp;

use crate::api::EndReason;

/// The newest attempt, as far as the status tells.
#[derive(Clone, Debug, PartialEq)]
pub enum Attempt<'a> {
    /// None is recorded.
    None,
    /// The attempt with this number was recorded, its calls were refused, and it is proved that they started nothing: it belongs to no region and no
    /// account any more. It keeps its number, since its token must not change.
    Withdrawn(i32),
    /// Recorded; what became of StartSession is not known.
    Unknown(Recorded<'a>),
    /// A session that has not ended.
    Live(Recorded<'a>, &'a str),
    /// Nothing of it lives.
    Over(Recorded<'a>, &'a EndReason),
}

/// What is recorded of an attempt before it is tried.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Recorded<'a> {
    /// Its number.
    pub number: i32,
    /// When it was recorded.
    pub time: Timestamp,
    /// The region of the attempt.
    pub region: &'a str,
    /// Its account, where it was known.
    pub account: Option<&'a str>,
}
