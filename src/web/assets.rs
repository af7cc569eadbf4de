//! The built frontend, and what stands in for it where none is installed.

use std::path::Path;

use axum::Json;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{Html, IntoResponse as _, Response};
use serde::Serialize;
use tower::ServiceExt as _;
use tower_http::services::ServeFile;

use super::contained::file_of;
use super::error::ApiError;
use super::{is_read, read_only};
use crate::app::AppState;

/// Shown at `/` where no frontend is installed.
const WELCOME: &str = include_str!("welcome.html");
/// Files below `/assets` have a hash of their content in their name.
const FOR_EVER: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");
/// All others may change with the next installation; a conditional request finds out.
const ASK_AGAIN: HeaderValue = HeaderValue::from_static("no-cache");

/// `/` without a frontend, for programs; 3.3.0's keys.
#[derive(Serialize)]
struct Greeting {
    message: &'static str,
    version: &'static str,
    docs: &'static str,
}

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
    let root = &app.settings.current().frontend_dir;
    let is_asset = path.starts_with("/assets/");
    if let Some(file) = file_of(root, path).await {
        return send(&file, if is_asset { FOR_EVER } else { ASK_AGAIN }, request).await;
    }
    if is_asset || path.starts_with("/icons/") {
        return ApiError::not_found().into_response();
    }
    if let Some(index) = file_of(root, "/index.html").await {
        return send(&index, ASK_AGAIN, request).await;
    }
    if path == "/" {
        return greeting(request.headers());
    }
    ApiError::not_found().into_response()
}

/// Sends a file with its type, ETag, ranges and conditional answers.
async fn send(file: &Path, caching: HeaderValue, request: Request) -> Response {
    let mut response = match ServeFile::new(file).oneshot(request).await {
        Ok(response) => response.into_response(),
        Err(never) => match never {},
    };
    if response.status().is_success() || response.status().is_redirection() {
        response
            .headers_mut()
            .insert(header::CACHE_CONTROL, caching);
    }
    response
}

fn greeting(headers: &HeaderMap) -> Response {
    let accept = headers
        .get(header::ACCEPT)
        .and_then(|accept| accept.to_str().ok());
    if accept.is_some_and(|accept| accept.contains("text/html")) {
        return Html(WELCOME.replace("{version}", env!("CARGO_PKG_VERSION"))).into_response();
    }
    let version = env!("CARGO_PKG_VERSION");
    Json(Greeting {
        message: "Komandorr Dashboard API",
        version,
        docs: "/docs",
    })
    .into_response()
}
