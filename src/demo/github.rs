//! The simulated GitHub: the releases of this program, as far as they are asked for. It listens
//! where the server does.

use std::sync::Arc;

use axum::body::Body;
use axum::http::{HeaderMap, Response, StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Json, Router};
use chrono::{SecondsFormat, TimeDelta, Utc};
use serde_json::{Value, json};

use super::plex::Plex;

/// The token that a client has to send, if it sends one.
pub(super) const TOKEN: &str = "demo-github-token";

/// Tag and age in days, the newest first. What has a `-` in it is no latest release.
const RELEASES: [(&str, i64); 12] = [
    ("v4.0.0-beta.1", 2),
    ("v3.3.1", 9),
    ("v3.3.0", 30),
    ("v3.2.2", 44),
    ("v3.2.1", 51),
    ("v3.2.0", 58),
    ("v3.1.0", 90),
    ("v3.0.1", 121),
    ("v3.0.0", 122),
    ("v2.9.0", 200),
    ("v2.8.1", 240),
    ("v2.8.0", 244),
];

/// The paths of GitHub's API, behind the gate of the server.
pub(super) fn router() -> Router<Arc<Plex>> {
    const PATH: &str = "/repos/cyb3rgh05t/komandorr/releases";
    let latest = RELEASES.iter().find(|(tag, _)| !tag.contains('-'));
    let latest = latest.copied().unwrap_or(RELEASES[0]);
    Router::new()
        .route(
            PATH,
            get(async |headers: HeaderMap| {
                let list: Value = RELEASES.into_iter().map(release).collect();
                answered(&headers, list)
            }),
        )
        .route(
            &format!("{PATH}/latest"),
            get(async move |headers: HeaderMap| answered(&headers, release(latest))),
        )
}

/// GitHub does not ask for Plex's token, and must not be sent one.
pub(super) fn is_public(path: &str) -> bool {
    path.starts_with("/repos/")
}

/// Nobody has to say who they are; who does must be known.
fn answered(headers: &HeaderMap, answer: Value) -> Response<Body> {
    let known = format!("token {TOKEN}");
    match headers.get(header::AUTHORIZATION) {
        Some(given) if given.as_bytes() != known.as_bytes() => {
            let refusal = Json(json!({"message": "Bad credentials"}));
            (StatusCode::UNAUTHORIZED, refusal).into_response()
        }
        _ => Json(answer).into_response(),
    }
}

fn release((tag, days): (&str, i64)) -> Value {
    let published = Utc::now() - TimeDelta::days(days) - TimeDelta::hours(1);
    json!({
        "html_url": format!("https://github.com/cyb3rgh05t/komandorr/releases/tag/{tag}"),
        "tag_name": tag,
        "name": tag,
        "draft": false,
        "prerelease": tag.contains('-'),
        "published_at": published.to_rfc3339_opts(SecondsFormat::Secs, true),
        "body": "Made up for the demonstration.",
    })
}
