//! The end of a fetch: what is stored, and what its readers get.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::{CacheEntry, Outcome, Ticket, Trouble};
use crate::cache::cached::{Cached, Freshness, Stored};
use crate::cache::{FetchError, Fetched, Origin, SharedError, backoff};

/// What a fetch brought.
struct Got<T> {
    stored: Arc<Stored<T>>,
    /// From another instance.
    taken: bool,
}

impl<T> Got<T> {
    /// What came in `now`, and why it is only a part, if it is.
    fn at(now: Instant) -> impl FnOnce(Fetched<T>) -> (Self, Option<FetchError>) {
        move |fetched| {
            let (value, age, missing, taken) = match fetched {
                Fetched::Whole(value) => (value, Duration::ZERO, None, false),
                Fetched::Partial(value, error) => (value, Duration::ZERO, Some(error), false),
                Fetched::Taken {
                    value,
                    age,
                    missing,
                } => (value, age, missing, true),
            };
            // A machine that has run for less than the age of the value can't tell it.
            let fetched_at = now.checked_sub(age).unwrap_or(now);
            let stored = Arc::new(Stored { value, fetched_at });
            (Self { stored, taken }, missing)
        }
    }
}

impl<T> CacheEntry<T> {
    /// A fetch has ended after `took`. Stores what may be stored and says what its readers get.
    /// `jitter` in 0..1 spreads the next try after a failure.
    pub(in crate::cache) fn settle(
        &mut self,
        ticket: Ticket,
        result: Result<Fetched<T>, SharedError>,
        took: Duration,
        now: Instant,
        jitter: f64,
    ) -> Outcome<T> {
        if self
            .flight
            .as_ref()
            .is_some_and(|flight| flight.ticket == ticket)
        {
            self.flight = None;
        }
        if ticket.origin != self.origin {
            return Outcome::Overtaken;
        }
        if ticket.generation != self.generation {
            return self.settle_cleared(result, now);
        }
        self.count(&result, took);
        // With a TTL of zero nothing is cached, not even for bad times.
        let keep =
            |stored: &Arc<Stored<T>>| (!self.policy.ttl.is_zero()).then(|| Arc::clone(stored));
        let (got, missing) = match result.map(Got::at(now)) {
            Ok(got) => got,
            Err(error) => {
                self.partial = None;
                self.remember(Arc::clone(&error), now, jitter);
                return Outcome::Failed(error);
            }
        };
        if let Some(error) = missing {
            self.partial = keep(&got.stored);
            self.remember(Arc::new(error), now, jitter);
            let whole = self.young_whole(now);
            return Outcome::Value(whole.unwrap_or_else(|| self.delivered(got, now)));
        }
        self.whole = keep(&got.stored);
        self.expired = false;
        self.partial = None;
        self.trouble = None;
        Outcome::Value(self.delivered(got, now))
    }

    /// What another instance has fetched took this one no fetch.
    fn count(&mut self, result: &Result<Fetched<T>, SharedError>, took: Duration) {
        if !matches!(result, Ok(Fetched::Taken { .. })) {
            self.counters.fetches = self.counters.fetches.saturating_add(1);
            self.counters.fetching += took;
            self.counters.fetch_errors += u64::from(result.is_err());
        }
    }

    /// The entry was cleared while the fetch ran: its readers are answered, nothing is kept.
    pub(super) fn settle_cleared(
        &self,
        result: Result<Fetched<T>, SharedError>,
        now: Instant,
    ) -> Outcome<T> {
        match result.map(Got::at(now)) {
            Ok((got, _missing)) => Outcome::Value(self.delivered(got, now)),
            Err(error) => Outcome::Failed(error),
        }
    }

    /// As its readers get it: what another instance had is as good as from memory.
    fn delivered(&self, got: Got<T>, now: Instant) -> Cached<T> {
        let age = got.stored.age(now);
        Cached {
            stored: got.stored,
            age,
            fresh_for: self.policy.ttl.saturating_sub(age),
            freshness: if got.taken {
                Freshness::Fresh
            } else {
                Freshness::Fetched { shared: false }
            },
        }
    }

    pub(super) fn remember(&mut self, error: SharedError, now: Instant, jitter: f64) {
        let earlier = self.trouble.take();
        let failures = earlier.as_ref().map_or(0, |t| t.failures).saturating_add(1);
        let wait = if error.retry_at_once {
            Duration::ZERO
        } else {
            backoff::delay(failures, error.retry_after, jitter)
        };
        // Only a success ends it: another kind of failure does not make the token good again.
        let refused_before = earlier.as_ref().and_then(|t| t.refused_since);
        let refused_since = refused_before.or(error.refused.then_some(now));
        self.trouble = Some(Trouble {
            since: earlier.map_or(now, |t| t.since),
            refused_since,
            failures,
            not_before: now + wait,
            error,
        });
    }

    /// What a reader gets that has waited in vain: a value that has come in otherwise, an older
    /// one, the known failure, or nothing (the entry was cleared meanwhile).
    pub(in crate::cache) fn instead(
        &mut self,
        origin: Origin,
        now: Instant,
    ) -> Option<Result<Cached<T>, SharedError>> {
        if origin != self.origin {
            return None;
        }
        if let Some(fresh) = self.fresh(now) {
            return Some(Ok(fresh));
        }
        if let Some(fallback) = self.fallback(now) {
            self.counters.stale_served += 1;
            return Some(Ok(fallback));
        }
        self.trouble
            .as_ref()
            .map(|trouble| Err(Arc::clone(&trouble.error)))
    }

    /// A reader was given a fresh value that another instance had: its miss was none.
    pub(in crate::cache) const fn count_taken(&mut self) {
        // The counters may have been cleared meanwhile.
        self.counters.misses = self.counters.misses.saturating_sub(1);
        self.counters.hits += 1;
    }

    /// A reader was given an old value by the fetch it had waited for.
    pub(in crate::cache) const fn count_stale(&mut self) {
        self.counters.stale_served += 1;
    }
}
