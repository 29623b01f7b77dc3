//! The controller: watches, workqueues and concurrent reconciles, until the shutdown.

use std::future::Future;
use std::sync::Arc;

use futures::future::{FutureExt, join_all, select};
use futures::stream::StreamExt;
use kube::runtime::watcher::{self, Event, watcher};
use kube::runtime::{WatchStreamExt, reflector};
use kube::{Api, Client, Resource, ResourceExt};
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use crate::api::{AthenaSession, FINALIZER};
use crate::controller::context::Operator;
use crate::controller::reconcile::reconcile;
use crate::controller::trigger::Received;
use crate::runtime::key::Key;
use crate::runtime::readiness::{Readiness, refusal};
use crate::runtime::workqueue::{Priority, Workqueue};

/// Watches `namespaces`, or all of them if there is none, and reconciles until `shutdown`; then finishes the reconciles that run.
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
        names => {
            names.iter().map(|name| (Some(name.clone()), Api::namespaced(client.clone(), name))).collect()
        }
    };
    operator.metrics.reconciles.set_max_concurrent(scopes.len() * usize::from(concurrency));
    // For as long as the process runs: sessions without an object are ended after the last reconcile.
    let calls = operator.clone();
    tokio::spawn(async move { calls.dispatch_calls().await });
    let clock = operator.clone();
    let clock = tokio::spawn(async move { tokio::join!(clock.follow_clock(), clock.athena_time.ask()) });
    let run = |(namespace, api)| {
        run_scope(operator.clone(), namespace, api, concurrency, readiness.clone(), shutdown.clone())
    };
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
    operator.stores.lock().push(reader.clone());
    let queue = Workqueue::new(concurrency.into(), operator.metrics.workqueue.clone());
    operator.trigger.register(namespace.clone(), queue.clone());
    let scope = namespace.unwrap_or_default();
    // The objects that appear, change or go, after the store has them.
    let enter = watcher(api, watcher::Config::default())
        .default_backoff()
        .reflect(writer)
        .inspect(|event| match event {
            Ok(Event::InitDone) => {
                if readiness.listed(&scope) {
                    info!(namespace = scope, "the API server lists the AthenaSessions again");
                }
            }
            Ok(_) => {}
            Err(error) => {
                if let Some(text) = readiness.failed(&scope, error) {
                    warn!(namespace = scope, "the API server refuses to list the AthenaSessions: {text}");
                }
            }
        })
        .touched_objects()
        .take_until(shutdown.clone())
        .for_each(|object| {
            match object {
                Ok(object) if operator.needs_reconcile(&object) => {
                    queue.add(Key::of(&object), priority(&object));
                }
                Ok(_) => {}
                // A refusal was logged when it began.
                Err(error) if refusal(&error).is_some() => {}
                Err(error) => warn!("{error}"),
            }
            std::future::ready(())
        });
    let reconciles = TaskTracker::new();
    let serve = async {
        // Until the first list is complete, an object that is not in the store may yet arrive.
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

/// Returns the priority of an object from the watch: high if something of it is to end, low if it does not have the operator's finalizer yet.
fn priority(object: &Received) -> Priority {
    // A suspended object without a live session can wait like any other: else its edits would be served before the changes of other objects'
    // sessions.
    let is_to_end = |object: &AthenaSession| {
        let may_live = object
            .status
            .as_ref()
            .is_some_and(|status| status.attempt_time.is_some() && status.end_reason.is_none());
        object.spec.suspend && may_live
    };
    if object.meta().deletion_timestamp.is_some() || object.0.as_ref().is_ok_and(is_to_end) {
        Priority::High
    } else if object.finalizers().iter().any(|name| name == FINALIZER) {
        Priority::Normal
    } else {
        Priority::Low
    }
}
