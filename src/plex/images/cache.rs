//! Pictures in memory: the least recently used go when they take too much of it, and one fetch
//! serves all who ask for the same.
//!
//! Unlike the caches of [`crate::cache`] this one has many values, so it is bounded by their
//! size, and a value that has become old is served while a new one is fetched behind it.

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt as _;
use lru::LruCache;
use tokio::sync::watch;
use tokio::time::Instant;

use super::fetch::{Picture, PictureError};
use super::memory;

/// Below this age a picture is fresh. Plex gives a changed one another address.
const FRESH: Duration = Duration::from_secs(24 * 3600);
/// Up to this age it is served all the same, while a new one is fetched or can't be.
const USABLE: Duration = Duration::from_secs(7 * 24 * 3600);
/// After a failure an old picture is served so long before the next try.
const PAUSE: Duration = Duration::from_secs(60);
/// So long a picture that does not exist is not asked for again.
const MISSING: Duration = Duration::from_secs(60);
/// How many of those are remembered, apart from the pictures: anybody can ask for what does not
/// exist.
const MOST_MISSING: NonZeroUsize = NonZeroUsize::new(1024).expect("more than 0");
/// Fetches that run or wait at a time; more are refused.
const MOST_FETCHES: usize = 256;
/// The part of the cache that one picture may take.
const LARGEST_SHARE: usize = 8;
/// What an entry takes beside its bytes and its key, roughly.
const OVERHEAD: usize = 256;

/// What a picture is known by.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    /// The revision of the Plex server that it is of; `None` for a public host's.
    pub(super) revision: Option<u64>,
    /// Its address in its canonical spelling.
    pub(super) address: String,
}

/// A picture and how its reader came by it.
#[derive(Clone, Debug)]
pub(super) struct Served {
    pub(super) picture: Arc<Picture>,
    pub(super) age: Duration,
    pub(super) how: How,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum How {
    /// From memory; fresh for so long.
    Hit(Duration),
    /// From memory and older than it should be.
    Stale,
    /// Fetched for this reader.
    Fetched,
    /// Fetched for another reader.
    Shared,
}

type Outcome = Result<Arc<Picture>, PictureError>;
type Waiting = watch::Receiver<Option<Outcome>>;

static PICTURES: LazyLock<Mutex<Pictures>> = LazyLock::new(Mutex::default);

struct Pictures {
    kept: LruCache<Key, Kept>,
    bytes: usize,
    /// Until when what does not exist is not asked for.
    missing: LruCache<Key, Instant>,
    flights: HashMap<Key, Flight>,
    /// The newest revision of the Plex server that was seen.
    revision: u64,
    next_flight: u64,
}

struct Kept {
    picture: Arc<Picture>,
    fetched_at: Instant,
    /// When an old picture may be asked for anew.
    not_before: Instant,
    weight: usize,
}

struct Flight {
    number: u64,
    done: Waiting,
}

/// What a look into the cache yields.
enum Look {
    Answer(Result<Served, PictureError>),
    /// The picture is old: serve it, and fetch it anew.
    Renew(Served, Launch),
    Wait(Waiting),
    Fetch(Launch),
}

/// The right and the duty to run a fetch.
struct Launch {
    number: u64,
    publish: watch::Sender<Option<Outcome>>,
    done: Waiting,
}

/// Answers a reader from memory or by one fetch that all readers of this picture share. It runs
/// in a task of its own: a reader that goes away changes nothing.
pub(super) async fn read<F>(
    key: Key,
    capacity: usize,
    fetch: impl FnOnce() -> F,
) -> Result<Served, PictureError>
where
    F: Future<Output = Result<Picture, PictureError>> + Send + 'static,
{
    let look = lock().look(&key, Instant::now());
    let (done, how) = match look {
        Look::Answer(answer) => return answer,
        Look::Renew(old, launch) => {
            start(key, capacity, launch, fetch());
            return Ok(old);
        }
        Look::Wait(done) => {
            tracing::debug!("Waiting for a picture that is being fetched");
            (done, How::Shared)
        }
        Look::Fetch(launch) => {
            let done = launch.done.clone();
            start(key, capacity, launch, fetch());
            (done, How::Fetched)
        }
    };
    let picture = outcome(done).await?;
    Ok(Served {
        picture,
        age: Duration::ZERO,
        how,
    })
}

/// Forgets all pictures; fetches that run keep nothing.
pub(super) fn clear() {
    lock().clear();
}

/// Forgets the pictures of Plex servers before this revision.
pub(in crate::plex) fn adopt(revision: u64) {
    lock().adopt(revision);
}

fn lock() -> MutexGuard<'static, Pictures> {
    PICTURES.lock().unwrap_or_else(PoisonError::into_inner)
}

fn start<F>(key: Key, capacity: usize, launch: Launch, fetch: F)
where
    F: Future<Output = Result<Picture, PictureError>> + Send + 'static,
{
    tokio::spawn(async move {
        let result = AssertUnwindSafe(fetch).catch_unwind().await;
        let outcome = result.unwrap_or(Err(PictureError::Failed)).map(Arc::new);
        lock().settle(&key, launch.number, &outcome, capacity, Instant::now());
        // Nobody may be left to hear it; that is fine.
        let _ = launch.publish.send(Some(outcome));
    });
}

