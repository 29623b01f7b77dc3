//! The figures as people and machines read them, and the bounds that they have to keep.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::figures::{median, percentile};
use crate::mirror;
use crate::rest::Rest;
use crate::run::Report;
use crate::wave::{Wave, count};

/// Least ratio to the yardstick with 1,000 objects.
const LEAST_RATIO: f64 = 0.9;
/// Rounds differ by so much at most on a machine that does nothing else.
const NOISE: f64 = 1.5;
/// The most resident memory in MiB with so many objects.
const MEMORY: [(usize, f64); 2] = [(1_000, 48.0), (10_000, 96.0)];

impl Report {
    /// Objects a second that the yardstick wrote.
    pub fn raw_per_second(&self) -> f64 {
        middle(&self.raw, |round| round.per_second)
    }

    /// Objects a second that the operator brought to Ready.
    pub fn per_second(&self) -> f64 {
        middle(&self.waves, Wave::per_second)
    }

    /// The operator's rate over the yardstick's.
    pub fn ratio(&self) -> f64 {
        self.per_second() / self.raw_per_second()
    }

    /// A word on rounds that differ so much that something else must have kept the machine busy.
    pub fn noise(&self) -> Option<String> {
        let rates = || self.raw.iter().map(|round| round.per_second);
        let (least, most) = (rates().fold(f64::INFINITY, f64::min), rates().fold(0.0, f64::max));
        (most > least * NOISE)
            .then(|| format!("N={}: the same raw round wrote {least:.1} to {most:.1} objects/s: the machine had other work", self.objects))
    }

    /// Writes to the API server for each object, those of events included.
    pub fn writes_per_object(&self) -> f64 {
        self.per_object(|wave| wave.counted.object_writes + wave.counted.event_writes)
    }

    /// Calls to Athena for each object.
    pub fn calls_per_object(&self) -> f64 {
        middle(&self.waves, Wave::calls_per_object)
    }

    /// CPU seconds of the operator for each object.
    pub fn cpu_per_object(&self) -> f64 {
        self.per_object(|wave| wave.counted.operator_cpu)
    }

    /// CPU seconds of the API server for each object.
    pub fn server_cpu_per_object(&self) -> f64 {
        self.per_object(|wave| wave.counted.server_cpu)
    }

    /// The operator's memory when it has come to rest after a wave, in MiB.
    pub fn rest_memory(&self) -> f64 {
        middle(&self.waves, |wave| wave.memory.now)
    }

    fn per_object(&self, of: impl Fn(&Wave) -> f64) -> f64 {
        middle(&self.waves, |wave| of(wave) / count(wave.objects))
    }

    fn delay(&self, of: impl Fn(&Wave) -> &Vec<Duration>, part: f64) -> f64 {
        middle(&self.waves, |wave| percentile(of(wave), part).map_or(f64::NAN, milliseconds))
    }

    /// The line for machines.
    pub fn line(&self) -> String {
        format!(
            "bench N={} ratio={:.3} per_second={:.1} p99_start_ms={:.0} p99_mirror_ms={:.0} writes_per_object={:.2} calls_per_object={:.2} peak_rss_mib={:.1} \
             rest_rss_mib={:.1} cpu_s_per_object={:.5} rest_writes={:.0} rest_calls={:.1}",
            self.objects,
            self.ratio(),
            self.per_second(),
            self.delay(|wave| &wave.starts, 0.99),
            self.delay(|wave| &wave.mirrors, 0.99),
            self.writes_per_object(),
            self.calls_per_object(),
            self.peak,
            self.rest_memory(),
            self.cpu_per_object(),
            self.rest.counted.object_writes + self.rest.counted.event_writes,
            self.rest.calls_per_sweep(),
        )
    }

