//! Readiness of the process, and the namespaces that it cannot serve.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use kube::runtime::watcher;
use parking_lot::Mutex;

use crate::runtime::leadership::Leadership;

/// Time for which a refusal counts in a scope that was listed before: a lasting refusal comes again within it, with every try.
const REFUSAL_TTL: Duration = Duration::from_mins(2);

/// Answers of the API server in a scope: a namespace, or all of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Answers {
    listed: bool,
    /// Newest refusal since the newest list, and the time of its arrival.
    refused: Option<(String, Instant)>,
}

impl Answers {
    fn refusal(&self, now: Instant) -> Option<&str> {
        let (text, time) = self.refused.as_ref()?;
        (!self.listed || now.saturating_duration_since(*time) < REFUSAL_TTL).then_some(text)
    }
}

/// Readiness of the process. A leader is ready once every scope was answered, with a complete list or a refusal, and not all are refused. A replica
/// that waits is ready while another leads.
#[derive(Clone, Debug)]
pub struct Readiness {
    /// Answers by namespace; the scope of all namespaces has no name.
    scopes: Arc<Mutex<BTreeMap<String, Answers>>>,
    leadership: Leadership,
}

impl Readiness {
    /// Creates the readiness of a process without answers yet in `namespaces`, or in all of them if none is named.
    pub fn new(namespaces: &[String], leadership: Leadership) -> Self {
        let names = if namespaces.is_empty() { vec![String::new()] } else { namespaces.to_vec() };
        Self {
            scopes: Arc::new(Mutex::new(names.into_iter().map(|name| (name, Answers::default())).collect())),
            leadership,
        }
    }

    /// Returns whether the process is ready.
    pub fn is_ready(&self) -> bool {
        let scopes = self.scopes.lock();
        let now = Instant::now();
        let is_answered = |answers: &Answers| answers.listed || answers.refused.is_some();
        let serves_any = scopes.values().any(|answers| answers.listed && answers.refusal(now).is_none());
        scopes.values().all(is_answered) && serves_any || self.leadership.is_elsewhere()
    }

    /// Returns the text of the readiness probe, with a line for each problem.
    pub fn report(&self) -> String {
        let is_ready = self.is_ready();
        let mut report = if is_ready { "ok\n".to_owned() } else { String::new() };
        for (name, refusal) in self.refused() {
            let place =
                if name.is_empty() { "all namespaces".to_owned() } else { format!("namespace {name}") };
            // Writing to a string cannot fail.
            let _ =
                writeln!(report, "the API server refuses to list the AthenaSessions of {place}: {refusal}");
        }
        if report.is_empty() {
            let is_leader = self.leadership.is_held();
            report.push_str(if is_leader {
                "the first list of AthenaSessions is not complete\n"
            } else {
                "this process neither holds the Lease nor sees another holder: its log says why\n"
            });
        }
        report
    }

    /// Returns the scopes that the API server refuses, and its messages.
    pub fn refused(&self) -> Vec<(String, String)> {
        let now = Instant::now();
        let refused =
            |(name, answers): (&String, &Answers)| Some((name.clone(), answers.refusal(now)?.to_owned()));
        self.scopes.lock().iter().filter_map(refused).collect()
    }

    /// Records a complete list of `scope`. Returns whether the scope was refused before.
    pub fn listed(&self, scope: &str) -> bool {
        let before = self.scopes.lock().insert(scope.to_owned(), Answers { listed: true, refused: None });
        before.is_some_and(|before| before.refused.is_some())
    }

    /// Records a failed list or watch of `scope`. Returns the API server's message, if it refuses the request and that is news.
    pub fn failed(&self, scope: &str, error: &watcher::Error) -> Option<String> {
        let refusal = refusal(error)?;
        let now = Instant::now();
        let mut scopes = self.scopes.lock();
        let answers = scopes.entry(scope.to_owned()).or_default();
        let is_news = answers.refusal(now) != Some(&refusal);
        answers.refused = Some((refusal.clone(), now));
        is_news.then_some(refusal)
    }
}

