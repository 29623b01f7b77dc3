//! The calls. Each has a timeout, takes a permit of the rate limiter, and is sent once: the caller knows of every try.

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, SdkConfig};
use aws_sdk_athena::config::IdentityCache;
use aws_sdk_athena::config::endpoint::{DefaultResolver, Params, ResolveEndpoint};
use aws_sdk_athena::error::{ErrorMetadata, ProvideErrorMetadata, SdkError};
use aws_sdk_athena::operation::get_session::GetSessionOutput;
use aws_sdk_athena::operation::get_session_status::GetSessionStatusOutput;
use aws_sdk_athena::operation::get_work_group::GetWorkGroupOutput;
use aws_sdk_athena::operation::list_sessions::ListSessionsOutput;
use aws_sdk_athena::operation::start_session::{StartSessionError, StartSessionOutput};
use aws_sdk_athena::types;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_types::DateTime;
use aws_smithy_types::body::SdkBody;
use futures::{FutureExt, TryFutureExt};
use hyper::body::Bytes;
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use super::clock::ReadDate;
use super::credentials::OwnCredentials;
use super::error::{
    CREDENTIALS_INVALID, Subject, WORK_GROUP_NOT_FOUND, code, is_of_transport, is_resource_not_found, refusal,
};
use super::http_client;
use super::marker_search::{Lister, Part, Summary};
use super::profile_files::ProfileFiles;
use super::rate_limiter::{Permit, Priority, RateLimiter};
use super::work_groups::{KnownWorkGroup, WorkGroups};
use crate::api::{Classification, EngineConfiguration, SessionState};
use crate::athena::metrics::AthenaMetrics;
use crate::athena::observer::Page;
use crate::runtime::clock::{Clock, EARLIEST};
use crate::runtime::key::Key;
use crate::runtime::leadership::Leadership;
use crate::session::reply::{Details, ErrorClass, Look, Refusal, Session, WorkGroup};

/// Reason why no client can be created.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// No AWS region is configured.
    #[error("cannot tell the AWS region: set AWS_REGION")]
    NoRegion,
    /// A value in a profile is wrong.
    #[error("cannot use the AWS profile: {0}")]
    WrongProfile(String),
}

/// The SDK's client, its credentials and its clock.
pub(super) struct Connection {
    pub(super) athena: aws_sdk_athena::Client,
    pub(super) credentials: OwnCredentials,
    pub(super) target: Target,
    clock: Clock,
}

/// Destination of the calls to Athena.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Target {
    /// AWS region.
    pub region: String,
    /// Endpoint that replaces AWS's own, if one is configured.
    pub endpoint: Option<String>,
    /// URL to which the calls go, as far as the SDK's rules give one.
    pub athena_url: Option<String>,
    /// True if FIPS endpoints are configured.
    pub fips: bool,
}

impl Target {
    fn new(config: &SdkConfig) -> Result<Self, ConnectError> {
        let region = config.region().ok_or(ConnectError::NoRegion)?.to_string();
        let endpoint =
            std::env::var("AWS_ENDPOINT_URL_ATHENA").ok().or(config.endpoint_url().map(str::to_owned));
        let fips = config.use_fips().unwrap_or(false);
        let params = Params::builder()
            .region(&region)
            .use_fips(fips)
            .use_dual_stack(config.use_dual_stack().unwrap_or(false))
            .set_endpoint(endpoint.clone())
            .build();
        // The SDK's own rules need no I/O: the future is ready at once.
        let resolved = params
            .ok()
            .and_then(|params| DefaultResolver::new().resolve_endpoint(&params).now_or_never()?.ok());
        Ok(Self { region, endpoint, athena_url: resolved.map(|endpoint| endpoint.url().to_owned()), fips })
    }

    /// Returns the host and, where the URL names one, the port.
    fn host(&self) -> Option<String> {
        let url: http::Uri = self.athena_url.as_deref()?.parse().ok()?;
        url.authority().map(ToString::to_string)
    }
}

/// Reads the region, endpoint and profile of the environment. `timeout` bounds each call.
///
/// # Errors
/// When a value in the profile is wrong.
pub async fn config_from_env(timeout: Duration) -> Result<SdkConfig, ConnectError> {
    let timeouts =
        TimeoutConfig::builder().operation_attempt_timeout(timeout).operation_timeout(timeout).build();
    let files = ProfileFiles::read().await.map_err(ConnectError::WrongProfile)?;
    let mut config = aws_config::defaults(BehaviorVersion::latest()).profile_files(files.files);
    if let Some(client) = http_client::bounded() {
        config = config.http_client(client);
    }
    Ok(config.timeout_config(timeouts).no_credentials().load().await)
}

