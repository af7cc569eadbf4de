//! What stands at `/` where no frontend is installed.

use std::sync::LazyLock;

use axum::Json;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{Html, IntoResponse as _, Response};
use serde::Serialize;

use super::policy;

const VERSION: &str = env!("CARGO_PKG_VERSION");

static PAGE: LazyLock<String> =
    LazyLock::new(|| include_str!("welcome.html").replace("{version}", VERSION));
static POLICY: LazyLock<Option<HeaderValue>> = LazyLock::new(|| policy::of_own_page(&PAGE));

/// For programs; 3.3.0's keys.
#[derive(Serialize)]
struct Greeting {
    message: &'static str,
    version: &'static str,
    docs: &'static str,
}

/// A page for people, JSON for programs.
pub(super) fn answer(asked: &HeaderMap) -> Response {
    let accept = asked.get(header::ACCEPT);
    let accept = accept.and_then(|accept| accept.to_str().ok());
    if !accept.is_some_and(|accept| accept.contains("text/html")) {
        return Json(Greeting {
            message: "Komandorr Dashboard API",
            version: VERSION,
            docs: "/docs",
        })
        .into_response();
    }
    let mut response = Html(PAGE.as_str()).into_response();
    if let Some(policy) = &*POLICY {
        response
            .headers_mut()
            .insert(header::CONTENT_SECURITY_POLICY, policy.clone());
    }
    response
}
