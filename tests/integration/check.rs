//! `athena-operator check`: what it says of each permission, and that it starts nothing.

use std::process::Output;

use anyhow::{Context, ensure};
use athena_emulator::FaultKind;
use serde_json::{Value, json};

use crate::harness::{World, failure, has, printed, program, tests};

tests![
    with_all_permissions_nothing_is_missing,
    each_permission_that_is_missing_is_told_with_its_statement,
    a_start_that_is_refused_before_the_permission_is_looked_at_proves_nothing,
    a_policy_that_names_its_work_groups_proves_that_starts_are_allowed,
    a_role_that_may_not_be_passed_is_told,
    a_work_group_that_cannot_run_sessions_is_told,
    without_valid_credentials_nothing_is_said_of_permissions,
    an_endpoint_of_another_region_is_told,
    an_answer_that_does_not_come_is_no_permission,
    without_a_region_or_a_work_group_it_says_what_to_set,
    people_read_a_table,
];

const ACTIONS: [&str; 7] = [
    "GetSession",
    "GetSessionStatus",
    "GetWorkGroup",
    "ListSessions",
    "StartSession",
    "TagResource",
    "TerminateSession",
];
const GROUP: &str = "arn:aws:athena:eu-west-1:000000000000:workgroup/spark-35";

/// Runs a check in the environment of `env`, where an empty value stands for none.
fn run(world: &World, arguments: &[&str], env: &[(&str, &str)]) -> anyhow::Result<Output> {
    let mut command =
        program(&[&["check"], arguments].concat(), &[("AWS_ENDPOINT_URL", &world.emulator.url())]);
    for (name, value) in env {
        if value.is_empty() {
            command.env_remove(name)
        } else {
            command.env(name, value)
        };
    }
    command.output().context("cannot run the operator")
}

/// The report on the work group `spark-35`, and whether it says that nothing is missing; the exit status says so too, and no session was started.
fn report(world: &World, arguments: &[&str], env: &[(&str, &str)]) -> anyhow::Result<(Value, bool)> {
    let output = run(world, &[&["--output=json", "--work-group=spark-35"], arguments].concat(), env)?;
    let (text, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let report: Value = serde_json::from_str(&text).with_context(|| format!("{text}{errors}"))?;
    let ok = report["ok"] == true;
    ensure!(output.status.code() == Some(i32::from(!ok)), "{} {text}", output.status);
    starts_nothing(world)?;
    Ok((report, ok))
}

fn starts_nothing(world: &World) -> anyhow::Result<()> {
    ensure!(world.emulator.sessions().is_empty(), "{:?}", world.emulator.sessions());
    let changes = world.emulator.calls().into_iter().filter(|call| {
        let changing = ["StartSession", "TerminateSession", "TagResource"].contains(&call.operation.as_str());
        changing && serde_json::to_value(&call.outcome).is_ok_and(|outcome| outcome == "ok")
    });
    ensure!(changes.count() == 0, "{:?}", world.emulator.calls());
    Ok(())
}

/// The actions with this verdict, in order.
fn with_verdict(report: &Value, verdict: &str) -> Vec<String> {
    let permissions = report["permissions"].as_array().into_iter().flatten();
    let own = permissions.filter(|permission| permission["verdict"] == verdict);
    let mut actions: Vec<String> =
        own.filter_map(|permission| permission["action"].as_str().map(str::to_owned)).collect();
    actions.sort_unstable();
    actions
}

fn of<'a>(report: &'a Value, action: &str) -> anyhow::Result<&'a Value> {
    let mut permissions = report["permissions"].as_array().context("permissions")?.iter();
    permissions
        .find(|permission| permission["action"] == action)
        .with_context(|| format!("{action} in {report:#}"))
}

async fn with_all_permissions_nothing_is_missing(world: World) -> anyhow::Result<()> {
    let (report, ok) = report(&world, &[], &[])?;
    ensure!(ok, "{report:#}");
    let caller = "arn:aws:sts::000000000000:assumed-role/athena-operator/emulator";
    ensure!(report["caller"]["arn"] == caller, "{report:#}");
    ensure!(report["caller"]["account"] == "000000000000" && report["region"] == "eu-west-1", "{report:#}");
    ensure!(report["endpoint"] == world.emulator.url(), "{report:#}");
    let group =
        json!([{ "name": "spark-35", "state": "ENABLED", "engineVersion": "Apache Spark version 3.5" }]);
    ensure!(report["workGroups"] == group, "{report:#}");
    let others = ACTIONS.iter().filter(|action| **action != "StartSession");
    let allowed: Vec<_> = others.map(|action| format!("athena:{action}")).collect();
    ensure!(with_verdict(&report, "allowed") == allowed, "{report:#}");
    ensure!(with_verdict(&report, "unknown") == ["athena:StartSession"], "{report:#}");
    ensure!(with_verdict(&report, "notChecked") == ["iam:PassRole"], "{report:#}");
    let operations: Vec<String> = world.emulator.calls().into_iter().map(|call| call.operation).collect();
    for action in ACTIONS {
        ensure!(operations.contains(&action.to_owned()), "{action} was not asked for: {operations:?}");
    }
    Ok(())
}