impl Connection {
    /// Connects with `config`, and with the credentials of the environment unless `config` has a provider. No call is sent twice.
    pub(super) fn new(config: SdkConfig) -> Result<Self, ConnectError> {
        let target = Target::new(&config)?;
        let clock = Clock::new("Athena");
        let once = aws_sdk_athena::config::Builder::from(&config)
            .retry_config(RetryConfig::disabled())
            .time_source(clock.clone())
            .disable_clock_skew_correction(true)
            .interceptor(ReadDate { clock: clock.clone(), is_own: true });
        let credentials = OwnCredentials::new(config, clock.clone());
        let once = once.credentials_provider(credentials.clone()).identity_cache(IdentityCache::no_cache());
        Ok(Self { athena: aws_sdk_athena::Client::from_conf(once.build()), credentials, target, clock })
    }

    /// Sends `body` as StartSession.
    pub(super) async fn start_session(
        &self,
        body: Bytes,
    ) -> Result<StartSessionOutput, SdkError<StartSessionError, HttpResponse>> {
        let call = self.athena.start_session().customize().mutate_request(move |request| {
            request.headers_mut().insert("content-length", body.len().to_string());
            // Shared: the body may be large, and the request needs its own copy.
            *request.body_mut() = SdkBody::from(body.clone());
        });
        call.send().await
    }
}

/// A client of Athena in one region, with one set of credentials.
#[derive(Clone)]
pub struct Athena {
    connection: Arc<Connection>,
    /// Host of the calls, for messages.
    host: Arc<str>,
    leadership: Leadership,
    limiter: RateLimiter,
    metrics: Arc<AthenaMetrics>,
    work_groups: Arc<WorkGroups>,
}

impl Athena {
    /// Creates a client with `config`, and with the credentials of the environment unless `config` has a provider. No call is sent twice: the caller
    /// knows of every try. Calls that start or end a session wait for `leadership`; `limiter` gives the permits.
    ///
    /// # Errors
    /// When there is no region.
    pub fn new(
        config: SdkConfig,
        leadership: Leadership,
        limiter: RateLimiter,
        metrics: Arc<AthenaMetrics>,
    ) -> Result<Self, ConnectError> {
        let connection = Arc::new(Connection::new(config)?);
        let host = connection.target.host().unwrap_or_else(|| "Athena".into()).into();
        Ok(Self { connection, host, leadership, limiter, metrics, work_groups: Arc::default() })
    }

    /// Returns the rate limiter of all calls.
    pub fn limiter(&self) -> &RateLimiter {
        &self.limiter
    }

    /// Returns the region of all calls.
    pub fn region(&self) -> &str {
        &self.connection.target.region
    }

    /// Returns Athena's clock, which every reply corrects.
    pub fn clock(&self) -> &Clock {
        &self.connection.clock
    }

    /// Returns the account of the credentials, by STS GetCallerIdentity. From then on no call is made in another account.
    ///
    /// # Errors
    /// The error text of STS or of the connection to it.
    pub async fn account(&self) -> Result<String, String> {
        self.connection.credentials.account().await
    }

    /// Sends `body` as StartSession in `work_group`. Returns the id and state of the session behind its token, which may have ended long ago.
    ///
    /// # Errors
    /// The refusal. Of class Unanswered, it leaves open whether a session was started.
    pub async fn start_session(
        &self,
        work_group: &str,
        body: Vec<u8>,
        permit: Permit,
    ) -> Result<(String, SessionState), Refusal> {
        self.leadership.held().await;
        let call = self.connection.start_session(body.into()).boxed();
        let reply = self.measured("StartSession", &Subject::start(Some(work_group)), permit, call).await?;
        let id =
            reply.session_id.filter(|id| is_id(id)).ok_or_else(|| empty("StartSession names no session"))?;
        Ok((id, reply.state.map(|state| state.as_str().into()).unwrap_or_default()))
    }

    /// Looks at a session: at its state only or, with `full`, also at its configuration.
    pub async fn look(&self, id: &str, full: bool, permit: Permit) -> Look {
        let (operation, call) = if full {
            let shown = |mut reply: GetSessionOutput| {
                (reply.session_id.take(), reply.status.take(), Some(details(reply)))
            };
            let call = self.connection.athena.get_session().session_id(id).send();
            ("GetSession", call.map_ok(shown).map_err(with_metadata).boxed())
        } else {
            let shown = |reply: GetSessionStatusOutput| (reply.session_id, reply.status, None);
            let call = self.connection.athena.get_session_status().session_id(id).send();
            ("GetSessionStatus", call.map_ok(shown).map_err(with_metadata).boxed())
        };
        let mut named = false;
        let call = call.inspect_err(|error| named = is_resource_not_found(error, id));
        let reply = self.measured(operation, &Subject::session(id), permit, call).await;
        let failed = |problem| Look::Failed(empty(&format!("{operation} {problem}")));
        match reply {
            Ok((Some(other), ..)) if !other.is_empty() && other != id => {
                failed("answers for another session")
            }
            Ok((_, status, details)) => {
                session(id, status.as_ref(), details).map_or_else(|| failed("tells no state"), Look::Seen)
            }
            Err(refusal) if refusal.class == ErrorClass::NotFound => Look::NotFound { named },
            Err(refusal) => Look::Failed(refusal),
        }
    }

