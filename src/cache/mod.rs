//! The cache: a named value with a TTL, kept in a `Mutex<CacheEntry<T>>` at module level.
//!
//! A feature owns a `static` entry and reads it through [`read`], giving it a source: which
//! origin (which Plex server) the value must come from, and a future that fetches it. This
//! module decides whether to answer from memory, to join a fetch that runs, to start one, or to
//! fall back to an older value. It knows nothing of Plex, HTTP or JSON.
//!
//! What it promises, and where the promise is kept:
//!
//! - [`entry`]: the state machine. A value is fresh while its age is *below* the TTL, stale after
//!   that, and gone beyond the longest time it may be served. No I/O and no clock of its own.
//! - [`flight`]: one fetch at a time however many ask; what a waiting reader gets and when.
//! - [`answer`]: a JSON body made once per fetch and sent as it is; what else keeps its body uses
//!   the parts of it, [`reply()`] and [`Packed`].
//!
//! What is worth keeping for a moment only, by questions that are not known beforehand, has a cache
//! of another kind: `Brief`.
//!
//! The mutex guards a handful of loads and stores. It is never held across an await, a
//! serialisation or a fetch, so a reader can't be made to wait by another one's slow server.

mod accepts;
pub mod answer;
mod backoff;
mod brief;
mod cached;
pub mod entry;
pub mod flight;
mod packed;
mod parts;
mod reply;
pub mod shared;
mod stats;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use tokio::time::Instant;

pub use accepts::Accepts;
pub use answer::Answer;
pub(crate) use brief::Brief;
pub use cached::{Cached, Freshness, Stored};
pub use entry::{CacheEntry, Policy, REFRESH_AT};
pub use flight::{offer, read, recent, refresh};
pub use packed::{Gzip, Packed};
pub use reply::{Form, reply};
pub use stats::Stats;

/// Where a value comes from: rises with every change of the Plex server (URL or token), so that
/// the newest origin is known by comparison alone. A value belongs to exactly one origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Origin(pub u64);

impl Origin {
    /// Of values that come from no Plex server but from our own database: no change of server
    /// outdates them.
    pub const LOCAL: Self = Self(u64::MAX);
}

/// A value that can leave this process and come back: kept on disk over a restart.
pub trait Portable: Sized {
    /// As JSON; `None` if it can't be had.
    fn to_json(&self) -> Option<Box<RawValue>>;
    /// From such JSON, unless it is not what this type writes.
    fn from_json(json: &RawValue) -> Option<Self>;
}

impl<T: Serialize + DeserializeOwned> Portable for T {
    fn to_json(&self) -> Option<Box<RawValue>> {
        serde_json::value::to_raw_value(self).ok()
    }

    fn from_json(json: &RawValue) -> Option<Self> {
        serde_json::from_str(json.get()).ok()
    }
}

/// What a fetch brought: all of it, or only a part that must not pass for the whole.
#[derive(Debug)]
pub enum Fetched<T> {
    /// The complete value.
    Whole(T),
    /// A part of the value, because one of several upstream calls failed, and that failure.
    Partial(T, FetchError),
    /// What another instance has fetched.
    Taken {
        /// The value.
        value: T,
        /// How long ago that was.
        age: Duration,
        /// Why it is only a part; none if it is whole.
        missing: Option<FetchError>,
    },
}

impl<T> Fetched<T> {
    /// The value alone.
    pub fn into_value(self) -> T {
        match self {
            Self::Whole(value) | Self::Partial(value, _) | Self::Taken { value, .. } => value,
        }
    }
}

/// Why a fetch failed, in a form that many waiting requests can share.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct FetchError {
    /// For people; never holds a secret.
    pub message: String,
    /// How long the upstream asked to be left alone (`Retry-After`).
    pub retry_after: Option<Duration>,
    /// The upstream refused our credentials: an old value may be served for a short time only.
    pub refused: bool,
    /// Our own fault (a panic) rather than the upstream's: the next reader may try at once.
    pub retry_at_once: bool,
    /// This instance alone has the trouble: others need not hear of it.
    pub local: bool,
}

