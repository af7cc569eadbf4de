//! Reading through a cache: one fetch for all who ask, and what each of them gets.
//!
//! A fetch runs in a task of its own. Readers only wait for it, so one that hangs up, the first
//! or any other, changes nothing for the rest; a panic in the fetch ends it with an error.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::time::{Instant, timeout, timeout_at};

use super::cached::{Cached, Freshness};
use super::entry::{CacheEntry, Done, Launch, Outcome, Verdict};
use super::{FetchError, Fetched, Origin, SharedError, lock};

/// No fetch runs longer than this. Fetches have tighter deadlines of their own; this one keeps a
/// cache alive if one of them should fail to. Shorter than a request may take, so that its reader
/// is told.
const LONGEST_FETCH: Duration = Duration::from_secs(50);

/// Answers a reader: a fresh value at once; else the result of one fetch shared by all readers;
/// else, when that fails or takes too long, an older value.
///
/// `source` tells the current origin and how to fetch from it. It is called anew when the Plex
/// server was changed while the reader waited, so it must look the server up each time. The
/// future is polled only if this reader has to start the fetch.
///
/// # Errors
/// The failure of the fetch, when there is nothing older that may be served. During the back-off
/// after a failure it is the remembered one, at once.
///
/// Dropping the returned future at any point is safe and ends nothing but this reader's wait.
pub async fn read<T, F>(
    cache: &'static Mutex<CacheEntry<T>>,
    source: impl Fn() -> (Origin, F),
) -> Result<Cached<T>, SharedError>
where
    T: Send + Sync + 'static,
    F: Future<Output = Result<Fetched<T>, FetchError>> + Send + 'static,
{
    let mut first_look = true;
    loop {
        let (origin, fetch) = source();
        let look = lock(cache).look(origin, Instant::now(), first_look);
        first_look = false;
        if let Some(launch) = look.launch {
            start(cache, launch, fetch);
        }
        let (done, patience, shared) = match look.verdict {
            Verdict::Answer(cached) => return Ok(cached),
            Verdict::Failed(error) => return Err(error),
            Verdict::Outdated => continue,
            Verdict::Wait {
                done,
                patience,
                shared,
            } => (done, patience, shared),
        };
        match (wait(done, patience).await, shared) {
            (Waited::For(Outcome::Value(cached)), shared) if source().0 == origin => {
                return Ok(delivered(cache, cached, shared));
            }
            (Waited::For(Outcome::Failed(error)), _) if source().0 == origin => {
                return match lock(cache).instead(origin, Instant::now()) {
                    Some(Ok(stale)) => Ok(stale),
                    Some(Err(_)) | None => Err(error),
                };
            }
            (Waited::InVain, _) => {
                let instead = lock(cache).instead(origin, Instant::now());
                if let Some(answer) = instead {
                    return answer;
                }
            }
            // The Plex server was changed meanwhile: this answer is for nobody.
            (Waited::For(_), _) => {}
        }
    }
}

/// Fetches anew however fresh the value is, or joins the fetch that runs. For the warmer and for
/// operators: neither hits nor misses are counted.
///
/// # Errors
/// The failure of the fetch; the value there was stays.
pub async fn refresh<T, F>(
    cache: &'static Mutex<CacheEntry<T>>,
    source: impl Fn() -> (Origin, F),
) -> Result<(), SharedError>
where
    T: Send + Sync + 'static,
    F: Future<Output = Result<Fetched<T>, FetchError>> + Send + 'static,
{
    renew(cache, source).await.map(drop)
}

/// A value that is fresh and not older than `oldest`, fetched if need be. For what is made from
/// other cached values: it counts as no reader, and an older value is no substitute, because
/// what is made from it would pass for new. Whoever asks spaces the retries; only where the
/// upstream has named a time itself it is left alone until then.
///
/// # Errors
/// The failure of the fetch; the value there was stays.
pub async fn recent<T, F>(
    cache: &'static Mutex<CacheEntry<T>>,
    oldest: Duration,
    source: impl Fn() -> (Origin, F),
) -> Result<Cached<T>, SharedError>
where
    T: Send + Sync + 'static,
    F: Future<Output = Result<Fetched<T>, FetchError>> + Send + 'static,
{
    let (origin, _) = source();
    let known = lock(cache).recent(origin, oldest, Instant::now());
    match known {
        Some(known) => known,
        None => renew(cache, source).await,
    }
}

