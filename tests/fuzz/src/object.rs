//! Objects as the API server may deliver them: read, or reported as unreadable; then decided about, again and again, while time passes, people edit them
//! and Athena says what it likes.

use std::ops::ControlFlow;

use arbitrary::{Result, Unstructured};
use athena_operator::api::{AthenaSession, FINALIZER};
use athena_operator::controller::trigger::Received;
use athena_operator::session::attempt::Attempt;
use athena_operator::session::environment::Environment;
use athena_operator::session::events;
use athena_operator::session::invalid_object::{Action, plan, unreadable_field};
use athena_operator::session::lifecycle::{next_step, wake_time};
use athena_operator::session::local_state::LocalState;
use athena_operator::session::ownership::{attempt, is_account_unknown};
use athena_operator::session::pass::{Answer, Found, OperatorDecisions, Pass, Request, Write, Written};
use athena_operator::session::reply::{ErrorClass, Look, Refusal};
use athena_operator::session::retained::Retained;
use athena_operator::session::status::{Outcome, seconds, status_after};
use athena_operator::session::step::{Seen, Step};
use harness::merge;
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kube::api::DynamicObject;
use serde_json::{Value, json};

use crate::circumstances::{circumstances, jitter, look, message, refusal, session, work_group};
use crate::grammar::{self, ID, STATES, UID, text};
use crate::{planted, rules, secrets};

/// Input that begins with `{` is the JSON of an object, up to a NUL; the rest, or all of it, says what is made and what happens.
pub fn object(data: &[u8]) {
    let data = secrets::scrubbed(data);
    let (text, rest) = match data.iter().position(|byte| *byte == 0).map(|end| data.split_at(end)) {
        Some((text, rest)) if text.starts_with(b"{") => (Some(text), rest),
        None if data.starts_with(b"{") => (Some(&*data), &[][..]),
        _ => (None, &*data),
    };
    // Too short an input for what is to be made ends it.
    let _ = play(text, &mut Unstructured::new(rest));
}

fn play(text: Option<&[u8]>, u: &mut Unstructured<'_>) -> Result<()> {
    let at = circumstances(u)?;
    let raw = match text {
        Some(text) => match serde_json::from_slice::<Value>(text) {
            Ok(raw) if raw.is_object() => grammar::with_secrets(with_metadata(raw)),
            _ => return Ok(()),
        },
        None => grammar::object(u, at.now)?,
    };
    let Ok(received) = serde_json::from_str::<Received>(&raw.to_string()) else { return Ok(()) };
    // As the operator reads what the watch could not.
    let read = serde_json::from_value::<DynamicObject>(raw.clone())
        .ok()
        .and_then(|object| serde_json::to_value(object).ok());
    let Some(read) = read else { return Ok(()) };
    let field = unreadable_field(&read);
    assert_eq!(
        received.0.is_err(),
        field.is_some(),
        "the watch and the operator do not agree whether it can be read: {field:?} {read}"
    );
    match received.0 {
        Err(_) => check_unreadable(&read, at.now),
        // A list can be read as if it were an object with these members in order; the API server takes none.
        Ok(_) if ["spec", "status"].iter().any(|member| raw[member].is_array()) => {}
        // Whole, as it is when a request is made of it.
        Ok(_) => {
            let Ok(object) = serde_json::from_value(raw.clone()) else { return Ok(()) };
            Play { raw, object, known: LocalState::met(at.now), at, u }.run()?;
        }
    }
    Ok(())
}

/// `raw` with what the API server itself puts into the metadata of every object.
fn with_metadata(mut raw: Value) -> Value {
    let kept: serde_json::Map<String, Value> = raw["metadata"]
        .as_object()
        .into_iter()
        .flatten()
        .filter(|(name, _)| {
            matches!(name.as_str(), "finalizers" | "deletionTimestamp" | "labels" | "annotations")
        })
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    let own = json!({ "name": "nightly", "namespace": "team", "uid": UID, "resourceVersion": "7", "generation": 2 });
    raw["metadata"] = kept.into();
    merge(&mut raw["metadata"], &own);
    (raw["apiVersion"], raw["kind"]) = ("athena-operator.io/v1alpha1".into(), "AthenaSession".into());
    raw
}

