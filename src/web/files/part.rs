//! [`Part`]: what a request for a part of a file asks for (RFC 9110, 14).

use std::ops::Range;
use std::time::SystemTime;

use axum::http::{HeaderMap, header};

use super::date;
use super::forms::Form;

/// A part of a file.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// These bytes; never none.
    Bytes(Range<usize>),
    /// It begins behind the end.
    Beyond,
}

impl Part {
    /// `None` if the whole file is to be sent: because nothing else is asked for, because more than
    /// one part is (which a server may ignore), or because the client has a part of another file.
    pub(super) fn asked(
        asked: &HeaderMap,
        plain: &Form,
        modified: Option<SystemTime>,
    ) -> Option<Self> {
        let range = asked.get(header::RANGE)?.to_str().ok()?;
        if let Some(same) = asked.get(header::IF_RANGE) {
            let is_same = *same == plain.tag || modified.and_then(date).is_some_and(|d| d == same);
            if !is_same {
                return None;
            }
        }
        Self::parse(range, plain.bytes.len())
    }

    fn parse(range: &str, length: usize) -> Option<Self> {
        let (unit, range) = range.split_once('=')?;
        let (first, last) = range.split_once('-')?;
        if !unit.eq_ignore_ascii_case("bytes") {
            return None;
        }
        let number = |text: &str| {
            let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            // What is too large for a number is larger than any file.
            digits.then(|| text.parse().unwrap_or(usize::MAX))
        };
        let (first, last) = (first.trim(), last.trim());
        let range = if first.is_empty() {
            length.saturating_sub(number(last)?)..length
        } else if last.is_empty() {
            number(first)?..length
        } else {
            let (first, last) = (number(first)?, number(last)?);
            if first > last {
                return None;
            }
            first..last.saturating_add(1).min(length)
        };
        Some(if range.start < range.end {
            Self::Bytes(range)
        } else {
            Self::Beyond
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_range_is_understood_and_more_are_ignored() {
        let of_ten = |range: &str| Part::parse(range, 10);
        let bytes = |range| Some(Part::Bytes(range));
        assert_eq!(of_ten("bytes=0-0"), bytes(0..1));
        assert_eq!(of_ten("bytes=2-5"), bytes(2..6));
        assert_eq!(of_ten("Bytes=2-"), bytes(2..10));
        assert_eq!(of_ten("bytes=-3"), bytes(7..10));
        assert_eq!(of_ten("bytes=-300"), bytes(0..10));
        assert_eq!(of_ten("bytes=5-99999999999999999999999"), bytes(5..10));
        for beyond in [
            "bytes=10-",
            "bytes=10-20",
            "bytes=-0",
            "bytes=99999999999999999999999-",
        ] {
            assert_eq!(of_ten(beyond), Some(Part::Beyond), "{beyond}");
        }
        for ignored in [
            "bytes=0-1,3-4",
            "bytes=5-2",
            "bytes=-",
            "bytes=",
            "bytes",
            "lines=0-1",
            "bytes=a-b",
            "bytes=+1-2",
            "bytes=--1",
            "bytes=1-2-3",
            "",
        ] {
            assert_eq!(of_ten(ignored), None, "{ignored}");
        }
        assert_eq!(Part::parse("bytes=0-", 0), Some(Part::Beyond));
    }
}
