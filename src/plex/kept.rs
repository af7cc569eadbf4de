//! The last good answers, kept on disk over a restart.
//!
//! They are served as stale until the first fetch is in, so that pages have something to show when
//! Komandorr and Plex start together. The file is private, bounded, and of no use to anybody else:
//! one that is broken, of another version or of another Plex server is ignored.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fmt::Write as _;
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::Utc;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};

use super::caches::CACHES;
use crate::app::AppState;
use crate::cache::Origin;
use crate::settings::{PlexTarget, Settings};
use crate::tasks::Tasks;

const FILE_NAME: &str = "last-answers.json";
/// Rises when the form of an answer changes.
const VERSION: u32 = 1;
const INTERVAL: Duration = Duration::from_secs(60);
/// A larger answer is not kept, and a larger file not read.
const LARGEST_ANSWER: usize = 2 * 1024 * 1024;
const LARGEST_FILE: u64 = 16 * 1024 * 1024;

#[derive(Serialize, Deserialize)]
struct File {
    version: u32,
    /// Which Plex server the answers are of: a keyed hash, from which neither address nor token
    /// can be had.
    server: String,
    /// By the name of the cache.
    answers: BTreeMap<String, Kept>,
}

#[derive(Serialize, Deserialize)]
struct Kept {
    /// Seconds after 1970.
    fetched_at: i64,
    value: Box<RawValue>,
}

/// What has been done to the file; locked while something is done to it.
static DISK: Mutex<Disk> = Mutex::new(Disk {
    last: 0,
    written: None,
});

struct Disk {
    /// The latest turn that has been taken.
    last: u64,
    /// What was written last, so that an idle server does not write the same again.
    written: Option<[u8; 32]>,
}

/// Puts the answers of the last run into the caches, if they are of the same Plex server.
pub async fn restore_answers(app: &AppState) {
    let settings = app.settings.current();
    let path = path(&settings);
    let read = tokio::task::spawn_blocking(move || read(&path)).await;
    let (Ok(Some(file)), Some(server)) = (read, identity(app, &settings)) else {
        return;
    };
    if file.version != VERSION || file.server != server {
        return;
    }
    let mut restored = 0;
    for one in &CACHES {
        let Some(kept) = file.answers.get(one.cache.name()) else {
            continue;
        };
        // A clock that was set back since makes the age unknowable.
        let Ok(age) = u64::try_from(Utc::now().timestamp() - kept.fetched_at) else {
            continue;
        };
        let age = Duration::from_secs(age);
        let origin = Origin(settings.plex_revision);
        restored += u32::from(one.cache.import(origin, &kept.value, age));
    }
    tracing::debug!("{restored} answers of the last run are at hand until Plex is asked");
}

/// Keeps the newest answers every minute.
pub fn start_keeping_answers(app: &AppState, tasks: &Tasks) {
    let app = app.clone();
    tasks.every("Keeping answers", INTERVAL, move || {
        let app = app.clone();
        async move {
            warn_once(keep_answers(&app).await);
            Ok::<(), Infallible>(())
        }
    });
}

/// A disk that can't be written stays so for a while: one warning until it can.
fn warn_once(kept: io::Result<()>) {
    static SAID: AtomicBool = AtomicBool::new(false);
    match kept {
        Ok(()) => SAID.store(false, Ordering::Relaxed),
        Err(error) if SAID.swap(true, Ordering::Relaxed) => {
            tracing::debug!("The last answers were not kept: {error}");
        }
        Err(error) => tracing::warn!("The last answers were not kept: {error}"),
    }
}

/// Writes the newest answers to disk, unless they are there already.
///
/// # Errors
/// They can't be written.
pub async fn keep_answers(app: &AppState) -> io::Result<()> {
    // Before the values are looked at: a clear that comes after it has the last word.
    let turn = turn();
    let settings = app.settings.current();
    let Some(server) = identity(app, &settings) else {
        return Ok(());
    };
    let work = tokio::task::spawn_blocking(move || {
        let answers = newest(&settings);
        if answers.is_empty() {
            return Ok(());
        }
        let file = File {
            version: VERSION,
            server,
            answers,
        };
        lock().save(turn, &path(&settings), &file)
    });
    work.await.map_err(io::Error::other)?
}

/// Removes what has been kept, once the caches are empty.
pub(super) async fn forget_answers(app: &AppState) {
    let turn = turn();
    let path = path(&app.settings.current());
    let work = tokio::task::spawn_blocking(move || lock().remove(turn, &path));
    if let Err(error) = work.await.map_err(io::Error::other).flatten() {
        tracing::warn!("{FILE_NAME} could not be removed: {error}");
    }
}

fn newest(settings: &Settings) -> BTreeMap<String, Kept> {
    let now = Utc::now();
    let kept = CACHES.iter().filter_map(|one| {
        let (value, age) = one.cache.export(Origin(settings.plex_revision))?;
        let fetched_at = (now - age).timestamp();
        let fits = value.get().len() <= LARGEST_ANSWER;
        fits.then(|| (one.cache.name().to_owned(), Kept { fetched_at, value }))
    });
    kept.collect()
}

fn path(settings: &Settings) -> PathBuf {
    settings.data_dir.join(FILE_NAME)
}

