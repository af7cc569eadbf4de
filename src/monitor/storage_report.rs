//! The body of `POST /api/storage/update`.

use utoipa::ToSchema;

use super::model::{Disk, RaidArray, RaidDisk, StoragePath, ZfsDisk, ZfsPool};
use crate::compat::validation::{Fields, FromFields};

/// The name of a machine has 253 characters at most (RFC 1035). Every point of the history holds
/// it.
const LONGEST_HOSTNAME: usize = 255;

/// What an agent sends. Sizes are gigabytes.
#[derive(Debug, ToSchema)]
pub(super) struct StorageReport {
    pub(super) service_id: String,
    #[schema(max_length = 255)]
    pub(super) hostname: String,
    /// The agent's clock; ours counts (contract 08, item 90).
    #[expect(dead_code, reason = "it has to be there, as in 3.3.0")]
    timestamp: String,
    pub(super) storage_paths: Vec<StoragePath>,
    #[schema(required = false)]
    pub(super) raid_arrays: Vec<RaidArray>,
    #[schema(required = false)]
    pub(super) zfs_pools: Vec<ZfsPool>,
    #[schema(required = false)]
    pub(super) disks: Vec<Disk>,
}

impl FromFields for StorageReport {
    fn from_fields(fields: &mut Fields) -> Self {
        let report = Self {
            service_id: fields.string("service_id"),
            hostname: fields.string("hostname"),
            timestamp: fields.string("timestamp"),
            storage_paths: fields.list("storage_paths"),
            raid_arrays: fields.list_or_empty("raid_arrays"),
            zfs_pools: fields.list_or_empty("zfs_pools"),
            disks: fields.list_or_empty("disks"),
        };
        if report.hostname.chars().count() > LONGEST_HOSTNAME {
            let msg = "String should have at most 255 characters";
            fields.refuse("hostname", "string_too_long", msg);
        }
        report
    }
}

impl FromFields for StoragePath {
    fn from_fields(fields: &mut Fields) -> Self {
        Self {
            path: fields.string("path"),
            total: fields.number("total"),
            used: fields.number("used"),
            free: fields.number("free"),
            percent: fields.number("percent"),
        }
    }
}

impl FromFields for RaidArray {
    fn from_fields(fields: &mut Fields) -> Self {
        Self {
            device: fields.string("device"),
            status: fields.string("status"),
            level: fields.string("level"),
            devices: fields.integer("devices"),
            active_devices: fields.integer("active_devices"),
            failed_devices: fields.integer("failed_devices"),
            spare_devices: fields.integer("spare_devices"),
            disks: fields.list_or_empty("disks"),
        }
    }
}

impl FromFields for RaidDisk {
    fn from_fields(fields: &mut Fields) -> Self {
        Self {
            device: fields.string("device"),
            state: fields.string("state"),
            role: fields.string("role"),
        }
    }
}

impl FromFields for ZfsPool {
    fn from_fields(fields: &mut Fields) -> Self {
        Self {
            pool: fields.string("pool"),
            status: fields.string("status"),
            state: fields.string("state"),
            kind: fields.string_or("type", "zfs"),
            scan: fields.optional_string("scan"),
            errors: fields.string_or("errors", "none"),
            size: fields.optional_string("size"),
            allocated: fields.optional_string("allocated"),
            free: fields.optional_string("free"),
            capacity: fields.optional_string("capacity"),
            disks: fields.list_or_empty("disks"),
        }
    }
}

impl FromFields for ZfsDisk {
    fn from_fields(fields: &mut Fields) -> Self {
        Self {
            device: fields.string("device"),
            state: fields.string("state"),
            vdev_type: fields.optional_string("vdev_type"),
            read_errors: fields.optional_integer("read_errors"),
            write_errors: fields.optional_integer("write_errors"),
            cksum_errors: fields.optional_integer("cksum_errors"),
        }
    }
}

impl FromFields for Disk {
    fn from_fields(fields: &mut Fields) -> Self {
        Self {
            device: fields.string("device"),
            mountpoint: fields.string("mountpoint"),
            fstype: fields.string("fstype"),
            read_bytes: fields.optional_integer("read_bytes"),
            write_bytes: fields.optional_integer("write_bytes"),
            read_count: fields.optional_integer("read_count"),
            write_count: fields.optional_integer("write_count"),
        }
    }
}

#[cfg(test)]
impl StorageReport {
    /// Of a machine named `host`.
    pub(super) fn for_test(
        storage_paths: Vec<StoragePath>,
        raid_arrays: Vec<RaidArray>,
        zfs_pools: Vec<ZfsPool>,
    ) -> Self {
        Self {
            service_id: "a".to_owned(),
            hostname: "host".to_owned(),
            timestamp: String::new(),
            storage_paths,
            raid_arrays,
            zfs_pools,
            disks: Vec::new(),
        }
    }
}
