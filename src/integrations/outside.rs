//! [`Outside`]: the way to other servers. Certificates are checked but on private networks (see
//! [`outgoing::is_private`]), redirects are not followed (they would be handed our keys), every call has a deadline
//! and a largest answer.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use reqwest::redirect::Policy;
use reqwest::{RequestBuilder, Response};
use tokio::time::timeout;
use url::Url;

use crate::outgoing;

/// To the first byte that goes out.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// Many servers (uvicorn, for one) close idle connections after 5 s; ours go first, so that no
/// request meets one that is being closed.
const IDLE_TIMEOUT: Duration = Duration::from_secs(3);

/// The way to other servers.
#[derive(Clone, Debug)]
pub struct Outside {
    verifying: reqwest::Client,
    trusting: reqwest::Client,
}

/// Why a call has failed. Names no address, for some hold a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// It took too long.
    #[error("no answer in time")]
    Timeout,
    /// There is no way to it.
    #[error("can't be reached")]
    Connect,
    /// It broke off.
    #[error("broke off its answer")]
    Broken,
    /// It sent more than anybody would read.
    #[error("its answer is too large")]
    TooLarge,
}

/// What came back, whatever its status.
#[derive(Debug)]
pub struct Reply {
    /// Of HTTP.
    pub status: u16,
    /// Seconds to wait before the next call, if it says so.
    pub retry_after: Option<Duration>,
    /// Whether its content type is that of JSON.
    pub is_json: bool,
    /// The whole body.
    pub body: Bytes,
}

impl Outside {
    /// # Errors
    /// TLS can't be set up.
    pub fn new() -> Result<Self, reqwest::Error> {
        let builder = || {
            reqwest::Client::builder()
                .user_agent(concat!("Komandorr/", env!("CARGO_PKG_VERSION")))
                .connect_timeout(CONNECT_TIMEOUT)
                .pool_idle_timeout(IDLE_TIMEOUT)
                .redirect(Policy::none())
        };
        Ok(Self {
            verifying: outgoing::verifying(builder)?,
            trusting: builder().tls_danger_accept_invalid_certs(true).build()?,
        })
    }

    /// To make a request to a server on the internet with.
    pub fn client(&self) -> &reqwest::Client {
        &self.verifying
    }

    /// To make a request with to `url`, which the operator has chosen and which may be on a private
    /// network.
    pub fn client_for(&self, url: &Url) -> &reqwest::Client {
        if outgoing::is_private(url) {
            &self.trusting
        } else {
            &self.verifying
        }
    }

    /// Sends `request` and reads the answer, all within `limit`, up to `largest` bytes.
    ///
    /// # Errors
    /// There is no whole answer. Any status is one.
    pub async fn call(
        &self,
        request: RequestBuilder,
        limit: Duration,
        largest: usize,
    ) -> Result<Reply, CallError> {
        let call = async {
            let response = request.send().await.map_err(|error| classify(&error))?;
            let status = response.status().as_u16();
            let retry_after = retry_after(&response);
            let is_json = is_json(&response);
            let body = body_of(response, largest).await?;
            Ok(Reply {
                status,
                retry_after,
                is_json,
                body,
            })
        };
        timeout(limit, call)
            .await
            .unwrap_or(Err(CallError::Timeout))
    }
}

fn classify(error: &reqwest::Error) -> CallError {
    if error.is_timeout() {
        CallError::Timeout
    } else if error.is_connect() || error.is_builder() {
        CallError::Connect
    } else {
        CallError::Broken
    }
}

async fn body_of(mut response: Response, largest: usize) -> Result<Bytes, CallError> {
    let mut body = BytesMut::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| classify(&error))? {
        if body.len() + chunk.len() > largest {
            return Err(CallError::TooLarge);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.freeze())
}

/// `Retry-After` in seconds (RFC 9110, 10.2.3).
fn retry_after(response: &Response) -> Option<Duration> {
    let value = response.headers().get("retry-after")?.to_str().ok()?;
    value.trim().parse().ok().map(Duration::from_secs)
}

fn is_json(response: &Response) -> bool {
    let kind = response.headers().get("content-type");
    let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    kind.to_ascii_lowercase().contains("application/json")
}
