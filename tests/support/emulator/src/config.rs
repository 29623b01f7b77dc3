//! What the emulator is told to be: account, work groups, quotas, timings and the points on which the real service is unknown.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::fmt::serde::unsigned_duration::friendly::compact as duration;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::state;

/// The configuration. Every member has a default; in a file an unknown member is refused.
///
/// Durations are written for people: `250ms`, `10s`, `1m 30s`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own")]
pub struct Config {
    /// The only region signatures may be made for, and the region of ARNs. Without one, any region is accepted and ARNs say `us-east-1`.
    pub region: Option<String>,
    /// The account's 12 digits, as `GetCallerIdentity` answers.
    pub account: String,
    /// Whether signatures (`SigV4`), access keys and session tokens are checked.
    pub check_signatures: bool,
    /// Whether it knows STS. Athena's own endpoint, or a VPC endpoint of it, does not.
    pub sts: bool,
    /// Who may call.
    pub credentials: Vec<Credential>,
    /// What is issued for a token, by STS `AssumeRoleWithWebIdentity` and at `/v1/credentials`, as by the agent of EKS Pod Identity.
    pub issue: Option<Issue>,
    /// How many seconds its clock is ahead: the one that signatures are held against, that replies tell, and that the times of sessions are from.
    pub clock_ahead: i64,
    /// The work groups that exist.
    pub work_groups: Vec<WorkGroup>,
    /// The state a new session begins in, which `StartSession` answers. What Athena answers first is not documented.
    pub start_state: String,
    /// How long a session stays in CREATING.
    #[serde(with = "duration::required")]
    pub creating: Duration,
    /// How long a session stays in CREATED.
    #[serde(with = "duration::required")]
    pub created: Duration,
    /// How long a session stays in TERMINATING.
    #[serde(with = "duration::required")]
    pub terminating: Duration,
    /// Whether looks move a session on: the look after the one that has shown CREATING, CREATED or TERMINATING finds the next state, so that the
    /// states that a client sees do not depend on how often it looks. A session still leaves a state when its duration is over.
    pub step_by_looks: bool,
    /// A state that no session leaves by itself.
    pub stick_in: Option<String>,
    /// Makes `TerminateSession` answer TERMINATING and do nothing.
    pub ignore_terminate: bool,
    /// How long one minute of `SessionIdleTimeoutInMinutes` lasts.
    #[serde(with = "duration::required")]
    pub idle_minute: Duration,
    /// How long after its timeout an idle session goes on until it is ended.
    #[serde(with = "duration::required")]
    pub idle_late: Duration,
    /// How long after its end a session is still found. Without one, always. Athena's retention is not documented.
    #[serde(with = "duration::optional")]
    pub forget_ended_after: Option<Duration>,
    /// How long `ListSessions` does not know a new session.
    #[serde(with = "duration::required")]
    pub list_lag: Duration,
    /// How long `GetSession` and `GetSessionStatus` do not know a new session.
    #[serde(with = "duration::required")]
    pub get_lag: Duration,
    /// What a known token with a changed request is answered. Athena's answer for sessions is not documented.
    pub token_mismatch: TokenMismatch,
    /// How long a token is remembered. Without one, for ever. Athena's memory is not documented.
    #[serde(with = "duration::optional")]
    pub token_memory: Option<Duration>,
    /// Whether `StartSession` refuses a request without a token.
    pub require_token: bool,
    /// Makes every `StartSession` start a session, whatever its token: a service without idempotency.
    pub ignore_token: bool,
    /// Whether GetSession tells the classifications in another order than they were asked for.
    pub reorder_classifications: bool,
    /// How an unknown session is answered.
    pub unknown_session: UnknownSessionError,
    /// Times of a session that no reply tells, by the names of their members, such as `StartDateTime`. Athena's model requires none of them.
    pub omit_times: Vec<String>,
    /// How many sessions may be live at once in the account.
    pub max_sessions: Option<u32>,
    /// How many DPUs the live sessions of the account may ask for together (`MaxConcurrentDpus`, or what the engine takes without it).
    pub max_dpus: Option<u32>,
    /// The rate of all Athena calls together.
    pub rate: Option<Rate>,
    /// Operations that are answered with `AccessDeniedException`.
    pub deny: Vec<String>,
    /// The work groups that the caller's policy names: a call that names another is answered with `AccessDeniedException`. Without it, any.
    pub allowed_work_groups: Option<Vec<String>>,
    /// Whether an input is held against the service model before the caller's permission. What Athena does first is not documented.
    pub validate_first: bool,
    /// Execution roles that the caller may not pass: `StartSession` with one is answered with `AccessDeniedException`.
    pub deny_roles: Vec<String>,
    /// Added to every call, before its effect.
    #[serde(with = "duration::required")]
    pub latency: Duration,
    /// Seed of the dice that faults with a chance throw.
    pub seed: u64,
}

