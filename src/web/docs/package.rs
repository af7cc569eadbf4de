//! The files of Swagger UI, out of the archive that its package holds. They are deflated there, and
//! gzip is deflate with another head and tail, so they are sent without being unpacked.

use std::io::{self, Read as _};

use bytes::Bytes;
use flate2::read::GzDecoder;
use utoipa_swagger_ui_vendored::SWAGGER_UI_VENDORED as ARCHIVE;

/// RFC 1952: magic, deflate, no flags, no time, no hint, unknown system.
const GZIP_HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
/// PKWARE's APPNOTE.TXT, 4.3: how the parts of an archive begin, and how long they are without
/// what they carry.
const END: (&[u8], usize) = (b"PK\x05\x06", 22);
const ENTRY: (&[u8], usize) = (b"PK\x01\x02", 46);
const LOCAL: (&[u8], usize) = (b"PK\x03\x04", 30);
/// APPNOTE.TXT, 4.4.5.
const DEFLATED: u16 = 8;

/// A file of Swagger UI in gzip; `None` if the package has no such file.
pub(super) fn gzip(name: &str) -> Option<Bytes> {
    let suffix = format!("/dist/{name}");
    let end = ARCHIVE.windows(END.0.len()).rposition(|at| at == END.0)?;
    let end = part(end, END)?;
    let mut at = long(end, 16)?;
    for _ in 0..short(end, 10)? {
        let entry = part(at, ENTRY)?;
        let length = usize::from(short(entry, 28)?);
        let carried = length + usize::from(short(entry, 30)?) + usize::from(short(entry, 32)?);
        let path = ARCHIVE.get(at + ENTRY.1..)?.get(..length)?;
        if path.ends_with(suffix.as_bytes()) {
            return packed(entry);
        }
        at += ENTRY.1 + carried;
    }
    None
}

/// What [`gzip`] gave, for a client that can't unpack it.
pub(super) fn unpacked(gzip: &[u8]) -> io::Result<Vec<u8>> {
    let mut plain = Vec::new();
    GzDecoder::new(gzip).read_to_end(&mut plain)?;
    Ok(plain)
}

fn packed(entry: &[u8]) -> Option<Bytes> {
    let local = long(entry, 42)?;
    let head = part(local, LOCAL)?;
    let carried = usize::from(short(head, 26)?) + usize::from(short(head, 28)?);
    let deflated = ARCHIVE.get(local + LOCAL.1 + carried..)?;
    let deflated = deflated.get(..long(entry, 20)?)?;
    let (checksum, length) = (entry.get(16..20)?, entry.get(24..28)?);
    let gzip = [&GZIP_HEADER[..], deflated, checksum, length].concat();
    (short(entry, 10)? == DEFLATED).then(|| gzip.into())
}

fn part(at: usize, (begins, length): (&[u8], usize)) -> Option<&'static [u8]> {
    let part = ARCHIVE.get(at..)?.get(..length)?;
    part.starts_with(begins).then_some(part)
}

fn short(part: &[u8], at: usize) -> Option<u16> {
    let bytes = part.get(at..at + 2)?.try_into().ok()?;
    Some(u16::from_le_bytes(bytes))
}

fn long(part: &[u8], at: usize) -> Option<usize> {
    let bytes = part.get(at..at + 4)?.try_into().ok()?;
    usize::try_from(u32::from_le_bytes(bytes)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_package_has_what_the_page_needs() {
        for (name, holds) in [
            ("swagger-ui-bundle.js", "SwaggerUIBundle"),
            ("swagger-ui.css", ".swagger-ui"),
        ] {
            let gzip = gzip(name).unwrap();
            let plain = String::from_utf8(unpacked(&gzip).unwrap()).unwrap();
            assert!(plain.contains(holds), "{name}");
            assert!(gzip.len() * 2 < plain.len());
        }
        assert_eq!(gzip("nothing.js"), None);
        assert!(unpacked(b"no gzip").is_err());
    }
}
