//! `/api/plex/cache/*`: what operators see of the caches and do to them.

use std::time::Duration;

use axum::Json;
use chrono::Utc;
use serde::Serialize;
use serde_json::Number;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::activities::ACTIVITIES;
use super::images;
use crate::app::AppState;
use crate::cache::{CacheAdmin, Origin, Policy, Stats};
use crate::compat::datetime;
use crate::settings::{CacheSettings, Settings};

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

/// Every cache there is. What holds for all caches goes through here.
static CACHES: [&dyn CacheAdmin; 1] = [&ACTIVITIES];

/// The answer to cache/stats.
#[derive(Serialize, ToSchema)]
struct CacheStats {
    caches: (Entry, Entry, BackgroundStats),
    /// Local time without a zone.
    timestamp: String,
    redis: SecondTier,
    redis_keys_expected: [&'static str; 6],
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
    #[serde(rename = "type")]
    kind: &'static str,
    enabled: bool,
    connected: bool,
    /// Values that would be served now.
    total_keys: usize,
}

/// The answer to cache/clear.
#[derive(Serialize, ToSchema)]
struct Cleared {
    success: bool,
    message: &'static str,
    redis_cleared: bool,
}

/// Hits, misses and age of every cache.
#[utoipa::path(get, path = "/api/plex/cache/stats", tag = "cache",
    responses((status = 200, body = CacheStats)))]
async fn stats(app: AppState) -> Json<CacheStats> {
    let settings = app.settings.current();
    let origin = Origin(settings.plex_revision);
    let activities = entry(&ACTIVITIES.stats(origin));
    Json(CacheStats {
        redis: SecondTier {
            kind: "memory",
            enabled: false,
            connected: false,
            total_keys: usize::from(activities.cached),
        },
        caches: (
            activities,
            entry(&Stats::empty(
                "watch_history",
                settings.cache.watch_history_ttl,
            )),
            BackgroundStats {
                name: "background_stats",
                enabled: false,
                last_update: None,
                update_interval: number(settings.cache.stats_refresh_interval),
            },
        ),
        timestamp: datetime::iso_local(Utc::now(), settings.process_timezone),
        redis_keys_expected: REDIS_KEYS,
    })
}

/// Empties all caches and sets their counters to zero.
#[utoipa::path(post, path = "/api/plex/cache/clear", tag = "cache",
    responses((status = 200, body = Cleared)))]
async fn clear() -> Json<Cleared> {
    for cache in CACHES {
        cache.clear();
    }
    images::clear();
    tracing::info!("All caches cleared");
    Json(Cleared {
        success: true,
        message: "All caches cleared successfully",
        // Legacy: true in memory mode too (contract 01, section 19).
        redis_cleared: true,
    })
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

/// Sets the times that govern the caches; once, before the first request.
pub fn configure_caches(settings: &CacheSettings) {
    ACTIVITIES.configure(Policy {
        ttl: settings.activities_ttl,
        max_stale: settings.live_max_stale(),
        max_wait: settings.max_wait,
    });
}

/// Drops what the caches hold of an earlier Plex server. Readers can't get it anyway; this frees
/// the memory and ends the back-off.
pub fn adopt_server(settings: &Settings) {
    for cache in CACHES {
        cache.adopt(Origin(settings.plex_revision));
    }
    images::adopt(settings.plex_revision);
}

/// The server has just shown that it works: let nobody wait for the end of a back-off.
pub(super) fn forgive_failures() {
    for cache in CACHES {
        cache.forgive();
    }
}

/// The routes of this file.
pub(super) fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(stats))
        .routes(routes!(clear))
}

#[cfg(test)]
mod tests {
    use super::*;

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
