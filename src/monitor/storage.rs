//! What agents report of a machine's disks every minute, and what is known of one machine or of
//! all (contract 03, section 8). All of it is answered from memory; `record` writes it down.

use axum::Json;
use axum::extract::Path;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::model::{
    Disk, RaidArray, StorageMetrics, StoragePath, StoragePoint, ZfsPool, push, sum,
};
use super::registry::{State, Unsaved};
use super::reports::{Done, Limit};
use super::storage_report::StorageReport;
use crate::app::AppState;
use crate::compat::Stamp;
use crate::compat::numbers::round2;
use crate::compat::validation::{JsonBody, ValidationError};
use crate::web::error::{ApiResult, Detail};

/// Takes an agent's report.
#[utoipa::path(post, path = "/api/storage/update", tag = "storage",
    request_body = StorageReport,
    responses(
        (status = 200, body = Done),
        (status = 404, body = Detail, description = "No such service"),
        (status = 422, body = ValidationError),
    ))]
async fn update_storage(
    app: AppState,
    JsonBody(report): JsonBody<StorageReport>,
) -> ApiResult<Json<Done>> {
    let id = &report.service_id;
    let stranger = || app.monitor.strangers.refuse(id, "storage");
    let watched = app.monitor.find(id).ok_or_else(stranger)?;
    watched.lock().report_storage(report, Stamp::now());
    app.monitor.unsaved.notify_one();
    Ok(Json(Done::saying("Storage data updated")))
}

impl State {
    fn report_storage(&mut self, report: StorageReport, now: Stamp) {
        let storage = StorageMetrics {
            hostname: report.hostname,
            storage_paths: report.storage_paths,
            raid_arrays: report.raid_arrays,
            zfs_pools: report.zfs_pools,
            disks: report.disks,
            last_updated: Some(now),
        };
        let point = summed_up(&storage, now);
        self.service.storage = Some(storage);
        push(&mut self.service.storage_history, point.clone());
        self.unsaved.storage = true;
        Unsaved::keep(&mut self.unsaved.storage_points, point);
    }
}

/// A point of the history. What is not mounted (contract 08, item 88) has no share in the mean.
fn summed_up(storage: &StorageMetrics, now: Stamp) -> StoragePoint {
    let paths = &storage.storage_paths;
    let mounted: Vec<f64> = paths
        .iter()
        .filter(|path| path.total != 0.0)
        .map(|path| path.percent)
        .collect();
    let raids = Raids::of(storage);
    StoragePoint {
        timestamp: now,
        hostname: storage.hostname.clone(),
        total_capacity: round2(sum(paths.iter().map(|path| path.total))),
        total_used: round2(sum(paths.iter().map(|path| path.used))),
        total_free: round2(sum(paths.iter().map(|path| path.free))),
        average_usage_percent: round2(mean(&mounted)),
        raid_healthy: raids.healthy,
        raid_degraded: raids.degraded,
        raid_failed: raids.failed,
    }
}

#[expect(clippy::cast_precision_loss, reason = "there are not that many paths")]
fn mean(numbers: &[f64]) -> f64 {
    sum(numbers.iter().copied()) / numbers.len().max(1) as f64
}

/// RAID arrays and ZFS pools by how they are. One that recovers is none of the three.
#[derive(Debug, Default, PartialEq)]
struct Raids {
    all: i64,
    healthy: i64,
    degraded: i64,
    failed: i64,
}

impl Raids {
    fn of(storage: &StorageMetrics) -> Self {
        let arrays = storage.raid_arrays.iter().map(|array| &array.status);
        let pools = storage.zfs_pools.iter().map(|pool| &pool.status);
        let mut raids = Self::default();
        for status in arrays.chain(pools) {
            raids.all += 1;
            match status.as_str() {
                "healthy" => raids.healthy += 1,
                "degraded" => raids.degraded += 1,
                "recovering" => {}
                _ => raids.failed += 1,
            }
        }
        raids
    }
}

/// The last points of one machine, oldest first; 100 at most are kept.
#[utoipa::path(get, path = "/api/storage/{service_id}/history", tag = "storage",
    params(
        ("service_id" = String, Path),
        ("limit" = Option<u64>, Query, description = "how many, 100 if it is not given"),
    ),
    responses(
        (status = 200, body = Vec<StoragePoint>),
        (status = 404, body = Detail, description = "No such service"),
        (status = 422, body = ValidationError),
    ))]
