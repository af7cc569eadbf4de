//! The services that this one talks to besides Plex, each a thin client.

mod arr;
mod github;
mod outside;
mod overseerr;
mod releases;
mod telegram;
#[expect(dead_code, reason = "the services come with the next changes")]
mod upstream;
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
        .merge(arr::router())
        .merge(overseerr::router())
}
