//! The operator's AWS credentials: found by the SDK's default chain, searched for again when AWS refuses them, and all of one account.
//!
//! The SDK reads a profile once and keeps issued credentials until their stated end, though they may have been revoked long before. So its cache is
//! not used here.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use aws_config::{BehaviorVersion, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::credential_feature::AwsCredentialFeature;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, future};
use aws_sdk_sts::config::IdentityCache;
use serde::Serialize;
use tokio::sync::Mutex;
use tokio::time::timeout;
use tracing::{info, warn};

use super::clock::ReadDate;
use super::error::{Subject, cause, refusal, sources, unsigned};
use super::issued::{self, Unusable};
use super::missing_credentials::Missing;
use super::profile_files::ProfileFiles;
use crate::env_vars::Kind;
use crate::runtime::clock::Clock;
use crate::runtime::confidential;
use crate::session::reply::Refusal;

/// Maximum age of credentials that name no end, after which they are searched for again.
const MAX_AGE_WITHOUT_END: Duration = Duration::from_mins(5);
/// Time before their end at which they are replaced.
const RENEWED_BEFORE_END: Duration = Duration::from_secs(30);
/// Timeout of a search.
const SEARCH_TIMEOUT: Duration = Duration::from_secs(5);
/// Minimum time between two searches, whatever is refused meanwhile.
const MIN_SEARCH_INTERVAL: Duration = Duration::from_secs(2);

/// Account and ARN of the credentials.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Caller {
    /// The account.
    pub account: String,
    /// ARN of the user or of the session of a role.
    pub arn: String,
}

/// Provides the credentials of all calls.
#[derive(Clone)]
pub(super) struct OwnCredentials {
    config: SdkConfig,
    /// Athena's clock, by which credentials end.
    clock: Clock,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    held: Option<Credentials>,
    /// Account of the process, once STS has returned it.
    account: Option<String>,
    searched: Option<Instant>,
    /// Failure of the last search.
    missing: Option<Missing>,
    /// True if AWS has refused the held credentials.
    doubted: bool,
}

impl State {
    /// Returns the result that may be used without another search: the found credentials, or the reason for missing ones.
    fn usable(&self, now: SystemTime) -> Option<Result<Credentials, Missing>> {
        let age = self.searched?.elapsed();
        let end = self.held.as_ref().and_then(Credentials::expiry);
        let fresh = end.map_or(age < MAX_AGE_WITHOUT_END, |end| now + RENEWED_BEFORE_END < end)
            && !self.doubted
            && self.missing.is_none();
        (fresh || age < MIN_SEARCH_INTERVAL).then(|| self.best(now))
    }

    fn holds(&self, credentials: &Credentials) -> bool {
        self.held.as_ref().is_some_and(|held| held.access_key_id() == credentials.access_key_id())
    }

    /// Returns the held credentials, as long as nothing is known against them.
    fn best(&self, now: SystemTime) -> Result<Credentials, Missing> {
        match (&self.held, &self.missing) {
            (Some(held), None) => Ok(held.clone()),
            // A search that fails proves nothing against credentials found before.
            (Some(held), Some(_)) if !self.doubted && held.expiry().is_none_or(|end| now < end) => {
                Ok(held.clone())
            }
            (_, Some(missing)) => Err(missing.clone()),
            (None, None) => Err(Missing::NotFound("none were looked for".into())),
        }
    }
}

impl OwnCredentials {
    /// Uses the credentials of the environment, unless `config` has a provider. `config` has region and endpoint.
    pub(super) fn new(config: SdkConfig, clock: Clock) -> Self {
        Self { config, clock, state: Arc::default() }
    }

    /// Records that AWS has refused the credentials: the next call searches for others.
    pub(super) async fn doubt(&self) {
        self.state.lock().await.doubted = true;
    }

    /// Returns the account of the credentials, by STS GetCallerIdentity. From then on only credentials of this account are used.
    pub(super) async fn account(&self) -> Result<String, String> {
        let credentials = self.provide().await.map_err(|missing| missing.to_string())?;
        let account = self.account_of(&credentials).await?;
        let mut state = self.state.lock().await;
        if !state.holds(&credentials) {
            return Err("the credentials have changed meanwhile".into());
        }
        Ok(state.account.get_or_insert(account).clone())
    }

