//! Replies as Athena and STS may give them, made up: mostly what their API models say, with hostile values among it, and damaged on the way.

use arbitrary::{Result, Unstructured};
use athena_operator::athena::CATALOGUE;
use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};

use crate::circumstances::{description, message};
use crate::grammar::{ACCOUNT, ID, STATES, text};
use crate::replay::Reply;
use crate::secrets;

/// A reply to a call of `operation`; STS has no name for its own.
pub(crate) fn reply(u: &mut Unstructured<'_>, operation: &str, now: Timestamp) -> Result<Reply> {
    match u.int_in_range(0..=31)? {
        1 => return Ok(Reply::Io),
        2 => return Ok(Reply::Timeout),
        _ => {}
    }
    let failed = !u.ratio(3, 4)?;
    let mut headers = headers(u)?;
    let mut status =
        if failed { *u.choose(&[400_u16, 403, 404, 429, 500, 503, 200, 302, 599, 999])? } else { 200 };
    if !u.ratio(31, 32)? {
        status = u.arbitrary()?;
    }
    let body = match (operation, failed) {
        ("", true) => sts_error(u)?,
        ("", false) => sts_identity(u)?,
        (_, true) => error(u, operation, &mut headers)?.to_string(),
        ("StartSession", _) => members(&[("SessionId", id(u)?), ("State", state(u)?)], u)?.to_string(),
        ("GetSessionStatus", _) => {
            members(&[("SessionId", id(u)?), ("Status", session_status(u, now)?)], u)?.to_string()
        }
        ("GetSession", _) => session(u, now)?.to_string(),
        ("ListSessions", _) => list(u, now)?.to_string(),
        ("GetWorkGroup", _) => work_group(u)?.to_string(),
        _ => members(&[("State", state(u)?)], u)?.to_string(),
    };
    let mut body = body.into_bytes();
    if !u.ratio(15, 16)? {
        damage(u, &mut body)?;
    }
    Ok(Reply::Http { status, headers, body, broken: !u.ratio(31, 32)? })
}

fn headers(u: &mut Unstructured<'_>) -> Result<Vec<(String, Vec<u8>)>> {
    const DATES: [&str; 6] = [
        "Thu, 26 Nov 2026 14:00:00 GMT",
        "Thu, 01 Jan 1970 00:00:00 GMT",
        "Fri, 31 Dec 9999 23:59:59 GMT",
        "Mon, 01 Jan 0001 00:00:00 GMT",
        "2026-11-26T14:00:00Z",
        "no date",
    ];
    let mut headers = Vec::new();
    for _ in 0..u.int_in_range(0..=3)? {
        let (name, value) = match u.int_in_range(0..=6)? {
            0 => ("x-amzn-requestid", text(u)?),
            1 => ("date", (*u.choose(&DATES)?).to_owned()),
            2 => ("content-length", u.arbitrary::<u64>()?.to_string()),
            3 => (
                "content-type",
                (*u.choose(&["application/x-amz-json-1.1", "text/html", "application/cbor"])?).to_owned(),
            ),
            4 => ("x-amz-retry-after", u.arbitrary::<u64>()?.to_string()),
            5 => ("x-amzn-errortype", text(u)?),
            _ => ("x-amzn-requestid", "r".repeat(300)),
        };
        headers.push((name.to_owned(), value.into_bytes()));
    }
    Ok(headers)
}

fn damage(u: &mut Unstructured<'_>, body: &mut Vec<u8>) -> Result<()> {
    let at = u.int_in_range(0..=body.len())?;
    match u.int_in_range(0..=3)? {
        0 => body.truncate(at),
        1 => body.insert(at, u.arbitrary()?),
        2 => *body = text(u)?.into_bytes(),
        _ => body.extend_from_within(at..),
    }
    Ok(())
}