async fn renew<T, F>(
    cache: &'static Mutex<CacheEntry<T>>,
    source: impl Fn() -> (Origin, F),
) -> Result<Cached<T>, SharedError>
where
    T: Send + Sync + 'static,
    F: Future<Output = Result<Fetched<T>, FetchError>> + Send + 'static,
{
    loop {
        let (origin, fetch) = source();
        let begun = lock(cache).begin_refresh(origin, Instant::now());
        let Some((launch, done)) = begun else {
            continue;
        };
        if let Some(launch) = launch {
            start(cache, launch, fetch);
        }
        match wait(done, None).await {
            Waited::For(Outcome::Value(cached)) => return Ok(cached),
            Waited::For(Outcome::Failed(error)) => return Err(error),
            Waited::For(Outcome::Overtaken) | Waited::InVain => {}
        }
    }
}

/// Starts a fetch whose input has come in anyway and is newer than that of the value and of a fetch
/// that runs: both are expired. Nobody waits for it, and nothing is counted but its duration.
/// False, and nothing happens, if `origin` is outdated.
pub fn offer<T, F>(cache: &'static Mutex<CacheEntry<T>>, origin: Origin, fetch: F) -> bool
where
    T: Send + Sync + 'static,
    F: Future<Output = Result<Fetched<T>, FetchError>> + Send + 'static,
{
    let launch = lock(cache).begin_offered(origin, Instant::now());
    let begun = launch.is_some();
    if let Some(launch) = launch {
        start(cache, launch, fetch);
    }
    begun
}

/// Runs a fetch to its end, whoever still waits for it.
fn start<T, F>(cache: &'static Mutex<CacheEntry<T>>, launch: Launch<T>, fetch: F)
where
    T: Send + Sync + 'static,
    F: Future<Output = Result<Fetched<T>, FetchError>> + Send + 'static,
{
    tokio::spawn(async move {
        let started = Instant::now();
        let guarded = AssertUnwindSafe(timeout(LONGEST_FETCH, fetch)).catch_unwind();
        let result = match guarded.await {
            Ok(Ok(result)) => result,
            Ok(Err(_elapsed)) => Err(FetchError::new("The fetch took too long")),
            Err(_panic) => Err(FetchError {
                retry_at_once: true,
                ..FetchError::new("Internal error while fetching")
            }),
        };
        let now = Instant::now();
        let result = result.map_err(Arc::new);
        let jitter = rand::random();
        let outcome = lock(cache).settle(launch.ticket, result, now - started, now, jitter);
        // Nobody may be left to hear it; that is fine.
        let _ = launch.publish.send(Some(outcome));
    });
}

enum Waited<T> {
    For(Outcome<T>),
    /// Patience is at its end, the fetch is not.
    InVain,
}

async fn wait<T>(mut done: Done<T>, patience: Option<Instant>) -> Waited<T> {
    let outcome = done.wait_for(Option::is_some);
    let seen = match patience {
        Some(until) => match timeout_at(until, outcome).await {
            Ok(seen) => seen,
            Err(_elapsed) => return Waited::InVain,
        },
        None => outcome.await,
    };
    match seen.as_deref() {
        Ok(Some(outcome)) => Waited::For(outcome.clone()),
        // The task is gone without a word: the program is stopping.
        _ => Waited::For(Outcome::Failed(Arc::new(FetchError::new("Shutting down")))),
    }
}

/// Fits the shared outcome of a fetch to one reader.
fn delivered<T>(cache: &Mutex<CacheEntry<T>>, mut cached: Cached<T>, shared: bool) -> Cached<T> {
    match &mut cached.freshness {
        Freshness::Stale { .. } => lock(cache).count_stale(),
        Freshness::Fresh => lock(cache).count_taken(),
        freshness @ Freshness::Fetched { .. } => *freshness = Freshness::Fetched { shared },
    }
    cached
}