    /// Returns account and ARN of the credentials, by STS GetCallerIdentity.
    pub(super) async fn caller(&self) -> Result<Caller, Refusal> {
        self.caller_of(&self.provide().await.map_err(|missing| unsigned(&missing))?).await
    }

    async fn account_of(&self, credentials: &Credentials) -> Result<String, String> {
        if let Some(account) = issued_account(credentials) {
            return Ok(account);
        }
        self.caller_of(credentials).await.map(|caller| caller.account).map_err(|refusal| refusal.message)
    }

    async fn caller_of(&self, credentials: &Credentials) -> Result<Caller, Refusal> {
        // The SDK corrects its clock within the call.
        let own = aws_sdk_sts::config::Builder::from(&self.config)
            .credentials_provider(credentials.clone())
            .identity_cache(IdentityCache::no_cache())
            .interceptor(ReadDate { clock: self.clock.clone(), is_own: false });
        let reply = aws_sdk_sts::Client::from_conf(own.build())
            .get_caller_identity()
            .send()
            .await
            .map_err(|error| refusal(&error, &Subject::OTHER))?;
        let account = reply.account.filter(|account| is_account(account));
        let account = account.ok_or_else(|| Refusal::unanswered("the reply of STS names no account"))?;
        Ok(Caller { account, arn: reply.arn.unwrap_or_default() })
    }

    async fn provide(&self) -> Result<Credentials, Missing> {
        let mut state = self.state.lock().await;
        if let Some(result) = state.usable(self.clock.now().into()) {
            return result;
        }
        let found = timeout(SEARCH_TIMEOUT, self.search(&state)).await;
        state.searched = Some(Instant::now());
        match found.unwrap_or_else(|_| {
            Err(Missing::NotFound(format!("it takes longer than {SEARCH_TIMEOUT:?} to find them")))
        }) {
            Ok(found) => {
                confidential::register_secret(found.secret_access_key());
                found.session_token().into_iter().for_each(confidential::register_secret);
                if !state.holds(&found) {
                    info!(source = source_of(&found), "AWS credentials were found");
                }
                (state.held, state.missing, state.doubted) = (Some(found), None, false);
            }
            Err(missing) => {
                warn!("{missing}");
                state.missing = Some(missing);
            }
        }
        state.best(self.clock.now().into())
    }

    /// Returns the credentials from the provider or the SDK's chain, read again, if they are of the process's account.
    async fn search(&self, state: &State) -> Result<Credentials, Missing> {
        let (provider, warnings) = if let Some(provider) = self.config.credentials_provider() {
            (Some(provider), Vec::new())
        } else {
            let files = ProfileFiles::read().await.map_err(Missing::Unusable)?;
            let mut config = aws_config::defaults(BehaviorVersion::latest()).profile_files(files.files);
            if let Some(client) = issued::http_client() {
                config = config.http_client(client);
            }
            (config.region(self.config.region().cloned()).load().await.credentials_provider(), files.warnings)
        };
        let not_found =
            |reason: String| Missing::NotFound([vec![reason], warnings.clone()].concat().join("; "));
        let provider = provider.ok_or_else(|| not_found("the SDK knows no source".into()))?;
        let found = provider.provide_credentials().await.map_err(|error| {
            match sources(&error).find_map(|source| source.downcast_ref::<Unusable>()) {
                Some(unusable) => Missing::Unusable(unusable.to_string()),
                None => not_found(cause(&error)),
            }
        })?;
        if let Some(problem) = problem_of(&found) {
            return Err(Missing::Unusable(problem));
        }
        let Some(own) = state.account.clone().filter(|_| !state.holds(&found)) else { return Ok(found) };
        let account = self.account_of(&found).await.map_err(Missing::AccountUnknown)?;
        if account == own { Ok(found) } else { Err(Missing::AccountChanged { own, found: account }) }
    }
}

