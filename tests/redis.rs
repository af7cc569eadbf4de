//! Several instances share one cache through Redis.

mod calls;
mod fetching;
mod form;
mod history;
mod invalidation;
mod leases;

use futures_util::future::join_all;
use komandorr::demo::Simulator;
use serde_json::Value;

use crate::harness::redis::{Reachable, Redis};
use crate::harness::{self, Builder, Server, until_asked};

const ACTIVITIES: &str = "/api/plex/activities";
const HISTORY: &str = "/api/plex/watch-history";
const SYNC: &str = "/api/plex/watch-history/sync";
/// Plex's own paths.
const WORK: &str = "/activities";
const STREAMS: &str = "/status/sessions";

/// What is shared, by path.
const SHARED: [&str; 7] = [
    ACTIVITIES,
    "/api/plex/sessions",
    HISTORY,
    "/api/plex/stats",
    "/api/plex/stats/live",
    "/api/plex/media/recent",
    "/api/plex/users/count",
];

/// An instance that fetches nothing but for its readers.
fn instance(plex: &Simulator, redis: &impl Reachable) -> Builder {
    Server::builder()
        .plex(plex)
        .env("PLEX_TV_URL", &plex.url())
        .env("HISTORY_SYNC_INTERVAL", "3600")
        .env("TZ", "UTC")
        // On a busy machine Redis may take longer than the 100 ms that a server gives it.
        .env("REDIS_TIMEOUT_MS", "2000")
        .redis(redis)
}

/// Starts it and waits until it has its Redis.
async fn start(instance: Builder) -> Server {
    let server = instance.start().await;
    connected(&server).await;
    server
}

async fn start_all(instances: impl IntoIterator<Item = Builder>) -> Vec<Server> {
    join_all(instances.into_iter().map(start)).await
}

async fn connected(server: &Server) {
    until_asked("Redis is in use", async || {
        tier(server).await["connected"] == true
    })
    .await;
}

/// What cache/stats says of the second tier.
async fn tier(server: &Server) -> Value {
    server.get("/api/plex/cache/stats").await.json()["redis"].clone()
}

/// Waits until what was fetched is in Redis, which nobody else waits for.
async fn published(redis: &Redis, name: &str) {
    let key = format!("komandorr:{name}");
    until_asked(&key, async || redis.run::<u8>(&["EXISTS", &key]).await == 1).await;
}

#[tokio::test]
async fn what_one_instance_has_fetched_the_others_take() {
    let plex = harness::plex(3).await;
    let redis = Redis::start().await;
    let one = start(instance(&plex, &redis)).await;
    let two = start(instance(&plex, &redis)).await;
    for path in SHARED {
        one.get(path).await;
        let before = plex.calls_by_path();
        let taken = two.get(path).await;
        let status = taken.headers["cache-status"].to_str().unwrap();
        assert!(
            status.starts_with("komandorr; hit; ttl="),
            "{path}: {status}"
        );
        assert_eq!(plex.calls_by_path(), before, "{path}");
    }
    let status = tier(&two).await;
    assert_eq!(status["type"], "redis");
    assert_eq!(status["hits"], 7);
    assert_eq!(status["misses"], 0);
}
