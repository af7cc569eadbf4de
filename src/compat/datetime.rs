//! Timestamps as Python's `isoformat` writes them: six digits of fraction, or none at all.

use chrono::{DateTime, Local, NaiveDateTime, Timelike as _, Utc};
use chrono_tz::Tz;

/// Local time without a zone, `2026-11-22T22:36:24.956820`. Legacy: several answers carry it
/// (contract 00, section 2); the zone is the process's, `None` meaning the system's.
pub fn iso_local(at: DateTime<Utc>, zone: Option<Tz>) -> String {
    let naive = match zone {
        Some(zone) => at.with_timezone(&zone).naive_local(),
        None => at.with_timezone(&Local).naive_local(),
    };
    iso(naive)
}

fn iso(naive: NaiveDateTime) -> String {
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
    fn the_zone_moves_the_clock_and_is_not_written() {
        let tokyo = Some(chrono_tz::Asia::Tokyo);
        assert_eq!(
            iso_local(at("2026-11-22T13:09:07Z"), tokyo),
            "2026-11-22T22:09:07"
        );
    }
}