async fn each_permission_that_is_missing_is_told_with_its_statement(world: World) -> anyhow::Result<()> {
    for action in ACTIONS {
        world.deny(&[action]);
        let (report, ok) = report(&world, &[], &[])?;
        let name = format!("athena:{action}");
        ensure!(!ok && with_verdict(&report, "missing") == [name.as_str()], "{action}: {report:#}");
        let permission = of(&report, &name)?;
        let resources = match action {
            "GetWorkGroup" | "ListSessions" | "StartSession" => json!([GROUP]),
            _ => json!([GROUP, format!("{GROUP}/session/*")]),
        };
        let statement = json!({ "Effect": "Allow", "Action": [name], "Resource": resources });
        ensure!(permission["statement"] == statement, "{permission:#}");
        has(&permission["detail"].to_string(), &["is not authorized to perform"])?;
    }
    Ok(())
}

async fn a_start_that_is_refused_before_the_permission_is_looked_at_proves_nothing(
    world: World,
) -> anyhow::Result<()> {
    world.emulator.configure(|config| {
        config.validate_first = true;
        config.deny = vec!["StartSession".into()];
        config.allowed_work_groups = Some(vec!["spark-35".into()]);
    });
    let (report, ok) = report(&world, &[], &[])?;
    ensure!(ok && with_verdict(&report, "unknown") == ["athena:StartSession"], "{report:#}");
    let start = of(&report, "athena:StartSession")?;
    has(&start["detail"].to_string(), &["validation errors detected"])?;
    let told = &start["statement"]["Resource"];
    ensure!(*told == json!([GROUP]), "what grants it is told all the same: {start:#}");
    Ok(())
}

async fn a_policy_that_names_its_work_groups_proves_that_starts_are_allowed(
    world: World,
) -> anyhow::Result<()> {
    let groups = vec!["spark-35".into(), "pyspark-3".into()];
    world.emulator.configure(|config| config.allowed_work_groups = Some(groups));
    let (report, ok) = report(&world, &["--work-group=pyspark-3"], &[])?;
    ensure!(ok && with_verdict(&report, "unknown").is_empty(), "{report:#}");
    let starts =
        with_verdict(&report, "allowed").into_iter().filter(|action| action == "athena:StartSession");
    ensure!(starts.count() == 2, "one for each work group: {report:#}");
    let calls = world.calls("StartSession");
    ensure!(calls.len() == 3, "and one for nobody's: {calls:?}");
    Ok(())
}

async fn a_role_that_may_not_be_passed_is_told(world: World) -> anyhow::Result<()> {
    let role = "arn:aws:iam::000000000000:role/spark";
    let flag = format!("--execution-role={role}");
    let statement = json!({
        "Effect": "Allow", "Action": ["iam:PassRole"], "Resource": [role],
        "Condition": { "StringEquals": { "iam:PassedToService": "athena.amazonaws.com" } },
    });
    let (unchecked, ok) = report(&world, &[&flag], &[])?;
    ensure!(ok && with_verdict(&unchecked, "notChecked") == ["iam:PassRole"], "{unchecked:#}");
    ensure!(of(&unchecked, "iam:PassRole")?["statement"] == statement, "{unchecked:#}");

    // A service that looks at the role first.
    let message = format!(
        "User: x is not authorized to perform: iam:PassRole on resource: {role} because no identity-based policy allows it"
    );
    world.fault("StartSession", failure(400, "AccessDeniedException", &message));
    let (report, ok) = report(&world, &[&flag], &[])?;
    ensure!(!ok && with_verdict(&report, "missing") == ["iam:PassRole"], "{report:#}");
    ensure!(of(&report, "iam:PassRole")?["statement"] == statement, "{report:#}");
    Ok(())
}

