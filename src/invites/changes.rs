//! Changing invites and friends: parts of [`Store::write_for_certain`] jobs. What a change depends
//! on is looked at in the same transaction.
//!
//! [`Store::write_for_certain`]: crate::store::Store::write_for_certain

use sqlx::{Sqlite, SqliteConnection};

use super::create::NewInvite;
use super::edit::InviteChange;
use super::model::{Invite, PlexUser};
use super::rows::{read_invite, read_user};
use crate::compat::Stamp;

/// What became of the wish to delete an invite.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Deletion {
    /// It is gone.
    Done,
    /// There was none.
    Missing,
    /// It stays: so many friends hold on to it.
    Held(i64),
}

/// Creates an invite with the first of `codes` that is not taken; `None` if all are. A database
/// whose old codes are not unique has no index that would find that out (contract 06, section 4).
pub(super) async fn create(
    connection: &mut SqliteConnection,
    codes: Vec<String>,
    new: &NewInvite,
    created_by: &str,
    now: Stamp,
) -> Result<Option<Invite>, sqlx::Error> {
    for code in codes {
        let created = sqlx::query::<Sqlite>(
            "INSERT INTO invites (code, created_at, created_by, expires_at, usage_limit, \
             used_count, allow_sync, allow_camera_upload, allow_channels, plex_home, libraries, \
             is_active) \
             SELECT ?1, ?2, ?3, ?4, ?5, 0, ?6, ?7, ?8, ?9, ?10, 1 \
             WHERE NOT EXISTS (SELECT 1 FROM invites WHERE code = ?1) \
             ON CONFLICT DO NOTHING RETURNING *",
        )
        .bind(code)
        .bind(now.to_sql())
        .bind(created_by.to_owned())
        .bind(new.expires_at(now).map(Stamp::to_sql))
        .bind(new.usage_limit)
        .bind(new.allow_sync)
        .bind(new.allow_camera_upload)
        .bind(new.allow_channels)
        .bind(new.plex_home)
        .bind(new.libraries.clone())
        .fetch_optional(&mut *connection)
        .await?;
        if let Some(row) = created {
            return Ok(read_invite(&row));
        }
    }
    Ok(None)
}

/// Changes what is said about an invite and nothing else: somebody may be redeeming it. `None` if
/// there is none of this number.
pub(super) async fn change(
    connection: &mut SqliteConnection,
    id: i64,
    change: InviteChange,
) -> Result<Option<Invite>, sqlx::Error> {
    let (is_limit_said, usage_limit) = change.usage_limit.into_parts();
    let (is_end_said, expires_at) = change.expires_at.into_parts();
    let changed = sqlx::query::<Sqlite>(
        "UPDATE invites SET \
             usage_limit = CASE WHEN ?2 THEN ?3 ELSE usage_limit END, \
             expires_at = CASE WHEN ?4 THEN ?5 ELSE expires_at END, \
             allow_sync = COALESCE(?6, allow_sync), \
             allow_camera_upload = COALESCE(?7, allow_camera_upload), \
             allow_channels = COALESCE(?8, allow_channels), \
             plex_home = COALESCE(?9, plex_home), \
             libraries = COALESCE(?10, libraries), \
             is_active = COALESCE(?11, is_active) \
         WHERE id = ?1 RETURNING *",
    )
    .bind(id)
    .bind(is_limit_said)
    .bind(usage_limit)
    .bind(is_end_said)
    .bind(expires_at.map(Stamp::to_sql))
    .bind(change.allow_sync)
    .bind(change.allow_camera_upload)
    .bind(change.allow_channels)
    .bind(change.plex_home)
    .bind(change.libraries)
    .bind(change.is_active)
    .fetch_optional(connection)
    .await?;
    Ok(changed.as_ref().and_then(read_invite))
}

