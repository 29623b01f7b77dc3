//! The emulator as a process.

use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::client::control;

fn emulator(arguments: &[&str]) -> Child {
    Command::new(env!("CARGO_BIN_EXE_athena-emulator"))
        .args(arguments)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("a process")
}

async fn refused(arguments: &[&str]) -> String {
    let output = emulator(arguments).wait_with_output().await.expect("an end");
    assert!(!output.status.success());
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A file that is removed in the end.
struct File(std::path::PathBuf);

impl File {
    fn new(name: &str, text: &str) -> Self {
        let path = std::env::temp_dir().join(format!("athena-emulator-{}-{name}", std::process::id()));
        std::fs::write(&path, text).expect("a file");
        Self(path)
    }

    fn path(&self) -> &str {
        self.0.to_str().expect("a path")
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

#[tokio::test]
async fn it_says_where_it_listens_and_ends_when_told() {
    let config = File::new("good.yaml", "account: '123456789012'\n");
    for signal in [Signal::TERM, Signal::INT] {
        let mut child = emulator(&["--listen", "127.0.0.1:0", "--config", config.path()]);
        let mut lines = BufReader::new(child.stdout.take().expect("stdout")).lines();
        let line = lines.next_line().await.expect("a line").expect("a line");
        let url = line.strip_prefix("listening on ").expect("an address");
        let (status, found) = control(url, "GET", "config", "").await;
        assert_eq!((status, found["account"].as_str()), (200, Some("123456789012")));
        let pid = child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?)).expect("a pid");
        kill_process(pid, signal).expect("signalled");
        let ended = tokio::time::timeout(Duration::from_secs(10), child.wait()).await;
        assert!(ended.expect("in time").expect("an end").success());
    }
}

#[tokio::test]
async fn it_refuses_addresses_of_others_and_wrong_files() {
    let error = refused(&["--listen", "0.0.0.0:0"]).await;
    assert!(error.contains("--allow-remote"), "{error}");
    let config = File::new("bad.yaml", "acount: '1'\n");
    let error = refused(&["--listen", "127.0.0.1:0", "--config", config.path()]).await;
    assert!(error.contains("acount") && error.contains("bad.yaml"), "{error}");
    let error = refused(&["--config", "no-such-file.yaml"]).await;
    assert!(error.contains("no-such-file.yaml"), "{error}");
}
