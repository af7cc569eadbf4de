//! The Plex domain: the client of a Plex server and the `/api/plex` endpoints.
//!
//! One file per endpoint family: its answer, its cache, its fetch, its mapping and its handler,
//! top to bottom.

mod activities;
mod api;
mod cache_admin;
mod caches;
mod connection;
mod error;
mod freshness;
mod history_sync;
mod kept;
mod libraries;
mod links;
mod now_playing;
mod progress;
mod server;
mod sessions;
mod show_art;
mod streams;
mod warmer;
mod watch_history;
mod wire;

use utoipa_axum::router::OpenApiRouter;

use crate::app::AppState;

pub use caches::{adopt_server, configure_caches};
pub use connection::adopt_old_config;
pub use error::PlexError;
pub use history_sync::start as start_history_sync;
pub use kept::{keep_answers, restore_answers, start_keeping_answers};
pub use server::{PlexClient, PlexServer};
pub use warmer::start_warmer;

/// All routes of the domain.
pub fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .merge(activities::router())
        .merge(sessions::router())
        .merge(connection::router())
        .merge(cache_admin::router())
        .merge(watch_history::router())
        .merge(history_sync::router())
}