/// Deletes an invite, unless somebody holds on to it.
pub(super) async fn delete(
    connection: &mut SqliteConnection,
    id: i64,
) -> Result<Deletion, sqlx::Error> {
    let exists = sqlx::query_scalar::<_, bool>("SELECT count(*) > 0 FROM invites WHERE id = ?");
    if !exists.bind(id).fetch_one(&mut *connection).await? {
        return Ok(Deletion::Missing);
    }
    let held = holders(&mut *connection, id).await?;
    if held > 0 {
        return Ok(Deletion::Held(held));
    }
    let delete = sqlx::query("DELETE FROM invites WHERE id = ?").bind(id);
    delete.execute(connection).await?;
    Ok(Deletion::Done)
}

/// How many friends hold on to an invite: those who have used it last, active or not, and those who are
/// being let in.
async fn holders(connection: &mut SqliteConnection, id: i64) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar(
        "SELECT (SELECT count(*) FROM plex_users WHERE invite_id = ?1) \
         + (SELECT count(*) FROM redemptions WHERE invite_id = ?1)",
    )
    .bind(id)
    .fetch_one(connection)
    .await
}

/// Sets from when on the server is not to be shared with a friend any more; `None` if there is no
/// friend of this number.
pub(super) async fn set_expiration(
    connection: &mut SqliteConnection,
    user: i64,
    expires_at: Option<Stamp>,
) -> Result<Option<PlexUser>, sqlx::Error> {
    let changed =
        sqlx::query::<Sqlite>("UPDATE plex_users SET expires_at = ? WHERE id = ? RETURNING *")
            .bind(expires_at.map(Stamp::to_sql))
            .bind(user)
            .fetch_optional(connection)
            .await?;
    Ok(changed.as_ref().and_then(read_user))
}

/// Writes down what plex.tv says of a friend; what it does not say, and is empty, stays (contract 08,
/// item 105).
pub(super) async fn describe_user(
    connection: &mut SqliteConnection,
    id: i64,
    username: String,
    plex_id: String,
    thumb: String,
) -> Result<Option<PlexUser>, sqlx::Error> {
    let described = sqlx::query::<Sqlite>(
        "UPDATE plex_users SET username = coalesce(nullif(?, ''), username), \
         plex_id = coalesce(nullif(?, ''), plex_id), \
         thumb = coalesce(nullif(?, ''), thumb) WHERE id = ? RETURNING *",
    )
    .bind(username)
    .bind(plex_id)
    .bind(thumb)
    .bind(id)
    .fetch_optional(connection)
    .await?;
    Ok(described.as_ref().and_then(read_user))
}

