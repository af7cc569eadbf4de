//! One picture from where it is: within a deadline, a size and the hosts that may be asked.
//!
//! It is read to its end before it is sent: tag, type and cache need all of it, and a picture
//! that breaks off is answered as an error. [`Memory`] bounds what that takes.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use axum::http::HeaderValue;
use bytes::Bytes;
use reqwest::{Response, StatusCode, header, redirect};
use sha2::{Digest as _, Sha256};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};
use url::Url;

use super::super::error::PlexError;
use super::super::server::CONNECT_TIMEOUT;
use super::address::PublicAddresses;
use super::kind;
use super::memory::Memory;
use super::target::{Rules, is_real_plex_tv};
use crate::app::AppState;
use crate::outgoing;
use crate::settings::Settings;

/// The largest picture that is passed on.
const LARGEST: usize = 20 * 1024 * 1024;
/// For one picture in all; a shorter `PLEX_TIMEOUT` counts.
const LONGEST: Duration = Duration::from_secs(10);
/// Calls to public hosts at a time.
const PUBLIC_SLOTS: usize = 4;
const MOST_REDIRECTS: usize = 5;
/// For a connection to a public host without a request. Short, for a client that names one host of
/// a domain after the other makes one each.
const PUBLIC_IDLE: Duration = Duration::from_secs(5);

/// A picture, ready to be sent.
#[derive(Debug)]
pub(super) struct Picture {
    pub(super) bytes: Bytes,
    /// Its media type, by its bytes.
    pub(super) kind: &'static str,
    /// Strong: a hash of the bytes.
    pub(super) etag: HeaderValue,
}

/// Where a picture is to be had.
#[derive(Clone, Debug)]
pub(super) enum Place {
    /// A path and query of the configured Plex server.
    Plex(String),
    /// A public host.
    Public(Url),
}

/// Why there is no picture. The text is sent to anybody: it names no address and no token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum PictureError {
    /// 404 of the server that should have it.
    #[error("The picture does not exist")]
    Missing,
    /// Too many pictures are asked for or held by slow clients.
    #[error("Too many pictures at a time; try again")]
    Busy,
    /// Not all of it came within the deadline.
    #[error("The picture did not come in time")]
    Timeout,
    /// HTML, SVG or anything else that is none.
    #[error("What came is not a picture")]
    NotAPicture,
    /// More than is passed on.
    #[error("The picture is larger than 20 MiB")]
    TooLarge,
    /// Any other status, a redirect to where nobody may be asked, no connection.
    #[error("The picture can't be fetched")]
    Failed,
}

/// The way to hosts other than the Plex server: without token, cookies or proxy, to public
/// addresses only.
#[derive(Debug)]
pub(in crate::plex) struct PublicHosts {
    /// `None` when TLS can't be set up.
    http: Option<reqwest::Client>,
    slots: Semaphore,
}

impl PublicHosts {
    /// `plex_tv` is where plex.tv is, as the operator chose it.
    pub(super) fn new(plex_tv: &Url) -> Self {
        let chosen = || {
            let host = plex_tv.host_str().filter(|_| !is_real_plex_tv(plex_tv));
            host.map(str::to_owned)
        };
        let http = outgoing::verifying(|| {
            reqwest::Client::builder()
                .user_agent(concat!("Komandorr/", env!("CARGO_PKG_VERSION")))
                .connect_timeout(CONNECT_TIMEOUT)
                .pool_idle_timeout(PUBLIC_IDLE)
                .pool_max_idle_per_host(PUBLIC_SLOTS)
                .no_proxy()
                .redirect(redirect::Policy::none())
                .dns_resolver(Arc::new(PublicAddresses { chosen: chosen() }))
        });
        Self {
            http: http.ok(),
            slots: Semaphore::new(PUBLIC_SLOTS),
        }
    }
}

/// Fetches the picture. Waiting for a slot counts into the deadline.
pub(super) async fn fetch(
    app: AppState,
    settings: Arc<Settings>,
    place: Place,
) -> Result<Picture, PictureError> {
    let deadline = Instant::now() + settings.plex_client.timeout.min(LONGEST);
    let memory = Memory::of_process(settings.images.cache_bytes);
    match place {
        Place::Plex(path) => {
            let target = settings.plex.as_ref().ok_or(PictureError::Failed)?;
            let server = app.plex.server(target);
            let slot = timeout_at(deadline, server.picture_slot()).await;
            let _slot = slot.map_err(|_elapsed| PictureError::Busy)?;
            let read = async {
                let (path, query) = match path.split_once('?') {
                    Some((path, query)) => (path, Some(query)),
                    None => (path.as_str(), None),
                };
                let response = server
                    .picture(path, query)
                    .await
                    .map_err(|error| failed(&error))?;
                read(response, &memory).await
            };
            in_time(deadline, read).await
        }
        Place::Public(url) => {
            let plex_tv = &settings.plex_tv_url;
            let hosts = app.plex.public_hosts(|| PublicHosts::new(plex_tv));
            let slot = timeout_at(deadline, hosts.slots.acquire()).await;
            let _slot = slot.map_err(|_elapsed| PictureError::Busy)?;
            let read = async {
                let response = follow(hosts, super::rules(&settings), url).await?;
                read(response, &memory).await
            };
            in_time(deadline, read).await
        }
    }
}

