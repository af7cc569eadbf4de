//! `komandorr demo`: the whole product without a Plex server.

use std::time::{Duration, Instant};

use reqwest::Method;

use crate::harness::{Server, command};

#[tokio::test]
async fn the_demo_shows_moving_activities_and_touches_nothing_real() {
    let server = Server::builder()
        .env("PLEX_SERVER_URL", "http://192.0.2.1:32400")
        .env("PLEX_SERVER_TOKEN", "real")
        .env("AUTH_PASSWORD", "real")
        .env("ENABLE_AUTH", "true")
        .argument("demo")
        .start()
        .await;
    let body = server.get("/api/plex/activities").await.json();
    assert_eq!(body["error"], false);
    let first = body["activities"].as_array().unwrap().clone();
    assert!(first.len() >= 5, "{first:?}");
    let config = server.get("/api/plex/config").await.json();
    assert!(
        config["url"]
            .as_str()
            .unwrap()
            .starts_with("http://127.0.0.1:")
    );
    assert_eq!(config["server_name"], "Demo Plex");

    let started = Instant::now();
    loop {
        server
            .post("/api/plex/cache/clear", &serde_json::json!({}))
            .await;
        let now = server.get("/api/plex/activities").await.json()["activities"].clone();
        if now.as_array().unwrap() != &first {
            break;
        }
        assert!(started.elapsed() < Duration::from_secs(15), "nothing moves");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let files: Vec<_> = std::fs::read_dir(server.directory.path())
        .unwrap()
        .collect();
    assert!(files.is_empty(), "the demo left files: {files:?}");
}

#[tokio::test]
async fn a_page_stands_in_for_the_frontend() {
    let server = Server::builder().argument("demo").start().await;
    let page = server
        .request(&Method::GET, "/")
        .header("accept", "text/html,*/*;q=0.8");
    let page = server.send(page).await;
    assert!(
        page.headers["content-type"]
            .to_str()
            .unwrap()
            .starts_with("text/html")
    );
    let endpoints = page.text.match_indices("href=\"/").map(|(at, _)| {
        let rest = &page.text[at + 6..];
        rest.split('"').next().unwrap()
    });
    let endpoints: Vec<&str> = endpoints.collect();
    assert!(endpoints.contains(&"/api/plex/activities"), "{endpoints:?}");
    for endpoint in endpoints {
        assert_eq!(server.get(endpoint).await.status, 200, "{endpoint}");
    }
    let greeting = server.get("/").await.json();
    assert_eq!(greeting["message"], "Komandorr Dashboard API");
}

#[tokio::test]
async fn the_demo_leaves_a_real_data_directory_alone() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::create_dir(directory.path().join("data")).unwrap();
    std::fs::write(directory.path().join("data/komandorr.db"), "precious").unwrap();
    let mut demo = command(directory.path());
    let output = demo
        .args(["demo", "--port", "0", "--data-dir", "data"])
        .output()
        .await
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("data: not made by a demonstration"), "{said}");
    assert_eq!(
        std::fs::read_dir(directory.path().join("data"))
            .unwrap()
            .count(),
        1
    );
}
