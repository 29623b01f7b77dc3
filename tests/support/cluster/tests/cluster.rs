//! Clusters that really run.

use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use cluster::{Cluster, Options};
use harness::until;
use rustix::process::{Pid, test_kill_process};

const HOLD: &str = "CLUSTER_TEST_HOLD";

fn output(mut command: Command, args: &[&str]) -> Output {
    command.args(args).output().unwrap()
}

fn kubectl(cluster: &Cluster, args: &[&str]) -> String {
    let output = output(cluster.kubectl_command(), args);
    assert!(output.status.success(), "kubectl {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// A zombie is gone: the first process of a container may never reap it.
fn is_gone(pid: u32) -> bool {
    let zombie = std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| stat.contains(") Z "));
    zombie || test_kill_process(Pid::from_raw(pid.cast_signed()).unwrap()).is_err()
}

#[test]
fn two_clusters_run_side_by_side_and_leave_nothing_when_stopped() {
    let [one, other] = [(); 2]
        .map(|()| std::thread::spawn(|| Cluster::start(Options::default()).unwrap()))
        .map(|start| start.join().unwrap());
    assert_ne!(one.url(), other.url());

    kubectl(&one, &["create", "namespace", "only-in-one"]);
    assert!(kubectl(&one, &["get", "namespaces", "-o=name"]).contains("namespace/only-in-one"));
    assert!(!kubectl(&other, &["get", "namespaces", "-o=name"]).contains("namespace/only-in-one"));

    let pids = [one.pids(), other.pids()].concat();
    assert!(pids.contains(&one.api_server_pid()) && !pids.iter().copied().any(is_gone));
    let folders = [&one, &other].map(|cluster| cluster.admin_kubeconfig().parent().unwrap().to_owned());
    assert!(folders.iter().all(|folder| folder.join("kube-apiserver.log").is_file()));
    drop((one, other));
    assert!(pids.iter().copied().all(is_gone));
    assert!(!folders.iter().any(|folder| folder.exists()));
}

#[test]
fn a_service_account_may_do_only_what_its_roles_allow() {
    let cluster = Cluster::start(Options::default()).unwrap();
    kubectl(&cluster, &["create", "namespace", "fresh"]);
    kubectl(&cluster, &["create", "serviceaccount", "robot", "-n=fresh"]);
    let token = kubectl(&cluster, &["create", "token", "robot", "-n=fresh"]);
    let kubeconfig = cluster.kubeconfig_for("robot", &token).unwrap();
    let list = || {
        let mut command = cluster.kubectl_command();
        command.env("KUBECONFIG", &kubeconfig);
        output(command, &["get", "secrets", "-n=fresh"])
    };

    let refused = String::from_utf8(list().stderr).unwrap();
    assert!(
        refused.contains(r#"User "system:serviceaccount:fresh:robot" cannot list resource "secrets""#),
        "{refused}"
    );

    kubectl(&cluster, &["create", "role", "reader", "-n=fresh", "--verb=list", "--resource=secrets"]);
    kubectl(
        &cluster,
        &["create", "rolebinding", "robot", "-n=fresh", "--role=reader", "--serviceaccount=fresh:robot"],
    );
    until("the role takes effect", Duration::from_secs(10), || Ok(list().status.success())).unwrap();
}

#[test]
fn a_cluster_started_again_in_its_folder_has_its_objects() {
    let folder = tempfile::tempdir().unwrap();
    let options = Options { directory: Some(folder.path().to_owned()), ..Options::default() };
    let first = Cluster::start(options.clone()).unwrap();
    kubectl(&first, &["create", "namespace", "kept"]);
    drop(first);

    let second = Cluster::start(options).unwrap();
    kubectl(&second, &["get", "namespace", "kept"]);
}

#[test]
fn the_controller_manager_empties_namespaces_and_follows_owner_references() {
    let cluster = Cluster::start(Options::default()).unwrap();
    std::thread::scope(|scope| {
        let starts = [(); 2].map(|()| scope.spawn(|| cluster.start_controller_manager()));
        for start in starts {
            start.join().unwrap().unwrap();
        }
    });
    assert_eq!(cluster.pids().len(), 3);

    let create = |name: &str, extra: &[&str]| {
        kubectl(
            &cluster,
            &[&["create", "configmap", name, "-n=fresh", "-o=jsonpath={.metadata.uid}"], extra].concat(),
        )
    };
    kubectl(&cluster, &["create", "namespace", "fresh"]);
    let uid = create("owner", &[]);
    create("owned", &[]);
    let owner = format!(
        r#"{{"metadata":{{"ownerReferences":[{{"apiVersion":"v1","kind":"ConfigMap","name":"owner","uid":"{uid}"}}]}}}}"#
    );
    kubectl(&cluster, &["patch", "configmap", "owned", "-n=fresh", "-p", &owner]);
    kubectl(&cluster, &["delete", "configmap", "owner", "-n=fresh"]);
    let owned =
        || kubectl(&cluster, &["get", "configmap", "owned", "-n=fresh", "-o=name", "--ignore-not-found"]);
    until("what has lost its owner is removed", Duration::from_mins(1), || Ok(owned().is_empty())).unwrap();

    create("left", &[]);
    kubectl(&cluster, &["get", "serviceaccount", "default", "-n=fresh"]);
    kubectl(&cluster, &["delete", "namespace", "fresh", "--timeout=60s"]);
}

#[cfg(target_os = "linux")]
#[test]
fn a_killed_process_leaves_no_servers() {
    use std::io::{BufRead, BufReader};
    use std::process::Stdio;

    let mut holder = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "holds_a_cluster_until_killed", "--ignored", "--nocapture"])
        .env(HOLD, "")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(holder.stdout.take().unwrap()).lines().map_while(Result::ok);
    let said = lines.find_map(|line| line.strip_prefix("running: ").map(str::to_owned)).unwrap();
    let pids: Vec<u32> = said.split(' ').map(|pid| pid.parse().unwrap()).collect();
    assert!(pids.len() == 2 && !pids.iter().copied().any(is_gone));

    holder.kill().unwrap();
    holder.wait().unwrap();
    until("the servers are gone", Duration::from_secs(10), || Ok(pids.iter().copied().all(is_gone))).unwrap();
}

#[test]
#[ignore = "the process that another test kills"]
fn holds_a_cluster_until_killed() {
    if std::env::var_os(HOLD).is_some() {
        // From a thread that ends, as the thread of the first test that uses a shared cluster does.
        let cluster = std::thread::spawn(|| Cluster::start(Options::default()).unwrap()).join().unwrap();
        println!("\nrunning: {}", cluster.pids().iter().map(u32::to_string).collect::<Vec<_>>().join(" "));
        std::thread::sleep(Duration::from_mins(10));
    }
}

#[test]
fn a_failing_start_shows_the_log() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("etcd"), "not a folder").unwrap();
    let error = Cluster::start(Options { directory: Some(folder.path().to_owned()), ..Options::default() })
        .err()
        .unwrap()
        .to_string();
    assert!(error.starts_with("cannot start etcd: it ended with exit status"), "{error}");
    assert!(
        error.contains(&format!("the end of {}", Path::new(folder.path()).join("etcd.log").display())),
        "{error}"
    );
    assert!(error.contains("not a directory"), "{error}");
}
