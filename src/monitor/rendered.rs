//! What is shown of all services together, as JSON that is kept until something changes.
//!
//! A body is made of one [`Piece`] per service. A service that has not changed keeps its piece,
//! and the compressed form of it, so that a new body costs what has changed; a body that is still
//! true costs nothing. Nobody has to say that something changed: services count it themselves
//! ([`Tracked`]), and a body knows until when it stays true by itself.

use std::sync::{Arc, OnceLock};

use axum::extract::ws::Utf8Bytes;
use axum::http::header::InvalidHeaderValue;
use axum::http::{HeaderMap, HeaderValue};
use axum::response::Response;
use bytes::Bytes;
use serde::Serialize;
use tokio::sync::{Mutex, OnceCell};
use tokio::task::spawn_blocking;

use super::registry::Monitor;
use super::shown::live_until;
use super::tracked::Tracked;
use crate::app::AppState;
use crate::cache::{Accepts, Form, Gzip, Packed, reply};
use crate::compat::Stamp;
use crate::web::error::{ApiError, ApiResult};

/// Between two pieces of a JSON array.
const COMMA: &[u8] = b",";

/// A value as JSON, and compressed, once somebody has asked for that.
#[derive(Debug)]
pub(super) struct Piece {
    json: Bytes,
    packed: OnceLock<Packed>,
}

/// The piece of one service in one body, kept with the service.
#[derive(Debug, Default)]
pub(super) struct Fragment {
    kept: Option<(Basis, Arc<Piece>)>,
}

/// What a piece depends on: the state of its service, and until when its traffic is alive.
type Basis = (u64, Option<Stamp>);

impl Fragment {
    /// The piece that is true `now`: the one that is kept, or what `show` gives.
    pub(super) fn piece<'a, T: Serialize>(
        &mut self,
        service: &'a Tracked,
        now: Stamp,
        show: impl FnOnce(&'a Tracked) -> T,
    ) -> serde_json::Result<Arc<Piece>> {
        let basis = (service.revision(), live_until(service, now));
        if let Some((of, piece)) = &self.kept
            && *of == basis
        {
            return Ok(Arc::clone(piece));
        }
        let piece = Arc::new(Piece {
            json: serde_json::to_vec(&show(service))?.into(),
            packed: OnceLock::new(),
        });
        self.kept = Some((basis, Arc::clone(&piece)));
        Ok(piece)
    }
}

/// A body: an array of pieces, with something in front of it and behind.
#[derive(Debug)]
pub(super) struct Rendered {
    head: Bytes,
    pieces: Vec<Arc<Piece>>,
    tail: &'static str,
    /// Weak, for it stands for the compressed form as well.
    etag: HeaderValue,
    /// The revision of the [`Monitor`] that it shows.
    of: u64,
    /// When a service's traffic will be too old to be shown.
    until: Option<Stamp>,
    gzip: OnceCell<Vec<Bytes>>,
    text: OnceLock<Utf8Bytes>,
}

