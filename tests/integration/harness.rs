//! Runs the tests, each in a world of its own.
//!
//! - [`World`]: a namespace, an emulator of Athena, and operators.
//! - `objects`: creates, changes and awaits AthenaSessions.
//! - `athena`: changes sessions in the emulator, and counts what it was asked.
//! - `api_server`: puts a proxy with faults before the API server.
//! - [`look`] and [`until`]: wait for a condition.
//! - [`policies`]: has the API server refuse what an operator writes.
//! - [`ran`]: runs the program to its end.
//! - [`samples`]: reads what an operator measures.

mod api_server;
mod athena;
mod metrics;
mod objects;
pub mod policies;
mod program;
mod wait;
mod world;

pub use api_server::{failed, fails};
pub use athena::{failure, refusal};
pub use metrics::{reconciles, sample, samples, sum};
pub use objects::{
    an_attempt_of_long_ago, condition, has, is, message, names, object, ready_condition, spark, status, uid,
    until_logged,
};
pub use program::{printed, program, ran};
pub use wait::{PATIENCE, PAUSE, look, until};
pub use world::{World, client_config, operator_binary};

use std::fs::File;
use std::future::Future;
use std::io::Read;
use std::pin::Pin;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, OnceLock};

use environment::{Request, Stage};
use libtest_mimic::{Arguments, Failed, Trial};

type Running = Pin<Box<dyn Future<Output = anyhow::Result<()>> + Send>>;

/// A named test.
pub struct Test {
    name: &'static str,
    run: Box<dyn FnOnce(World) -> Running + Send>,
}

/// A test made of an asynchronous function.
pub fn test<F: Future<Output = anyhow::Result<()>> + Send + 'static>(
    name: &'static str,
    run: fn(World) -> F,
) -> Test {
    Test { name, run: Box::new(move |world| Box::pin(run(world))) }
}

/// The tests of these functions, under their names.
macro_rules! tests {
    ($($name:ident),+ $(,)?) => {
        pub fn tests() -> Vec<$crate::harness::Test> {
            vec![$($crate::harness::test(stringify!($name), $name)),+]
        }
    };
}
pub(crate) use tests;

/// Runs the tests on one API server, which is started for the first of them.
pub fn run(modules: Vec<(&'static str, Vec<Test>)>) -> ExitCode {
    let mut arguments = Arguments::from_args();
    // They wait more than they work.
    arguments.test_threads = arguments.test_threads.or(Some(8));
    let runtime = Arc::new(
        tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("threads can be started"),
    );
    let stage: Arc<OnceLock<Result<Stage, String>>> = Arc::default();
    let trials = modules
        .into_iter()
        .flat_map(|(module, tests)| tests.into_iter().map(move |test| (module, test)))
        .map(|(module, test)| {
            let (runtime, stage) = (runtime.clone(), stage.clone());
            Trial::test(format!("{module}::{}", test.name), move || {
                let started = stage.get_or_init(|| Stage::start().map_err(|error| format!("{error:#}")));
                if let Err(error) = started {
                    return Err(Failed::from(error.clone()));
                }
                let world = runtime.block_on(World::new(stage.clone(), test.name));
                let mut logs = Logs::default();
                let result = world.and_then(|world| {
                    logs = world.logs.clone();
                    runtime.block_on((test.run)(world))
                });
                result.map_err(|error| Failed::from(format!("{error:#}\n{}", ends(&logs))))
            })
        })
        .collect();
    let conclusion = libtest_mimic::run(&arguments, trials);
    let refused = stage.get().and_then(|stage| stage.as_ref().ok()).map_or_else(|| Ok(Vec::new()), refused);
    // The servers end with the stage.
    drop(stage);
    match refused {
        Ok(refused) if refused.is_empty() => conclusion.exit_code(),
        Ok(refused) => {
            eprintln!("the operator asked for what its roles do not allow: {refused:#?}");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("cannot tell what the operator asked for: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// The logs of the operators of a test, which stay readable when those have ended.
type Logs = Arc<Mutex<Vec<File>>>;

/// The last lines of each log, for a test that has failed.
fn ends(logs: &Logs) -> String {
    const LINES: usize = 40;
    let mut ends = String::new();
    for log in logs.lock().expect("no holder panics").iter_mut() {
        let mut text = String::new();
        if log.read_to_string(&mut text).is_ok() {
            let lines: Vec<&str> = text.lines().collect();
            let end = lines[lines.len().saturating_sub(LINES)..].join("\n");
            ends.extend(["\nthe end of an operator's log:\n", &end, "\n"]);
        }
    }
    ends
}

/// Tests of an operator that lacks a right, as their namespaces begin.
const WITHOUT_A_RIGHT: [&str; 3] =
    ["without-the-right-to-the-lease", "it-is-alive-and-not-ready-while-all", "a-namespace-that-is-refused"];

/// What an operator asked for and its roles do not allow.
fn refused(stage: &Stage) -> anyhow::Result<Vec<Request>> {
    let is_wanted = |request: &Request| {
        WITHOUT_A_RIGHT.iter().any(|test| request.user.starts_with(&format!("system:serviceaccount:{test}")))
    };
    Ok(stage.requests()?.into_iter().filter(|request| !request.is_allowed && !is_wanted(request)).collect())
}
