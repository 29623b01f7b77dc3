//! Objects as the API server may deliver them: read, or reported as unreadable; then decided about, again and again, while time passes, people edit them
//! and Athena says what it likes.

use arbitrary::{Result, Unstructured};
use athena_operator::api::{AthenaSession, FINALIZER};
use athena_operator::events;
use athena_operator::known::Known;
use athena_operator::lifecycle::{Attempt, Circumstances, Seen, Step, attempt, found, is_account_unknown, next_step, search_time, wake_time};
use athena_operator::retained::Retained;
use athena_operator::session::{Class, Look, Refusal, Search};
use athena_operator::status::{Outcome, seconds, status_after};
use athena_operator::unreadable::{Measure, measure, unreadable_field};
use athena_operator::wakes::Received;
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kube::api::DynamicObject;
use serde_json::{Value, json};

use crate::circumstances::{circumstances, jitter, look, message, refusal, session, work_group};
use crate::grammar::{self, ID, STATES, UID, text};
use crate::{rules, schema, secrets};

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
    let read = serde_json::from_value::<DynamicObject>(raw.clone()).ok().and_then(|object| serde_json::to_value(object).ok());
    let Some(read) = read else { return Ok(()) };
    let field = unreadable_field(&read);
    assert_eq!(received.0.is_err(), field.is_some(), "the watch and the operator do not agree whether it can be read: {field:?} {read}");
    match received.0 {
        Err(_) => check_unreadable(&read, at.now),
        // A list can be read as if it were an object with these members in order; the API server takes none.
        Ok(_) if ["spec", "status"].iter().any(|member| raw[member].is_array()) => {}
        // Whole, as it is when a request is made of it.
        Ok(_) => {
            let Ok(object) = serde_json::from_value(raw.clone()) else { return Ok(()) };
            Play { raw, object, known: Known::met(at.now), at, u }.run()?;
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
        .filter(|(name, _)| matches!(name.as_str(), "finalizers" | "deletionTimestamp" | "labels" | "annotations"))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    let own = json!({ "name": "nightly", "namespace": "team", "uid": UID, "resourceVersion": "7", "generation": 2 });
    raw["metadata"] = kept.into();
    schema::merge(&mut raw["metadata"], &own);
    (raw["apiVersion"], raw["kind"]) = ("athena-operator.io/v1alpha1".into(), "AthenaSession".into());
    raw
}

/// What the report of an object that cannot be read writes.
const REPORTED: [&str; 2] = ["status.conditions", "status.observedGeneration"];

/// An object that cannot be read is told once, or let go.
fn check_unreadable(raw: &Value, now: Timestamp) {
    let Some(field) = unreadable_field(raw) else { return };
    secrets::check("the field in the way", &field);
    let next = match measure(raw, &field, now) {
        Measure::Nothing => return,
        Measure::Report { patch, message } => {
            rules::check_event(&events::unreadable(&message));
            rules::apply(raw, &patch)
        }
        Measure::Release(patch) => {
            rules::check_event(&events::retained(&Retained::of_unreadable(raw)));
            let mut next = raw.clone();
            schema::merge(&mut next, &patch);
            next
        }
    };
    match unreadable_field(&next) {
        Some(again) if again == field => {
            assert_eq!(measure(&next, &again, now + SignedDuration::from_hours(1)), Measure::Nothing, "it is told again");
        }
        // The report itself has mended what it writes, and another member is in the way.
        Some(_) if field == "status" || REPORTED.iter().any(|member| field.starts_with(member)) => check_unreadable(&next, now),
        Some(another) => panic!("{field} was in the way, and now {another}"),
        // The report itself may have mended a status that was none.
        None => assert_ne!(raw["status"], next["status"]),
    }
}

struct Play<'a, 'b> {
    raw: Value,
    object: AthenaSession,
    known: Known,
    at: Circumstances,
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
            assert!(passes < 20, "it does not come to rest after {step:?}: {} {:?}", self.raw["status"], self.known);
        }
        Ok(())
    }

    /// What happens between two passes.
    fn happen(&mut self) -> Result<()> {
        const PASSED: [i64; 14] = [0, 1, 3, 10, 31, 61, 300, 301, 600, 601, 1201, 3600, 100_000, -3600];
        let now = self.at.now + SignedDuration::from_secs(*self.u.choose(&PASSED)?);
        self.at.now = now.clamp(Timestamp::UNIX_EPOCH, Timestamp::new(4_200_000_000, 0).unwrap_or(Timestamp::MAX));
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
                let (policy, restarts) = (*self.u.choose(&["OnFailure", "Never"])?, self.u.arbitrary::<i32>()?);
                self.edit(&json!({ "restartPolicy": policy, "maxRestarts": restarts }));
            }
            4 => {
                let (deadline, ttl) = (self.u.arbitrary::<i32>()?, self.u.arbitrary::<i32>()?);
                self.edit(&json!({ "activeDeadlineSeconds": deadline, "ttlSecondsAfterFinished": ttl }));
            }
            5 => self.replace(&json!({ "metadata": { "deletionTimestamp": seconds(self.at.now) } })),
            // Another process takes over.
            6 => self.known = Known::met(self.at.now),
            7 => self.known.missed(Some(self.at.now), self.at.now.as_second() % 2 == 0),
            8 => {
                if let (true, Some(id)) = (self.known.trusts(ID), self.object.status.as_ref().and_then(|status| status.session_id.clone())) {
                    self.known.settle(&id);
                }
            }
            9 => self.at.identity.account = if self.u.arbitrary()? { None } else { Some("111111111111".into()) },
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
        schema::merge(&mut self.raw, patch);
        self.reread();
    }

    fn reread(&mut self) {
        self.object =
            serde_json::from_value(self.raw.clone()).unwrap_or_else(|error| panic!("what was written cannot be read: {error}: {}", self.raw));
    }

    /// One reconcile, without its effects on Athena. Unless it is `answered`, no call is.
    fn pass(&mut self, answered: bool) -> Result<Step> {
        let step = self.observe(answered)?;
        let held = |object: &AthenaSession| object.metadata.finalizers.iter().flatten().any(|name| name == FINALIZER);
        let finalizers = |object: &AthenaSession, present: bool| {
            let others = object.metadata.finalizers.iter().flatten().filter(|name| *name != FINALIZER).map(String::as_str);
            json!({ "metadata": { "finalizers": others.chain(present.then_some(FINALIZER)).collect::<Vec<_>>() } })
        };
        // A write that conflicts has no effect.
        let effective = !answered || self.u.ratio(15, 16)?;
        match &step {
            Step::Done => {}
            Step::AddFinalizer => {
                assert!(!held(&self.object), "the finalizer is there already");
                if effective {
                    self.replace(&finalizers(&self.object, true));
                    self.known.finalizer_added = attempt(&self.object, &self.known) == Attempt::None;
                }
            }
            Step::Delete => self.replace(&json!({ "metadata": { "deletionTimestamp": seconds(self.at.now) } })),
            Step::Release => {
                let retained = Retained::of(&self.object, &self.known);
                rules::check_event(&retained.map_or_else(|| events::release(&self.object), |retained| events::retained(&retained)));
            }
            _ => self.report(&step, answered, effective)?,
        }
        Ok(step)
    }

    fn observe(&mut self, answered: bool) -> Result<Step> {
        let mut seen = Seen::default();
        let id = self.object.status.as_ref().and_then(|status| status.session_id.clone());
        let (now, limits) = (self.at.now, self.at.limits);
        if let Some(id) = id.as_deref().filter(|_| answered)
            && !self.u.ratio(7, 8)?
        {
            let session = session(self.u, &self.object.spec, now)?.redacted(&self.object.spec);
            seen.look = self.known.sighted(session, UID, id, now, &limits);
            seen.look_time = seen.look.is_some().then_some(now);
        }
        for looks in 0.. {
            assert!(looks < 4, "the observation does not end");
            match (next_step(&self.object, &self.known, &seen, &self.at), id.as_deref()) {
                (Step::Look, Some(id)) => {
                    let look = if answered { look(self.u, &self.object, now)? } else { Look::Failed(unanswered()) };
                    let jitter = jitter(self.u)?;
                    seen.look_time = Some(now);
                    seen.look = Some(self.known.looked(look.redacted(&self.object.spec), UID, id, now, &limits, jitter));
                }
                // No list that tells more may begin yet.
                (Step::Search, _) if search_time(&self.object, &self.known, &self.at) > now => return Ok(Step::Wait),
                (Step::Search, _) => {
                    let search = if answered { self.search()? } else { Search::Failed(unanswered()) };
                    let jitter = jitter(self.u)?;
                    self.known.searched(&search, now, &limits, jitter);
                    seen.search = Some(search);
                }
                (Step::AskTime, _) => {
                    if answered && self.u.ratio(3, 4)? {
                        self.at.is_time_certain = true;
                        self.known.time_told();
                        continue;
                    }
                    let refusal = unanswered();
                    self.known.time_refused(&refusal, now);
                    return Ok(Step::Hold(refusal));
                }
                (Step::ReadWorkGroup, _) => {
                    let read = match (answered, self.u.ratio(3, 4)?) {
                        (true, true) => Ok(()),
                        (true, false) => Err(refusal(self.u)?.redacted(&self.object.spec)),
                        (false, _) => Err(unanswered()),
                    };
                    let jitter = jitter(self.u)?;
                    self.known.work_group_read(read.as_ref().copied(), now, jitter);
                    seen.work_group = Some(read);
                }
                (step, _) => return Ok(step),
            }
        }
        Ok(Step::Wait)
    }

    fn search(&mut self) -> Result<Search> {
        let now = self.at.now;
        if self.u.ratio(1, 4)? {
            return Ok(Search::Failed(refusal(self.u)?.redacted(&self.object.spec)));
        }
        let count = self.u.int_in_range(0..=3)?;
        let sessions = (0..count).map(|_| Ok(session(self.u, &self.object.spec, now)?.redacted(&self.object.spec))).collect::<Result<_>>()?;
        Ok(found(sessions, &self.object, &self.known, now))
    }

    /// What the call of `step` comes to.
    fn act(&mut self, step: &Step, answered: bool) -> Result<Outcome> {
        let (now, limits, jitter) = (self.at.now, self.at.limits, jitter(self.u)?);
        let accepted = answered && self.u.arbitrary()?;
        let refusal = if answered { refusal(self.u)?.redacted(&self.object.spec) } else { unanswered() };
        Ok(match step {
            Step::Start(number) => {
                let told = if answered { work_group(self.u)?.refuses(&self.object.spec) } else { None };
                if let Some(refusal) = told {
                    self.known.start_refused(refusal.clone(), false, now, jitter);
                    return Ok(Outcome::Refused(refusal));
                }
                let doubted = self.known.starting();
                if !accepted {
                    self.known.start_refused(refusal.clone(), doubted, now, jitter);
                    return Ok(Outcome::Refused(refusal));
                }
                let id = if self.u.ratio(7, 8)? { ID.to_owned() } else { "x".to_owned() + &text(self.u)? };
                let state = if self.u.ratio(7, 8)? { (*self.u.choose(&STATES)?).to_owned() } else { message(self.u)? };
                let state = athena_operator::redaction::redacted(&state, &self.object.spec);
                self.known.started(*number, &id, &state, now, &limits);
                Outcome::Started { id, state }
            }
            Step::Terminate if accepted => {
                self.known.terminated(now, &limits, jitter);
                Outcome::Nothing
            }
            Step::Terminate => {
                self.known.terminate_refused(refusal.clone(), now, jitter);
                Outcome::Refused(refusal)
            }
            _ => Outcome::Nothing,
        })
    }

    fn report(&mut self, step: &Step, answered: bool, effective: bool) -> Result<()> {
        let outcome = self.act(step, answered)?;
        let status = status_after(&self.object, &self.known, step, &outcome, &self.at);
        rules::check_conditions(&self.object, &status);
        if let Some(event) = events::event(self.object.status.as_ref(), &status, step, &outcome, &self.known) {
            rules::check_event(&event);
        }
        let raw = rules::written(&self.raw, &self.object, &status);
        if !effective {
            return Ok(());
        }
        let withdrawn = matches!(attempt(&self.object, &self.known), Attempt::Withdrawn(_));
        self.raw = raw;
        self.reread();
        if let (Step::Record(number), Some(time)) = (step, &status.attempt_time) {
            self.known.recorded(*number, time.0, withdrawn);
        }
        self.known.session_recorded();
        self.check_rest();
        Ok(())
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
        let is_unknown =
            matches!(attempt(&self.object, &self.known), Attempt::Unknown(made) if is_account_unknown(&made, &self.known, &self.at.identity));
        let is_for_a_person = is_unknown && self.known.next_time().is_none();
        if next_step(&self.object, &self.known, &Seen::default(), &self.at) == Step::Wait && !swept && is_told && !is_for_a_person {
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
    Refusal { class: Class::Unanswered, reason: "AthenaUnavailable", message: "no answer".into(), request_id: None }
}
