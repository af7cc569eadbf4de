//! Log-in: which requests ask for credentials, and whether they have them. Requests of other sites
//! end here too.

mod api;
mod refused;

use std::sync::Arc;

use axum::extract::Request;
use axum::http::{HeaderMap, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

pub(super) use api::router;

use super::client::Client;
use super::error::ApiError;
use super::requests::Route;
use super::{is_read, origin};
use crate::access::{Cookie, Refusal};
use crate::app::AppState;
use crate::settings::Settings;

/// What the pages of an invite need, which friends without an account open. Exact paths: 3.3.0
/// let everything pass that merely began with one of them.
const PUBLIC: [(Method, &str); 9] = [
    (Method::GET, "/api/auth/status"),
    (Method::POST, "/api/invites/validate"),
    (Method::POST, "/api/invites/redeem"),
    (Method::GET, "/api/invites/tmdb/api-key"),
    (Method::GET, "/api/oauth/plex/login"),
    (Method::POST, "/api/oauth/plex/redeem"),
    (Method::GET, "/api/plex/stats/live"),
    (Method::GET, "/api/plex/media/recent"),
    (Method::GET, "/api/plex/proxy/image"),
];
/// The same, followed by the number of a PIN.
const PUBLIC_PIN: &str = "/api/oauth/plex/check/";
/// What the frontend opens without credentials, because it can't send any or does not: there a
/// cookie counts. Everywhere else it does not, so that it can't be used to change anything.
const BY_COOKIE: [&str; 3] = ["/api/traffic/ws", "/docs", "/openapi.json"];
const BY_COOKIE_BELOW: [&str; 3] = ["/api/uploader/", "/api/arr-activity/", "/docs/"];
/// These change the log-in themselves, and answer for it.
const OF_LOG_IN: &str = "/api/auth/";

/// The log-in that a request was let through with ([`Settings::auth_revision`]). A handler that
/// changes the log-in makes sure that it is still in force.
#[derive(Clone, Copy, Debug)]
pub(super) struct AdmittedBy(u64);

/// What is looked at of a request.
#[derive(Clone, Copy)]
struct Asked<'a> {
    method: &'a Method,
    path: &'a str,
    headers: &'a HeaderMap,
    client: Client,
}

/// What becomes of a request.
enum Decision {
    /// It goes on; its answer takes this cookie along.
    Pass(Option<String>),
    Refuse(Refusal),
}

/// Lets a request through if nothing is wrong with where it comes from, and its path is public,
/// log-in is off, or its credentials are right. `settings` are those of now, so that a change needs
/// no restart.
pub(super) async fn require(
    app: &AppState,
    mut settings: Arc<Settings>,
    mut request: Request,
    next: Next,
) -> Response {
    if let Some(refusal) = origin::refusal(&request, &settings) {
        return refusal.into_response();
    }
    let client = Client::of(request.extensions(), request.headers(), &settings.access);
    let decision = loop {
        // Not the request as a whole, whose body can't be shared across an await.
        let asked = Asked {
            method: request.method(),
            path: request.uri().path(),
            headers: request.headers(),
            client,
        };
        let decision = decide(app, &settings, asked).await;
        // It may have taken a while; what counts is the log-in of now.
        if app.settings.auth_revision() == settings.auth_revision {
            break decision;
        }
        settings = app.settings.current();
    };
    let revision = settings.auth_revision;
    match decision {
        Decision::Pass(cookie) => {
            if request.uri().path().starts_with(OF_LOG_IN) {
                request.extensions_mut().insert(AdmittedBy(revision));
            }
            let response = answer(app, request, next, revision).await;
            match cookie {
                Some(token) => app.access.cookie.set(response, &token, client.secure),
                None => response,
            }
        }
        Decision::Refuse(refusal) => {
            let response = refuse(&request, refusal, client);
            let is_wrong = matches!(refusal, Refusal::Wrong | Refusal::Undecodable);
            match app.access.cookie.find(request.headers()) {
                Some(token) if is_wrong => {
                    app.access.sessions.end(&app.shared, token);
                    app.access.cookie.clear(response, client.secure)
                }
                _ => response,
            }
        }
    }
}

