//! The rows of a service: all SQL that changes them, as parts of [`Store::write`] jobs.
//!
//! Whatever is not about creating a service writes only where its row still exists: a service that
//! was deleted meanwhile must not come back (contract 08, item 79).
//!
//! [`Store::write`]: crate::store::Store::write

use sqlx::{AssertSqlSafe, QueryBuilder, Sqlite, SqliteConnection};

use super::model::{
    Form, ResponsePoint, STORED_POINTS, Status, StorageMetrics, StoragePoint, TrafficMetrics,
    TrafficPoint,
};
use crate::compat::Stamp;

/// A table of points.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum History {
    Responses,
    Traffic,
    Storage,
}

impl History {
    pub(super) const ALL: [Self; 3] = [Self::Responses, Self::Traffic, Self::Storage];

    const fn table(self) -> &'static str {
        match self {
            Self::Responses => "response_history",
            Self::Traffic => "traffic_history",
            Self::Storage => "storage_history",
        }
    }
}

/// Creates a service, behind all others. SQLite knows no defaults here (contract 06, section 1).
pub(super) async fn create(
    connection: &mut SqliteConnection,
    id: &str,
    form: Form,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO services (id, name, url, type, description, icon, \"group\", status, enabled, \
         bandwidth_up, bandwidth_down, total_up, total_down) \
         VALUES (?, ?, ?, ?, ?, ?, ?, 'offline', 1, 0.0, 0.0, 0.0, 0.0)",
    )
    .bind(id.to_owned())
    .bind(form.name)
    .bind(form.url)
    .bind(form.kind)
    .bind(form.description)
    .bind(form.icon)
    .bind(form.group)
    .execute(connection)
    .await?;
    Ok(())
}

/// Changes what people say about a service. False if it does not exist.
pub(super) async fn change(
    connection: &mut SqliteConnection,
    id: &str,
    form: Form,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query(
        "UPDATE services SET name = ?, url = ?, type = ?, description = ?, icon = ?, \
         \"group\" = ? WHERE id = ?",
    )
    .bind(form.name)
    .bind(form.url)
    .bind(form.kind)
    .bind(form.description)
    .bind(form.icon)
    .bind(form.group)
    .bind(id.to_owned())
    .execute(connection)
    .await?;
    Ok(done.rows_affected() > 0)
}

/// Removes a service and its histories.
pub(super) async fn remove(connection: &mut SqliteConnection, id: &str) -> Result<(), sqlx::Error> {
    for history in History::ALL {
        let delete = format!("DELETE FROM {} WHERE service_id = ?", history.table());
        sqlx::query(AssertSqlSafe(delete))
            .bind(id.to_owned())
            .execute(&mut *connection)
            .await?;
    }
    sqlx::query("DELETE FROM services WHERE id = ?")
        .bind(id.to_owned())
        .execute(connection)
        .await?;
    Ok(())
}

pub(super) async fn exists(
    connection: &mut SqliteConnection,
    id: &str,
) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM services WHERE id = ?)")
        .bind(id.to_owned())
        .fetch_one(connection)
        .await
}

/// The result of a check.
pub(super) async fn set_check(
    connection: &mut SqliteConnection,
    id: &str,
    status: Status,
    last_check: Option<Stamp>,
    response_time: Option<f64>,
) -> Result<(), sqlx::Error> {
    sqlx::query("UPDATE services SET status = ?, last_check = ?, response_time = ? WHERE id = ?")
        .bind(status.name())
        .bind(last_check.map(Stamp::to_sql))
        .bind(response_time)
        .bind(id.to_owned())
        .execute(connection)
        .await?;
    Ok(())
}

/// The last report of traffic; load of processors and memory have no columns.
pub(super) async fn set_traffic(
    connection: &mut SqliteConnection,
    id: &str,
    traffic: &TrafficMetrics,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "UPDATE services SET bandwidth_up = ?, bandwidth_down = ?, total_up = ?, total_down = ?, \
         max_bandwidth = ?, traffic_last_updated = ? WHERE id = ?",
    )
    .bind(traffic.bandwidth_up)
    .bind(traffic.bandwidth_down)
    .bind(traffic.total_up)
    .bind(traffic.total_down)
    .bind(traffic.max_bandwidth)
    .bind(traffic.last_updated.map(Stamp::to_sql))
    .bind(id.to_owned())
    .execute(connection)
    .await?;
    Ok(())
}

