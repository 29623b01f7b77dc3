//! What else a decision depends on: what a process knows, and what Athena says, as plain data.

use arbitrary::{Result, Unstructured};
use athena_operator::api::{AthenaSession, AthenaSessionSpec, EngineConfiguration};
use athena_operator::athena::CATALOGUE;
use athena_operator::session::environment::{Environment, Identity, Limits};
use athena_operator::session::marker;
use athena_operator::session::reply::{Details, Look, Refusal, Session, WorkGroup};
use k8s_openapi::jiff::{SignedDuration, Timestamp};

use crate::grammar::{ACCOUNT, ID, REGION, STATES, UID, text};
use crate::secrets;

/// When and where the operator works.
pub(crate) fn circumstances(u: &mut Unstructured<'_>) -> Result<Environment> {
    /// Until the end of the century.
    const LAST: u32 = 4_102_444_799;
    let seconds = if u.ratio(7, 8)? { 1_800_000_000 } else { u.int_in_range(0..=LAST)? };
    let now = Timestamp::new(i64::from(seconds), i32::from(u.arbitrary::<u8>()?) * 3_000_000)
        .unwrap_or(Timestamp::UNIX_EPOCH);
    let account = match u.int_in_range(0..=7)? {
        0 => None,
        1 => Some("111111111111".to_owned()),
        _ => Some(ACCOUNT.to_owned()),
    };
    let limits = match u.int_in_range(0..=3)? {
        0 => Limits {
            uncertainty: SignedDuration::from_secs(1),
            transition_interval: SignedDuration::from_nanos(1),
            ..Limits::default()
        },
        1 => {
            let day = SignedDuration::from_hours(24);
            Limits { uncertainty: day, transition_interval: day, observe_interval: day, ..Limits::default() }
        }
        _ => Limits::default(),
    };
    let is_time_certain = u.ratio(7, 8)?;
    let ahead = u.arbitrary::<Option<i16>>()?.map(|seconds| SignedDuration::from_secs(seconds.into()));
    Ok(Environment {
        now,
        is_time_certain,
        api_server_ahead: ahead,
        identity: Identity { region: REGION.to_owned(), account },
        limits,
        clock_origin: Timestamp::UNIX_EPOCH,
        jitter: jitter(u)?,
    })
}

/// A part of a second that chance would give.
pub(crate) fn jitter(u: &mut Unstructured<'_>) -> Result<f64> {
    Ok(f64::from(u.arbitrary::<u8>()?) / 256.0)
}

/// A refusal of any kind, with a text that may repeat the values of properties.
pub(crate) fn refusal(u: &mut Unstructured<'_>) -> Result<Refusal> {
    let row = u.choose(CATALOGUE)?;
    let request_id = if u.arbitrary()? { Some(text(u)?) } else { None };
    Ok(Refusal { class: row.class, reason: row.reason, message: message(u)?, request_id })
}

/// What Athena says for people, which may repeat the values of properties.
pub(crate) fn message(u: &mut Unstructured<'_>) -> Result<String> {
    let mut message = String::new();
    for _ in 0..u.int_in_range(0..=4)? {
        match u.int_in_range(0..=9)? {
            0 => message += &u.choose(CATALOGUE)?.text.example("s"),
            // Whole words: a part of a longer word is not the value.
            1 => message.extend([" ", secrets::PROPERTY, " "]),
            2 => message.extend([" ", secrets::LONGER_PROPERTY, " "]),
            4 => message.extend([" ", &escaped(u, secrets::ESCAPED_PROPERTY)?, " "]),
            3 => message.extend([
                "Value '{spark.x=",
                secrets::PROPERTY,
                "}' at 'engineConfiguration' failed to satisfy constraint: y",
            ]),
            5 => message += &"x".repeat(usize::from(u.arbitrary::<u16>()? % 4200)),
            6 => message += &"\u{20ac}".repeat(usize::from(u.arbitrary::<u16>()? % 1400)),
            _ => message += &text(u)?,
        }
    }
    Ok(message)
}

