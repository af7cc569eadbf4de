//! Pictures of shows, for the episodes that play.
//!
//! A session usually names its show's pictures itself. Where it does not, the show is asked for
//! once and remembered: 3.3.0 asked twice per episode and poll. Failures are remembered as well, or
//! a Plex server that hangs here would be asked with every poll.

use std::collections::{BTreeSet, HashMap};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, timeout_at};

use super::error::PlexError;
use super::moment::Moment;
use super::server::PlexServer;
use super::wire;
use crate::cache::Fetched;

/// How long a show's pictures are remembered.
const KEPT: Duration = Duration::from_secs(300);
/// How long a show that could not be asked for is left alone.
const LEFT_ALONE: Duration = Duration::from_secs(30);
/// Nobody waits longer for pictures: the episode's own will do.
const PATIENCE: Duration = Duration::from_secs(2);
/// More shows than play at once anywhere.
const MOST: usize = 500;

/// The pictures of a show: paths on the Plex server.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Artwork {
    #[serde(deserialize_with = "wire::text")]
    pub(super) thumb: Option<String>,
    #[serde(deserialize_with = "wire::text")]
    pub(super) art: Option<String>,
}

#[derive(Default)]
struct Known {
    /// By revision of the Plex server and rating key.
    shows: HashMap<(u64, String), Show>,
    /// How often all has been forgotten: what was asked for before is not remembered after it.
    forgotten: u64,
}

struct Show {
    artwork: Artwork,
    until: Instant,
}

static KNOWN: LazyLock<Mutex<Known>> = LazyLock::new(Mutex::default);

fn known() -> MutexGuard<'static, Known> {
    KNOWN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The pictures of these shows, as far as they can be had in time: one call for each show that is
/// not known yet, all at once.
pub(super) async fn of_shows(
    moment: &Moment,
    rating_keys: BTreeSet<String>,
) -> HashMap<String, Artwork> {
    let revision = moment.revision();
    let now = Instant::now();
    let (mut found, unknown, forgotten) = look_up(revision, rating_keys, now);
    let calls = unknown.into_iter().map(|key| async move {
        let server = moment.server();
        let fetch = Box::pin(async { Ok(Fetched::Whole(fetch(&server, &key).await?)) });
        let words = [key.as_str()];
        let fetch = moment.shared_part("show_art", &words, KEPT, fetch);
        let fetched = timeout_at(now + PATIENCE, fetch).await;
        let fetched = fetched.unwrap_or_else(|_elapsed| Err(PlexError::Timeout.into()));
        let (artwork, kept) = match fetched {
            Ok(artwork) => (artwork.into_value(), KEPT),
            Err(error) => {
                tracing::warn!("Failed to fetch show metadata: {error}");
                (Artwork::default(), LEFT_ALONE)
            }
        };
        let until = now + kept;
        (key, Show { artwork, until })
    });
    for (key, show) in join_all(calls).await {
        found.insert(key.clone(), show.artwork.clone());
        remember(revision, key, show, forgotten);
    }
    found
}

/// Forgets all pictures.
pub(super) fn forget() {
    let mut known = known();
    known.shows.clear();
    known.forgotten += 1;
}

/// What is known, what is not, and as of when.
fn look_up(
    revision: u64,
    rating_keys: BTreeSet<String>,
    now: Instant,
) -> (HashMap<String, Artwork>, Vec<String>, u64) {
    let mut known = known();
    known
        .shows
        .retain(|(of, _), show| *of == revision && now < show.until);
    let mut found = HashMap::new();
    let mut unknown = Vec::new();
    for key in rating_keys {
        match known.shows.get(&(revision, key.clone())) {
            Some(show) => drop(found.insert(key, show.artwork.clone())),
            None => unknown.push(key),
        }
    }
    (found, unknown, known.forgotten)
}

fn remember(revision: u64, key: String, show: Show, forgotten: u64) {
    let mut known = known();
    if known.shows.len() < MOST && known.forgotten == forgotten {
        known.shows.insert((revision, key), show);
    }
}

/// A show that has gone (404) has no pictures; that is worth remembering too.
async fn fetch(server: &PlexServer, rating_key: &str) -> Result<Artwork, PlexError> {
    let items = match server.metadata_of(rating_key).await {
        Err(PlexError::Status { status: 404, .. }) => Vec::new(),
        items => items?,
    };
    let first = items.first();
    Ok(first
        .and_then(|raw| serde_json::from_str(raw.get()).ok())
        .unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_asked_for_before_all_was_forgotten_is_not_remembered() {
        let (revision, now) = (u64::MAX, Instant::now());
        let keys = || BTreeSet::from(["1".to_owned()]);
        let show = || Show {
            artwork: Artwork::default(),
            until: now + KEPT,
        };
        let (_, unknown, before) = look_up(revision, keys(), now);
        assert_eq!(unknown, ["1"]);
        forget();
        remember(revision, "1".to_owned(), show(), before);
        let (found, _, after) = look_up(revision, keys(), now);
        assert!(found.is_empty());
        remember(revision, "1".to_owned(), show(), after);
        assert_eq!(look_up(revision, keys(), now).0.len(), 1);
        assert_eq!(look_up(revision, keys(), now + KEPT).0.len(), 0);
    }
}
