//! One run of the synchronisation.
//!
//! From the newest play back to one day before the *watermark*, the newest play of the last run
//! that came to its end: a play may appear late, from a device that was offline. Without a
//! watermark back to the first play; where such a run broke off, the next one resumes, after a
//! look at what is new. Each page is stored in one transaction with the place it leads to, so an
//! end at any moment loses nothing. Only then are details asked for: they may take long.

use std::collections::HashMap;
use std::time::Duration;

use chrono::Utc;
use chrono_tz::Tz;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::details;
use super::entry::{self, Play};
use super::store::{Cursor, Records};
use super::walk::{PAGE, Page, Verdict, Walk};
use super::{Counts, SyncError, zone};
use crate::app::AppState;
use crate::plex::error::PlexError;
use crate::plex::server::PlexServer;
use crate::plex::watch_history;

/// A play may come into Plex's history so many seconds after it happened.
const LATE: i64 = 86_400;
/// During a long run readers see what is new at least this often.
const SHOW_AGAIN: Duration = Duration::from_secs(2);

/// What a run works with.
pub(super) struct Run<'a> {
    app: &'a AppState,
    progress: &'a watch::Sender<Counts>,
    stop: &'a CancellationToken,
    pub(super) server: PlexServer,
    revision: u64,
    /// When the next run would be due, if this one did not go on.
    overdue: Instant,
    shown: Instant,
    has_news: bool,
}

/// Names of the server's accounts, and of those who had one.
struct Names(HashMap<String, String>);

/// Runs once. What was stored stays, however the run ends.
pub(super) async fn run(
    app: &AppState,
    progress: &watch::Sender<Counts>,
    stop: &CancellationToken,
) -> Result<(), SyncError> {
    let settings = app.settings.current();
    let target = settings.plex.as_ref().ok_or(SyncError::NotConfigured)?;
    tracing::info!("Syncing Plex watch history to database...");
    let mut run = Run {
        app,
        progress,
        stop,
        server: app.plex.server(target),
        revision: settings.plex_revision,
        overdue: Instant::now() + settings.history_sync_interval,
        shown: Instant::now(),
        has_news: false,
    };
    let ended = run
        .everything(settings.process_timezone, settings.timezone)
        .await;
    run.show().await;
    let counts = *progress.borrow();
    if ended.is_ok() {
        let Counts { new, scanned, .. } = counts;
        tracing::info!("Watch history sync complete: {new} new, {scanned} scanned");
    } else if counts.new > 0 {
        tracing::info!("Watch history sync: {} new so far", counts.new);
    }
    ended
}

