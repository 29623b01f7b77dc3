//! `docs/benchmarks.md`: what the command writes into it, between markers.

use std::path::Path;
use std::process::Command;

use anyhow::Context;
use environment::repository;

use crate::plot::{self, Panel};
use crate::process;
use crate::report;
use crate::run::Report;

const PAGE: &str = "docs/benchmarks.md";
const PLOT: &str = "docs/benchmarks.svg";

/// Writes table, lines and plot of the reports.
///
/// # Errors
/// When the page cannot be written.
pub fn write_sizes(reports: &[Report], machine: &str) -> anyhow::Result<()> {
    let lines: Vec<String> = reports.iter().map(Report::line).collect();
    let table = report::markdown(&report::table(reports));
    let section = format!(
        "{machine}\n\n{table}\n```text\n{}\n```\n\n![Cost against the number of objects](benchmarks.svg)\n",
        lines.join("\n")
    );
    let file = repository().join(PLOT);
    std::fs::write(&file, plot::svg(&panels(reports))).with_context(|| format!("cannot write {PLOT}"))?;
    write("sizes", &section)
}

/// Replaces the section of a name.
///
/// # Errors
/// When the page has no such section, or cannot be written.
pub fn write(name: &str, section: &str) -> anyhow::Result<()> {
    let file = repository().join(PAGE);
    let page = std::fs::read_to_string(&file).with_context(|| format!("cannot read {PAGE}"))?;
    let page = replaced(&page, name, section).with_context(|| format!("{PAGE} has no section {name}"))?;
    std::fs::write(&file, page).with_context(|| format!("cannot write {PAGE}"))
}

fn replaced(page: &str, name: &str, section: &str) -> Option<String> {
    let begin = format!("<!-- measured: {name} -->\n");
    let (before, rest) = page.split_once(&begin)?;
    let (_, after) = rest.split_once("<!-- end -->")?;
    Some(format!("{before}{begin}{}\n<!-- end -->{after}", section.trim_end()))
}

fn panels(reports: &[Report]) -> Vec<Panel> {
    let line = |name: &str, of: fn(&Report) -> f64| {
        #[allow(clippy::cast_precision_loss, reason = "counts are small")]
        let points = reports.iter().map(|report| (report.objects as f64, of(report))).collect();
        (name.to_owned(), points)
    };
    let panel = |title: &str, lines| Panel { title: title.to_owned(), lines };
    vec![
        panel("API writes per object", vec![line("", Report::writes_per_object)]),
        panel("Athena calls per object", vec![line("", Report::calls_per_object)]),
        panel(
            "CPU seconds per object",
            vec![line("operator", Report::cpu_per_object), line("API server", Report::server_cpu_per_object)],
        ),
        panel(
            "RSS of the operator, MiB",
            vec![line("peak", |report| report.peak), line("at rest", Report::rest_memory)],
        ),
    ]
}

/// The machine and the versions, in a paragraph. It has no name in it.
///
/// # Errors
/// When something does not tell.
pub fn machine() -> anyhow::Result<String> {
    process::check()?;
    let read = |file: &str| {
        std::fs::read_to_string(Path::new("/proc").join(file))
            .with_context(|| format!("cannot read /proc/{file}"))
    };
    let value = |text: &str, name: &str| {
        Some(text.lines().find(|line| line.starts_with(name))?.split_once(':')?.1.trim().to_owned())
    };
    let cpu = value(&read("cpuinfo")?, "model name")
        .unwrap_or_else(|| "a CPU that does not tell its model".to_owned());
    let memory: f64 = value(&read("meminfo")?, "MemTotal")
        .and_then(|text| text.split_whitespace().next()?.parse().ok())
        .context("no MemTotal")?;
    let kernel = read("sys/kernel/osrelease")?;
    let load = read("loadavg")?.split_whitespace().next().unwrap_or_default().to_owned();
    let cores = std::thread::available_parallelism()?;
    let rustc = output("rustc", &["--version"])?;
    // Sources without their history have no commit.
    let commit = output("git", &["describe", "--always", "--dirty"]).unwrap_or_else(|_| "unknown".to_owned());
    Ok(format!(
        "{cpu}, {cores} cores, {:.0} GiB of memory, Linux {}, load average {load} before; {}; {rustc}; commit {commit}.",
        memory / 1024.0 / 1024.0,
        kernel.trim(),
        kubernetes()?
    ))
}

/// The versions of the servers.
fn kubernetes() -> anyhow::Result<String> {
    let modules = repository().join("tests/support/cluster");
    let text = find_module(&modules)?;
    let version = |module: &str| {
        let line = text
            .lines()
            .map(str::trim)
            .find(|line| line.trim_start_matches("require ").starts_with(module))?;
        line.split_whitespace().find(|word| word.starts_with('v')).map(str::to_owned)
    };
    let known = |module| version(module).unwrap_or_else(|| "of an unknown version".to_owned());
    Ok(format!("Kubernetes {}, etcd {}", known("k8s.io/kubernetes "), known("go.etcd.io/etcd/server/v3 ")))
}

fn find_module(folder: &Path) -> anyhow::Result<String> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let file = if path.is_dir() { path.join("go.mod") } else { path };
        if file.file_name().is_some_and(|name| name == "go.mod") && file.exists() {
            let text = std::fs::read_to_string(&file)?;
            if text.contains("k8s.io/kubernetes ") {
                return Ok(text);
            }
        }
    }
    anyhow::bail!("no go.mod has the version of Kubernetes")
}

fn output(program: &str, arguments: &[&str]) -> anyhow::Result<String> {
    let output = Command::new(program)
        .args(arguments)
        .current_dir(repository())
        .output()
        .with_context(|| format!("cannot run {program}"))?;
    anyhow::ensure!(
        output.status.success(),
        "{program} {}: {}",
        arguments.join(" "),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_is_replaced_and_the_rest_stays() {
        let page = "a\n<!-- measured: x -->\nold\n<!-- end -->\nb\n<!-- measured: y -->\n<!-- end -->\n";
        let made = "a\n<!-- measured: x -->\nnew\n<!-- end -->\nb\n<!-- measured: y -->\n<!-- end -->\n";
        assert_eq!(replaced(page, "x", "new\n\n").as_deref(), Some(made));
        assert_eq!(replaced(page, "z", ""), None);
    }
}