    /// The table's column: what is told, and the figure.
    pub fn rows(&self) -> Vec<(&'static str, String)> {
        let mut rows = Vec::new();
        let mut row = |what, figure: String| rows.push((what, figure));
        let seconds = |time: Duration| format!("{:.1}", time.as_secs_f64());
        let mirror = |part| percentile(&self.mirrors, part).map_or_else(String::new, seconds);
        let delays = |of: fn(&Wave) -> &Vec<Duration>| {
            format!("{:.0} / {:.0}", self.delay(of, 0.5), self.delay(of, 0.99))
        };
        let writes = |rest: &Rest| {
            let Writes { objects, events, reconciles } = Writes::of(&rest.counted);
            format!("{objects} / {events} / {reconciles}")
        };
        let of_wave = |of: fn(&Wave) -> f64| self.per_object(of);
        let raw = each(&self.raw, |round| round.per_second);
        let calls = self.waves.last().map_or_else(String::new, |wave| told(&wave.calls));
        let (time, deletion) = self
            .deletions
            .last()
            .map_or_else(|| ("-".to_owned(), "-".to_owned()), |work| (seconds(work.time), told(&work.calls)));
        row("yardstick: raw objects/s", format!("{:.1} ({raw})", self.raw_per_second()));
        row("yardstick: objects at a time", self.width.to_string());
        let server_cpu = middle(&self.raw, |round| round.server_cpu * 1000.0);
        row("yardstick: API server CPU per object, ms", format!("{server_cpu:.1}"));
        let waves = each(&self.waves, Wave::per_second);
        row("all Ready: objects/s", format!("{:.1} ({waves})", self.per_second()));
        row("all Ready: time, s", format!("{:.1}", middle(&self.waves, |wave| wave.time.as_secs_f64())));
        row("ratio to the yardstick", format!("{:.3}", self.ratio()));
        row("creation to StartSession, p50 / p99, ms", delays(|wave| &wave.starts));
        row("IDLE in Athena to status, p50 / p99, ms", delays(|wave| &wave.mirrors));
        row("writes of the object", format!("{:.2}", of_wave(|wave| wave.counted.object_writes)));
        row("writes of events per object", format!("{:.2}", of_wave(|wave| wave.counted.event_writes)));
        row("writes refused with 409", format!("{:.0}", self.conflicts));
        row("reconciles per object", format!("{:.2}", of_wave(|wave| wave.counted.reconciles)));
        row("Athena calls per object", format!("{:.2} ({calls})", self.calls_per_object()));
        row("operator CPU per object, ms", format!("{:.2}", self.cpu_per_object() * 1000.0));
        row("API server CPU per object, ms", format!("{:.1}", self.server_cpu_per_object() * 1000.0));
        row("etcd CPU per object, ms", format!("{:.1}", of_wave(|wave| wave.counted.etcd_cpu) * 1000.0));
        row("peak RSS, MiB", format!("{:.1}", self.peak));
        row("RSS at rest, MiB", format!("{:.1}", self.rest_memory()));
        row("RSS at rest after a restart, MiB", format!("{:.1}", self.restart.memory.now));
        row("at rest, 60 s: writes of objects / events / reconciles", writes(&self.rest));
        row("at rest, 60 s: Athena calls", told(&self.rest.calls));
        let pages = self.rest.pages();
        row("at rest: calls per sweep / pages", format!("{:.1} / {pages}", self.rest.calls_per_sweep()));
        let mirrors = [0.5, 0.99, 1.0].map(mirror).join(" / ");
        row("BUSY in Athena to status at rest, p50 / p99 / most, s", mirrors);
        row("restart: end after SIGTERM, s", format!("{:.2}", self.stop.as_secs_f64()));
        let restart = format!("{} / {}", seconds(self.restart.ready), seconds(self.restart.quiet));
        row("restart: ready / quiet, s", restart);
        row("restart: Athena calls", told(&self.restart.calls));
        row("all sessions end in Athena: time until shown, s", seconds(self.finish.time));
        row("all sessions end in Athena: calls", told(&self.finish.calls));
        row("finished, 60 s: writes of objects / events / reconciles", writes(&self.finished));
        row("finished, 60 s: Athena calls", told(&self.finished.calls));
        row("finished, restart: Athena calls", told(&self.finished_start.calls));
        row("deletion of all, sessions alive: time, s", time);
        row("deletion of all, sessions alive: Athena calls", deletion);
        row("deletion of all, finished: time, s", seconds(self.deletion.time));
        row("deletion of all, finished: Athena calls", told(&self.deletion.calls));
        row("sessions started twice", self.surplus_sessions.to_string());
        rows
    }

    /// The bounds that do not hold with so many objects.
    fn broken(&self) -> Vec<String> {
        let mut broken = Vec::new();
        let mut check = |holds: bool, what: String| {
            if !holds {
                broken.push(format!("N={}: {what}", self.objects));
            }
        };
        if let Some(told) = &self.life.surplus {
            let (count, told) = (told.len(), told.join("\n  "));
            check(false, format!("a start takes {count} changes of the object and not four:\n  {told}"));
        }
        let ratio = self.ratio();
        check(
            self.objects != 1_000 || ratio >= LEAST_RATIO,
            format!("the ratio to the yardstick is {ratio:.3} and not {LEAST_RATIO}"),
        );
        check(self.conflicts == 0.0, format!("{:.0} writes were refused with 409", self.conflicts));
        if let Some((_, most)) = MEMORY.iter().find(|(objects, _)| self.objects <= *objects) {
            check(self.peak <= *most, format!("the operator takes {:.1} MiB and not {most:.0}", self.peak));
        }
        for (when, rest) in [("at rest", &self.rest), ("finished", &self.finished)] {
            let Writes { objects, events, reconciles } = Writes::of(&rest.counted);
            check(
                objects + events + reconciles == 0,
                format!(
                    "{when} there are {objects} writes of objects, {events} of events and {reconciles} reconciles"
                ),
            );
        }
        let Rest { sweeps, pages, calls, .. } = &self.rest;
        let calls = told(calls);
        check(
            self.rest.calls_are_pages(),
            format!("at rest the calls are not the pages: {calls}; sweeps {sweeps:?}, pages {pages:?}"),
        );
        let calls = told(&self.finished.calls);
        check(self.finished.calls() == 0, format!("with finished objects there are calls: {calls}"));
        let calls = told(&self.finished_start.calls);
        check(
            self.finished_start.calls.is_empty(),
            format!("a start with finished objects makes calls: {calls}"),
        );
        let bound = mirror::bound(pages.values().copied().max().unwrap_or(1));
        let most = percentile(&self.mirrors, 1.0).unwrap_or_default();
        check(most <= bound, format!("a change took {most:.1?} to the status and not {bound:.1?}"));
        check(!self.restart.calls.contains_key("StartSession"), "a restart starts sessions".to_owned());
        let surplus = self.surplus_sessions;
        check(surplus == 0, format!("{surplus} sessions too many were started"));
        broken
    }
}

