//! Leader election over a Lease. Every write is compare-and-swap by `resourceVersion`, and no process reads the clock of another: a lease has lapsed
//! when this process has seen it unchanged for its whole duration.

use std::time::{Duration, Instant};

use clap::{ArgAction, Args};
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use k8s_openapi::jiff::Timestamp;
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Client};
use tokio::sync::oneshot;
use tracing::{info, warn};

use crate::runtime::kubernetes::error_text;
use crate::runtime::leadership::LeadershipHandle;
use crate::runtime::options::{duration, name, namespace};

/// The options of the leader election.
#[derive(Args, Clone, Debug)]
pub struct LeaseOptions {
    /// Act only while holding a Lease. If false, run one replica only: two may leave a session running after its object is deleted
    #[arg(long, env = "ATHENA_OPERATOR_LEADER_ELECTION", default_value_t = true, action = ArgAction::Set, value_name = "BOOLEAN")]
    pub leader_election: bool,

    /// Name of the Lease
    #[arg(long, env = "ATHENA_OPERATOR_LEASE_NAME", default_value = "athena-operator", value_parser = name, value_name = "NAME")]
    pub lease_name: String,

    /// Namespace of the Lease; if unset, that of the pod or of the kubeconfig's context
    #[arg(long, env = "ATHENA_OPERATOR_LEASE_NAMESPACE", value_parser = namespace, value_name = "NAMESPACE")]
    pub lease_namespace: Option<String>,

    /// Time in whole seconds after which another replica takes a Lease that its leader does not renew; that leader stops acting after two thirds of
    /// this time
    #[arg(long, env = "ATHENA_OPERATOR_LEASE_DURATION", default_value = "15s", value_parser = lease_duration, value_name = "DURATION")]
    pub lease_duration: Duration,
}

/// Participant in the election of one lease.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// The lease's namespace.
    pub namespace: String,
    /// The lease's name.
    pub name: String,
    /// Holder identity, unique per process start.
    pub identity: String,
    /// Time for which others wait for a renewal; the holder stops acting after two thirds of it.
    pub duration: Duration,
}

fn lease_duration(text: &str) -> Result<Duration, String> {
    let whole = Some(duration(text)?).filter(|given| given.subsec_nanos() == 0);
    whole.ok_or_else(|| format!("`{text}` must be whole seconds, such as 15s"))
}

/// Returns a holder identity, unique per process start: the pod's name, and a random number.
pub fn identity() -> String {
    let pod = std::env::var("POD_NAME")
        .or_else(|_| std::env::var("HOSTNAME"))
        .unwrap_or_else(|_| "athena-operator".into());
    format!("{pod}_{:016x}", fastrand::u64(..))
}

/// Lease as a candidate has last seen it, and the time since which it has not changed.
#[derive(Clone, Debug, Default)]
struct Watch(Option<(LeaseSpec, Instant)>);

impl Watch {
    /// Returns whether this process may write the lease: there is none, or it is free, has lapsed, or is this process's own.
    fn may_write(
        &mut self,
        lease: Option<&LeaseSpec>,
        identity: &str,
        default: Duration,
        now: Instant,
    ) -> bool {
        let Some(spec) = lease else { return true };
        let holder = spec.holder_identity.as_deref().unwrap_or_default();
        let since = match &self.0 {
            Some((seen, since)) if seen == spec => *since,
            _ => {
                self.0 = Some((spec.clone(), now));
                now
            }
        };
        let duration = spec
            .lease_duration_seconds
            .and_then(|seconds| u64::try_from(seconds).ok())
            .map_or(default, Duration::from_secs);
        let lapsed = now.duration_since(since) >= duration.max(default);
        holder.is_empty() || holder == identity || lapsed
    }
}

/// Returns the lease as `candidate` holds it from `now` on.
fn held(before: Option<&LeaseSpec>, candidate: &Candidate, now: Timestamp) -> LeaseSpec {
    let own = before.filter(|spec| spec.holder_identity.as_deref() == Some(&candidate.identity));
    let transitions = before.and_then(|spec| spec.lease_transitions);
    LeaseSpec {
        holder_identity: Some(candidate.identity.clone()),
        // Rounded up: other candidates wait a little longer.
        lease_duration_seconds: Some(
            i32::try_from(candidate.duration.as_millis().div_ceil(1000)).unwrap_or(i32::MAX),
        ),
        acquire_time: own.and_then(|spec| spec.acquire_time.clone()).or(Some(MicroTime(now))),
        renew_time: Some(MicroTime(now)),
        lease_transitions: match (own, before) {
            (Some(_), _) => transitions,
            (None, Some(_)) => Some(transitions.unwrap_or(0).saturating_add(1)),
            (None, None) => Some(0),
        },
        ..LeaseSpec::default()
    }
}

