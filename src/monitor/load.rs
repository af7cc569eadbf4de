//! Reading the services at start (contract 03, section 4). Databases of 3.3.0 hold odd things: a row
//! that can't be shown as it is gets repaired or left out, with a warning, and hides no other.

use std::collections::HashMap;

use serde::Deserialize as _;
use serde_json::Value;
use sqlx::SqlitePool;

use super::model::{
    Form, ResponsePoint, SHOWN_POINTS, Service, Status, StorageMetrics, StoragePoint,
    TrafficMetrics, TrafficPoint, push,
};
use super::registry::Monitor;
use crate::compat::Stamp;
use crate::store::{Cells, Store};

/// All services with the newest points of their histories, in the order in which they were created.
/// What can't be read is logged, and is not there.
pub async fn load(store: &Store) -> Monitor {
    let reader = store.reader();
    let mut services = match services(reader).await {
        Ok(services) => services,
        Err(error) => {
            tracing::error!("Failed to load services from database: {error}");
            return Monitor::default();
        }
    };
    if let Err(error) = histories(reader, &mut services).await {
        tracing::error!("Failed to load histories of services from database: {error}");
    }
    tracing::info!("Loaded {} services from database", services.len());
    Monitor::of(services)
}

async fn services(reader: &SqlitePool) -> Result<Vec<Service>, sqlx::Error> {
    // Not the columns by name: a database that can't be written may lack some.
    let query = sqlx::query("SELECT * FROM services ORDER BY rowid");
    let rows = query.fetch_all(reader).await?;
    Ok(rows.iter().filter_map(|row| service(Cells(row))).collect())
}

fn service(row: Cells<'_>) -> Option<Service> {
    let Some(id) = row.text("id") else {
        tracing::warn!("A service without an id is left out");
        return None;
    };
    let needed = |column, instead: &str| {
        row.text(column).unwrap_or_else(|| {
            tracing::warn!("Service {id} has no {column}: {instead:?} is used");
            instead.to_owned()
        })
    };
    let form = Form {
        name: needed("name", ""),
        url: needed("url", ""),
        kind: needed("type", "website"),
        description: row.text_or_none("description"),
        icon: row.text_or_none("icon"),
        group: row.text_or_none("group"),
    };
    let status = needed("status", Status::Offline.name());
    let status = Status::named(&status).unwrap_or_else(|| {
        tracing::warn!("Service {id} has the unknown status {status:?}: it is taken for offline");
        Status::Offline
    });
    Some(Service {
        status,
        last_check: row.stamp("last_check"),
        response_time: row.number("response_time").filter(|time| *time != 0.0),
        traffic: traffic(row),
        storage: storage(row),
        ..Service::new(id, form)
    })
}

/// Load of processors and memory are not stored.
fn traffic(row: Cells<'_>) -> Option<TrafficMetrics> {
    let last_updated = row.stamp("traffic_last_updated")?;
    let number = |column| row.number(column).unwrap_or_default();
    Some(TrafficMetrics {
        bandwidth_up: number("bandwidth_up"),
        bandwidth_down: number("bandwidth_down"),
        total_up: number("total_up"),
        total_down: number("total_down"),
        max_bandwidth: row.number("max_bandwidth").filter(|most| *most != 0.0),
        cpu_percent: None,
        memory_percent: None,
        last_updated: Some(last_updated),
    })
}

fn storage(row: Cells<'_>) -> Option<StorageMetrics> {
    let reported = row.stamp("storage_last_updated");
    let data = row.text("storage_data").unwrap_or_default();
    let data: Value = serde_json::from_str(&data).unwrap_or_default();
    if let Ok(storage) = StorageMetrics::deserialize(&data) {
        let own = || data["last_updated"].as_str().and_then(Stamp::from_sql);
        return Some(StorageMetrics {
            last_updated: reported.or_else(own),
            ..storage
        });
    }
    let hostname = row.text_or_none("storage_hostname");
    Some(StorageMetrics {
        hostname: hostname.unwrap_or_else(|| "unknown".to_owned()),
        storage_paths: Vec::new(),
        raid_arrays: Vec::new(),
        zfs_pools: Vec::new(),
        disks: Vec::new(),
        last_updated: Some(reported?),
    })
}

/// The newest rows of a history, of each service, the oldest first.
macro_rules! newest_of {
    ($table:literal) => {
        concat!(
            "SELECT h.* FROM services s CROSS JOIN ",
            $table,
            " h ON h.id IN (SELECT id FROM ",
            $table,
            " WHERE service_id = s.id ORDER BY id DESC LIMIT ?) ORDER BY h.id"
        )
    };
}

async fn histories(reader: &SqlitePool, services: &mut [Service]) -> Result<(), sqlx::Error> {
    let ids = services.iter().enumerate();
    let places: HashMap<String, usize> = ids.map(|(at, one)| (one.id.clone(), at)).collect();
    for (query, add) in [
        (newest_of!("response_history"), add_response as Add),
        (newest_of!("traffic_history"), add_traffic),
        (newest_of!("storage_history"), add_storage),
    ] {
        let query = sqlx::query(query).bind(i64::try_from(SHOWN_POINTS).unwrap_or(i64::MAX));
        for row in query.fetch_all(reader).await? {
            let row = Cells(&row);
            let place = row.text("service_id").and_then(|id| places.get(&id));
            if let Some(service) = place.and_then(|at| services.get_mut(*at)) {
                // A point that lacks something can't be shown.
                let _ = add(service, row);
            }
        }
    }
    Ok(())
}

/// Adds a row to a history of its service.
type Add = fn(&mut Service, Cells<'_>) -> Option<()>;

fn add_response(service: &mut Service, row: Cells<'_>) -> Option<()> {
    let point = ResponsePoint {
        timestamp: row.stamp("timestamp")?,
        response_time: row.number("response_time")?,
    };
    push(&mut service.response_history, point);
    Some(())
}

fn add_traffic(service: &mut Service, row: Cells<'_>) -> Option<()> {
    let point = TrafficPoint {
        timestamp: row.stamp("timestamp")?,
        bandwidth_up: row.number("bandwidth_up")?,
        bandwidth_down: row.number("bandwidth_down")?,
        total_up: row.number("total_up")?,
        total_down: row.number("total_down")?,
    };
    push(&mut service.traffic_history, point);
    Some(())
}

fn add_storage(service: &mut Service, row: Cells<'_>) -> Option<()> {
    let count = |column| row.integer(column).unwrap_or_default();
    let point = StoragePoint {
        timestamp: row.stamp("timestamp")?,
        hostname: row.text("hostname")?,
        total_capacity: row.number("total_capacity")?,
        total_used: row.number("total_used")?,
        total_free: row.number("total_free")?,
        average_usage_percent: row.number("average_usage_percent")?,
        raid_healthy: count("raid_healthy"),
        raid_degraded: count("raid_degraded"),
        raid_failed: count("raid_failed"),
    };
    push(&mut service.storage_history, point);
    Some(())
}
