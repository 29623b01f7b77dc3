//! Tests of the table, and of the problems of values.

use std::collections::BTreeSet;
use std::os::unix::ffi::OsStringExt;

use super::*;

fn problem(kind: Kind, value: &str) -> String {
    kind.problem(value).unwrap_or_default()
}

#[test]
fn names_are_in_the_table_once() {
    let names: BTreeSet<_> = VARIABLES.iter().map(|variable| variable.name).collect();
    assert_eq!(names.len(), VARIABLES.len());
    let keys: BTreeSet<_> = PROFILE_KEYS.iter().map(|key| key.name).collect();
    assert_eq!(keys.len(), PROFILE_KEYS.len());
}

#[test]
fn a_newline_or_a_control_character_is_wrong_in_every_variable_that_is_read_as_text() {
    for variable in VARIABLES {
        let is_free = matches!(variable.kind, Kind::Anything | Kind::Unchecked(_));
        for value in [
            "value\n",
            "value\r\n",
            "val\nue",
            "val\u{1}ue",
            "val\u{7f}ue",
            "value\t",
            " value",
            "\u{85}value",
        ] {
            let problem = problem(variable.kind, value);
            assert_eq!(problem.is_empty(), is_free, "{}: {problem}", variable.name);
            assert!(
                !problem.contains("val\nue") && !problem.contains('\u{1}'),
                "{}: {problem}",
                variable.name
            );
        }
    }
}

#[test]
fn values_have_the_form_that_their_reader_takes() {
    for (kind, right, wrong) in [
        (Kind::Header, &["Basic a b"][..], &["é"][..]),
        (Kind::Key, &["AKIAEXAMPLE", "test", "a/b+c="], &["a b", "é"]),
        (Kind::Boolean, &["true", "FALSE"], &["yes", "1", "maybe"]),
        (
            Kind::Number(1, 10),
            &["1", "10"],
            &["0", "11", "-1", "1.0", "word", "1e1", "99999999999999999999999"],
        ),
        (Kind::OneOf(&["standard"]), &["standard", "Standard"], &["legacy"]),
        (
            Kind::Schemes(&["sigv4", "noAuth"]),
            &["sigv4", "noAuth, aws.auth#sigv4"],
            &["sigv4,", "SigV4", "word"],
        ),
        (Kind::NumberOrSwitch, &["1", "on", "64M", "1GiB", "-1"], &["word", "1x", "--"]),
        (
            Kind::Region,
            &["eu-west-1", "aws-global"],
            &["eu west", "EU-WEST-1", "eu-west-1.", "-", "eu_west", "é"],
        ),
        (Kind::Regions, &["*", "eu-west-1, us-east-1"], &["eu-west-1,", "a b"]),
        (Kind::Account, &["012345678901"], &["12345678901", "word"]),
        (
            Kind::Role,
            &["arn:aws:iam::123456789012:role/name"],
            &["name", "arn:aws:iam::123456789012:user/name"],
        ),
        (Kind::RoleSession, &["a-b@c"], &["a", "a b"]),
        (Kind::AppName, &["app-1.0"], &["my app", "a/b"]),
        (
            Kind::Endpoint,
            &[
                "http://localhost:80",
                "https://athena.eu-west-1.amazonaws.com",
                "http://127.0.0.1:9/prefix/",
                "https://[::1]:443",
                "HTTPS://host",
            ],
            &[
                "localhost:80",
                "host",
                "ftp://host",
                "http://",
                "https:///path",
                "http://:80",
                "http://host:99999",
                "http://host:",
                "http://host:word",
                "http://1.2.3.4.5",
                "http://user:password@host",
                "http://host/?a=b",
                "http://a b",
                "http://a\u{300}",
                "http://[::1",
                "http://a..b",
                "http://%",
                "http://xn--/",
            ],
        ),
        (
            Kind::CredentialsUrl,
            &["http://169.254.170.23/v1/credentials?id=1"],
            &["169.254.170.23/v1", "127.0.0.1:80"],
        ),
        (Kind::UrlPath, &["/v2/credentials/id?a=b"], &["v2", "http://host/", "/a b"]),
        (
            Kind::Proxy,
            &["http://user:p%40ss@proxy:3128", "proxy:3128", "socks5://proxy:1080", "https://[::1]:3128/"],
            &["ftp://proxy", "http://", "http://proxy:port", "a b", "/path"],
        ),
        (
            Kind::Host,
            &["10.0.0.1", "::1", "kubernetes.default.svc", "host."],
            &["a b", "10.0.0.1.2", "", "a..b", "-.1"],
        ),
    ] {
        for value in right {
            assert_eq!(problem(kind, value), "", "{value}");
        }
        for value in wrong {
            assert!(!problem(kind, value).is_empty(), "{kind:?}: {value}");
        }
    }
}

