//! [`Accepts`]: what a request says about the form in which it takes an answer.

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};

use super::reply::Form;

/// Below this, compression saves less than it costs: the answer fits into one packet anyway.
const WORTH_COMPRESSING: usize = 1024;

/// What a request says about the form it can take.
#[derive(Debug)]
pub struct Accepts<'a> {
    headers: &'a HeaderMap,
}

impl<'a> Accepts<'a> {
    /// Reads `If-None-Match` and `Accept-Encoding`.
    pub const fn of(headers: &'a HeaderMap) -> Self {
        Self { headers }
    }

    /// Whether the client has what carries this tag: weak comparison (RFC 9110, 8.8.3.2).
    pub fn has(&self, etag: &HeaderValue) -> bool {
        let Ok(etag) = etag.to_str() else {
            return false;
        };
        let opaque = etag.trim_start_matches("W/");
        self.list(header::IF_NONE_MATCH)
            .any(|known| known == "*" || known.trim_start_matches("W/") == opaque)
    }

    /// In which form to send a body of so many bytes.
    pub fn form(&self, length: usize) -> Form {
        if length >= WORTH_COMPRESSING && self.takes("gzip") {
            Form::Gzip
        } else {
            Form::Plain
        }
    }

    /// Whether the client takes this coding, such as `gzip`.
    pub fn takes(&self, wanted: &str) -> bool {
        self.list(header::ACCEPT_ENCODING).any(|coding| {
            let mut parts = coding.split(';').map(str::trim);
            let name = parts.next().unwrap_or_default();
            let refused = parts.any(|p| matches!(p, "q=0" | "q=0.0" | "q=0.00" | "q=0.000"));
            name.eq_ignore_ascii_case(wanted) && !refused
        })
    }

    fn list(&self, name: HeaderName) -> impl Iterator<Item = &str> {
        self.headers
            .get_all(name)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .map(str::trim)
    }
}
