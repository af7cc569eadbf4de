//! [`CacheEntry`]: what one cache knows, as a state machine without I/O or a clock of its own.
//!
//! The caller holds the lock and brings the time; every method returns at once.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use super::cached::{Cached, Freshness, Stored};
use super::stats::{Counters, Stats};
use super::{Fetched, Origin, SharedError, backoff};

/// A whole value that is younger than this is preferred to a newer part of one.
const WHOLE_BEATS_PARTIAL: Duration = Duration::from_secs(30);
/// How long an old value may be served after the upstream refused our credentials.
const STALE_WHILE_REFUSED: Duration = Duration::from_secs(60);

/// The share of the TTL after which the warmer refreshes a value (contract 10).
const REFRESH_AT: f64 = 0.8;

/// The times that govern one cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// A value is fresh while its age is below this; zero switches caching off, single flight
    /// stays.
    pub ttl: Duration,
    /// The age up to which a value may be served when the upstream fails.
    pub max_stale: Duration,
    /// The longest a reader waits for a running fetch while it could be answered otherwise.
    pub max_wait: Duration,
}

/// Identifies a fetch: what it may store depends on what has happened to the entry since.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ticket {
    pub(super) origin: Origin,
    generation: u64,
}

/// What a finished fetch tells the readers that waited for it.
#[derive(Debug)]
pub(super) enum Outcome<T> {
    /// The value, or an older whole one that is preferred to the part that was fetched.
    Value(Cached<T>),
    /// The fetch failed.
    Failed(SharedError),
    /// The Plex server was changed meanwhile: ask again.
    Overtaken,
}

impl<T> Clone for Outcome<T> {
    fn clone(&self) -> Self {
        match self {
            Self::Value(cached) => Self::Value(cached.clone()),
            Self::Failed(error) => Self::Failed(Arc::clone(error)),
            Self::Overtaken => Self::Overtaken,
        }
    }
}

pub(super) type Done<T> = watch::Receiver<Option<Outcome<T>>>;

#[derive(Debug)]
struct Flight<T> {
    ticket: Ticket,
    started: Instant,
    done: Done<T>,
}

/// What remains of the failures since the last success.
#[derive(Debug)]
struct Trouble {
    error: SharedError,
    since: Instant,
    refused_since: Option<Instant>,
    failures: u32,
    not_before: Instant,
}

/// What a reader finds: perhaps a fetch that it has to launch, and how it gets its answer.
pub(super) struct Look<T> {
    pub(super) launch: Option<Launch<T>>,
    pub(super) verdict: Verdict<T>,
}

/// A fetch to be started by whoever receives this.
pub(super) struct Launch<T> {
    pub(super) ticket: Ticket,
    pub(super) publish: watch::Sender<Option<Outcome<T>>>,
}

pub(super) enum Verdict<T> {
    /// Here it is.
    Answer(Cached<T>),
    /// Nothing to serve, and too early to try again.
    Failed(SharedError),
    /// Wait for the running fetch; until `patience`, where there is something else to give.
    Wait {
        done: Done<T>,
        patience: Option<Instant>,
        shared: bool,
    },
    /// The reader knows an older Plex server than this entry: look up the current one.
    Outdated,
}

/// One cache: at most one whole value, at most one part of a newer one, at most one running
/// fetch, the memory of recent failures, and counters.
#[derive(Debug)]
pub struct CacheEntry<T> {
    name: &'static str,
    policy: Policy,
    origin: Origin,
    generation: u64,
    whole: Option<Arc<Stored<T>>>,
    /// The whole value is no longer true, however young: it is only a fall-back.
    expired: bool,
    partial: Option<Arc<Stored<T>>>,
    flight: Option<Flight<T>>,
    trouble: Option<Trouble>,
    counters: Counters,
    last_read: Option<Instant>,
}

impl<T> CacheEntry<T> {
    /// An empty entry, for a `static`. `name` is what operators see.
    pub const fn new(name: &'static str, policy: Policy) -> Self {
        Self {
            name,
            policy,
            origin: Origin(0),
            generation: 0,
            whole: None,
            expired: false,
            partial: None,
            flight: None,
            trouble: None,
            last_read: None,
            counters: Counters {
                hits: 0,
                misses: 0,
                stale_served: 0,
                shared_waits: 0,
                fetch_errors: 0,
                fetches: 0,
                fetching: Duration::ZERO,
            },
        }
    }

