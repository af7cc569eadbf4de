//! `GET /api/invites/` and `GET /api/invites/{invite_id}`: invites with those who have used them.
//! The frontend asks for the list every ten seconds, so nothing but the database is asked for it.

use std::cmp::Reverse;
use std::collections::HashMap;

use axum::Json;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::model::{InviteWithUsers, PlexUser, ShownInvite};
use super::{failed, rows};
use crate::app::AppState;
use crate::compat::Stamp;
use crate::compat::validation::{PathInteger, QueryParameters, ValidationError};
use crate::web::error::{ApiError, ApiResult, Detail};

/// Whether invites that can't be used are wanted too: `include_inactive`.
struct IncludeInactive(bool);

impl<S: Send + Sync> FromRequestParts<S> for IncludeInactive {
    type Rejection = ValidationError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ValidationError> {
        let Ok(query) = QueryParameters::from_request_parts(parts, state).await;
        query.flag("include_inactive").map(Self)
    }
}

/// All invites, the newest first.
#[utoipa::path(get, path = "/api/invites", tag = "invites",
    params(("include_inactive" = Option<bool>, Query, description = "With those that are switched off")),
    responses((status = 200, body = Vec<InviteWithUsers>), (status = 422, body = ValidationError),
        (status = 500, body = Detail), (status = 503, body = Detail)))]
async fn list_invites(
    app: AppState,
    IncludeInactive(all): IncludeInactive,
) -> ApiResult<Json<Vec<InviteWithUsers>>> {
    let listed = list(&app, all).await;
    Ok(Json(
        listed.map_err(|error| failed("listing invites", error))?,
    ))
}

async fn list(app: &AppState, all: bool) -> Result<Vec<InviteWithUsers>, sqlx::Error> {
    let database = app.store.reader();
    let mut invites = rows::invites(database).await?;
    invites.retain(|invite| all || invite.is_active);
    invites.sort_by_key(|invite| Reverse((invite.created_at, invite.id)));
    let mut users: HashMap<i64, Vec<PlexUser>> = HashMap::new();
    for user in rows::users(database).await? {
        users.entry(user.invite_id).or_default().push(user);
    }
    let settings = app.settings.current();
    let server = &settings.plex_form.server_name;
    let now = Stamp::now();
    let shown = invites.into_iter().map(|invite| InviteWithUsers {
        users: users.remove(&invite.id).unwrap_or_default(),
        invite: ShownInvite::of(invite, server, now),
    });
    Ok(shown.collect())
}

/// An invite.
#[utoipa::path(get, path = "/api/invites/{invite_id}", tag = "invites",
    params(("invite_id" = i64, Path)),
    responses((status = 200, body = InviteWithUsers), (status = 404, body = Detail),
        (status = 422, body = ValidationError), (status = 500, body = Detail),
        (status = 503, body = Detail)))]
async fn get_invite(
    app: AppState,
    PathInteger(id): PathInteger,
) -> ApiResult<Json<InviteWithUsers>> {
    let found = find(&app, id).await;
    let found = found.map_err(|error| failed("getting invite", error))?;
    found
        .map(Json)
        .ok_or_else(|| ApiError::missing("Invite not found"))
}

async fn find(app: &AppState, id: i64) -> Result<Option<InviteWithUsers>, sqlx::Error> {
    let database = app.store.reader();
    let Some(invite) = rows::invite(database, id).await? else {
        return Ok(None);
    };
    let settings = app.settings.current();
    let server = &settings.plex_form.server_name;
    Ok(Some(InviteWithUsers {
        users: rows::users_of(database, id).await?,
        invite: ShownInvite::of(invite, server, Stamp::now()),
    }))
}

/// The routes of this file.
pub(super) fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(list_invites))
        .routes(routes!(get_invite))
}
