//! The invites of the demonstration: one in use, one without end, one whose time is over, one that is
//! used up.

use sqlx::SqliteConnection;

use super::people::PEOPLE;

/// Code, use limit, uses, days until the end, libraries.
type Invite = (&'static str, Option<i64>, i64, Option<i64>, &'static str);

const INVITES: [Invite; 4] = [
    ("CREW2026", Some(5), 2, Some(30), "all"),
    ("CARTOONS", None, 0, None, "4"),
    ("LAST-SUMMER", Some(3), 0, Some(-90), "1,3"),
    ("FULLHOUSE", Some(1), 1, None, "all"),
];
/// Name, mail address, the number of the invite, days until the end.
const FRIENDS: [(&str, &str, i64, Option<i64>); 3] = [
    ("captain_brine", "captainbrine@example.org", 1, Some(14)),
    ("märta.k", "mrtak@example.org", 1, None),
    ("nkechi@example.org", "nkechi@example.org", 4, None),
];

/// Puts them into the database, unless there are invites already. Pictures of friends are at `plex`.
///
/// # Errors
/// The database can't be written.
pub(super) async fn furnish(
    connection: &mut SqliteConnection,
    plex: &str,
) -> Result<(), sqlx::Error> {
    let count = sqlx::query_scalar::<_, i64>("SELECT count(*) FROM invites");
    if count.fetch_one(&mut *connection).await? > 0 {
        return Ok(());
    }
    for (number, (code, limit, used, days, libraries)) in (1_i64..).zip(INVITES) {
        sqlx::query(
            "INSERT INTO invites (id, code, created_at, created_by, expires_at, usage_limit, \
             used_count, allow_sync, allow_camera_upload, allow_channels, plex_home, libraries, \
             is_active) VALUES (?1, ?2, strftime('%Y-%m-%d %H:%M:%f000', 'now', \
             (?1 - 200) || ' days'), 'admin', strftime('%Y-%m-%d %H:%M:%f000', 'now', \
             ?3 || ' days'), ?4, ?5, 1, 0, 0, 0, ?6, 1)",
        )
        .bind(number)
        .bind(code)
        .bind(days)
        .bind(limit)
        .bind(used)
        .bind(libraries)
        .execute(&mut *connection)
        .await?;
    }
    for (name, email, invite, days) in FRIENDS {
        let person = PEOPLE.iter().find(|person| person.name == name);
        sqlx::query(
            "INSERT INTO plex_users (email, username, plex_id, thumb, invite_id, created_at, \
             expires_at, is_active) VALUES (?1, ?2, ?3, ?4, ?5, \
             strftime('%Y-%m-%d %H:%M:%f000', 'now', '-20 days'), \
             strftime('%Y-%m-%d %H:%M:%f000', 'now', ?6 || ' days'), 1)",
        )
        .bind(email)
        .bind(name)
        .bind(person.map(|person| person.id.to_string()))
        .bind(person.map(|person| format!("{plex}{}", person.thumb())))
        .bind(invite)
        .bind(days)
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}
