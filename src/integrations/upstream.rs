//! [`Upstream`]: a service of the operator's own that the pages look at through us: Sonarr,
//! Posterizarr and their like. All of them are asked in this one way.
//!
//! - A call has a deadline and a largest answer, and follows no redirect, which would be handed the
//!   key. A service that did not answer in time is asked by one at a time until it does, so that it
//!   can't take all of a browser's connections (six, over HTTP/1.1).
//! - What is read is shared by all who ask within two seconds: ten tabs cost one call.
//! - A service's status is not ours: its 401 would log the user out of the pages (contract 08, item
//!   29). Its key is in no error and no log.

use std::num::NonZeroUsize;
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::body::Body;
use axum::http::header;
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use lru::LruCache;
use reqwest::Method;
use serde_json::Value;
use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};
use tokio::task::spawn_blocking;
use tokio::time::Instant;
use url::Url;

use super::outside::CallError;
use crate::app::AppState;
use crate::cache::Brief;
use crate::settings::Secret;
use crate::web::error::{ApiError, ApiResult};

/// Of one answer; ten thousand entries of a queue have some 30 MB.
const LARGEST: usize = 64 * 1024 * 1024;
/// Of what a service says about a failure so much is passed on, in characters.
const LONGEST_TEXT: usize = 500;
/// Of its body so much is looked at, in bytes.
const LONGEST_START: usize = 16 * 1024;
/// Of JSON that is longer, in bytes, nothing is made on a thread that serves requests.
const LONG: usize = 512 * 1024;
/// Who did not answer in time is not asked again for so long.
const AFTER_SILENCE: Duration = Duration::from_secs(15);
/// Services whose state is remembered.
const MOST_SERVICES: NonZeroUsize = NonZeroUsize::new(128).expect("more than 0");

static ANSWERS: Brief<Question, Answer, Failure> =
    Brief::new(Answer::worth, Failure::Call(CallError::Broken));
static STATES: LazyLock<Mutex<LruCache<Digest, State>>> =
    LazyLock::new(|| Mutex::new(LruCache::new(MOST_SERVICES)));

/// Tells services apart.
pub(super) type Digest = [u8; 32];

/// A service as it is configured.
#[derive(Clone, Debug)]
pub(super) struct Upstream {
    /// What people call it.
    pub(super) name: String,
    /// Its address as stored, with or without final slashes.
    pub(super) url: String,
    /// What it knows us by.
    pub(super) key: Key,
    /// For a call in all.
    pub(super) limit: Duration,
}

/// Where a service looks for its key.
#[derive(Clone, Debug)]
pub(super) enum Key {
    /// It has none.
    None,
    /// In a header of this name.
    Header(&'static str, Secret),
    /// In the query.
    Query(&'static str, Secret),
}

/// What came back, whatever its status.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    /// Of HTTP.
    pub(super) status: u16,
    /// Whether it says so itself.
    pub(super) is_json: bool,
    /// The whole body.
    pub(super) body: Bytes,
}

/// What the pages can work with. Another shape would leave them blank (contract 09, section 4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// An object; `null` is an empty one.
    Object,
    /// Whatever JSON.
    Any,
}

/// Why there is nothing to show. The text names neither address nor key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Failure {
    /// What is configured is no address.
    #[error("the address is not a valid URL")]
    Address,
    /// There is no whole answer.
    #[error(transparent)]
    Call(#[from] CallError),
    /// It answers, but not with what was asked for. A redirect is among these.
    #[error("{text}")]
    Status {
        /// Of HTTP.
        status: u16,
        /// What it says about it, without the key.
        text: String,
    },
    /// It answers with a page for people, or with half a document.
    #[error("the answer is not JSON")]
    NotJson,
    /// It answers with JSON that nobody has a use for.
    #[error("the answer is not of the expected shape")]
    Shape,
}

#[derive(Clone, PartialEq, Eq, Hash)]
struct Question {
    service: Digest,
    asked: Digest,
}

/// What is known of a service beyond a call.
#[derive(Default)]
struct State {
    /// It did not answer in time; before this moment it is not asked again.
    silent_until: Option<Instant>,
    /// It has answered something then.
    answered_at: Option<Instant>,
    /// It is in the log as out of reach.
    is_reported: bool,
}