    async fn list_page(
        &self,
        work_group: &str,
        state: Option<types::SessionState>,
        token: Option<String>,
        permit: Permit,
    ) -> Result<ListSessionsOutput, Refusal> {
        let list = self.connection.athena.list_sessions().work_group(work_group).set_state_filter(state);
        let call = list.max_results(100).set_next_token(token).send().boxed();
        self.measured("ListSessions", &Subject::work_group(work_group), permit, call).await
    }

    /// Returns a page of the active sessions of a work group, newest first.
    ///
    /// # Errors
    /// The refusal.
    pub async fn list(
        &self,
        work_group: &str,
        token: Option<String>,
        permit: Permit,
    ) -> Result<Page<Session>, Refusal> {
        let reply = self.list_page(work_group, None, token, permit).await?;
        let sessions = reply.sessions.unwrap_or_default().into_iter().filter_map(|summary| {
            let details = Details {
                description: summary.description,
                engine_version: summary.engine_version.and_then(engine),
                ..Details::default()
            };
            session(summary.session_id.as_deref()?, summary.status.as_ref(), Some(details))
        });
        Ok(Page { sessions: sessions.collect(), next: reply.next_token })
    }

    /// Returns the cached GetWorkGroup reply for the work group `name`. If a request for it is under way, `key` is triggered by its reply.
    pub fn known_work_group(&self, name: &str, key: &Key) -> KnownWorkGroup {
        self.work_groups.read(name, key)
    }

    /// Returns a work group, by GetWorkGroup. The reply is cached for a minute, and one that a person has to correct for five seconds; `trigger` is
    /// called for each object that waits for it. Returns nothing if another request is under way: then the permit is returned, and `key` waits.
    ///
    /// # Errors
    /// The refusal.
    pub async fn work_group(
        &self,
        name: &str,
        key: &Key,
        permit: Permit,
        trigger: impl Fn(&Key),
    ) -> Option<Result<WorkGroup, Refusal>> {
        let question = self.work_groups.ask(name, key, trigger)?;
        let reply = self.get_work_group(name, permit).await;
        let told = reply.map(work_group);
        question.answer(told.clone());
        Some(told)
    }

    /// Reads Athena's time from the reply to a GetWorkGroup: any reply has it.
    ///
    /// # Errors
    /// The refusal.
    pub async fn ask_time(&self, work_group: &str, permit: Permit) -> Result<(), Refusal> {
        self.get_work_group(work_group, permit).await.map(drop)
    }

    async fn get_work_group(&self, name: &str, permit: Permit) -> Result<GetWorkGroupOutput, Refusal> {
        let call = self.connection.athena.get_work_group().work_group(name).send().boxed();
        self.measured("GetWorkGroup", &Subject::work_group(name), permit, call).await
    }

    /// Ends a session. The call has an effect only on a session that is neither ending nor ended.
    ///
    /// # Errors
    /// The refusal.
    pub async fn terminate_session(&self, id: &str, permit: Permit) -> Result<(), Refusal> {
        self.leadership.held().await;
        let call = self.connection.athena.terminate_session().session_id(id).send().boxed();
        self.measured("TerminateSession", &Subject::session(id), permit, call).await.map(drop)
    }

    /// Makes a call, which uses up `permit`, counts it and returns its result, with the refusal of a failed one. The SDK's future is 10 KiB: callers
    /// box it, since it would be a part of every reconcile, with a call or without.
    async fn measured<T, E>(
        &self,
        operation: &'static str,
        subject: &Subject<'_>,
        mut permit: Permit,
        call: impl Future<Output = Result<T, SdkError<E, HttpResponse>>>,
    ) -> Result<T, Refusal>
    where
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    {
        permit.spend();
        let begun = Instant::now();
        let reply = call.await;
        let code = reply.as_ref().map_or_else(code, |_| "ok");
        self.metrics.called(operation, code, begun.elapsed());
        let told = reply.map_err(|error| {
            let told = refusal(&error, subject);
            if is_of_transport(&error) {
                Refusal { message: format!("{}: {}", self.host, told.message), ..told }
            } else {
                told
            }
        });
        if told.as_ref().is_err_and(|refusal| refusal.reason == CREDENTIALS_INVALID) {
            self.connection.credentials.doubt().await;
        }
        told
    }
}

/// Returns `error` with the metadata of the operation's own error in place of it.
fn with_metadata<E: ProvideErrorMetadata>(
    error: SdkError<E, HttpResponse>,
) -> SdkError<ErrorMetadata, HttpResponse> {
    error.map_service_error(|error| error.meta().clone())
}

