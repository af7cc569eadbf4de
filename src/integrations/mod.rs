//! The services that this one talks to besides Plex, each a thin client.

mod github;
mod outside;
mod releases;
mod telegram;
mod version;

use utoipa_axum::router::OpenApiRouter;

use crate::app::AppState;

pub use outside::{CallError, Outside, Reply};
pub use telegram::{Outbox, start_sending};

/// All routes of the domain.
pub fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .merge(telegram::router())
        .merge(version::router())
        .merge(releases::router())
}