impl Default for Config {
    fn default() -> Self {
        let group = |name: &str, engine: &str| WorkGroup {
            name: name.to_owned(),
            engine: engine.to_owned(),
            ..WorkGroup::default()
        };
        Self {
            region: None,
            account: "000000000000".to_owned(),
            check_signatures: true,
            sts: true,
            credentials: vec![Credential::default()],
            issue: None,
            clock_ahead: 0,
            work_groups: vec![
                group("spark-35", WorkGroup::SPARK_3_5),
                group("pyspark-3", WorkGroup::PYSPARK_3),
                group("sql", WorkGroup::SQL_3),
                WorkGroup { state: WorkGroupState::Disabled, ..group("disabled", WorkGroup::SPARK_3_5) },
            ],
            start_state: state::CREATING.to_owned(),
            creating: Duration::from_secs(1),
            created: Duration::from_secs(1),
            terminating: Duration::from_secs(1),
            step_by_looks: false,
            stick_in: None,
            ignore_terminate: false,
            idle_minute: Duration::from_mins(1),
            idle_late: Duration::ZERO,
            forget_ended_after: None,
            list_lag: Duration::ZERO,
            get_lag: Duration::ZERO,
            token_mismatch: TokenMismatch::default(),
            token_memory: None,
            require_token: true,
            ignore_token: false,
            reorder_classifications: false,
            unknown_session: UnknownSessionError::default(),
            omit_times: Vec::new(),
            max_sessions: None,
            max_dpus: None,
            rate: None,
            deny: Vec::new(),
            allowed_work_groups: None,
            validate_first: false,
            deny_roles: Vec::new(),
            latency: Duration::ZERO,
            seed: 0,
        }
    }
}

impl Config {
    /// Reads a configuration from YAML or JSON.
    ///
    /// # Errors
    ///
    /// Text that names the line and member that cannot be read, unknown members included.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.trim().is_empty() {
            return Ok(Self::default());
        }
        serde_saphyr::from_str(text).map_err(|error| error.to_string())
    }

    /// The region that ARNs name.
    pub fn region_name(&self) -> &str {
        self.region.as_deref().unwrap_or("us-east-1")
    }

    pub(crate) fn work_group(&self, name: &str) -> Option<&WorkGroup> {
        self.work_groups.iter().find(|group| group.name == name)
    }

    /// The account of an access key.
    pub(crate) fn account_of(&self, access_key_id: Option<&str>) -> &str {
        let credential = self
            .credentials
            .iter()
            .find(|credential| Some(credential.access_key_id.as_str()) == access_key_id);
        credential.and_then(|credential| credential.account.as_deref()).unwrap_or(&self.account)
    }

    /// By how much its clock is ahead.
    pub(crate) fn ahead(&self) -> SignedDuration {
        SignedDuration::from_secs(self.clock_ahead)
    }

    /// How replies tell the times of sessions.
    pub(crate) fn times(&self) -> Times {
        Times { omitted: self.omit_times.clone(), ahead: self.ahead() }
    }

    /// What its clock shows.
    pub(crate) fn clock(&self, now: Timestamp) -> Timestamp {
        now.saturating_add(self.ahead()).unwrap_or(now)
    }

    /// The same, if that is not the time.
    pub(crate) fn wrong_clock(&self, now: Timestamp) -> Option<Timestamp> {
        (self.clock_ahead != 0).then(|| self.clock(now))
    }

    /// The ARN of the role the emulator says every caller of an account has.
    pub(crate) fn caller_arn(account: &str) -> String {
        format!("arn:aws:sts::{account}:assumed-role/athena-operator/emulator")
    }

    pub(crate) fn work_group_arn(&self, work_group: &str) -> String {
        let (region, account) = (self.region_name(), &self.account);
        format!("arn:aws:athena:{region}:{account}:workgroup/{work_group}")
    }
}

