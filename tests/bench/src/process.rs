//! What the kernel says of a process. Linux alone has it under `/proc`.

use std::path::Path;

use anyhow::Context;

/// `/proc` counts in these whatever the machine (USER_HZ).
const TICKS_PER_SECOND: f64 = 100.0;

/// Resident memory of a process, in MiB.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Memory {
    /// Now.
    pub now: f64,
    /// The most so far.
    pub peak: f64,
}

/// Fails where there is no `/proc`.
///
/// # Errors
/// On anything but Linux.
pub fn check() -> anyhow::Result<()> {
    anyhow::ensure!(
        Path::new("/proc/self/stat").exists(),
        "there is no /proc here: memory and CPU time of processes are measured on Linux only"
    );
    Ok(())
}

/// CPU time of a process so far, in seconds.
///
/// # Errors
/// When it has ended.
pub fn cpu(pid: u32) -> anyhow::Result<f64> {
    parse_cpu(&read(pid, "stat")?).with_context(|| format!("cannot read the CPU time of process {pid}"))
}

/// Memory of a process.
///
/// # Errors
/// When it has ended.
pub fn memory(pid: u32) -> anyhow::Result<Memory> {
    parse_memory(&read(pid, "status")?).with_context(|| format!("cannot read the memory of process {pid}"))
}

/// How many files and sockets a process has open.
///
/// # Errors
/// When it has ended.
pub fn files(pid: u32) -> anyhow::Result<usize> {
    Ok(std::fs::read_dir(format!("/proc/{pid}/fd"))
        .with_context(|| format!("process {pid} has ended"))?
        .count())
}

fn read(pid: u32, file: &str) -> anyhow::Result<String> {
    std::fs::read_to_string(format!("/proc/{pid}/{file}")).with_context(|| format!("process {pid} has ended"))
}

fn parse_cpu(stat: &str) -> Option<f64> {
    // The name, in parentheses, may have anything in it.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let mut ticks = || fields.next()?.parse::<u32>().ok().map(f64::from);
    Some((ticks()? + ticks()?) / TICKS_PER_SECOND)
}

fn parse_memory(status: &str) -> Option<Memory> {
    let mib = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        let kib: u32 = line.split_whitespace().next()?.parse().ok()?;
        Some(f64::from(kib) / 1024.0)
    };
    Some(Memory { now: mib("VmRSS:")?, peak: mib("VmHWM:")? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_is_understood() {
        let stat = "12 (a (b) c) S 1 12 12 0 -1 4194560 100 0 0 0 250 50 0 0 20 0 4 0 100 1 1";
        assert_eq!(parse_cpu(stat), Some(3.0));
        let status = "Name:\tx\nVmHWM:\t    2048 kB\nVmRSS:\t    1024 kB\n";
        assert_eq!(parse_memory(status), Some(Memory { now: 1.0, peak: 2.0 }));
        assert_eq!(parse_memory("Name:\tx\n"), None);
    }
}
