//! `GET /api/plex/stats/dashboard`: statistics that are counted in the background, so that
//! nobody waits for them.
//!
//! The refresher runs every [`stats_refresh_interval`], from the start on. A part that fails
//! keeps its last good value.
//!
//! [`stats_refresh_interval`]: crate::settings::CacheSettings::stats_refresh_interval

use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Json;
use axum::http::{HeaderName, header};
use axum::response::IntoResponse;
use chrono::{DateTime, Utc};
use serde::Serialize;
use tokio::sync::Mutex as Turn;
use tokio::time::{Instant, timeout};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::counts::{self, Totals};
use super::moment::Moment;
use super::sharing::Need;
use super::streams;
use super::{caches, peak};
use crate::app::AppState;
use crate::cache::{FetchError, Fetched, Origin, SharedError, answer};
use crate::compat::datetime;
use crate::monitor::{ServiceCounts, TrafficTotals, traffic_hours};
use crate::settings::Settings;
use crate::tasks::Tasks;

/// No count of a whole server takes longer than this; a slow one is given up until the next run.
const LONGEST_COUNT: Duration = Duration::from_secs(60);

/// The name that other instances know the counts of Plex by.
const NAME: &str = "plex:dashboard";

static SNAPSHOT: Mutex<Snapshot> = Mutex::new(Snapshot::NONE);
static ENABLED: AtomicBool = AtomicBool::new(false);
/// How many runs have been asked for.
static ASKED: AtomicU64 = AtomicU64::new(0);
/// Two runs never run at once: whoever holds this may.
static RUNNING: Turn<LastRun> = Turn::const_new(LastRun {
    covers: 0,
    result: Ok(()),
});

/// The end of the last run.
struct LastRun {
    /// How many runs had been asked for when it began; it serves for all of them.
    covers: u64,
    result: Result<(), SharedError>,
}

/// The last good value of each part.
struct Snapshot {
    services: ServiceCounts,
    traffic: TrafficTotals,
    plex: Totals,
    /// The server that these are the totals of.
    origin: Option<Origin>,
    /// When the last run ended; none before the first.
    updated: Option<DateTime<Utc>>,
    /// The last time somebody looked at the snapshot.
    last_read: Option<Instant>,
}

impl Snapshot {
    const NONE: Self = Self {
        services: ServiceCounts {
            total: 0,
            online: 0,
            offline: 0,
            problem: 0,
        },
        traffic: TrafficTotals {
            last_24h_download_bytes: 0,
            last_24h_upload_bytes: 0,
            last_30d_download_bytes: 0,
            last_30d_upload_bytes: 0,
        },
        plex: Totals {
            users: 0,
            movies: 0,
            tv_shows: 0,
            seasons: 0,
            episodes: 0,
        },
        origin: None,
        updated: None,
        last_read: None,
    };
}

/// The answer.
#[derive(Serialize, ToSchema)]
struct Dashboard {
    services: Services,
    plex: PlexPart,
    traffic: Traffic,
    /// When these were counted; UTC with its offset.
    timestamp: String,
    /// False until they have been counted for the first time.
    cached: bool,
}

#[derive(Serialize, ToSchema)]
struct Services {
    total: u64,
    online: u64,
    offline: u64,
    problem: u64,
}

#[derive(Serialize, ToSchema)]
struct PlexPart {
    configured: bool,
    peak_concurrent: i64,
    total_users: u64,
    total_movies: u64,
    total_tv_shows: u64,
    total_seasons: u64,
    total_episodes: u64,
}

#[derive(Serialize, ToSchema)]
struct Traffic {
    last_24h_download_bytes: u64,
    last_24h_upload_bytes: u64,
    last_24h_total_bytes: u64,
    last_30d_download_bytes: u64,
    last_30d_upload_bytes: u64,
    last_30d_total_bytes: u64,
}

/// Services, Plex and traffic in figures, as counted in the background.
#[utoipa::path(get, path = "/api/plex/stats/dashboard", tag = "plex",
    responses((status = 200, body = Dashboard)))]
async fn get_dashboard(app: AppState) -> impl IntoResponse {
    let settings = app.settings.current();
    let mut snapshot = snapshot();
    snapshot.last_read = Some(Instant::now());
    let dashboard = Json(Dashboard {
        services: services(snapshot.services),
        plex: plex(&snapshot, &settings),
        traffic: traffic(snapshot.traffic),
        timestamp: datetime::iso_with_offset(snapshot.updated.unwrap_or_else(Utc::now)),
        cached: snapshot.updated.is_some(),
    });
    (age(snapshot.updated), dashboard)
}

