//! Bytes per service and hour, made from the counters that agents report.
//!
//! 3.3.0 stores every report in `traffic_history`: cumulative gigabytes (1 GB = 1024³ bytes) since
//! the agent's counters began. What was transferred is the increase from one report of a service
//! to its next one; a counter that went down has begun anew, so its value is the increase. The
//! sums are kept per hour for 31 days, in `traffic_hours`.
//!
//! Rows are taken in the order in which they were written, by their `id`, not by `timestamp`: a
//! clock that was set back would look like counters that begin anew.

use std::collections::HashMap;

use chrono::{DateTime, NaiveDateTime, TimeDelta, Utc};
use sqlx::{SqliteConnection, SqlitePool};

use crate::compat::datetime;
use crate::store::{Store, StoreError, set_state, state_in};

/// What is kept.
const DAYS: i64 = 31;
/// Rows that one transaction accounts for.
const BATCH: i64 = 5_000;
/// Name of the cursor in the store's state: `<id> <timestamp>` of the last row accounted for.
const CURSOR: &str = "traffic_hours_cursor";
/// More than a service transfers between two reports; keeps sums within 64 bits.
const MOST_BYTES: f64 = 9_007_199_254_740_992.0;

/// What all services together have transferred, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TrafficTotals {
    /// Received in the last 24 hours.
    pub last_24h_download_bytes: u64,
    /// Sent in the last 24 hours.
    pub last_24h_upload_bytes: u64,
    /// Received in the last 30 days.
    pub last_30d_download_bytes: u64,
    /// Sent in the last 30 days.
    pub last_30d_upload_bytes: u64,
}

/// Adds up the time before `now`. Only whole hours are known, so the span begins with the hour in
/// which it would begin to the second: "24 hours" are 24 to 25, "30 days" up to an hour more.
///
/// # Errors
/// The database can't be read.
pub async fn totals(store: &Store, now: DateTime<Utc>) -> Result<TrafficTotals, StoreError> {
    let (down, up) = total_since(store.reader(), now - TimeDelta::hours(24)).await?;
    let (down_30d, up_30d) = total_since(store.reader(), now - TimeDelta::days(30)).await?;
    Ok(TrafficTotals {
        last_24h_download_bytes: down,
        last_24h_upload_bytes: up,
        last_30d_download_bytes: down_30d,
        last_30d_upload_bytes: up_30d,
    })
}

async fn total_since(reader: &SqlitePool, since: DateTime<Utc>) -> Result<(u64, u64), StoreError> {
    // `total` can't overflow, as `sum` can.
    let query = "SELECT CAST(total(down_bytes) AS INTEGER), CAST(total(up_bytes) AS INTEGER) \
        FROM traffic_hours WHERE hour >= ?";
    let (down, up): (i64, i64) = sqlx::query_as(query)
        .bind(hour(since.naive_utc()))
        .fetch_one(reader)
        .await?;
    let positive = |bytes: i64| u64::try_from(bytes).unwrap_or(0);
    Ok((positive(down), positive(up)))
}

/// `2026-11-22T13`; hours sort as text.
fn hour(at: NaiveDateTime) -> String {
    at.format("%Y-%m-%dT%H").to_string()
}

/// The first hour that is kept.
fn first_hour() -> NaiveDateTime {
    (Utc::now() - TimeDelta::days(DAYS)).naive_utc()
}

/// Adds to a service's hour; part of a [`Store::write`] job.
async fn add(
    connection: &mut SqliteConnection,
    service_id: &str,
    at: NaiveDateTime,
    down_bytes: i64,
    up_bytes: i64,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO traffic_hours (service_id, hour, down_bytes, up_bytes) VALUES (?, ?, ?, ?) \
         ON CONFLICT (service_id, hour) DO UPDATE SET \
         down_bytes = min(down_bytes + excluded.down_bytes, 9007199254740992), \
         up_bytes = min(up_bytes + excluded.up_bytes, 9007199254740992)",
    )
    .bind(service_id.to_owned())
    .bind(hour(at))
    .bind(down_bytes)
    .bind(up_bytes)
    .execute(connection)
    .await?;
    Ok(())
}

/// Accounts for the rows of `traffic_history` that came since the last call, 3.3.0's included, in
/// batches; each leaves sums and cursor as if it had been the last, so that this may be stopped
/// anywhere and called again. In a database that can't be written it does nothing.
///
/// # Errors
/// The database can't be read or written.
pub async fn seed(store: &Store) -> Result<(), StoreError> {
    if !store.is_writable() {
        return Ok(());
    }
    begin(store).await?;
    let batch = || store.write(|c| Box::pin(account(c, BATCH)));
    while batch().await?.is_some_and(|accounted| accounted.more) {}
    Ok(())
}

