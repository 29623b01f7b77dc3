//! The table of steps, run on every combination of what it can be given.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::sync::OnceLock;

use athena_operator::api::{AthenaSession, AthenaSessionStatus, FINALIZER, SessionState};
use athena_operator::athena::CATALOGUE;
use athena_operator::session::after_end::{AfterEnd, after_end};
use athena_operator::session::attempt::Attempt;
use athena_operator::session::environment::{Environment, Identity, Limits};
use athena_operator::session::events::{self, event, release, ttl_under_gitops};
use athena_operator::session::invalid_object::{Action, plan};
use athena_operator::session::lifecycle::{next_step, wants_stopped};
use athena_operator::session::local_state::LocalState;
use athena_operator::session::ownership::attempt;
use athena_operator::session::pass::{Answer, Found, OperatorDecisions, Pass, Request, Write};
use athena_operator::session::refused_write;
use athena_operator::session::reply::{Details, ErrorClass, Look, Refusal, Search, Session};
use athena_operator::session::retained::Retained;
use athena_operator::session::status::{Outcome, condition, status_after};
use athena_operator::session::step::{Seen, Step};
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kube::ResourceExt;
use serde_json::{Value, json};

const UID: &str = "8f3f1f6e-8b0e-4b60-9d5c-6a4c1b0c7f11";
/// When everything that the objects carry happened.
const BEGUN: &str = "2026-01-01T00:00:00Z";
const ID: &str = "5d0a2d1c-7b1f-4c7a-9a52-2f9f0c3b8e41";

/// The name of a step, and which it is of its kind.
pub(crate) type Label = (&'static str, String);

/// What the table makes of all combinations.
#[derive(Default)]
pub(crate) struct Enumeration {
    /// The steps that change something, by the kind of attempt before and after.
    pub(crate) edges: BTreeMap<(&'static str, &'static str), BTreeSet<Label>>,
    /// The names of all steps taken.
    pub(crate) steps: BTreeSet<&'static str>,
    /// The rows of conditions reported, and what Available was in them.
    pub(crate) rows: BTreeMap<Row, BTreeSet<String>>,
    /// The reasons of all events.
    pub(crate) events: BTreeSet<String>,
    /// An object for each status and reason of Ready, one with the operator's finalizer where there is one.
    pub(crate) specimens: BTreeMap<(String, String), AthenaSession>,
}

/// A row of the condition matrix.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Row {
    /// Reason of all conditions.
    pub(crate) reason: String,
    /// Status of Ready.
    pub(crate) ready: String,
    /// Reconciling, Stalled or nothing.
    pub(crate) flag: &'static str,
}

/// The kinds of attempt that the diagram tells apart, in its order.
pub(crate) const KINDS: [&str; 10] = [
    "NoAttempt",
    "Withdrawn",
    "Unknown",
    "Starting",
    "Running",
    "Ending",
    "Suspended",
    "Restarting",
    "Finished",
    "Gone",
];

fn kind(object: &AthenaSession, known: &LocalState, at: &Environment) -> &'static str {
    match attempt(object, known) {
        Attempt::None => "NoAttempt",
        Attempt::Withdrawn(_) => "Withdrawn",
        Attempt::Unknown(_) => "Unknown",
        Attempt::Live(..) if wants_stopped(object) => "Ending",
        Attempt::Live(..) => {
            match object.status.as_ref().and_then(|status| status.state.as_ref().map(SessionState::as_str)) {
                None | Some("CREATING" | "CREATED") => "Starting",
                Some("TERMINATING") => "Ending",
                Some(_) => "Running",
            }
        }
        Attempt::Over(..) => match after_end(object, at) {
            AfterEnd::Attempt { resumed: true, .. } => "Suspended",
            AfterEnd::Attempt { .. } => "Restarting",
            AfterEnd::Deletion { .. } | AfterEnd::None => "Finished",
        },
    }
}

