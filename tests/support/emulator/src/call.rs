//! One AWS call from its request to its reply: journal, latency, faults, signature, rate, permission, input, effect.

use std::future::pending;

use harness::http::Closed;
use hyper::StatusCode;
use hyper::body::Bytes;
use hyper::header::{DATE, HeaderValue};
use hyper::http::request::Parts;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value};

use crate::config::Config;
use crate::faults::FaultKind;
use crate::journal::{Call, Outcome};
use crate::operations::{self as operation, Done};
use crate::refusal::Refusal;
use crate::server::{Answer, Shared, answer};
use crate::signature::{self, Unauthentic};
use crate::validate::validate;
use crate::world::World;
use crate::{issue, shapes, sts};

/// How a service is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Protocol {
    /// Athena: AWS JSON 1.1.
    Json,
    /// STS: AWS Query.
    Query,
}

struct Request {
    parts: Parts,
    body: Bytes,
    protocol: Protocol,
    operation: String,
    /// None where the body is no JSON object.
    input: Option<Map<String, Value>>,
    id: String,
}

impl Request {
    fn new(parts: Parts, body: Bytes) -> Self {
        let text = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok());
        let is_form =
            text("content-type").is_some_and(|kind| kind.starts_with("application/x-www-form-urlencoded"));
        let (protocol, operation, input) = if is_form {
            let form = sts::form(&body);
            let action = form.get("Action").and_then(Value::as_str).unwrap_or_default().to_owned();
            (Protocol::Query, action, Some(form))
        } else {
            let target = text("x-amz-target").unwrap_or_default();
            let operation = target.strip_prefix("AmazonAthena.").unwrap_or(target).to_owned();
            let input = if body.is_empty() { Some(Map::new()) } else { serde_json::from_slice(&body).ok() };
            (Protocol::Json, operation, input)
        };
        Self { parts, body, protocol, operation, input, id: uuid::Uuid::new_v4().to_string() }
    }

    fn arrived(&self, now: Timestamp) -> Call {
        let member = |name: &str| Some(self.input.as_ref()?.get(name)?.as_str()?.to_owned());
        let raw = || Value::String(String::from_utf8_lossy(&self.body).into_owned());
        Call {
            number: 0,
            time: now,
            operation: self.operation.clone(),
            token: member("ClientRequestToken"),
            session_id: member("SessionId"),
            request: self.input.clone().map_or_else(raw, Value::Object),
            outcome: Outcome::Pending,
            request_id: self.id.clone(),
            access_key_id: signature::access_key_id(&self.parts).map(str::to_owned),
        }
    }

    fn reply(&self, status: StatusCode, body: String) -> Answer {
        let kind = match self.protocol {
            Protocol::Json => "application/x-amz-json-1.1",
            Protocol::Query => "text/xml",
        };
        answer(status, kind, Some(&self.id), body)
    }

    fn refuse(&self, refusal: &Refusal) -> Answer {
        let body = match self.protocol {
            Protocol::Json => refusal.json(),
            Protocol::Query => sts::error(refusal, &self.id),
        };
        self.reply(refusal.status, body)
    }
}

