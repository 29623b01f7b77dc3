//! A proxy between the operator and AWS: the SDK's rules, which docs/operating.md has, and what a pod has to put into `NO_PROXY`.

use anyhow::{Context, ensure};
use environment::{Asked, ForwardProxy, ProxyAnswer, ProxyProtocol};
use serde_json::Value;

use crate::credentials::{NO_KEYS, Source, issue};
use crate::harness::{World, has, printed, ran, tests};

tests![
    what_variables_and_no_proxy_mean_for_calls_to_aws,
    calls_pass_through_the_proxy_and_those_to_the_api_server_do_not,
    no_proxy_must_name_the_agent_of_pod_identity_where_there_is_a_proxy_for_http,
    no_proxy_must_name_the_instances_metadata_where_there_is_a_proxy_for_http,
];

/// Runs a check at an endpoint of AWS in an environment of its own, and returns the report.
fn check(endpoint: &str, env: &[(&str, &str)]) -> anyhow::Result<Value> {
    let arguments = ["check", "--work-group=spark-35", "--output=json", "--athena-timeout=5s"];
    let given = [("AWS_MAX_ATTEMPTS", "1"), ("AWS_ENDPOINT_URL", endpoint)];
    let output = ran(&arguments, &[&given, env].concat())?;
    serde_json::from_slice(&output.stdout).with_context(|| printed(&output))
}

/// Tells whether a call to an endpoint asks the proxy for it, with `PROXY` in the environment for the proxy's URL.
async fn asks_the_proxy(proxy: &ForwardProxy, endpoint: &str, env: &[(&str, &str)]) -> anyhow::Result<bool> {
    let (url, before) = (format!("http://{}", proxy.authority()), proxy.asked().len());
    let env: Vec<(String, String)> =
        env.iter().map(|(name, value)| ((*name).to_owned(), value.replace("PROXY", &url))).collect();
    let target = endpoint.to_owned();
    let report = tokio::task::spawn_blocking(move || {
        let env: Vec<(&str, &str)> =
            env.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        check(&target, &env)
    });
    ensure!(report.await??["ok"] == false, "{endpoint} was reached");
    let (_, authority) = endpoint.split_once("://").context("a URL")?;
    let is_https = endpoint.starts_with("https:");
    let protocol = if is_https { ProxyProtocol::Connect } else { ProxyProtocol::Plain };
    let asked = proxy.asked().split_off(before);
    let is_for_it = |asked: &Asked| asked.target.starts_with(authority) && asked.protocol == protocol;
    ensure!(asked.iter().all(is_for_it), "{asked:?}");
    Ok(!asked.is_empty())
}

async fn what_variables_and_no_proxy_mean_for_calls_to_aws(_world: World) -> anyhow::Result<()> {
    let proxy = ForwardProxy::start().await?;
    // What is refused there, and what is not asked for there and not to be had otherwise, is tried once.
    proxy.set_answer(ProxyAnswer::Refuse(403));
    // Nobody has a name in this domain, which is reserved.
    let (name, own_port) = ("athena.corp.example".to_owned(), "athena.corp.example:443".to_owned());
    let (named, exact, below) = (format!("https://{name}"), name.to_uppercase(), format!(".{name}"));
    // Nothing listens on the port of discard.
    let (v4, v6, local) = ("https://127.0.0.1:9", "https://[::1]:9", "https://localhost:9");
    for (endpoint, no_proxy, asks) in [
        (named.as_str(), "", true),
        (&named, "corp.example", false),
        (&named, &exact, false),
        (&named, ".corp.example", false),
        (&named, &below, false),
        (&named, "other.example, corp.example", false),
        (&named, "*", false),
        (&named, "*.corp.example", true),
        (&named, &own_port, true),
        (&named, "other.example corp.example", true),
        (&named, "example.corp,orp.example", true),
        (v4, "", true),
        (v4, "127.0.0.1", false),
        (v4, "127.0.0.0/8", false),
        (v4, "127.0.0.1:9", true),
        (v4, "127.", true),
        (v4, "127.*", true),
        (v4, "*", true),
        (v4, "localhost", true),
        (v6, "::1", false),
        (v6, "::/64", false),
        (v6, "[::1]", true),
        (local, "", true),
        (local, "localhost", false),
        (local, "127.0.0.0/8,::1", true),
    ] {
        let env = [("HTTPS_PROXY", "PROXY"), ("NO_PROXY", no_proxy)];
        let asked = asks_the_proxy(&proxy, endpoint, &env).await?;
        ensure!(asked == asks, "{endpoint} with NO_PROXY={no_proxy}: asks the proxy: {asked}");
    }

    let plain = "http://127.0.0.1:9";
    for (endpoint, env, asks) in [
        (v4, &[("https_proxy", "PROXY")][..], true),
        (v4, &[("ALL_PROXY", "PROXY")], true),
        (v4, &[("HTTP_PROXY", "PROXY")], false),
        (v4, &[("HTTPS_PROXY", "PROXY"), ("no_proxy", "127.0.0.1")], false),
        (v4, &[("HTTPS_PROXY", "PROXY"), ("NO_PROXY", ""), ("no_proxy", "127.0.0.1")], false),
        (v4, &[("HTTPS_PROXY", ""), ("https_proxy", "PROXY")], true),
        (v4, &[("HTTPS_PROXY", "PROXY"), ("REQUEST_METHOD", "GET")], false),
        (plain, &[("HTTP_PROXY", "PROXY")], true),
        (plain, &[("ALL_PROXY", "PROXY")], true),
        (plain, &[("HTTPS_PROXY", "PROXY")], false),
        (plain, &[("HTTP_PROXY", "PROXY"), ("NO_PROXY", "127.0.0.0/8")], false),
    ] {
        let asked = asks_the_proxy(&proxy, endpoint, env).await?;
        ensure!(asked == asks, "{endpoint} with {env:?}: asks the proxy: {asked}");
    }

    let refused =
        check(v4, &[("HTTPS_PROXY", "no URL")]).err().context("it is taken for a proxy")?.to_string();
    ensure!(refused.contains("`HTTPS_PROXY` is not the URL of a proxy"), "{refused}");

    // SOCKS: neither the proxy is asked, nor AWS directly.
    let socks = format!("socks5://{}", proxy.authority());
    let report = check(v4, &[("HTTPS_PROXY", &socks)])?;
    ensure!(report["problems"].to_string().contains("unsupported scheme socks5"), "{report:#}");
    Ok(())
}

