//! The Plex domain: the client of a Plex server and the `/api/plex` endpoints.
//!
//! One file per endpoint family: its answer, its cache, its fetch, its mapping and its handler,
//! top to bottom.

mod activities;
mod api;
mod cache_admin;
mod caches;
pub(crate) mod cloud;
mod connection;
mod counts;
mod dashboard;
mod debug;
mod error;
mod freshness;
mod history_sync;
mod images;
mod kept;
mod libraries;
mod links;
mod moment;
mod now_playing;
mod peak;
mod progress;
mod recent_media;
mod server;
mod sessions;
mod sharing;
mod show_art;
mod stats;
mod streams;
mod users;
mod warmer;
mod watch_history;
mod wire;

use utoipa_axum::router::OpenApiRouter;

use crate::app::AppState;

pub use caches::configure_caches;
pub use connection::{adopt_old_config, follow_server};
pub use dashboard::start_refresher;
pub use error::PlexError;
pub use history_sync::start as start_history_sync;
pub use kept::{keep_answers, restore_answers, start_keeping_answers};
pub use libraries::{Library, libraries};
pub use peak::load_peak;
pub use server::{PlexClient, PlexServer};
pub use sharing::share_caches;
pub use warmer::start_warmer;

/// What the frontend matches on to show its "not configured" banner (contract 09, section 6).
const NOT_CONFIGURED: &str = "Plex not configured";

/// All routes of the domain.
pub fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .merge(activities::router())
        .merge(sessions::router())
        .merge(connection::router())
        .merge(cache_admin::router())
        .merge(watch_history::router())
        .merge(history_sync::router())
        .merge(stats::router())
        .merge(peak::router())
        .merge(dashboard::router())
        .merge(recent_media::router())
        .merge(users::router())
        .merge(debug::router())
        .merge(images::router())
}
