//! Invites: codes that let friends into the Plex server, and who has used them.
//!
//! - [`model`]: what an invite and a friend are; [`rows`] reads them.
//!
//! An invite is used up in three steps that a crash may come between; [`redemption`] says how that
//! is found and set right.

#[expect(dead_code, reason = "the routes come with the next changes")]
mod model;
#[expect(dead_code, reason = "the routes come with the next changes")]
mod rows;

use utoipa_axum::router::OpenApiRouter;

use crate::app::AppState;

/// All routes of the domain.
pub fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
}