async fn outcome(mut done: Waiting) -> Outcome {
    let seen = done.wait_for(Option::is_some).await;
    match seen.as_deref() {
        Ok(Some(outcome)) => outcome.clone(),
        // The task is gone without a word: the program is stopping.
        _ => Err(PictureError::Failed),
    }
}

impl Default for Pictures {
    fn default() -> Self {
        Self {
            kept: LruCache::unbounded(),
            bytes: 0,
            missing: LruCache::new(MOST_MISSING),
            flights: HashMap::new(),
            revision: 0,
            next_flight: 0,
        }
    }
}

impl Pictures {
    fn look(&mut self, key: &Key, now: Instant) -> Look {
        self.adopt(key.revision.unwrap_or_default());
        let kept = self.kept.get(key).map(|kept| {
            let age = now.saturating_duration_since(kept.fetched_at);
            let left = FRESH.saturating_sub(age);
            let how = if left.is_zero() {
                How::Stale
            } else {
                How::Hit(left)
            };
            let picture = Arc::clone(&kept.picture);
            (Served { picture, age, how }, kept.not_before)
        });
        match kept {
            Some((served, _)) if served.how != How::Stale => Look::Answer(Ok(served)),
            Some((old, not_before)) if old.age <= USABLE => {
                let wait = now < not_before
                    || self.flights.contains_key(key)
                    || self.flights.len() >= MOST_FETCHES;
                if wait {
                    return Look::Answer(Ok(old));
                }
                Look::Renew(old, self.launch(key))
            }
            _ => self.look_elsewhere(key, now),
        }
    }

    fn look_elsewhere(&mut self, key: &Key, now: Instant) -> Look {
        if self.missing.get(key).is_some_and(|until| now < *until) {
            return Look::Answer(Err(PictureError::Missing));
        }
        if let Some(flight) = self.flights.get(key) {
            return Look::Wait(flight.done.clone());
        }
        if self.flights.len() >= MOST_FETCHES {
            return Look::Answer(Err(PictureError::Busy));
        }
        Look::Fetch(self.launch(key))
    }

    fn launch(&mut self, key: &Key) -> Launch {
        let (publish, done) = watch::channel(None);
        self.next_flight += 1;
        let number = self.next_flight;
        let flight = Flight {
            number,
            done: done.clone(),
        };
        self.flights.insert(key.clone(), flight);
        Launch {
            number,
            publish,
            done,
        }
    }

    /// A fetch has ended. Nothing of it is kept when its flight is no longer known, for the cache
    /// was cleared or the Plex server changed since it began.
    fn settle(&mut self, key: &Key, number: u64, outcome: &Outcome, capacity: usize, now: Instant) {
        let known = self.flights.get(key).is_some_and(|f| f.number == number);
        if !known {
            return;
        }
        self.flights.remove(key);
        match outcome {
            Ok(picture) => {
                self.missing.pop(key);
                self.keep(key, picture, capacity, now);
            }
            Err(PictureError::Missing) => {
                self.drop_kept(key);
                self.missing.put(key.clone(), now + MISSING);
            }
            Err(_) => {
                if let Some(kept) = self.kept.peek_mut(key) {
                    kept.not_before = now + PAUSE;
                }
            }
        }
    }

    fn keep(&mut self, key: &Key, picture: &Arc<Picture>, capacity: usize, now: Instant) {
        self.drop_kept(key);
        let weight = memory::set_aside_for(picture.bytes.len()) + 2 * key.address.len() + OVERHEAD;
        if weight > capacity / LARGEST_SHARE || self.is_outdated(key) {
            return;
        }
        while self.bytes + weight > capacity {
            let Some((_, oldest)) = self.kept.pop_lru() else {
                break;
            };
            self.bytes -= oldest.weight;
        }
        self.bytes += weight;
        let kept = Kept {
            picture: Arc::clone(picture),
            fetched_at: now,
            not_before: now,
            weight,
        };
        self.kept.put(key.clone(), kept);
    }

    fn drop_kept(&mut self, key: &Key) {
        if let Some(kept) = self.kept.pop(key) {
            self.bytes -= kept.weight;
        }
    }

    fn adopt(&mut self, revision: u64) {
        if revision <= self.revision {
            return;
        }
        self.revision = revision;
        let keys = self.kept.iter().map(|(key, _)| key);
        let keys: Vec<Key> = keys.filter(|key| self.is_outdated(key)).cloned().collect();
        for key in keys {
            self.drop_kept(&key);
        }
        self.flights
            .retain(|key, _| key.revision.is_none_or(|of| of >= revision));
    }

    fn is_outdated(&self, key: &Key) -> bool {
        key.revision.is_some_and(|of| of < self.revision)
    }

    fn clear(&mut self) {
        *self = Self {
            revision: self.revision,
            next_flight: self.next_flight,
            ..Self::default()
        };
    }
}

#[cfg(test)]
mod tests;