/// Answers an AWS call, or closes its connection.
pub(crate) async fn call(shared: &Shared, parts: Parts, body: Bytes) -> Result<Answer, Closed> {
    let request = Request::new(parts, body);
    let (number, latency, fault) = {
        let mut world = shared.world();
        let number = world.journal.arrive(request.arrived(Timestamp::now()));
        let fault = world.fault(&request.operation);
        (number, world.config.latency, fault)
    };
    if !latency.is_zero() {
        tokio::time::sleep(latency).await;
    }
    let conclude = |outcome, session_id| shared.world().journal.conclude(number, outcome, session_id);
    match &fault {
        None | Some(FaultKind::DropAfter | FaultKind::Hang { effect: true } | FaultKind::Redate { .. }) => {}
        Some(FaultKind::Delay { duration }) => tokio::time::sleep(*duration).await,
        Some(FaultKind::Fail { status, code, message }) => {
            conclude(Outcome::Error(code.clone()), None);
            return Ok(dated(shared, request.refuse(&Refusal::ordered(*status, code, message)), 0));
        }
        Some(FaultKind::Throttle) => {
            let refusal = Refusal::throttled();
            conclude(Outcome::Error(refusal.code.clone()), None);
            return Ok(dated(shared, request.refuse(&refusal), 0));
        }
        Some(FaultKind::DropBefore) => {
            conclude(Outcome::DroppedBefore, None);
            return Err(Closed);
        }
        Some(FaultKind::Malformed { status, body }) => {
            conclude(Outcome::Malformed, None);
            let status = StatusCode::from_u16(*status).unwrap_or(StatusCode::OK);
            return Ok(answer(status, "text/html", None, body.clone()));
        }
        Some(FaultKind::Hang { effect: false }) => {
            conclude(Outcome::HungBefore, None);
            return pending().await;
        }
    }

    let result = effect(&mut shared.world(), &request, number, fault.as_ref());
    match fault {
        Some(FaultKind::DropAfter) => Err(Closed),
        Some(FaultKind::Hang { .. }) => pending().await,
        _ => {
            let answer = match result {
                Ok(done) => request.reply(StatusCode::OK, done.body),
                Err(refusal) => request.refuse(&refusal),
            };
            let ahead = if let Some(FaultKind::Redate { ahead }) = fault { ahead } else { 0 };
            Ok(dated(shared, answer, ahead))
        }
    }
}

/// A reply with the time that the emulator's clock shows, or one that is so many seconds ahead of it. Where that is right, the server writes it.
fn dated(shared: &Shared, mut answer: Answer, ahead: i64) -> Answer {
    let now = Timestamp::now().saturating_add(SignedDuration::from_secs(ahead)).unwrap_or(Timestamp::MAX);
    let config = &shared.world().config;
    let clock = if ahead == 0 { config.wrong_clock(now) } else { Some(config.clock(now)) };
    let date = clock.and_then(|clock| {
        HeaderValue::from_str(&clock.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()).ok()
    });
    if let Some(date) = date {
        answer.headers_mut().insert(DATE, date);
    }
    answer
}

/// Performs a call and notes what became of it.
fn effect(
    world: &mut World,
    request: &Request,
    number: u64,
    fault: Option<&FaultKind>,
) -> Result<Done, Refusal> {
    let result = perform(world, request, Timestamp::now());
    let session_id = result.as_ref().ok().and_then(|done| done.session_id.clone());
    let outcome = match (fault, &result) {
        (Some(FaultKind::DropAfter), _) => Outcome::DroppedAfter,
        (Some(FaultKind::Hang { .. }), _) => Outcome::HungAfter,
        (_, Ok(_)) => Outcome::Ok,
        (_, Err(refusal)) => Outcome::Error(refusal.code.clone()),
    };
    world.journal.conclude(number, outcome, session_id);
    result
}

fn perform(world: &mut World, request: &Request, now: Timestamp) -> Result<Done, Refusal> {
    // Whoever has no credentials yet cannot sign.
    if request.protocol == Protocol::Query && !world.config.sts {
        return Err(Refusal::without_message("UnknownOperationException"));
    }
    if request.protocol == Protocol::Query && request.operation == "AssumeRoleWithWebIdentity" {
        let input = request.input.clone().unwrap_or_default();
        let body = issue::web_identity(&world.config, &input, &request.id, world.config.clock(now))?;
        return Ok(Done { body, session_id: None });
    }
    if world.config.check_signatures {
        let service = match request.protocol {
            Protocol::Json => "athena",
            Protocol::Query => "sts",
        };
        let clock = world.config.clock(now);
        signature::check(&request.parts, &request.body, service, &world.config, clock)
            .map_err(|reason| unauthentic(&reason, request.protocol))?;
    }
    match request.protocol {
        Protocol::Json => athena(world, request, now),
        Protocol::Query if request.operation == "GetCallerIdentity" => {
            let key = signature::access_key_id(&request.parts);
            Ok(Done { body: sts::caller_identity(&world.config, key, &request.id), session_id: None })
        }
        Protocol::Query => Err(Refusal::new(
            "InvalidAction",
            format!("Could not find operation {} for version 2011-06-15", request.operation),
        )),
    }
}

