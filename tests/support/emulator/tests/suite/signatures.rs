//! Who may call, and with what.

use athena_emulator::{Config, Emulator};
use aws_sdk_athena::error::ProvideErrorMetadata;

use crate::client::{athena_config, start};

#[tokio::test]
async fn keys_and_secrets_must_be_right() {
    let emulator = Emulator::start(Config::default()).await.expect("an emulator");
    let code = async |key: &str, secret: &str| {
        let client = aws_sdk_athena::Client::from_conf(
            athena_config(&emulator, key, secret, Some("any session token")).build(),
        );
        start(&client, "key").send().await.err().and_then(|error| error.code().map(str::to_owned))
    };
    assert_eq!(code("test", "test").await, None);
    assert_eq!(code("test", "wrong").await.as_deref(), Some("InvalidSignatureException"));
    assert_eq!(code("other", "test").await.as_deref(), Some("UnrecognizedClientException"));
    emulator.configure(|config| config.credentials[0].session_token = Some("the one".to_owned()));
    assert_eq!(code("test", "test").await.as_deref(), Some("UnrecognizedClientException"));
    emulator.configure(|config| config.check_signatures = false);
    assert_eq!(code("other", "wrong").await, None);
    assert_eq!(emulator.sessions().len(), 1);
}
