//! [`FormFile`]: a file in a form of the type `multipart/form-data`.

use axum::extract::Multipart;
use axum::extract::multipart::{MultipartError, MultipartRejection};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use serde_json::{Value, json};

use super::{ValidationError, Wrong};
use crate::web::error::ApiError;

/// A file that was sent in a form.
#[derive(Debug)]
pub struct FormFile {
    /// What its sender says it is, without parameters, in lower case; may be empty.
    pub declared: String,
    /// The whole of it.
    pub content: Bytes,
}

impl FormFile {
    /// The file in the field `name`, the last one of several, as in 3.3.0. What else the form
    /// holds is ignored.
    ///
    /// # Errors
    /// As FastAPI has it: 422 for a body that is no form, a missing field, or one that is text;
    /// 400 for a form that is broken. 413 for one that is larger than the route allows.
    pub async fn of(
        form: Result<Multipart, MultipartRejection>,
        name: &'static str,
    ) -> Result<Self, Response> {
        let mut found = Err(missing(name));
        let Ok(mut form) = form else {
            return found;
        };
        while let Some(field) = form.next_field().await.map_err(|error| broken(&error))? {
            if field.name() != Some(name) {
                continue;
            }
            let is_file = field.file_name().is_some();
            let declared = essence(field.content_type().unwrap_or_default());
            let content = field.bytes().await.map_err(|error| broken(&error))?;
            found = if is_file {
                Ok(Self { declared, content })
            } else if content.is_empty() {
                Err(missing(name))
            } else {
                Err(text(name, &content))
            };
        }
        found
    }
}

fn essence(media_type: &str) -> String {
    let essence = media_type.split(';').next().unwrap_or_default();
    essence.trim().to_ascii_lowercase()
}

fn place(name: &str) -> Vec<Value> {
    vec!["body".into(), name.into()]
}

fn missing(name: &str) -> Response {
    let problem = Wrong::MISSING.at(place(name), Value::Null);
    ValidationError::from(problem).into_response()
}

fn text(name: &str, content: &[u8]) -> Response {
    let wrong = Wrong {
        ctx: Some(json!({"error": {}})),
        ..Wrong::new(
            "value_error",
            "Value error, Expected UploadFile, received: <class 'str'>",
        )
    };
    let input = String::from_utf8_lossy(content).into();
    ValidationError::from(wrong.at(place(name), input)).into_response()
}

fn broken(error: &MultipartError) -> Response {
    ApiError::broken_form(error.status()).into_response()
}
