//! Instants in all the spellings that pydantic takes for them.
//!
//! What has no zone is UTC. 3.3.0 read offsets and dropped them; here they count (contract 08, item
//! 93).

use chrono::{DateTime, Datelike as _, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta};
use serde_json::{Value, json};

use super::Wrong;
use crate::compat::Stamp;

const NO_TYPE: Wrong = Wrong::new("datetime_type", "Input should be a valid datetime");
/// Why something that begins with a date is none, and has no time either.
const REST: &str = "unexpected extra characters at the end of the input";

/// A text of ISO 8601, or the seconds or milliseconds since 1970 as a number or a text.
pub(super) fn datetime(value: &Value) -> Result<Stamp, Wrong> {
    match value {
        Value::Number(number) => since_1970(number.as_f64().ok_or(NO_TYPE)?),
        Value::String(text) => number(text).map_or_else(|| written(text), since_1970),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => Err(NO_TYPE),
    }
}

/// A text of ISO 8601; none where it is empty.
pub(super) fn written_datetime(value: &Value) -> Result<Option<Stamp>, Wrong> {
    match value.as_str() {
        Some("") => Ok(None),
        Some(text) => written(text).map(Some),
        None => Err(NO_TYPE),
    }
}

/// Digits, perhaps with a sign and a point. Rust reads more than that: exponents, `inf`.
fn number(text: &str) -> Option<f64> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let plain = |byte: u8| byte.is_ascii_digit() || byte == b'.';
    unsigned.bytes().all(plain).then(|| text.parse().ok())?
}

/// Seconds, or milliseconds if they would lead beyond October 2603.
fn since_1970(number: f64) -> Result<Stamp, Wrong> {
    const MOST_SECONDS: f64 = 2e10;
    let (micros_each, factor) = if number.abs() > MOST_SECONDS {
        (1000, 1e3)
    } else {
        (1_000_000, 1e6)
    };
    // Apart from each other, for together they have more digits than a float.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "what does not fit becomes the first or last number, which is refused"
    )]
    let (whole, rest) = (number as i64, (number.fract() * factor).round() as i64);
    let micros = whole.checked_mul(micros_each);
    let micros = micros.and_then(|micros| micros.checked_add(rest));
    let at = micros.and_then(DateTime::from_timestamp_micros);
    at.and_then(|at| stored(at.naive_utc())).ok_or_else(beyond)
}

/// `2027-01-02`, and what may follow it: a time, then a zone.
fn written(text: &str) -> Result<Stamp, Wrong> {
    let mut rest = Rest(text);
    let date = date(&mut rest)?;
    let at = if rest.0.is_empty() {
        date.into()
    } else {
        let read = time_and_zone(&mut rest).filter(|_| rest.0.is_empty());
        let (time, offset) = read.ok_or_else(|| no_date(REST))?;
        let at = date.and_time(time).checked_sub_signed(offset);
        at.ok_or_else(beyond)?
    };
    stored(at).ok_or_else(beyond)
}

fn date(rest: &mut Rest<'_>) -> Result<NaiveDate, Wrong> {
    const SEPARATOR: &str = "invalid date separator, expected `-`";
    if rest.0.len() < "2027-01-02".len() {
        return Err(no_date("input is too short"));
    }
    let year = rest
        .digits(4)
        .ok_or_else(|| no_date("invalid character in year"))?;
    rest.one_of(&["-"]).ok_or_else(|| no_date(SEPARATOR))?;
    let month = rest
        .digits(2)
        .ok_or_else(|| no_date("invalid character in month"))?;
    rest.one_of(&["-"]).ok_or_else(|| no_date(SEPARATOR))?;
    let day = rest
        .digits(2)
        .ok_or_else(|| no_date("invalid character in day"))?;
    if !(1..=12).contains(&month) {
        return Err(no_date("month value is outside expected range of 1-12"));
    }
    let date = i32::try_from(year)
        .ok()
        .and_then(|year| NaiveDate::from_ymd_opt(year, month, day));
    date.ok_or_else(|| no_date("day value is outside expected range"))
}

/// `T03:04`, perhaps with seconds and their fraction, and how far the zone is ahead of UTC.
fn time_and_zone(rest: &mut Rest<'_>) -> Option<(NaiveTime, TimeDelta)> {
    rest.one_of(&["T", "t", " ", "_"])?;
    let hour = rest.digits(2)?;
    rest.one_of(&[":"])?;
    let minute = rest.digits(2)?;
    let mut second = 0;
    let mut micros = 0;
    if rest.one_of(&[":"]).is_some() {
        second = rest.digits(2)?;
        if rest.one_of(&[".", ","]).is_some() {
            micros = rest.micros()?;
        }
    }
    let time = NaiveTime::from_hms_micro_opt(hour, minute, second, micros)?;
    Some((time, zone(rest)?))
}

