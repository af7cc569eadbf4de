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
use super::merge::merge;
use super::{Environment, Overrides, Place, Settings, SettingsError};

/// The current snapshot and the way to change it.
#[derive(Debug)]
pub struct SettingsStore {
    env: Environment,
    overrides: Overrides,
    file: Arc<ConfigFile>,
    current: watch::Sender<Arc<Settings>>,
    seen: Mutex<Seen>,
    /// Held from reading the file until it is written, also when nobody waits for that any longer:
    /// a handler may be dropped, but writing goes on.
    turn: Arc<Mutex<()>>,
}

/// The file as it was seen last. Its lock is held by whoever changes the settings.
struct Seen {
    stamp: Option<Stamp>,
    /// The content in force.
    document: Document,
}

/// The content holds secrets.
impl std::fmt::Debug for Seen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.document.keys()).finish()
    }
}

impl SettingsStore {
    /// Reads all sources.
    ///
    /// # Errors
    /// A variable or a file that can't be used; nothing is changed then.
    pub fn open(env: Environment, overrides: Overrides) -> Result<Self, SettingsError> {
        let directory = Place::of(&env, &overrides)?.data_dir;
        let file = ConfigFile::new(directory.join("config.json"));
        let stamp = file.stamp();
        let document = file.load()?.unwrap_or_default();
        let settings = merge(&env, &overrides, &document, file.path(), None)?;
        Ok(Self {
            env,
            overrides,
            file: Arc::new(file),
            current: watch::Sender::new(Arc::new(settings)),
            seen: Mutex::new(Seen { stamp, document }),
            turn: Arc::default(),
        })
    }

    /// The settings of this moment.
    pub fn current(&self) -> Arc<Settings> {
        Arc::clone(&self.current.borrow())
    }

    /// [`Settings::auth_revision`] of this moment.
    pub fn auth_revision(&self) -> u64 {
        self.current.borrow().auth_revision
    }

    /// Every setting with its source, for people; secrets are masked.
    pub async fn describe(&self) -> Vec<Described> {
        describe(&self.env, &self.overrides, &self.seen.lock().await.document)
    }

    /// To be told of changes.
    pub fn subscribe(&self) -> watch::Receiver<Arc<Settings>> {
        self.current.subscribe()
    }

    /// [`Self::save`] for one section of `config.json` and nothing else. The section is created if
    /// it is missing or not an object.
    ///
    /// # Errors
    /// As [`Self::save`].
    pub async fn save_section(
        &self,
        section: &'static str,
        change: impl FnOnce(&mut Map<String, Value>) + Send,
    ) -> Result<(), SettingsError> {
        let change = |document: &mut _| change_object(document, section, change);
        self.save(change).await
    }

    /// Changes the content of `config.json` in one write and puts it in force: readers that come
    /// after this returns see the new settings. Nothing is written when nothing changes. Gives
    /// back what `change` does.
    ///
    /// # Errors
    /// The file can't be read, understood or written; it is left as it is, and so are the
    /// settings in force.
    pub async fn save<T: Send>(
        &self,
        change: impl FnOnce(&mut Map<String, Value>) -> T + Send,
    ) -> Result<T, SettingsError> {
        let turn = Arc::clone(&self.turn).lock_owned().await;
        let mut seen = self.seen.lock().await;
        let on_disk = self.on_disk(ConfigFile::load).await?;
        // Of a file that has gone, what was in force is written anew: to go on without it could
        // switch the log-in off.
        let mut document = on_disk.clone().unwrap_or_else(|| seen.document.clone());
        let told = change(&mut document);
        let settings = self.merged(&document)?;
        if on_disk.as_ref() == Some(&document) {
            seen.stamp = self.on_disk(|file| Ok(file.stamp())).await?;
        } else {
            let written = document.clone();
            let write = move |file: &ConfigFile| {
                let _turn = turn;
                file.write(&written)?;
                Ok(file.stamp())
            };
            seen.stamp = self.on_disk(write).await?;
        }
        seen.document = document;
        self.publish(settings);
        Ok(told)
    }