/// An object of most of these members.
fn members(members: &[(&str, Value)], u: &mut Unstructured<'_>) -> Result<Value> {
    let mut object = json!({});
    for (name, value) in members {
        match u.int_in_range(0..=31)? {
            1 => {}
            2 => object[*name] = Value::Null,
            3 => object[*name] = json!(u.arbitrary::<i64>()?),
            4 => object[*name] = json!([text(u)?]),
            _ => object[*name] = value.clone(),
        }
    }
    Ok(object)
}

fn id(u: &mut Unstructured<'_>) -> Result<Value> {
    Ok(match u.int_in_range(0..=15)? {
        1 => json!("x".repeat(257)),
        2 => json!("\u{20ac}".repeat(256)),
        3 => json!(text(u)?),
        4 => json!("another-session"),
        _ => json!(ID),
    })
}

fn state(u: &mut Unstructured<'_>) -> Result<Value> {
    Ok(match u.int_in_range(0..=15)? {
        1 => json!("S".repeat(100)),
        2 => json!(text(u)?),
        _ => json!(*u.choose(&STATES)?),
    })
}

fn time(u: &mut Unstructured<'_>, now: Timestamp) -> Result<Value> {
    #[allow(clippy::cast_precision_loss, reason = "as the service has it")]
    let seconds = now.as_second() as f64;
    Ok(match u.int_in_range(0..=15)? {
        1 => json!(0),
        2 => json!(-1.5),
        3 => json!(1e308),
        4 => json!(253_402_300_799.999_f64),
        5 => json!(i64::MIN),
        6 => json!(1e18),
        7 => json!("2026-01-01T00:00:00Z"),
        8 => json!("NaN"),
        9 => json!(seconds + f64::from(u.arbitrary::<u16>()?)),
        _ => json!(seconds - f64::from(u.arbitrary::<u16>()?) / 8.0),
    })
}

fn session_status(u: &mut Unstructured<'_>, now: Timestamp) -> Result<Value> {
    let mut status =
        vec![("State", state(u)?), ("StartDateTime", time(u, now)?), ("LastModifiedDateTime", time(u, now)?)];
    if u.ratio(1, 2)? {
        status.push(("StateChangeReason", json!(message(u)?)));
    }
    if u.ratio(1, 4)? {
        status.push(("EndDateTime", time(u, now)?));
    }
    if u.ratio(1, 2)? {
        status.push(("IdleSinceDateTime", time(u, now)?));
    }
    members(&status, u)
}

fn integer(u: &mut Unstructured<'_>) -> Result<Value> {
    Ok(match u.int_in_range(0..=7)? {
        1 => json!(i64::MAX),
        2 => json!(-1),
        3 => json!(1.5),
        4 => json!(1_u64 << 53),
        5 => json!(1e30),
        _ => json!(u.arbitrary::<u16>()?),
    })
}

fn session(u: &mut Unstructured<'_>, now: Timestamp) -> Result<Value> {
    let properties = json!({ "spark.password": secrets::PROPERTY });
    let classifications = json!([{ "Name": "spark-defaults", "Properties": properties }]);
    let engine = [
        ("SparkProperties", properties.clone()),
        ("AdditionalConfigs", properties),
        ("Classifications", classifications),
        ("MaxConcurrentDpus", integer(u)?),
        ("CoordinatorDpuSize", integer(u)?),
    ];
    let engine = if u.ratio(1, 2)? { members(&engine, u)? } else { json!({}) };
    let configuration = [
        ("IdleTimeoutSeconds", integer(u)?),
        ("SessionIdleTimeoutInMinutes", integer(u)?),
        ("WorkingDirectory", json!(text(u)?)),
    ];
    let session = [
        ("SessionId", id(u)?),
        ("Description", json!(description(u)?)),
        ("WorkGroup", json!("spark-35")),
        ("EngineVersion", json!(*u.choose(&["Apache Spark version 3.5", "PySpark engine version 3", ""])?)),
        ("EngineConfiguration", engine),
        ("SessionConfiguration", members(&configuration, u)?),
        ("Status", session_status(u, now)?),
        ("Statistics", json!({ "DpuExecutionInMillis": integer(u)? })),
    ];
    members(&session, u)
}

