//! `/api/plex/cache/*`: what operators see of the caches and do to them.

use std::time::Duration;

use axum::Json;
use chrono::{SecondsFormat, Utc};
use futures_util::future::join_all;
use serde::Serialize;
use serde_json::Number;
use tokio::time::timeout;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::caches::{self, CACHES};
use super::sharing::Need;
use super::{dashboard, kept};
use crate::app::AppState;
use crate::cache::shared::{Stage, Status};
use crate::cache::{Origin, SharedError, Stats};
use crate::compat::datetime;

/// The names of the entries that other instances and 3.3.0 share through Redis, without the
/// prefix `komandorr:` (contract 01, section 18).
const REDIS_KEYS: [&str; 6] = [
    "plex:activities",
    "plex:watch_history",
    "plex:sessions",
    "plex:stats",
    "plex:stats_live",
    "plex:recent_media",
];

/// What 3.3.0 calls the periodic statistics, and their place in the list.
const BACKGROUND_STATS: &str = "background_stats";
const BACKGROUND_STATS_AT: usize = 2;
/// Its place among what is warmed: 3.3.0 does it last, before it had libraries.
const BACKGROUND_STATS_WARMED: usize = 6;

/// Whoever warms is answered within the time that a request may take; what is slower goes on.
const LONGEST_WARM: Duration = Duration::from_secs(45);

/// The answer to cache/stats.
#[derive(Serialize, ToSchema)]
struct CacheStats {
    #[schema(value_type = Vec<Object>)]
    caches: Vec<Listed>,
    /// Local time without a zone.
    timestamp: String,
    redis: SecondTier,
    redis_keys_expected: [&'static str; 6],
}

/// What is listed: caches, and between them the periodic statistics.
#[derive(Serialize)]
#[serde(untagged)]
enum Listed {
    Cache(Entry),
    BackgroundStats(BackgroundStats),
}

/// One cache.
#[derive(Serialize, ToSchema)]
struct Entry {
    name: &'static str,
    hits: u64,
    misses: u64,
    total_requests: u64,
    /// Percent with one decimal, as text.
    hit_rate: String,
    #[schema(value_type = f64)]
    ttl_seconds: Number,
    /// A value that would be served now exists.
    cached: bool,
    cache_age_seconds: Option<f64>,
    /// Readers that got an old value.
    stale_served: u64,
    /// Readers that waited for somebody else's fetch.
    shared_waits: u64,
    fetch_errors: u64,
    /// Mean duration of a fetch in milliseconds.
    fetch_ms_avg: Option<f64>,
    /// The value is older than its TTL.
    stale: bool,
}

/// The periodic statistics.
#[derive(Serialize, ToSchema)]
struct BackgroundStats {
    name: &'static str,
    /// Whether the refresher runs.
    enabled: bool,
    last_update: Option<String>,
    /// Seconds.
    #[schema(value_type = f64)]
    update_interval: Number,
}

/// Where values are kept beside the process's own memory.
#[derive(Serialize, ToSchema)]
struct SecondTier {
    /// `redis` or `memory`, as configured.
    #[serde(rename = "type")]
    kind: &'static str,
    enabled: bool,
    /// In use at present; while it is not, values are kept in memory alone.
    connected: bool,
    /// Values of ours: in Redis while that is connected, else those that would be served now.
    total_keys: u64,
    /// How often another instance had what was missing here; absent in memory mode.
    #[serde(skip_serializing_if = "Option::is_none")]
    hits: Option<u64>,
    /// How often none had; absent in memory mode.
    #[serde(skip_serializing_if = "Option::is_none")]
    misses: Option<u64>,
    /// `disabled`, `connecting`, `connected` or `down`.
    state: &'static str,
    /// Since when it is in this state; UTC.
    since: String,
    /// What was wrong with it last, in a word (`refused`, `timeout`, `auth`, ...).
    last_error: Option<String>,
}

impl SecondTier {
    fn of(status: Status, total_keys: u64) -> Self {
        let enabled = status.stage != Stage::Disabled;
        let connected = status.stage == Stage::Connected;
        Self {
            kind: if enabled { "redis" } else { "memory" },
            enabled,
            connected,
            total_keys,
            hits: enabled.then_some(status.hits),
            misses: enabled.then_some(status.misses),
            state: status.stage.name(),
            since: status.since.to_rfc3339_opts(SecondsFormat::Secs, true),
            last_error: status.last_error.map(|error| error.to_string()),
        }
    }
}

/// The answer to cache/clear.
#[derive(Serialize, ToSchema)]
struct Cleared {
    success: bool,
    message: &'static str,
    redis_cleared: bool,
}

/// The answer to cache/warm.
#[derive(Serialize, ToSchema)]
struct Warmed {
    /// Nothing failed.
    success: bool,
    message: &'static str,
    /// What has really been fetched.
    warmed: Vec<&'static str>,
    /// What has not.
    failed: Vec<Failure>,
}

/// A cache that could not be filled.
#[derive(Serialize, ToSchema)]
struct Failure {
    name: &'static str,
    /// For people.
    message: String,
}

/// Hits, misses and age of every cache.
#[utoipa::path(get, path = "/api/plex/cache/stats", tag = "cache",
    responses((status = 200, body = CacheStats)))]
