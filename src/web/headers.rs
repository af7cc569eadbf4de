//! Headers that every answer carries.

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};

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

/// Whether what this path answers may hold what is nobody else's business.
pub(super) fn is_private(path: &str) -> bool {
    path.starts_with("/api/") || path == "/openapi.json"
}

/// Adds what the answer does not have yet.
pub(super) fn complete(headers: &mut HeaderMap, is_private: bool) {
    for (name, value) in &ALWAYS {
        headers.entry(name).or_insert_with(|| value.clone());
    }
    if is_private {
        headers.entry(header::CACHE_CONTROL).or_insert(NOT_KEPT);
    }
}
