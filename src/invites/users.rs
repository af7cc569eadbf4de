//! `GET /api/invites/users` and `PUT /api/invites/users/{user_id}/expiration`: friends who have used
//! an invite. (In 3.3.0 the list could not be reached: contract 08, item 91.)

use std::cmp::Reverse;

use axum::Json;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::model::PlexUser;
use super::{changes, failed, rows};
use crate::app::AppState;
use crate::compat::Stamp;
use crate::compat::validation::{Fields, FromFields, JsonBody, PathInteger, ValidationError};
use crate::web::error::{ApiError, ApiResult, Detail};

/// Until when a friend may watch.
#[derive(ToSchema)]
struct Expiration {
    /// ISO 8601, UTC unless it names a zone; null, empty or left out: without end.
    #[schema(value_type = Option<String>, format = DateTime)]
    expires_at: Option<Stamp>,
}

impl FromFields for Expiration {
    fn from_fields(fields: &mut Fields) -> Self {
        Self {
            expires_at: fields.written_datetime("expires_at"),
        }
    }
}

/// Everybody who has used an invite, the newest first.
#[utoipa::path(get, path = "/api/invites/users", tag = "invites",
    responses((status = 200, body = Vec<PlexUser>), (status = 500, body = Detail),
        (status = 503, body = Detail)))]
async fn list_users(app: AppState) -> ApiResult<Json<Vec<PlexUser>>> {
    let users = rows::users(app.store.reader()).await;
    let mut users = users.map_err(|error| failed("listing users", error))?;
    users.sort_by_key(|user| Reverse((user.created_at, user.id)));
    Ok(Json(users))
}

/// Sets until when a friend may watch.
#[utoipa::path(put, path = "/api/invites/users/{user_id}/expiration", tag = "invites",
    params(("user_id" = i64, Path)), request_body = Expiration,
    responses((status = 200, body = PlexUser), (status = 404, body = Detail),
        (status = 422, body = ValidationError), (status = 500, body = Detail),
        (status = 503, body = Detail)))]
async fn set_expiration(
    app: AppState,
    PathInteger(id): PathInteger,
    JsonBody(Expiration { expires_at }): JsonBody<Expiration>,
) -> ApiResult<Json<PlexUser>> {
    let set = app.store.write_for_certain(move |c| {
        Box::pin(async move { changes::set_expiration(c, id, expires_at).await })
    });
    let user = set
        .await
        .map_err(|error| failed("updating user expiration", error))?;
    user.map(Json)
        .ok_or_else(|| ApiError::missing("User not found"))
}

/// The routes of this file.
pub(super) fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(list_users))
        .routes(routes!(set_expiration))
}
