//! What one instance makes untrue, the others learn within a second, or when they are back.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{ACTIVITIES, HISTORY, SHARED, STREAMS, SYNC, WORK};
use super::{connected, instance, published, start, tier};
use crate::harness::redis::{Redis, Slow};
use crate::harness::{Server, plex, until_asked};

pub(super) const CLEAR: &str = "/api/plex/cache/clear";
const KEPT: &str = "data/last-answers.json";
const SOON: Duration = Duration::from_secs(1);

/// The entries of cache/stats that hold values.
pub(super) async fn caches(server: &Server) -> Vec<Value> {
    let stats = server.get("/api/plex/cache/stats").await.json();
    let caches = stats["caches"].as_array().unwrap().clone();
    let holds = caches.into_iter().filter(|one| one["hits"].is_number());
    holds.collect()
}

#[tokio::test]
async fn a_clear_empties_all_instances() {
    let (plex, redis) = (plex(3).await, Redis::start().await);
    let make = || {
        instance(&plex, &redis)
            .env("CACHE_ACTIVITIES_TTL", "60")
            .env("CACHE_SESSIONS_TTL", "60")
    };
    let one = start(make()).await;
    let two = start(make()).await;
    for path in SHARED {
        one.get(path).await;
        two.get(path).await;
    }
    // With its end it keeps its answers.
    let two = start(two.stop().await).await;
    for path in SHARED {
        two.get(path).await;
    }
    assert!(two.directory.path().join(KEPT).exists());
    assert!(
        caches(&two)
            .await
            .iter()
            .all(|one| one["cached"] == true || one["name"] == "plex_libraries")
    );
    assert!(tier(&two).await["hits"].as_u64() > Some(0));

    assert_eq!(
        one.post(CLEAR, &json!({})).await.json()["redis_cleared"],
        true
    );
    let cleared = Instant::now();
    until_asked("two is empty", async || {
        caches(&two).await.iter().all(|one| one["cached"] == false)
            && !two.directory.path().join(KEPT).exists()
    })
    .await;
    assert!(cleared.elapsed() < SOON, "{:?}", cleared.elapsed());
    for cache in caches(&two).await {
        assert_eq!(cache["total_requests"], 0, "{cache}");
    }
    let tier = tier(&two).await;
    assert_eq!((&tier["hits"], &tier["misses"]), (&json!(0), &json!(0)));
    assert_eq!(tier["total_keys"], 0);
    assert_eq!(redis.keys("komandorr:*").await, ["komandorr:generation"]);
    plex.forget_calls();
    assert_eq!(two.get(ACTIVITIES).await.json()["cached"], false);
    assert_eq!(plex.calls(WORK), 1);
}

#[tokio::test]
async fn what_one_instance_has_read_of_the_history_all_show_at_once() {
    let (plex, redis) = (plex(0).await, Redis::start().await);
    let one = start(instance(&plex, &redis)).await;
    let two = start(instance(&plex, &redis)).await;
    assert_eq!(one.post(SYNC, &json!({})).await.json()["success"], true);
    let mut before = two.get(HISTORY).await.json();
    for _ in 0..2 {
        plex.add_plays(1);
        let synced = one.post(SYNC, &json!({})).await.json();
        assert_eq!(synced["new"], 1);
        let began = Instant::now();
        until_asked("the new play", async || {
            two.get(HISTORY).await.json()[0] != before[0]
        })
        .await;
        assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
        let now = two.get(HISTORY).await.json();
        assert_eq!(now[1], before[0]);
        assert_eq!(now, one.get(HISTORY).await.json());
        before = now;
    }
    assert_eq!(plex.calls("/identity"), 3, "two has read nothing itself");
}

