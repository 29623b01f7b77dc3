//! The wire format, byte for byte: every file of `fixtures/` is played, and each of its replies is also read by the official SDK.
//!
//! A file is a list of exchanges: a request after `>>>`, and after `<<<` the reply it must get (without one, any). What varies is written
//! `<session>`, `<token>` (both: the one seen last), `<uuid>`, `<time>`, `<instant>`, `<millis>`, `<date>`, `<length>`, `<today>`, `<now>`.

use std::fmt::Debug;
use std::fs;
use std::path::PathBuf;

use athena_emulator::{Config, Emulator};
use aws_sdk_athena::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_athena::types::EngineConfiguration;
use jiff::Timestamp;
use regex_lite::Regex;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::client::{athena, sts};

const UUID: &str = "[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}";

struct Fixture {
    name: String,
    config: Config,
    exchanges: Vec<Exchange>,
}

struct Exchange {
    request: String,
    reply: Option<String>,
}

fn fixtures() -> Vec<Fixture> {
    let directory = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fixtures");
    let mut files: Vec<_> =
        fs::read_dir(directory).expect("fixtures").map(|entry| entry.expect("a file").path()).collect();
    files.sort();
    files
        .iter()
        .map(|file| {
            read(
                file.file_stem().and_then(|name| name.to_str()).expect("a name"),
                &fs::read_to_string(file).expect("text"),
            )
        })
        .collect()
}

fn read(name: &str, text: &str) -> Fixture {
    let config = text.lines().find_map(|line| line.strip_prefix("# config: ")).expect("a configuration");
    let exchanges = text.split("\n>>>\n").skip(1).map(|exchange| match exchange.split_once("\n<<<\n") {
        Some((request, reply)) => {
            Exchange { request: request.trim_end().to_owned(), reply: Some(reply.trim_end().to_owned()) }
        }
        None => Exchange { request: exchange.trim_end().to_owned(), reply: None },
    });
    Fixture {
        name: name.to_owned(),
        config: Config::parse(config).expect("a configuration"),
        exchanges: exchanges.collect(),
    }
}

/// Head and body with the length and the line ends of HTTP.
fn http(message: &str) -> String {
    let (head, body) = message.split_once("\n\n").unwrap_or((message, ""));
    let head = head.replace("<length>", &body.len().to_string()).replace('\n', "\r\n");
    format!("{head}\r\n\r\n{body}")
}

fn length(head: &str) -> usize {
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    length.and_then(|length| length.parse().ok()).unwrap_or_default()
}

/// One message, as long as its head says.
async fn receive(stream: &mut TcpStream) -> String {
    let mut received = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&received).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n")
            && body.len() >= length(head)
        {
            return text;
        }
        if stream.read_buf(&mut received).await.expect("bytes") == 0 {
            return text;
        }
    }
}

/// What the placeholders stand for.
#[derive(Default)]
struct Seen {
    session: String,
    token: String,
}

impl Seen {
    fn fill(&self, request: &str) -> String {
        let now = Timestamp::now();
        request
            .replace("<session>", &self.session)
            .replace("<token>", &self.token)
            .replace("<today>", &now.strftime("%Y%m%d").to_string())
            .replace("<now>", &now.strftime("%Y%m%dT%H%M%SZ").to_string())
    }

