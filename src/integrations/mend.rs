//! [`mend`]: what another service sends, so that it can't leave a page of the frontend blank.
//!
//! The pages take the types of values for granted: one number where a text is cut, or one object
//! where a list is walked through, and React removes the whole page (contract 09, sections 1.4 and
//! 4). Only values that a [`Form`] names are looked at; an answer in which nothing is wrong is passed
//! on to the byte.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Number, Value};

use super::upstream::Failure;

/// What a page takes a value for.
#[derive(Debug)]
pub(super) enum Form {
    /// Whatever JSON.
    Any,
    /// A text, or `null`. A number or a boolean becomes one.
    Text,
    /// A number, or `null`. A text that is one becomes it.
    Number,
    /// Anything but a list or an object.
    Scalar,
    /// A list of objects with these fields; `null` is an empty one. Nothing else will do: nobody
    /// should be told that there is nothing when there is something.
    List(Fields),
    /// An object with these fields, or a list of such; `null` is an empty one.
    Object(Fields),
    /// An object whose values are all of this form; `null` is an empty one.
    Map(&'static Form),
}

/// Those that matter.
pub(super) type Fields = &'static [(&'static str, Form)];

/// `json` in this form, borrowed if it has it already; `None` if there is no making it so. Within an
/// object or a list such a value is left out.
///
/// # Errors
/// There is something else than a list where one has to be.
pub(super) fn mend<'a>(json: &'a RawValue, form: &Form) -> Result<Option<Cow<'a, str>>, Failure> {
    let text = json.get();
    let start = text.as_bytes().first().copied().unwrap_or_default();
    Ok(match (form, start) {
        (Form::List(_), b'n') => Some(Cow::Owned("[]".to_owned())),
        (Form::Object(_) | Form::Map(_), b'n') => Some(Cow::Owned("{}".to_owned())),
        // What PHP makes of an empty map.
        (Form::Map(_), b'[') if text[1..].trim_start().starts_with(']') => {
            Some(Cow::Owned("{}".to_owned()))
        }
        (Form::List(fields) | Form::Object(fields), b'[') => Some(entries(json, fields)?),
        (Form::List(_), _) => return Err(Failure::Shape),
        (Form::Object(fields), b'{') => Some(object(json, fields)?),
        (Form::Map(form), b'{') => Some(values(json, |_| Some(form))?),
        (Form::Any, _)
        | (Form::Text | Form::Number, b'n')
        | (Form::Text, b'"')
        | (Form::Number, b'-' | b'0'..=b'9') => Some(Cow::Borrowed(text)),
        (Form::Scalar, start) if !matches!(start, b'[' | b'{') => Some(Cow::Borrowed(text)),
        (Form::Text, b'-' | b'0'..=b'9' | b't' | b'f') => Some(format!("\"{text}\"").into()),
        (Form::Number, b'"') => number(json)?.map(|number| number.to_string().into()),
        _ => None,
    })
}

/// A list without what is no object, and with the objects mended.
fn entries(json: &RawValue, fields: Fields) -> Result<Cow<'_, str>, Failure> {
    let all: Vec<&RawValue> = read(json)?;
    let mut kept = Vec::with_capacity(all.len());
    for entry in &all {
        if entry.get().starts_with('{') {
            kept.push(object(entry, fields)?);
        }
    }
    if kept.len() == all.len() && kept.iter().all(|entry| matches!(entry, Cow::Borrowed(_))) {
        return Ok(Cow::Borrowed(json.get()));
    }
    Ok(format!("[{}]", kept.join(",")).into())
}

fn object(json: &RawValue, fields: Fields) -> Result<Cow<'_, str>, Failure> {
    // Ten thousand entries about whose fields there is nothing to know are not taken apart.
    if fields.is_empty() {
        return Ok(Cow::Borrowed(json.get()));
    }
    let form_of = |name: &str| fields.iter().find(|(known, _)| *known == name);
    values(json, |name| form_of(name).map(|(_, form)| form))
}