    /// Changes the section `auth`, if the log-in in force is still that of `revision`
    /// ([`Settings::auth_revision`]) and the file has no other: whoever was allowed to change it by
    /// an older one no longer is. False if nothing was changed for that reason. Keys that are
    /// missing get the values in force.
    ///
    /// # Errors
    /// As [`Self::save`].
    pub async fn save_auth(
        &self,
        revision: u64,
        change: impl FnOnce(&mut Map<String, Value>) + Send,
    ) -> Result<bool, SettingsError> {
        let change = |document: &mut Document| {
            let on_disk = self.merged(document);
            let allowed = on_disk.is_ok_and(|on_disk| on_disk.auth_revision == revision);
            if allowed {
                change_object(document, "auth", |section| {
                    change(section);
                    self.current().auth.fill_up(section);
                });
            }
            allowed
        };
        self.save(change).await
    }

    /// Puts a hand edit of `config.json` in force; true when there was one that matters. A file
    /// that can't be used is reported once, not with every look. One that has gone changes
    /// nothing: it may be an editor's way to save, and without it there might be no log-in.
    ///
    /// # Errors
    /// The file can't be read or understood; the old settings stay in force.
    pub async fn reload_if_changed(&self) -> Result<bool, SettingsError> {
        let mut seen = self.seen.lock().await;
        let stamp = self.on_disk(|file| Ok(file.stamp())).await?;
        if stamp == seen.stamp {
            return Ok(false);
        }
        seen.stamp = stamp;
        let Some(document) = self.on_disk(ConfigFile::load).await? else {
            tracing::warn!("config.json is gone; its settings stay in force until the next start");
            return Ok(false);
        };
        let settings = self.merged(&document)?;
        seen.document = document;
        Ok(self.publish(settings))
    }

    fn merged(&self, document: &Document) -> Result<Settings, SettingsError> {
        let path = self.file.path();
        merge(
            &self.env,
            &self.overrides,
            document,
            path,
            Some(&self.current()),
        )
    }

    /// Puts `next` in force; true when it differs. Callers hold the lock of `seen`.
    fn publish(&self, next: Settings) -> bool {
        let current = self.current();
        let changed = next != *current;
        if changed {
            let new = next
                .warnings
                .iter()
                .filter(|warning| !current.warnings.contains(warning));
            new.for_each(|warning| tracing::warn!("{warning}"));
            self.current.send_replace(Arc::new(next));
        }
        changed
    }

    /// Works on the file where that may block.
    async fn on_disk<T: Send + 'static>(
        &self,
        work: impl FnOnce(&ConfigFile) -> Result<T, ConfigFileError> + Send + 'static,
    ) -> Result<T, ConfigFileError> {
        let file = Arc::clone(&self.file);
        let done = tokio::task::spawn_blocking(move || work(&file)).await;
        done.unwrap_or_else(|error| {
            let path = self.file.path().display().to_string();
            Err(ConfigFileError::Io {
                path,
                why: error.to_string(),
            })
        })
    }
}

