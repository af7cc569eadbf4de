//! Reading invites and friends. What 3.3.0 may have left empty reads as the column's default
//! (contract 06, section 1). A limit of an invite that can't be read is one that lets nobody in.

use sqlx::sqlite::SqliteRow;
use sqlx::{Row as _, Sqlite, SqliteExecutor, ValueRef as _};

use super::codes;
use super::model::{Invite, PlexUser};
use crate::compat::Stamp;
use crate::store::Cells;

/// All invites.
pub(super) async fn invites(database: impl SqliteExecutor<'_>) -> Result<Vec<Invite>, sqlx::Error> {
    let query = sqlx::query::<Sqlite>("SELECT * FROM invites ORDER BY id");
    let rows = query.fetch_all(database).await?;
    Ok(rows.iter().filter_map(read_invite).collect())
}

/// All friends, in the order in which they came.
pub(super) async fn users(database: impl SqliteExecutor<'_>) -> Result<Vec<PlexUser>, sqlx::Error> {
    let query = sqlx::query::<Sqlite>("SELECT * FROM plex_users ORDER BY id");
    let rows = query.fetch_all(database).await?;
    Ok(rows.iter().filter_map(read_user).collect())
}

/// Those who have used the invite of this number last.
pub(super) async fn users_of(
    database: impl SqliteExecutor<'_>,
    invite: i64,
) -> Result<Vec<PlexUser>, sqlx::Error> {
    let query = "SELECT * FROM plex_users WHERE invite_id = ? ORDER BY id";
    let query = sqlx::query::<Sqlite>(query).bind(invite);
    let rows = query.fetch_all(database).await?;
    Ok(rows.iter().filter_map(read_user).collect())
}

/// The invite of this number.
pub(super) async fn invite(
    database: impl SqliteExecutor<'_>,
    id: i64,
) -> Result<Option<Invite>, sqlx::Error> {
    let query = sqlx::query::<Sqlite>("SELECT * FROM invites WHERE id = ?").bind(id);
    let row = query.fetch_optional(database).await?;
    Ok(row.as_ref().and_then(read_invite))
}

/// The invite of this code. People type codes as they like; those of 3.3.0 may differ in nothing but
/// their case, so the exact one comes first.
pub(super) async fn invite_of_code(
    database: impl SqliteExecutor<'_>,
    code: &str,
) -> Result<Option<Invite>, sqlx::Error> {
    let row = sqlx::query::<Sqlite>(
        "SELECT * FROM invites WHERE code IN (?1, ?2) ORDER BY code = ?1 DESC LIMIT 1",
    )
    .bind(code.to_owned())
    .bind(codes::as_stored(code))
    .fetch_optional(database)
    .await?;
    Ok(row.as_ref().and_then(read_invite))
}

/// The friend of this number.
pub(super) async fn user(
    database: impl SqliteExecutor<'_>,
    id: i64,
) -> Result<Option<PlexUser>, sqlx::Error> {
    let query = sqlx::query::<Sqlite>("SELECT * FROM plex_users WHERE id = ?").bind(id);
    let row = query.fetch_optional(database).await?;
    Ok(row.as_ref().and_then(read_user))
}

/// The friend of this address, whatever its case (3.3.0 stored what OAuth brought as it came). Of
/// several that differ in nothing else, the active one.
pub(super) async fn user_of_email(
    database: impl SqliteExecutor<'_>,
    email: &str,
) -> Result<Option<PlexUser>, sqlx::Error> {
    let query = sqlx::query::<Sqlite>(
        "SELECT * FROM plex_users WHERE lower(email) = lower(?) \
         ORDER BY coalesce(is_active, 1) DESC, id LIMIT 1",
    );
    let row = query
        .bind(email.to_owned())
        .fetch_optional(database)
        .await?;
    Ok(row.as_ref().and_then(read_user))
}

/// Active friends whose name or picture is not known.
pub(super) async fn unknown_users(
    database: impl SqliteExecutor<'_>,
) -> Result<Vec<PlexUser>, sqlx::Error> {
    let query = sqlx::query::<Sqlite>(
        "SELECT * FROM plex_users WHERE coalesce(is_active, 1) \
         AND (username IS NULL OR thumb IS NULL)",
    );
    let rows = query.fetch_all(database).await?;
    Ok(rows.iter().filter_map(read_user).collect())
}

/// Active friends whose time is over some day, or was.
pub(super) async fn users_with_end(
    database: impl SqliteExecutor<'_>,
) -> Result<Vec<PlexUser>, sqlx::Error> {
    let query = sqlx::query::<Sqlite>(
        "SELECT * FROM plex_users WHERE coalesce(is_active, 1) AND expires_at IS NOT NULL \
         ORDER BY id",
    );
    let rows = query.fetch_all(database).await?;
    Ok(rows.iter().filter_map(read_user).collect())
}

/// A row of `invites`; `None` without what it can't be without.
pub(super) fn read_invite(row: &SqliteRow) -> Option<Invite> {
    let limits = Limits(row);
    let row = Cells(row);
    let flag = |column| row.flag(column).unwrap_or_default();
    Some(Invite {
        id: row.integer("id")?,
        code: row.text("code")?,
        created_at: created_at(row),
        created_by: row.text("created_by"),
        expires_at: limits.of("expires_at", Cells::stamp, Stamp::EPOCH),
        usage_limit: limits.of("usage_limit", Cells::integer, -1),
        used_count: row.integer("used_count").unwrap_or_default(),
        allow_sync: flag("allow_sync"),
        allow_camera_upload: flag("allow_camera_upload"),
        allow_channels: flag("allow_channels"),
        plex_home: flag("plex_home"),
        libraries: row.text("libraries").unwrap_or_else(|| "all".to_owned()),
        is_active: limits.is_active(),
    })
}

/// A row of `plex_users`; `None` without what it can't be without.
pub(super) fn read_user(row: &SqliteRow) -> Option<PlexUser> {
    let is_active = Limits(row).is_active();
    let row = Cells(row);
    Some(PlexUser {
        id: row.integer("id")?,
        email: row.text("email")?,
        username: row.text("username"),
        plex_id: row.text("plex_id"),
        thumb: row.text("thumb"),
        invite_id: row.integer("invite_id")?,
        created_at: created_at(row),
        last_seen: row.stamp("last_seen"),
        // Nobody loses access for a time that says nothing.
        expires_at: row.stamp("expires_at"),
        is_active,
    })
}

/// What bounds who gets in.
struct Limits<'a>(&'a SqliteRow);

impl<'a> Limits<'a> {
    /// What the column says; `closed` if that can't be read, `None` if it is empty.
    fn of<T>(&self, column: &str, read: fn(Cells<'a>, &str) -> Option<T>, closed: T) -> Option<T> {
        let is_filled = || {
            let cell = self.0.try_get_raw(column);
            cell.is_ok_and(|cell| !cell.is_null())
        };
        read(Cells(self.0), column).or_else(|| is_filled().then_some(closed))
    }

    fn is_active(&self) -> bool {
        self.of("is_active", Cells::flag, false).unwrap_or(true)
    }
}

/// One that can't be read is as old as can be.
fn created_at(row: Cells<'_>) -> Stamp {
    row.stamp("created_at").unwrap_or(Stamp::EPOCH)
}
