//! A use of an invite in the database, from its reservation to its outcome.
//!
//! The use is counted, and noted in `redemptions`, before plex.tv is asked: of fifty friends who want
//! the last use at the same moment, one gets that far. With plex.tv's answer the note goes, together
//! with the use if there is no invitation. So a crash at any moment leaves a note, and
//! [`settlement`](super::settlement) finds out what became of it.

use sqlx::SqliteConnection;
use sqlx::sqlite::SqliteRow;

use super::model::{Invite, PlexUser};
use super::rows;
use crate::app::AppState;
use crate::compat::Stamp;
use crate::store::{Cells, StoreError};

/// Who wants to use an invite.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Redeemer {
    /// In lower case, which is how friends are told apart (contract 08, item 100).
    pub(super) email: String,
    /// What plex.tv says about them, if they have logged in there.
    pub(super) account: Option<Account>,
}

/// An account as plex.tv knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Account {
    pub(super) username: String,
    pub(super) plex_id: String,
    pub(super) thumb: String,
}

/// Why an invite can't be used, in the order in which this is looked at (contract 04, sections 3
/// and 4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// There is none of this code.
    Unknown,
    /// It was switched off.
    Inactive,
    /// Its time has passed.
    Expired,
    /// It was used as often as it may be.
    Exhausted,
    /// Who asks has been let in already, or is being let in at this moment.
    Known,
}

/// A use that is counted, and not settled yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Redemption {
    pub(super) id: i64,
    pub(super) invite_id: i64,
    pub(super) redeemer: Redeemer,
    /// The identifier of the server.
    pub(super) machine: String,
    /// Whether into the Plex Home.
    pub(super) home: bool,
    pub(super) started_at: Stamp,
}

/// The invite of this code, if anybody can use it now.
///
/// # Errors
/// The database can't be read.
pub(super) async fn find(
    app: &AppState,
    code: &str,
) -> Result<Result<Invite, Refused>, StoreError> {
    let found = rows::invite_of_code(app.store.reader(), code).await?;
    Ok(open(found))
}

/// The invite of this code, if `redeemer` can use it now. Reserves nothing.
///
/// # Errors
/// The database can't be read.
pub(super) async fn look(
    app: &AppState,
    code: &str,
    redeemer: &Redeemer,
) -> Result<Result<Invite, Refused>, StoreError> {
    let mut connection = app.store.reader().acquire().await?;
    Ok(usable(&mut connection, code, redeemer).await?)
}

/// Looks again and counts the use, in one step. The second is what the note is known by.
///
/// # Errors
/// The database can't be written; then nothing is counted.
pub(super) async fn reserve(
    app: &AppState,
    code: &str,
    redeemer: &Redeemer,
    machine: &str,
) -> Result<Result<(Invite, Redemption), Refused>, StoreError> {
    let (code, redeemer, machine) = (code.to_owned(), redeemer.clone(), machine.to_owned());
    app.store
        .write_for_certain(|c| {
            Box::pin(async move {
                match usable(c, &code, &redeemer).await? {
                    Err(refused) => Ok(Err(refused)),
                    Ok(invite) => {
                        let noted = note(c, &invite, redeemer, machine).await?;
                        Ok(Ok((invite, noted)))
                    }
                }
            })
        })
        .await
}

/// There is an invitation: from now on `redemption` is a friend. `None` if it was undone before; if
/// it was kept before, the friend.
///
/// # Errors
/// The database can't be written; then the note stays.
pub(super) async fn keep(
    app: &AppState,
    redemption: Redemption,
) -> Result<Option<PlexUser>, StoreError> {
    app.store
        .write_for_certain(|c| {
            Box::pin(async move {
                if !forget(c, &redemption).await? {
                    let friend = rows::user_of_email(c, &redemption.redeemer.email).await?;
                    let invite = redemption.invite_id;
                    return Ok(friend.filter(|one| one.is_active && one.invite_id == invite));
                }
                befriend(c, &redemption).await
            })
        })
        .await
}

/// There is no invitation: nothing was used.
///
/// # Errors
/// The database can't be written; then the note stays.
pub(super) async fn undo(app: &AppState, redemption: Redemption) -> Result<(), StoreError> {
    app.store
        .write_for_certain(|c| {
            Box::pin(async move {
                if forget(c, &redemption).await? {
                    sqlx::query(
                        "UPDATE invites SET used_count = max(used_count - 1, 0) WHERE id = ?",
                    )
                    .bind(redemption.invite_id)
                    .execute(c)
                    .await?;
                }
                Ok(())
            })
        })
        .await
}

/// All that are not settled, the oldest first.
///
/// # Errors
/// The database can't be read.
pub(super) async fn unsettled(app: &AppState) -> Result<Vec<Redemption>, StoreError> {
    let rows = sqlx::query("SELECT * FROM redemptions ORDER BY id")
        .fetch_all(app.store.reader())
        .await?;
    Ok(rows.iter().filter_map(read).collect())
}

