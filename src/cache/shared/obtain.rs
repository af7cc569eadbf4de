//! From a miss in memory to a value: another instance's, or one fetched for all of them.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::broadcast;
use tokio::time::{Instant, interval, timeout};

use super::Shared;
use super::held::Held;
use super::lease::{Claim, LEASE};
use super::record::{Failure, Realm};
use crate::cache::{FetchError, Fetched, Portable};

/// While another instance fetches, Redis is looked at again so often, should its word get lost.
const LOOK: Duration = Duration::from_millis(500);

/// How long a request has waited for Redis; clones count together. Whatever is asked on its behalf,
/// and by whichever of its fetches, it waits no longer than [`RedisSettings::timeout`] in all.
///
/// [`RedisSettings::timeout`]: crate::settings::RedisSettings::timeout
#[derive(Clone, Debug, Default)]
pub struct Waited(Arc<AtomicU64>);

impl Waited {
    fn add(&self, time: Duration) {
        let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        self.0.fetch_add(micros, Ordering::Relaxed);
    }

    fn left_of(&self, whole: Duration) -> Duration {
        whole.saturating_sub(Duration::from_micros(self.0.load(Ordering::Relaxed)))
    }
}

/// What is sought in Redis.
#[derive(Clone)]
pub struct Sought<'a> {
    /// Its name, without the prefix.
    pub name: &'a str,
    /// Who may share it.
    pub realm: Realm,
    /// For how long it is written.
    pub ttl: Duration,
    /// The greatest age that will do; none: only what is fetched from now on.
    pub oldest: Option<Duration>,
    /// The longest that the fetch of another instance is waited for.
    pub patience: Duration,
    /// How long the request has waited for Redis already.
    pub waited: Waited,
}

/// What became of the search.
enum Found<T> {
    Taken(Fetched<T>),
    Failed(FetchError),
    /// This instance fetches for all.
    Ours(Box<Held>),
    /// This instance fetches for itself.
    Alone,
}

impl Shared {
    /// The value from another instance; else from `fetch`, for all instances. Where Redis does not
    /// help, from `fetch` at once.
    ///
    /// # Errors
    /// The failure of the fetch, here or in the instance that has just tried.
    pub async fn obtain<T, F>(&self, sought: Sought<'_>, fetch: F) -> Result<Fetched<T>, FetchError>
    where
        T: Portable,
        F: Future<Output = Result<Fetched<T>, FetchError>>,
    {
        // Without caching there is nothing to share.
        if sought.ttl.is_zero() {
            return fetch.await;
        }
        match self.find(&sought).await {
            Found::Taken(value) => Ok(value),
            Found::Failed(error) => Err(error),
            Found::Ours(held) => fetch_for_all(held, sought.ttl, fetch).await,
            Found::Alone => fetch.await,
        }
    }

    async fn find<T: Portable>(&self, sought: &Sought<'_>) -> Found<T> {
        let began = Instant::now();
        let mut news = self.0.news.subscribe();
        let mut oldest = sought.oldest;
        while let Some(link) = self.link() {
            let asked = Instant::now();
            let left = sought.waited.left_of(self.0.settings.timeout);
            if left.is_zero() {
                break;
            }
            let claim = self.claim(&link, sought.name, &sought.realm, oldest, asked + left);
            let claim = claim.await;
            sought.waited.add(asked.elapsed());
            match claim {
                Ok(Claim::Value(json, missing, age)) => {
                    let Some(value) = T::from_json(&json) else {
                        // Of another form than its type has here: as good as none.
                        oldest = None;
                        continue;
                    };
                    self.0.hits.fetch_add(1, Ordering::Relaxed);
                    let missing = missing.map(FetchError::from);
                    return Found::Taken(Fetched::Taken {
                        value,
                        age,
                        missing,
                    });
                }
                Ok(Claim::Ours(held)) => {
                    self.0.misses.fetch_add(1, Ordering::Relaxed);
                    return Found::Ours(held);
                }
                Ok(Claim::Failed(failure)) => return Found::Failed(failure.into()),
                Ok(Claim::Busy) if began.elapsed() < sought.patience => {
                    ended(&mut news, sought.name).await;
                    // What was fetched meanwhile is new enough for whoever wants a new value.
                    oldest = Some(sought.oldest.unwrap_or_else(|| began.elapsed()));
                }
                Ok(Claim::Busy | Claim::Foreign) | Err(_) => return Found::Alone,
            }
        }
        Found::Alone
    }
}

/// Waits until the fetch of `name` has ended somewhere, or Redis has failed, or for a while.
async fn ended(news: &mut broadcast::Receiver<Option<String>>, name: &str) {
    let heard = async {
        loop {
            match news.recv().await {
                Ok(Some(ended)) if ended != name => {}
                // Too much at once: it may have been among it.
                Ok(_) | Err(_) => return,
            }
        }
    };
    let _elapsed = timeout(LOOK, heard).await;
}

/// Fetches while keeping the lease, and lets the others have the outcome.
async fn fetch_for_all<T: Portable>(
    held: Box<Held>,
    ttl: Duration,
    fetch: impl Future<Output = Result<Fetched<T>, FetchError>>,
) -> Result<Fetched<T>, FetchError> {
    let mut fetch = pin!(fetch);
    let mut due = interval(LEASE / 3);
    due.tick().await;
    let fetched = loop {
        tokio::select! {
            fetched = &mut fetch => break fetched,
            _ = due.tick() => held.extend(),
        }
    };
    match &fetched {
        Ok(Fetched::Whole(value)) => publish(held, value, None, ttl),
        Ok(Fetched::Partial(value, error)) if !error.local => {
            publish(held, value, Some(error.into()), ttl);
        }
        Err(error) if !error.local => held.fail(error.into()),
        // Nothing for others: the next one fetches for itself.
        Err(_) | Ok(Fetched::Partial(..) | Fetched::Taken { .. }) => drop(held),
    }
    fetched
}

fn publish<T: Portable>(held: Box<Held>, value: &T, missing: Option<Failure>, ttl: Duration) {
    if let Some(json) = value.to_json() {
        held.publish(&json, missing, ttl);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::shared::Trouble;
    use crate::cache::shared::alone;

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_for_the_word_of_a_redis_that_has_failed() {
        let shared = alone(true);
        let mut news = shared.0.news.subscribe();
        let began = Instant::now();
        ended(&mut news, "plex:activities").await;
        assert_eq!(began.elapsed(), LOOK, "it may be that no word comes");
        shared.report_down(Trouble::Lost);
        let began = Instant::now();
        ended(&mut news, "plex:activities").await;
        assert_eq!(began.elapsed(), Duration::ZERO);
    }
}
