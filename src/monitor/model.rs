//! What is known of a service, as answers show it (contract 03, section 1): the fields in
//! 3.3.0's order.

use std::collections::VecDeque;

use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::compat::Stamp;

/// Points of each history that are kept in memory and shown.
pub const SHOWN_POINTS: usize = 100;
/// Points of each history of a service that are kept in the database.
pub const STORED_POINTS: usize = 1000;

/// The kinds of service, as the frontend names them.
pub const KINDS: [&str; 5] = ["app", "website", "panel", "project", "server"];

/// How a service is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// It answers as it should.
    Online,
    /// It does not answer, or was never asked.
    Offline,
    /// It answers with an error, or too late.
    Problem,
}

impl Status {
    /// As database and answers have it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Online => "online",
            Self::Offline => "offline",
            Self::Problem => "problem",
        }
    }

    /// The reverse of [`Self::name`].
    pub fn named(name: &str) -> Option<Self> {
        [Self::Online, Self::Offline, Self::Problem]
            .into_iter()
            .find(|status| status.name() == name)
    }
}

/// What people say about a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Form {
    /// Its name; may be empty.
    pub name: String,
    /// Where it is; may be anything.
    pub url: String,
    /// One of [`KINDS`] (an old database may hold others).
    pub kind: String,
    /// What it is for.
    pub description: Option<String>,
    /// The address of its picture.
    pub icon: Option<String>,
    /// The heading under which it is shown.
    pub group: Option<String>,
}

/// A service and all that is known of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Service {
    /// A UUID, as text.
    pub id: String,
    /// What people say about it.
    pub form: Form,
    /// How it was when it was last checked.
    pub status: Status,
    /// When that was.
    pub last_check: Option<Stamp>,
    /// What that took, in milliseconds.
    pub response_time: Option<f64>,
    /// What its agent reported last.
    pub traffic: Option<TrafficMetrics>,
    /// Oldest first, [`SHOWN_POINTS`] at most; so are the others.
    pub traffic_history: VecDeque<TrafficPoint>,
    /// What checks took.
    pub response_history: VecDeque<ResponsePoint>,
    /// What its agent reported last.
    pub storage: Option<StorageMetrics>,
    /// Sums of what was reported.
    pub storage_history: VecDeque<StoragePoint>,
}

impl Service {
    /// One that nothing is known of but what people say.
    pub fn new(id: String, form: Form) -> Self {
        Self {
            id,
            form,
            status: Status::Offline,
            last_check: None,
            response_time: None,
            traffic: None,
            traffic_history: VecDeque::new(),
            response_history: VecDeque::new(),
            storage: None,
            storage_history: VecDeque::new(),
        }
    }
}

/// What an agent measures of a machine's network.
#[derive(Clone, Debug, Default, PartialEq, Serialize, ToSchema)]
pub struct TrafficMetrics {
    /// Megabytes per second, sent.
    pub bandwidth_up: f64,
    /// Megabytes per second, received.
    pub bandwidth_down: f64,
    /// Gigabytes sent since the agent's counters began.
    pub total_up: f64,
    /// Gigabytes received since the agent's counters began.
    pub total_down: f64,
    /// What the line could carry, in megabytes per second.
    pub max_bandwidth: Option<f64>,
    /// Load of the processors.
    pub cpu_percent: Option<f64>,
    /// Memory in use.
    pub memory_percent: Option<f64>,
    /// When it was reported.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub last_updated: Option<Stamp>,
}

/// A moment of [`TrafficMetrics`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, ToSchema)]
pub struct TrafficPoint {
    /// When it was reported.
    #[schema(value_type = String, format = DateTime)]
    pub timestamp: Stamp,
    /// Megabytes per second, sent.
    pub bandwidth_up: f64,
    /// Megabytes per second, received.
    pub bandwidth_down: f64,
    /// Gigabytes sent since the agent's counters began.
    pub total_up: f64,
    /// Gigabytes received since the agent's counters began.
    pub total_down: f64,
}

/// What a check took.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, ToSchema)]
pub struct ResponsePoint {
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub timestamp: Stamp,
    /// Milliseconds.
    pub response_time: f64,
}

/// What an agent measures of a machine's disks. Sizes are gigabytes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct StorageMetrics {
    /// The machine's name.
    pub hostname: String,
    /// Where something is mounted.
    #[serde(default, deserialize_with = "readable")]
    pub storage_paths: Vec<StoragePath>,
    /// Software RAID.
    #[serde(default, deserialize_with = "readable")]
    pub raid_arrays: Vec<RaidArray>,
    /// ZFS.
    #[serde(default, deserialize_with = "readable")]
    pub zfs_pools: Vec<ZfsPool>,
    /// Partitions.
    #[serde(default, deserialize_with = "readable")]
    pub disks: Vec<Disk>,
    /// When it was reported.
    #[serde(default, deserialize_with = "unread")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub last_updated: Option<Stamp>,
}

