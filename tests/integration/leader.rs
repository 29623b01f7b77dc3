//! Replicas: one acts, the others wait and take over.

use anyhow::ensure;
use athena_emulator::{Fault, FaultKind};
use environment::{Operator, Signal};
use fault_proxy::{Outcome, Request};
use k8s_openapi::api::coordination::v1::Lease;
use kube::Api;
use kube::api::DeleteParams;
use serde_json::json;

use crate::harness::{PATIENCE, World, names, tests, until, until_logged};

tests![
    another_replica_takes_over_when_the_leader_is_told_to_end,
    another_replica_takes_over_when_the_leader_is_killed,
    a_leader_that_was_stopped_for_longer_than_its_lease_ends_and_changes_nothing,
    a_leader_that_loses_its_lease_to_another_ends,
    a_renewal_that_is_not_answered_is_tried_again_on_another_connection,
    a_leader_whose_api_server_takes_three_seconds_for_every_request_goes_on,
    without_the_right_to_the_lease_nothing_is_done_and_the_process_is_not_ready,
    three_replicas_start_each_session_once_while_leaders_are_killed,
    two_operators_without_election_start_each_session_once,
];

/// A replica that takes part in the election of the test's namespace.
fn replica(world: &World) -> anyhow::Result<Operator> {
    let namespace = format!("--lease-namespace={}", world.namespace);
    world.operator_with(&[&namespace, "--lease-duration=5s"], &[("ATHENA_OPERATOR_LEADER_ELECTION", "true")])
}

fn lease(world: &World) -> Api<Lease> {
    Api::namespaced(world.client.clone(), &world.namespace)
}

async fn holder(world: &World) -> anyhow::Result<String> {
    let lease = lease(world).get_opt("athena-operator").await?;
    Ok(lease.and_then(|lease| lease.spec?.holder_identity).unwrap_or_default())
}

fn leads(replica: &Operator) -> bool {
    replica.raw_log().contains("this process is the leader")
}

/// A leader and a replica that waits.
async fn pair(world: &World) -> anyhow::Result<(Operator, Operator)> {
    let leader = replica(world)?;
    until("the first replica leads", || leads(&leader)).await?;
    let other = replica(world)?;
    until("the second replica waits", || other.raw_log().contains("waiting for the lease")).await?;
    ensure!(!leads(&other));
    Ok((leader, other))
}

async fn another_replica_takes_over_when_the_leader_is_told_to_end(world: World) -> anyhow::Result<()> {
    let (leader, other) = pair(&world).await?;
    world.idle("one").await?;
    ensure!(leader.end(Signal::TERM)?.success(), "{}", leader.raw_log());
    ensure!(leader.raw_log().contains("the lease is given back"), "{}", leader.raw_log());
    world.idle("two").await?;
    ensure!(leads(&other));
    for name in ["one", "two"] {
        world.remove(name).await?;
    }
    let sessions = world.emulator.sessions();
    ensure!(sessions.len() == 2 && world.live().is_empty(), "{sessions:?}");
    Ok(())
}

async fn another_replica_takes_over_when_the_leader_is_killed(world: World) -> anyhow::Result<()> {
    let (leader, other) = pair(&world).await?;
    world.emulator.set_faults(vec![Fault::new("StartSession", FaultKind::Hang { effect: true }).times(1)]);
    world.create("one").await?;
    world.until_sessions(1).await?;
    leader.end(Signal::KILL)?;
    world.until_idle("one").await?;
    ensure!(leads(&other));
    ensure!(world.emulator.sessions().len() == 1, "{:?}", world.emulator.sessions());
    Ok(())
}

async fn a_leader_that_was_stopped_for_longer_than_its_lease_ends_and_changes_nothing(
    world: World,
) -> anyhow::Result<()> {
    let (leader, other) = pair(&world).await?;
    leader.signal(Signal::STOP);
    until("the other replica leads", || leads(&other)).await?;
    world.idle("one").await?;
    let calls = world.calls("StartSession").len();
    leader.signal(Signal::CONT);
    until("the former leader has ended", || leader.exit_status().is_some()).await?;
    ensure!(leader.exit_status().is_some_and(|status| !status.success()), "{}", leader.raw_log());
    ensure!(world.calls("StartSession").len() == calls && other.exit_status().is_none());
    Ok(())
}

async fn a_leader_that_loses_its_lease_to_another_ends(world: World) -> anyhow::Result<()> {
    let leader = replica(&world)?;
    until("it leads", || leads(&leader)).await?;
    let taken = json!({ "spec": { "holderIdentity": "somebody-else" } });
    lease(&world)
        .patch("athena-operator", &kube::api::PatchParams::default(), &kube::api::Patch::Merge(taken))
        .await?;
    until("it has ended", || leader.exit_status().is_some()).await?;
    ensure!(leader.exit_status().is_some_and(|status| !status.success()));
    ensure!(holder(&world).await? == "somebody-else");
    Ok(())
}

