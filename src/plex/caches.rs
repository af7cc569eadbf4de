//! Every cache of the Plex family, and what holds for all of them.

use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::future::BoxFuture;
use tokio::time::Instant;

use super::sharing::{Need, Sharing};
use super::{
    activities, counts, images, libraries, recent_media, sessions, show_art, stats, users,
    watch_history,
};
use crate::app::AppState;
use crate::cache::{CacheAdmin, Origin, SharedError};
use crate::settings::CacheSettings;

/// A cache and what operators and the warmer do with it.
pub(super) struct Registered {
    /// Its name in `CACHE_WARM`.
    pub(super) key: &'static str,
    pub(super) cache: &'static dyn CacheAdmin,
    /// Fetches anew, or takes what another instance has fetched.
    pub(super) refresh: fn(AppState, Need) -> BoxFuture<'static, Result<(), SharedError>>,
    /// Its name for other instances, and the times that govern it.
    pub(super) sharing: &'static Sharing,
}

/// The caches that operators see, in the order in which 3.3.0 warms them (contract 01, section
/// 20), then those that it did not have.
pub(super) static CACHES: [Registered; 7] = [
    Registered {
        key: "activities",
        cache: &activities::ACTIVITIES,
        refresh: |app, need| Box::pin(activities::refresh(app, need)),
        sharing: &activities::SHARING,
    },
    Registered {
        key: "watch_history",
        cache: &watch_history::WATCH_HISTORY,
        refresh: |app, need| Box::pin(watch_history::refresh(app, need)),
        sharing: &watch_history::SHARING,
    },
    Registered {
        key: "sessions",
        cache: &sessions::SESSIONS,
        refresh: |app, need| Box::pin(sessions::refresh(app, need)),
        sharing: &sessions::SHARING,
    },
    Registered {
        key: "stats",
        cache: &stats::STATS,
        refresh: |app, need| Box::pin(stats::refresh(app, need)),
        sharing: &stats::STATS_SHARING,
    },
    Registered {
        key: "stats_live",
        cache: &stats::STATS_LIVE,
        refresh: |app, need| Box::pin(stats::refresh_live(app, need)),
        sharing: &stats::LIVE_SHARING,
    },
    Registered {
        key: "recent_media",
        cache: &recent_media::RECENT_MEDIA,
        refresh: |app, need| Box::pin(recent_media::refresh(app, need)),
        sharing: &recent_media::SHARING,
    },
    Registered {
        key: "libraries",
        cache: &libraries::LIBRARIES,
        refresh: |app, need| Box::pin(libraries::refresh(app, need)),
        sharing: &libraries::SHARING,
    },
];

type Part = (&'static dyn CacheAdmin, &'static Sharing);

/// Caches that 3.3.0 did not have and operators do not see.
static PARTS: [Part; 2] = [
    (&users::USERS_COUNT, &users::SHARING),
    (&counts::USERS, &counts::SHARING),
];

fn all() -> impl Iterator<Item = Part> {
    let caches = CACHES.iter().map(|one| (one.cache, one.sharing));
    caches.chain(PARTS)
}

/// Sets the times that govern the caches; once, before the first request.
pub fn configure_caches(settings: &CacheSettings) {
    for (cache, sharing) in all() {
        cache.configure((sharing.policy)(settings));
    }
}

/// The names of all shared values.
pub(super) fn shared_names() -> impl Iterator<Item = &'static str> {
    all().map(|(_, sharing)| sharing.name)
}

/// What all caches hold may be outdated.
pub(super) fn expire_all() {
    for (cache, _) in all() {
        cache.expire();
    }
}

/// What is shared under this name is outdated.
pub(super) fn expire(name: &str) {
    for (cache, _) in all().filter(|(_, sharing)| sharing.name == name) {
        cache.expire();
    }
}

/// Drops what the caches hold of an earlier Plex server. Readers can't get it anyway; this frees
/// the memory, ends the back-off, and lets the other instances know. True where there was one.
pub(super) fn adopt_server(app: &AppState) -> bool {
    static LAST: AtomicU64 = AtomicU64::new(0);
    let revision = app.settings.current().plex_revision;
    for (cache, _) in all() {
        cache.adopt(Origin(revision));
    }
    images::adopt(revision);
    let before = LAST.swap(revision, Ordering::Relaxed);
    let is_another = before != 0 && before != revision;
    if is_another {
        let app = app.clone();
        tokio::spawn(async move { app.shared.expire_all().await });
    }
    is_another
}

/// Empties all caches and sets their counters to zero.
pub(super) fn clear() {
    sessions::forget();
    for (cache, _) in all() {
        cache.clear();
    }
    images::clear();
    counts::forget();
    show_art::forget();
}

/// When somebody read any of the caches last.
pub(super) fn last_read() -> Option<Instant> {
    all().filter_map(|(cache, _)| cache.last_read()).max()
}

/// Another instance has had what is shared under this name: let nobody here wait for the end of a
/// back-off.
pub(super) fn forgive(name: &str) {
    for (cache, _) in all().filter(|(_, sharing)| sharing.name == name) {
        cache.forgive();
    }
}

/// The server has just shown that it works: let nobody wait for the end of a back-off.
pub(super) fn forgive_failures() {
    for (cache, _) in all() {
        cache.forgive();
    }
}