/// The bounds that do not hold, each with what is the case.
pub fn broken(reports: &[Report]) -> Vec<String> {
    let mut broken: Vec<String> = reports.iter().flat_map(Report::broken).collect();
    let ratio = |objects| reports.iter().find(|report| report.objects == objects).map(Report::ratio);
    if let (Some(small), Some(large)) = (ratio(1_000), ratio(10_000))
        && large < small * 0.9
    {
        broken.push(format!(
            "N=10000: the ratio {large:.3} is more than 10 % lower than with 1,000 objects, {small:.3}"
        ));
    }
    broken
}

/// The table for people: a row for each figure, a column for each number of objects.
pub fn table(reports: &[Report]) -> Vec<Vec<String>> {
    let mut rows = vec![vec!["N".to_owned()]];
    for report in reports {
        rows[0].push(report.objects.to_string());
        for (number, (label, figure)) in report.rows().into_iter().enumerate() {
            if rows.len() == number + 1 {
                rows.push(vec![label.to_owned()]);
            }
            rows[number + 1].push(figure);
        }
    }
    rows
}

/// A table in columns.
pub fn aligned(rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(String::len).max().unwrap_or_default()
    };
    let line = |row: &Vec<String>| {
        let cells: Vec<String> = row
            .iter()
            .enumerate()
            .map(|(column, cell)| format!("{cell:width$}", width = width(column)))
            .collect();
        cells.join("  ").trim_end().to_owned() + "\n"
    };
    rows.iter().map(line).collect()
}

/// A table in Markdown.
pub fn markdown(rows: &[Vec<String>]) -> String {
    let line = |row: &Vec<String>| format!("| {} |\n", row.join(" | "));
    let mut text = rows.first().map(line).unwrap_or_default();
    text.extend(["|", &"---|".repeat(rows.first().map_or(0, Vec::len)), "\n"]);
    text.extend(rows.iter().skip(1).map(line));
    text
}

struct Writes {
    objects: u64,
    events: u64,
    reconciles: u64,
}

impl Writes {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "differences of counters")]
    fn of(counted: &crate::ground::Difference) -> Self {
        let whole = |value: f64| value.max(0.0) as u64;
        Self {
            objects: whole(counted.object_writes),
            events: whole(counted.event_writes),
            reconciles: whole(counted.reconciles),
        }
    }
}

/// Calls by operation, in a line.
fn told(calls: &BTreeMap<String, usize>) -> String {
    if calls.is_empty() {
        return "none".to_owned();
    }
    calls.iter().map(|(operation, count)| format!("{operation} {count}")).collect::<Vec<_>>().join(", ")
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

/// Each figure, in the order of time.
fn each<T>(of: &[T], figure: impl Fn(&T) -> f64) -> String {
    of.iter().map(|one| format!("{:.1}", figure(one))).collect::<Vec<_>>().join(", ")
}

fn middle<T>(of: &[T], figure: impl Fn(&T) -> f64) -> f64 {
    median(&of.iter().map(figure).collect::<Vec<_>>()).unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_written_for_both_readers() {
        let rows = vec![vec!["N".to_owned(), "100".to_owned()], vec!["longer".to_owned(), "1".to_owned()]];
        assert_eq!(aligned(&rows), "N       100\nlonger  1\n");
        assert_eq!(markdown(&rows), "| N | 100 |\n|---|---|\n| longer | 1 |\n");
    }

    #[test]
    fn calls_are_told_in_a_line() {
        assert_eq!(told(&BTreeMap::new()), "none");
        assert_eq!(told(&BTreeMap::from([("A".to_owned(), 1), ("B".to_owned(), 2)])), "A 1, B 2");
    }
}
