//! `POST /api/invites/validate?code=`: may somebody come in with this code? Public (contract 04,
//! section 3).

use axum::Json;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::model::{Invite, ShownInvite, named};
use super::{codes, rows};
use crate::app::AppState;
use crate::compat::Stamp;
use crate::compat::validation::{QueryParameters, ValidationError};
use crate::web::error::{ApiError, ApiResult, Detail};
use crate::web::pace::Paced;

/// What the visitor is told. The texts are 3.3.0's, whose page of invites is in German.
const UNKNOWN: &str = "Einladungscode nicht gefunden";
const INACTIVE: &str = "Diese Einladung wurde deaktiviert";
const EXPIRED: &str = "Diese Einladung ist abgelaufen";
const EXHAUSTED: &str = "Diese Einladung hat das maximale Nutzungslimit erreicht";
const VALID: &str = "Valid invite code";

/// The code that somebody has typed, as it is stored.
struct TypedCode(String);

impl<S: Send + Sync> FromRequestParts<S> for TypedCode {
    type Rejection = ValidationError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ValidationError> {
        let Ok(query) = QueryParameters::from_request_parts(parts, state).await;
        Ok(Self(codes::as_stored(query.required_text("code")?)))
    }
}

/// The answer.
#[derive(Serialize, ToSchema)]
struct InviteVerdict {
    valid: bool,
    message: &'static str,
    /// Null if it is not valid, and without the name of who has made it.
    invite: Option<ShownInvite>,
    /// Null if it is not valid.
    plex_server_name: Option<String>,
}

impl InviteVerdict {
    fn refusal(message: &'static str) -> Self {
        Self {
            valid: false,
            message,
            invite: None,
            plex_server_name: None,
        }
    }

    fn of(invite: Invite, server_name: &str, now: Stamp) -> Self {
        if !invite.is_active {
            return Self::refusal(INACTIVE);
        }
        if invite.is_expired(now) {
            return Self::refusal(EXPIRED);
        }
        if invite.is_exhausted() {
            return Self::refusal(EXHAUSTED);
        }
        Self {
            valid: true,
            message: VALID,
            invite: Some(ShownInvite::of(invite, server_name, now).for_public()),
            plex_server_name: Some(named(server_name).to_owned()),
        }
    }
}

/// Whether somebody may come in with this code.
#[utoipa::path(post, path = "/api/invites/validate", tag = "invites",
    params(("code" = String, Query)),
    responses((status = 200, body = InviteVerdict), (status = 422, body = ValidationError),
        (status = 429, body = Detail), (status = 500, body = Detail), (status = 503, body = Detail)))]
async fn validate_invite(
    app: AppState,
    _: Paced,
    TypedCode(code): TypedCode,
) -> ApiResult<Json<InviteVerdict>> {
    let found = rows::invite_of_code(app.store.reader(), &code).await;
    // Strangers are not told what the database says.
    let found =
        found.map_err(|error| ApiError::of_store("Error validating invite", error.into()))?;
    let settings = app.settings.current();
    let verdict = match found {
        Some(invite) => InviteVerdict::of(invite, &settings.plex_form.server_name, Stamp::now()),
        None => InviteVerdict::refusal(UNKNOWN),
    };
    Ok(Json(verdict))
}

/// The routes of this file.
pub(super) fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(validate_invite))
}
