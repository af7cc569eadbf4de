//! Files in memory, each with its compressed form. The least recently used go when they become
//! too many or too large.

use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use lru::LruCache;
use tokio::sync::OnceCell;

use super::forms::Forms;
use super::found::Found;

/// Larger files are sent from disk and as they are.
pub(super) const LARGEST: u64 = 8 * 1024 * 1024;
/// A built frontend is a twentieth of that.
const ROOM: u64 = 64 * 1024 * 1024;
const MOST_FILES: usize = 512;
/// A file and its compressed forms, none of which is larger than it.
const FORMS: u64 = 3;
/// What an entry takes beside that, roughly.
const OVERHEAD: u64 = 512;

static MEMORY: LazyLock<Mutex<Memory>> = LazyLock::new(|| Mutex::new(Memory::new(ROOM)));

/// A file's place in memory, filled by the first who needs it.
pub(super) type Slot = OnceCell<Forms>;

struct Memory {
    files: LruCache<PathBuf, (Found, Arc<Slot>)>,
    room: u64,
    used: u64,
}

/// The place of a file that is [`LARGEST`] at most: the same for all who ask, until it changes.
pub(super) fn slot(found: &Found) -> Arc<Slot> {
    let mut memory = MEMORY.lock().unwrap_or_else(PoisonError::into_inner);
    memory.slot(found)
}

impl Memory {
    fn new(room: u64) -> Self {
        Self {
            files: LruCache::unbounded(),
            room,
            used: 0,
        }
    }

    fn slot(&mut self, found: &Found) -> Arc<Slot> {
        let known = self.files.get(&found.path);
        if let Some((_, slot)) = known.filter(|(known, _)| known == found) {
            return Arc::clone(slot);
        }
        self.forget(&found.path.clone());
        let weight = weight(found);
        while self.used + weight > self.room || self.files.len() >= MOST_FILES {
            let Some((_, (oldest, _))) = self.files.pop_lru() else {
                break;
            };
            self.used -= self::weight(&oldest);
        }
        self.used += weight;
        let slot = Arc::<Slot>::default();
        let entry = (found.clone(), Arc::clone(&slot));
        self.files.put(found.path.clone(), entry);
        slot
    }

    fn forget(&mut self, path: &Path) {
        if let Some((former, _)) = self.files.pop(path) {
            self.used -= weight(&former);
        }
    }
}

const fn weight(found: &Found) -> u64 {
    let forms = if found.is_text { FORMS } else { 1 };
    found.stamp.bytes * forms + OVERHEAD
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn the_least_recently_used_go_and_a_changed_file_gets_a_new_place() {
        let root = tempfile::tempdir().unwrap();
        let look = |name: &str| Found::look(root.path(), &format!("/{name}")).unwrap();
        for name in ["a.js", "b.js", "c.js"] {
            fs::write(root.path().join(name), vec![b'x'; 2000]).unwrap();
        }
        let (a, b, c) = (look("a.js"), look("b.js"), look("c.js"));
        let mut memory = Memory::new(2 * weight(&a) + 1);
        let first = memory.slot(&a);
        memory.slot(&b);
        assert!(Arc::ptr_eq(&first, &memory.slot(&a)));
        memory.slot(&c);
        assert_eq!(memory.files.len(), 2);
        assert!(!memory.files.contains(&b.path), "the oldest one went");
        assert_eq!(memory.used, 2 * weight(&a));

        fs::write(root.path().join("a.js"), vec![b'y'; 3000]).unwrap();
        let changed = look("a.js");
        assert!(!Arc::ptr_eq(&first, &memory.slot(&changed)));
        let used: u64 = memory.files.iter().map(|(_, (f, _))| weight(f)).sum();
        assert_eq!(memory.used, used);
        assert!(memory.used <= memory.room);
    }

    #[test]
    fn even_empty_files_are_not_kept_without_end() {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("a"), "").unwrap();
        let mut found = Found::look(root.path(), "/a").unwrap();
        let mut memory = Memory::new(ROOM);
        for n in 0..2 * MOST_FILES {
            found.path = PathBuf::from(n.to_string());
            memory.slot(&found);
        }
        assert_eq!(memory.files.len(), MOST_FILES);
    }
}
