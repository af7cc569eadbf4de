//! The database: one SQLite file, read through a pool and written by one writer.

mod cells;
mod copy;
mod error;
mod inspect;
mod legacy;
mod open;
mod place;
#[cfg(test)]
mod tests;
mod writer;

use std::path::{Path, PathBuf};
use std::time::Duration;

use futures_util::future::BoxFuture;
use sqlx::migrate::Migrator;
use sqlx::sqlite::SqlitePoolOptions;
use sqlx::{SqliteConnection, SqlitePool};
use tokio::time::timeout;

pub use cells::Cells;
pub use copy::{Copied, CopyError};
pub use error::StoreError;
pub use inspect::{Condition, OpenError};
pub use legacy::OldPlexConfig;
use writer::Writer;

/// The file's name in the data directory.
pub const FILE_NAME: &str = "komandorr.db";

static MIGRATIONS: Migrator = sqlx::migrate!();

/// Reads at the same time.
const READERS: u32 = 4;
/// How long a read waits for its turn.
const READER_PATIENCE: Duration = Duration::from_secs(5);
/// How long a stop waits for reads …
const READS_GRACE: Duration = Duration::from_secs(1);
/// … and for queued writes. Nobody has been told yet that those are done.
const WRITES_GRACE: Duration = Duration::from_secs(2);

/// The open database.
#[derive(Debug)]
pub struct Store {
    readers: SqlitePool,
    /// `None` when nothing can be written.
    writer: Option<Writer>,
    installation: String,
}

impl Store {
    /// Opens the database in `data_dir`: creates it, or adopts that of 3.3.0 or an older version
    /// after copying it.
    ///
    /// # Errors
    /// It is no database, damaged, of a newer version, or can't be created or brought to the
    /// current schema. Unless the last is the case nothing was written.
    pub async fn open(data_dir: &Path) -> Result<Self, OpenError> {
        let path = file_in(data_dir);
        let opened = open::open(data_dir, &path).await?;
        let readers = SqlitePoolOptions::new()
            .max_connections(READERS)
            .acquire_timeout(READER_PATIENCE)
            .connect_with(opened.reading)
            .await
            .map_err(|error| OpenError::new(&path, inspect::describe(&error)))?;
        let writer = opened
            .writing
            .map(|(options, connection)| Writer::start(options, connection));
        let mut store = Self {
            readers,
            writer,
            installation: String::new(),
        };
        store.installation = store
            .identify()
            .await
            .map_err(|error| OpenError::new(&path, error.to_string()))?;
        Ok(store)
    }

    /// For queries that only read. They never wait for a write (but do in a directory where WAL
    /// can't be used).
    pub const fn reader(&self) -> &SqlitePool {
        &self.readers
    }

    /// Runs `job` in a transaction and returns when it is on disk. A job that fails or panics
    /// leaves nothing behind. It must do nothing but talk to the database: other writes wait for
    /// it, and share its transaction. If the caller goes away, the job may still be done.
    ///
    /// # Errors
    /// The job's, or the write was not possible within 5 s.
    pub async fn write<T, F>(&self, job: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: for<'c> FnOnce(&'c mut SqliteConnection) -> BoxFuture<'c, Result<T, sqlx::Error>>
            + Send
            + 'static,
    {
        match &self.writer {
            Some(writer) => writer.write(job, false).await,
            None => Err(StoreError::ReadOnly),
        }
    }

    /// As [`Self::write`], for who has to know what became of it: a job that has begun within 5 s is
    /// waited for as long as it takes, so [`StoreError::Busy`] means that it is never done.
    ///
    /// # Errors
    /// As [`Self::write`].
    pub async fn write_for_certain<T, F>(&self, job: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: for<'c> FnOnce(&'c mut SqliteConnection) -> BoxFuture<'c, Result<T, sqlx::Error>>
            + Send
            + 'static,
    {
        match &self.writer {
            Some(writer) => writer.write(job, true).await,
            None => Err(StoreError::ReadOnly),
        }
    }

