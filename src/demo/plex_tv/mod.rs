//! The simulated plex.tv: accounts, whom the server is shared with, invitations, log-in by PIN, and
//! the pictures of accounts. It listens where the server does; nothing else of its paths is alike.

mod account;
mod circle;
mod pins;
mod sharing;
mod xml;

use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;
use axum::http::{Response, header};
use axum::routing::{any, delete, get, post, put};

use super::library::SECTIONS;
use super::locked;
use super::pages::error_page;
use super::picture::Size;
use super::plex::{Plex, drawn, token_of};
use circle::{Account, Circle};
use pins::Pins;

pub use circle::TakenInvitation;

/// What it remembers.
#[derive(Debug)]
pub(super) struct PlexTv {
    circle: Mutex<Circle>,
    pins: Mutex<Pins>,
}

impl PlexTv {
    pub(super) fn new(owner_token: &str) -> Self {
        let sections = SECTIONS.map(|section| section.key);
        Self {
            circle: Mutex::new(Circle::new(owner_token, &sections)),
            pins: Mutex::default(),
        }
    }

    /// Whether somebody has this token.
    pub(super) fn knows(&self, token: &str) -> bool {
        locked(&self.circle).by_token(token).is_some()
    }

    /// The token of whoever is called so; they get an account if they have none.
    pub(super) fn token_of(&self, name: &str) -> String {
        locked(&self.circle).called(name).token.clone()
    }

    /// What somebody does on the page that a log-in opens.
    pub(super) fn authorize_pin(&self, id: i64, name: &str) -> bool {
        let token = self.token_of(name);
        locked(&self.pins).authorize(id, token)
    }

    pub(super) fn expire_pin(&self, id: i64) {
        locked(&self.pins).expire(id);
    }

    pub(super) fn invitations(&self) -> Vec<TakenInvitation> {
        locked(&self.circle).taken()
    }

    pub(super) fn is_shared_with(&self, email: &str) -> bool {
        locked(&self.circle).is_shared_with(email)
    }

    pub(super) fn is_at_home(&self, email: &str) -> bool {
        locked(&self.circle).is_at_home(email)
    }

    /// Whether they have agreed to what they have watched being kept in step.
    pub(super) fn is_synced(&self, name: &str) -> bool {
        locked(&self.circle).called(name).synced
    }
}

/// The paths of plex.tv, behind the gate of the server.
pub(super) fn router() -> Router<Arc<Plex>> {
    Router::new()
        .route("/api/servers/{machine}", get(sharing::server))
        .route(
            "/api/servers/{machine}/shared_servers",
            get(sharing::shares).post(sharing::offer),
        )
        .route(
            "/api/servers/{machine}/shared_servers/{id}",
            delete(sharing::unshare),
        )
        .route("/api/users/", get(sharing::people))
        .route("/api/home/users", post(sharing::invite_home))
        .route("/api/home/users/{id}", delete(sharing::leave_home))
        // Switched off in 2025.
        .route("/api/invites/{*rest}", any(async || error_page(410)))
        .route("/api/v2/sharings/{id}", delete(sharing::unfriend))
        .route("/api/v2/user", get(account::user))
        .route(
            "/api/v2/user/view_state_sync",
            put(account::sync_view_state),
        )
        .route(
            "/api/v2/shared_servers/invites/received/pending",
            get(account::pending),
        )
        .route("/api/v2/shared_servers/{id}/accept", post(account::accept))
        .route("/api/v2/pins", post(pins::create))
        .route("/api/v2/pins/{id}", get(pins::check))
        .route("/api/v2/ping", get(pins::ping))
        .route("/users/{hash}/avatar", get(avatar))
}

/// What needs no token. The pictures of accounts must not be sent one.
pub(super) fn is_public(path: &str) -> bool {
    ["/users/", "/api/v2/pins", "/api/v2/ping"]
        .iter()
        .any(|public| path.starts_with(public))
}

/// Where the tokens of all accounts are taken; the server itself takes its owner's only.
pub(super) fn is_its_own(path: &str) -> bool {
    path.starts_with("/api/")
}

/// The address by which a request has reached the simulator, which is where its plex.tv is.
pub(super) struct Here(pub(super) String);

impl<S: Sync> FromRequestParts<S> for Here {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Infallible> {
        let host = parts.headers.get(header::HOST);
        let host = host.and_then(|host| host.to_str().ok());
        Ok(Self(format!("http://{}", host.unwrap_or("localhost"))))
    }
}

/// Whose token it is.
struct Caller(Account);

impl FromRequestParts<Arc<Plex>> for Caller {
    type Rejection = Response<Body>;

    async fn from_request_parts(
        parts: &mut Parts,
        plex: &Arc<Plex>,
    ) -> Result<Self, Response<Body>> {
        let token = token_of(&parts.headers, &parts.uri).unwrap_or_default();
        let circle = locked(&plex.plex_tv.circle);
        let account = circle.by_token(&token).cloned();
        drop(circle);
        account.map(Self).ok_or_else(|| error_page(401))
    }
}

/// The token is that of the server's owner; to others there is nothing here.
struct Owner;

impl FromRequestParts<Arc<Plex>> for Owner {
    type Rejection = Response<Body>;

    async fn from_request_parts(
        parts: &mut Parts,
        plex: &Arc<Plex>,
    ) -> Result<Self, Response<Body>> {
        let Caller(account) = Caller::from_request_parts(parts, plex).await?;
        let is_owner = locked(&plex.plex_tv.circle).owner().id == account.id;
        is_owner.then_some(Self).ok_or_else(|| error_page(404))
    }
}

async fn avatar(Path(hash): Path<String>) -> Response<Body> {
    let number = hash
        .bytes()
        .fold(0_u64, |sum, byte| sum.wrapping_mul(31) + u64::from(byte));
    drawn(number, Size::AVATAR).await
}
