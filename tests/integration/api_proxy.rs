//! A proxy between the operator and the API server of a kubeconfig: which one is used, what passes through it, and what is told when it fails.
//!
//! The API server of the tests listens on a loopback address, to which no variable has anybody take a proxy. So it gets a name that only a proxy knows.

use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;

use anyhow::{Context, ensure};
use environment::{Asked, ForwardProxy, Operator, ProxyAnswer, ProxyProtocol, Scope};
use serde_json::{Value, json};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::harness::{World, names, printed, ran, tests, until, until_logged};

tests![
    the_operator_takes_a_proxy_where_kubectl_does,
    https_proxy_leads_to_the_api_server_over_a_few_connections_of_http_2,
    proxy_url_counts_for_a_loopback_address_too_and_comes_before_the_variables,
    an_api_server_on_a_loopback_address_is_reached_directly,
    a_socks_proxy_looks_up_the_name_of_the_api_server,
    a_proxy_with_tls_is_verified_like_the_api_server,
    a_credential_plugin_works_behind_a_proxy,
    a_proxy_that_fails_is_told_with_its_setting_until_it_works,
    a_setting_that_is_not_the_url_of_a_proxy_ends_the_start_with_its_name,
];

const PASSWORD: &str = "canary-of-a-password";
/// `Basic` and base64 of `user:` and the password.
const AUTHORIZATION: &str = "Basic dXNlcjpjYW5hcnktb2YtYS1wYXNzd29yZA==";
/// Nobody but a proxy knows this name of the API server.
const NAME: &str = "api.test";

/// The kubeconfig of an operator, as a test changes it.
struct Kubeconfig {
    folder: tempfile::TempDir,
    content: Value,
    /// The API server's port.
    port: String,
}

impl Kubeconfig {
    fn of(world: &World) -> anyhow::Result<Self> {
        let own = world.stage().operator_kubeconfig(Scope::Namespace(&world.namespace))?;
        let content: Value = serde_json::from_str(&std::fs::read_to_string(own)?)?;
        let server = content["clusters"][0]["cluster"]["server"].as_str().context("a server")?;
        let port = server.rsplit(':').next().unwrap_or_default().to_owned();
        Ok(Self { folder: tempfile::tempdir()?, content, port })
    }

    /// Gives the API server a name that `proxy` knows.
    fn behind(world: &World, proxy: &ForwardProxy) -> anyhow::Result<Self> {
        let mut kubeconfig = Self::of(world)?;
        let name = kubeconfig.named();
        proxy.resolve(&name, &format!("127.0.0.1:{}", kubeconfig.port));
        let cluster = kubeconfig.cluster();
        cluster["server"] = json!(format!("https://{name}"));
        cluster["tls-server-name"] = json!("127.0.0.1");
        Ok(kubeconfig)
    }

    /// The API server, as [`Self::behind`] calls it.
    fn named(&self) -> String {
        format!("{NAME}:{}", self.port)
    }

    fn cluster(&mut self) -> &mut Value {
        &mut self.content["clusters"][0]["cluster"]
    }

    fn write(&self) -> anyhow::Result<String> {
        let file = self.folder.path().join("kubeconfig");
        std::fs::write(&file, self.content.to_string())?;
        Ok(file.display().to_string())
    }

    /// Starts an operator that has the kubeconfig, and waits until it is ready.
    fn operator(&self, world: &World, flags: &[&str], env: &[(&str, &str)]) -> anyhow::Result<Operator> {
        let file = self.write()?;
        world.operator_with(flags, &[&[("KUBECONFIG", file.as_str())], env].concat())
    }
}

/// The URL of `proxy` with a user and a password.
fn url(scheme: &str, proxy: &ForwardProxy) -> String {
    format!("{scheme}://user:{PASSWORD}@{}", proxy.authority())
}

