//! How each server is started.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::access::{Access, answers, random_token, write_secret};
use crate::ports::{free_ports, listens};
use crate::process::{Process, Spawner};
use tools::on;

/// Many times what an idle machine needs, for one that builds something on all cores.
const TIMEOUT: Duration = Duration::from_mins(2);

/// Aggregation is what gives the roles `admin`, `edit` and `view` their rules.
const CONTROLLERS: &str = "--controllers=clusterrole-aggregation-controller,\
    garbage-collector-controller,namespace-controller,resourcequota-controller,\
    serviceaccount-controller";

/// The programs that every cluster needs.
pub(crate) struct Programs {
    pub(crate) etcd: PathBuf,
    pub(crate) kubectl: PathBuf,
    pub(crate) api_server: PathBuf,
}

/// An API server with its store.
pub(crate) struct Servers {
    // In the order of their end.
    pub(crate) api_server: Process,
    pub(crate) etcd: Process,
    pub(crate) access: Access,
}

/// The file of the audit log.
pub(crate) const AUDIT_LOG: &str = "audit.log";

/// Only what service accounts ask: the administrator's requests are many and prove nothing.
const AUDIT_POLICY: &str = r#"{"apiVersion":"audit.k8s.io/v1","kind":"Policy","omitStages":["RequestReceived"],
"rules":[{"level":"Metadata","userGroups":["system:serviceaccounts"]},{"level":"None"}]}"#;

/// Starts etcd and kube-apiserver, which serves requests when this returns.
pub(crate) fn start(
    programs: &Programs,
    spawner: &Spawner,
    folder: &Path,
    audit: bool,
) -> anyhow::Result<Servers> {
    let [client_port, peer_port, port] = free_ports()?;
    let etcd = start_etcd(&programs.etcd, spawner, folder, client_port, peer_port)?;

    let certificates = folder.join("certificates");
    let access = Access {
        kubectl: programs.kubectl.clone(),
        url: format!("https://127.0.0.1:{port}"),
        ca_file: certificates.join("apiserver.crt"),
        admin_kubeconfig: folder.join("admin.kubeconfig"),
        kubectl_cache: folder.join("kubectl"),
    };
    let token = random_token()?;
    let tokens = folder.join("tokens.csv");
    write_secret(&tokens, &format!("{token},admin,admin,system:masters\n"))?;
    access.write_kubeconfig(&access.admin_kubeconfig, "admin", &token)?;

    let key = certificates.join("apiserver.key");
    let mut command = Command::new(&programs.api_server);
    command
        .arg(format!("--etcd-servers=http://127.0.0.1:{client_port}"))
        .args(["--bind-address=127.0.0.1", "--advertise-address=127.0.0.1"])
        .arg(format!("--secure-port={port}"))
        // It would publish the address above as the endpoint of the service `kubernetes`, where no
        // loopback address is allowed.
        .arg("--endpoint-reconciler-type=none")
        .arg("--service-cluster-ip-range=10.0.0.0/24")
        // The server makes itself a certificate and its key there; it does so before it reads the
        // key of service accounts, which may hence be the same.
        .arg(flag("cert-dir", &certificates))
        .arg("--service-account-issuer=https://kubernetes.default.svc")
        .arg(flag("service-account-key-file", &key))
        .arg(flag("service-account-signing-key-file", &key))
        .arg(flag("token-auth-file", &tokens))
        .args(["--authorization-mode=RBAC", "--allow-privileged"])
        // A pod would need a service account, which nothing makes without kube-controller-manager.
        .arg("--disable-admission-plugins=ServiceAccount")
        // The defaults of 400 and 200 would be what a benchmark measures.
        .args(["--max-requests-inflight=3000", "--max-mutating-requests-inflight=1000"]);
    if audit {
        let policy = folder.join("audit-policy.json");
        std::fs::write(&policy, AUDIT_POLICY).map_err(on("write", &policy))?;
        command.arg(flag("audit-policy-file", &policy)).arg(flag("audit-log-path", &folder.join(AUDIT_LOG)));
    }
    let log = folder.join("kube-apiserver.log");
    let api_server = Process::start(spawner, "kube-apiserver", command, log)?;

    api_server.wait_until(TIMEOUT, || listens(port))?;
    // `default` is made only after the server calls itself ready.
    for path in ["/readyz", "/api/v1/namespaces/default"] {
        api_server.wait_until(TIMEOUT, || answers(access.kubectl_command(), path))?;
    }
    // Had another etcd taken its port, the API server would have found that one.
    etcd.check()?;
    Ok(Servers { api_server, etcd, access })
}

fn start_etcd(
    program: &Path,
    spawner: &Spawner,
    folder: &Path,
    client_port: u16,
    peer_port: u16,
) -> anyhow::Result<Process> {
    let client = format!("http://127.0.0.1:{client_port}");
    let peer = format!("http://127.0.0.1:{peer_port}");
    let mut command = Command::new(program);
    command
        .args(["--unsafe-no-fsync", "--log-level=warn", "--name=etcd"])
        .arg(flag("data-dir", &folder.join("etcd")))
        .args(["--listen-client-urls", &client, "--advertise-client-urls", &client])
        .args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer])
        .arg(format!("--initial-cluster=etcd={peer}"));
    let etcd = Process::start(spawner, "etcd", command, folder.join("etcd.log"))?;
    etcd.wait_until(TIMEOUT, || listens(client_port))?;
    Ok(etcd)
}

/// Starts kube-controller-manager, whose controllers run when this returns.
pub(crate) fn start_controller_manager(
    program: &Path,
    access: &Access,
    spawner: &Spawner,
    folder: &Path,
) -> anyhow::Result<Process> {
    let [port] = free_ports()?;
    let certificates = folder.join("controller-manager-certificates");
    let mut command = Command::new(program);
    command
        .arg(flag("kubeconfig", &access.admin_kubeconfig))
        .arg(CONTROLLERS)
        .args(["--leader-elect=false", "--use-service-account-credentials=false"])
        // The default of 20 a second would make a test that deletes many objects wait.
        .args(["--kube-api-qps=500", "--kube-api-burst=1000"])
        .args(["--bind-address=127.0.0.1", &format!("--secure-port={port}")])
        .arg(flag("cert-dir", &certificates));
    let log = folder.join("kube-controller-manager.log");
    let process = Process::start(spawner, "kube-controller-manager", command, log)?;

    process.wait_until(TIMEOUT, || listens(port))?;
    let certificate = certificates.join("kube-controller-manager.crt");
    process.wait_until(TIMEOUT, || {
        let mut kubectl = access.kubectl_command();
        kubectl
            .arg(format!("--server=https://127.0.0.1:{port}"))
            .arg(flag("certificate-authority", &certificate));
        answers(kubectl, "/healthz")
    })?;
    Ok(process)
}

fn flag(name: &str, path: &Path) -> OsString {
    let mut flag = OsString::from(format!("--{name}="));
    flag.push(path);
    flag
}
