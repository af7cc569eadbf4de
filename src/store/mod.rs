//! The database: one SQLite file, read through a pool and written by one writer.

use std::path::Path;
use std::time::Duration;

use futures_util::future::BoxFuture;
use sqlx::migrate::Migrator;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{Connection as _, SqliteConnection, SqlitePool};
use tokio::sync::Mutex;

/// The file's name in the data directory.
pub const FILE_NAME: &str = "komandorr.db";

static MIGRATIONS: Migrator = sqlx::migrate!();

/// The open database.
#[derive(Debug)]
pub struct Store {
    readers: SqlitePool,
    writer: Mutex<SqliteConnection>,
    installation: String,
}

/// Why the database did not do what it should. Its text is for people and holds no data.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Too many writes wait, or this one did for too long.
    #[error("The database is busy; try again")]
    Busy,
    /// The file, its directory or its file system can't be written.
    #[error("The database is read-only")]
    ReadOnly,
    /// No space is left.
    #[error("The disk is full")]
    DiskFull,
    /// Anything else.
    #[error("Database error: {0}")]
    Other(#[from] sqlx::Error),
}

impl Store {
    /// Opens or creates the database in `data_dir`.
    ///
    /// # Errors
    /// It can't be opened or brought to the current schema.
    pub async fn open(data_dir: &Path) -> Result<Self, StoreError> {
        let options = SqliteConnectOptions::new()
            .filename(data_dir.join(FILE_NAME))
            .create_if_missing(true)
            .foreign_keys(false)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(Duration::from_secs(5));
        let mut writer = SqliteConnection::connect_with(&options).await?;
        MIGRATIONS
            .run(&mut writer)
            .await
            .map_err(|error| sqlx::Error::Migrate(Box::new(error)))?;
        let readers = SqlitePoolOptions::new()
            .max_connections(4)
            .connect_with(options.read_only(true))
            .await?;
        Ok(Self {
            readers,
            writer: Mutex::new(writer),
            installation: "draft".to_owned(),
        })
    }

    /// The secret identifier of this installation.
    pub fn installation(&self) -> &str {
        &self.installation
    }

    /// For queries that only read. They never wait for a write.
    pub const fn reader(&self) -> &SqlitePool {
        &self.readers
    }

    /// Runs `job` in a transaction and returns when it is on disk. A job that fails leaves nothing
    /// behind. It must do nothing but talk to the database: other writes wait for it.
    ///
    /// # Errors
    /// The job's, or the write was not possible (in time).
    pub async fn write<T, F>(&self, job: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: for<'c> FnOnce(&'c mut SqliteConnection) -> BoxFuture<'c, Result<T, sqlx::Error>>
            + Send
            + 'static,
    {
        let mut writer = self.writer.lock().await;
        let mut transaction = writer.begin_with("BEGIN IMMEDIATE").await?;
        let value = job(&mut transaction).await?;
        transaction.commit().await?;
        Ok(value)
    }

    /// Something remembered between runs.
    ///
    /// # Errors
    /// The database can't be read.
    pub async fn state(&self, name: &str) -> Result<Option<String>, StoreError> {
        Ok(
            sqlx::query_scalar("SELECT value FROM komandorr_state WHERE name = ?")
                .bind(name.to_owned())
                .fetch_optional(&self.readers)
                .await?,
        )
    }

    /// Ends all connections; what is not in the main file yet goes there.
    pub async fn close(&self) {
        self.readers.close().await;
        let mut writer = self.writer.lock().await;
        if let Err(error) = sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)")
            .execute(&mut *writer)
            .await
        {
            tracing::warn!("The database was not closed properly: {error}");
        }
    }
}

/// Remembers something between runs; part of a [`Store::write`] job.
///
/// # Errors
/// The database can't be written.
pub async fn set_state(
    connection: &mut SqliteConnection,
    name: &str,
    value: &str,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO komandorr_state (name, value) VALUES (?, ?) \
         ON CONFLICT (name) DO UPDATE SET value = excluded.value",
    )
    .bind(name.to_owned())
    .bind(value.to_owned())
    .execute(connection)
    .await?;
    Ok(())
}
