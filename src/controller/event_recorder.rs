//! Publishes events, one after the other and beside the reconciles, which they must not hold up. An event costs the API server about half of what a
//! status does.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use k8s_openapi::api::core::v1::{Event as EventObject, EventSource, ObjectReference};
use k8s_openapi::jiff::Timestamp;
use kube::api::{ObjectMeta, Patch, PatchParams, PostParams};
use kube::{Api, Client, Resource};
use serde_json::json;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::time::{Instant, timeout, timeout_at};
use tracing::debug;

use crate::api::{AthenaSession, FIELD_MANAGER};
use crate::controller::event_correlator::{About, Answer, Correlator, Write};
use crate::controller::metrics::Metrics;
use crate::controller::trigger::Trigger;
use crate::runtime::clock::Clock;
use crate::session::backoff::backoff;
use crate::session::events::Event;
use crate::session::reply::ErrorClass;
use crate::session::status::seconds;

/// Number of events that may wait to be published; more are dropped.
const MAX_QUEUED_EVENTS: usize = 32_768;
/// Longest time for a write.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest time for an event before a finalizer is removed, which the event must not hold up.
const FIRST_EVENT_TIMEOUT: Duration = Duration::from_secs(3);
/// Longest wait of an event for a moment in which no object waits for a reconcile.
const MAX_WAIT_FOR_IDLE: Duration = Duration::from_millis(100);

/// Event with its object, and the time at which it happened.
type Occurrence = (About, Event, Timestamp);

/// Queue of events.
pub(crate) struct EventRecorder {
    recorder: Recorder,
    clock: Clock,
    events: OnceLock<Sender<Occurrence>>,
}

impl EventRecorder {
    /// Creates a publisher that gives way to `work`. Events happen at the times of `clock`.
    pub(crate) fn new(client: Client, clock: Clock, metrics: Arc<Metrics>, work: Arc<Trigger>) -> Self {
        let instance = std::env::var("POD_NAME").unwrap_or_else(|_| FIELD_MANAGER.into());
        let recorder = Recorder { client, instance: instance.into(), metrics, work };
        Self { recorder, clock, events: OnceLock::new() }
    }

    /// Publishes an event about an object, after the events before it.
    pub(crate) fn publish(&self, object: &ObjectMeta, event: Event) {
        let begin = || {
            let (sender, receiver) = channel(MAX_QUEUED_EVENTS);
            tokio::spawn(self.recorder.clone().publish_all(receiver));
            sender
        };
        if self.events.get_or_init(begin).try_send((object.into(), event, self.clock.now())).is_err() {
            self.recorder.metrics.written("event", "dropped");
        }
    }

    /// Publishes the only event of its kind about an object that is about to be released, ahead of all others. Waits for that for at most [`FIRST_EVENT_TIMEOUT`],
    /// and whether or not the event can be published.
    pub(crate) async fn publish_first(&self, object: &ObjectMeta, event: Event) {
        let write = Write::only(object.into(), event, self.clock.now());
        let publish = async {
            let mut tries = 0;
            loop {
                match self.recorder.write(&write).await {
                    Answer::Missing => pause(tries).await,
                    answer => return answer == Answer::Written,
                }
                tries += 1;
            }
        };
        // Boxed, since the future would make every reconcile as large as it is.
        let done = timeout(FIRST_EVENT_TIMEOUT, Box::pin(publish)).await;
        self.recorder.metrics.written("event", if done == Ok(true) { "ok" } else { "error" });
    }
}

/// Waits after a write that was not answered, like `before` writes before it.
async fn pause(before: u32) {
    tokio::time::sleep(backoff(ErrorClass::Unanswered, before, fastrand::f64()).unsigned_abs()).await;
}

/// Waits until no object waits for a reconcile.
async fn wait_until_idle(work: &Trigger) {
    const IDLE_POLL_INTERVAL: Duration = Duration::from_millis(10);
    while work.is_busy() {
        tokio::time::sleep(IDLE_POLL_INTERVAL).await;
    }
}

/// Writer of Event objects.
#[derive(Clone)]
struct Recorder {
    client: Client,
    /// Name of this process in Event objects.
    instance: Arc<str>,
    metrics: Arc<Metrics>,
    work: Arc<Trigger>,
}

