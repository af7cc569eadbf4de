//! What can go wrong on the way to Plex, on demand.

use std::collections::HashMap;
use std::io;
use std::sync::Mutex;
use std::time::Duration;

use axum::body::{Body, Bytes, to_bytes};
use axum::http::{HeaderName, HeaderValue, Method, Response, StatusCode, header};
use axum::response::IntoResponse;
use futures_util::{StreamExt as _, stream};
use tokio_util::sync::CancellationToken;

use super::locked;
use super::pages::error_page;

/// How many bytes `Fault::Huge` sends at a time.
const CHUNK: usize = 64 * 1024;
/// The beginning of a PNG file.
const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR";

/// A misbehaviour of the simulated server.
#[derive(Clone, Debug)]
pub enum Fault {
    /// This status, with Plex's HTML error page as the body.
    Status(u16),
    /// As `Status`, with one more header, e.g. 429 with `retry-after`. The name is lower-case.
    StatusWith {
        /// The status code.
        status: u16,
        /// Name and value of the header.
        header: (&'static str, String),
    },
    /// Waits, then gives the real answer.
    Delay(Duration),
    /// Waits until [`super::Simulator::release_holds`], then gives the real answer.
    Hold,
    /// Never answers.
    Hang,
    /// The real answer, its body one byte per interval.
    Drip(Duration),
    /// The real answer, but the connection closes half way through the promised body.
    Cut,
    /// 200 with an HTML page, as a captive portal or a proxy's login gives it.
    Html,
    /// 200 with JSON that ends too early; as HTTP the answer is complete.
    BrokenJson,
    /// 200 with exactly this JSON.
    Body(String),
    /// 200 with exactly this, under this content type or none.
    Content(Option<&'static str>, Vec<u8>),
    /// 200 with exactly this under this content type, said to be compressed with gzip.
    Packed(&'static str, Vec<u8>),
    /// 200 with a PNG of this many bytes and no `content-length`; only its beginning is one.
    HugePicture(u64),
    /// 200 with this many bytes of JSON white space and no `content-length`.
    Huge(u64),
    /// 302 to this location.
    Redirect(String),
}

/// The faults in force, by path, or method and path (`POST /x`), which wins; `*` stands for every
/// path without its own.
#[derive(Debug, Default)]
pub(super) struct Faults {
    by_path: Mutex<HashMap<String, Fault>>,
    /// Cancelled to release the requests held so far, then replaced for those to come.
    holds: Mutex<CancellationToken>,
}

impl Faults {
    pub(super) fn set(&self, path: &str, fault: Fault) {
        locked(&self.by_path).insert(path.to_owned(), fault);
    }

    pub(super) fn clear(&self) {
        locked(&self.by_path).clear();
    }

    pub(super) fn release_holds(&self) {
        std::mem::take(&mut *locked(&self.holds)).cancel();
    }

    fn find(&self, method: &Method, path: &str) -> Option<Fault> {
        let of_method = format!("{method} {path}");
        let faults = locked(&self.by_path);
        let mut found = [&*of_method, path, "*"].into_iter();
        found.find_map(|name| faults.get(name).cloned())
    }

    /// Answers a request for `path`, with `real` as the answer of a healthy server.
    pub(super) async fn answer(
        &self,
        method: &Method,
        path: &str,
        real: impl Future<Output = Response<Body>>,
    ) -> Response<Body> {
        let Some(fault) = self.find(method, path) else {
            return real.await;
        };
        match fault {
            Fault::Status(status) => error_page(status),
            Fault::StatusWith {
                status,
                header: (name, value),
            } => with_header(error_page(status), name, &value),
            Fault::Delay(delay) => {
                tokio::time::sleep(delay).await;
                real.await
            }
            Fault::Hold => {
                let hold = locked(&self.holds).clone();
                hold.cancelled().await;
                real.await
            }
            Fault::Hang => std::future::pending().await,
            Fault::Drip(interval) => drip(real.await, interval).await,
            Fault::Cut => cut(real.await).await,
            Fault::Html => typed(
                "text/html",
                "<!DOCTYPE html><title>Log in</title><h1>Log in</h1>",
            ),
            Fault::BrokenJson => typed(
                "application/json",
                r#"{"MediaContainer":{"size":2,"Metadata":[{"title":"Half a"#,
            ),
            Fault::Body(body) => typed("application/json", body),
            Fault::Content(kind, body) => content(kind, body),
            Fault::Packed(kind, body) => {
                with_header(content(Some(kind), body), "content-encoding", "gzip")
            }
            Fault::HugePicture(bytes) => huge("image/png", PNG, bytes),
            Fault::Huge(bytes) => huge("application/json", b"", bytes),
            Fault::Redirect(to) => with_header(error_page(302), "location", &to),
        }
    }
}

fn typed(content_type: &'static str, body: impl Into<Body>) -> Response<Body> {
    ([(header::CONTENT_TYPE, content_type)], body.into()).into_response()
}

fn with_header(mut response: Response<Body>, name: &'static str, value: &str) -> Response<Body> {
    // A value that cannot be a header is a mistake in the test: answer so that it shows.
    match (
        HeaderName::from_lowercase(name.as_bytes()),
        HeaderValue::from_str(value),
    ) {
        (Ok(name), Ok(value)) => {
            response.headers_mut().insert(name, value);
            response
        }
        _ => (
            StatusCode::NOT_IMPLEMENTED,
            "the fault's header is not valid",
        )
            .into_response(),
    }
}

/// Takes an answer apart and promises its length in the head, whatever the body then does.
async fn promised(response: Response<Body>) -> Result<(Response<()>, Bytes), axum::Error> {
    let (mut head, body) = response.into_parts();
    let bytes = to_bytes(body, usize::MAX).await?;
    head.headers
        .insert(header::CONTENT_LENGTH, HeaderValue::from(bytes.len()));
    Ok((Response::from_parts(head, ()), bytes))
}

async fn drip(real: Response<Body>, interval: Duration) -> Response<Body> {
    let Ok((head, bytes)) = promised(real).await else {
        return error_page(500);
    };
    let drops = stream::unfold(bytes, move |mut rest| async move {
        if rest.is_empty() {
            return None;
        }
        tokio::time::sleep(interval).await;
        Some((Ok::<_, io::Error>(rest.split_to(1)), rest))
    });
    head.map(|()| Body::from_stream(drops))
}

async fn cut(real: Response<Body>) -> Response<Body> {
    let Ok((head, bytes)) = promised(real).await else {
        return error_page(500);
    };
    let half = bytes.slice(..bytes.len() / 2);
    let halves = stream::unfold(Some(half), |half| async {
        if half.is_none() {
            // One turn for hyper to put the first half on the wire before the error ends it.
            tokio::task::yield_now().await;
        }
        let item = half.ok_or_else(|| io::Error::other("cut"));
        Some((item, None))
    });
    head.map(|()| Body::from_stream(halves))
}

fn content(kind: Option<&'static str>, body: Vec<u8>) -> Response<Body> {
    let mut response = Response::new(Body::from(body));
    if let Some(kind) = kind {
        let kind = HeaderValue::from_static(kind);
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
    }
    response
}

/// `start`, then blanks up to this many bytes more.
fn huge(kind: &'static str, start: &'static [u8], bytes: u64) -> Response<Body> {
    static SPACES: [u8; CHUNK] = [b' '; CHUNK];
    let start = stream::iter((!start.is_empty()).then(|| Ok(Bytes::from_static(start))));
    let chunks = stream::unfold(bytes, |left| async move {
        let size = usize::try_from(left).unwrap_or(CHUNK).min(CHUNK);
        let chunk = Bytes::from_static(&SPACES).slice(..size);
        (size > 0).then(|| (Ok::<_, io::Error>(chunk), left - size as u64))
    });
    typed(kind, Body::from_stream(start.chain(chunks)))
}
