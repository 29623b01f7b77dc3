//! Publishes events, one after the other and beside the work: what people are told of it must not hold it up. An event costs the API server
//! about half of what a status does.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use k8s_openapi::api::core::v1::ObjectReference;
use kube::api::ObjectMeta;
use kube::runtime::events::{EventType, Recorder, Reporter};
use kube::{Client, Resource};
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tracing::debug;

use crate::api::{AthenaSession, FIELD_MANAGER};
use crate::events::Event;
use crate::key::Key;
use crate::known::backoff;
use crate::metrics::Metrics;
use crate::session::Class;
use crate::wakes::Trigger;

/// How many events may wait to be published; more are dropped.
const WAITING: usize = 32_768;
/// How often the publication of an event is tried, while the API server does not answer.
const TRIES: u32 = 3;
/// Longest time for a try.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Longest time for an event for which a release waits: it must not hold one up.
const FIRST: Duration = Duration::from_secs(3);
/// How long an event waits for a moment in which no object waits for a reconcile.
const COURTESY: Duration = Duration::from_millis(100);
/// After so many events a recorder is replaced. It goes through all those of the last minutes for each, to find one like it.
const REMEMBERED: u32 = 1024;

/// The queue of events.
pub(crate) struct Publisher {
    client: Client,
    metrics: Arc<Metrics>,
    work: Arc<Trigger>,
    events: OnceLock<Sender<(About, Event)>>,
}

impl Publisher {
    /// A publisher that lets `work` go first.
    pub(crate) fn new(client: Client, metrics: Arc<Metrics>, work: Arc<Trigger>) -> Self {
        Self { client, metrics, work, events: OnceLock::new() }
    }

    /// Publishes an event about an object, when those before it have been.
    pub(crate) fn publish(&self, object: &ObjectMeta, event: Event) {
        let begin = || {
            let (sender, receiver) = channel(WAITING);
            tokio::spawn(publish_all(self.client.clone(), self.metrics.clone(), self.work.clone(), receiver));
            sender
        };
        if self.events.get_or_init(begin).try_send((About::from(object), event)).is_err() {
            self.metrics.written("event", "dropped");
        }
    }

    /// Publishes an event about an object that is to go, ahead of all others, and waits for that: not for long, and whether or not it can be done.
    pub(crate) async fn publish_first(&self, object: &ObjectMeta, event: Event) {
        let recorder = Recorder::new(self.client.clone(), reporter());
        let reference = About::from(object).into();
        // Boxed, since it would make every reconcile as large as it is.
        let done = tokio::time::timeout(FIRST, Box::pin(publish(&recorder, &reference, event))).await;
        self.metrics.written("event", if done == Ok(true) { "ok" } else { "error" });
    }
}

/// As what the operator publishes.
fn reporter() -> Reporter {
    Reporter { controller: FIELD_MANAGER.into(), instance: std::env::var("POD_NAME").ok() }
}

async fn publish_all(client: Client, metrics: Arc<Metrics>, work: Arc<Trigger>, mut events: Receiver<(About, Event)>) {
    let reporter = reporter();
    let mut recorder = Recorder::new(client.clone(), reporter.clone());
    let mut published = 0;
    while let Some((about, event)) = events.recv().await {
        let _ = tokio::time::timeout(COURTESY, calm(&work)).await;
        if published == REMEMBERED {
            (recorder, published) = (Recorder::new(client.clone(), reporter.clone()), 0);
        }
        published += 1;
        let done = publish(&recorder, &about.into(), event).await;
        metrics.written("event", if done { "ok" } else { "error" });
    }
}

/// Waits until no object waits for a reconcile.
async fn calm(work: &Trigger) {
    const PAUSE: Duration = Duration::from_millis(10);
    while work.is_busy() {
        tokio::time::sleep(PAUSE).await;
    }
}

/// Publishes an event. One that is refused, in a namespace that is going away for one, is given up at once.
async fn publish(recorder: &Recorder, reference: &ObjectReference, event: Event) -> bool {
    let event = kube::runtime::events::Event {
        type_: if event.warning { EventType::Warning } else { EventType::Normal },
        reason: event.reason.into_owned(),
        note: Some(event.note.into_string()),
        action: event.action.into(),
        secondary: None,
    };
    for tries in 0..TRIES {
        match tokio::time::timeout(TIMEOUT, recorder.publish(&event, reference)).await {
            Ok(Ok(())) => return true,
            Ok(Err(kube::Error::Api(status))) if status.code < 500 && status.code != 429 => {
                debug!(object = reference.name, reason = event.reason, "an event is refused: {status}");
                return false;
            }
            Ok(Err(error)) => debug!(object = reference.name, reason = event.reason, "cannot publish an event: {error}"),
            Err(_) => debug!(object = reference.name, reason = event.reason, "cannot publish an event: no answer in time"),
        }
        tokio::time::sleep(backoff(Class::Unanswered, tries, fastrand::f64()).unsigned_abs()).await;
    }
    false
}

/// The object that an event is about, in little memory: many may wait.
struct About {
    key: Key,
    uid: Option<Box<str>>,
}

impl From<&ObjectMeta> for About {
    fn from(object: &ObjectMeta) -> Self {
        Self { key: object.into(), uid: object.uid.as_deref().map(Into::into) }
    }
}

/// With a resourceVersion, no two events of an object would be taken for the same.
impl From<About> for ObjectReference {
    fn from(about: About) -> Self {
        Self {
            api_version: Some(AthenaSession::api_version(&()).into()),
            kind: Some(AthenaSession::kind(&()).into()),
            name: Some(about.key.name().to_owned()),
            namespace: Some(about.key.namespace().to_owned()),
            uid: about.uid.map(String::from),
            ..Self::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use http::{Request, Response};
    use kube::client::Body;
    use tower::service_fn;

    use super::*;
    use crate::events::retained;
    use crate::retained::Retained;

    /// Publishes first what runs on to an API server that answers as `answer` does. Returns how long that took.
    async fn publish_to<F>(answer: impl Fn() -> F + Send + Sync + 'static) -> Duration
    where
        F: Future<Output = Result<Response<Body>, std::io::Error>> + Send + 'static,
    {
        let client = Client::new(service_fn(move |_: Request<Body>| answer()), "default");
        let publisher = Publisher::new(client, Arc::new(Metrics::default()), Arc::new(Trigger::default()));
        let begun = Instant::now();
        let object = ObjectMeta { name: Some("etl".into()), namespace: Some("team".into()), ..ObjectMeta::default() };
        publisher.publish_first(&object, retained(&Retained { session_id: None, work_group: None, region: None })).await;
        begun.elapsed()
    }

    #[tokio::test]
    async fn an_event_holds_a_release_up_for_three_seconds_at_most() {
        let unanswered = publish_to(std::future::pending).await;
        assert!((FIRST..2 * FIRST).contains(&unanswered), "{unanswered:?}");
        let refused = || async { Ok(Response::builder().status(403).body(Body::from(b"no".to_vec())).expect("a reply")) };
        let refused = publish_to(refused).await;
        assert!(refused < FIRST, "{refused:?}");
        let failing = || async { Ok(Response::builder().status(500).body(Body::from(b"no".to_vec())).expect("a reply")) };
        let failing = publish_to(failing).await;
        assert!(failing < 2 * FIRST, "{failing:?}");
    }
}