/// What the report of an object that cannot be read writes.
const REPORTED: [&str; 2] = ["status.conditions", "status.observedGeneration"];

/// An object that cannot be read is told once, or let go.
fn check_unreadable(raw: &Value, now: Timestamp) {
    let Some(field) = unreadable_field(raw) else { return };
    secrets::check("the field in the way", &field);
    let next = match plan(raw, &field, now) {
        Action::Nothing => return,
        Action::Report { patch, message } => {
            rules::check_event(&events::unreadable(&message));
            rules::apply(raw, &patch)
        }
        Action::Release(patch) => {
            rules::check_event(&events::retained(&Retained::of_unreadable(raw)));
            let mut next = raw.clone();
            merge(&mut next, &patch);
            next
        }
    };
    match unreadable_field(&next) {
        Some(again) if again == field => {
            assert_eq!(
                plan(&next, &again, now + SignedDuration::from_hours(1)),
                Action::Nothing,
                "it is told again"
            );
        }
        // The report itself has mended what it writes, and another member is in the way.
        Some(_) if field == "status" || REPORTED.iter().any(|member| field.starts_with(member)) => {
            check_unreadable(&next, now);
        }
        Some(another) => panic!("{field} was in the way, and now {another}"),
        // The report itself may have mended a status that was none.
        None => assert_ne!(raw["status"], next["status"]),
    }
}

struct Play<'a, 'b> {
    raw: Value,
    object: AthenaSession,
    known: LocalState,
    at: Environment,
    u: &'a mut Unstructured<'b>,
}

impl Play<'_, '_> {
    fn run(mut self) -> Result<()> {
        for _ in 0..self.u.int_in_range(1..=12)? {
            self.happen()?;
            if matches!(self.pass(true)?, Step::Done | Step::Release) {
                return Ok(());
            }
            if self.u.is_empty() {
                break;
            }
        }
        // Time stands still and Athena does not answer: it has to come to rest.
        for passes in 0.. {
            let step = self.pass(false)?;
            if matches!(step, Step::Done | Step::Rest | Step::Wait | Step::Release) {
                return Ok(());
            }
            assert!(
                passes < 20,
                "it does not come to rest after {step:?}: {} {:?}",
                self.raw["status"],
                self.known
            );
        }
        Ok(())
    }

    /// What happens between two passes.
    fn happen(&mut self) -> Result<()> {
        const PASSED: [i64; 14] = [0, 1, 3, 10, 31, 61, 300, 301, 600, 601, 1201, 3600, 100_000, -3600];
        let now = self.at.now + SignedDuration::from_secs(*self.u.choose(&PASSED)?);
        self.at.now =
            now.clamp(Timestamp::UNIX_EPOCH, Timestamp::new(4_200_000_000, 0).unwrap_or(Timestamp::MAX));
        match self.u.int_in_range(0..=11)? {
            1 => {
                let suspend = self.u.arbitrary::<bool>()?;
                self.edit(&json!({ "suspend": suspend }));
            }
            2 => {
                let policy = *self.u.choose(&["Retain", "Terminate"])?;
                self.edit(&json!({ "deletionPolicy": policy }));
            }
            3 => {
                let (policy, restarts) =
                    (*self.u.choose(&["OnFailure", "Never"])?, self.u.arbitrary::<i32>()?);
                self.edit(&json!({ "restartPolicy": policy, "maxRestarts": restarts }));
            }
            4 => {
                let (deadline, ttl) = (self.u.arbitrary::<i32>()?, self.u.arbitrary::<i32>()?);
                self.edit(&json!({ "activeDeadlineSeconds": deadline, "ttlSecondsAfterFinished": ttl }));
            }
            5 => self.replace(&json!({ "metadata": { "deletionTimestamp": seconds(self.at.now) } })),
            // Another process takes over.
            6 => self.known = LocalState::met(self.at.now),
            7 => self.known.missed(Some(self.at.now), self.at.now.as_second() % 2 == 0),
            8 => {
                if let (true, Some(id)) = (
                    self.known.trusts(ID),
                    self.object.status.as_ref().and_then(|status| status.session_id.clone()),
                ) {
                    self.known.rely_on_sweeps(&id);
                }
            }
            9 => {
                self.at.identity.account =
                    if self.u.arbitrary()? { None } else { Some("111111111111".into()) }
            }
            _ => {}
        }
        Ok(())
    }

