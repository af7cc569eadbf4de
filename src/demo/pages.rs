//! The dress of every answer: `MediaContainer`, paging, Plex's error page.

use std::convert::Infallible;
use std::ops::Range;

use axum::Json;
use axum::body::Body;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{Response, StatusCode, header};
use axum::response::IntoResponse;
use serde_json::{Map, Value};
use url::form_urlencoded;

const START: &str = "X-Plex-Container-Start";
const SIZE: &str = "X-Plex-Container-Size";

/// What a request asks for: its parameters and the page it wants.
#[derive(Debug, Default)]
pub(super) struct Ask {
    parameters: Vec<(String, String)>,
    start: Option<usize>,
    size: Option<usize>,
}

impl Ask {
    pub(super) fn from_query(query: &str) -> Self {
        let parameters: Vec<(String, String)> = form_urlencoded::parse(query.as_bytes())
            .into_owned()
            .collect();
        let mut ask = Self {
            parameters,
            ..Self::default()
        };
        ask.start = ask.number(START);
        ask.size = ask.number(SIZE);
        ask
    }

    pub(super) fn value(&self, name: &str) -> Option<&str> {
        let found = self.parameters.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str())
    }

    pub(super) fn number<T: std::str::FromStr>(&self, name: &str) -> Option<T> {
        self.value(name)?.parse().ok()
    }

    /// The list, or the page of it that was asked for, in a container.
    pub(super) fn answer<T>(
        &self,
        attributes: Value,
        name: &str,
        all: &[T],
        write: impl Fn(&T) -> Value,
    ) -> Response<Body> {
        let list = all[self.range(all.len())].iter().map(write).collect();
        self.answer_page(attributes, name, all.len(), list)
    }

    /// What of a list of so many entries was asked for.
    pub(super) fn range(&self, total: usize) -> Range<usize> {
        let start = self.start.unwrap_or(0).min(total);
        let end = self
            .size
            .map_or(total, |size| start.saturating_add(size).min(total));
        start..end
    }

    /// The entries of [`Self::range`], in a container.
    pub(super) fn answer_page(
        &self,
        attributes: Value,
        name: &str,
        total: usize,
        list: Vec<Value>,
    ) -> Response<Body> {
        let mut container = Map::new();
        container.insert("size".to_owned(), list.len().into());
        // Only a paged answer tells the whole size; that is how clients know it was paged.
        if self.start.is_some() || self.size.is_some() {
            container.insert("totalSize".to_owned(), total.into());
            container.insert("offset".to_owned(), self.range(total).start.into());
        }
        if let Value::Object(attributes) = attributes {
            container.extend(attributes);
        }
        if !list.is_empty() {
            container.insert(name.to_owned(), list.into());
        }
        media_container(container)
    }
}

impl<S: Sync> FromRequestParts<S> for Ask {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Infallible> {
        let mut ask = Self::from_query(parts.uri.query().unwrap_or_default());
        let header = |name: &str| parts.headers.get(name)?.to_str().ok()?.parse().ok();
        ask.start = ask.start.or_else(|| header(START));
        ask.size = ask.size.or_else(|| header(SIZE));
        Ok(ask)
    }
}

/// An answer without a list.
pub(super) fn media_container(fields: Map<String, Value>) -> Response<Body> {
    let body = Map::from_iter([("MediaContainer".to_owned(), Value::Object(fields))]);
    Json(Value::Object(body)).into_response()
}

/// Plex reports errors as a bare HTML page, even to clients that want JSON.
pub(super) fn error_page(status: u16) -> Response<Body> {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let reason = status.canonical_reason().unwrap_or("Error");
    let page = format!(
        "<html><head><title>{reason}</title></head><body><h1>{} {reason}</h1></body></html>",
        status.as_u16()
    );
    (status, [(header::CONTENT_TYPE, "text/html")], page).into_response()
}
