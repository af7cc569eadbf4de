//! Which bytes are a picture. SVG is none here: it is a document that can hold scripts.

use reqwest::header::{CONTENT_TYPE, HeaderMap};

use super::fetch::PictureError;

/// How many bytes tell the kind.
pub(super) const TELLING: usize = 16;

/// What a server may call a picture.
const DECLARED: [&str; 8] = [
    "image/png",
    "image/jpeg",
    "image/jpg",
    "image/gif",
    "image/webp",
    "image/avif",
    "image/bmp",
    "image/x-ms-bmp",
];

/// Refuses what its server itself calls something else than a picture. Saying nothing is fine,
/// and so is naming the wrong kind of picture: the bytes decide.
pub(super) fn check_declared(headers: &HeaderMap) -> Result<(), PictureError> {
    let Some(declared) = headers.get(CONTENT_TYPE) else {
        return Ok(());
    };
    let declared = declared.to_str().unwrap_or_default();
    let essence = declared.split(';').next().unwrap_or_default().trim();
    if DECLARED.iter().any(|one| one.eq_ignore_ascii_case(essence)) {
        Ok(())
    } else {
        Err(PictureError::NotAPicture)
    }
}

/// The media type that the first bytes show.
pub(super) fn sniff(bytes: &[u8]) -> Option<&'static str> {
    match bytes {
        [0x89, b'P', b'N', b'G', 0x0d, 0x0a, 0x1a, 0x0a, ..] => Some("image/png"),
        [0xff, 0xd8, 0xff, ..] => Some("image/jpeg"),
        [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => Some("image/gif"),
        [
            b'R',
            b'I',
            b'F',
            b'F',
            _,
            _,
            _,
            _,
            b'W',
            b'E',
            b'B',
            b'P',
            ..,
        ] => Some("image/webp"),
        // An ISO media file (ISO/IEC 14496-12) of the brand "AV1 image" or "AV1 image sequence".
        [
            _,
            _,
            _,
            _,
            b'f',
            b't',
            b'y',
            b'p',
            b'a',
            b'v',
            b'i',
            b'f' | b's',
            ..,
        ] => Some("image/avif"),
        // The two reserved words must be 0: many texts begin with "BM".
        [b'B', b'M', _, _, _, _, 0, 0, 0, 0, ..] => Some("image/bmp"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_are_known_by_their_first_bytes() {
        for (bytes, kind) in [
            (&b"\x89PNG\r\n\x1a\n...."[..], Some("image/png")),
            (b"\xff\xd8\xff\xe0\0\x10JFIF", Some("image/jpeg")),
            (b"GIF89a", Some("image/gif")),
            (b"GIF87a", Some("image/gif")),
            (b"RIFF\x10\0\0\0WEBPVP8 ", Some("image/webp")),
            (b"\0\0\0\x1cftypavif\0\0\0\0", Some("image/avif")),
            (b"BM\x46\0\0\0\0\0\0\0\x36\0", Some("image/bmp")),
            (b"", None),
            (b"\x89PN", None),
            (b"GIF88a", None),
            (b"RIFF\x10\0\0\0WAVEfmt ", None),
            (b"\0\0\0\x1cftypisom\0\0\0\0", None),
            (b"BM is a text, not a picture", None),
            (b"<svg xmlns=\"http://www.w3.org/2000/svg\">", None),
            (b"<?xml version=\"1.0\"?><svg>", None),
            (b"<!DOCTYPE html>", None),
        ] {
            assert_eq!(sniff(bytes), kind, "{bytes:?}");
        }
    }

    #[test]
    fn a_server_may_say_nothing_or_that_it_is_a_picture() {
        let check = |declared: Option<&'static str>| {
            let mut headers = HeaderMap::new();
            if let Some(declared) = declared {
                headers.insert(CONTENT_TYPE, declared.parse().unwrap());
            }
            check_declared(&headers).is_ok()
        };
        assert!(check(None) && check(Some("image/png")) && check(Some("IMAGE/JPEG; q=1")));
        for other in [
            "image/svg+xml",
            "text/html",
            "application/json",
            "image",
            "",
        ] {
            assert!(!check(Some(other)), "{other}");
        }
    }
}
