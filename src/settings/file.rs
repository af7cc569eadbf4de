//! `config.json`: what the settings page saves.
//!
//! The file is shared with people's editors and, after a swap back, with 3.3.0, so unknown keys and
//! the order of keys are kept, and a file is either replaced as a whole or left alone.

use std::fmt::Write as _;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, fchown};
use std::path::{Path, PathBuf};

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

/// The file. Whoever changes it must see to it that nobody else in this process does so at the
/// same time.
#[derive(Debug)]
pub(super) struct ConfigFile {
    path: PathBuf,
}

/// Tells two states of the file apart without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    modified: (i64, i64),
    length: u64,
    inode: u64,
    /// A file that could not be read is looked at again when it is given to somebody else.
    owner: (u32, u32),
}

impl ConfigFile {
    /// The file at `path`, which need not exist.
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path }
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
            owner: (meta.uid(), meta.gid()),
        })
    }

    /// Reads the file, `None` where there is none. It is left as it is, but made private.
    ///
    /// # Errors
    /// Not readable, not JSON, or not a JSON object.
    pub(super) fn load(&self) -> Result<Option<Document>, ConfigFileError> {
        let bytes = match fs::read(&self.path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(self.io(&error)),
        };
        // The best that can be done; on some file systems modes mean nothing.
        let _ = fs::set_permissions(&self.path, Permissions::from_mode(PRIVATE));
        // Windows editors put a byte order mark in front.
        let json = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
        let value: Value = serde_json::from_slice(json).map_err(|error| {
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
            Value::Object(document) => Ok(Some(document)),
            _ => Err(ConfigFileError::Content {
                path: self.shown(),
                why: "expected a JSON object".to_owned(),
            }),
        }
    }

    /// Replaces the file as a whole or not at all.
    ///
    /// # Errors
    /// It can't be written; the old file stays.
    pub(super) fn write(&self, document: &Document) -> Result<(), ConfigFileError> {
        let text = to_text(document).map_err(|error| self.io(&error))?;
        // Where the name is a link, what it points to is replaced, not the link.
        let target = fs::canonicalize(&self.path).unwrap_or_else(|_| self.path.clone());
        write(&target, text.as_bytes(), |from, to| fs::rename(from, to))
            .map_err(|error| self.io(&error))
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
    if let Ok(before) = fs::metadata(path) {
        // In a container we are often root and the file is its user's, who edits it by hand.
        let _ = fchown(temporary.as_file(), Some(before.uid()), Some(before.gid()));
    }
    match rename(temporary.path(), path) {
        Ok(()) => {
            // The name is gone, so there is nothing left to delete.
            let _ = temporary.into_temp_path().keep();
            // The new name reaches the disk; some network file systems can't say so.
            let _ = File::open(directory).and_then(|directory| directory.sync_all());
            Ok(())
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
    backup.set_permissions(Permissions::from_mode(PRIVATE))?;
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
    use crate::arbitrary::value;

    fn file_with(content: &[u8]) -> (tempfile::TempDir, ConfigFile) {
        let directory = tempfile::tempdir().unwrap();
        let file = ConfigFile::new(directory.path().join("config.json"));
        fs::write(file.path(), content).unwrap();
        (directory, file)
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    fn document(value: &Value) -> Document {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn a_missing_file_is_told_from_an_empty_one_and_written_private() {
        let directory = tempfile::tempdir().unwrap();
        let file = ConfigFile::new(directory.path().join("config.json"));
        assert_eq!(file.load().unwrap(), None);
        file.write(&document(&json!({"plex": {}}))).unwrap();
        assert_eq!(mode(file.path()), 0o600);
        let names: Vec<_> = fs::read_dir(directory.path()).unwrap().collect();
        assert_eq!(names.len(), 1, "no temporary file stays");
    }

    #[test]
    fn what_was_read_is_written_to_the_letter() {
        let before = "{\n  \"zebra\": 1,\n  \"plex\": {\n    \"later\": [\n      1.50,\n      \
                      \"B\\u00fcro \\ud83c\\udfac\"\n    ]\n  },\n  \"alpha\": {}\n}";
        let before = before.replace("1.50", "-8.599146701914611e+181");
        let (_directory, file) = file_with(before.as_bytes());
        file.write(&file.load().unwrap().unwrap()).unwrap();
        assert_eq!(fs::read_to_string(file.path()).unwrap(), before);
    }

    #[test]
    fn a_byte_order_mark_is_no_error() {
        let (_directory, file) = file_with("\u{feff}{\"a\":1}".as_bytes());
        assert_eq!(file.load().unwrap(), Some(document(&json!({"a": 1}))));
    }

    #[test]
    fn a_corrupt_file_is_named_with_its_place() {
        for (corrupt, place) in [
            (
                &b"{\n  \"auth\": {\"enabled\": true,}\n}"[..],
                "config.json:2:28: ",
            ),
            (b"{\n\"a\": \"\xff\"}", "config.json:2:7: "),
            (b"", "config.json:1:0: "),
        ] {
            let (_directory, file) = file_with(corrupt);
            let error = file.load().unwrap_err().to_string();
            assert!(error.contains(place), "{error}");
            assert_eq!(fs::read(file.path()).unwrap(), corrupt);
        }
        let (_directory, list) = file_with(b"[]");
        assert!(
            list.load()
                .unwrap_err()
                .to_string()
                .ends_with("expected a JSON object")
        );
    }

    #[test]
    fn an_open_file_is_made_private() {
        let (_directory, file) = file_with(b"{}");
        fs::set_permissions(file.path(), Permissions::from_mode(0o644)).unwrap();
        file.load().unwrap();
        assert_eq!(mode(file.path()), 0o600);
    }

    #[test]
    fn a_link_stays_a_link() {
        let (directory, file) = file_with(b"{}");
        let link = ConfigFile::new(directory.path().join("link.json"));
        std::os::unix::fs::symlink(file.path(), link.path()).unwrap();
        link.write(&document(&json!({"a": 1}))).unwrap();
        assert!(fs::symlink_metadata(link.path()).unwrap().is_symlink());
        assert_eq!(file.load().unwrap(), Some(document(&json!({"a": 1}))));
    }

    #[test]
    fn a_file_that_cannot_be_replaced_is_written_in_place_after_a_copy() {
        let (directory, file) = file_with(b"{\"old\":1}");
        let copy = directory.path().join("config.json.bak");
        fs::write(&copy, "an older one").unwrap();
        fs::set_permissions(&copy, Permissions::from_mode(0o644)).unwrap();
        let busy = |_: &Path, _: &Path| Err(io::ErrorKind::ResourceBusy.into());
        write(file.path(), b"{\"new\":1}", busy).unwrap();
        assert_eq!(fs::read_to_string(file.path()).unwrap(), "{\"new\":1}");
        assert_eq!(fs::read_to_string(&copy).unwrap(), "{\"old\":1}");
        assert_eq!(mode(&copy), 0o600);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 2);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn what_is_written_is_read_again(content in value()) {
            let (_directory, file) = file_with(b"{}");
            let content = document(&json!({"plex": content, "own": {"z": 1, "a": content}}));
            file.write(&content).unwrap();
            let read = file.load().unwrap().unwrap();
            // With the order of the keys, which a comparison of the objects leaves out.
            prop_assert_eq!(Value::from(read).to_string(), Value::from(content).to_string());
        }
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
