//! The controller: what triggers a reconcile, how many run at a time, and how they end.

use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError};

use futures::future::{FutureExt, join_all, select};
use futures::stream::{Stream, StreamExt};
use kube::runtime::reflector::store;
use kube::runtime::watcher::{self, Event, watcher};
use kube::runtime::{WatchStreamExt, reflector};
use kube::{Api, Client, Resource, ResourceExt};
use tokio_util::task::TaskTracker;
use tracing::warn;

use crate::api::{AthenaSession, AthenaSessionStatus, FINALIZER};
use crate::key::Key;
use crate::leadership::Leadership;
use crate::operator::Operator;
use crate::reconcile::reconcile;
use crate::runtime::workqueue::{Priority, Workqueue};
use crate::wakes::Received;

/// Whether the process does its part: as the leader, once every first list is complete; else as the one that waits while another leads.
#[derive(Clone, Debug)]
pub struct Readiness {
    missing: Arc<AtomicUsize>,
    leadership: Leadership,
}

impl Readiness {
    /// Nothing has been listed in any of `scopes` yet.
    pub fn new(scopes: usize, leadership: Leadership) -> Self {
        Self { missing: Arc::new(AtomicUsize::new(scopes)), leadership }
    }

    /// Whether it does.
    pub fn is_ready(&self) -> bool {
        self.missing.load(Ordering::Acquire) == 0 || self.leadership.is_elsewhere()
    }

    fn listed(&self) {
        self.missing.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Watches `namespaces`, or all of them if there is none, and reconciles until `shutdown`; then finishes what is running.
pub async fn run(
    operator: Arc<Operator>,
    client: Client,
    namespaces: &[String],
    concurrency: u16,
    readiness: Readiness,
    shutdown: impl Future<Output = ()> + Send + 'static,
) {
    let shutdown = shutdown.boxed().shared();
    let scopes: Vec<(Option<String>, Api<Received>)> = match namespaces {
        [] => vec![(None, Api::all(client))],
        names => names.iter().map(|name| (Some(name.clone()), Api::namespaced(client.clone(), name))).collect(),
    };
    operator.metrics.may_reconcile(scopes.len() * usize::from(concurrency));
    // For as long as the process runs: sessions without an object are ended after the last reconcile.
    let calls = operator.clone();
    tokio::spawn(async move { calls.dispatch_calls().await });
    let clock = operator.clone();
    let clock = tokio::spawn(async move { clock.follow_clock().await });
    let run = |(namespace, api)| run_scope(operator.clone(), namespace, api, concurrency, readiness.clone(), shutdown.clone());
    join_all(scopes.into_iter().map(run)).await;
    clock.abort();
}

async fn run_scope(
    operator: Arc<Operator>,
    namespace: Option<String>,
    api: Api<Received>,
    concurrency: u16,
    readiness: Readiness,
    shutdown: impl Future<Output = ()> + Clone + Send + 'static,
) {
    let (reader, writer) = reflector::store();
    operator.stores.lock().unwrap_or_else(PoisonError::into_inner).push(reader.clone());
    let queue = Workqueue::new(concurrency.into(), operator.metrics.clone());
    operator.trigger.register(namespace, queue.clone());
    let enter = touched(api, writer, readiness).take_until(shutdown.clone()).for_each(|object| {
        match object {
            Ok(object) if operator.is_news(&object) => queue.add(Key::of(&object), priority(&object)),
            Ok(_) => {}
            Err(error) => warn!("{error}"),
        }
        std::future::ready(())
    });
    let reconciles = TaskTracker::new();
    let serve = async {
        // Until the first list is complete, an object that is not in the store may yet come.
        if reader.wait_until_ready().await.is_err() {
            return;
        }
        loop {
            let work = queue.next().await;
            let Some(object) = reader.get(&work.key().reference()) else {
                operator.forget(work.key());
                continue;
            };
            let operator = operator.clone();
            reconciles.spawn(async move { work.end(reconcile(object, operator).await) });
        }
    };
    let (serve, shutdown) = (std::pin::pin!(serve), std::pin::pin!(shutdown));
    tokio::join!(enter, select(serve, shutdown));
    reconciles.close();
    reconciles.wait().await;
}

/// Returns when an object that the watch has brought is served: first what is to end, last what the operator does not hold yet.
fn priority(object: &Received) -> Priority {
    let is_suspended = object.0.as_ref().is_ok_and(|object| object.spec.suspend);
    if object.meta().deletion_timestamp.is_some() || is_suspended {
        Priority::High
    } else if object.finalizers().iter().any(|name| name == FINALIZER) {
        Priority::Normal
    } else {
        Priority::Low
    }
}

/// The objects that appear, change or go, after the store has them.
fn touched(api: Api<Received>, writer: store::Writer<Received>, readiness: Readiness) -> impl Stream<Item = Result<Received, watcher::Error>> + Send {
    let mut listed = false;
    watcher(api, watcher::Config::default())
        .default_backoff()
        .modify(slim)
        .reflect(writer)
        .inspect(move |event| {
            if matches!(event, Ok(Event::InitDone)) && !listed {
                listed = true;
                readiness.listed();
            }
        })
        .touched_objects()
}

/// Leaves out what nobody reads here: every object is kept for as long as it is.
fn slim(object: &mut Received) {
    object.meta_mut().managed_fields = None;
    object.annotations_mut().remove("kubectl.kubernetes.io/last-applied-configuration");
    // What reads JSON makes room for four of everything.
    object.finalizers_mut().shrink_to_fit();
    if let Ok(AthenaSession { status: Some(AthenaSessionStatus { conditions: Some(conditions), .. }), .. }) = &mut object.0 {
        conditions.shrink_to_fit();
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_kept_of_an_object_has_nothing_that_nobody_reads() {
        let last_applied = "kubectl.kubernetes.io/last-applied-configuration";
        let condition =
            json!({ "type": "Ready", "status": "True", "reason": "SessionIdle", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z" });
        let mut object: Received = serde_json::from_value(json!({
            "apiVersion": "athena-operator.io/v1alpha1",
            "kind": "AthenaSession",
            "metadata": {
                "namespace": "team",
                "name": "etl",
                "annotations": { last_applied: "{}", "example.org/kept": "yes" },
                "finalizers": ["example.org/kept"],
                "managedFields": [{ "manager": "kubectl", "operation": "Apply" }],
            },
            "spec": { "workGroup": "etl" },
            "status": { "conditions": [condition] },
        }))
        .expect("any object can be received");
        slim(&mut object);
        let metadata = object.meta();
        assert!(metadata.managed_fields.is_none(), "an empty list would keep its room");
        assert_eq!(object.annotations().keys().collect::<Vec<_>>(), ["example.org/kept"]);
        assert_eq!(metadata.finalizers.as_ref().map(|kept| (kept.len(), kept.capacity())), Some((1, 1)));
        let conditions = object.0.expect("it can be read").status.and_then(|status| status.conditions).expect("conditions");
        assert_eq!((conditions.len(), conditions.capacity()), (1, 1));
    }
}
