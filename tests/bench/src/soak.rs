//! Whether the operator grows: days at a faster clock, with sweeps, starts, ends, restarts and deletions.

use std::fmt;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context;
use athena_emulator::{Change, Config, state};
use clap::Args;
use environment::Operator;
use futures::future::{Either, select, try_join_all};
use serde_json::json;

use crate::figures::{median, slope};
use crate::ground::{Ground, RECONCILES, metrics};
use crate::objects::Object;
use crate::people::World;
use crate::wave::count;
use crate::{process, scrape};

/// The operator's own intervals, which stand for the length of its day.
const SWEEP: Duration = Duration::from_secs(20);
const TRANSITION: Duration = Duration::from_secs(2);
const UNCERTAINTY: Duration = Duration::from_mins(10);
const DAY: Duration = Duration::from_hours(24);
/// The operator's count of tasks, if it shows one.
const TASKS: &str = "athena_operator_tasks";
/// The most that memory may grow, in MiB a day.
const MOST: f64 = 1.0;
/// The most reconciles for each call to Athena: they grow with changes and turns, and never with waiting.
const MOST_RECONCILES: f64 = 10.0;
/// Looks at the operator in a day.
const SAMPLES: u32 = 48;

/// How long and how fast.
#[derive(Args, Clone, Copy, Debug)]
pub struct Soak {
    /// Days before anything counts: what is kept for minutes whatever the clock, such as the last events, has to be full by then
    #[arg(long, default_value_t = 1.0)]
    warm_up: f64,
    /// Days that count
    #[arg(long, default_value_t = 1.0)]
    pub days: f64,
    /// How many times faster the clock is
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub factor: u32,
    /// Sessions that live all the time
    #[arg(long, default_value_t = 200)]
    resting: usize,
    /// People who create one object after another, each of which lives about an hour
    #[arg(long, default_value_t = 40)]
    people: usize,
    /// Calls to Athena a second that the operator may make: fewer than people have need of, so that objects always wait for the rate limiter
    #[arg(long, default_value_t = 10.0)]
    rate: f64,
}

/// The operator at a moment.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// Days since the beginning.
    pub day: f64,
    /// Resident memory in MiB.
    pub memory: f64,
    /// Tasks, if it shows them.
    pub tasks: Option<f64>,
    /// Open files and sockets.
    pub files: f64,
    /// Reconciles so far.
    pub reconciles: f64,
    /// Calls to Athena so far.
    pub calls: usize,
}

impl fmt::Display for Sample {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { day, memory, tasks, files, reconciles, calls } = self;
        let tasks = tasks.map_or_else(|| "-".to_owned(), |tasks| tasks.to_string());
        write!(
            formatter,
            "day={day:.3} rss_mib={memory:.2} tasks={tasks} files={files} reconciles={reconciles} calls={calls}"
        )
    }
}

/// What came of it.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// Growth of memory in MiB a day.
    pub slope: f64,
    /// What does not hold.
    pub broken: Vec<String>,
}

impl Soak {
    fn quick(&self, time: Duration) -> Duration {
        time / self.factor
    }

    fn flags(&self) -> Vec<String> {
        let flag = |name: &str, time: Duration| format!("--{name}={}ms", time.as_millis().max(1));
        vec![
            flag("observe-interval", self.quick(SWEEP)),
            flag("transition-interval", self.quick(TRANSITION)),
            flag("uncertainty", self.quick(UNCERTAINTY).max(Duration::from_secs(1))),
            format!("--athena-rate={}", self.rate),
        ]
    }

    /// Runs it, and tells each sample as it comes.
    ///
    /// # Errors
    /// When something does not go as it has to.
    pub async fn run(&self, binary: &Path, tell: impl Fn(&Sample)) -> anyhow::Result<Vec<Sample>> {
        process::check()?;
        let athena = Config {
            creating: self.quick(Duration::from_secs(30)),
            created: Duration::ZERO,
            terminating: self.quick(Duration::from_secs(10)),
            idle_minute: self.quick(Duration::from_mins(1)),
            ..Config::default()
        };
        let ground = Ground::at(binary.to_owned(), athena).await?;
        let flags = self.flags();
        let operator = ground.limited_operator(&flags.iter().map(String::as_str).collect::<Vec<_>>())?;
        let world = World { client: &ground.client, watch: &ground.watch, emulator: &ground.emulator };
        let resting: Vec<Object> = (0..self.resting).map(|number| Object::new("resting", number)).collect();
        for object in &resting {
            world.create(object, &json!({ "sessionIdleTimeoutInMinutes": 480 })).await?;
        }
        for object in &resting {
            world.until(object, "Ready", |seen| seen.is_some_and(|seen| seen.ready)).await?;
        }
        // At work they have no idle timeout.
        for session in ground.emulator.sessions() {
            ground.emulator.set_state(
                &session.session_id,
                Change::State { state: state::BUSY.to_owned(), reason: None },
            )?;
        }
        let life = self.quick(Duration::from_hours(1));
        let lives = try_join_all((0..self.people).map(|person| world.lives(person, self.people, life)));
        let work = world.work(&resting, self.quick(Duration::from_mins(3)));
        let busy = Box::pin(async { tokio::try_join!(lives, work).map(drop) });
        let samples = Box::pin(self.samples(&ground, &operator, tell));
        let samples = match select(samples, busy).await {
            Either::Left((samples, _)) => samples?,
            Either::Right((busy, _)) => {
                busy.context("the soak cannot go on")?;
                anyhow::bail!("people have stopped")
            }
        };
        ground.stop(&operator)?;
        Ok(samples)
    }

