//! `GET /api/plex/sessions`: who plays what, on what, and how it is delivered.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Json;
use axum::http::HeaderMap;
use axum::response::{IntoResponse as _, Response};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::freshness::FreshnessLog;
use super::moment::{Moment, from_plex};
use super::now_playing::{self, NowPlaying, Session};
use super::sharing::{Need, Sharing};
use super::show_art;
use super::streams::{self, Streams};
use crate::app::AppState;
use crate::cache::shared::Waited;
use crate::cache::{
    self, Accepts, Answer, CacheAdmin, CacheEntry, FetchError, Fetched, Origin, Policy, SharedError,
};
use crate::settings::CacheSettings;

/// What was playing in the last seconds, ready to send.
pub(super) static SESSIONS: Mutex<CacheEntry<Answer>> = Mutex::new(CacheEntry::new(
    "plex_sessions",
    Policy {
        ttl: Duration::from_secs(10),
        max_stale: Duration::from_secs(300),
        max_wait: Duration::from_secs(2),
    },
));

/// The name that other instances know it by.
pub(super) static SHARING: Sharing = Sharing {
    name: "plex:sessions",
    policy,
};

/// The number of the newest list that sessions are made from, or that a clearing has outdated.
static NEWEST: Mutex<u64> = Mutex::new(0);

/// As long as somebody has read the sessions within this time, they are renewed together with the
/// activities.
const WANTED_FOR: Duration = Duration::from_secs(60);
/// What the frontend matches on to show its "not configured" banner (contract 09, section 4.7).
const NOT_CONFIGURED: &str = "Plex server not configured";

/// The answer to sessions.
#[derive(Serialize, ToSchema)]
struct Sessions {
    /// True when there is neither an answer from Plex nor an older one.
    error: bool,
    /// In Plex's order.
    sessions: Vec<Session>,
    /// Their number.
    total: usize,
}

/// [`Sessions`] with the fields that are added per request, for the description of the API.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes what `Answer` writes")]
struct CachedSessions {
    error: bool,
    sessions: Vec<Session>,
    /// Their number; this and the next ones are missing when there is nothing to show.
    total: Option<usize>,
    /// The value was in memory already.
    cached: Option<bool>,
    /// Its age in seconds.
    cache_age: Option<f64>,
    /// It is older than it should be, because Plex does not answer.
    stale: Option<bool>,
    /// For people, when stale or on error.
    message: Option<String>,
}

/// The answer when there is nothing to show.
#[derive(Serialize)]
struct NoSessions<'a> {
    error: bool,
    sessions: [Session; 0],
    message: &'a str,
}

/// The times that govern the cache.
pub(super) fn policy(settings: &CacheSettings) -> Policy {
    Policy {
        ttl: settings.sessions_ttl,
        max_stale: settings.live_max_stale(),
        max_wait: settings.max_wait,
    }
}

/// What is being played, with pictures, device and transcoding.
#[utoipa::path(get, path = "/api/plex/sessions", tag = "plex",
    responses((status = 200, body = CachedSessions)))]
async fn get_sessions(app: AppState, headers: HeaderMap) -> Response {
    static LOG: FreshnessLog = FreshnessLog::of("sessions");
    if app.settings.current().plex.is_none() {
        return nothing(false, NOT_CONFIGURED);
    }
    match cache::read(&SESSIONS, || {
        from_plex(&app, Waited::default(), &SHARING, Need::Fresh, fetch)
    })
    .await
    {
        Ok(cached) => {
            LOG.note(&cached);
            Answer::respond(&cached, &Accepts::of(&headers))
        }
        Err(error) => nothing(true, &error.message),
    }
}

/// Status 200 even on failure: the frontend reads `error` (contract 08, item 125).
fn nothing(error: bool, message: &str) -> Response {
    let sessions = [];
    Json(NoSessions {
        error,
        sessions,
        message,
    })
    .into_response()
}

/// Fetches anew, however fresh the cached value is.
pub(super) async fn refresh(app: AppState, need: Need) -> Result<(), SharedError> {
    cache::refresh(&SESSIONS, || {
        from_plex(&app, Waited::default(), &SHARING, need, fetch)
    })
    .await
}

async fn fetch(now: Moment) -> Result<Fetched<Answer>, FetchError> {
    let streams = now.streams().await.inspect_err(|error| {
        tracing::error!("Error fetching sessions: {error}");
    })?;
    {
        let mut newest = newest();
        *newest = streams.number.max(*newest);
    }
    answer(&now, &streams).await
}

/// Plex has just been asked for the streams on behalf of the activities: unless sessions are made
/// from this list or a newer one already, they are now, so that they are never the older of the
/// two. If nobody wants them at present, what is there is merely outdated.
pub(super) fn feed(now: &Moment, streams: &Streams) {
    // Held until the cache knows: a clearing comes before all of this or after it.
    let mut newest = newest();
    if streams.number <= *newest {
        return;
    }
    let last_read = SESSIONS.last_read();
    // Readers of other instances are not known here.
    let alone = !now.app.shared.is_connected();
    let unread = alone && last_read.is_none_or(|at| at.elapsed() > WANTED_FOR);
    if unread && !SESSIONS.fetching() {
        SESSIONS.expire();
        return;
    }
    let (moment, offered) = (now.clone(), streams.clone());
    let begun = cache::offer(&SESSIONS, Origin(now.revision()), async move {
        let answer = answer(&moment, &offered).await;
        if let Ok(Fetched::Whole(answer)) = &answer {
            moment.share(&SHARING, answer).await;
        }
        answer
    });
    if begun {
        *newest = streams.number;
    }
}

/// Another instance has newer activities, and with them newer sessions.
pub(super) fn fall_behind() {
    SESSIONS.expire();
}

/// What Plex has been asked for until now makes no sessions any more. To be called before the
/// cache is cleared.
pub(super) fn forget() {
    *newest() = streams::forget();
}

fn newest() -> MutexGuard<'static, u64> {
    NEWEST.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn answer(now: &Moment, streams: &Streams) -> Result<Fetched<Answer>, FetchError> {
    let playing = now_playing::read(&streams.list);
    let shows: BTreeSet<String> = playing
        .iter()
        .filter_map(NowPlaying::show_without_pictures)
        .collect();
    let artwork = show_art::of_shows(now, shows).await;
    let sessions: Vec<Session> = playing
        .into_iter()
        .map(|one| one.into_session(&artwork))
        .collect();
    let answer = Answer::object(&Sessions {
        error: false,
        total: sessions.len(),
        sessions,
    });
    answer
        .map(Fetched::Whole)
        .map_err(|error| FetchError::new(error.to_string()))
}

/// The routes of this file.
pub(super) fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(get_sessions))
}
