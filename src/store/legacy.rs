//! What databases of 3.3.0 and older versions lack, and what they hold that has moved elsewhere.

use std::collections::BTreeSet;

use sqlx::{AssertSqlSafe, Connection as _, SqliteConnection};

use super::error::{is, primary};

/// The schema that older ones are brought to.
const SCHEMA: &str = include_str!("../../migrations/0001_schema_of_3_3_0.sql");

/// Not part of a migration: the data of an old file may break them, which must not stop the start.
const UNIQUE_INDEXES: [(&str, &str); 2] = [
    (
        "ix_invites_code",
        "CREATE UNIQUE INDEX IF NOT EXISTS ix_invites_code ON invites (code)",
    ),
    (
        "ix_plex_users_email",
        "CREATE UNIQUE INDEX IF NOT EXISTS ix_plex_users_email ON plex_users (email)",
    ),
];

/// A column of a table.
#[derive(sqlx::FromRow)]
struct Column {
    table_name: String,
    name: String,
    kind: String,
    default_value: Option<String>,
}

impl Column {
    async fn all(connection: &mut SqliteConnection) -> Result<Vec<Self>, sqlx::Error> {
        sqlx::query_as(
            "SELECT m.name AS table_name, c.name AS name, c.type AS kind, \
                 c.dflt_value AS default_value \
             FROM sqlite_schema m JOIN pragma_table_info(m.name) c \
             WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite\\_%' ESCAPE '\\'",
        )
        .fetch_all(connection)
        .await
    }

    /// SQLite ignores the case of names.
    fn key(&self) -> (String, String) {
        (self.table_name.to_lowercase(), self.name.to_lowercase())
    }

    /// The column may be NULL whatever a new table demands: there are rows already. Types are
    /// named as 3.3.0 names them when it adds a column (contract 06, section 3).
    fn addition(&self) -> String {
        let kind = match self.kind.as_str() {
            "VARCHAR" => "TEXT",
            "FLOAT" => "REAL",
            other => other,
        };
        let default = self.default_value.as_deref();
        let default = default.map(|value| format!(" DEFAULT {value}"));
        format!(
            "ALTER TABLE \"{}\" ADD COLUMN \"{}\" {kind}{}",
            self.table_name,
            self.name,
            default.unwrap_or_default()
        )
    }
}

/// Adds the columns that 3.3.0 has and existing tables lack. Touches nothing else.
pub(super) async fn add_missing_columns(
    connection: &mut SqliteConnection,
) -> Result<(), sqlx::Error> {
    let there = Column::all(connection).await?;
    let tables: BTreeSet<String> = there
        .iter()
        .map(|one| one.table_name.to_lowercase())
        .collect();
    let there: BTreeSet<_> = there.iter().map(Column::key).collect();
    let expected = expected_columns().await?;
    let missing: Vec<&Column> = expected
        .iter()
        .filter(|column| tables.contains(&column.key().0) && !there.contains(&column.key()))
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
    for column in missing {
        let Column {
            name, table_name, ..
        } = column;
        tracing::info!("Adding {name} column to {table_name} table");
        sqlx::query(AssertSqlSafe(column.addition()))
            .execute(&mut *transaction)
            .await?;
    }
    transaction.commit().await
}

async fn expected_columns() -> Result<Vec<Column>, sqlx::Error> {
    let mut memory = SqliteConnection::connect("sqlite::memory:").await?;
    sqlx::raw_sql(SCHEMA).execute(&mut memory).await?;
    let columns = Column::all(&mut memory).await?;
    memory.close().await?;
    Ok(columns)
}

/// Creates 3.3.0's unique indexes where the data allows it.
pub(super) async fn add_unique_indexes(
    connection: &mut SqliteConnection,
) -> Result<(), sqlx::Error> {
    for (name, statement) in UNIQUE_INDEXES {
        match sqlx::query(statement).execute(&mut *connection).await {
            Err(error) if is(&error, primary::CONSTRAINT) => {
                tracing::warn!("Index {name} can't be created: there are duplicates in the data");
            }
            other => {
                other?;
            }
        }
    }
    Ok(())
}

/// The Plex server as versions before `config.json` stored it in `plex_stats`.
pub struct OldPlexConfig {
    /// Its address.
    pub url: String,
    /// Its token. No `Debug` here: it must not get into a log.
    pub token: String,
    /// Its name, if that was stored.
    pub name: Option<String>,
}

