//! What may happen next, and what it leads to.

use std::collections::{BTreeSet, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::session::attempt::Attempt;
use crate::session::local_state::LocalState;
use crate::session::ownership::{attempt, is_account_unknown};
use crate::session::pass::Written;
use crate::session::reply::passes;
use crate::session::step::Step;
use athena_operator::api::{EndReason, SessionState, StopCause};
use athena_operator::session::reply::ErrorClass;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use stateright::{Model, Property};

use crate::controller::{Controller, reconcile, refuse, settle};
use crate::lists::Lists;
use crate::mutant::Mutant;
use crate::object::{Object, TICK, UIDS, time};
use crate::world::{Budget, Facts, Running, World};

/// What the first call of a reconcile gets for an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reply {
    /// The answer with Athena's current state.
    Answer,
    /// A late answer: it shows the state before the newest change.
    Late,
    /// An answer that does not know the sessions of this tick.
    Lagging,
    /// No answer; the call has its effect.
    Lost,
    /// No answer, and no effect.
    Dropped,
    /// The current answer, without a `Date`.
    Undated,
    /// A refusal.
    Refused(ErrorClass),
    /// What is so of a session, and a refusal of the list that follows.
    ListRefused(ErrorClass),
}

impl Reply {
    /// Whether the reply carries Athena's time.
    pub fn tells_time(self) -> bool {
        !matches!(
            self,
            Self::Lost
                | Self::Dropped
                | Self::Undated
                | Self::Refused(ErrorClass::Unanswered | ErrorClass::NotSent)
        )
    }
}

/// What may happen.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Move {
    /// A controller decides, and calls Athena if it must.
    Reconcile(usize, Reply),
    /// Its write reaches the API server.
    Write(usize),
    /// Its write to the object is refused.
    Refuse(usize),
    /// The watch brings it the object.
    Deliver(usize),
    /// The controller is killed and starts again. Its first list shows the current object or, if true, the version before.
    Crash(usize, bool),
    /// The user edits the object.
    Edit(Edit),
    /// A session goes its way.
    Session(usize, &'static str),
    /// Athena forgets a token.
    ForgetToken(usize),
    /// Somebody damages the object.
    Damage(Damage),
    /// A list that both objects of a pair wait for begins.
    ListBegins(usize),
    /// It has been read to its end.
    ListEnds(usize),
    /// Half of the time of uncertainty passes.
    Tick,
}

/// An edit by the user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Edit {
    Delete,
    Suspend,
    Resume,
    Retain,
    Deadline,
    /// Somebody else puts a finalizer on.
    Hold,
}

/// Damage by others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Damage {
    /// The status is wiped.
    Wipe,
    /// The status names a stranger's session.
    Forge,
    /// The finalizer is removed by force, and the object deleted.
    Force,
    /// The operator is started again in another region.
    Relocate,
    /// The operator is started again and STS is slow to tell the account.
    Account,
    /// The finalizer is removed by force while nothing lives.
    Strip,
}

/// A finalizer of somebody else.
const OTHER: &str = "example.com/other";

/// A scenario to explore.
#[derive(Clone)]
#[allow(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub struct Exploration {
    pub spec: serde_json::Value,
    pub controllers: usize,
    pub budget: Budget,
    pub edits: Vec<Edit>,
    pub replies: Vec<Reply>,
    pub upsets: Vec<&'static str>,
    pub damage: Vec<Damage>,
    pub stranger: bool,
    /// Whether GetWorkGroup may be refused or not be answered.
    pub work_group_refuses: bool,
    /// Whether the API server may refuse writes to the object.
    pub refuses_writes: bool,
    /// By how many ticks the clocks of the node and of the API server are ahead of Athena's, if they are looked at.
    pub clocks_ahead: Option<(u8, u8)>,
    /// Whether the world begins when StartSession has not been answered for so many ticks, and one list serves both objects of a pair.
    pub unanswered_for: Option<u8>,
    /// How many sessions may live at once, if that is limited.
    pub quota: Option<usize>,
    /// Whether sessions may outlive their object, as with two controllers at once.
    pub tolerant: bool,
    pub mutant: Mutant,
    /// What was reached.
    pub reached: Arc<Mutex<Reached>>,
    /// Worlds, as hashes, that are known to come to rest as they should: many ways to rest join.
    pub resting: Arc<Mutex<HashSet<u64>>>,
}