async fn storage_history(
    app: AppState,
    Path(id): Path<String>,
    limit: Limit,
) -> ApiResult<Json<Vec<StoragePoint>>> {
    let watched = app.monitor.known(&id)?;
    let points = limit.newest(&watched.lock().service.storage_history);
    Ok(Json(points))
}

/// What was reported last.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
enum CurrentStorage {
    Reported(StorageMetrics),
    Never(NoStorage),
}

/// In place of [`StorageMetrics`] before the first report.
#[derive(Debug, Default, Serialize, ToSchema)]
struct NoStorage {
    /// Null.
    hostname: Option<String>,
    storage_paths: [StoragePath; 0],
    raid_arrays: [RaidArray; 0],
    zfs_pools: [ZfsPool; 0],
    disks: [Disk; 0],
    /// Null.
    #[schema(value_type = Option<String>)]
    last_updated: Option<Stamp>,
}

/// What the agent of one machine reported last, however long ago.
#[utoipa::path(get, path = "/api/storage/{service_id}/current", tag = "storage",
    params(("service_id" = String, Path)),
    responses(
        (status = 200, body = CurrentStorage),
        (status = 404, body = Detail, description = "No such service"),
    ))]
async fn current_storage(app: AppState, Path(id): Path<String>) -> ApiResult<Json<CurrentStorage>> {
    let storage = app.monitor.known(&id)?.lock().service.storage.clone();
    let never = || CurrentStorage::Never(NoStorage::default());
    Ok(Json(storage.map_or_else(never, CurrentStorage::Reported)))
}

/// All machines together. Sizes are gigabytes.
#[derive(Debug, Default, Serialize, ToSchema)]
struct StorageSummary {
    /// All that are watched.
    total_services: usize,
    /// Those whose agents have ever reported their storage; the figures are of these.
    services_with_storage: usize,
    total_capacity: f64,
    total_used: f64,
    total_free: f64,
    /// What is used of the capacity.
    average_usage_percent: f64,
    /// RAID arrays and ZFS pools; those that recover count here only.
    total_raid_arrays: i64,
    healthy_raids: i64,
    degraded_raids: i64,
    failed_raids: i64,
    /// Union file systems without anything in them.
    unmounted_paths: usize,
}

impl StorageSummary {
    fn count(&mut self, storage: &StorageMetrics) {
        self.services_with_storage += 1;
        for path in &storage.storage_paths {
            self.total_capacity = sum([self.total_capacity, path.total]);
            self.total_used = sum([self.total_used, path.used]);
            self.total_free = sum([self.total_free, path.free]);
            let is_union = path.path.to_lowercase().contains("unionfs");
            self.unmounted_paths += usize::from(is_union && path.total == 0.0);
        }
        let raids = Raids::of(storage);
        self.total_raid_arrays += raids.all;
        self.healthy_raids += raids.healthy;
        self.degraded_raids += raids.degraded;
        self.failed_raids += raids.failed;
    }

    /// The share is that of the exact sums.
    fn rounded(self) -> Self {
        let usage = if self.total_capacity > 0.0 {
            // JSON knows no infinity.
            (self.total_used / self.total_capacity * 100.0).min(f64::MAX)
        } else {
            0.0
        };
        Self {
            total_capacity: round2(self.total_capacity),
            total_used: round2(self.total_used),
            total_free: round2(self.total_free),
            average_usage_percent: round2(usage),
            ..self
        }
    }
}

/// What all machines store. Reports are minutes apart, so they do not become too old.
#[utoipa::path(get, path = "/api/storage/summary", tag = "storage",
    responses((status = 200, body = StorageSummary)))]
async fn summarize_storage(app: AppState) -> Json<StorageSummary> {
    let mut summary = StorageSummary::default();
    for watched in app.monitor.all() {
        summary.total_services += 1;
        if let Some(storage) = &watched.lock().service.storage {
            summary.count(storage);
        }
    }
    Json(summary.rounded())
}

