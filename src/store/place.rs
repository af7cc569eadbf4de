//! The file system below the database, and who else is there.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use rustix::fs::{Access, access, statfs, statvfs};

/// Whether `path` lies where other machines, or a program in between, may hide changes from the
/// shared memory that WAL needs. FUSE counts: some of its file systems have no such memory, and
/// which one it is does not show.
pub(super) fn is_network(path: &Path) -> bool {
    // A magic number has 32 bits; the field's type differs between platforms.
    let kind = statfs(path).map(|about| i128::from(about.f_type) & 0xffff_ffff);
    let kind = kind.ok().and_then(|kind| u32::try_from(kind).ok());
    kind.is_some_and(is_network_kind)
}

/// Linux's `f_type` numbers (statfs(2), `linux/magic.h`).
const fn is_network_kind(kind: u32) -> bool {
    const AFS: u32 = 0x5346_414f;
    const CEPH: u32 = 0x00c3_6400;
    const CIFS: u32 = 0xff53_4d42;
    const FUSE: u32 = 0x6573_5546;
    const GFS2: u32 = 0x0116_1970;
    const LUSTRE: u32 = 0x0bd0_0bd0;
    const NFS: u32 = 0x6969;
    const NINE_P: u32 = 0x0102_1997;
    const OCFS2: u32 = 0x7461_636f;
    const SMB: u32 = 0x517b;
    const SMB2: u32 = 0xfe53_4d42;
    const VBOX: u32 = 0x786f_4256;
    matches!(
        kind,
        AFS | CEPH | CIFS | FUSE | GFS2 | LUSTRE | NFS | NINE_P | OCFS2 | SMB | SMB2 | VBOX
    )
}

/// Bytes that can still be written below `directory`; `None` where that can't be known.
pub(super) fn free_space(directory: &Path) -> Option<u64> {
    let about = statvfs(directory).ok()?;
    // Some file systems report no sizes at all.
    (about.f_blocks > 0).then(|| about.f_bavail.saturating_mul(about.f_frsize))
}

/// Whether the database at `path` can be written: SQLite needs the directory for its journal.
pub(super) fn is_writable(directory: &Path, path: &Path) -> bool {
    access(directory, Access::WRITE_OK | Access::EXEC_OK).is_ok()
        && (!path.exists() || access(path, Access::WRITE_OK).is_ok())
}

/// Other processes that have `path` open, as far as this one may see: `pid 4711, python3`.
pub(super) fn other_users(path: &Path) -> Vec<String> {
    let Ok(file) = fs::metadata(path) else {
        return Vec::new();
    };
    let own = std::process::id();
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    processes
        .filter_map(|process| process.file_name().to_str()?.parse::<u32>().ok())
        .filter(|&pid| pid != own && has_open(pid, &file, path))
        .map(|pid| {
            let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
            format!("pid {pid}, {}", name.trim())
        })
        .collect()
}

fn has_open(pid: u32, file: &fs::Metadata, path: &Path) -> bool {
    let open = fs::read_dir(format!("/proc/{pid}/fd"));
    open.into_iter().flatten().flatten().any(|descriptor| {
        // The name first: asking for a file's identity may block on a network file system.
        let named = fs::read_link(descriptor.path());
        named.is_ok_and(|name| name.file_name() == path.file_name())
            && fs::metadata(descriptor.path())
                .is_ok_and(|one| (one.dev(), one.ino()) == (file.dev(), file.ino()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn network_file_systems_are_known_and_local_ones_are_not_among_them() {
        let (ext4, btrfs, xfs, tmpfs, overlay, zfs) = (
            0xef53,
            0x9123_683e,
            0x5846_5342,
            0x0102_1994,
            0x794c_7630,
            0x2fc1_2fc1,
        );
        for local in [ext4, btrfs, xfs, tmpfs, overlay, zfs] {
            assert!(!is_network_kind(local), "{local:x}");
        }
        for network in [0x6969, 0xff53_4d42, 0xfe53_4d42, 0x0102_1997, 0x6573_5546] {
            assert!(is_network_kind(network), "{network:x}");
        }
    }

    #[test]
    fn only_other_processes_count() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("komandorr.db");
        let _own = fs::File::create(&path).unwrap();
        assert!(other_users(&path).is_empty());
        let mut other = std::process::Command::new("sleep")
            .arg("60")
            .stdin(fs::File::open(&path).unwrap())
            .spawn()
            .unwrap();
        let users = other_users(&path);
        other.kill().unwrap();
        other.wait().unwrap();
        assert!(
            users[0].starts_with(&format!("pid {}, ", other.id())),
            "{users:?}"
        );
    }
}
