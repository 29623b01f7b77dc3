//! What a call is struck with.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use athena_emulator::{Fault as AthenaFault, FaultKind as AthenaKind};
use fault_proxy::{Fault as KubernetesFault, FaultKind as KubernetesKind};

use crate::call::{Call, Target};

/// What a call is struck with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Blow {
    /// The operator is killed before the call has its effect, and started again.
    KillBefore,
    /// The operator is killed after the effect and before the reply, and started again.
    KillAfter,
    /// As [`Self::KillAfter`], and the first list that it then reads is two versions old.
    KillStale,
    /// As [`Self::KillAfter`], and the object is deleted before it is started again.
    KillDelete,
    /// The operator is killed; the call arrives all the same, when the scenario is over.
    KillLate,
    /// The effect happens, and the connection is closed.
    Drop,
    /// The call is refused with this status, without effect; Athena's with the fitting code.
    Error(u16),
    /// The call and those that follow it are refused, more often than a client retries by itself.
    Outage,
    /// No reply ever comes, and there is no effect.
    Hang,
    /// No reply ever comes, and there is an effect.
    HangEffect,
    /// A watch is told that its version is too old.
    Gone,
    /// The effect happens, and the API server's reply comes three seconds later, which the operator waits for.
    Slow,
    /// The connection is lost, and all others that the operator has open to the API server, without a sign of it: no watch tells anything any more.
    Silence,
}

const NAMES: &[(&str, Blow)] = &[
    ("kill-before", Blow::KillBefore),
    ("kill-after", Blow::KillAfter),
    ("kill-stale", Blow::KillStale),
    ("kill-delete", Blow::KillDelete),
    ("kill-late", Blow::KillLate),
    ("drop", Blow::Drop),
    ("outage", Blow::Outage),
    ("hang", Blow::Hang),
    ("hang-effect", Blow::HangEffect),
    ("gone", Blow::Gone),
    ("slow", Blow::Slow),
    ("silence", Blow::Silence),
];

impl fmt::Display for Blow {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Error(code) => write!(formatter, "error-{code}"),
            other => formatter
                .write_str(NAMES.iter().find(|(_, blow)| blow == other).map_or("?", |(name, _)| name)),
        }
    }
}

impl FromStr for Blow {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        if let Some(code) = text.strip_prefix("error-") {
            return Ok(Self::Error(code.parse()?));
        }
        let found = NAMES.iter().find(|(name, _)| *name == text);
        found.map(|(_, blow)| *blow).ok_or_else(|| anyhow::anyhow!("`{text}` is no fault"))
    }
}

impl Blow {
    /// Whether the operator is killed.
    pub fn kills(self) -> bool {
        matches!(
            self,
            Self::KillBefore | Self::KillAfter | Self::KillStale | Self::KillDelete | Self::KillLate
        )
    }

    /// How many calls are struck, from `call` on.
    pub(crate) fn times(self, call: &Call) -> u32 {
        match self {
            // They are not retried by the client, and what is refused for longer than the time of uncertainty counts as lost.
            Self::Outage if call.target == Target::Athena => 3,
            // The watcher waits twice as long after each failure, to nearly a minute.
            Self::Outage if matches!(call.verb_and_resource().0, "list" | "watch") => 3,
            Self::Outage => 5,
            _ => 1,
        }
    }

    /// How much longer a session may live because of it: the time until an operator is back, until a call is given up, and until it is tried again.
    pub(crate) fn explains(self) -> Duration {
        let seconds = match self {
            Self::KillBefore
            | Self::KillAfter
            | Self::KillStale
            | Self::KillDelete
            | Self::KillLate
            | Self::Drop
            | Self::Error(_) => 4,
            Self::Hang | Self::HangEffect | Self::Slow => 8,
            // A reconcile that waits for its own write to come back does so for 10 s.
            Self::Gone => 12,
            // Five failures in a row are followed by waits of up to 1, 2, 4, 8 and 16 s.
            Self::Outage => 31,
            // A watch that is silent for three minutes is given up.
            Self::Silence => 195,
        };
        Duration::from_secs(seconds)
    }

