//! Log-in: which requests ask for credentials, and whether they have them.

mod api;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

pub(super) use api::router;

use super::client::Client;
use super::error::ApiError;
use super::requests::Route;
use crate::access::{Cookie, Refusal};
use crate::app::AppState;
use crate::settings::AuthSettings;

/// What the pages of an invite need, which friends without an account open. Exact paths: 3.3.0
/// let everything pass that merely began with one of them.
const PUBLIC: [(Method, &str); 7] = [
    (Method::GET, "/api/auth/status"),
    (Method::POST, "/api/invites/validate"),
    (Method::POST, "/api/invites/redeem"),
    (Method::GET, "/api/invites/tmdb/api-key"),
    (Method::GET, "/api/plex/stats/live"),
    (Method::GET, "/api/plex/media/recent"),
    (Method::GET, "/api/plex/proxy/image"),
];
/// The log-in with a Plex account, on the same pages.
const PUBLIC_BELOW: &str = "/api/oauth/plex/";
/// What the frontend opens without credentials, because it can't send any or does not: there a
/// cookie counts. Everywhere else it does not, so that it can't be used to change anything.
const BY_COOKIE: [&str; 3] = ["/api/traffic/ws", "/docs", "/openapi.json"];
const BY_COOKIE_BELOW: [&str; 3] = ["/api/uploader/", "/api/arr-activity/", "/docs/"];
/// What agents post every other second. They keep no cookies.
const OF_AGENTS: [&str; 2] = ["/api/traffic/update", "/api/storage/update"];

/// Lets a request through if its path is public, log-in is off, or its credentials are right. The
/// settings are asked every time, so that a change needs no restart.
pub(super) async fn require(State(app): State<AppState>, request: Request, next: Next) -> Response {
    let settings = app.settings.current();
    let auth = &settings.auth;
    let (method, path) = (request.method(), request.uri().path());
    if !auth.enabled || !needs_credentials(method, path) {
        return next.run(request).await;
    }
    let headers = request.headers();
    let cookie = &app.access.cookie;
    let client = Client::of(request.extensions(), headers, &settings.access);
    let Some(given) = headers.get(header::AUTHORIZATION) else {
        return match by_cookie(&app, auth, method, path, headers).await {
            Some(Cookie::Keep) => next.run(request).await,
            Some(Cookie::Renew) => {
                let token = cookie.find(headers).unwrap_or_default().to_owned();
                let response = next.run(request).await;
                cookie.set(response, &token, client.secure)
            }
            None => refuse(&request, Refusal::Missing),
        };
    };
    if let Err(refusal) = app.access.admit(auth, given, client.address).await {
        if let Some(token) = cookie.find(headers) {
            app.access.sessions.end(token);
        }
        return cookie.clear(refuse(&request, refusal), client.secure);
    }
    if OF_AGENTS.contains(&path) {
        return next.run(request).await;
    }
    let sessions = &app.access.sessions;
    let known = cookie.find(headers).map(str::to_owned);
    let state = known
        .as_deref()
        .and_then(|token| sessions.touch(auth, &app.shared, token));
    let fresh = match (state, known) {
        (Some(Cookie::Keep), _) => None,
        (Some(Cookie::Renew), Some(token)) => Some(token),
        _ => Some(sessions.begin(auth, &app.shared).expose().to_owned()),
    };
    let response = next.run(request).await;
    match fresh {
        Some(token) => cookie.set(response, &token, client.secure),
        None => response,
    }
}

/// Whether the cookie of a request is enough for it.
async fn by_cookie(
    app: &AppState,
    auth: &AuthSettings,
    method: &Method,
    path: &str,
    headers: &HeaderMap,
) -> Option<Cookie> {
    let token = app.access.cookie.find(headers)?;
    if !takes_cookie(method, path) {
        return None;
    }
    app.access.sessions.find(auth, &app.shared, token).await
}