async fn in_time(
    deadline: Instant,
    read: impl Future<Output = Result<Picture, PictureError>>,
) -> Result<Picture, PictureError> {
    let read = timeout_at(deadline, read).await;
    read.map_err(|_elapsed| PictureError::Timeout)?
}

/// The answer at the end of the redirects, each of which must lead to where a client might have
/// pointed us itself.
async fn follow(
    hosts: &PublicHosts,
    rules: Rules<'_>,
    mut url: Url,
) -> Result<Response, PictureError> {
    let http = hosts.http.as_ref().ok_or(PictureError::Failed)?;
    for _ in 0..=MOST_REDIRECTS {
        let request = http.get(url.clone()).header(header::ACCEPT, "image/*");
        let response = request.send().await;
        let response = response.map_err(|error| failed(&PlexError::from_reqwest(&error)))?;
        if !matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
            return Ok(response);
        }
        let location = response.headers().get(header::LOCATION);
        let next = location
            .and_then(|location| location.to_str().ok())
            .and_then(|location| rules.next_hop(&url, location));
        url = next.ok_or_else(|| {
            tracing::debug!("A picture's redirect was not followed");
            PictureError::Failed
        })?;
    }
    Err(PictureError::Failed)
}

fn failed(error: &PlexError) -> PictureError {
    tracing::debug!("A picture was not fetched: {error}");
    match error {
        PlexError::Timeout => PictureError::Timeout,
        _ => PictureError::Failed,
    }
}

/// Reads a picture to its end, or breaks off as soon as it proves to be none or too large.
async fn read(mut response: Response, memory: &Memory) -> Result<Picture, PictureError> {
    match response.status() {
        StatusCode::OK => {}
        StatusCode::NOT_FOUND => return Err(PictureError::Missing),
        status => {
            tracing::debug!("A picture was answered with {}", status.as_u16());
            return Err(PictureError::Failed);
        }
    }
    kind::check_declared(response.headers())?;
    let promised = response.content_length();
    if promised.is_some_and(|length| length > LARGEST as u64) {
        return Err(PictureError::TooLarge);
    }
    let mut reserved = memory.reserve();
    let (mut bytes, mut hash) = (Vec::new(), Sha256::new());
    if let Some(length) = promised.and_then(|length| usize::try_from(length).ok()) {
        reserved.grow_to(length)?;
        bytes.reserve_exact(length);
    }
    loop {
        let chunk = response.chunk().await;
        let chunk = chunk.map_err(|error| failed(&PlexError::from_reqwest(&error)))?;
        let Some(chunk) = chunk else { break };
        let length = bytes.len() + chunk.len();
        if length > LARGEST {
            return Err(PictureError::TooLarge);
        }
        reserved.grow_to(length)?;
        bytes.extend_from_slice(&chunk);
        // As it comes: all at once would hold up others.
        hash.update(&chunk);
        if length >= kind::TELLING && kind::sniff(&bytes).is_none() {
            return Err(PictureError::NotAPicture);
        }
    }
    let kind = kind::sniff(&bytes).ok_or(PictureError::NotAPicture)?;
    bytes.shrink_to_fit();
    Ok(Picture {
        etag: etag(&hash.finalize())?,
        kind,
        bytes: reserved.filled_with(bytes),
    })
}

fn etag(digest: &[u8]) -> Result<HeaderValue, PictureError> {
    let mut tag = String::from("\"");
    for byte in digest.iter().take(16) {
        let _ = write!(tag, "{byte:02x}");
    }
    tag.push('"');
    HeaderValue::try_from(tag).map_err(|_no_header| PictureError::Failed)
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn a_public_host_that_leads_inside_is_not_dialled() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let inside = format!(
            "http://localhost:{}/",
            listener.local_addr().unwrap().port()
        );
        // The first connection there is closed at once.
        let dialled = tokio::spawn(async move { listener.accept().await.map(drop) });
        let ask = async |plex_tv: &str| {
            let hosts = PublicHosts::new(&Url::parse(plex_tv).unwrap());
            let asked = hosts.http.unwrap().get(&inside).send().await;
            asked.unwrap_err().is_connect()
        };
        assert!(ask("https://plex.tv").await);
        assert!(!dialled.is_finished());
        assert!(
            !ask("http://localhost:1").await,
            "the operator's own choice"
        );
        dialled.await.unwrap().unwrap();
    }
}