#[tokio::test]
async fn a_change_of_server_shows_nothing_old_and_expires_what_others_have() {
    let (first, second) = (plex(2).await, plex(5).await);
    let redis = Redis::start().await;
    let make = || instance(&first, &redis).env("CACHE_ACTIVITIES_TTL", "60");
    let one = start(make()).await;
    let two = start(make()).await;
    assert_eq!(one.get(ACTIVITIES).await.titles().len(), 6);
    assert_eq!(two.get(ACTIVITIES).await.titles().len(), 6);
    one.choose(&second).await;
    let chosen = Instant::now();
    for _ in 0..5 {
        assert_eq!(one.get(ACTIVITIES).await.titles().len(), 9);
    }
    until_asked("two asks again", async || {
        assert_eq!(
            two.get(ACTIVITIES).await.titles().len(),
            6,
            "its own server"
        );
        first.calls(STREAMS) == 2
    })
    .await;
    assert!(chosen.elapsed() < SOON, "{:?}", chosen.elapsed());
    assert_eq!(one.get(ACTIVITIES).await.titles().len(), 9);
}

#[tokio::test]
async fn who_was_away_treats_what_it_may_have_missed_as_expired() {
    let (plex, redis) = (plex(3).await, Redis::start().await);
    let mut way = Slow::in_front_of(&redis, Duration::ZERO);
    let one = start(instance(&plex, &redis).env("CACHE_ACTIVITIES_TTL", "60")).await;
    let two = start(instance(&plex, &way).env("CACHE_ACTIVITIES_TTL", "60")).await;
    one.get(ACTIVITIES).await;
    published(&redis, "plex:activities").await;
    let before = two.get(ACTIVITIES).await.json();
    assert_eq!(plex.calls(WORK), 1);

    way.refuse_subscribers().await;
    away(&two).await;
    one.post(CLEAR, &json!({})).await;
    let meanwhile = two.get(ACTIVITIES).await.json();
    assert_eq!(meanwhile["timestamp"], before["timestamp"]);
    plex.refuse().await;
    way.admit();
    connected(&two).await;
    until_asked("its old value, as such", async || {
        let answer = two.get(ACTIVITIES).await;
        assert_eq!(answer.titles().len(), 7);
        answer.json()["stale"] == true
    })
    .await;
    plex.accept().await.unwrap();
    until_asked("a new one", async || {
        let answer = two.get(ACTIVITIES).await.json();
        answer["stale"].is_null() && answer["timestamp"] != before["timestamp"]
    })
    .await;
    // What the first fetched meanwhile, or would, is this one.
    assert_eq!(one.get(ACTIVITIES).await.titles().len(), 7);
    assert_eq!(tier(&one).await["hits"], 1);
}

#[tokio::test]
async fn who_has_missed_nothing_keeps_what_it_has() {
    let (plex, redis) = (plex(3).await, Redis::start().await);
    let mut way = Slow::in_front_of(&redis, Duration::ZERO);
    let server = instance(&plex, &way)
        .env("CACHE_ACTIVITIES_TTL", "60")
        .env("CACHE_SESSIONS_TTL", "60");
    let server = start(server).await;
    for path in SHARED {
        server.get(path).await;
    }
    published(&redis, "plex:users_count").await;
    // The first look at the history has made it read Plex's: what it found is in Redis.
    server.get(HISTORY).await;
    let (calls, hits) = (plex.calls_by_path(), tier(&server).await["hits"].clone());
    way.refuse_subscribers().await;
    away(&server).await;
    way.admit();
    connected(&server).await;
    for path in SHARED {
        let status = &server.get(path).await.headers["cache-status"];
        let status = status.to_str().unwrap();
        assert!(
            status.starts_with("komandorr; hit; ttl="),
            "{path}: {status}"
        );
    }
    assert_eq!(plex.calls_by_path(), calls);
    assert_eq!(tier(&server).await["hits"], hits, "from memory");
}

async fn away(server: &Server) {
    until_asked("its way is cut", async || {
        tier(server).await["state"] == "down"
    })
    .await;
}
