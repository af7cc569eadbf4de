//! `/api/plex/media/recent`.

use std::time::Duration;

use futures_util::future::join_all;
use komandorr::demo::Fault;
use serde_json::{Value, json};

use crate::harness::{Server, plex, until_asked};

const RECENT: &str = "/api/plex/media/recent";

fn list(of: &[Value]) -> Fault {
    Fault::Body(json!({"MediaContainer": {"Metadata": of}}).to_string())
}

fn titles(answer: &Value) -> Vec<&str> {
    let media = answer["media"].as_array().unwrap();
    media
        .iter()
        .map(|item| item["title"].as_str().unwrap())
        .collect()
}

#[tokio::test]
async fn the_newest_of_all_libraries_come_in_order_without_a_token() {
    let plex = plex(1).await;
    let server = Server::builder().plex(&plex).start().await;
    plex.change_library(2);
    let answer = server.get(RECENT).await;
    assert_eq!(answer.status, 200);
    assert!(!answer.text.contains(plex.token()) && !answer.text.contains("X-Plex-Token"));
    let body = answer.json();
    let media = body["media"].as_array().unwrap();
    assert_eq!(media.len(), 30);
    for item in media {
        let keys: Vec<&String> = item.as_object().unwrap().keys().collect();
        assert_eq!(keys, ["title", "type", "year", "poster", "rating"]);
        assert!(item["title"].is_string(), "{item}");
        assert!(item["type"] == "movie" || item["type"] == "show", "{item}");
        assert!(item["year"].is_i64() || item["year"].is_null(), "{item}");
        assert!(
            item["rating"].is_f64() || item["rating"].is_null(),
            "{item}"
        );
        let poster = item["poster"].as_str().unwrap();
        assert!(poster.starts_with("/library/metadata/"), "{poster}");
    }
    assert_eq!(media[0]["type"], "movie", "the film that has just come in");
    assert!(
        media.iter().any(|item| item["type"] == "show"),
        "no library takes all places"
    );
    assert_eq!(body["cached"], false);
    let again = server.get(RECENT).await.json();
    assert_eq!(
        (&again["cached"], &again["media"]),
        (&json!(true), &body["media"])
    );
    for section in 1..=4 {
        let path = format!("/library/sections/{section}/recentlyAdded");
        assert_eq!(plex.calls(&path), 1);
    }
    assert_eq!(plex.calls("/library/sections/5/recentlyAdded"), 0, "music");
    assert_eq!(plex.tokens_in_queries(), 0);
}

#[tokio::test]
async fn entries_of_all_kinds_are_interleaved_and_broken_ones_left_out() {
    let plex = plex(1).await;
    for section in 1..=4 {
        plex.set_fault(
            &format!("/library/sections/{section}/recentlyAdded"),
            list(&[]),
        );
    }
    let token = plex.token();
    plex.set_fault("/library/sections/1/recentlyAdded", list(&[
        json!({"title": "<b>Old</b> 🦊", "addedAt": 10, "thumb": "/t/1", "year": 1999, "rating": 7.5}),
        json!("junk"), json!(null), json!({"title": "no picture", "addedAt": 99}),
        json!({"title": "no picture either", "thumb": "", "addedAt": 99}),
        json!({"title": null, "thumb": format!("/t/2?X-Plex-Token={token}"), "year": "2001", "rating": null}),
    ]));
    plex.set_fault("/library/sections/4/recentlyAdded", list(&[
        json!({"type": "season", "title": "Season 2", "parentTitle": "A Show", "addedAt": "30", "thumb": "/t/3"}),
        json!({"type": "episode", "title": "Pilot", "grandparentTitle": "B Show", "addedAt": 20, "thumb": "/t/4"}),
    ]));
    let server = Server::builder().plex(&plex).start().await;
    let answer = server.get(RECENT).await;
    assert!(!answer.text.contains(token));
    let body = answer.json();
    assert_eq!(
        titles(&body),
        [
            "A Show - Season 2",
            "B Show - Pilot",
            "<b>Old</b> 🦊",
            "Unknown"
        ]
    );
    assert_eq!(
        body["media"][3],
        json!({"title": "Unknown", "type": "movie", "year": 2001, "poster": "/t/2", "rating": null})
    );
    assert_eq!(body["media"][2]["rating"].to_string(), "7.5");
}