async fn a_work_group_that_cannot_run_sessions_is_told(world: World) -> anyhow::Result<()> {
    for (group, problem) in [
        ("sql", "work group sql runs Athena engine version 3"),
        ("disabled", "work group disabled is disabled"),
        ("none", "work group none does not exist in region eu-west-1"),
    ] {
        let (report, ok) = report(&world, &[&format!("--work-group={group}")], &[])?;
        let problems = report["problems"].as_array().context("problems")?;
        ensure!(!ok && problems.len() == 1 && with_verdict(&report, "missing").is_empty(), "{report:#}");
        has(&problems[0].to_string(), &[problem])?;
    }
    Ok(())
}

async fn without_valid_credentials_nothing_is_said_of_permissions(world: World) -> anyhow::Result<()> {
    let none = [("AWS_ACCESS_KEY_ID", ""), ("AWS_SECRET_ACCESS_KEY", "")];
    let (report_of_none, ok) = report(&world, &[], &none)?;
    ensure!(!ok, "{report_of_none:#}");
    has(&report_of_none["problems"][0].to_string(), &["has no AWS credentials"])?;
    ensure!(report_of_none["caller"].is_null() && world.emulator.calls().is_empty(), "{report_of_none:#}");
    world.emulator.configure(|config| config.credentials[0].expired = true);
    let (expired, ok) = report(&world, &[], &[])?;
    ensure!(!ok, "{expired:#}");
    has(&expired["problems"][0].to_string(), &["expired"])?;
    for report in [report_of_none, expired] {
        ensure!(with_verdict(&report, "notChecked").len() == 8, "{report:#}");
    }
    Ok(())
}

async fn an_endpoint_of_another_region_is_told(world: World) -> anyhow::Result<()> {
    world.emulator.configure(|config| config.region = Some("us-east-1".into()));
    let (report, ok) = report(&world, &[], &[])?;
    ensure!(!ok && with_verdict(&report, "notChecked").len() == 8, "{report:#}");
    ensure!(report["problems"].to_string().contains("scoped to a valid region"), "{report:#}");
    Ok(())
}

async fn an_answer_that_does_not_come_is_no_permission(world: World) -> anyhow::Result<()> {
    for kind in [FaultKind::Throttle, FaultKind::DropBefore, FaultKind::Hang { effect: false }] {
        world.fault("ListSessions", kind.clone());
        let (report, ok) = report(&world, &["--athena-timeout=500ms"], &[])?;
        let verdict = &of(&report, "athena:ListSessions")?["verdict"];
        ensure!(!ok && verdict == "notChecked", "{kind:?}: {report:#}");
        ensure!(report["problems"].to_string().contains("no answer to ListSessions"), "{kind:?}: {report:#}");
    }
    Ok(())
}

async fn without_a_region_or_a_work_group_it_says_what_to_set(world: World) -> anyhow::Result<()> {
    for (arguments, env, status, told) in [
        (&["--work-group=spark-35"][..], &[("AWS_REGION", "")][..], 1, "set AWS_REGION"),
        (&[], &[], 2, "--work-group"),
    ] {
        let without = run(&world, arguments, env)?;
        has(&printed(&without), &[told])?;
        ensure!(without.status.code() == Some(status), "{without:?}");
    }
    let groups = ("ATHENA_OPERATOR_WORK_GROUPS", "spark-35,pyspark-3");
    let given = run(&world, &[], &[groups, ("ATHENA_OPERATOR_OUTPUT", "json")])?;
    let report: Value = serde_json::from_slice(&given.stdout)?;
    ensure!(report["workGroups"].as_array().is_some_and(|groups| groups.len() == 2), "{report:#}");
    starts_nothing(&world)
}

async fn people_read_a_table(world: World) -> anyhow::Result<()> {
    world.deny(&["TerminateSession"]);
    let output = run(&world, &["--work-group=spark-35"], &[])?;
    let text = printed(&output);
    ensure!(output.status.code() == Some(1), "{text}");
    let words = |line: &str| line.split_whitespace().take(3).map(str::to_owned).collect::<Vec<_>>();
    let lines: Vec<Vec<String>> = text.lines().map(words).collect();
    for expected in [
        &["region", "eu-west-1"][..],
        &["spark-35", "ENABLED", "Apache"],
        &["athena:GetWorkGroup", "spark-35", "allowed"],
        &["athena:TerminateSession", "all", "missing"],
    ] {
        ensure!(lines.iter().any(|line| *line == expected), "{expected:?}: {text}");
    }
    has(&text, &["add to the caller's policy", "\"athena:TerminateSession\""])
}