/// `Age` and `Cache-Status`, once there is something that can have an age.
fn age(updated: Option<DateTime<Utc>>) -> Option<[(HeaderName, String); 2]> {
    // A clock that was set back makes nothing younger than new.
    let age = (Utc::now() - updated?).num_seconds().max(0);
    let status = answer::CACHE_STATUS;
    Some([
        (header::AGE, age.to_string()),
        (status, "komandorr; hit".to_owned()),
    ])
}

const fn services(counts: ServiceCounts) -> Services {
    Services {
        total: counts.total,
        online: counts.online,
        offline: counts.offline,
        problem: counts.problem,
    }
}

/// Nothing without a server, and never the figures of another one.
fn plex(snapshot: &Snapshot, settings: &Settings) -> PlexPart {
    let configured = settings.plex.is_some();
    let known = configured && snapshot.origin == Some(Origin(settings.plex_revision));
    let totals = if known {
        snapshot.plex
    } else {
        Totals::default()
    };
    let peak = if configured {
        peak::current().streams
    } else {
        0
    };
    PlexPart {
        configured,
        peak_concurrent: peak,
        total_users: totals.users,
        total_movies: totals.movies,
        total_tv_shows: totals.tv_shows,
        total_seasons: totals.seasons,
        total_episodes: totals.episodes,
    }
}

const fn traffic(totals: TrafficTotals) -> Traffic {
    let TrafficTotals {
        last_24h_download_bytes: day_down,
        last_24h_upload_bytes: day_up,
        last_30d_download_bytes: month_down,
        last_30d_upload_bytes: month_up,
    } = totals;
    Traffic {
        last_24h_download_bytes: day_down,
        last_24h_upload_bytes: day_up,
        last_24h_total_bytes: day_down.saturating_add(day_up),
        last_30d_download_bytes: month_down,
        last_30d_upload_bytes: month_up,
        last_30d_total_bytes: month_down.saturating_add(month_up),
    }
}

/// Starts counting in the background, now and then every interval.
pub fn start_refresher(app: &AppState, tasks: &Tasks) {
    let interval = app.settings.current().cache.stats_refresh_interval;
    if interval.is_zero() {
        tracing::info!("STATS_REFRESH_INTERVAL is 0: the dashboard's statistics are not counted");
        return;
    }
    ENABLED.store(true, Ordering::Relaxed);
    let (app, started) = (app.clone(), Instant::now());
    tasks.every_from_now("Statistics refresher", interval, move || {
        let app = app.clone();
        async move {
            app.shared.settled().await;
            let effort = effort(&app.settings.current(), started);
            // What failed is logged where it failed.
            let _ = run_in_turn(&app, effort).await;
            Ok::<(), Infallible>(())
        }
    });
}

/// How much a run may ask of Plex.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Effort {
    /// Somebody has asked for this run: what another instance has counted is not new enough.
    Asked,
    /// Somebody looks at the dashboard.
    Full,
    /// Nobody has looked for a while: two calls at most, and counts of what has changed.
    Low,
}

fn effort(settings: &Settings, started: Instant) -> Effort {
    let reads = [caches::last_read(), snapshot().last_read];
    let last = reads.into_iter().flatten().fold(started, Instant::max);
    effort_after(last.elapsed(), settings.warm.idle)
}

const fn effort_after(quiet: Duration, idle: Option<Duration>) -> Effort {
    match idle {
        Some(idle) if quiet.as_nanos() >= idle.as_nanos() => Effort::Low,
        _ => Effort::Full,
    }
}

/// Starts a run in the background, unless the refresher is switched off.
pub(super) fn refresh_now(app: &AppState) {
    if enabled() {
        let app = app.clone();
        tokio::spawn(async move { run_in_turn(&app, Effort::Full).await });
    }
}

/// Runs now and waits for the end; the run goes on if nobody does.
///
/// # Errors
/// A part could not be counted; its last good value stays.
pub(super) async fn refresh(app: AppState) -> Result<(), SharedError> {
    let run = tokio::spawn(async move { run_in_turn(&app, Effort::Asked).await });
    let ended = run.await;
    ended.unwrap_or_else(|_panic| Err(Arc::new(FetchError::new("Internal error while counting"))))
}

/// Whether the refresher runs.
pub(super) fn enabled() -> bool {
    ENABLED.load(Ordering::Relaxed)
}

/// When the last run ended.
pub(super) fn last_update() -> Option<DateTime<Utc>> {
    snapshot().updated
}

