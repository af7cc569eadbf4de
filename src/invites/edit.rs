//! `PUT` and `DELETE /api/invites/{invite_id}` (contract 04, section 2).

use axum::Json;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::changes::Deletion;
use super::create::usage_limit;
use super::model::ShownInvite;
use super::{changes, failed};
use crate::app::AppState;
use crate::compat::Stamp;
use crate::compat::validation::{Fields, FromFields, JsonBody, PathInteger, Said, ValidationError};
use crate::web::error::{ApiError, ApiResult, Detail};

/// What is to be changed about an invite: the fields that are there. `null` takes limit and end
/// away; 3.3.0 stored it in the others as well, and could not show any invite then (contract 08, item
/// 92).
#[derive(Debug, ToSchema)]
pub(super) struct InviteChange {
    #[schema(value_type = Option<i64>, minimum = 1)]
    pub(super) usage_limit: Said<i64>,
    /// ISO 8601, UTC unless it names a zone; or seconds or milliseconds since 1970.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub(super) expires_at: Said<Stamp>,
    #[schema(value_type = bool, required = false)]
    pub(super) allow_sync: Option<bool>,
    #[schema(value_type = bool, required = false)]
    pub(super) allow_camera_upload: Option<bool>,
    #[schema(value_type = bool, required = false)]
    pub(super) allow_channels: Option<bool>,
    #[schema(value_type = bool, required = false)]
    pub(super) plex_home: Option<bool>,
    /// `all`, or keys of libraries with commas between.
    #[schema(value_type = String, required = false)]
    pub(super) libraries: Option<String>,
    #[schema(value_type = bool, required = false)]
    pub(super) is_active: Option<bool>,
}

impl FromFields for InviteChange {
    fn from_fields(fields: &mut Fields) -> Self {
        Self {
            usage_limit: fields.said("usage_limit", usage_limit),
            expires_at: fields.said("expires_at", Fields::optional_datetime),
            allow_sync: fields.given("allow_sync", Fields::boolean),
            allow_camera_upload: fields.given("allow_camera_upload", Fields::boolean),
            allow_channels: fields.given("allow_channels", Fields::boolean),
            plex_home: fields.given("plex_home", Fields::boolean),
            libraries: fields.given("libraries", Fields::string),
            is_active: fields.given("is_active", Fields::boolean),
        }
    }
}

/// The answer to a deletion.
#[derive(Serialize, ToSchema)]
struct DeletedInvite {
    success: bool,
    message: &'static str,
}

/// Changes an invite.
#[utoipa::path(put, path = "/api/invites/{invite_id}", tag = "invites",
    params(("invite_id" = i64, Path)), request_body = InviteChange,
    responses((status = 200, body = ShownInvite), (status = 404, body = Detail),
        (status = 422, body = ValidationError), (status = 500, body = Detail),
        (status = 503, body = Detail)))]
async fn change_invite(
    app: AppState,
    PathInteger(id): PathInteger,
    JsonBody(change): JsonBody<InviteChange>,
) -> ApiResult<Json<ShownInvite>> {
    let change = app
        .store
        .write_for_certain(move |c| Box::pin(async move { changes::change(c, id, change).await }));
    let changed = change
        .await
        .map_err(|error| failed("updating invite", error))?;
    let invite = changed.ok_or_else(not_found)?;
    tracing::info!("Updated invite {}", invite.code);
    let settings = app.settings.current();
    let server = &settings.plex_form.server_name;
    Ok(Json(ShownInvite::of(invite, server, Stamp::now())))
}

/// Deletes an invite that nobody has used.
#[utoipa::path(delete, path = "/api/invites/{invite_id}", tag = "invites",
    params(("invite_id" = i64, Path)),
    responses((status = 200, body = DeletedInvite), (status = 400, body = Detail),
        (status = 404, body = Detail), (status = 422, body = ValidationError),
        (status = 500, body = Detail), (status = 503, body = Detail)))]
async fn delete_invite(
    app: AppState,
    PathInteger(id): PathInteger,
) -> ApiResult<Json<DeletedInvite>> {
    let delete = app
        .store
        .write_for_certain(move |c| Box::pin(async move { changes::delete(c, id).await }));
    match delete
        .await
        .map_err(|error| failed("deleting invite", error))?
    {
        Deletion::Done => {
            tracing::info!("Deleted invite {id}");
            Ok(Json(DeletedInvite {
                success: true,
                message: "Invite deleted successfully",
            }))
        }
        Deletion::Missing => Err(not_found()),
        // The frontend looks for "active user" (contract 09, section 6).
        Deletion::Held(friends) => Err(ApiError::bad_request(format!(
            "Cannot delete invite with {friends} active user(s). Please remove users first from \
             User Accounts page."
        ))),
    }
}

fn not_found() -> ApiError {
    ApiError::missing("Invite not found")
}

/// The routes of this file.
pub(super) fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(change_invite, delete_invite))
}
