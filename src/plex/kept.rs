//! The last good answers, kept on disk over a restart.
//!
//! They are served as stale until the first fetch is in, so that pages have something to show when
//! Komandorr and Plex start together. The file is private, bounded, and of no use to anybody else:
//! one that is broken, of another version or of another Plex server is ignored.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use chrono::Utc;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};
use tokio::sync::Mutex as Turn;
use tokio::sync::MutexGuard;

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

/// Held from the look at the caches to the end of the write, and while the file is removed: what a
/// clearing has removed must not be written again. Holds the hash of what was written last, so
/// that an idle server does not write the same again.
static WRITTEN: Turn<Option<[u8; 32]>> = Turn::const_new(None);

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
        async move { keep_answers(&app).await }
    });
}

/// Writes the newest answers to disk, unless they are there already.
///
/// # Errors
/// They can't be written.
pub async fn keep_answers(app: &AppState) -> io::Result<()> {
    let settings = app.settings.current();
    let Some(server) = identity(app, &settings) else {
        return Ok(());
    };
    let written = WRITTEN.lock().await;
    let answers = newest(&settings);
    if answers.is_empty() {
        return Ok(());
    }
    let file = File {
        version: VERSION,
        server,
        answers,
    };
    let path = path(&settings);
    let work = tokio::task::spawn_blocking(move || write_if_new(&path, &file, written));
    work.await.map_err(io::Error::other)?
}

/// Removes what has been kept. To be called after the caches have been cleared.
pub(super) async fn forget_answers(app: &AppState) {
    let path = path(&app.settings.current());
    let mut written = WRITTEN.lock().await;
    let work = tokio::task::spawn_blocking(move || {
        *written = None;
        std::fs::remove_file(path)
    });
    match work.await.map_err(io::Error::other) {
        Ok(Err(error)) if error.kind() != io::ErrorKind::NotFound => {
            tracing::warn!("{FILE_NAME} could not be removed: {error}");
        }
        _ => {}
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
    if std::fs::metadata(path).ok()?.len() > LARGEST_FILE {
        return None;
    }
    serde_json::from_slice(&std::fs::read(path).ok()?).ok()
}

/// Not synced to disk: a file that a power cut has broken is ignored.
fn write_if_new(
    path: &Path,
    file: &File,
    mut written: MutexGuard<'static, Option<[u8; 32]>>,
) -> io::Result<()> {
    let json = serde_json::to_vec(file)?;
    let digest = Sha256::digest(&json).into();
    if *written == Some(digest) {
        return Ok(());
    }
    let directory = path.parent().unwrap_or(Path::new("."));
    // Its files are readable by their owner only.
    let mut temporary = tempfile::NamedTempFile::new_in(directory)?;
    temporary.write_all(&json)?;
    temporary.persist(path)?;
    *written = Some(digest);
    Ok(())
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