/// What an exploration has reached.
#[derive(Default)]
pub struct Reached {
    /// Kinds of attempt with the steps taken, and reasons of Ready.
    pub names: BTreeSet<String>,
    /// The arms taken: a bit for each of [`crate::session::arms::NAMES`].
    pub arms: u128,
}

impl World {
    /// Whether nobody has damaged the object: a wiped status knows of no attempt.
    pub fn budget_is_sound(&self) -> bool {
        !self.damaged
    }

    /// Whether every controller has an attempt before it of which nothing tells the account.
    fn is_account_unknown(&self) -> bool {
        let Some(object) = &self.object else { return false };
        let identity = self.at(true).identity;
        self.controllers.iter().all(
            |Controller { known, .. }| matches!(attempt(object.get(), known), Attempt::Unknown(made) if is_account_unknown(&made, known, &identity)),
        )
    }

    /// Time since the beginning.
    fn elapsed(&self) -> Duration {
        Duration::from_mins(u64::from(self.now) * TICK.unsigned_abs())
    }

    /// A process of the operator that starts now.
    fn begun_anew(&self, cache: Option<Object>) -> Controller {
        let heard = self.facts.heard();
        Controller {
            cache,
            known: LocalState::met(self.clock(heard.is_told())),
            heard,
            triggered: true,
            ..Controller::default()
        }
    }
}

impl Exploration {
    /// The world in the beginning, with the object `uid`.
    pub fn begun(&self, uid: &'static str) -> World {
        let stranger = Running {
            token: None,
            state: "IDLE",
            before: "IDLE",
            started: 0,
            ended: None,
            idle_since: Some(0),
            token_known: true,
            timed_out: false,
        };
        let object = Object::created(uid, &self.spec);
        let facts = self.facts();
        let heard = facts.heard();
        let met = time(facts.node_ahead.unwrap_or_default());
        let controller = Controller {
            cache: Some(object.clone()),
            known: LocalState::met(met),
            heard,
            triggered: true,
            ..Controller::default()
        };
        let world = World {
            uid,
            now: 0,
            object: Some(object),
            former: None,
            sessions: if self.stranger { vec![stranger] } else { vec![] },
            bodies: vec![],
            controllers: vec![controller; self.controllers],
            budget: self.budget,
            facts,
            lists: None,
            quota: self.quota,
            let_go: false,
            forced: false,
            elsewhere: false,
            accountless: false,
            tolerant: self.tolerant,
            damaged: false,
            violated: None,
        };
        match self.unanswered_for {
            Some(ticks) => self.unanswered(world, ticks),
            None => world,
        }
    }

    /// `world` when the first StartSession has been sent and not been answered for so many ticks.
    fn unanswered(&self, mut world: World, ticks: u8) -> World {
        while let Some(done) = reconcile(&world, 0, Reply::Dropped, Mutant::None) {
            world = done.world;
            if matches!(done.steps.last(), Some(Step::Start(_))) {
                break;
            }
            self.write(&mut world, 0);
            self.deliver(&mut world, 0);
        }
        self.write(&mut world, 0);
        self.deliver(&mut world, 0);
        // The times that came meanwhile have woken it.
        world.controllers[0].triggered = true;
        (world.now, world.lists) =
            (ticks, Some(Lists::new(if self.mutant == Mutant::ListsForEach { 2 } else { 1 })));
        world
    }

