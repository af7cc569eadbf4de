//! HTTP Basic where config.json has it switched on.

use reqwest::Method;
use serde_json::json;

use crate::harness::{Server, until_asked};

const PROTECTED: [(&str, &str); 12] = [
    ("GET", "/api/health"),
    ("GET", "/api/config"),
    ("GET", "/api/plex/activities"),
    ("GET", "/api/downloads"),
    ("GET", "/api/plex/config"),
    ("POST", "/api/plex/config"),
    ("POST", "/api/plex/validate"),
    ("GET", "/api/plex/cache/stats"),
    ("POST", "/api/plex/cache/clear"),
    ("GET", "/api/unknown"),
    ("DELETE", "/api/plex/config"),
    ("GET", "/openapi.json"),
];

async fn locked() -> Server {
    let auth = json!({"enabled": true, "username": "jürgen", "password": "a:b"});
    Server::builder()
        .config(&json!({"auth": auth}))
        .start()
        .await
}

#[tokio::test]
async fn every_api_path_asks_for_credentials() {
    let server = locked().await;
    for (method, path) in PROTECTED {
        let method: Method = method.parse().unwrap();
        let answer = server.send(server.request(&method, path)).await;
        assert_eq!(answer.status, 401, "{method} {path}");
        assert_eq!(answer.json(), json!({"detail": "Authentication required"}));
        // It would open the browser's own prompt over the log-in page.
        assert!(!answer.headers.contains_key("www-authenticate"));
        let wrong = server
            .request(&method, path)
            .basic_auth("jürgen", Some("wrong"));
        let answer = server.send(wrong).await;
        assert_eq!(answer.status, 401, "{method} {path}");
        assert_eq!(
            answer.json(),
            json!({"detail": "Invalid username or password"})
        );
        let right = server
            .request(&method, path)
            .basic_auth("jürgen", Some("a:b"));
        assert_ne!(server.send(right).await.status, 401, "{method} {path}");
    }
    let log = server.log();
    assert!(log.contains("WARNING - Unauthorized access attempt to /api/health"));
    assert!(!log.contains("a:b"), "the password is in the log");
}

#[tokio::test]
async fn pages_and_what_invites_need_are_open() {
    let server = locked().await;
    assert_eq!(server.get("/").await.status, 200);
    assert_eq!(server.get("/healthz").await.status, 200);
    assert_eq!(
        server.get("/api/auth/status").await.json(),
        json!({"enabled": true})
    );
    for path in [
        "/api/plex/stats/live",
        "/api/plex/media/recent",
        "/api/invites/tmdb/api-key",
    ] {
        assert_ne!(server.get(path).await.status, 401, "{path}");
    }
}

#[tokio::test]
async fn latin1_credentials_and_undecodable_ones() {
    let server = locked().await;
    let with = |header: &str| {
        server
            .request(&Method::GET, "/api/health")
            .header("authorization", header.to_owned())
    };
    // What `btoa("jürgen:a:b")` gives in a browser.
    assert_eq!(
        server.send(with("Basic avxyZ2VuOmE6Yg==")).await.status,
        200
    );
    let undecodable = server.send(with("Basic ***")).await;
    assert_eq!(
        undecodable.json(),
        json!({"detail": "Authentication failed"})
    );
    assert_eq!(server.send(with("Bearer x")).await.status, 401);
}

#[tokio::test]
async fn switching_it_on_by_hand_needs_no_restart() {
    let server = Server::builder().start().await;
    assert_eq!(server.get("/api/health").await.status, 200);
    let path = server.directory.path().join("data/config.json");
    std::fs::write(path, json!({"auth": {"enabled": true}}).to_string()).unwrap();
    let asked = async || server.get("/api/health").await.status == 401;
    until_asked("the log-in", asked).await;
}
