//! What `ListSessions` returns.

use std::time::Duration;

use athena_emulator::{Change, Config, state as states};
use aws_sdk_athena::types::SessionState;

use crate::client::{error, listed, quick, quick_world, refused, started, state, world};

#[tokio::test]
async fn a_list_is_newest_first_and_of_active_sessions_of_the_group() {
    let (emulator, client) = quick_world().await;
    let mut ids = Vec::new();
    for name in ["idle", "busy", "degraded", "failed", "stopped", "terminated"] {
        ids.push(started(&client, name).await);
    }
    emulator.create_foreign("pyspark-3", None);
    for (id, state) in ids[1..].iter().zip(["BUSY", "DEGRADED", "FAILED", "STOPPED", "TERMINATED"]) {
        let change = Change::State { state: state.to_owned(), reason: None };
        emulator.set_state(id, change).expect("a session");
    }
    assert_eq!(listed(&client).await, [ids[1].clone(), ids[0].clone()]);
    for (filter, count) in [
        (SessionState::Idle, 1),
        (SessionState::Busy, 1),
        (SessionState::Terminated, 0),
        (SessionState::Degraded, 0),
    ] {
        let list = client.list_sessions().work_group("spark-35").state_filter(filter.clone());
        assert_eq!(list.send().await.expect("a list").sessions().len(), count, "{filter}");
    }
}

#[tokio::test]
async fn a_list_comes_in_pages() {
    let (emulator, client) = quick_world().await;
    let mut ids: Vec<_> = (0..52).map(|_| emulator.create_foreign("spark-35", None)).collect();
    ids.reverse();
    assert_eq!(listed(&client).await, ids[..50]);

    let (mut seen, mut next) = (Vec::new(), None);
    loop {
        let page = client.list_sessions().work_group("spark-35").max_results(20).set_next_token(next).send();
        let page = page.await.expect("a page");
        seen.extend(page.sessions().iter().filter_map(|session| session.session_id.clone()));
        // A session that starts meanwhile is newer than every page to come.
        emulator.create_foreign("spark-35", None);
        next = page.next_token;
        if next.is_none() {
            break;
        }
    }
    assert_eq!(seen, ids);

    let full = client.list_sessions().work_group("spark-35").max_results(55).send().await.expect("a page");
    assert_eq!((full.sessions().len(), full.next_token()), (55, None));
    let first = client.list_sessions().work_group("spark-35").max_results(1).send().await.expect("a page");
    let foreign =
        client.list_sessions().work_group("pyspark-3").set_next_token(first.next_token).send().await;
    assert_eq!(error(foreign).0, "InvalidRequestException");
    for bad in ["", "zz", "30", "ffff"] {
        let page = client.list_sessions().work_group("spark-35").next_token(bad).send().await;
        assert_eq!(error(page).0, "InvalidRequestException");
    }
}

#[tokio::test]
async fn lists_and_reads_may_lag_behind_a_start() {
    let (emulator, client) =
        world(Config { list_lag: Duration::from_hours(1), get_lag: Duration::from_hours(1), ..quick() })
            .await;
    let id = started(&client, "lag").await;
    assert!(listed(&client).await.is_empty());
    let unknown = format!("Session {id} was not found");
    refused(client.get_session().session_id(&id).send().await, "ResourceNotFoundException", &unknown);
    assert_eq!(
        error(client.get_session_status().session_id(&id).send().await).0,
        "ResourceNotFoundException"
    );
    emulator.configure(|config| config.list_lag = Duration::ZERO);
    assert_eq!(listed(&client).await, std::slice::from_ref(&id));
    emulator.configure(|config| config.get_lag = Duration::ZERO);
    assert_eq!(state(&client, &id).await, states::IDLE);
}
