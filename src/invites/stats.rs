//! `GET /api/invites/stats`: how many invites and friends there are (contract 04, section 2).

use axum::Json;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::model::{Invite, PlexUser};
use super::{failed, rows};
use crate::app::AppState;
use crate::compat::Stamp;
use crate::web::error::{ApiResult, Detail};

/// The answer.
#[derive(Debug, PartialEq, Serialize, ToSchema)]
struct InviteStats {
    total_invites: usize,
    /// Those that can be used now.
    active_invites: usize,
    /// Those that were used as often as they may be.
    used_up_invites: usize,
    /// How often invites were used.
    total_redemptions: i64,
    total_users: usize,
    active_users: usize,
}

impl InviteStats {
    fn of(invites: &[Invite], users: &[PlexUser], now: Stamp) -> Self {
        let is_usable =
            |one: &&Invite| one.is_active && !one.is_expired(now) && !one.is_exhausted();
        let redemptions = invites.iter().map(|one| one.used_count);
        Self {
            total_invites: invites.len(),
            active_invites: invites.iter().filter(is_usable).count(),
            used_up_invites: invites.iter().filter(|one| one.is_exhausted()).count(),
            total_redemptions: redemptions.fold(0, i64::saturating_add),
            total_users: users.len(),
            active_users: users.iter().filter(|user| user.is_active).count(),
        }
    }
}

/// How many invites and friends there are.
#[utoipa::path(get, path = "/api/invites/stats", tag = "invites",
    responses((status = 200, body = InviteStats), (status = 500, body = Detail),
        (status = 503, body = Detail)))]
async fn get_invite_stats(app: AppState) -> ApiResult<Json<InviteStats>> {
    let stats = count(&app).await;
    Ok(Json(
        stats.map_err(|error| failed("getting invite stats", error))?,
    ))
}

async fn count(app: &AppState) -> Result<InviteStats, sqlx::Error> {
    let database = app.store.reader();
    let invites = rows::invites(database).await?;
    let users = rows::users(database).await?;
    Ok(InviteStats::of(&invites, &users, Stamp::now()))
}

/// The routes of this file.
pub(super) fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(get_invite_stats))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn invite(usage_limit: Option<i64>, used_count: i64) -> Invite {
        Invite {
            id: 1,
            code: "CODE".to_owned(),
            created_at: Stamp::EPOCH,
            created_by: None,
            expires_at: None,
            usage_limit,
            used_count,
            allow_sync: false,
            allow_camera_upload: false,
            allow_channels: false,
            plex_home: false,
            libraries: "all".to_owned(),
            is_active: true,
        }
    }

    #[test]
    fn a_limit_of_0_is_none_and_sums_do_not_overflow() {
        let now = Stamp::now();
        let off = Invite {
            is_active: false,
            ..invite(None, 1)
        };
        let over = Invite {
            expires_at: Some(Stamp::EPOCH),
            ..invite(Some(3), 1)
        };
        let invites = [
            invite(None, 7),
            invite(Some(0), 7),
            invite(Some(2), 1),
            invite(Some(2), 2),
            invite(Some(-1), 0),
            off,
            over,
        ];
        let expected = InviteStats {
            total_invites: 7,
            active_invites: 3,
            used_up_invites: 2,
            total_redemptions: 19,
            total_users: 0,
            active_users: 0,
        };
        assert_eq!(InviteStats::of(&invites, &[], now), expected);
        let many = [invite(None, i64::MAX), invite(None, i64::MAX)];
        assert_eq!(InviteStats::of(&many, &[], now).total_redemptions, i64::MAX);
    }
}
