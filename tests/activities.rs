//! The shape of activities and downloads.

use serde_json::{Value, json};

use crate::harness::{Server, plex};

#[tokio::test]
async fn unconfigured_is_an_answer_of_its_own_and_said_once() {
    let server = Server::builder().start().await;
    for path in [
        "/api/plex/activities",
        "/api/downloads",
        "/api/plex/activities/",
    ] {
        let answer = server.get(path).await;
        assert_eq!(answer.status, 200);
        let body = json!({"error": true, "message": "Plex not configured", "activities": []});
        assert_eq!(answer.json(), body);
    }
    assert_eq!(
        server
            .log()
            .matches("Plex not configured — skipping request")
            .count(),
        1
    );
}

#[tokio::test]
async fn every_field_has_the_type_that_the_frontend_reads() {
    let plex = plex(10).await;
    let server = Server::builder().plex(&plex).start().await;
    let body = server.get("/api/plex/activities").await.json();
    assert_eq!(body["error"], false);
    assert_eq!(body["cached"], false);
    let timestamp = body["timestamp"].as_str().unwrap();
    assert!(
        !timestamp.contains(['Z', '+']) && timestamp.starts_with("20"),
        "{timestamp}"
    );
    let list = body["activities"].as_array().unwrap();
    for activity in list {
        for text in ["uuid", "title", "subtitle", "type"] {
            assert!(activity[text].is_string(), "{text} of {activity}");
        }
        assert!(activity["progress"].is_f64(), "{activity}");
        assert!(activity["raw_data"].is_object(), "{activity}");
        let keys: Vec<&String> = activity.as_object().unwrap().keys().collect();
        assert_eq!(
            keys,
            ["uuid", "title", "subtitle", "type", "progress", "raw_data"]
        );
    }
    let kinds: Vec<&Value> = list.iter().map(|activity| &activity["type"]).collect();
    for kind in [
        "stream",
        "transcode",
        "pause",
        "media.download",
        "library.update.section",
    ] {
        assert!(kinds.contains(&&json!(kind)), "no {kind} in {kinds:?}");
    }
}

#[tokio::test]
async fn a_stream_is_computed_from_its_raw_data() {
    let plex = plex(10).await;
    let server = Server::builder().plex(&plex).start().await;
    let body = server.get("/api/downloads").await.json();
    let streams = body["activities"].as_array().unwrap().iter();
    let mut checked = 0;
    for stream in streams.filter(|a| a["raw_data"].get("sessionKey").is_some()) {
        let raw = &stream["raw_data"];
        assert_eq!(stream["uuid"], raw["sessionKey"]);
        let title = raw.get("grandparentTitle").unwrap_or(&raw["title"]);
        assert_eq!(&stream["title"], title);
        assert_eq!(stream["subtitle"], raw["title"]);
        let state = &raw["Player"]["state"];
        assert_eq!(stream["type"] == "pause", state == "paused");
        if let (Some(offset), Some(duration)) =
            (raw["viewOffset"].as_f64(), raw["duration"].as_f64())
        {
            let percent = offset / duration * 100.0;
            assert!((stream["progress"].as_f64().unwrap() - percent).abs() <= 0.005);
        }
        checked += 1;
    }
    assert_eq!(checked, 10);
}

#[tokio::test]
async fn the_token_travels_in_a_header_and_stays_out_of_the_log() {
    let plex = plex(2).await;
    let server = Server::builder().plex(&plex).start().await;
    server.get("/api/plex/activities").await;
    server.get("/api/plex/activities?X-Plex-Token=mine").await;
    assert_eq!(plex.tokens_in_queries(), 0);
    let log = server.log();
    assert!(log.contains("INFO - Cache miss - fetching fresh activities from Plex"));
    assert!(log.contains("DEBUG - Cache hit - returning cached activities (age: 0.0s)"));
    assert!(log.contains("GET /api/plex/activities -> 200 in "), "{log}");
    for secret in [plex.token(), "X-Plex-Token", "mine"] {
        assert!(!log.contains(secret), "{secret} in {log}");
    }
}
