//! Keeps the watch history in the database up with Plex: every 15 minutes and on demand.
//!
//! One loop does all runs, so two never run at once: who asks for a run while one is under way
//! gets the outcome of that one. Clients only wait; one that leaves changes nothing.
//!
//! - [`run`]: one run from beginning to end.
//! - [`walk`]: which page comes next, and when enough has been seen.
//! - [`entry`]: one entry of Plex's history as a row of ours.
//! - [`zone`]: refuses to import everything again, shifted.
//! - [`details`]: what entries lack and the items have.
//! - [`store`]: the SQL.
//! - [`request`]: `POST /api/plex/watch-history/sync`.

mod details;
mod entry;
mod request;
mod run;
mod store;
mod walk;
mod zone;

use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::FutureExt as _;
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

pub(super) use request::router;

use super::error::PlexError;
use super::moment::Moment;
use super::sharing::Need;
use super::watch_history;
use crate::app::AppState;
use crate::cache::{FetchError, Fetched};
use crate::store::StoreError;
use crate::tasks::Tasks;

/// The first run comes so long after the start, unless runs follow each other faster than that.
const FIRST_RUN: Duration = Duration::from_secs(10);
/// A run that is told to stop ends within this time.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// Requests that the loop has not taken note of; it does so at once, also during a run.
const MOST_REQUESTS: usize = 64;

/// The name that other instances know the last run by.
const NAME: &str = "plex:history_sync";

/// Another instance's database holds plays that ours may lack.
static BEHIND: AtomicBool = AtomicBool::new(false);

/// The way to the loop; there is one per process.
static LOOP: OnceLock<Loop> = OnceLock::new();

#[derive(Debug)]
struct Loop {
    requests: mpsc::Sender<oneshot::Sender<Outcome>>,
    counts: watch::Receiver<Counts>,
}

/// How far a run has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Counts {
    /// Plays that were not stored before.
    new: u64,
    /// Plays that were looked at.
    scanned: u64,
    /// Plays still to be looked at, where that is known.
    remaining: Option<u64>,
}

/// How a run has ended.
#[derive(Clone, Debug)]
struct Outcome {
    counts: Counts,
    /// Why it did not come to its end; for people.
    failure: Option<String>,
}

/// Why a run did not come to its end. What it has stored until then stays.
#[derive(Debug, thiserror::Error)]
enum SyncError {
    #[error("Plex not configured")]
    NotConfigured,
    #[error("Could not connect to Plex server: {0}")]
    Unreachable(PlexError),
    #[error(transparent)]
    Plex(#[from] PlexError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("{0}")]
    OtherZone(String),
    #[error("The Plex server was changed meanwhile")]
    OtherServer,
    #[error("The server is being stopped")]
    Stopped,
}

/// Starts the loop.
pub fn start(app: &AppState, tasks: &Tasks) {
    let (requests, inbox) = mpsc::channel(MOST_REQUESTS);
    let (progress, counts) = watch::channel(Counts::default());
    if LOOP.set(Loop { requests, counts }).is_err() {
        return;
    }
    // What others have read while this one was away it can't know.
    BEHIND.store(app.shared.is_wanted(), Ordering::Relaxed);
    let app = app.clone();
    tasks.run("Watch history", |stop| run_all(app, inbox, progress, stop));
}

async fn run_all(
    app: AppState,
    mut inbox: mpsc::Receiver<oneshot::Sender<Outcome>>,
    progress: watch::Sender<Counts>,
    stop: CancellationToken,
) {
    let interval = app.settings.current().history_sync_interval;
    let soon = FIRST_RUN.min(interval);
    let mut next = Instant::now() + soon;
    let mut changes = app.settings.subscribe();
    let mut revision = app.settings.current().plex_revision;
    loop {
        let mut waiting: Vec<oneshot::Sender<Outcome>> = Vec::new();
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            Some(client) = inbox.recv() => waiting.push(client),
            Ok(()) = changes.changed() => {
                // Another server has another history; who has just set it up wants to see it.
                let now = app.settings.current().plex_revision;
                if std::mem::replace(&mut revision, now) != now {
                    next = next.min(Instant::now() + soon);
                }
                continue;
            }
            () = sleep_until(next) => {}
        }
        // Who asks wants to know how things are now; else one instance of several is enough.
        let need = if waiting.is_empty() {
            Need::Within(interval.mul_f64(0.9))
        } else {
            Need::New
        };
        let outcome = {
            let mut run = pin!(run_once(&app, need, interval, &progress, &stop));
            loop {
                tokio::select! {
                    outcome = &mut run => break outcome,
                    Some(client) = inbox.recv() => {
                        tracing::debug!("Watch history sync: joined the run under way");
                        // A run may take long and clients come and go.
                        waiting.retain(|client| !client.is_closed());
                        waiting.push(client);
                    }
                }
            }
        };
        for client in waiting {
            // A client that has left is none.
            let _ = client.send(outcome.clone());
        }
        next = Instant::now() + interval;
    }
}

