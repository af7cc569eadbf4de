//! [`Answer`]: a JSON body that is serialised once per fetch and sent as often as asked for.
//!
//! What differs from one request to the next (`cached`, `cache_age`, `stale`, `message`) is
//! written behind the stored bytes, and behind their compressed form ([`Packed`]) as well, which
//! is made once per fetch.

use std::fmt::Write as _;
use std::sync::OnceLock;

use axum::http::header::InvalidHeaderValue;
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::response::Response;
use bytes::Bytes;
use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;
use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};

use super::{Accepts, Cached, Form, Freshness, Gzip, Packed, Portable, reply};

/// How an answer came out of a cache (RFC 9211).
pub const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");

/// A JSON body, ready to send: a whole array, or an object but for its last fields and its
/// closing brace.
#[derive(Debug)]
pub struct Answer {
    head: Bytes,
    /// Whether the fields of the request follow.
    open: bool,
    /// Weak, because the bytes differ per request.
    etag: HeaderValue,
    /// Another one when stale, so that the warning in a stale answer reaches a browser that has
    /// the fresh one.
    stale_etag: HeaderValue,
    packed: OnceLock<Packed>,
}

/// Why a value can't become an [`Answer`].
#[derive(Debug, thiserror::Error)]
pub enum NotAnAnswer {
    /// It does not serialise.
    #[error(transparent)]
    Json(#[from] serde_json::Error),
    /// It is not a JSON object with at least one field, so nothing can be added to it.
    #[error("not a JSON object with fields")]
    NotAnObject,
    /// Its hash is no header value, which can't be.
    #[error(transparent)]
    Tag(#[from] InvalidHeaderValue),
}

impl Answer {
    /// Serialises `value`, which must be a JSON object with at least one field and without the
    /// fields that are added per request.
    pub fn object(value: &impl Serialize) -> Result<Self, NotAnAnswer> {
        let mut json = serde_json::to_vec(value)?;
        let is_object = json.first() == Some(&b'{') && json.len() > 2;
        if !is_object || json.pop() != Some(b'}') {
            return Err(NotAnAnswer::NotAnObject);
        }
        Self::new(json, true)
    }

    /// Serialises `values` as a bare array: nothing is added per request, so its age and
    /// staleness are told by headers alone.
    pub fn array<T: Serialize>(values: &[T]) -> Result<Self, NotAnAnswer> {
        Self::new(serde_json::to_vec(values)?, false)
    }

    fn new(json: Vec<u8>, open: bool) -> Result<Self, NotAnAnswer> {
        let digest = Sha256::digest(&json);
        let tag = digest.iter().take(8).fold(String::new(), |mut tag, byte| {
            let _ = write!(tag, "{byte:02x}");
            tag
        });
        Ok(Self {
            head: json.into(),
            open,
            etag: HeaderValue::try_from(format!("W/\"{tag}\""))?,
            stale_etag: HeaderValue::try_from(format!("W/\"{tag}-stale\""))?,
            packed: OnceLock::new(),
        })
    }

    /// The response to one reader: the stored bytes and the fields of this request; or 304 when
    /// the reader has this value already. `Age` and `Cache-Status` are those of RFC 9111 and 9211.
    pub fn respond(cached: &Cached<Self>, accepts: &Accepts<'_>) -> Response {
        let answer = &cached.stored.value;
        let etag = match cached.freshness {
            Freshness::Stale { .. } => &answer.stale_etag,
            Freshness::Fresh | Freshness::Fetched { .. } => &answer.etag,
        };
        let mut response = reply(accepts, etag, answer.head.len(), |form| {
            let tail = if answer.open {
                tail(cached)
            } else {
                String::new()
            };
            match form {
                Form::Plain => vec![answer.head.clone(), tail.into()],
                Form::Gzip => {
                    let head = answer.packed.get_or_init(|| Packed::of(&answer.head));
                    Gzip::begin().packed(head).stored(tail.as_bytes()).finish()
                }
            }
        });
        describe(response.headers_mut(), cached);
        response
    }
}

/// As the whole JSON text, without the fields of any request.
impl Portable for Answer {
    fn to_json(&self) -> Option<Box<RawValue>> {
        let mut json = String::from_utf8(self.head.to_vec()).ok()?;
        if self.open {
            json.push('}');
        }
        RawValue::from_string(json).ok()
    }

    fn from_json(json: &RawValue) -> Option<Self> {
        let text = json.get();
        let head = text.strip_prefix('{').and(text.strip_suffix('}'));
        match head {
            Some(head) if head.len() > 1 => Self::new(head.into(), true).ok(),
            _ if text.starts_with('[') => Self::new(text.into(), false).ok(),
            _ => None,
        }
    }
}

/// Says in headers how the reader came by the value: `Age` (RFC 9111) and `Cache-Status`
/// (RFC 9211).
pub fn describe<T>(headers: &mut HeaderMap, cached: &Cached<T>) {
    headers.insert(header::AGE, HeaderValue::from(cached.age.as_secs()));
    if let Ok(status) = HeaderValue::try_from(cache_status(cached)) {
        headers.insert(CACHE_STATUS, status);
    }
}

/// The fields of this request, and the closing brace.
fn tail(cached: &Cached<Answer>) -> String {
    // Cut, not rounded: a fresh value must not seem to have reached its TTL.
    let age = format!("{}.{:03}", cached.age.as_secs(), cached.age.subsec_millis());
    match &cached.freshness {
        Freshness::Fetched { .. } => r#","cached":false}"#.to_owned(),
        Freshness::Fresh => format!(r#","cached":true,"cache_age":{age}}}"#),
        Freshness::Stale { failing_for, error } => {
            let since = Utc::now() - *failing_for;
            let message = stale_message(since, error.as_ref().map(|e| e.message.as_str()));
            let message = serde_json::Value::from(message);
            format!(r#","cached":true,"cache_age":{age},"stale":true,"message":{message}}}"#)
        }
    }
}

/// Tells people that what they see is old, since when, and why.
fn stale_message(since: DateTime<Utc>, error: Option<&str>) -> String {
    let since = since.to_rfc3339_opts(SecondsFormat::Secs, true);
    let reason = error.unwrap_or("it is slow to answer");
    format!("No news from Plex since {since} ({reason}); showing the last known state")
}

/// RFC 9211: how the reader came by the value, and for how many seconds it stays fresh.
fn cache_status<T>(cached: &Cached<T>) -> String {
    let ttl = cached.fresh_for.as_secs();
    match cached.freshness {
        Freshness::Fresh => format!("komandorr; hit; ttl={ttl}"),
        Freshness::Fetched { shared: false } => "komandorr; fwd=miss".to_owned(),
        Freshness::Fetched { shared: true } => "komandorr; fwd=miss; collapsed".to_owned(),
        Freshness::Stale { .. } => "komandorr; hit; ttl=-1; detail=stale".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::sync::Arc;
    use std::time::Duration;

    use axum::body::to_bytes;
    use axum::http::StatusCode;
    use serde_json::{Value, json};

    use super::*;
    use crate::cache::{FetchError, Stored};

    fn cached(list: &[String], freshness: Freshness) -> Cached<Answer> {
        let answer = Answer::object(&json!({"error": false, "activities": list})).unwrap();
        Cached {
            stored: Arc::new(Stored::now(answer)),
            age: Duration::from_millis(2345),
            fresh_for: Duration::from_millis(2655),
            freshness,
        }
    }

    async fn sent(cached: &Cached<Answer>, headers: &HeaderMap) -> (HeaderMap, Vec<u8>) {
        let response = Answer::respond(cached, &Accepts::of(headers));
        let (parts, body) = response.into_parts();
        (
            parts.headers,
            to_bytes(body, usize::MAX).await.unwrap().to_vec(),
        )
    }

    async fn json_of(freshness: Freshness) -> (HeaderMap, Value) {
        let (headers, body) = sent(&cached(&[], freshness), &HeaderMap::new()).await;
        (headers, serde_json::from_slice(&body).unwrap())
    }

    fn long_list() -> Vec<String> {
        (0..500).map(|n| format!("entry {n}")).collect()
    }

    #[tokio::test]
    async fn an_array_is_sent_as_it_is_whatever_its_freshness() {
        let answer = Answer::array(&long_list()).unwrap();
        let cached = Cached {
            stored: Arc::new(Stored::now(answer)),
            age: Duration::from_secs(400),
            fresh_for: Duration::ZERO,
            freshness: Freshness::Stale {
                failing_for: Duration::from_secs(10),
                error: None,
            },
        };
        let (headers, body) = sent(&cached, &HeaderMap::new()).await;
        assert_eq!(
            serde_json::from_slice::<Vec<String>>(&body).unwrap(),
            long_list()
        );
        assert_eq!(headers["age"], "400");
        assert_eq!(
            headers["cache-status"],
            "komandorr; hit; ttl=-1; detail=stale"
        );
        let gzip =
            HeaderMap::from_iter([(header::ACCEPT_ENCODING, HeaderValue::from_static("gzip"))]);
        let (_, compressed) = sent(&cached, &gzip).await;
        let mut text = String::new();
        flate2::read::GzDecoder::new(compressed.as_slice())
            .read_to_string(&mut text)
            .unwrap();
        assert_eq!(text.as_bytes(), body);
    }

    #[test]
    fn answers_leave_as_json_and_come_back() {
        let object = Answer::object(&json!({"error": false, "n": [1, 2]})).unwrap();
        let json = object.to_json().unwrap();
        assert_eq!(json.get(), r#"{"error":false,"n":[1,2]}"#);
        let back = Answer::from_json(&json).unwrap();
        assert_eq!(
            (&back.head, &back.etag, back.open),
            (&object.head, &object.etag, true)
        );
        let array = Answer::array(&[1, 2]).unwrap();
        let back = Answer::from_json(&array.to_json().unwrap()).unwrap();
        assert_eq!((&back.head[..], back.open), (&b"[1,2]"[..], false));
        for other in ["{}", "1", "\"x\"", "null"] {
            let other = RawValue::from_string(other.to_owned()).unwrap();
            assert!(Answer::from_json(&other).is_none(), "{other}");
        }
    }

    #[tokio::test]
    async fn each_freshness_has_its_fields_and_headers() {
        let (headers, body) = json_of(Freshness::Fetched { shared: true }).await;
        assert_eq!(
            body,
            json!({"error": false, "activities": [], "cached": false})
        );
        assert_eq!(headers["cache-status"], "komandorr; fwd=miss; collapsed");

        let (headers, body) = json_of(Freshness::Fresh).await;
        let fields = json!({"error": false, "activities": [], "cached": true, "cache_age": 2.345});
        assert_eq!(body, fields);
        assert_eq!(headers["cache-status"], "komandorr; hit; ttl=2");
        assert_eq!(headers["age"], "2");

        let error = Some(Arc::new(FetchError::new("a \"quoted\" reason")));
        let stale = Freshness::Stale {
            failing_for: Duration::from_secs(60),
            error,
        };
        let (_, body) = json_of(stale).await;
        assert_eq!(body["stale"], true);
        let message = body["message"].as_str().unwrap();
        assert!(message.contains("(a \"quoted\" reason)"), "{message}");
    }

    #[tokio::test]
    async fn the_compressed_form_is_complete_and_made_once() {
        let cached = cached(&long_list(), Freshness::Fresh);
        let mut headers = HeaderMap::new();
        headers.insert(
            "accept-encoding",
            HeaderValue::from_static("br, gzip;q=0.8"),
        );
        let (_, plain) = sent(&cached, &HeaderMap::new()).await;
        let (sent_headers, gzip) = sent(&cached, &headers).await;
        assert_eq!(sent_headers["content-encoding"], "gzip");
        assert!(
            gzip.len() * 3 < plain.len(),
            "{} of {}",
            gzip.len(),
            plain.len()
        );
        let unpacked = |gzip: &[u8]| {
            let mut text = Vec::new();
            // The decoder checks length and checksum of the trailer.
            let mut decoder = flate2::read::GzDecoder::new(gzip);
            decoder.read_to_end(&mut text).unwrap();
            text
        };
        assert_eq!(unpacked(&gzip), plain);

        // What is there already is what is sent.
        let cached = self::cached(&long_list(), Freshness::Fresh);
        let made = Packed::of(br#"{"made":1"#);
        cached.stored.value.packed.set(made).unwrap();
        let (_, gzip) = sent(&cached, &headers).await;
        assert!(unpacked(&gzip).starts_with(br#"{"made":1,"#));
    }

    #[tokio::test]
    async fn compression_is_used_only_where_it_is_wanted_and_pays() {
        let with = |value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert("accept-encoding", HeaderValue::from_static(value));
            headers
        };
        let long = cached(&long_list(), Freshness::Fresh);
        for refused in ["identity", "gzip;q=0", "br", "gzip; q=0.000"] {
            let (headers, _) = sent(&long, &with(refused)).await;
            assert!(!headers.contains_key("content-encoding"), "{refused}");
            assert_eq!(headers["vary"], "accept-encoding");
        }
        let (headers, _) = sent(&cached(&[], Freshness::Fresh), &with("gzip")).await;
        assert!(!headers.contains_key("content-encoding"), "too short");
    }

    #[tokio::test]
    async fn a_known_value_is_not_sent_again_but_a_warning_is() {
        let fresh = cached(&long_list(), Freshness::Fresh);
        let (headers, _) = sent(&fresh, &HeaderMap::new()).await;
        let mut conditional = HeaderMap::new();
        conditional.insert("if-none-match", headers["etag"].clone());
        let response = Answer::respond(&fresh, &Accepts::of(&conditional));
        assert_eq!(response.status(), StatusCode::NOT_MODIFIED);
        assert_eq!(response.headers()["etag"], headers["etag"]);

        let error = None;
        let freshness = Freshness::Stale {
            failing_for: Duration::ZERO,
            error,
        };
        let stale = Cached { freshness, ..fresh };
        let response = Answer::respond(&stale, &Accepts::of(&conditional));
        assert_eq!(response.status(), StatusCode::OK);
    }

    #[test]
    fn only_objects_with_fields_can_become_answers() {
        for value in [json!([]), json!({}), json!("text"), json!(null)] {
            assert!(Answer::object(&value).is_err(), "{value}");
        }
    }
}
