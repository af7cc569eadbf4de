//! Request bodies checked as FastAPI does, with its 422 items (contract 00, section 5).
//!
//! The frontend joins the `msg` texts and shows them, so their wording is part of the contract.

use std::convert::Infallible;
use std::num::{IntErrorKind, ParseIntError};

use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Json, body::Bytes};
use serde::Serialize;
use serde_json::{Map, Value, json};
use url::form_urlencoded;
use utoipa::ToSchema;

use crate::web::error::ApiError;

/// One problem with a request.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Problem {
    /// Pydantic's name of the problem.
    #[serde(rename = "type")]
    kind: &'static str,
    /// Where: `body`, then field names and list indexes.
    #[schema(value_type = Vec<Object>)]
    loc: Vec<Value>,
    /// For people.
    msg: &'static str,
    /// The offending value; the whole object for a missing field.
    #[schema(value_type = Object)]
    input: Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    ctx: Option<Value>,
}

/// The body of a 422.
#[derive(Debug, Serialize, ToSchema)]
pub struct ValidationError {
    detail: Vec<Problem>,
}

impl IntoResponse for ValidationError {
    fn into_response(self) -> Response {
        (StatusCode::UNPROCESSABLE_ENTITY, Json(self)).into_response()
    }
}

impl From<Problem> for ValidationError {
    fn from(problem: Problem) -> Self {
        Self {
            detail: vec![problem],
        }
    }
}

/// The fields of a JSON object, taken one by one; what is wrong with them is collected, so that
/// one answer names all of it.
#[derive(Debug)]
pub struct Fields {
    object: Map<String, Value>,
    problems: Vec<Problem>,
}

/// A body that can be read from [`Fields`].
pub trait FromFields: Sized {
    /// Takes the fields in the order in which problems are to be reported. A field that failed
    /// yields its type's default; the result is then thrown away.
    fn from_fields(fields: &mut Fields) -> Self;
}

impl Fields {
    /// A string that must be there; numbers are not taken for one.
    pub fn string(&mut self, name: &'static str) -> String {
        match self.object.get(name) {
            Some(Value::String(text)) => text.clone(),
            Some(other) => {
                let input = other.clone();
                self.report("string_type", name, "Input should be a valid string", input);
                String::new()
            }
            None => {
                let input = Value::Object(self.object.clone());
                self.report("missing", name, "Field required", input);
                String::new()
            }
        }
    }

    /// An integer that must be there. As pydantic does, text and numbers that mean a whole number
    /// are taken for one, and so are booleans; one beyond 64 bits is refused, because no column
    /// holds it.
    pub fn integer(&mut self, name: &'static str) -> i64 {
        let Some(value) = self.object.get(name).cloned() else {
            let input = Value::Object(self.object.clone());
            self.report("missing", name, "Field required", input);
            return 0;
        };
        match whole_number(&value) {
            Ok(number) => number,
            Err(refusal) => {
                let (kind, msg) = refusal.item();
                self.report(kind, name, msg, value);
                0
            }
        }
    }

    fn report(&mut self, kind: &'static str, name: &str, msg: &'static str, input: Value) {
        let loc = vec!["body".into(), name.into()];
        self.problems.push(Problem {
            kind,
            loc,
            msg,
            input,
            ctx: None,
        });
    }
}

/// Why a value is no integer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum NotAnInteger {
    Type,
    Text,
    Fraction,
    Size,
}

impl NotAnInteger {
    /// Pydantic's name and text for it.
    const fn item(self) -> (&'static str, &'static str) {
        match self {
            Self::Type => ("int_type", "Input should be a valid integer"),
            Self::Text => (
                "int_parsing",
                "Input should be a valid integer, unable to parse string as an integer",
            ),
            Self::Fraction => (
                "int_from_float",
                "Input should be a valid integer, got a number with a fractional part",
            ),
            Self::Size => (
                "int_parsing_size",
                "Unable to parse input string as an integer, exceeded maximum size",
            ),
        }
    }
}

fn whole_number(value: &Value) -> Result<i64, NotAnInteger> {
    match value {
        Value::Bool(flag) => Ok(i64::from(*flag)),
        Value::String(text) => from_text(text.trim()),
        Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(whole), _) => Ok(whole),
            (None, Some(number)) => from_float(number),
            (None, None) => Err(NotAnInteger::Size),
        },
        Value::Null | Value::Array(_) | Value::Object(_) => Err(NotAnInteger::Type),
    }
}

