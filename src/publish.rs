//! Publishes events.

use k8s_openapi::api::core::v1::ObjectReference;
use kube::Resource;
use kube::api::ObjectMeta;
use kube::runtime::events::{EventType, Recorder};
use tracing::debug;

use crate::api::AthenaSession;
use crate::events::Event;
use crate::known::backoff;
use crate::session::Class;

/// How often the publication of an event is tried.
const TRIES: u32 = 3;

/// Publishes an event about an object. One that cannot be written is given up after a few tries.
pub(crate) async fn publish(recorder: Recorder, object: ObjectMeta, event: Event) {
    let reference = reference_to(&object);
    let event = kube::runtime::events::Event {
        type_: if event.warning { EventType::Warning } else { EventType::Normal },
        reason: event.reason,
        note: Some(event.note),
        action: event.action.into(),
        secondary: None,
    };
    for tries in 0..TRIES {
        match recorder.publish(&event, &reference).await {
            Ok(()) => return,
            Err(error) => debug!("cannot publish an event: {error}"),
        }
        tokio::time::sleep(backoff(Class::Unanswered, tries, fastrand::f64()).unsigned_abs()).await;
    }
}

/// What events are about. With a resourceVersion, no two events of an object would be taken for the same.
fn reference_to(object: &ObjectMeta) -> ObjectReference {
    ObjectReference {
        api_version: Some(AthenaSession::api_version(&()).into()),
        kind: Some(AthenaSession::kind(&()).into()),
        name: object.name.clone(),
        namespace: object.namespace.clone(),
        uid: object.uid.clone(),
        ..ObjectReference::default()
    }
}