pub(super) fn work_group(reply: GetWorkGroupOutput) -> WorkGroup {
    let group = reply.work_group;
    WorkGroup {
        enabled: group.as_ref().and_then(|group| group.state.as_ref())
            != Some(&types::WorkGroupState::Disabled),
        engine_version: group.and_then(|group| engine(group.configuration?.engine_version?)),
    }
}

fn engine(version: types::EngineVersion) -> Option<String> {
    version.effective_engine_version.or(version.selected_engine_version)
}

/// Returns whether `id` can be the id of a session. An id longer than the API's bound would not fit into the status, and cut it would be another
/// session's.
fn is_id(id: &str) -> bool {
    (1..=256).contains(&id.chars().count())
}

fn empty(message: &str) -> Refusal {
    Refusal::unanswered(format!("the reply to {message}"))
}

fn session(id: &str, status: Option<&types::SessionStatus>, details: Option<Details>) -> Option<Session> {
    let status = status?;
    Some(Session {
        id: id.to_owned(),
        state: status.state.as_ref()?.as_str().into(),
        state_change_reason: status.state_change_reason.clone(),
        start_time: status.start_date_time.as_ref().and_then(time),
        last_modified_time: status.last_modified_date_time.as_ref().and_then(time),
        end_time: status.end_date_time.as_ref().and_then(time),
        idle_since_time: status.idle_since_date_time.as_ref().and_then(time),
        details: details.map(Box::new),
    })
}

fn details(reply: GetSessionOutput) -> Details {
    let configuration = reply.session_configuration.as_ref();
    let minutes = configuration
        .and_then(|configuration| configuration.session_idle_timeout_in_minutes)
        .map(|minutes| i64::from(minutes) * 60);
    let idle_timeout = configuration.and_then(|configuration| configuration.idle_timeout_seconds).or(minutes);
    Details {
        description: reply.description,
        work_group: reply.work_group,
        engine_version: reply.engine_version,
        execution_role: configuration.and_then(|configuration| configuration.execution_role.clone()),
        engine_configuration: reply.engine_configuration.map(engine_configuration).unwrap_or_default(),
        idle_timeout: idle_timeout.filter(|seconds| *seconds > 0).map(SignedDuration::from_secs),
        dpu_execution_in_millis: reply.statistics.and_then(|statistics| statistics.dpu_execution_in_millis),
        satisfies: None,
    }
}

/// Converts the configuration by taking its maps apart, since they may be large.
fn engine_configuration(given: types::EngineConfiguration) -> EngineConfiguration {
    let map = |map: Option<HashMap<String, String>>| map.map(|map| map.into_iter().collect());
    let classification =
        |given: types::Classification| Classification { name: given.name, properties: map(given.properties) };
    EngineConfiguration {
        coordinator_dpu_size: given.coordinator_dpu_size,
        max_concurrent_dpus: Some(given.max_concurrent_dpus),
        default_executor_dpu_size: given.default_executor_dpu_size,
        additional_configs: map(given.additional_configs),
        spark_properties: map(given.spark_properties),
        classifications: given.classifications.map(|list| list.into_iter().map(classification).collect()),
    }
}

/// Returns a time of Athena's, to the millisecond: it arrives as a fraction that a float cannot hold exactly. A time from before there were sessions
/// is dropped: as an end time it would make a live session count as ended.
fn time(time: &DateTime) -> Option<Timestamp> {
    let millis = (time.as_nanos() + 500_000).div_euclid(1_000_000);
    Timestamp::from_millisecond(i64::try_from(millis).ok()?).ok().filter(|time| time.as_second() >= EARLIEST)
}

impl Lister for Athena {
    async fn page(
        &self,
        work_group: &str,
        part: Part,
        next: Option<String>,
    ) -> Result<Page<Summary>, Refusal> {
        let state = match part {
            Part::Active => None,
            Part::Degraded => Some(types::SessionState::Degraded),
        };
        let reply =
            self.list_page(work_group, state, next, self.limiter.acquire(Priority::Look).await).await?;
        let summary = |summary: types::SessionSummary| Summary {
            id: summary.session_id.filter(|id| is_id(id)),
            description: summary.description,
        };
        Ok(Page {
            sessions: reply.sessions.into_iter().flatten().map(summary).collect(),
            next: reply.next_token,
        })
    }

    async fn is_missing(&self, work_group: &str) -> bool {
        let reply = self.get_work_group(work_group, self.limiter.acquire(Priority::Look).await).await;
        reply.is_err_and(|refusal| refusal.reason == WORK_GROUP_NOT_FOUND)
    }
}

#[cfg(test)]
#[path = "client_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "sending_tests.rs"]
mod sending_tests;
