//! The operations of Athena. Input has been held against the service model before.

use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::config::{Config, TokenMismatch, UnknownSessionError, WorkGroup, WorkGroupState};
use crate::engine::{Engine, in_work_group};
use crate::limits::check_quotas;
use crate::refusal::Refusal;
use crate::reply::{FoundWorkGroup, FullSession, Page, SessionStatus, Started, Summary, Terminated};
use crate::session::{Session, Start, later};
use crate::state::{LISTED, TERMINATING};
use crate::tokens::Token;
use crate::world::World;

const DEFAULT_PAGE: u64 = 50;
const MAX_TAGS: usize = 50;

type Input = Map<String, Value>;

/// A reply, and the session it is about.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) body: String,
    pub(crate) session_id: Option<String>,
}

impl Done {
    fn new(reply: &impl Serialize, session_id: Option<&str>) -> Result<Self, Refusal> {
        let body = serde_json::to_string(reply)
            .map_err(|error| Refusal::new("InternalServerException", error.to_string()))?;
        Ok(Self { body, session_id: session_id.map(str::to_owned) })
    }
}

/// `StartSession`.
pub(crate) fn start_session(world: &mut World, input: &Input, now: Timestamp) -> Result<Done, Refusal> {
    let request = Value::Object(input.clone());
    let token = text(input, "ClientRequestToken");
    if let Some(session_id) = replayed(world, token, &request, now)? {
        let state = world.session(&session_id, now).map(|session| session.state()).unwrap_or_default();
        return Done::new(&Started { session_id: &session_id, state }, Some(&session_id));
    }

    let group = work_group(&world.config, input)?;
    let engine =
        Engine::of(group).ok_or_else(|| Refusal::invalid_input("Workgroup EngineVersion is not Spark."))?;
    if group.state == WorkGroupState::Disabled {
        return Err(Refusal::invalid_input("WorkGroup is disabled."));
    }
    if input.get("Tags").and_then(Value::as_array).is_some_and(|tags| tags.len() > MAX_TAGS) {
        return Err(Refusal::invalid_input(format!("A session can have at most {MAX_TAGS} tags.")));
    }
    let plan = engine.plan(input)?;
    let start = Start {
        id: uuid::Uuid::new_v4().to_string(),
        token: token.map(str::to_owned),
        work_group: group.name.clone(),
        engine_version: group.engine.clone(),
        description: text(input, "Description").map(str::to_owned),
        engine_configuration: in_work_group(
            plan.engine_configuration,
            group,
            world.config.reorder_classifications,
        ),
        execution_role: text(input, "ExecutionRole")
            .map(str::to_owned)
            .or_else(|| group.execution_role.clone()),
        idle_minutes: number(input, "SessionIdleTimeoutInMinutes")
            .and_then(|minutes| u32::try_from(minutes).ok())
            .unwrap_or(group.idle_minutes),
        dpus: plan.dpus,
        doom: plan.doom,
        request: request.clone(),
    };
    // Without a quota nobody counts: over thousands of sessions, that would be most of a start.
    if world.config.max_sessions.is_some() || world.config.max_dpus.is_some() {
        world.settle(now);
        check_quotas(&world.config, world.sessions().filter(|session| session.is_live()), start.dpus)?;
    }

    let session = Session::new(start, &world.config.start_state, now);
    let session_id = session.id().to_owned();
    if let Some(token) = token {
        world.tokens.remember(token, &request, &session_id, now);
    }
    let session = world.add(session);
    Done::new(&Started { session_id: &session_id, state: session.state() }, Some(&session_id))
}

/// The session that this token has started already.
fn replayed(
    world: &World,
    token: Option<&str>,
    request: &Value,
    now: Timestamp,
) -> Result<Option<String>, Refusal> {
    let Some(token) = token.filter(|_| !world.config.ignore_token) else {
        return Ok(None);
    };
    match world.tokens.look_up(token, request, &world.config, now) {
        Token::New => Ok(None),
        Token::Replay(session_id) => Ok(Some(session_id.to_owned())),
        Token::Mismatch => Err(match world.config.token_mismatch {
            TokenMismatch::IdempotentParameterMismatch => Refusal::invalid_request(
                "IDEMPOTENT_PARAMETER_MISMATCH",
                "Idempotent parameters do not match",
            ),
            TokenMismatch::SessionAlreadyExists => {
                Refusal::new("SessionAlreadyExistsException", "The specified session already exists.")
            }
        }),
    }
}

/// `GetSession`.
pub(crate) fn get_session(world: &mut World, input: &Input, now: Timestamp) -> Result<Done, Refusal> {
    let (times, idle_minute) = (world.config.times(), world.config.idle_minute);
    let session = visible(world, input, now)?;
    Done::new(&FullSession::of(session, &times, idle_minute, now), Some(session.id()))
}

/// `GetSessionStatus`.
pub(crate) fn get_session_status(world: &mut World, input: &Input, now: Timestamp) -> Result<Done, Refusal> {
    let times = world.config.times();
    let session = visible(world, input, now)?;
    Done::new(&SessionStatus::of(session, &times), Some(session.id()))
}

