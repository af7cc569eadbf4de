//! `config.json`: what the settings page saves.
//!
//! The file is shared with people's editors and, after a swap back, with 3.3.0, so every write
//! re-reads it, changes one section and leaves all else as it was, key order included.

use std::fmt::Write as _;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use serde::Serialize as _;
use serde_json::{Map, Value};

/// Readable by its owner alone: the file holds tokens and passwords.
const PRIVATE: u32 = 0o600;

/// The content of the file: a JSON object of sections.
pub(super) type Document = Map<String, Value>;

/// Why the file can't be read or written. Names no values of it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigFileError {
    /// Not JSON.
    #[error("{path}:{line}:{column}: {why}")]
    Syntax {
        /// The file.
        path: String,
        /// From 1.
        line: usize,
        /// From 1.
        column: usize,
        /// What the parser expected.
        why: String,
    },
    /// JSON, but something else than expected.
    #[error("{path}: {why}")]
    Content {
        /// The file.
        path: String,
        /// What is wrong with it.
        why: String,
    },
    /// The system's fault.
    #[error("{path}: {why}")]
    Io {
        /// The file.
        path: String,
        /// The system's message.
        why: String,
    },
}

/// The file and the lock under which it is changed.
#[derive(Debug)]
pub(super) struct ConfigFile {
    path: PathBuf,
    writing: Mutex<()>,
}

/// Tells two states of the file apart without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    modified: (i64, i64),
    length: u64,
    inode: u64,
}

impl ConfigFile {
    /// The file at `path`, which need not exist.
    pub(super) fn new(path: PathBuf) -> Self {
        Self {
            path,
            writing: Mutex::new(()),
        }
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The state of the file; `None` when there is none.
    pub(super) fn stamp(&self) -> Option<Stamp> {
        let meta = fs::metadata(&self.path).ok()?;
        Some(Stamp {
            modified: (meta.mtime(), meta.mtime_nsec()),
            length: meta.len(),
            inode: meta.ino(),
        })
    }

    /// Reads the file; one that is missing is empty. It is left as it is, but made private.
    ///
    /// # Errors
    /// Not readable, not JSON, or not a JSON object.
    pub(super) fn load(&self) -> Result<Document, ConfigFileError> {
        let text = match fs::read_to_string(&self.path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Document::new()),
            Err(error) => return Err(self.io(&error)),
        };
        self.make_private();
        // Windows editors put a byte order mark in front.
        let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
        let value: Value = serde_json::from_str(text).map_err(|error| {
            let why = error.to_string();
            let why = why.split(" at line ").next().unwrap_or_default().to_owned();
            ConfigFileError::Syntax {
                path: self.shown(),
                line: error.line(),
                column: error.column(),
                why,
            }
        })?;
        match value {
            Value::Object(document) => Ok(document),
            _ => Err(ConfigFileError::Content {
                path: self.shown(),
                why: "expected a JSON object".to_owned(),
            }),
        }
    }

    /// Changes one section and nothing else, and returns the whole. The section is created if it
    /// is missing or not an object. Nothing is written when nothing changes.
    ///
    /// # Errors
    /// As [`Self::load`], in which case the file is untouched, and when it can't be written.
    pub(super) fn update(
        &self,
        section: &str,
        change: impl FnOnce(&mut Map<String, Value>),
    ) -> Result<Document, ConfigFileError> {
        let _one_writer = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let before = self.load()?;
        let mut document = before.clone();
        let slot = document.entry(section).or_insert(Value::Null);
        if !slot.is_object() {
            *slot = Value::Object(Map::new());
        }
        if let Value::Object(fields) = slot {
            change(fields);
        }
        if document != before || !self.path.exists() {
            let text = to_text(&document).map_err(|error| self.io(&error))?;
            // Where the name is a link, what it points to is replaced, not the link.
            let target = fs::canonicalize(&self.path).unwrap_or_else(|_| self.path.clone());
            write(&target, text.as_bytes(), |from, to| fs::rename(from, to))
                .map_err(|error| self.io(&error))?;
        }
        Ok(document)
    }

