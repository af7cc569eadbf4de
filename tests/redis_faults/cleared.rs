//! `redis_cleared` says the truth, and what could not be cleared is never shown.

use std::time::Instant;

use serde_json::json;

use super::{ACTIVITIES, QUICK, SESSIONS, back, connected, down, has_told, lasting, streams};
use crate::harness::redis::Redis;
use crate::harness::{self, Server};

const CLEAR: &str = "/api/plex/cache/clear";

async fn cleared(server: &Server) -> bool {
    let started = Instant::now();
    let answer = server.post(CLEAR, &json!({})).await;
    assert!(started.elapsed() < QUICK);
    assert_eq!(answer.status, 200);
    assert_eq!(answer.json()["success"], true);
    answer.json()["redis_cleared"].as_bool().unwrap()
}

#[tokio::test]
async fn our_keys_go_and_those_of_others_stay() {
    let plex = harness::plex(3).await;
    let redis = Redis::start().await;
    let server = lasting(&plex, "300").redis(&redis).start().await;
    connected(&server).await;
    for key in ["other:key", "komandorr", "xkomandorr:plex:activities"] {
        redis.run::<()>(&["SET", key, "stays"]).await;
    }
    for number in 0..2500 {
        let key = format!("komandorr:old:{number}");
        redis.run::<()>(&["SET", &key, "goes"]).await;
    }
    redis.run::<()>(&["SET", "komandorr:note:1", "stays"]).await;
    server.get(ACTIVITIES).await;
    server.get(SESSIONS).await;
    assert!(cleared(&server).await);
    let left = [
        "komandorr",
        "komandorr:generation",
        "komandorr:note:1",
        "other:key",
        "xkomandorr:plex:activities",
    ];
    assert_eq!(redis.keys("*").await, left);
}

#[tokio::test]
async fn what_survived_a_clear_in_redis_is_never_shown() {
    let plex = harness::plex(3).await;
    let redis = Redis::start().await;
    let server = lasting(&plex, "300").redis(&redis).start().await;
    connected(&server).await;
    for round in 1..=3 {
        plex.set_sessions(3);
        assert_eq!(streams(&server.get(ACTIVITIES).await), 3);
        assert_eq!(server.get(SESSIONS).await.json()["total"], 3);
        redis.freeze();
        plex.set_sessions(1);
        if round == 2 {
            // Nobody can even try to tell Redis.
            down(&server, "timeout").await;
        }
        assert!(!cleared(&server).await, "Redis is down");
        down(&server, "timeout").await;
        if round == 2 {
            assert_eq!(streams(&server.get(ACTIVITIES).await), 1);
        }
        redis.thaw();
        if round == 3 {
            // Somewhere between down and back.
            cleared(&server).await;
        }
        back(&server).await;
        assert_eq!(streams(&server.get(ACTIVITIES).await), 1);
        assert_eq!(server.get(SESSIONS).await.json()["total"], 1);
        has_told(&server, [round, round]).await;

        let two = lasting(&plex, "300").redis(&redis).start().await;
        connected(&two).await;
        assert_eq!(streams(&two.get(ACTIVITIES).await), 1);
        assert_eq!(two.get(SESSIONS).await.json()["total"], 1);
        drop(two);
        assert!(cleared(&server).await, "it is back");
    }
}