impl Recorder {
    /// Publishes `events` one after the other.
    async fn publish_all(self, mut events: Receiver<Occurrence>) {
        let begin = Instant::now();
        let mut correlator = Correlator::default();
        // Number of writes in a row that were not answered.
        let mut unanswered = 0_u32;
        loop {
            let due = correlator.due(begin.elapsed());
            let write = if due.is_some() {
                due
            } else {
                let next = match correlator.next_time() {
                    Some(time) => timeout_at(begin + time, events.recv()).await,
                    None => Ok(events.recv().await),
                };
                match next {
                    Ok(Some((about, event, time))) => correlator.add(about, event, time, begin.elapsed()),
                    Ok(None) => return,
                    Err(_) => None,
                }
            };
            let Some(write) = write else { continue };
            let _ = timeout(MAX_WAIT_FOR_IDLE, wait_until_idle(&self.work)).await;
            let answer = self.write(&write).await;
            unanswered = if answer == Answer::Missing { unanswered.saturating_add(1) } else { 0 };
            if correlator.answered(&write, answer, begin.elapsed(), fastrand::f64()) {
                self.metrics.written("event", if answer == Answer::Written { "ok" } else { "error" });
            }
            // More events do not make more requests to an API server that does not answer.
            if let Some(before) = unanswered.checked_sub(1) {
                pause(before).await;
            }
        }
    }

    /// Writes an Event object once. A refused one, in a namespace that is being deleted for one, is not worth another try.
    async fn write(&self, write: &Write) -> Answer {
        let (object, reason) = (&write.about.key, &*write.event.reason);
        match timeout(WRITE_TIMEOUT, self.send(write)).await {
            Ok(Ok(())) => return Answer::Written,
            // An earlier try succeeded, and its answer was lost.
            Ok(Err(kube::Error::Api(status))) if status.is_already_exists() => return Answer::Written,
            Ok(Err(kube::Error::Api(status))) if status.code < 500 && status.code != 429 => {
                debug!(%object, reason, "an event is refused: {status}");
                return Answer::Refused;
            }
            Ok(Err(error)) => debug!(%object, reason, "cannot publish an event: {error}"),
            Err(_) => debug!(%object, reason, "cannot publish an event: no answer in time"),
        }
        Answer::Missing
    }

    async fn send(&self, write: &Write) -> Result<(), kube::Error> {
        let events: Api<EventObject> = Api::namespaced(self.client.clone(), write.about.key.namespace());
        if write.is_created {
            let newest = json!({ "count": write.count, "lastTimestamp": seconds(write.last), "message": write.event.note });
            match events.patch(&write.object_name(), &PatchParams::default(), &Patch::Merge(newest)).await {
                // The Event object has expired, or somebody has deleted it.
                Err(kube::Error::Api(status)) if status.is_not_found() => {}
                written => return written.map(drop),
            }
        }
        events.create(&PostParams::default(), &self.object(write)).await.map(drop)
    }

