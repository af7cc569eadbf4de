//! [`Paced`]: what everybody may ask for, but not as often as they like.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;

use super::client::Client;
use super::error::ApiError;
use crate::app::AppState;

/// As an argument of a handler, it lets an address ask twenty times a minute; all handlers that have it
/// count together. For those that need no log-in and cost something: a guess at a code, a call to
/// plex.tv.
#[derive(Clone, Copy, Debug)]
pub struct Paced;

impl FromRequestParts<AppState> for Paced {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &AppState) -> Result<Self, ApiError> {
        let Ok(client) = Client::from_request_parts(parts, app).await;
        match app.access.pace(client.address) {
            Ok(()) => Ok(Self),
            Err(wait) => Err(ApiError::too_many_requests(format!(
                "Too many requests. Please try again in {} seconds.",
                wait.as_secs() + 1
            ))),
        }
    }
}