/// What goes wrong when a body is made.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotRendered {
    #[error(transparent)]
    Json(#[from] serde_json::Error),
    #[error(transparent)]
    Tag(#[from] InvalidHeaderValue),
    #[error("the task that makes it has ended")]
    Ended(#[from] tokio::task::JoinError),
}

impl Rendered {
    /// Puts the pieces together that show revision `of` at the time `now`.
    pub(super) fn new(
        head: impl Into<Bytes>,
        pieces: Vec<Arc<Piece>>,
        tail: &'static str,
        (of, now, until): (u64, Stamp, Option<Stamp>),
    ) -> Result<Self, NotRendered> {
        // The time tells bodies of one revision apart, and those of another run of the program.
        let etag = HeaderValue::try_from(format!("W/\"{of:x}-{:x}\"", now.micros()))?;
        Ok(Self {
            head: head.into(),
            pieces,
            tail,
            etag,
            of,
            until,
            gzip: OnceCell::new(),
            text: OnceLock::new(),
        })
    }

    /// Whether it says what is true `now`.
    fn is_true(&self, monitor: &Monitor, now: Stamp) -> bool {
        self.of == monitor.revision() && self.until.is_none_or(|until| now < until)
    }

    /// The whole body as the text of a WebSocket frame.
    pub(super) fn text(&self) -> Utf8Bytes {
        let whole = || String::from_utf8(self.plain().concat()).unwrap_or_default();
        self.text.get_or_init(|| whole().into()).clone()
    }

    fn plain(&self) -> Vec<Bytes> {
        let mut plain = Vec::with_capacity(2 * self.pieces.len() + 2);
        plain.push(self.head.clone());
        for (index, piece) in self.pieces.iter().enumerate() {
            if index > 0 {
                plain.push(Bytes::from_static(COMMA));
            }
            plain.push(piece.json.clone());
        }
        plain.push(Bytes::from_static(self.tail.as_bytes()));
        plain
    }

    fn packed(&self) -> Vec<Bytes> {
        let mut gzip = Gzip::begin().stored(&self.head);
        for (index, piece) in self.pieces.iter().enumerate() {
            if index > 0 {
                gzip = gzip.stored(COMMA);
            }
            gzip = gzip.packed(piece.packed.get_or_init(|| Packed::of(&piece.json)));
        }
        gzip.stored(self.tail.as_bytes()).finish()
    }

    fn length(&self) -> usize {
        let pieces: usize = self.pieces.iter().map(|piece| piece.json.len()).sum();
        let commas = self.pieces.len().saturating_sub(1);
        self.head.len() + pieces + commas + self.tail.len()
    }
}

/// The newest body of its kind.
#[derive(Debug, Default)]
pub(super) struct Kept {
    /// Held while a new one is made, so that all who wait for it make one.
    newest: Mutex<Option<Arc<Rendered>>>,
}

/// How a body is made.
type Render = fn(&Monitor, Stamp) -> Result<Rendered, NotRendered>;

impl Kept {
    /// The body that is true now.
    pub(super) async fn current(
        &self,
        app: &AppState,
        render: Render,
    ) -> Result<Arc<Rendered>, NotRendered> {
        let mut newest = self.newest.lock().await;
        if let Some(newest) = newest.as_ref()
            && newest.is_true(&app.monitor, Stamp::now())
        {
            return Ok(Arc::clone(newest));
        }
        let app = app.clone();
        // After a round of checks it takes milliseconds.
        let made = spawn_blocking(move || render(&app.monitor, Stamp::now())).await??;
        let made = Arc::new(made);
        *newest = Some(Arc::clone(&made));
        drop(newest);
        Ok(made)
    }

    /// The response with it to one reader.
    pub(super) async fn respond(
        &self,
        app: &AppState,
        headers: &HeaderMap,
        render: Render,
    ) -> ApiResult<Response> {
        let failed = |error: NotRendered| ApiError::internal("The services can't be shown", error);
        let accepts = Accepts::of(headers);
        let body = self.current(app, render).await.map_err(failed)?;
        let length = body.length();
        let mut gzip = None;
        if accepts.form(length) == Form::Gzip && !accepts.has(&body.etag) {
            let packing = Arc::clone(&body);
            let pack = async || spawn_blocking(move || packing.packed()).await;
            gzip = Some(body.gzip.get_or_try_init(pack).await);
        }
        let gzip = gzip.transpose().map_err(|error| failed(error.into()))?;
        Ok(reply(&accepts, &body.etag, length, |_form| {
            gzip.cloned().unwrap_or_else(|| body.plain())
        }))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::time::Duration;

    use serde_json::Value;

    use super::*;
    use crate::monitor::list::render;
    use crate::monitor::model::{Service, Status};
    use crate::settings::Environment;

    fn three() -> Monitor {
        Monitor::of(["a", "b", "c"].map(Service::for_test).into())
    }

    fn json(body: &Rendered) -> Value {
        serde_json::from_str(&body.text()).unwrap()
    }

    #[test]
    fn only_what_has_changed_is_written_anew() {
        let monitor = three();
        let now = Stamp::now();
        let before = render(&monitor, now).unwrap();
        monitor.find("b").unwrap().lock().service.status = Status::Online;
        assert!(!before.is_true(&monitor, now));
        let after = render(&monitor, now + Duration::from_secs(60)).unwrap();
        let pairs = before.pieces.iter().zip(&after.pieces);
        let same: Vec<bool> = pairs.map(|(one, other)| Arc::ptr_eq(one, other)).collect();
        assert_eq!(same, [true, false, true]);
        assert_eq!(json(&after)[1]["status"], "online");
        assert_ne!(before.etag, after.etag);
    }

    #[test]
    fn traffic_disappears_from_the_body_and_from_nowhere_else() {
        let monitor = three();
        let start = Stamp::now();
        let watched = monitor.find("b").unwrap();
        watched.lock().report_for_test(1.5, start);
        let shown = render(&monitor, start + Duration::from_millis(29_999)).unwrap();
        assert_eq!(json(&shown)[1]["traffic"]["bandwidth_up"], 1.5);
        assert_eq!(json(&shown)[1]["traffic_history"][0]["bandwidth_up"], 1.5);

        let end = start + Duration::from_secs(30);
        assert!(shown.is_true(&monitor, start + Duration::from_millis(29_999)));
        assert!(!shown.is_true(&monitor, end));
        let gone = render(&monitor, end).unwrap();
        assert_eq!(json(&gone)[1]["traffic"], Value::Null);
        assert_eq!(json(&gone)[1]["traffic_history"], Value::Array(Vec::new()));
        assert_ne!(shown.etag, gone.etag);
        assert!(gone.is_true(&monitor, end + Duration::from_secs(3600)));

        let service = watched.lock().service.clone();
        assert!(service.traffic.is_some());
        assert_eq!(service.traffic_history.len(), 1);
    }

    #[test]
    fn services_that_come_and_go_are_noticed() {
        let monitor = three();
        let now = Stamp::now();
        let ids = || {
            let list = json(&render(&monitor, now).unwrap());
            let ids = list.as_array().unwrap().iter();
            ids.map(|one| one["id"].as_str().unwrap().to_owned())
                .collect::<String>()
        };
        let before = render(&monitor, now).unwrap();
        monitor.insert(Service::for_test("d"));
        assert!(!before.is_true(&monitor, now));
        assert_eq!(ids(), "abcd");
        let before = render(&monitor, now).unwrap();
        monitor.remove("b");
        assert!(!before.is_true(&monitor, now));
        assert_eq!(ids(), "acd");
    }

    #[test]
    fn no_services_are_an_empty_array() {
        let body = render(&Monitor::default(), Stamp::now()).unwrap();
        assert_eq!((body.text().as_str(), body.length()), ("[]", 2));
    }

    #[test]
    fn the_compressed_form_says_the_same() {
        let monitor = three();
        for n in 0..300 {
            let watched = monitor.find(["a", "c"][n % 2]).unwrap();
            watched.lock().report_for_test(1.5, Stamp::now());
        }
        let body = render(&monitor, Stamp::now()).unwrap();
        assert_eq!(body.text().len(), body.length());
        let mut text = String::new();
        let packed = body.packed().concat();
        flate2::read::GzDecoder::new(&packed[..])
            .read_to_string(&mut text)
            .unwrap();
        assert_eq!(text, body.text().as_str());
        assert!(packed.len() * 5 < text.len());
    }

    #[tokio::test]
    async fn a_body_is_kept_until_something_changes() {
        let directory = tempfile::tempdir().unwrap();
        let app = AppState::for_test(directory.path(), Environment::default()).await;
        let watched = app.monitor.insert(Service::for_test("a"));
        let current = async || app.monitor.list.current(&app, render).await.unwrap();
        let first = current().await;
        watched.lock().unsaved.check = true;
        assert!(Arc::ptr_eq(&first, &current().await), "nothing to be seen");
        watched.lock().service.response_time = Some(1.0);
        assert!(!Arc::ptr_eq(&first, &current().await));
    }
}