#[tokio::test]
async fn unconfigured_both_names_of_the_list_are_there() {
    let server = Server::builder().start().await;
    let answer = server.get(RECENT).await;
    assert_eq!(answer.status, 200);
    assert_eq!(
        answer.json(),
        json!({"media": [], "items": [], "not_configured": true})
    );
}

#[tokio::test]
async fn failures_without_earlier_data_are_500_and_say_which() {
    let plex = plex(1).await;
    let ask = async || {
        let server = Server::builder().plex(&plex).start().await;
        let answer = server.get(RECENT).await;
        assert_eq!(answer.status, 500);
        answer.json()["detail"].as_str().unwrap().to_owned()
    };
    plex.set_fault("/library/sections", Fault::Status(503));
    assert_eq!(ask().await, "Failed to fetch library sections");
    plex.set_fault("/library/sections", Fault::Html);
    assert_eq!(
        ask().await,
        "Error fetching recent media: The server's answer is not what a Plex server sends"
    );
    plex.clear_faults();
    for section in 1..=4 {
        let path = format!("/library/sections/{section}/recentlyAdded");
        plex.set_fault(&path, Fault::Status(500));
    }
    assert_eq!(
        ask().await,
        "Error fetching recent media: Server returned status code: 500"
    );
    plex.refuse().await;
    assert_eq!(
        ask().await,
        "Error fetching recent media: Could not connect to server - check URL"
    );
}

#[tokio::test]
async fn a_failing_library_costs_only_itself_and_only_for_now() {
    let plex = plex(1).await;
    for section in 2..=4 {
        let path = format!("/library/sections/{section}/recentlyAdded");
        plex.set_fault(&path, Fault::Status(500));
    }
    let server = Server::builder()
        .plex(&plex)
        .env("CACHE_RECENT_MEDIA_TTL", "0.05")
        .start()
        .await;
    let half = server.get(RECENT).await;
    assert_eq!(half.status, 200);
    let half = half.json();
    assert!(
        half["media"]
            .as_array()
            .unwrap()
            .iter()
            .all(|item| item["type"] == "movie")
    );
    assert!(
        server
            .log()
            .contains("Could not fetch shows from section 3: Server returned")
    );
    plex.clear_faults();
    until_asked("the whole", async || {
        let media = server.get(RECENT).await.json()["media"].clone();
        media
            .as_array()
            .unwrap()
            .iter()
            .any(|item| item["type"] == "show")
    })
    .await;
}

#[tokio::test]
async fn the_last_list_stays_while_plex_fails() {
    let plex = plex(1).await;
    let server = Server::builder()
        .plex(&plex)
        .env("CACHE_RECENT_MEDIA_TTL", "0.02")
        .start()
        .await;
    let before = server.get(RECENT).await.json();
    plex.set_fault("*", Fault::Status(500));
    until_asked("an old list", async || {
        let answer = server.get(RECENT).await.json();
        assert_eq!(answer["media"], before["media"]);
        answer["stale"] == true
    })
    .await;
}

#[tokio::test]
async fn twenty_cold_readers_cost_one_fetch() {
    let plex = plex(1).await;
    plex.set_fault(
        "/library/sections",
        Fault::Delay(Duration::from_millis(200)),
    );
    let server = Server::builder().plex(&plex).start().await;
    for answer in join_all((0..20).map(|_| server.get(RECENT))).await {
        assert_eq!(answer.json()["media"].as_array().unwrap().len(), 30);
    }
    assert_eq!(plex.calls("/library/sections"), 1);
    assert_eq!(plex.calls("/library/sections/1/recentlyAdded"), 1);
    assert!(plex.most_at_once() <= 4);
}

#[tokio::test]
async fn no_libraries_are_an_empty_list() {
    let plex = plex(1).await;
    plex.set_fault(
        "/library/sections",
        Fault::Body(r#"{"MediaContainer":{"size":0}}"#.to_owned()),
    );
    let server = Server::builder().plex(&plex).start().await;
    let answer = server.get(RECENT).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.json()["media"], json!([]));
}
