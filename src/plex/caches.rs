//! Every cache of the Plex family, and what holds for all of them.

use futures_util::future::BoxFuture;
use tokio::time::Instant;

use super::{
    activities, counts, images, libraries, recent_media, sessions, show_art, stats, users,
    watch_history,
};
use crate::app::AppState;
use crate::cache::{CacheAdmin, Origin, Policy, SharedError};
use crate::settings::{CacheSettings, Settings};

/// A cache and what operators and the warmer do with it.
pub(super) struct Registered {
    /// Its name in `CACHE_WARM`.
    pub(super) key: &'static str,
    pub(super) cache: &'static dyn CacheAdmin,
    /// Fetches anew.
    pub(super) refresh: fn(AppState) -> BoxFuture<'static, Result<(), SharedError>>,
    /// The times that govern it.
    pub(super) policy: fn(&CacheSettings) -> Policy,
}

/// The caches that operators see, in the order in which 3.3.0 warms them (contract 01, section
/// 20), then those that it did not have.
pub(super) static CACHES: [Registered; 7] = [
    Registered {
        key: "activities",
        cache: &activities::ACTIVITIES,
        refresh: |app| Box::pin(activities::refresh(app)),
        policy: activities::policy,
    },
    Registered {
        key: "watch_history",
        cache: &watch_history::WATCH_HISTORY,
        refresh: |app| Box::pin(watch_history::refresh(app)),
        policy: watch_history::policy,
    },
    Registered {
        key: "sessions",
        cache: &sessions::SESSIONS,
        refresh: |app| Box::pin(sessions::refresh(app)),
        policy: sessions::policy,
    },
    Registered {
        key: "stats",
        cache: &stats::STATS,
        refresh: |app| Box::pin(stats::refresh(app)),
        policy: stats::policy,
    },
    Registered {
        key: "stats_live",
        cache: &stats::STATS_LIVE,
        refresh: |app| Box::pin(stats::refresh_live(app)),
        policy: stats::live_policy,
    },
    Registered {
        key: "recent_media",
        cache: &recent_media::RECENT_MEDIA,
        refresh: |app| Box::pin(recent_media::refresh(app)),
        policy: recent_media::policy,
    },
    Registered {
        key: "libraries",
        cache: &libraries::LIBRARIES,
        refresh: |app| Box::pin(libraries::refresh(app)),
        policy: libraries::policy,
    },
];

type Part = (&'static dyn CacheAdmin, fn(&CacheSettings) -> Policy);

/// Caches that 3.3.0 did not have and operators do not see.
static PARTS: [Part; 2] = [
    (&users::USERS_COUNT, users::policy),
    (&counts::USERS, users::policy),
];

fn all() -> impl Iterator<Item = &'static dyn CacheAdmin> {
    let parts = PARTS.iter().map(|(cache, _)| *cache);
    CACHES.iter().map(|one| one.cache).chain(parts)
}

/// Sets the times that govern the caches; once, before the first request.
pub fn configure_caches(settings: &CacheSettings) {
    for one in &CACHES {
        one.cache.configure((one.policy)(settings));
    }
    for (cache, policy) in &PARTS {
        cache.configure(policy(settings));
    }
}

/// Drops what the caches hold of an earlier Plex server. Readers can't get it anyway; this frees
/// the memory and ends the back-off.
pub fn adopt_server(settings: &Settings) {
    for cache in all() {
        cache.adopt(Origin(settings.plex_revision));
    }
    images::adopt(settings.plex_revision);
}

/// Empties all caches and sets their counters to zero.
pub(super) fn clear() {
    sessions::forget();
    for cache in all() {
        cache.clear();
    }
    images::clear();
    counts::forget();
    show_art::forget();
}

/// When somebody read any of the caches last.
pub(super) fn last_read() -> Option<Instant> {
    all().filter_map(CacheAdmin::last_read).max()
}

/// The server has just shown that it works: let nobody wait for the end of a back-off.
pub(super) fn forgive_failures() {
    for cache in all() {
        cache.forgive();
    }
}