    /// People change the spec.
    fn edit(&mut self, spec: &Value) {
        let generation = self.object.metadata.generation.unwrap_or_default() + 1;
        self.replace(&json!({ "metadata": { "generation": generation }, "spec": spec }));
    }

    fn replace(&mut self, patch: &Value) {
        merge(&mut self.raw, patch);
        self.reread();
    }

    fn reread(&mut self) {
        self.object = serde_json::from_value(self.raw.clone())
            .unwrap_or_else(|error| panic!("what was written cannot be read: {error}: {}", self.raw));
    }

    /// One reconcile, without its effects on Athena. Unless it is `answered`, no call is.
    fn pass(&mut self, answered: bool) -> Result<Step> {
        let seen = self.sighted(answered)?;
        let object = self.object.clone();
        let mut pass =
            Pass::new(&OperatorDecisions, &object, None, std::mem::take(&mut self.known), seen, &self.at);
        // A write that conflicts has no effect.
        let effective = !answered || self.u.ratio(15, 16)?;
        for requests in 0.. {
            assert!(requests < 16, "the pass does not end");
            let request = match pass.next(&self.at) {
                ControlFlow::Continue(request) => request,
                ControlFlow::Break(_) => break,
            };
            let answer = match request {
                Request::Write(write) => Answer::Written(self.write(&pass, &write, effective)),
                request => self.answer(&pass, &request, answered)?,
            };
            self.at.jitter = jitter(self.u)?;
            pass.answered(answer, &self.at);
        }
        let step = pass.step.clone();
        let (known, report) = pass.finish();
        self.known = known;
        if let Some(event) = &report.event {
            rules::check_event(event);
        }
        if report.status.is_some() {
            self.check_rest();
        }
        Ok(step)
    }

    /// What sweeps have shown before it.
    fn sighted(&mut self, answered: bool) -> Result<Seen> {
        let mut seen = Seen::default();
        let id = self.object.status.as_ref().and_then(|status| status.session_id.clone());
        let at = Environment { jitter: 0.5, ..self.at.clone() };
        if let Some(id) = id.as_deref().filter(|_| answered)
            && !self.u.ratio(7, 8)?
        {
            let session = session(self.u, &self.object.spec, at.now)?.redacted(&self.object.spec);
            seen.look = self.known.sighted(session, UID, id, &at);
            seen.look_time = seen.look.is_some().then_some(at.now);
        }
        Ok(seen)
    }

    /// What the API server makes of a write.
    fn write(&mut self, pass: &Pass<'_>, write: &Write, effective: bool) -> Written {
        let object = pass.object;
        let held = object.metadata.finalizers.iter().flatten().any(|name| name == FINALIZER);
        match write {
            Write::AddFinalizer => {
                assert!(!held, "the finalizer is there already");
                if !effective {
                    return Written::Conflict;
                }
                let others = object
                    .metadata
                    .finalizers
                    .iter()
                    .flatten()
                    .filter(|name| *name != FINALIZER)
                    .map(String::as_str);
                let finalizers: Vec<&str> = others.chain([FINALIZER]).collect();
                self.replace(&json!({ "metadata": { "finalizers": finalizers } }));
            }
            Write::Delete => {
                self.replace(&json!({ "metadata": { "deletionTimestamp": seconds(self.at.now) } }));
            }
            Write::RemoveFinalizer => {
                let retained = Retained::of(object, &pass.state);
                rules::check_event(
                    &retained.map_or_else(|| events::release(object), |retained| events::retained(&retained)),
                );
            }
            Write::Status { status, .. } => {
                rules::check_conditions(object, status);
                planted::object(status);
                let raw = rules::written(&self.raw, object, status);
                if !effective {
                    return Written::Conflict;
                }
                self.raw = raw;
                self.reread();
            }
        }
        Written::Yes(None)
    }

