//! Invites: codes that let friends into the Plex server, and who has used them.
//!
//! - [`model`]: what an invite and a friend are; [`rows`] reads them, [`changes`] writes them.
//! - [`codes`]: what friends type.
//! - [`create`], [`list`], [`edit`], [`users`], [`stats`], [`config`]: what the owner's pages need.
//! - [`validate`]: what strangers need.

mod changes;
mod codes;
mod config;
mod create;
mod edit;
mod list;
mod model;
mod rows;
mod stats;
mod users;
mod validate;

use utoipa_axum::router::OpenApiRouter;

use crate::app::AppState;
use crate::store::StoreError;
use crate::web::error::ApiError;

/// All routes of the domain.
pub fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .merge(create::router())
        .merge(list::router())
        .merge(edit::router())
        .merge(users::router())
        .merge(stats::router())
        .merge(config::router())
        .merge(validate::router())
}

/// The database failed while something was being done for somebody who is logged in.
fn failed(doing: &str, error: impl Into<StoreError>) -> ApiError {
    let error = error.into();
    ApiError::of_store(format!("Error {doing}: {error}"), error)
}
