//! The services that are watched.

use sqlx::Row as _;

use crate::store::{Store, StoreError};

/// How many services there are, by state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ServiceCounts {
    /// All of them.
    pub total: u64,
    /// They answer.
    pub online: u64,
    /// They can't be reached.
    pub offline: u64,
    /// They answer with an error, or too late.
    pub problem: u64,
}

/// Counts the services as they are stored.
///
/// # Errors
/// The database can't be read.
pub async fn count_services(store: &Store) -> Result<ServiceCounts, StoreError> {
    let row = sqlx::query(
        "SELECT COUNT(*) AS total, \
         COUNT(*) FILTER (WHERE status = 'online') AS online, \
         COUNT(*) FILTER (WHERE status = 'offline') AS offline, \
         COUNT(*) FILTER (WHERE status = 'problem') AS problem FROM services",
    )
    .fetch_one(store.reader())
    .await?;
    let count = |name: &str| {
        row.try_get::<i64, _>(name)
            .map(|count| u64::try_from(count).unwrap_or_default())
    };
    Ok(ServiceCounts {
        total: count("total")?,
        online: count("online")?,
        offline: count("offline")?,
        problem: count("problem")?,
    })
}
