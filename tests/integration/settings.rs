//! Environment variables: an empty value is none, a wrong one is refused by the name of its variable, and none ends the process with a panic.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::process::CommandExt;
use std::process::{Command, Output};

use anyhow::{Context, ensure};
use athena_operator::env_vars::{Kind, VARIABLES, Variable};
use serde_json::{Value, json};

use crate::harness::{World, printed, program, tests, until};

tests![
    a_wrong_value_of_any_variable_is_refused_by_its_name,
    a_word_where_something_else_is_expected_is_refused_by_the_name_of_its_variable,
    an_empty_value_of_any_variable_is_none,
    an_empty_variable_of_run_is_none,
    a_variable_that_is_not_read_is_not_looked_at,
    the_process_that_starts_again_without_empty_variables_is_the_same,
    a_kubeconfig_that_cannot_be_used_shows_no_secret,
];

/// Stands in each value that is wrong, and may stand in nothing that is printed.
pub(crate) const CANARY: &str = "canary-value";

/// Subcommand and arguments of a process that reads a variable.
fn reader(variable: &Variable) -> &'static [&'static str] {
    const OF_CHECK: [&str; 3] =
        ["ATHENA_OPERATOR_EXECUTION_ROLE", "ATHENA_OPERATOR_OUTPUT", "ATHENA_OPERATOR_WORK_GROUPS"];
    match variable.name {
        "ATHENA_OPERATOR_WORK_GROUPS" => &["check"],
        "ATHENA_OPERATOR_LISTEN" => &["run"],
        name if variable.of_cluster || (variable.kind == Kind::Flag && !OF_CHECK.contains(&name)) => {
            &["run", "--listen=127.0.0.1:0"]
        }
        _ => &["check", "--work-group=spark-35"],
    }
}

/// The operator in an environment that has what it needs and `env`. Nothing that is unset leads it out of this machine.
fn command(world: &World, arguments: &[&str], env: &[(&str, OsString)]) -> Command {
    let mut command = program(arguments, &[("AWS_DEFAULT_REGION", "eu-west-1")]);
    let endpoints = ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_ATHENA", "AWS_ENDPOINT_URL_STS"];
    command.envs(endpoints.map(|name| (name, world.emulator.url())));
    command.envs(env.iter().map(|(name, value)| (name, value)));
    command
}

/// What a process prints that ends by itself.
pub(crate) fn ended(
    world: &World,
    arguments: &[&str],
    env: &[(&str, OsString)],
) -> anyhow::Result<(Output, String)> {
    let output = command(world, arguments, env).output().context("cannot run the operator")?;
    let printed = printed(&output);
    ensure!(!printed.contains("panic") && !printed.contains("stack backtrace"), "{env:?}: {printed}");
    Ok((output, printed))
}

/// Sees that a value is refused at the start, by a line that names its variable.
fn is_refused(world: &World, variable: &Variable, value: impl Into<OsString>) -> anyhow::Result<()> {
    let name = variable.name.replace('*', "VERBOSE");
    let env = [(name.as_str(), value.into())];
    let (output, printed) = ended(world, reader(variable), &env)?;
    ensure!(output.status.code() == Some(2), "{env:?}: {} {printed}", output.status);
    ensure!(printed.lines().any(|line| line.contains(&name)), "{env:?} is not named: {printed}");
    ensure!(variable.kind == Kind::Flag || !printed.contains(CANARY), "{env:?}: {printed}");
    Ok(())
}

fn is_looked_at(variable: &Variable) -> bool {
    !matches!(variable.kind, Kind::Anything | Kind::Unchecked(_))
}

async fn a_wrong_value_of_any_variable_is_refused_by_its_name(world: World) -> anyhow::Result<()> {
    for variable in VARIABLES.iter().filter(|variable| is_looked_at(variable)) {
        for wrong in ["\n", "\u{1}", " "] {
            is_refused(&world, variable, format!("{CANARY}{wrong}"))?;
        }
        is_refused(&world, variable, OsString::from_vec([CANARY.as_bytes(), &[0xff]].concat()))?;
    }
    ensure!(world.emulator.calls().is_empty(), "{:?}", world.emulator.calls());
    Ok(())
}

