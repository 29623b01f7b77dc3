//! Many objects at a slow Athena that errs. `make load` is the same in full size.

use std::path::Path;

use anyhow::ensure;
use environment::load::{self, Load};

use crate::harness::{World, tests};

tests![healthy_objects_are_served_in_time_beside_refused_ones];

async fn healthy_objects_are_served_in_time_beside_refused_ones(world: World) -> anyhow::Result<()> {
    let load = Load {
        name: world.namespace.clone(),
        objects: 60,
        refused: 6,
        work_groups: 1,
        rate: 5.0,
        errors: 0.05,
        seed: 1,
    };
    let binary = Path::new(env!("CARGO_BIN_EXE_athena-operator"));
    let flags = ["--observe-interval=3s"];
    let report =
        tokio::task::block_in_place(|| load::run(world.stage(), &world.emulator, binary, &load, &flags))?;
    let broken = report.broken();
    ensure!(broken.is_empty(), "{report}: {}", broken.join("; "));
    // Nobody can know beforehand that an object will be refused: only what comes after the first call of each is held against the bound.
    ensure!(
        report.refused_calls - load.refused as usize <= report.calls / 10,
        "{report}: refused objects take too many calls"
    );
    println!("{report}");
    Ok(())
}