    /// False when the file or its directory can't be written: every write fails then.
    pub const fn is_writable(&self) -> bool {
        self.writer.is_some()
    }

    /// Something remembered between runs.
    ///
    /// # Errors
    /// The database can't be read.
    pub async fn state(&self, name: &str) -> Result<Option<String>, StoreError> {
        if self.writer.is_none() && !self.has_state().await? {
            return Ok(None);
        }
        Ok(
            sqlx::query_scalar("SELECT value FROM komandorr_state WHERE name = ?")
                .bind(name.to_owned())
                .fetch_optional(&self.readers)
                .await?,
        )
    }

    /// A database of 3.3.0 that can't be written has no place for what this program remembers.
    async fn has_state(&self) -> Result<bool, StoreError> {
        let query = "SELECT count(*) > 0 FROM sqlite_schema WHERE name = 'komandorr_state'";
        Ok(sqlx::query_scalar(query).fetch_one(&self.readers).await?)
    }

    /// 64 hexadecimal digits that this installation, and no other, has; the same after a restart
    /// (where the database can be written).
    pub fn installation(&self) -> &str {
        &self.installation
    }

    async fn identify(&self) -> Result<String, StoreError> {
        const NAME: &str = "installation";
        if let Some(known) = self.state(NAME).await?.filter(|known| known.len() == 64) {
            return Ok(known);
        }
        let bytes: [u8; 32] = rand::random();
        let fresh = format!("{:032x}{:032x}", high(&bytes), high(&bytes[16..]));
        if self.writer.is_some() {
            let stored = fresh.clone();
            self.write(|c| Box::pin(async move { set_state(c, NAME, &stored).await }))
                .await?;
        }
        Ok(fresh)
    }

    /// The Plex server that a version before `config.json` stored in `plex_stats`.
    ///
    /// # Errors
    /// The database can't be read.
    pub async fn old_plex_config(&self) -> Result<Option<OldPlexConfig>, StoreError> {
        let mut connection = self.readers.acquire().await?;
        Ok(legacy::plex_config(&mut connection).await?)
    }

    /// Does the writes that are queued and ends all connections; what is not in the main file yet
    /// goes there. Nothing can be read or written afterwards.
    pub async fn close(&self) {
        let readers = timeout(READS_GRACE, self.readers.close()).await;
        let writer = async {
            if let Some(writer) = &self.writer {
                writer.close().await;
            }
        };
        let writer = timeout(WRITES_GRACE, writer).await;
        if readers.is_err() || writer.is_err() {
            tracing::warn!("The database was still in use when the program ended");
        }
    }
}

/// The database's path. Of a link, what it leads to: SQLite keeps its other files there.
fn file_in(data_dir: &Path) -> PathBuf {
    let path = data_dir.join(FILE_NAME);
    if path.is_symlink() {
        return path.canonicalize().unwrap_or(path);
    }
    path
}

/// The first 16 bytes as a number.
fn high(bytes: &[u8]) -> u128 {
    bytes
        .iter()
        .take(16)
        .fold(0, |number, byte| number << 8 | u128::from(*byte))
}

/// Looks at the database in `data_dir` without writing anything.
///
/// # Errors
/// A server would not start with it.
pub async fn condition(data_dir: &Path) -> Result<Condition, OpenError> {
    inspect::inspect(&file_in(data_dir), false).await
}

/// Copies the database in `data_dir` to `target`, a file that must not exist, while a server may
/// use it. The copy is verified.
///
/// # Errors
/// There is no database, no space, or a file of that name.
pub async fn back_up(data_dir: &Path, target: &Path) -> Result<Copied, CopyError> {
    copy::copy(&file_in(data_dir), target, 0).await
}

/// Something remembered between runs, as a [`Store::write`] job sees it.
///
/// # Errors
/// The database can't be read.
pub async fn state_in(
    connection: &mut SqliteConnection,
    name: &str,
) -> Result<Option<String>, sqlx::Error> {
    sqlx::query_scalar("SELECT value FROM komandorr_state WHERE name = ?")
        .bind(name.to_owned())
        .fetch_optional(connection)
        .await
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
