//! Single values in all the spellings that pydantic takes for them.

use std::num::{IntErrorKind, ParseIntError};

use serde_json::{Value, json};

use super::Wrong;

pub(super) fn string(value: &Value) -> Result<String, Wrong> {
    const NO_STRING: Wrong = Wrong::new("string_type", "Input should be a valid string");
    value.as_str().map(str::to_owned).ok_or(NO_STRING)
}

/// One of a few words.
pub(super) fn word(value: &Value, allowed: &[&'static str]) -> Result<&'static str, Wrong> {
    let given = value.as_str();
    if let Some(word) = allowed.iter().find(|word| Some(**word) == given) {
        return Ok(word);
    }
    let quoted: Vec<String> = allowed.iter().map(|word| format!("'{word}'")).collect();
    let expected = match quoted.split_last() {
        Some((last, others)) if !others.is_empty() => format!("{} or {last}", others.join(", ")),
        _ => quoted.concat(),
    };
    Err(Wrong {
        kind: "literal_error",
        msg: format!("Input should be {expected}").into(),
        ctx: Some(json!({ "expected": expected })),
    })
}

/// A boolean, 0 or 1, or a word for it.
pub(super) fn boolean(value: &Value) -> Result<bool, Wrong> {
    const NO_TYPE: Wrong = Wrong::new("bool_type", "Input should be a valid boolean");
    const NO_MEANING: Wrong = Wrong::new(
        "bool_parsing",
        "Input should be a valid boolean, unable to interpret input",
    );
    match value {
        Value::Bool(flag) => Ok(*flag),
        Value::Number(number) if number.as_f64() == Some(1.0) => Ok(true),
        Value::Number(number) if number.as_f64() == Some(0.0) => Ok(false),
        Value::Number(_) => Err(NO_MEANING),
        Value::String(text) => match text.to_ascii_lowercase().as_str() {
            "1" | "true" | "t" | "yes" | "y" | "on" => Ok(true),
            "0" | "false" | "f" | "no" | "n" | "off" => Ok(false),
            _ => Err(NO_MEANING),
        },
        Value::Null | Value::Array(_) | Value::Object(_) => Err(NO_TYPE),
    }
}

/// A number. Infinity and "not a number", which pydantic takes, are refused: no JSON can hold
/// them, and 3.3.0 broke on what it had stored (contract 08, item 76).
pub(super) fn number(value: &Value) -> Result<f64, Wrong> {
    const NO_TYPE: Wrong = Wrong::new("float_type", "Input should be a valid number");
    const NO_NUMBER: Wrong = Wrong::new(
        "float_parsing",
        "Input should be a valid number, unable to parse string as a number",
    );
    const NOT_FINITE: Wrong = Wrong::new("finite_number", "Input should be a finite number");
    let number = match value {
        Value::Number(number) => number.as_f64().ok_or(NO_TYPE)?,
        Value::Bool(flag) => f64::from(u8::from(*flag)),
        Value::String(text) => text.trim().parse().map_err(|_| NO_NUMBER)?,
        Value::Null | Value::Array(_) | Value::Object(_) => return Err(NO_TYPE),
    };
    if number.is_finite() {
        Ok(number)
    } else {
        Err(NOT_FINITE)
    }
}

const NO_INTEGER: Wrong = Wrong::new("int_type", "Input should be a valid integer");
const NO_DIGITS: Wrong = Wrong::new(
    "int_parsing",
    "Input should be a valid integer, unable to parse string as an integer",
);
const FRACTION: Wrong = Wrong::new(
    "int_from_float",
    "Input should be a valid integer, got a number with a fractional part",
);
const TOO_LARGE: Wrong = Wrong::new(
    "int_parsing_size",
    "Unable to parse input string as an integer, exceeded maximum size",
);

/// A whole number; one beyond 64 bits is refused, because no column holds it.
pub(super) fn integer(value: &Value) -> Result<i64, Wrong> {
    match value {
        Value::Bool(flag) => Ok(i64::from(*flag)),
        Value::String(text) => integer_of_text(text.trim()),
        Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(whole), _) => Ok(whole),
            (None, Some(number)) => integer_of_float(number),
            (None, None) => Err(TOO_LARGE),
        },
        Value::Null | Value::Array(_) | Value::Object(_) => Err(NO_INTEGER),
    }
}

