//! Opening: what a file needs before it can be used, in the order in which nothing can be lost.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use sqlx::sqlite::{SqliteConnectOptions, SqliteSynchronous};
use sqlx::{Connection as _, SqliteConnection};

use super::copy::{CopyError, UNFINISHED, copy};
use super::error::{is, primary};
use super::inspect::{Condition, OpenError, describe, inspect, options, reading};
use super::{MIGRATIONS, legacy, place};

/// The file of 3.3.0 as it was before this program touched it, beside the database.
const BEFORE_RUST: &str = "komandorr.db.before-rust";
/// What WAL's log is cut back to after a large transaction, in bytes.
const LOG_LIMIT: &str = "67108864";
/// What the copy of an original leaves free for the server itself, in bytes.
const SPARE: u64 = 64 << 20;
/// SQLite needs a little space even for reading in WAL mode. With less than this, whatever fails
/// fails for want of space.
const LEAST_SPACE: u64 = 1 << 20;

/// A database that is ready.
pub(super) struct Opened {
    /// How readers connect.
    pub(super) reading: SqliteConnectOptions,
    /// How the writer connects, and its connection; `None` when nothing can be written.
    pub(super) writing: Option<(SqliteConnectOptions, SqliteConnection)>,
}

/// Opens, adopts or creates the database at `path`. Nothing is written before it is known to be
/// usable, and nothing into a file of another version before that is copied.
pub(super) async fn open(data_dir: &Path, path: &Path) -> Result<Opened, OpenError> {
    warn_of_others(path).await;
    let directory = path.parent().unwrap_or(data_dir);
    let writable = place::is_writable(directory, path);
    let condition = inspect(path, writable).await?;
    if !writable {
        return read_only(path, condition, "the directory is not writable").await;
    }
    match condition {
        Condition::Missing => {
            create(path).map_err(|error| OpenError::new(path, error.to_string()))?;
        }
        Condition::Foreign => keep_original(data_dir, path).await?,
        Condition::Empty | Condition::Interrupted | Condition::Ours => {}
    }
    let writing = options(path)
        .synchronous(SqliteSynchronous::Full)
        .pragma("journal_size_limit", LOG_LIMIT);
    let writer = match prepare(&writing, directory).await {
        Ok(writer) => writer,
        Err(error) if is_full(directory, &error) => {
            return read_only(path, condition, "no space is left").await;
        }
        Err(error) => return Err(OpenError::new(path, describe(&error))),
    };
    if condition == Condition::Foreign {
        tracing::info!("Database migration completed successfully");
    }
    tracing::info!("Database initialized at {}", path.display());
    Ok(Opened {
        reading: options(path).read_only(true),
        writing: Some((writing, writer)),
    })
}

/// The writer's connection to a file that has all that this version needs.
async fn prepare(
    writing: &SqliteConnectOptions,
    directory: &Path,
) -> Result<SqliteConnection, sqlx::Error> {
    let mut writer = SqliteConnection::connect_with(writing).await?;
    choose_journal(&mut writer, place::is_network(directory)).await?;
    bring_up_to_date(&mut writer).await?;
    Ok(writer)
}

fn is_full(directory: &Path, error: &sqlx::Error) -> bool {
    is(error, primary::FULL) || place::free_space(directory).is_some_and(|free| free < LEAST_SPACE)
}

async fn warn_of_others(path: &Path) {
    let asked = path.to_owned();
    let users = tokio::task::spawn_blocking(move || place::other_users(&asked)).await;
    for user in users.unwrap_or_default() {
        tracing::warn!(
            "Another process has the database open ({user}): stop it, two programs must not share it"
        );
    }
}

/// What is there can be read until a restart finds that it can be written.
async fn read_only(path: &Path, condition: Condition, why: &str) -> Result<Opened, OpenError> {
    match condition {
        Condition::Missing | Condition::Empty => {
            return Err(OpenError::new(path, format!("can't be created: {why}")));
        }
        Condition::Interrupted => {
            let needed = "an interrupted write has to be undone first";
            return Err(OpenError::new(path, format!("{needed}, but {why}")));
        }
        Condition::Foreign | Condition::Ours => {}
    }
    tracing::warn!(
        "{} or its directory can't be written ({why}): nothing will be stored until a restart",
        path.display()
    );
    Ok(Opened {
        reading: reading(path).await,
        writing: None,
    })
}

