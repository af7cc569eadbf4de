//! What HTTP clients meet whatever they ask for.

use std::time::Duration;

use reqwest::{Client, Method};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::harness::{Server, until};

#[tokio::test]
async fn both_spellings_of_a_path_are_answered_directly() {
    let server = Server::builder().start().await;
    for path in [
        "/api/health",
        "/api/health/",
        "/api/config/",
        "/api/plex/config/",
    ] {
        assert_eq!(server.get(path).await.status, 200, "{path}");
    }
}

#[tokio::test]
async fn an_unknown_api_path_is_a_404_with_or_without_a_frontend() {
    let bare = Server::builder().start().await;
    let full = Server::builder()
        .file("frontend/dist/index.html", "page")
        .start()
        .await;
    for server in [&bare, &full] {
        for path in ["/api/nope", "/api/nope/", "/api", "/api/", "/api/plex"] {
            for method in [Method::GET, Method::POST, Method::DELETE] {
                let answer = server.send(server.request(&method, path)).await;
                assert_eq!(answer.status, 404, "{method} {path}");
                assert_eq!(
                    answer.json(),
                    json!({"detail": "Not Found"}),
                    "{method} {path}"
                );
            }
        }
    }
}

#[tokio::test]
async fn a_wrong_method_is_a_405_that_lists_all_right_ones() {
    let server = Server::builder().start().await;
    for (method, path, allowed) in [
        (Method::DELETE, "/api/plex/config", "GET,HEAD,POST"),
        (Method::GET, "/api/plex/validate", "POST"),
        (Method::PUT, "/api/plex/activities", "GET,HEAD"),
        (Method::GET, "/api/plex/cache/clear/", "POST"),
        (Method::POST, "/somewhere", "GET,HEAD"),
    ] {
        let answer = server.send(server.request(&method, path)).await;
        assert_eq!(answer.status, 405, "{method} {path}");
        assert_eq!(answer.json(), json!({"detail": "Method Not Allowed"}));
        assert_eq!(answer.headers["allow"], allowed, "{method} {path}");
    }
    let head = server
        .send(server.request(&Method::HEAD, "/api/health"))
        .await;
    assert_eq!((head.status.as_u16(), head.text.as_str()), (200, ""));
}

#[tokio::test]
async fn a_post_without_a_body_is_fine_where_none_is_needed() {
    let server = Server::builder().start().await;
    let request = server.request(&Method::POST, "/api/plex/cache/clear");
    let answer = server
        .send(request.header("content-type", "application/json"))
        .await;
    assert_eq!(answer.status, 200);
}

#[tokio::test]
async fn bad_bodies_are_named_in_the_shape_that_the_frontend_reads() {
    let server = Server::builder().start().await;
    let missing = |field: &str| json!({"type": "missing", "loc": ["body", field], "msg": "Field required", "input": {}});
    let answer = server.post("/api/plex/config", &json!({})).await;
    assert_eq!(answer.status, 422);
    assert_eq!(
        answer.json(),
        json!({"detail": [missing("url"), missing("token")]})
    );

    let no_body = server.request(&Method::POST, "/api/plex/validate");
    let answer = server
        .send(no_body.header("content-type", "application/json"))
        .await;
    let whole = json!({"type": "missing", "loc": ["body"], "msg": "Field required", "input": null});
    assert_eq!(
        (answer.status.as_u16(), answer.json()),
        (422, json!({"detail": [whole]}))
    );

    let broken = |media_type: &'static str| {
        let request = server
            .request(&Method::POST, "/api/plex/config")
            .body("{bad");
        request.header("content-type", media_type)
    };
    let answer = server.send(broken("text/plain")).await;
    assert_eq!(answer.json()["detail"][0]["type"], "model_attributes_type");
    let answer = server.send(broken("application/json; charset=utf-8")).await;
    assert_eq!(answer.json()["detail"][0]["loc"], json!(["body", 1]));

    let huge = server
        .request(&Method::POST, "/api/plex/config")
        .body(vec![b' '; 2_000_000]);
    let answer = server.send(huge).await;
    assert_eq!(answer.status, 413);
    assert!(answer.json()["detail"].is_string());
}

