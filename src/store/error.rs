//! What can go wrong with the database, as those who use it see it.

use std::io;

/// Why the database did not do what it should. Its text is for people and holds no data.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Too many writes wait, this one did for too long, or another program holds the file. A write
    /// that had begun by then may still be done.
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
    Other(sqlx::Error),
}

impl StoreError {
    /// A failure that SQLite itself does not report.
    pub(crate) fn failed(why: impl Into<String>) -> Self {
        Self::Other(sqlx::Error::Io(io::Error::other(why.into())))
    }

    /// The same for somebody else who has to be told.
    pub(super) fn again(&self) -> Self {
        match self {
            Self::Busy => Self::Busy,
            Self::ReadOnly => Self::ReadOnly,
            Self::DiskFull => Self::DiskFull,
            Self::Other(error) => Self::failed(error.to_string()),
        }
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        if matches!(error, sqlx::Error::PoolTimedOut) {
            return Self::Busy;
        }
        match code(&error).map(|code| code & 0xff) {
            Some(primary::BUSY | primary::LOCKED) => Self::Busy,
            Some(primary::READONLY | primary::PERM) => Self::ReadOnly,
            Some(primary::FULL) => Self::DiskFull,
            _ => Self::Other(error),
        }
    }
}

/// SQLite's result codes that matter here (<https://www.sqlite.org/rescode.html>).
pub(super) mod primary {
    pub(crate) const PERM: i32 = 3;
    pub(crate) const BUSY: i32 = 5;
    pub(crate) const LOCKED: i32 = 6;
    pub(crate) const READONLY: i32 = 8;
    pub(crate) const IOERR: i32 = 10;
    pub(crate) const FULL: i32 = 13;
    pub(crate) const CANTOPEN: i32 = 14;
    pub(crate) const CONSTRAINT: i32 = 19;
}

/// SQLite's extended result code; its low byte is the primary one.
pub(super) fn code(error: &sqlx::Error) -> Option<i32> {
    error.as_database_error()?.code()?.parse().ok()
}

/// Whether SQLite failed with this primary result code.
pub(super) fn is(error: &sqlx::Error, primary: i32) -> bool {
    code(error).is_some_and(|code| code & 0xff == primary)
}