/// Takes part in the election. Returns only when the lease was held and is lost, or on `release`, after giving back a lease that is held. The clients
/// must be able to write without a lease, and have connections of their own: where one does not answer, the other is tried.
pub async fn run(
    clients: [Client; 2],
    candidate: Candidate,
    handle: LeadershipHandle,
    mut release: oneshot::Receiver<()>,
) {
    let mut apis = clients.map(|client| Api::<Lease>::namespaced(client, &candidate.namespace));
    let mut watch = Watch::default();
    let mut term: Option<Term> = None;
    let mut told = None;
    let mut failures = Failures::default();
    loop {
        let result = match &term {
            Some(Term { end, lease }) => renew(&mut apis, lease, &candidate, *end).await,
            None => tokio::time::timeout(candidate.duration, turn(&apis[0], &mut watch, &candidate))
                .await
                .map_or(Err(None), |result| result.map_err(Some)),
        };
        let mut pause = retry(&candidate);
        match result {
            Ok(Turn::Held { sent, lease }) => {
                let end = sent + candidate.duration * 2 / 3;
                handle.hold_until(end);
                // Counted from the time it was sent: a slow answer leaves no less time for the next renewal.
                pause = (sent + candidate.duration / 3).saturating_duration_since(Instant::now());
                if term.replace(Term { end, lease }).is_none() {
                    info!(
                        lease = candidate.name,
                        identity = candidate.identity,
                        "this process is the leader"
                    );
                }
            }
            Ok(Turn::Changed) => {}
            Ok(Turn::Other(holder)) => {
                if term.is_some() {
                    warn!(lease = candidate.name, holder, "the lease was taken by another process");
                    return handle.leave();
                }
                handle.wait();
                if told.as_ref() != Some(&holder) {
                    info!(lease = candidate.name, holder, "waiting for the lease");
                    told = Some(holder);
                }
            }
            Err(error) => failures.log(&candidate, error.as_ref()),
        }
        let end = term.as_ref().map(|term| term.end);
        if end.is_some_and(|end| end <= Instant::now()) {
            warn!(lease = candidate.name, "the lease could not be renewed in time");
            return handle.leave();
        }
        pause = pause.mul_f64(0.8 + 0.2 * fastrand::f64());
        pause = end.map_or(pause, |end| pause.min(end.saturating_duration_since(Instant::now())));
        if tokio::time::timeout(pause, &mut release).await.is_ok() {
            handle.leave();
            if term.is_some() {
                give_back(&apis[0], &candidate).await;
            }
            return;
        }
    }
}

const NO_ANSWER: &str = "no answer from the API server in time";

/// Failed tries to take or renew the lease that were logged.
#[derive(Default)]
struct Failures {
    last: Option<(String, Instant)>,
}

impl Failures {
    /// Minimum time between two lines about the same failure.
    const MIN_LOG_INTERVAL: Duration = Duration::from_mins(1);

    /// Logs a failure; one that repeats, once a minute. `None` is a missing answer.
    fn log(&mut self, candidate: &Candidate, error: Option<&kube::Error>) {
        let text = error.map_or_else(|| NO_ANSWER.to_owned(), error_text);
        let is_logged =
            |(last, time): &(String, Instant)| *last == text && time.elapsed() < Self::MIN_LOG_INTERVAL;
        if !self.last.as_ref().is_some_and(is_logged) {
            warn!(lease = candidate.name, "cannot take or renew the lease: {text}");
            self.last = Some((text, Instant::now()));
        }
    }
}

/// End of the time for which this process may act, and the lease as it wrote it.
struct Term {
    end: Instant,
    lease: Box<Lease>,
}