#[tokio::test]
async fn listed_origins_may_call_and_others_may_not() {
    let server = Server::builder()
        .env("CORS_ORIGINS", "https://a.example, https://b.example/")
        .config(&json!({"auth": {"enabled": true}}))
        .start()
        .await;
    let preflight = |origin: &str| {
        server
            .request(&Method::OPTIONS, "/api/plex/config")
            .header("origin", origin.to_owned())
            .header("access-control-request-method", "POST")
            .header("access-control-request-headers", "authorization")
    };
    let allowed = server.send(preflight("https://b.example")).await;
    assert_eq!(allowed.status, 200, "a browser asks without credentials");
    assert_eq!(
        allowed.headers["access-control-allow-origin"],
        "https://b.example"
    );
    assert_eq!(allowed.headers["access-control-allow-credentials"], "true");
    assert_eq!(
        allowed.headers["access-control-allow-headers"],
        "authorization"
    );
    assert_eq!(allowed.headers["access-control-max-age"], "600");
    let refused = server.send(preflight("https://c.example")).await;
    assert!(!refused.headers.contains_key("access-control-allow-origin"));
    let simple = server
        .request(&Method::GET, "/api/health")
        .header("origin", "https://a.example");
    let answer = server.send(simple).await;
    assert_eq!(answer.status, 401);
    assert_eq!(
        answer.headers["access-control-allow-origin"],
        "https://a.example"
    );
}

#[tokio::test]
async fn the_small_endpoints() {
    let server = Server::builder().env("TZ", "Europe/Berlin").start().await;
    let health = server.get("/api/health").await.json();
    assert_eq!(health["status"], "healthy");
    assert!(health["version"].is_string() && health["services_count"].is_u64());
    assert_eq!(
        server.get("/api/config").await.json(),
        json!({"timezone": "Europe/Berlin"})
    );
    assert_eq!(server.get("/healthz").await.text, "ok");
    assert_eq!(
        server.get("/api/auth/status").await.json(),
        json!({"enabled": false})
    );
}

#[tokio::test]
async fn the_description_of_the_api_names_every_route() {
    let server = Server::builder().start().await;
    let description = server.get("/openapi.json").await.json();
    assert!(description["openapi"].as_str().unwrap().starts_with("3.1"));
    let paths: Vec<&String> = description["paths"].as_object().unwrap().keys().collect();
    for path in [
        "/api/plex/activities",
        "/api/downloads",
        "/api/plex/config",
        "/api/plex/validate",
        "/api/plex/cache/stats",
        "/api/plex/cache/clear",
        "/api/health",
        "/api/config",
        "/api/auth/status",
        "/healthz",
    ] {
        assert!(
            paths.iter().any(|known| *known == path),
            "{path} in {paths:?}"
        );
    }
}

async fn connect(server: &Server) -> TcpStream {
    TcpStream::connect(server.url.strip_prefix("http://").unwrap())
        .await
        .unwrap()
}

#[tokio::test]
async fn headers_must_come_within_ten_seconds() {
    let server = Server::builder().start().await;
    let (mut from, mut to) = connect(&server).await.into_split();
    // A byte now and then does not buy more time.
    let dripping = tokio::spawn(async move {
        to.write_all(b"GET /api/health HTTP/1.1\r\nHost: x\r\nX-Slow: ")
            .await
            .unwrap();
        while to.write_all(b"a").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    });
    let started = std::time::Instant::now();
    let _ = from.read_to_end(&mut Vec::new()).await;
    let slow = started.elapsed();
    assert!((9..13).contains(&slow.as_secs()), "{slow:?}");
    dripping.abort();
}

#[tokio::test]
async fn a_body_may_take_longer_than_headers() {
    let server = Server::builder().start().await;
    let mut stream = connect(&server).await;
    let head = "POST /api/plex/validate HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\
                Content-Type: application/json\r\nContent-Length: 26\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    for byte in br#"{"url":"plex","token":"t"}"# {
        stream.write_all(&[*byte]).await.unwrap();
        tokio::time::sleep(Duration::from_millis(430)).await;
    }
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(
        answer.starts_with("HTTP/1.1 200 OK") && answer.contains("\"valid\":false"),
        "{answer}"
    );
}

#[tokio::test]
async fn an_idle_connection_outlives_the_time_for_headers() {
    let server = Server::builder().start().await;
    let mut stream = connect(&server).await;
    let request = "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n";
    let mut answer = [0; 1024];
    stream.write_all(request.as_bytes()).await.unwrap();
    assert!(stream.read(&mut answer).await.unwrap() > 0);
    tokio::time::sleep(Duration::from_secs(11)).await;
    stream.write_all(request.as_bytes()).await.unwrap();
    assert!(
        stream.read(&mut answer).await.unwrap() > 0,
        "closed while idle"
    );
}

#[tokio::test]
async fn a_connection_serves_many_requests() {
    let server = Server::builder().start().await;
    let client = Client::builder().pool_max_idle_per_host(1).build().unwrap();
    for _ in 0..50 {
        let answer = client
            .get(format!("{}/healthz", server.url))
            .send()
            .await
            .unwrap();
        assert_eq!(answer.text().await.unwrap(), "ok");
    }
    until("the lines", || {
        server.log().matches("GET /healthz -> 200").count() == 50
    })
    .await;
}