/// Sees that the operator works, and does not print the password.
async fn works(world: &World, operator: &Operator, name: &str) -> anyhow::Result<()> {
    world.idle(name).await?;
    world.remove(name).await?;
    ensure!(
        !operator.raw_log().contains(PASSWORD) && !operator.raw_log().contains(AUTHORIZATION),
        "{}",
        operator.raw_log()
    );
    Ok(())
}

/// Sees that every connection was asked for like this.
fn all_are(
    asked: &[Asked],
    protocol: ProxyProtocol,
    target: &str,
    authorization: Option<&str>,
) -> anyhow::Result<()> {
    let expected =
        Asked { protocol, target: target.to_owned(), authorization: authorization.map(str::to_owned) };
    ensure!(!asked.is_empty() && asked.iter().all(|asked| *asked == expected), "{asked:?}");
    Ok(())
}

/// Runs kubectl with a kubeconfig in an environment, which fails.
fn run_kubectl(world: &World, kubeconfig: &str, env: &[(&str, &str)]) -> anyhow::Result<()> {
    let mut command = Command::new(world.stage().kubectl_program());
    command
        .args(["get", "--raw=/version", "--request-timeout=1s"])
        .env_clear()
        .env("KUBECONFIG", kubeconfig)
        .envs(env.iter().copied());
    let output = command.output().context("cannot run kubectl")?;
    ensure!(!output.status.success(), "kubectl reached the server");
    Ok(())
}

async fn the_operator_takes_a_proxy_where_kubectl_does(world: World) -> anyhow::Result<()> {
    let proxy = ForwardProxy::start().await?;
    proxy.set_answer(ProxyAnswer::Refuse(403));
    let url = format!("http://{}", proxy.authority());
    let without_scheme = proxy.authority();
    // No label of a name may have more than 63 letters, so that nobody is asked for it. 192.0.2.0/24 is nobody's.
    let label = "x".repeat(64);
    let (named, plain) =
        (format!("https://{label}.corp.example:6443"), format!("http://{label}.corp.example:8001"));
    let (exact, own_port) = (format!("{label}.CORP.example"), format!("{label}.corp.example:6443"));
    let (below, address, loopback) =
        (format!(".{label}.corp.example"), "https://192.0.2.1:6443", "https://127.0.0.1:9");
    let no_proxy =
        |server, list, asks| (server, None, vec![("HTTPS_PROXY", url.as_str()), ("NO_PROXY", list)], asks);
    let cases = [
        no_proxy(named.as_str(), "", true),
        no_proxy(&named, "corp.example", false),
        no_proxy(&named, ".corp.example", false),
        no_proxy(&named, "*.corp.example", false),
        no_proxy(&named, &exact, false),
        no_proxy(&named, &below, true),
        no_proxy(&named, &own_port, false),
        no_proxy(&named, "corp.example:443", true),
        no_proxy(&named, "other.example, corp.example", false),
        no_proxy(&named, "other.example corp.example", true),
        no_proxy(&named, "orp.example", true),
        no_proxy(&named, "*", false),
        // It is about servers, not about the proxy.
        no_proxy(&named, "127.0.0.1", true),
        no_proxy(address, "192.0.2.1", false),
        no_proxy(address, "192.0.2.0/24", false),
        no_proxy(address, "192.0.2.1:6443", false),
        no_proxy(address, "192.0.2.1:443", true),
        no_proxy(address, "192.0.2.", true),
        no_proxy(address, "*", false),
        no_proxy(loopback, "", false),
        no_proxy("https://localhost:9", "", false),
        no_proxy("https://[::1]:9", "", false),
        (&named, None, vec![("https_proxy", &url), ("no_proxy", "other.example")], true),
        (&named, None, vec![("HTTPS_PROXY", ""), ("https_proxy", &url)], true),
        (&named, None, vec![("HTTPS_PROXY", &url), ("NO_PROXY", ""), ("no_proxy", "corp.example")], false),
        (&named, None, vec![("HTTPS_PROXY", &without_scheme)], true),
        (&named, None, vec![("HTTP_PROXY", &url), ("ALL_PROXY", &url)], false),
        (&plain, None, vec![("HTTPS_PROXY", &url)], false),
        (&plain, None, vec![("HTTP_PROXY", &url)], true),
        (loopback, Some(&url), vec![("NO_PROXY", "*")], true),
        (&named, Some(&url), vec![("HTTPS_PROXY", "http://127.0.0.1:9"), ("NO_PROXY", "corp.example")], true),
    ];
    for (server, proxy_url, env, asks) in cases {
        let mut kubeconfig = Kubeconfig::of(&world)?;
        let cluster = kubeconfig.cluster();
        (cluster["server"], cluster["proxy-url"]) = (json!(server), json!(proxy_url));
        // That of a label so long is none.
        cluster["tls-server-name"] = json!("127.0.0.1");
        let file = kubeconfig.write()?;
        let (_, authority) = server.split_once("://").context("a URL")?;
        let count = || proxy.asked().iter().filter(|asked| asked.target == authority).count();
        let before = count();
        run_kubectl(&world, &file, &env)?;
        let by_kubectl = count();
        let told = format!("{server} {proxy_url:?} {env:?}");
        ensure!((by_kubectl > before) == asks, "{told}: kubectl has asked for {:?}", proxy.asked());
        let env_of_operator = [&[("KUBECONFIG", file.as_str())], &env[..]].concat();
        let operator = world.unready_operator(&["--kubernetes-timeout=1s"], &env_of_operator)?;
        until_logged(&operator, "failed to perform initial object list").await?;
        ensure!((count() > by_kubectl) == asks, "{told}: {}", operator.raw_log());
    }
    Ok(())
}

