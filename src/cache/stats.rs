//! What is counted, and what operators see of it.

use std::time::Duration;

/// Counters and state of one cache.
#[derive(Clone, Debug, PartialEq)]
pub struct Stats {
    /// The name in `GET /api/plex/cache/stats`.
    pub name: &'static str,
    /// The TTL in force.
    pub ttl: Duration,
    /// Readers answered from a fresh value.
    pub hits: u64,
    /// All other readers.
    pub misses: u64,
    /// Readers answered with a stale value (they count as misses too).
    pub stale_served: u64,
    /// Readers that waited for a fetch which somebody else had started.
    pub shared_waits: u64,
    /// Fetches that failed.
    pub fetch_errors: u64,
    /// Mean duration of all fetches, failed ones included, in milliseconds.
    pub fetch_ms_avg: Option<f64>,
    /// A value that would be served now exists.
    pub cached: bool,
    /// That value is older than the TTL.
    pub stale: bool,
    /// Age of the value, if one exists.
    pub age: Option<Duration>,
}

impl Stats {
    /// Those of a cache that nobody has used yet.
    pub const fn empty(name: &'static str, ttl: Duration) -> Self {
        Self {
            name,
            ttl,
            hits: 0,
            misses: 0,
            stale_served: 0,
            shared_waits: 0,
            fetch_errors: 0,
            fetch_ms_avg: None,
            cached: false,
            stale: false,
            age: None,
        }
    }
}

/// What is counted between two clearings.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) hits: u64,
    pub(super) misses: u64,
    pub(super) stale_served: u64,
    pub(super) shared_waits: u64,
    pub(super) fetch_errors: u64,
    pub(super) fetches: u32,
    pub(super) fetching: Duration,
}
