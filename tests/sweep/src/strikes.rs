//! How faults come about in a run: the calls of each phase, what is ordered for them, and what follows.

use std::time::{Duration, Instant};

use fault_proxy::{Fault as KubernetesFault, FaultKind, Outcome};

use crate::blow::Blow;
use crate::call::{Call, Target};
use crate::recent::Recent;
use crate::strike::Strike;
use crate::world::{Active, PAUSE, Phase, Watching, World};

/// How long a phase waits for a call that is to be struck in it.
const STRIKE_PATIENCE: Duration = Duration::from_secs(8);

impl World {
    /// Begins a part of the scenario, once what is to be struck in the one before has been and nothing of it goes on but looks.
    pub(crate) async fn phase(&self, name: &'static str) {
        self.await_strikes().await;
        if !self.state().phases.is_empty() {
            self.quiet(Duration::from_millis(150)).await;
        }
        let (athena, kubernetes) = (self.emulator.calls().len(), self.proxy.arrived());
        self.state().phases.push(Phase { name, athena, kubernetes });
        self.set_faults();
    }

    /// Waits a while for what is to be struck in this phase.
    pub(crate) async fn await_strikes(&self) {
        let begun = Instant::now();
        while begun.elapsed() < STRIKE_PATIENCE && self.awaits_strike() {
            tokio::time::sleep(PAUSE).await;
        }
    }

    fn awaits_strike(&self) -> bool {
        let list_was_stale = self.came_about(|outcome| matches!(outcome, Outcome::Stale(_)));
        let state = self.state();
        let phase = state.phases.last().map(|phase| phase.name);
        let waits =
            |active: &Active| !active.done || active.strike.blow == Blow::KillStale && !list_was_stale;
        state.strikes.iter().any(|active| waits(active) && Some(active.strike.call.phase.as_str()) == phase)
    }

    /// The calls since the current phase began.
    fn recent(&self) -> Vec<Recent> {
        let Some(phase) = self.state().phases.last().cloned() else { return Vec::new() };
        let athena = self.emulator.calls_after(phase.athena).into_iter().map(Recent::from);
        athena.chain(self.proxy.requests_after(phase.kubernetes).into_iter().map(Recent::from)).collect()
    }

    /// Orders the faults of the current phase.
    fn set_faults(&self) {
        let recent = self.recent();
        let list_was_stale = self.came_about(|outcome| matches!(outcome, Outcome::Stale(_)));
        let (mut athena, mut kubernetes) = (Vec::new(), Vec::new());
        let state = self.state();
        let phase = state.phases.last().map(|phase| phase.name);
        for active in state
            .strikes
            .iter()
            .filter(|active| !active.struck && Some(active.strike.call.phase.as_str()) == phase)
        {
            let Strike { blow, call } = &active.strike;
            let arrived = recent.iter().filter(|recent| recent.is(call)).count();
            let after =
                call.occurrence.saturating_sub(1).saturating_sub(u32::try_from(arrived).unwrap_or(u32::MAX));
            match call.target {
                Target::Athena => {
                    athena.push(blow.of_athena(&call.operation).after(after).times(blow.times(call)));
                }
                Target::Kubernetes => {
                    let (verb, resource) = call.verb_and_resource();
                    kubernetes.push(blow.of_kubernetes(verb, resource).after(after).times(blow.times(call)));
                }
            }
        }
        if state.list_is_stale && !list_was_stale {
            kubernetes.push(
                KubernetesFault::new("list", "athenasessions", FaultKind::StaleList { back: 2 }).times(1),
            );
        }
        match state.watching {
            Watching::Open => {}
            Watching::Cut => {
                kubernetes.push(KubernetesFault::new("watch", "athenasessions", FaultKind::DropBefore));
            }
            Watching::Outdated => {
                kubernetes.push(KubernetesFault::new("watch", "athenasessions", FaultKind::Gone).times(1));
            }
        }
        if let Some(delay) = state.slow_patch {
            kubernetes.push(KubernetesFault::new("patch", "athenasessions", FaultKind::Delay(delay)));
        }
        drop(state);
        self.emulator.set_faults(athena);
        self.proxy.set_faults(kubernetes);
    }

    /// Notices what has been struck and does what the faults themselves cannot: kill the operator and start it again. Never ends.
    pub(crate) async fn strike(&self) {
        loop {
            tokio::time::sleep(PAUSE / 2).await;
            if !self.awaits_strike() {
                continue;
            }
            let recent = self.recent();
            let mut blows = Vec::new();
            {
                let mut state = self.state();
                let phase = state.phases.last().map(|phase| phase.name);
                for active in &mut state.strikes {
                    let call = &active.strike.call;
                    let is_struck = |recent: &&Recent| recent.is(call) && recent.struck;
                    if !active.struck
                        && Some(call.phase.as_str()) == phase
                        && let Some(recent) = recent.iter().find(is_struck)
                    {
                        active.struck = true;
                        blows.push((active.strike.blow, recent.replica));
                    }
                }
            }
            for (blow, replica) in blows.into_iter().filter(|(blow, _)| blow.kills()) {
                if let Err(error) = self.kill_and_start(blow, replica).await {
                    self.state().complaints.push(format!("{error:#}"));
                }
            }
            self.state().strikes.iter_mut().for_each(|active| active.done = active.struck);
        }
    }

