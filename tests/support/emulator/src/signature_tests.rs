use hyper::Request;

use super::*;

const KEY: &str = "AKIDEXAMPLE";
const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
const DATE: &str = "20150830T123600Z";

fn now() -> Timestamp {
    "2015-08-30T12:36:00Z".parse().expect("an instant")
}

fn config() -> Config {
    Config {
        credentials: vec![Credential {
            access_key_id: KEY.to_owned(),
            secret_access_key: SECRET.to_owned(),
            ..Credential::default()
        }],
        ..Config::default()
    }
}

fn request(method: &str, date: &str, signature: &str) -> Parts {
    let authorization = format!(
        "AWS4-HMAC-SHA256 Credential={KEY}/20150830/us-east-1/service/aws4_request, SignedHeaders=host;x-amz-date, Signature={signature}"
    );
    let request = Request::builder()
        .method(method)
        .uri("/")
        .header("host", "example.amazonaws.com")
        .header("x-amz-date", date)
        .header("authorization", authorization)
        .body(())
        .expect("a request");
    request.into_parts().0
}

// The cases get-vanilla and post-vanilla of AWS's test suite.
const GET_VANILLA: &str = "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31";
const POST_VANILLA: &str = "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b";

fn vanilla(config: &Config, now: Timestamp) -> Result<(), Unauthentic> {
    check(&request("POST", DATE, POST_VANILLA), b"", "service", config, now)
}

#[test]
fn the_signatures_of_the_test_suite_are_accepted() {
    let get = request("GET", DATE, GET_VANILLA);
    assert_eq!(check(&get, b"", "service", &config(), now()), Ok(()));
    assert_eq!(vanilla(&config(), now()), Ok(()));
    assert_eq!(access_key_id(&get), Some(KEY));
}

#[test]
fn a_changed_body_method_or_secret_is_refused() {
    let post = request("POST", DATE, POST_VANILLA);
    assert_eq!(check(&post, b"{}", "service", &config(), now()), Err(Unauthentic::Mismatch));
    assert_eq!(
        check(&request("GET", DATE, POST_VANILLA), b"", "service", &config(), now()),
        Err(Unauthentic::Mismatch)
    );
    let mut other = config();
    other.credentials[0].secret_access_key = "other".to_owned();
    assert_eq!(vanilla(&other, now()), Err(Unauthentic::Mismatch));
}

#[test]
fn a_clock_may_be_five_minutes_off_and_no_more() {
    let minutes = SignedDuration::from_mins(5);
    let second = SignedDuration::from_secs(1);
    assert_eq!(vanilla(&config(), now() + minutes), Ok(()));
    assert_eq!(vanilla(&config(), now() - minutes), Ok(()));
    let text = |now| vanilla(&config(), now).expect_err("refused").to_string();
    assert_eq!(
        text(now() + minutes + second),
        "Signature expired: 20150830T123600Z is now earlier than 20150830T123601Z (20150830T124101Z - 5 min.)"
    );
    assert_eq!(
        text(now() - minutes - second),
        "Signature not yet current: 20150830T123600Z is still later than 20150830T123559Z (20150830T123059Z + 5 min.)"
    );
}

#[test]
fn the_scope_must_name_the_service_and_the_configured_region() {
    let post = request("POST", DATE, POST_VANILLA);
    assert!(matches!(check(&post, b"", "athena", &config(), now()), Err(Unauthentic::Scope(_))));
    let in_region = |region: &str| Config { region: Some(region.to_owned()), ..config() };
    assert_eq!(vanilla(&in_region("us-east-1"), now()), Ok(()));
    assert!(matches!(vanilla(&in_region("eu-west-1"), now()), Err(Unauthentic::Scope(_))));
}

#[test]
fn a_required_session_token_must_come_and_an_expired_one_is_told_apart() {
    let mut config = config();
    config.credentials[0].session_token = Some("token".to_owned());
    assert_eq!(vanilla(&config, now()), Err(Unauthentic::UnknownKey));
    let mut post = request("POST", DATE, POST_VANILLA);
    post.headers.insert("x-amz-security-token", "token".parse().expect("a header"));
    assert_eq!(check(&post, b"", "service", &config, now()), Ok(()));
    config.credentials[0].expired = true;
    assert_eq!(check(&post, b"", "service", &config, now()), Err(Unauthentic::Expired));
}

#[test]
fn a_broken_header_is_refused_and_no_header_is_missing() {
    let mut post = request("POST", DATE, POST_VANILLA);
    for broken in [
        "",
        "AWS4-HMAC-SHA256",
        "AWS4-HMAC-SHA256 Credential=a/b",
        "Basic dGVzdA==",
        "AWS4-HMAC-SHA256 Credential=////,SignedHeaders=,Signature=",
    ] {
        post.headers.insert("authorization", broken.parse().expect("a header"));
        assert!(
            matches!(check(&post, b"", "service", &config(), now()), Err(Unauthentic::Incomplete(_))),
            "{broken}"
        );
    }
    post.headers.remove("authorization");
    assert_eq!(check(&post, b"", "service", &config(), now()), Err(Unauthentic::Missing));
    assert!(matches!(
        check(&request("POST", "yesterday", POST_VANILLA), b"", "service", &config(), now()),
        Err(Unauthentic::Incomplete(_))
    ));
}
