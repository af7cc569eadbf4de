//! A look at a database file that changes nothing.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _, SqliteConnection};

use super::MIGRATIONS;
use super::error::{code, is, primary};

/// How long SQLite waits for another program's lock.
pub(super) const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// Up to this size a file is checked at every start, which takes a moment; a larger one only
/// before it is adopted.
const ALWAYS_CHECKED: u64 = 64 << 20;

/// Why a database can't be used.
#[derive(Debug, thiserror::Error)]
#[error("{}: {why}", path.display())]
pub struct OpenError {
    path: PathBuf,
    why: String,
}

impl OpenError {
    pub(super) fn new(path: &Path, why: impl Into<String>) -> Self {
        Self {
            path: path.to_owned(),
            why: why.into(),
        }
    }
}

/// What a file is to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// There is none.
    Missing,
    /// A file without tables.
    Empty,
    /// A write was interrupted, and what it left must be undone before the file can be read.
    Interrupted,
    /// Made by 3.3.0 or an older version, and not opened by this program yet.
    Foreign,
    /// Opened by this program before.
    Ours,
}

/// Looks at the file. An interrupted write of another program can only be undone by writing; if
/// `may_recover` that is done, and the condition found is never [`Condition::Interrupted`].
///
/// # Errors
/// It is no database, damaged, of a newer version, or can't be read.
pub(super) async fn inspect(path: &Path, may_recover: bool) -> Result<Condition, OpenError> {
    let failed = |error: sqlx::Error| OpenError::new(path, describe(&error));
    let size = match header(path).map_err(|error| OpenError::new(path, error.to_string()))? {
        Header::Missing => return Ok(Condition::Missing),
        Header::Empty => return Ok(Condition::Empty),
        Header::Foreign => return Err(OpenError::new(path, "is not an SQLite database")),
        Header::Database { size } => size,
    };
    let mut connection = match look(path, may_recover).await {
        Err(error) if code(&error) == Some(READONLY_ROLLBACK) => return Ok(Condition::Interrupted),
        looked => looked.map_err(failed)?,
    };
    let tables: Vec<String> =
        sqlx::query_scalar("SELECT name FROM sqlite_schema WHERE type = 'table'")
            .fetch_all(&mut connection)
            .await
            .map_err(failed)?;
    let ours = tables.iter().any(|name| name == "_sqlx_migrations");
    if ours {
        let newest: Option<i64> = sqlx::query_scalar("SELECT max(version) FROM _sqlx_migrations")
            .fetch_one(&mut connection)
            .await
            .map_err(failed)?;
        let known = MIGRATIONS.iter().map(|one| one.version).max();
        if newest > known {
            return Err(OpenError::new(
                path,
                "was made by a newer version of Komandorr",
            ));
        }
    }
    if !ours || size <= ALWAYS_CHECKED {
        check(&mut connection, path).await?;
    }
    connection.close().await.map_err(failed)?;
    Ok(if ours {
        Condition::Ours
    } else if tables.is_empty() {
        Condition::Empty
    } else {
        Condition::Foreign
    })
}

async fn check(connection: &mut SqliteConnection, path: &Path) -> Result<(), OpenError> {
    let found: Vec<String> = sqlx::query_scalar("PRAGMA quick_check")
        .fetch_all(connection)
        .await
        .map_err(|error| OpenError::new(path, describe(&error)))?;
    for line in found.iter().filter(|line| *line != "ok") {
        if !is_about_values(line) {
            return Err(OpenError::new(path, format!("is damaged: {line}")));
        }
        tracing::warn!("Odd data in the database: {line}");
    }
    Ok(())
}

/// Values that break a rule of their table are no damage: the file can be read and written.
pub(super) fn is_about_values(finding: &str) -> bool {
    let kinds = [
        "NULL value in ",
        "CHECK constraint failed in ",
        "NUMERIC value in ",
        "TEXT value in ",
        "non-unique entry in index ",
    ];
    kinds.iter().any(|kind| finding.starts_with(kind))
}

