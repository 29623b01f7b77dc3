//! Environment variables and profile keys that this program or a library in it reads. `tests/settings` looks for them in the sources of the versions
//! in Cargo.lock, and fails when one is read that is missing here, or when one is here that nothing reads.

use super::value::Kind::{
    self, Account, Anything, AppName, Boolean, CertificateFolders, Certificates, CredentialsUrl, Endpoint,
    Files, Flag, Header, Host, Key, Never, Number, NumberOrSwitch, OneOf, Proxy, Region, Regions, Role,
    RoleSession, Schemes, SecretHeader, SecretKey, Text, Unchecked, UrlPath,
};

/// An environment variable.
#[derive(Clone, Copy, Debug)]
pub struct Variable {
    /// Name; one that ends in `*` is the beginning of many names.
    pub name: &'static str,
    /// Kind of its values.
    pub kind: Kind,
    /// True if only a process that reaches the API server of a cluster reads the variable.
    pub of_cluster: bool,
}

/// A key of a profile in AWS's files of configuration and credentials.
#[derive(Clone, Copy, Debug)]
pub struct ProfileKey {
    /// Name.
    pub name: &'static str,
    /// Kind of its values.
    pub kind: Kind,
}

const fn variable(name: &'static str, kind: Kind) -> Variable {
    Variable { name, kind, of_cluster: false }
}

const fn of_cluster(name: &'static str, kind: Kind) -> Variable {
    Variable { name, kind, of_cluster: true }
}

const fn key(name: &'static str, kind: Kind) -> ProfileKey {
    ProfileKey { name, kind }
}

const ACCOUNT_ID_ENDPOINT_MODES: Kind = OneOf(&["preferred", "disabled", "required"]);
const AUTH_SCHEMES: Kind = Schemes(&[
    "sigv4",
    "sigv4a",
    "httpBearerAuth",
    "httpBasicAuth",
    "httpDigestAuth",
    "httpApiKeyAuth",
    "noAuth",
]);
const CHECKSUMS: Kind = OneOf(&["when_supported", "when_required"]);
const COMPRESSION_SIZE: Kind = Number(0, 10_485_760);
const METADATA_MODES: Kind = OneOf(&["IPv4", "IPv6"]);
const RETRY_MODES: Kind = OneOf(&["standard", "adaptive"]);
const TRIES: Kind = Number(1, u32::MAX as u64);
/// Stack size of a thread, in bytes: a thread overflows a smaller one, and cannot be started with a larger one.
const STACK: Kind = Number(1 << 18, 1 << 30);

const TERMINAL: Kind = Anything;
const TIME_ZONE: Kind = Unchecked("no time is shown in a time zone");
const OTHER_SYSTEM: Kind = Unchecked("it is read on another system or processor");
const OTHER_BUILD: Kind = Unchecked("it is read in a build with other features");
const OWN_FILTER: Kind = Unchecked("the filter of the log comes from --log");
const BEFORE_MAIN: Kind = Unchecked(
    "aws-lc reads it before the program begins, and ends the process for some values, an empty one among them",
);
const NOT_CALLED: Kind = Unchecked("what reads it is not called");