    async fn samples(
        &self,
        ground: &Ground,
        operator: &Operator,
        tell: impl Fn(&Sample),
    ) -> anyhow::Result<Vec<Sample>> {
        let day = self.quick(DAY);
        let (begin, mut samples) = (Instant::now(), Vec::new());
        loop {
            let sample = self::sample(ground, operator, begin.elapsed().as_secs_f64() / day.as_secs_f64())?;
            tell(&sample);
            samples.push(sample);
            if sample.day >= self.warm_up + self.days {
                return Ok(samples);
            }
            tokio::time::sleep(day / SAMPLES).await;
        }
    }

    /// What the samples say.
    pub fn verdict(&self, samples: &[Sample]) -> Verdict {
        let counted: Vec<&Sample> = samples.iter().filter(|sample| sample.day >= self.warm_up).collect();
        let points: Vec<(f64, f64)> = counted.iter().map(|sample| (sample.day, sample.memory)).collect();
        let slope = slope(&points).unwrap_or(f64::NAN);
        let mut broken = Vec::new();
        // No slope is none that holds.
        if slope.is_nan() || slope > MOST {
            broken.push(format!("memory grows by {slope:.2} MiB a day and not {MOST}"));
        }
        let tasks: Option<Vec<f64>> = counted.iter().map(|sample| sample.tasks).collect();
        let files: Vec<f64> = counted.iter().map(|sample| sample.files).collect();
        for (what, values) in [("tasks", tasks.unwrap_or_default()), ("open files", files)] {
            if let Some((first, last)) = grown(&values) {
                broken.push(format!("{what} grow from {first} to {last}"));
            }
        }
        if let (Some(first), Some(last)) = (counted.first(), counted.last()) {
            let (reconciles, calls) = (last.reconciles - first.reconciles, count(last.calls - first.calls));
            if reconciles > calls * MOST_RECONCILES {
                broken.push(format!("{reconciles} reconciles are more than {MOST_RECONCILES} for each of {calls} calls: waiting costs something"));
            }
        }
        Verdict { slope, broken }
    }
}

fn sample(ground: &Ground, operator: &Operator, day: f64) -> anyhow::Result<Sample> {
    let text = metrics(operator)?;
    let pid = operator.pid();
    Ok(Sample {
        day,
        memory: process::memory(pid)?.now,
        tasks: scrape::samples(&text, TASKS).first().map(|sample| sample.value),
        files: f64::from(u32::try_from(process::files(pid)?)?),
        reconciles: scrape::sum(&text, RECONCILES, |_| true),
        calls: ground.emulator.call_count(),
    })
}

/// The medians of the first and of the last quarter, if there are clearly more in that: what comes and goes is no growth.
fn grown(values: &[f64]) -> Option<(f64, f64)> {
    let quarter = values.len() / 4;
    let (first, last) = (median(&values[..quarter])?, median(&values[values.len() - quarter..])?);
    (last > first * 1.2 + 5.0).then_some((first, last))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOAK: Soak = Soak { warm_up: 1.0, days: 1.0, factor: 200, resting: 1, people: 1, rate: 10.0 };

    fn samples(memory: impl Fn(f64) -> f64, tasks: impl Fn(f64) -> f64) -> Vec<Sample> {
        let sample = |number: u32| {
            let day = f64::from(number) / 10.0;
            Sample {
                day,
                memory: memory(day),
                tasks: Some(tasks(day)),
                files: 9.0,
                reconciles: 0.0,
                calls: 0,
            }
        };
        (0..=20).map(sample).collect()
    }

    #[test]
    fn what_grows_before_it_is_warm_does_not_count() {
        let verdict = SOAK.verdict(&samples(|day| 30.0 + 10.0 * day.min(1.0), |_| 20.0));
        assert!(verdict.slope.abs() < 1e-9 && verdict.broken.is_empty(), "{verdict:?}");
    }

    #[test]
    fn memory_and_tasks_must_not_grow() {
        let verdict = SOAK.verdict(&samples(|day| 30.0 + 2.0 * day, |day| 20.0 * day));
        assert!((verdict.slope - 2.0).abs() < 1e-9);
        assert_eq!(verdict.broken.len(), 2, "{verdict:?}");
        assert_eq!(SOAK.verdict(&[]).broken.len(), 1);
    }

    #[test]
    fn waiting_must_not_cost_reconciles() {
        let mut samples = samples(|_| 30.0, |_| 20.0);
        for (number, sample) in samples.iter_mut().enumerate() {
            (sample.calls, sample.reconciles) = (10 * number, 50.0 * count(number));
        }
        assert!(SOAK.verdict(&samples).broken.is_empty());
        for sample in &mut samples {
            sample.reconciles *= 10.0;
        }
        assert_eq!(SOAK.verdict(&samples).broken.len(), 1);
    }

    #[test]
    fn intervals_are_as_short_as_the_clock_is_fast() {
        assert_eq!(
            SOAK.flags(),
            [
                "--observe-interval=100ms",
                "--transition-interval=10ms",
                "--uncertainty=3000ms",
                "--athena-rate=10"
            ]
        );
    }
}
