//! Plex is gone, hangs, refuses or talks nonsense: what readers get, and when.

use std::time::{Duration, Instant};

use komandorr::demo::{Fault, Simulator};
use serde_json::{Value, json};

use crate::harness::{Server, plex, until, until_asked};

const ACTIVITIES: &str = "/api/plex/activities";

/// A server that has fetched once and whose value has become old.
async fn with_old_value(plex: &Simulator) -> Server {
    let server = Server::builder()
        .plex(plex)
        .env("CACHE_ACTIVITIES_TTL", "0.05")
        .env("CACHE_MAX_WAIT", "0.5")
        .env("PLEX_TIMEOUT", "1.5")
        .start()
        .await;
    assert_eq!(server.get(ACTIVITIES).await.json()["error"], false);
    until_asked("its age", async || server.cache().await["stale"] == true).await;
    server
}

/// Reads `times` times and returns how long each took; all must be the old value.
async fn stale_reads(server: &Server, times: usize) -> Vec<Duration> {
    let mut took = Vec::new();
    for _ in 0..times {
        let started = Instant::now();
        let answer = server.get(ACTIVITIES).await;
        took.push(started.elapsed());
        assert_eq!(answer.status, 200);
        let body = answer.json();
        assert_eq!(
            (&body["cached"], &body["stale"]),
            (&json!(true), &json!(true)),
            "{body}"
        );
        assert!(body["cache_age"].as_f64().unwrap() > 0.0);
        assert_eq!(
            answer.headers["cache-status"],
            "komandorr; hit; ttl=-1; detail=stale"
        );
    }
    took.sort();
    took
}

