//! The end of a fetch: what is stored, and what its readers get.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::{CacheEntry, Outcome, Ticket, Trouble};
use crate::cache::cached::{Cached, Stored};
use crate::cache::{Fetched, Origin, SharedError, backoff};

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
        self.counters.fetches = self.counters.fetches.saturating_add(1);
        self.counters.fetching += took;
        self.counters.fetch_errors += u64::from(result.is_err());
        // With a TTL of zero nothing is cached, not even for bad times.
        let keep =
            |stored: &Arc<Stored<T>>| (!self.policy.ttl.is_zero()).then(|| Arc::clone(stored));
        match result {
            Ok(Fetched::Whole(value)) => {
                let stored = Arc::new(Stored {
                    value,
                    fetched_at: now,
                });
                self.whole = keep(&stored);
                self.expired = false;
                self.partial = None;
                self.trouble = None;
                Outcome::Value(self.fetched(stored))
            }
            Ok(Fetched::Partial(value, error)) => {
                let stored = Arc::new(Stored {
                    value,
                    fetched_at: now,
                });
                self.partial = keep(&stored);
                self.remember(Arc::new(error), now, jitter);
                let whole = self.young_whole(now);
                Outcome::Value(whole.unwrap_or_else(|| self.fetched(stored)))
            }
            Err(error) => {
                self.partial = None;
                self.remember(Arc::clone(&error), now, jitter);
                Outcome::Failed(error)
            }
        }
    }

    /// The entry was cleared while the fetch ran: its readers are answered, nothing is kept.
    pub(super) fn settle_cleared(
        &self,
        result: Result<Fetched<T>, SharedError>,
        now: Instant,
    ) -> Outcome<T> {
        match result {
            Ok(Fetched::Whole(value) | Fetched::Partial(value, _)) => {
                Outcome::Value(self.fetched(Arc::new(Stored {
                    value,
                    fetched_at: now,
                })))
            }
            Err(error) => Outcome::Failed(error),
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

    /// A reader was given an old value by the fetch it had waited for.
    pub(in crate::cache) const fn count_stale(&mut self) {
        self.counters.stale_served += 1;
    }
}
