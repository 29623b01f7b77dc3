//! The yardstick: the four changes of every object, sent by a writer that knows them beforehand.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use http::Method;
use hyper::body::Bytes;

use crate::client::{Ask, Client, METADATA};
use crate::form::{Form, Write, writes};
use crate::ground::Ground;
use crate::life::Change;
use crate::objects::Object;
use crate::process;
use crate::tasks::{for_each, until};

/// The forms of which the faster is chosen: the others cost the server more, as [`crate::forms`] measures it.
const FORMS: [Form; 2] = [Form::PutMetadata, Form::MergeMetadata];
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
    /// In which form it writes.
    pub form: Form,
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
        let (client, form, round) = (self.client.clone(), self.form, name.to_owned());
        let life: Arc<[Write]> = writes(changes, self.form).into();
        for_each(count, self.width, move |number| {
            live(client.clone(), Object::new(&round, number), life.clone(), form)
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

    /// The writer that was the fastest in short rounds, of the forms that cost the server about as little as any, each with so many objects at a time.
    ///
    /// # Errors
    /// When a write fails.
    pub async fn fastest(
        client: Arc<Client>,
        ground: &Ground,
        changes: &[Change],
        count: usize,
    ) -> anyhow::Result<Self> {
        let writer = |form, width| Self { client: client.clone(), form, width };
        // The first round of a server is slower than those that follow.
        writer(FORMS[0], WIDTHS[1]).round(ground, "first", changes, count).await?;
        let mut best = (0.0, writer(FORMS[0], WIDTHS[1]));
        for (number, form) in FORMS.into_iter().enumerate() {
            for width in WIDTHS {
                let writer = writer(form, width);
                let round = writer.round(ground, &format!("width-{number}-{width}"), changes, count).await?;
                ground.say(&format!("raw, {form}, {width} at a time: {:.1} objects/s", round.per_second));
                if round.per_second > best.0 {
                    best = (round.per_second, writer);
                }
            }
        }
        Ok(best.1)
    }
}

/// Creates an object. Returns the reply.
///
/// # Errors
/// When it cannot be created.
pub async fn create(client: &Client, object: &Object, accept: &'static str) -> anyhow::Result<Bytes> {
    let body = object.manifest().to_string().into();
    client.ok(Ask { accept, body, ..Ask::bare(Method::POST, object.collection()) }).await
}

async fn live(client: Arc<Client>, object: Object, life: Arc<[Write]>, form: Form) -> anyhow::Result<()> {
    let mut reply = create(&client, &object, form.accept()).await?;
    for write in &*life {
        reply = client.ok(write.ask(&object, &reply)?).await?;
    }
    Ok(())
}

async fn remove(client: Arc<Client>, object: Object) -> anyhow::Result<()> {
    let patch = Ask {
        content_type: "application/merge-patch+json",
        accept: METADATA,
        body: Bytes::from_static(br#"{"metadata":{"finalizers":null}}"#),
        ..Ask::bare(Method::PATCH, object.path())
    };
    client.ok(patch).await?;
    let (status, _) =
        client.send(Ask { accept: METADATA, ..Ask::bare(Method::DELETE, object.path()) }).await?;
    ensure!(status.is_success(), "cannot delete {}: {status}", object.key());
    Ok(())
}
