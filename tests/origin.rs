//! Pages of other sites, and other names of this server.

use reqwest::{Method, RequestBuilder};
use serde_json::json;

use crate::harness::{Answer, Server};

fn clear(server: &Server) -> RequestBuilder {
    server.request(&Method::POST, "/api/plex/cache/clear")
}

async fn with(server: &Server, headers: &[(&str, &str)]) -> u16 {
    let request = headers
        .iter()
        .fold(clear(server), |request, (name, value)| {
            request.header(*name, *value)
        });
    server.send(request).await.status.as_u16()
}

#[tokio::test]
async fn another_site_can_change_nothing_even_while_log_in_is_off() {
    let server = Server::builder()
        .env("CORS_ORIGINS", "https://friend.example")
        .start()
        .await;
    let own = server.url.clone();
    assert_eq!(with(&server, &[]).await, 200, "curl");
    assert_eq!(with(&server, &[("origin", &own)]).await, 200);
    assert_eq!(
        with(&server, &[("origin", "https://evil.example")]).await,
        403
    );
    assert_eq!(with(&server, &[("origin", "null")]).await, 403);
    assert_eq!(
        with(&server, &[("sec-fetch-site", "cross-site")]).await,
        403
    );
    assert_eq!(
        with(&server, &[("sec-fetch-site", "same-origin")]).await,
        200
    );
    let friend = ("origin", "https://friend.example");
    assert_eq!(with(&server, &[friend]).await, 200);
    assert_eq!(
        with(&server, &[friend, ("sec-fetch-site", "cross-site")]).await,
        200
    );

    let evil = clear(&server).header("origin", "https://evil.example");
    let refused: Answer = server.send(evil).await;
    assert_eq!(
        refused.json(),
        json!({"detail": "Requests of other sites are refused"})
    );
    let reading = server
        .request(&Method::GET, "/api/health")
        .header("sec-fetch-site", "cross-site");
    assert_eq!(server.send(reading).await.status, 200, "CORS sees to that");
}

#[tokio::test]
async fn with_a_list_of_names_others_are_refused() {
    let server = Server::builder()
        .env("ALLOWED_HOSTS", "dash.example")
        .start()
        .await;
    let called = async |host: &str| {
        let request = server.request(&Method::GET, "/api/health");
        server.send(request.header("host", host)).await
    };
    for host in [
        "dash.example",
        "dash.example:8000",
        "127.0.0.1",
        "localhost",
    ] {
        assert_eq!(called(host).await.status, 200, "{host}");
    }
    let refused = called("evil.example").await;
    assert_eq!(
        (refused.status.as_u16(), refused.json()),
        (
            403,
            json!({"detail": "This server is not called by this name"})
        )
    );
}

#[tokio::test]
async fn without_one_a_public_name_is_warned_of_once() {
    let server = Server::builder().start().await;
    for host in ["dash.example", "dash.example", "nas.local", "komandorr"] {
        let request = server
            .request(&Method::GET, "/api/health")
            .header("host", host);
        assert_eq!(server.send(request).await.status, 200);
    }
    let log = server.log();
    assert_eq!(log.matches("Called as ").count(), 1, "{log}");
    assert!(log.contains("Called as dash.example: set ALLOWED_HOSTS"));
}

#[tokio::test]
async fn answers_carry_what_protects_them_in_a_browser() {
    let server = Server::builder()
        .file("frontend/dist/index.html", "page")
        .start()
        .await;
    for path in ["/", "/api/health", "/api/unknown"] {
        let headers = server.get(path).await.headers;
        assert_eq!(headers["x-content-type-options"], "nosniff", "{path}");
        assert_eq!(headers["referrer-policy"], "same-origin", "{path}");
        assert!(headers.contains_key("permissions-policy"), "{path}");
        // Dashboards are embedded, and Plex's window is watched.
        assert!(!headers.contains_key("x-frame-options"), "{path}");
        assert!(
            !headers.contains_key("cross-origin-opener-policy"),
            "{path}"
        );
    }
    let config = server.get("/api/plex/config").await.headers;
    assert_eq!(config["cache-control"], "no-store");
    let cached = server.get("/api/plex/watch-history").await.headers;
    assert_eq!(cached["cache-control"], "private, no-cache");
}