    /// What Athena, the rate limiter and the API server say.
    fn answer(&mut self, pass: &Pass<'_>, request: &Request, answered: bool) -> Result<Answer> {
        let (object, now) = (pass.object, self.at.now);
        Ok(match request {
            Request::Look { .. } => {
                let look = if answered { look(self.u, object, now)? } else { Look::Failed(unanswered()) };
                Answer::Look(look.redacted(&object.spec), now)
            }
            // No list that tells more may begin yet.
            Request::Search(from) if *from > now => Answer::Wait,
            Request::Search(_) if answered => self.search(object)?,
            Request::AskTime => {
                if answered && self.u.ratio(3, 4)? {
                    self.at.is_time_certain = true;
                    return Ok(Answer::Done);
                }
                Answer::Refused(unanswered())
            }
            Request::ReadWorkGroup => Answer::WorkGroup(match (answered, self.u.ratio(3, 4)?) {
                (true, true) => Ok(()),
                (true, false) => Err(refusal(self.u)?.redacted(&object.spec)),
                (false, _) => Err(unanswered()),
            }),
            Request::ReadAgain => Answer::Found(Found::Same),
            Request::EndLeaked { .. } | Request::Turn(_) | Request::AwaitTime { .. } => Answer::Done,
            Request::Start(_) | Request::Terminate { .. } | Request::Search(_) if !answered => {
                Answer::Refused(unanswered())
            }
            Request::Start(_) => self.start(object)?,
            Request::Terminate { .. } if self.u.arbitrary()? => Answer::Done,
            Request::Terminate { .. } | Request::Search(_) => {
                Answer::Refused(refusal(self.u)?.redacted(&object.spec))
            }
            Request::Write(_) => Answer::Written(Written::Conflict),
        })
    }

    fn search(&mut self, object: &AthenaSession) -> Result<Answer> {
        let now = self.at.now;
        if self.u.ratio(1, 4)? {
            return Ok(Answer::Refused(refusal(self.u)?.redacted(&object.spec)));
        }
        let count = self.u.int_in_range(0..=3)?;
        let sessions = (0..count)
            .map(|_| Ok(session(self.u, &object.spec, now)?.redacted(&object.spec)))
            .collect::<Result<_>>()?;
        Ok(Answer::Listed(sessions, now))
    }

    fn start(&mut self, object: &AthenaSession) -> Result<Answer> {
        if let Some(refusal) = work_group(self.u)?.refuses(&object.spec) {
            return Ok(Answer::Refused(refusal));
        }
        if !self.u.arbitrary::<bool>()? {
            return Ok(Answer::Refused(refusal(self.u)?.redacted(&object.spec)));
        }
        let id = if self.u.ratio(7, 8)? { ID.to_owned() } else { "x".to_owned() + &text(self.u)? };
        let state =
            if self.u.ratio(7, 8)? { (*self.u.choose(&STATES)?).to_owned() } else { message(self.u)? };
        Ok(Answer::Started(id, athena_operator::session::redaction::redacted(&state, &object.spec).into()))
    }

    /// What was written is not written again, and whatever waits is woken.
    fn check_rest(&mut self) {
        for writes in 0.. {
            assert!(writes < 2, "it is written again and again: {}", self.raw["status"]);
            let again = status_after(&self.object, &self.known, &Step::Wait, &Outcome::Nothing, &self.at);
            if Some(&again) == self.object.status.as_ref() {
                break;
            }
            self.raw = rules::written(&self.raw, &self.object, &again);
            self.reread();
        }
        let swept = self.known.next_time().is_none() && !self.known.is_due(self.at.now);
        // Once the account is known, all objects are triggered.
        let is_told = self.at.identity.account.is_some();
        // Where nothing tells whose an attempt is, and no list has its session, it waits for a person.
        let is_unknown = matches!(attempt(&self.object, &self.known), Attempt::Unknown(made) if is_account_unknown(&made, &self.known, &self.at.identity));
        let is_for_a_person = is_unknown && self.known.next_time().is_none();
        if next_step(&self.object, &self.known, &Seen::default(), &self.at) == Step::Wait
            && !swept
            && is_told
            && !is_for_a_person
        {
            let time = wake_time(&self.object, &self.known, &self.at);
            assert!(
                time.is_some_and(|time| time > self.at.now),
                "it waits until {time:?} at {}: {} {:?}",
                self.at.now,
                self.raw["status"],
                self.known
            );
        }
    }
}

fn unanswered() -> Refusal {
    Refusal {
        class: ErrorClass::Unanswered,
        reason: "AthenaUnavailable",
        message: "no answer".into(),
        request_id: None,
    }
}
