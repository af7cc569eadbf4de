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
use crate::store::{Store, StoreError, set_state};

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
    let oldest = first_hour();
    let (mut cursor, mut stored) = Cursor::find(store, oldest).await?;
    let mut counters = Counters::default();
    loop {
        let rows = Report::after(store.reader(), cursor.id).await?;
        let Some(last) = rows.last() else {
            break;
        };
        let next = Cursor {
            id: last.id,
            timestamp: last.timestamp.clone().unwrap_or_default(),
        };
        counters.prime(store.reader(), &rows, cursor.id).await?;
        let increases = counters.increases(rows, oldest);
        let text = next.to_string();
        let (before, after) = (stored, text.clone());
        let moved = store
            .write(|c| Box::pin(record(c, increases, before, after)))
            .await?;
        if !moved {
            // Somebody else accounts for the same rows.
            return Ok(());
        }
        (cursor, stored) = (next, Some(text));
    }
    if stored.is_none() && cursor.id > 0 {
        // Only old rows: they need not be read through again.
        let text = cursor.to_string();
        store
            .write(|c| Box::pin(record(c, HashMap::new(), None, text)))
            .await?;
    }
    Ok(())
}

/// Adds a batch, unless the cursor is no longer where the batch began.
async fn record(
    connection: &mut SqliteConnection,
    increases: HashMap<(String, NaiveDateTime), (i64, i64)>,
    before: Option<String>,
    after: String,
) -> Result<bool, sqlx::Error> {
    let now: Option<String> =
        sqlx::query_scalar("SELECT value FROM komandorr_state WHERE name = ?")
            .bind(CURSOR)
            .fetch_optional(&mut *connection)
            .await?;
    if now != before {
        return Ok(false);
    }
    for ((service, hour), (down, up)) in increases {
        add(connection, &service, hour, down, up).await?;
    }
    set_state(connection, CURSOR, &after).await?;
    Ok(true)
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

/// The last row that was accounted for.
struct Cursor {
    id: i64,
    timestamp: String,
}

impl std::fmt::Display for Cursor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.id, self.timestamp)
    }
}

impl Cursor {
    /// Where to go on, and what is stored about it.
    async fn find(
        store: &Store,
        oldest: NaiveDateTime,
    ) -> Result<(Self, Option<String>), StoreError> {
        let stored = store.state(CURSOR).await?;
        let known = stored.as_deref().and_then(|text| {
            let (id, timestamp) = text.split_once(' ').unwrap_or((text, ""));
            Some((id.parse::<i64>().ok()?, timestamp.to_owned()))
        });
        let id =
            match known {
                // SQLite gives the identifiers of rows out again when the last rows are deleted (with
                // their service); then what is new is what is younger.
                Some((id, timestamp)) => {
                    sqlx::query_scalar(
                        "SELECT coalesce(max(id), 0) FROM (SELECT id FROM traffic_history \
                     WHERE id <= ?1 AND (?2 = '' OR timestamp <= ?2) ORDER BY id DESC LIMIT 1)",
                    )
                    .bind(id)
                    .bind(timestamp)
                    .fetch_one(store.reader())
                    .await?
                }
                // Years of rows need not be read one by one.
                None => sqlx::query_scalar(
                    "SELECT coalesce(min(id) - 1, (SELECT max(id) FROM traffic_history), 0) FROM \
                     (SELECT id FROM traffic_history WHERE timestamp >= ? ORDER BY id LIMIT 1)",
                )
                .bind(datetime::sql(oldest))
                .fetch_one(store.reader())
                .await?,
            };
        let timestamp = String::new();
        Ok((Self { id, timestamp }, stored))
    }
}

/// A row of `traffic_history`; what can't be used is `None`.
#[derive(sqlx::FromRow)]
struct Report {
    id: i64,
    service_id: Option<String>,
    timestamp: Option<String>,
    down: Option<f64>,
    up: Option<f64>,
}