async fn a_word_where_something_else_is_expected_is_refused_by_the_name_of_its_variable(
    world: World,
) -> anyhow::Result<()> {
    /// Flags that take a word.
    const WORDS: [&str; 4] = ["LEASE_NAME", "LEASE_NAMESPACE", "NAMESPACES", "WORK_GROUPS"];
    let takes_a_word = |variable: &Variable| match variable.kind {
        Kind::Flag => WORDS.iter().any(|flag| variable.name == format!("ATHENA_OPERATOR_{flag}")),
        Kind::Text | Kind::Header | Kind::Key | Kind::SecretKey | Kind::SecretHeader => true,
        Kind::Region | Kind::Regions | Kind::RoleSession | Kind::AppName | Kind::Proxy | Kind::Host => true,
        _ => false,
    };
    let mut refused = 0;
    for variable in
        VARIABLES.iter().filter(|variable| is_looked_at(variable)).filter(|variable| !takes_a_word(variable))
    {
        is_refused(&world, variable, CANARY)?;
        refused += 1;
    }
    ensure!(refused > 40, "{refused}");
    for (name, wrong) in [
        ("AWS_MAX_ATTEMPTS", "0"),
        ("AWS_REGION", "eu west"),
        ("AWS_REGION", "eu-west-1."),
        ("AWS_ACCESS_KEY_ID", "two words"),
        ("AWS_ENDPOINT_URL", "localhost:4566"),
        ("AWS_ENDPOINT_URL_ATHENA", "http://user:canary-value@127.0.0.1"),
        ("HTTPS_PROXY", "ftp://user:canary-value@proxy"),
        ("KUBERNETES_SERVICE_PORT", "0"),
        ("TOKIO_WORKER_THREADS", "0"),
        ("RUST_MIN_STACK", "9223372036854775807"),
        ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "http://169.254.170.2/"),
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", "127.0.0.1:80"),
    ] {
        is_refused(&world, Variable::named(name).context(name)?, wrong)?;
    }
    ensure!(world.emulator.calls().is_empty(), "{:?}", world.emulator.calls());
    Ok(())
}

async fn an_empty_value_of_any_variable_is_none(world: World) -> anyhow::Result<()> {
    // aws-lc reads these before the operator's first line.
    let is_ours = |variable: &&Variable| !["OPENSSL_armcap", "OPENSSL_ia32cap"].contains(&variable.name);
    for variable in VARIABLES.iter().filter(is_ours).filter(|variable| reader(variable)[0] == "check") {
        let name = variable.name.replace('*', "VERBOSE");
        let (output, printed) = ended(&world, reader(variable), &[(&name, "".into())])?;
        let (status, told) = match name.as_str() {
            "AWS_ACCESS_KEY_ID" | "AWS_SECRET_ACCESS_KEY" => (1, "the operator has no AWS credentials"),
            "ATHENA_OPERATOR_WORK_GROUPS" => (2, "--work-group"),
            _ => (0, "eu-west-1"),
        };
        let is_as_expected = output.status.code() == Some(status) && printed.contains(told);
        ensure!(is_as_expected, "{name}: {} {printed}", output.status);
    }
    let none = [("AWS_REGION", "".into()), ("AWS_DEFAULT_REGION", "".into())];
    let (output, printed) = ended(&world, &["check", "--work-group=spark-35"], &none)?;
    ensure!(output.status.code() == Some(1) && printed.contains("set AWS_REGION"), "{printed}");
    Ok(())
}

/// A kubeconfig of an API server that does not answer.
fn without_api_server() -> anyhow::Result<(tempfile::TempDir, OsString)> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("kubeconfig");
    let named = |kind: &str, content: Value| json!([{ "name": "none", kind: content }]);
    let kubeconfig = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "none",
        // Nothing listens on the port of discard.
        "clusters": named("cluster", json!({ "server": "http://127.0.0.1:9" })),
        "users": named("user", json!({})),
        "contexts": named("context", json!({ "cluster": "none", "user": "none", "namespace": "default" })),
    });
    std::fs::write(&file, kubeconfig.to_string())?;
    Ok((folder, file.into_os_string()))
}

async fn an_empty_variable_of_run_is_none(world: World) -> anyhow::Result<()> {
    let (folder, kubeconfig) = without_api_server()?;
    std::fs::create_dir(folder.path().join(".kube"))?;
    std::fs::copy(folder.path().join("kubeconfig"), folder.path().join(".kube/config"))?;
    for variable in VARIABLES.iter().filter(|variable| reader(variable)[0] == "run") {
        let home = ("HOME", folder.path().as_os_str().to_owned());
        let env = [home, ("KUBECONFIG", kubeconfig.clone()), (variable.name, "".into())];
        let process = world.stage().spawn("athena-operator", command(&world, reader(variable), &env))?;
        // The default is taken, whether or not it is free on this machine.
        let is_started = |log: &str| {
            log.contains("\"message\":\"starting\"") || log.contains("cannot listen on 0.0.0.0:8080")
        };
        let is_decided = || is_started(&process.log()) || process.exit_status().is_some();
        until(&format!("{} is unset", variable.name), is_decided).await?;
        ensure!(is_started(&process.log()), "{}: {}", variable.name, process.log());
    }
    Ok(())
}