async fn stats(app: AppState) -> Json<CacheStats> {
    let settings = app.settings.current();
    let origin = Origin(settings.plex_revision);
    let entries = CACHES.iter().map(|one| entry(&one.cache.stats(origin)));
    let mut caches: Vec<Listed> = entries.map(Listed::Cache).collect();
    let in_memory = caches
        .iter()
        .filter(|listed| matches!(listed, Listed::Cache(entry) if entry.cached))
        .count();
    let background = BackgroundStats {
        name: BACKGROUND_STATS,
        enabled: dashboard::enabled(),
        last_update: dashboard::last_update().map(datetime::iso_with_offset),
        update_interval: number(settings.cache.stats_refresh_interval),
    };
    caches.insert(BACKGROUND_STATS_AT, Listed::BackgroundStats(background));
    let shared = app.shared.count(caches::shared_names()).await;
    let keys = shared.unwrap_or(in_memory as u64);
    Json(CacheStats {
        caches,
        timestamp: datetime::iso_local(Utc::now(), settings.process_timezone),
        redis: SecondTier::of(app.shared.status(), keys),
        redis_keys_expected: REDIS_KEYS,
    })
}

/// Empties all caches and sets their counters to zero.
#[utoipa::path(post, path = "/api/plex/cache/clear", tag = "cache",
    responses((status = 200, body = Cleared)))]
async fn clear(app: AppState) -> Json<Cleared> {
    // First, or a fetch that begins now would bring back what another instance has had.
    let redis_cleared = app.shared.clear().await;
    app.shared.forget_counts();
    caches::clear();
    kept::forget_answers(&app).await;
    dashboard::refresh_now(&app);
    tracing::info!("All caches cleared");
    Json(Cleared {
        success: true,
        message: "All caches cleared successfully",
        redis_cleared,
    })
}

/// Fetches everything anew, all at once, and says what worked within 45 s.
#[utoipa::path(post, path = "/api/plex/cache/warm", tag = "cache",
    responses((status = 200, body = Warmed)))]
async fn warm(app: AppState) -> Json<Warmed> {
    caches::forgive_failures();
    let refreshes = CACHES.iter().map(|one| {
        let refresh = in_time((one.refresh)(app.clone(), Need::New));
        async move { (one.cache.name(), refresh.await) }
    });
    let background = in_time(dashboard::refresh(app.clone()));
    let (mut done, background) = tokio::join!(join_all(refreshes), background);
    done.insert(BACKGROUND_STATS_WARMED, (BACKGROUND_STATS, background));
    let mut warmed = Vec::new();
    let mut failed = Vec::new();
    for (name, done) in done {
        match done {
            Ok(()) => warmed.push(name),
            Err(message) => failed.push(Failure { name, message }),
        }
    }
    Json(Warmed {
        success: failed.is_empty(),
        message: if failed.is_empty() {
            "Caches warmed successfully"
        } else {
            "Some caches could not be warmed"
        },
        warmed,
        failed,
    })
}

/// What became of `refresh`, in words for people.
async fn in_time(refresh: impl Future<Output = Result<(), SharedError>>) -> Result<(), String> {
    match timeout(LONGEST_WARM, refresh).await {
        Ok(done) => done.map_err(|error| error.message.clone()),
        Err(_elapsed) => Err("It takes long and goes on in the background".to_owned()),
    }
}

fn entry(stats: &Stats) -> Entry {
    let total = stats.hits + stats.misses;
    #[expect(clippy::cast_precision_loss, reason = "a percentage with one decimal")]
    let rate = if total == 0 {
        0.0
    } else {
        stats.hits as f64 / total as f64 * 100.0
    };
    Entry {
        name: stats.name,
        hits: stats.hits,
        misses: stats.misses,
        total_requests: total,
        hit_rate: format!("{rate:.1}%"),
        ttl_seconds: number(stats.ttl),
        cached: stats.cached,
        cache_age_seconds: stats.age.map(|age| tenth(age.as_secs_f64())),
        stale_served: stats.stale_served,
        shared_waits: stats.shared_waits,
        fetch_errors: stats.fetch_errors,
        fetch_ms_avg: stats.fetch_ms_avg.map(tenth),
        stale: stats.stale,
    }
}

/// Seconds; a whole number is written without a fraction, as in 3.3.0.
fn number(duration: Duration) -> Number {
    if duration.subsec_nanos() == 0 {
        return duration.as_secs().into();
    }
    // A Duration is never NaN or infinite, the only numbers that JSON does not have.
    Number::from_f64(duration.as_secs_f64()).unwrap_or_else(|| 0.into())
}

fn tenth(number: f64) -> f64 {
    (number * 10.0).round() / 10.0
}

/// The routes of this file.
pub(super) fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(stats))
        .routes(routes!(clear))
        .routes(routes!(warm))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn warming_is_answered_before_the_request_runs_out_of_time() {
        let started = tokio::time::Instant::now();
        let slow = in_time(std::future::pending()).await;
        assert!(slow.unwrap_err().contains("goes on"));
        assert!(started.elapsed() < Duration::from_secs(60));
        assert_eq!(in_time(async { Ok(()) }).await, Ok(()));
    }

    #[test]
    fn the_hit_rate_is_text_with_one_decimal() {
        let mut stats = Stats::empty("x", Duration::from_secs(5));
        assert_eq!(entry(&stats).hit_rate, "0.0%");
        (stats.hits, stats.misses) = (2, 1);
        let entry = entry(&stats);
        assert_eq!(
            (entry.hit_rate.as_str(), entry.total_requests),
            ("66.7%", 3)
        );
        assert_eq!(entry.ttl_seconds.to_string(), "5");
        assert_eq!(number(Duration::from_millis(250)).to_string(), "0.25");
    }
}
