//! The commands that docs/debugging.md and docs/runbooks.md tell people to run: each is run as it stands on the page, on objects in the state that the
//! page speaks of, and shows what the page promises.

#[path = "../docs/commands.rs"]
mod page;
mod release;

use std::fs;
use std::time::Instant;

use anyhow::{Context, ensure};
use athena_emulator::{Change, FaultKind};
use environment::{Operator, Signal, repository};
use serde_json::json;

use self::page::{commands, matches};
use self::release::Release;
use crate::harness::policies::{ForNamespace, matched, policy};
use crate::harness::{PATIENCE, PAUSE, World, spark, tests, until, until_logged};

tests![
    every_command_of_the_pages_is_run_or_has_a_reason_why_not,
    commands_on_a_session_that_works,
    commands_on_rights_that_the_operator_lacks,
    commands_on_a_start_that_athena_refuses,
    commands_on_a_start_that_athena_does_not_answer,
    commands_on_an_attempt_that_waits_for_its_account,
    commands_on_a_session_that_is_being_created,
    commands_on_a_session_that_failed_again,
    commands_on_a_suspended_session,
    commands_on_a_deletion_that_hangs,
    commands_on_a_work_group_that_cannot_be_listed,
    commands_on_a_node_with_a_wrong_clock,
    commands_on_a_session_that_was_retained,
    commands_on_writes_that_a_policy_refuses,
    commands_on_what_the_operator_decides,
    commands_on_an_operator_that_ended,
];

const PAGES: [&str; 2] = ["docs/debugging.md", "docs/runbooks.md"];

/// What commands of the pages show.
struct Shown {
    /// The commands, with `*` for any text.
    commands: &'static str,
    /// Texts that are in the output, with the names of the pages.
    texts: &'static [&'static str],
    /// The exit status.
    code: i32,
}