/// The names of all steps.
pub(crate) const STEPS: [&str; 19] = [
    "Done",
    "Rest",
    "Wait",
    "Look",
    "Search",
    "AddFinalizer",
    "ReadWorkGroup",
    "Hold",
    "Reject",
    "Record",
    "Start",
    "Adopt",
    "Mirror",
    "Stop",
    "Terminate",
    "Conclude",
    "Suspend",
    "Delete",
    "Release",
];

/// The step's name. One that no combination leads to has none here.
fn name(step: &Step) -> &'static str {
    let shown = format!("{step:?}");
    let word = shown.split(|letter: char| !letter.is_alphanumeric()).next();
    STEPS.into_iter().find(|name| Some(*name) == word).unwrap_or_else(|| panic!("{shown} has no name"))
}

/// What the diagram calls a step with its outcome: its name, and which it is of its kind.
fn label(step: &Step, outcome: &Outcome) -> Label {
    let which = match (step, outcome) {
        (Step::Stop(cause, _), _) => cause.as_str(),
        (Step::Conclude(reason), _) => reason.as_str(),
        (Step::Start(_), Outcome::Refused(refusal)) if refusal.class == ErrorClass::Rejected => "rejected",
        (Step::Start(_), Outcome::Refused(_)) => "refused",
        (Step::Start(_), _) => "started",
        _ => "",
    };
    (name(step), which.to_owned())
}

/// All combinations, run once.
pub(crate) fn all() -> &'static Enumeration {
    static ALL: OnceLock<Enumeration> = OnceLock::new();
    ALL.get_or_init(|| {
        let statuses = statuses();
        let halves = statuses.split_at(statuses.len() / 2);
        std::thread::scope(|scope| {
            let half = scope.spawn(|| run(halves.0));
            let mut all = run(halves.1);
            all.extend(half.join().expect("no combination fails"));
            all.unreadable();
            all.refused_writes();
            all
        })
    })
}

fn run(statuses: &[Option<AthenaSessionStatus>]) -> Enumeration {
    let mut all = Enumeration::default();
    for status in statuses {
        for object in objects(status.as_ref()) {
            for at in circumstances() {
                for (known, seen) in knowledge(&object, &at) {
                    all.decide(&object, &known, &seen, &at);
                }
            }
        }
    }
    all
}

impl Enumeration {
    fn extend(&mut self, other: Self) {
        for (edge, labels) in other.edges {
            self.edges.entry(edge).or_default().extend(labels);
        }
        for (row, available) in other.rows {
            self.rows.entry(row).or_default().extend(available);
        }
        for (key, object) in other.specimens {
            self.specimen(key, &object, None);
        }
        self.steps.extend(other.steps);
        self.events.extend(other.events);
    }

    /// Notes what is said of an object that cannot be read.
    fn unreadable(&mut self) {
        let object = json!({ "metadata": { "name": "unreadable", "namespace": "n", "resourceVersion": "1", "generation": 1 } });
        let Action::Report { patch, message } = plan(&object, "spec", Timestamp::UNIX_EPOCH) else {
            panic!("it is reported")
        };
        let status: AthenaSessionStatus = serde_json::from_value(patch["status"].clone()).expect("a status");
        let mut readable = AthenaSession::new(
            "unreadable",
            serde_json::from_value(json!({ "workGroup": "w" })).expect("a spec"),
        );
        readable.metadata.generation = Some(1);
        self.row(&readable, &status);
        self.events.insert(events::unreadable(&message).reason.into_owned());
    }

