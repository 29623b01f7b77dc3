//! The proxy before a real API server.

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use environment::Stage;
use fault_proxy::{Fault, FaultKind, FaultProxy, Outcome};
use futures::StreamExt;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{ListParams, Patch, PatchParams, PostParams, WatchEvent, WatchParams};
use kube::config::{AuthInfo, KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, ResourceExt};
use serde_json::json;

/// A client by way of the proxy, that tries nothing twice, and one past it.
struct World {
    _stage: Stage,
    proxy: FaultProxy,
    through: Api<ConfigMap>,
    past: Api<ConfigMap>,
    server: kube::Config,
}

async fn world() -> anyhow::Result<World> {
    let stage = tokio::task::spawn_blocking(Stage::start).await??;
    let kubeconfig = Kubeconfig::read_from(stage.kubeconfig())?;
    let mut anonymous = kubeconfig.clone();
    anonymous.auth_infos.iter_mut().for_each(|user| user.auth_info = Some(AuthInfo::default()));
    let server = kube::Config::from_custom_kubeconfig(anonymous, &KubeConfigOptions::default()).await?;
    let own = kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
    let proxy = FaultProxy::start(&server).await?;
    let mut by_proxy = own.clone();
    by_proxy.cluster_url = proxy.url_for("test").parse()?;
    by_proxy.default_retry = false;
    let (through, past) = (
        Api::namespaced(Client::try_from(by_proxy)?, "default"),
        Api::namespaced(Client::try_from(own)?, "default"),
    );
    Ok(World { _stage: stage, proxy, through, past, server })
}

fn map(name: &str) -> ConfigMap {
    serde_json::from_value(json!({ "metadata": { "name": name } })).expect("a ConfigMap")
}

impl World {
    fn order(&self, verb: &str, kind: FaultKind) {
        self.proxy.set_faults(vec![Fault::new(verb, "configmaps", kind).times(1)]);
    }

    fn last(&self) -> Outcome {
        self.proxy.requests().pop().expect("a request").outcome
    }

    async fn create(&self, name: &str) -> kube::Result<ConfigMap> {
        self.through.create(&PostParams::default(), &map(name)).await
    }

