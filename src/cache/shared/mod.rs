//! The second tier: several instances share their values through Redis.
//!
//! Memory is asked first and answers nearly everybody. Only a fetch comes here, on its way to the
//! upstream: [`Shared::obtain`] looks whether another instance has the value, or is fetching it
//! right now; if neither, this one fetches under a short lease and publishes. No request
//! waits longer for Redis than [`RedisSettings::timeout`]: one that fails is left alone until a
//! probe finds it well, and everything goes on in memory.
//!
//! - `record`: what stands in Redis under one name, and who may read it.
//! - `lease`, `held`: one instance of all fetches.
//! - `obtain`: from a miss in memory to a value.
//! - `generation`: how all instances learn what is no longer true.
//! - `notes`: small texts that are no cached values.
//! - `keeper`: the task that keeps the connection and listens.
//! - `state`: whether Redis can be used, since when, and why not.
//! - `link`, `rights`, `trouble`: the connection, what it may do, and what can be wrong
//!   with it.

mod generation;
mod held;
mod keeper;
mod lease;
mod link;
mod notes;
mod obtain;
mod record;
mod rights;
mod state;
mod trouble;

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, broadcast};
use tokio::time::timeout;

pub use generation::Heard;
#[cfg(test)]
pub(crate) use notes::tests::alone;
pub use obtain::{Sought, Waited};
pub use record::Realm;
pub use state::{Stage, Status};
pub use trouble::Trouble;

use crate::settings::RedisSettings;
use generation::Channels;
use notes::Notes;
use record::Keys;
use state::{Link, State};

/// As many ended fetches may be reported at once; who misses one looks again soon anyway.
const NEWS: usize = 64;

/// The way to the other instances; clones are one.
#[derive(Clone, Debug)]
pub struct Shared(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    settings: RedisSettings,
    /// Tells this process from all others.
    instance: String,
    channels: Channels,
    state: Mutex<State>,
    /// Wakes the keeper when a request finds Redis failing.
    failed: Notify,
    /// Wakes who waits for the end of the first attempt to connect.
    settled: Notify,
    /// The names whose fetch has ended, here or elsewhere; none: Redis can't tell any more.
    news: broadcast::Sender<Option<String>>,
    hits: AtomicU64,
    misses: AtomicU64,
    /// What was put here, for when Redis fails.
    notes: Mutex<Notes>,
}

impl Shared {
    /// Not connected yet: [`Self::keep`] does that, and until then everything stays in memory.
    pub fn new(settings: RedisSettings) -> Self {
        let state = State::new(settings.enabled);
        Self(Arc::new(Inner {
            channels: Channels::of(settings.place.db),
            settings,
            instance: record::random(),
            state: Mutex::new(state),
            failed: Notify::new(),
            settled: Notify::new(),
            news: broadcast::Sender::new(NEWS),
            hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
            notes: Mutex::default(),
        }))
    }

    /// Connects once, as an instance does that starts, and does what requests would.
    ///
    /// # Errors
    /// Why an instance could not use it.
    pub async fn try_out(settings: &RedisSettings, patience: Duration) -> Result<(), Trouble> {
        let channels = Channels::of(settings.place.db);
        timeout(patience, keeper::open(settings, &channels)).await??;
        Ok(())
    }

    /// What operators see.
    pub fn status(&self) -> Status {
        let state = self.state();
        Status {
            stage: state.stage(),
            since: state.since(),
            last_error: state.last_error(),
            hits: self.0.hits.load(Ordering::Relaxed),
            misses: self.0.misses.load(Ordering::Relaxed),
        }
    }

    /// How many of these values are in Redis at present; none if it can't say so in time.
    pub async fn count(&self, names: impl Iterator<Item = &str>) -> Option<u64> {
        let link = self.link()?;
        let mut count = redis::cmd("EXISTS");
        for name in names {
            count.arg(Keys::of(name, link.commands.is_cluster()).value);
        }
        let counted = link.commands.ask(&count, self.0.settings.timeout).await;
        self.noted(&link, counted).ok()
    }

    /// Sets the counters to zero.
    pub fn forget_counts(&self) {
        self.0.hits.store(0, Ordering::Relaxed);
        self.0.misses.store(0, Ordering::Relaxed);
    }

    /// Whether values are to be shared.
    pub fn is_wanted(&self) -> bool {
        self.0.settings.enabled
    }

    /// Whether values are shared at present.
    pub fn is_connected(&self) -> bool {
        self.state().link().is_some()
    }

    /// Waits until it is known whether Redis can be used: two seconds after the start at most. What
    /// nobody waits for need not be fetched by every instance that starts.
    pub async fn settled(&self) {
        let mut settled = pin!(self.0.settled.notified());
        settled.as_mut().enable();
        if self.state().stage() == Stage::Connecting {
            settled.await;
        }
    }

    /// The connection, while there is one that works.
    fn link(&self) -> Option<Link> {
        self.state().link()
    }

    /// A request has found that `link` does not work: nobody uses it any more.
    fn fail(&self, link: &Link, trouble: Trouble) {
        if self.state().fail(link.number, trouble) {
            tracing::warn!("Redis fails ({trouble}): caches are kept in memory until it is back");
            self.0.failed.notify_one();
            self.wake();
        }
    }

    /// Who waits for another instance looks again.
    fn wake(&self) {
        // Nobody may be waiting.
        let _ = self.0.news.send(None);
    }

    /// Passes an answer of Redis on; a failure ends the use of `link`.
    fn noted<T>(&self, link: &Link, answer: Result<T, Trouble>) -> Result<T, Trouble> {
        answer.inspect_err(|trouble| self.fail(link, *trouble))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