    /// Notes what is said of an object on which the operator cannot put its finalizer, or put it back, at first and after ten minutes.
    fn refused_writes(&mut self) {
        let begun: Timestamp = BEGUN.parse().expect("a time");
        let mut known = LocalState::met(begun);
        let at_begin = Environment { now: begun, ..circumstances().remove(0) };
        let said = "admission webhook \"labels.example.org\" denied the request: the label team is missing";
        known.write_refused(refused_write::ADD_FINALIZER, said, None, &at_begin);
        let live = statuses()
            .into_iter()
            .flatten()
            .find(|status| status.state.as_ref().map(SessionState::as_str) == Some("IDLE"));
        for status in [None, live] {
            for object in
                objects(status.as_ref()).iter().filter(|object| object.metadata.deletion_timestamp.is_none())
            {
                for at in circumstances() {
                    self.row(object, &status_after(object, &known, &Step::Wait, &Outcome::Nothing, &at));
                    let told = known.clone().refused_write_to_tell(&at);
                    self.events.extend(
                        told.map(|(what, message)| events::write_refused(what, &message).reason.into_owned()),
                    );
                }
            }
        }
    }

    fn decide(&mut self, object: &AthenaSession, known: &LocalState, seen: &Seen, at: &Environment) {
        let step = next_step(object, known, seen, at);
        assert_eq!(
            step,
            next_step(&object.clone(), &known.clone(), &seen.clone(), &at.clone()),
            "the same, decided twice"
        );
        self.steps.insert(name(&step));
        let mut told = |event: Option<athena_operator::session::events::Event>| {
            self.events.extend(event.map(|event| event.reason.into_owned()));
        };
        told(ttl_under_gitops(object, None));
        let before = kind(object, known, at);
        match step {
            Step::Done => {}
            Step::Release => {
                told(Some(
                    Retained::of(object, known)
                        .map_or_else(|| release(object), |retained| events::retained(&retained)),
                ));
                self.edge(before, &step, &Outcome::Nothing, "Gone");
            }
            Step::AddFinalizer => self.edge(before, &step, &Outcome::Nothing, before),
            Step::Delete => {
                let after = if object.metadata.finalizers.is_none() { "Gone" } else { before };
                self.edge(before, &step, &Outcome::Nothing, after);
            }
            _ => {
                for (pass, status) in
                    ways(Pass::new(&OperatorDecisions, object, None, known.clone(), seen.clone(), at), at)
                {
                    let (outcome, known) = (pass.outcome.clone(), pass.state.clone());
                    self.events.extend(
                        event(object.status.as_ref(), &status, &step, &outcome, &known)
                            .map(|event| event.reason.into_owned()),
                    );
                    self.row(object, &status);
                    if plausible(object, seen) {
                        let after = AthenaSession { status: Some(status), ..object.clone() };
                        self.edge(before, &step, &outcome, kind(&after, &known, at));
                    }
                }
            }
        }
    }

    fn edge(&mut self, before: &'static str, step: &Step, outcome: &Outcome, after: &'static str) {
        // What leads nowhere is of interest where it is tried again, and before the first attempt.
        let again = matches!(step, Step::Start(_) | Step::Record(_) | Step::Terminate)
            || *step == Step::AddFinalizer && before == "NoAttempt";
        if before != after || again {
            self.edges.entry((before, after)).or_default().insert(label(step, outcome));
        }
    }

    /// Notes the row of `status`, which must be exactly one, and one that kstatus reads right.
    fn row(&mut self, object: &AthenaSession, status: &AthenaSessionStatus) {
        let conditions = status.conditions.as_deref().unwrap_or_default();
        let types: Vec<&str> = conditions.iter().map(|condition| condition.type_.as_str()).collect();
        let ready = condition(status, "Ready").expect("Ready is always there");
        let available = condition(status, "Available").expect("Available is always there");
        let deleting = object.metadata.deletion_timestamp.is_some();
        let flag = match (ready.status.as_str(), deleting, types.as_slice()) {
            ("True", false, ["Ready", "Available"]) | ("False", true, ["Ready", "Available"]) => "",
            ("Unknown", false, ["Ready", "Available", "Reconciling"]) => "Reconciling",
            ("False", false, ["Ready", "Available", "Stalled"]) => "Stalled",
            _ => panic!("not a row of the matrix: {conditions:?}"),
        };
        assert!(
            conditions
                .iter()
                .all(|condition| condition.reason == ready.reason && condition.message == ready.message)
        );
        assert_eq!(status.observed_generation, object.metadata.generation);
        let held = object.finalizers().iter().any(|name| name == FINALIZER);
        // Where nothing lives, the next step lets it go.
        let waits = deleting && held && ready.message != "no session of the object runs";
        assert!(
            !waits || ready.message.contains("kubectl patch athenasession"),
            "what lets it go? {}",
            ready.message
        );
        let row = Row { reason: ready.reason.clone(), ready: ready.status.clone(), flag };
        self.specimen((row.ready.clone(), row.reason.clone()), object, Some(status));
        self.rows.entry(row).or_default().insert(available.status.clone());
    }

