//! Invites: codes that let friends into the Plex server, and who has used them.
//!
//! - `model`: what an invite and a friend are; `rows` reads them, `changes` writes them.
//! - `codes`: what friends type.
//! - `create`, `list`, `edit`, `users`, `stats`, `config`: what the owner's pages need.
//! - `validate`: what strangers need.
//! - `redeem`: using an invite, by e-mail or (in `oauth`) by logging in to Plex. `redemption` is
//!   its part in the database, `door` its part at plex.tv, `settlement` what sets right a use that
//!   was cut off between the two; `under_way` tells it which are not.
//! - `people`: what plex.tv knows of friends; `expiry`: the end of their time.

mod changes;
mod codes;
mod config;
mod create;
mod door;
mod edit;
mod email;
mod expiry;
mod list;
mod model;
mod oauth;
mod people;
mod redeem;
mod redemption;
mod rows;
mod settlement;
mod stats;
mod under_way;
mod users;
mod validate;

use utoipa_axum::router::OpenApiRouter;

use crate::app::AppState;
use crate::store::StoreError;
use crate::web::error::ApiError;

pub use expiry::start_expiring;
pub use people::start_looking;
pub use settlement::start_settling;

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
        .merge(redeem::router())
        .merge(people::router())
        .merge(oauth::router())
}

/// The database failed while something was being done for somebody who is logged in.
fn failed(doing: &str, error: impl Into<StoreError>) -> ApiError {
    let error = error.into();
    ApiError::of_store(format!("Error {doing}: {error}"), error)
}
