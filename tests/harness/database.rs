//! Looks into a server's database, also while it runs.

use std::path::Path;

use sqlx::sqlite::{SqliteConnectOptions, SqliteRow};
use sqlx::{AssertSqlSafe, Connection as _, Row as _, SqliteConnection};

/// The database below a server's working directory.
pub(crate) async fn open(directory: &Path, read_only: bool) -> SqliteConnection {
    let options = SqliteConnectOptions::new()
        .filename(directory.join("data/komandorr.db"))
        .foreign_keys(false)
        .read_only(read_only);
    SqliteConnection::connect_with(&options).await.unwrap()
}

/// Runs statements.
pub(crate) async fn execute(directory: &Path, sql: &str) {
    let mut database = open(directory, false).await;
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))
        .execute(&mut database)
        .await
        .unwrap();
    database.close().await.unwrap();
}

/// The rows of a query.
pub(crate) async fn rows(directory: &Path, sql: &str) -> Vec<SqliteRow> {
    let mut database = open(directory, true).await;
    let rows = sqlx::query(AssertSqlSafe(sql.to_owned()))
        .fetch_all(&mut database)
        .await
        .unwrap();
    database.close().await.unwrap();
    rows
}

/// The first column of each row, as text; NULL is `-`.
pub(crate) async fn texts(directory: &Path, sql: &str) -> Vec<String> {
    let rows = rows(directory, sql).await;
    let text = |row: &SqliteRow| row.get_unchecked::<Option<String>, _>(0);
    rows.iter()
        .map(|row| text(row).unwrap_or_else(|| "-".to_owned()))
        .collect()
}

/// What `PRAGMA integrity_check` says.
pub(crate) async fn integrity(directory: &Path) -> String {
    texts(directory, "PRAGMA integrity_check").await.join("\n")
}