    /// Keeps `object`, with `status` in place of its own, if it shows better than the one that is kept.
    fn specimen(
        &mut self,
        key: (String, String),
        object: &AthenaSession,
        status: Option<&AthenaSessionStatus>,
    ) {
        let held = |object: &AthenaSession| object.metadata.finalizers.is_some();
        if self.specimens.get(&key).is_none_or(|kept| held(object) && !held(kept)) {
            self.specimens.insert(
                key,
                AthenaSession { status: status.or(object.status.as_ref()).cloned(), ..object.clone() },
            );
        }
    }
}

/// Whether Athena can show this look of a session in the state that is recorded: its states lead only forward.
fn plausible(object: &AthenaSession, seen: &Seen) -> bool {
    let order = [
        "CREATING",
        "CREATED",
        "IDLE",
        "BUSY",
        "HIBERNATING",
        "DEGRADED",
        "TERMINATING",
        "TERMINATED",
        "FAILED",
    ];
    let rank = |state: &str| order.iter().position(|known| *known == state);
    let recorded = object.status.as_ref().and_then(|status| rank(status.state.as_ref()?.as_str()));
    let Some(Look::Seen(session)) = &seen.look else { return true };
    rank(session.state.as_str()) >= recorded || session.state.as_str() == "IDLE" && recorded == rank("BUSY")
}

/// Every way in which a pass goes on where its call is answered, up to the status that it reports. What it asks for before has to wait.
fn ways<'a>(mut pass: Pass<'a>, at: &Environment) -> Vec<(Pass<'a>, AthenaSessionStatus)> {
    let answers = match pass.next(at) {
        ControlFlow::Break(_) => {
            let status = pass.object.status.clone().unwrap_or_default();
            return vec![(pass, status)];
        }
        ControlFlow::Continue(Request::Write(Write::Status { status, .. })) => return vec![(pass, *status)],
        ControlFlow::Continue(Request::Write(write)) => panic!("these steps write the status: {write:?}"),
        ControlFlow::Continue(
            Request::AskTime | Request::Look { .. } | Request::Search(_) | Request::ReadWorkGroup,
        ) => vec![Answer::Wait],
        ControlFlow::Continue(Request::EndLeaked { .. } | Request::Turn(_) | Request::AwaitTime { .. }) => {
            vec![Answer::Done]
        }
        ControlFlow::Continue(Request::ReadAgain) => vec![Answer::Found(Found::Same)],
        ControlFlow::Continue(Request::Start(_)) => refusals()
            .into_iter()
            .map(Answer::Refused)
            .chain([Answer::Started(ID.into(), "CREATING".into())])
            .collect(),
        ControlFlow::Continue(Request::Terminate { .. }) => {
            vec![Answer::Refused(refusal(ErrorClass::MayHeal, "AccessDenied")), Answer::Done]
        }
    };
    let go_on = |answer| {
        let mut pass = pass.clone();
        pass.answered(answer, at);
        ways(pass, at)
    };
    answers.into_iter().flat_map(go_on).collect()
}

fn refusal(class: ErrorClass, reason: &'static str) -> Refusal {
    Refusal { class, reason, message: "what Athena says".into(), request_id: None }
}

