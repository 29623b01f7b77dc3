//! An HTTP client of the SDK that has no network: it gives the replies it was told to, or makes them up from bytes.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};

use arbitrary::Unstructured;
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use bytes::Bytes;
use futures::stream;
use harness::http::lock;
use http_body::Frame;
use http_body_util::StreamBody;
use k8s_openapi::jiff::Timestamp;

use crate::reply::made;

/// What a call comes to.
#[derive(Clone, Debug)]
pub(crate) enum Reply {
    /// A reply over HTTP, whose body may break off.
    Http { status: u16, headers: Vec<(String, Vec<u8>)>, body: Vec<u8>, broken: bool },
    /// No connection.
    Io,
    /// No answer in time.
    Timeout,
}

#[derive(Debug)]
enum Source {
    Given(VecDeque<Reply>),
    Made { data: Vec<u8>, at: usize },
}

/// The client.
#[derive(Clone, Debug)]
pub(crate) struct Replay(Arc<Mutex<(Source, usize)>>);

impl Replay {
    /// Gives these replies, in this order.
    pub(crate) fn given(replies: Vec<Reply>) -> Self {
        Self(Arc::new(Mutex::new((Source::Given(replies.into()), 0))))
    }

    /// Makes replies from `data`, each as it befits the call.
    pub(crate) fn made(data: Vec<u8>) -> Self {
        Self(Arc::new(Mutex::new((Source::Made { data, at: 0 }, 0))))
    }

    fn state(&self) -> MutexGuard<'_, (Source, usize)> {
        lock(&self.0)
    }

    /// How many calls were made.
    pub(crate) fn calls(&self) -> usize {
        self.state().1
    }

    fn next(&self, operation: &str) -> Reply {
        let mut state = self.state();
        state.1 += 1;
        match &mut state.0 {
            Source::Given(replies) => replies.pop_front().unwrap_or(Reply::Io),
            Source::Made { data, at } => {
                let left = &data[*at..];
                let mut u = Unstructured::new(left);
                let reply = if u.is_empty() {
                    Reply::Io
                } else {
                    made::reply(&mut u, operation, Timestamp::now()).unwrap_or(Reply::Io)
                };
                *at += left.len() - u.len();
                reply
            }
        }
    }
}

impl HttpConnector for Replay {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let target = request.headers().get("x-amz-target").unwrap_or_default();
        let operation = target.rsplit('.').next().unwrap_or_default().to_owned();
        HttpConnectorFuture::ready(response(self.next(&operation)))
    }
}

fn response(reply: Reply) -> Result<HttpResponse, ConnectorError> {
    let (status, headers, body, broken) = match reply {
        Reply::Http { status, headers, body, broken } => (status, headers, body, broken),
        Reply::Io => return Err(ConnectorError::io("the connection was refused".into())),
        Reply::Timeout => return Err(ConnectorError::timeout("no answer in time".into())),
    };
    let other = |error: &dyn std::fmt::Display| ConnectorError::other(error.to_string().into(), None);
    let body = if broken {
        let frames =
            [Ok(Frame::data(Bytes::from(body))), Err(std::io::Error::other("the connection was reset"))];
        SdkBody::from_body_1_x(StreamBody::new(stream::iter(frames)))
    } else {
        SdkBody::from(body)
    };
    let mut response = http::Response::new(body);
    // What the HTTP client would not take for a reply.
    *response.status_mut() = http::StatusCode::from_u16(status).map_err(|error| other(&error))?;
    for (name, value) in headers {
        let name = http::HeaderName::try_from(name).map_err(|error| other(&error))?;
        response
            .headers_mut()
            .append(name, http::HeaderValue::try_from(value).map_err(|error| other(&error))?);
    }
    HttpResponse::try_from(response).map_err(|error| other(&error))
}

impl HttpClient for Replay {
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}