    /// Returns the Event object, with the fields that client-go's `record.EventRecorder` fills in.
    fn object(&self, write: &Write) -> EventObject {
        let Write { about, event, first, last, count, .. } = write;
        let involved_object = ObjectReference {
            api_version: Some(AthenaSession::api_version(&()).into()),
            kind: Some(AthenaSession::kind(&()).into()),
            name: Some(about.key.name().to_owned()),
            namespace: Some(about.key.namespace().to_owned()),
            uid: about.uid.as_deref().map(str::to_owned),
            ..ObjectReference::default()
        };
        let metadata = ObjectMeta {
            name: Some(write.object_name()),
            namespace: involved_object.namespace.clone(),
            ..ObjectMeta::default()
        };
        EventObject {
            action: Some(event.action.into()),
            count: Some(*count),
            first_timestamp: Some(seconds(*first)),
            last_timestamp: Some(seconds(*last)),
            involved_object,
            message: Some(event.note.to_string()),
            metadata,
            reason: Some(event.reason.to_string()),
            reporting_component: Some(FIELD_MANAGER.into()),
            reporting_instance: Some(self.instance.to_string()),
            source: Some(EventSource { component: Some(FIELD_MANAGER.into()), host: None }),
            type_: Some(if event.warning { "Warning" } else { "Normal" }.into()),
            ..EventObject::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use parking_lot::Mutex;

    use http::{Request, Response};
    use kube::client::Body;
    use serde_json::Value;
    use tower::service_fn;

    use super::*;
    use crate::session::events::retained;
    use crate::session::retained::Retained;

    fn reply(code: u16, body: &Value) -> Response<Body> {
        Response::builder().status(code).body(Body::from(body.to_string().into_bytes())).expect("a reply")
    }

    fn event() -> Event {
        retained(&Retained { uid: "u".into(), session_id: None, work_group: None, region: None })
    }

    fn object() -> ObjectMeta {
        ObjectMeta { name: Some("etl".into()), namespace: Some("team".into()), ..ObjectMeta::default() }
    }

    fn recorder(client: Client) -> EventRecorder {
        EventRecorder::new(client, Clock::new("the API server"), Arc::default(), Arc::default())
    }

    /// Publishes the event of a retained session first, to an API server that answers by `answer`. Returns the time that took.
    async fn publish_to<F>(answer: impl Fn() -> F + Send + Sync + 'static) -> Duration
    where
        F: Future<Output = Result<Response<Body>, std::io::Error>> + Send + 'static,
    {
        let client = Client::new(service_fn(move |_: Request<Body>| answer()), "default");
        let begun = Instant::now();
        recorder(client).publish_first(&object(), event()).await;
        begun.elapsed()
    }

    #[tokio::test]
    async fn an_event_holds_a_release_up_for_three_seconds_at_most() {
        let unanswered = publish_to(std::future::pending).await;
        assert!((FIRST_EVENT_TIMEOUT..2 * FIRST_EVENT_TIMEOUT).contains(&unanswered), "{unanswered:?}");
        let refused = publish_to(|| async { Ok(reply(403, &Value::Null)) }).await;
        assert!(refused < FIRST_EVENT_TIMEOUT, "{refused:?}");
        let failing = publish_to(|| async { Ok(reply(500, &Value::Null)) }).await;
        assert!(failing < 2 * FIRST_EVENT_TIMEOUT, "{failing:?}");
    }

    /// Writes an event that happened twice to an API server that answers with these codes. Returns the outcome, and the requests with their bodies.
    async fn write(is_created: bool, codes: &'static [u16]) -> (Answer, Vec<(String, Value)>) {
        let seen: Arc<Mutex<Vec<(String, Value)>>> = Arc::default();
        let of = seen.clone();
        let client = service_fn(move |request: Request<Body>| {
            let of = of.clone();
            async move {
                let (head, body) = request.into_parts();
                let body: Value =
                    serde_json::from_slice(&body.collect_bytes().await.expect("a body")).expect("JSON");
                let mut of = of.lock();
                let code = codes[of.len()];
                let reason = if code == 409 { "AlreadyExists" } else { "NotFound" };
                let failure = json!({ "kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": reason, "code": code });
                let answer = if code < 300 { body.clone() } else { failure };
                of.push((format!("{} {}", head.method, head.uri.path()), body));
                Ok::<_, std::io::Error>(reply(code, &answer))
            }
        });
        let recorder = recorder(Client::new(client, "default")).recorder;
        let first = Write::first((&object()).into(), event(), Timestamp::UNIX_EPOCH);
        let answer = recorder
            .write(&Write {
                count: 2,
                last: Timestamp::UNIX_EPOCH + Duration::from_secs(1),
                is_created,
                ..first
            })
            .await;
        let seen = seen.lock().clone();
        (answer, seen)
    }

    #[tokio::test]
    async fn an_event_that_is_there_gets_the_newest_text_and_one_that_is_not_is_created() {
        let times = (json!("1970-01-01T00:00:00Z"), json!("1970-01-01T00:00:01Z"));
        let (answer, seen) = write(true, &[200]).await;
        let [(request, body)] = seen.as_slice() else { panic!("{seen:?}") };
        assert_eq!(
            (answer, request.as_str()),
            (Answer::Written, "PATCH /api/v1/namespaces/team/events/etl.0")
        );
        assert_eq!(*body, json!({ "count": 2, "lastTimestamp": times.1, "message": &*event().note }));

        let (answer, seen) = write(true, &[404, 201]).await;
        let [_, (request, body)] = seen.as_slice() else { panic!("{seen:?}") };
        assert_eq!((answer, request.as_str()), (Answer::Written, "POST /api/v1/namespaces/team/events"));
        assert_eq!(
            (&body["count"], &body["firstTimestamp"], &body["lastTimestamp"]),
            (&json!(2), &times.0, &times.1)
        );
        assert_eq!((&body["metadata"]["name"], &body["message"]), (&json!("etl.0"), &json!(&*event().note)));
    }

    #[tokio::test]
    async fn an_event_whose_answer_was_lost_is_not_created_twice_and_one_in_a_namespace_that_goes_is_given_up()
     {
        let cases: [(&[u16], Answer); 5] = [
            (&[201], Answer::Written),
            (&[409], Answer::Written),
            (&[403], Answer::Refused),
            (&[429], Answer::Missing),
            (&[503], Answer::Missing),
        ];
        for (codes, expected) in cases {
            let (answer, seen) = write(false, codes).await;
            assert_eq!((answer, seen.len()), (expected, 1), "{codes:?}");
        }
    }
}