    async fn exists(&self, name: &str) -> anyhow::Result<bool> {
        Ok(self.past.get_opt(name).await?.is_some())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_pass_and_go_wrong_as_ordered() -> anyhow::Result<()> {
    let world = world().await?;
    credentials_are_the_clients_own(&world).await?;
    replies_are_lost(&world).await?;
    refusals_are_the_servers(&world).await?;
    late_requests_arrive_without_their_client(&world).await?;
    connections_fall_silent(&world).await?;
    watches_are_cut_and_outdated(&world).await?;
    lists_are_stale(&world).await
}

async fn credentials_are_the_clients_own(world: &World) -> anyhow::Result<()> {
    world.create("passed").await?;
    let request = world.proxy.requests().pop().context("a request")?;
    ensure!(
        request.operation.to_string() == "create configmaps" && request.outcome == Outcome::Passed(201),
        "{request:?}"
    );
    ensure!(
        request.client.as_deref() == Some("test") && request.body["metadata"]["name"] == "passed",
        "{request:?}"
    );
    let mut nobody = world.server.clone();
    nobody.cluster_url = world.proxy.url().parse()?;
    let refused = Api::<ConfigMap>::namespaced(Client::try_from(nobody)?, "default").get("passed").await;
    ensure!(
        matches!(&refused, Err(kube::Error::Api(status)) if status.is_forbidden() || status.code == 401),
        "{refused:?}"
    );
    Ok(())
}

async fn replies_are_lost(world: &World) -> anyhow::Result<()> {
    for (name, kind, happens) in [
        ("drop-before", FaultKind::DropBefore, false),
        ("drop-after", FaultKind::DropAfter, true),
        ("hang-before", FaultKind::Hang { effect: false }, false),
        ("hang-after", FaultKind::Hang { effect: true }, true),
    ] {
        let hangs = matches!(kind, FaultKind::Hang { .. });
        world.order("create", kind);
        let reply = tokio::time::timeout(Duration::from_secs(1), world.create(name)).await;
        ensure!(if hangs { reply.is_err() } else { matches!(reply, Ok(Err(_))) }, "{name}: {reply:?}");
        ensure!(world.exists(name).await? == happens, "{name}");
        ensure!(!matches!(world.last(), Outcome::Pending | Outcome::Passed(_)), "{name}: {:?}", world.last());
        // The fault is used up.
        world.create(&format!("{name}-again")).await?;
    }
    let begun = Instant::now();
    world.order("create", FaultKind::Delay(Duration::from_millis(300)));
    world.create("delayed").await?;
    ensure!(begun.elapsed() >= Duration::from_millis(300));
    let begun = Instant::now();
    world.order("create", FaultKind::Slow(Duration::from_secs(2)));
    let (created, is_there_before) = tokio::join!(world.create("slow"), async {
        while !world.exists("slow").await? {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        anyhow::Ok(begun.elapsed() < Duration::from_secs(2))
    });
    created?;
    ensure!(
        is_there_before? && begun.elapsed() >= Duration::from_secs(2) && world.last() == Outcome::Slowed(201),
        "{:?}",
        world.last()
    );
    Ok(())
}

async fn connections_fall_silent(world: &World) -> anyhow::Result<()> {
    let version =
        world.through.list(&ListParams::default()).await?.metadata.resource_version.context("a version")?;
    let mut events = world.through.watch(&WatchParams::default(), &version).await?.boxed();
    world.create("heard").await?;
    ensure!(matches!(events.next().await, Some(Ok(WatchEvent::Added(map))) if map.name_any() == "heard"));
    world.order("create", FaultKind::Silence);
    let unanswered = tokio::time::timeout(Duration::from_secs(1), world.create("silenced")).await;
    ensure!(
        unanswered.is_err() && !world.exists("silenced").await? && world.last() == Outcome::Silenced,
        "{unanswered:?}"
    );
    // Another connection is opened; the watch on the old one neither tells of what happens nor ends.
    world.create("unheard").await?;
    ensure!(tokio::time::timeout(Duration::from_secs(1), events.next()).await.is_err());
    Ok(())
}

async fn refusals_are_the_servers(world: &World) -> anyhow::Result<()> {
    for (code, reason) in [
        (409, "Conflict"),
        (429, "TooManyRequests"),
        (500, "InternalError"),
        (503, "ServiceUnavailable"),
        (504, "Timeout"),
    ] {
        world.order("patch", FaultKind::Fail { code, retry_after: Some(1) });
        let patch = Patch::Merge(json!({ "data": { "code": code.to_string() } }));
        let refused = world.through.patch("passed", &PatchParams::default(), &patch).await;
        ensure!(
            matches!(&refused, Err(kube::Error::Api(status)) if status.code == code && status.reason == reason),
            "{refused:?}"
        );
        ensure!(world.past.get("passed").await?.data.is_none() && world.last() == Outcome::Failed(code));
    }
    Ok(())
}

async fn late_requests_arrive_without_their_client(world: &World) -> anyhow::Result<()> {
    world.order("create", FaultKind::Late);
    ensure!(tokio::time::timeout(Duration::from_millis(300), world.create("late")).await.is_err());
    ensure!(!world.exists("late").await? && world.last() == Outcome::Held);
    ensure!(world.proxy.deliver().await? == [201] && world.exists("late").await?);
    ensure!(world.proxy.deliver().await?.is_empty());
    Ok(())
}

async fn watches_are_cut_and_outdated(world: &World) -> anyhow::Result<()> {
    let version =
        world.through.list(&ListParams::default()).await?.metadata.resource_version.context("a version")?;
    let mut events = world.through.watch(&WatchParams::default(), &version).await?.boxed();
    world.create("watched").await?;
    let event = events.next().await.context("an event")??;
    ensure!(matches!(&event, WatchEvent::Added(added) if added.name_any() == "watched"), "{event:?}");
    world.proxy.cut_watches();
    let end = events.next().await;
    ensure!(matches!(end, None | Some(Err(_))), "{end:?}");

    world.order("watch", FaultKind::Gone);
    let event = world
        .through
        .watch(&WatchParams::default(), &version)
        .await?
        .boxed()
        .next()
        .await
        .context("an event")??;
    ensure!(matches!(&event, WatchEvent::Error(status) if status.code == 410), "{event:?}");
    Ok(())
}

async fn lists_are_stale(world: &World) -> anyhow::Result<()> {
    world.through.list(&ListParams::default()).await?;
    world.create("new").await?;
    let names = async || {
        anyhow::Ok(
            world
                .through
                .list(&ListParams::default())
                .await?
                .into_iter()
                .map(|map| map.name_any())
                .collect::<Vec<_>>(),
        )
    };
    ensure!(names().await?.contains(&"new".to_owned()));
    world.order("list", FaultKind::StaleList { back: 1 });
    ensure!(!names().await?.contains(&"new".to_owned()));
    ensure!(matches!(world.last(), Outcome::Stale(_)));
    ensure!(names().await?.contains(&"new".to_owned()));
    Ok(())
}
