//! Every route, and who gets in: a new one fails here until somebody has decided that.

use std::collections::BTreeSet;

use reqwest::Method;
use serde_json::json;

use super::{browser, from, get, locked, right};
use crate::harness::{Answer, Server};

/// Who gets in while log-in is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum For {
    /// Everybody.
    All,
    /// Who sends credentials.
    Users,
    /// Those, and browsers that have logged in.
    Sessions,
}

use For::{All, Sessions, Users};

/// All that is in `/openapi.json`.
const ROUTES: &[(&str, &str, For)] = &[
    ("GET", "/api/auth/status", All),
    ("POST", "/api/auth/toggle", Users),
    ("POST", "/api/auth/update", Users),
    ("GET", "/api/health", Users),
    ("GET", "/healthz", All),
    ("GET", "/api/config", Users),
    ("GET", "/api/plex/activities", Users),
    ("GET", "/api/downloads", Users),
    ("GET", "/api/plex/sessions", Users),
    ("GET", "/api/plex/config", Users),
    ("POST", "/api/plex/config", Users),
    ("POST", "/api/plex/validate", Users),
    ("GET", "/api/plex/cache/stats", Users),
    ("POST", "/api/plex/cache/clear", Users),
    ("POST", "/api/plex/cache/warm", Users),
    ("GET", "/api/plex/watch-history", Users),
    ("POST", "/api/plex/watch-history/sync", Users),
    ("GET", "/api/plex/stats", Users),
    ("GET", "/api/plex/stats/live", All),
    ("POST", "/api/plex/stats/peak", Users),
    ("POST", "/api/plex/stats/reset", Users),
    ("GET", "/api/plex/stats/dashboard", Users),
    ("GET", "/api/plex/media/recent", All),
    ("GET", "/api/plex/users/count", Users),
    ("GET", "/api/plex/debug/raw-activities", Users),
    ("GET", "/api/plex/proxy/image", All),
    ("GET", "/api/version", Users),
    ("GET", "/api/version/debug", Users),
    ("GET", "/api/releases", Users),
    ("GET", "/api/services", Users),
    ("POST", "/api/services", Users),
    ("POST", "/api/services/check-all", Users),
    ("GET", "/api/services/{id}", Users),
    ("PUT", "/api/services/{id}", Users),
    ("DELETE", "/api/services/{id}", Users),
    ("POST", "/api/services/{id}/check", Users),
    ("POST", "/api/traffic/update", Users),
    ("GET", "/api/traffic/summary", Users),
    ("GET", "/api/traffic/ws", Sessions),
    ("GET", "/api/traffic/{service_id}/current", Users),
    ("GET", "/api/traffic/{service_id}/history", Users),
    ("POST", "/api/storage/update", Users),
    ("GET", "/api/storage/summary", Users),
    ("GET", "/api/storage/{service_id}/current", Users),
    ("GET", "/api/storage/{service_id}/history", Users),
    ("GET", "/api/settings", Users),
    ("POST", "/api/settings", Users),
    ("GET", "/api/notifications/status", Users),
    ("GET", "/api/notifications/telegram", Users),
    ("PUT", "/api/notifications/telegram", Users),
    ("POST", "/api/notifications/telegram/test", Users),
    ("POST", "/api/upload-icon", Users),
    ("GET", "/api/invites", Users),
    ("POST", "/api/invites", Users),
    ("GET", "/api/invites/stats", Users),
    ("GET", "/api/invites/users", Users),
    ("PUT", "/api/invites/users/{user_id}/expiration", Users),
    ("GET", "/api/invites/plex/config", Users),
    ("GET", "/api/invites/tmdb/api-key", All),
    ("POST", "/api/invites/validate", All),
    ("GET", "/api/invites/{invite_id}", Users),
    ("PUT", "/api/invites/{invite_id}", Users),
    ("DELETE", "/api/invites/{invite_id}", Users),
    ("POST", "/api/invites/redeem", All),
    ("POST", "/api/invites/users/{user_id}/refresh", Users),
    ("DELETE", "/api/invites/users/{user_id}", Users),
    ("GET", "/api/oauth/plex/login", All),
    ("GET", "/api/oauth/plex/check/{pin_id}", All),
    ("POST", "/api/oauth/plex/redeem", All),
    ("GET", "/api/posterizarr/status", Users),
    ("GET", "/api/posterizarr/dashboard", Users),
    ("GET", "/api/posterizarr/system-info", Users),
    ("GET", "/api/posterizarr/version", Users),
    ("GET", "/api/posterizarr/execution-status", Users),
    ("GET", "/api/posterizarr/scheduler", Users),
    ("GET", "/api/posterizarr/runtime-history", Users),
    ("GET", "/api/posterizarr/assets/overview", Users),
    ("GET", "/api/posterizarr/assets/stats", Users),
    ("GET", "/api/posterizarr/plex-export/statistics", Users),
    ("GET", "/api/posterizarr/plex-export/runs", Users),
    ("GET", "/api/uploader/status", Sessions),
    ("GET", "/api/uploader/queue", Sessions),
    ("GET", "/api/uploader/inprogress", Sessions),
    ("GET", "/api/uploader/completed", Sessions),
    ("GET", "/api/uploader/queue_stats", Sessions),
    ("GET", "/api/uploader/completed_today_stats", Sessions),
    ("GET", "/api/uploader/failed", Sessions),
    ("GET", "/api/uploader/failed_count", Sessions),
    ("GET", "/api/vpn-proxy/status", Users),
    ("GET", "/api/vpn-proxy/containers", Users),
    ("GET", "/api/vpn-proxy/containers/vpn-info-batch", Users),
    ("GET", "/api/vpn-proxy/containers/dependents", Users),
    ("GET", "/api/vpn-proxy/containers/{container_id}", Users),
    (
        "GET",
        "/api/vpn-proxy/containers/{container_id}/vpn-info",
        Users,
    ),
    ("GET", "/api/vpn-proxy/system/docker-status", Users),
    ("GET", "/api/vpn-proxy/monitoring/status", Users),
    ("GET", "/api/vpn-proxy/monitoring", Users),
    ("GET", "/api/vpn-proxy/monitoring/network-usage", Users),
    ("GET", "/api/arr-activity/queue", Sessions),
    ("GET", "/api/arr-activity/queue/status", Sessions),
    ("GET", "/api/arr-activity/history", Sessions),
    ("GET", "/api/arr-activity/system/status", Sessions),
    ("GET", "/api/overseerr/status", Users),
    ("GET", "/api/overseerr/users", Users),
    ("POST", "/api/overseerr/users", Users),
    ("DELETE", "/api/overseerr/users/{user_id}", Users),
    ("GET", "/api/overseerr/requests", Users),
];
/// Beside those.
const UNDESCRIBED: &[(&str, &str, For)] = &[
    ("GET", "/", All),
    ("GET", "/some/page", All),
    ("GET", "/assets/none.js", All),
    ("GET", "/icons/none.png", All),
    ("GET", "/docs", Sessions),
    ("GET", "/docs/swagger-ui.css", Sessions),
    ("GET", "/release.txt", All),
    ("GET", "/docs/swagger-ui.css", Sessions),
    ("GET", "/openapi.json", Sessions),
    ("GET", "/api", Users),
    ("GET", "/api/unknown", Users),
    ("DELETE", "/api/plex/config", Users),
    ("POST", "/api/auth/status", Users),
    ("GET", "/api/plex/stats/livex", Users),
    ("POST", "/api/oauth/plex/login", Users),
    ("GET", "/api/oauth/plex/other", Users),
    ("POST", "/api/arr-activity/queue", Users),
    ("POST", "/api/uploader/queue", Users),
];