fn athena(world: &mut World, request: &Request, now: Timestamp) -> Result<Done, Refusal> {
    if let Some(rate) = world.config.rate {
        world.bucket.take(rate, now)?;
    }
    let members = shapes::input(&request.operation)
        .ok_or_else(|| Refusal::without_message("UnknownOperationException"))?;
    let input = request
        .input
        .as_ref()
        .ok_or_else(|| Refusal::new("SerializationException", "The body is not a JSON object"))?;
    if world.config.validate_first {
        validate(input, members)?;
    }
    check_permission(world, &request.operation, input)?;

    let token = input.get("ClientRequestToken");
    let without_token = token.is_none_or(|token| token.is_null() || token == "");
    if request.operation == "StartSession" && world.config.require_token && without_token {
        return Err(Refusal::invalid_input("clientRequestToken is null or empty"));
    }
    validate(input, members)?;
    if request.operation == "StartSession" {
        check_role(world, input)?;
    }
    match request.operation.as_str() {
        "StartSession" => operation::start_session(world, input, now),
        "GetSession" => operation::get_session(world, input, now),
        "GetSessionStatus" => operation::get_session_status(world, input, now),
        "ListSessions" => operation::list_sessions(world, input, now),
        "TerminateSession" => operation::terminate_session(world, input, now),
        "TagResource" => operation::tag_resource(world, input, now),
        _ => operation::get_work_group(world, input),
    }
}

fn check_permission(world: &World, operation: &str, input: &Map<String, Value>) -> Result<(), Refusal> {
    let named = |group: &str| {
        world
            .config
            .allowed_work_groups
            .as_ref()
            .is_none_or(|groups| groups.iter().any(|named| named == group))
    };
    let elsewhere = input.get("WorkGroup").and_then(Value::as_str).is_some_and(|group| !named(group));
    if !elsewhere && !world.config.deny.iter().any(|denied| denied == operation) {
        return Ok(());
    }
    Err(denied(world, &format!("athena:{operation}"), &operation::resource(world, input)))
}

/// Whether the caller may pass the role that a session is to have.
fn check_role(world: &World, input: &Map<String, Value>) -> Result<(), Refusal> {
    let role = input.get("ExecutionRole").and_then(Value::as_str);
    match role.filter(|role| world.config.deny_roles.iter().any(|denied| denied == role)) {
        Some(role) => Err(denied(world, "iam:PassRole", role)),
        None => Ok(()),
    }
}

fn denied(world: &World, action: &str, resource: &str) -> Refusal {
    let caller = Config::caller_arn(&world.config.account);
    Refusal::new(
        "AccessDeniedException",
        format!(
            "User: {caller} is not authorized to perform: {action} on resource: {resource} because no identity-based policy allows the {action} action"
        ),
    )
}

/// The two front ends have different names for the same refusals.
fn unauthentic(reason: &Unauthentic, protocol: Protocol) -> Refusal {
    let (json, query, query_status) = match reason {
        Unauthentic::Missing => {
            ("MissingAuthenticationTokenException", "MissingAuthenticationToken", StatusCode::FORBIDDEN)
        }
        Unauthentic::Incomplete(_) => {
            ("IncompleteSignatureException", "IncompleteSignature", StatusCode::BAD_REQUEST)
        }
        Unauthentic::UnknownKey => {
            ("UnrecognizedClientException", "InvalidClientTokenId", StatusCode::FORBIDDEN)
        }
        Unauthentic::Expired => ("ExpiredTokenException", "ExpiredToken", StatusCode::FORBIDDEN),
        Unauthentic::Mismatch | Unauthentic::Scope(_) | Unauthentic::Skewed(_) => {
            ("InvalidSignatureException", "SignatureDoesNotMatch", StatusCode::FORBIDDEN)
        }
    };
    match protocol {
        Protocol::Json => Refusal::front_end(json, reason.to_string()),
        Protocol::Query => Refusal::front_end(query, reason.to_string()).with_status(query_status),
    }
}
