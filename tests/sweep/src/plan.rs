//! Which runs there are.

use crate::blow::Blow;
use crate::call::{Call, Target};
use crate::strike::Strike;

/// Which of all faults.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Selection {
    /// The calls that write, with both kills and the lost reply.
    Quick,
    /// Every call with every fault.
    Full,
}

/// The single faults of a scenario in which these calls were recorded.
pub(crate) fn plan(calls: &[Call], selection: Selection) -> Vec<Strike> {
    let mut strikes = Vec::new();
    for (turn, call) in calls.iter().enumerate().filter(|(_, call)| !repeats(call)) {
        let blows = match selection {
            Selection::Full => Blow::all(call, turn),
            Selection::Quick if call.writes() && !call.is_event() => {
                vec![Blow::KillBefore, Blow::KillAfter, Blow::Drop]
            }
            Selection::Quick => Vec::new(),
        };
        let fits = |blow: &Blow| match blow {
            // There is nothing to delete yet.
            Blow::KillDelete => call.phase != "boot",
            // There are no older versions yet.
            Blow::KillStale => call.phase != "boot",
            _ => true,
        };
        strikes.extend(blows.into_iter().filter(fits).map(|blow| Strike { blow, call: call.clone() }));
    }
    strikes
}

/// Pairs of faults, chosen by a seed.
pub(crate) fn pairs(strikes: &[Strike], seed: u64, count: usize) -> Vec<Vec<Strike>> {
    let mut random = fastrand::Rng::with_seed(seed);
    let position = |strike: &Strike| strikes.iter().position(|other| other.call == strike.call);
    (0..count)
        .filter_map(|_| {
            let mut pair = vec![random.choice(strikes)?.clone(), random.choice(strikes)?.clone()];
            pair.sort_by_key(position);
            // A deletion makes an end of its own, so that nothing could follow it.
            (pair[0].call != pair[1].call && pair[0].blow != Blow::KillDelete).then_some(pair)
        })
        .collect()
}

/// Whether a renewal of the lease, or a look, only repeats the ones before it: those show every state that a session goes through in a phase, and how often it is looked at after
/// that is a matter of time.
fn repeats(call: &Call) -> bool {
    let looks = call.target == Target::Athena
        && matches!(call.operation.as_str(), "GetSession" | "GetSessionStatus" | "ListSessions");
    looks && call.occurrence > 4 || call.verb_and_resource().1 == "leases" && call.occurrence > 2
}
