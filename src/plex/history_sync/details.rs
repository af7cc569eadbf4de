//! Details of items that entries of the history lack: durations, genres, summaries.
//!
//! Asked for once per item, many items at a time, and only after all rows are stored. What is
//! still wanted is in the database, so a run that is broken off loses nothing, and one that takes
//! until the next is due leaves the rest to that.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep_until};

use super::SyncError;
use super::entry::{self, Details};
use super::run::Run;
use super::store::Records;
use crate::plex::error::PlexError;
use crate::plex::server::PlexServer;

/// Items per call.
const BATCH: usize = 40;
/// Calls at a time: half of the server's slots stay free for people.
const AT_ONCE: usize = 2;
/// So many calls are made as fast as the server answers; enough for all but the first import.
const UNHURRIED_AFTER: u32 = 200;
/// After that at most five in a second.
const INTERVAL: Duration = Duration::from_millis(200);
/// A server that leaves so many calls in a row unanswered has other worries.
const MOST_SILENCES: u32 = 3;

/// What the server said of some items.
#[derive(Debug, Default)]
struct Found {
    details: HashMap<String, Details>,
    /// They do not exist any more.
    gone: Vec<String>,
    /// The server failed to say.
    failed: Vec<String>,
    /// Why no more should be asked for.
    trouble: Option<PlexError>,
}

/// Asks for items, several at once where the server can do that.
#[derive(Debug, Default)]
struct Inquiry {
    calls: AtomicU32,
    next: Mutex<Option<Instant>>,
    /// An answer to a list has come: the server understands lists, and its 404 can be trusted.
    lists_work: AtomicBool,
    /// It has refused a list of items that do exist: they are asked for one by one.
    lists_refused: AtomicBool,
    silences: AtomicU32,
}

/// Fetches what is wanted and fills it in.
pub(super) async fn fetch(run: &mut Run<'_>, records: &Records<'_>) -> Result<(), SyncError> {
    let wanted = records.wanted().await?;
    let count = wanted.len();
    if count == 0 {
        return Ok(());
    }
    let inquiry = Inquiry::default();
    let batches: Vec<Vec<String>> = wanted.chunks(BATCH).map(<[String]>::to_vec).collect();
    let mut filled = 0;
    for (done, pair) in batches.chunks(AT_ONCE).enumerate() {
        if done > 0 && run.is_overdue() {
            tracing::info!("Details of {filled} of {count} items filled in, the rest later");
            return Ok(());
        }
        let asked = stream::iter(pair.to_vec())
            .map(|batch| inquiry.look_up(&run.server, batch))
            .buffer_unordered(AT_ONCE);
        let answers: Vec<Found> = run.ask(asked.collect()).await?;
        for found in answers {
            filled += found.details.len();
            if !found.details.is_empty() {
                run.has_news();
            }
            records
                .fill(found.details, found.gone, found.failed)
                .await?;
            if let Some(trouble) = found.trouble {
                tracing::info!("Details of {filled} of {count} items filled in");
                return Err(trouble.into());
            }
        }
    }
    tracing::debug!("Details of {filled} of {count} items filled in");
    Ok(())
}

impl Inquiry {
    /// Looks up a batch: as a list, then what an answer leaves out as a list again, until nothing
    /// more comes; one by one where the server fails to answer the list.
    async fn look_up(&self, server: &PlexServer, batch: Vec<String>) -> Found {
        let mut found = Found::default();
        let mut missing = batch;
        let mut refused = false;
        while !missing.is_empty() && !self.lists_refused.load(Ordering::Relaxed) {
            match self.ask(server, &missing).await {
                Ok(details) => {
                    self.lists_work.store(true, Ordering::Relaxed);
                    let before = missing.len();
                    missing.retain(|key| !details.contains_key(key));
                    found.details.extend(details);
                    if missing.len() == before {
                        found.gone = missing;
                        return found;
                    }
                }
                Err(error) if is_missing(&error) && self.lists_work.load(Ordering::Relaxed) => {
                    found.gone = missing;
                    return found;
                }
                Err(error) if is_hopeless(&error) => {
                    found.trouble = Some(error);
                    return found;
                }
                Err(error) => {
                    refused = matches!(
                        error,
                        PlexError::Status {
                            status: 400..=499,
                            ..
                        }
                    );
                    break;
                }
            }
        }
        let in_list = found.details.len();
        self.one_by_one(server, missing, &mut found).await;
        if refused && found.details.len() > in_list {
            self.lists_refused.store(true, Ordering::Relaxed);
        } else if refused && found.failed.is_empty() && found.trouble.is_none() {
            // It was right: none of them exists.
            self.lists_work.store(true, Ordering::Relaxed);
        }
        found
    }

    async fn one_by_one(&self, server: &PlexServer, keys: Vec<String>, found: &mut Found) {
        for key in keys {
            match self.ask(server, std::slice::from_ref(&key)).await {
                Ok(mut details) => match details.remove(&key) {
                    Some(details) => {
                        found.details.insert(key, details);
                    }
                    None => found.gone.push(key),
                },
                Err(error) if is_missing(&error) => found.gone.push(key),
                Err(error) if is_hopeless(&error) => {
                    found.trouble = Some(error);
                    return;
                }
                Err(error) => {
                    found.failed.push(key);
                    if self.silences.load(Ordering::Relaxed) >= MOST_SILENCES {
                        found.trouble = Some(error);
                        return;
                    }
                }
            }
        }
    }

    /// One call, when it is its turn.
    async fn ask(
        &self,
        server: &PlexServer,
        keys: &[String],
    ) -> Result<HashMap<String, Details>, PlexError> {
        self.turn().await;
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        let items = server.metadata(&keys).await;
        match &items {
            Err(PlexError::Timeout | PlexError::Interrupted) => {
                self.silences.fetch_add(1, Ordering::Relaxed);
            }
            _ => self.silences.store(0, Ordering::Relaxed),
        }
        Ok(items?.iter().filter_map(entry::details).collect())
    }

    async fn turn(&self) {
        if self.calls.fetch_add(1, Ordering::Relaxed) < UNHURRIED_AFTER {
            return;
        }
        let mut next = self.next.lock().await;
        let turn = next.unwrap_or_else(Instant::now);
        sleep_until(turn).await;
        *next = Some(turn.max(Instant::now()) + INTERVAL);
    }
}

const fn is_missing(error: &PlexError) -> bool {
    matches!(error, PlexError::Status { status: 404, .. })
}

/// The next call would fail as well.
const fn is_hopeless(error: &PlexError) -> bool {
    matches!(
        error,
        PlexError::Refused
            | PlexError::Connect
            | PlexError::Status {
                status: 429 | 503,
                ..
            }
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn many_calls_are_spread_over_time() {
        let inquiry = Inquiry::default();
        let started = Instant::now();
        for _ in 0..UNHURRIED_AFTER {
            inquiry.turn().await;
        }
        assert_eq!(started.elapsed(), Duration::ZERO);
        for _ in 0..11 {
            inquiry.turn().await;
        }
        assert_eq!(started.elapsed().as_millis(), 2000, "five in a second");
    }
}