/// The last report of storage, as JSON that 3.3.0 reads too.
pub(super) async fn set_storage(
    connection: &mut SqliteConnection,
    id: &str,
    storage: &StorageMetrics,
) -> Result<(), sqlx::Error> {
    let data = serde_json::to_string(storage).map_err(|error| sqlx::Error::Encode(error.into()))?;
    sqlx::query(
        "UPDATE services SET storage_hostname = ?, storage_data = ?, storage_last_updated = ? \
         WHERE id = ?",
    )
    .bind(storage.hostname.clone())
    .bind(data)
    .bind(storage.last_updated.map(Stamp::to_sql))
    .bind(id.to_owned())
    .execute(connection)
    .await?;
    Ok(())
}

pub(super) async fn add_responses(
    connection: &mut SqliteConnection,
    id: &str,
    points: &[ResponsePoint],
) -> Result<(), sqlx::Error> {
    let columns = "response_history (service_id, timestamp, response_time)";
    insert(connection, columns, points, |mut row, point| {
        row.push_bind(id.to_owned())
            .push_bind(point.timestamp.to_sql())
            .push_bind(point.response_time);
    })
    .await
}

pub(super) async fn add_traffic(
    connection: &mut SqliteConnection,
    id: &str,
    points: &[TrafficPoint],
) -> Result<(), sqlx::Error> {
    let columns = "traffic_history (service_id, timestamp, bandwidth_up, bandwidth_down, \
        total_up, total_down)";
    insert(connection, columns, points, |mut row, point| {
        row.push_bind(id.to_owned())
            .push_bind(point.timestamp.to_sql())
            .push_bind(point.bandwidth_up)
            .push_bind(point.bandwidth_down)
            .push_bind(point.total_up)
            .push_bind(point.total_down);
    })
    .await
}

pub(super) async fn add_storage(
    connection: &mut SqliteConnection,
    id: &str,
    points: &[StoragePoint],
) -> Result<(), sqlx::Error> {
    let columns = "storage_history (service_id, timestamp, hostname, total_capacity, \
        total_used, total_free, average_usage_percent, raid_healthy, raid_degraded, raid_failed)";
    insert(connection, columns, points, |mut row, point| {
        row.push_bind(id.to_owned())
            .push_bind(point.timestamp.to_sql())
            .push_bind(point.hostname.clone())
            .push_bind(point.total_capacity)
            .push_bind(point.total_used)
            .push_bind(point.total_free)
            .push_bind(point.average_usage_percent)
            .push_bind(point.raid_healthy)
            .push_bind(point.raid_degraded)
            .push_bind(point.raid_failed);
    })
    .await
}

/// A row for each point. One that a column does not take is left out: it would keep all others
/// from being written, for ever.
async fn insert<T>(
    connection: &mut SqliteConnection,
    columns: &str,
    points: &[T],
    bind: impl FnMut(sqlx::query_builder::Separated<'_, Sqlite, &'static str>, &T),
) -> Result<(), sqlx::Error> {
    /// Of ten values each: SQLite takes 32,766 in a statement.
    const MOST_ROWS: usize = 1_000;
    let mut bind = bind;
    for points in points.chunks(MOST_ROWS) {
        let mut query = QueryBuilder::<Sqlite>::new(format!("INSERT OR IGNORE INTO {columns} "));
        query.push_values(points, &mut bind);
        // A statement for each number of rows would push all others out of the cache.
        query
            .build()
            .persistent(false)
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}

/// Removes the oldest rows of a service behind the newest [`STORED_POINTS`], as far as they are not
/// behind `up_to`, and `most` of them; how many.
pub(super) async fn prune(
    connection: &mut SqliteConnection,
    history: History,
    id: &str,
    up_to: i64,
    most: i64,
) -> Result<i64, sqlx::Error> {
    let table = history.table();
    let unwanted = format!(
        "DELETE FROM {table} WHERE id IN (SELECT id FROM {table} WHERE service_id = ?1 AND id <= \
         min(?2, (SELECT id FROM {table} WHERE service_id = ?1 ORDER BY id DESC LIMIT 1 OFFSET ?3)) \
         ORDER BY id LIMIT ?4)"
    );
    let done = sqlx::query(AssertSqlSafe(unwanted))
        .bind(id.to_owned())
        .bind(up_to)
        .bind(i64::try_from(STORED_POINTS).unwrap_or(i64::MAX))
        // A negative limit would be none.
        .bind(most.max(0))
        .execute(connection)
        .await?;
    Ok(i64::try_from(done.rows_affected()).unwrap_or(i64::MAX))
}