/// With the mode that a file with mail addresses should have; SQLite would make it readable to
/// all.
fn create(path: &Path) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(0o600);
    options.open(path).map(drop)
}

/// Copies a database of 3.3.0 or older. Only the first copy is an original, so a later start
/// leaves it alone.
async fn keep_original(data_dir: &Path, path: &Path) -> Result<(), OpenError> {
    remove_unfinished(data_dir);
    let target = data_dir.join(BEFORE_RUST);
    tracing::info!("Adopting {} of Komandorr 3.3.0 or older", path.display());
    match copy(path, &target, SPARE).await {
        Ok(copied) => tracing::info!(
            "A copy was made as {}: {} rows, {} bytes",
            target.display(),
            copied.rows,
            copied.bytes
        ),
        Err(CopyError::Exists) => tracing::info!("{} exists already and is kept", target.display()),
        Err(error) if is_about_space(&error) => tracing::warn!(
            "No copy of the original database was made as {}: {error}",
            target.display()
        ),
        Err(error) => {
            let why = format!("can't be copied to {BEFORE_RUST}: {error}");
            return Err(OpenError::new(path, why));
        }
    }
    Ok(())
}

fn is_about_space(error: &CopyError) -> bool {
    match error {
        CopyError::NoSpace { .. } => true,
        CopyError::Io(error) => error.kind() == io::ErrorKind::StorageFull,
        CopyError::Database(error) => is(error, primary::FULL),
        _ => false,
    }
}

/// What a start that was killed has left of its copy.
fn remove_unfinished(data_dir: &Path) {
    let files = fs::read_dir(data_dir).into_iter().flatten().flatten();
    let unfinished: Vec<PathBuf> = files
        .filter(|file| file.file_name().to_string_lossy().starts_with(UNFINISHED))
        .map(|file| file.path())
        .collect();
    for path in unfinished {
        let _ = fs::remove_file(path);
    }
}

/// WAL, so that reads and writes do not wait for each other, where its shared memory works.
async fn choose_journal(writer: &mut SqliteConnection, network: bool) -> Result<(), sqlx::Error> {
    if network {
        tracing::info!("The data directory is on a network or FUSE file system: no WAL");
    } else {
        let mode: Result<String, _> = sqlx::query_scalar("PRAGMA journal_mode = WAL")
            .fetch_one(&mut *writer)
            .await;
        match mode {
            Ok(mode) if mode == "wal" => return Ok(()),
            Ok(mode) => tracing::warn!("The database can't use WAL, but {mode}"),
            Err(error) => tracing::warn!("The database can't use WAL: {}", describe(&error)),
        }
    }
    sqlx::query("PRAGMA journal_mode = DELETE")
        .execute(writer)
        .await?;
    Ok(())
}

async fn bring_up_to_date(writer: &mut SqliteConnection) -> Result<(), sqlx::Error> {
    legacy::add_missing_columns(writer).await?;
    MIGRATIONS
        .run(&mut *writer)
        .await
        .map_err(|error| sqlx::Error::Migrate(Box::new(error)))?;
    legacy::add_unique_indexes(writer).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_database_that_comes_to_a_network_file_system_leaves_wal() {
        let directory = tempfile::tempdir().unwrap();
        let options = options(&directory.path().join("d.db")).create_if_missing(true);
        let mut connection = SqliteConnection::connect_with(&options).await.unwrap();
        for (network, expected) in [(false, "wal"), (true, "delete")] {
            choose_journal(&mut connection, network).await.unwrap();
            let mode: String = sqlx::query_scalar("PRAGMA journal_mode")
                .fetch_one(&mut connection)
                .await
                .unwrap();
            assert_eq!(mode, expected);
        }
    }

    #[tokio::test]
    async fn what_a_killed_start_left_of_its_copy_is_removed() {
        let directory = tempfile::tempdir().unwrap();
        let names = [".komandorr-copy-abc", "komandorr.db", ".komandorr-demo"];
        for name in names {
            fs::write(directory.path().join(name), "").unwrap();
        }
        remove_unfinished(directory.path());
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 2);
    }
}
