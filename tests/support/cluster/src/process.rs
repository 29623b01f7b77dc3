//! Child processes that never outlive this one.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::bail;
use rustix::process::{Pid, Signal, kill_process};
use tools::{on, tail};

const POLL: Duration = Duration::from_millis(20);
/// `kube-apiserver` needs 1 s, and more than 5 s as long as someone watches; it keeps nothing that a
/// kill could lose.
const GRACE: Duration = Duration::from_secs(2);

type Order = (Command, mpsc::Sender<io::Result<Child>>);

/// A thread that spawns children and lives until this is dropped.
///
/// On Linux a child is killed when the thread that spawned it ends (`PR_SET_PDEATHSIG`), so a
/// test's thread must not spawn it: a cluster shared by tests outlives the test that started it.
pub struct Spawner(mpsc::Sender<Order>);

impl Spawner {
    /// A spawner with its thread.
    #[allow(clippy::new_without_default, reason = "it starts a thread")]
    pub fn new() -> Self {
        let (sender, orders) = mpsc::channel::<Order>();
        thread::spawn(move || {
            for (mut command, reply) in orders {
                let _ = reply.send(command.spawn());
            }
        });
        Self(sender)
    }

    fn spawn(&self, command: Command) -> io::Result<Child> {
        let (reply, child) = mpsc::channel();
        let gone = || io::Error::other("the spawning thread is gone");
        self.0.send((command, reply)).map_err(|_| gone())?;
        child.recv().map_err(|_| gone())?
    }
}

/// A process that ends with the cluster it was started for; stopped when dropped.
pub struct Process {
    name: &'static str,
    child: Mutex<Child>,
    pid: u32,
    log: PathBuf,
}

impl Process {
    /// Starts the command with its output in the file `log`.
    ///
    /// # Errors
    /// If it cannot be run or the file cannot be written.
    pub fn start(
        spawner: &Spawner,
        name: &'static str,
        mut command: Command,
        log: PathBuf,
    ) -> anyhow::Result<Self> {
        let file = File::create(&log).map_err(on("create", &log))?;
        let copy = file.try_clone().map_err(on("write", &log))?;
        command.stdin(Stdio::null()).stdout(file).stderr(copy);
        #[cfg(target_os = "linux")]
        die_with_parent(&mut command);
        let child = spawner.spawn(command).map_err(on("run", Path::new(name)))?;
        Ok(Self { name, pid: child.id(), child: Mutex::new(child), log })
    }

    /// Its id.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// What it has written so far, to standard output and standard error.
    pub fn log(&self) -> String {
        std::fs::read(&self.log).map(|log| String::from_utf8_lossy(&log).into_owned()).unwrap_or_default()
    }

    /// The file that it writes to.
    pub fn log_file(&self) -> &Path {
        &self.log
    }

    /// Sends it a signal, unless it has ended.
    pub fn signal(&self, signal: Signal) {
        let mut child = self.child.lock().expect("no holder of this lock panics");
        // Under the lock: the id of a process that was waited for may be another's by now.
        if matches!(child.try_wait(), Ok(None)) {
            let _ = Pid::from_raw(self.pid.cast_signed()).map(|pid| kill_process(pid, signal));
        }
    }

    /// Its exit status, once it has ended.
    pub fn exit_status(&self) -> Option<ExitStatus> {
        self.child.lock().expect("no holder of this lock panics").try_wait().ok().flatten()
    }

    /// # Errors
    /// If the process has ended.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        if let Some(status) = self.exit_status() {
            bail!("cannot start {}: it ended with {status}; {}", self.name, self.end_of_log());
        }
        Ok(())
    }

    /// Waits until `ready`, asked again and again, says so.
    ///
    /// # Errors
    /// If the process ends, or that does not come to be.
    pub(crate) fn wait_until(&self, timeout: Duration, ready: impl Fn() -> bool) -> anyhow::Result<()> {
        let start = Instant::now();
        while !ready() {
            self.check()?;
            if start.elapsed() > timeout {
                let (seconds, end) = (timeout.as_secs(), self.end_of_log());
                bail!("cannot start {}: it is not ready after {seconds} s; {end}", self.name);
            }
            thread::sleep(POLL);
        }
        self.check()
    }

    fn end_of_log(&self) -> String {
        format!("the end of {}:\n{}", self.log.display(), tail(&self.log()))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let child = self.child.get_mut().expect("no holder of this lock panics");
        // `try_wait` first: the id of a process that was waited for may be another's by now.
        if !matches!(child.try_wait(), Ok(None)) {
            return;
        }
        let _ = kill_process(Pid::from_child(child), Signal::TERM);
        let start = Instant::now();
        while start.elapsed() < GRACE && matches!(child.try_wait(), Ok(None)) {
            thread::sleep(POLL);
        }
        let _ = child.kill();
        let _ = child.wait();
    }
}

#[cfg(target_os = "linux")]
#[allow(unsafe_code)]
fn die_with_parent(command: &mut Command) {
    use std::os::unix::process::CommandExt;

    // An interrupt from the terminal is for this process, which may have things to do before its
    // servers go. Elsewhere they share its group, since nothing but that interrupt would end them.
    command.process_group(0);
    let parent = rustix::process::getpid();
    // SAFETY: between fork and exec the closure makes two system calls and neither allocates nor
    // locks.
    unsafe {
        command.pre_exec(move || {
            rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
            // The parent may have died before the call above.
            if rustix::process::getppid() == Some(parent) {
                Ok(())
            } else {
                Err(rustix::io::Errno::SRCH.into())
            }
        });
    }
}
