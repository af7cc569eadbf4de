//! Requests checked as FastAPI does, with its 422 items (contract 00, section 5).
//!
//! The frontend joins the `msg` texts and shows them, so their wording is part of the contract.

mod body;
mod datetime;
mod fields;
mod form;
mod path;
mod query;
mod scalars;

use std::borrow::Cow;

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

pub use body::JsonBody;
pub use fields::{Fields, FromFields, Said};
pub use form::FormFile;
pub use path::{PathInteger, integer_in_path};
pub use query::QueryParameters;

/// A step on the way to what is wrong.
#[derive(ToSchema)]
#[schema(as = Place)]
#[serde(untagged)]
#[expect(dead_code, reason = "only describes what is sent")]
enum Place {
    Name(String),
    Index(u64),
}

/// One problem with a request.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Problem {
    /// Pydantic's name of the problem.
    #[serde(rename = "type")]
    kind: &'static str,
    /// Where: `body`, then field names and list indexes.
    #[schema(value_type = Vec<Place>)]
    loc: Vec<Value>,
    /// For people.
    #[schema(value_type = String)]
    msg: Cow<'static, str>,
    /// The offending value; the whole object for a missing field.
    #[schema(value_type = Value)]
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

/// What is wrong with a value, wherever it stands.
#[derive(Clone, Debug, PartialEq)]
struct Wrong {
    kind: &'static str,
    msg: Cow<'static, str>,
    ctx: Option<Value>,
}

impl Wrong {
    const fn new(kind: &'static str, msg: &'static str) -> Self {
        Self {
            kind,
            msg: Cow::Borrowed(msg),
            ctx: None,
        }
    }

    const MISSING: Self = Self::new("missing", "Field required");
    const NO_OBJECT: Self = Self::new(
        "model_attributes_type",
        "Input should be a valid dictionary or object to extract fields from",
    );

    fn at(self, loc: Vec<Value>, input: Value) -> Problem {
        let Self { kind, msg, ctx } = self;
        Problem {
            kind,
            loc,
            msg,
            input,
            ctx,
        }
    }
}