#[test]
fn a_url_that_is_right_is_one_that_the_sdk_takes() {
    for value in
        ["http://host", "https://host.example.com:443/a/b", "http://[::1]:80/", "http://a_b", "http://host."]
    {
        assert_eq!(problem(Kind::Endpoint, value), "");
        assert!(
            url::Url::parse(value).is_ok()
                && value.parse::<http::Uri>().is_ok_and(|uri| uri.host().is_some()),
            "{value}"
        );
    }
}

#[test]
fn files_are_looked_at() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name).display().to_string();
    let (text, none, garbage) = (at("text"), at("none"), at("garbage"));
    std::fs::write(&text, "no certificate").expect("written");
    std::fs::write(&garbage, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
        .expect("written");
    assert!(
        problem(Kind::Certificates, &none).contains("No such file"),
        "{}",
        problem(Kind::Certificates, &none)
    );
    for file in [&text, &garbage] {
        assert_eq!(problem(Kind::Certificates, file), "gives no certificate of an authority in PEM form");
    }
    assert_eq!(
        problem(Kind::CertificateFolders, &folder.path().display().to_string()),
        "gives no certificate of an authority in PEM form"
    );
    assert!(problem(Kind::CertificateFolders, &none).contains("No such file"));
    assert_eq!(problem(Kind::Files, &format!("{text}::{garbage}")), "");
    assert!(
        problem(Kind::Files, &format!("{text}:{none}")).starts_with("names a file that cannot be read: ")
    );
    assert!(problem(Kind::Files, &folder.path().display().to_string()).contains("cannot be read"));
}

#[test]
fn problems_name_the_variable_and_show_no_value() {
    let environment = [
        ("AWS_ACCESS_KEY_ID", b"canary\n".to_vec()),
        ("AWS_MAX_ATTEMPTS", b"canary".to_vec()),
        ("AWS_CONFIG_FILE", b"canary\xff".to_vec()),
        ("KUBERNETES_SERVICE_PORT", b"canary".to_vec()),
        ("MIMALLOC_VERBOSE", b"canary".to_vec()),
        ("TERM", b"canary\xff\n".to_vec()),
        ("RUST_LOG", b"canary\n".to_vec()),
        ("SOMETHING_ELSE", b"canary\n".to_vec()),
    ];
    let environment = environment.map(|(name, value)| (OsString::from(name), OsString::from_vec(value)));
    let expected = [
        "`AWS_ACCESS_KEY_ID` ends in a newline: make its value without one, for example with `echo -n`",
        "`AWS_CONFIG_FILE` is not UTF-8 text",
        "`AWS_MAX_ATTEMPTS` must be a whole number of at least 1 and at most 4294967295",
        "`MIMALLOC_VERBOSE` must be a number, or a word such as on or off",
    ];
    assert_eq!(problems(environment, |_, variable| !variable.of_cluster), expected);
}

#[test]
fn a_variable_that_is_read_and_has_no_value_is_left_out() {
    let is_empty = |name: &str, value: &str| super::is_empty(name.as_ref(), value.as_ref());
    for name in [
        "AWS_ENDPOINT_URL",
        "AWS_ENDPOINT_URL_ATHENA",
        "ATHENA_OPERATOR_NAMESPACES",
        "KUBECONFIG",
        "NO_COLOR",
        "MIMALLOC_VERBOSE",
    ] {
        assert!(is_empty(name, "") && !is_empty(name, "x"), "{name}");
    }
    for name in ["RUST_LOG", "SOMETHING_ELSE", "AWS_ENDPOINT_URL_S3"] {
        assert!(!is_empty(name, ""), "{name}");
    }
}
