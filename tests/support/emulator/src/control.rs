//! The control API under `/_emulator/`: what a test in another process sees and changes.

use hyper::{Method, StatusCode};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::Config;
use crate::faults::Fault;
use crate::record::Change;
use crate::server::{self, Answer, Shared};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Foreign {
    work_group: String,
    description: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Set {
    set: String,
    reason: Option<String>,
}

impl From<Set> for Change {
    fn from(Set { set, reason }: Set) -> Self {
        match set.as_str() {
            "idle-out" => Self::IdleOut,
            "vanish" => Self::Vanish,
            "terminate" => Self::Terminate,
            _ => Self::State { state: set, reason },
        }
    }
}

/// Answers a request to `/_emulator/{path}`.
pub(crate) fn answer(shared: &Shared, method: &Method, path: &str, body: &[u8]) -> Answer {
    respond(shared, method, path, body)
        .unwrap_or_else(|(status, error)| reply(status, &json!({ "error": error })))
}

type Failure = (StatusCode, String);

fn respond(shared: &Shared, method: &Method, path: &str, body: &[u8]) -> Result<Answer, Failure> {
    let now = Timestamp::now();
    let mut world = shared.world();
    let segments: Vec<&str> = path.split('/').collect();
    let found = match (method.as_str(), segments.as_slice()) {
        ("GET", ["healthz"]) => reply(StatusCode::OK, &json!({ "status": "ok" })),
        ("GET", ["calls"]) => reply(StatusCode::OK, &world.journal.calls()),
        ("DELETE", ["calls"]) => {
            world.journal.clear();
            reply(StatusCode::OK, &world.journal.calls())
        }
        ("GET", ["sessions"]) => reply(StatusCode::OK, &world.records(now)),
        ("POST", ["sessions"]) => {
            let Foreign { work_group, description } = read(body)?;
            let session = world.add_foreign(&work_group, description.as_deref(), now);
            reply(StatusCode::CREATED, &session.record(now))
        }
        ("POST", ["sessions", id]) => {
            let change = Change::from(read::<Set>(body)?);
            let unknown = |error: crate::UnknownSession| (StatusCode::NOT_FOUND, error.to_string());
            world.change(id, change, now).map_err(unknown)?;
            let session = world.session(id, now).map(|session| session.record(now));
            reply(StatusCode::OK, &session)
        }
        ("GET", ["faults"]) => reply(StatusCode::OK, &world.faults),
        ("PUT", ["faults"]) => {
            world.faults = read::<Vec<Fault>>(body)?;
            reply(StatusCode::OK, &world.faults)
        }
        ("GET", ["config"]) => reply(StatusCode::OK, &world.config),
        ("PUT", ["config"]) => {
            let config: Config = read(body)?;
            world.configure(|current| *current = config, now);
            reply(StatusCode::OK, &world.config)
        }
        _ => return Err((StatusCode::NOT_FOUND, format!("no {method} of /_emulator/{path}"))),
    };
    Ok(found)
}

fn read<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, Failure> {
    serde_json::from_slice(body).map_err(|error| (StatusCode::BAD_REQUEST, error.to_string()))
}

fn reply(status: StatusCode, body: &impl Serialize) -> Answer {
    match serde_json::to_string(body) {
        Ok(body) => server::answer(status, "application/json", None, body + "\n"),
        Err(error) => {
            server::answer(StatusCode::INTERNAL_SERVER_ERROR, "text/plain", None, error.to_string())
        }
    }
}