/// Renews `lease` before `end`. When half of the time is over without an answer, a second try begins on the other connection, and the first goes on:
/// the one that succeeds counts from the time it was sent. The connection that answered is the first to be used next time. The error is `None` if
/// neither answers.
async fn renew(
    apis: &mut [Api<Lease>; 2],
    lease: &Lease,
    candidate: &Candidate,
    end: Instant,
) -> Result<Turn, Option<kube::Error>> {
    let half = end.saturating_duration_since(Instant::now()) / 2;
    let (answered, result) = {
        let [first, second] = &*apis;
        let again = async {
            tokio::time::sleep(half).await;
            loop {
                match write(second, lease.clone(), candidate).await {
                    Ok(turn) => return turn,
                    // The first request may yet be answered.
                    Err(error) => warn!(
                        lease = candidate.name,
                        "cannot renew the lease on another connection: {}",
                        error_text(&error)
                    ),
                }
                tokio::time::sleep(retry(candidate)).await;
            }
        };
        tokio::select! {
            turn = write(first, lease.clone(), candidate) => (0, turn.map_err(Some)),
            turn = again => (1, Ok(turn)),
            () = tokio::time::sleep_until(end.into()) => (0, Err(None)),
        }
    };
    apis.rotate_left(answered);
    result
}

/// Returns the wait of a candidate between reads of the lease.
fn retry(candidate: &Candidate) -> Duration {
    Duration::from_millis(500).min(candidate.duration / 5)
}

enum Turn {
    /// This process holds the lease, by a write that it sent at `sent`.
    Held { sent: Instant, lease: Box<Lease> },
    /// Another process, of this identity, holds the lease.
    Other(String),
    /// The lease has just changed, and no other process holds it: an earlier write of this process may have arrived late, and does not show how late.
    Changed,
}

/// Reads the lease, and takes it if it can be taken.
async fn turn(api: &Api<Lease>, watch: &mut Watch, candidate: &Candidate) -> kube::Result<Turn> {
    let lease = match api.get(&candidate.name).await {
        Ok(lease) => Some(lease),
        Err(kube::Error::Api(status)) if status.is_not_found() => None,
        Err(error) => return Err(error),
    };
    let empty = LeaseSpec::default();
    let seen = lease.as_ref().map(|lease| lease.spec.as_ref().unwrap_or(&empty));
    if watch.may_write(seen, &candidate.identity, candidate.duration, Instant::now()) {
        put(api, lease, candidate).await
    } else {
        Ok(Turn::Other(lease.as_ref().map(holder).unwrap_or_default().to_owned()))
    }
}

/// Writes the lease that this process holds: again if an earlier write of its own came in between, and as a new object if somebody has deleted it.
async fn write(api: &Api<Lease>, mut lease: Lease, candidate: &Candidate) -> kube::Result<Turn> {
    loop {
        match put(api, Some(lease), candidate).await {
            Ok(Turn::Changed) => {}
            Err(kube::Error::Api(status)) if status.is_not_found() => return put(api, None, candidate).await,
            other => return other,
        }
        lease = api.get(&candidate.name).await?;
        if let Some(holder) = other_holder(&lease, candidate) {
            return Ok(Turn::Other(holder));
        }
    }
}

/// Writes the lease, or creates it if there is none, provided that it is still as it was read.
async fn put(api: &Api<Lease>, before: Option<Lease>, candidate: &Candidate) -> kube::Result<Turn> {
    let seen = before.as_ref().map(|lease| lease.spec.clone().unwrap_or_default());
    let named = || ObjectMeta { name: Some(candidate.name.clone()), ..ObjectMeta::default() };
    let wanted = Lease {
        metadata: before.map_or_else(named, |lease| lease.metadata),
        spec: Some(held(seen.as_ref(), candidate, Timestamp::now())),
    };
    let sent = Instant::now();
    let written = match seen {
        Some(_) => api.replace(&candidate.name, &PostParams::default(), &wanted).await,
        None => api.create(&PostParams::default(), &wanted).await,
    };
    match written {
        Ok(lease) => Ok(Turn::Held { sent, lease: Box::new(lease) }),
        Err(kube::Error::Api(status)) if status.is_conflict() || status.is_already_exists() => {
            let lease = api.get(&candidate.name).await?;
            Ok(other_holder(&lease, candidate).map_or(Turn::Changed, Turn::Other))
        }
        Err(error) => Err(error),
    }
}

fn holder(lease: &Lease) -> &str {
    lease.spec.as_ref().and_then(|spec| spec.holder_identity.as_deref()).unwrap_or_default()
}