/// Nothing, `Z`, `+02:00` or `+0200`.
fn zone(rest: &mut Rest<'_>) -> Option<TimeDelta> {
    if rest.0.is_empty() || rest.one_of(&["Z", "z"]).is_some() {
        return Some(TimeDelta::zero());
    }
    // The last is the sign that typographers put there.
    let sign = rest.one_of(&["+", "-", "\u{2212}"])?;
    let hours = rest.digits(2).filter(|hours| *hours < 24)?;
    let _ = rest.one_of(&[":"]);
    let minutes = rest.digits(2).filter(|minutes| *minutes < 60)?;
    let offset = TimeDelta::minutes(i64::from(hours * 60 + minutes));
    Some(if sign == "+" { offset } else { -offset })
}

/// This instant, if 3.3.0 can read it from the database.
fn stored(at: NaiveDateTime) -> Option<Stamp> {
    (1..=9999)
        .contains(&at.year())
        .then(|| Stamp::of(at.and_utc()))?
}

fn beyond() -> Wrong {
    wrong(
        "datetime_parsing",
        "Input should be a valid datetime",
        "only the years from 1 to 9999 are supported",
    )
}

fn no_date(why: &'static str) -> Wrong {
    const MSG: &str = "Input should be a valid datetime or date";
    wrong("datetime_from_date_parsing", MSG, why)
}

fn wrong(kind: &'static str, msg: &str, why: &str) -> Wrong {
    Wrong {
        kind,
        msg: format!("{msg}, {why}").into(),
        ctx: Some(json!({ "error": why })),
    }
}

/// What is left of a text.
struct Rest<'a>(&'a str);

