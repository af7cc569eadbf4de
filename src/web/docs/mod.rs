//! `GET /docs`: Swagger UI on this server's own description, without anything from the internet.
//!
//! Where log-in is on it asks for credentials, as the description does, or for the session cookie.

mod package;

use std::sync::LazyLock;

use axum::Router;
use axum::body::Body;
use axum::extract::Path;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse as _, Redirect, Response};
use axum::routing::get;
use bytes::Bytes;
use tokio::task::spawn_blocking;

use super::error::{ApiError, ApiResult};
use super::policy;
use crate::app::AppState;
use crate::cache::Accepts;

/// Where it is.
pub(super) const PATH: &str = "/docs";

const ASK_AGAIN: HeaderValue = HeaderValue::from_static("no-cache");
const JAVASCRIPT: HeaderValue = HeaderValue::from_static("text/javascript; charset=utf-8");
const CSS: HeaderValue = HeaderValue::from_static("text/css; charset=utf-8");

static BUNDLE: LazyLock<Option<Bytes>> = LazyLock::new(|| package::gzip("swagger-ui-bundle.js"));
static STYLE: LazyLock<Option<Bytes>> = LazyLock::new(|| package::gzip("swagger-ui.css"));

async fn page() -> Response {
    let headers = [
        (header::CONTENT_SECURITY_POLICY, policy::DOCS),
        (header::CACHE_CONTROL, ASK_AGAIN),
    ];
    (headers, Html(include_str!("page.html"))).into_response()
}

async fn file(Path(name): Path<String>, asked: HeaderMap) -> ApiResult<Response> {
    let (kind, gzip) = match name.as_str() {
        "start.js" => {
            let headers = [
                (header::CONTENT_TYPE, JAVASCRIPT),
                (header::CACHE_CONTROL, ASK_AGAIN),
            ];
            return Ok((headers, include_str!("start.js")).into_response());
        }
        "swagger-ui-bundle.js" => (JAVASCRIPT, &*BUNDLE),
        "swagger-ui.css" => (CSS, &*STYLE),
        _ => (CSS, &None),
    };
    let gzip = gzip.clone().ok_or_else(ApiError::not_found)?;
    packed(kind, gzip, &asked).await
}

/// Sends a file of the package in the form that the client takes.
async fn packed(kind: HeaderValue, gzip: Bytes, asked: &HeaderMap) -> ApiResult<Response> {
    let accepts = Accepts::of(asked);
    let takes_gzip = accepts.takes("gzip");
    let tag = tag(&gzip, takes_gzip);
    let mut response = Response::new(Body::empty());
    if tag.as_ref().is_some_and(|tag| accepts.has(tag)) {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    } else if takes_gzip {
        let coding = HeaderValue::from_static("gzip");
        response
            .headers_mut()
            .insert(header::CONTENT_ENCODING, coding);
        *response.body_mut() = gzip.into();
    } else {
        let plain = spawn_blocking(move || package::unpacked(&gzip)).await;
        let failed = |error| ApiError::internal("Internal Server Error", error);
        let plain = plain.map_err(|error| failed(error.into()))?;
        *response.body_mut() = plain.map_err(failed)?.into();
    }
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, kind);
    headers.insert(header::CACHE_CONTROL, ASK_AGAIN);
    headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    if let Some(tag) = tag {
        headers.insert(header::ETAG, tag);
    }
    Ok(response)
}

/// A strong tag: the checksum and the length with which gzip ends, and the form.
fn tag(gzip: &[u8], takes_gzip: bool) -> Option<HeaderValue> {
    let end: [u8; 8] = *gzip.last_chunk()?;
    let form = if takes_gzip { "gzip" } else { "plain" };
    let tag = format!("\"{:x}-{form}\"", u64::from_le_bytes(end));
    HeaderValue::try_from(tag).ok()
}

/// The routes of this file. They are no part of the API, so its description does not name them.
pub(super) fn router() -> Router<AppState> {
    Router::new()
        .route(PATH, get(page))
        .route("/docs/", get(async || Redirect::permanent(PATH)))
        .route("/docs/{file}", get(file))
}