/// Runs when no other run does. Whoever has waited takes the result of a run that began
/// meanwhile, so that any number of requests leads to two runs at most.
async fn run_in_turn(app: &AppState, effort: Effort) -> Result<(), SharedError> {
    let mine = ASKED.fetch_add(1, Ordering::Relaxed) + 1;
    let mut last = RUNNING.lock().await;
    if last.covers >= mine {
        return last.result.clone();
    }
    let covers = ASKED.load(Ordering::Relaxed);
    let result = run(app, effort).await.map_err(Arc::new);
    *last = LastRun {
        covers,
        result: result.clone(),
    };
    drop(last);
    result
}

/// Counts all parts at once and puts what could be counted into the snapshot.
async fn run(app: &AppState, effort: Effort) -> Result<(), FetchError> {
    let moment = Moment::now(app);
    let (traffic, plex) = tokio::join!(
        traffic_hours::totals(&app.store, Utc::now()),
        count_shared(moment.as_ref(), effort),
    );
    let mut failure = None;
    let mut snapshot = snapshot();
    snapshot.services = app.monitor.count();
    match traffic {
        Ok(traffic) => snapshot.traffic = traffic,
        Err(error) => {
            tracing::warn!("Could not count traffic: {error}");
            failure = Some(FetchError::new(error.to_string()));
        }
    }
    match plex {
        // The server may have been changed meanwhile; what is asked for then is never this.
        Ok(totals) => {
            snapshot.plex = totals;
            snapshot.origin = moment.map(|moment| Origin(moment.revision()));
        }
        Err(error) => failure = Some(error),
    }
    snapshot.updated = Some(Utc::now());
    drop(snapshot);
    match failure {
        None => {
            tracing::info!("Background stats updated successfully");
            Ok(())
        }
        Some(error) => {
            tracing::debug!("Background stats updated in part: {error}");
            Err(error)
        }
    }
}

/// As another instance has counted in this interval, or for all of them.
async fn count_shared(moment: Option<&Moment>, effort: Effort) -> Result<Totals, FetchError> {
    let count = Box::pin(async move {
        let (plex, ()) = tokio::join!(count_plex(moment, effort), observe_streams(moment));
        Ok(Fetched::Whole(plex?))
    });
    let Some(now) = moment else {
        return count.await.map(Fetched::into_value);
    };
    let interval = now.settings.cache.stats_refresh_interval;
    let need = match effort {
        Effort::Asked => Need::New,
        // Less than an interval, or every other run would take its own figures for another's.
        Effort::Full | Effort::Low => Need::Within(interval.mul_f64(0.9)),
    };
    let shared = now.shared_as(NAME, interval, need, LONGEST_COUNT, count);
    shared.await.map(Fetched::into_value)
}

async fn count_plex(moment: Option<&Moment>, effort: Effort) -> Result<Totals, FetchError> {
    let Some(now) = moment else {
        return Ok(Totals::default());
    };
    // Younger than the last run's.
    let oldest = now.settings.cache.stats_refresh_interval / 2;
    let counting = async {
        let known = known_users(Origin(now.revision()));
        match (effort, known) {
            (Effort::Full | Effort::Asked, _) => counts::totals(now, counts::ALL, oldest).await,
            (Effort::Low, Some(users)) => Ok(Totals {
                users,
                ..counts::media(now, counts::ALL, oldest).await?
            }),
            // Without the users there is no total, whatever else is counted.
            (Effort::Low, None) => Err(FetchError::new("Not counted until somebody looks")),
        }
    };
    timeout(LONGEST_COUNT, counting)
        .await
        .unwrap_or_else(|_elapsed| Err(FetchError::new("Counting took too long")))
}

/// The users as counted before, if that was on the same server.
fn known_users(origin: Origin) -> Option<u64> {
    let snapshot = snapshot();
    (snapshot.origin == Some(origin)).then_some(snapshot.plex.users)
}

/// A peak must not go unnoticed because no browser is open.
async fn observe_streams(moment: Option<&Moment>) {
    let Some(now) = moment else {
        return;
    };
    let interval = now.settings.cache.stats_refresh_interval;
    if streams::asked_within(interval / 2, now.revision()) {
        return;
    }
    if let Err(error) = now.streams().await {
        tracing::debug!("Could not count streams: {error}");
    }
}

fn snapshot() -> MutexGuard<'static, Snapshot> {
    SNAPSHOT.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The routes of this file.
pub(super) fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(get_dashboard))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_a_while_without_readers_less_is_asked_of_plex() {
        let idle = Some(Duration::from_secs(900));
        assert_eq!(effort_after(Duration::from_secs(899), idle), Effort::Full);
        assert_eq!(effort_after(Duration::from_secs(900), idle), Effort::Low);
        assert_eq!(effort_after(Duration::MAX, None), Effort::Full);
    }
}