/// Returns `value` as it is, as JSON has it, once and twice, or as URLs do.
fn escaped(u: &mut Unstructured<'_>, value: &str) -> Result<String> {
    let json = |text: &str| {
        let quoted = serde_json::to_string(text).expect("a text is JSON");
        quoted[1..quoted.len() - 1].to_owned()
    };
    let url = |text: &str| -> String {
        text.bytes()
            .map(|byte| {
                if byte.is_ascii_alphanumeric() {
                    char::from(byte).to_string()
                } else {
                    format!("%{byte:02x}")
                }
            })
            .collect()
    };
    Ok(match u.int_in_range(0..=4)? {
        0 => value.to_owned(),
        1 => json(value),
        2 => json(&json(value)),
        3 => url(value),
        _ => url(&json(value)),
    })
}

fn time(u: &mut Unstructured<'_>, now: Timestamp) -> Result<Option<Timestamp>> {
    Ok(match u.int_in_range(0..=7)? {
        0 => None,
        1 => Some(Timestamp::UNIX_EPOCH),
        2 => Some(Timestamp::MAX),
        3 => Some(now + SignedDuration::from_millis(i64::from(u.arbitrary::<u16>()?))),
        _ => now
            .checked_sub(SignedDuration::from_secs(i64::from(u.arbitrary::<u16>()?)))
            .ok()
            .filter(|time| *time >= Timestamp::UNIX_EPOCH),
    })
}

/// The description of a session: the marker of the object, another's, or a broken one.
pub(crate) fn description(u: &mut Unstructured<'_>) -> Result<Option<String>> {
    let number = u.int_in_range(0..=3)?;
    Ok(match u.int_in_range(0..=7)? {
        0 => None,
        1 => Some(format!("[athena-operator/{UID}-{}]", text(u)?)),
        2 => Some(format!("[athena-operator/{}]", text(u)?)),
        3 => Some(text(u)?),
        _ => Some(format!("team/nightly [athena-operator/{}]", marker::token(UID, number))),
    })
}

/// A session as a reply may show it, of the object whose `spec` this is or of another.
pub(crate) fn session(u: &mut Unstructured<'_>, spec: &AthenaSessionSpec, now: Timestamp) -> Result<Session> {
    let state = if u.ratio(15, 16)? { (*u.choose(&STATES)?).to_owned() } else { text(u)? };
    let end_time = if u.ratio(1, 4)? { time(u, now)? } else { None };
    let details = if u.ratio(3, 4)? { Some(Box::new(details(u, spec)?)) } else { None };
    Ok(Session {
        id: if u.ratio(7, 8)? { ID.to_owned() } else { "another-session".to_owned() },
        state: state.into(),
        state_change_reason: if u.arbitrary()? { Some(message(u)?) } else { None },
        start_time: time(u, now)?,
        last_modified_time: time(u, now)?,
        end_time,
        idle_since_time: time(u, now)?,
        details,
    })
}

fn details(u: &mut Unstructured<'_>, spec: &AthenaSessionSpec) -> Result<Details> {
    let own = u.ratio(7, 8)?;
    Ok(Details {
        description: description(u)?,
        work_group: if own { None } else { Some(text(u)?) },
        engine_version: if u.arbitrary()? { Some(text(u)?.repeat(20)) } else { None },
        execution_role: if own { spec.execution_role.clone() } else { None },
        engine_configuration: if own {
            spec.engine_configuration.clone().unwrap_or_default()
        } else {
            EngineConfiguration::default()
        },
        idle_timeout: if u.arbitrary()? {
            Some(SignedDuration::from_secs(u.arbitrary::<i64>()?.saturating_abs().max(1)))
        } else {
            None
        },
        dpu_execution_in_millis: if u.arbitrary()? { Some(u.arbitrary()?) } else { None },
        satisfies: None,
    })
}

/// What a look shows.
pub(crate) fn look(u: &mut Unstructured<'_>, object: &AthenaSession, now: Timestamp) -> Result<Look> {
    Ok(match u.int_in_range(0..=5)? {
        0 => Look::NotFound { named: true },
        1 => Look::Failed(refusal(u)?),
        _ => Look::Seen(session(u, &object.spec, now)?),
    })
}

/// A work group.
pub(crate) fn work_group(u: &mut Unstructured<'_>) -> Result<WorkGroup> {
    let engines = [
        Some("Apache Spark version 3.5"),
        Some("PySpark engine version 3"),
        Some("Athena engine version 3"),
        None,
    ];
    Ok(WorkGroup { enabled: u.ratio(7, 8)?, engine_version: u.choose(&engines)?.map(str::to_owned) })
}