impl Report {
    async fn after(reader: &SqlitePool, id: i64) -> Result<Vec<Self>, sqlx::Error> {
        sqlx::query_as(
            "SELECT id, CAST(service_id AS TEXT) AS service_id, \
                 CAST(timestamp AS TEXT) AS timestamp, \
                 CASE WHEN typeof(total_down) IN ('integer', 'real') \
                     THEN CAST(total_down AS REAL) END AS down, \
                 CASE WHEN typeof(total_up) IN ('integer', 'real') \
                     THEN CAST(total_up AS REAL) END AS up \
             FROM traffic_history WHERE id > ? ORDER BY id LIMIT ?",
        )
        .bind(id)
        .bind(BATCH)
        .fetch_all(reader)
        .await
    }

    /// The last one of a service up to `id`. Without an index it is looked for from there
    /// backwards: one over millions of rows would cost more than it saves.
    async fn last_of(
        reader: &SqlitePool,
        service: &str,
        id: i64,
    ) -> Result<Option<Self>, sqlx::Error> {
        sqlx::query_as(
            "SELECT id, NULL AS service_id, NULL AS timestamp, \
                 CASE WHEN typeof(total_down) IN ('integer', 'real') \
                     THEN CAST(total_down AS REAL) END AS down, \
                 CASE WHEN typeof(total_up) IN ('integer', 'real') \
                     THEN CAST(total_up AS REAL) END AS up \
             FROM traffic_history WHERE service_id = ? AND id <= ? ORDER BY id DESC LIMIT 1",
        )
        .bind(service.to_owned())
        .bind(id)
        .fetch_optional(reader)
        .await
    }
}

/// Each service's counters as they were reported last; `None` inside where that is not known.
#[derive(Default)]
struct Counters(HashMap<String, (Counter, Counter)>);

/// Gigabytes.
type Counter = Option<f64>;

impl Counters {
    /// Looks up services that are met for the first time.
    async fn prime(
        &mut self,
        reader: &SqlitePool,
        rows: &[Report],
        before: i64,
    ) -> Result<(), sqlx::Error> {
        for service in rows.iter().filter_map(|row| row.service_id.as_deref()) {
            if !self.0.contains_key(service) {
                let last = Report::last_of(reader, service, before).await?;
                let counters =
                    last.map_or((None, None), |last| (usable(last.down), usable(last.up)));
                self.0.insert(service.to_owned(), counters);
            }
        }
        Ok(())
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
mod tests {
    use super::*;

    const GB: i64 = 1 << 30;

    async fn store() -> (tempfile::TempDir, Store) {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path()).await.unwrap();
        let service = sqlx::query(
            "INSERT INTO services (id, name, url, type) VALUES ('a', 'a', 'u', 'server'), \
             ('b', 'b', 'u', 'server')",
        );
        store
            .write(|c| Box::pin(async move { service.execute(c).await }))
            .await
            .unwrap();
        (directory, store)
    }

    /// Rows of 3.3.0: service, hours ago, gigabytes down and up.
    async fn report(store: &Store, rows: &[(&str, i64, Option<f64>, Option<f64>)]) {
        let rows: Vec<_> = rows
            .iter()
            .map(|(service, hours, down, up)| {
                let at = datetime::sql((Utc::now() - TimeDelta::hours(*hours)).naive_utc());
                (service.to_string(), at, *down, *up)
            })
            .collect();
        store
            .write(|c| {
                Box::pin(async move {
                    // As an odd old database may have it: without NOT NULL.
                    for (service, at, down, up) in rows {
                        sqlx::query(
                            "INSERT INTO traffic_history (service_id, timestamp, bandwidth_up, \
                             bandwidth_down, total_up, total_down) VALUES (?, ?, 0, 0, ?, ?)",
                        )
                        .bind(service)
                        .bind(at)
                        .bind(up.map_or("nothing".to_owned(), |value| value.to_string()))
                        .bind(down.map_or("nothing".to_owned(), |value| value.to_string()))
                        .execute(&mut *c)
                        .await?;
                    }
                    Ok(())
                })
            })
            .await
            .unwrap();
    }

    async fn sums(store: &Store) -> (i64, i64) {
        let totals = totals(store, Utc::now()).await.unwrap();
        let gigabytes = |bytes: u64| i64::try_from(bytes).unwrap() / GB;
        (
            gigabytes(totals.last_24h_download_bytes),
            gigabytes(totals.last_30d_download_bytes),
        )
    }

    #[tokio::test]
    async fn increases_are_added_up_and_a_counter_may_begin_anew() {
        let (_directory, store) = store().await;
        let (down, up) = (Some(200.5), Some(1.0));
        report(
            &store,
            &[
                ("a", 24 * 40, Some(10.0), up),
                ("a", 24 * 20, Some(110.0), up),
                ("b", 5, down, up),
                ("a", 5, Some(115.0), up),
                ("b", 4, Some(203.5), Some(3.0)),
                ("a", 4, None, None),
                ("a", 3, Some(7.0), up),
                ("a", 2, Some(7.0), up),
                ("a", 1, Some(f64::INFINITY), Some(-4.0)),
                ("b", 0, Some(204.5), Some(3.0)),
            ],
        )
        .await;
        seed(&store).await.unwrap();
        let expected = TrafficTotals {
            // a: 5, then 7 after beginning anew; b: 3 and 1.
            last_24h_download_bytes: 16 << 30,
            last_24h_upload_bytes: 2 << 30,
            last_30d_download_bytes: 116 << 30,
            last_30d_upload_bytes: 2 << 30,
        };
        assert_eq!(totals(&store, Utc::now()).await.unwrap(), expected);
    }

    #[tokio::test]
    async fn each_row_counts_once_and_later_ones_go_on_from_it() {
        let (directory, store) = store().await;
        report(
            &store,
            &[("a", 3, Some(1.0), None), ("a", 2, Some(4.0), None)],
        )
        .await;
        seed(&store).await.unwrap();
        seed(&store).await.unwrap();
        assert_eq!(sums(&store).await, (3, 3));
        store.close().await;
        let store = Store::open(directory.path()).await.unwrap();
        report(
            &store,
            &[("a", 1, Some(6.0), None), ("b", 1, Some(9.0), None)],
        )
        .await;
        seed(&store).await.unwrap();
        assert_eq!(
            sums(&store).await,
            (5, 5),
            "what 3.3.0 wrote meanwhile is added"
        );
    }

    #[tokio::test]
    async fn more_rows_than_one_batch() {
        let (_directory, store) = store().await;
        let fill = sqlx::query(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 12001) \
             INSERT INTO traffic_history (service_id, timestamp, bandwidth_up, bandwidth_down, \
             total_up, total_down) SELECT CASE WHEN i % 2 THEN 'a' ELSE 'b' END, \
             strftime('%Y-%m-%d %H:%M:%f000', 'now'), 0, 0, 0, i FROM n",
        );
        store
            .write(|c| Box::pin(async move { fill.execute(c).await }))
            .await
            .unwrap();
        seed(&store).await.unwrap();
        assert_eq!(sums(&store).await.0, 12_000 + 11_998);
    }