/// `12`, `-3`, and `3.000`.
fn from_text(text: &str) -> Result<i64, NotAnInteger> {
    let whole = match text.split_once('.') {
        Some((whole, zeros)) if !zeros.is_empty() && zeros.bytes().all(|digit| digit == b'0') => {
            whole
        }
        Some(_) => return Err(NotAnInteger::Text),
        None => text,
    };
    whole
        .parse()
        .map_err(|error: ParseIntError| match error.kind() {
            IntErrorKind::PosOverflow | IntErrorKind::NegOverflow => NotAnInteger::Size,
            _ => NotAnInteger::Text,
        })
}

fn from_float(number: f64) -> Result<i64, NotAnInteger> {
    /// 2^63: the first that does not fit.
    const BOUND: f64 = 9_223_372_036_854_775_808.0;
    if number.fract() != 0.0 {
        return Err(NotAnInteger::Fraction);
    }
    if !(-BOUND..BOUND).contains(&number) {
        return Err(NotAnInteger::Size);
    }
    #[expect(clippy::cast_possible_truncation, reason = "whole and within bounds")]
    Ok(number as i64)
}

/// The parameters of a query, decoded, in their order.
#[derive(Debug)]
pub struct QueryParameters(Vec<(String, String)>);

impl QueryParameters {
    /// A text that must be there, though it may be empty. The last one counts where there are
    /// several.
    ///
    /// # Errors
    /// There is none of this name.
    pub fn required_text(&self, name: &'static str) -> Result<&str, ValidationError> {
        self.last(name).ok_or_else(|| {
            ValidationError::from(Problem {
                kind: "missing",
                loc: vec!["query".into(), name.into()],
                msg: "Field required",
                input: Value::Null,
                ctx: None,
            })
        })
    }

    fn last(&self, name: &str) -> Option<&str> {
        let mut values = self.0.iter().rev();
        values
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }

    fn of(query: &str) -> Self {
        Self(
            form_urlencoded::parse(query.as_bytes())
                .into_owned()
                .collect(),
        )
    }
}

impl<S: Send + Sync> FromRequestParts<S> for QueryParameters {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self::of(parts.uri.query().unwrap_or_default()))
    }
}

/// Extracts a JSON body. As in 3.3.0 the media type must say JSON; a body without one, or with
/// another, is a plain text and therefore refused. That also keeps foreign pages from posting: a
/// browser asks before it sends JSON across sites.
#[derive(Debug)]
pub struct JsonBody<T>(pub T);

impl<S: Send + Sync, T: FromFields> FromRequest<S> for JsonBody<T> {
    type Rejection = Response;

    async fn from_request(request: Request, state: &S) -> Result<Self, Response> {
        let is_json = is_json(request.headers());
        let body = Bytes::from_request(request, state)
            .await
            .map_err(|rejection| ApiError::from(rejection).into_response())?;
        read(&body, is_json)
            .map(Self)
            .map_err(IntoResponse::into_response)
    }
}

fn read<T: FromFields>(body: &[u8], is_json: bool) -> Result<T, ValidationError> {
    let problem = |kind, msg, input| Problem {
        kind,
        loc: vec!["body".into()],
        msg,
        input,
        ctx: None,
    };
    if body.is_empty() {
        return Err(problem("missing", "Field required", Value::Null).into());
    }
    let value = if is_json {
        serde_json::from_slice(body).map_err(|error| malformed(body, &error))?
    } else {
        Value::from(String::from_utf8_lossy(body))
    };
    if value.is_null() {
        return Err(problem("missing", "Field required", Value::Null).into());
    }
    let Value::Object(object) = value else {
        let msg = "Input should be a valid dictionary or object to extract fields from";
        return Err(problem("model_attributes_type", msg, value).into());
    };
    let mut fields = Fields {
        object,
        problems: Vec::new(),
    };
    let body = T::from_fields(&mut fields);
    if fields.problems.is_empty() {
        Ok(body)
    } else {
        Err(ValidationError {
            detail: fields.problems,
        })
    }
}

fn malformed(body: &[u8], error: &serde_json::Error) -> Problem {
    let why = error.to_string();
    let why = why.split(" at line ").next().unwrap_or_default();
    Problem {
        kind: "json_invalid",
        loc: vec![
            "body".into(),
            offset(body, error.line(), error.column()).into(),
        ],
        msg: "JSON decode error",
        input: json!({}),
        ctx: Some(json!({"error": why})),
    }
}

/// The offset that `serde_json` gives as line and column (of the last byte read), both from 1.
fn offset(body: &[u8], line: usize, column: usize) -> usize {
    let lines = body.split_inclusive(|byte| *byte == b'\n');
    lines
        .take(line.saturating_sub(1))
        .map(<[u8]>::len)
        .sum::<usize>()
        + column.saturating_sub(1)
}