    /// What operators call it.
    pub(super) const fn name(&self) -> &'static str {
        self.name
    }

    /// Replaces the times that govern this entry.
    pub const fn configure(&mut self, policy: Policy) {
        self.policy = policy;
    }

    /// Forgets the value, the failures and the counters. A fetch that runs still answers the
    /// readers that wait for it, but stores nothing.
    pub fn clear(&mut self) {
        self.invalidate();
        self.counters = Counters::default();
    }

    /// What the value was made from has changed: the next reader fetches anew, a fetch that runs
    /// stores nothing, and the value stays as a fall-back.
    pub fn expire(&mut self) {
        self.generation += 1;
        self.expired = true;
        self.partial = None;
        self.flight = None;
    }

    /// Puts in a value from an earlier run of the program, `age` old, as a fall-back until the
    /// first fetch is in. An entry that has a value keeps its own; false then.
    pub(super) fn seed(&mut self, origin: Origin, value: T, age: Duration, now: Instant) -> bool {
        self.adopt(origin);
        let Some(fetched_at) = now.checked_sub(age) else {
            return false;
        };
        if origin != self.origin || self.whole.is_some() {
            return false;
        }
        self.whole = Some(Arc::new(Stored { value, fetched_at }));
        self.expired = true;
        true
    }

    /// The last whole value, whatever its age, if it is of `origin`.
    pub(super) fn last_whole(&self, origin: Origin) -> Option<Arc<Stored<T>>> {
        (origin == self.origin)
            .then(|| self.whole.clone())
            .flatten()
    }

    /// In how long the value should be refreshed so that no reader finds it expired: when its age
    /// reaches four fifths of the TTL. None while there is no value, nobody has read it for
    /// `idle`, it is being fetched, or the upstream is left alone after a failure.
    pub(super) fn due_in(&self, idle: Option<Duration>, now: Instant) -> Option<Duration> {
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
    pub(super) fn recent(
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
    pub(super) const fn fetching(&self) -> bool {
        self.flight.is_some()
    }

    /// Whether this is the fetch that runs.
    #[cfg(test)]
    pub(super) fn is_current(&self, ticket: Ticket) -> bool {
        self.flight.as_ref().is_some_and(|f| f.ticket == ticket)
    }

    /// When somebody read this entry last.
    pub(super) const fn last_read(&self) -> Option<Instant> {
        self.last_read
    }

    /// Ends the spacing of retries; a stale value stays available.
    pub fn forgive(&mut self) {
        self.trouble = None;
    }

    /// Makes `origin` the one whose values this entry holds, if it is newer: the old origin's
    /// value is dropped and its running fetch answers nobody.
    pub fn adopt(&mut self, origin: Origin) {
        if origin > self.origin {
            self.origin = origin;
            self.invalidate();
        }
    }

    fn invalidate(&mut self) {
        self.generation += 1;
        self.whole = None;
        self.expired = false;
        self.partial = None;
        self.flight = None;
        self.trouble = None;
    }

    /// A reader comes along. `count` is true at its first look, so that it counts once.
    pub(super) fn look(&mut self, origin: Origin, now: Instant, count: bool) -> Look<T> {
        if origin < self.origin {
            return Look::only(Verdict::Outdated);
        }
        self.adopt(origin);
        self.last_read = Some(now);
        if let Some(fresh) = self.fresh(now) {
            self.counters.hits += u64::from(count);
            return Look::only(Verdict::Answer(fresh));
        }
        self.counters.misses += u64::from(count);

        let fallback = self.fallback(now);
        // The newest fetch brought only a half; the next one is due when that is a TTL old.
        let part_is_new = self
            .partial
            .as_ref()
            .is_some_and(|p| p.age(now) < self.policy.ttl);
        let too_early = self
            .trouble
            .as_ref()
            .filter(|t| self.flight.is_none() && now < t.not_before);
        match (fallback, too_early) {
            (Some(fallback), too_early) if part_is_new || too_early.is_some() => {
                self.counters.stale_served += 1;
                Look::only(Verdict::Answer(fallback))
            }
            (None, Some(trouble)) => Look::only(Verdict::Failed(Arc::clone(&trouble.error))),
            (fallback, _) => self.wait_or_serve(fallback, now),
        }
    }

    /// Nothing fresh, and a fetch runs or is due: start or join it, and say what to do meanwhile.
    fn wait_or_serve(&mut self, fallback: Option<Cached<T>>, now: Instant) -> Look<T> {
        let (launch, done, started) = self.start_or_join(now);
        let troubled = self.trouble.is_some();
        let patience = (troubled || fallback.is_some()).then(|| started + self.policy.max_wait);
        let verdict = match fallback {
            // A retry after a failure may take as long as the failure did: nobody waits for it.
            Some(fallback) if troubled || patience.is_some_and(|until| until <= now) => {
                self.counters.stale_served += 1;
                Verdict::Answer(fallback)
            }
            _ => {
                let shared = launch.is_none();
                self.counters.shared_waits += u64::from(shared);
                Verdict::Wait {
                    done,
                    patience,
                    shared,
                }
            }
        };
        Look { launch, verdict }
    }

    /// Joins the running fetch, or prepares one to be launched; returns when it began.
    fn start_or_join(&mut self, now: Instant) -> (Option<Launch<T>>, Done<T>, Instant) {
        if let Some(flight) = &self.flight {
            return (None, flight.done.clone(), flight.started);
        }
        let ticket = Ticket {
            origin: self.origin,
            generation: self.generation,
        };
        let (publish, done) = watch::channel(None);
        self.flight = Some(Flight {
            ticket,
            started: now,
            done: done.clone(),
        });
        (Some(Launch { ticket, publish }), done, now)
    }

    /// Asks for a fetch whatever the state of the value: by the warmer or an operator, not by a
    /// reader, so nothing is counted. None: `origin` is outdated.
    pub(super) fn begin_refresh(
        &mut self,
        origin: Origin,
        now: Instant,
    ) -> Option<(Option<Launch<T>>, Done<T>)> {
        if origin < self.origin {
            return None;
        }
        self.adopt(origin);
        let (launch, done, _) = self.start_or_join(now);
        Some((launch, done))
    }

    /// A fetch begins from an input that is newer than what is here and what a running fetch would
    /// bring. None: `origin` is outdated.
    pub(super) fn begin_offered(&mut self, origin: Origin, now: Instant) -> Option<Launch<T>> {
        if origin < self.origin {
            return None;
        }
        self.adopt(origin);
        self.expire();
        self.start_or_join(now).0
    }

    /// A fetch has ended after `took`. Stores what may be stored and says what its readers get.
    /// `jitter` in 0..1 spreads the next try after a failure.
    pub(super) fn settle(
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
    fn settle_cleared(&self, result: Result<Fetched<T>, SharedError>, now: Instant) -> Outcome<T> {
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

    fn remember(&mut self, error: SharedError, now: Instant, jitter: f64) {
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
    pub(super) fn instead(
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
    pub(super) const fn count_stale(&mut self) {
        self.counters.stale_served += 1;
    }

    fn fetched(&self, stored: Arc<Stored<T>>) -> Cached<T> {
        Cached {
            stored,
            age: Duration::ZERO,
            fresh_for: self.policy.ttl,
            freshness: Freshness::Fetched { shared: false },
        }
    }

    /// The whole value below its TTL, or a part below its TTL that no young whole one outranks.
    fn fresh(&self, now: Instant) -> Option<Cached<T>> {
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

    fn young_whole(&self, now: Instant) -> Option<Cached<T>> {
        self.stale_whole(now)
            .filter(|whole| whole.age < WHOLE_BEATS_PARTIAL)
    }

    /// The best there is while nothing fresh can be had: a young whole value, else the half that
    /// the newest fetch brought, else an older whole one within its limits.
    fn fallback(&self, now: Instant) -> Option<Cached<T>> {
        let partial = || {
            let partial = self.partial.as_ref()?;
            (partial.age(now) <= self.policy.max_stale).then(|| self.stale(partial, now))
        };
        self.young_whole(now)
            .or_else(partial)
            .or_else(|| self.stale_whole(now))
    }

    /// The last whole value, while it may still be served.
    fn stale_whole(&self, now: Instant) -> Option<Cached<T>> {
        let whole = self.whole.as_ref()?;
        let refused_since = self.trouble.as_ref().and_then(|t| t.refused_since);
        let refused_for = refused_since.map(|since| now.saturating_duration_since(since));
        let refused = refused_for.is_some_and(|time| time > STALE_WHILE_REFUSED);
        (whole.age(now) <= self.policy.max_stale && !refused).then(|| self.stale(whole, now))
    }

    fn stale(&self, stored: &Arc<Stored<T>>, now: Instant) -> Cached<T> {
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
    pub(super) fn stats(&self, now: Instant) -> Stats {
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

impl<T> Look<T> {
    const fn only(verdict: Verdict<T>) -> Self {
        Self {
            launch: None,
            verdict,
        }
    }
}
