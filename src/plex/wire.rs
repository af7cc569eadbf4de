//! Plex's JSON, read leniently.
//!
//! Servers of different ages type the same field differently: numbers arrive as strings and the
//! other way round, lists are left out when they are empty, and a single bad entry must not cost
//! the whole answer. Unknown fields are ignored; a scalar of the wrong kind counts as absent.

use std::sync::atomic::{AtomicBool, Ordering};

use serde::Deserialize;
use serde::de::{DeserializeOwned, Deserializer};
use serde_json::Value;
use serde_json::value::RawValue;

/// The envelope of every answer. A missing container reads as an empty one.
#[derive(Deserialize)]
pub(super) struct Envelope<C> {
    #[serde(rename = "MediaContainer")]
    pub(super) container: Option<C>,
}

/// One entry of a list, as Plex sent it, not yet interpreted.
pub(super) type RawItem = Box<RawValue>;

/// A list field: absent, `null` or an entry of its own instead of a list of one.
pub(super) fn items<'de, D: Deserializer<'de>>(source: D) -> Result<Vec<RawItem>, D::Error> {
    let Some(raw) = Option::<RawItem>::deserialize(source)? else {
        return Ok(Vec::new());
    };
    Ok(match serde_json::from_str::<Vec<RawItem>>(raw.get()) {
        Ok(items) => items,
        Err(_) if raw.get().starts_with('{') => vec![raw],
        Err(_) => Vec::new(),
    })
}

/// Interprets the entries of a list one by one. One that is not an object is left out and
/// reported, once per program run and list: a broken entry comes again with every poll.
pub(super) fn read_items<T: DeserializeOwned>(
    items: Vec<RawItem>,
    list: &'static str,
    reported: &AtomicBool,
) -> Vec<(T, RawItem)> {
    items
        .into_iter()
        .filter_map(|raw| match object_from(&raw) {
            Ok(item) => Some((item, raw)),
            Err(error) => {
                if !reported.swap(true, Ordering::Relaxed) {
                    tracing::warn!("Skipping a malformed entry in Plex's {list}: {error}");
                }
                None
            }
        })
        .collect()
}

/// A struct is also read from a list of its fields; Plex never sends one so.
fn object_from<T: DeserializeOwned>(raw: &RawValue) -> serde_json::Result<T> {
    if raw.get().starts_with('{') {
        serde_json::from_str(raw.get())
    } else {
        Err(serde::de::Error::custom("not an object"))
    }
}

/// Text; numbers and booleans are taken as their text.
pub(super) fn text<'de, D: Deserializer<'de>>(source: D) -> Result<Option<String>, D::Error> {
    Ok(match Value::deserialize(source)? {
        Value::String(text) => Some(text),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    })
}