/// Changes the object of this name in `parent`; it is created if it is missing or something else.
pub fn change_object(
    parent: &mut Map<String, Value>,
    name: &'static str,
    change: impl FnOnce(&mut Map<String, Value>),
) {
    let value = parent.entry(name).or_insert(Value::Null);
    if !value.is_object() {
        *value = Value::Object(Map::new());
    }
    if let Value::Object(object) = value {
        change(object);
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use serde_json::json;
    use tempfile::TempDir;

    use super::*;

    fn store_in(directory: &TempDir) -> Result<SettingsStore, SettingsError> {
        let data_dir = Some(directory.path().to_owned());
        SettingsStore::open(
            Environment::default(),
            Overrides {
                data_dir,
                ..Overrides::default()
            },
        )
    }

    fn path(directory: &TempDir) -> PathBuf {
        directory.path().join("config.json")
    }

    fn write(directory: &TempDir, text: &str) {
        std::fs::write(path(directory), text).unwrap();
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
        let before = std::fs::metadata(path(&directory))
            .unwrap()
            .modified()
            .unwrap();
        save_plex(&store).await.unwrap();
        assert!(
            !changes.has_changed().unwrap(),
            "the same again is no change"
        );
        assert_eq!(
            std::fs::metadata(path(&directory))
                .unwrap()
                .modified()
                .unwrap(),
            before
        );
        assert!(
            !store.reload_if_changed().await.unwrap(),
            "our own write is no hand edit"
        );
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn two_writers_do_not_lose_each_others_section() {
        let directory = tempfile::tempdir().unwrap();
        let store = Arc::new(store_in(&directory).unwrap());
        let writers = ["plex", "overseerr"].map(|section| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                for n in 1..=50 {
                    let change = move |fields: &mut Map<String, Value>| {
                        fields.insert("n".into(), json!(n));
                    };
                    store.save_section(section, change).await.unwrap();
                }
            })
        });
        for writer in writers {
            writer.await.unwrap();
        }
        let text = std::fs::read_to_string(path(&directory)).unwrap();
        let stored: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(stored, json!({"plex": {"n": 50}, "overseerr": {"n": 50}}));
    }

    #[tokio::test]
    async fn several_sections_are_one_write() {
        let directory = tempfile::tempdir().unwrap();
        write(
            &directory,
            r#"{"auth":{"enabled":true},"own":1,"instances":[]}"#,
        );
        let store = store_in(&directory).unwrap();
        let mut changes = store.subscribe();
        let change = |document: &mut Map<String, Value>| {
            document.insert("plex".into(), json!({"server_url": "http://plex"}));
            document.insert("general".into(), json!({"timezone": "Asia/Tokyo"}));
            document.shift_remove("instances").is_some()
        };
        assert!(store.save(change).await.unwrap(), "what `change` has told");
        changes.changed().await.unwrap();
        assert!(!changes.has_changed().unwrap(), "announced once");
        let text = std::fs::read_to_string(path(&directory)).unwrap();
        let stored: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(
            stored,
            json!({"auth": {"enabled": true}, "own": 1, "plex": {"server_url": "http://plex"},
                   "general": {"timezone": "Asia/Tokyo"}})
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
    async fn a_file_that_has_gone_does_not_switch_the_log_in_off() {
        let directory = tempfile::tempdir().unwrap();
        write(&directory, r#"{"auth":{"enabled":true,"password":"p"}}"#);
        let store = store_in(&directory).unwrap();
        std::fs::remove_file(path(&directory)).unwrap();
        assert!(!store.reload_if_changed().await.unwrap());
        assert!(store.current().auth.enabled);
        save_plex(&store).await.unwrap();
        assert!(store.current().auth.enabled, "nor does the next save");
        assert!(
            store_in(&directory).unwrap().current().auth.enabled,
            "nor the next start"
        );
    }

    #[tokio::test]
    async fn a_save_beside_an_unusable_auth_section_writes_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let store = store_in(&directory).unwrap();
        write(&directory, r#"{"auth":[]}"#);
        assert!(save_plex(&store).await.is_err());
        assert_eq!(
            std::fs::read_to_string(path(&directory)).unwrap(),
            r#"{"auth":[]}"#
        );
        assert_eq!(store.current().plex, None);
    }

    #[tokio::test]
    async fn a_file_that_cannot_be_understood_stops_the_start() {
        let directory = tempfile::tempdir().unwrap();
        write(&directory, "{\"auth\"");
        assert!(matches!(store_in(&directory), Err(SettingsError::File(_))));
    }
}
