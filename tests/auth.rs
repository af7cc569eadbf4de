//! Who gets in, and how: HTTP Basic, cookies, changes of the log-in, and those who guess.

mod changes;
mod routes;
mod sessions;
mod slowed;
mod sockets;

use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use crate::harness::{Builder, Server, until_asked};

const USER: &str = "jürgen";
const PASSWORD: &str = "a:b";

/// A server that asks for [`USER`] and [`PASSWORD`] and believes what 127.0.0.1 says of clients.
fn locked() -> Builder {
    let auth = json!({"enabled": true, "username": USER, "password": PASSWORD});
    Server::builder()
        .config(&json!({"auth": auth}))
        .env("TRUSTED_PROXIES", "127.0.0.1")
}

/// With the right credentials.
fn right(request: RequestBuilder) -> RequestBuilder {
    request.basic_auth(USER, Some(PASSWORD))
}

/// As a browser sends it.
fn browser(request: RequestBuilder) -> RequestBuilder {
    request.header(
        "user-agent",
        "Mozilla/5.0 (X11; Linux x86_64) Firefox/150.0",
    )
}

/// From another address than all others.
fn from(request: RequestBuilder, client: usize) -> RequestBuilder {
    request.header("x-forwarded-for", format!("198.51.100.{client}"))
}

fn get(server: &Server, path: &str) -> RequestBuilder {
    server.request(&Method::GET, path)
}

fn post(server: &Server, path: &str, body: &Value) -> RequestBuilder {
    let request = server.request(&Method::POST, path).body(body.to_string());
    request.header("content-type", "application/json")
}

#[tokio::test]
async fn pages_and_what_invites_need_are_open() {
    let server = locked().start().await;
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
    let server = locked().start().await;
    let with = |header: &str| get(&server, "/api/health").header("authorization", header);
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
    let log = server.log();
    assert!(log.contains("WARNING - Undecodable credentials for /api/health"));
    assert!(!log.contains(PASSWORD), "the password is in the log");
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
