//! Timestamps as Python's `isoformat` writes them: six digits of fraction, or none at all.

use chrono::{DateTime, Local, NaiveDate, NaiveDateTime, Timelike as _, Utc};
use chrono_tz::Tz;

/// Local time without a zone, `2026-11-22T22:36:24.956820`. Legacy: several answers carry it
/// (contract 00, section 2); the zone is the process's, `None` meaning the system's.
pub fn iso_local(at: DateTime<Utc>, zone: Option<Tz>) -> String {
    iso(local(at, zone))
}

/// What clocks of the process's zone show; `None` is the system's zone.
pub fn local(at: DateTime<Utc>, zone: Option<Tz>) -> NaiveDateTime {
    match zone {
        Some(zone) => at.with_timezone(&zone).naive_local(),
        None => at.with_timezone(&Local).naive_local(),
    }
}

/// UTC without a zone, `2026-11-22T13:05:55.596545`. Legacy: `last_updated` of statistics.
pub fn iso_utc(at: DateTime<Utc>) -> String {
    iso(at.naive_utc())
}

/// UTC with its offset, `2026-11-22T13:09:02.711620+00:00`: the dashboard's statistics.
pub fn iso_with_offset(at: DateTime<Utc>) -> String {
    format!("{}+00:00", iso_utc(at))
}

/// A column of the database: text with six digits of fraction and no zone (contract 06,
/// section 2). Comparisons and unique keys are on this text, so its form matters.
pub fn sql(naive: NaiveDateTime) -> String {
    naive.format("%Y-%m-%d %H:%M:%S%.6f").to_string()
}

/// Reads a column of the database: with any number of digits, with `T`, a bare date, or with a
/// zone, which is dropped after conversion to UTC.
pub fn from_sql(text: &str) -> Option<NaiveDateTime> {
    let text = text.trim().replacen('T', " ", 1);
    let naive = NaiveDateTime::parse_from_str(&text, "%Y-%m-%d %H:%M:%S%.f");
    let zoned = || DateTime::parse_from_rfc3339(&text).map(|at| at.naive_utc());
    let date = || NaiveDate::parse_from_str(&text, "%Y-%m-%d").map(NaiveDateTime::from);
    naive.or_else(|_| zoned()).or_else(|_| date()).ok()
}

/// As the answers carry it: [`sql`]'s instant, `2026-11-22T13:05:55.596545`, no zone.
pub fn iso(naive: NaiveDateTime) -> String {
    let micros = naive.nanosecond() % 1_000_000_000 / 1_000;
    let whole = naive.format("%Y-%m-%dT%H:%M:%S");
    if micros == 0 {
        whole.to_string()
    } else {
        format!("{whole}.{micros:06}")
    }
}

#[cfg(test)]
mod tests {
    use chrono::{Datelike as _, FixedOffset};
    use proptest::prelude::*;

    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    #[test]
    fn the_fraction_has_six_digits_or_is_absent() {
        let utc = Some(Tz::UTC);
        assert_eq!(
            iso_local(at("2026-11-22T13:09:07.5Z"), utc),
            "2026-11-22T13:09:07.500000"
        );
        assert_eq!(
            iso_local(at("2026-11-22T13:09:07Z"), utc),
            "2026-11-22T13:09:07"
        );
        assert_eq!(
            iso_local(at("2026-11-22T13:09:07.0000009Z"), utc),
            "2026-11-22T13:09:07",
            "below a microsecond is nothing"
        );
    }

    #[test]
    fn columns_have_six_digits_and_are_read_with_any() {
        let at = at("2026-11-22T13:09:07.5Z").naive_utc();
        assert_eq!(sql(at), "2026-11-22 13:09:07.500000");
        for text in [
            "2026-11-22 13:09:07.500000",
            "2026-11-22T13:09:07.5",
            "2026-11-22 15:09:07.5+02:00",
            "2026-11-22T13:09:07.500Z",
        ] {
            assert_eq!(from_sql(text), Some(at), "{text}");
        }
        assert_eq!(
            from_sql("2026-11-22").map(sql).as_deref(),
            Some("2026-11-22 00:00:00.000000")
        );
        assert_eq!(from_sql("yesterday"), None);
    }

    #[test]
    fn the_zone_moves_the_clock_and_is_not_written() {
        let tokyo = Some(chrono_tz::Asia::Tokyo);
        assert_eq!(
            iso_local(at("2026-11-22T13:09:07Z"), tokyo),
            "2026-11-22T22:09:07"
        );
    }

    /// From the year 1 to 9999, in microseconds.
    fn moments() -> impl Strategy<Value = DateTime<Utc>> {
        (-62_135_596_800_000_000..253_402_300_800_000_000_i64)
            .prop_map(|micros| DateTime::from_timestamp_micros(micros).unwrap())
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(at in moments(), minutes in -1080..=1080_i32) {
            let naive = at.naive_utc();
            prop_assert_eq!(from_sql(&sql(naive)), Some(naive));
            prop_assert_eq!(from_sql(&iso(naive)), Some(naive));
            prop_assert_eq!(from_sql(&iso_with_offset(at)), Some(naive));
            prop_assert_eq!(sql(naive).len(), 26);
            prop_assert!(matches!(iso(naive).len(), 19 | 26));
            let offset = FixedOffset::east_opt(minutes * 60).unwrap();
            let elsewhere = at.with_timezone(&offset);
            if (0..=9999).contains(&elsewhere.year()) {
                prop_assert_eq!(from_sql(&elsewhere.to_rfc3339()), Some(naive));
            }
        }

        #[test]
        fn columns_sort_as_their_times_do(one in moments(), other in moments()) {
            let (one, other) = (one.naive_utc(), other.naive_utc());
            prop_assert_eq!(sql(one).cmp(&sql(other)), one.cmp(&other));
        }

        #[test]
        fn no_text_is_too_odd_to_be_read(text in "[0-9TZ:. +-]{0,32}|\\PC{0,16}") {
            if let Some(read) = from_sql(&text) {
                prop_assert_eq!(from_sql(&iso(read)).is_some(), (0..=9999).contains(&read.year()));
            }
        }
    }
}