/// A finite number; numeric text is taken as its number.
pub(super) fn number<'de, D: Deserializer<'de>>(source: D) -> Result<Option<f64>, D::Error> {
    let number = match Value::deserialize(source)? {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().parse().ok(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    };
    Ok(number.filter(|n| n.is_finite()))
}

/// A number without its fraction; `None` beyond what a double counts exactly.
pub(super) fn whole(number: f64) -> Option<i64> {
    const EXACT: f64 = 9_007_199_254_740_991.0;
    #[expect(clippy::cast_possible_truncation, reason = "within the exact range")]
    (number.abs() <= EXACT).then_some(number as i64)
}

/// Whether an object with at least one field is there.
pub(super) fn filled<'de, D: Deserializer<'de>>(source: D) -> Result<bool, D::Error> {
    Ok(Value::deserialize(source)?
        .as_object()
        .is_some_and(|object| !object.is_empty()))
}

/// A nested object with at least one field; anything else counts as absent.
pub(super) fn filled_object<'de, D, T>(source: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: DeserializeOwned,
{
    let value = Value::deserialize(source)?;
    let filled = value.as_object().is_some_and(|object| !object.is_empty());
    Ok(filled.then(|| serde_json::from_value(value).ok()).flatten())
}

/// A nested object; anything else counts as absent.
pub(super) fn object<'de, D, T>(source: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: DeserializeOwned,
{
    let value = Value::deserialize(source)?;
    Ok(value
        .is_object()
        .then(|| serde_json::from_value(value).ok())
        .flatten())
}

/// For tests: that an entry which may be anything at all leaves the ones beside it alone. `read`
/// gives what is shown of a list.
#[cfg(test)]
pub(super) fn costs_only_itself(
    sample: &Value,
    odd: &Value,
    read: impl Fn(Vec<RawItem>) -> Vec<Value>,
) -> Result<(), proptest::test_runner::TestCaseError> {
    let list = |entries: &[&Value]| {
        let raw = entries.iter().map(serde_json::value::to_raw_value);
        read(raw.map(Result::unwrap).collect())
    };
    let alone = list(&[sample]);
    let all = list(&[sample, odd, sample]);
    proptest::prop_assert!(matches!(all.len(), 2 | 3), "{}", all.len());
    proptest::prop_assert_eq!(all.first(), alone.first());
    proptest::prop_assert_eq!(all.last(), alone.last());
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::arbitrary::value;

    #[derive(Deserialize, Debug, PartialEq, Default)]
    #[serde(default)]
    struct Sample {
        #[serde(deserialize_with = "text")]
        key: Option<String>,
        #[serde(deserialize_with = "number")]
        progress: Option<f64>,
        #[serde(deserialize_with = "filled")]
        transcode: bool,
    }

    fn sample(json: &str) -> Sample {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn scalars_are_taken_in_either_spelling() {
        let native = sample(r#"{"key":"7","progress":12.5,"transcode":{"speed":1}}"#);
        let swapped = sample(r#"{"key":7,"progress":" 12.5 ","transcode":{"speed":"1"}}"#);
        assert_eq!(native, swapped);
        assert_eq!(native.progress, Some(12.5));
    }

    #[test]
    fn wrong_kinds_and_unknown_fields_count_as_absent() {
        let odd = sample(r#"{"key":{},"progress":"soon","transcode":{},"new":[1]}"#);
        assert_eq!(odd, Sample::default());
        assert_eq!(sample(r#"{"progress":"NaN"}"#).progress, None);
        assert_eq!(
            sample(r#"{"progress":null,"key":null,"transcode":null}"#),
            Sample::default()
        );
    }

    #[derive(Deserialize)]
    struct List {
        #[serde(default, deserialize_with = "items")]
        entries: Vec<RawItem>,
    }

    fn entries(json: &str) -> Vec<RawItem> {
        serde_json::from_str::<List>(json).unwrap().entries
    }

    #[test]
    fn lists_may_be_absent_null_or_a_single_entry() {
        assert!(entries("{}").is_empty());
        assert!(entries(r#"{"entries":null}"#).is_empty());
        assert!(entries(r#"{"entries":"none"}"#).is_empty());
        assert_eq!(entries(r#"{"entries":{"key":1}}"#).len(), 1);
        assert_eq!(entries(r#"{"entries":[{"key":1},{"key":2}]}"#).len(), 2);
    }

    #[test]
    fn one_bad_entry_does_not_cost_the_others() {
        let reported = AtomicBool::new(false);
        let list = entries(r#"{"entries":[{"key":1},"junk",null,[],[7],{"key": 2.50}]}"#);
        let read = read_items::<Sample>(list, "sample", &reported);
        let kept: Vec<&str> = read.iter().map(|(_, raw)| raw.get()).collect();
        assert_eq!(
            kept,
            [r#"{"key":1}"#, r#"{"key": 2.50}"#],
            "verbatim, in order"
        );
        assert!(reported.load(Ordering::Relaxed));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(100))]

        #[test]
        fn no_value_costs_more_than_itself(key in value(), progress in value(), entries in value()) {
            let odd = sample(&json!({"key": key, "progress": progress}).to_string());
            prop_assert_eq!(odd.key.is_some(), !(key.is_null() || key.is_array() || key.is_object()));
            prop_assert!(odd.progress.is_none_or(f64::is_finite));
            prop_assert!(odd.progress.is_some() || !progress.is_number());
            let list = self::entries(&json!({"entries": entries}).to_string());
            let expected = match &entries {
                Value::Array(entries) => entries.len(),
                entries => usize::from(entries.is_object()),
            };
            prop_assert_eq!(list.len(), expected);
        }

        #[test]
        fn whole_numbers_are_exact_or_absent(number in any::<f64>()) {
            if let Some(whole) = whole(number) {
                #[expect(clippy::cast_precision_loss, reason = "that there is none is the point")]
                let back = whole as f64;
                prop_assert!((number - back).abs() < 1.0);
            } else {
                prop_assert!(number.is_nan() || number.abs() > 9e15);
            }
        }
    }
}
