//! Several instances share one cache through Redis.

use crate::harness::redis::Redis;
use crate::harness::{self, Server, until_asked};

async fn connected(server: &Server) {
    until_asked("Redis is in use", async || {
        server.get("/api/plex/cache/stats").await.json()["redis"]["connected"] == true
    })
    .await;
}

#[tokio::test]
async fn what_one_instance_has_fetched_the_others_take() {
    let plex = harness::plex(3).await;
    let redis = Redis::start().await;
    let one = Server::builder()
        .plex(&plex)
        .env("PLEX_TV_URL", &plex.url())
        .redis(&redis)
        .start()
        .await;
    let two = Server::builder()
        .plex(&plex)
        .env("PLEX_TV_URL", &plex.url())
        .redis(&redis)
        .start()
        .await;
    connected(&one).await;
    connected(&two).await;
    for path in [
        "/api/plex/activities",
        "/api/plex/sessions",
        "/api/plex/watch-history",
        "/api/plex/stats",
        "/api/plex/stats/live",
        "/api/plex/media/recent",
        "/api/plex/users/count",
    ] {
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
    let status = two.get("/api/plex/cache/stats").await.json();
    assert_eq!(status["redis"]["type"], "redis");
    assert_eq!(status["redis"]["hits"], 7);
    assert_eq!(status["redis"]["misses"], 0);
}