/// Runs the handler. What changes something ends with the log-in that it was let through by: its
/// body may arrive long after a password was changed.
async fn answer(app: &AppState, request: Request, next: Next, revision: u64) -> Response {
    let (method, path) = (request.method(), request.uri().path());
    if is_read(method) || path.starts_with(OF_LOG_IN) || !needs_credentials(method, path) {
        return next.run(request).await;
    }
    let mut settings = app.settings.subscribe();
    tokio::select! {
        biased;
        response = next.run(request) => response,
        _ = settings.wait_for(|now| now.auth_revision != revision) => {
            ApiError::unavailable("The log-in was changed meanwhile").into_response()
        }
    }
}

async fn decide(app: &AppState, settings: &Settings, asked: Asked<'_>) -> Decision {
    let Asked {
        method,
        path,
        headers,
        client,
    } = asked;
    let auth = &settings.auth;
    if !auth.enabled || !needs_credentials(method, path) {
        return Decision::Pass(None);
    }
    let sessions = &app.access.sessions;
    let cookie = app.access.cookie.find(headers);
    let Some(given) = headers.get(header::AUTHORIZATION) else {
        let Some(token) = cookie.filter(|_| takes_cookie(method, path)) else {
            return Decision::Refuse(Refusal::Missing);
        };
        return match sessions.find(settings, &app.shared, token).await {
            Some(Cookie::Keep) => Decision::Pass(None),
            Some(Cookie::Renew) => Decision::Pass(Some(token.to_owned())),
            None => Decision::Refuse(Refusal::Missing),
        };
    };
    if let Err(refusal) = app.access.admit(auth, given, client.address).await {
        return Decision::Refuse(refusal);
    }
    let state = cookie.and_then(|token| sessions.touch(settings, &app.shared, token));
    Decision::Pass(match (state, cookie) {
        (Some(Cookie::Keep), _) => None,
        (Some(Cookie::Renew), Some(token)) => Some(token.to_owned()),
        _ => is_browser(headers).then(|| {
            let token = sessions.begin(settings, &app.shared);
            token.expose().to_owned()
        }),
    })
}

/// Agents and scripts keep no cookies: each of their requests would begin a session.
fn is_browser(headers: &HeaderMap) -> bool {
    let agent = headers.get(header::USER_AGENT);
    let agent = agent.and_then(|agent| agent.to_str().ok());
    agent.is_some_and(|agent| agent.starts_with("Mozilla/"))
        || headers.contains_key("sec-fetch-site")
}

fn refuse(request: &Request, refusal: Refusal, client: Client) -> Response {
    let (route, address) = (Route::of(request), client.address);
    let what = match refusal {
        Refusal::Missing => "Unauthorized access attempt to",
        Refusal::Wrong => "Invalid credentials for",
        Refusal::Undecodable => "Undecodable credentials for",
        Refusal::TooMany => "Too many log-ins wait to let in one for",
    };
    refused::warn(format_args!("{what} {route} from {address}"));
    let about_log_in = request.uri().path().starts_with(OF_LOG_IN);
    answer_to(refusal, about_log_in).into_response()
}

/// The contract's texts (02, sections 3 and 4).
fn answer_to(refusal: Refusal, about_log_in: bool) -> ApiError {
    match refusal {
        Refusal::Missing => ApiError::unauthorized("Authentication required"),
        Refusal::TooMany => ApiError::too_many_requests("Too many log-ins wait, try again later"),
        _ if about_log_in => ApiError::unauthorized("Invalid credentials"),
        Refusal::Wrong => ApiError::unauthorized("Invalid username or password"),
        Refusal::Undecodable => ApiError::unauthorized("Authentication failed"),
    }
}

/// HEAD is treated as GET.
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
    let is_pin = |rest: &str| !rest.is_empty() && !rest.contains('/');
    let public = PUBLIC.iter().any(|(m, p)| m == method && *p == path)
        || (method == Method::GET && path.strip_prefix(PUBLIC_PIN).is_some_and(is_pin));
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
            (Method::GET, "/api/oauth/plex/redeem"),
            (Method::GET, "/api/oauth/plex/check"),
            (Method::GET, "/api/oauth/plex/check/"),
            (Method::GET, "/api/oauth/plex/check/1/more"),
            (Method::GET, "/api/oauth/plex/anything"),
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
            (Method::GET, "/api/oauth/plex/check/123"),
            (Method::POST, "/api/oauth/plex/redeem"),
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
