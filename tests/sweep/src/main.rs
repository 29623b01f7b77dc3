//! Runs the sweep.

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use clap::Parser;
use sweep::{Ground, Run, SCENARIOS, Scenario, Selection, Strike, Tally, named, pairs, perform, plan, record, table};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// Strikes every outgoing call of the operator with every fault, in every scenario.
#[derive(Parser)]
struct Arguments {
    /// Only this scenario
    #[arg(long)]
    scenario: Option<String>,
    /// Only these faults, such as kill-after@start/StartSession#1, joined by +
    #[arg(long)]
    fault: Option<String>,
    /// Chooses the pairs of faults
    #[arg(long)]
    seed: Option<u64>,
    /// Pairs of faults for each scenario
    #[arg(long, default_value_t = 20)]
    pairs: usize,
    /// Runs at a time
    #[arg(long, default_value_t = 8)]
    jobs: usize,
    /// Only the quick form
    #[arg(long)]
    quick: bool,
    /// Prints the recorded calls
    #[arg(long)]
    calls: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    match sweep(&Arguments::parse()).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("sweep: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn sweep(arguments: &Arguments) -> anyhow::Result<bool> {
    let scenarios: Vec<&'static Scenario> = match &arguments.scenario {
        Some(name) => vec![named(name).with_context(|| format!("there is no scenario {name}"))?],
        None => SCENARIOS.iter().filter(|scenario| scenario.quick || !arguments.quick).collect(),
    };
    let ground = Arc::new(Ground::new(sweep::operator()?).await?);
    let mut runs = Vec::new();
    if let Some(fault) = &arguments.fault {
        let strikes = fault.split('+').map(str::parse).collect::<Result<Vec<Strike>, _>>()?;
        let all = scenarios.into_iter().map(|scenario| (scenario, strikes.clone())).collect();
        runs = perform_all(&ground, all, arguments.jobs).await?;
    } else {
        let selection = if arguments.quick { Selection::Quick } else { Selection::Full };
        let seed = arguments.seed.unwrap_or(1);
        let recorded = perform_all(&ground, scenarios.iter().map(|scenario| (*scenario, Vec::new())).collect(), arguments.jobs).await?;
        let mut all = Vec::new();
        for run in &recorded {
            let scenario = named(run.scenario).context("a scenario has its name")?;
            if arguments.calls {
                println!("{}", run.scenario);
                run.calls.iter().for_each(|call| println!("  {call}"));
            }
            let singles = plan(&run.calls, selection);
            if selection == Selection::Full {
                all.extend(pairs(&singles, seed, arguments.pairs).into_iter().map(|pair| (scenario, pair)));
            }
            all.extend(singles.into_iter().map(|strike| (scenario, vec![strike])));
        }
        runs.extend(recorded);
        runs.extend(perform_all(&ground, all, arguments.jobs).await?);
    }
    print!("{}", table(&runs));
    let tally = Tally::of(&runs);
    println!("{tally}");
    Ok(tally.is_good())
}

async fn perform_all(ground: &Arc<Ground>, all: Vec<(&'static Scenario, Vec<Strike>)>, jobs: usize) -> anyhow::Result<Vec<Run>> {
    let (slots, total) = (Arc::new(Semaphore::new(jobs)), all.len());
    let mut running = JoinSet::new();
    for (scenario, strikes) in all {
        let (ground, slots) = (ground.clone(), slots.clone());
        running.spawn(async move {
            let _slot = slots.acquire().await?;
            let run = perform(&ground, scenario, &strikes).await?;
            // Time may have brought the call under another number.
            if run.verdict.is_good() && !run.unstruck.is_empty() { perform(&ground, scenario, &strikes).await } else { Ok(run) }
        });
    }
    let mut runs = Vec::new();
    while let Some(run) = running.join_next().await {
        let run = run??;
        if !run.is_good() {
            println!("FAILED {run}");
            let faults: Vec<String> = run.strikes.iter().map(ToString::to_string).collect();
            println!("  repeat: make sweep SCENARIO={} FAULT={}", run.scenario, faults.join("+"));
        }
        runs.push(run);
        if runs.len() % 50 == 0 {
            eprintln!("{} of {total} runs", runs.len());
        }
    }
    Ok(runs)
}
