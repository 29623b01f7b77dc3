//! The order of the rounds.

use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use http::Method;

use crate::client::{Ask, METADATA, Protocol};
use crate::figures::median;
use crate::form::Form;
use crate::ground::Ground;
use crate::life;
use crate::objects::Object;
use crate::process;
use crate::raw::{Round, Writer};
use crate::tasks::{for_each, until};
use crate::wave::{self, Wave};

/// Objects of a raw round at most.
const RAW: usize = 1000;
/// Objects of a round that only finds the best number at a time.
const CALIBRATION: usize = 200;

/// What was measured with so many objects.
#[derive(Clone, Debug)]
pub struct Report {
    /// How many.
    pub objects: usize,
    /// Raw rounds.
    pub raw: Vec<Round>,
    /// Waves.
    pub waves: Vec<Wave>,
}

impl Report {
    /// Objects a second that the yardstick wrote.
    pub fn raw_per_second(&self) -> f64 {
        median(&self.raw.iter().map(|round| round.per_second).collect::<Vec<_>>()).unwrap_or(f64::NAN)
    }

    /// Objects a second that the operator brought to Ready.
    pub fn per_second(&self) -> f64 {
        median(&self.waves.iter().map(Wave::per_second).collect::<Vec<_>>()).unwrap_or(f64::NAN)
    }

    /// The operator's rate over the yardstick's.
    pub fn ratio(&self) -> f64 {
        self.per_second() / self.raw_per_second()
    }
}

/// Measures with so many objects.
///
/// # Errors
/// When something does not come to be that has to.
pub async fn run(binary: &Path, objects: usize) -> anyhow::Result<Report> {
    process::check()?;
    let ground = Ground::start(binary.to_owned()).await?;
    ground.say(&format!("N = {objects}: the servers are up"));
    let operator = ground.operator(&[])?;
    let life = life::record(&ground, &operator).await?;
    ground.stop(&operator)?;
    drop(operator);
    for change in &life.changes {
        ground.say(&format!("recorded: {}", change.patch));
    }
    let writer = Writer { client: ground.client(Protocol::Http2).await?, form: Form::MergeMetadata, width: 16 };
    let writer = writer.calibrated(&ground, &life.changes, objects.min(CALIBRATION)).await?;
    let mut report = Report { objects, raw: Vec::new(), waves: Vec::new() };
    let rounds: &[bool] =
        if objects <= RAW { &[false, true, false, true, false, true, false, false] } else { &[false, false, true, false, false, false] };
    for (number, is_wave) in rounds.iter().enumerate() {
        let name = format!("round-{number}");
        if *is_wave {
            let operator = ground.operator(&[])?;
            let wave = wave::run(&ground, &operator, &name, objects, METADATA).await?;
            ground.say(&format!("wave: {:.1} objects/s, {:?}", wave.per_second(), wave.counted));
            report.waves.push(wave);
            delete_all(&ground, &name, objects).await?;
            ground.stop(&operator)?;
        } else {
            let round = writer.round(&ground, &name, &life.changes, objects.min(RAW)).await?;
            ground.say(&format!("raw: {:.1} objects/s, {:.1} ms CPU each", round.per_second, round.server_cpu * 1000.0));
            report.raw.push(round);
        }
    }
    Ok(report)
}

/// Deletes the objects of a round and waits until they are gone.
async fn delete_all(ground: &Ground, round: &str, objects: usize) -> anyhow::Result<()> {
    let (client, round) = (ground.client.clone(), round.to_owned());
    for_each(objects, 16, move |number| {
        let (client, object) = (client.clone(), Object::new(&round, number));
        async move { client.ok(Ask { accept: METADATA, ..Ask::bare(Method::DELETE, object.path()) }).await.map(drop) }
    })
    .await?;
    let patience = Duration::from_secs(60) + Duration::from_millis(200) * u32::try_from(objects)?;
    let gone = || ground.watch.table().present() == 0;
    until("all objects are gone", patience, gone, || format!("{} are there", ground.watch.table().present())).await.context("deletion")
}
