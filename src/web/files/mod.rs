//! Files of a directory, sent as browsers like it: with type, tag and date, in parts where a part
//! is asked for, and compressed.
//!
//! What is not too large is read and compressed once and then kept in memory. Each request looks at
//! the disk whether the file is still the same, so a new one shows at once. All of that happens
//! off the threads that serve requests.

mod forms;
mod found;
mod memory;
mod part;

use std::time::SystemTime;

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use tower::ServiceExt as _;
use tower_http::services::ServeFile;

use self::forms::{Form, Forms};
pub(super) use self::found::Found;
use self::part::Part;
use crate::cache::Accepts;

/// Answers a `GET` or `HEAD` request for a file.
pub(super) async fn send(found: &Found, mut request: Request) -> Response {
    // RFC 9110, 14.2: parts are for GET only.
    if request.method() != Method::GET {
        request.headers_mut().remove(header::RANGE);
    }
    let mut response = match from_memory(found, request.headers()).await {
        Some(response) => response,
        None => from_disk(found, request).await,
    };
    if found.is_text {
        let varies = HeaderValue::from_static("accept-encoding");
        response.headers_mut().insert(header::VARY, varies);
    }
    response
}

/// `None` if the file is too large for that, or can't be read.
async fn from_memory(found: &Found, asked: &HeaderMap) -> Option<Response> {
    if found.stamp.bytes > memory::LARGEST {
        return None;
    }
    let slot = memory::slot(found);
    let forms = slot.get_or_try_init(|| Forms::read(found));
    let forms = forms.await.ok()?;
    let modified = found.stamp.modified;
    let accepts = Accepts::of(asked);
    let part = Part::asked(asked, &forms.plain, modified);
    // A part is one of the plain form.
    let (coding, form) = match part {
        Some(_) => (None, &forms.plain),
        None => smallest(forms, found, &accepts).await,
    };
    // RFC 9110, 13.2.2: before a part is looked for.
    if is_known(asked, &accepts, form, modified) {
        return Some(described(found, form, StatusCode::NOT_MODIFIED));
    }
    if let Some(part) = part {
        return Some(in_part(found, &forms.plain, part));
    }
    let mut response = described(found, form, StatusCode::OK);
    if let Some(coding) = coding {
        let coding = HeaderValue::from_static(coding);
        response
            .headers_mut()
            .insert(header::CONTENT_ENCODING, coding);
    }
    *response.body_mut() = Body::from(form.bytes.clone());
    Some(response)
}

/// The last of plain, gzip and Brotli that the client takes, and its coding.
async fn smallest<'a>(
    forms: &'a Forms,
    found: &Found,
    accepts: &Accepts<'_>,
) -> (Option<&'static str>, &'a Form) {
    let mut chosen = (None, &forms.plain);
    if found.is_text && accepts.takes("gzip") {
        let gzip = forms.gzip(found).await;
        chosen = gzip.map_or(chosen, |form| (Some("gzip"), form));
    }
    if found.is_text && accepts.takes("br") {
        let brotli = forms.brotli(found).await;
        chosen = brotli.map_or(chosen, |form| (Some("br"), form));
    }
    chosen
}

/// Sends it as it is, without reading it whole.
async fn from_disk(found: &Found, request: Request) -> Response {
    match ServeFile::new(&found.path).oneshot(request).await {
        Ok(response) => response.into_response(),
        Err(never) => match never {},
    }
}

fn in_part(found: &Found, plain: &Form, part: Part) -> Response {
    let length = plain.bytes.len();
    let (status, range, body) = match part {
        Part::Bytes(range) => {
            let text = format!("bytes {}-{}/{length}", range.start, range.end - 1);
            let body = plain.bytes.slice(range);
            (StatusCode::PARTIAL_CONTENT, text, Body::from(body))
        }
        Part::Beyond => {
            let text = format!("bytes */{length}");
            (StatusCode::RANGE_NOT_SATISFIABLE, text, Body::empty())
        }
    };
    let mut response = described(found, plain, status);
    if let Ok(range) = HeaderValue::try_from(range) {
        response.headers_mut().insert(header::CONTENT_RANGE, range);
    }
    *response.body_mut() = body;
    response
}

/// The headers that all answers have.
fn described(found: &Found, form: &Form, status: StatusCode) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::ETAG, form.tag.clone());
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    if let Some(date) = found.stamp.modified.and_then(date) {
        headers.insert(header::LAST_MODIFIED, date);
    }
    // RFC 9110, 15.4.5: a 304 does not repeat what the client has.
    if status != StatusCode::NOT_MODIFIED
        && let Ok(kind) = HeaderValue::try_from(kind(found))
    {
        headers.insert(header::CONTENT_TYPE, kind);
    }
    response
}

/// By the end of the name; all texts of a frontend are UTF-8.
fn kind(found: &Found) -> String {
    let kind = mime_guess::from_path(&found.path).first_or_octet_stream();
    if kind.type_() == mime_guess::mime::TEXT {
        format!("{kind}; charset=utf-8")
    } else {
        kind.to_string()
    }
}

/// RFC 9110, 13.2.2: the date counts only where no tag is given.
fn is_known(
    asked: &HeaderMap,
    accepts: &Accepts<'_>,
    form: &Form,
    modified: Option<SystemTime>,
) -> bool {
    if asked.contains_key(header::IF_NONE_MATCH) {
        return accepts.has(&form.tag);
    }
    let since = asked.get(header::IF_MODIFIED_SINCE);
    let since = since.and_then(|since| httpdate::parse_http_date(since.to_str().ok()?).ok());
    match (modified.map(httpdate::HttpDate::from), since) {
        // Dates of HTTP have whole seconds.
        (Some(modified), Some(since)) => modified <= httpdate::HttpDate::from(since),
        _ => false,
    }
}

/// A date of HTTP; none for a file from before 1970.
fn date(time: SystemTime) -> Option<HeaderValue> {
    time.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    HeaderValue::try_from(httpdate::fmt_http_date(time)).ok()
}
