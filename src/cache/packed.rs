//! [`Packed`]: text compressed so that more can follow it.
//!
//! A deflate stream that is flushed ends at a byte boundary (RFC 1951), so streams that were made
//! apart can stand behind each other, with uncompressed text between them; one checksum over all
//! completes them to a gzip file (RFC 1952). What stays the same from one answer to the next is
//! therefore compressed once.

use std::io::Write as _;

use bytes::Bytes;
use crc32fast::Hasher;
use flate2::Compression;
use flate2::write::DeflateEncoder;

/// Deflate level: the default of most servers.
const LEVEL: u32 = 6;
/// RFC 1952: magic, deflate, no flags, no time, no hint, unknown system.
const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
/// RFC 1951: a block that is the last one, stored, of no bytes.
const LAST_BLOCK: [u8; 5] = [1, 0, 0, 0xff, 0xff];
/// What a stored block can hold.
const LONGEST_BLOCK: usize = u16::MAX as usize;

/// A text as deflate blocks, open for more.
#[derive(Debug)]
pub struct Packed {
    blocks: Bytes,
    crc: Hasher,
    length: usize,
}

impl Packed {
    /// Compresses `text`, which takes a millisecond for every 30 to 50 KB.
    pub fn of(text: &[u8]) -> Self {
        let mut crc = Hasher::new();
        crc.update(text);
        let mut encoder = DeflateEncoder::new(Vec::new(), Compression::new(LEVEL));
        // Writing to a Vec can't fail; a flush leaves the stream open at a byte boundary.
        let _ = encoder.write_all(text).and_then(|()| encoder.flush());
        Self {
            blocks: std::mem::take(encoder.get_mut()).into(),
            crc,
            length: text.len(),
        }
    }
}

/// A gzip file that is being put together.
#[derive(Debug)]
pub struct Gzip {
    pieces: Vec<Bytes>,
    crc: Hasher,
    length: usize,
}

impl Gzip {
    /// An empty one.
    pub fn begin() -> Self {
        Self {
            pieces: vec![Bytes::from_static(&HEADER)],
            crc: Hasher::new(),
            length: 0,
        }
    }

    /// Adds a text that is compressed already.
    #[must_use]
    pub fn packed(mut self, text: &Packed) -> Self {
        self.pieces.push(text.blocks.clone());
        self.crc.combine(&text.crc);
        self.length = self.length.wrapping_add(text.length);
        self
    }

    /// Adds a text that is too short to be worth compressing.
    #[must_use]
    pub fn stored(mut self, text: &[u8]) -> Self {
        let mut blocks = Vec::with_capacity(text.len() + 5);
        for block in text.chunks(LONGEST_BLOCK) {
            let length = u16::try_from(block.len()).unwrap_or(u16::MAX);
            blocks.push(0);
            blocks.extend(length.to_le_bytes());
            blocks.extend((!length).to_le_bytes());
            blocks.extend(block);
        }
        self.pieces.push(blocks.into());
        self.crc.update(text);
        self.length = self.length.wrapping_add(text.len());
        self
    }

    /// The whole file, in pieces.
    pub fn finish(mut self) -> Vec<Bytes> {
        let mut end = LAST_BLOCK.to_vec();
        end.extend(self.crc.finalize().to_le_bytes());
        // RFC 1952: the length modulo 2^32.
        end.extend(&self.length.to_le_bytes()[..4]);
        self.pieces.push(end.into());
        self.pieces
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    #[test]
    fn texts_that_were_compressed_apart_make_one_file() {
        let (long, longer) = ("abc".repeat(2_000), "x, y".repeat(40_000));
        let (first, second) = (Packed::of(long.as_bytes()), Packed::of(b""));
        let file = Gzip::begin()
            .stored(b"[")
            .packed(&first)
            .packed(&second)
            .stored(longer.as_bytes())
            .packed(&first)
            .stored(b"")
            .finish();
        let file = file.concat();
        let mut text = String::new();
        // The decoder checks length and checksum; nothing may follow.
        let mut decoder = flate2::read::GzDecoder::new(&file[..]);
        decoder.read_to_string(&mut text).unwrap();
        assert_eq!(text, format!("[{long}{longer}{long}"));
        assert_eq!(decoder.into_inner(), b"");
    }
}