/// An object whose values are mended as far as they have a form.
fn values(
    json: &RawValue,
    form_of: impl Fn(&str) -> Option<&'static Form>,
) -> Result<Cow<'_, str>, Failure> {
    let all: BTreeMap<String, &RawValue> = read(json)?;
    let mut kept = Vec::with_capacity(all.len());
    for (name, value) in &all {
        if let Some(value) = mend(value, form_of(name).unwrap_or(&Form::Any))? {
            kept.push((name.as_str(), value));
        }
    }
    let unchanged = |(_, value): &_| matches!(value, Cow::Borrowed(_));
    if kept.len() == all.len() && kept.iter().all(unchanged) {
        return Ok(Cow::Borrowed(json.get()));
    }
    let fields = kept.into_iter();
    let fields = fields.map(|(name, value)| format!("{}:{value}", Value::from(name)));
    Ok(format!("{{{}}}", fields.collect::<Vec<_>>().join(",")).into())
}

/// The number that a text spells.
fn number(json: &RawValue) -> Result<Option<Number>, Failure> {
    let text: String = read(json)?;
    Ok(serde_json::from_str(text.trim()).ok())
}

fn read<'a, T: Deserialize<'a>>(json: &'a RawValue) -> Result<T, Failure> {
    serde_json::from_str(json.get()).map_err(|_not_so| Failure::NotJson)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FORM: Form = Form::Object(&[
        ("name", Form::Text),
        ("size", Form::Number),
        ("at", Form::Scalar),
        ("list", Form::List(&[("size", Form::Number)])),
        ("map", Form::Map(&Form::Object(&[("size", Form::Number)]))),
    ]);

    fn mended(json: &str) -> Result<Option<String>, Failure> {
        let json: Box<RawValue> = serde_json::from_str(json).unwrap();
        mend(&json, &FORM).map(|mended| mended.map(Cow::into_owned))
    }

    #[test]
    fn what_is_right_is_passed_on_to_the_byte() {
        for json in [
            "{}",
            "[]",
            r#"{"size" : 1.50, "name": "\u00e4", "other": [null], "size": -0, "at": null}"#,
            r#"{"list": [ {"size": 1, "x": {}} ], "map": {"a": {"size": null}}, "name": null}"#,
            r#"[ {"name": "x"}, {} ]"#,
        ] {
            let raw: Box<RawValue> = serde_json::from_str(json).unwrap();
            let mended = mend(&raw, &FORM).unwrap().unwrap();
            assert!(matches!(mended, Cow::Borrowed(_)), "{json}: {mended}");
            assert_eq!(mended, json);
        }
    }

    #[test]
    fn what_would_leave_a_page_blank_is_mended_or_left_out() {
        for (json, expected) in [
            ("null", "{}"),
            (r#"{"name": 12.50}"#, r#"{"name":"12.50"}"#),
            (r#"{"name": true}"#, r#"{"name":"true"}"#),
            (r#"{"name": {"a": 1}, "b": 2}"#, r#"{"b":2}"#),
            (r#"{"size": " 12 "}"#, r#"{"size":12}"#),
            (r#"{"size": "1.5"}"#, r#"{"size":1.5}"#),
            (r#"{"size": "12 GB", "b\"": 1}"#, r#"{"b\"":1}"#),
            (r#"{"size": "1e999"}"#, "{}"),
            (r#"{"size": "NaN"}"#, "{}"),
            (r#"{"size": false}"#, "{}"),
            (r#"{"size": []}"#, "{}"),
            (r#"{"at": {}}"#, "{}"),
            (r#"{"list": null}"#, r#"{"list":[]}"#),
            (
                r#"{"list": [null, {"size": "1"}, 3, {"x": 1.0}]}"#,
                r#"{"list":[{"size":1},{"x": 1.0}]}"#,
            ),
            (r#"{"map": null}"#, r#"{"map":{}}"#),
            (r#"{"map": [ ]}"#, r#"{"map":{}}"#),
            (r#"{"map": [1]}"#, "{}"),
            (
                r#"{"map": {"ä": {"size": "1"}, "b": 1, "c": null}}"#,
                r#"{"map":{"c":{},"ä":{"size":1}}}"#,
            ),
            (r#"[{"name": 1}, 2]"#, r#"[{"name":"1"}]"#),
        ] {
            assert_eq!(mended(json).unwrap().as_deref(), Some(expected), "{json}");
        }
        for json in ["1", "\"x\"", "true"] {
            assert_eq!(mended(json).unwrap(), None, "{json}");
        }
    }

    #[test]
    fn something_else_than_a_list_is_refused() {
        for json in [
            r#"{"list": {"1": {}}}"#,
            r#"{"list": "none"}"#,
            r#"[{"list": 0}]"#,
        ] {
            assert_eq!(mended(json), Err(Failure::Shape), "{json}");
        }
    }
}