/// Another spelling must not get around the check of a path.
#[tokio::test]
async fn no_spelling_of_a_path_is_a_way_in() {
    let server = locked().start().await;
    for path in [
        "/api/plex/config/",
        "/api/plex/config?x=/api/auth/status",
        "/api/auth/status/../../plex/config",
        "/api/auth/status/%2e%2e/toggle",
        "/api/plex%2Fconfig",
        "/api/%70lex/config",
    ] {
        for method in [Method::GET, Method::HEAD] {
            let answer = server.send(server.request(&method, path)).await;
            assert!(is_refusal(&answer), "{method} {path}: {answer:?}");
        }
    }
    for path in [
        "//api/plex/config",
        "/API/plex/config",
        "/./api/plex/config",
    ] {
        let answer = server.send(get(&server, path)).await;
        assert!(!answer.text.contains("token"), "{path}: {answer:?}");
    }
}

fn all() -> impl Iterator<Item = (Method, String, For)> {
    let both = ROUTES.iter().chain(UNDESCRIBED);
    both.map(|(method, path, who)| {
        let path = path.replace(['{', '}'], "");
        (method.parse().unwrap(), path, *who)
    })
}

/// `GET /path`, as the description has it.
async fn described(server: &Server) -> BTreeSet<String> {
    let description = server.get("/openapi.json").await.json();
    let paths = description["paths"].as_object().unwrap();
    paths
        .iter()
        .flat_map(|(path, operations)| {
            let methods = operations.as_object().unwrap().keys();
            methods.map(move |method| format!("{} {path}", method.to_uppercase()))
        })
        .collect()
}