async fn calls_pass_through_the_proxy_and_those_to_the_api_server_do_not(world: World) -> anyhow::Result<()> {
    let proxy = ForwardProxy::start().await?;
    let url = format!("http://user:canary@{}", proxy.authority());
    for no_proxy in ["", "127.0.0.0/8"] {
        let before = proxy.asked().len();
        let env = [("HTTP_PROXY", &*url), ("HTTPS_PROXY", &url), ("NO_PROXY", no_proxy)];
        let operator = world.operator_with(&[], &env)?;
        world.idle("one").await?;
        world.remove("one").await?;
        let asked = proxy.asked().split_off(before);
        let emulator = world.emulator.url().replace("http://", "");
        // `user:canary`
        let authorization = Some("Basic dXNlcjpjYW5hcnk=".to_owned());
        let athenas = Asked { protocol: ProxyProtocol::Plain, target: emulator, authorization };
        let as_expected =
            asked.is_empty() != no_proxy.is_empty() && asked.iter().all(|asked| *asked == athenas);
        ensure!(as_expected, "NO_PROXY={no_proxy}: {asked:?}");
        ensure!(!operator.raw_log().contains("canary"), "{}", operator.raw_log());
    }
    Ok(())
}

async fn no_proxy_must_name_the_agent_of_pod_identity_where_there_is_a_proxy_for_http(
    world: World,
) -> anyhow::Result<()> {
    issue(&world, "one", std::time::Duration::from_hours(1));
    let proxy = ForwardProxy::start().await?;
    // As it does for whoever asks for a link-local address.
    proxy.set_answer(ProxyAnswer::Refuse(403));
    // The agent by its address, and AWS by a name.
    let pod = Source::pod_identity(&world, "pod")?;
    let aws = world.emulator.url().replace("127.0.0.1", "localhost");
    let url = format!("http://{}", proxy.authority());
    let env = |variable, no_proxy| [&pod.env()[..], &[(variable, &*url), ("NO_PROXY", no_proxy)]].concat();
    for variable in ["HTTP_PROXY", "ALL_PROXY"] {
        let without = check(&aws, &env(variable, "localhost"))?;
        has(&without["problems"].to_string(), &["the operator has no AWS credentials"])?;
        let with = check(&aws, &env(variable, "localhost,127.0.0.1"))?;
        ensure!(with["ok"] == true, "{with:#}");
    }
    let asked = proxy.asked().len();
    // The agent speaks plain HTTP, AWS does not.
    let https_only = check(&aws, &env("HTTPS_PROXY", ""))?;
    ensure!(https_only["ok"] == true && proxy.asked().len() == asked, "{https_only:#}");
    Ok(())
}

async fn no_proxy_must_name_the_instances_metadata_where_there_is_a_proxy_for_http(
    _world: World,
) -> anyhow::Result<()> {
    let proxy = ForwardProxy::start().await?;
    proxy.set_answer(ProxyAnswer::Refuse(403));
    let url = format!("http://{}", proxy.authority());
    for (variable, no_proxy, asks) in [
        ("HTTP_PROXY", "", true),
        ("ALL_PROXY", "", true),
        ("HTTP_PROXY", "127.0.0.1", false),
        ("ALL_PROXY", "127.0.0.0/8", false),
        ("HTTPS_PROXY", "", false),
    ] {
        let before = proxy.asked().len();
        // Nothing listens on the port of discard, which stands for that of 169.254.169.254.
        let metadata = [
            ("AWS_EC2_METADATA_DISABLED", "false"),
            ("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://127.0.0.1:9"),
        ];
        let env = [&NO_KEYS[..], &metadata, &[(variable, &*url), ("NO_PROXY", no_proxy)]].concat();
        let report = check("https://localhost:9", &env)?;
        ensure!(report["problems"].to_string().contains("the operator has no AWS credentials"), "{report:#}");
        let is_metadata =
            |asked: &Asked| asked.target == "127.0.0.1:9" && asked.protocol == ProxyProtocol::Plain;
        let asked = proxy.asked()[before..].iter().any(is_metadata);
        ensure!(asked == asks, "{variable} with NO_PROXY={no_proxy}: asks the proxy: {asked}");
    }
    Ok(())
}