/// A leader with a lease of `duration` whose requests pass through a proxy.
async fn proxied_leader(
    world: &World,
    duration: &str,
) -> anyhow::Result<(fault_proxy::FaultProxy, Operator, tempfile::TempDir)> {
    let (namespace, duration) =
        (format!("--lease-namespace={}", world.namespace), format!("--lease-duration={duration}"));
    let (proxy, leader, folder) =
        world.proxied(vec![], &[&namespace, &duration, "--leader-election=true"]).await?;
    until("it leads", || leads(&leader)).await?;
    Ok((proxy, leader, folder))
}

/// Waits until the lease was renewed so many times, by the same holder.
async fn renewed(world: &World, times: usize) -> anyhow::Result<()> {
    let (lease, mut seen) = (lease(world), Vec::new());
    let first = holder(world).await?;
    let start = std::time::Instant::now();
    while seen.len() <= times {
        ensure!(start.elapsed() < PATIENCE, "it was renewed {} times", seen.len());
        let spec = lease.get("athena-operator").await?.spec.unwrap_or_default();
        ensure!(spec.holder_identity.as_ref() == Some(&first), "the lease is {:?}'s", spec.holder_identity);
        if seen.last() != Some(&spec.renew_time) {
            seen.push(spec.renew_time);
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    Ok(())
}

async fn a_renewal_that_is_not_answered_is_tried_again_on_another_connection(
    world: World,
) -> anyhow::Result<()> {
    let (proxy, leader, _folder) = proxied_leader(&world, "6s").await?;
    for effect in [false, true] {
        let is_hung =
            |request: &Request| matches!(request.outcome, Outcome::HungBefore | Outcome::HungAfter(_));
        let hung = || proxy.requests().into_iter().filter(is_hung).count();
        let before = hung();
        let kind = fault_proxy::FaultKind::Hang { effect };
        proxy.set_faults(vec![fault_proxy::Fault::new("update", "leases", kind).times(1)]);
        until("a renewal is not answered", || hung() > before).await?;
        renewed(&world, 4).await?;
        ensure!(leader.exit_status().is_none(), "{}", leader.raw_log());
    }
    world.idle("one").await?;
    Ok(())
}

async fn a_leader_whose_api_server_takes_three_seconds_for_every_request_goes_on(
    world: World,
) -> anyhow::Result<()> {
    let (proxy, leader, _folder) = proxied_leader(&world, "15s").await?;
    let slow = fault_proxy::FaultKind::Delay(std::time::Duration::from_secs(3));
    proxy.set_faults(vec![fault_proxy::Fault::new("*", "*", slow)]);
    world.create("one").await?;
    renewed(&world, 6).await?;
    ensure!(leader.exit_status().is_none(), "{}", leader.raw_log());
    world.until_idle("one").await?;
    ensure!(world.calls("StartSession").len() == 1);
    Ok(())
}

async fn without_the_right_to_the_lease_nothing_is_done_and_the_process_is_not_ready(
    world: World,
) -> anyhow::Result<()> {
    let operator =
        world.unready_operator(&["--lease-name=another"], &[("ATHENA_OPERATOR_LEADER_ELECTION", "true")])?;
    world.create("one").await?;
    until_logged(&operator, "cannot take or renew the lease").await?;
    ensure!(operator.get("/readyz")?.0 == 503 && operator.get("/livez")?.0 == 200);
    ensure!(world.sessions.get("one").await?.metadata.finalizers.is_none());
    ensure!(world.calls("StartSession").is_empty());
    ensure!(operator.end(Signal::TERM)?.success());
    Ok(())
}

async fn three_replicas_start_each_session_once_while_leaders_are_killed(world: World) -> anyhow::Result<()> {
    const OBJECTS: usize = 12;
    let mut replicas = vec![replica(&world)?, replica(&world)?, replica(&world)?];
    let names = names("s", OBJECTS);
    for (number, name) in names.iter().enumerate() {
        world.create(name).await?;
        if number == 3 || number == 8 {
            until("one leads", || replicas.iter().any(leads)).await?;
            let leader = replicas.iter().position(leads).expect("one leads");
            replicas.remove(leader).end(Signal::KILL)?;
            replicas.push(replica(&world)?);
        }
    }
    world.until_all(&names, "SessionIdle").await?;
    ensure!(world.emulator.sessions().len() == OBJECTS, "{:?}", world.emulator.sessions());
    world.sessions.delete_collection(&DeleteParams::default(), &kube::api::ListParams::default()).await?;
    world.until_all_gone(&names).await?;
    ensure!(world.live().is_empty());
    Ok(())
}

async fn two_operators_without_election_start_each_session_once(world: World) -> anyhow::Result<()> {
    const OBJECTS: usize = 12;
    let (_first, _second) = (world.operator()?, world.operator()?);
    let names = names("s", OBJECTS);
    world.all_idle(&names).await?;
    for name in &names[..OBJECTS / 2] {
        world.set(name, json!({ "suspend": true })).await?;
        world.until_reason(name, "Suspended").await?;
        world.set(name, json!({ "suspend": false })).await?;
    }
    world.until_all(&names, "SessionIdle").await?;
    ensure!(world.emulator.sessions().len() == OBJECTS + OBJECTS / 2, "{:?}", world.emulator.sessions());
    ensure!(world.live().len() == OBJECTS);
    Ok(())
}
