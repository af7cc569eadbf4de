//! Each instance has a database of its own: the history in it, and the peak.

use std::time::{Duration, Instant};

use komandorr::demo::{Fault, Options, Scene, Simulator};
use serde_json::json;

use super::invalidation::{CLEAR, caches};
use super::{ACTIVITIES, HISTORY, STREAMS, SYNC};
use super::{instance, published, start};
use crate::harness::redis::Redis;
use crate::harness::{self, Server, until, until_asked};

const PAGES: &str = "/status/sessions/history/all";

/// A Plex server with so many plays in its history.
async fn plex(plays: usize) -> Simulator {
    let options = Options {
        scene: Scene::Fixed { sessions: 0 },
        history_plays: plays,
        ..Options::default()
    };
    Simulator::start(options).await.unwrap()
}

async fn sync(server: &Server) {
    assert_eq!(server.post(SYNC, &json!({})).await.json()["success"], true);
}

/// Takes the history out of Redis, as the end of its TTL does.
async fn forget(redis: &Redis) {
    let keys =
        ["plex:watch_history", "meta:plex:watch_history"].map(|name| format!("komandorr:{name}"));
    let _: u8 = redis.run(&["DEL", &keys[0], &keys[1]]).await;
}

#[tokio::test]
async fn an_instance_that_is_behind_catches_up_before_it_answers_for_all() {
    let (plex, redis) = (plex(20).await, Redis::start().await);
    let one = start(instance(&plex, &redis)).await;
    let two = start(instance(&plex, &redis)).await;
    sync(&one).await;
    let before = two.get(HISTORY).await.json();
    assert_eq!(before.as_array().unwrap().len(), 20);
    assert_eq!(plex.calls("/identity"), 1, "it has read nothing itself");
    plex.add_plays(2);
    sync(&one).await;
    forget(&redis).await;
    let mut now = json!(null);
    until_asked("two has heard of it", async || {
        now = two.get(HISTORY).await.json();
        now != before
    })
    .await;
    let now = now.as_array().unwrap();
    assert_eq!(
        (now.len(), &now[2..]),
        (22, &before.as_array().unwrap()[..])
    );
    assert_eq!(plex.calls("/identity"), 3, "now it has");
    published(&redis, "plex:watch_history").await;
    let three = start(instance(&plex, &redis)).await;
    assert_eq!(three.get(HISTORY).await.json().as_array(), Some(now));
}

#[tokio::test]
async fn an_instance_that_can_not_catch_up_keeps_what_it_has_to_itself() {
    let (plex, redis) = (plex(20).await, Redis::start().await);
    let one = start(instance(&plex, &redis)).await;
    let two = start(instance(&plex, &redis)).await;
    sync(&one).await;
    let whole = two.get(HISTORY).await.json();
    assert_eq!(whole.as_array().unwrap().len(), 20);
    one.post(CLEAR, &json!({})).await;
    // What it is told comes in order: now it knows of the run, too.
    until_asked("two has cleared its caches", async || {
        let caches = caches(&two).await;
        caches.iter().all(|cache| cache["total_requests"] == 0)
    })
    .await;
    plex.set_fault("/identity", Fault::Status(503));
    assert_eq!(two.get(HISTORY).await.json(), json!([]), "it has no more");
    assert_eq!(one.get(HISTORY).await.json(), whole);
}

#[tokio::test]
async fn an_instance_that_has_just_started_catches_up_before_it_answers_for_all() {
    let (plex, redis) = (plex(20).await, Redis::start().await);
    let one = start(instance(&plex, &redis)).await;
    sync(&one).await;
    let two = start(instance(&plex, &redis)).await;
    forget(&redis).await;
    let shown = two.get(HISTORY).await.json();
    assert_eq!(shown.as_array().unwrap().len(), 20);
}

#[tokio::test]
async fn runs_that_are_asked_for_at_once_are_one() {
    let (plex, redis) = (plex(40).await, Redis::start().await);
    let one = start(instance(&plex, &redis)).await;
    let two = start(instance(&plex, &redis)).await;
    plex.set_fault(PAGES, Fault::Delay(Duration::from_millis(300)));
    let body = json!({});
    let (of_one, of_two) = tokio::join!(one.post(SYNC, &body), two.post(SYNC, &body));
    assert_eq!((plex.calls("/identity"), plex.calls(PAGES)), (1, 1));
    assert_eq!(of_one.json(), of_two.json());
    assert_eq!(of_one.json()["new"], 40);
    let shown = one.get(HISTORY).await.json();
    assert_eq!(shown.as_array().unwrap().len(), 40);
    assert_eq!(two.get(HISTORY).await.json(), shown);
}

/// Calls for pages of the history while instances run for so long.
async fn pages(plex: &Simulator, redis: &Redis, instances: usize, time: Duration) -> u64 {
    let mut servers = Vec::new();
    for _ in 0..instances {
        servers.push(start(instance(plex, redis).env("HISTORY_SYNC_INTERVAL", "1")).await);
    }
    let began = Instant::now();
    plex.forget_calls();
    until("the end", || began.elapsed() >= time).await;
    plex.calls(PAGES)
}

#[tokio::test]
async fn two_instances_read_the_history_as_often_as_one() {
    let (alone, both) = (plex(20).await, plex(20).await);
    let (redis, other) = (Redis::start().await, Redis::start().await);
    let time = Duration::from_millis(5500);
    let (of_one, of_two) = tokio::join!(
        pages(&alone, &redis, 1, time),
        pages(&both, &other, 2, time)
    );
    assert!(of_one >= 3, "{of_one}");
    assert!(of_two <= of_one + 2, "{of_two} instead of {of_one}");
}

async fn peak(server: &Server) -> i64 {
    let stats = server.get("/api/plex/stats").await.json();
    stats["peak_concurrent"].as_i64().unwrap()
}

#[tokio::test]
async fn the_peak_is_the_same_everywhere() {
    let (plex, redis) = (harness::plex(3).await, Redis::start().await);
    let one = start(instance(&plex, &redis)).await;
    let two = start(instance(&plex, &redis)).await;
    assert_eq!(peak(&two).await, 0);
    one.get(ACTIVITIES).await;
    until_asked("three streams at two", async || peak(&two).await == 3).await;
    assert_eq!(plex.calls(STREAMS), 1, "two has not counted them itself");
    let reported = two
        .post("/api/plex/stats/peak", &json!({"peak_concurrent": 8}))
        .await;
    assert_eq!(reported.json()["peak_concurrent"], 8);
    until_asked("eight at one", async || peak(&one).await == 8).await;
    one.post("/api/plex/stats/reset", &json!({})).await;
    until_asked("none at two", async || peak(&two).await == 0).await;
    let two = start(two.stop().await).await;
    assert_eq!(peak(&two).await, 0, "on its disk as well");
}
