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
use aws_sdk_athena::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_athena::operation::get_session::GetSessionOutput;
use aws_sdk_athena::operation::get_work_group::GetWorkGroupOutput;
use aws_sdk_athena::operation::list_sessions::ListSessionsOutput;
use aws_sdk_athena::types;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_types::DateTime;
use aws_smithy_types::body::SdkBody;
use futures::FutureExt;
use hyper::body::Bytes;
use k8s_openapi::jiff::{SignedDuration, Timestamp};

use super::clock::ReadDate;
use super::credentials::OwnCredentials;
use super::error::{
    CREDENTIALS_INVALID, Subject, WORK_GROUP_NOT_FOUND, code, is_of_transport, is_resource_not_found, refusal,
};
use super::http_client;
use super::marker_search::{Lister, Part, Summary, SummaryPage};
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

/// The SDK's client, and its endpoint.
pub(super) struct Connection {
    pub(super) athena: aws_sdk_athena::Client,
    pub(super) credentials: OwnCredentials,
    pub(super) region: String,
    /// Endpoint that replaces AWS's own, if one is configured.
    pub(super) endpoint: Option<String>,
    /// Endpoint of Athena's calls, and the use of FIPS endpoints.
    pub(super) target: Target,
    pub(super) clock: Clock,
}

/// Endpoint of calls.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Target {
    /// URL of Athena, as far as the SDK's rules give one.
    pub(super) url: Option<String>,
    /// True if FIPS endpoints are configured.
    pub(super) fips: bool,
}

impl Target {
    fn new(config: &SdkConfig, endpoint: Option<&str>) -> Self {
        let fips = config.use_fips().unwrap_or(false);
        let params = Params::builder()
            .set_region(config.region().map(ToString::to_string))
            .use_fips(fips)
            .use_dual_stack(config.use_dual_stack().unwrap_or(false))
            .set_endpoint(endpoint.map(str::to_owned))
            .build();
        // The SDK's own rules need no I/O: the future is ready at once.
        let resolved = params
            .ok()
            .and_then(|params| DefaultResolver::new().resolve_endpoint(&params).now_or_never()?.ok());
        Self { url: resolved.map(|endpoint| endpoint.url().to_owned()), fips }
    }

    /// Returns the host and, where the URL names one, the port.
    fn host(&self) -> Option<String> {
        let url: http::Uri = self.url.as_deref()?.parse().ok()?;
        url.authority().map(ToString::to_string)
    }
}

impl Connection {
    /// Connects with the credentials, region and endpoint of the environment. `timeout` bounds each call, and no call is sent twice.
    pub(super) async fn from_env(timeout: Duration) -> Result<Self, ConnectError> {
        let timeouts =
            TimeoutConfig::builder().operation_attempt_timeout(timeout).operation_timeout(timeout).build();
        let files = ProfileFiles::read().await.map_err(ConnectError::WrongProfile)?;
        let mut config = aws_config::defaults(BehaviorVersion::latest()).profile_files(files.checked());
        if let Some(client) = http_client::bounded() {
            config = config.http_client(client);
        }
        Self::new(config.timeout_config(timeouts).no_credentials().load().await)
    }

    /// Connects with `config`, and with the credentials of the environment unless `config` has a provider.
    fn new(config: SdkConfig) -> Result<Self, ConnectError> {
        let region = config.region().ok_or(ConnectError::NoRegion)?.to_string();
        let endpoint =
            std::env::var("AWS_ENDPOINT_URL_ATHENA").ok().or(config.endpoint_url().map(str::to_owned));
        let target = Target::new(&config, endpoint.as_deref());
        let clock = Clock::new("Athena");
        let once = aws_sdk_athena::config::Builder::from(&config).retry_config(RetryConfig::disabled());
        let once = once
            .time_source(clock.clone())
            .disable_clock_skew_correction(true)
            .interceptor(ReadDate::of_athena(clock.clone()));
        let credentials = OwnCredentials::new(config, clock.clone());
        let once = once.credentials_provider(credentials.clone()).identity_cache(IdentityCache::no_cache());
        Ok(Self {
            athena: aws_sdk_athena::Client::from_conf(once.build()),
            credentials,
            region,
            endpoint,
            target,
            clock,
        })
    }
}

/// A client of Athena in one region, with one set of credentials.
#[derive(Clone)]
pub struct Athena {
    athena: aws_sdk_athena::Client,
    credentials: OwnCredentials,
    region: String,
    /// Host of the calls, for messages.
    host: Arc<str>,
    clock: Clock,
    leadership: Leadership,
    limiter: RateLimiter,
    metrics: Arc<AthenaMetrics>,
    work_groups: Arc<WorkGroups>,
}

