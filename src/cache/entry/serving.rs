//! What an entry has to give: looks that change nothing.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::{CacheEntry, REFRESH_AT, STALE_WHILE_REFUSED, WHOLE_BEATS_PARTIAL};
use crate::cache::cached::{Cached, Freshness, Stored};
use crate::cache::stats::Stats;
use crate::cache::{Origin, SharedError};

impl<T> CacheEntry<T> {
    /// The last whole value, whatever its age, if it is of `origin`.
    pub(in crate::cache) fn last_whole(&self, origin: Origin) -> Option<Arc<Stored<T>>> {
        (origin == self.origin)
            .then(|| self.whole.clone())
            .flatten()
    }

    /// In how long the value should be refreshed so that no reader finds it expired: when its age
    /// reaches four fifths of the TTL. None while there is no value, nobody has read it for
    /// `idle`, it is being fetched, or the upstream is left alone after a failure.
    pub(in crate::cache) fn due_in(
        &self,
        idle: Option<Duration>,
        now: Instant,
    ) -> Option<Duration> {
        let last_read = self.last_read?;
        let quiet = now.saturating_duration_since(last_read);
        let too_early = self.trouble.as_ref().is_some_and(|t| now < t.not_before);
        let unwanted = idle.is_some_and(|idle| quiet >= idle);
        if unwanted || too_early || self.flight.is_some() || self.policy.ttl.is_zero() {
            return None;
        }
        if self.expired {
            return Some(Duration::ZERO);
        }
        let newest = self.partial.as_ref().or(self.whole.as_ref())?;
        let due = self.policy.ttl.mul_f64(REFRESH_AT);
        Some(due.saturating_sub(newest.age(now)))
    }

    /// The fresh value of `origin` if it is not older than `oldest`, or the failure of an upstream
    /// that asked to be left alone until later. Who looks in this way is no reader.
    pub(in crate::cache) fn recent(
        &self,
        origin: Origin,
        oldest: Duration,
        now: Instant,
    ) -> Option<Result<Cached<T>, SharedError>> {
        if origin != self.origin {
            return None;
        }
        if let Some(fresh) = self.fresh(now).filter(|fresh| fresh.age <= oldest) {
            return Some(Ok(fresh));
        }
        let trouble = self.trouble.as_ref().filter(|t| now < t.not_before)?;
        let asked = trouble.error.retry_after.is_some();
        asked.then(|| Err(Arc::clone(&trouble.error)))
    }

    /// Whether a fetch runs.
    pub(in crate::cache) const fn fetching(&self) -> bool {
        self.flight.is_some()
    }

    /// When somebody read this entry last.
    pub(in crate::cache) const fn last_read(&self) -> Option<Instant> {
        self.last_read
    }

    /// The whole value below its TTL, or a part below its TTL that no young whole one outranks.
    pub(super) fn fresh(&self, now: Instant) -> Option<Cached<T>> {
        let whole = self
            .whole
            .as_ref()
            .filter(|w| !self.expired && w.age(now) < self.policy.ttl);
        let part = || {
            let part = self
                .partial
                .as_ref()
                .filter(|p| p.age(now) < self.policy.ttl)?;
            self.young_whole(now).is_none().then_some(part)
        };
        let stored = whole.or_else(part)?;
        let age = stored.age(now);
        Some(Cached {
            stored: Arc::clone(stored),
            age,
            fresh_for: self.policy.ttl.saturating_sub(age),
            freshness: Freshness::Fresh,
        })
    }

    pub(super) fn young_whole(&self, now: Instant) -> Option<Cached<T>> {
        self.stale_whole(now)
            .filter(|whole| whole.age < WHOLE_BEATS_PARTIAL)
    }

    /// The best there is while nothing fresh can be had: a young whole value, else the half that
    /// the newest fetch brought, else an older whole one within its limits.
    pub(super) fn fallback(&self, now: Instant) -> Option<Cached<T>> {
        let partial = || {
            let partial = self.partial.as_ref()?;
            (partial.age(now) <= self.policy.max_stale).then(|| self.stale(partial, now))
        };
        self.young_whole(now)
            .or_else(partial)
            .or_else(|| self.stale_whole(now))
    }

    /// The last whole value, while it may still be served.
    pub(super) fn stale_whole(&self, now: Instant) -> Option<Cached<T>> {
        let whole = self.whole.as_ref()?;
        let refused_since = self.trouble.as_ref().and_then(|t| t.refused_since);
        let refused_for = refused_since.map(|since| now.saturating_duration_since(since));
        let refused = refused_for.is_some_and(|time| time > STALE_WHILE_REFUSED);
        (whole.age(now) <= self.policy.max_stale && !refused).then(|| self.stale(whole, now))
    }

    pub(super) fn stale(&self, stored: &Arc<Stored<T>>, now: Instant) -> Cached<T> {
        let since = match (&self.trouble, &self.flight) {
            (Some(trouble), _) => trouble.since,
            (None, Some(flight)) => flight.started,
            (None, None) => now,
        };
        Cached {
            stored: Arc::clone(stored),
            age: stored.age(now),
            fresh_for: Duration::ZERO,
            freshness: Freshness::Stale {
                failing_for: now.saturating_duration_since(since),
                error: self.trouble.as_ref().map(|t| Arc::clone(&t.error)),
            },
        }
    }

    /// Counters and state, for operators.
    pub(in crate::cache) fn stats(&self, now: Instant) -> Stats {
        let served = self.fresh(now).or_else(|| self.fallback(now));
        let counters = &self.counters;
        Stats {
            name: self.name,
            ttl: self.policy.ttl,
            hits: counters.hits,
            misses: counters.misses,
            stale_served: counters.stale_served,
            shared_waits: counters.shared_waits,
            fetch_errors: counters.fetch_errors,
            fetch_ms_avg: (counters.fetches > 0)
                .then(|| counters.fetching.as_secs_f64() * 1e3 / f64::from(counters.fetches)),
            cached: served.is_some(),
            stale: served
                .as_ref()
                .is_some_and(|s| s.freshness != Freshness::Fresh),
            age: served.map(|s| s.age),
        }
    }
}