/// One refusal for each reason of the catalogue, and of a call that the operator's own credentials forbid.
fn refusals() -> Vec<Refusal> {
    let mut reasons: BTreeMap<&'static str, ErrorClass> =
        CATALOGUE.iter().map(|entry| (entry.reason, entry.class)).collect();
    reasons.insert("AccountChanged", ErrorClass::MayHeal);
    reasons
        .into_iter()
        .map(|(reason, class)| refusal(class, reason))
        .chain([refusal(ErrorClass::NotSent, "AthenaUnavailable")])
        .collect()
}

fn circumstances() -> Vec<Environment> {
    let begun: Timestamp = BEGUN.parse().expect("a time");
    let account = || Some("000000000000".to_owned());
    // Before everything that waits is over, after the backoff, after all; and before STS has told the account.
    [(0, account()), (1, account()), (30, account()), (30, None)]
        .into_iter()
        .map(|(minutes, account)| Environment {
            now: begun + SignedDuration::from_mins(minutes),
            is_time_certain: true,
            api_server_ahead: Some(SignedDuration::ZERO),
            identity: Identity { region: "eu-west-1".into(), account },
            limits: Limits::default(),
            clock_origin: Timestamp::UNIX_EPOCH,
            jitter: 0.0,
        })
        .collect()
}

/// Every kind of status: no attempt, one that is recorded, live in each state, over for each reason.
fn statuses() -> Vec<Option<AthenaSessionStatus>> {
    let recorded = json!({ "attempt": 0, "attemptTime": BEGUN, "region": "eu-west-1", "accountId": "000000000000", "firstStartTime": BEGUN });
    let and = |further: Value| {
        let mut status = recorded.clone();
        status.as_object_mut().expect("an object").extend(further.as_object().expect("an object").clone());
        status
    };
    let mut all = vec![json!({ "observedGeneration": -1 }), json!({ "attempt": 0 }), recorded.clone()];
    for state in [
        Value::Null,
        "CREATING".into(),
        "CREATED".into(),
        "IDLE".into(),
        "BUSY".into(),
        "TERMINATING".into(),
        "DEGRADED".into(),
    ] {
        all.push(and(json!({ "sessionId": ID, "startTime": BEGUN, "state": state })));
    }
    for cause in ["Suspended", "ActiveDeadline", "StartupDeadline", "Degraded"] {
        for state in ["CREATING", "IDLE", "TERMINATING", "DEGRADED"] {
            all.push(and(json!({ "sessionId": ID, "startTime": BEGUN, "state": state, "stopCause": cause })));
        }
    }
    for reason in ENDS.into_iter().chain(["not a word"]) {
        for session in [Value::Null, ID.into()] {
            for cause in [Value::Null, "Suspended".into()] {
                for restarts in [0, 5] {
                    all.push(and(json!({ "sessionId": session, "endTime": BEGUN, "endReason": reason, "stopCause": cause, "restarts": restarts })));
                }
            }
        }
    }
    for further in [
        json!({}),
        json!({ "sessionId": ID, "state": "IDLE" }),
        json!({ "endReason": "SessionFailed", "endTime": BEGUN }),
    ] {
        let mut elsewhere = and(further);
        elsewhere["region"] = "us-east-1".into();
        all.push(elsewhere);
    }
    let parsed = all.into_iter().map(|status| Some(serde_json::from_value(status).expect("a status")));
    [None].into_iter().chain(parsed).collect()
}

/// The reasons of an end that this version gives.
pub(crate) const ENDS: [&str; 12] = [
    "Suspended",
    "DeadlineExceeded",
    "IdleTimeout",
    "StoppedOutside",
    "SessionFailed",
    "SessionDegraded",
    "StartupDeadlineExceeded",
    "SessionVanished",
    "SessionLost",
    "InvalidRequest",
    "TokenMismatch",
    "SessionAlreadyExists",
];