/// Removes a friend.
pub(super) async fn forget_user(
    connection: &mut SqliteConnection,
    id: i64,
) -> Result<(), sqlx::Error> {
    let query = sqlx::query("DELETE FROM plex_users WHERE id = ?").bind(id);
    query.execute(connection).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use sqlx::AssertSqlSafe;
    use tempfile::TempDir;

    use super::*;
    use crate::compat::validation::Said;
    use crate::invites::rows;
    use crate::store::Store;

    /// A database of 3.3.0 with rows of all kinds: 1 is as it should be, 2 as empty as can be, and
    /// 3 as odd.
    async fn old() -> (TempDir, Store) {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path()).await.unwrap();
        execute(
            &store,
            "INSERT INTO invites (id, code, created_at, expires_at, usage_limit, used_count, \
                 allow_sync, is_active, libraries) \
             VALUES (1, 'GOOD', '2026-01-02 03:04:05.000000', '2030-01-01 00:00:00.000000', 5, 2, \
                     1, 1, '1,2'); \
             INSERT INTO invites (id, code, created_at) VALUES (2, 'EMPTY', ''); \
             INSERT INTO invites (id, code, created_at, expires_at, usage_limit, used_count, \
                 allow_sync, is_active, libraries) \
             VALUES (3, 'ODD', 'long ago', 'never', 'many', 'some', 'yes', 2, 7);",
        )
        .await;
        (directory, store)
    }

    async fn execute(store: &Store, sql: &str) {
        let statements = sqlx::raw_sql(AssertSqlSafe(sql.to_owned()));
        let run = store.write(|c| Box::pin(async move { statements.execute(c).await.map(drop) }));
        run.await.unwrap();
    }

    fn plain() -> NewInvite {
        NewInvite {
            custom_code: None,
            usage_limit: None,
            expires_in_days: None,
            allow_sync: false,
            allow_camera_upload: false,
            allow_channels: false,
            plex_home: false,
            libraries: "all".to_owned(),
        }
    }

    async fn create_one_of(store: &Store, codes: &[&str]) -> Option<Invite> {
        let codes = codes.iter().map(|code| (*code).to_owned()).collect();
        let now = Stamp::now();
        let create = store.write_for_certain(move |c| {
            Box::pin(async move { create(c, codes, &plain(), "eva", now).await })
        });
        create.await.unwrap()
    }

    async fn changed(store: &Store, id: i64, change: InviteChange) -> Option<Invite> {
        let change = store.write_for_certain(move |c| {
            Box::pin(async move { super::change(c, id, change).await })
        });
        change.await.unwrap()
    }

    async fn deleted(store: &Store, id: i64) -> Deletion {
        let delete = store.write_for_certain(move |c| Box::pin(async move { delete(c, id).await }));
        delete.await.unwrap()
    }

    fn nothing() -> InviteChange {
        InviteChange {
            usage_limit: Said::Nothing,
            expires_at: Said::Nothing,
            allow_sync: None,
            allow_camera_upload: None,
            allow_channels: None,
            plex_home: None,
            libraries: None,
            is_active: None,
        }
    }

    #[tokio::test]
    async fn a_code_that_is_taken_is_passed_over_with_an_index_and_without() {
        let (_directory, store) = old().await;
        for with_index in [true, false] {
            if !with_index {
                execute(&store, "DROP INDEX ix_invites_code").await;
            }
            let free = format!("FREE-{with_index}");
            let created = create_one_of(&store, &["GOOD", "EMPTY", &free, "LATER"]).await;
            let created = created.unwrap();
            assert_eq!(created.code, free);
            assert_eq!((created.used_count, created.is_active), (0, true));
            assert_eq!(create_one_of(&store, &["GOOD", "ODD"]).await, None);
        }
        let empty = "SELECT count(*) FROM invites WHERE id > 3 AND (created_by IS NOT 'eva' OR \
                     used_count IS NULL OR allow_sync IS NULL OR allow_camera_upload IS NULL OR \
                     allow_channels IS NULL OR plex_home IS NULL OR libraries IS NULL OR \
                     is_active IS NULL)";
        let empty: i64 = sqlx::query_scalar(empty)
            .fetch_one(store.reader())
            .await
            .unwrap();
        assert_eq!(empty, 0, "3.3.0 must be able to read them");
    }

    #[tokio::test]
    async fn a_change_is_about_what_it_names_and_nothing_else() {
        let (_directory, store) = old().await;
        let everything = "SELECT group_concat(quote(code) || quote(created_at) || \
             quote(created_by) || quote(expires_at) || quote(usage_limit) || quote(used_count) || \
             quote(allow_sync) || quote(allow_camera_upload) || quote(allow_channels) || \
             quote(plex_home) || quote(libraries) || quote(is_active)) FROM invites";
        let state = async || -> String {
            sqlx::query_scalar(everything)
                .fetch_one(store.reader())
                .await
                .unwrap()
        };
        let before = state().await;
        for id in [1, 2, 3] {
            assert!(changed(&store, id, nothing()).await.is_some());
        }
        assert_eq!(state().await, before, "odd values stay what they are");

        let ends = InviteChange {
            usage_limit: Said::This(Some(9)),
            expires_at: Said::This(None),
            is_active: Some(false),
            libraries: Some("3".to_owned()),
            ..nothing()
        };
        let invite = changed(&store, 1, ends).await.unwrap();
        assert_eq!((invite.usage_limit, invite.expires_at), (Some(9), None));
        assert_eq!((invite.is_active, invite.libraries.as_str()), (false, "3"));
        assert_eq!((invite.used_count, invite.allow_sync), (2, true));
        let limit = InviteChange {
            usage_limit: Said::This(None),
            expires_at: Said::This(Some(Stamp::EPOCH)),
            allow_sync: Some(false),
            ..nothing()
        };
        let invite = changed(&store, 1, limit).await.unwrap();
        assert_eq!(
            (invite.usage_limit, invite.expires_at),
            (None, Some(Stamp::EPOCH))
        );
        assert_eq!((invite.is_active, invite.allow_sync), (false, false));
        assert_eq!(changed(&store, 99, nothing()).await, None);
    }

    #[tokio::test]
    async fn an_invite_that_somebody_holds_on_to_stays() {
        let (_directory, store) = old().await;
        execute(
            &store,
            "INSERT INTO plex_users (email, invite_id, created_at, is_active) \
             VALUES ('a@example.org', 1, '', 1), ('b@example.org', 1, '', 0), \
                    ('c@example.org', 99, '', 1)",
        )
        .await;
        assert_eq!(deleted(&store, 1).await, Deletion::Held(2));
        execute(
            &store,
            "INSERT INTO redemptions (id, invite_id, email, machine, plex_home, started_at) \
             VALUES (1, 2, 'd@example.org', 'm', 0, '')",
        )
        .await;
        assert_eq!(deleted(&store, 2).await, Deletion::Held(1));
        execute(&store, "DELETE FROM redemptions").await;
        assert_eq!(deleted(&store, 2).await, Deletion::Done);
        assert_eq!(deleted(&store, 2).await, Deletion::Missing);
        assert_eq!(
            deleted(&store, 99).await,
            Deletion::Missing,
            "its friend is an orphan"
        );
        execute(&store, "DELETE FROM plex_users WHERE invite_id = 1").await;
        assert_eq!(deleted(&store, 1).await, Deletion::Done);
        let left = rows::invites(store.reader()).await.unwrap();
        assert_eq!(left.len(), 1);
    }

    #[tokio::test]
    async fn odd_rows_are_read_with_the_defaults_of_their_columns() {
        let (_directory, store) = old().await;
        let rows = rows::invites(store.reader()).await.unwrap();
        assert_eq!(rows.len(), 3);
        // What can't be read lets nobody in.
        assert_eq!((rows[1].expires_at, rows[1].usage_limit), (None, None));
        assert!(rows[2].is_expired(Stamp::now()) && rows[2].is_exhausted());
        for (invite, libraries) in [(&rows[1], "all"), (&rows[2], "7")] {
            assert_eq!(invite.created_at, Stamp::EPOCH);
            assert_eq!((invite.used_count, invite.allow_sync), (0, false));
            assert_eq!(
                (invite.is_active, invite.libraries.as_str()),
                (true, libraries)
            );
        }
    }

    #[tokio::test]
    async fn an_invite_or_friend_of_whom_it_is_unreadable_is_not_active() {
        let (_directory, store) = old().await;
        execute(
            &store,
            "UPDATE invites SET is_active = 'perhaps' WHERE id = 3; \
             INSERT INTO plex_users (email, invite_id, created_at, expires_at, is_active) \
             VALUES ('a@b.c', 1, '', 'never', 'perhaps'), ('b@b.c', 1, '', NULL, NULL);",
        )
        .await;
        let invites = rows::invites(store.reader()).await.unwrap();
        let active: Vec<bool> = invites.iter().map(|one| one.is_active).collect();
        assert_eq!(active, [true, true, false]);
        let users = rows::users(store.reader()).await.unwrap();
        let active: Vec<_> = users
            .iter()
            .map(|one| (one.is_active, one.expires_at))
            .collect();
        assert_eq!(active, [(false, None), (true, None)]);
    }
}
