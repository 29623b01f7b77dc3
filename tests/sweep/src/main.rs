//! Runs the sweep.

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use clap::{Parser, ValueEnum};
use sweep::mutants::{MUTANTS, SOUND};
use sweep::{
    BROKEN_OPERATOR, Extent, Ground, OPERATOR, Order, Run, SCENARIOS, Scenario, Selection, Strike, Tally,
    built, named, side_by_side, table,
};
use tokio::sync::Semaphore;

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
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Pairs of faults for each scenario
    #[arg(long, default_value_t = 20)]
    pairs: usize,
    /// Runs at a time
    #[arg(long, default_value_t = 8)]
    jobs: usize,
    /// Only the quick form
    #[arg(long)]
    quick: bool,
    /// Runs the broken variants
    #[arg(long)]
    mutants: Option<Mutants>,
    /// Prints the recorded calls
    #[arg(long)]
    calls: bool,
}

/// Whether all else is run as well.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Mutants {
    /// After everything else.
    Too,
    /// Nothing else is run.
    Only,
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
    let ground = Arc::new(Ground::new(built(OPERATOR)?).await?);
    if arguments.mutants == Some(Mutants::Only) {
        return Ok(survivors(&ground, arguments).await?.is_empty());
    }
    let runs = if let Some(fault) = &arguments.fault {
        let strikes = fault.split('+').map(str::parse).collect::<Result<Vec<Strike>, _>>()?;
        let orders: Vec<Order> = scenarios.into_iter().map(|scenario| (scenario, strikes.clone())).collect();
        side_by_side(&ground, orders, arguments.jobs, |run| tell(run, 0, 1)).await?
    } else {
        let (selection, pairs) =
            if arguments.quick { (Selection::Quick, 0) } else { (Selection::Full, arguments.pairs) };
        sweep::sweep(
            &ground,
            &scenarios,
            Extent { selection, pairs, seed: arguments.seed, jobs: arguments.jobs },
            tell,
        )
        .await?
    };
    if arguments.calls {
        for run in runs.iter().filter(|run| run.strikes.is_empty()) {
            println!("{}", run.scenario);
            run.calls.iter().for_each(|call| println!("  {call}"));
        }
    }
    print!("{}", table(&runs));
    let survivors =
        if arguments.mutants.is_some() { survivors(&ground, arguments).await? } else { Vec::new() };
    let tally = Tally::of(&runs);
    println!("{tally}");
    Ok(tally.is_good() && survivors.is_empty())
}

/// Runs every broken variant where it is to be found out, and tells which are not. The same binary without a fault of its own has to come through.
async fn survivors(ground: &Ground, arguments: &Arguments) -> anyhow::Result<Vec<&'static str>> {
    let binary = tokio::task::spawn_blocking(|| built(BROKEN_OPERATOR)).await??;
    let slots = Arc::new(Semaphore::new(arguments.jobs));
    let tried = MUTANTS.iter().flat_map(|mutant| [mutant.name, SOUND].map(|variant| (mutant, variant))).map(
        |(mutant, variant)| {
            let (ground, slots) = (Arc::new(ground.with_mutant(binary.clone(), variant)), slots.clone());
            async move {
                let _slot = slots.acquire().await?;
                let (scenario, fault) = mutant.caught_by;
                let strikes = fault.map(str::parse::<Strike>).transpose()?.into_iter().collect();
                let order = (named(scenario).context("a scenario of a mutant")?, strikes);
                anyhow::Ok((mutant, variant, side_by_side(&ground, vec![order], 1, |_| ()).await?))
            }
        },
    );
    let mut survivors = Vec::new();
    for (mutant, variant, runs) in futures::future::try_join_all(tried).await? {
        let (good, verdict) = if variant == SOUND {
            (runs.iter().all(Run::is_good), ["sound where it is not", "NOT SOUND where it is not"])
        } else {
            (runs.iter().any(|run| mutant.symptom.is_of(&run.verdict)), ["caught", "NOT CAUGHT"])
        };
        for run in &runs {
            println!(
                "mutant {}: {} ({:?}) by {run}",
                mutant.name,
                verdict[usize::from(!good)],
                mutant.symptom
            );
        }
        if !good {
            survivors.push(mutant.name);
        }
    }
    Ok(survivors)
}

/// Says how far it is, and how to repeat a run that fails.
fn tell(run: &Run, count: usize, total: usize) {
    if !run.is_good() {
        println!("FAILED {run}");
        let faults: Vec<String> = run.strikes.iter().map(ToString::to_string).collect();
        println!("  repeat: make sweep SCENARIO={} FAULT='{}'", run.scenario, faults.join("+"));
        if let Some(log) = &run.log {
            println!("  log: {}", log.display());
        }
    }
    if count > 0 && count.is_multiple_of(50) {
        eprintln!("{count} of {total} runs");
    }
}
