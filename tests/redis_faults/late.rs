//! What a frozen Redis has not read yet it does when it thaws, late. That does no harm.

use std::time::{Duration, Instant};

use komandorr::demo::Fault;

use super::{ACTIVITIES, QUICK, SESSIONS, back, connected, down, lasting, streams};
use crate::harness::redis::Redis;
use crate::harness::{self, until};

#[tokio::test]
async fn a_lease_taken_late_keeps_nobody_waiting() {
    let plex = harness::plex(3).await;
    let redis = Redis::start().await;
    let server = lasting(&plex, "0.2").redis(&redis).start().await;
    connected(&server).await;
    redis.freeze();
    // Both want to know whether anybody has it, and hear nothing.
    for path in [ACTIVITIES, SESSIONS] {
        server.get(path).await;
    }
    redis.thaw();
    back(&server).await;
    let two = lasting(&plex, "0.2").redis(&redis).start().await;
    connected(&two).await;
    for path in [ACTIVITIES, SESSIONS] {
        let started = Instant::now();
        assert_eq!(two.get(path).await.status, 200);
        assert!(started.elapsed() < QUICK, "{:?}", started.elapsed());
    }
}

#[tokio::test]
async fn a_value_written_late_is_as_old_as_it_is() {
    const TTL: Duration = Duration::from_secs(1);
    let plex = harness::plex(3).await;
    let redis = Redis::start().await;
    let server = lasting(&plex, "1").redis(&redis).start().await;
    let two = lasting(&plex, "1").redis(&redis).start().await;
    connected(&server).await;
    connected(&two).await;
    plex.set_fault("/status/sessions", Fault::Hold);
    let url = format!("{}{ACTIVITIES}", server.url);
    let fetching = tokio::spawn(server.client.get(url).send());
    until("Plex is asked", || plex.calls("/status/sessions") > 0).await;
    redis.freeze();
    plex.release_holds();
    plex.clear_faults();
    assert_eq!(fetching.await.unwrap().unwrap().status(), 200);
    let fetched = Instant::now();
    down(&server, "timeout").await;
    plex.set_sessions(1);
    // Meanwhile the value that waits in the connection outlives its time.
    tokio::time::sleep((TTL * 3 / 2).saturating_sub(fetched.elapsed())).await;
    redis.thaw();
    back(&server).await;
    back(&two).await;
    assert_eq!(two.get(SESSIONS).await.json()["total"], 1);
    assert_eq!(streams(&two.get(ACTIVITIES).await), 1);
}

#[tokio::test]
async fn a_lease_that_could_not_be_given_back_keeps_nobody_waiting() {
    let plex = harness::plex(3).await;
    let redis = Redis::start().await;
    let limit = async |bytes: &str| {
        redis
            .run::<()>(&["CONFIG", "SET", "maxmemory", bytes])
            .await;
    };
    let server = lasting(&plex, "0.2").redis(&redis).start().await;
    let two = lasting(&plex, "0.2").redis(&redis).start().await;
    connected(&server).await;
    plex.set_fault("/status/sessions", Fault::Hold);
    let url = format!("{}{ACTIVITIES}", server.url);
    let fetching = tokio::spawn(server.client.get(url).send());
    until("Plex is asked", || plex.calls("/status/sessions") > 0).await;
    limit("1").await;
    plex.release_holds();
    plex.clear_faults();
    assert_eq!(fetching.await.unwrap().unwrap().status(), 200);
    down(&server, "out_of_memory").await;
    limit("0").await;
    back(&server).await;
    back(&two).await;
    let started = Instant::now();
    assert_eq!(streams(&two.get(ACTIVITIES).await), 3);
    assert!(started.elapsed() < QUICK, "{:?}", started.elapsed());
}
