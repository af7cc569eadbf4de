//! One process per data directory.
//!
//! Two would overwrite each other's settings and fight over the database. The lock is the
//! operating system's, so it ends with the process however that ends; the text in the file only
//! tells people, and `healthcheck`, who holds it.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

const NAME: &str = "komandorr.lock";

/// The exclusive use of a data directory, for as long as this lives.
#[derive(Debug)]
pub struct Instance {
    file: File,
    writable: bool,
    exclusive: bool,
}

/// Why a data directory can't be used.
#[derive(Debug, thiserror::Error)]
pub enum InstanceError {
    /// Another process uses it.
    #[error("{} is in use by another Komandorr ({holder})", directory.display())]
    InUse {
        /// The directory.
        directory: PathBuf,
        /// What the other process wrote about itself.
        holder: String,
    },
    /// It can't be created or written to.
    #[error("{}: {error}", directory.display())]
    Io {
        /// The directory.
        directory: PathBuf,
        /// The system's message.
        error: io::Error,
    },
}

impl Instance {
    /// Takes the directory, creating it if need be.
    ///
    /// # Errors
    /// It is in use, or can't be used.
    pub fn claim(directory: &Path) -> Result<Self, InstanceError> {
        let failed = |error| InstanceError::Io {
            directory: directory.to_owned(),
            error,
        };
        std::fs::create_dir_all(directory).map_err(failed)?;
        let (mut file, writable) = open(directory).map_err(failed)?;
        let mut exclusive = true;
        match file.try_lock() {
            Ok(()) => {}
            // Some network file systems have no locks; then nothing keeps a second process away.
            Err(TryLockError::Error(error)) if is_unsupported(&error) => {
                exclusive = false;
            }
            Err(TryLockError::Error(error)) => return Err(failed(error)),
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                let _ = file.read_to_string(&mut holder);
                let holder = holder.trim().replace('\n', ", ");
                return Err(InstanceError::InUse {
                    directory: directory.to_owned(),
                    holder,
                });
            }
        }
        let mut instance = Self {
            file,
            writable,
            exclusive,
        };
        // A full disk must not keep a server from reading what is there.
        let _ = instance.write(None);
        Ok(instance)
    }

    /// False where the file system has no locks, so that a second process can't be kept away.
    pub const fn is_exclusive(&self) -> bool {
        self.exclusive
    }

    /// Notes where this process listens.
    ///
    /// # Errors
    /// The file can't be written.
    pub fn listens_on(&mut self, address: SocketAddr) -> io::Result<()> {
        self.write(Some(address))
    }

    fn write(&mut self, address: Option<SocketAddr>) -> io::Result<()> {
        if !self.writable {
            return Ok(());
        }
        let address = address
            .map(|address| format!("address {address}\n"))
            .unwrap_or_default();
        self.file.set_len(0)?;
        self.file.rewind()?;
        write!(self.file, "pid {}\n{address}", std::process::id())
    }
}

/// What is locked: the file, or where none can be made the directory itself. True if something
/// can be noted there.
fn open(directory: &Path) -> io::Result<(File, bool)> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    match options.open(directory.join(NAME)) {
        Ok(file) => Ok((file, true)),
        Err(error) if is_read_only(&error) => {
            let file = File::open(directory.join(NAME)).or_else(|_| File::open(directory));
            Ok((file?, false))
        }
        Err(error) => Err(error),
    }
}

fn is_read_only(error: &io::Error) -> bool {
    use io::ErrorKind::{PermissionDenied, ReadOnlyFilesystem};
    matches!(error.kind(), PermissionDenied | ReadOnlyFilesystem)
}

/// Whether the file system has no locks, or its lock server is not there.
fn is_unsupported(error: &io::Error) -> bool {
    const ENOLCK: i32 = 37;
    error.kind() == io::ErrorKind::Unsupported || error.raw_os_error() == Some(ENOLCK)
}

/// Where the process that holds `directory` listens, as far as it has said so.
pub fn address_of_holder(directory: &Path) -> Option<SocketAddr> {
    let text = std::fs::read_to_string(directory.join(NAME)).ok()?;
    text.lines()
        .find_map(|line| line.strip_prefix("address "))?
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_has_one_holder_who_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let data = directory.path().join("data");
        let mut first = Instance::claim(&data).unwrap();
        first.listens_on("127.0.0.1:8010".parse().unwrap()).unwrap();
        let error = Instance::claim(&data).unwrap_err().to_string();
        let holder = format!("pid {}, address 127.0.0.1:8010", std::process::id());
        assert!(error.contains(&holder), "{error}");
        assert_eq!(address_of_holder(&data), "127.0.0.1:8010".parse().ok());
        drop(first);
        Instance::claim(&data).unwrap();
        assert_eq!(address_of_holder(&data), None, "the old address is gone");
    }
}
