//! The yardstick: the four changes of every object, sent by a writer that knows them beforehand.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use harness::until_async as until;
use http::Method;
use kube::core::PartialObjectMeta;
use serde_json::json;

use crate::client::{Ask, Client, JSON, METADATA};
use crate::ground::Ground;
use crate::life::Change;
use crate::objects::Object;
use crate::process;
use crate::tasks::for_each;

/// Objects under way at a time, of which the best is chosen.
const WIDTHS: [usize; 4] = [8, 16, 32, 64];

/// What a round came to.
#[derive(Clone, Copy, Debug)]
pub struct Round {
    /// Objects a second, from the first request until the last object showed that it is Ready.
    pub per_second: f64,
    /// CPU seconds of the API server for each.
    pub server_cpu: f64,
}

/// A writer.
#[derive(Clone, Debug)]
pub struct Writer {
    /// Its client.
    pub client: Arc<Client>,
    /// Objects under way at a time.
    pub width: usize,
}

impl Writer {
    /// Writes the lives of `count` objects and removes them, for which no time is taken.
    ///
    /// # Errors
    /// When a write fails.
    pub async fn round(
        &self,
        ground: &Ground,
        name: &str,
        changes: &[Change],
        count: usize,
    ) -> anyhow::Result<Round> {
        let before = ground.watch.table().ready();
        let server = ground.api_server();
        let cpu = process::cpu(server)?;
        let begin = Instant::now();
        let (client, round) = (self.client.clone(), name.to_owned());
        let life: Arc<[Write]> = changes.iter().map(Write::of).collect();
        for_each(count, self.width, move |number| {
            live(client.clone(), Object::new(&round, number), life.clone())
        })
        .await?;
        let ready = || ground.watch.table().ready() == before + count;
        until("the raw objects are Ready", Duration::from_mins(1), ready, || {
            format!("{} are", ground.watch.table().ready())
        })
        .await?;
        let end = ground.watch.table().ready_at.context("nothing was ever Ready")?;
        let spent = process::cpu(server)? - cpu;
        #[allow(clippy::cast_precision_loss, reason = "counts are small")]
        let objects = count as f64;
        let round = Round {
            per_second: objects / end.duration_since(begin).as_secs_f64(),
            server_cpu: spent / objects,
        };
        self.remove(ground, name, count).await?;
        Ok(round)
    }

    async fn remove(&self, ground: &Ground, name: &str, count: usize) -> anyhow::Result<()> {
        let before = ground.watch.table().present();
        let (client, round) = (ground.client.clone(), name.to_owned());
        for_each(count, 32, move |number| remove(client.clone(), Object::new(&round, number))).await?;
        let gone = || ground.watch.table().present() + count == before;
        until("the raw objects are gone", Duration::from_mins(2), gone, || {
            format!("{} are there", ground.watch.table().present())
        })
        .await
    }

    /// The writer that was the fastest in short rounds, each with so many objects at a time.
    ///
    /// # Errors
    /// When a write fails.
    pub async fn fastest(
        client: Arc<Client>,
        ground: &Ground,
        changes: &[Change],
        count: usize,
    ) -> anyhow::Result<Self> {
        let writer = |width| Self { client: client.clone(), width };
        // The first round of a server is slower than those that follow.
        writer(WIDTHS[1]).round(ground, "first", changes, count).await?;
        let mut best = (0.0, writer(WIDTHS[1]));
        for width in WIDTHS {
            let writer = writer(width);
            let round = writer.round(ground, &format!("width-{width}"), changes, count).await?;
            ground.say(&format!("raw, {width} at a time: {:.1} objects/s", round.per_second));
            if round.per_second > best.0 {
                best = (round.per_second, writer);
            }
        }
        Ok(best.1)
    }
}

/// What stands for the resourceVersion, the name and the work group in a body that is made once.
const VERSION: &str = "@version@";
const NAME: &str = "@name@";
const WORK_GROUP: &str = "@work-group@";

/// A change, made ready to be sent many times: a PUT of the whole object as the writer knows it, without managed fields, of which the metadata comes back.
/// No form of write that is refused when the object has changed since it was read costs the server less: `docs/benchmarks.md`.
struct Write {
    status: bool,
    body: String,
}

impl Write {
    fn of(change: &Change) -> Self {
        let mut whole = change.after.clone();
        // The server adds what it alone can know, if it is missing.
        whole["metadata"] = json!({ "name": NAME, "resourceVersion": VERSION, "finalizers": change.after["metadata"]["finalizers"] });
        whole["spec"]["workGroup"] = json!(WORK_GROUP);
        Self { status: change.status, body: whole.to_string() }
    }

    /// The request that makes this change to `object`, whose last reply was `reply`.
    fn ask(&self, object: &Object, reply: &[u8]) -> anyhow::Result<Ask> {
        let reply: PartialObjectMeta<()> = serde_json::from_slice(reply)?;
        let version = reply.metadata.resource_version.context("a reply without a resourceVersion")?;
        let filled = self.body.replace(VERSION, &version).replace(NAME, &object.name);
        let body = filled.replace(WORK_GROUP, &object.work_group).into();
        let subresource = if self.status { "/status" } else { "" };
        let path = format!("{}{subresource}?fieldManager=athena-operator", object.path());
        Ok(Ask { method: Method::PUT, path, content_type: JSON, accept: METADATA, body })
    }
}

async fn live(client: Arc<Client>, object: Object, life: Arc<[Write]>) -> anyhow::Result<()> {
    let mut reply = client.create(&object, &object.manifest()).await?;
    for write in &*life {
        reply = client.ok(write.ask(&object, &reply)?).await?;
    }
    Ok(())
}

async fn remove(client: Arc<Client>, object: Object) -> anyhow::Result<()> {
    client.merge(&object, &json!({ "metadata": { "finalizers": null } })).await?;
    client.delete(&object).await
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn a_write_carries_the_version_that_was_read_and_the_name_of_its_object() -> anyhow::Result<()> {
        let after = json!({ "apiVersion": "v", "kind": "K", "metadata": { "finalizers": ["f"] }, "spec": {}, "status": { "b": 2 } });
        let change = Change { status: true, before: Value::Null, after, patch: Value::Null };
        let reply = br#"{"apiVersion":"v","kind":"K","metadata":{"name":"x","resourceVersion":"41"}}"#;
        let ask = Write::of(&change).ask(&Object::new("x", 0), reply)?;
        let body: Value = serde_json::from_slice(&ask.body)?;
        let metadata = json!({ "name": "x-0", "resourceVersion": "41", "finalizers": ["f"] });
        assert_eq!((&body["metadata"], &body["status"]), (&metadata, &json!({ "b": 2 })));
        assert_eq!(body["spec"]["workGroup"], "bench-0");
        assert!(ask.path.contains("/bench-0/athenasessions/x-0/status?"), "{}", ask.path);
        Ok(())
    }
}
