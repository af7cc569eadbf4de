//! [`Stamp`]: when something was.

use std::ops::Add;
use std::time::Duration;

use chrono::{DateTime, Datelike as _, Timelike as _, Utc};
use serde::{Serialize, Serializer};

use super::datetime;

/// An instant in UTC, in whole microseconds, which is what database and answers hold of it.
/// Answers show thousands of them, so it is small and quickly written:
/// `2026-11-22T13:13:05.119983Z`, without the fraction if that is zero (contract 00, section 2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stamp(i64);

impl Stamp {
    /// The beginning of 1970.
    pub const EPOCH: Self = Self(0);

    /// This moment.
    pub fn now() -> Self {
        Self(Utc::now().timestamp_micros())
    }

    /// A column of the database; `None` if it holds no time that can be shown.
    pub fn from_sql(text: &str) -> Option<Self> {
        Self::of(datetime::from_sql(text)?.and_utc())
    }

    /// This instant, unless it is one that can't be shown.
    pub fn of(at: DateTime<Utc>) -> Option<Self> {
        let shown = (0..=9999).contains(&at.year());
        shown.then(|| Self(at.timestamp_micros()))
    }

    /// Microseconds since 1970.
    pub const fn micros(self) -> i64 {
        self.0
    }

    /// As a column of the database.
    pub fn to_sql(self) -> String {
        datetime::sql(self.utc().naive_utc())
    }

    /// As chrono knows it.
    pub fn utc(self) -> DateTime<Utc> {
        DateTime::from_timestamp_micros(self.0).unwrap_or_default()
    }
}

impl Add<Duration> for Stamp {
    type Output = Self;

    fn add(self, time: Duration) -> Self {
        let micros = i64::try_from(time.as_micros()).unwrap_or(i64::MAX);
        Self(self.0.saturating_add(micros))
    }
}

impl Serialize for Stamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let at = self.utc();
        let mut text = *b"0000-00-00T00:00:00.000000Z";
        digits(&mut text[0..4], at.year().unsigned_abs());
        digits(&mut text[5..7], at.month());
        digits(&mut text[8..10], at.day());
        digits(&mut text[11..13], at.hour());
        digits(&mut text[14..16], at.minute());
        digits(&mut text[17..19], at.second());
        let micros = at.nanosecond() % 1_000_000_000 / 1000;
        digits(&mut text[20..26], micros);
        let end = if micros == 0 {
            text[19] = b'Z';
            20
        } else {
            27
        };
        serializer.serialize_str(std::str::from_utf8(&text[..end]).unwrap_or_default())
    }
}

/// Writes `number` with as many digits as there is room for.
fn digits(room: &mut [u8], mut number: u32) {
    for digit in room.iter_mut().rev() {
        *digit = b'0' + u8::try_from(number % 10).unwrap_or_default();
        number /= 10;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_shown_with_six_digits_or_none() {
        let shown = |sql: &str| serde_json::to_value(Stamp::from_sql(sql).unwrap()).unwrap();
        assert_eq!(
            shown("2026-11-22 13:13:05.119983"),
            "2026-11-22T13:13:05.119983Z"
        );
        assert_eq!(shown("2026-01-02 03:04:05"), "2026-01-02T03:04:05Z");
        assert_eq!(
            shown("1969-12-31 23:59:59.000001"),
            "1969-12-31T23:59:59.000001Z"
        );
    }

    proptest::proptest! {
        #[test]
        fn it_survives_the_database_and_agrees_with_chrono(micros in 0..4_102_444_800_000_000_i64) {
            let stamp = Stamp(micros);
            proptest::prop_assert_eq!(Stamp::from_sql(&stamp.to_sql()), Some(stamp));
            let shown = serde_json::to_value(stamp).unwrap();
            let expected = format!("{}Z", datetime::iso_utc(stamp.utc()));
            proptest::prop_assert_eq!(shown, expected);
        }
    }
}
