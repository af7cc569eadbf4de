//! The Plex domain: the client of a Plex server and the `/api/plex` endpoints.
//!
//! One file per endpoint family: its answer, its cache, its fetch, its mapping and its handler,
//! top to bottom.

mod activities;
mod api;
mod cache_admin;
mod connection;
mod error;
mod images;
mod libraries;
#[cfg_attr(
    not(test),
    expect(dead_code, reason = "sessions and history come next")
)]
mod links;
mod server;
mod wire;

use utoipa_axum::router::OpenApiRouter;

use crate::app::AppState;

pub use cache_admin::{adopt_server, configure_caches};
pub use error::PlexError;
pub use server::{PlexClient, PlexServer};

/// All routes of the domain.
pub fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .merge(activities::router())
        .merge(connection::router())
        .merge(cache_admin::router())
        .merge(images::router())
}
