//! JSON that nobody should send, for the tests of all that reads JSON.

use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Map, Value, json};

/// Texts that are taken for something else somewhere.
const WORDS: [&str; 12] = [
    "",
    " 7 ",
    "-1",
    "1e308",
    "1e999",
    "NaN",
    "-inf",
    "true",
    "null",
    "{}",
    "\u{0}",
    "Ünïcödé 🎬",
];

/// Any JSON, with a liking for what lies at the edge of a type.
pub(crate) fn value() -> impl Strategy<Value = Value> {
    let scalar = prop_oneof![
        1 => Just(Value::Null),
        1 => any::<bool>().prop_map(Value::from),
        1 => any::<i64>().prop_map(Value::from),
        2 => select(vec![0, 1, -1, i64::MIN, i64::MAX, 1 << 53]).prop_map(Value::from),
        1 => Just(json!(u64::MAX)),
        1 => any::<f64>().prop_map(Value::from),
        4 => select(WORDS.to_vec()).prop_map(Value::from),
        1 => any::<String>().prop_map(Value::from),
    ];
    scalar.prop_recursive(3, 24, 4, |inner| {
        let fields = prop::collection::vec((any::<String>(), inner.clone()), 0..4);
        prop_oneof![
            prop::collection::vec(inner, 0..4).prop_map(Value::from),
            fields.prop_map(|fields| fields.into_iter().collect::<Map<_, _>>().into()),
        ]
    })
}

/// `sample` with any JSON in place of one of its values, however deep that stands, or of itself.
pub(crate) fn spoiled(sample: Value) -> impl Strategy<Value = Value> {
    let mut places = Vec::new();
    gather(&sample, String::new(), &mut places);
    (select(places), value()).prop_map(move |(place, odd)| {
        let mut spoiled = sample.clone();
        if let Some(value) = spoiled.pointer_mut(&place) {
            *value = odd;
        }
        spoiled
    })
}

/// The place of a value, as a JSON pointer, and those below it.
fn gather(value: &Value, place: String, places: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                gather(value, format!("{place}/{name}"), places);
            }
        }
        Value::Array(values) => {
            for (n, value) in values.iter().enumerate() {
                gather(value, format!("{place}/{n}"), places);
            }
        }
        _ => {}
    }
    places.push(place);
}
