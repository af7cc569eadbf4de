//! The warmer, `POST /api/plex/cache/warm`, and answers that survive a restart.

use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, Instant};

use komandorr::demo::Fault;
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::harness::{Server, plex, until, until_asked};

const ACTIVITIES: &str = "/api/plex/activities";
const SESSIONS: &str = "/api/plex/sessions";
const UPSTREAM: &str = "/status/sessions";
const KEPT: &str = "data/last-answers.json";

#[tokio::test]
async fn no_reader_meets_an_expired_answer_while_there_are_readers() {
    let plex = plex(2).await;
    let server = Server::builder()
        .plex(&plex)
        .env("CACHE_ACTIVITIES_TTL", "1.5")
        .env("CACHE_WARM", "")
        .start()
        .await;
    server.get(ACTIVITIES).await;
    let started = Instant::now();
    while plex.calls(UPSTREAM) < 4 {
        let answer = server.get(ACTIVITIES).await.json();
        assert_eq!(
            (&answer["cached"], &answer["stale"]),
            (&json!(true), &Value::Null)
        );
        assert!(started.elapsed() < Duration::from_secs(30), "no refreshes");
        sleep(Duration::from_millis(20)).await;
    }
    let cache = server.cache().await;
    assert_eq!(
        cache["misses"], 1,
        "the warmer counts neither hits nor misses"
    );
    assert!(
        server
            .log()
            .contains("Cache warmer refreshed activities cache at 80% TTL")
    );
}

#[tokio::test]
async fn what_nobody_reads_is_left_alone_until_somebody_does() {
    let plex = plex(2).await;
    let server = Server::builder()
        .plex(&plex)
        .env("CACHE_ACTIVITIES_TTL", "0.5")
        .env("CACHE_WARM_IDLE", "1")
        .env("CACHE_WARM", "activities")
        .start()
        .await;
    server.get(ACTIVITIES).await;
    until("a refresh by the warmer", || plex.calls(UPSTREAM) >= 2).await;
    // Until the last reader has been forgotten, and then for many looks.
    sleep(Duration::from_millis(1200)).await;
    let calls = plex.calls(UPSTREAM);
    sleep(Duration::from_millis(1500)).await;
    assert_eq!(plex.calls(UPSTREAM), calls);
    server.get(ACTIVITIES).await;
    until("warming to go on", || plex.calls(UPSTREAM) >= calls + 2).await;
}

#[tokio::test]
async fn the_caches_to_be_warmed_can_be_chosen() {
    let plex = plex(2).await;
    let chosen = |names: &str| {
        Server::builder()
            .plex(&plex)
            .env("CACHE_ACTIVITIES_TTL", "0.5")
            .env("CACHE_SESSIONS_TTL", "0.5")
            .env("CACHE_WARM", names)
    };
    let none = chosen("none").start().await;
    let sessions = chosen("sessions").start().await;
    for server in [&none, &sessions] {
        server.get(SESSIONS).await;
    }
    let log = "Cache warmer refreshed sessions cache";
    until("the warmer", || sessions.log().contains(log)).await;
    assert!(!none.log().contains("Cache warmer refreshed"));
}

#[tokio::test]
async fn warm_fetches_even_what_is_fresh_and_says_what_failed() {
    let plex = plex(2).await;
    let server = Server::builder().plex(&plex).start().await;
    server.get(ACTIVITIES).await;
    let calls = plex.calls("/activities");
    let warmed = server.post("/api/plex/cache/warm", &json!({})).await;
    assert_eq!(warmed.status, 200);
    let warmed = warmed.json();
    assert_eq!(
        (&warmed["success"], &warmed["message"], &warmed["failed"]),
        (
            &json!(true),
            &json!("Caches warmed successfully"),
            &json!([])
        )
    );
    let names = warmed["warmed"].as_array().unwrap();
    assert_eq!(names[0], "plex_activities");
    assert!(names.contains(&json!("plex_sessions")));
    assert_eq!(plex.calls("/activities"), calls + 1);
    assert_eq!(server.cache().await["hits"], 0);
    for path in [ACTIVITIES, SESSIONS, "/api/plex/media/recent"] {
        assert_eq!(server.get(path).await.json()["cached"], true, "{path}");
    }

    plex.set_fault(UPSTREAM, Fault::Status(503));
    let half = server.post("/api/plex/cache/warm", &json!({})).await.json();
    assert_eq!(half["success"], false);
    let failed = half["failed"].as_array().unwrap();
    assert!(
        failed.contains(&json!({"name": "plex_sessions",
                                "message": "Server returned status code: 503"})),
        "{half}"
    );
    assert!(
        !half["warmed"]
            .as_array()
            .unwrap()
            .contains(&json!("plex_sessions"))
    );
}

#[tokio::test]
async fn warm_without_a_body_is_fine() {
    let plex = plex(1).await;
    let server = Server::builder().plex(&plex).start().await;
    let request = server.request(&reqwest::Method::POST, "/api/plex/cache/warm");
    assert_eq!(server.send(request).await.json()["success"], true);
}

#[tokio::test]
async fn the_last_answers_survive_a_restart_and_are_served_stale() {
    let plex = plex(3).await;
    let server = Server::builder().plex(&plex).start().await;
    let before = server.get(ACTIVITIES).await.json();
    server.get(SESSIONS).await;
    let again = server.stop().await;
    let kept = again.directory().join(KEPT);
    let mode = std::fs::metadata(&kept).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert!(
        !std::fs::read_to_string(&kept)
            .unwrap()
            .contains(plex.token())
    );

    plex.refuse().await;
    let server = again.start().await;
    let answer = server.get(ACTIVITIES).await.json();
    assert_eq!(
        (&answer["stale"], &answer["cached"]),
        (&json!(true), &json!(true))
    );
    assert_eq!(answer["activities"], before["activities"]);
    assert_eq!(server.get(SESSIONS).await.json()["total"], 3);

    plex.accept().await.unwrap();
    let fresh = async || server.get(ACTIVITIES).await.json()["stale"].is_null();
    until_asked("fresh activities", fresh).await;
}

#[tokio::test]
async fn kept_answers_that_are_broken_or_of_another_server_are_ignored() {
    let (first, second) = (plex(3).await, plex(1).await);
    let server = Server::builder().plex(&first).start().await;
    server.get(ACTIVITIES).await;
    let again = server.stop().await.plex(&second);
    second.refuse().await;
    let server = again.start().await;
    assert_eq!(server.get(ACTIVITIES).await.json()["error"], true);

    let again = server
        .stop()
        .await
        .plex(&first)
        .file(KEPT, "{\"version\":1,");
    first.refuse().await;
    let server = again.start().await;
    assert_eq!(server.get(ACTIVITIES).await.json()["error"], true);
}

#[tokio::test]
async fn a_clear_removes_the_kept_answers_too() {
    let plex = plex(3).await;
    let server = Server::builder().plex(&plex).start().await;
    server.get(ACTIVITIES).await;
    let server = server.stop().await.start().await;
    let kept = server.directory.path().join(KEPT);
    assert!(kept.exists());
    server.post("/api/plex/cache/clear", &json!({})).await;
    assert!(!kept.exists());
    plex.refuse().await;
    assert_eq!(server.get(ACTIVITIES).await.json()["error"], true);
}