    /// What holds all the way.
    fn facts(&self) -> Facts {
        let (node_ahead, api_server_ahead) =
            self.clocks_ahead.map_or((None, 0), |(node, api_server)| (Some(node), api_server));
        let is_sound = self.damage.is_empty() && self.controllers == 1 && self.clocks_ahead.is_none();
        let is_certain = |reply: &Reply| matches!(reply, Reply::Refused(class) if !matches!(class, ErrorClass::Unanswered | ErrorClass::TokenConflict));
        let passes = |reply: &Reply| match reply {
            Reply::Refused(class) => passes(*class),
            Reply::ListRefused(_) => false,
            Reply::Answer | Reply::Late | Reply::Lagging | Reply::Lost | Reply::Dropped | Reply::Undated => {
                true
            }
        };
        Facts {
            work_group_refuses: self.work_group_refuses,
            node_ahead,
            api_server_ahead,
            no_call_is_lost: is_sound
                && self.unanswered_for.is_none()
                && self.budget.crashes == 0
                && self.quota.is_none()
                && self.replies.iter().all(is_certain),
            all_passes: is_sound
                && !self.refuses_writes
                && self.upsets.is_empty()
                && self.replies.iter().all(passes),
        }
    }

    fn note(&self, before: &World, index: usize, steps: &[Step]) {
        let Some(cache) = &before.controllers[index].cache else { return };
        let kind = match attempt(cache.get(), &before.controllers[index].known) {
            Attempt::None => "none",
            Attempt::Withdrawn(_) => "withdrawn",
            Attempt::Unknown(_) => "unknown",
            Attempt::Live(..) => "live",
            Attempt::Over(..) => "over",
        };
        let deleting = if cache.is_deleting() { ", deleting" } else { "" };
        self.note_arms();
        let mut reached = self.reached.lock().expect("no holder panics");
        for step in steps {
            let name = format!("{step:?}");
            let name = name.split(['(', ' ']).next().unwrap_or_default();
            reached.names.insert(format!("step {name} of {kind}{deleting}"));
        }
    }

    /// Notes the arms that this move has taken.
    fn note_arms(&self) {
        self.reached.lock().expect("no holder panics").arms |= crate::session::arms::take();
    }

    fn note_reason(&self, object: &Object) {
        let conditions = object.get().status.as_ref().and_then(|status| status.conditions.as_ref());
        if let Some(ready) = conditions.into_iter().flatten().find(|condition| condition.type_ == "Ready") {
            self.reached
                .lock()
                .expect("no holder panics")
                .names
                .insert(format!("Ready {} {}", ready.status, ready.reason));
        }
    }

    fn write(&self, world: &mut World, index: usize) -> Option<()> {
        let pending = world.controllers[index].pending.take()?;
        let Some(current) = world.object.clone() else {
            settle(world, index, &pending, Written::Gone, self.mutant);
            return Some(());
        };
        if current != pending.base && self.mutant != Mutant::BlindWrites {
            settle(world, index, &pending, Written::Conflict, self.mutant);
            world.controllers[index].triggered = true;
            return Some(());
        }
        let next = match (&pending.next, self.mutant) {
            (Some(next), Mutant::BlindWrites) => current.edited(|object| {
                object.status.clone_from(&next.get().status);
                object.metadata.finalizers.clone_from(&next.get().metadata.finalizers);
            }),
            (Some(next), _) => next.clone(),
            (None, _) => current
                .edited(|object| object.metadata.deletion_timestamp = Some(Time(world.api_server_clock()))),
        };
        if pending.next.is_none() && current.get().spec.suspend {
            world.violate("rule 5: an object that was suspended meanwhile deleted itself");
        }
        Self::check_passing(world, &next);
        // A record begins an attempt anew, under the same number where it never became a session.
        if pending.records.is_none() {
            Self::check_forward(world, &current, &next);
        }
        self.note_reason(&next);
        let released = current.has_finalizer() && !next.has_finalizer();
        if released && next.get().spec.deletion_policy == athena_operator::api::DeletionPolicy::Retain {
            world.let_go = true;
        }
        world.put(next);
        settle(world, index, &pending, Written::Yes(None), self.mutant);
        world.controllers[index].behind = true;
        Some(())
    }