async fn https_proxy_leads_to_the_api_server_over_a_few_connections_of_http_2(
    world: World,
) -> anyhow::Result<()> {
    let proxy = ForwardProxy::start().await?;
    let kubeconfig = Kubeconfig::behind(&world, &proxy)?;
    let flags = ["--log=trace", "--leader-election=true", &format!("--lease-namespace={}", world.namespace)];
    let operator = kubeconfig.operator(&world, &flags, &[("HTTPS_PROXY", &url("http", &proxy))])?;
    world.all_idle(&names("one-of-many", 10)).await?;
    works(&world, &operator, "one").await?;
    let asked = proxy.asked();
    all_are(&asked, ProxyProtocol::Connect, &kubeconfig.named(), Some(AUTHORIZATION))?;
    // One for all requests of the leader, and two for the lease.
    ensure!(asked.len() <= 3, "{} connections", asked.len());
    let told = |line: &Value| line["proxy"] == proxy.authority() && line["setting"] == "HTTPS_PROXY";
    ensure!(operator.log().iter().filter(|line| told(line)).count() == 1, "{}", operator.raw_log());
    Ok(())
}

async fn proxy_url_counts_for_a_loopback_address_too_and_comes_before_the_variables(
    world: World,
) -> anyhow::Result<()> {
    let (proxy, other) = (ForwardProxy::start().await?, ForwardProxy::start().await?);
    let mut kubeconfig = Kubeconfig::of(&world)?;
    kubeconfig.cluster()["proxy-url"] = json!(url("http", &proxy));
    let operator =
        kubeconfig.operator(&world, &[], &[("HTTPS_PROXY", &url("http", &other)), ("NO_PROXY", "*")])?;
    works(&world, &operator, "one").await?;
    let target = format!("127.0.0.1:{}", kubeconfig.port);
    all_are(&proxy.asked(), ProxyProtocol::Connect, &target, Some(AUTHORIZATION))?;
    ensure!(other.asked().is_empty(), "{:?}", other.asked());
    Ok(())
}

async fn an_api_server_on_a_loopback_address_is_reached_directly(world: World) -> anyhow::Result<()> {
    let proxy = ForwardProxy::start().await?;
    proxy.set_answer(ProxyAnswer::Refuse(403));
    let operator = Kubeconfig::of(&world)?.operator(&world, &[], &[("HTTPS_PROXY", &url("http", &proxy))])?;
    works(&world, &operator, "one").await?;
    ensure!(proxy.asked().is_empty(), "{:?}", proxy.asked());
    Ok(())
}