impl Upstream {
    /// What `path` of it has, whatever the status; shared by all who ask within two seconds. `path` is
    /// ours, and encoded as far as it has to be.
    ///
    /// # Errors
    /// There is no whole answer.
    pub(super) async fn get(
        &self,
        app: &AppState,
        path: &str,
        query: &[(&str, &str)],
    ) -> Result<Answer, Failure> {
        let url = self.address(path, query)?;
        let question = Question {
            service: self.digest(),
            asked: Sha256::digest(url.as_str()).into(),
        };
        let (this, app) = (self.clone(), app.clone());
        ANSWERS
            .get(question, async move { this.ask_at(&app, url).await })
            .await
    }

    /// As [`Self::get`], but shared with nobody: for who shares what it is a part of.
    ///
    /// # Errors
    /// There is no whole answer.
    pub(super) async fn ask(
        &self,
        app: &AppState,
        path: &str,
        query: &[(&str, &str)],
    ) -> Result<Answer, Failure> {
        self.ask_at(app, self.address(path, query)?).await
    }

    async fn ask_at(&self, app: &AppState, url: Url) -> Result<Answer, Failure> {
        if !may_be_asked(&self.digest(), self.limit) {
            return Err(CallError::Timeout.into());
        }
        self.call(app, Method::GET, url, None).await
    }

    /// Changes something, and forgets what was read before.
    ///
    /// # Errors
    /// There is no whole answer. What was to be done may have been done.
    pub(super) async fn send(
        &self,
        app: &AppState,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Answer, Failure> {
        let url = self.address(path, &[])?;
        let answer = self.call(app, method, url, body).await;
        let service = self.digest();
        ANSWERS.forget(|question| question.service == service);
        answer
    }

    /// The answer itself, if it is a success.
    ///
    /// # Errors
    /// Its status is none of success.
    pub(super) fn successful<'a>(&self, answer: &'a Answer) -> Result<&'a Answer, Failure> {
        match answer.status {
            200..=299 => Ok(answer),
            status => Err(Failure::Status {
                status,
                text: self.words_of(answer),
            }),
        }
    }

    /// As the pages are told: 404 for what the service does not have, else 502.
    pub(super) fn refusal(&self, failure: &Failure) -> ApiError {
        let name = &self.name;
        match failure {
            Failure::Status { status: 404, text } => ApiError::missing(text),
            Failure::Status { text, .. } => ApiError::bad_gateway(text),
            Failure::Address | Failure::Call(_) => {
                ApiError::bad_gateway(format!("{name} unreachable: {failure}"))
            }
            Failure::NotJson | Failure::Shape => {
                ApiError::bad_gateway(format!("{name}: {failure}"))
            }
        }
    }

    async fn call(
        &self,
        app: &AppState,
        method: Method,
        url: Url,
        body: Option<&Value>,
    ) -> Result<Answer, Failure> {
        let mut request = app.outside.client_for(&url).request(method, url);
        request = request.header("accept", "application/json");
        if let Key::Header(name, key) = &self.key {
            request = request.header(*name, key.expose());
        }
        if let Some(body) = body {
            request = request.header("content-type", "application/json");
            request = request.body(body.to_string());
        }
        let asked = Instant::now();
        let reply = app.outside.call(request, self.limit, LARGEST).await;
        self.note(asked, reply.as_ref().err().copied());
        let reply = reply?;
        Ok(Answer {
            status: reply.status,
            is_json: reply.is_json,
            body: reply.body,
        })
    }

    fn base(&self) -> &str {
        self.url.trim().trim_end_matches('/')
    }

    /// The address of a path, with the key if it goes there.
    fn address(&self, path: &str, query: &[(&str, &str)]) -> Result<Url, Failure> {
        let base = self.base();
        // By itself first: without a host of its own it would take the path's first part for one.
        let url = Url::parse(base).and_then(|_| Url::parse(&format!("{base}{path}")));
        let url = url
            .ok()
            .filter(|url| matches!(url.scheme(), "http" | "https"));
        let mut url = url.ok_or(Failure::Address)?;
        if let Key::Query(name, key) = &self.key {
            url.query_pairs_mut().append_pair(name, key.expose());
        }
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        Ok(url)
    }

    /// Tells it from others, and from itself with another key.
    pub(super) fn digest(&self) -> Digest {
        let mut digest = Sha256::new_with_prefix(self.base());
        if let Key::Header(_, key) | Key::Query(_, key) = &self.key {
            digest.update([0]);
            digest.update(key.expose());
        }
        digest.finalize().into()
    }

    /// What a service says about its failure, in one line without its key.
    pub(super) fn words_of(&self, answer: &Answer) -> String {
        let start = &answer.body[..answer.body.len().min(LONGEST_START)];
        let text = String::from_utf8_lossy(start);
        let mut words: Vec<&str> = text.split_whitespace().collect();
        if start.len() < answer.body.len() {
            // It may be half a key.
            words.pop();
        }
        let mut text = words.join(" ");
        if let Key::Header(_, key) | Key::Query(_, key) = &self.key
            && !key.expose().is_empty()
        {
            let encoded: String =
                url::form_urlencoded::byte_serialize(key.expose().as_bytes()).collect();
            text = text.replace(key.expose(), "***").replace(&encoded, "***");
        }
        if text.is_empty() {
            return format!("{} answered with status {}", self.name, answer.status);
        }
        text.chars().take(LONGEST_TEXT).collect()
    }

    /// Remembers whether it answers, and says so in the log when that changes.
    fn note(&self, asked: Instant, error: Option<CallError>) {
        let is_news = states()
            .get_or_insert_mut(self.digest(), State::default)
            .note(asked, error);
        match error {
            Some(error) if is_news => tracing::warn!("{}: {error}", self.name),
            Some(error) => tracing::debug!("{}: {error}", self.name),
            None if is_news => tracing::info!("{} answers again", self.name),
            None => {}
        }
    }
}