    /// Rules 6 to 8: what is known only moves forward, an end is written only of what has ended, and no session is recorded but the object's own.
    fn check_forward(world: &mut World, before: &Object, after: &Object) {
        let (Some(before), Some(after)) = (&before.get().status, &after.get().status) else { return };
        if before.attempt == after.attempt && before.attempt_time == after.attempt_time {
            if before.end_reason.is_some() && after.end_reason.is_none() {
                world.violate("rule 6: an end was taken back");
            }
            let ending =
                |state: Option<&str>| matches!(state, Some("TERMINATING" | "TERMINATED" | "FAILED") | None);
            if before.state == Some("TERMINATING".into())
                && !ending(after.state.as_ref().map(SessionState::as_str))
                && !world.damaged
            {
                world.violate("rule 6: a session came back from TERMINATING");
            }
        }
        if after.attempt < before.attempt && !world.damaged {
            world.violate("rule 6: an attempt was taken back");
        }
        let named =
            after.session_id.as_deref().and_then(World::index_of).and_then(|index| world.sessions.get(index));
        let named = named.map(|session| (session.is_of(world.uid), session.is_live()));
        if after.end_reason.is_some() && named == Some((true, true)) {
            world.violate("rule 7: an end was written of a session that lives");
        }
        if after.session_id != before.session_id && named.is_some_and(|(own, _)| !own) {
            world.violate("rule 8: a session was recorded that is not the object's");
        }
    }

    /// Rule 16: what passes by itself fails no object. A session that is not ready in time is another thing.
    fn check_passing(world: &mut World, after: &Object) {
        let is_late = after
            .get()
            .status
            .as_ref()
            .is_some_and(|status| status.stop_cause == Some(StopCause::StartupDeadline));
        if world.facts.all_passes && has_condition(after, "Stalled") && !is_late {
            world.violate("rule 16: throttling or a missing answer failed an object");
        }
    }

    /// Rule 9.
    fn end_orphan(&self, world: &mut World, index: usize) {
        let orphan = world.controllers[index].known.unrecorded.take();
        if let Some((_, session)) = orphan.as_deref().filter(|_| self.mutant != Mutant::ForgetOrphans) {
            world.terminate(&session.id);
        }
    }

    fn deliver(&self, world: &mut World, index: usize) {
        let object = world.object.clone();
        if object.is_none() {
            self.end_orphan(world, index);
            world.controllers[index] = Controller::default();
        } else {
            let controller = &mut world.controllers[index];
            controller.triggered |= controller.behind || controller.cache != object;
            (controller.cache, controller.behind) = (object, false);
        }
    }

    fn edit(world: &mut World, edit: Edit) -> Option<()> {
        let object = world.object.clone()?;
        let spec = &object.get().spec;
        let useless = match edit {
            Edit::Delete => object.is_deleting(),
            Edit::Suspend => spec.suspend || object.is_deleting(),
            Edit::Resume => !spec.suspend || object.is_deleting(),
            Edit::Retain => spec.deletion_policy == athena_operator::api::DeletionPolicy::Retain,
            Edit::Hold => {
                object.get().metadata.finalizers.iter().flatten().any(|name| name == OTHER)
                    || object.is_deleting()
            }
            Edit::Deadline => spec.active_deadline_seconds.is_some() || object.is_deleting(),
        };
        if useless {
            return None;
        }
        let now = world.api_server_clock();
        let next = object.edited(|object| match edit {
            Edit::Delete => object.metadata.deletion_timestamp = Some(Time(now)),
            Edit::Suspend => object.spec.suspend = true,
            Edit::Resume => object.spec.suspend = false,
            Edit::Retain => object.spec.deletion_policy = athena_operator::api::DeletionPolicy::Retain,
            Edit::Hold => object.metadata.finalizers.get_or_insert_default().push(OTHER.to_owned()),
            Edit::Deadline => object.spec.active_deadline_seconds = Some(300),
        });
        if matches!(edit, Edit::Suspend | Edit::Resume) {
            // A person asks for the next session.
            world.sessions.iter_mut().for_each(|session| session.timed_out = false);
        }
        world.put(next);
        Some(())
    }