impl Run<'_> {
    async fn everything(&mut self, zone: Option<Tz>, dashboard: Tz) -> Result<(), SyncError> {
        let identity = self.ask(self.server.identity()).await?;
        let identity = identity.map_err(SyncError::Unreachable)?;
        let server = identity.machine_identifier.ok_or(PlexError::NotPlex)?;
        let mut names = self.names().await?;
        let app = self.app;
        let records = Records::new(&app.store, &server);
        let before = records.position().await?;
        let known = before
            .watermark
            .or(before.cursor.map(|cursor| cursor.newest));

        let mut places = Places {
            cursor: None,
            zone,
            dashboard,
            keeps_cursor: known.is_none(),
        };
        self.walk(
            Walk::new(known.map(|at| at.saturating_sub(LATE))),
            &records,
            &mut names,
            &mut places,
        )
        .await?;
        let newest = places.cursor.map(|cursor| cursor.newest);
        if let (None, Some(cursor)) = (before.watermark, before.cursor) {
            places.keeps_cursor = true;
            places.cursor = Some(Cursor {
                newest: newest.map_or(cursor.newest, |newest| newest.max(cursor.newest)),
                ..cursor
            });
            let rest = Walk::onward(cursor.offset, cursor.oldest);
            self.walk(rest, &records, &mut names, &mut places).await?;
        }
        let newest = places.cursor.map(|cursor| cursor.newest);
        records.complete(newest.max(before.watermark)).await?;
        self.progress
            .send_modify(|counts| counts.remaining = Some(0));
        details::fetch(self, &records).await
    }

    /// Walks page by page and stores what is not there yet.
    async fn walk(
        &mut self,
        mut walk: Walk,
        records: &Records<'_>,
        names: &mut Names,
        places: &mut Places,
    ) -> Result<(), SyncError> {
        loop {
            let start = walk.start();
            // Never narrowed to what is new: the check of the zone needs the newest plays, and
            // positions must mean the same on every page. One page is enough for most runs.
            let answer = self.ask(self.server.history(start, PAGE, None)).await??;
            let plays: Vec<Play> = answer
                .items
                .iter()
                .filter_map(|item| entry::play(item, places.zone))
                .collect();
            let page = Page::of(&answer.items, &plays, answer.total);
            let Verdict::Good { unseen, last } = walk.take(&page) else {
                continue;
            };
            if start == 0 && page.length == 0 && walk.floor().is_some() {
                // There were plays a moment ago, or when the last run broke off. A server that
                // forgets them for a while must not make what is left unread count as read.
                return Err(PlexError::NotPlex.into());
            }
            if start == 0
                && let Some(text) = zone::foreign(records, &plays, places.dashboard).await?
            {
                return Err(SyncError::OtherZone(text));
            }
            let unreadable = answer.items.len() - plays.len();
            if unreadable > 0 {
                tracing::debug!(
                    "Skipping {unreadable} entries of Plex's history: no title or time"
                );
            }
            drop(answer);
            places.reach(&walk, &page);
            self.store(records, names, plays, places).await?;
            self.progress.send_modify(|counts| {
                counts.scanned += unseen;
                counts.remaining = walk.remaining(&page);
            });
            if last {
                return Ok(());
            }
        }
    }

    /// Stores a page in one transaction; one that is longer than asked for, of a server that
    /// does not page, in several: other writes wait for each.
    async fn store(
        &mut self,
        records: &Records<'_>,
        names: &mut Names,
        plays: Vec<Play>,
        places: &Places,
    ) -> Result<(), SyncError> {
        let mut batch = Vec::with_capacity(plays.len());
        for play in plays {
            let name = names.of(play.user_id.as_deref(), records).await?;
            batch.push((play, name));
        }
        let cursor = places.cursor.filter(|_| places.keeps_cursor);
        loop {
            let rest = batch.split_off(batch.len().min(PAGE as usize));
            let cursor = cursor.filter(|_| rest.is_empty());
            let new = records.insert(batch, cursor).await?;
            self.progress.send_modify(|counts| counts.new += new);
            self.has_news |= new > 0;
            if self.shown.elapsed() >= SHOW_AGAIN {
                self.show().await;
            }
            if rest.is_empty() {
                return Ok(());
            }
            self.go_on()?;
            batch = rest;
        }
    }

    /// Readers of the watch history read the database again.
    async fn show(&mut self) {
        self.shown = Instant::now();
        if std::mem::take(&mut self.has_news) {
            watch_history::renew(self.app).await;
        }
    }

    /// Rows have been changed.
    pub(super) const fn has_news(&mut self) {
        self.has_news = true;
    }

    /// Whether the next run should have begun by now: new plays wait for it.
    pub(super) fn is_overdue(&self) -> bool {
        Instant::now() >= self.overdue
    }

    /// Ends the run when it must not go on.
    pub(super) fn go_on(&self) -> Result<(), SyncError> {
        if self.stop.is_cancelled() {
            Err(SyncError::Stopped)
        } else if self.app.settings.current().plex_revision == self.revision {
            Ok(())
        } else {
            Err(SyncError::OtherServer)
        }
    }

    /// Waits for something outside of the process, unless the run must not go on.
    pub(super) async fn ask<T>(&self, call: impl Future<Output = T>) -> Result<T, SyncError> {
        self.go_on()?;
        let answer = self.stop.run_until_cancelled(call).await;
        self.go_on()?;
        answer.ok_or(SyncError::Stopped)
    }

    /// Who has an account. A token without the owner's rights may never see that: then earlier
    /// rows have to tell. Any other failure ends the run, lest everybody be stored as unknown.
    async fn names(&self) -> Result<Names, SyncError> {
        let accounts = match self.ask(self.server.accounts()).await? {
            Ok(accounts) => accounts,
            Err(
                error @ PlexError::Status {
                    status: 403 | 404, ..
                },
            ) => {
                tracing::warn!("Plex does not say who has an account: {error}");
                Vec::new()
            }
            Err(error) => return Err(SyncError::Unreachable(error)),
        };
        let name = |name: Option<String>| {
            let name = name.filter(|name| !name.is_empty());
            name.unwrap_or_else(|| "Unknown User".to_owned())
        };
        let pairs = accounts.into_iter().filter_map(|account| {
            Some((account.id.filter(|id| !id.is_empty())?, name(account.name)))
        });
        Ok(Names(pairs.collect()))
    }
}

impl Names {
    /// What a user is called: by the server, else by earlier rows.
    async fn of(&mut self, user: Option<&str>, records: &Records<'_>) -> Result<String, SyncError> {
        let unknown = || "Unknown".to_owned();
        let Some(user) = user else {
            return Ok(unknown());
        };
        if let Some(name) = self.0.get(user) {
            return Ok(name.clone());
        }
        let name = records.earlier_name(user).await?.unwrap_or_else(unknown);
        self.0.insert(user.to_owned(), name.clone());
        Ok(name)
    }
}

/// What has been reached, and how times are read.
struct Places {
    /// The newest and the oldest play of this walk, and where it goes on.
    cursor: Option<Cursor>,
    zone: Option<Tz>,
    /// The dashboard's zone, which may be the one that is meant.
    dashboard: Tz,
    /// Whether the next run may resume here: only where this one began without a watermark.
    keeps_cursor: bool,
}

impl Places {
    fn reach(&mut self, walk: &Walk, page: &Page) {
        // A server's clock may run ahead; nothing that comes later must count as seen.
        let now = Utc::now().timestamp();
        let (Some(newest), Some(oldest)) = (page.newest().map(|at| at.min(now)), walk.floor())
        else {
            return;
        };
        let newest = self
            .cursor
            .map_or(newest, |cursor| cursor.newest.max(newest));
        self.cursor = Some(Cursor {
            offset: walk.start(),
            newest,
            oldest,
        });
    }
}