const fn shown(commands: &'static str, texts: &'static [&'static str]) -> Shown {
    Shown { commands, texts, code: 0 }
}

/// The same for a bad answer, which is the exit status 1.
const fn shown_as_bad(commands: &'static str, texts: &'static [&'static str]) -> Shown {
    Shown { commands, texts, code: 1 }
}

/// Commands that no test runs, and why.
const NOT_RUN: [(&str, &str); 3] = [
    ("aws athena *", "AWS's command line is written in Python: a machine that builds this has none"),
    ("aws cloudtrail *", "the same, and the emulator has no CloudTrail"),
    ("aws logs *", "the same, and the emulator has no CloudWatch"),
];

const ALL: &[&[Shown]] = &[
    WORKS,
    LACKS_RIGHTS,
    REFUSED,
    UNANSWERED,
    WITHOUT_ACCOUNT,
    CREATING,
    FAILED,
    SUSPENDED,
    DELETION_HANGS,
    UNLISTED,
    WRONG_CLOCK,
    RETAINED,
    WRITES_REFUSED,
    LOG_LEVEL,
    DECISIONS,
    UPGRADED,
    ENDED,
];

const WORKS: &[Shown] = &[
    shown(
        "kubectl get athenasession nightly -o wide",
        &["IDLE-SINCE", "nightly", "True", "IDLE", "SessionIdle", "spark-35"],
    ),
    shown(
        "kubectl describe athenasession nightly*",
        &["Conditions:", "SessionIdle", "Events:", "SessionStarted"],
    ),
    shown(
        "kubectl exec * check --work-group spark-35",
        &["caller", "eu-west-1", "Apache Spark", "athena:StartSession", "allowed"],
    ),
    shown("kubectl exec * --version", &[env!("CARGO_PKG_VERSION")]),
    shown("kubectl get athenasession nightly -o jsonpath='{.metadata.generation}*", &["1 1"]),
    shown(
        "kubectl get athenasession nightly -o jsonpath='{range .status.conditions*",
        &["Ready=True SessionIdle: ", "Available=True SessionIdle: "],
    ),
    shown(
        "kubectl get athenasession nightly -o json | jq *",
        &["\"uid\"", "\"generation\": 1", "\"sessionId\"", "\"reason\": \"SessionIdle\""],
    ),
    shown("kubectl get athenasessions * -o custom-columns=*", &["IDLE-SINCE", "nightly", "IDLE", "Z"]),
    shown("kubectl get pods -n athena-operator", &["athena-operator-0", "1/1", "Running"]),
    shown("kubectl get pods -n athena-operator -o wide", &["NODE", "athena-operator-0"]),
    shown("kubectl describe pods *", &["athena-operator-0", "Running", "Image:"]),
    shown("kubectl get lease * -o jsonpath=*", &["athena-operator-0_", "Z"]),
    shown("kubectl get lease * -o yaml", &["holderIdentity: athena-operator-0_", "renewTime: "]),
    shown("helm get values *", &["team-a"]),
    shown("kubectl auth can-i *", &["yes"]),
    shown("kubectl get --raw */readyz", &["ok"]),
    shown("kubectl logs * grep *nightly*ERROR*", &["team-a/nightly", "SessionIdle"]),
    shown("kubectl logs * grep -i lease", &["this process is the leader"]),
    shown("kubectl logs -n athena-operator -l *", &["team-a/nightly"]),
];

async fn commands_on_a_session_that_works(world: World) -> anyhow::Result<()> {
    let release = Release::install(&world).await?;
    let operator = release.operator(&[])?;
    world.idle("nightly").await?;
    show(&release, &operator, WORKS).await
}

const LACKS_RIGHTS: &[Shown] = &[shown_as_bad("kubectl auth can-i *", &["no"])];

async fn commands_on_rights_that_the_operator_lacks(world: World) -> anyhow::Result<()> {
    let release = Release::install(&world).await?;
    let operator = release.operator(&[])?;
    until_logged(&operator, "this process is the leader").await?;
    // It must not ask for what it may not do any more.
    operator.end(Signal::TERM)?;
    let take = |namespace: &str, role: &str, rules: &str| {
        world.stage().kubectl_ok(&["patch", "role", role, "-n", namespace, "--type=json", "-p", rules])
    };
    let role = format!("athena-operator.{}", release.namespace);
    // Those to list objects, and to update their status, which has a rule of its own.
    take(
        &world.namespace,
        &role,
        r#"[{ "op": "remove", "path": "/rules/0/verbs/1" }, { "op": "remove", "path": "/rules/1/verbs/1" }]"#,
    )?;
    take(
        &release.namespace,
        &format!("athena-operator-lease.{}", release.namespace),
        r#"[{ "op": "remove", "path": "/rules/1" }]"#,
    )?;
    show(&release, &operator, LACKS_RIGHTS).await
}

const REFUSED: &[Shown] = &[
    shown("kubectl get athenasessions -n team-a", &["nightly", "AccessDenied", "spark-35"]),
    shown("kubectl describe athenasession nightly*", &["athena:StartSession", "AWS request id", "Warning"]),
    shown_as_bad("kubectl exec * check *", &["athena:StartSession", "missing", "add to the caller's policy"]),
    shown(
        "kubectl get events --field-selector involvedObject.name=nightly",
        &["athenasession/nightly", "AccessDenied", "AWS request id"],
    ),
];

async fn commands_on_a_start_that_athena_refuses(world: World) -> anyhow::Result<()> {
    let release = Release::install(&world).await?;
    world.deny(&["StartSession"]);
    let operator = release.operator(&[])?;
    world.create("nightly").await?;
    world.until_reason("nightly", "AccessDenied").await?;
    show(&release, &operator, REFUSED).await
}

const UNANSWERED: &[Shown] = &[
    shown("kubectl describe athenasession nightly*", &["AthenaUnavailable", "StartSession is not answered"]),
    shown(
        "kubectl get athenasession nightly -o jsonpath='{range .status.conditions*",
        &["Ready=Unknown Starting: StartSession is not answered"],
    ),
];

async fn commands_on_a_start_that_athena_does_not_answer(world: World) -> anyhow::Result<()> {
    let release = Release::install(&world).await?;
    world.fault("StartSession", FaultKind::DropBefore);
    let operator = release.operator(&[])?;
    world.create("nightly").await?;
    show(&release, &operator, UNANSWERED).await
}

const WITHOUT_ACCOUNT: &[Shown] = &[
    shown("kubectl logs * grep -w STS", &["cannot tell the AWS account"]),
    shown(
        "kubectl get athenasession nightly -o jsonpath='{range .status.conditions*",
        &["Starting: waiting for STS to return the operator's account"],
    ),
];

async fn commands_on_an_attempt_that_waits_for_its_account(world: World) -> anyhow::Result<()> {
    let release = Release::install(&world).await?;
    world.fault("StartSession", FaultKind::DropBefore);
    let operator = release.operator(&[])?;
    world.create("nightly").await?;
    world.until_status("nightly", "recorded with an account", |status| status.account_id.is_some()).await?;
    operator.end(Signal::TERM)?;
    // Nothing listens on the port of discard.
    let athena = world.emulator.url();
    let operator = release
        .operator(&[("AWS_ENDPOINT_URL_STS", "http://127.0.0.1:9"), ("AWS_ENDPOINT_URL_ATHENA", &athena)])?;
    show(&release, &operator, WITHOUT_ACCOUNT).await
}

const CREATING: &[Shown] =
    &[shown("kubectl get athenasession nightly -o jsonpath='{.status.startTime}'", &["T", "Z"])];

async fn commands_on_a_session_that_is_being_created(world: World) -> anyhow::Result<()> {
    let release = Release::install(&world).await?;
    world.emulator.configure(|config| config.stick_in = Some("CREATING".into()));
    let operator = release.operator(&[])?;
    world.create("nightly").await?;
    world.until_reason("nightly", "SessionCreating").await?;
    show(&release, &operator, CREATING).await
}

const FAILED: &[Shown] = &[
    shown(
        "kubectl get athenasession nightly -o jsonpath='{.status.stateChangeReason}*",
        &["the second driver was lost", "0 SessionFailed the first driver was lost"],
    ),
    shown(
        "kubectl get athenasession nightly -o jsonpath='{range .status.conditions*",
        &["Ready=False SessionFailed: ", "the second driver was lost"],
    ),
];

async fn commands_on_a_session_that_failed_again(world: World) -> anyhow::Result<()> {
    let release = Release::install(&world).await?;
    let operator = release.operator(&[])?;
    world.create("nightly").await?;
    for (attempt, reason) in
        ["the first driver was lost", "the second driver was lost"].into_iter().enumerate()
    {
        world.set("nightly", json!({ "suspend": false })).await?;
        world.until_idle("nightly").await?;
        let id = world.emulator.sessions()[attempt].session_id.clone();
        world.change(&id, Change::State { state: "FAILED".into(), reason: Some(reason.into()) })?;
        world.until_reason("nightly", "SessionFailed").await?;
        if attempt == 0 {
            world.set("nightly", json!({ "suspend": true })).await?;
            world.until_reason("nightly", "Suspended").await?;
        }
    }
    show(&release, &operator, FAILED).await
}

const SUSPENDED: &[Shown] = &[shown(
    "kubectl get athenasession nightly -o yaml --show-managed-fields",
    &["f:suspend", "manager: somebody"],
)];

async fn commands_on_a_suspended_session(world: World) -> anyhow::Result<()> {
    let release = Release::install(&world).await?;
    let operator = release.operator(&[])?;
    world.create("nightly").await?;
    let suspend = r#"{ "spec": { "suspend": true } }"#;
    world.kubectl(&[
        "patch",
        "athenasession",
        "nightly",
        "--type=merge",
        "--field-manager=somebody",
        "-p",
        suspend,
    ])?;
    world.until_reason("nightly", "Suspended").await?;
    show(&release, &operator, SUSPENDED).await
}

const DELETION_HANGS: &[Shown] = &[shown(
    "kubectl get athenasessions -A -o json | jq *deletionTimestamp*",
    &[
        "team-a/nightly: Deleting: waiting for session ",
        "; TerminateSession is refused",
        "-operator/unseen: no conditions",
    ],
)];

async fn commands_on_a_deletion_that_hangs(world: World) -> anyhow::Result<()> {
    let release = Release::install(&world).await?;
    world.deny(&["TerminateSession"]);
    let operator = release.operator(&[])?;
    // In a namespace that no operator watches.
    let unseen = json!({
        "apiVersion": "athena-operator.io/v1alpha1", "kind": "AthenaSession",
        "metadata": { "name": "unseen", "namespace": release.namespace, "finalizers": ["example.com/somebody"] }, "spec": { "workGroup": "spark-35" },
    });
    release.apply(&unseen)?;
    world.stage().kubectl_ok(&[
        "delete",
        "athenasession",
        "unseen",
        "-n",
        &release.namespace,
        "--wait=false",
    ])?;
    world.idle("nightly").await?;
    world.delete("nightly").await?;
    show(&release, &operator, DELETION_HANGS).await
}

const UNLISTED: &[Shown] = &[
    shown("kubectl logs * grep -i 'list'", &["cannot list the sessions"]),
    shown_as_bad("kubectl exec * check *", &["athena:ListSessions", "missing"]),
];

async fn commands_on_a_work_group_that_cannot_be_listed(world: World) -> anyhow::Result<()> {
    let release = Release::install(&world).await?;
    let operator = release.operator(&[])?;
    world.idle("nightly").await?;
    world.deny(&["ListSessions"]);
    show(&release, &operator, UNLISTED).await
}

const WRONG_CLOCK: &[Shown] = &[shown("kubectl logs * grep \"the node's clock\"", &["behind Athena's"])];

async fn commands_on_a_node_with_a_wrong_clock(world: World) -> anyhow::Result<()> {
    let release = Release::install(&world).await?;
    world.emulator.configure(|config| config.clock_ahead = 120);
    let operator = release.operator(&[])?;
    world.create("nightly").await?;
    show(&release, &operator, WRONG_CLOCK).await
}

const RETAINED: &[Shown] = &[
    shown(
        "kubectl logs * jq *SessionRetained*",
        &["team-a/nightly", "session ", "work group spark-35, region eu-west-1", "may run on"],
    ),
    shown(
        "kubectl get events -A --field-selector reason=SessionRetained",
        &["team-a", "athenasession/nightly", "may run on"],
    ),
];

async fn commands_on_a_session_that_was_retained(world: World) -> anyhow::Result<()> {
    let release = Release::install(&world).await?;
    let operator = release.operator(&[])?;
    world.idle_with("nightly", spark(json!({ "deletionPolicy": "Retain" }))).await?;
    world.remove("nightly").await?;
    show(&release, &operator, RETAINED).await
}

const WRITES_REFUSED: &[Shown] = &[
    shown("kubectl get athenasessions -A -o json * jq *the API server refuses*", &["team-a/nightly"]),
    shown(
        "kubectl get events -n team-a --field-selector reason=WriteRefused",
        &["athenasession/nightly", "athenasession/unwritten", "no write today"],
    ),
    shown(
        "kubectl get events -A --field-selector reason=WriteRefused",
        &["athenasession/nightly", "athenasession/unwritten", "no write today"],
    ),
    shown(
        "kubectl logs * jq *WriteRefused*",
        &[
            "team-a/nightly",
            "cannot add the finalizer: ",
            "team-a/unwritten",
            "cannot write the status: ",
            "no write today",
        ],
    ),
    shown(
        "kubectl logs * jq *WARN* | sort *",
        &["1 cannot add the finalizer: ", "1 cannot write the status: "],
    ),
];

async fn commands_on_writes_that_a_policy_refuses(world: World) -> anyhow::Result<()> {
    let release = Release::install(&world).await?;
    let mut matched = matched(&world, "UPDATE", "athenasessions");
    matched["resourceRules"][0]["resources"] = json!(["athenasessions", "athenasessions/status"]);
    let is_status = "has(request.subResource) && request.subResource == 'status'";
    let expression = format!("object.metadata.name != ({is_status} ? 'unwritten' : 'nightly')");
    let _policy =
        ForNamespace::apply(&world, &policy(&world, &matched, &expression, "'no write ' + 'today'"))?;
    for name in ["nightly", "unwritten"] {
        world.create(name).await?;
    }
    let label = ["label", "athenasession", "nightly", "tried=yes", "--dry-run=server"];
    until("the policy holds", || {
        world.kubectl(&label).is_err_and(|error| error.to_string().contains("no write today"))
    })
    .await?;
    let operator = release.operator(&[])?;
    show(&release, &operator, WRITES_REFUSED).await
}

const LOG_LEVEL: &[Shown] = &[shown("kubectl set env *", &["deployment.apps/athena-operator env updated"])];

const DECISIONS: &[Shown] = &[
    shown("kubectl rollout status *", &["successfully rolled out"]),
    shown("kubectl logs * -f | jq *", &["\"Record(0)\"", "\"Start(0)\"", "\"Mirror(", "Z\""]),
];

const UPGRADED: &[Shown] = &[shown("helm upgrade *", &["has been upgraded"])];

async fn commands_on_what_the_operator_decides(world: World) -> anyhow::Result<()> {
    let release = Release::install(&world).await?;
    let before = release.operator(&[])?;
    show(&release, &before, LOG_LEVEL).await?;
    before.end(Signal::TERM)?;
    release.roll_out()?;
    let operator = release.operator(&[])?;
    world.create("other").await?;
    world.idle("nightly").await?;
    show(&release, &operator, DECISIONS).await?;
    let conflict =
        release.upgrade().await.err().context("Helm upgrades over what kubectl has set")?.to_string();
    ensure!(
        conflict.contains("conflict with \"kubectl-set\"") && conflict.contains("ATHENA_OPERATOR_LOG"),
        "{conflict}"
    );
    show(&release, &operator, UPGRADED).await?;
    ensure!(
        release.variable("ATHENA_OPERATOR_LOG")?.as_deref() == Some("warn,athena_operator=info"),
        "the variable is not set back"
    );
    Ok(())
}

const ENDED: &[Shown] = &[
    shown("kubectl logs * --previous", &["invalid value 'many' for '--concurrency"]),
    shown("helm rollback *", &["Rollback was a success"]),
];

async fn commands_on_an_operator_that_ended(world: World) -> anyhow::Result<()> {
    let release = Release::install(&world).await?;
    let operator = release.unready_operator(&[("ATHENA_OPERATOR_CONCURRENCY", "many")])?;
    until("it has ended", || operator.exit_status().is_some()).await?;
    release.is_previous(&operator)?;
    release.upgrade().await?;
    show(&release, &operator, ENDED).await
}

/// A command of a page.
struct Command {
    /// The page and the line.
    place: String,
    text: String,
}

fn pages() -> anyhow::Result<Vec<Command>> {
    let mut all = Vec::new();
    for page in PAGES {
        let text =
            fs::read_to_string(repository().join(page)).with_context(|| format!("cannot read {page}"))?;
        all.extend(
            commands(&text).into_iter().map(|(line, text)| Command { place: format!("{page}:{line}"), text }),
        );
    }
    Ok(all)
}

async fn every_command_of_the_pages_is_run_or_has_a_reason_why_not(_: World) -> anyhow::Result<()> {
    let pages = pages()?;
    let run: Vec<&str> = ALL.iter().copied().flatten().map(|shown| shown.commands).collect();
    let of =
        |patterns: &[&str], command: &Command| patterns.iter().any(|pattern| matches(pattern, &command.text));
    let not_run = NOT_RUN.map(|(commands, _)| commands);
    let strangers: Vec<_> = pages
        .iter()
        .filter(|command| of(&run, command) == of(&not_run, command))
        .map(|command| format!("{}: {}", command.place, command.text))
        .collect();
    ensure!(strangers.is_empty(), "neither run nor listed as what cannot be run, or both: {strangers:#?}");
    let gone: Vec<_> = run
        .iter()
        .chain(&not_run)
        .filter(|pattern| !pages.iter().any(|command| matches(pattern, &command.text)))
        .collect();
    ensure!(gone.is_empty(), "no page has such a command: {gone:#?}");
    Ok(())
}

/// Waits until the commands show what they are to show.
async fn show(release: &Release<'_>, operator: &Operator, all: &[Shown]) -> anyhow::Result<()> {
    let begun = Instant::now();
    let pages = pages()?;
    let mut missing: Vec<(&Command, &Shown)> = all
        .iter()
        .flat_map(|shown| {
            pages
                .iter()
                .filter(|command| matches(shown.commands, &command.text))
                .map(move |command| (command, shown))
        })
        .collect();
    loop {
        let mut failures = Vec::new();
        for (command, shown) in std::mem::take(&mut missing) {
            let said = release.run(Some(operator), &command.text).await?;
            let lacks = shown
                .texts
                .iter()
                .filter(|text| !said.output.contains(&release.here(text)))
                .collect::<Vec<_>>();
            if said.status.code() != Some(shown.code) || !lacks.is_empty() {
                let Command { place, text } = command;
                failures.push(format!(
                    "{place}: `{text}`\nlacks {lacks:?}, {}:\n{}{}",
                    said.status, said.output, said.errors
                ));
                missing.push((command, shown));
            }
        }
        if missing.is_empty() {
            return Ok(());
        }
        ensure!(begun.elapsed() < PATIENCE, "{}", failures.join("\n"));
        tokio::time::sleep(PAUSE).await;
    }
}