async fn a_variable_that_is_not_read_is_not_looked_at(world: World) -> anyhow::Result<()> {
    for variable in VARIABLES.iter().filter(|variable| !is_looked_at(variable)) {
        let env = [(variable.name, OsString::from_vec(b"canary-value\xff\n".to_vec()))];
        let (output, printed) = ended(&world, reader(variable), &env)?;
        ensure!(output.status.success() && !printed.contains(CANARY), "{}: {printed}", variable.name);
    }
    for arguments in [&["crd"][..], &["run", "--help"], &["--version"]] {
        let env = [
            ("AWS_MAX_ATTEMPTS", "0".into()),
            ("AWS_ENDPOINT_URL", "".into()),
            ("ATHENA_OPERATOR_CONCURRENCY", "many".into()),
        ];
        let (output, printed) = ended(&world, arguments, &env)?;
        ensure!(output.status.success(), "{arguments:?}: {printed}");
    }
    let of_cluster =
        [("KUBERNETES_SERVICE_PORT", "many".into()), ("ATHENA_OPERATOR_CONCURRENCY", "many".into())];
    let (output, printed) = ended(&world, &["check", "--work-group=spark-35"], &of_cluster)?;
    ensure!(output.status.success(), "{printed}");
    let flag = [("ATHENA_OPERATOR_OUTPUT", "\n".into())];
    let (output, printed) = ended(&world, &["check", "--work-group=spark-35", "--output=json"], &flag)?;
    ensure!(output.status.success(), "a flag wins over its variable: {printed}");
    Ok(())
}

async fn the_process_that_starts_again_without_empty_variables_is_the_same(
    world: World,
) -> anyhow::Result<()> {
    let (_folder, kubeconfig) = without_api_server()?;
    let arguments = ["run", "--listen=127.0.0.1:0", "--log=warn,athena_operator=info", "--namespaces=a"];
    let env = [
        ("KUBECONFIG", kubeconfig),
        ("AWS_PROFILE", "".into()),
        ("SOMETHING_ELSE", "".into()),
        ("ATHENA_OPERATOR_LEASE_NAMESPACE", "".into()),
    ];
    let mut command = command(&world, &arguments, &env);
    command.arg0("a name");
    let process = world.stage().spawn("athena-operator", command)?;
    let is_started = || process.log().contains("\"message\":\"starting\"");
    until("it has started", || is_started() || process.exit_status().is_some()).await?;
    let of_process = |file: &str| {
        std::fs::read_to_string(format!("/proc/{}/{file}", process.pid())).context(process.log())
    };
    let expected: String =
        [&["a name"], &arguments[..]].concat().iter().flat_map(|argument| [*argument, "\0"]).collect();
    ensure!(of_process("cmdline")? == expected, "{:?}", of_process("cmdline")?);
    let environment = of_process("environ")?;
    let names: Vec<&str> =
        environment.split('\0').filter_map(|variable| Some(variable.split_once('=')?.0)).collect();
    for (name, is_kept) in [
        ("AWS_PROFILE", false),
        ("ATHENA_OPERATOR_LEASE_NAMESPACE", false),
        ("SOMETHING_ELSE", true),
        ("AWS_REGION", true),
    ] {
        ensure!(names.contains(&name) == is_kept, "{name}: {names:?}");
    }
    Ok(())
}

async fn a_kubeconfig_that_cannot_be_used_shows_no_secret(world: World) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("kubeconfig");
    let cluster = "clusters: [{name: a, cluster: {server: 'http://127.0.0.1:9'}}]\ncontexts: [{name: a, context: {cluster: a, user: a}}]\ncurrent-context: a\n";
    for (user, problem) in [
        ("    token: canary-value\n   password: canary-value\n", "cannot find a Kubernetes cluster: "),
        ("    token: [canary-value]\n", "cannot find a Kubernetes cluster: "),
        ("    token: \"canary-value\\n\"\n", "the token of the kubeconfig's user ends in a newline"),
        ("    token: \"canary-value\\a\"\n", "the kubeconfig's user has a control character in it"),
    ] {
        let text = format!("apiVersion: v1\nkind: Config\n{cluster}users:\n- name: a\n  user:\n{user}");
        std::fs::write(&file, text)?;
        let env = [("KUBECONFIG", file.clone().into_os_string())];
        let (output, printed) = ended(&world, &["run", "--listen=127.0.0.1:0"], &env)?;
        ensure!(output.status.code() == Some(1) && printed.contains(problem), "{printed}");
        ensure!(!printed.contains(CANARY), "{printed}");
    }
    Ok(())
}