    async fn kill_and_start(&self, blow: Blow, replica: usize) -> anyhow::Result<()> {
        self.kill(replica)?;
        match blow {
            Blow::KillDelete => {
                self.delete().await?;
                self.state().watching = Watching::Open;
                self.set_faults();
                self.diverted.send_replace(true);
            }
            Blow::KillStale => {
                self.state().list_is_stale = true;
                self.set_faults();
            }
            _ => {}
        }
        if self.state().wanted { self.start_replica(replica) } else { Ok(()) }
    }

    /// Has every patch of an object arrive late.
    pub(crate) fn slow_patches(&self, delay: Option<Duration>) {
        self.state().slow_patch = delay;
        self.set_faults();
    }

    /// Whether a patch of the object is on its way.
    pub(crate) fn is_patching(&self) -> bool {
        let pending =
            |recent: Recent| recent.operation == "patch athenasessions" && !recent.struck && recent.pending;
        self.recent().into_iter().any(pending)
    }

    /// Whether a list was read in this phase.
    pub(crate) fn has_listed(&self) -> bool {
        self.recent()
            .into_iter()
            .any(|recent| recent.operation == "list athenasessions" && recent.came_through)
    }

    /// Cuts the operator off from events.
    pub(crate) fn cut_watches(&self) {
        self.state().watching = Watching::Cut;
        self.set_faults();
        self.proxy.cut_watches();
    }

    /// Lets it watch again, from now on.
    pub(crate) fn let_watch(&self) {
        self.state().watching = Watching::Outdated;
        self.set_faults();
    }

    /// The strikes that never came about, or not wholly.
    pub(crate) fn unstruck(&self) -> Vec<Strike> {
        let is_struck = |active: &&Active| {
            let wholly = match active.strike.blow {
                Blow::KillStale => self.came_about(|outcome| matches!(outcome, Outcome::Stale(_))),
                Blow::KillLate => self.came_about(|outcome| matches!(outcome, Outcome::Delivered(_))),
                _ => true,
            };
            active.struck && wholly
        };
        self.state()
            .strikes
            .iter()
            .filter(|active| !is_struck(active))
            .map(|active| active.strike.clone())
            .collect()
    }

    /// Whether this became of a request to the API server.
    fn came_about(&self, so: impl Fn(&Outcome) -> bool) -> bool {
        self.proxy.requests().iter().any(|request| so(&request.outcome))
    }

    /// Ends once a fault has made an end of the scenario of its own: the object is deleted.
    pub(crate) async fn diverted(&self) {
        let _ = self.diverted.subscribe().wait_for(|diverted| *diverted).await;
    }

    /// Every call so far, in the order of arrival, by its phase.
    pub(crate) fn calls(&self) -> Vec<Call> {
        let phases = self.state().phases.clone();
        let athena =
            self.emulator.calls().into_iter().enumerate().map(|(place, call)| (place, Recent::from(call)));
        let kubernetes = self
            .proxy
            .requests()
            .into_iter()
            .enumerate()
            .map(|(place, request)| (place, Recent::from(request)));
        let mut all: Vec<(usize, Recent)> = athena.chain(kubernetes).collect();
        all.sort_by_key(|(_, recent)| recent.nanos);
        let mut calls: Vec<Call> = Vec::new();
        for (place, recent) in all {
            let began = |phase: &&Phase| {
                place >= if recent.target == Target::Athena { phase.athena } else { phase.kubernetes }
            };
            let Some(phase) = phases.iter().rev().find(began) else { continue };
            let same = |call: &&Call| {
                call.phase == phase.name && call.target == recent.target && call.operation == recent.operation
            };
            let occurrence =
                u32::try_from(calls.iter().filter(same).count()).unwrap_or(u32::MAX).saturating_add(1);
            calls.push(Call {
                phase: phase.name.into(),
                target: recent.target,
                operation: recent.operation,
                occurrence,
            });
        }
        calls
    }

    /// Waits until the operator makes no further call but looks.
    pub(crate) async fn quiet(&self, pause: Duration) {
        let mut last = (0, Instant::now());
        while last.1.elapsed() < pause {
            let looks =
                |operation: &str| matches!(operation, "GetSession" | "GetSessionStatus" | "ListSessions");
            let requests = self.proxy.requests();
            let writes = requests.iter().filter(|request| request.operation.resource != "leases").count();
            let count = writes + self.emulator.calls().iter().filter(|call| !looks(&call.operation)).count();
            if count != last.0 {
                last = (count, Instant::now());
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}
