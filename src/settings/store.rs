//! The settings in force: loaded at start, saved by handlers, reloaded after a hand edit.

#![expect(
    clippy::significant_drop_tightening,
    reason = "the lock of `seen` orders changes, from reading the file to publishing"
)]

use std::sync::Arc;

use serde_json::{Map, Value};
use tokio::sync::{Mutex, watch};

use super::describe::{Described, describe};
use super::file::{ConfigFile, ConfigFileError, Document, Stamp};
use super::merge::{Place, merge};
use super::{Environment, Overrides, Settings, SettingsError};

/// The current snapshot and the way to change it.
#[derive(Debug)]
pub struct SettingsStore {
    env: Environment,
    overrides: Overrides,
    file: Arc<ConfigFile>,
    current: watch::Sender<Arc<Settings>>,
    /// The state of the file that was seen last; its lock orders all changes.
    seen: Mutex<Option<Stamp>>,
}

impl SettingsStore {
    /// Reads all sources.
    ///
    /// # Errors
    /// A variable or a file that can't be used; nothing is changed then.
    pub fn open(env: Environment, overrides: Overrides) -> Result<Self, SettingsError> {
        let file = ConfigFile::new(Place::of(&env, &overrides)?.data_dir.join("config.json"));
        let seen = file.stamp();
        let settings = merge(&env, &overrides, &file.load()?, file.path(), None)?;
        Ok(Self {
            env,
            overrides,
            file: Arc::new(file),
            current: watch::Sender::new(Arc::new(settings)),
            seen: Mutex::new(seen),
        })
    }

    /// The settings of this moment.
    pub fn current(&self) -> Arc<Settings> {
        Arc::clone(&self.current.borrow())
    }

    /// Every setting with its source, for people; secrets are masked.
    ///
    /// # Errors
    /// `config.json` has become unreadable since the start.
    pub fn describe(&self) -> Result<Vec<Described>, ConfigFileError> {
        Ok(describe(&self.env, &self.overrides, &self.file.load()?))
    }

    /// To be told of changes.
    pub fn subscribe(&self) -> watch::Receiver<Arc<Settings>> {
        self.current.subscribe()
    }

    /// Changes one section of `config.json` and puts it in force: readers that come after this
    /// returns see the new settings.
    ///
    /// # Errors
    /// The file can't be read, understood or written; the old settings stay in force.
    pub async fn save_section(
        &self,
        section: &'static str,
        change: impl FnOnce(&mut Map<String, Value>) + Send + 'static,
    ) -> Result<(), SettingsError> {
        let mut seen = self.seen.lock().await;
        let file = Arc::clone(&self.file);
        let (document, stamp) = on_disk(&self.file, move || {
            let document = file.update(section, change)?;
            Ok((document, file.stamp()))
        })
        .await?;
        self.publish(&document)?;
        *seen = stamp;
        Ok(())
    }

    /// Puts a hand edit of `config.json` in force; true when there was one that matters. A file
    /// that can't be used is reported once, not with every look.
    ///
    /// # Errors
    /// The file can't be read or understood; the old settings stay in force.
    pub async fn reload_if_changed(&self) -> Result<bool, SettingsError> {
        let mut seen = self.seen.lock().await;
        let file = Arc::clone(&self.file);
        let before = *seen;
        let looked = on_disk(&self.file, move || {
            let stamp = file.stamp();
            let changed = stamp != before;
            Ok((stamp, changed.then(|| file.load())))
        });
        let (stamp, document) = looked.await?;
        *seen = stamp;
        let Some(document) = document else {
            return Ok(false);
        };
        self.publish(&document?)
    }

    /// Merges and publishes; true when anything differs. Callers hold the lock of `seen`.
    fn publish(&self, document: &Document) -> Result<bool, SettingsError> {
        let current = self.current();
        let path = self.file.path();
        let next = merge(&self.env, &self.overrides, document, path, Some(&current))?;
        let changed = next != *current;
        if changed {
            let new = next
                .warnings
                .iter()
                .filter(|warning| !current.warnings.contains(warning));
            new.for_each(|warning| tracing::warn!("{warning}"));
            self.current.send_replace(Arc::new(next));
        }
        Ok(changed)
    }
}

/// Runs file operations where they may block.
async fn on_disk<T: Send + 'static>(
    file: &ConfigFile,
    work: impl FnOnce() -> Result<T, ConfigFileError> + Send + 'static,
) -> Result<T, ConfigFileError> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|error| {
            let path = file.path().display().to_string();
            Err(ConfigFileError::Io {
                path,
                why: error.to_string(),
            })
        })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn store_in(directory: &tempfile::TempDir) -> Result<SettingsStore, SettingsError> {
        let overrides = Overrides {
            data_dir: Some(directory.path().to_owned()),
            ..Overrides::default()
        };
        SettingsStore::open(Environment::default(), overrides)
    }

    fn write(directory: &tempfile::TempDir, text: &str) {
        std::fs::write(directory.path().join("config.json"), text).unwrap();
    }

    async fn save_plex(store: &SettingsStore) -> Result<(), SettingsError> {
        let change = |plex: &mut Map<String, Value>| {
            plex.insert("server_url".into(), json!("http://plex"));
            plex.insert("server_token".into(), json!("t"));
        };
        store.save_section("plex", change).await
    }

    #[tokio::test]
    async fn what_was_saved_is_in_force_and_announced() {
        let directory = tempfile::tempdir().unwrap();
        let store = store_in(&directory).unwrap();
        let mut changes = store.subscribe();
        save_plex(&store).await.unwrap();
        assert!(store.current().plex.is_some());
        assert!(changes.has_changed().unwrap());
        changes.mark_unchanged();
        save_plex(&store).await.unwrap();
        assert!(
            !changes.has_changed().unwrap(),
            "the same again is no change"
        );
        assert!(
            !store.reload_if_changed().await.unwrap(),
            "our own write is no hand edit"
        );
    }

    #[tokio::test]
    async fn a_hand_edit_is_noticed_and_a_broken_one_reported_once() {
        let directory = tempfile::tempdir().unwrap();
        let store = store_in(&directory).unwrap();
        write(&directory, r#"{"logging":{"level":"DEBUG"}}"#);
        assert!(store.reload_if_changed().await.unwrap());
        assert_eq!(store.current().log.level, tracing::Level::DEBUG);

        write(&directory, r#"{"logging":"#);
        assert!(store.reload_if_changed().await.is_err());
        assert!(!store.reload_if_changed().await.unwrap());
        assert_eq!(
            store.current().log.level,
            tracing::Level::DEBUG,
            "the old ones stay"
        );
        assert!(
            save_plex(&store).await.is_err(),
            "and the file is not overwritten"
        );
    }

    #[tokio::test]
    async fn a_file_that_cannot_be_understood_stops_the_start() {
        let directory = tempfile::tempdir().unwrap();
        write(&directory, "{\"auth\"");
        assert!(matches!(store_in(&directory), Err(SettingsError::File(_))));
    }
}
