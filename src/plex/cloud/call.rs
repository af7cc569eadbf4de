//! The one way to call plex.tv: slots, deadlines, headers, and trying again.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use reqwest::{Method, Response, StatusCode, header};
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, timeout_at};
use url::Url;

use super::answers::is_page;
use super::error::CloudError;
use crate::settings::Secret;

/// For one call in all, from waiting for a slot to the last byte.
const DEADLINE: Duration = Duration::from_secs(10);
/// For a call and its repetitions, the pauses between them included.
const BUDGET: Duration = Duration::from_secs(15);
/// A call is tried so many times.
const TRIES: u32 = 3;
/// Before the second try, and twice as long before the third.
const BACKOFF: Duration = Duration::from_millis(250);
/// Calls to plex.tv at a time.
const SLOTS: usize = 4;
/// The largest answer that is read.
const LARGEST_ANSWER: usize = 4 * 1024 * 1024;

/// The connections to plex.tv, and the places on them. All who call share one.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    http: reqwest::Client,
    slots: Arc<Semaphore>,
}

/// Whether a call changes anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Effect {
    None,
    Change,
}

/// One call, ready to be made.
#[derive(Debug)]
pub(super) struct Call<'a> {
    method: Method,
    url: Url,
    effect: Effect,
    token: Option<&'a Secret>,
    headers: Vec<(&'static str, &'a str)>,
    body: Option<String>,
}

/// What plex.tv has answered, with a status of 2xx.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: StatusCode,
    pub(super) body: Bytes,
}

/// Any answer of plex.tv.
struct Answer {
    status: StatusCode,
    retry_after: Option<Duration>,
    date: Option<String>,
    body: Result<Bytes, CloudError>,
}

impl<'a> Call<'a> {
    /// Asks for something.
    pub(super) fn get(url: Url) -> Self {
        Self {
            method: Method::GET,
            url,
            effect: Effect::None,
            token: None,
            headers: Vec::new(),
            body: None,
        }
    }

    /// Changes something.
    pub(super) fn change(method: Method, url: Url) -> Self {
        Self {
            method,
            effect: Effect::Change,
            ..Self::get(url)
        }
    }

    /// In whose name.
    pub(super) fn of(mut self, token: &'a Secret) -> Self {
        self.token = Some(token);
        self
    }

    pub(super) fn header(mut self, name: &'static str, value: &'a str) -> Self {
        self.headers.push((name, value));
        self
    }

    /// The body; plex.tv wants to be told that it is JSON even where there is none.
    pub(super) fn json(mut self, body: String) -> Self {
        self.body = Some(body);
        self.header("Content-Type", "application/json")
    }
}

impl Line {
    /// `http` must check certificates and follow no redirects, which would be handed the token.
    pub(crate) fn new(http: reqwest::Client) -> Self {
        Self {
            http,
            slots: Arc::new(Semaphore::new(SLOTS)),
        }
    }

    /// Makes the call, and makes it again if that can do no harm: what only asks after any failure
    /// that may pass, what changes something if it surely did not happen. A `Retry-After` is
    /// waited for if that is short enough.
    ///
    /// # Errors
    /// Any status but 2xx, or no whole answer.
    pub(super) async fn make(&self, call: &Call<'_>) -> Result<Reply, CloudError> {
        let end = Instant::now() + BUDGET;
        let mut pause = BACKOFF;
        let mut tries = 1;
        loop {
            let error = match self.attempt(call, end).await {
                Ok(reply) => return Ok(reply),
                Err(error) => error,
            };
            let wait = error.retry_after().unwrap_or(pause);
            let late = wait >= end.saturating_duration_since(Instant::now());
            if late || tries == TRIES || !may_pass(&error) {
                return Err(error);
            }
            sleep(wait).await;
            pause *= 2;
            tries += 1;
        }
    }

    /// What plex.tv takes for the current time, from the head of any answer, whatever it says.
    ///
    /// # Errors
    /// No answer.
    pub(super) async fn date(&self, call: &Call<'_>) -> Result<Option<String>, CloudError> {
        let end = Instant::now() + DEADLINE;
        let _slot = self.slot(end).await?;
        Ok(self.answer(call, end).await?.date)
    }

    async fn attempt(&self, call: &Call<'_>, end: Instant) -> Result<Reply, CloudError> {
        let end = end.min(Instant::now() + DEADLINE);
        let _slot = self.slot(end).await?;
        let asked = async {
            let answer = self.answer(call, end).await?;
            let status = answer.status;
            if !status.is_success() {
                // An explanation that can't be read costs itself only.
                let body = answer.body.unwrap_or_default();
                let (token, wait) = (call.token, answer.retry_after);
                return Err(CloudError::refusal(status, &call.url, &body, token, wait));
            }
            let body = answer.body?;
            if is_page(&body) {
                return Err(CloudError::NotPlexTv);
            }
            Ok(Reply { status, body })
        };
        asked.await.map_err(|error| judged(error, call.effect))
    }

    /// A place among the calls, to be kept until the answer is read.
    async fn slot(&self, end: Instant) -> Result<impl Drop, CloudError> {
        let slot = timeout_at(end, self.slots.acquire()).await;
        // Places become free when those before are given up, which may be just as late.
        match slot {
            Ok(Ok(slot)) if Instant::now() < end => Ok(slot),
            _ => Err(CloudError::Timeout),
        }
    }

    async fn answer(&self, call: &Call<'_>, end: Instant) -> Result<Answer, CloudError> {
        let mut request = self.http.request(call.method.clone(), call.url.clone());
        for (name, value) in &call.headers {
            request = request.header(*name, *value);
        }
        if let Some(token) = call.token {
            request = request.header("X-Plex-Token", token.expose());
        }
        if let Some(body) = &call.body {
            request = request.body(body.clone());
        }
        let sent = timeout_at(end, request.send()).await;
        let response = sent.map_err(|_elapsed| CloudError::Timeout)?;
        let response = response.map_err(|error| CloudError::from_reqwest(&error))?;
        let said = |name| response.headers().get(name)?.to_str().ok().map(str::trim);
        let seconds = said(header::RETRY_AFTER).and_then(|seconds| seconds.parse().ok());
        Ok(Answer {
            status: response.status(),
            // RFC 9110, 10.2.3; its date form is not used by plex.tv.
            retry_after: seconds.map(Duration::from_secs),
            date: said(header::DATE).map(str::to_owned),
            body: timeout_at(end, body_of(response))
                .await
                .unwrap_or(Err(CloudError::Timeout)),
        })
    }
}

/// Says of a change that failed whether it may have happened all the same.
fn judged(error: CloudError, effect: Effect) -> CloudError {
    let surely_not = match &error {
        CloudError::Status { status, .. } => *status < 500,
        CloudError::Connect => true,
        _ => false,
    };
    if effect == Effect::None || surely_not {
        return error;
    }
    CloudError::Uncertain(Box::new(error))
}

/// Whether another try is of use, and harmless: what may have had its effect is an error of its own
/// kind. Who has waited for the whole deadline is not made to wait for another.
fn may_pass(error: &CloudError) -> bool {
    match error {
        CloudError::Connect | CloudError::Broken => true,
        CloudError::Status { status, .. } => *status == 429 || *status >= 500,
        _ => false,
    }
}

async fn body_of(mut response: Response) -> Result<Bytes, CloudError> {
    let mut body = BytesMut::new();
    while let Some(chunk) = response
        .chunk()
        .await
        .map_err(|error| CloudError::from_reqwest(&error))?
    {
        if body.len() + chunk.len() > LARGEST_ANSWER {
            return Err(CloudError::TooLarge);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.freeze())
}
