//! [`Fields`]: the fields of a JSON object, taken one by one.

use std::borrow::Cow;

use serde_json::{Map, Value};

use super::{Problem, Wrong, datetime, scalars};
use crate::compat::Stamp;

/// Nobody reads more of them, and a long list of broken things would take much memory.
const MOST_PROBLEMS: usize = 100;

/// The fields of a JSON object, taken one by one; what is wrong with them is collected, so that
/// one answer names all of it.
#[derive(Debug)]
pub struct Fields {
    object: Map<String, Value>,
    /// Where this object stands in the request.
    at: Vec<Value>,
    problems: Vec<Problem>,
}

/// What is said about a field that may be left out and may be `null`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Said<T> {
    /// It was left out.
    Nothing,
    /// This, or `null`.
    This(Option<T>),
}

impl<T> Said<T> {
    /// Whether anything was said, and what.
    pub fn into_parts(self) -> (bool, Option<T>) {
        match self {
            Self::Nothing => (false, None),
            Self::This(value) => (true, value),
        }
    }
}

/// A body, or a part of one, that can be read from [`Fields`].
pub trait FromFields: Sized {
    /// Takes the fields in the order in which problems are to be reported. A field that failed
    /// yields its type's default; the result is then thrown away.
    fn from_fields(fields: &mut Fields) -> Self;
}

/// Reads `value`, which stands at `at`.
///
/// # Errors
/// All that is wrong with it.
pub(super) fn read<T: FromFields>(value: Value, at: Vec<Value>) -> Result<T, Vec<Problem>> {
    let Value::Object(object) = value else {
        return Err(vec![Wrong::NO_OBJECT.at(at, value)]);
    };
    let mut fields = Fields {
        object,
        at,
        problems: Vec::new(),
    };
    let read = T::from_fields(&mut fields);
    if fields.problems.is_empty() {
        Ok(read)
    } else {
        Err(fields.problems)
    }
}

impl Fields {
    /// Whether there is a field of this name, be it `null`.
    pub fn has(&self, name: &str) -> bool {
        self.object.contains_key(name)
    }

    /// Whether there is a text of this name.
    pub fn is_text(&self, name: &str) -> bool {
        self.object.get(name).is_some_and(Value::is_string)
    }

    /// A string that must be there; numbers are not taken for one.
    pub fn string(&mut self, name: &'static str) -> String {
        self.required(name, scalars::string)
    }

    /// A string, `null`, or nothing.
    pub fn optional_string(&mut self, name: &'static str) -> Option<String> {
        self.optional(name, scalars::string)
    }

    /// A string, or `default` where there is no field of this name; not `null`.
    pub fn string_or(&mut self, name: &'static str, default: &str) -> String {
        self.with_default(name, default.to_owned(), scalars::string)
    }

    /// An integer that must be there. As pydantic does, text and numbers that mean a whole number
    /// are taken for one, and so are booleans.
    pub fn integer(&mut self, name: &'static str) -> i64 {
        self.required(name, scalars::integer)
    }

    /// An integer, `null`, or nothing.
    pub fn optional_integer(&mut self, name: &'static str) -> Option<i64> {
        self.optional(name, scalars::integer)
    }

    /// A finite number that must be there, or its text.
    pub fn number(&mut self, name: &'static str) -> f64 {
        self.required(name, scalars::number)
    }

    /// A finite number, `null`, or nothing.
    pub fn optional_number(&mut self, name: &'static str) -> Option<f64> {
        self.optional(name, scalars::number)
    }

    /// A boolean that must be there, or a word for it.
    pub fn boolean(&mut self, name: &'static str) -> bool {
        self.required(name, scalars::boolean)
    }

    /// A boolean, or `default` where there is no field of this name; not `null`.
    pub fn boolean_or(&mut self, name: &'static str, default: bool) -> bool {
        self.with_default(name, default, scalars::boolean)
    }

    /// An instant, `null`, or nothing. As pydantic does, dates and seconds or milliseconds since
    /// 1970 are taken for one.
    pub fn optional_datetime(&mut self, name: &'static str) -> Option<Stamp> {
        self.optional(name, datetime::datetime)
    }

    /// An instant in ISO 8601, an empty text, `null`, or nothing; the last three are the same. For
    /// bodies that 3.3.0 read without pydantic: no number is a time there.
    pub fn written_datetime(&mut self, name: &'static str) -> Option<Stamp> {
        self.optional(name, datetime::written_datetime).flatten()
    }

