//! What the services have transferred, by hour.

use chrono::{DateTime, Duration, Utc};
use sqlx::Row as _;

use crate::store::{Store, StoreError};

/// Bytes of all services in the last 24 hours and 30 days.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TrafficTotals {
    /// Received within 24 hours.
    pub last_24h_download_bytes: u64,
    /// Sent within 24 hours.
    pub last_24h_upload_bytes: u64,
    /// Received within 30 days.
    pub last_30d_download_bytes: u64,
    /// Sent within 30 days.
    pub last_30d_upload_bytes: u64,
}

/// Sums up the hours before `now`.
///
/// # Errors
/// The database can't be read.
pub async fn totals(store: &Store, now: DateTime<Utc>) -> Result<TrafficTotals, StoreError> {
    let hour = |at: DateTime<Utc>| at.format("%Y-%m-%dT%H").to_string();
    let row = sqlx::query(
        "SELECT COALESCE(SUM(down_bytes) FILTER (WHERE hour > ?1), 0) AS day_down, \
         COALESCE(SUM(up_bytes) FILTER (WHERE hour > ?1), 0) AS day_up, \
         COALESCE(SUM(down_bytes), 0) AS month_down, \
         COALESCE(SUM(up_bytes), 0) AS month_up FROM traffic_hours WHERE hour > ?2",
    )
    .bind(hour(now - Duration::hours(24)))
    .bind(hour(now - Duration::days(30)))
    .fetch_one(store.reader())
    .await?;
    let sum = |name: &str| {
        row.try_get::<i64, _>(name)
            .map(|sum| u64::try_from(sum).unwrap_or_default())
    };
    Ok(TrafficTotals {
        last_24h_download_bytes: sum("day_down")?,
        last_24h_upload_bytes: sum("day_up")?,
        last_30d_download_bytes: sum("month_down")?,
        last_30d_upload_bytes: sum("month_up")?,
    })
}