/// What a reader gets when there is nothing at all to show.
async fn failure(server: &Server) -> String {
    let answer = server.get(ACTIVITIES).await;
    assert_eq!(answer.status, 200, "the frontend reads `error`");
    let body = answer.json();
    assert_eq!(
        (&body["error"], &body["activities"]),
        (&json!(true), &json!([]))
    );
    body["message"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn when_plex_is_gone_the_old_value_is_served_at_once() {
    let plex = plex(3).await;
    let server = with_old_value(&plex).await;
    plex.refuse().await;
    let took = stale_reads(&server, 60).await;
    // Not the slowest of all: tests share the machine with each other.
    assert!(took[53] < Duration::from_millis(50), "{took:?}");
    assert!(took[59] < Duration::from_millis(500), "{took:?}");
    let body = server.get(ACTIVITIES).await.json();
    let message = body["message"].as_str().unwrap();
    assert!(
        message.starts_with("No news from Plex since 20"),
        "{message}"
    );
    // The first call may still find a connection that is just being closed.
    let reasons = ["Could not connect to server", "The server broke off"];
    assert!(
        reasons.iter().any(|reason| message.contains(reason)),
        "{message}"
    );
    let cache = server.cache().await;
    assert_eq!(
        (&cache["stale"], &cache["cached"]),
        (&json!(true), &json!(true))
    );
    assert!(
        server
            .log()
            .contains("WARNING - Plex does not answer - returning stale activities")
    );

    plex.accept().await.unwrap();
    let fresh = async || server.get(ACTIVITIES).await.json().get("stale").is_none();
    until_asked("Plex is back", fresh).await;
    // The next time it goes is worth a warning again.
    plex.refuse().await;
    let stale = async || server.get(ACTIVITIES).await.json().get("stale").is_some();
    until_asked("Plex is gone again", stale).await;
    let warning = "WARNING - Plex does not answer - returning stale activities";
    until("the second warning", || {
        server.log().matches(warning).count() == 2
    })
    .await;
}

#[tokio::test]
async fn a_hanging_plex_costs_one_wait_once() {
    let plex = plex(3).await;
    let server = with_old_value(&plex).await;
    plex.forget_calls();
    plex.set_fault("*", Fault::Hang);
    let first = stale_reads(&server, 1).await[0];
    assert!(
        first >= Duration::from_millis(450) && first < Duration::from_secs(2),
        "{first:?}"
    );
    let took = stale_reads(&server, 60).await;
    assert!(took[53] < Duration::from_millis(50), "{took:?}");
    assert!(took[59] < Duration::from_millis(500), "{took:?}");
    assert!(plex.calls("/status/sessions") <= 2);
    let started = Instant::now();
    let many = futures_util::future::join_all((0..50).map(|_| server.get(ACTIVITIES))).await;
    assert!(many.iter().all(|answer| answer.json()["stale"] == true));
    assert!(
        started.elapsed() < Duration::from_secs(1),
        "{:?}",
        started.elapsed()
    );
}

#[tokio::test]
async fn without_an_old_value_one_reader_learns_of_a_hanging_plex_for_all() {
    let plex = plex(3).await;
    plex.set_fault("*", Fault::Hang);
    let server = Server::builder()
        .plex(&plex)
        .env("PLEX_TIMEOUT", "0.5")
        .start()
        .await;
    let timeout = "Connection timeout - server not reachable";
    assert_eq!(failure(&server).await, timeout);
    let started = Instant::now();
    for _ in 0..10 {
        assert_eq!(failure(&server).await, timeout);
    }
    assert!(
        started.elapsed() < Duration::from_millis(450),
        "{:?}",
        started.elapsed()
    );
    assert_eq!(plex.calls("/status/sessions"), 1);
}

#[tokio::test]
async fn every_kind_of_failure_is_an_answer_with_status_200() {
    let plex = plex(3).await;
    let not_plex = "The server's answer is not what a Plex server sends";
    let broken_off = "The server broke off its answer";
    let faults = [
        (Fault::Status(401), "Invalid Plex token"),
        (Fault::Status(498), "Invalid Plex token"),
        (Fault::Status(500), "Server returned status code: 500"),
        (Fault::Status(403), "Server returned status code: 403"),
        (Fault::Status(404), "Server returned status code: 404"),
        (
            Fault::Redirect("http://127.0.0.1:1/".to_owned()),
            "Server returned status code: 302",
        ),
        (Fault::Html, not_plex),
        (Fault::BrokenJson, not_plex),
        (Fault::Body("[]".to_owned()), not_plex),
        (Fault::Cut, broken_off),
        (
            Fault::Drip(Duration::from_millis(50)),
            "Connection timeout - server not reachable",
        ),
    ];
    let server = Server::builder()
        .plex(&plex)
        .env("PLEX_TIMEOUT", "3")
        .start()
        .await;
    for (fault, message) in faults {
        let shown = format!("{fault:?}");
        plex.set_fault("*", fault);
        server.post("/api/plex/cache/clear", &json!({})).await;
        assert_eq!(failure(&server).await, message, "{shown}");
    }
    let log = server.log();
    assert!(log.contains("ERROR - Error fetching /status/sessions: Invalid Plex token"));
    assert!(!log.contains(plex.token()), "the token is in the log");
}

#[tokio::test]
async fn an_answer_without_end_is_cut_off() {
    let plex = plex(3).await;
    plex.set_fault("*", Fault::Huge(40 * 1024 * 1024));
    // It takes its time in an unoptimised build.
    let server = Server::builder()
        .plex(&plex)
        .env("PLEX_TIMEOUT", "20")
        .start()
        .await;
    assert_eq!(
        failure(&server).await,
        "The server's answer is larger than 33554432 bytes"
    );
}

#[tokio::test]
async fn plex_is_not_asked_again_before_the_time_it_named() {
    let plex = plex(3).await;
    let header = ("retry-after", "60".to_owned());
    plex.set_fault(
        "*",
        Fault::StatusWith {
            status: 429,
            header,
        },
    );
    let server = Server::builder().plex(&plex).start().await;
    failure(&server).await;
    plex.clear_faults();
    let started = Instant::now();
    while started.elapsed() < Duration::from_millis(1500) {
        assert_eq!(failure(&server).await, "Server returned status code: 429");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(plex.calls("/status/sessions"), 1);
    // The operator knows better: validating the server ends the wait.
    server.choose(&plex).await;
    assert_eq!(server.get(ACTIVITIES).await.json()["error"], false);
}

#[tokio::test]
async fn half_an_answer_is_shown_but_not_taken_for_the_whole() {
    let plex = plex(3).await;
    plex.set_fault("/activities", Fault::Status(500));
    let server = Server::builder()
        .plex(&plex)
        .env("CACHE_ACTIVITIES_TTL", "0.3")
        .start()
        .await;
    let half = server.get(ACTIVITIES).await.json();
    assert_eq!(
        (&half["error"], &half["cached"]),
        (&json!(false), &json!(false))
    );
    assert_eq!(
        half["activities"].as_array().unwrap().len(),
        3,
        "the streams alone"
    );
    plex.clear_faults();
    until_asked("the whole", async || {
        server.get(ACTIVITIES).await.titles().len() == 7
    })
    .await;
    // Now that there is a whole value, the next half does not replace it.
    plex.set_fault("/status/sessions", Fault::Status(500));
    let stale = async || server.get(ACTIVITIES).await.json().get("stale").is_some();
    until_asked("staleness", stale).await;
    assert_eq!(server.get(ACTIVITIES).await.titles().len(), 7);
}

#[tokio::test]
async fn a_token_that_may_not_see_the_activities_sees_the_streams() {
    let plex = plex(3).await;
    plex.set_fault("/activities", Fault::Status(403));
    let server = Server::builder()
        .plex(&plex)
        .env("CACHE_ACTIVITIES_TTL", "60")
        .start()
        .await;
    assert_eq!(server.get(ACTIVITIES).await.titles().len(), 3);
    assert_eq!(server.get(ACTIVITIES).await.json()["cached"], true);
    assert_eq!(server.cache().await["fetch_errors"], 0);
}

#[tokio::test]
async fn odd_entries_cost_nothing_but_themselves() {
    let plex = plex(0).await;
    let sent = r#"{"MediaContainer":{"size":5,"Metadata":[
        {"sessionKey":7,"title":"Numbers as text","viewOffset":"30","duration":"60"},
        null, "junk", 5,
        {"title":"Ünïcode 🎬 \"quoted\" <b>","index":1.50,"Player":null}
    ]}}"#;
    plex.set_fault("/status/sessions", Fault::Body(sent.to_owned()));
    plex.set_fault("/activities", Fault::Body("{}".to_owned()));
    let server = Server::builder().plex(&plex).start().await;
    let answer = server.get(ACTIVITIES).await;
    let list: Vec<Value> = answer.json()["activities"].as_array().unwrap().clone();
    assert_eq!(list.len(), 2);
    assert_eq!(
        (&list[0]["uuid"], &list[0]["progress"]),
        (&json!("7"), &json!(50.0))
    );
    assert_eq!(list[1]["title"], "Ünïcode 🎬 \"quoted\" <b>");
    assert!(
        answer.text.contains(r#""index":1.50,"Player":null}"#),
        "verbatim"
    );
    assert_eq!(
        server.log().matches("Skipping a malformed entry").count(),
        1
    );
}