/// `12`, `-3`, and `3.000`.
pub(super) fn integer_of_text(text: &str) -> Result<i64, Wrong> {
    let whole = match text.split_once('.') {
        Some((whole, zeros)) if !zeros.is_empty() && zeros.bytes().all(|digit| digit == b'0') => {
            whole
        }
        Some(_) => return Err(NO_DIGITS),
        None => text,
    };
    whole
        .parse()
        .map_err(|error: ParseIntError| match error.kind() {
            IntErrorKind::PosOverflow | IntErrorKind::NegOverflow => TOO_LARGE,
            _ => NO_DIGITS,
        })
}

fn integer_of_float(number: f64) -> Result<i64, Wrong> {
    /// 2^63: the first that does not fit.
    const BOUND: f64 = 9_223_372_036_854_775_808.0;
    if number.fract() != 0.0 {
        return Err(FRACTION);
    }
    // The lower bound fits, but so many digits are taken for it that don't.
    if number <= -BOUND || number >= BOUND {
        return Err(TOO_LARGE);
    }
    #[expect(clippy::cast_possible_truncation, reason = "whole and within bounds")]
    Ok(number as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind<T>(result: Result<T, Wrong>) -> Option<&'static str> {
        result.err().map(|wrong| wrong.kind)
    }

    #[test]
    fn integers_are_taken_in_every_spelling_that_pydantic_takes() {
        for (value, number) in [
            (json!(4), 4),
            (json!(-4), -4),
            (json!("4"), 4),
            (json!(" 5 "), 5),
            (json!("3.0"), 3),
            (json!(3.0), 3),
            (json!(1e3), 1000),
            (json!(true), 1),
            (json!(i64::MAX), i64::MAX),
            (json!(i64::MIN), i64::MIN),
        ] {
            assert_eq!(integer(&value), Ok(number), "{value}");
        }
        for (value, refusal) in [
            (json!(null), NO_INTEGER),
            (json!([1]), NO_INTEGER),
            (json!({}), NO_INTEGER),
            (json!("four"), NO_DIGITS),
            (json!(""), NO_DIGITS),
            (json!("3.5"), NO_DIGITS),
            (json!("3."), NO_DIGITS),
            (json!(3.5), FRACTION),
            (json!(u64::MAX), TOO_LARGE),
            (
                serde_json::from_str("-9223372036854775809").unwrap(),
                TOO_LARGE,
            ),
            (json!(1e300), TOO_LARGE),
            (json!("99999999999999999999"), TOO_LARGE),
        ] {
            assert_eq!(integer(&value), Err(refusal), "{value}");
        }
    }

    #[test]
    fn numbers_are_finite() {
        for (value, wanted) in [
            (json!(1.5), 1.5),
            (json!(7), 7.0),
            (json!(" -2e3 "), -2000.0),
            (json!(true), 1.0),
        ] {
            assert_eq!(number(&value), Ok(wanted), "{value}");
        }
        for (value, problem) in [
            (json!("NaN"), "finite_number"),
            (json!("inf"), "finite_number"),
            (json!("-Infinity"), "finite_number"),
            (json!("1e999"), "finite_number"),
            (json!("fast"), "float_parsing"),
            (json!(""), "float_parsing"),
            (json!(null), "float_type"),
            (json!([]), "float_type"),
        ] {
            assert_eq!(kind(number(&value)), Some(problem), "{value}");
        }
    }

    #[test]
    fn booleans_have_many_spellings() {
        for value in [json!(true), json!(1), json!(1.0), json!("YES"), json!("on")] {
            assert_eq!(boolean(&value), Ok(true), "{value}");
        }
        for value in [json!(false), json!(0), json!("f"), json!("Off"), json!("n")] {
            assert_eq!(boolean(&value), Ok(false), "{value}");
        }
        for value in [json!(2), json!("maybe"), json!(" true ")] {
            assert_eq!(kind(boolean(&value)), Some("bool_parsing"), "{value}");
        }
        for value in [json!(null), json!([]), json!({})] {
            assert_eq!(kind(boolean(&value)), Some("bool_type"), "{value}");
        }
    }

    #[test]
    fn a_wrong_word_is_told_the_right_ones() {
        assert_eq!(word(&json!("b"), &["a", "b"]), Ok("b"));
        let wrong = word(&json!(1), &["app", "website", "panel"]).unwrap_err();
        assert_eq!(wrong.msg, "Input should be 'app', 'website' or 'panel'");
        assert_eq!(
            wrong.ctx,
            Some(json!({"expected": "'app', 'website' or 'panel'"}))
        );
    }
}