impl Rest<'_> {
    /// Takes exactly so many digits.
    fn digits(&mut self, count: usize) -> Option<u32> {
        let (digits, rest) = self.0.split_at_checked(count)?;
        let plain = digits.bytes().all(|byte| byte.is_ascii_digit());
        let number = plain.then(|| digits.parse().ok())??;
        self.0 = rest;
        Some(number)
    }

    /// Takes one of these.
    fn one_of(&mut self, marks: &[&'static str]) -> Option<&'static str> {
        let found = marks
            .iter()
            .find_map(|mark| Some((mark, self.0.strip_prefix(mark)?)));
        let (mark, rest) = found?;
        self.0 = rest;
        Some(mark)
    }

    /// Takes a fraction of a second; what is below a microsecond is cut off.
    fn micros(&mut self) -> Option<u32> {
        let rest = self.0.trim_start_matches(|c: char| c.is_ascii_digit());
        let fraction = &self.0[..self.0.len() - rest.len()];
        self.0 = rest;
        let first = &fraction[..fraction.len().min(6)];
        format!("{first:0<6}")
            .parse()
            .ok()
            .filter(|_| !first.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(value: &Value) -> Result<String, String> {
        let stamp = datetime(value).map_err(|wrong| format!("{}: {}", wrong.kind, wrong.msg))?;
        Ok(stamp.to_sql().trim_end_matches(".000000").to_owned())
    }

    #[test]
    fn texts_are_read_as_pydantic_reads_them_and_become_utc() {
        for (text, utc) in [
            ("2027-01-02T03:04:05Z", "2027-01-02 03:04:05"),
            ("2027-01-02T03:04:05z", "2027-01-02 03:04:05"),
            ("2027-01-02T03:04:05", "2027-01-02 03:04:05"),
            ("2027-01-02T03:04:05+02:00", "2027-01-02 01:04:05"),
            ("2027-01-02T03:04:05-0230", "2027-01-02 05:34:05"),
            ("2027-01-02T03:04:05-00:00", "2027-01-02 03:04:05"),
            ("2027-01-02T03:04:05\u{2212}02:00", "2027-01-02 05:04:05"),
            ("2027-01-02T03:04:05+23:59", "2027-01-01 03:05:05"),
            ("2027-01-02T03:04Z", "2027-01-02 03:04:00"),
            ("2027-01-02 03:04", "2027-01-02 03:04:00"),
            ("2027-01-02t03:04", "2027-01-02 03:04:00"),
            ("2027-01-02_03:04", "2027-01-02 03:04:00"),
            ("2027-01-02T03:04:05.1", "2027-01-02 03:04:05.100000"),
            ("2027-01-02T03:04:05,000001Z", "2027-01-02 03:04:05.000001"),
            (
                "2027-01-02T03:04:05.12345678901",
                "2027-01-02 03:04:05.123456",
            ),
            ("2027-01-02", "2027-01-02 00:00:00"),
            ("2028-02-29", "2028-02-29 00:00:00"),
            ("0001-01-01", "0001-01-01 00:00:00"),
            ("9999-12-31T23:59:59.999999Z", "9999-12-31 23:59:59.999999"),
        ] {
            assert_eq!(read(&text.into()).as_deref(), Ok(utc), "{text}");
        }
    }

    #[test]
    fn numbers_are_seconds_or_milliseconds_since_1970() {
        for (value, utc) in [
            (json!(0), "1970-01-01 00:00:00"),
            (json!(1_798_858_800), "2027-01-02 03:00:00"),
            (json!(1_798_858_800.5), "2027-01-02 03:00:00.500000"),
            (json!(1_798_858_800.123_456_7), "2027-01-02 03:00:00.123457"),
            (json!(1_798_858_800_000_i64), "2027-01-02 03:00:00"),
            (json!(1_798_858_800_123.9), "2027-01-02 03:00:00.123900"),
            (json!(20_000_000_000_i64), "2603-10-11 11:33:20"),
            (json!(20_000_000_001_i64), "1970-08-20 11:33:20.001000"),
            (json!(-20_000_000_001_i64), "1969-05-14 12:26:39.999000"),
            (json!(253_402_300_799_999_i64), "9999-12-31 23:59:59.999000"),
            (json!(-62_135_596_800_000_i64), "0001-01-01 00:00:00"),
            (json!("1798858800"), "2027-01-02 03:00:00"),
            (json!("+1798858800"), "2027-01-02 03:00:00"),
            (json!("1798858800."), "2027-01-02 03:00:00"),
            (json!("1798858800000.25"), "2027-01-02 03:00:00.000250"),
            (json!("-1.5"), "1969-12-31 23:59:58.500000"),
            (json!(".5"), "1970-01-01 00:00:00.500000"),
        ] {
            assert_eq!(read(&value).as_deref(), Ok(utc), "{value}");
        }
    }

    #[test]
    fn what_is_no_instant_is_refused_in_pydantics_words() {
        let no_date = "datetime_from_date_parsing: Input should be a valid datetime or date, ";
        for (text, why) in [
            ("", "input is too short"),
            ("tomorrow", "input is too short"),
            ("2027-1-2", "input is too short"),
            ("NaN", "input is too short"),
            ("1e5", "input is too short"),
            (".", "input is too short"),
            ("-", "input is too short"),
            (" 2027-01-02", "invalid character in year"),
            ("ü027-01-02", "invalid character in year"),
            ("202ü-01-02", "invalid character in year"),
            ("10000-01-01", "invalid date separator, expected `-`"),
            ("20270102T030405", "invalid date separator, expected `-`"),
            ("2027-W01-1", "invalid character in month"),
            ("2027-01-+2", "invalid character in day"),
            (
                "2027-13-01",
                "month value is outside expected range of 1-12",
            ),
            ("2027-02-30", "day value is outside expected range"),
            ("2027-01-02 ", REST),
            ("2027-01-02Z", REST),
            ("2027-01-02T", REST),
            ("2027-01-02T03", REST),
            ("2027-01-02X03:04", REST),
            ("2027-01-02T24:00", REST),
            ("2027-01-02T03:60", REST),
            ("2027-01-02T03:04:60", REST),
            ("2027-01-02T03:04:05.", REST),
            ("2027-01-02T03:04:05.ü", REST),
            ("2027-01-02T03:04:05Zx", REST),
            ("2027-01-02T03:04:05 +02:00", REST),
            ("2027-01-02T03:04:05+02", REST),
            ("2027-01-02T03:04:05+24:00", REST),
            ("2027-01-02T03:04:05+02:60", REST),
        ] {
            assert_eq!(read(&text.into()), Err(format!("{no_date}{why}")), "{text}");
        }
        for value in [json!(null), json!(true), json!([]), json!({})] {
            assert_eq!(datetime(&value), Err(NO_TYPE), "{value}");
        }
        for value in [
            json!("0000-01-01"),
            json!("0001-01-01T00:00+01:00"),
            json!("9999-12-31T23:59:59-01:00"),
            json!(1e300),
            json!(-1e300),
            json!(253_402_300_800_000_i64),
            json!(-62_135_596_800_001_i64),
            json!("99999999999999999999"),
            json!("9".repeat(400)),
        ] {
            assert_eq!(datetime(&value), Err(beyond()), "{value}");
        }
    }

    #[test]
    fn where_only_a_written_time_counts_an_empty_one_is_none() {
        assert_eq!(written_datetime(&json!("")), Ok(None));
        let at = written_datetime(&json!("2027-01-02T03:04:05+02:00")).unwrap();
        assert_eq!(at.unwrap().to_sql(), "2027-01-02 01:04:05.000000");
        for number in ["1798858800", "20270102"] {
            let refused = written_datetime(&json!(number)).unwrap_err();
            assert_eq!(refused.kind, "datetime_from_date_parsing", "{number}");
        }
        assert_eq!(written_datetime(&json!(0)), Err(NO_TYPE));
    }

    proptest::proptest! {
        #[test]
        fn no_text_is_too_odd(text in "[-+0-9TZ:., ü\u{2212}]{0,40}") {
            let _ = datetime(&text.into());
        }

        #[test]
        fn what_is_shown_can_be_sent_back(micros in 0..253_402_300_799_999_999_i64) {
            let at = DateTime::from_timestamp_micros(micros).unwrap();
            let stamp = Stamp::of(at).unwrap();
            let shown = serde_json::to_value(stamp).unwrap();
            proptest::prop_assert_eq!(datetime(&shown), Ok(stamp));
        }
    }
}
