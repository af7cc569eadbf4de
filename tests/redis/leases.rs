//! Whoever fetches for all may die or freeze over it.

use std::time::{Duration, Instant};

use komandorr::demo::{Fault, Simulator};
use serde_json::json;
use tokio::task::JoinHandle;

use super::{ACTIVITIES, STREAMS};
use super::{connected, instance, published, start, tier};
use crate::harness::redis::Redis;
use crate::harness::{Builder, Server, plex, until, until_asked};

const LEASE: &str = "komandorr:lease:plex:activities";
/// Nobody is waited for longer than a lease lasts, nor the next look longer than 500 ms; the rest
/// is for a busy machine.
const TAKEN_OVER: Duration = Duration::from_millis(3500 + 1500);

fn make(plex: &Simulator, redis: &Redis) -> Builder {
    instance(plex, redis).env("CACHE_ACTIVITIES_TTL", "60")
}

/// Asks without waiting, by a connection of its own.
fn ask(server: &Server) -> JoinHandle<Option<String>> {
    let url = format!("{}{ACTIVITIES}", server.url);
    tokio::spawn(async move {
        let answer = reqwest::get(url).await.ok()?;
        answer.text().await.ok()
    })
}

#[tokio::test]
async fn when_an_instance_dies_over_its_fetch_another_takes_over() {
    let (plex, redis) = (plex(3).await, Redis::start().await);
    let one = start(make(&plex, &redis)).await;
    let two = start(make(&plex, &redis)).await;
    plex.set_fault(STREAMS, Fault::Hold);
    let lost = ask(&one);
    until("the fetch", || plex.calls(STREAMS) == 1).await;
    let (answer, ()) = tokio::join!(two.get(ACTIVITIES), async {
        until_asked("the second waits", async || {
            two.cache().await["misses"] == 1
        })
        .await;
        plex.clear_faults();
        assert_eq!(plex.calls(STREAMS), 1);
        let killed = Instant::now();
        one.stop_by("KILL").await;
        until("another fetch", || plex.calls(STREAMS) == 2).await;
        let waited = killed.elapsed();
        assert!(waited < TAKEN_OVER, "{waited:?}");
    });
    assert_eq!(answer.titles().len(), 7);
    assert_eq!(lost.await.unwrap(), None);
    published(&redis, "plex:activities").await;
    assert!(redis.keys(LEASE).await.is_empty());
}

#[tokio::test]
async fn whoever_wakes_up_late_overwrites_nothing_newer() {
    let (plex, redis) = (plex(3).await, Redis::start().await);
    let one = start(make(&plex, &redis)).await;
    let two = start(make(&plex, &redis)).await;
    plex.set_fault(STREAMS, Fault::Hold);
    let late = ask(&one);
    until("the fetch", || plex.calls(STREAMS) == 1).await;
    one.signal("STOP").await;
    let newer = json!({"MediaContainer": {"Metadata": [{"title": "NEWER"}]}});
    plex.set_fault(STREAMS, Fault::Body(newer.to_string()));
    let answer = two.get(ACTIVITIES).await;
    assert!(answer.text.contains("NEWER"));
    published(&redis, "plex:activities").await;
    let value = || redis.run::<String>(&["GET", "komandorr:plex:activities"]);
    let meta = || redis.run::<String>(&["GET", "komandorr:meta:plex:activities"]);
    let before = (value().await, meta().await);
    assert!(before.0.contains("NEWER"));

    plex.release_holds();
    one.signal("CONT").await;
    let late = late.await.unwrap().expect("its own reader is answered");
    assert!(!late.contains("NEWER"));
    // Its attempt to publish goes before these questions on its way to Redis.
    connected(&one).await;
    for _ in 0..5 {
        tier(&one).await;
    }
    let after = (value().await, meta().await);
    assert!(after == before, "{}", after.1);
}