/// How replies tell the times of sessions.
#[derive(Clone, Debug, Default)]
pub(crate) struct Times {
    /// Members that are left out.
    omitted: Vec<String>,
    /// By how much the clock is ahead that they are from.
    ahead: SignedDuration,
}

impl Times {
    /// What `member` tells of `time`.
    pub(crate) fn told(&self, member: &str, time: Timestamp) -> Option<Timestamp> {
        let is_told = !self.omitted.iter().any(|name| name == member);
        is_told.then(|| time.saturating_add(self.ahead).unwrap_or(time))
    }
}

/// An access key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Credential {
    /// The access key's public half.
    pub access_key_id: String,
    /// The access key's secret half.
    pub secret_access_key: String,
    /// The session token that must come with it. Without one, any session token is accepted, and none.
    pub session_token: Option<String>,
    /// Answers every call with `ExpiredTokenException`.
    pub expired: bool,
    /// The account that it belongs to, if that is another than the emulator's. Sessions of all accounts are the same ones.
    pub account: Option<String>,
}

impl Default for Credential {
    /// Access key `test`, secret `test`.
    fn default() -> Self {
        Self {
            access_key_id: "test".to_owned(),
            secret_access_key: "test".to_owned(),
            session_token: None,
            expired: false,
            account: None,
        }
    }
}

/// Credentials that are issued for a token.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Issue {
    /// The token that has to be shown.
    pub token: String,
    /// Which of the credentials are issued.
    pub access_key_id: String,
    /// For how long they are said to be valid.
    #[serde(with = "duration::required")]
    pub lifetime: Duration,
}

/// A work group.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WorkGroup {
    /// Its name.
    pub name: String,
    /// Its engine version as Athena writes it. `Apache Spark version ...` follows the rules of 3.5, [`WorkGroup::PYSPARK_3`] those of engine 3, anything else is not Spark.
    pub engine: String,
    /// Its execution role's ARN.
    pub execution_role: Option<String>,
    /// The idle timeout of a session that asks for none, in minutes.
    pub idle_minutes: u32,
    /// Whether sessions may be started in it.
    pub state: WorkGroupState,
    /// Classifications that its sessions have besides those of their request: the properties of one name are merged, and what the request says wins.
    pub classifications: Vec<Classification>,
}

/// A classification of Spark properties.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Classification {
    /// Its name.
    pub name: String,
    /// Its properties.
    pub properties: BTreeMap<String, String>,
}

impl WorkGroup {
    /// The engine of Spark Connect sessions.
    pub const SPARK_3_5: &str = "Apache Spark version 3.5";
    /// The engine of notebook sessions (Spark 3.2.1).
    pub const PYSPARK_3: &str = "PySpark engine version 3";
    /// The engine of SQL queries.
    pub const SQL_3: &str = "Athena engine version 3";
}

impl Default for WorkGroup {
    fn default() -> Self {
        Self {
            name: "spark-35".to_owned(),
            engine: Self::SPARK_3_5.to_owned(),
            execution_role: Some("arn:aws:iam::000000000000:role/athena-spark".to_owned()),
            idle_minutes: 20,
            state: WorkGroupState::Enabled,
            classifications: Vec::new(),
        }
    }
}

/// Whether a work group takes work.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum WorkGroupState {
    /// It does.
    #[default]
    Enabled,
    /// It does not.
    Disabled,
}

/// How a known token with a changed request is answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TokenMismatch {
    /// `InvalidRequestException` with `AthenaErrorCode` `IDEMPOTENT_PARAMETER_MISMATCH`, as measured for queries.
    #[default]
    IdempotentParameterMismatch,
    /// `SessionAlreadyExistsException`, as the service model suggests.
    SessionAlreadyExists,
}

/// How an unknown session id is answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum UnknownSessionError {
    /// `ResourceNotFoundException`, as the service model says.
    #[default]
    ResourceNotFound,
    /// `InvalidRequestException` with a text that says `not found`, as public clients expect.
    InvalidRequest,
}

/// A token bucket.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rate {
    /// Calls a second.
    pub per_second: f64,
    /// Calls at once.
    pub burst: u32,
}
