//! The quick form of the sweep: the calls that write, with both kills and the lost reply, in the scenarios that start and end sessions.

use std::sync::Arc;

use sweep::{Extent, Ground, OPERATOR, SCENARIOS, Selection, Tally, built, sweep, table};

#[tokio::test(flavor = "multi_thread")]
async fn every_write_survives_kills_and_a_lost_reply() -> anyhow::Result<()> {
    let ground = Arc::new(Ground::new(tokio::task::spawn_blocking(|| built(OPERATOR)).await??).await?);
    let scenarios: Vec<_> = SCENARIOS.iter().filter(|scenario| scenario.quick).collect();
    let extent = Extent { selection: Selection::Quick, pairs: 0, seed: 0, jobs: 8 };
    let mut failures = Vec::new();
    let told = |run: &sweep::Run, _, _| {
        if !run.is_good() {
            failures.push(run.to_string());
        }
    };
    let runs = sweep(&ground, &scenarios, extent, told).await?;
    let tally = Tally::of(&runs);
    println!("{}{tally}", table(&runs));
    assert!(tally.is_good(), "{tally}\n{}", failures.join("\n"));
    assert!(
        scenarios
            .iter()
            .all(|scenario| runs.iter().any(|run| run.scenario == scenario.name && !run.strikes.is_empty())),
        "{tally}"
    );
    Ok(())
}
