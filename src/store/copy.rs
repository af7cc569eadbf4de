//! A consistent, verified copy of the database, made while it may be in use.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::Path;

use sqlx::{AssertSqlSafe, Connection as _, SqliteConnection};
use tempfile::NamedTempFile;

use super::inspect::{beside, connect_for_copying, describe, is_about_values, options};
use super::place;

/// Beginning of the name of an unfinished copy.
pub(super) const UNFINISHED: &str = ".komandorr-copy-";
/// A server that writes during the copy makes the counts of rows hard to compare.
const ATTEMPTS: u32 = 3;

/// A copy that was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Copied {
    /// Rows in all tables.
    pub rows: u64,
    /// The file's size.
    pub bytes: u64,
}

/// Why there is no copy. No file is left behind.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// A file is there already.
    #[error("the file exists already")]
    Exists,
    /// The directory for it is missing.
    #[error("the directory does not exist")]
    NoDirectory,
    /// It would not fit.
    #[error("not enough space: {needed} bytes are needed, {free} are free")]
    NoSpace {
        /// At most.
        needed: u64,
        /// On that file system.
        free: u64,
    },
    /// It was made but is not like the original.
    #[error("the copy is not like the original: {0}")]
    Unlike(String),
    /// The system's message.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// SQLite's message.
    #[error("{}", describe(.0))]
    Database(#[from] sqlx::Error),
}

/// Copies `source` to `target`, which must not exist, where that leaves `spare` bytes free. The
/// copy has mode 0600 and appears under its name when it is whole, verified and on disk.
///
/// # Errors
/// No space, no such directory, a database that can't be read, ...
pub(super) async fn copy(source: &Path, target: &Path, spare: u64) -> Result<Copied, CopyError> {
    let directory = target.parent().filter(|path| !path.as_os_str().is_empty());
    let directory = directory.unwrap_or(Path::new("."));
    if !directory.is_dir() {
        return Err(CopyError::NoDirectory);
    }
    if target.symlink_metadata().is_ok() {
        return Err(CopyError::Exists);
    }
    let needed = size_with_log(source)?.saturating_add(spare);
    if let Some(free) = place::free_space(directory).filter(|free| *free < needed) {
        return Err(CopyError::NoSpace { needed, free });
    }
    let unfinished = tempfile::Builder::new()
        .prefix(UNFINISHED)
        .tempfile_in(directory)?;
    let mut connection = connect_for_copying(source).await?;
    let rows = fill(&mut connection, &unfinished).await?;
    connection.close().await?;
    unfinished.as_file().sync_all()?;
    let bytes = unfinished.as_file().metadata()?.len();
    keep(unfinished, target)?;
    // The copy's name. Not every file system can do this, and the copy itself is safe.
    let _ = File::open(directory).and_then(|directory| directory.sync_all());
    Ok(Copied { rows, bytes })
}

fn size_with_log(source: &Path) -> io::Result<u64> {
    let log = fs::metadata(beside(source, "-wal")).map_or(0, |log| log.len());
    Ok(fs::metadata(source)?.len() + log)
}

/// Makes the copy and compares it; returns its rows.
async fn fill(connection: &mut SqliteConnection, copy: &NamedTempFile) -> Result<u64, CopyError> {
    let path = copy.path().to_str().ok_or_else(|| {
        io::Error::new(io::ErrorKind::InvalidInput, "the name is not valid UTF-8")
    })?;
    let mut unlike = String::new();
    for _ in 0..ATTEMPTS {
        copy.as_file().set_len(0)?;
        let before = Counts::of(connection).await?;
        sqlx::query("VACUUM INTO ?")
            .bind(path.to_owned())
            .execute(&mut *connection)
            .await?;
        let after = Counts::of(connection).await?;
        let copied = verified(copy.path()).await?;
        match copied.lies_between(&before, &after) {
            Ok(()) => return Ok(copied.tables.values().sum()),
            Err(table) => unlike = format!("rows of {table}"),
        }
        if before.version == after.version {
            break;
        }
    }
    Err(CopyError::Unlike(unlike))
}

async fn verified(copy: &Path) -> Result<Counts, CopyError> {
    let options = options(copy).read_only(true).immutable(true);
    let mut connection = SqliteConnection::connect_with(&options).await?;
    let findings: Vec<String> = sqlx::query_scalar("PRAGMA integrity_check")
        .fetch_all(&mut connection)
        .await?;
    let damage = findings
        .into_iter()
        .find(|line| line != "ok" && !is_about_values(line));
    if let Some(damage) = damage {
        return Err(CopyError::Unlike(damage));
    }
    let counts = Counts::of(&mut connection).await?;
    connection.close().await?;
    Ok(counts)
}

/// Rows per table.
struct Counts {
    tables: BTreeMap<String, u64>,
    /// Changes when somebody else has written.
    version: i64,
}

impl Counts {
    async fn of(connection: &mut SqliteConnection) -> Result<Self, sqlx::Error> {
        let version = sqlx::query_scalar("PRAGMA data_version")
            .fetch_one(&mut *connection)
            .await?;
        let names: Vec<String> = sqlx::query_scalar(
            "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'",
        )
        .fetch_all(&mut *connection)
        .await?;
        let mut tables = BTreeMap::new();
        for name in names {
            let quoted = name.replace('"', "\"\"");
            let count = format!("SELECT count(*) FROM \"{quoted}\"");
            let rows: i64 = sqlx::query_scalar(AssertSqlSafe(count))
                .fetch_one(&mut *connection)
                .await?;
            tables.insert(name, rows.unsigned_abs());
        }
        Ok(Self { tables, version })
    }

    /// While nobody writes, the three are equal. The error names a table.
    fn lies_between(&self, before: &Self, after: &Self) -> Result<(), String> {
        let names = before.tables.keys().chain(self.tables.keys());
        for name in names {
            let of = |counts: &Self| counts.tables.get(name).copied();
            let (rows, one, other) = (of(self), of(before), of(after));
            if rows < one.min(other) || rows > one.max(other) {
                return Err(name.clone());
            }
        }
        Ok(())
    }
}

/// Gives the copy its name unless a file of that name has come up meanwhile.
fn keep(unfinished: NamedTempFile, target: &Path) -> Result<(), CopyError> {
    let Err(refused) = unfinished.persist_noclobber(target) else {
        return Ok(());
    };
    if refused.error.kind() == io::ErrorKind::AlreadyExists {
        return Err(CopyError::Exists);
    }
    // Some file systems know neither hard links nor a rename that refuses.
    if target.symlink_metadata().is_ok() {
        return Err(CopyError::Exists);
    }
    refused
        .file
        .persist(target)
        .map_err(|refused| refused.error)?;
    Ok(())
}