impl Athena {
    /// Creates a client with the credentials, region and endpoint of the environment. `timeout` bounds each call; the rest is the same as in
    /// [`Athena::new`].
    ///
    /// # Errors
    /// When there is no region, or a value in the profile is wrong.
    pub async fn from_env(
        timeout: Duration,
        leadership: Leadership,
        limiter: RateLimiter,
        metrics: Arc<AthenaMetrics>,
    ) -> Result<Self, ConnectError> {
        Ok(Self::over(Connection::from_env(timeout).await?, leadership, limiter, metrics))
    }

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
        Ok(Self::over(Connection::new(config)?, leadership, limiter, metrics))
    }

    fn over(
        connection: Connection,
        leadership: Leadership,
        limiter: RateLimiter,
        metrics: Arc<AthenaMetrics>,
    ) -> Self {
        let Connection { athena, credentials, region, target, clock, .. } = connection;
        let host = target.host().unwrap_or_else(|| "Athena".into()).into();
        Self {
            athena,
            credentials,
            region,
            host,
            clock,
            leadership,
            limiter,
            metrics,
            work_groups: Arc::default(),
        }
    }

    /// Returns the rate limiter of all calls.
    pub fn limiter(&self) -> &RateLimiter {
        &self.limiter
    }

    /// Returns the region of all calls.
    pub fn region(&self) -> &str {
        &self.region
    }

    /// Returns Athena's clock, which every reply corrects.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Returns the account of the credentials, by STS GetCallerIdentity. From then on no call is made in another account.
    ///
    /// # Errors
    /// The error text of STS or of the connection to it.
    pub async fn account(&self) -> Result<String, String> {
        self.credentials.account().await
    }

    /// Sends `body` as StartSession in `work_group`. Returns the id and state of the session behind its token, which may have ended long ago.
    ///
    /// # Errors
    /// The refusal. Of class Unanswered, it leaves open whether a session was started.
    pub async fn start_session(
        &self,
        work_group: &str,
        body: Vec<u8>,
        mut permit: Permit,
    ) -> Result<(String, SessionState), Refusal> {
        // Shared: the body may be large, and the request needs its own copy.
        let body = Bytes::from(body);
        let call = self.athena.start_session().customize().mutate_request(move |request| {
            request.headers_mut().insert("content-length", body.len().to_string());
            *request.body_mut() = SdkBody::from(body.clone());
        });
        self.leadership.held().await;
        permit.spend();
        let begun = Instant::now();
        let reply = call.send().await;
        let reply = self.told("StartSession", &Subject::start(Some(work_group)), begun, reply).await?;
        let id =
            reply.session_id.filter(|id| is_id(id)).ok_or_else(|| empty("StartSession names no session"))?;
        Ok((id, reply.state.map(|state| state.as_str().into()).unwrap_or_default()))
    }

    /// Looks at a session: at its state only or, with `full`, also at its configuration.
    pub async fn look(&self, id: &str, full: bool, permit: Permit) -> Look {
        let subject = Subject::session(id);
        let mut named = false;
        if !full {
            let call = async {
                let reply = self.athena.get_session_status().session_id(id).send().await;
                named = reply.as_ref().is_err_and(|error| is_resource_not_found(error, id));
                reply
            };
            return match self.measured("GetSessionStatus", &subject, permit, call).await {
                Ok(reply) if is_of_another(id, reply.session_id()) => {
                    Look::Failed(empty("GetSessionStatus answers for another session"))
                }
                Ok(reply) => session(id, reply.status.as_ref(), None)
                    .map_or_else(|| Look::Failed(empty("GetSessionStatus tells no state")), Look::Seen),
                Err(refusal) => return failed(refusal, named),
            };
        }
        let call = async {
            let reply = self.athena.get_session().session_id(id).send().await;
            named = reply.as_ref().is_err_and(|error| is_resource_not_found(error, id));
            reply
        };
        match self.measured("GetSession", &subject, permit, call).await {
            Ok(reply) if is_of_another(id, reply.session_id()) => {
                Look::Failed(empty("GetSession answers for another session"))
            }
            Ok(reply) => {
                let seen = session(id, reply.status.as_ref(), None);
                let seen = seen.map(|session| Session { details: Some(Box::new(details(reply))), ..session });
                seen.map_or_else(|| Look::Failed(empty("GetSession tells no state")), Look::Seen)
            }
            Err(refusal) => failed(refusal, named),
        }
    }

    async fn list_page(
        &self,
        work_group: &str,
        state: Option<types::SessionState>,
        token: Option<String>,
        permit: Permit,
    ) -> Result<ListSessionsOutput, Refusal> {
        let list = self.athena.list_sessions().work_group(work_group).set_state_filter(state);
        self.measured(
            "ListSessions",
            &Subject::work_group(work_group),
            permit,
            list.max_results(100).set_next_token(token).send(),
        )
        .await
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
    ) -> Result<Page, Refusal> {
        let reply = self.list_page(work_group, None, token, permit).await?;
        let sessions = reply.sessions.unwrap_or_default().into_iter().filter_map(|summary| {
            let details = Details {
                description: summary.description,
                engine_version: summary
                    .engine_version
                    .and_then(|engine| engine.effective_engine_version.or(engine.selected_engine_version)),
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
        let told = reply.map(|reply| work_group(&reply));
        question.answer(told.clone());
        Some(told)
    }

    /// Reads Athena's time from the reply to a GetWorkGroup: any reply has it.
    ///
    /// # Errors
    /// The refusal.
    pub async fn ask_time(&self, work_group: &str, permit: Permit) -> Result<(), Refusal> {
        self.get_work_group(work_group, permit).await.map(|_| ())
    }

    async fn get_work_group(&self, name: &str, permit: Permit) -> Result<GetWorkGroupOutput, Refusal> {
        let call = self.athena.get_work_group().work_group(name).send();
        self.measured("GetWorkGroup", &Subject::work_group(name), permit, call).await
    }

    /// Ends a session. The call has an effect only on a session that is neither ending nor ended.
    ///
    /// # Errors
    /// The refusal.
    pub async fn terminate_session(&self, id: &str, mut permit: Permit) -> Result<(), Refusal> {
        self.leadership.held().await;
        permit.spend();
        let begun = Instant::now();
        let reply = Box::pin(self.athena.terminate_session().session_id(id).send()).await;
        self.told("TerminateSession", &Subject::session(id), begun, reply).await.map(|_| ())
    }

    /// Makes a call, which uses up `permit`.
    fn measured<'a, T, E, C>(
        &'a self,
        operation: &'static str,
        subject: &'a Subject<'a>,
        mut permit: Permit,
        call: C,
    ) -> impl Future<Output = Result<T, Refusal>> + use<'a, T, E, C>
    where
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
        C: Future<Output = Result<T, SdkError<E, HttpResponse>>>,
    {
        // The future is 10 KiB, and in its caller it would be a part of every reconcile, with a call or without.
        let call = Box::pin(call);
        async move {
            permit.spend();
            let begun = Instant::now();
            let reply = call.await;
            self.told(operation, subject, begun, reply).await
        }
    }

    /// Counts a call and returns its result, with the refusal of a failed one.
    async fn told<T, E>(
        &self,
        operation: &'static str,
        subject: &Subject<'_>,
        begun: Instant,
        reply: Result<T, SdkError<E, HttpResponse>>,
    ) -> Result<T, Refusal>
    where
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    {
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
            self.credentials.doubt().await;
        }
        told
    }
}