    fn damage(world: &mut World, damage: Damage) -> Option<()> {
        let object = world.object.clone()?;
        world.damaged = matches!(damage, Damage::Wipe | Damage::Forge | Damage::Force);
        match damage {
            Damage::Relocate | Damage::Account => {
                world.elsewhere = damage == Damage::Relocate;
                world.accountless = damage == Damage::Account;
                let controller = world.begun_anew(world.object.clone());
                world.controllers.fill(controller);
            }
            Damage::Strip => {
                object.get().status.as_ref()?.end_reason.as_ref()?;
                world.put(object.with_finalizer(false));
            }
            Damage::Wipe => {
                object.get().status.as_ref()?.attempt?;
                world.put(object.edited(|object| {
                    object.status =
                        Some(serde_json::from_str(r#"{"observedGeneration":-1}"#).expect("a status"));
                }));
            }
            Damage::Forge => {
                let stranger = world.sessions.iter().position(|session| !session.is_of(world.uid))?;
                object.get().status.as_ref()?.session_id.as_ref()?;
                world.put(object.edited(|object| {
                    object.status.get_or_insert_default().session_id = Some(format!("s{stranger}"));
                }));
            }
            Damage::Force => {
                // Outside of the promise but for a session that is being started: whatever is recorded is the user's to end.
                let recorded = object.get().status.as_ref().is_some_and(|status| status.session_id.is_some());
                if recorded {
                    return None;
                }
                world.former = world.object.take();
                (world.let_go, world.forced) = (true, true);
            }
        }
        Some(())
    }

    /// What happens by itself when a session is left alone.
    fn natural(state: &str) -> Option<&'static str> {
        match state {
            "CREATING" | "CREATED" => Some("IDLE"),
            "TERMINATING" => Some("TERMINATED"),
            _ => None,
        }
    }

    /// Whether, when nothing else goes wrong, every object comes to rest where its spec asks. What surrounds the objects is the same in all `worlds`.
    pub fn comes_to_rest(&self, worlds: &[World]) -> bool {
        let mut worlds = worlds.to_vec();
        for world in &mut worlds {
            // Neither matters from here on.
            (world.budget, world.former) = (Budget::default(), None);
        }
        let mut way = Vec::new();
        let mut quiet = 0;
        for _ in 0..400 {
            let mut hasher = DefaultHasher::new();
            worlds.hash(&mut hasher);
            way.push(hasher.finish());
            if self.resting.lock().expect("no holder panics").contains(&way[way.len() - 1]) {
                return self.remember(way);
            }
            let before = worlds.clone();
            for side in 0..worlds.len() {
                for index in 0..worlds[side].controllers.len() {
                    self.deliver(&mut worlds[side], index);
                    let is_woken = worlds[side].controllers[index].is_woken(&worlds[side], self.mutant);
                    if is_woken
                        && let Some(done) = reconcile(&worlds[side], index, Reply::Answer, self.mutant)
                    {
                        worlds[side] = done.world;
                    }
                    self.write(&mut worlds[side], index);
                }
                share(&mut worlds, side);
            }
            for session in 0..worlds[0].sessions.len() {
                if let Some(state) = Self::natural(worlds[0].sessions[session].state) {
                    let now = worlds[0].now;
                    worlds[0].sessions[session].enter(state, now);
                }
            }
            if let Some(mut lists) = worlds[0].lists.clone() {
                let now = worlds[0].elapsed();
                for plan in 0..lists.plans() {
                    let _ = lists.begin(plan, now);
                    let _ = lists.finish(plan, worlds[0].listed(false), now);
                }
                worlds[0].lists = Some(lists);
            }
            share(&mut worlds, 0);
            // That is found on the way there.
            if worlds.iter().any(|world| world.violated.is_some()) {
                return self.remember(way);
            }
            // A start that a quota refuses is recorded anew for as long as it does.
            let changed = |(world, before): (&World, &World)| {
                world.object != before.object && !world.is_full() || world.sessions != before.sessions
            };
            let changed = worlds.iter().zip(&before).any(changed);
            quiet = if changed { 0 } else { quiet + 1 };
            // At rest for longer than anything waits.
            if quiet > 16 {
                return worlds.iter().all(Self::is_as_asked) && self.remember(way);
            }
            if !changed {
                worlds.iter_mut().for_each(World::tick);
            }
        }
        false
    }

    /// That everything on this way comes to rest.
    fn remember(&self, way: Vec<u64>) -> bool {
        self.resting.lock().expect("no holder panics").extend(way);
        true
    }

    fn is_as_asked(world: &World) -> bool {
        let live: Vec<usize> = (0..world.sessions.len())
            .filter(|&index| world.sessions[index].is_of(world.uid) && world.sessions[index].is_live())
            .collect();
        let Some(object) = &world.object else { return live.is_empty() || world.let_go };
        let status = object.get().status.clone().unwrap_or_default();
        // After a suspension something follows, unless the object is still suspended.
        let suspended = status.stop_cause == Some(StopCause::Suspended)
            || status.end_reason == Some(EndReason::Suspended);
        let finished = status.end_reason.is_some() && !suspended;
        match live[..] {
            // An attempt in another region is nobody's to touch.
            _ if world.elsewhere
                && status.region.is_some_and(|region| region == "eu-west-1")
                && !finished =>
            {
                true
            }
            // Of this attempt, nothing but its session tells in which account it was made.
            [] if world.is_account_unknown() => object.is_deleting() || has_condition(object, "Stalled"),
            _ if object.is_deleting() && object.has_finalizer() => false,
            // Something is still to come, unless of a state that this build does not know.
            _ if !object.is_deleting()
                && !world.is_full()
                && status.state != Some("HIBERNATING".into())
                && has_condition(object, "Reconciling") =>
            {
                false
            }
            [] if object.is_deleting() => true,
            [] => object.get().spec.suspend || finished || world.is_full(),
            [index] => {
                !object.get().spec.suspend && !finished && status.session_id == Some(format!("s{index}"))
            }
            _ => false,
        }
    }
}

fn has_condition(object: &Object, type_: &str) -> bool {
    let conditions = object.get().status.as_ref().and_then(|status| status.conditions.as_ref());
    conditions.into_iter().flatten().any(|condition| condition.type_ == type_)
}

/// Makes what surrounds the objects the same as in the world of object `side`.
pub fn share(worlds: &mut [World], side: usize) {
    let World { now, sessions, bodies, budget, accountless, lists, .. } = worlds[side].clone();
    for (side, world) in worlds.iter_mut().enumerate() {
        (world.now, world.budget, world.accountless) = (now, budget, accountless);
        world.sessions.clone_from(&sessions);
        world.bodies.clone_from(&bodies);
        world.lists.clone_from(&lists);
        if lists.as_ref().is_some_and(|lists| lists.has_answered(side)) {
            world.controllers.iter_mut().for_each(|controller| controller.triggered = true);
        }
    }
}

/// Whether a reconcile has changed nothing but the times of looks, on which no decision rests but when to look again.
fn teaches_nothing(before: &World, after: &World, index: usize) -> bool {
    let lesson = |world: &World| {
        let controller = &world.controllers[index];
        let known = &controller.known;
        let id = controller
            .cache
            .as_ref()
            .and_then(|object| object.get().status.as_ref()?.session_id.clone())
            .unwrap_or_default();
        let refused = (
            known.refused.clone(),
            known.look_refused.is_some(),
            known.missed.as_ref().map(|missed| missed.count),
            known.absence.clone(),
        );
        (
            controller.pending.clone(),
            controller.heard,
            refused,
            known.trusts(&id),
            known.disowns(&id),
            known.unrecorded.clone(),
            known.refused_write.clone(),
            known.is_due(time(world.now)),
        )
    };
    before.sessions == after.sessions
        && before.bodies == after.bodies
        && before.lists == after.lists
        && lesson(before) == lesson(after)
}

impl Model for Exploration {
    type State = World;
    type Action = Move;

