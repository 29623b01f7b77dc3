//! The controller: what wakes a reconcile, how many run at a time, and how they end.

use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError};

use futures::future::{FutureExt, join_all};
use futures::stream::{self, Stream, StreamExt};
use kube::runtime::controller::{Config, Error as ControllerError, applier};
use kube::runtime::reflector::store;
use kube::runtime::watcher::{self, Event, watcher};
use kube::runtime::{WatchStreamExt, reflector};
use kube::{Api, Client};
use tokio_stream::wrappers::UnboundedReceiverStream;
use tracing::{debug, warn};

use crate::key::Key;
use crate::leadership::Leadership;
use crate::line::{Entrance, Places, line};
use crate::operator::Operator;
use crate::reconcile::{error_policy, reconcile};
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
    let turns = operator.clone();
    let turns = tokio::spawn(async move { turns.give_turns().await });
    let clock = operator.clone();
    let clock = tokio::spawn(async move { clock.follow_clock().await });
    let run = |(namespace, api)| run_scope(operator.clone(), namespace, api, concurrency, readiness.clone(), shutdown.clone());
    join_all(scopes.into_iter().map(run)).await;
    turns.abort();
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
    let (entrance, waiting) = line();
    let woken = UnboundedReceiverStream::new(operator.wakes().of(namespace)).map(In::Woken);
    let touched = touched(api, writer, readiness).map(|object| In::Touched(object.map(Box::new)));
    let enter = stream::select(touched, woken).take_until(shutdown.clone()).for_each(|what| {
        what.enter(&operator, &entrance);
        std::future::ready(())
    });
    let places = Places::new(concurrency);
    let queue = places.clone().admit(waiting).take_until(shutdown);
    let place = places.clone();
    let results = applier(
        // The applier polls all that run for each that wakes, but for those in a task of their own. A panic in one must end the process, not be lost.
        move |object, operator| {
            let place = place.of(&Key::of(object.as_ref()));
            let reconciled = async move {
                let _place = place;
                reconcile(object, operator).await
            };
            tokio::spawn(reconciled).map(|result| result.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))).boxed()
        },
        error_policy,
        operator.clone(),
        reader,
        queue.boxed(),
        Config::default().concurrency(concurrency),
    );
    let results = results.for_each(|result| {
        match result {
            Ok((object, action)) => debug!(%object, ?action, "reconciled"),
            Err(ControllerError::ObjectNotFound(object)) => {
                let key = Key::from(object.as_ref());
                drop(places.of(&key));
                operator.forget(&key);
            }
            // Reported where it happened.
            Err(ControllerError::ReconcilerFailed(..)) => {}
            Err(error) => warn!("{error}"),
        }
        std::future::ready(())
    });
    tokio::join!(enter, results);
}

/// What puts an object in line.
enum In {
    Touched(Result<Box<Received>, watcher::Error>),
    Woken(Key),
}

impl In {
    fn enter(self, operator: &Operator, entrance: &Entrance) {
        match self {
            Self::Touched(Ok(object)) if operator.is_news(&object) => {
                let key = Key::of(object.as_ref());
                operator.queued(&key);
                entrance.put(&object, key);
            }
            Self::Touched(Ok(_)) => {}
            Self::Touched(Err(error)) => warn!("{error}"),
            Self::Woken(key) => {
                operator.queued(&key);
                entrance.wake(key);
            }
        }
    }
}

/// The objects that appear, change or go, after the store has them.
fn touched(api: Api<Received>, writer: store::Writer<Received>, readiness: Readiness) -> impl Stream<Item = Result<Received, watcher::Error>> + Send {
    let mut listed = false;
    watcher(api, watcher::Config::default())
        .default_backoff()
        .reflect(writer)
        .inspect(move |event| {
            if matches!(event, Ok(Event::InitDone)) && !listed {
                listed = true;
                readiness.listed();
            }
        })
        .touched_objects()
}
