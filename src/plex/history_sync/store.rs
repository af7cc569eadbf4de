//! What the synchronisation keeps in the database.

use std::collections::HashMap;

use chrono::{NaiveDateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use sqlx::SqliteConnection;

use super::entry::{Details, Play, progress};
use crate::compat::datetime;
use crate::store::{self, Store, StoreError};

/// A play is there already if user, item and second agree, NULL being a value like others, which
/// it is not for the table's unique key (contract 08, items 55 and 56). Items that have left the
/// library have no key in Plex's history: their title stands for it, and such a play may have
/// been stored while its item still had one. (The plus keeps SQLite from looking through all plays
/// of a user instead of those of a second.)
const INSERT: &str = "\
    INSERT OR IGNORE INTO watch_history \
        (user_id, username, type, title, grandparent_title, parent_index, \"index\", rating_key, \
         viewed_at, duration, view_offset, progress, view_count, rating, year, thumb, \
         content_rating, studio, summary, genres, created_at) \
    SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, \
           ?20, ?21 \
    WHERE NOT EXISTS (\
        SELECT 1 FROM watch_history \
        WHERE viewed_at = ?9 AND +user_id IS ?1 AND ( \
            (?8 IS NOT NULL AND rating_key IS ?8) \
            OR (?8 IS NULL AND title IS ?4 AND ( \
                rating_key IS NULL \
                OR (grandparent_title IS ?5 AND parent_index IS ?6 AND \"index\" IS ?7)))))";

/// Fills what is missing in the rows that wait for the details of one item, if they are still of
/// that item: who removes rows by hand leaves their numbers to others.
const FILL: &str = "\
    UPDATE watch_history SET \
        duration = CASE WHEN duration > 0 THEN duration ELSE ?3 END, \
        progress = CASE WHEN duration > 0 OR ?3 <= 0 OR view_offset <= 0 OR view_offset IS NULL \
                   THEN progress ELSE view_offset * 100.0 / ?3 END, \
        content_rating = COALESCE(content_rating, ?4), \
        studio = COALESCE(studio, ?5), \
        summary = COALESCE(summary, ?6), \
        year = COALESCE(year, ?7), \
        rating = COALESCE(rating, ?8), \
        genres = COALESCE(genres, ?9) \
    WHERE id IN (SELECT history_id FROM watch_history_pending WHERE server = ?1 AND rating_key = ?2) \
        AND rating_key = ?2";

/// An item's details are given up after as many runs in which the server failed to give them.
const MOST_TRIES: i64 = 8;

/// Zones are at most this far apart (UTC-12 and UTC+14).
const WIDEST_SHIFT: TimeDelta = TimeDelta::hours(26);

/// How far a server's history has been read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Position {
    /// The newest play of the last run that came to its end, in epoch seconds.
    pub watermark: Option<i64>,
    /// Where the first import stands.
    pub cursor: Option<Cursor>,
}

/// A first import under way: everything between its newest and its oldest play is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Cursor {
    /// Position of the next page, when this was stored.
    pub offset: u64,
    /// Epoch seconds.
    pub newest: i64,
    /// Epoch seconds.
    pub oldest: i64,
}

/// What the database knows of one Plex server.
pub(super) struct Records<'a> {
    store: &'a Store,
    /// The server's own identifier.
    server: &'a str,
}

impl<'a> Records<'a> {
    pub(super) const fn new(store: &'a Store, server: &'a str) -> Self {
        Self { store, server }
    }

    fn watermark_name(&self) -> String {
        format!("watch_history_watermark:{}", self.server)
    }

    fn cursor_name(&self) -> String {
        format!("watch_history_cursor:{}", self.server)
    }

