//! The bench's own watch of all AthenaSessions: what each showed, and when.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use harness::http::lock;
use http::Method;
use http_body_util::BodyExt;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;
use tokio::task::JoinHandle;

use crate::client::{Ask, Client};

const ALL: &str = "/apis/athena-operator.io/v1alpha1/athenasessions";

/// What is known of the objects that are there.
#[derive(Debug, Default)]
pub struct Table {
    objects: HashMap<String, Seen>,
    ready: usize,
    ended: usize,
    /// When an object last came to be Ready.
    pub ready_at: Option<Instant>,
    /// When anything last happened.
    pub changed_at: Option<Instant>,
    recording: Option<(String, Vec<Value>)>,
    failure: Option<String>,
}

/// What was seen of an object.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// Its UID.
    pub uid: String,
    /// Its session.
    pub session_id: Option<String>,
    /// The states that its status has shown, and when that was seen; only changes.
    pub states: Vec<(String, Timestamp)>,
    /// Whether it is Ready.
    pub ready: bool,
    /// Whether it shows an end of its session.
    pub ended: bool,
}

#[derive(Deserialize)]
struct Event {
    #[serde(rename = "type")]
    kind: String,
    object: Object,
}

#[derive(Deserialize)]
struct Object {
    #[serde(default)]
    metadata: Metadata,
    #[serde(default)]
    status: Status,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Metadata {
    namespace: String,
    name: String,
    uid: String,
    resource_version: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Status {
    state: Option<String>,
    session_id: Option<String>,
    end_time: Option<String>,
    conditions: Vec<Condition>,
}

#[derive(Deserialize)]
struct Condition {
    #[serde(rename = "type")]
    kind: String,
    status: String,
}

impl Table {
    /// How many objects there are.
    pub fn present(&self) -> usize {
        self.objects.len()
    }

    /// How many of them are Ready.
    pub fn ready(&self) -> usize {
        self.ready
    }

    /// How many of them show an end of their session.
    pub fn ended(&self) -> usize {
        self.ended
    }

    /// What was seen of an object.
    pub fn object(&self, key: &str) -> Option<&Seen> {
        self.objects.get(key)
    }

    /// All objects.
    pub fn objects(&self) -> impl Iterator<Item = (&String, &Seen)> {
        self.objects.iter()
    }

    /// Takes in an event.
    fn take(&mut self, line: &[u8]) -> anyhow::Result<String> {
        // Its object is no AthenaSession.
        ensure!(
            !line.starts_with(br#"{"type":"ERROR""#),
            "the watch has failed: {}",
            String::from_utf8_lossy(line)
        );
        let Event { kind, object } = serde_json::from_slice(line).context("not an event of a watch")?;
        let Metadata { namespace, name, uid, resource_version } = object.metadata;
        if kind == "BOOKMARK" {
            return Ok(resource_version);
        }
        let now = Instant::now();
        self.changed_at = Some(now);
        let key = format!("{namespace}/{name}");
        if let Some((wanted, versions)) = &mut self.recording
            && *wanted == key
        {
            let event: Value = serde_json::from_slice(line)?;
            versions.push(event["object"].clone());
        }
        let before = self.objects.get(&key).map_or((false, false), |seen| (seen.ready, seen.ended));
        if kind == "DELETED" {
            self.objects.remove(&key);
            self.count(before, (false, false), now);
            return Ok(resource_version);
        }
        let ready = object
            .status
            .conditions
            .iter()
            .any(|condition| condition.kind == "Ready" && condition.status == "True");
        let ended = object.status.end_time.is_some();
        let seen = self.objects.entry(key).or_default();
        (seen.uid, seen.ready, seen.ended) = (uid, ready, ended);
        seen.session_id = object.status.session_id;
        if let Some(state) = object.status.state
            && seen.states.last().is_none_or(|(last, _)| *last != state)
        {
            seen.states.push((state, Timestamp::now()));
        }
        self.count(before, (ready, ended), now);
        Ok(resource_version)
    }

    fn count(&mut self, (was_ready, had_ended): (bool, bool), (ready, ended): (bool, bool), now: Instant) {
        self.ready = self.ready + usize::from(ready) - usize::from(was_ready);
        self.ended = self.ended + usize::from(ended) - usize::from(had_ended);
        if ready && !was_ready {
            self.ready_at = Some(now);
        }
    }
}

/// A running watch.
#[derive(Debug)]
pub struct Watch {
    table: Arc<Mutex<Table>>,
    task: JoinHandle<()>,
}

impl Watch {
    /// Begins to watch. There must be no objects yet.
    ///
    /// # Errors
    /// When the server does not answer, or there are some.
    pub async fn start(client: Arc<Client>) -> anyhow::Result<Self> {
        // Of a kind that has just been defined the server says 429 for a while.
        let start = Instant::now();
        let body = loop {
            let (status, body) = client.send(Ask::bare(Method::GET, ALL)).await?;
            if status.is_success() {
                break body;
            }
            ensure!(start.elapsed() < Duration::from_secs(30), "cannot list AthenaSessions: {status}");
            tokio::time::sleep(Duration::from_millis(200)).await;
        };
        let list: Value = serde_json::from_slice(&body)?;
        ensure!(list["items"].as_array().is_some_and(Vec::is_empty), "there are AthenaSessions already");
        let version = list["metadata"]["resourceVersion"]
            .as_str()
            .context("a list without a resourceVersion")?
            .to_owned();
        let table = Arc::new(Mutex::new(Table::default()));
        let shared = table.clone();
        let task = tokio::spawn(async move {
            if let Err(error) = follow(&client, &shared, version).await {
                lock(&shared).failure = Some(format!("{error:#}"));
            }
        });
        Ok(Self { table, task })
    }

    /// What is known now.
    ///
    /// # Panics
    /// When the watch has failed: nothing that is measured would be true.
    pub fn table(&self) -> MutexGuard<'_, Table> {
        let table = lock(&self.table);
        if let Some(failure) = &table.failure {
            panic!("{failure}");
        }
        table
    }

    /// Keeps every version of an object from now on.
    pub fn record(&self, key: String) {
        self.table().recording = Some((key, Vec::new()));
    }

    /// The versions that were kept.
    pub fn recorded(&self) -> Vec<Value> {
        self.table().recording.take().map(|(_, versions)| versions).unwrap_or_default()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn follow(client: &Client, table: &Mutex<Table>, mut version: String) -> anyhow::Result<()> {
    loop {
        let path =
            format!("{ALL}?watch=1&allowWatchBookmarks=true&timeoutSeconds=7200&resourceVersion={version}");
        let reply = client.open(Ask::bare(Method::GET, path)).await?;
        ensure!(reply.status().is_success(), "the watch is refused with {}", reply.status());
        let (mut body, mut rest) = (reply.into_body(), Vec::new());
        while let Some(Ok(frame)) = body.frame().await {
            let Ok(data) = frame.into_data() else { continue };
            rest.extend_from_slice(&data);
            let mut begin = 0;
            while let Some(length) = rest[begin..].iter().position(|byte| *byte == b'\n') {
                version = lock(table).take(&rest[begin..begin + length])?;
                begin += length + 1;
            }
            rest.drain(..begin);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn event(kind: &str, state: &str, ready: &str) -> Vec<u8> {
        let metadata = json!({ "namespace": "n", "name": "s", "uid": "u", "resourceVersion": "7" });
        let status = json!({ "state": state, "conditions": [{ "type": "Ready", "status": ready }] });
        json!({ "type": kind, "object": { "metadata": metadata, "status": status } }).to_string().into_bytes()
    }

    #[test]
    fn the_table_counts_what_is_ready_and_keeps_when_states_were_shown() -> anyhow::Result<()> {
        let mut table = Table::default();
        table.take(&event("ADDED", "CREATING", "Unknown"))?;
        assert_eq!((table.present(), table.ready()), (1, 0));
        assert_eq!(table.take(&event("MODIFIED", "IDLE", "True"))?, "7");
        table.take(&event("MODIFIED", "IDLE", "True"))?;
        assert_eq!(table.ready(), 1);
        let states: Vec<&str> =
            table.object("n/s").expect("seen").states.iter().map(|(state, _)| state.as_str()).collect();
        assert_eq!(states, ["CREATING", "IDLE"]);
        table.take(&event("DELETED", "IDLE", "True"))?;
        assert_eq!((table.present(), table.ready()), (0, 0));
        Ok(())
    }

    #[test]
    fn an_error_ends_the_watch() {
        let error =
            br#"{"type":"ERROR","object":{"kind":"Status","metadata":{},"status":"Failure","code":410}}"#;
        assert!(Table::default().take(error).is_err());
    }
}
