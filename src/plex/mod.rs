//! The Plex domain: the client of a Plex server and the `/api/plex` endpoints.
//!
//! One file per endpoint family: its answer, its cache, its fetch, its mapping and its handler,
//! top to bottom.

mod activities;
mod api;
mod cache_admin;
mod cloud;
mod connection;
mod counts;
mod dashboard;
mod debug;
mod error;
mod libraries;
#[cfg_attr(
    not(test),
    expect(dead_code, reason = "sessions and history come next")
)]
mod links;
mod peak;
mod recent_media;
mod server;
mod stats;
mod users;
mod wire;

use utoipa_axum::router::OpenApiRouter;

use crate::app::AppState;

pub use cache_admin::{adopt_server, configure_caches};
pub use dashboard::start_refresher;
pub use error::PlexError;
pub use libraries::{Library, libraries};
pub use peak::load_peak;
pub use server::{PlexClient, PlexServer};

/// What the frontend matches on to show its "not configured" banner (contract 09, section 6).
const NOT_CONFIGURED: &str = "Plex not configured";

/// All routes of the domain.
pub fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .merge(activities::router())
        .merge(connection::router())
        .merge(cache_admin::router())
        .merge(stats::router())
        .merge(peak::router())
        .merge(dashboard::router())
        .merge(recent_media::router())
        .merge(users::router())
        .merge(debug::router())
}
