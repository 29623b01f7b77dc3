//! Which form of the same writes costs the API server the least.

use std::path::Path;

use crate::client::Protocol;
use crate::figures::median;
use crate::form::Form;
use crate::ground::Ground;
use crate::life;
use crate::process;
use crate::raw::{Round, Writer};

/// Rounds of each form; they alternate, so that what else the machine does strikes all of them.
const ROUNDS: usize = 5;
/// Objects at a time.
const WIDTH: usize = 16;

/// What a form costs.
#[derive(Clone, Debug)]
pub struct Cost {
    /// How the server is spoken to.
    pub protocol: Protocol,
    /// The form.
    pub form: Form,
    /// Its rounds.
    pub rounds: Vec<Round>,
}

impl Cost {
    /// Objects a second.
    pub fn per_second(&self) -> f64 {
        self.median(|round| round.per_second)
    }

    /// CPU seconds of the API server for each object.
    pub fn server_cpu(&self) -> f64 {
        self.median(|round| round.server_cpu)
    }

    fn median(&self, of: impl Fn(&Round) -> f64) -> f64 {
        median(&self.rounds.iter().map(of).collect::<Vec<_>>()).unwrap_or(f64::NAN)
    }
}

/// Measures every form over either protocol with rounds of so many objects, the cheapest first.
///
/// # Errors
/// When a write fails.
pub async fn run(binary: &Path, objects: usize) -> anyhow::Result<Vec<Cost>> {
    process::check()?;
    let ground = Ground::start(binary.to_owned()).await?;
    let operator = ground.operator(&[])?;
    let life = life::record(&ground, &operator).await?;
    ground.stop(&operator)?;
    let mut costs = Vec::new();
    let mut writers = Vec::new();
    for protocol in [Protocol::Http2, Protocol::Http1] {
        let client = ground.client(protocol).await?;
        for form in Form::ALL {
            writers.push(Writer { client: client.clone(), form, width: WIDTH });
            costs.push(Cost { protocol, form, rounds: Vec::new() });
        }
    }
    // The first round of a server is slower than those that follow.
    writers[0].round(&ground, "first", &life.changes, objects).await?;
    for round in 0..ROUNDS {
        ground.say(&format!("round {} of {ROUNDS}", round + 1));
        for (number, (writer, cost)) in writers.iter().zip(&mut costs).enumerate() {
            cost.rounds.push(
                writer.round(&ground, &format!("form-{round}-{number}"), &life.changes, objects).await?,
            );
        }
    }
    costs.sort_by(|one, other| one.server_cpu().total_cmp(&other.server_cpu()));
    Ok(costs)
}

/// The costs as a table.
pub fn table(costs: &[Cost]) -> Vec<Vec<String>> {
    let mut rows =
        vec![["form", "protocol", "objects/s", "API server CPU per object, ms"].map(str::to_owned).to_vec()];
    for cost in costs {
        let protocol = match cost.protocol {
            Protocol::Http2 => "HTTP/2",
            Protocol::Http1 => "HTTP/1.1",
        };
        let figures = [format!("{:.1}", cost.per_second()), format!("{:.2}", cost.server_cpu() * 1000.0)];
        rows.push([cost.form.to_string(), protocol.to_owned()].into_iter().chain(figures).collect());
    }
    rows
}
