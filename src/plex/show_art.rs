//! Pictures of shows, for the episodes that play.
//!
//! A session usually names its show's pictures itself. Where it does not, the show is asked for
//! once and remembered: 3.3.0 asked twice per episode and poll.

use std::collections::{BTreeSet, HashMap};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use serde::Deserialize;
use tokio::time::{Instant, timeout_at};

use super::error::PlexError;
use super::server::PlexServer;
use super::wire;

/// How long a show's pictures are remembered.
const KEPT: Duration = Duration::from_secs(300);
/// Nobody waits longer for pictures: the episode's own will do.
const PATIENCE: Duration = Duration::from_secs(2);
/// More shows than play at once anywhere.
const MOST: usize = 500;

/// The pictures of a show: paths on the Plex server.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Artwork {
    #[serde(deserialize_with = "wire::text")]
    pub(super) thumb: Option<String>,
    #[serde(deserialize_with = "wire::text")]
    pub(super) art: Option<String>,
}

struct Known {
    artwork: Artwork,
    at: Instant,
}

/// By revision of the Plex server and rating key.
static KNOWN: LazyLock<Mutex<HashMap<(u64, String), Known>>> = LazyLock::new(Mutex::default);

fn known() -> MutexGuard<'static, HashMap<(u64, String), Known>> {
    KNOWN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The pictures of these shows, as far as they can be had in time: one call for each show that is
/// not known yet, all at once.
pub(super) async fn of_shows(
    server: &PlexServer,
    revision: u64,
    rating_keys: BTreeSet<String>,
) -> HashMap<String, Artwork> {
    let now = Instant::now();
    let (mut found, unknown) = look_up(revision, rating_keys, now);
    let calls = unknown.into_iter().map(|key| async move {
        let artwork = match timeout_at(now + PATIENCE, fetch(server, &key)).await {
            Ok(Ok(artwork)) => artwork,
            Ok(Err(error)) => {
                tracing::warn!("Failed to fetch show metadata: {error}");
                return None;
            }
            Err(_elapsed) => return None,
        };
        Some((key, artwork))
    });
    for (key, artwork) in join_all(calls).await.into_iter().flatten() {
        remember(revision, &key, &artwork, now);
        found.insert(key, artwork);
    }
    found
}

/// Forgets all pictures.
pub(super) fn forget() {
    known().clear();
}

fn look_up(
    revision: u64,
    rating_keys: BTreeSet<String>,
    now: Instant,
) -> (HashMap<String, Artwork>, Vec<String>) {
    let mut known = known();
    known.retain(|(of, _), show| *of == revision && now < show.at + KEPT);
    let mut found = HashMap::new();
    let mut unknown = Vec::new();
    for key in rating_keys {
        match known.get(&(revision, key.clone())) {
            Some(show) => drop(found.insert(key, show.artwork.clone())),
            None => unknown.push(key),
        }
    }
    drop(known);
    (found, unknown)
}

fn remember(revision: u64, key: &str, artwork: &Artwork, now: Instant) {
    let artwork = artwork.clone();
    let mut known = known();
    if known.len() < MOST {
        known.insert((revision, key.to_owned()), Known { artwork, at: now });
    }
}

/// A show that has gone (404) has no pictures; that is worth remembering too.
async fn fetch(server: &PlexServer, rating_key: &str) -> Result<Artwork, PlexError> {
    let items = match server.metadata(&[rating_key]).await {
        Err(PlexError::Status { status: 404, .. }) => Vec::new(),
        items => items?,
    };
    let first = items.first();
    Ok(first
        .and_then(|raw| serde_json::from_str(raw.get()).ok())
        .unwrap_or_default())
}