/// An object with `status` for each combination of what people set.
fn objects(status: Option<&AthenaSessionStatus>) -> Vec<AthenaSession> {
    let both = [false, true];
    let mut all = Vec::new();
    for (deletion, policy) in
        [(Value::Null, "Terminate"), (BEGUN.into(), "Terminate"), (BEGUN.into(), "Retain")]
    {
        for (suspend, held) in both.into_iter().flat_map(|suspend| both.map(|held| (suspend, held))) {
            for restart in ["Never", "OnFailure"] {
                for (deadline, ttl) in
                    [(None, None), (Some(300), None), (None, Some(120)), (Some(300), Some(120))]
                {
                    let object = json!({
                        "apiVersion": "athena-operator.io/v1alpha1", "kind": "AthenaSession",
                        "metadata": {
                            "name": "etl", "namespace": "team", "uid": UID, "generation": 1, "deletionTimestamp": deletion,
                            "finalizers": held.then_some([FINALIZER]), "labels": { "argocd.argoproj.io/instance": "etl" },
                        },
                        "spec": {
                            "workGroup": "etl", "suspend": suspend, "restartPolicy": restart, "deletionPolicy": policy,
                            "activeDeadlineSeconds": deadline, "ttlSecondsAfterFinished": ttl,
                        },
                    });
                    let object: AthenaSession = serde_json::from_value(object).expect("an AthenaSession");
                    all.push(AthenaSession { status: status.cloned(), ..object });
                }
            }
        }
    }
    all
}

/// What can be known of `object`, and what can have been looked at.
fn knowledge(object: &AthenaSession, at: &Environment) -> Vec<(LocalState, Seen)> {
    let begun: Timestamp = BEGUN.parse().expect("a time");
    let met = LocalState::met(begun);
    let at_begin = &Environment { now: begun, ..at.clone() };
    let nothing = Seen::default();
    let mut all = Vec::new();
    match attempt(object, &met) {
        Attempt::Over(..) | Attempt::Withdrawn(_) => all.extend(read(&met, &nothing, at)),
        Attempt::None => {
            let mut own = met.clone();
            own.finalizer_added = true;
            for known in [own, met] {
                for (known, seen) in searches(&known, at) {
                    all.extend(read(&known, &seen, at));
                }
            }
        }
        Attempt::Unknown(made) => {
            // It knows of every call of the attempt: of a first one, if it put the finalizer on before.
            let mut own = met.clone();
            own.finalizer_added = true;
            own.recorded(made.number, begun, false);
            let mut started = own.clone();
            started.started(made.number, ID, "CREATING", at_begin);
            all.push((started, nothing));
            all.extend(searches(&met, at).into_iter().chain(searches(&own, at)));
            for refusal in refusals() {
                for doubted in [false, true] {
                    let mut refused = own.clone();
                    refused.start_refused(refusal.clone(), doubted, at_begin);
                    all.extend(searches(&refused, at));
                    all.push((refused, Seen { work_group: Some(Ok(())), ..Seen::default() }));
                }
            }
        }
        Attempt::Live(made, _) => {
            let mut trusted = met.clone();
            trusted.recorded(made.number, begun, false);
            trusted.started(made.number, ID, "CREATING", at_begin);
            trusted.session_recorded();
            let changed = |change: fn(&mut LocalState, &Environment)| {
                let mut known = trusted.clone();
                change(&mut known, at_begin);
                known
            };
            let terminated = changed(LocalState::terminated);
            let refused = changed(|known, at| {
                known.terminate_refused(refusal(ErrorClass::MayHeal, "AccessDenied"), at);
            });
            let lost = changed(|known, at| {
                drop(known.looked(Look::NotFound { named: true }, UID, ID, at));
            });
            let unseen = changed(|known, at| {
                known.looked(Look::Failed(refusal(ErrorClass::Throttled, "Throttled")), UID, ID, at);
            });
            // Two looks missed it, and a list was read after them.
            let missing = changed(|known, at| {
                for _ in 0..2 {
                    known.looked(Look::NotFound { named: true }, UID, ID, at);
                }
            });
            for (known, seen) in searches(&missing, at) {
                all.push((known, Seen { look: Some(Look::NotFound { named: true }), ..seen }));
            }
            for known in [met, trusted, terminated, refused, lost, unseen] {
                for look in looks(begun) {
                    let mut known = known.clone();
                    let look = known.looked(look, UID, ID, at);
                    all.push((known, Seen { look: Some(look), look_time: Some(at.now), ..Seen::default() }));
                }
                all.push((known, nothing.clone()));
            }
        }
    }
    all
}

