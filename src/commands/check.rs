//! `athena-operator check`: reports the caller, the work groups and each permission that the operator needs from AWS. Starts and changes nothing.

mod permission;
mod report;

use std::collections::BTreeSet;
use std::process::ExitCode;

use self::permission::{
    GET_SESSION, GET_SESSION_STATUS, GET_WORK_GROUP, Judgement, LIST_SESSIONS, PASS_ROLE, START_SESSION,
    TAG_RESOURCE, TERMINATE_SESSION, judge,
};
pub use self::permission::{Permission, Resources, Statement, Verdict};
pub use self::report::{Report, WorkGroupReport};
use crate::api::AthenaSessionSpec;
use crate::athena::{ConnectError, Probe};
use crate::commands::args::{Check, Output};
use crate::runtime::confidential::redact_secrets;
use crate::session::reply::{ErrorClass, Refusal};

/// Checks the permissions, and prints the report. Returns a failing exit status if something is missing.
///
/// # Errors
/// When there is no region, or a value in the profile is wrong.
#[tokio::main(flavor = "current_thread")]
pub async fn print(options: &Check) -> anyhow::Result<ExitCode> {
    let report = check(options).await?;
    print!("{}", redact_secrets(&if options.output == Output::Json { report.json() } else { report.text() }));
    Ok(if report.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Makes the calls to AWS that show each permission.
///
/// # Errors
/// When there is no region, or a value in the profile is wrong.
pub async fn check(options: &Check) -> Result<Report, ConnectError> {
    let probe = Probe::from_env(options.athena_timeout).await?;
    let caller = probe.caller().await;
    let target = probe.target().clone();
    let resources = Resources::of(caller.as_ref().ok(), &target.region);
    let report = Report { caller: caller.as_ref().ok().cloned(), target, ..Report::default() };
    let hopeless = caller.as_ref().err().filter(|refusal| refusal.reason == "CredentialsInvalid").cloned();
    let mut checked = Checked {
        probe,
        resources,
        role: options.execution_role.clone(),
        hopeless,
        permission_first: None,
        report,
    };
    if let Err(refusal) = &caller {
        checked.report.problem(format!("cannot tell who the caller is: {}", refusal.message));
    }
    let groups: BTreeSet<&String> = options.work_groups.iter().collect();
    for name in &groups {
        checked.work_group(name).await;
    }
    checked.sessions(&groups.into_iter().map(String::as_str).collect::<Vec<_>>()).await;
    checked.pass_role();
    Ok(checked.report)
}

struct Checked {
    probe: Probe,
    resources: Resources,
    role: Option<String>,
    /// Refusal after which no call can show a permission.
    hopeless: Option<Refusal>,
    /// True if Athena checks the permission before it validates the request, once that is known.
    permission_first: Option<bool>,
    report: Report,
}

impl Checked {
    /// Makes `call`, and returns its reply; returns the refusal without a call if no call can show a permission.
    async fn ask<T>(&self, call: impl Future<Output = Result<T, Refusal>>) -> Result<T, Refusal> {
        match &self.hopeless {
            Some(refusal) => Err(refusal.clone()),
            None => call.await,
        }
    }

    fn tell(
        &mut self,
        action: &'static str,
        work_group: Option<&str>,
        judgement: Judgement,
        resource: Vec<String>,
    ) {
        let Judgement { verdict, detail, problem, denied } = judgement;
        // The refusal after which no call can show a permission is reported once.
        if let Some(problem) = problem.filter(|_| self.hopeless.is_none()) {
            self.report.problem(problem);
        }
        // A policy changes nothing about the refusal after which no call can show a permission.
        let is_wanted = verdict != Verdict::Allowed && self.hopeless.is_none() && !resource.is_empty();
        let statement = is_wanted.then(|| Statement::allow(action, resource));
        let work_group = work_group.map(str::to_owned);
        let told = Permission { action: action.into(), work_group, verdict, detail, statement };
        self.report.permissions.push(told.clone());
        if let Some((action, resource, detail)) = denied {
            let statement = Some(Statement::allow(&action, vec![resource]));
            let denied = Permission { action, verdict: Verdict::Missing, detail, statement, ..told };
            self.report.permissions.push(denied);
        }
    }

    async fn work_group(&mut self, name: &str) {
        let group = self.ask(self.probe.work_group(name)).await;
        let exists = !group.as_ref().is_err_and(|refusal| refusal.reason == "WorkGroupNotFound");
        if let Ok(group) = &group {
            self.report.work_groups.push(WorkGroupReport::of(name, group));
            let spec = AthenaSessionSpec { work_group: name.to_owned(), ..AthenaSessionSpec::default() };
            if let Some(refusal) = group.refuses(&spec) {
                self.report.problem(refusal.message.trim_start_matches("workGroup: ").to_owned());
            }
        } else if !exists {
            self.report.problem(format!(
                "work group {name} does not exist in region {} of this account",
                self.report.target.region
            ));
        }
        let own = vec![self.resources.work_group(name)];
        self.tell(GET_WORK_GROUP, Some(name), judge(GET_WORK_GROUP, group.map(|_| ())), own.clone());
        if !exists {
            for action in [LIST_SESSIONS, START_SESSION, TAG_RESOURCE] {
                let judgement = Judgement::not_checked("the work group does not exist");
                self.tell(action, Some(name), judgement, own.clone());
            }
            return;
        }
        let listed = self.ask(self.probe.list_sessions(name)).await;
        self.tell(LIST_SESSIONS, Some(name), judge(LIST_SESSIONS, listed), own.clone());
        let started = self.start(name).await;
        self.tell(START_SESSION, Some(name), started, own);
        let tagged = self.ask(self.probe.tag_resource(&self.resources.session(name, &unknown_id()))).await;
        let resource = self.resources.with_sessions(&[name]);
        self.tell(TAG_RESOURCE, Some(name), judge(TAG_RESOURCE, absent(tagged)), resource);
    }

    /// Returns the verdict on StartSession. Athena refuses the request that is sent; if it does so before it checks the permission, the refusal does
    /// not show the permission. A request for a work group whose random name no policy can have shows which comes first: there the permission is
    /// missing.
    async fn start(&mut self, name: &str) -> Judgement {
        let refusal = match self.ask(self.probe.start_session(name, self.role.as_deref())).await {
            Ok(id) => {
                let ended = self.probe.terminate_session(&id).await;
                let ended = ended.map_or_else(
                    |refusal| format!("and cannot be ended: {}", refusal.message),
                    |()| "and has been asked to end".into(),
                );
                self.report.problem(format!(
                    "session {id} was started by a request that Athena ought to refuse, {ended}"
                ));
                return judge(START_SESSION, Ok(()));
            }
            Err(refusal) => refusal,
        };
        let judgement = judge(START_SESSION, Err(refusal.clone()));
        if judgement.verdict != Verdict::Unknown {
            return judgement;
        }
        if refusal.class == ErrorClass::Rejected && self.looks_at_permissions_first().await {
            return Judgement::allowed(
                "AWS checks the permission before the request, and refused the request only as invalid",
            );
        }
        Judgement {
            detail: format!(
                "Athena refuses the invalid request, maybe before it checks the permission: {}",
                refusal.message
            ),
            ..judgement
        }
    }

    async fn looks_at_permissions_first(&mut self) -> bool {
        if let Some(first) = self.permission_first {
            return first;
        }
        let nobodys = format!("athena-operator-check-{:016x}", fastrand::u64(..));
        let answer = self.probe.start_session(&nobodys, None).await.map(|_| ());
        *self.permission_first.insert(judge(START_SESSION, answer).verdict == Verdict::Missing)
    }

    async fn sessions(&mut self, groups: &[&str]) {
        let resource = self.resources.with_sessions(groups);
        let id = unknown_id();
        let answer = self.ask(self.probe.get_session(&id)).await;
        self.tell(GET_SESSION, None, judge(GET_SESSION, absent(answer)), resource.clone());
        let answer = self.ask(self.probe.get_session_status(&id)).await;
        self.tell(GET_SESSION_STATUS, None, judge(GET_SESSION_STATUS, absent(answer)), resource.clone());
        let answer = self.ask(self.probe.terminate_session(&id)).await;
        self.tell(TERMINATE_SESSION, None, judge(TERMINATE_SESSION, absent(answer)), resource);
    }

    fn pass_role(&mut self) {
        if self.report.permissions.iter().any(|permission| permission.action == PASS_ROLE) {
            return;
        }
        let why = if self.role.is_some() {
            "only a session that is started with the role shows it; `aws iam simulate-principal-policy` can tell"
        } else {
            "needed only for AthenaSessions with an executionRole; name that role with --execution-role"
        };
        self.tell(PASS_ROLE, None, Judgement::not_checked(why), self.role.clone().into_iter().collect());
    }
}

/// Returns success for a reply that the object does not exist: the call is allowed.
fn absent(answer: Result<(), Refusal>) -> Result<(), Refusal> {
    answer.or_else(|refusal| if refusal.class == ErrorClass::NotFound { Ok(()) } else { Err(refusal) })
}

/// Returns a random UUID, which is the id of no session.
fn unknown_id() -> String {
    let random = fastrand::u128(..);
    let part = |shift: u32, bits: u32| (random >> shift) & ((1 << bits) - 1);
    format!(
        "{:08x}-{:04x}-4{:03x}-8{:03x}-{:012x}",
        part(0, 32),
        part(32, 16),
        part(48, 12),
        part(60, 12),
        part(72, 48)
    )
}
