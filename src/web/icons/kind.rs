//! Which bytes are an icon, and a whole one. Nothing is decoded: a few bytes can mean gigabytes of
//! pixels.

use quick_xml::Reader;
use quick_xml::events::Event;

/// What an icon can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Png,
    Jpeg,
    WebP,
    Svg,
}

impl Kind {
    /// What these bytes are, whatever anybody calls them. `None` also for a picture that breaks
    /// off.
    pub(super) fn of(bytes: &[u8]) -> Option<Self> {
        if is_png(bytes) {
            Some(Self::Png)
        } else if is_jpeg(bytes) {
            Some(Self::Jpeg)
        } else if is_webp(bytes) {
            Some(Self::WebP)
        } else if is_svg(bytes) {
            Some(Self::Svg)
        } else {
            None
        }
    }

    pub(super) const fn extension(self) -> &'static str {
        match self {
            Self::Png => "png",
            Self::Jpeg => "jpg",
            Self::WebP => "webp",
            Self::Svg => "svg",
        }
    }
}

/// A signature and chunks from `IHDR` to `IEND` (PNG specification, 5.3); what follows is ignored,
/// as browsers do.
fn is_png(bytes: &[u8]) -> bool {
    let Some(mut rest) = bytes.strip_prefix(b"\x89PNG\r\n\x1a\n") else {
        return false;
    };
    let mut is_first = true;
    loop {
        let Some((&length, after)) = rest.split_first_chunk::<4>() else {
            return false;
        };
        let Some((name, after)) = after.split_first_chunk::<4>() else {
            return false;
        };
        let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
        // The content, and a checksum of four bytes.
        let Some(after) = after.get(length..).and_then(|after| after.get(4..)) else {
            return false;
        };
        match name {
            b"IHDR" if is_first => is_first = false,
            _ if is_first => return false,
            b"IEND" => return true,
            _ => {}
        }
        rest = after;
    }
}

/// From the marker of its start to that of its end (ITU T.81, B.1.1.3), which cameras let something
/// follow.
fn is_jpeg(bytes: &[u8]) -> bool {
    let rest = bytes.strip_prefix(b"\xff\xd8\xff");
    rest.is_some_and(|rest| rest.windows(2).any(|pair| pair == b"\xff\xd9"))
}

/// A RIFF container that is as long as it says (RFC 9649, 2.4).
fn is_webp(bytes: &[u8]) -> bool {
    /// `WEBP`, and the head of one chunk.
    const LEAST: usize = 12;
    let [b'R', b'I', b'F', b'F', a, b, c, d, rest @ ..] = bytes else {
        return false;
    };
    let length = u32::from_le_bytes([*a, *b, *c, *d]);
    rest.starts_with(b"WEBPVP8")
        && usize::try_from(length).is_ok_and(|length| (LEAST..=rest.len()).contains(&length))
}

/// A well-formed document in XML whose root is `svg`. What it may do is decided where it is sent.
fn is_svg(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return false;
    };
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut reader = Reader::from_str(text);
    let mut depth = 0_u32;
    let mut has_root = false;
    loop {
        let event = match reader.read_event() {
            Ok(event) => event,
            Err(_malformed) => return false,
        };
        let is_root = depth == 0;
        match event {
            Event::Start(element) | Event::Empty(element)
                if is_root && (has_root || element.local_name().as_ref() != "svg") =>
            {
                return false;
            }
            Event::Start(_) => {
                has_root = true;
                depth += 1;
            }
            Event::Empty(_) => has_root = true,
            Event::End(_) => depth = depth.saturating_sub(1),
            Event::Text(text) if is_root && !text.trim_ascii().is_empty() => {
                return false;
            }
            Event::Eof => return has_root && depth == 0,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn png() -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut encoder = png::Encoder::new(&mut bytes, 2, 2);
        encoder.set_color(png::ColorType::Grayscale);
        let mut writer = encoder.write_header().unwrap();
        writer.write_image_data(&[0, 1, 2, 3]).unwrap();
        writer.finish().unwrap();
        bytes
    }

    #[test]
    fn icons_are_known_by_their_content() {
        let webp = b"RIFF\x0c\0\0\0WEBPVP8 \0\0\0\0";
        let jpeg = b"\xff\xd8\xff\xe0\0\x10JFIF\0\xff\xd9 and a comment";
        assert_eq!(Kind::of(&png()), Some(Kind::Png));
        assert_eq!(Kind::of(jpeg), Some(Kind::Jpeg));
        assert_eq!(Kind::of(webp), Some(Kind::WebP));
        for svg in [
            "<svg xmlns=\"http://www.w3.org/2000/svg\"/>",
            "\u{feff}<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<!-- a --><!DOCTYPE svg PUBLIC \"a\" \"b\">\n\
             <svg><g><path d=\"M0 0\"/></g></svg>\n",
            "<s:svg xmlns:s=\"http://www.w3.org/2000/svg\"><s:script>a &amp; b</s:script></s:svg>",
        ] {
            assert_eq!(Kind::of(svg.as_bytes()), Some(Kind::Svg), "{svg}");
        }
    }

    #[test]
    fn everything_else_is_none() {
        for other in [
            &b""[..],
            b"GIF89a\x01\0\x01\0\0\0\0;",
            b"<!DOCTYPE html><html><body><svg></svg></body></html>",
            b"<html><script>alert(1)</script></html>",
            b"<svg></svg><script>alert(1)</script>",
            b"<svg></svg> and text",
            b"RIFF\0\0\0\0WEBPVP8 \0\0\0\0",
            b"RIFF\x0c\0\0\0WAVEfmt \0\0\0\0",
            b"just text",
            b"{\"svg\": 1}",
            b"MZ\x90\0",
            b"\xff\xfe<\0s\0v\0g\0/\0>\0",
        ] {
            assert_eq!(
                Kind::of(other),
                None,
                "{:?}",
                String::from_utf8_lossy(other)
            );
        }
    }

    #[test]
    fn a_picture_that_breaks_off_is_none() {
        let whole: [Vec<u8>; 4] = [
            png(),
            b"\xff\xd8\xff\xe0\0\x10JFIF\0\xff\xd9".to_vec(),
            b"RIFF\x0c\0\0\0WEBPVP8 \0\0\0\0".to_vec(),
            b"<svg><g></g></svg>".to_vec(),
        ];
        for bytes in whole {
            assert!(Kind::of(&bytes).is_some());
            for length in 0..bytes.len() {
                assert_eq!(Kind::of(&bytes[..length]), None, "{length} of {bytes:?}");
            }
        }
        let mut no_header = b"\x89PNG\r\n\x1a\n".to_vec();
        no_header.extend(b"\0\0\0\0IEND\xae\x42\x60\x82");
        assert_eq!(Kind::of(&no_header), None);
    }
}