fn list(u: &mut Unstructured<'_>, now: Timestamp) -> Result<Value> {
    let mut sessions = Vec::new();
    for _ in 0..u.int_in_range(0..=4)? {
        let session = [
            ("SessionId", id(u)?),
            ("Description", json!(description(u)?)),
            (
                "EngineVersion",
                json!({ "SelectedEngineVersion": "AUTO", "EffectiveEngineVersion": "Apache Spark version 3.5" }),
            ),
            ("Status", session_status(u, now)?),
        ];
        sessions.push(members(&session, u)?);
    }
    let mut list = members(&[("Sessions", json!(sessions))], u)?;
    if !u.ratio(3, 4)? {
        list["NextToken"] = json!(*u.choose(&["", "again", "a", "b", "c"])?);
    }
    Ok(list)
}

fn work_group(u: &mut Unstructured<'_>) -> Result<Value> {
    let engine = json!({ "SelectedEngineVersion": "AUTO", "EffectiveEngineVersion": *u.choose(&["Apache Spark version 3.5", "Athena engine version 3", ""])? });
    let group = [
        ("Name", json!("spark-35")),
        ("State", json!(*u.choose(&["ENABLED", "DISABLED", "OTHER"])?)),
        ("Configuration", members(&[("EngineVersion", engine)], u)?),
    ];
    let group = members(&group, u)?;
    members(&[("WorkGroup", group)], u)
}

/// A refusal; its code may be in a header instead. Only who was told a secret can repeat it.
fn error(u: &mut Unstructured<'_>, operation: &str, headers: &mut Vec<(String, Vec<u8>)>) -> Result<Value> {
    let row = u.choose(CATALOGUE)?;
    let code = row.codes.first().copied().unwrap_or("UnknownException");
    let code = match u.int_in_range(0..=7)? {
        1 => format!("com.amazonaws.athena#{code}:http://internal"),
        2 => text(u)?,
        _ => code.to_owned(),
    };
    if !u.ratio(7, 8)? {
        headers.push(("x-amzn-errortype".into(), code.clone().into_bytes()));
    }
    let said = if matches!(operation, "ListSessions" | "TerminateSession") { text(u)? } else { message(u)? };
    let said = if u.ratio(1, 2)? { format!("{} {said}", row.text.example(ID)) } else { said };
    // So a refused signature is told, with the request behind it.
    let quoted = format!(
        "\n\nThe Canonical String for this request should have been\n'x-amz-security-token:{}\n'",
        secrets::TOKEN
    );
    let said = if u.ratio(7, 8)? { said } else { said + &quoted };
    let name = *u.choose(&["Message", "message"])?;
    members(
        &[
            ("__type", json!(code)),
            (name, json!(said)),
            ("AthenaErrorCode", json!(*u.choose(&["INVALID_INPUT", "IDEMPOTENT_PARAMETER_MISMATCH"])?)),
        ],
        u,
    )
}

fn sts_identity(u: &mut Unstructured<'_>) -> Result<String> {
    let account = match u.int_in_range(0..=7)? {
        1 => "1".repeat(13),
        2 => text(u)?,
        3 => "111111111111".to_owned(),
        4 => "\u{660}".repeat(6),
        _ => ACCOUNT.to_owned(),
    };
    Ok(format!(
        "<GetCallerIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><GetCallerIdentityResult><Arn>{}</Arn>\
         <Account>{account}</Account></GetCallerIdentityResult></GetCallerIdentityResponse>",
        text(u)?
    ))
}

fn sts_error(u: &mut Unstructured<'_>) -> Result<String> {
    let row = u.choose(CATALOGUE)?;
    let code = row.codes.first().copied().unwrap_or_default();
    let quoted = format!(
        "{} The Canonical String for this request should have been\n'x-amz-security-token:{}'",
        text(u)?,
        secrets::TOKEN
    );
    let message = if u.ratio(1, 2)? { quoted } else { text(u)? };
    Ok(format!(
        "<ErrorResponse><Error><Code>{code}</Code><Message>{message}</Message></Error></ErrorResponse>"
    ))
}
