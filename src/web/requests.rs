//! What every request passes: CORS, one log line and one deadline, the log-in, the headers of every
//! answer, and the only place where a panic ends and the cause of a 500 is written.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use axum::extract::{MatchedPath, Request, State};
use axum::http::Method;
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use futures_util::FutureExt as _;
use tokio::time::timeout;

use super::error::{ApiError, Cause};
use super::{auth, cors, headers};
use crate::app::AppState;

/// For a request in all, its body included. Longer than any chain of upstream calls may take.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);

/// Answers one request, with all that is around its handler.
pub(super) async fn observe(State(app): State<AppState>, request: Request, next: Next) -> Response {
    static NEXT_ID: AtomicU64 = AtomicU64::new(1);
    let settings = app.settings.current();
    let origin = cors::allowed(&request, &settings.cors_origins);
    // Before the log-in: a browser sends no credentials with its preliminary question.
    if request.method() == Method::OPTIONS {
        return cors::preliminary(&request, origin);
    }
    let id = NEXT_ID.fetch_add(1, Ordering::Relaxed);
    let (method, route) = (request.method().clone(), Route::of(&request));
    let is_private = headers::is_private(request.uri().path());
    let started = Instant::now();
    let answer = AssertUnwindSafe(auth::require(&app, settings, request, next)).catch_unwind();
    // Polls the handler before its timer, unlike a layer: most answers never set one.
    let mut response = match timeout(REQUEST_TIMEOUT, answer).await {
        Ok(Ok(response)) => response,
        Ok(Err(panic)) => panicked(&*panic),
        Err(_) => ApiError::request_timeout().into_response(),
    };
    headers::complete(response.headers_mut(), is_private);
    cors::complete(response.headers_mut(), origin);
    let status = response.status().as_u16();
    let ms = started.elapsed().as_secs_f64() * 1e3;
    // Method, route and status: never the query, which can hold an address or a token, and never
    // the bare path, which can hold an invite code.
    tracing::debug!("Request {id:08x}: {method} {route} -> {status} in {ms:.1} ms");
    if let Some(Cause(cause)) = response.extensions().get() {
        tracing::error!("Request {id:08x} ({method} {route}) failed: {cause}");
    }
    response
}

fn panicked(panic: &(dyn Any + Send)) -> Response {
    let text = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("a handler panicked");
    ApiError::internal("Internal Server Error", text).into_response()
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