    /// One of these words; it must be there.
    pub fn word(&mut self, name: &'static str, allowed: &[&'static str]) -> &'static str {
        self.required(name, |value| scalars::word(value, allowed))
    }

    /// A list of objects that must be there.
    pub fn list<T: FromFields>(&mut self, name: &'static str) -> Vec<T> {
        if !self.has(name) {
            self.report_missing(name);
        }
        self.list_or_empty(name)
    }

    /// A list of objects, empty where there is no field of this name; not `null`.
    pub fn list_or_empty<T: FromFields>(&mut self, name: &'static str) -> Vec<T> {
        const NO_LIST: Wrong = Wrong::new("list_type", "Input should be a valid list");
        let elements = match self.object.get(name).cloned() {
            None => return Vec::new(),
            Some(Value::Array(elements)) => elements,
            Some(other) => {
                self.report(NO_LIST, name, other);
                return Vec::new();
            }
        };
        let mut list = Vec::with_capacity(elements.len());
        for (index, element) in elements.into_iter().enumerate() {
            if self.problems.len() >= MOST_PROBLEMS {
                break;
            }
            let mut at = self.place(name);
            at.push(index.into());
            list.extend(self.inner(element, at));
        }
        list
    }

    /// An object, `null`, or nothing.
    pub fn optional_object<T: FromFields>(&mut self, name: &'static str) -> Option<T> {
        let value = self.object.get(name).filter(|value| !value.is_null())?;
        self.inner(value.clone(), self.place(name))
    }

    /// A field that may be left out; where it is there, `read` reads it.
    pub fn given<T>(
        &mut self,
        name: &'static str,
        read: impl FnOnce(&mut Self, &'static str) -> T,
    ) -> Option<T> {
        self.has(name).then(|| read(self, name))
    }

    /// As [`Self::given`], of a field for which `null` means something.
    pub fn said<T>(
        &mut self,
        name: &'static str,
        read: impl FnOnce(&mut Self, &'static str) -> Option<T>,
    ) -> Said<T> {
        self.given(name, read).map_or(Said::Nothing, Said::This)
    }

    /// Refuses a value that was read, for a reason of the caller's. `kind` is pydantic's name of
    /// the problem.
    pub fn refuse(
        &mut self,
        name: &'static str,
        kind: &'static str,
        msg: impl Into<Cow<'static, str>>,
    ) {
        let input = self.object.get(name).cloned().unwrap_or_default();
        let wrong = Wrong {
            msg: msg.into(),
            ..Wrong::new(kind, "")
        };
        self.report(wrong, name, input);
    }

    fn inner<T: FromFields>(&mut self, value: Value, at: Vec<Value>) -> Option<T> {
        match read(value, at) {
            Ok(inner) => Some(inner),
            Err(problems) => {
                self.problems.extend(problems);
                None
            }
        }
    }

    fn required<T: Default>(
        &mut self,
        name: &'static str,
        read: impl FnOnce(&Value) -> Result<T, Wrong>,
    ) -> T {
        if !self.has(name) {
            self.report_missing(name);
        }
        self.with_default(name, T::default(), read)
    }

    fn optional<T>(
        &mut self,
        name: &'static str,
        read: impl FnOnce(&Value) -> Result<T, Wrong>,
    ) -> Option<T> {
        let read = |value: &Value| match value {
            Value::Null => Ok(None),
            value => read(value).map(Some),
        };
        self.with_default(name, None, read)
    }

    fn with_default<T>(
        &mut self,
        name: &'static str,
        default: T,
        read: impl FnOnce(&Value) -> Result<T, Wrong>,
    ) -> T {
        let Some(value) = self.object.get(name) else {
            return default;
        };
        match read(value) {
            Ok(read) => read,
            Err(wrong) => {
                let input = value.clone();
                self.report(wrong, name, input);
                default
            }
        }
    }

    fn report_missing(&mut self, name: &str) {
        let input = Value::Object(self.object.clone());
        self.report(Wrong::MISSING, name, input);
    }

    fn report(&mut self, wrong: Wrong, name: &str, input: Value) {
        let place = self.place(name);
        self.problems.push(wrong.at(place, input));
    }

    fn place(&self, name: &str) -> Vec<Value> {
        let mut place = self.at.clone();
        place.push(name.into());
        place
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::arbitrary::spoiled;

    #[derive(Debug, PartialEq)]
    struct Path {
        path: String,
        total: f64,
    }

    impl FromFields for Path {
        fn from_fields(fields: &mut Fields) -> Self {
            Self {
                path: fields.string("path"),
                total: fields.number("total"),
            }
        }
    }

    #[derive(Debug, PartialEq)]
    struct Report {
        name: Option<String>,
        paths: Vec<Path>,
        more: Vec<Path>,
        first: Option<Path>,
        loud: bool,
    }

    impl FromFields for Report {
        fn from_fields(fields: &mut Fields) -> Self {
            Self {
                name: fields.optional_string("name"),
                paths: fields.list("paths"),
                more: fields.list_or_empty("more"),
                first: fields.optional_object("first"),
                loud: fields.boolean_or("loud", true),
            }
        }
    }

    fn problems(value: Value) -> Vec<(&'static str, Value, Value)> {
        let problems = read::<Report>(value, vec!["body".into()]).unwrap_err();
        problems
            .into_iter()
            .map(|problem| (problem.kind, problem.loc.into(), problem.input))
            .collect()
    }

    #[test]
    fn what_may_be_left_out_has_a_default() {
        let read = read::<Report>(json!({"paths": [], "name": null}), Vec::new()).unwrap();
        let expected = Report {
            name: None,
            paths: Vec::new(),
            more: Vec::new(),
            first: None,
            loud: true,
        };
        assert_eq!(read, expected);
    }

    #[test]
    fn a_problem_names_its_place_however_deep_it_is() {
        let body = json!({
            "paths": [{"path": "/", "total": 1}, {"path": 2}, 3],
            "more": null,
            "first": {"path": "/", "total": "NaN"},
            "loud": null,
        });
        assert_eq!(
            problems(body),
            [
                ("string_type", json!(["body", "paths", 1, "path"]), json!(2)),
                (
                    "missing",
                    json!(["body", "paths", 1, "total"]),
                    json!({"path": 2})
                ),
                (
                    "model_attributes_type",
                    json!(["body", "paths", 2]),
                    json!(3)
                ),
                ("list_type", json!(["body", "more"]), json!(null)),
                (
                    "finite_number",
                    json!(["body", "first", "total"]),
                    json!("NaN")
                ),
                ("bool_type", json!(["body", "loud"]), json!(null)),
            ]
        );
    }

    #[derive(Debug, PartialEq)]
    struct Change {
        name: Option<String>,
        ends: Said<Stamp>,
        seen: Option<Stamp>,
    }

    impl FromFields for Change {
        fn from_fields(fields: &mut Fields) -> Self {
            Self {
                name: fields.given("name", Fields::string),
                ends: fields.said("ends", Fields::optional_datetime),
                seen: fields.written_datetime("seen"),
            }
        }
    }

    #[test]
    fn what_is_left_out_is_not_what_is_null() {
        let read = |value| read::<Change>(value, Vec::new());
        let nothing = Change {
            name: None,
            ends: Said::Nothing,
            seen: None,
        };
        assert_eq!(read(json!({})).unwrap(), nothing);
        let all = read(json!({"name": "", "ends": null, "seen": ""})).unwrap();
        assert_eq!(
            (all.name, all.ends),
            (Some(String::new()), Said::This(None))
        );
        let ends = read(json!({"ends": 0})).unwrap().ends;
        assert_eq!(ends, Said::This(Some(Stamp::EPOCH)));
        let problems = read(json!({"name": null, "ends": "x", "seen": 0})).unwrap_err();
        assert_eq!(problems.len(), 3);
    }

    #[test]
    fn a_long_list_of_broken_things_is_not_read_to_its_end() {
        let broken = vec![json!({}); 50_000];
        let found = problems(json!({"paths": broken, "more": broken}));
        assert_eq!(found.len(), MOST_PROBLEMS);
    }

    #[test]
    fn a_list_that_is_missing_is_reported_once() {
        assert_eq!(
            problems(json!({})),
            [("missing", json!(["body", "paths"]), json!({}))]
        );
    }

    /// What stands at a problem's place; `None` if there is nothing.
    fn at_place<'a>(body: &'a Value, place: &[Value]) -> Option<&'a Value> {
        place.iter().try_fold(body, |value, step| match step {
            Value::String(name) => value.get(name),
            index => value.get(usize::try_from(index.as_u64()?).ok()?),
        })
    }

    proptest! {
        #[test]
        fn a_body_is_read_or_every_problem_names_its_place(body in spoiled(json!({
            "name": "n", "paths": [{"path": "/", "total": 1}, {"path": "/", "total": "2"}],
            "more": [], "first": {"path": "/", "total": 1}, "loud": false,
        }))) {
            let problems = read::<Report>(body.clone(), vec!["body".into()]).err();
            for problem in problems.iter().flatten() {
                prop_assert!(!problem.kind.is_empty() && !problem.msg.is_empty());
                let (start, place) = problem.loc.split_first().unwrap();
                prop_assert_eq!(start, "body");
                if problem.kind == "missing" {
                    let (_, around) = place.split_last().unwrap();
                    prop_assert_eq!(at_place(&body, place), None);
                    prop_assert_eq!(at_place(&body, around), Some(&problem.input));
                } else {
                    prop_assert_eq!(at_place(&body, place), Some(&problem.input));
                }
            }
            prop_assert!(problems.is_none_or(|problems| !problems.is_empty()));
        }
    }
}