/// Places the cursor before the first row that counts, unless there is a cursor already. Years of
/// rows need not be read one by one for that, nor by the writer.
async fn begin(store: &Store) -> Result<(), StoreError> {
    if Cursor::parse(store.state(CURSOR).await?).is_some() {
        return Ok(());
    }
    let id: i64 = sqlx::query_scalar(
        "SELECT coalesce(min(id) - 1, (SELECT max(id) FROM traffic_history), 0) FROM \
         (SELECT id FROM traffic_history WHERE timestamp >= ? ORDER BY id LIMIT 1)",
    )
    .bind(datetime::sql(first_hour()))
    .fetch_one(store.reader())
    .await?;
    let cursor = Cursor {
        id,
        timestamp: String::new(),
    };
    store
        .write(|c| Box::pin(async move { set_state(c, CURSOR, &cursor.to_string()).await }))
        .await
}

/// How far the accounts go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Accounted {
    /// Rows up to this one are no longer needed for sums.
    pub(super) up_to: i64,
    /// There may be rows behind it.
    pub(super) more: bool,
}

/// Accounts for the next rows, `most` of them; part of a [`Store::write`] job. `None` before
/// [`seed`] has found out where to begin.
pub(super) async fn account(
    connection: &mut SqliteConnection,
    most: i64,
) -> Result<Option<Accounted>, sqlx::Error> {
    let Some(id) = Cursor::find(connection).await? else {
        return Ok(None);
    };
    let rows = Report::after(connection, id, most).await?;
    let Some(last) = rows.last() else {
        let more = false;
        return Ok(Some(Accounted { up_to: id, more }));
    };
    let accounted = Accounted {
        up_to: last.id,
        more: i64::try_from(rows.len()) == Ok(most),
    };
    let newest = rows.iter().filter_map(|row| row.timestamp.as_ref()).max();
    let cursor = Cursor {
        id: last.id,
        timestamp: newest.cloned().unwrap_or_default(),
    };
    let mut counters = Counters::before(connection, &rows, id).await?;
    for ((service, hour), (down, up)) in counters.increases(rows, first_hour()) {
        add(connection, &service, hour, down, up).await?;
    }
    set_state(connection, CURSOR, &cursor.to_string()).await?;
    Ok(Some(accounted))
}

/// Removes what is older than 31 days, and what belongs to services that are gone.
///
/// # Errors
/// The database can't be written.
pub async fn prune(store: &Store) -> Result<(), StoreError> {
    if !store.is_writable() {
        return Ok(());
    }
    let oldest = hour(first_hour());
    let unwanted = sqlx::query(
        "DELETE FROM traffic_hours WHERE hour < ? OR service_id NOT IN (SELECT id FROM services)",
    )
    .bind(oldest);
    store
        .write(|c| Box::pin(async move { unwanted.execute(c).await }))
        .await?;
    Ok(())
}

/// Removes what is known of a service; part of a [`Store::write`] job.
pub(super) async fn forget(
    connection: &mut SqliteConnection,
    service_id: &str,
) -> Result<(), sqlx::Error> {
    sqlx::query("DELETE FROM traffic_hours WHERE service_id = ?")
        .bind(service_id.to_owned())
        .execute(connection)
        .await?;
    Ok(())
}

/// The last row that was accounted for.
struct Cursor {
    id: i64,
    /// The newest of the rows that were accounted for with it; empty if none has one.
    timestamp: String,
}

impl std::fmt::Display for Cursor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.id, self.timestamp)
    }
}

impl Cursor {
    fn parse(stored: Option<String>) -> Option<Self> {
        let stored = stored?;
        let (id, timestamp) = stored.split_once(' ').unwrap_or((&stored, ""));
        Some(Self {
            id: id.parse().ok()?,
            timestamp: timestamp.to_owned(),
        })
    }

    /// The row to go on behind. SQLite gives the identifiers of rows out again when the last rows
    /// are deleted (with their service); then what is new is what is younger.
    async fn find(connection: &mut SqliteConnection) -> Result<Option<i64>, sqlx::Error> {
        let Some(cursor) = Self::parse(state_in(connection, CURSOR).await?) else {
            return Ok(None);
        };
        sqlx::query_scalar(
            "SELECT coalesce(max(id), 0) FROM (SELECT id FROM traffic_history \
             WHERE id <= ?1 AND (?2 = '' OR timestamp <= ?2) ORDER BY id DESC LIMIT 1)",
        )
        .bind(cursor.id)
        .bind(cursor.timestamp)
        .fetch_one(connection)
        .await
        .map(Some)
    }
}

/// A row of `traffic_history`; what can't be used is `None`.
struct Report {
    id: i64,
    service_id: Option<String>,
    timestamp: Option<String>,
    down: Option<f64>,
    up: Option<f64>,
}

/// As SQLite has it: what is declared as text may hold any bytes.
type Row = (
    i64,
    Option<Vec<u8>>,
    Option<Vec<u8>>,
    Option<f64>,
    Option<f64>,
);

