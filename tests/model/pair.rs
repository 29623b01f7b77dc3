//! Two objects in one work group: each has its controller's attention in any order, and Athena's list, quota and clock are the same for both.

use stateright::{Model, Property};

use crate::moves::{Exploration, Move, share};
use crate::object::UIDS;
use crate::world::World;

/// A scenario with two objects of the same spec.
#[derive(Clone)]
pub struct Pair(pub Exploration);

impl Model for Pair {
    type State = [World; 2];
    type Action = (usize, Move);

    fn init_states(&self) -> Vec<[World; 2]> {
        vec![UIDS.map(|uid| self.0.begun(uid))]
    }

    fn actions(&self, worlds: &[World; 2], moves: &mut Vec<(usize, Move)>) {
        if worlds.iter().any(|world| world.violated.is_some()) {
            return;
        }
        for (side, world) in worlds.iter().enumerate() {
            let mut own = Vec::new();
            self.0.actions(world, &mut own);
            // There is one clock, and the lists are of both.
            let is_common =
                |next: &Move| matches!(next, Move::Tick | Move::ListBegins(_) | Move::ListEnds(_));
            moves.extend(
                own.into_iter().filter(|next| side == 0 || !is_common(next)).map(|next| (side, next)),
            );
        }
    }

    fn next_state(&self, before: &[World; 2], (side, next): (usize, Move)) -> Option<[World; 2]> {
        let mut worlds = before.clone();
        worlds[side] = self.0.next_state(&before[side], next)?;
        share(&mut worlds, side);
        worlds.iter_mut().for_each(World::check_ownerless);
        Some(worlds)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("the rules hold", |_, worlds: &[World; 2]| {
                worlds.iter().all(|world| world.violated.is_none())
            }),
            Property::always(
                "rule 10: every object comes to rest where its spec asks",
                |pair: &Pair, worlds: &[World; 2]| {
                    let pending = |world: &World| {
                        world.controllers.iter().any(|controller| controller.pending.is_some())
                    };
                    let quiet = worlds[0].budget.spent()
                        && worlds.iter().all(|world| world.violated.is_none() && !pending(world));
                    !quiet || pair.0.comes_to_rest(worlds)
                },
            ),
        ]
    }
}