fn refuse(request: &Request, refusal: Refusal) -> Response {
    let route = Route::of(request);
    match refusal {
        Refusal::Missing => tracing::warn!("Unauthorized access attempt to {route}"),
        Refusal::Wrong => tracing::warn!("Invalid credentials for {route}"),
        Refusal::Undecodable => tracing::warn!("Undecodable credentials for {route}"),
        Refusal::TooMany => tracing::warn!("Too many failed log-ins wait: {route} refused"),
    }
    let about_log_in = request.uri().path().starts_with("/api/auth/");
    answer_to(refusal, about_log_in).into_response()
}

/// The contract's texts (02, sections 3 and 4).
fn answer_to(refusal: Refusal, about_log_in: bool) -> ApiError {
    match refusal {
        Refusal::Missing => ApiError::unauthorized("Authentication required"),
        Refusal::TooMany => ApiError::too_many_requests("Too many failed log-ins, try again later"),
        _ if about_log_in => ApiError::unauthorized("Invalid credentials"),
        Refusal::Wrong => ApiError::unauthorized("Invalid username or password"),
        Refusal::Undecodable => ApiError::unauthorized("Authentication failed"),
    }
}

/// Those with HEAD are treated as those with GET.
fn as_read(method: &Method) -> &Method {
    if method == Method::HEAD {
        &Method::GET
    } else {
        method
    }
}

/// Whether a request has to prove who sends it, where log-in is on.
pub(super) fn needs_credentials(method: &Method, path: &str) -> bool {
    let of_the_api = path == "/api" || path.starts_with("/api/");
    let documentation = path == "/openapi.json" || path == "/docs" || path.starts_with("/docs/");
    let method = as_read(method);
    let public =
        path.starts_with(PUBLIC_BELOW) || PUBLIC.iter().any(|(m, p)| m == method && *p == path);
    (of_the_api || documentation) && !public
}

/// Whether a cookie is proof enough.
pub(super) fn takes_cookie(method: &Method, path: &str) -> bool {
    let listed = BY_COOKIE.contains(&path)
        || BY_COOKIE_BELOW
            .iter()
            .any(|prefix| path.starts_with(prefix));
    listed && as_read(method) == Method::GET
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_exact_paths_are_public() {
        for (method, path) in [
            (Method::GET, "/api/plex/stats"),
            (Method::POST, "/api/plex/stats/peak"),
            (Method::POST, "/api/plex/stats/live"),
            (Method::GET, "/api/plex/stats/dashboard"),
            (Method::GET, "/api/plex/stats/livex"),
            (Method::POST, "/api/auth/toggle"),
            (Method::POST, "/api/auth/update"),
            (Method::GET, "/api/invites"),
            (Method::GET, "/api/unknown"),
            (Method::GET, "/api"),
            (Method::GET, "/openapi.json"),
            (Method::GET, "/docs/anything"),
        ] {
            assert!(needs_credentials(&method, path), "{method} {path}");
        }
        for (method, path) in [
            (Method::GET, "/"),
            (Method::GET, "/healthz"),
            (Method::GET, "/invite/CODE"),
            (Method::GET, "/icons/a.png"),
            (Method::HEAD, "/api/plex/proxy/image"),
            (Method::GET, "/api/oauth/plex/login"),
            (Method::POST, "/api/invites/validate"),
            (Method::POST, "/api/invites/redeem"),
        ] {
            assert!(!needs_credentials(&method, path), "{method} {path}");
        }
    }

    #[test]
    fn a_cookie_opens_only_what_can_send_nothing_else() {
        for path in [
            "/api/traffic/ws",
            "/api/uploader/queue",
            "/api/arr-activity/queue/status",
            "/docs",
            "/docs/swagger-ui.css",
            "/openapi.json",
        ] {
            assert!(takes_cookie(&Method::GET, path), "{path}");
            assert!(takes_cookie(&Method::HEAD, path), "{path}");
            assert!(!takes_cookie(&Method::POST, path), "{path}");
        }
        for path in [
            "/api/settings",
            "/api/health",
            "/api/plex/config",
            "/api/uploader",
        ] {
            assert!(!takes_cookie(&Method::GET, path), "{path}");
        }
    }
}
