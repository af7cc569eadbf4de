//! [`JsonBody`]: a body in JSON.

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::{FromFields, Problem, ValidationError, Wrong, fields};
use crate::web::error::ApiError;

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
    let place = vec!["body".into()];
    let value = match (body, is_json) {
        ([], _) => Value::Null,
        (body, true) => serde_json::from_slice(body).map_err(|error| malformed(body, &error))?,
        (body, false) => Value::from(String::from_utf8_lossy(body)),
    };
    if value.is_null() {
        return Err(Wrong::MISSING.at(place, Value::Null).into());
    }
    fields::read(value, place).map_err(|detail| ValidationError { detail })
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
        msg: "JSON decode error".into(),
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
    use proptest::prelude::*;

    use super::*;
    use crate::compat::validation::Fields;

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

    proptest! {
        #[test]
        fn no_body_is_too_odd_to_be_refused(
            body in prop_oneof!["[{}\\[\\]:,\"urltoken\\\\ \n0-9eE.-]{0,40}".prop_map(String::into_bytes),
                                prop::collection::vec(any::<u8>(), 0..40)],
            is_json in any::<bool>(),
        ) {
            if let Err(error) = read::<Login>(&body, is_json) {
                let error = serde_json::to_value(error).unwrap();
                let problems = error["detail"].as_array().unwrap();
                prop_assert!(!problems.is_empty());
                for problem in problems {
                    prop_assert_eq!(&problem["loc"][0], "body");
                    prop_assert!(problem["msg"].is_string() && problem["type"].is_string());
                    let offset = problem["loc"][1].as_u64().unwrap_or_default();
                    prop_assert!(offset <= body.len() as u64, "{}", problem);
                }
            }
        }
    }
}
