//! The built frontend, and what stands in for it where none is installed.

use std::path::{Component, Path, PathBuf};

use axum::Json;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{Html, IntoResponse as _, Response};
use serde::Serialize;
use tower::ServiceExt as _;
use tower_http::services::ServeFile;

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

/// The regular file below `root` that a path means; `None` if there is none or if it lies
/// outside, be it by dots or by a link.
pub(super) async fn file_of(root: &Path, path: &str) -> Option<PathBuf> {
    let relative = relative(path)?;
    let root = tokio::fs::canonicalize(root).await.ok()?;
    let file = tokio::fs::canonicalize(root.join(relative)).await.ok()?;
    let is_file = tokio::fs::metadata(&file)
        .await
        .is_ok_and(|meta| meta.is_file());
    (is_file && file.starts_with(&root)).then_some(file)
}

/// The path below the root that a request path names, decoded exactly once.
fn relative(path: &str) -> Option<PathBuf> {
    let decoded = percent_decode(path.strip_prefix('/')?)?;
    let relative = PathBuf::from(&decoded);
    let plain = relative
        .components()
        .all(|part| matches!(part, Component::Normal(_)));
    (plain && !decoded.contains(['\0', '\\'])).then_some(relative)
}

/// RFC 3986, 2.1; `None` for what is no UTF-8 text afterwards.
fn percent_decode(text: &str) -> Option<String> {
    let decoded = percent_encoding::percent_decode_str(text)
        .decode_utf8()
        .ok()?;
    Some(decoded.into_owned())
}

/// Sends a file with its type, ETag, ranges and conditional answers.
pub(super) async fn send(file: &Path, caching: HeaderValue, request: Request) -> Response {
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

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[tokio::test]
    async fn no_path_leaves_the_directory() {
        let outside = tempfile::tempdir().unwrap();
        let root = outside.path().join("dist");
        fs::create_dir_all(root.join("assets")).unwrap();
        fs::write(outside.path().join("secret"), "x").unwrap();
        fs::write(root.join("page.html"), "x").unwrap();
        fs::write(root.join("assets/a b.js"), "x").unwrap();
        symlink(outside.path().join("secret"), root.join("link")).unwrap();
        symlink(root.join("page.html"), root.join("inner")).unwrap();

        for good in ["/page.html", "/assets/a%20b.js", "/inner"] {
            assert!(file_of(&root, good).await.is_some(), "{good}");
        }
        let absolute = format!("/{}", outside.path().join("secret").display());
        for bad in [
            "/../secret",
            "/%2e%2e/secret",
            "/..%2fsecret",
            "/assets/../../secret",
            "/assets/%2e%2e/%2E%2E/secret",
            "/..%5csecret",
            "/%252e%252e/secret",
            "/link",
            "/page.html%00",
            "/assets",
            "/assets/",
            "/",
            "",
            &absolute,
            &absolute.replace('/', "%2f"),
        ] {
            assert_eq!(file_of(&root, bad).await, None, "{bad}");
        }
    }
}
