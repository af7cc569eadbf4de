//! [`Forms`]: the content of a file, plain and compressed, each with its own tag.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::path::Path;

use axum::http::HeaderValue;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use sha2::{Digest as _, Sha256};
use tokio::sync::OnceCell;
use tokio::task::spawn_blocking;

use super::found::{Beside, Found};
use super::memory::LARGEST;

/// A compressed form has to be smaller by this part at least.
const WORTH: usize = 20;

/// The content of a file and what has been made of it so far.
#[derive(Debug)]
pub(super) struct Forms {
    pub(super) plain: Form,
    gzip: OnceCell<Option<Form>>,
    brotli: OnceCell<Option<Form>>,
}

/// Bytes to be sent.
#[derive(Clone, Debug)]
pub(super) struct Form {
    pub(super) bytes: Bytes,
    /// A strong tag: a hash of exactly these bytes.
    pub(super) tag: HeaderValue,
}

impl Forms {
    /// Reads a file, without holding up other requests.
    ///
    /// # Errors
    /// It can't be read, or has grown since it was looked at.
    pub(super) async fn read(found: &Found) -> io::Result<Self> {
        let (path, expected) = (found.path.clone(), found.stamp.bytes);
        let plain = blocking(move || {
            let plain = Form::of(read(&path)?)?;
            let same = plain.bytes.len() as u64 == expected;
            same.then_some(plain)
                .ok_or_else(|| io::Error::other("it is being written to"))
        });
        Ok(Self {
            plain: plain.await?,
            gzip: OnceCell::new(),
            brotli: OnceCell::new(),
        })
    }

    /// The form in gzip, if it is smaller: the one beside the file, or one that is made now, once.
    pub(super) async fn gzip(&self, found: &Found) -> Option<&Form> {
        let make = async || {
            if let Some(form) = self.beside(found.gzip.as_ref()).await {
                return Some(form);
            }
            let plain = self.plain.bytes.clone();
            let made = blocking(move || Form::of(compress(&plain)?)).await;
            made.ok().filter(|form| self.is_worth(form))
        };
        self.gzip.get_or_init(make).await.as_ref()
    }

    /// The form in Brotli, if there is one beside the file.
    pub(super) async fn brotli(&self, found: &Found) -> Option<&Form> {
        let beside = found.brotli.as_ref()?;
        let load = async || self.beside(Some(beside)).await;
        self.brotli.get_or_init(load).await.as_ref()
    }

    async fn beside(&self, beside: Option<&Beside>) -> Option<Form> {
        let path = beside?.path.clone();
        let form = blocking(move || Form::of(read(&path)?)).await.ok();
        form.filter(|form| self.is_worth(form))
    }

    fn is_worth(&self, form: &Form) -> bool {
        let plain = self.plain.bytes.len();
        form.bytes.len() + plain / WORTH < plain
    }
}

impl Form {
    fn of(bytes: Vec<u8>) -> io::Result<Self> {
        let digest = Sha256::digest(&bytes);
        let tag = digest.iter().take(12).fold(String::new(), |mut tag, byte| {
            let _ = write!(tag, "{byte:02x}");
            tag
        });
        let tag = HeaderValue::try_from(format!("\"{tag}\"")).map_err(io::Error::other)?;
        let bytes = bytes.into();
        Ok(Self { bytes, tag })
    }
}

/// The whole file, but not more than is ever kept.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?
        .take(LARGEST + 1)
        .read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// As small as it gets: it is done once per file.
fn compress(plain: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(plain)?;
    encoder.finish()
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    spawn_blocking(work).await.map_err(io::Error::other)?
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[tokio::test]
    async fn forms_beside_the_file_are_preferred_unless_they_save_nothing() {
        let root = tempfile::tempdir().unwrap();
        let put = |name: &str, content: &[u8]| fs::write(root.path().join(name), content).unwrap();
        let forms = async || {
            let found = Found::look(root.path(), "/a.js").unwrap();
            let forms = Forms::read(&found).await.unwrap();
            let gzip = forms.gzip(&found).await.cloned();
            let brotli = forms.brotli(&found).await.cloned();
            (forms.plain, gzip.map(|f| f.bytes), brotli.map(|f| f.bytes))
        };
        put("a.js", &[b'x'; 4000]);
        let (plain, made, none) = forms().await;
        assert_eq!(plain.bytes.len(), 4000);
        let made = made.unwrap();
        assert_eq!(&made[..2], [0x1f, 0x8b]);
        assert_eq!(none, None);

        put("a.js.gz", b"packed");
        put("a.js.br", b"smaller");
        let (_, gzip, brotli) = forms().await;
        assert_eq!(
            (&gzip.unwrap()[..], &brotli.unwrap()[..]),
            (&b"packed"[..], &b"smaller"[..])
        );

        put("a.js.gz", &[0; 3990]);
        assert_eq!(forms().await.1, Some(made));
        let noise: Vec<u8> = (0..4000).map(|_| rand::random()).collect();
        put("a.js", &noise);
        fs::remove_file(root.path().join("a.js.gz")).unwrap();
        assert_eq!(forms().await.1, None, "nothing to be saved");
    }

    #[tokio::test]
    async fn a_file_that_changes_meanwhile_is_not_taken_for_the_one_that_was_seen() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("a.js");
        fs::write(&path, "one").unwrap();
        let found = Found::look(root.path(), "/a.js").unwrap();
        fs::write(&path, "three").unwrap();
        assert!(Forms::read(&found).await.is_err());
        fs::remove_file(&path).unwrap();
        assert!(Forms::read(&found).await.is_err());
    }
}