    fn normalise(&mut self, reply: &str) -> String {
        let (head, body) = reply.split_once("\r\n\r\n").expect("a head");
        assert_eq!(length(head), body.len());
        let mut text = format!("{}\n\n{body}", head.replace("\r\n", "\n"));
        let mut replace = |pattern: &str, with: &str| {
            let regex = Regex::new(pattern).expect("a pattern");
            let last =
                regex.captures_iter(&text).last().and_then(|found| Some(found.get(1)?.as_str().to_owned()));
            text = regex.replace_all(&text, with).into_owned();
            last
        };
        if let Some(session) =
            replace(&format!(r#""(?:SessionId|session_id)":"({UUID})""#), r#""SessionId":"<session>""#)
        {
            self.session = session;
        }
        if let Some(token) = replace(r#""NextToken":"([0-9a-f]+)""#, r#""NextToken":"<token>""#) {
            self.token = token;
        }
        if let Some(time) = replace(r#"DateTime":(\d{10}\.\d{1,3})"#, r#"DateTime":<time>"#) {
            let time: f64 = time.parse().expect("a number");
            let now = Timestamp::now().as_duration().as_secs_f64();
            assert!((now - 60.0..=now).contains(&time), "{time}");
        }
        replace(UUID, "<uuid>");
        replace(r"\d{8}T\d{6}Z", "<instant>");
        replace(r#""DpuExecutionInMillis":\d+"#, r#""DpuExecutionInMillis":<millis>"#);
        replace("content-length: [0-9]+", "content-length: <length>");
        replace("date: [A-Z][a-z]{2}, .* GMT", "date: <date>");
        text
    }
}

#[tokio::test]
async fn every_reply_is_as_it_is_written_down() {
    for Fixture { name, config, exchanges } in fixtures() {
        let emulator = Emulator::start(config).await.expect("an emulator");
        let mut stream = TcpStream::connect(&emulator.url()["http://".len()..]).await.expect("a connection");
        let mut seen = Seen::default();
        for Exchange { request, reply } in exchanges {
            stream.write_all(http(&seen.fill(&request)).as_bytes()).await.expect("sent");
            let found = seen.normalise(&receive(&mut stream).await);
            match reply {
                Some(reply) => assert_eq!(found, reply, "{name}: {request}"),
                None => assert!(found.starts_with("HTTP/1.1 20"), "{name}: {found}"),
            }
        }
    }
}

/// The errors that the service model has.
const MODELLED: [&str; 5] = [
    "InternalServerException",
    "InvalidRequestException",
    "ResourceNotFoundException",
    "SessionAlreadyExistsException",
    "TooManyRequestsException",
];

/// Code and message of a reply; none of a success.
fn expected(reply: &str) -> Option<(String, String)> {
    let body = reply.split_once("\n\n").map_or("", |(_, body)| body);
    if reply.starts_with("HTTP/1.1 200") {
        return None;
    }
    let tag = |tag: &str| Some(body.split_once(&format!("<{tag}>"))?.1.split_once('<')?.0.to_owned());
    let json: Value = serde_json::from_str(body).unwrap_or_default();
    let member = |name: &str| json[name].as_str().map(str::to_owned);
    let code = tag("Code").or(member("__type")).expect("a code");
    Some((code, tag("Message").or(member("Message")).or(member("message")).unwrap_or_default()))
}

/// A fixture's reply with something in the place of everything that varies.
fn example(reply: &str) -> String {
    let reply = reply
        .replace("<time>", "1763804243.125")
        .replace("<millis>", "1500")
        .replace("<date>", "Sat, 22 Nov 2025 09:37:23 GMT");
    let reply =
        reply.replace("<uuid>", "7f1c0f7e-4c3b-4e53-9d57-1d2f3a4b5c6d").replace("<session>", "7f1c0f7e");
    http(&reply.replace("<token>", "abc").replace("<instant>", "20251122T093723Z"))
}

/// Code and message that the SDK has read. An error of the service model is read as what it is, with the other members that it has.
fn told<T, E: ProvideErrorMetadata + Debug>(
    reply: &str,
    result: Result<T, SdkError<E>>,
) -> Option<(String, String)> {
    let error = result.err()?;
    let (code, message) = (error.code().unwrap_or_default(), error.message().unwrap_or_default());
    let read = format!("{:?}", error.as_service_error().expect("an error of the service"));
    if MODELLED.contains(&code) {
        assert!(read.starts_with(&format!("{code}({code} {{")), "{read}");
        let json: Value =
            serde_json::from_str(reply.split_once("\r\n\r\n").map_or("", |(_, body)| body)).expect("JSON");
        for (member, name) in [("AthenaErrorCode", "athena_error_code"), ("ResourceName", "resource_name")] {
            let value = json[member].as_str();
            assert!(value.is_none_or(|value| read.contains(&format!("{name}: Some({value:?})"))), "{read}");
        }
    }
    Some((code.to_owned(), message.to_owned()))
}

#[tokio::test]
async fn the_sdk_reads_every_reply() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let proxy = listener.local_addr().expect("an address");
    // The clients want an emulator to talk to; what answers is the fixture.
    let emulator = Emulator::start(Config::default()).await.expect("an emulator");
    let client = aws_sdk_athena::Client::from_conf(
        athena(&emulator).config().to_builder().endpoint_url(format!("http://{proxy}")).build(),
    );
    let sts = aws_sdk_sts::Client::from_conf(
        sts(&emulator, "test").config().to_builder().endpoint_url(format!("http://{proxy}")).build(),
    );
    let mut read = 0;
    for Fixture { name, exchanges, .. } in fixtures() {
        for Exchange { request, reply } in exchanges {
            let Some(reply) = reply else { continue };
            let answer = example(&reply).replace("\r\n\r\n", "\r\nconnection: close\r\n\r\n");
            let serve = async {
                let (mut stream, _) = listener.accept().await.expect("a connection");
                receive(&mut stream).await;
                stream.write_all(answer.as_bytes()).await.expect("sent");
            };
            let operation = request.lines().find_map(|line| line.strip_prefix("x-amz-target: AmazonAthena."));
            let call = async {
                match operation {
                    Some("StartSession") => {
                        let engine = EngineConfiguration::builder().build();
                        told(
                            &answer,
                            client.start_session().work_group("g").engine_configuration(engine).send().await,
                        )
                    }
                    Some("GetSession") => told(&answer, client.get_session().session_id("s").send().await),
                    Some("GetSessionStatus") => {
                        told(&answer, client.get_session_status().session_id("s").send().await)
                    }
                    Some("TerminateSession") => {
                        told(&answer, client.terminate_session().session_id("s").send().await)
                    }
                    Some("ListSessions") => {
                        told(&answer, client.list_sessions().work_group("g").send().await)
                    }
                    Some("GetWorkGroup") => {
                        told(&answer, client.get_work_group().work_group("g").send().await)
                    }
                    Some("GetSessionEndpoint") => {
                        told(&answer, client.get_session_endpoint().session_id("s").send().await)
                    }
                    Some(other) => panic!("{name}: {other}"),
                    None => told(&answer, sts.get_caller_identity().send().await),
                }
            };
            let ((), found) = tokio::join!(serve, call);
            assert_eq!(found, expected(&example(&reply).replace("\r\n", "\n")), "{name}");
            read += 1;
        }
    }
    assert!(read > 40, "{read}");
}
