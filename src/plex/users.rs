//! `GET /api/plex/users/count`: with how many people the server is shared.
//!
//! The frontend asks every ten seconds; plex.tv is asked every five minutes.

use std::sync::Mutex;
use std::time::Duration;

use axum::Json;
use axum::response::{IntoResponse as _, Response};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::cloud::PlexTv;
use super::libraries;
use super::moment::{Moment, from_plex};
use super::sharing::{Need, Sharing};
use crate::app::AppState;
use crate::cache::answer::describe;
use crate::cache::shared::Waited;
use crate::cache::{self, CacheEntry, FetchError, Fetched, Policy};
use crate::settings::CacheSettings;

/// Contract 08, item 52: some minutes.
const TTL: Duration = Duration::from_secs(300);

/// The number of people.
pub(super) static USERS_COUNT: Mutex<CacheEntry<u64>> = Mutex::new(CacheEntry::new(
    "plex_users_count",
    Policy {
        ttl: TTL,
        max_stale: Duration::from_secs(3600),
        max_wait: Duration::from_secs(2),
    },
));

/// The name that other instances know it by.
pub(super) static SHARING: Sharing = Sharing {
    name: "plex:users_count",
    policy,
};

/// The answer.
#[derive(Serialize, ToSchema)]
struct UsersCount {
    /// 0 where it is not known.
    count: u64,
}

/// With how many people the configured server is shared.
#[utoipa::path(get, path = "/api/plex/users/count", tag = "plex",
    responses((status = 200, body = UsersCount)))]
async fn count_users(app: AppState) -> Response {
    if app.settings.current().plex.is_none() {
        return of(0);
    }
    match cache::read(&USERS_COUNT, || {
        from_plex(&app, Waited::default(), &SHARING, Need::Fresh, fetch)
    })
    .await
    {
        Ok(cached) => {
            let mut response = of(cached.stored.value);
            describe(response.headers_mut(), &cached);
            response
        }
        Err(_logged) => of(0),
    }
}

fn of(count: u64) -> Response {
    Json(UsersCount { count }).into_response()
}

async fn fetch(now: Moment) -> Result<Fetched<u64>, FetchError> {
    let identity = now.server().identity().await.inspect_err(|error| {
        tracing::warn!("Could not get Plex server machine identifier: {error}");
    })?;
    let machine = identity.machine_identifier.filter(|id| !id.is_empty());
    let machine = machine.ok_or_else(|| {
        tracing::warn!("Could not get Plex server machine identifier");
        FetchError::new("The server does not say which one it is")
    })?;
    let plex_tv = PlexTv::of(&now.app);
    let shares = plex_tv.shares(&now.target.token, &machine).await;
    let shares = shares.inspect_err(|error| {
        tracing::warn!("Failed to fetch Plex shared users from plex.tv: {error}");
    })?;
    let count = shares.len();
    tracing::debug!("Plex shared users count: {count}");
    Ok(Fetched::Whole(count as u64))
}

/// The times that govern this cache.
pub(super) const fn policy(settings: &CacheSettings) -> Policy {
    Policy {
        ttl: TTL,
        ..libraries::policy(settings)
    }
}

/// The routes of this file.
pub(super) fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(count_users))
}
