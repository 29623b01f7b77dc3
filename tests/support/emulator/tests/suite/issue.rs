//! Credentials that are issued, whose account they are of, and a clock that is wrong.

use std::time::Duration;

use athena_emulator::{Config, Credential, Emulator, Issue};
use serde_json::Value;

use crate::client::{athena, error, raw, start, sts};

const ISSUED: &str = "issued";

async fn emulator() -> Emulator {
    let issued = Credential {
        access_key_id: ISSUED.to_owned(),
        session_token: Some("session".to_owned()),
        account: Some("111111111111".to_owned()),
        ..Credential::default()
    };
    let issue = Issue {
        token: "right".to_owned(),
        access_key_id: ISSUED.to_owned(),
        lifetime: Duration::from_hours(1),
    };
    let config =
        Config { credentials: vec![Credential::default(), issued], issue: Some(issue), ..Config::default() };
    Emulator::start(config).await.expect("an emulator")
}

#[tokio::test]
async fn a_web_identity_is_given_credentials_for_its_token() {
    let emulator = emulator().await;
    let ask = |token: &str| {
        let role = "arn:aws:iam::111111111111:role/operator";
        sts(&emulator, "any")
            .assume_role_with_web_identity()
            .role_arn(role)
            .role_session_name("s")
            .web_identity_token(token)
            .send()
    };
    assert_eq!(error(ask("wrong").await).0, "InvalidIdentityToken");
    let output = ask("right").await.expect("credentials");
    let credentials = output.credentials.expect("credentials");
    assert_eq!((credentials.access_key_id.as_str(), credentials.session_token.as_str()), (ISSUED, "session"));
    assert!(credentials.expiration.secs() > jiff::Timestamp::now().as_second() + 3500);
    assert_eq!(
        output.assumed_role_user.expect("a user").arn,
        "arn:aws:sts::111111111111:assumed-role/operator/s"
    );
}

#[tokio::test]
async fn the_agent_gives_credentials_for_its_token() {
    let emulator = emulator().await;
    let ask = async |token: &str| {
        raw(&emulator.url(), &format!("GET /v1/credentials HTTP/1.1\r\nhost: agent\r\nauthorization: {token}\r\nconnection: close\r\n\r\n")).await
    };
    assert!(ask("wrong").await.starts_with("HTTP/1.1 403"));
    let reply = ask("right").await;
    let body: Value = serde_json::from_str(reply.split("\r\n\r\n").nth(1).expect("a body")).expect("JSON");
    assert_eq!(
        (&body["AccessKeyId"], &body["AccountId"]),
        (&Value::from(ISSUED), &Value::from("111111111111"))
    );
    let told: Vec<_> =
        emulator.calls().into_iter().map(|call| (call.operation, call.outcome.to_string())).collect();
    let operation = || "AssumeRoleForPodIdentity".to_owned();
    assert_eq!(told, [(operation(), "AccessDeniedException".to_owned()), (operation(), "ok".to_owned())]);
}

#[tokio::test]
async fn the_account_is_that_of_the_key() {
    let emulator = emulator().await;
    emulator.configure(|config| config.credentials[1].session_token = None);
    for (key, account) in [("test", "000000000000"), (ISSUED, "111111111111")] {
        let identity = sts(&emulator, key).get_caller_identity().send().await.expect("an identity");
        assert_eq!(identity.account.as_deref(), Some(account));
    }
}

#[tokio::test]
async fn a_client_that_is_refused_for_its_clock_learns_the_time_from_the_reply() {
    for seconds in [3600, -3600] {
        let emulator = emulator().await;
        emulator.configure(|config| config.clock_ahead = seconds);
        let client = athena(&emulator);
        let (code, message) = error(start(&client, "one").send().await);
        assert_eq!(code, "InvalidSignatureException");
        assert!(
            message.starts_with("Signature expired: ") || message.starts_with("Signature not yet current: "),
            "{message}"
        );
        start(&client, "one").send().await.expect("a session");
    }
}
