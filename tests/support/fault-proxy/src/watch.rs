//! The bodies of lists and watches on their way to the client.

use std::collections::HashMap;

use futures::stream;
use harness::http::Closed;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Bytes, Frame, Incoming};
use serde_json::Value;
use tokio::sync::watch;

use crate::server::{Body, Shared};

/// The versions of each collection that went through here, by its path, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Versions(HashMap<String, Vec<String>>);

impl Versions {
    fn tell(&mut self, path: &str, version: &str) {
        let versions = self.0.entry(path.to_owned()).or_default();
        // A watch that begins anew may tell again of what is known.
        if !versions.iter().any(|known| known == version) {
            versions.push(version.to_owned());
        }
    }

    /// The version `back` versions before the newest, or the oldest there is.
    pub(crate) fn earlier(&self, path: &str, back: usize) -> Option<&str> {
        let versions = self.0.get(path)?;
        versions.get(versions.len().saturating_sub(back + 1)).map(String::as_str)
    }
}

/// Notes the version of a list.
pub(crate) fn note_list(shared: &Shared, path: &str, body: &[u8]) {
    if let Ok(list) = serde_json::from_slice::<Value>(body)
        && let Some(version) = list["metadata"]["resourceVersion"].as_str()
    {
        shared.state().versions.tell(path, version);
    }
}

struct Events {
    incoming: Incoming,
    cuts: watch::Receiver<u64>,
    path: String,
    shared: Shared,
    line: Vec<u8>,
}

/// The events of a watch as they come, until watches are cut.
pub(crate) fn events(shared: &Shared, path: &str, incoming: Incoming) -> Body {
    let mut cuts = shared.cuts();
    cuts.mark_unchanged();
    let events = Events { incoming, cuts, path: path.to_owned(), shared: shared.clone(), line: Vec::new() };
    StreamBody::new(Box::pin(stream::unfold(Some(events), next))).boxed()
}

async fn next(events: Option<Events>) -> Option<(Result<Frame<Bytes>, Closed>, Option<Events>)> {
    let mut events = events?;
    tokio::select! {
        biased;
        Ok(()) = events.cuts.changed() => Some((Err(Closed), None)),
        frame = events.incoming.frame() => match frame? {
            Ok(frame) => {
                if let Some(data) = frame.data_ref() {
                    events.note(data);
                }
                Some((Ok(frame), Some(events)))
            }
            Err(_) => Some((Err(Closed), None)),
        },
    }
}

impl Events {
    fn note(&mut self, data: &[u8]) {
        for byte in data {
            if *byte != b'\n' {
                self.line.push(*byte);
                continue;
            }
            if let Ok(event) = serde_json::from_slice::<Value>(&self.line)
                && let Some(version) = event["object"]["metadata"]["resourceVersion"].as_str()
            {
                self.shared.state().versions.tell(&self.path, version);
            }
            self.line.clear();
        }
    }
}
