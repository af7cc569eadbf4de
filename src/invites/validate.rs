//! `POST /api/invites/validate?code=`: may somebody come in with this code? Public (contract 04,
//! section 3).

use axum::Json;
use axum::response::Result;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::model::{Invite, ShownInvite, named};
use super::redemption::{self, Refused};
use crate::app::AppState;
use crate::compat::Stamp;
use crate::compat::validation::{QueryParameters, ValidationError};
use crate::web::error::{ApiError, Detail};
use crate::web::pace::Paced;

/// What the visitor is told. The texts are 3.3.0's, whose page of invites is in German.
const UNKNOWN: &str = "Einladungscode nicht gefunden";
const INACTIVE: &str = "Diese Einladung wurde deaktiviert";
const EXPIRED: &str = "Diese Einladung ist abgelaufen";
const EXHAUSTED: &str = "Diese Einladung hat das maximale Nutzungslimit erreicht";
const VALID: &str = "Valid invite code";

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

    fn of(found: Result<Invite, Refused>, server_name: &str) -> Self {
        let invite = match found {
            Ok(invite) => invite,
            Err(Refused::Unknown) => return Self::refusal(UNKNOWN),
            Err(Refused::Inactive) => return Self::refusal(INACTIVE),
            Err(Refused::Expired) => return Self::refusal(EXPIRED),
            // Nobody is known who only asks.
            Err(Refused::Exhausted | Refused::Known) => return Self::refusal(EXHAUSTED),
        };
        Self {
            valid: true,
            message: VALID,
            invite: Some(ShownInvite::of(invite, server_name, Stamp::now()).for_public()),
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
    query: QueryParameters,
) -> Result<Json<InviteVerdict>> {
    let found = redemption::find(&app, query.required_text("code")?).await;
    // Strangers are not told what the database says.
    let found = found.map_err(|error| ApiError::of_store("Error validating invite", error))?;
    let settings = app.settings.current();
    Ok(Json(InviteVerdict::of(
        found,
        &settings.plex_form.server_name,
    )))
}

/// The routes of this file.
pub(super) fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(validate_invite))
}
