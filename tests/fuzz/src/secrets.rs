//! What must not be told, and what was logged.

use std::cell::RefCell;
use std::io::{self, Write};
use std::sync::Once;

use athena_operator::runtime::telemetry;
use athena_operator::runtime::telemetry::LogFormat;
use tracing_subscriber::util::SubscriberInitExt;

/// Every secret holds it, so that a part of one is noticed too.
const CANARY: &str = "c4n4ry";

/// The value of a property in a spec.
pub(crate) const PROPERTY: &str = "c4n4ry-property-c4n4ry-property-c4n4ry";
/// Another value, which holds the first.
pub(crate) const LONGER_PROPERTY: &str = "spark c4n4ry-property-c4n4ry-property-c4n4ry and more c4n4ry";
/// A third, which JSON and URLs write in other ways.
pub(crate) const ESCAPED_PROPERTY: &str = "c4n4ry\"and\\c4n4ry/é+c4n4ry";
/// AWS's access key id.
pub(crate) const KEY: &str = "c4n4ryKEY";
/// AWS's secret access key.
pub(crate) const SECRET: &str = "c4n4ry/secret/c4n4ry";
/// AWS's session token.
pub(crate) const TOKEN: &str = "c4n4ry+token+c4n4ry+token+c4n4ry==";

/// `data` without secrets: in what comes from outside they stand only where a target puts them.
pub(crate) fn scrubbed(data: &[u8]) -> Vec<u8> {
    let mut data = data.to_vec();
    let found: Vec<usize> = data
        .windows(CANARY.len())
        .enumerate()
        .filter(|(_, bytes)| *bytes == CANARY.as_bytes())
        .map(|(at, _)| at)
        .collect();
    for at in found {
        data[at] = b'x';
    }
    data
}

/// Panics where `text`, which people can read in `place`, holds a secret.
pub(crate) fn check(place: &str, text: &str) {
    if let Some(line) = text.lines().find(|line| line.contains(CANARY)) {
        panic!("a secret is told in {place}: {line}");
    }
}

thread_local! {
    static LINES: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Takes the log lines of this thread.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lines;

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        LINES.with_borrow_mut(|lines| lines.extend_from_slice(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Lines {
    /// Has the finest lines of all threads kept.
    pub(crate) fn keep() {
        static KEPT: Once = Once::new();
        KEPT.call_once(|| {
            telemetry::lines(LogFormat::Json, "trace", || Self, false).expect("a filter").init();
        });
        Self::taken();
    }

    /// The lines of this thread since the last time.
    pub(crate) fn taken() -> String {
        let lines = LINES.with_borrow_mut(std::mem::take);
        String::from_utf8(lines).expect("log lines are UTF-8")
    }
}