    fn init_states(&self) -> Vec<World> {
        vec![self.begun(UIDS[0])]
    }

    fn actions(&self, world: &World, moves: &mut Vec<Move>) {
        if world.violated.is_some() {
            return;
        }
        let budget = world.budget;
        for (index, controller) in world.controllers.iter().enumerate() {
            let stale = controller.cache != world.object;
            if let Some(pending) = &controller.pending {
                moves.push(Move::Write(index));
                if self.refuses_writes && budget.faults > 0 && pending.what.is_some() {
                    moves.push(Move::Refuse(index));
                }
            } else if stale || controller.behind {
                moves.push(Move::Deliver(index));
            }
            if controller.pending.is_none()
                && !controller.behind
                && controller.cache.is_some()
                && (!stale || budget.lags > 0)
            {
                moves.push(Move::Reconcile(index, Reply::Answer));
                moves.extend(
                    self.replies
                        .iter()
                        .filter(|_| budget.faults > 0)
                        .map(|reply| Move::Reconcile(index, *reply)),
                );
                let young = world
                    .sessions
                    .iter()
                    .any(|session| session.is_young(world.now) && session.is_of(world.uid));
                // Two are as good as more.
                if young && controller.known.missed.as_ref().is_none_or(|missed| missed.count < 2) {
                    moves.push(Move::Reconcile(index, Reply::Lagging));
                }
            }
            if budget.crashes > 0 && controller.cache.is_some() {
                moves.push(Move::Crash(index, false));
                if budget.lags > 0 && world.former.is_some() {
                    moves.push(Move::Crash(index, true));
                }
            }
        }
        if budget.edits > 0 {
            moves.extend(self.edits.iter().map(|edit| Move::Edit(*edit)));
        }
        for (index, session) in
            world.sessions.iter().enumerate().filter(|(_, session)| session.is_of(world.uid))
        {
            moves.extend(Self::natural(session.state).map(|state| Move::Session(index, state)));
            if budget.upsets > 0 && session.is_live() {
                moves.extend(
                    self.upsets
                        .iter()
                        .filter(|state| **state != session.state)
                        .map(|state| Move::Session(index, state)),
                );
                if session.token_known && world.now >= session.started.saturating_add(2) {
                    moves.push(Move::ForgetToken(index));
                }
            }
        }
        if budget.damage > 0 {
            moves.extend(self.damage.iter().map(|damage| Move::Damage(*damage)));
        }
        for plan in 0..world.lists.as_ref().map_or(0, Lists::plans) {
            moves.extend([Move::ListBegins(plan), Move::ListEnds(plan)]);
        }
        if budget.ticks > 0 {
            moves.push(Move::Tick);
        }
    }

