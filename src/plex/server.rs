//! The client of a Plex Media Server: one way to call it. The endpoints are in [`super::api`].

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use reqwest::{header, redirect};
use serde::de::DeserializeOwned;
use tokio::sync::{AcquireError, Semaphore, SemaphorePermit};
use tokio::time::timeout;
use url::Url;

use super::cloud::Line;
use super::error::PlexError;
use super::images::PublicHosts;
use super::wire::Envelope;
use crate::outgoing;
use crate::settings::{PlexClientSettings, PlexTarget, Secret};

/// Calls to one server at a time; more make a busy server slower, not faster. Pictures have as
/// many of their own, so that a page full of posters does not hold up the data.
const SLOTS: usize = 4;
/// As many of them serve calls of which there are many in a row: counts, lists of libraries, pages of
/// the history. The others stay free for what people look at right now.
const BULK_SLOTS: usize = 2;
/// The largest answer that is read, after decompression.
const LARGEST_ANSWER: usize = 32 * 1024 * 1024;
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// Plex closes idle connections after about 20 s; ours go first, so that no request meets one
/// that is being closed.
const IDLE_TIMEOUT: Duration = Duration::from_secs(15);

/// What all Plex servers are called with: pooled connections and the slots of each server.
#[derive(Debug)]
pub struct PlexClient {
    verifying: reqwest::Client,
    trusting: reqwest::Client,
    settings: PlexClientSettings,
    slots: Mutex<HashMap<String, Weak<Slots>>>,
    plex_tv: Line,
    /// The way to avatars; made when the first is asked for.
    public_hosts: OnceLock<PublicHosts>,
}

/// The places for calls to one server.
#[derive(Debug)]
struct Slots {
    data: Semaphore,
    bulk: Semaphore,
    pictures: Semaphore,
}

/// One Plex server: an address and the token for it.
#[derive(Debug)]
pub struct PlexServer {
    http: reqwest::Client,
    base: Url,
    token: Secret,
    timeout: Duration,
    slots: Arc<Slots>,
}

impl PlexClient {
    /// Builds the connection pools.
    ///
    /// # Errors
    /// When the TLS library can't be set up at all. A system without any CA certificates is no
    /// such case: plain HTTP and private addresses work there, public HTTPS is refused.
    pub fn new(settings: PlexClientSettings) -> Result<Self, reqwest::Error> {
        let builder = || {
            reqwest::Client::builder()
                .user_agent(concat!("Komandorr/", env!("CARGO_PKG_VERSION")))
                .connect_timeout(CONNECT_TIMEOUT)
                .pool_idle_timeout(IDLE_TIMEOUT)
                .redirect(redirect::Policy::none())
        };
        let verifying = outgoing::verifying(builder)?;
        let trusting = builder().tls_danger_accept_invalid_certs(true).build()?;
        Ok(Self {
            // Its certificates are always checked.
            plex_tv: Line::new(verifying.clone()),
            verifying,
            trusting,
            settings,
            slots: Mutex::default(),
            public_hosts: OnceLock::new(),
        })
    }

    /// The way to the hosts of avatars, which needs neither server nor token.
    pub(super) fn public_hosts(&self, make: impl FnOnce() -> PublicHosts) -> &PublicHosts {
        self.public_hosts.get_or_init(make)
    }

    /// The server that `target` means. Whoever calls the same address shares its slots.
    pub fn server(&self, target: &PlexTarget) -> PlexServer {
        let PlexTarget { base_url, token } = target;
        let verify = self
            .settings
            .tls_verify
            .unwrap_or_else(|| !outgoing::is_private(base_url));
        PlexServer {
            http: if verify {
                &self.verifying
            } else {
                &self.trusting
            }
            .clone(),
            base: base_url.clone(),
            token: token.clone(),
            timeout: self.settings.timeout,
            slots: self.slots_of(base_url),
        }
    }

    /// The way to plex.tv.
    pub(super) fn plex_tv(&self) -> &Line {
        &self.plex_tv
    }

    fn slots_of(&self, base: &Url) -> Arc<Slots> {
        let mut all = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        // Bounded by the calls that run: an address nobody calls at the moment is dropped.
        all.retain(|_, slots| slots.strong_count() > 0);
        if let Some(slots) = all.get(base.as_str()).and_then(Weak::upgrade) {
            return slots;
        }
        let slots = Arc::new(Slots {
            data: Semaphore::new(SLOTS),
            bulk: Semaphore::new(BULK_SLOTS),
            pictures: Semaphore::new(SLOTS),
        });
        all.insert(base.as_str().to_owned(), Arc::downgrade(&slots));
        slots
    }
}

impl PlexServer {
    /// One call: waits for a slot, sends the token in a header, reads a bounded JSON answer, all
    /// within one deadline.
    pub(super) async fn get<T>(&self, path: &str, query: &[(&str, &str)]) -> Result<T, PlexError>
    where
        T: DeserializeOwned + Default,
    {
        within(self.timeout, self.fetch(path, query)).await
    }