async fn a_socks_proxy_looks_up_the_name_of_the_api_server(world: World) -> anyhow::Result<()> {
    let proxy = ForwardProxy::start().await?;
    let mut kubeconfig = Kubeconfig::behind(&world, &proxy)?;
    let operator =
        kubeconfig.operator(&world, &[], &[("HTTPS_PROXY", &format!("socks5://{}", proxy.authority()))])?;
    works(&world, &operator, "without-a-password").await?;
    all_are(&proxy.asked(), ProxyProtocol::Socks, &kubeconfig.named(), None)?;
    drop(operator);
    let before = proxy.asked().len();
    kubeconfig.cluster()["proxy-url"] = json!(url("socks5", &proxy));
    let operator = kubeconfig.operator(&world, &[], &[])?;
    works(&world, &operator, "with-a-password").await?;
    let password = format!("user:{PASSWORD}");
    all_are(&proxy.asked()[before..], ProxyProtocol::Socks, &kubeconfig.named(), Some(&password))
}

/// Ends TLS with the certificate of the API server, and passes on what comes. Returns the port.
async fn with_tls(world: &World, proxy: &ForwardProxy) -> anyhow::Result<u16> {
    let cluster = world.stage().cluster().context("an API server whose key can be read")?;
    let certificate = CertificateDer::from_pem_file(cluster.ca_file())?;
    let key = PrivateKeyDer::from_pem_file(cluster.ca_file().with_extension("key"))?;
    let acceptor = TlsAcceptor::from(Arc::new(
        ServerConfig::builder().with_no_client_auth().with_single_cert(vec![certificate], key)?,
    ));
    let listener = TcpListener::bind("0.0.0.0:0").await?;
    let (port, proxy) = (listener.local_addr()?.port(), proxy.authority());
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let (acceptor, proxy) = (acceptor.clone(), proxy.clone());
            tokio::spawn(async move {
                let (mut client, mut proxy) =
                    (acceptor.accept(client).await?, TcpStream::connect(proxy).await?);
                copy_bidirectional(&mut client, &mut proxy).await
            });
        }
    });
    Ok(port)
}

async fn a_proxy_with_tls_is_verified_like_the_api_server(world: World) -> anyhow::Result<()> {
    let proxy = ForwardProxy::start().await?;
    let mut kubeconfig = Kubeconfig::behind(&world, &proxy)?;
    let port = with_tls(&world, &proxy).await?;
    kubeconfig.cluster()["proxy-url"] = json!(format!("https://user:{PASSWORD}@127.0.0.1:{port}"));
    let operator = kubeconfig.operator(&world, &[], &[])?;
    works(&world, &operator, "one").await?;
    all_are(&proxy.asked(), ProxyProtocol::Connect, &kubeconfig.named(), Some(AUTHORIZATION))?;
    drop(operator);

    // The certificate is another address's: nobody is asked for anything.
    let before = proxy.asked().len();
    kubeconfig.cluster()["proxy-url"] = json!(format!("https://127.0.0.2:{port}"));
    let file = kubeconfig.write()?;
    let operator = world.unready_operator(&[], &[("KUBECONFIG", &file)])?;
    let told = format!("through the proxy 127.0.0.2:{port} of proxy-url in the kubeconfig: ");
    until("the certificate is told", || {
        operator.raw_log().lines().any(|line| line.contains(&told) && line.contains("certificate"))
    })
    .await?;
    ensure!(proxy.asked().len() == before, "{:?}", proxy.asked());
    Ok(())
}