    fn make_private(&self) {
        let open =
            fs::metadata(&self.path).is_ok_and(|meta| meta.permissions().mode() & 0o077 != 0);
        if open && let Err(error) = fs::set_permissions(&self.path, Permissions::from_mode(PRIVATE))
        {
            tracing::warn!("{} is readable by others: {error}", self.path.display());
        }
    }

    fn shown(&self) -> String {
        self.path.display().to_string()
    }

    fn io(&self, error: &io::Error) -> ConfigFileError {
        ConfigFileError::Io {
            path: self.shown(),
            why: error.to_string(),
        }
    }
}

/// The text as 3.3.0 writes it: two blanks of indentation, ASCII only, no final newline. Python
/// reads the file in the encoding of its locale, which need not be UTF-8.
fn to_text(document: &Document) -> io::Result<String> {
    let mut bytes = Vec::new();
    let format = serde_json::ser::PrettyFormatter::with_indent(b"  ");
    document.serialize(&mut serde_json::Serializer::with_formatter(
        &mut bytes, format,
    ))?;
    let text = String::from_utf8(bytes).map_err(io::Error::other)?;
    Ok(escape_non_ascii(&text))
}

fn escape_non_ascii(json: &str) -> String {
    let mut escaped = String::with_capacity(json.len());
    for character in json.chars() {
        if character.is_ascii() {
            escaped.push(character);
            continue;
        }
        // Beyond ASCII a character can only stand in a string; JSON escapes are UTF-16 units.
        for unit in character.encode_utf16(&mut [0; 2]) {
            let _ = write!(escaped, "\\u{unit:04x}");
        }
    }
    escaped
}

/// Replaces the file as a whole or not at all. Where it can't be replaced because it is a mount
/// point of its own, it is written in place after a copy has been made.
fn write(
    path: &Path,
    content: &[u8],
    rename: impl FnOnce(&Path, &Path) -> io::Result<()>,
) -> io::Result<()> {
    let directory = path
        .parent()
        .filter(|d| !d.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    let mut temporary = tempfile::Builder::new()
        .prefix(".config-")
        .suffix(".tmp")
        .permissions(Permissions::from_mode(PRIVATE))
        .tempfile_in(directory)?;
    temporary.write_all(content)?;
    temporary.as_file().sync_all()?;
    match rename(temporary.path(), path) {
        Ok(()) => {
            // The name is gone, so there is nothing left to delete.
            let _ = temporary.into_temp_path().keep();
            File::open(directory)?.sync_all()
        }
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::ResourceBusy | io::ErrorKind::CrossesDevices
            ) =>
        {
            write_in_place(path, content)
        }
        Err(error) => Err(error),
    }
}

fn write_in_place(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut copy = path.as_os_str().to_owned();
    copy.push(".bak");
    let previous = fs::read(path)?;
    let mut backup = private(OpenOptions::new().create(true).truncate(true)).open(copy)?;
    backup.write_all(&previous)?;
    backup.sync_all()?;
    let mut file = private(OpenOptions::new().truncate(true)).open(path)?;
    file.write_all(content)?;
    file.sync_all()
}

fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    options.write(true).mode(PRIVATE)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn file_with(content: &str) -> (tempfile::TempDir, ConfigFile) {
        let directory = tempfile::tempdir().unwrap();
        let file = ConfigFile::new(directory.path().join("config.json"));
        fs::write(file.path(), content).unwrap();
        (directory, file)
    }

    fn set(key: &'static str, value: Value) -> impl FnOnce(&mut Map<String, Value>) {
        move |section| {
            section.insert(key.to_owned(), value);
        }
    }

    #[test]
    fn a_missing_file_is_empty_and_is_created_private_by_the_first_write() {
        let directory = tempfile::tempdir().unwrap();
        let file = ConfigFile::new(directory.path().join("config.json"));
        assert_eq!(file.load().unwrap(), Map::new());
        file.update("plex", set("server_url", json!("http://plex")))
            .unwrap();
        let mode = fs::metadata(file.path()).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600);
        let names: Vec<_> = fs::read_dir(directory.path()).unwrap().collect();
        assert_eq!(names.len(), 1, "no temporary file stays");
    }

    #[test]
    fn unknown_keys_and_their_order_survive() {
        let before = "{\n  \"zebra\": 1,\n  \"plex\": {\n    \"server_url\": \"a\",\n    \
                      \"later\": [\n      1\n    ]\n  },\n  \"alpha\": {}\n}";
        let (_directory, file) = file_with(before);
        file.update("plex", set("server_url", json!("b"))).unwrap();
        let after = fs::read_to_string(file.path()).unwrap();
        assert_eq!(after, before.replace("\"a\"", "\"b\""));
    }

    #[test]
    fn text_is_escaped_as_python_does() {
        let (_directory, file) = file_with("\u{feff}{}");
        file.update("plex", set("server_name", json!("Büro 🎬")))
            .unwrap();
        let text = fs::read_to_string(file.path()).unwrap();
        assert!(text.contains(r#""B\u00fcro \ud83c\udfac""#), "{text}");
    }

    #[test]
    fn a_corrupt_file_is_named_with_its_place_and_never_overwritten() {
        let corrupt = "{\n  \"auth\": {\"enabled\": true,}\n}";
        let (_directory, file) = file_with(corrupt);
        let error = file.load().unwrap_err().to_string();
        assert!(error.contains("config.json:2:28: "), "{error}");
        assert!(file.update("plex", set("server_url", json!("x"))).is_err());
        assert_eq!(fs::read_to_string(file.path()).unwrap(), corrupt);
        let (_directory, list) = file_with("[]");
        assert!(
            list.load()
                .unwrap_err()
                .to_string()
                .ends_with("expected a JSON object")
        );
    }

    #[test]
    fn an_open_file_is_made_private() {
        let (_directory, file) = file_with("{}");
        fs::set_permissions(file.path(), Permissions::from_mode(0o644)).unwrap();
        file.load().unwrap();
        assert_eq!(
            fs::metadata(file.path()).unwrap().permissions().mode() & 0o777,
            0o600
        );
    }

    #[test]
    fn a_write_that_changes_nothing_touches_nothing() {
        let (_directory, file) = file_with(r#"{"plex":{"server_url":"a"}}"#);
        let before = file.stamp();
        file.update("plex", set("server_url", json!("a"))).unwrap();
        assert_eq!(file.stamp(), before);
    }

    #[test]
    fn two_writers_do_not_lose_each_others_section() {
        let (_directory, file) = file_with("{}");
        std::thread::scope(|scope| {
            for section in ["plex", "auth"] {
                let file = &file;
                scope.spawn(move || {
                    for n in 1..=50 {
                        file.update(section, set("n", json!(n))).unwrap();
                    }
                });
            }
        });
        let document = file.load().unwrap();
        assert_eq!(document["plex"], json!({"n": 50}));
        assert_eq!(document["auth"], json!({"n": 50}));
    }

    #[test]
    fn a_file_that_cannot_be_replaced_is_written_in_place_after_a_copy() {
        let (directory, file) = file_with("{\"old\":1}");
        write(file.path(), b"{\"new\":1}", |_, _| {
            Err(io::ErrorKind::ResourceBusy.into())
        })
        .unwrap();
        assert_eq!(fs::read_to_string(file.path()).unwrap(), "{\"new\":1}");
        let copy = directory.path().join("config.json.bak");
        assert_eq!(fs::read_to_string(copy).unwrap(), "{\"old\":1}");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 2);
    }

    proptest! {
        #[test]
        fn escaping_changes_no_meaning(text in any::<String>()) {
            let json = serde_json::to_string(&text).unwrap();
            let escaped = escape_non_ascii(&json);
            prop_assert!(escaped.is_ascii());
            prop_assert_eq!(serde_json::from_str::<String>(&escaped).unwrap(), text);
        }
    }
}