/// The time is read from a column of its own. (What serde skips, the description of the API lacks.)
fn unread<'de, D: Deserializer<'de>>(there: D) -> Result<Option<Stamp>, D::Error> {
    IgnoredAny::deserialize(there).map(|_ignored| None)
}

/// Where something is mounted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct StoragePath {
    /// The mount point.
    pub path: String,
    /// Gigabytes.
    pub total: f64,
    /// Gigabytes.
    pub used: f64,
    /// Gigabytes.
    pub free: f64,
    /// Of the total, used.
    pub percent: f64,
}

/// A software RAID.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RaidArray {
    /// Its device.
    pub device: String,
    /// `healthy`, `degraded`, `recovering`, `failed`, or what the system says.
    pub status: String,
    /// Such as `raid1`.
    pub level: String,
    /// How many it should have.
    pub devices: i64,
    /// How many it has.
    pub active_devices: i64,
    /// How many have failed.
    pub failed_devices: i64,
    /// How many are in reserve.
    pub spare_devices: i64,
    /// Its members.
    #[serde(default, deserialize_with = "readable")]
    pub disks: Vec<RaidDisk>,
}

/// A member of a RAID.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RaidDisk {
    /// Its device.
    pub device: String,
    /// How it is.
    pub state: String,
    /// What it does.
    pub role: String,
}

/// A ZFS pool.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ZfsPool {
    /// Its name.
    pub pool: String,
    /// As of a RAID.
    pub status: String,
    /// Such as `ONLINE`.
    pub state: String,
    /// `zfs`.
    #[serde(rename = "type", default = "zfs")]
    pub kind: String,
    /// What the last scrub found.
    pub scan: Option<String>,
    /// `none`, or what is wrong.
    #[serde(default = "none")]
    pub errors: String,
    /// With its unit.
    pub size: Option<String>,
    /// With its unit.
    pub allocated: Option<String>,
    /// With its unit.
    pub free: Option<String>,
    /// With its unit.
    pub capacity: Option<String>,
    /// Its members.
    #[serde(default, deserialize_with = "readable")]
    pub disks: Vec<ZfsDisk>,
}

/// A member of a ZFS pool.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ZfsDisk {
    /// Its device.
    pub device: String,
    /// How it is.
    pub state: String,
    /// Such as `mirror`.
    pub vdev_type: Option<String>,
    /// Since the last reset.
    pub read_errors: Option<i64>,
    /// Since the last reset.
    pub write_errors: Option<i64>,
    /// Since the last reset.
    pub cksum_errors: Option<i64>,
}

/// A partition.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Disk {
    /// Its device.
    pub device: String,
    /// Where it is mounted.
    pub mountpoint: String,
    /// Its file system.
    pub fstype: String,
    /// Bytes since the machine started.
    pub read_bytes: Option<i64>,
    /// Bytes since the machine started.
    pub write_bytes: Option<i64>,
    /// Operations since the machine started.
    pub read_count: Option<i64>,
    /// Operations since the machine started.
    pub write_count: Option<i64>,
}

/// A moment of [`StorageMetrics`], summed up. Sizes are gigabytes.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct StoragePoint {
    /// When it was reported.
    #[schema(value_type = String, format = DateTime)]
    pub timestamp: Stamp,
    /// The machine's name.
    pub hostname: String,
    /// Of all paths.
    pub total_capacity: f64,
    /// Of all paths.
    pub total_used: f64,
    /// Of all paths.
    pub total_free: f64,
    /// The mean of all paths.
    pub average_usage_percent: f64,
    /// Arrays and pools that are healthy.
    pub raid_healthy: i64,
    /// Arrays and pools that lack a member.
    pub raid_degraded: i64,
    /// Arrays and pools that have failed.
    pub raid_failed: i64,
}

/// The elements of a list in the database that can be read: a broken one costs only itself.
fn readable<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: DeserializeOwned,
{
    let elements: Option<Vec<Value>> = Option::deserialize(deserializer)?;
    let read = |element| serde_json::from_value(element).ok();
    Ok(elements.into_iter().flatten().filter_map(read).collect())
}

fn zfs() -> String {
    "zfs".to_owned()
}

fn none() -> String {
    "none".to_owned()
}

/// Adds a point to a history that is shown.
pub fn push<T>(history: &mut VecDeque<T>, point: T) {
    if history.len() >= SHOWN_POINTS {
        history.pop_front();
    }
    history.push_back(point);
}

/// The sum. No JSON can hold infinity, so that is as far as it goes, and no further.
pub(super) fn sum(numbers: impl IntoIterator<Item = f64>) -> f64 {
    let add = |sum: f64, number: f64| (sum + number).clamp(f64::MIN, f64::MAX);
    numbers.into_iter().fold(0.0, add)
}

#[cfg(test)]
impl Service {
    /// A machine that nothing is known of yet.
    pub(super) fn for_test(id: &str) -> Self {
        let form = Form {
            name: format!("Service {id}"),
            url: "http://192.0.2.1".to_owned(),
            kind: "server".to_owned(),
            description: None,
            icon: None,
            group: None,
        };
        Self::new(id.to_owned(), form)
    }
}