impl State {
    /// How a call that began at `asked` has ended; whether that is news. Who has answered others
    /// meanwhile is only slow with this.
    fn note(&mut self, asked: Instant, error: Option<CallError>) -> bool {
        let now = Instant::now();
        match error {
            None => self.answered_at = Some(now),
            Some(_) if self.answered_at.is_some_and(|at| at > asked) => return false,
            Some(_) => {}
        }
        let is_silent = error == Some(CallError::Timeout);
        self.silent_until = is_silent.then(|| now + AFTER_SILENCE);
        std::mem::replace(&mut self.is_reported, error.is_some()) != error.is_some()
    }

    /// Whether it is the turn of this call. While a service is silent, one call in a while finds out
    /// whether it still is.
    fn may_be_asked(&mut self, limit: Duration) -> bool {
        let now = Instant::now();
        match &mut self.silent_until {
            Some(until) if now < *until => false,
            Some(until) => {
                *until = now + limit;
                true
            }
            None => true,
        }
    }
}

impl Answer {
    /// Its bytes, if it is a success.
    fn worth(&self) -> Option<usize> {
        (200..300).contains(&self.status).then_some(self.body.len())
    }

    /// The body, if it is JSON of this shape.
    ///
    /// # Errors
    /// It is not.
    pub(super) fn json(&self, shape: Shape) -> Result<Box<RawValue>, Failure> {
        let json: Box<RawValue> =
            serde_json::from_slice(&self.body).map_err(|_not_json| Failure::NotJson)?;
        let start = json.get().as_bytes().first().copied();
        let empty = match (shape, start) {
            (Shape::Any, _) | (Shape::Object, Some(b'{')) => {
                return Ok(json);
            }
            (Shape::Object, Some(b'n')) => "{}",
            _ => return Err(Failure::Shape),
        };
        RawValue::from_string(empty.to_owned()).map_err(|_never| Failure::Shape)
    }
}

/// What `make` makes of `length` bytes of JSON: of many, on a thread where that holds nobody up.
///
/// # Errors
/// It has panicked.
pub(super) async fn made<T: Send + 'static>(
    length: usize,
    make: impl FnOnce() -> T + Send + 'static,
) -> ApiResult<T> {
    if length < LONG {
        return Ok(make());
    }
    let done = spawn_blocking(make).await;
    done.map_err(|panic| ApiError::internal("Internal Server Error", panic))
}

/// A response of this JSON.
pub(super) fn json(text: impl Into<Body>) -> Response {
    let kind = [(header::CONTENT_TYPE, "application/json")];
    (kind, text.into()).into_response()
}

/// Whether there are an address and a key. Blanks are neither.
pub(super) fn is_whole(url: &str, key: &Secret) -> bool {
    !url.trim().is_empty() && !key.expose().trim().is_empty()
}

/// Whether it is the turn of a call to `service`.
fn may_be_asked(service: &Digest, limit: Duration) -> bool {
    let mut states = states();
    states
        .get_mut(service)
        .is_none_or(|state| state.may_be_asked(limit))
}

fn states() -> MutexGuard<'static, LruCache<Digest, State>> {
    STATES.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