pub(super) fn work_group(reply: &GetWorkGroupOutput) -> WorkGroup {
    let group = reply.work_group.as_ref();
    let engine = group.and_then(|group| group.configuration.as_ref()?.engine_version.as_ref());
    WorkGroup {
        enabled: group.and_then(|group| group.state.as_ref()) != Some(&types::WorkGroupState::Disabled),
        engine_version: engine.and_then(|engine| {
            engine.effective_engine_version.clone().or(engine.selected_engine_version.clone())
        }),
    }
}

/// Returns whether `id` can be the id of a session. An id longer than the API's bound would not fit into the status, and cut it would be another
/// session's.
fn is_id(id: &str) -> bool {
    (1..=256).contains(&id.chars().count())
}

fn failed(refusal: Refusal, named: bool) -> Look {
    if refusal.class == ErrorClass::NotFound { Look::NotFound { named } } else { Look::Failed(refusal) }
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
        dpu_execution_in_millis: reply
            .statistics
            .as_ref()
            .and_then(|statistics| statistics.dpu_execution_in_millis),
        satisfies: None,
    }
}

/// Converts the configuration by taking its maps apart, since they may be large.
fn engine_configuration(given: types::EngineConfiguration) -> EngineConfiguration {
    let map = |map: Option<HashMap<String, String>>| map.map(|map| map.into_iter().collect());
    EngineConfiguration {
        coordinator_dpu_size: given.coordinator_dpu_size,
        max_concurrent_dpus: Some(given.max_concurrent_dpus),
        default_executor_dpu_size: given.default_executor_dpu_size,
        additional_configs: map(given.additional_configs),
        spark_properties: map(given.spark_properties),
        classifications: given.classifications.map(|list| {
            list.into_iter()
                .map(|classification| Classification {
                    name: classification.name,
                    properties: map(classification.properties),
                })
                .collect()
        }),
    }
}

/// Returns whether a reply about the session `id` names another one.
fn is_of_another(id: &str, named: Option<&str>) -> bool {
    named.is_some_and(|named| !named.is_empty() && named != id)
}

/// Returns a time of Athena's, to the millisecond: it arrives as a fraction that a float cannot hold exactly. A time from before there were sessions
/// is dropped: as an end time it would make a live session count as ended.
fn time(time: &DateTime) -> Option<Timestamp> {
    let millis = (time.as_nanos() + 500_000).div_euclid(1_000_000);
    Timestamp::from_millisecond(i64::try_from(millis).ok()?).ok().filter(|time| time.as_second() >= EARLIEST)
}

impl Lister for Athena {
    async fn page(&self, work_group: &str, part: Part, next: Option<String>) -> Result<SummaryPage, Refusal> {
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
        Ok(SummaryPage {
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
