//! The sweep: every outgoing call of the operator is struck by every fault, in every scenario.
//!
//! A [`Scenario`] is what people do to an object and where it must end. It is run once without a fault, and what the operator called is recorded:
//! its calls to Athena and STS by the emulator, those to the API server by the fault proxy. Each of them is a [`Call`], named so that another run can
//! find it again. Then the scenario is run again for each call and each [`Blow`], with the real binary. What must hold at the end of each run is in
//! `verdict`.
//!
//! Where to look: `ground` is what all runs share, `world` what one run has, `people` what is done to its object, `strikes`
//! how a fault is brought about, `plan` which runs there
//! are, `side_by_side` how they are done, `mutants` the broken operators that the sweep must find out.

mod blow;
mod call;
mod end;
mod ground;
pub mod mutants;
mod people;
mod plan;
mod recent;
mod run;
mod scenario;
mod scenarios;
mod side_by_side;
mod strike;
mod strikes;
mod table;
mod verdict;
mod world;

pub use blow::Blow;
pub use call::{Call, Target};
pub use ground::{BROKEN_OPERATOR, Ground, OPERATOR, built};
pub use plan::Selection;
pub use run::Run;
pub use scenario::{Scenario, named};
pub use scenarios::SCENARIOS;
pub use side_by_side::{Extent, Order, side_by_side, sweep};
pub use strike::Strike;
pub use table::{Tally, table};
pub use verdict::Verdict;
