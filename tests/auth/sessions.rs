//! Log-ins of browsers, by a cookie.

use reqwest::StatusCode;
use reqwest::header::HeaderMap;
use serde_json::json;

use super::{PASSWORD, USER, browser, get, locked, post, right};
use crate::harness::redis::Redis;
use crate::harness::{Server, database, until_asked};

/// A path where a cookie counts.
const DESCRIPTION: &str = "/openapi.json";

fn set_cookie(headers: &HeaderMap) -> Option<&str> {
    headers
        .get("set-cookie")
        .map(|value| value.to_str().unwrap())
}

/// Logs in and returns the cookie as a browser sends it back.
pub(super) async fn log_in(server: &Server) -> String {
    let answer = server
        .send(browser(right(get(server, "/api/health"))))
        .await;
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
    let answer = server
        .send(browser(right(get(&server, "/api/health"))))
        .await;
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
    let answer = server.send(browser(request)).await;
    assert!(set_cookie(&answer.headers).unwrap().ends_with("; Secure"));
}

#[tokio::test]
async fn agents_and_scripts_get_none() {
    let server = locked().start().await;
    let report = post(
        &server,
        "/api/traffic/update",
        &json!({"service_id": "none"}),
    );
    for request in [
        right(report),
        right(get(&server, "/api/health")).header("user-agent", "curl/8.5.0"),
        right(get(&server, "/api/health")).header("user-agent", "python-requests/2.31"),
    ] {
        let answer = server.send(request).await;
        assert_ne!(answer.status, 401);
        assert_eq!(set_cookie(&answer.headers), None);
    }
    // Some browsers call themselves otherwise.
    let fetching = right(get(&server, "/api/health")).header("sec-fetch-site", "same-origin");
    assert!(set_cookie(&server.send(fetching).await.headers).is_some());
}

/// Waits until Redis is in use.
async fn connected(server: &Server, password: &str) {
    let connected = async || {
        let stats = get(server, "/api/plex/cache/stats").basic_auth(USER, Some(password));
        server.send(stats).await.json()["redis"]["connected"] == true
    };
    until_asked("Redis", connected).await;
}

#[tokio::test]
async fn wrong_credentials_count_more_than_a_cookie_and_end_it() {
    let redis = Redis::start().await;
    let shared = locked().redis(&redis).start().await;
    connected(&shared, PASSWORD).await;
    for server in [locked().start().await, shared] {
        let cookie = log_in(&server).await;
        let request = get(&server, DESCRIPTION).header("cookie", &cookie);
        let answer = server.send(request.basic_auth(USER, Some("wrong"))).await;
        assert_eq!(answer.status, 401);
        let cleared = set_cookie(&answer.headers).unwrap();
        assert!(cleared.contains("=; Path=/; Max-Age=0;"), "{cleared}");
        let ended = async || with(&server, &cookie).await == 401;
        until_asked("the end of the session", ended).await;
    }
}

#[tokio::test]
async fn what_is_no_wrong_password_ends_no_session() {
    let server = locked().start().await;
    let cookie = log_in(&server).await;
    let bearer = get(&server, DESCRIPTION).header("authorization", "Bearer x");
    let answer = server.send(bearer.header("cookie", &cookie)).await;
    assert_eq!(answer.status, 401);
    assert_eq!(set_cookie(&answer.headers), None);
    assert_eq!(with(&server, &cookie).await, 200);
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
    let answer = server.send(browser(new(get(&server, "/api/health")))).await;
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
    connected(&server, PASSWORD).await;
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
    connected(&server, "other").await;
    assert_eq!(with(&server, &cookie).await, 401);
}

#[tokio::test]
async fn with_redis_an_ended_session_stays_so_over_a_restart() {
    let redis = Redis::start().await;
    let server = locked().redis(&redis).start().await;
    connected(&server, PASSWORD).await;
    let cookie = log_in(&server).await;
    let kept = async || !redis.keys("*session-*").await.is_empty();
    until_asked("the session in Redis", kept).await;
    // Off and on again: the same log-in as before, but another one for sessions.
    for enabled in [false, true] {
        let toggle = post(&server, "/api/auth/toggle", &json!({"enabled": enabled}));
        assert_eq!(server.send(right(toggle)).await.status, 200);
    }
    assert_eq!(with(&server, &cookie).await, 401);
    let generations = async || {
        let query = "SELECT count(*) FROM komandorr_state WHERE name = 'session_generation'";
        database::texts(server.directory.path(), query).await == ["1"]
    };
    until_asked("the new generation", generations).await;
    let server = server.stop().await.start().await;
    connected(&server, PASSWORD).await;
    assert_eq!(with(&server, &cookie).await, 401);
}