/// Returns the holder of the lease, if that is another process.
fn other_holder(lease: &Lease, candidate: &Candidate) -> Option<String> {
    let holder = holder(lease);
    (!holder.is_empty() && holder != candidate.identity).then(|| holder.to_owned())
}

/// Frees the lease at once, if this process still holds it.
async fn give_back(api: &Api<Lease>, candidate: &Candidate) {
    /// Longest time for giving the lease back. If it cannot be given back, the next leader waits no longer than the lease lasts anyway.
    const GIVE_BACK_TIMEOUT: Duration = Duration::from_secs(3);
    let release = async {
        let mut lease = api.get(&candidate.name).await?;
        if holder(&lease) != candidate.identity {
            return Ok(());
        }
        lease.spec.get_or_insert_default().holder_identity = Some(String::new());
        api.replace(&candidate.name, &PostParams::default(), &lease).await.map(|_| ())
    };
    let problem = match tokio::time::timeout(GIVE_BACK_TIMEOUT, release).await {
        Ok(Ok(())) => return info!(lease = candidate.name, "the lease is given back"),
        Ok(Err(error)) => error.to_string(),
        Err(_) => NO_ANSWER.to_owned(),
    };
    warn!(lease = candidate.name, "cannot give the lease back: {problem}");
}

#[cfg(test)]
mod tests {
    use super::*;

    const DURATION: Duration = Duration::from_secs(15);

    fn candidate(identity: &str) -> Candidate {
        Candidate {
            namespace: "n".into(),
            name: "athena-operator".into(),
            identity: identity.into(),
            duration: DURATION,
        }
    }

    fn lease(holder: &str, renewed: i64) -> LeaseSpec {
        let time = Timestamp::from_second(renewed).expect("a time");
        held(None, &candidate(holder), time)
    }

    #[test]
    fn a_lease_is_made_where_there_is_none() {
        assert!(Watch::default().may_write(None, "a", DURATION, Instant::now()));
    }

    #[test]
    fn an_own_or_free_lease_is_written_at_once() {
        let now = Instant::now();
        assert!(Watch::default().may_write(Some(&lease("a", 0)), "a", DURATION, now));
        assert!(Watch::default().may_write(Some(&lease("", 0)), "a", DURATION, now));
        assert!(Watch::default().may_write(Some(&LeaseSpec::default()), "a", DURATION, now));
    }

    #[test]
    fn a_lease_of_another_lapses_once_it_was_seen_unchanged_for_its_duration() {
        let (mut watch, start) = (Watch::default(), Instant::now());
        // The lease's times are long past by this clock, which proves nothing.
        assert!(!watch.may_write(Some(&lease("b", 0)), "a", DURATION, start));
        assert!(!watch.may_write(Some(&lease("b", 0)), "a", DURATION, start + DURATION.mul_f64(0.99)));
        assert!(!watch.may_write(Some(&lease("b", 5)), "a", DURATION, start + DURATION));
        assert!(watch.may_write(Some(&lease("b", 5)), "a", DURATION, start + DURATION * 2));
    }

    #[test]
    fn the_longer_of_two_durations_counts() {
        let (mut watch, start) = (Watch::default(), Instant::now());
        let long = LeaseSpec { lease_duration_seconds: Some(60), ..lease("b", 0) };
        assert!(!watch.may_write(Some(&long), "a", DURATION, start));
        assert!(!watch.may_write(Some(&long), "a", DURATION, start + DURATION));
        assert!(watch.may_write(Some(&long), "a", DURATION, start + Duration::from_mins(1)));
    }

    #[test]
    fn transitions_count_changes_of_the_holder() {
        let first = lease("a", 1);
        assert_eq!(first.lease_transitions, Some(0));
        let renewed = held(Some(&first), &candidate("a"), Timestamp::from_second(9).expect("a time"));
        assert_eq!((renewed.lease_transitions, &renewed.acquire_time), (Some(0), &first.acquire_time));
        let taken = held(Some(&first), &candidate("b"), Timestamp::from_second(9).expect("a time"));
        assert_eq!(
            (taken.lease_transitions, taken.acquire_time),
            (Some(1), Some(MicroTime(Timestamp::from_second(9).expect("a time"))))
        );
    }

    #[test]
    fn two_processes_of_a_pod_have_two_identities() {
        assert_ne!(identity(), identity());
    }
}