/// All environment variables.
pub const VARIABLES: &[Variable] = &[
    // The flags.
    variable("ATHENA_OPERATOR_ATHENA_BURST", Flag),
    variable("ATHENA_OPERATOR_ATHENA_RATE", Flag),
    variable("ATHENA_OPERATOR_ATHENA_TIMEOUT", Flag),
    variable("ATHENA_OPERATOR_CONCURRENCY", Flag),
    variable("ATHENA_OPERATOR_EXECUTION_ROLE", Flag),
    variable("ATHENA_OPERATOR_KUBERNETES_TIMEOUT", Flag),
    variable("ATHENA_OPERATOR_LEADER_ELECTION", Flag),
    variable("ATHENA_OPERATOR_LEASE_DURATION", Flag),
    variable("ATHENA_OPERATOR_LEASE_NAME", Flag),
    variable("ATHENA_OPERATOR_LEASE_NAMESPACE", Flag),
    variable("ATHENA_OPERATOR_LISTEN", Flag),
    variable("ATHENA_OPERATOR_LOG", Flag),
    variable("ATHENA_OPERATOR_LOG_FORMAT", Flag),
    variable("ATHENA_OPERATOR_NAMESPACES", Flag),
    variable("ATHENA_OPERATOR_OBSERVE_INTERVAL", Flag),
    variable("ATHENA_OPERATOR_OUTPUT", Flag),
    variable("ATHENA_OPERATOR_SHUTDOWN_GRACE", Flag),
    variable("ATHENA_OPERATOR_TRANSITION_INTERVAL", Flag),
    variable("ATHENA_OPERATOR_UNCERTAINTY", Flag),
    variable("ATHENA_OPERATOR_WORK_GROUPS", Flag),
    // Identity of the process in the lease and in events.
    of_cluster("HOSTNAME", Text),
    of_cluster("POD_NAME", Text),
    // The AWS SDK.
    variable("AWS_ACCESS_KEY_ID", Key),
    variable("AWS_ACCOUNT_ID", Account),
    variable("AWS_ACCOUNT_ID_ENDPOINT_MODE", ACCOUNT_ID_ENDPOINT_MODES),
    variable("AWS_AUTH_SCHEME_PREFERENCE", AUTH_SCHEMES),
    variable("AWS_CONFIG_FILE", Text),
    variable("AWS_CONTAINER_AUTHORIZATION_TOKEN", SecretHeader),
    variable("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", Text),
    variable("AWS_CONTAINER_CREDENTIALS_FULL_URI", CredentialsUrl),
    variable("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", UrlPath),
    variable("AWS_DEFAULT_REGION", Region),
    variable("AWS_DISABLE_CLOCK_SKEW_CORRECTION", Boolean),
    variable("AWS_DISABLE_REQUEST_COMPRESSION", Boolean),
    variable("AWS_EC2_METADATA_DISABLED", Boolean),
    variable("AWS_EC2_METADATA_SERVICE_ENDPOINT", Endpoint),
    variable("AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE", METADATA_MODES),
    variable("AWS_ENDPOINT_URL", Endpoint),
    variable("AWS_ENDPOINT_URL_ATHENA", Endpoint),
    variable("AWS_ENDPOINT_URL_STS", Endpoint),
    variable("AWS_EXECUTION_ENV", Header),
    variable("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", Boolean),
    variable("AWS_LAMBDA_FUNCTION_NAME", Text),
    variable("AWS_LOGIN_CACHE_DIRECTORY", OTHER_BUILD),
    variable("AWS_MAX_ATTEMPTS", TRIES),
    variable("AWS_NEW_RETRIES_2026", Boolean),
    variable("AWS_PROFILE", Text),
    variable("AWS_REGION", Region),
    variable("AWS_REQUEST_CHECKSUM_CALCULATION", CHECKSUMS),
    variable("AWS_REQUEST_MIN_COMPRESSION_SIZE_BYTES", COMPRESSION_SIZE),
    variable("AWS_RESPONSE_CHECKSUM_VALIDATION", CHECKSUMS),
    variable("AWS_RETRY_MODE", RETRY_MODES),
    variable("AWS_ROLE_ARN", Role),
    variable("AWS_ROLE_SESSION_NAME", RoleSession),
    variable("AWS_SDK_UA_APP_ID", AppName),
    variable("AWS_SECRET_ACCESS_KEY", SecretKey),
    variable("AWS_SESSION_TOKEN", SecretKey),
    variable("AWS_SHARED_CREDENTIALS_FILE", Text),
    variable("AWS_SIGV4A_SIGNING_REGION_SET", Regions),
    variable("AWS_USE_DUALSTACK_ENDPOINT", Boolean),
    variable("AWS_USE_FIPS_ENDPOINT", Boolean),
    variable("AWS_WEB_IDENTITY_TOKEN_FILE", Text),
    variable("LOG_SENSITIVE_BODIES", Boolean),
    variable("LOG_SIGNABLE_BODY", Boolean),
    variable("SECRET_ACCESS_KEY", SecretKey),
    variable(
        "SMITHY_CLIENT_SDK_CUSTOM_PARTITION",
        Never("the AWS SDK ends the process when it cannot read the file"),
    ),
    variable("_X_AMZN_TRACE_ID", Text),
    // The client of the API server.
    of_cluster("KUBECONFIG", Files),
    of_cluster("KUBERNETES_SERVICE_HOST", Host),
    of_cluster("KUBERNETES_SERVICE_PORT", Number(1, 65_535)),
    of_cluster("KUBE_RS_DEBUG_IMPERSONATE_GROUP", Header),
    of_cluster("KUBE_RS_DEBUG_IMPERSONATE_USER", Header),
    of_cluster("KUBE_RS_DEBUG_OVERRIDE_URL", Endpoint),
    variable("KUBE_RS_UNSTABLE_CREATE_NO_WINDOW", OTHER_SYSTEM),
    // Proxies and TLS.
    variable("ALL_PROXY", Proxy),
    variable("HTTPS_PROXY", Proxy),
    variable("HTTP_PROXY", Proxy),
    variable("NO_PROXY", Text),
    variable("REQUEST_METHOD", Anything),
    variable("SSLKEYLOGFILE", NOT_CALLED),
    variable("SSL_CERT_DIR", CertificateFolders),
    variable("SSL_CERT_FILE", Certificates),
    variable("all_proxy", Proxy),
    variable("http_proxy", Proxy),
    variable("https_proxy", Proxy),
    variable("no_proxy", Text),
    // The process.
    variable("AWSLC_CONSOLE_NO_TTY_DETECT", NOT_CALLED),
    variable("AWSLC_CRYPTO_POLICY_FILE", OTHER_BUILD),
    variable("BORINGSSL_FIPS_BREAK_TEST", OTHER_BUILD),
    variable("HOME", Text),
    variable("MIMALLOC_*", NumberOrSwitch),
    variable("OPENSSL_armcap", BEFORE_MAIN),
    variable("OPENSSL_ia32cap", BEFORE_MAIN),
    variable("OPENSSL_ppccap", OTHER_SYSTEM),
    variable("RUST_BACKTRACE", Anything),
    variable("RUST_LIB_BACKTRACE", Anything),
    variable("RUST_LOG", OWN_FILTER),
    variable("RUST_MIN_STACK", STACK),
    variable("TOKIO_UNSTABLE_SHARDED_BLOCKING_QUEUE", Anything),
    variable("TOKIO_WORKER_THREADS", Number(1, 32_768)),
    // The terminal, and time.
    variable("CI", TERMINAL),
    variable("CLICOLOR", TERMINAL),
    variable("CLICOLOR_FORCE", TERMINAL),
    variable("COLORTERM", TERMINAL),
    variable("COLUMNS", TERMINAL),
    variable("LINES", TERMINAL),
    variable("NO_COLOR", TERMINAL),
    variable("TERM", TERMINAL),
    variable("TZ", TIME_ZONE),
    variable("TZDIR", TIME_ZONE),
    variable("ANDROID_DATA", OTHER_SYSTEM),
    variable("ANDROID_ROOT", OTHER_SYSTEM),
    variable("USERPROFILE", OTHER_SYSTEM),
    variable("HOMEDRIVE", OTHER_SYSTEM),
    variable("HOMEPATH", OTHER_SYSTEM),
];