    /// Whether a run with it waits far more than it works.
    pub(crate) fn is_long(self) -> bool {
        self == Self::Silence
    }

    /// Everything that `call` can be struck with; `turn` chooses among errors.
    pub fn all(call: &Call, turn: usize) -> Vec<Self> {
        let mut blows =
            vec![Self::KillBefore, Self::KillAfter, Self::KillDelete, Self::Drop, Self::Outage, Self::Hang];
        let (verb, resource) = call.verb_and_resource();
        let codes: &[u16] = match (call.target, verb) {
            (Target::Athena, "GetSession" | "GetSessionStatus") => &[400, 404, 500],
            (Target::Athena, _) => &[400, 500],
            (Target::Kubernetes, "patch" | "update" | "delete") => &[409, 429, 500, 503, 504],
            (Target::Kubernetes, _) => &[429, 500, 503],
        };
        blows.push(Self::Error(codes[turn % codes.len()]));
        if codes.contains(&404) && !blows.contains(&Self::Error(404)) {
            blows.push(Self::Error(404));
        }
        if call.writes() && !call.is_event() {
            blows.extend([Self::HangEffect, Self::KillStale]);
        }
        if call.target == Target::Kubernetes
            && matches!(resource, "athenasessions" | "athenasessions/status")
            && matches!(verb, "patch" | "update")
        {
            blows.push(Self::KillLate);
        }
        if verb == "watch" {
            blows.push(Self::Gone);
        }
        if call.target == Target::Kubernetes && verb != "watch" {
            blows.push(Self::Slow);
        }
        // It takes minutes, whichever of a phase's writes is struck.
        if call.target == Target::Kubernetes && call.writes() && !call.is_event() && call.occurrence == 1 {
            blows.push(Self::Silence);
        }
        blows
    }

    pub(crate) fn of_athena(self, operation: &str) -> AthenaFault {
        let fail = |status, code: &str, message: &str| AthenaKind::Fail {
            status,
            code: code.into(),
            message: message.into(),
        };
        let kind = match self {
            Self::KillBefore | Self::KillLate | Self::Hang => AthenaKind::Hang { effect: false },
            Self::KillAfter | Self::KillStale | Self::KillDelete | Self::HangEffect => {
                AthenaKind::Hang { effect: true }
            }
            Self::Drop | Self::Gone | Self::Slow | Self::Silence => AthenaKind::DropAfter,
            Self::Outage => fail(500, "InternalServerException", "an outage that a test ordered"),
            Self::Error(404) => fail(400, "ResourceNotFoundException", "Session was not found"),
            Self::Error(400) => AthenaKind::Throttle,
            Self::Error(status) => fail(status, "InternalServerException", "a fault that a test ordered"),
        };
        AthenaFault::new(operation, kind)
    }

    pub(crate) fn of_kubernetes(self, verb: &str, resource: &str) -> KubernetesFault {
        let kind = match self {
            Self::KillBefore | Self::Hang => KubernetesKind::Hang { effect: false },
            Self::KillAfter | Self::KillStale | Self::KillDelete | Self::HangEffect => {
                KubernetesKind::Hang { effect: true }
            }
            Self::KillLate => KubernetesKind::Late,
            Self::Drop => KubernetesKind::DropAfter,
            Self::Outage => KubernetesKind::Fail { code: 503, retry_after: None },
            Self::Error(code) => KubernetesKind::Fail { code, retry_after: (code == 429).then_some(1) },
            Self::Gone => KubernetesKind::Gone,
            Self::Slow => KubernetesKind::Slow(Duration::from_secs(3)),
            Self::Silence => KubernetesKind::Silence,
        };
        KubernetesFault::new(verb, resource, kind)
    }
}
