//! Calls that show the caller's permissions, and that cannot change anything.
//!
//! They rest on two facts: a call whose input breaks the service's published model is refused, and one that names a session that does not exist has
//! nothing to act on.

use std::time::Duration;

use aws_sdk_athena::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_athena::types::Tag;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use serde_json::json;

use super::client::{ConnectError, Connection, Target, config_from_env, work_group};
use super::credentials::Caller;
use super::error::{Subject, refusal};
use crate::session::reply::{Refusal, WorkGroup};

/// Makes the calls, without limiter and leadership.
pub struct Probe(Connection);

impl Probe {
    /// Connects with the credentials, region and endpoint of the environment. `timeout` bounds each call.
    ///
    /// # Errors
    /// When there is no region, or a value in the profile is wrong.
    pub async fn from_env(timeout: Duration) -> Result<Self, ConnectError> {
        Ok(Self(Connection::new(config_from_env(timeout).await?)?))
    }

    /// Returns the destination of all calls.
    pub fn target(&self) -> &Target {
        &self.0.target
    }

    /// Returns account and ARN of the caller, by STS GetCallerIdentity, which needs no permission.
    ///
    /// # Errors
    /// The refusal.
    pub async fn caller(&self) -> Result<Caller, Refusal> {
        self.0.credentials.caller().await
    }

    /// Returns a work group.
    ///
    /// # Errors
    /// The refusal.
    pub async fn work_group(&self, name: &str) -> Result<WorkGroup, Refusal> {
        let reply = self.0.athena.get_work_group().work_group(name).send().await;
        told(reply, &Subject::work_group(name)).map(work_group)
    }

    /// Lists one session of a work group.
    ///
    /// # Errors
    /// The refusal.
    pub async fn list_sessions(&self, work_group: &str) -> Result<(), Refusal> {
        let reply = self.0.athena.list_sessions().work_group(work_group).max_results(1).send().await;
        told(reply, &Subject::work_group(work_group)).map(drop)
    }

    /// Calls StartSession with a body that breaks three rules of the published model, each of which is enough to have it refused: EngineConfiguration
    /// is required and missing, ClientRequestToken is shorter than 32 characters, and the idle timeout is less than a minute. Returns the id of the
    /// session that a service without any of these rules would have started.
    ///
    /// # Errors
    /// The refusal.
    pub async fn start_session(
        &self,
        work_group: &str,
        execution_role: Option<&str>,
    ) -> Result<String, Refusal> {
        let mut body = json!({ "ClientRequestToken": "check", "SessionIdleTimeoutInMinutes": 0, "WorkGroup": work_group });
        if let Some(role) = execution_role {
            body["ExecutionRole"] = role.into();
        }
        let reply = self.0.start_session(body.to_string().into()).await;
        told(reply, &Subject::start(Some(work_group))).map(|reply| reply.session_id.unwrap_or_default())
    }

    /// Looks at a session.
    ///
    /// # Errors
    /// The refusal.
    pub async fn get_session(&self, id: &str) -> Result<(), Refusal> {
        let reply = self.0.athena.get_session().session_id(id).send().await;
        told(reply, &Subject::session(id)).map(drop)
    }

    /// Looks at the state of a session.
    ///
    /// # Errors
    /// The refusal.
    pub async fn get_session_status(&self, id: &str) -> Result<(), Refusal> {
        let reply = self.0.athena.get_session_status().session_id(id).send().await;
        told(reply, &Subject::session(id)).map(drop)
    }

    /// Ends a session.
    ///
    /// # Errors
    /// The refusal.
    pub async fn terminate_session(&self, id: &str) -> Result<(), Refusal> {
        let reply = self.0.athena.terminate_session().session_id(id).send().await;
        told(reply, &Subject::session(id)).map(drop)
    }

    /// Puts a tag on the resource `arn`.
    ///
    /// # Errors
    /// The refusal.
    pub async fn tag_resource(&self, arn: &str) -> Result<(), Refusal> {
        let tag = Tag::builder().key("athena-operator-check").value("").build();
        let reply = self.0.athena.tag_resource().resource_arn(arn).tags(tag).send().await;
        told(reply, &Subject::session(arn)).map(drop)
    }
}

fn told<T, E>(reply: Result<T, SdkError<E, HttpResponse>>, subject: &Subject<'_>) -> Result<T, Refusal>
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    reply.map_err(|error| refusal(&error, subject))
}