/// `TerminateSession`.
pub(crate) fn terminate_session(world: &mut World, input: &Input, now: Timestamp) -> Result<Done, Refusal> {
    let ignored = world.config.ignore_terminate;
    let session = known(world, input, now)?;
    if ignored && session.is_live() {
        return Done::new(&Terminated { state: TERMINATING }, Some(session.id()));
    }
    session.terminate(now);
    Done::new(&Terminated { state: session.state() }, Some(session.id()))
}

/// `TagResource`. The tags of a session that exists are nowhere but in the journal.
pub(crate) fn tag_resource(world: &mut World, input: &Input, now: Timestamp) -> Result<Done, Refusal> {
    let arn = text(input, "ResourceARN").unwrap_or_default();
    let id = arn.rsplit_once("/session/").map_or(arn, |(_, id)| id);
    match world.known_session(id, now) {
        Some(session) => Done::new(&Map::new(), Some(session.id())),
        None => Err(Refusal::not_found(arn, format!("Resource {arn} was not found"))),
    }
}

/// `ListSessions`.
pub(crate) fn list_sessions(world: &mut World, input: &Input, now: Timestamp) -> Result<Done, Refusal> {
    let group = work_group(&world.config, input)?.name.clone();
    let before = text(input, "NextToken").map(|token| position(token, &group)).transpose()?;
    let size = usize::try_from(number(input, "MaxResults").unwrap_or(DEFAULT_PAGE)).unwrap_or(usize::MAX);
    let filter = text(input, "StateFilter");
    world.settle(now);

    let listed = |session: &Session| {
        session.start.work_group == group
            && session.is_known(&world.config, now)
            && LISTED.contains(&session.state())
            && filter.is_none_or(|state| state == session.state())
            && later(session.started(), world.config.list_lag) <= now
    };
    let mut found =
        world.sessions().enumerate().rev().filter(|(place, _)| before.is_none_or(|before| *place < before));
    let times = world.config.times();
    let mut page = Page { next_token: None, sessions: Vec::new() };
    let mut last = None;
    for (place, session) in found.by_ref().filter(|(_, session)| listed(session)) {
        if page.sessions.len() == size {
            page.next_token = last.map(|last: usize| hex::encode(format!("{last}/{group}")));
            break;
        }
        page.sessions.push(Summary::of(session, &times));
        last = Some(place);
    }
    Done::new(&page, None)
}

/// The place a `NextToken` stands for.
fn position(token: &str, group: &str) -> Result<usize, Refusal> {
    let decoded = hex::decode(token).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    decoded
        .as_deref()
        .and_then(|text| text.split_once('/'))
        .filter(|(_, of)| *of == group)
        .and_then(|(place, _)| place.parse().ok())
        .ok_or_else(|| Refusal::invalid_input("Invalid NextToken."))
}

/// `GetWorkGroup`.
pub(crate) fn get_work_group(world: &World, input: &Input) -> Result<Done, Refusal> {
    Done::new(&FoundWorkGroup::of(work_group(&world.config, input)?), None)
}

/// The ARN that permission for a call is asked on.
pub(crate) fn resource(world: &World, input: &Input) -> String {
    let of_session = || world.work_group_of(text(input, "SessionId")?);
    if let Some(arn) = text(input, "ResourceARN") {
        return arn.to_owned();
    }
    let group = text(input, "WorkGroup").or_else(of_session).unwrap_or("*");
    world.config.work_group_arn(group)
}

fn work_group<'a>(config: &'a Config, input: &Input) -> Result<&'a WorkGroup, Refusal> {
    let name = text(input, "WorkGroup").unwrap_or_default();
    config.work_group(name).ok_or_else(|| Refusal::invalid_input("WorkGroup is not found."))
}

/// The session an input names, unless it is too new to be read.
fn visible<'a>(world: &'a mut World, input: &Input, now: Timestamp) -> Result<&'a Session, Refusal> {
    let lag = world.config.get_lag;
    let unknown = unknown_session(&world.config, input);
    let found = world.looked_at(text(input, "SessionId").unwrap_or_default(), now);
    let Some(session) = found.filter(|session| later(session.started(), lag) <= now) else {
        return Err(unknown);
    };
    session.show();
    Ok(session)
}

/// The session an input names.
fn known<'a>(world: &'a mut World, input: &Input, now: Timestamp) -> Result<&'a mut Session, Refusal> {
    let unknown = unknown_session(&world.config, input);
    let id = text(input, "SessionId").unwrap_or_default();
    world.known_session(id, now).ok_or(unknown)
}

fn unknown_session(config: &Config, input: &Input) -> Refusal {
    let id = text(input, "SessionId").unwrap_or_default();
    let message = format!("Session {id} was not found");
    match config.unknown_session {
        UnknownSessionError::ResourceNotFound => Refusal::not_found(id, message),
        UnknownSessionError::InvalidRequest => Refusal::invalid_input(message),
    }
}

fn text<'a>(input: &'a Input, name: &str) -> Option<&'a str> {
    input.get(name)?.as_str()
}

fn number(input: &Input, name: &str) -> Option<u64> {
    input.get(name)?.as_u64()
}
