//! Invites: codes that let friends into the Plex server, and who has used them.
//!
//! - [`model`]: what an invite and a friend are; [`rows`] reads them.
//! - [`redeem`]: using an invite, by e-mail or (in [`oauth`]) by logging in to Plex. [`redemption`] is
//!   its part in the database, [`door`] its part at plex.tv, [`settlement`] what sets right a use that
//!   was cut off between the two.
//! - [`people`]: what plex.tv knows of friends; [`expiry`]: the end of their time.

mod door;
mod email;
mod expiry;
#[expect(
    dead_code,
    reason = "the routes for administrators come with the next change"
)]
mod model;
mod oauth;
mod people;
mod redeem;
mod redemption;
#[expect(
    dead_code,
    reason = "the routes for administrators come with the next change"
)]
mod rows;
mod settlement;

use utoipa_axum::router::OpenApiRouter;

use crate::app::AppState;

pub use expiry::start_expiring;
pub use people::start_looking;
pub use settlement::start_settling;

/// All routes of the domain.
pub fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .merge(redeem::router())
        .merge(people::router())
        .merge(oauth::router())
}