impl From<Row> for Report {
    fn from((id, service_id, timestamp, down, up): Row) -> Self {
        let text = |bytes: Option<Vec<u8>>| String::from_utf8(bytes?).ok();
        Self {
            id,
            service_id: text(service_id),
            timestamp: text(timestamp),
            down,
            up,
        }
    }
}

impl Report {
    async fn after(
        connection: &mut SqliteConnection,
        id: i64,
        most: i64,
    ) -> Result<Vec<Self>, sqlx::Error> {
        let rows: Vec<Row> = sqlx::query_as(
            "SELECT id, CAST(service_id AS BLOB), CAST(timestamp AS BLOB), \
                 CASE WHEN typeof(total_down) IN ('integer', 'real') \
                     THEN CAST(total_down AS REAL) END, \
                 CASE WHEN typeof(total_up) IN ('integer', 'real') \
                     THEN CAST(total_up AS REAL) END \
             FROM traffic_history WHERE id > ? ORDER BY id LIMIT ?",
        )
        .bind(id)
        .bind(most)
        .fetch_all(connection)
        .await?;
        Ok(rows.into_iter().map(Self::from).collect())
    }

    /// The last one of a service up to `id`.
    async fn last_of(
        connection: &mut SqliteConnection,
        service: &str,
        id: i64,
    ) -> Result<Option<Self>, sqlx::Error> {
        let row: Option<Row> = sqlx::query_as(
            "SELECT id, NULL, NULL, \
                 CASE WHEN typeof(total_down) IN ('integer', 'real') \
                     THEN CAST(total_down AS REAL) END, \
                 CASE WHEN typeof(total_up) IN ('integer', 'real') \
                     THEN CAST(total_up AS REAL) END \
             FROM traffic_history WHERE service_id = ? AND id <= ? ORDER BY id DESC LIMIT 1",
        )
        .bind(service.to_owned())
        .bind(id)
        .fetch_optional(connection)
        .await?;
        Ok(row.map(Self::from))
    }
}

/// Each service's counters as they were reported last; `None` inside where that is not known.
struct Counters(HashMap<String, (Counter, Counter)>);

/// Gigabytes.
type Counter = Option<f64>;

impl Counters {
    /// Those of the services in `rows`, before the row behind `id`.
    async fn before(
        connection: &mut SqliteConnection,
        rows: &[Report],
        id: i64,
    ) -> Result<Self, sqlx::Error> {
        let mut counters = HashMap::new();
        for service in rows.iter().filter_map(|row| row.service_id.as_deref()) {
            if !counters.contains_key(service) {
                let last = Report::last_of(connection, service, id).await?;
                let known = last.map_or((None, None), |last| (usable(last.down), usable(last.up)));
                counters.insert(service.to_owned(), known);
            }
        }
        Ok(Self(counters))
    }

    /// Bytes per service and hour that `rows` add.
    fn increases(
        &mut self,
        rows: Vec<Report>,
        oldest: NaiveDateTime,
    ) -> HashMap<(String, NaiveDateTime), (i64, i64)> {
        let mut increases: HashMap<_, (i64, i64)> = HashMap::new();
        for row in rows {
            let Some(service) = row.service_id else {
                continue;
            };
            let (last_down, last_up) = self.0.entry(service.clone()).or_default();
            let down = increase(last_down, row.down);
            let up = increase(last_up, row.up);
            let at = row.timestamp.as_deref().and_then(datetime::from_sql);
            let Some(at) = at.filter(|at| *at >= oldest && (down, up) != (0, 0)) else {
                continue;
            };
            let sums = increases.entry((service, whole_hour(at))).or_default();
            sums.0 = sums.0.saturating_add(down);
            sums.1 = sums.1.saturating_add(up);
        }
        increases
    }
}

/// What a counter has grown by, in bytes; remembers its new value.
fn increase(last: &mut Counter, new: Counter) -> i64 {
    let Some(new) = usable(new) else {
        return 0;
    };
    let gigabytes = match last.replace(new) {
        Some(last) if new >= last => new - last,
        Some(_) => new,
        None => 0.0,
    };
    #[expect(
        clippy::cast_possible_truncation,
        reason = "it is not negative and at most 2^53"
    )]
    let bytes = (gigabytes * 1024_f64.powi(3)).round().min(MOST_BYTES) as i64;
    bytes
}

/// 3.3.0 accepted infinite and negative counters.
fn usable(counter: Counter) -> Counter {
    counter.filter(|value| value.is_finite() && *value >= 0.0)
}

fn whole_hour(at: NaiveDateTime) -> NaiveDateTime {
    use chrono::Timelike as _;
    let minutes = TimeDelta::seconds(i64::from(at.minute() * 60 + at.second()));
    at.with_nanosecond(0).unwrap_or(at) - minutes
}

#[cfg(test)]
mod tests;
