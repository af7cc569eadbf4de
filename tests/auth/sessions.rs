//! Log-ins of browsers, by a cookie.

use reqwest::StatusCode;
use reqwest::header::HeaderMap;
use serde_json::json;

use super::{PASSWORD, USER, from, get, locked, post, right};
use crate::harness::redis::Redis;
use crate::harness::{Server, until_asked};

/// A path where a cookie counts.
const DESCRIPTION: &str = "/openapi.json";

fn set_cookie(headers: &HeaderMap) -> Option<&str> {
    headers
        .get("set-cookie")
        .map(|value| value.to_str().unwrap())
}

/// Logs in and returns the cookie as a browser sends it back.
async fn log_in(server: &Server) -> String {
    let answer = server.send(right(get(server, "/api/health"))).await;
    let cookie = set_cookie(&answer.headers).expect("a cookie");
    cookie.split(';').next().unwrap().to_owned()
}

async fn with(server: &Server, cookie: &str) -> StatusCode {
    let request = get(server, DESCRIPTION).header("cookie", cookie);
    server.send(request).await.status
}

#[tokio::test]
async fn whoever_logs_in_gets_one_cookie() {
    let server = locked().start().await;
    let answer = server.send(right(get(&server, "/api/health"))).await;
    let cookie = set_cookie(&answer.headers).unwrap();
    assert!(cookie.starts_with("komandorr_session_"), "{cookie}");
    assert!(
        cookie.ends_with("; Path=/; Max-Age=86400; HttpOnly; SameSite=Strict"),
        "{cookie}"
    );
    let cookie = cookie.split(';').next().unwrap();
    assert_eq!(with(&server, cookie).await, 200);
    let again = right(get(&server, "/api/health")).header("cookie", cookie);
    assert_eq!(set_cookie(&server.send(again).await.headers), None);
    assert_eq!(with(&server, "komandorr_session_00000000=x").await, 401);
    let unknown = format!("{}=AAAA", cookie.split('=').next().unwrap());
    assert_eq!(with(&server, &unknown).await, 401);
}

#[tokio::test]
async fn behind_a_trusted_proxy_with_tls_it_is_secure() {
    let server = locked().start().await;
    let request = right(get(&server, "/api/health")).header("x-forwarded-proto", "https");
    let answer = server.send(request).await;
    assert!(set_cookie(&answer.headers).unwrap().ends_with("; Secure"));
}

#[tokio::test]
async fn agents_get_none() {
    let server = locked().start().await;
    for path in ["/api/traffic/update", "/api/storage/update"] {
        let request = right(post(&server, path, &json!({"service_id": "none"})));
        let answer = server.send(request).await;
        assert_ne!(answer.status, 401);
        assert_eq!(set_cookie(&answer.headers), None, "{path}");
    }
}

#[tokio::test]
async fn wrong_credentials_count_more_than_a_cookie_and_end_it() {
    let server = locked().start().await;
    let cookie = log_in(&server).await;
    let request = get(&server, DESCRIPTION).header("cookie", &cookie);
    let answer = server.send(request.basic_auth(USER, Some("wrong"))).await;
    assert_eq!(answer.status, 401);
    let cleared = set_cookie(&answer.headers).unwrap();
    assert!(cleared.contains("=; Path=/; Max-Age=0;"), "{cleared}");
    assert_eq!(with(&server, &cookie).await, 401);
}

#[tokio::test]
async fn a_change_of_the_password_and_a_toggle_end_all_sessions() {
    let server = locked().start().await;
    let cookie = log_in(&server).await;
    let change = json!({"username": USER, "current_password": PASSWORD, "new_password": "new"});
    let changed = server.send(right(post(&server, "/api/auth/update", &change)));
    assert_eq!(changed.await.status, 200);
    let ended = async || with(&server, &cookie).await == 401;
    until_asked("the end of the session", ended).await;

    let new = |request: reqwest::RequestBuilder| request.basic_auth(USER, Some("new"));
    let answer = server.send(new(get(&server, "/api/health"))).await;
    let cookie = set_cookie(&answer.headers)
        .unwrap()
        .split(';')
        .next()
        .unwrap()
        .to_owned();
    assert_eq!(with(&server, &cookie).await, 200);
    for enabled in [false, true] {
        let toggle = post(&server, "/api/auth/toggle", &json!({"enabled": enabled}));
        assert_eq!(server.send(new(toggle)).await.status, 200);
    }
    let ended = async || with(&server, &cookie).await == 401;
    until_asked("the end of the session", ended).await;
}

#[tokio::test]
async fn with_redis_a_session_outlives_a_restart_but_not_a_change_meanwhile() {
    let redis = Redis::start().await;
    let server = locked().redis(&redis).start().await;
    let connected = async || {
        let stats = right(get(&server, "/api/plex/cache/stats"));
        server.send(stats).await.json()["redis"]["connected"] == true
    };
    until_asked("Redis", connected).await;
    let cookie = log_in(&server).await;
    let kept = async || {
        redis
            .keys("*")
            .await
            .iter()
            .any(|key| key.contains("session-"))
    };
    until_asked("the session in Redis", kept).await;
    let token = cookie.split('=').nth(1).unwrap();
    for key in redis.keys("*").await {
        assert!(!key.contains(token), "the token itself is in Redis");
    }

    let server = server.stop().await.start().await;
    let valid = async || with(&server, &cookie).await == 200;
    until_asked("the session of the last run", valid).await;
    assert_eq!(with(&server, &format!("{cookie}x")).await, 401);

    let builder = server.stop().await;
    let auth = json!({"enabled": true, "username": USER, "password": "other"});
    let server = builder.config(&json!({"auth": auth})).start().await;
    let connected = async || {
        let stats = get(&server, "/api/plex/cache/stats").basic_auth(USER, Some("other"));
        server.send(stats).await.json()["redis"]["connected"] == true
    };
    until_asked("Redis", connected).await;
    assert_eq!(with(&server, &cookie).await, 401);
}

#[tokio::test]
async fn every_client_has_its_own() {
    let server = locked().start().await;
    let mut cookies = Vec::new();
    for client in 0..3 {
        let answer = server
            .send(from(right(get(&server, "/api/config")), client))
            .await;
        cookies.push(set_cookie(&answer.headers).unwrap().to_owned());
    }
    cookies.sort();
    cookies.dedup();
    assert_eq!(cookies.len(), 3);
}
