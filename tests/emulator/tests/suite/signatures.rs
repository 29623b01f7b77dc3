//! Who may call, and with what.

use athena_emulator::{Config, Emulator};
use aws_sdk_athena::config::Intercept;
use aws_sdk_athena::config::interceptors::BeforeTransmitInterceptorContextMut;
use aws_sdk_athena::config::{ConfigBag, RuntimeComponents};
use aws_sdk_athena::error::{BoxError, ProvideErrorMetadata};

use crate::client::{athena_config, error, start};

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

/// Changes a request between its signature and the wire.
#[derive(Debug)]
enum Tamper {
    Body,
    Date(String),
}

impl Intercept for Tamper {
    fn name(&self) -> &'static str {
        "tamper"
    }

    fn modify_before_transmit(
        &self,
        context: &mut BeforeTransmitInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let request = context.request_mut();
        match self {
            Self::Body => {
                let body = request.body().bytes().map(<[u8]>::to_vec).unwrap_or_default();
                *request.body_mut() = String::from_utf8(body)?.replace("spark-35", "spark-36").into();
            }
            Self::Date(date) => {
                request.headers_mut().insert("x-amz-date", date.clone());
            }
        }
        Ok(())
    }
}

#[tokio::test]
async fn a_request_changed_on_its_way_or_out_of_time_is_refused() {
    let emulator = Emulator::start(Config::default()).await.expect("an emulator");
    let refused = async |tamper: Tamper| {
        let config = athena_config(&emulator, "test", "test", None).interceptor(tamper).build();
        error(start(&aws_sdk_athena::Client::from_conf(config), "tampered").send().await)
    };
    let (code, message) = refused(Tamper::Body).await;
    assert_eq!(code, "InvalidSignatureException");
    assert!(message.starts_with("The request signature we calculated does not match"));
    let (code, message) = refused(Tamper::Date(today_at_another_time())).await;
    assert_eq!(code, "InvalidSignatureException");
    assert!(
        message.starts_with("Signature expired: ") || message.starts_with("Signature not yet current: "),
        "{message}"
    );
    assert!(emulator.sessions().is_empty());
}

/// More than five minutes off, within the day of the credential's scope.
fn today_at_another_time() -> String {
    let now = jiff::Timestamp::now();
    let time = if now.strftime("%H").to_string() == "12" { "180000" } else { "123000" };
    now.strftime(&format!("%Y%m%dT{time}Z")).to_string()
}
