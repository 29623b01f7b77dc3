//! People who create, suspend, resume and delete AthenaSessions, and an Athena in which sessions end, over and over.

use std::time::Duration;

use anyhow::Context;
use athena_emulator::{Change, Emulator, state};
use harness::{merge, until_async};
use serde_json::{Value, json};

use crate::client::Client;
use crate::objects::Object;
use crate::watch::{Seen, Watch};

/// Nothing that is waited for takes longer.
const PATIENCE: Duration = Duration::from_mins(3);

/// What happens to an object before it is deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// Nothing: its session is alive when it is deleted.
    Alive,
    /// It is suspended and resumed.
    Suspended,
    /// Its session is ended by somebody else, and another is started.
    Restarted,
    /// Its session ends by its idle timeout.
    Idle,
}

impl Fate {
    fn of(number: usize) -> Self {
        [Self::Alive, Self::Suspended, Self::Restarted, Self::Idle][number % 4]
    }

    fn spec(self) -> Value {
        match self {
            Self::Alive | Self::Suspended => json!({}),
            Self::Restarted => json!({ "restartPolicy": "OnFailure" }),
            Self::Idle => json!({ "sessionIdleTimeoutInMinutes": 5 }),
        }
    }
}

/// What people see and do it with.
#[derive(Clone, Copy)]
pub struct World<'a> {
    /// The API server.
    pub client: &'a Client,
    /// What it shows.
    pub watch: &'a Watch,
    /// Athena.
    pub emulator: &'a Emulator,
}

impl World<'_> {
    /// Creates an object with more in its spec.
    ///
    /// # Errors
    /// When it is refused.
    pub async fn create(self, object: &Object, spec: &Value) -> anyhow::Result<()> {
        let mut manifest = object.manifest();
        merge(&mut manifest["spec"], spec);
        self.client.create(object, &manifest).await.map(drop)
    }

    /// Waits until what is seen of an object is as `so` has it.
    ///
    /// # Errors
    /// When it does not come to that.
    pub async fn until(
        self,
        object: &Object,
        what: &str,
        so: impl Fn(Option<&Seen>) -> bool,
    ) -> anyhow::Result<()> {
        let key = object.key();
        let state = || format!("{:?}", self.watch.table().object(&key));
        until_async(&format!("{key} is {what}"), PATIENCE, || so(self.watch.table().object(&key)), state)
            .await
    }

    fn session(self, object: &Object) -> anyhow::Result<String> {
        let table = self.watch.table();
        table
            .object(&object.key())
            .and_then(|seen| seen.session_id.clone())
            .with_context(|| format!("{} has no session", object.key()))
    }

    /// An object from its creation until it is gone, which takes `time` and a little more.
    async fn life(self, number: usize, time: Duration) -> anyhow::Result<()> {
        let (object, fate) = (Object::new("life", number), Fate::of(number));
        let ready = |seen: Option<&Seen>| seen.is_some_and(|seen| seen.ready && !seen.ended);
        let ended = |seen: Option<&Seen>| seen.is_some_and(|seen| seen.ended);
        self.create(&object, &fate.spec()).await?;
        // A session with a short idle timeout may be over before anybody has seen it idle.
        self.until(&object, "Ready", |seen| ready(seen) || fate == Fate::Idle && ended(seen)).await?;
        tokio::time::sleep(time).await;
        match fate {
            Fate::Alive => {}
            Fate::Suspended => {
                self.client.suspend(&object, true).await?;
                self.until(&object, "suspended", ended).await?;
                self.client.suspend(&object, false).await?;
                self.until(&object, "resumed", ready).await?;
            }
            Fate::Restarted => {
                let session = self.session(&object)?;
                self.emulator.set_state(&session, Change::Terminate)?;
                let other = |seen: &Seen| seen.session_id.as_ref().is_some_and(|other| *other != session);
                self.until(&object, "restarted", |seen| ready(seen) && seen.is_some_and(other)).await?;
            }
            Fate::Idle => self.until(&object, "ended by its idle timeout", ended).await?,
        }
        self.client.delete(&object).await?;
        self.until(&object, "gone", |seen| seen.is_none()).await
    }

    /// One life after another, for ever. The first of `people` is 0.
    ///
    /// # Errors
    /// When a life does not go as it has to.
    pub async fn lives(self, person: usize, people: usize, time: Duration) -> anyhow::Result<()> {
        let mut number = person;
        loop {
            // Between a half and one and a half, so that people do not go in step.
            let part = 0.5 + f64::from(u32::try_from(number * 7919 % 1000)?) / 1000.0;
            self.life(number, time.mul_f64(part)).await?;
            number += people;
            // Each person sees every fate.
            number += usize::from(people.is_multiple_of(4));
        }
    }

    /// Gives work to one session after another, and takes it away, for ever.
    ///
    /// # Errors
    /// When there is no such session.
    pub async fn work(self, objects: &[Object], pause: Duration) -> anyhow::Result<()> {
        loop {
            for object in objects {
                let session = self.session(object)?;
                let enter = |state: &str| {
                    self.emulator.set_state(&session, Change::State { state: state.to_owned(), reason: None })
                };
                enter(state::IDLE)?;
                tokio::time::sleep(pause).await;
                enter(state::BUSY)?;
            }
        }
    }
}