impl FetchError {
    /// A failure with nothing special about it.
    pub fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            retry_after: None,
            refused: false,
            retry_at_once: false,
            local: false,
        }
    }

    /// Two failures of one fetch: this one's message, and the caution that both ask for.
    #[must_use]
    pub fn and(self, other: &Self) -> Self {
        Self {
            retry_after: self.retry_after.max(other.retry_after),
            refused: self.refused || other.refused,
            retry_at_once: self.retry_at_once && other.retry_at_once,
            local: self.local && other.local,
            ..self
        }
    }
}

/// What operators do to a cache without knowing the type of its value.
pub trait CacheAdmin: Sync {
    /// Its name in `GET /api/plex/cache/stats`.
    fn name(&self) -> &'static str;
    /// Sets the TTL and the limits; called once at start, before the first reader.
    fn configure(&self, policy: Policy);
    /// The counters and the state, as `GET /api/plex/cache/stats` shows them.
    fn stats(&self, origin: Origin) -> Stats;
    /// Forgets the value, the failure and the counters; a fetch that runs will store nothing.
    fn clear(&self);
    /// What the value was made from has changed: the next reader fetches anew; the value stays as
    /// a fall-back.
    fn expire(&self);
    /// Ends the spacing of retries after failures; a stale value stays.
    fn forgive(&self);
    /// Forgets what belongs to an older origin than this.
    fn adopt(&self, origin: Origin);
    /// Whether a fetch runs.
    fn fetching(&self) -> bool;
    /// When somebody read it last.
    fn last_read(&self) -> Option<Instant>;
    /// In how long the warmer should refresh the value: at 80 % of its TTL. None if there is none,
    /// nobody has read it for `idle`, or a refresh would do no good now.
    fn due_in(&self, idle: Option<Duration>) -> Option<Duration>;
    /// The last whole value of `origin` and its age, to be kept over a restart.
    fn export(&self, origin: Origin) -> Option<(Box<RawValue>, Duration)>;
    /// Puts in what [`Self::export`] gave in an earlier run, as a fall-back until the first fetch
    /// is in. False if it can't be used.
    fn import(&self, origin: Origin, json: &RawValue, age: Duration) -> bool;
}

impl<T: Portable + Send + Sync> CacheAdmin for Mutex<CacheEntry<T>> {
    fn name(&self) -> &'static str {
        lock(self).name()
    }

    fn configure(&self, policy: Policy) {
        lock(self).configure(policy);
    }

    fn stats(&self, origin: Origin) -> Stats {
        let mut entry = lock(self);
        entry.adopt(origin);
        entry.stats(Instant::now())
    }

    fn clear(&self) {
        lock(self).clear();
    }

    fn expire(&self) {
        lock(self).expire();
    }

    fn forgive(&self) {
        lock(self).forgive();
    }

    fn adopt(&self, origin: Origin) {
        lock(self).adopt(origin);
    }

    fn fetching(&self) -> bool {
        lock(self).fetching()
    }

    fn last_read(&self) -> Option<Instant> {
        lock(self).last_read()
    }

    fn due_in(&self, idle: Option<Duration>) -> Option<Duration> {
        lock(self).due_in(idle, Instant::now())
    }

    fn export(&self, origin: Origin) -> Option<(Box<RawValue>, Duration)> {
        let stored = lock(self).last_whole(origin)?;
        Some((stored.value.to_json()?, stored.age(Instant::now())))
    }

    fn import(&self, origin: Origin, json: &RawValue, age: Duration) -> bool {
        let Some(value) = T::from_json(json) else {
            return false;
        };
        lock(self).seed(origin, value, age, Instant::now())
    }
}

/// Locks an entry. A panic while it was held can't leave it half-changed in a way that matters
/// more than going on, so poisoning is ignored.
fn lock<T>(entry: &Mutex<CacheEntry<T>>) -> MutexGuard<'_, CacheEntry<T>> {
    entry.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A shared failure: one fetch answers many readers.
pub type SharedError = Arc<FetchError>;