/// All keys of profiles, and of the part of a service in the section that the key `services` names.
pub const PROFILE_KEYS: &[ProfileKey] = &[
    key("account_id_endpoint_mode", ACCOUNT_ID_ENDPOINT_MODES),
    key("auth_scheme_preference", AUTH_SCHEMES),
    key("aws_access_key_id", Key),
    key("aws_account_id", Account),
    key("aws_secret_access_key", SecretKey),
    key("aws_session_token", SecretKey),
    key("credential_process", Text),
    key("credential_source", OneOf(&["Environment", "Ec2InstanceMetadata", "EcsContainer"])),
    key("disable_clock_skew_correction", Boolean),
    key("disable_request_compression", Boolean),
    key("ec2_metadata_service_endpoint", Endpoint),
    key("ec2_metadata_service_endpoint_mode", METADATA_MODES),
    key("endpoint_url", Endpoint),
    key("external_id", Text),
    key("ignore_configured_endpoint_urls", Boolean),
    key("login_session", Text),
    key("max_attempts", TRIES),
    key("region", Region),
    key("request_checksum_calculation", CHECKSUMS),
    key("request_min_compression_size_bytes", COMPRESSION_SIZE),
    key("response_checksum_validation", CHECKSUMS),
    key("retry_mode", RETRY_MODES),
    key("role_arn", Role),
    key("role_session_name", RoleSession),
    key("sdk_ua_app_id", AppName),
    key("services", Text),
    key("sigv4a_signing_region_set", Regions),
    key("source_profile", Text),
    key("sso_account_id", Text),
    key("sso_region", Text),
    key("sso_role_name", Text),
    key("sso_session", Text),
    key("sso_start_url", Text),
    key("use_dualstack_endpoint", Boolean),
    key("use_fips_endpoint", Boolean),
    key("web_identity_token_file", Text),
];