    /// As [`Self::get`], for a call of which there are many in a row.
    pub(super) async fn get_bulk<T>(
        &self,
        path: &str,
        query: &[(&str, &str)],
    ) -> Result<T, PlexError>
    where
        T: DeserializeOwned + Default,
    {
        self.get_bulk_within(self.timeout, path, query).await
    }

    /// As [`Self::get_bulk`], with a deadline of its own.
    pub(super) async fn get_bulk_within<T>(
        &self,
        limit: Duration,
        path: &str,
        query: &[(&str, &str)],
    ) -> Result<T, PlexError>
    where
        T: DeserializeOwned + Default,
    {
        let call = async {
            let _slot = self.slots.bulk.acquire().await;
            self.fetch(path, query).await
        };
        within(limit, call).await
    }

    async fn fetch<T>(&self, path: &str, query: &[(&str, &str)]) -> Result<T, PlexError>
    where
        T: DeserializeOwned + Default,
    {
        let _slot = self.slots.data.acquire().await;
        let response = successful(self.send(path, query).await?)?;
        let body = body_of(response, LARGEST_ANSWER).await?;
        let envelope: Envelope<T> =
            serde_json::from_slice(&body).map_err(|_not_json| PlexError::NotPlex)?;
        Ok(envelope.container.unwrap_or_default())
    }

    /// What the server answers, whatever it is: status and body. For people who look for a fault.
    pub(super) async fn raw(&self, path: &str) -> Result<(u16, Bytes), PlexError> {
        let call = async {
            let _slot = self.slots.data.acquire().await;
            let response = self.send(path, &[]).await?;
            let status = response.status().as_u16();
            Ok((status, body_of(response, LARGEST_ANSWER).await?))
        };
        within(self.timeout, call).await
    }

    async fn send(
        &self,
        path: &str,
        query: &[(&str, &str)],
    ) -> Result<reqwest::Response, PlexError> {
        let mut url = self.at(path);
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        self.http
            .get(url)
            .header("X-Plex-Token", self.token.expose())
            .header("Accept", "application/json")
            .send()
            .await
            .map_err(|error| PlexError::from_reqwest(&error))
    }

    /// A place among the calls for pictures; to be kept until the picture is read.
    ///
    /// # Errors
    /// Never: nothing closes the semaphore.
    pub(super) async fn picture_slot(&self) -> Result<SemaphorePermit<'_>, AcquireError> {
        self.slots.pictures.acquire().await
    }

    /// The answer to the call for a picture, whatever its status, its body unread. Neither waits
    /// for a slot nor has a deadline: the caller sees to both.
    pub(super) async fn picture(
        &self,
        path: &str,
        query: Option<&str>,
    ) -> Result<reqwest::Response, PlexError> {
        let mut url = self.at(path);
        url.set_query(query);
        let request = self.http.get(url).header(header::ACCEPT, "image/*");
        let request = request.header("X-Plex-Token", self.token.expose());
        let response = request.send().await;
        response.map_err(|error| PlexError::from_reqwest(&error))
    }

    /// The address of a path; a server behind a reverse proxy may live below a path of its own.
    fn at(&self, path: &str) -> Url {
        let mut url = self.base.clone();
        url.set_path(&format!("{}{path}", self.base.path().trim_end_matches('/')));
        url
    }
}

/// `call`, waits for slots included, unless it takes longer than `limit`.
async fn within<T>(
    limit: Duration,
    call: impl Future<Output = Result<T, PlexError>>,
) -> Result<T, PlexError> {
    timeout(limit, call)
        .await
        .unwrap_or(Err(PlexError::Timeout))
}

/// Any other status than 2xx is an error.
pub(super) fn successful(response: reqwest::Response) -> Result<reqwest::Response, PlexError> {
    match response.status().as_u16() {
        200..=299 => Ok(response),
        401 | 498 => Err(PlexError::Refused),
        status => Err(PlexError::Status {
            status,
            retry_after: retry_after(&response),
        }),
    }
}

/// The whole body, if it has no more than `limit` bytes.
pub(super) async fn body_of(
    mut response: reqwest::Response,
    limit: usize,
) -> Result<Bytes, PlexError> {
    let mut body = BytesMut::new();
    while let Some(chunk) = response
        .chunk()
        .await
        .map_err(|error| PlexError::from_reqwest(&error))?
    {
        if body.len() + chunk.len() > limit {
            return Err(PlexError::TooLarge { limit });
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.freeze())
}

/// `Retry-After` in seconds (RFC 9110, 10.2.3); its date form is not used by Plex.
fn retry_after(response: &reqwest::Response) -> Option<Duration> {
    let value = response.headers().get(header::RETRY_AFTER)?;
    value
        .to_str()
        .ok()?
        .trim()
        .parse()
        .ok()
        .map(Duration::from_secs)
}