fn is_json(headers: &HeaderMap) -> bool {
    let Some(media_type) = headers.get(header::CONTENT_TYPE) else {
        return false;
    };
    let media_type = media_type.to_str().unwrap_or_default().to_ascii_lowercase();
    let essence = media_type.split(';').next().unwrap_or_default().trim();
    essence == "application/json"
        || (essence.starts_with("application/") && essence.ends_with("+json"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq)]
    struct Login {
        url: String,
        token: String,
    }

    impl FromFields for Login {
        fn from_fields(fields: &mut Fields) -> Self {
            Self {
                url: fields.string("url"),
                token: fields.string("token"),
            }
        }
    }

    fn refused(body: &str, is_json: bool) -> Value {
        let error = read::<Login>(body.as_bytes(), is_json).unwrap_err();
        serde_json::to_value(error).unwrap()["detail"].clone()
    }

    #[test]
    fn good_bodies_are_read_and_unknown_fields_ignored() {
        let login: Login = read(br#"{"url":"u","token":"t","more":1}"#, true).unwrap();
        assert_eq!(
            login,
            Login {
                url: "u".to_owned(),
                token: "t".to_owned()
            }
        );
    }

    #[test]
    fn every_missing_field_is_named_in_order() {
        assert_eq!(
            refused("{}", true),
            json!([
                {"type":"missing","loc":["body","url"],"msg":"Field required","input":{}},
                {"type":"missing","loc":["body","token"],"msg":"Field required","input":{}},
            ])
        );
    }

    #[test]
    fn wrong_types_echo_the_value() {
        assert_eq!(
            refused(r#"{"url":1,"token":"t"}"#, true),
            json!([{"type":"string_type","loc":["body","url"],
                    "msg":"Input should be a valid string","input":1}])
        );
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
        ] {
            assert_eq!(whole_number(&value), Ok(number), "{value}");
        }
        for (value, refusal) in [
            (json!(null), NotAnInteger::Type),
            (json!([1]), NotAnInteger::Type),
            (json!({}), NotAnInteger::Type),
            (json!("four"), NotAnInteger::Text),
            (json!(""), NotAnInteger::Text),
            (json!("3.5"), NotAnInteger::Text),
            (json!("3."), NotAnInteger::Text),
            (json!(3.5), NotAnInteger::Fraction),
            (json!(u64::MAX), NotAnInteger::Size),
            (json!(1e300), NotAnInteger::Size),
            (json!("99999999999999999999"), NotAnInteger::Size),
        ] {
            assert_eq!(whole_number(&value), Err(refusal), "{value}");
        }
    }

    #[test]
    fn an_empty_body_and_a_body_that_is_no_object_are_told_apart() {
        for none in ["", "null"] {
            assert_eq!(
                refused(none, true),
                json!([{"type":"missing","loc":["body"],"msg":"Field required","input":null}])
            );
        }
        let msg = "Input should be a valid dictionary or object to extract fields from";
        assert_eq!(
            refused("[1]", true),
            json!([{"type":"model_attributes_type","loc":["body"],"msg":msg,"input":[1]}])
        );
        assert_eq!(
            refused("{}", false),
            json!([{"type":"model_attributes_type","loc":["body"],"msg":msg,"input":"{}"}])
        );
    }

    #[test]
    fn malformed_json_names_the_place() {
        let problem = refused("{bad", true);
        assert_eq!(problem[0]["type"], "json_invalid");
        assert_eq!(problem[0]["loc"], json!(["body", 1]));
        assert_eq!(problem[0]["msg"], "JSON decode error");
        let second_line = refused("{\"url\":1,\n  x", true);
        assert_eq!(second_line[0]["loc"], json!(["body", 12]));
    }

    #[test]
    fn the_last_parameter_of_a_name_counts_and_a_missing_one_is_named() {
        let query = QueryParameters::of("url=a&x=1&url=b%20c+d&y=");
        assert_eq!(query.required_text("url").unwrap(), "b c d");
        assert_eq!(query.required_text("y").unwrap(), "");
        let error = query.required_text("z").unwrap_err();
        assert_eq!(
            serde_json::to_value(error).unwrap(),
            json!({"detail": [{"type":"missing","loc":["query","z"],
                               "msg":"Field required","input":null}]})
        );
    }

    #[test]
    fn media_types() {
        let with = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_TYPE, value.parse().unwrap());
            is_json(&headers)
        };
        assert!(!is_json(&HeaderMap::new()));
        assert!(with("application/json; charset=utf-8"));
        assert!(with("Application/Problem+JSON"));
        assert!(!with("text/plain"));
        assert!(!with("application/x-www-form-urlencoded"));
    }
}
