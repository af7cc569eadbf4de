//! `GET /api/plex/stats` and `GET /api/plex/stats/live`: how much the Plex server holds.
//!
//! Both show whole totals only. While something can't be counted the last whole ones stay.

use std::sync::Mutex;
use std::time::Duration;

use axum::Json;
use axum::http::HeaderMap;
use axum::response::{IntoResponse as _, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::counts::{self, Totals};
use super::moment::{Moment, from_plex};
use super::peak;
use super::sharing::{Need, Sharing};
use super::{NOT_CONFIGURED, libraries};
use crate::app::AppState;
use crate::cache::answer::describe;
use crate::cache::shared::Waited;
use crate::cache::{self, Accepts, Answer, CacheEntry, FetchError, Fetched, Policy, SharedError};
use crate::settings::{CacheSettings, PlexTarget, Settings};

/// The name where none is known (contract 01, sections 3 and 4).
const UNNAMED: &str = "Plex Server";

/// The answer of `/stats`, as 3.3.0 shares it. Only its totals are taken from here: this instance
/// knows the rest without Plex.
pub(super) static STATS: Mutex<CacheEntry<PlexStats>> = Mutex::new(CacheEntry::new(
    "plex_stats",
    Policy {
        ttl: Duration::from_secs(60),
        max_stale: Duration::from_secs(3600),
        max_wait: Duration::from_secs(2),
    },
));

/// The answer of `/stats/live`, ready to send.
pub(super) static STATS_LIVE: Mutex<CacheEntry<Answer>> = Mutex::new(CacheEntry::new(
    "plex_stats_live",
    Policy {
        ttl: Duration::from_secs(30),
        max_stale: Duration::from_secs(3600),
        max_wait: Duration::from_secs(2),
    },
));

/// The name that other instances know [`STATS`] by.
pub(super) static STATS_SHARING: Sharing = Sharing {
    name: "plex:stats",
    policy,
};

/// The name that other instances know [`STATS_LIVE`] by.
pub(super) static LIVE_SHARING: Sharing = Sharing {
    name: "plex:stats_live",
    policy: live_policy,
};

/// The answer of `/stats`: exactly these fields. Its age is told by headers.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(super) struct PlexStats {
    /// The most streams at a time since the last reset.
    peak_concurrent: i64,
    /// When that was: UTC without a zone.
    last_updated: Option<String>,
    server_url: String,
    server_name: String,
    token_configured: bool,
    total_users: u64,
    total_movies: u64,
    total_tv_shows: u64,
}

impl PlexStats {
    fn totals(&self) -> Totals {
        Totals {
            users: self.total_users,
            movies: self.total_movies,
            tv_shows: self.total_tv_shows,
            ..Totals::default()
        }
    }
}

/// What of the answer of `/stats/live` is fetched.
#[derive(Serialize, ToSchema)]
struct LiveStats {
    total_users: u64,
    total_movies: u64,
    total_tv_shows: u64,
    total_episodes: u64,
    server_name: String,
}

/// [`LiveStats`] with the fields that are added per request, for the description of the API.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes what `Answer` writes")]
struct CachedLiveStats {
    total_users: u64,
    total_movies: u64,
    total_tv_shows: u64,
    total_episodes: u64,
    server_name: String,
    /// The value was in memory already.
    cached: Option<bool>,
    /// Its age in seconds.
    cache_age: Option<f64>,
    /// It is older than it should be, because Plex does not answer.
    stale: Option<bool>,
    /// For people, when stale.
    message: Option<String>,
    /// For people; only if there is nothing to show.
    error: Option<String>,
}

/// The answer of `/stats/live` when there is nothing to show.
#[derive(Serialize)]
struct NoLiveStats<'a> {
    #[serde(flatten)]
    stats: LiveStats,
    error: &'a str,
}

/// What the Plex server holds, and the most streams there were at a time.
#[utoipa::path(get, path = "/api/plex/stats", tag = "plex",
    responses((status = 200, body = PlexStats)))]
async fn get_stats(app: AppState) -> Response {
    let settings = app.settings.current();
    if settings.plex.is_none() {
        return Json(stats(&settings, Totals::default())).into_response();
    }
    match cache::read(&STATS, || {
        from_plex(&app, Waited::default(), &STATS_SHARING, Need::Fresh, fetch)
    })
    .await
    {
        Ok(cached) => {
            let totals = cached.stored.value.totals();
            let mut response = Json(stats(&settings, totals)).into_response();
            describe(response.headers_mut(), &cached);
            response
        }
        // The frontend has no other use for it than the peak, which is known all the same.
        Err(_logged) => Json(stats(&settings, Totals::default())).into_response(),
    }
}