/// The routes of this file.
pub(super) fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(update_storage))
        .routes(routes!(summarize_storage))
        .routes(routes!(storage_history))
        .routes(routes!(current_storage))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::monitor::Monitor;
    use crate::monitor::model::Service;

    fn path(path: &str, total: f64, used: f64, percent: f64) -> StoragePath {
        let free = total - used;
        let path = path.to_owned();
        StoragePath {
            path,
            total,
            used,
            free,
            percent,
        }
    }

    fn array(status: &str) -> RaidArray {
        RaidArray {
            device: "/dev/md0".to_owned(),
            status: status.to_owned(),
            level: "raid1".to_owned(),
            devices: 2,
            active_devices: 2,
            failed_devices: 0,
            spare_devices: 0,
            disks: Vec::new(),
        }
    }

    fn pool(status: &str) -> ZfsPool {
        ZfsPool {
            pool: "tank".to_owned(),
            status: status.to_owned(),
            state: "ONLINE".to_owned(),
            kind: "zfs".to_owned(),
            scan: None,
            errors: "none".to_owned(),
            size: None,
            allocated: None,
            free: None,
            capacity: None,
            disks: Vec::new(),
        }
    }

    fn report(paths: Vec<StoragePath>, raids: &[&str], pools: &[&str]) -> StorageReport {
        StorageReport::for_test(
            paths,
            raids.iter().map(|status| array(status)).collect(),
            pools.iter().map(|status| pool(status)).collect(),
        )
    }

    #[test]
    fn a_point_sums_up_what_is_mounted() {
        let monitor = Monitor::of(vec![Service::for_test("a")]);
        let paths = vec![
            path("/", 100.004, 50.0, 50.0),
            path("/mnt/unionfs", 0.0, 0.0, 0.0),
            path("/data", 200.0, 20.0, 10.005),
        ];
        let raids = ["healthy", "degraded", "recovering", "on fire"];
        let now = Stamp::now();
        let watched = monitor.find("a").unwrap();
        let mut state = watched.lock();
        state.report_storage(report(paths, &raids, &["healthy", "failed"]), now);
        let expected = StoragePoint {
            timestamp: now,
            hostname: "host".to_owned(),
            total_capacity: 300.0,
            total_used: 70.0,
            total_free: 230.0,
            // Python: round(30.0025, 2)
            average_usage_percent: 30.0,
            raid_healthy: 2,
            raid_degraded: 1,
            raid_failed: 2,
        };
        assert_eq!(state.service.storage_history, [expected]);
        assert!(state.unsaved.storage);
        assert_eq!(state.service.storage_history, state.unsaved.storage_points);
        drop(state);
    }

    #[test]
    fn nothing_mounted_is_zero_and_not_a_number_that_json_lacks() {
        let report = report(Vec::new(), &[], &[]);
        let monitor = Monitor::of(vec![Service::for_test("a")]);
        let watched = monitor.find("a").unwrap();
        let mut state = watched.lock();
        state.report_storage(report, Stamp::now());
        let point = serde_json::to_string(&state.service.storage_history[0]).unwrap();
        drop(state);
        assert!(point.contains(r#""total_capacity":0.0,"#), "{point}");
        assert!(point.contains(r#""average_usage_percent":0.0,"#), "{point}");
    }

    #[test]
    fn the_summary_counts_machines_paths_and_raids() {
        let mut summary = StorageSummary::default();
        let report_of = |paths, raids: &[&str]| {
            let monitor = Monitor::of(vec![Service::for_test("a")]);
            let watched = monitor.find("a").unwrap();
            let mut state = watched.lock();
            state.report_storage(report(paths, raids, &["recovering"]), Stamp::now());
            state.service.storage.clone().unwrap()
        };
        let paths = vec![
            path("/mnt/UnionFS/films", 0.0, 0.0, 0.0),
            path("/mnt/empty", 0.0, 0.0, 0.0),
            path("/mnt/unionfs", 3.0, 1.0, 33.3),
        ];
        summary.count(&report_of(paths, &["healthy", "degraded"]));
        summary.count(&report_of(Vec::new(), &["", "failed"]));
        let summary = summary.rounded();
        assert_eq!(summary.services_with_storage, 2);
        assert_eq!(summary.unmounted_paths, 1);
        let raids = (
            summary.total_raid_arrays,
            summary.healthy_raids,
            summary.degraded_raids,
            summary.failed_raids,
        );
        assert_eq!(raids, (6, 1, 1, 2), "two of them recover");
        let sizes = serde_json::to_value(&summary).unwrap();
        assert_eq!(sizes["total_capacity"], 3.0);
        assert_eq!(sizes["average_usage_percent"], 33.33);
    }
}
