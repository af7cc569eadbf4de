//! The built frontend: its files, and its page for the routes that it has itself.

use axum::extract::{Request, State};
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse as _, Response};
use tokio::task::spawn_blocking;

use super::error::ApiError;
use super::files::{self, Found};
use super::{is_read, policy, read_only, welcome};
use crate::app::AppState;

/// Files below `/assets` have a hash of their content in their name.
const FOR_EVER: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");
/// All others may change with the next installation; a conditional request finds out.
const ASK_AGAIN: HeaderValue = HeaderValue::from_static("no-cache");

/// Answers whatever no route of the API matched: a file of the frontend, or its `index.html`,
/// for the frontend has routes of its own.
pub(super) async fn fallback(State(app): State<AppState>, request: Request) -> Response {
    let path = request.uri().path();
    if path == "/api" || path.starts_with("/api/") {
        return ApiError::not_found().into_response();
    }
    if !is_read(request.method()) {
        return read_only();
    }
    let is_asset = path.starts_with("/assets/");
    let is_file_only = is_asset || path.starts_with("/icons/") || path.starts_with("/docs/");
    let root = app.settings.current().frontend_dir.clone();
    let (wanted, is_root) = (path.to_owned(), path == "/");
    let look = move || {
        let page = || Found::look(&root, "/index.html").filter(|_| !is_file_only);
        Found::look(&root, &wanted).or_else(page)
    };
    match spawn_blocking(look).await.ok().flatten() {
        Some(found) => {
            let response = files::send(&found, request).await;
            with_rules(response, if is_asset { FOR_EVER } else { ASK_AGAIN })
        }
        None if is_root => welcome::answer(request.headers()),
        None => ApiError::not_found().into_response(),
    }
}

/// For how long it may be kept and, for a page, what it may load.
fn with_rules(mut response: Response, caching: HeaderValue) -> Response {
    let status = response.status();
    let is_page = response
        .headers()
        .get(header::CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().starts_with(b"text/html"));
    let headers = response.headers_mut();
    if status.is_success() || status.is_redirection() {
        headers.insert(header::CACHE_CONTROL, caching);
    }
    if is_page {
        headers.insert(header::CONTENT_SECURITY_POLICY, policy::FRONTEND);
    }
    response
}