fn stats(settings: &Settings, totals: Totals) -> PlexStats {
    let peak = peak::current();
    let url = settings.plex.as_ref().map(PlexTarget::stored_url);
    PlexStats {
        peak_concurrent: peak.streams,
        last_updated: peak.last_updated(),
        server_url: url.unwrap_or_default().to_owned(),
        server_name: match url {
            Some(_) => settings.plex_form.server_name.clone(),
            None => UNNAMED.to_owned(),
        },
        token_configured: url.is_some(),
        total_users: totals.users,
        total_movies: totals.movies,
        total_tv_shows: totals.tv_shows,
    }
}

/// What the Plex server holds, episodes included. Public: the page of an invite shows it.
#[utoipa::path(get, path = "/api/plex/stats/live", tag = "plex",
    responses((status = 200, body = CachedLiveStats)))]
async fn get_live_stats(app: AppState, headers: HeaderMap) -> Response {
    if app.settings.current().plex.is_none() {
        return nothing(NOT_CONFIGURED);
    }
    match cache::read(&STATS_LIVE, || {
        from_plex(
            &app,
            Waited::default(),
            &LIVE_SHARING,
            Need::Fresh,
            fetch_live,
        )
    })
    .await
    {
        Ok(cached) => Answer::respond(&cached, &Accepts::of(&headers)),
        Err(error) => nothing(&error.message),
    }
}

/// Status 200 even on failure: the frontend reads `error` (contract 01, section 4).
fn nothing(error: &str) -> Response {
    let stats = live(Totals::default(), UNNAMED.to_owned());
    Json(NoLiveStats { stats, error }).into_response()
}

fn live(totals: Totals, server_name: String) -> LiveStats {
    LiveStats {
        total_users: totals.users,
        total_movies: totals.movies,
        total_tv_shows: totals.tv_shows,
        total_episodes: totals.episodes,
        server_name,
    }
}

async fn fetch(now: Moment) -> Result<Fetched<PlexStats>, FetchError> {
    let oldest = now.settings.cache.stats_ttl;
    let totals = counts::totals(&now, counts::TITLES, oldest).await;
    let totals = totals.inspect_err(|error| {
        tracing::error!("Error retrieving Plex statistics: {error}");
    })?;
    Ok(Fetched::Whole(stats(&now.settings, totals)))
}

async fn fetch_live(now: Moment) -> Result<Fetched<Answer>, FetchError> {
    let oldest = now.settings.cache.stats_live_ttl;
    let totals = counts::totals(&now, counts::TITLES_AND_EPISODES, oldest).await;
    let totals = totals.inspect_err(|error| {
        tracing::error!("Error getting live Plex stats: {error}");
    })?;
    let name = now.settings.plex_form.server_name.clone();
    let answer = Answer::object(&live(totals, name));
    let answer = answer.map_err(|error| FetchError::new(error.to_string()))?;
    Ok(Fetched::Whole(answer))
}

/// Counts anew for `/stats`.
pub(super) async fn refresh(app: AppState, need: Need) -> Result<(), SharedError> {
    cache::refresh(&STATS, || {
        from_plex(&app, Waited::default(), &STATS_SHARING, need, fetch)
    })
    .await
}

/// Counts anew for `/stats/live`.
pub(super) async fn refresh_live(app: AppState, need: Need) -> Result<(), SharedError> {
    cache::refresh(&STATS_LIVE, || {
        from_plex(&app, Waited::default(), &LIVE_SHARING, need, fetch_live)
    })
    .await
}

/// The times that govern the cache of `/stats`.
pub(super) const fn policy(settings: &CacheSettings) -> Policy {
    Policy {
        ttl: settings.stats_ttl,
        ..libraries::policy(settings)
    }
}

/// The times that govern the cache of `/stats/live`.
pub(super) const fn live_policy(settings: &CacheSettings) -> Policy {
    Policy {
        ttl: settings.stats_live_ttl,
        ..libraries::policy(settings)
    }
}

/// The routes of this file.
pub(super) fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(get_stats))
        .routes(routes!(get_live_stats))
}