    #[tokio::test]
    async fn identifiers_that_are_given_out_again_do_not_hide_rows() {
        let (_directory, store) = store().await;
        report(
            &store,
            &[
                ("a", 5, Some(1.0), None),
                ("b", 4, Some(1.0), None),
                ("b", 3, Some(2.0), None),
            ],
        )
        .await;
        seed(&store).await.unwrap();
        let delete = sqlx::query("DELETE FROM traffic_history WHERE service_id = 'b'");
        store
            .write(|c| Box::pin(async move { delete.execute(c).await }))
            .await
            .unwrap();
        report(&store, &[("a", 1, Some(8.0), None)]).await;
        seed(&store).await.unwrap();
        assert_eq!(sums(&store).await, (8, 8));
    }

    #[tokio::test]
    async fn old_hours_and_those_of_deleted_services_are_removed() {
        let (_directory, store) = store().await;
        let now = Utc::now().naive_utc();
        store
            .write(move |c| {
                Box::pin(async move {
                    add(c, "a", now, 1, 2).await?;
                    add(c, "a", now, 10, 20).await?;
                    add(c, "a", now - TimeDelta::days(32), 100, 100).await?;
                    add(c, "gone", now, 1_000, 1_000).await
                })
            })
            .await
            .unwrap();
        prune(&store).await.unwrap();
        let rows: Vec<(String, i64, i64)> =
            sqlx::query_as("SELECT service_id, down_bytes, up_bytes FROM traffic_hours")
                .fetch_all(store.reader())
                .await
                .unwrap();
        assert_eq!(rows, [("a".to_owned(), 11, 22)]);
    }
}
