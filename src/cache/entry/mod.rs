//! [`CacheEntry`]: what one cache knows, as a state machine without I/O or a clock of its own.
//!
//! The caller holds the lock and brings the time; every method returns at once.

mod serving;
mod settling;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use super::cached::{Cached, Stored};
use super::stats::Counters;
use super::{Origin, SharedError};

/// A whole value that is younger than this is preferred to a newer part of one.
const WHOLE_BEATS_PARTIAL: Duration = Duration::from_secs(30);
/// How long an old value may be served after the upstream refused our credentials.
const STALE_WHILE_REFUSED: Duration = Duration::from_secs(60);

/// The share of the TTL after which the warmer refreshes a value (contract 10).
pub const REFRESH_AT: f64 = 0.8;

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
pub(in crate::cache) struct Ticket {
    pub(in crate::cache) origin: Origin,
    generation: u64,
}

/// What a finished fetch tells the readers that waited for it.
#[derive(Debug)]
pub(in crate::cache) enum Outcome<T> {
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

pub(in crate::cache) type Done<T> = watch::Receiver<Option<Outcome<T>>>;

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
pub(in crate::cache) struct Look<T> {
    pub(in crate::cache) launch: Option<Launch<T>>,
    pub(in crate::cache) verdict: Verdict<T>,
}

/// A fetch to be started by whoever receives this.
pub(in crate::cache) struct Launch<T> {
    pub(in crate::cache) ticket: Ticket,
    pub(in crate::cache) publish: watch::Sender<Option<Outcome<T>>>,
}

pub(in crate::cache) enum Verdict<T> {
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
    pub(in crate::cache) const fn name(&self) -> &'static str {
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
    pub(in crate::cache) fn seed(
        &mut self,
        origin: Origin,
        value: T,
        age: Duration,
        now: Instant,
    ) -> bool {
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

    /// Whether this is the fetch that runs.
    #[cfg(test)]
    pub(in crate::cache) fn is_current(&self, ticket: Ticket) -> bool {
        self.flight.as_ref().is_some_and(|f| f.ticket == ticket)
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
    pub(in crate::cache) fn look(&mut self, origin: Origin, now: Instant, count: bool) -> Look<T> {
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
    pub(in crate::cache) fn begin_refresh(
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
    pub(in crate::cache) fn begin_offered(
        &mut self,
        origin: Origin,
        now: Instant,
    ) -> Option<Launch<T>> {
        if origin < self.origin {
            return None;
        }
        self.adopt(origin);
        self.expire();
        self.start_or_join(now).0
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
