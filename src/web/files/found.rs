//! A look at the disk: which file a request means, and whether it is still the one in memory.

use std::ffi::OsString;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::web::contained;

/// Below this, compression saves less than it costs: the file fits into one packet anyway.
const WORTH_COMPRESSING: u64 = 1024;
/// What is worth compressing, by the end of its name. Pictures and web fonts are compressed already.
const TEXT: [&str; 16] = [
    "css",
    "csv",
    "html",
    "ico",
    "js",
    "json",
    "map",
    "md",
    "mjs",
    "otf",
    "svg",
    "ttf",
    "txt",
    "wasm",
    "webmanifest",
    "xml",
];

/// A file as it was at the look. Equal to an earlier one if nothing has changed since.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::web) struct Found {
    /// Where it is, without any links in it.
    pub(in crate::web) path: PathBuf,
    pub(super) stamp: Stamp,
    /// Whether it is worth compressing.
    pub(super) is_text: bool,
    /// Its compressed forms beside it, such as `index.js.br`, unless they are older than it.
    pub(super) brotli: Option<Beside>,
    pub(super) gzip: Option<Beside>,
}

/// A compressed form that came with the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Beside {
    pub(super) path: PathBuf,
    stamp: Stamp,
}

/// What changes when a file does: by writing to it, or by putting another one in its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    pub(super) bytes: u64,
    pub(super) modified: Option<SystemTime>,
    inode: (u64, u64),
    changed: (i64, i64),
}

impl Found {
    /// The file below `root` that the path of a request means, if there is one and it lies there.
    /// Waits for the disk.
    pub(in crate::web) fn look(root: &Path, path: &str) -> Option<Self> {
        let path = contained::find(root, path)?;
        let stamp = Stamp::of(&path.metadata().ok()?);
        let end = path.extension().and_then(|end| end.to_str());
        let end = end.unwrap_or_default().to_ascii_lowercase();
        let is_text = stamp.bytes > WORTH_COMPRESSING && TEXT.contains(&end.as_str());
        let beside = |end| is_text.then(|| Beside::look(&path, stamp, end)).flatten();
        Some(Self {
            stamp,
            is_text,
            brotli: beside(".br"),
            gzip: beside(".gz"),
            path,
        })
    }
}

impl Beside {
    fn look(path: &Path, of: Stamp, end: &str) -> Option<Self> {
        let mut beside = OsString::from(path);
        beside.push(end);
        let path = PathBuf::from(beside);
        // A link may lead anywhere; a file in the same place does not.
        let about = path.symlink_metadata().ok()?;
        let stamp = Stamp::of(&about);
        let is_of_it = stamp.modified >= of.modified && stamp.bytes < of.bytes;
        (about.is_file() && is_of_it).then_some(Self { path, stamp })
    }
}

impl Stamp {
    pub(super) fn of(about: &Metadata) -> Self {
        Self {
            bytes: about.len(),
            modified: about.modified().ok(),
            inode: (about.dev(), about.ino()),
            changed: (about.ctime(), about.ctime_nsec()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_compressed_form_counts_if_it_is_not_older_and_no_link() {
        let root = tempfile::tempdir().unwrap();
        let file = |name: &str, bytes: usize, age: u64| {
            let path = root.path().join(name);
            fs::write(&path, vec![b'x'; bytes]).unwrap();
            let file = fs::File::options().write(true).open(&path).unwrap();
            let when = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000 - age);
            file.set_modified(when).unwrap();
        };
        file("a.js", 2000, 10);
        file("a.js.gz", 100, 10);
        file("a.js.br", 100, 11);
        let a = Found::look(root.path(), "/a.js").unwrap();
        assert!(a.is_text && a.gzip.is_some() && a.brotli.is_none(), "{a:?}");

        file("b.css", 2000, 10);
        file("b.css.gz", 2000, 0);
        symlink(root.path().join("a.js.gz"), root.path().join("b.css.br")).unwrap();
        let b = Found::look(root.path(), "/b.css").unwrap();
        assert!(b.gzip.is_none() && b.brotli.is_none(), "{b:?}");

        file("c.png", 2000, 10);
        file("c.png.gz", 100, 0);
        let c = Found::look(root.path(), "/c.png").unwrap();
        assert!(!c.is_text && c.gzip.is_none(), "{c:?}");
        file("d.txt", 1024, 10);
        assert!(!Found::look(root.path(), "/d.txt").unwrap().is_text);
    }

    #[test]
    fn every_change_shows() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("a.js");
        fs::write(&path, vec![b'x'; 2000]).unwrap();
        let look = || Found::look(root.path(), "/a.js").unwrap();
        let first = look();
        assert_eq!(first, look());
        // The same length and the same time, as files of a reproducible build have.
        let other = root.path().join("other");
        fs::write(&other, vec![b'y'; 2000]).unwrap();
        let file = fs::File::options().write(true).open(&other).unwrap();
        file.set_modified(first.stamp.modified.unwrap()).unwrap();
        fs::rename(&other, &path).unwrap();
        let second = look();
        assert_ne!(first, second);
        fs::write(root.path().join("a.js.gz"), "x").unwrap();
        assert_ne!(second, look());
    }
}
