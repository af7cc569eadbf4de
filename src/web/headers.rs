//! Headers that every answer carries.

use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue, header};
use axum::middleware::Next;
use axum::response::Response;

/// Nothing is what a browser guesses it to be; other sites do not learn our addresses, which hold
/// invite codes; no page of ours needs these devices. No `X-Frame-Options` and no
/// `Cross-Origin-Opener-Policy`: dashboards are embedded, and the window for Plex's log-in is
/// watched.
const ALWAYS: [(HeaderName, HeaderValue); 3] = [
    (
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    ),
    (
        header::REFERRER_POLICY,
        HeaderValue::from_static("same-origin"),
    ),
    (
        HeaderName::from_static("permissions-policy"),
        HeaderValue::from_static("camera=(), geolocation=(), microphone=()"),
    ),
];
/// For answers of the API that say nothing else: settings hold passwords.
const NOT_KEPT: HeaderValue = HeaderValue::from_static("no-store");

/// Adds what the answer does not have yet.
pub(super) async fn secure(request: Request, next: Next) -> Response {
    let path = request.uri().path();
    let of_the_api = path.starts_with("/api/") || path == "/openapi.json";
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    for (name, value) in &ALWAYS {
        headers.entry(name).or_insert_with(|| value.clone());
    }
    if of_the_api {
        headers.entry(header::CACHE_CONTROL).or_insert(NOT_KEPT);
    }
    response
}