fn read(path: &Path) -> Option<File> {
    if fs::metadata(path).ok()?.len() > LARGEST_FILE {
        return None;
    }
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

/// Turns rise in the order in which they are drawn.
fn turn() -> u64 {
    static LAST: AtomicU64 = AtomicU64::new(0);
    LAST.fetch_add(1, Ordering::Relaxed) + 1
}

fn lock() -> MutexGuard<'static, Disk> {
    DISK.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Disk {
    /// Writes the file, unless it is there already or something later has been done to it.
    fn save(&mut self, turn: u64, path: &Path, file: &File) -> io::Result<()> {
        let json = serde_json::to_vec(file)?;
        let digest = Sha256::digest(&json).into();
        if turn < self.last || self.written == Some(digest) {
            return Ok(());
        }
        replace(path, &json)?;
        self.last = turn;
        self.written = Some(digest);
        Ok(())
    }

    /// Removes the file, and with it what saves that began earlier are still to write.
    fn remove(&mut self, turn: u64, path: &Path) -> io::Result<()> {
        self.last = self.last.max(turn);
        self.written = None;
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

/// Not synced to disk: a file that a power cut has broken is ignored. What a kill leaves behind has
/// one name, so that it does not add up.
fn replace(path: &Path, json: &[u8]) -> io::Result<()> {
    let new = path.with_extension("new");
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    let written = options
        .open(&new)
        .and_then(|mut file| file.write_all(json))
        .and_then(|()| fs::rename(&new, path));
    if written.is_err() {
        // It may be what fills the disk.
        let _ = fs::remove_file(&new);
    }
    written
}

/// Names the configured Plex server without telling anything about it.
fn identity(app: &AppState, settings: &Settings) -> Option<String> {
    let PlexTarget { base_url, token } = settings.plex.as_ref()?;
    let mut keyed = Hmac::<Sha256>::new_from_slice(app.store.installation().as_bytes()).ok()?;
    keyed.update(base_url.as_str().as_bytes());
    keyed.update(&[0]);
    keyed.update(token.expose().as_bytes());
    let digest = keyed.finalize().into_bytes();
    Some(digest.iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    }))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use tokio_util::sync::CancellationToken;

    use super::super::stats::STATS;
    use super::*;
    use crate::cache::CacheAdmin as _;
    use crate::settings::Environment;

    fn file(fetched_at: i64) -> File {
        let value = RawValue::from_string("{}".to_owned()).unwrap();
        File {
            version: VERSION,
            server: "x".to_owned(),
            answers: [("a".to_owned(), Kept { fetched_at, value })].into(),
        }
    }

    fn kept_at(path: &Path) -> Option<i64> {
        read(path).map(|file| file.answers["a"].fetched_at)
    }

    #[test]
    fn a_save_never_undoes_what_came_after_its_turn() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(FILE_NAME);
        let mut disk = Disk {
            last: 0,
            written: None,
        };
        disk.save(1, &path, &file(1)).unwrap();
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!((kept_at(&path), mode & 0o777), (Some(1), 0o600));
        disk.remove(3, &path).unwrap();
        disk.save(2, &path, &file(2)).unwrap();
        assert_eq!(kept_at(&path), None, "it began before the clear");
        disk.save(5, &path, &file(5)).unwrap();
        disk.save(4, &path, &file(4)).unwrap();
        assert_eq!(kept_at(&path), Some(5), "the newest values stay");

        fs::remove_file(&path).unwrap();
        disk.save(6, &path, &file(5)).unwrap();
        assert_eq!(kept_at(&path), None, "the same is not written again");
        disk.remove(7, &path).unwrap();
        disk.save(8, &path, &file(5)).unwrap();
        assert_eq!(kept_at(&path), Some(5), "after a clear it is");
        let files = fs::read_dir(directory.path()).unwrap().count();
        assert_eq!(files, 1, "nothing else is left behind");
    }

    #[test]
    fn a_file_that_is_too_large_is_not_read() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(FILE_NAME);
        let mut json = serde_json::to_vec(&file(1)).unwrap();
        fs::write(&path, &json).unwrap();
        assert_eq!(kept_at(&path), Some(1));
        json.resize(usize::try_from(LARGEST_FILE).unwrap() + 1, b' ');
        fs::write(&path, &json).unwrap();
        assert_eq!(kept_at(&path), None);
    }

    #[tokio::test]
    async fn the_newest_values_are_written_every_minute() {
        let directory = tempfile::tempdir().unwrap();
        let environment = Environment::from_pairs([
            ("PLEX_SERVER_URL", "http://plex:32400"),
            ("PLEX_SERVER_TOKEN", "geheim"),
        ]);
        let app = AppState::for_test(directory.path(), environment).await;
        let revision = app.settings.current().plex_revision;
        let totals = RawValue::from_string(
            r#"{"peak_concurrent":0,"last_updated":null,"server_url":"","server_name":"",
            "token_configured":true,"total_users":1,"total_movies":2,"total_tv_shows":3}"#
                .to_owned(),
        );
        assert!(STATS.import(Origin(revision), &totals.unwrap(), Duration::ZERO));

        let path = directory.path().join(FILE_NAME);
        tokio::time::pause();
        let tasks = Tasks::new(CancellationToken::new());
        start_keeping_answers(&app, &tasks);
        tokio::time::sleep(Duration::from_secs(59)).await;
        assert!(!path.exists());
        tokio::time::sleep(Duration::from_secs(2)).await;
        let kept = read(&path).unwrap();
        assert!(kept.answers.contains_key(STATS.name()));
        tokio::time::resume();
        tasks.stop(Duration::from_secs(1)).await;
    }
}