/// One run, of this instance or of another one.
async fn run_once(
    app: &AppState,
    need: Need,
    interval: Duration,
    progress: &watch::Sender<Counts>,
    stop: &CancellationToken,
) -> Outcome {
    progress.send_replace(Counts::default());
    let Some(now) = Moment::now(app) else {
        return run_here(app, progress, stop).await;
    };
    let run = Box::pin(async {
        let Outcome { counts, failure } = run_here(app, progress, stop).await;
        match failure {
            None => Ok(Fetched::Whole(counts)),
            Some(failure) => Err(FetchError::new(failure)),
        }
    });
    let run = now.shared_as(NAME, interval, need, interval, run);
    // A run of our own ends by itself then; one that waits for another instance's does not.
    let stopped = async {
        stop.cancelled().await;
        sleep(LAST_WORDS).await;
    };
    tokio::select! {
        biased;
        ended = run => match ended {
            Ok(Fetched::Taken { value, .. }) => {
                tracing::debug!("Watch history sync: another instance has done it");
                fall_behind();
                Outcome::of(value, None)
            }
            Ok(ran) => {
                if BEHIND.swap(false, Ordering::Relaxed) {
                    watch_history::renew(app).await;
                }
                Outcome::of(ran.into_value(), None)
            }
            Err(error) => Outcome::of(*progress.borrow(), Some(error.message)),
        },
        () = stopped => Outcome::of(*progress.borrow(), Some(SyncError::Stopped.to_string())),
    }
}

/// Another instance has read more of the history than this one's database may hold.
pub(super) fn fall_behind() {
    BEHIND.store(true, Ordering::Relaxed);
}

/// Whether that is so.
pub(super) fn is_behind() -> bool {
    BEHIND.load(Ordering::Relaxed)
}

/// Reads what this database lacks, if it is behind another instance's. False if that takes longer
/// than `patience`; then it goes on.
pub(super) async fn catch_up(patience: Duration) -> bool {
    if !is_behind() {
        return true;
    }
    let Some(runs) = LOOP.get() else {
        return false;
    };
    let (report, done) = oneshot::channel();
    let caught_up = async {
        runs.requests.send(report).await.ok()?;
        done.await.ok().filter(|outcome| outcome.failure.is_none())
    };
    let caught_up = timeout(patience, caught_up).await;
    // The run may have been another instance's.
    matches!(caught_up, Ok(Some(_))) && !is_behind()
}

impl Outcome {
    const fn of(counts: Counts, failure: Option<String>) -> Self {
        Self { counts, failure }
    }
}

/// One run of this instance, whatever happens in it.
async fn run_here(
    app: &AppState,
    progress: &watch::Sender<Counts>,
    stop: &CancellationToken,
) -> Outcome {
    let run = AssertUnwindSafe(run::run(app, progress, stop)).catch_unwind();
    let failure = match run.await {
        Ok(Ok(())) => None,
        Ok(Err(error)) => {
            match &error {
                SyncError::NotConfigured => tracing::debug!("Watch history sync: {error}"),
                SyncError::Stopped | SyncError::OtherServer => {
                    tracing::info!("Watch history sync ended early: {error}");
                }
                SyncError::Unreachable(_) => tracing::warn!("{error}"),
                SyncError::Plex(_) => tracing::warn!("Watch history sync failed: {error}"),
                SyncError::Store(_) => tracing::error!("Database error during sync: {error}"),
                SyncError::OtherZone(_) => tracing::error!("Watch history sync refused: {error}"),
            }
            Some(error.to_string())
        }
        Err(_panic) => {
            tracing::error!("Watch history sync panicked");
            Some("Internal error".to_owned())
        }
    };
    Outcome::of(*progress.borrow(), failure)
}
