//! Broken variants of the operator, at least one for each rule of the design.

/// What is broken, if anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mutant {
    /// Nothing.
    None,
    /// Rule 1: each call of an attempt has a token of its own.
    FreshTokens,
    /// Rule 1: the body depends on the time.
    BodyWithTime,
    /// Rule 2: StartSession is called before its attempt is recorded.
    StartBeforeRecord,
    /// Rule 2: TerminateSession is called before its cause is recorded.
    TerminateBeforeCause,
    /// Rule 3: the attempt is recorded before the finalizer is on.
    RecordBeforeFinalizer,
    /// Rule 3: one not-found lets the object go.
    ReleaseOnNotFound,
    /// Rule 3: a refusal lets the object go, though an earlier call was not answered.
    ReleaseOnRefusal,
    /// Rule 3: an early list without the marker proves that nothing lives.
    TrustEarlyList,
    /// Rule 4: the status is written whatever has happened to the object since.
    BlindWrites,
    /// Rule 5: every look is written down.
    WriteEveryLook,
    /// Rule 6: a late reply takes a session back from TERMINATING.
    BackFromTerminating,
    /// Rule 7: a failed look counts as an end.
    FailedLookIsAnEnd,
    /// Rule 8: whatever session the status names is the object's.
    TrustStatus,
    /// Rule 8: a marker of any object counts.
    AnyMarker,
    /// Rule 9: a session whose object is gone is forgotten.
    ForgetOrphans,
    /// Rule 10: a start whose token is too old to be replayed is never searched for.
    NoSearch,
    /// Rule 10: a resume starts nothing.
    NoResume,
    /// Rule 10: a write that the API server has refused is never tried again.
    NeverWritesAgain,
    /// Rule 11: the time of a restart stays the time at which an object is due, though it has come.
    WakesInThePast,
    /// Rule 11: an object that waits for a time has no timer.
    ForgetsTimes,
    /// Rule 12: an idle timeout that Athena comes late with counts as a stop from outside.
    LateIsStopped,
    /// Rule 14: the node's clock is believed before Athena has told its time.
    TrustsNodeClock,
    /// Rule 15: a call that was not sent counts as one that may have been.
    UnsentIsInDoubt,
    /// Rule 16: a throttled TerminateSession counts as one that somebody has to correct.
    ThrottlingFails,
    /// Rule 17: each object reads a list of its own.
    ListsForEach,
}
