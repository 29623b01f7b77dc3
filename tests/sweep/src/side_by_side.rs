//! Many runs, some at a time.

use std::sync::Arc;

use anyhow::Context;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::ground::Ground;
use crate::plan::{Selection, pairs, plan};
use crate::run::{Run, perform, record};
use crate::scenario::{Scenario, named};
use crate::strike::Strike;

/// A scenario and what is to be struck in it; without a strike it is recorded.
pub type Order = (&'static Scenario, Vec<Strike>);

/// Runs at a time, of those that wait far more than they work, for each of the others.
const LONG: usize = 3;

/// Does all runs, `jobs` at a time and beside them three times as many of those that mostly wait, and tells `done` of each.
///
/// # Errors
/// When a world cannot be made.
pub async fn side_by_side(
    ground: &Arc<Ground>,
    orders: Vec<Order>,
    jobs: usize,
    mut done: impl FnMut(&Run),
) -> anyhow::Result<Vec<Run>> {
    let (short, long) = (Arc::new(Semaphore::new(jobs)), Arc::new(Semaphore::new(LONG * jobs)));
    let mut running = JoinSet::new();
    for (scenario, strikes) in orders {
        let is_long = strikes.iter().any(|strike| strike.blow.is_long());
        let (ground, slots) = (ground.clone(), if is_long { &long } else { &short }.clone());
        running.spawn(async move {
            let _slot = slots.acquire().await?;
            if strikes.is_empty() {
                record(&ground, scenario).await
            } else {
                perform(&ground, scenario, &strikes).await
            }
        });
    }
    let mut runs = Vec::new();
    while let Some(run) = running.join_next().await {
        let run = run??;
        done(&run);
        runs.push(run);
    }
    Ok(runs)
}

/// How much is swept.
#[derive(Clone, Copy, Debug)]
pub struct Extent {
    /// Which single faults.
    pub selection: Selection,
    /// How many pairs of faults in each scenario.
    pub pairs: usize,
    /// Chooses the pairs.
    pub seed: u64,
    /// Runs at a time.
    pub jobs: usize,
}

/// Records the scenarios and strikes what was recorded. `told` hears of each run, with how many there are and will be.
///
/// # Errors
/// When a world cannot be made.
pub async fn sweep(
    ground: &Arc<Ground>,
    scenarios: &[&'static Scenario],
    extent: Extent,
    mut told: impl FnMut(&Run, usize, usize),
) -> anyhow::Result<Vec<Run>> {
    let (mut count, mut total) = (0, scenarios.len());
    let mut each = |run: &Run, total| {
        count += 1;
        told(run, count, total);
    };
    let recordings = scenarios.iter().map(|scenario| (*scenario, Vec::new())).collect();
    let mut runs = side_by_side(ground, recordings, extent.jobs, |run| each(run, total)).await?;
    let mut orders: Vec<Order> = Vec::new();
    for run in runs.iter().filter(|run| run.is_good()) {
        let scenario = named(run.scenario).context("a scenario has its name")?;
        let singles = plan(&run.calls, extent.selection);
        orders.extend(pairs(&singles, extent.seed, extent.pairs).into_iter().map(|pair| (scenario, pair)));
        orders.extend(singles.into_iter().map(|strike| (scenario, vec![strike])));
    }
    total += orders.len();
    runs.extend(side_by_side(ground, orders, extent.jobs, |run| each(run, total)).await?);
    Ok(runs)
}
