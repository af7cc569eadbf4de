//! [`reply`]: a JSON body of ready pieces, in the form that a reader takes.

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use bytes::Bytes;

use super::accepts::Accepts;
use super::parts::Parts;

/// Headers that an answer leaves with, roughly: room for all of them at once.
const HEADERS: usize = 16;

/// How a body is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// As it is.
    Plain,
    /// Compressed.
    Gzip,
}

/// The response to one reader of a JSON body of `length` bytes that `etag` stands for: its
/// `pieces` in the form that the reader takes, or 304 when it has them already. Everybody has to
/// ask again each time.
pub fn reply(
    accepts: &Accepts<'_>,
    etag: &HeaderValue,
    length: usize,
    pieces: impl FnOnce(Form) -> Vec<Bytes>,
) -> Response {
    let mut response = Response::new(Body::empty());
    response.headers_mut().reserve(HEADERS);
    if accepts.has(etag) {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    } else {
        let form = accepts.form(length);
        *response.body_mut() = Body::new(Parts::new(pieces(form)));
        let headers = response.headers_mut();
        if form == Form::Gzip {
            headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        let json = HeaderValue::from_static("application/json");
        headers.insert(header::CONTENT_TYPE, json);
    }
    let headers = response.headers_mut();
    headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    let control = HeaderValue::from_static("private, no-cache");
    headers.insert(header::CACHE_CONTROL, control);
    headers.insert(header::ETAG, etag.clone());
    response
}
