//! What people do to an object, and where it must end.

use std::pin::Pin;

use athena_emulator::Config;

use crate::end::End;
use crate::scenarios::SCENARIOS;
use crate::world::World;

pub(crate) type Script<'a> = Pin<Box<dyn Future<Output = anyhow::Result<End>> + Send + 'a>>;

/// A scenario.
#[derive(Clone)]
pub struct Scenario {
    /// Its name.
    pub name: &'static str,
    /// Whether its writing calls are struck in the quick form.
    pub quick: bool,
    /// How many sessions it starts without a fault.
    pub attempts: usize,
    /// How many operators run side by side.
    pub replicas: usize,
    /// Where it ends when the object is deleted on the way.
    pub(crate) deleted: End,
    pub(crate) athena: fn(&mut Config),
    pub(crate) flags: &'static [&'static str],
    pub(crate) script: for<'a> fn(&'a World) -> Script<'a>,
}

/// The scenario of this name.
pub fn named(name: &str) -> Option<&'static Scenario> {
    SCENARIOS.iter().find(|scenario| scenario.name == name)
}