async fn usable(
    connection: &mut SqliteConnection,
    code: &str,
    redeemer: &Redeemer,
) -> Result<Result<Invite, Refused>, sqlx::Error> {
    let invite = match open(rows::invite_of_code(&mut *connection, code).await?) {
        Ok(invite) => invite,
        Err(refused) => return Ok(Err(refused)),
    };
    let friend = rows::user_of_email(&mut *connection, &redeemer.email).await?;
    let is_known = friend.is_some_and(|friend| match redeemer.account {
        // Who proves an account may change over from another invite.
        Some(_) => friend.invite_id == invite.id,
        None => friend.is_active,
    });
    let under_way: bool =
        sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM redemptions WHERE email = ?)")
            .bind(redeemer.email.clone())
            .fetch_one(connection)
            .await?;
    Ok(if is_known || under_way {
        Err(Refused::Known)
    } else {
        Ok(invite)
    })
}

fn open(found: Option<Invite>) -> Result<Invite, Refused> {
    let invite = found.ok_or(Refused::Unknown)?;
    if !invite.is_active {
        Err(Refused::Inactive)
    } else if invite.is_expired(Stamp::now()) {
        Err(Refused::Expired)
    } else if invite.is_exhausted() {
        Err(Refused::Exhausted)
    } else {
        Ok(invite)
    }
}

async fn note(
    connection: &mut SqliteConnection,
    invite: &Invite,
    redeemer: Redeemer,
    machine: String,
) -> Result<Redemption, sqlx::Error> {
    sqlx::query("UPDATE invites SET used_count = coalesce(used_count, 0) + 1 WHERE id = ?")
        .bind(invite.id)
        .execute(&mut *connection)
        .await?;
    let started_at = Stamp::now();
    let account = redeemer.account.clone();
    let id = sqlx::query_scalar(
        "INSERT INTO redemptions \
         (invite_id, email, machine, plex_home, username, plex_id, thumb, started_at) \
         VALUES (?, ?, ?, ?, ?, ?, ?, ?) RETURNING id",
    )
    .bind(invite.id)
    .bind(redeemer.email.clone())
    .bind(machine.clone())
    .bind(invite.plex_home)
    .bind(account.as_ref().map(|account| account.username.clone()))
    .bind(account.as_ref().map(|account| account.plex_id.clone()))
    .bind(account.map(|account| account.thumb))
    .bind(started_at.to_sql())
    .fetch_one(connection)
    .await?;
    Ok(Redemption {
        id,
        invite_id: invite.id,
        redeemer,
        machine,
        home: invite.plex_home,
        started_at,
    })
}

/// Whether it was still there: an outcome counts once.
async fn forget(
    connection: &mut SqliteConnection,
    redemption: &Redemption,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query("DELETE FROM redemptions WHERE id = ?")
        .bind(redemption.id)
        .execute(connection)
        .await?;
    Ok(done.rows_affected() > 0)
}

/// The friend's row as it has to be from now on. What plex.tv does not say stays as it was, and an
/// end that has passed is none any more, or the friend would be removed again.
async fn befriend(
    connection: &mut SqliteConnection,
    redemption: &Redemption,
) -> Result<Option<PlexUser>, sqlx::Error> {
    let Redemption {
        invite_id,
        redeemer,
        ..
    } = redemption;
    let said = |text: fn(&Account) -> &String| {
        let text = redeemer.account.as_ref().map(text);
        text.filter(|text| !text.is_empty()).cloned()
    };
    let now = Stamp::now().to_sql();
    let id = match rows::user_of_email(&mut *connection, &redeemer.email).await? {
        Some(friend) => {
            sqlx::query(
                "UPDATE plex_users SET is_active = 1, invite_id = ?, \
                 created_at = CASE WHEN coalesce(is_active, 1) THEN created_at ELSE ? END, \
                 expires_at = CASE WHEN expires_at > ? THEN expires_at END, \
                 username = coalesce(?, username), plex_id = coalesce(?, plex_id), \
                 thumb = coalesce(?, thumb) WHERE id = ?",
            )
            .bind(invite_id)
            .bind(now.clone())
            .bind(now)
            .bind(said(|account| &account.username))
            .bind(said(|account| &account.plex_id))
            .bind(said(|account| &account.thumb))
            .bind(friend.id)
            .execute(&mut *connection)
            .await?;
            friend.id
        }
        None => {
            sqlx::query_scalar(
                "INSERT INTO plex_users \
                 (email, username, plex_id, thumb, invite_id, created_at, is_active) \
                 VALUES (?, ?, ?, ?, ?, ?, 1) RETURNING id",
            )
            .bind(redeemer.email.clone())
            .bind(said(|account| &account.username))
            .bind(said(|account| &account.plex_id))
            .bind(said(|account| &account.thumb))
            .bind(invite_id)
            .bind(now)
            .fetch_one(&mut *connection)
            .await?
        }
    };
    rows::user(connection, id).await
}

fn read(row: &SqliteRow) -> Option<Redemption> {
    let row = Cells(row);
    let said = |column| row.text(column).unwrap_or_default();
    let account = row.text("plex_id").map(|plex_id| Account {
        plex_id,
        username: said("username"),
        thumb: said("thumb"),
    });
    Some(Redemption {
        id: row.integer("id")?,
        invite_id: row.integer("invite_id")?,
        redeemer: Redeemer {
            email: row.text("email")?,
            account,
        },
        machine: row.text("machine")?,
        home: row.flag("plex_home")?,
        started_at: row.stamp("started_at")?,
    })
}
