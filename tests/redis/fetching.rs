//! One instance of all fetches, and all get what becomes of it.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use komandorr::demo::{Fault, Simulator};
use serde_json::{Value, json};
use tokio::time::sleep;

use super::{ACTIVITIES, STREAMS, WORK};
use super::{instance, published, start_all, tier};
use crate::harness::redis::Redis;
use crate::harness::{Answer, Builder, Server, plex, until_asked};

fn instances(count: usize, plex: &Simulator, redis: &Redis, ttl: &str) -> Vec<Builder> {
    let make = |_| instance(plex, redis).env("CACHE_ACTIVITIES_TTL", ttl);
    (0..count).map(make).collect()
}

async fn ask(servers: &[Server]) -> Vec<Answer> {
    join_all(servers.iter().map(|server| server.get(ACTIVITIES))).await
}

/// The sum of this counter of the second tier.
async fn sum(servers: &[Server], counter: &str) -> u64 {
    let all = join_all(servers.iter().map(tier)).await;
    all.iter().map(|tier| tier[counter].as_u64().unwrap()).sum()
}

#[tokio::test]
async fn instances_that_are_asked_at_once_cost_one_call_of_each_kind() {
    for count in [2, 5] {
        let (plex, redis) = (plex(3).await, Redis::start().await);
        let servers = start_all(instances(count, &plex, &redis, "60")).await;
        plex.set_fault("*", Fault::Delay(Duration::from_millis(400)));
        let answers = ask(&servers).await;
        assert_eq!((plex.calls(WORK), plex.calls(STREAMS)), (1, 1), "{count}");
        for answer in &answers {
            assert_eq!(answer.json()["activities"], answers[0].json()["activities"]);
            assert_eq!(answer.titles().len(), 7);
        }
        let fetched = |answer: &&Answer| answer.headers["cache-status"] == "komandorr; fwd=miss";
        assert_eq!(answers.iter().filter(fetched).count(), 1);
        let others = u64::try_from(count).unwrap() - 1;
        assert_eq!(sum(&servers, "misses").await, 1);
        assert_eq!(sum(&servers, "hits").await, others);
        let caches = join_all(servers.iter().map(Server::cache)).await;
        let counted =
            |name: &str| -> u64 { caches.iter().map(|c| c[name].as_u64().unwrap()).sum() };
        assert_eq!((counted("misses"), counted("hits")), (1, others));
    }
}

#[tokio::test]
async fn a_fetch_that_outlasts_its_lease_is_still_the_only_one() {
    let (plex, redis) = (plex(3).await, Redis::start().await);
    let servers = start_all(instances(2, &plex, &redis, "60")).await;
    plex.set_fault(STREAMS, Fault::Delay(Duration::from_millis(4500)));
    for answer in ask(&servers).await {
        assert_eq!(answer.titles().len(), 7);
    }
    assert_eq!(plex.calls(STREAMS), 1);
}

#[tokio::test]
async fn a_failure_is_shared_so_that_nobody_hammers_plex() {
    let (plex, redis) = (plex(3).await, Redis::start().await);
    let servers = start_all(instances(5, &plex, &redis, "60")).await;
    plex.set_fault("*", Fault::Status(500));
    for answer in ask(&servers).await {
        assert_eq!(answer.json()["error"], true);
        assert_eq!(answer.json()["activities"], json!([]));
    }
    assert_eq!(plex.calls(STREAMS), 1);
    let began = Instant::now();
    while began.elapsed() < Duration::from_millis(1600) {
        ask(&servers).await;
        sleep(Duration::from_millis(20)).await;
    }
    // One instance alone tries again once in this time.
    assert!(plex.calls(STREAMS) <= 4, "{}", plex.calls(STREAMS));
    plex.clear_faults();
    for server in &servers {
        until_asked("the end of the trouble", async || {
            server.get(ACTIVITIES).await.json()["error"] == false
        })
        .await;
    }
}

#[tokio::test]
async fn the_first_instance_that_gets_through_to_plex_ends_the_trouble_for_all() {
    let (plex, redis) = (plex(3).await, Redis::start().await);
    let servers = start_all(instances(3, &plex, &redis, "60")).await;
    let header = ("retry-after", "600".to_owned());
    let status = 503;
    plex.set_fault("*", Fault::StatusWith { status, header });
    for answer in ask(&servers).await {
        assert_eq!(answer.json()["error"], true);
    }
    plex.clear_faults();
    for answer in ask(&servers).await {
        assert_eq!(
            answer.json()["error"],
            true,
            "Plex is left alone until then"
        );
    }
    servers[0].post("/api/plex/cache/warm", &json!({})).await;
    plex.forget_calls();
    let began = Instant::now();
    for server in &servers {
        until_asked("the news", async || {
            server.get(ACTIVITIES).await.json()["error"] == false
        })
        .await;
    }
    assert!(
        began.elapsed() < Duration::from_secs(10),
        "long before its time"
    );
    assert_eq!(plex.calls(STREAMS), 0, "they take it");
}

#[tokio::test]
async fn while_plex_fails_all_instances_have_their_old_values() {
    let (plex, redis) = (plex(3).await, Redis::start().await);
    let servers = start_all(instances(5, &plex, &redis, "0.5")).await;
    ask(&servers).await;
    plex.set_fault("*", Fault::Status(503));
    plex.forget_calls();
    for server in &servers {
        until_asked("an old value", async || {
            let answer = server.get(ACTIVITIES).await;
            assert_eq!(answer.titles().len(), 7);
            answer.json()["stale"] == true
        })
        .await;
    }
    for answer in ask(&servers).await {
        assert_eq!(answer.json()["stale"], true);
        assert_eq!(answer.titles().len(), 7);
    }
    // The first failure, and perhaps a second try of whoever met it.
    assert!(plex.calls(STREAMS) <= 2, "{}", plex.calls(STREAMS));
}

#[tokio::test]
async fn a_half_is_shared_as_a_half() {
    let (plex, redis) = (plex(3).await, Redis::start().await);
    let mut servers = start_all(instances(3, &plex, &redis, "2")).await;
    let (third, second, first) = (
        servers.pop().unwrap(),
        servers.pop().unwrap(),
        servers.pop().unwrap(),
    );
    assert_eq!(second.get(ACTIVITIES).await.titles().len(), 7);
    published(&redis, "plex:activities").await;
    plex.set_fault(WORK, Fault::Status(500));
    until_asked("the end of the whole", async || {
        redis.keys("komandorr:plex:activities").await.is_empty()
    })
    .await;
    let half = first.get(ACTIVITIES).await;
    assert_eq!(half.titles().len(), 3, "nothing else is to be had");
    published(&redis, "plex:activities").await;
    let meta: String = redis.run(&["GET", "komandorr:meta:plex:activities"]).await;
    let meta: Value = serde_json::from_str(&meta).unwrap();
    assert!(meta["missing"].is_object(), "{meta}");

    let taken = third.get(ACTIVITIES).await;
    assert_eq!(taken.titles().len(), 3);
    let preferred = second.get(ACTIVITIES).await;
    assert_eq!(preferred.titles().len(), 7, "its young whole one is better");
    assert_eq!(preferred.json()["stale"], true);
    assert_eq!(plex.calls(STREAMS), 2);
    assert_eq!(third.cache().await["fetch_errors"], 0);
}
