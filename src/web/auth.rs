//! HTTP Basic in front of the API, as long as it is switched on.

use axum::extract::{Request, State};
use axum::http::{HeaderValue, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use subtle::{Choice, ConstantTimeEq as _};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::error::ApiError;
use super::requests;
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

/// The answer to auth/status.
#[derive(serde::Serialize, ToSchema)]
struct Status {
    enabled: bool,
}

/// Whether credentials are asked for.
#[utoipa::path(get, path = "/api/auth/status", tag = "auth",
    responses((status = 200, body = Status)))]
async fn status(app: AppState) -> axum::Json<Status> {
    axum::Json(Status {
        enabled: app.settings.current().auth.enabled,
    })
}

/// The routes of this file.
pub(super) fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(status))
}

/// Lets a request through if its path is public, auth is off, or its credentials are right. The
/// settings are asked every time, so that a change needs no restart.
pub(super) async fn require(State(app): State<AppState>, request: Request, next: Next) -> Response {
    let (method, path) = (request.method(), request.uri().path());
    if needs_credentials(method, path) {
        let settings = app.settings.current();
        let auth = &settings.auth;
        if auth.enabled
            && let Err(refusal) = check(auth, request.headers().get(header::AUTHORIZATION))
        {
            let path = requests::Route::of(&request);
            match &refusal {
                Refusal::Missing => tracing::warn!("Unauthorized access attempt to {path}"),
                Refusal::Wrong => tracing::warn!("Invalid credentials for {path}"),
                Refusal::Undecodable => tracing::warn!("Undecodable credentials for {path}"),
            }
            return ApiError::unauthorized(refusal.text()).into_response();
        }
    }
    next.run(request).await
}

/// Whether a request has to prove who sends it, where log-in is on.
pub(super) fn needs_credentials(method: &Method, path: &str) -> bool {
    let of_the_api = path == "/api" || path.starts_with("/api/");
    let documentation = path == "/openapi.json" || path == "/docs";
    let method = if method == Method::HEAD {
        &Method::GET
    } else {
        method
    };
    let public =
        path.starts_with(PUBLIC_BELOW) || PUBLIC.iter().any(|(m, p)| m == method && *p == path);
    (of_the_api || documentation) && !public
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refusal {
    Missing,
    Wrong,
    Undecodable,
}

impl Refusal {
    /// The contract's texts (02, section 3).
    const fn text(self) -> &'static str {
        match self {
            Self::Missing => "Authentication required",
            Self::Wrong => "Invalid username or password",
            Self::Undecodable => "Authentication failed",
        }
    }
}

fn check(auth: &AuthSettings, header: Option<&HeaderValue>) -> Result<(), Refusal> {
    let (scheme, credentials) = header
        .and_then(|header| header.to_str().ok())
        .and_then(|header| header.split_once(' '))
        .ok_or(Refusal::Missing)?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return Err(Refusal::Missing);
    }
    let decoded = BASE64_STANDARD
        .decode(credentials.trim())
        .map_err(|_| Refusal::Undecodable)?;
    let colon = decoded
        .iter()
        .position(|byte| *byte == b':')
        .ok_or(Refusal::Undecodable)?;
    let (username, password) = (&decoded[..colon], &decoded[colon + 1..]);
    // Both are compared in any case, so that the time tells nothing.
    let right = same(&auth.username, username) & same(auth.password.expose(), password);
    if bool::from(right) {
        Ok(())
    } else {
        Err(Refusal::Wrong)
    }
}

/// Compares in constant time with the stored text in either encoding a browser may have used:
/// UTF-8, or Latin-1 as `btoa` does.
fn same(stored: &str, given: &[u8]) -> Choice {
    let latin1: Option<Vec<u8>> = stored.chars().map(|c| u8::try_from(c).ok()).collect();
    let as_latin1 = latin1.map_or(Choice::from(0), |latin1| latin1.as_slice().ct_eq(given));
    stored.as_bytes().ct_eq(given) | as_latin1
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Secret;

    fn verdict(credentials: &[u8]) -> Result<(), Refusal> {
        let auth = AuthSettings {
            enabled: true,
            username: "jürgen".to_owned(),
            password: Secret::new("a:b"),
        };
        let header = format!("Basic {}", BASE64_STANDARD.encode(credentials));
        check(&auth, Some(&HeaderValue::try_from(header).unwrap()))
    }

    #[test]
    fn credentials_are_taken_as_utf8_and_as_latin1() {
        assert_eq!(verdict("jürgen:a:b".as_bytes()), Ok(()));
        assert_eq!(verdict(b"j\xfcrgen:a:b"), Ok(()));
    }

    #[test]
    fn wrong_ones_are_told_apart_from_unreadable_ones() {
        assert_eq!(verdict("jürgen:a".as_bytes()), Err(Refusal::Wrong));
        assert_eq!(verdict(b"admin:a:b"), Err(Refusal::Wrong));
        assert_eq!(verdict(b":"), Err(Refusal::Wrong));
        assert_eq!(verdict(b"nocolon"), Err(Refusal::Undecodable));
        let auth = AuthSettings {
            enabled: true,
            username: String::new(),
            password: Secret::default(),
        };
        let with = |text: &'static str| check(&auth, Some(&HeaderValue::from_static(text)));
        assert_eq!(check(&auth, None), Err(Refusal::Missing));
        assert_eq!(with("Bearer abc"), Err(Refusal::Missing));
        assert_eq!(with("Basic"), Err(Refusal::Missing));
        assert_eq!(with("Basic ***"), Err(Refusal::Undecodable));
    }

    #[test]
    fn only_exact_paths_are_public() {
        for (method, path) in [
            (Method::GET, "/api/plex/stats"),
            (Method::POST, "/api/plex/stats/peak"),
            (Method::POST, "/api/plex/stats/live"),
            (Method::GET, "/api/plex/stats/dashboard"),
            (Method::GET, "/api/plex/stats/livex"),
            (Method::GET, "/api/invites"),
            (Method::GET, "/api/unknown"),
            (Method::GET, "/api"),
            (Method::GET, "/openapi.json"),
        ] {
            assert!(needs_credentials(&method, path), "{method} {path}");
        }
        for (method, path) in [
            (Method::GET, "/"),
            (Method::GET, "/healthz"),
            (Method::GET, "/invite/CODE"),
            (Method::HEAD, "/api/plex/proxy/image"),
            (Method::GET, "/api/oauth/plex/login"),
            (Method::POST, "/api/invites/validate"),
            (Method::POST, "/api/invites/redeem"),
        ] {
            assert!(!needs_credentials(&method, path), "{method} {path}");
        }
    }
}
