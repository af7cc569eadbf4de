//! What a reader gets: a value, its age, and how it came by it.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::SharedError;

/// A value and the moment its fetch ended.
#[derive(Debug)]
pub struct Stored<T> {
    /// What was fetched.
    pub value: T,
    pub(super) fetched_at: Instant,
}

impl<T> Stored<T> {
    #[cfg(test)]
    pub(super) fn now(value: T) -> Self {
        Self {
            value,
            fetched_at: Instant::now(),
        }
    }

    pub(super) fn age(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.fetched_at)
    }
}

/// A value on its way to a reader.
#[derive(Debug)]
pub struct Cached<T> {
    /// The value, shared with all its readers.
    pub stored: Arc<Stored<T>>,
    /// Time since the value was fetched.
    pub age: Duration,
    /// How long it will stay fresh; zero for a stale value.
    pub fresh_for: Duration,
    /// How the reader came by it.
    pub freshness: Freshness,
}

impl<T> Clone for Cached<T> {
    fn clone(&self) -> Self {
        Self {
            stored: Arc::clone(&self.stored),
            age: self.age,
            fresh_for: self.fresh_for,
            freshness: self.freshness.clone(),
        }
    }
}

/// How a reader came by its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Freshness {
    /// From memory, age below the TTL.
    Fresh,
    /// By a fetch that this reader started, or, when `shared`, waited for with others.
    Fetched {
        /// The fetch had been started by somebody else.
        shared: bool,
    },
    /// From memory, too old, because nothing newer could be had (in time).
    Stale {
        /// How long ago the trouble began.
        failing_for: Duration,
        /// The failure; none while the first fetch is merely slow.
        error: Option<SharedError>,
    },
}