/// Returns the API server's message, if it refuses the request: not if it is busy, nor if the watch has to begin again.
pub fn refusal(error: &watcher::Error) -> Option<String> {
    let (watcher::Error::InitialListFailed(kube::Error::Api(status))
    | watcher::Error::WatchStartFailed(kube::Error::Api(status))
    | watcher::Error::WatchFailed(kube::Error::Api(status))
    | watcher::Error::WatchError(status)) = error
    else {
        return None;
    };
    matches!(status.code, 401 | 403 | 404 | 405).then(|| status.message.clone())
}

#[cfg(test)]
mod tests {
    use kube::core::Status;

    use super::*;
    use crate::runtime::leadership::elected;

    fn failure(code: u16, message: &str) -> watcher::Error {
        watcher::Error::InitialListFailed(kube::Error::Api(Box::new(Status {
            code,
            message: message.into(),
            ..Status::default()
        })))
    }

    fn of(names: &[&str]) -> Readiness {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        Readiness::new(&names, Leadership::unbounded())
    }

    #[test]
    fn it_is_ready_once_each_namespace_was_answered_and_one_can_be_served() {
        let readiness = of(&["good", "absent"]);
        assert_eq!(
            (readiness.is_ready(), readiness.report().as_str()),
            (false, "the first list of AthenaSessions is not complete\n")
        );
        assert!(!readiness.listed("good"));
        assert!(!readiness.is_ready());
        assert_eq!(readiness.failed("absent", &failure(500, "no")), None, "a failure is no answer");
        assert_eq!(readiness.failed("absent", &failure(429, "later")), None);
        assert!(!readiness.is_ready());
        assert_eq!(readiness.failed("absent", &failure(403, "no")).as_deref(), Some("no"));
        assert!(readiness.is_ready());
        assert_eq!(
            readiness.report(),
            "ok\nthe API server refuses to list the AthenaSessions of namespace absent: no\n"
        );
        assert_eq!(readiness.refused(), [("absent".to_owned(), "no".to_owned())]);
        assert_eq!(readiness.failed("absent", &failure(403, "no")), None, "a failure is reported once");
        assert!(readiness.listed("absent"), "it can be served now");
        assert_eq!((readiness.is_ready(), readiness.report().as_str()), (true, "ok\n"));
    }

    #[test]
    fn it_is_not_ready_while_all_are_refused() {
        for names in [&["a", "b"][..], &[]] {
            let readiness = of(names);
            for name in if names.is_empty() { &[""][..] } else { names } {
                readiness.failed(name, &failure(403, "no"));
            }
            assert!(!readiness.is_ready());
            assert_eq!(readiness.report().lines().count(), names.len().max(1), "{}", readiness.report());
        }
    }

    #[test]
    fn a_refusal_after_a_list_counts_as_long_as_it_comes_again() {
        let readiness = of(&["a"]);
        readiness.listed("a");
        readiness.failed("a", &failure(403, "no"));
        assert!(!readiness.is_ready());
        let answers = readiness.scopes.lock()["a"].clone();
        let later = Instant::now() + REFUSAL_TTL;
        assert_eq!(answers.refusal(later), None, "the watch has begun again");
        let never = Answers { listed: false, ..answers };
        assert_eq!(never.refusal(later), Some("no"));
    }

    #[test]
    fn one_that_waits_for_the_lease_is_ready() {
        let (handle, leadership) = elected();
        let readiness = Readiness::new(&[], leadership);
        assert_eq!(
            (readiness.is_ready(), readiness.report().as_str()),
            (false, "this process neither holds the Lease nor sees another holder: its log says why\n")
        );
        handle.wait();
        assert_eq!((readiness.is_ready(), readiness.report().as_str()), (true, "ok\n"));
    }
}