/// What GetWorkGroup can say to who has seen this, and before it is asked.
fn read(known: &LocalState, seen: &Seen, at: &Environment) -> Vec<(LocalState, Seen)> {
    let refused = refusals()
        .into_iter()
        .filter(|refusal| !matches!(refusal.class, ErrorClass::TokenConflict | ErrorClass::NotFound))
        .map(Err);
    let read = refused.chain([Ok(())]).map(|read| {
        let mut known = known.clone();
        known.work_group_read(read.as_ref().copied(), at);
        (known, Seen { work_group: Some(read), ..seen.clone() })
    });
    read.chain([(known.clone(), seen.clone())]).collect()
}

fn searches(known: &LocalState, at: &Environment) -> Vec<(LocalState, Seen)> {
    let begun: Timestamp = BEGUN.parse().expect("a time");
    let found = |state: &str| Search::Found { attempt: 0, session: session(state, begun) };
    let failed = |reason| Search::Failed(refusal(ErrorClass::MayHeal, reason));
    let searches = [
        found("IDLE"),
        found("CREATED"),
        Search::Absent { begun: at.now },
        failed("MarkerMismatch"),
        failed("AccessDenied"),
    ];
    let searched = searches.into_iter().map(|search| {
        let mut known = known.clone();
        known.searched(&search, at);
        (known, Seen { search: Some(search), ..Seen::default() })
    });
    // Two lists, a minute apart.
    let mut absent = known.clone();
    for begun in [at.now - at.limits.list_interval(), at.now] {
        absent.searched(&Search::Absent { begun }, at);
    }
    let absent = (absent, Seen { search: Some(Search::Absent { begun: at.now }), ..Seen::default() });
    let mut long_refused = known.clone();
    long_refused.searched(&failed("MarkerMismatch"), &Environment { now: begun, ..at.clone() });
    searched
        .chain([absent])
        .chain([known.clone(), long_refused].map(|known| (known, Seen::default())))
        .collect()
}

fn session(state: &str, begun: Timestamp) -> Session {
    let end = matches!(state, "TERMINATED" | "FAILED").then_some(begun + SignedDuration::from_mins(20));
    Session {
        id: ID.into(),
        state: state.into(),
        start_time: Some(begun),
        end_time: end,
        ..Session::default()
    }
}

fn looks(begun: Timestamp) -> Vec<Look> {
    let details = |description: String| {
        Some(Box::new(Details { description: Some(description), ..Details::default() }))
    };
    let own = Session { details: details(format!("x [athena-operator/{UID}]")), ..session("IDLE", begun) };
    let strange = Session { details: details("theirs".into()), ..session("IDLE", begun) };
    let timeout = Some(SignedDuration::from_mins(20));
    let idle = Session {
        idle_since_time: Some(begun),
        details: Some(Box::new(Details {
            idle_timeout: timeout,
            description: Some(format!("x [athena-operator/{UID}]")),
            ..Details::default()
        })),
        ..session("TERMINATED", begun)
    };
    ["CREATING", "CREATED", "IDLE", "BUSY", "HIBERNATING", "DEGRADED", "TERMINATING", "TERMINATED", "FAILED"]
        .into_iter()
        .map(|state| session(state, begun))
        .chain([own, strange, idle])
        .map(Look::Seen)
        .chain([Look::NotFound { named: true }, Look::Failed(refusal(ErrorClass::Throttled, "Throttled"))])
        .collect()
}