/// Reads the old columns of `plex_stats`, where there are any and both hold something.
pub(super) async fn plex_config(
    connection: &mut SqliteConnection,
) -> Result<Option<OldPlexConfig>, sqlx::Error> {
    let columns: Vec<String> =
        sqlx::query_scalar("SELECT name FROM pragma_table_info('plex_stats')")
            .fetch_all(&mut *connection)
            .await?;
    let has = |name: &str| columns.iter().any(|column| column == name);
    if !(has("server_url") && has("server_token")) {
        return Ok(None);
    }
    let query = if has("server_name") {
        "SELECT CAST(server_url AS TEXT), CAST(server_token AS TEXT), CAST(server_name AS TEXT) \
         FROM plex_stats ORDER BY id LIMIT 1"
    } else {
        "SELECT CAST(server_url AS TEXT), CAST(server_token AS TEXT), NULL \
         FROM plex_stats ORDER BY id LIMIT 1"
    };
    let row: Option<(Option<String>, Option<String>, Option<String>)> =
        sqlx::query_as(query).fetch_optional(connection).await?;
    let filled = |text: Option<String>| text.filter(|text| !text.trim().is_empty());
    Ok(row.and_then(|(url, token, name)| {
        Some(OldPlexConfig {
            url: filled(url)?,
            token: filled(token)?,
            name: filled(name),
        })
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn memory(statements: &'static str) -> SqliteConnection {
        let mut connection = SqliteConnection::connect("sqlite::memory:").await.unwrap();
        sqlx::raw_sql(statements)
            .execute(&mut connection)
            .await
            .unwrap();
        connection
    }

    #[tokio::test]
    async fn any_missing_column_is_added_as_nullable_and_others_stay() {
        let mut old = memory(
            "CREATE TABLE Services (ID VARCHAR NOT NULL PRIMARY KEY, extra BLOB); \
             INSERT INTO services VALUES ('a', x'00'); \
             CREATE TABLE plex_stats (id INTEGER NOT NULL PRIMARY KEY, server_url VARCHAR); \
             INSERT INTO plex_stats VALUES (1, 'http://plex')",
        )
        .await;
        add_missing_columns(&mut old).await.unwrap();
        add_missing_columns(&mut old).await.unwrap();
        let added: Vec<(String, String)> = sqlx::query_as(
            "SELECT name, type FROM pragma_table_info('services') WHERE name IN \
             ('name', 'group', 'max_bandwidth', 'storage_last_updated', 'extra') ORDER BY name",
        )
        .fetch_all(&mut old)
        .await
        .unwrap();
        let named = |(name, kind): &(String, String)| format!("{name} {kind}");
        assert_eq!(
            added.iter().map(named).collect::<Vec<_>>(),
            [
                "extra BLOB",
                "group TEXT",
                "max_bandwidth REAL",
                "name TEXT",
                "storage_last_updated DATETIME"
            ]
        );
        let row: (i64, i64, String) = sqlx::query_as(
            "SELECT peak_concurrent IS NULL, total_users, server_url FROM plex_stats",
        )
        .fetch_one(&mut old)
        .await
        .unwrap();
        assert_eq!(row, (1, 0, "http://plex".to_owned()));
        let tables: i64 =
            sqlx::query_scalar("SELECT count(*) FROM sqlite_schema WHERE name = 'invites'")
                .fetch_one(&mut old)
                .await
                .unwrap();
        assert_eq!(tables, 0, "tables are the migrations' business");
    }

    #[tokio::test]
    async fn the_old_plex_configuration_counts_only_when_whole() {
        let mut old = memory(
            "CREATE TABLE plex_stats (id INTEGER NOT NULL PRIMARY KEY, server_url VARCHAR, \
             server_token VARCHAR); INSERT INTO plex_stats VALUES (1, 'http://plex', NULL)",
        )
        .await;
        assert!(plex_config(&mut old).await.unwrap().is_none());
        sqlx::query("UPDATE plex_stats SET server_token = 't'")
            .execute(&mut old)
            .await
            .unwrap();
        let found = plex_config(&mut old).await.unwrap().unwrap();
        assert_eq!(
            (found.url.as_str(), found.token.as_str()),
            ("http://plex", "t")
        );
        assert_eq!(found.name, None);
    }
}