enum Header {
    Missing,
    Empty,
    Foreign,
    Database { size: u64 },
}

fn header(path: &Path) -> io::Result<Header> {
    const MAGIC: &[u8; 16] = b"SQLite format 3\0";
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Header::Missing),
        Err(error) => return Err(error),
    };
    let about = file.metadata()?;
    if !about.is_file() {
        return Err(io::Error::other("is not a file"));
    }
    let mut begin = Vec::new();
    file.take(MAGIC.len() as u64).read_to_end(&mut begin)?;
    Ok(match begin.as_slice() {
        [] => Header::Empty,
        begin if begin == MAGIC => Header::Database { size: about.len() },
        _ => Header::Foreign,
    })
}

/// What all connections have in common. Foreign keys stay off, as in 3.3.0: rows whose parent is
/// gone exist.
pub(super) fn options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(false)
        .foreign_keys(false)
        .busy_timeout(BUSY_TIMEOUT)
        // Statements go to no log: at DEBUG they would be most of it.
        .disable_statement_logging()
}

/// How to read a file that this process does not write.
pub(super) async fn reading(path: &Path) -> SqliteConnectOptions {
    let plain = options(path).read_only(true);
    let Err(error) = try_out(&plain).await else {
        return plain;
    };
    // In a directory that can't be written, or without space, WAL's shared memory can't be made.
    // Without a log there is nothing to share.
    let unshared = [primary::CANTOPEN, primary::READONLY, primary::IOERR];
    let unshared = unshared.iter().any(|code| is(&error, *code));
    let journal = code(&error) == Some(READONLY_ROLLBACK);
    plain.immutable(unshared && !journal && has_no_log(path))
}

fn has_no_log(path: &Path) -> bool {
    let log = std::fs::metadata(beside(path, "-wal"));
    log.map_or(true, |log| log.len() == 0)
}

/// A journal of an interrupted write is there.
const READONLY_ROLLBACK: i32 = 776;

async fn try_out(options: &SqliteConnectOptions) -> Result<SqliteConnection, sqlx::Error> {
    let mut connection = SqliteConnection::connect_with(options).await?;
    sqlx::query("SELECT count(*) FROM sqlite_schema")
        .fetch_one(&mut connection)
        .await?;
    Ok(connection)
}

/// A connection for a look that leaves nothing behind: of a database in WAL mode that nobody
/// uses, reading alone would leave the files that belong to WAL.
async fn look(path: &Path, may_recover: bool) -> Result<SqliteConnection, sqlx::Error> {
    let plain = options(path).read_only(true);
    if has_no_log(path) && is_in_wal_mode(path) {
        return try_out(&plain.immutable(true)).await;
    }
    match try_out(&plain).await {
        Err(error) if may_recover && is(&error, primary::READONLY) => try_out(&options(path)).await,
        Err(_) => try_out(&reading(path).await).await,
        connected => connected,
    }
}

/// A connection for copying. It could write, and thus ends without leaving WAL's files behind.
pub(super) async fn connect_for_copying(path: &Path) -> Result<SqliteConnection, sqlx::Error> {
    match try_out(&options(path)).await {
        Err(_) => try_out(&reading(path).await).await,
        connected => connected,
    }
}

/// The name of one of the files that SQLite keeps beside a database.
pub(super) fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

fn is_in_wal_mode(path: &Path) -> bool {
    /// Where the file says which version is needed to write it (SQLite's file format, 1.3).
    const WRITE_VERSION: u64 = 18;
    const WAL: u8 = 2;
    let mut version = [0];
    let read = File::open(path).and_then(|file| file.read_exact_at(&mut version, WRITE_VERSION));
    read.is_ok() && version == [WAL]
}

/// SQLite's message, without sqlx's words around it.
pub(super) fn describe(error: &sqlx::Error) -> String {
    match error.as_database_error() {
        Some(inner) => inner.message().to_owned(),
        None => error.to_string(),
    }
}