/// Returns the account that AWS issued `credentials` with: those of an assumed role, or of EKS Pod Identity. An account in a variable or a profile
/// does not count: a wrong one would have the operator look for sessions in another account, and find none.
fn issued_account(credentials: &Credentials) -> Option<String> {
    use AwsCredentialFeature as Feature;
    let is_issued = |feature: &Feature| {
        matches!(
            feature,
            Feature::CredentialsStsAssumeRole
                | Feature::CredentialsStsAssumeRoleSaml
                | Feature::CredentialsStsAssumeRoleWebId
                | Feature::CredentialsEnvVarsStsWebIdToken
                | Feature::CredentialsProfileStsWebIdToken
                | Feature::CredentialsHttp
        )
    };
    let features = credentials.get_property::<Vec<Feature>>()?;
    let account = credentials.account_id().filter(|_| features.iter().any(is_issued))?.as_str();
    is_account(account).then(|| account.to_owned())
}

/// Returns the place in the SDK's chain that `credentials` come from, in words for the log.
fn source_of(credentials: &Credentials) -> &'static str {
    use AwsCredentialFeature as Feature;
    let place = |feature: &Feature| match feature {
        Feature::CredentialsCode => Some("code"),
        Feature::CredentialsEnvVars => Some("environment variables"),
        Feature::CredentialsEnvVarsStsWebIdToken => Some("web identity token file"),
        Feature::CredentialsProfile
        | Feature::CredentialsProfileSourceProfile
        | Feature::CredentialsProfileNamedProvider
        | Feature::CredentialsProfileStsWebIdToken => Some("profile"),
        Feature::CredentialsProfileProcess | Feature::CredentialsProcess => Some("credential process"),
        Feature::CredentialsProfileSso | Feature::CredentialsSso => Some("IAM Identity Center"),
        Feature::CredentialsProfileLogin | Feature::CredentialsLogin => Some("login session"),
        Feature::CredentialsHttp => Some("container credentials endpoint, as of EKS Pod Identity"),
        Feature::CredentialsImds => Some("instance metadata service"),
        _ => None,
    };
    // The chain notes the place first, and its further actions after it.
    credentials.get_property::<Vec<Feature>>().into_iter().flatten().find_map(place).unwrap_or("unknown")
}

/// Returns the reason why `credentials` cannot be sent: the SDK ends the process for a key that cannot stand in a header.
fn problem_of(credentials: &Credentials) -> Option<String> {
    let parts = [
        ("access key id", Some(credentials.access_key_id())),
        ("secret access key", Some(credentials.secret_access_key())),
        ("session token", credentials.session_token()),
    ];
    parts.into_iter().find_map(|(part, value)| {
        let problem =
            if value?.is_empty() { Some("is empty".into()) } else { Kind::SecretKey.problem(value?) };
        problem.map(|problem| format!("the {part} that was found {problem}"))
    })
}

fn is_account(text: &str) -> bool {
    text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit())
}

impl fmt::Debug for OwnCredentials {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("OwnCredentials")
    }
}

impl ProvideCredentials for OwnCredentials {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(async { self.provide().await.map_err(CredentialsError::not_loaded) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_that_cannot_stand_in_a_header_are_not_used() {
        let of = |key: &str, secret: &str, token: Option<&str>| {
            problem_of(&Credentials::new(key, secret, token.map(str::to_owned), None, "test"))
        };
        assert_eq!(of("AKIAEXAMPLE", "a/b+c=", Some("token")), None);
        for (found, part) in [
            (of("AKIA\n", "secret", None), "access key id"),
            (of("AKIA\u{7}", "secret", None), "access key id"),
            (of("AKIA", "sec ret", None), "secret access key"),
            (of("AKIA", "secret", Some("x0\ny0")), "session token"),
            (of("", "secret", None), "access key id"),
            (of("\u{e9}", "secret", None), "access key id"),
        ] {
            let problem = found.expect(part);
            assert!(problem.starts_with(&format!("the {part} that was found ")), "{problem}");
            assert!(!["AKIA", "sec ret", "x0"].iter().any(|value| problem.contains(value)), "{problem}");
        }
    }
}