    /// How far this server's history has been read: not at all if somebody has emptied the table
    /// to have everything imported anew.
    pub(super) async fn position(&self) -> Result<Position, StoreError> {
        let has_rows: bool = sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM watch_history)")
            .fetch_one(self.store.reader())
            .await?;
        if !has_rows {
            return Ok(Position::default());
        }
        let watermark = self.store.state(&self.watermark_name()).await?;
        let cursor = self.store.state(&self.cursor_name()).await?;
        Ok(Position {
            watermark: watermark.and_then(|text| text.parse().ok()),
            cursor: cursor.and_then(|text| serde_json::from_str(&text).ok()),
        })
    }

    /// Stores the plays that are not there yet, and with them the cursor, in one transaction.
    /// Says how many are new.
    pub(super) async fn insert(
        &self,
        plays: Vec<(Play, String)>,
        cursor: Option<Cursor>,
    ) -> Result<u64, StoreError> {
        let server = self.server.to_owned();
        let cursor = cursor.and_then(|cursor| serde_json::to_string(&cursor).ok());
        let cursor = cursor.map(|cursor| (self.cursor_name(), cursor));
        let now = datetime::sql(Utc::now().naive_utc());
        let job = async move |connection: &mut SqliteConnection| {
            let mut new = 0;
            for (play, username) in plays {
                new += u64::from(insert(connection, &server, play, username, &now).await?);
            }
            if let Some((name, value)) = cursor {
                store::set_state(connection, &name, &value).await?;
            }
            Ok(new)
        };
        self.store.write(|c| Box::pin(job(c))).await
    }

    /// A run has come to its end.
    pub(super) async fn complete(&self, watermark: Option<i64>) -> Result<(), StoreError> {
        let (name, cursor) = (self.watermark_name(), self.cursor_name());
        let job = async move |connection: &mut SqliteConnection| {
            if let Some(watermark) = watermark {
                store::set_state(connection, &name, &watermark.to_string()).await?;
            }
            sqlx::query("DELETE FROM komandorr_state WHERE name = ?")
                .bind(cursor)
                .execute(connection)
                .await?;
            Ok(())
        };
        self.store.write(|c| Box::pin(job(c))).await
    }

    /// What a user is called in earlier rows, the newest first.
    pub(super) async fn earlier_name(&self, user_id: &str) -> Result<Option<String>, StoreError> {
        let name = sqlx::query_scalar(
            "SELECT username FROM watch_history WHERE user_id = ? \
             AND username NOT IN ('', 'Unknown', 'Unknown User') ORDER BY id DESC LIMIT 1",
        )
        .bind(user_id.to_owned())
        .fetch_optional(self.store.reader())
        .await?;
        Ok(name)
    }

    /// Local times at which the database has this play, or would have it in another zone.
    pub(super) async fn times_around(&self, play: &Play) -> Result<Vec<NaiveDateTime>, StoreError> {
        let times: Vec<String> = sqlx::query_scalar(
            "SELECT CAST(viewed_at AS TEXT) FROM watch_history \
             WHERE user_id IS ? AND rating_key IS ? AND (rating_key IS NOT NULL OR title IS ?) \
             AND viewed_at BETWEEN ? AND ?",
        )
        .bind(play.user_id.clone())
        .bind(play.rating_key.clone())
        .bind(play.title.clone())
        .bind(datetime::sql(play.local - WIDEST_SHIFT))
        .bind(datetime::sql(play.local + WIDEST_SHIFT))
        .fetch_all(self.store.reader())
        .await?;
        Ok(times
            .iter()
            .filter_map(|text| datetime::from_sql(text))
            .collect())
    }

    /// Items of this server whose details are wanted, those of the rows inserted first in front.
    pub(super) async fn wanted(&self) -> Result<Vec<String>, StoreError> {
        let keys = sqlx::query_scalar(
            "SELECT rating_key FROM watch_history_pending WHERE server = ? \
             GROUP BY rating_key ORDER BY MIN(history_id)",
        )
        .bind(self.server.to_owned())
        .fetch_all(self.store.reader())
        .await?;
        Ok(keys)
    }

    /// Fills the rows of the items that were found and forgets those that do not exist. What the
    /// server failed to give is asked for again in later runs, but not for ever.
    pub(super) async fn fill(
        &self,
        found: HashMap<String, Details>,
        gone: Vec<String>,
        failed: Vec<String>,
    ) -> Result<(), StoreError> {
        let server = self.server.to_owned();
        let job = async move |connection: &mut SqliteConnection| {
            for (key, details) in found {
                fill(connection, &server, &key, details).await?;
                forget(connection, &server, &key, 0).await?;
            }
            for key in gone {
                forget(connection, &server, &key, 0).await?;
            }
            for key in failed {
                sqlx::query(
                    "UPDATE watch_history_pending SET tries = tries + 1 \
                     WHERE server = ? AND rating_key = ?",
                )
                .bind(server.clone())
                .bind(key.clone())
                .execute(&mut *connection)
                .await?;
                forget(connection, &server, &key, MOST_TRIES).await?;
            }
            Ok(())
        };
        self.store.write(|c| Box::pin(job(c))).await
    }
}

/// Inserts one play unless it is there; says whether it was not.
async fn insert(
    connection: &mut SqliteConnection,
    server: &str,
    play: Play,
    username: String,
    now: &str,
) -> Result<bool, sqlx::Error> {
    let wanted = play
        .rating_key
        .clone()
        .filter(|_| play.details.lack_something());
    let progress = progress(play.view_offset, play.details.duration);
    let done = sqlx::query(INSERT)
        .bind(play.user_id)
        .bind(username)
        .bind(play.kind)
        .bind(play.title)
        .bind(play.grandparent_title)
        .bind(play.parent_index)
        .bind(play.index)
        .bind(play.rating_key)
        .bind(datetime::sql(play.local))
        .bind(play.details.duration)
        .bind(play.view_offset)
        .bind(progress)
        .bind(play.view_count)
        .bind(play.details.rating)
        .bind(play.details.year)
        .bind(play.thumb)
        .bind(play.details.content_rating)
        .bind(play.details.studio)
        .bind(play.details.summary)
        .bind(play.details.genres)
        .bind(now.to_owned())
        .execute(&mut *connection)
        .await?;
    let is_new = done.rows_affected() > 0;
    if let Some(key) = wanted.filter(|_| is_new) {
        sqlx::query(
            "INSERT OR REPLACE INTO watch_history_pending (history_id, server, rating_key) \
             VALUES (?, ?, ?)",
        )
        .bind(done.last_insert_rowid())
        .bind(server.to_owned())
        .bind(key)
        .execute(connection)
        .await?;
    }
    Ok(is_new)
}

async fn fill(
    connection: &mut SqliteConnection,
    server: &str,
    key: &str,
    details: Details,
) -> Result<(), sqlx::Error> {
    sqlx::query(FILL)
        .bind(server.to_owned())
        .bind(key.to_owned())
        .bind(details.duration)
        .bind(details.content_rating)
        .bind(details.studio)
        .bind(details.summary)
        .bind(details.year)
        .bind(details.rating)
        .bind(details.genres)
        .execute(connection)
        .await?;
    Ok(())
}

/// The details of an item are no longer wanted, if they have been asked for as often as this.
async fn forget(
    connection: &mut SqliteConnection,
    server: &str,
    key: &str,
    tries: i64,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "DELETE FROM watch_history_pending WHERE server = ? AND rating_key = ? AND tries >= ?",
    )
    .bind(server.to_owned())
    .bind(key.to_owned())
    .bind(tries)
    .execute(connection)
    .await?;
    Ok(())
}