    #[allow(clippy::too_many_lines, reason = "a branch for each move")]
    fn next_state(&self, before: &World, action: Move) -> Option<World> {
        let mut world = before.clone();
        // What was taken on the way to rest is not of this move.
        crate::session::arms::take();
        match action {
            Move::Reconcile(index, reply) => {
                let done = reconcile(before, index, reply, self.mutant)?;
                let is_list = done.called == Some(Step::Search);
                let called = done.called.is_some();
                if !called && reply != Reply::Answer || matches!(reply, Reply::ListRefused(_)) && !is_list {
                    return None;
                }
                self.note(before, index, &done.steps);
                world = done.world;
                let is_sound = world.violated.is_none();
                if is_sound
                    && matches!(reply, Reply::Answer | Reply::Lagging)
                    && teaches_nothing(before, &world, index)
                {
                    return None;
                }
                if !matches!(reply, Reply::Answer | Reply::Lagging) {
                    world.budget.faults -= 1;
                }
                if before.controllers[index].cache != before.object {
                    world.budget.lags -= 1;
                }
            }
            Move::Write(index) => {
                self.write(&mut world, index)?;
                self.note_arms();
            }
            Move::Refuse(index) => {
                world.budget.faults -= 1;
                refuse(&mut world, index, self.mutant)?;
                self.note_arms();
            }
            Move::Deliver(index) => self.deliver(&mut world, index),
            Move::Crash(index, late) => {
                world.budget.crashes -= 1;
                world.budget.lags -= u8::from(late);
                let cache = if late { world.former.clone() } else { world.object.clone() };
                world.controllers[index] = world.begun_anew(cache);
            }
            Move::Edit(edit) => {
                world.budget.edits -= 1;
                Self::edit(&mut world, edit)?;
            }
            Move::Session(index, state) => {
                let now = world.now;
                let status = world.object.as_ref().and_then(|object| object.get().status.as_ref());
                // What the operator is about to end, it ends for its own reason.
                let versions = world
                    .controllers
                    .iter()
                    .filter_map(|controller| controller.pending.as_ref()?.next.as_ref());
                let is_stopped = |object: &Object| {
                    object.get().status.as_ref().is_some_and(|status| status.stop_cause.is_some())
                };
                let is_to_end = world.object.iter().chain(versions).any(is_stopped);
                let is_wanted =
                    status.is_some_and(|status| status.session_id == Some(format!("s{index}"))) && !is_to_end;
                let session = &mut world.sessions[index];
                let natural = Self::natural(session.state) == Some(state);
                let was_idle = session.state == "IDLE" && session.idle_since.is_some_and(|since| since < now);
                if matches!(
                    (session.state, state),
                    ("TERMINATING", "DEGRADED" | "FAILED" | "BUSY" | "HIBERNATING")
                        | ("CREATING", "DEGRADED" | "BUSY")
                ) {
                    return None;
                }
                session.enter(state, now);
                // A timeout is a tick.
                session.timed_out |= was_idle && is_wanted && matches!(state, "TERMINATING" | "VANISHED");
                world.budget.upsets -= u8::from(!natural);
            }
            Move::ForgetToken(index) => {
                world.budget.upsets -= 1;
                world.sessions[index].token_known = false;
            }
            Move::Damage(damage) => {
                world.budget.damage -= 1;
                Self::damage(&mut world, damage)?;
            }
            Move::ListBegins(plan) => {
                let now = world.elapsed();
                if let Err(wrong) = world.lists.as_mut()?.begin(plan, now)? {
                    world.violate(wrong);
                }
            }
            Move::ListEnds(plan) => {
                let (sessions, now) = (world.listed(false), world.elapsed());
                world.lists.as_mut()?.finish(plan, sessions, now)?;
            }
            Move::Tick => {
                world.budget.ticks -= 1;
                world.tick();
                // It stays so, however many follow.
                let is_woken: Vec<bool> = world
                    .controllers
                    .iter()
                    .map(|controller| controller.is_woken(&world, self.mutant))
                    .collect();
                world
                    .controllers
                    .iter_mut()
                    .zip(is_woken)
                    .for_each(|(controller, is_woken)| controller.triggered = is_woken);
            }
        }
        world.check_ownerless();
        world.check_orphans();
        Some(world)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("the rules hold", |_, world: &World| world.violated.is_none()),
            Property::always(
                "rule 10: every object comes to rest where its spec asks",
                |exploration: &Exploration, world: &World| {
                    let quiet = world.budget.spent()
                        && world.violated.is_none()
                        && world.controllers.iter().all(|controller| controller.pending.is_none());
                    !quiet || exploration.comes_to_rest(std::slice::from_ref(world))
                },
            ),
        ]
    }
}