#[tokio::test]
async fn every_route_is_in_the_table() {
    let server = Server::builder().start().await;
    let known: BTreeSet<String> = ROUTES
        .iter()
        .map(|(method, path, _)| format!("{method} {path}"))
        .collect();
    let described = described(&server).await;
    let missing: Vec<_> = described.difference(&known).collect();
    let gone: Vec<_> = known.difference(&described).collect();
    assert!(
        missing.is_empty() && gone.is_empty(),
        "missing {missing:?}, gone {gone:?}"
    );
}

fn is_refusal(answer: &Answer) -> bool {
    // It would open the browser's own prompt over the log-in page.
    assert!(!answer.headers.contains_key("www-authenticate"));
    answer.status == 401
}

#[tokio::test]
async fn nobody_gets_in_without_credentials_or_with_wrong_ones() {
    let server = locked().start().await;
    for (number, (method, path, who)) in all().enumerate() {
        let request = || server.request(&method, &path);
        let anonymous = server.send(request()).await;
        assert_eq!(is_refusal(&anonymous), who != All, "{method} {path}");
        let wrong = request().basic_auth("jürgen", Some("wrong"));
        let wrong = server.send(from(wrong, number)).await;
        assert_eq!(is_refusal(&wrong), who != All, "{method} {path}");
        if who != All {
            let detail = json!({"detail": "Authentication required"});
            assert_eq!(anonymous.json(), detail, "{method} {path}");
            let detail = if path.starts_with("/api/auth/") {
                "Invalid credentials"
            } else {
                "Invalid username or password"
            };
            assert_eq!(wrong.json(), json!({"detail": detail}), "{method} {path}");
        }
    }
}

#[tokio::test]
async fn right_credentials_get_in_everywhere_and_a_cookie_only_where_it_must() {
    let server = locked().start().await;
    let answer = server
        .send(browser(right(get(&server, "/api/health"))))
        .await;
    let cookie = answer.headers["set-cookie"].to_str().unwrap();
    let (cookie, _) = cookie.split_once(';').unwrap();
    for (method, path, who) in all() {
        // Switching log-in off would let everybody in.
        if !path.starts_with("/api/auth/") {
            let answer = server.send(right(server.request(&method, &path))).await;
            assert!(!is_refusal(&answer), "{method} {path}");
        }
        let request = server.request(&method, &path).header("cookie", cookie);
        let answer = server.send(request).await;
        assert_eq!(is_refusal(&answer), who == Users, "{method} {path}");
    }
}

#[tokio::test]
async fn while_log_in_is_off_nobody_is_refused() {
    let server = Server::builder().start().await;
    for (method, path, _) in all() {
        for request in [
            server.request(&method, &path),
            right(server.request(&method, &path)),
            server.request(&method, &path).header("authorization", "x"),
        ] {
            let answer = server.send(request).await;
            assert!(!is_refusal(&answer), "{method} {path}");
        }
    }
}
