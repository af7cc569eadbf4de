//! One log line and one deadline per request, the headers of every answer, and the only place where
//! the cause of a 500 is written.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use axum::extract::{MatchedPath, Request};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use tokio::time::timeout;

use super::error::{ApiError, Cause};
use super::headers;

/// For a request in all, its body included. Longer than any chain of upstream calls may take.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);

/// Method, route and status: never the query, which can hold an address or a token, and never
/// the bare path, which can hold an invite code.
pub(super) async fn observe(request: Request, next: Next) -> Response {
    static NEXT_ID: AtomicU64 = AtomicU64::new(1);
    let id = NEXT_ID.fetch_add(1, Ordering::Relaxed);
    let (method, route) = (request.method().clone(), Route::of(&request));
    let is_private = headers::is_private(request.uri().path());
    let started = Instant::now();
    // Polls the handler before its timer, unlike a layer: most answers never set one.
    let response = timeout(REQUEST_TIMEOUT, next.run(request)).await;
    let mut response = response.unwrap_or_else(|_| ApiError::request_timeout().into_response());
    headers::complete(response.headers_mut(), is_private);
    let status = response.status().as_u16();
    let ms = started.elapsed().as_secs_f64() * 1e3;
    tracing::debug!("Request {id:08x}: {method} {route} -> {status} in {ms:.1} ms");
    if let Some(Cause(cause)) = response.extensions().get() {
        tracing::error!("Request {id:08x} ({method} {route}) failed: {cause}");
    }
    response
}

/// The pattern of the route that a request takes, where one matched.
pub(super) struct Route(Option<MatchedPath>);

impl Route {
    pub(super) fn of(request: &Request) -> Self {
        Self(request.extensions().get().cloned())
    }
}

impl std::fmt::Display for Route {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0.as_ref().map_or("(no route)", MatchedPath::as_str))
    }
}
