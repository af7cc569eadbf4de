//! The services that this one talks to besides Plex, each a thin client.

mod arr;
mod github;
mod mend;
mod outside;
mod overseerr;
mod posterizarr;
mod relay;
mod releases;
mod telegram;
mod uploader;
mod upstream;
mod version;
mod vpn_proxy;

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
        .merge(posterizarr::router())
        .merge(uploader::router())
        .merge(vpn_proxy::router())
}
