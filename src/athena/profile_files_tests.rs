//! Problems of profiles, and their places.

use futures::FutureExt;

use super::*;

fn file(kind: EnvConfigFileKind, path: &str, text: &str) -> File {
    File { kind, path: path.into(), text: without_empty_values(text) }
}

fn files(config: &str, credentials: &str) -> [File; 2] {
    [
        file(EnvConfigFileKind::Config, "/etc/aws/config", config),
        file(EnvConfigFileKind::Credentials, "/etc/aws/credentials", credentials),
    ]
}

type Checked = Result<Vec<(String, String)>, String>;

/// Returns the problem with the profile `spark`, and the warnings.
fn checked(config: &str, credentials: &str) -> (Checked, Vec<String>) {
    let mut warnings = Vec::new();
    let result = check(&files(config, credentials), "spark".into(), &mut warnings)
        .now_or_never()
        .expect("nothing is waited for");
    (result, warnings)
}

#[test]
fn a_wrong_value_of_a_profile_is_named_with_its_place() {
    let key = "aws_secret_access_key = secret-value";
    for (config, credentials, expected) in [
        (
            "[profile spark]\nmax_attempts = 0",
            "",
            "`max_attempts` of profile spark in /etc/aws/config must be a whole number of at least 1",
        ),
        (
            "[profile spark]\nretry_mode = legacy",
            "",
            "`retry_mode` of profile spark in /etc/aws/config must be one of standard, adaptive",
        ),
        (
            "[profile spark]\nregion = eu west",
            "",
            "`region` of profile spark in /etc/aws/config is not the name of an AWS region",
        ),
        (
            "",
            "[spark]\naws_access_key_id = AK\u{7}IA",
            "`aws_access_key_id` of profile spark in /etc/aws/credentials has a control character in it (U+0007)",
        ),
        (
            "",
            "[spark]\naws_access_key_id = AKIA\n  more",
            "`aws_access_key_id` of profile spark in /etc/aws/credentials has a newline in it",
        ),
        (
            "[profile spark]\nsource_profile = base\n[profile base]\nregion = a b",
            "",
            "`region` of profile base in /etc/aws/config",
        ),
        (
            "[profile spark]\nservices = own\n[services own]\nathena =\n  endpoint_url = localhost:80",
            "",
            "`endpoint_url` of athena in /etc/aws/config is not a URL that begins with",
        ),
        (
            "[profile spark]\nendpoint_url = x",
            "[spark]\nregion = eu-west-1",
            "`endpoint_url` of profile spark in /etc/aws/config is not a URL",
        ),
    ] {
        let (result, _) =
            checked(config, &format!("{credentials}\n{}", if credentials.is_empty() { "" } else { key }));
        let problem = result.expect_err(config);
        assert!(problem.starts_with(expected), "{problem}");
        assert!(!problem.contains("secret-value") && !problem.contains("AKIA"), "{problem}");
    }
}

#[test]
fn what_the_sdk_does_not_read_is_not_looked_at() {
    for config in [
        "[profile other]\nmax_attempts = 0",
        "[profile spark]\nunknown = a\u{7}",
        "[services own]\nathena =\n  endpoint_url = x",
        "[profile spark]\nsource_profile = spark\nmax_attempts = 3",
        "[profile spark]\nsource_profile = a\n[profile a]\nsource_profile = spark",
    ] {
        assert_eq!(checked(config, "").0, Ok(Vec::new()), "{config}");
    }
}

#[test]
fn a_file_that_cannot_be_read_as_profiles_is_a_warning() {
    let (result, warnings) = checked("key = value", "[spark]\nmax_attempts = 0");
    assert_eq!(result, Ok(Vec::new()), "the SDK reads none of them");
    assert_eq!(
        warnings,
        [
            "the profiles of /etc/aws/config cannot be read: error parsing on line 1: Expected a profile definition"
        ]
    );
}

#[test]
fn files_of_tokens_are_returned() {
    let (result, _) = checked(
        "[profile spark]\nweb_identity_token_file = /token\nrole_arn = arn:aws:iam::123456789012:role/spark",
        "",
    );
    assert_eq!(
        result,
        Ok(vec![("`web_identity_token_file` of profile spark in /etc/aws/config".into(), "/token".into())])
    );
}

#[test]
fn a_key_without_a_value_is_unset() {
    for (text, expected) in [
        ("[profile spark]\nregion =\nmax_attempts = 3\n", "[profile spark]\n\nmax_attempts = 3\n"),
        ("[profile spark]\nregion = # none\r\n", "[profile spark]\n\n"),
        (
            "[services own]\nathena =\n\n# here\n  endpoint_url =\n  other = 1\n",
            "[services own]\nathena =\n\n# here\n\n  other = 1\n",
        ),
        ("[a=]\nkey =#text\n# x =\n", "[a=]\nkey =#text\n# x =\n"),
        ("[profile spark]\nnested =\n  a = 1\nlast =", "[profile spark]\nnested =\n  a = 1\n\n"),
    ] {
        assert_eq!(without_empty_values(text), expected);
    }
    let (result, warnings) = checked(
        "[profile spark]\nmax_attempts =\nretry_mode =\nregion =\n",
        "[spark]\naws_access_key_id =\n",
    );
    assert_eq!((result, warnings), (Ok(Vec::new()), Vec::new()));
}

#[test]
fn what_is_wrong_with_a_token_is_said_without_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("token").display().to_string();
    for (token, expected) in [
        (&b"a-token-that-cannot-be-sent\n"[..], "ends in a newline"),
        (b"", "is empty"),
        (b"\xff", "is not UTF-8 text"),
        (b"a-token-that-can-be-sent", ""),
    ] {
        std::fs::write(&path, token).expect("written");
        let warning = warning_of_token("AWS_WEB_IDENTITY_TOKEN_FILE", &path);
        let begins = format!("{path} (AWS_WEB_IDENTITY_TOKEN_FILE) {expected}");
        assert_eq!(warning.is_some(), !expected.is_empty());
        assert!(warning.is_none_or(|warning| warning.starts_with(&begins)));
    }
    for token in ["a-token-that-cannot-be-sent", "a-token-that-can-be-sent"] {
        assert_eq!(confidential::redact_secrets(&format!("STS refuses {token}.")), "STS refuses ***.");
    }
    let warning = warning_of_token("AWS_WEB_IDENTITY_TOKEN_FILE", "/does/not/exist").expect("a warning");
    assert!(
        warning.starts_with("/does/not/exist (AWS_WEB_IDENTITY_TOKEN_FILE) cannot be read: "),
        "{warning}"
    );
}