async fn a_credential_plugin_works_behind_a_proxy(world: World) -> anyhow::Result<()> {
    let proxy = ForwardProxy::start().await?;
    let mut kubeconfig = Kubeconfig::behind(&world, &proxy)?;
    let reply: PathBuf = kubeconfig.folder.path().join("reply");
    let version = "client.authentication.k8s.io/v1";
    let token = kubeconfig.content["users"][0]["user"]["token"].take();
    let credential = json!({ "apiVersion": version, "kind": "ExecCredential", "status": { "token": token } });
    std::fs::write(&reply, credential.to_string())?;
    let plugin =
        json!({ "apiVersion": version, "command": "cat", "args": [reply], "interactiveMode": "Never" });
    kubeconfig.content["users"][0]["user"] = json!({ "exec": plugin });
    let operator = kubeconfig.operator(&world, &[], &[("https_proxy", &url("http", &proxy))])?;
    works(&world, &operator, "one").await?;
    all_are(&proxy.asked(), ProxyProtocol::Connect, &kubeconfig.named(), Some(AUTHORIZATION))?;
    ensure!(proxy.asked().len() == 1, "{:?}", proxy.asked());
    Ok(())
}

async fn a_proxy_that_fails_is_told_with_its_setting_until_it_works(world: World) -> anyhow::Result<()> {
    for (number, (answer, cause)) in [
        (ProxyAnswer::Refuse(407), ": tunnel error: proxy authorization required"),
        (ProxyAnswer::Refuse(403), ": tunnel error: unsuccessful"),
        (ProxyAnswer::Silence, ""),
    ]
    .into_iter()
    .enumerate()
    {
        let proxy = ForwardProxy::start().await?;
        proxy.set_answer(answer);
        let kubeconfig = Kubeconfig::behind(&world, &proxy)?;
        let file = kubeconfig.write()?;
        let env = [("KUBECONFIG", file.as_str()), ("HTTPS_PROXY", &url("http", &proxy))];
        let operator = world.unready_operator(&["--kubernetes-timeout=1s"], &env)?;
        let begin = if answer == ProxyAnswer::Silence {
            "no reply within 1s".to_owned()
        } else {
            format!("no connection to {}", kubeconfig.named())
        };
        let told = format!("{begin} through the proxy {} of HTTPS_PROXY{cause}", proxy.authority());
        until(&told, || operator.raw_log().contains(&told) && proxy.asked().len() > 1).await?;
        proxy.set_answer(ProxyAnswer::Pass);
        operator.wait_until_ready()?;
        works(&world, &operator, &format!("one-{number}")).await?;
    }
    Ok(())
}

async fn a_setting_that_is_not_the_url_of_a_proxy_ends_the_start_with_its_name(
    world: World,
) -> anyhow::Result<()> {
    let bad = format!("ftp://user:{PASSWORD}@proxy:3128");
    let mut kubeconfig = Kubeconfig::of(&world)?;
    let run = |code: i32, file: String, env: &[(&str, &str)]| -> anyhow::Result<String> {
        let output = ran(&["run"], &[&[("KUBECONFIG", &*file)], env].concat())?;
        ensure!(output.status.code() == Some(code), "{}", output.status);
        Ok(printed(&output))
    };
    let told = |text: &str, setting: &str| {
        ensure!(
            text.contains(setting) && text.contains(" is not the URL of a proxy") && !text.contains(PASSWORD),
            "{text}"
        );
        Ok(())
    };
    for name in ["HTTPS_PROXY", "https_proxy"] {
        told(&run(2, kubeconfig.write()?, &[(name, &bad)])?, name)?;
    }
    kubeconfig.cluster()["proxy-url"] = json!(bad);
    // The kubeconfig is not given up for the service account of a pod.
    let pod = [("KUBERNETES_SERVICE_HOST", "127.0.0.1"), ("KUBERNETES_SERVICE_PORT", "1")];
    for env in [&[("HTTPS_PROXY", "http://127.0.0.1:9")][..], &pod] {
        told(&run(1, kubeconfig.write()?, env)?, "proxy-url in the kubeconfig")?;
    }
    Ok(())
}
