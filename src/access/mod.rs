//! Who may use this server: passwords, log-ins that are remembered, and failed ones.
//!
//! Knows nothing of paths: which of them ask for credentials is decided in `web`.

mod attempts;
mod cookie;
mod credentials;
mod follow;
pub mod password;
mod sessions;
mod verified;

use std::net::IpAddr;

use axum::http::HeaderValue;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use tokio::sync::{Semaphore, watch};

use crate::settings::{AuthSettings, Secret};
use attempts::{Attempts, TooMany};
pub use cookie::SessionCookie;
use credentials::Credentials;
pub use follow::start;
pub use sessions::{Cookie, SESSION_TTL, Sessions, Token};
use verified::Verified;

/// Passwords that are hashed at a time: each takes 19 MiB and a core.
const HASHING: usize = 2;

/// What is remembered of log-ins.
pub struct Access {
    verified: Verified,
    attempts: Attempts,
    hashing: Semaphore,
    /// Log-ins of browsers.
    pub sessions: Sessions,
    /// What a browser shows for one of them.
    pub cookie: SessionCookie,
    /// Rises when all of them end.
    ended: watch::Sender<u64>,
}

/// Why somebody is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// No credentials, or those of another scheme.
    Missing,
    /// Wrong ones.
    Wrong,
    /// They can't be read.
    Undecodable,
    /// Too many others wait to be let in.
    TooMany,
}

impl std::fmt::Debug for Access {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Access")
    }
}

impl Access {
    /// Nobody is logged in. `installation` is the secret of this data directory.
    pub fn new(installation: &str) -> Self {
        Self {
            verified: Verified::default(),
            attempts: Attempts::default(),
            hashing: Semaphore::new(HASHING),
            sessions: Sessions::new(installation),
            cookie: SessionCookie::of(installation),
            ended: watch::Sender::new(0),
        }
    }

    /// Whether the credentials of `header` are those of `auth`. Wrong ones from `address` make its
    /// next tries wait; right ones that are remembered never do.
    ///
    /// # Errors
    /// Why they are not accepted.
    pub async fn admit(
        &self,
        auth: &AuthSettings,
        header: &HeaderValue,
        address: IpAddr,
    ) -> Result<(), Refusal> {
        let credentials = Credentials::of(header)?;
        let fingerprint = self.verified.fingerprint(auth, credentials.whole());
        if self.verified.has(&fingerprint) {
            return Ok(());
        }
        // A page asks for twenty things at once. When the first has shown that its credentials are
        // right, the others need not wait.
        let attempt = tokio::select! {
            biased;
            attempt = self.attempts.begin(address) => attempt,
            () = self.verified.proved(&fingerprint) => return Ok(()),
        };
        let attempt = attempt.map_err(|TooMany| Refusal::TooMany)?;
        // Both are looked at in any case, so that the time tells nothing.
        let is_user = password::is_same(&auth.username, credentials.username());
        let is_password = self
            .is_password(&auth.password, credentials.password().to_vec())
            .await;
        if !(bool::from(is_user) & is_password) {
            return Err(Refusal::Wrong);
        }
        attempt.succeeded();
        self.verified.remember(fingerprint);
        Ok(())
    }

    /// Whether `given` is the stored password, for somebody who is logged in already. A wrong one
    /// counts like a failed log-in.
    ///
    /// # Errors
    /// Why it is not accepted.
    pub async fn confirm(
        &self,
        stored: &Secret,
        given: &str,
        address: IpAddr,
    ) -> Result<(), Refusal> {
        let attempt = self.attempts.begin(address).await;
        let attempt = attempt.map_err(|TooMany| Refusal::TooMany)?;
        if !self.is_password(stored, given.as_bytes().to_vec()).await {
            return Err(Refusal::Wrong);
        }
        attempt.succeeded();
        Ok(())
    }

    async fn is_password(&self, stored: &Secret, given: Vec<u8>) -> bool {
        if !password::is_hash(stored.expose()) {
            return password::is_right(stored.expose(), &given);
        }
        let stored = stored.clone();
        self.hashed(move || password::is_right(stored.expose(), &given))
            .await
            .unwrap_or(false)
    }

    /// The hash of a new password.
    ///
    /// # Errors
    /// There is no memory or no randomness for it.
    pub async fn hash(&self, new: Secret) -> Result<String, String> {
        let hashed = self.hashed(move || password::hash(new.expose())).await;
        hashed
            .ok_or_else(|| "hashing was interrupted".to_owned())?
            .map_err(|error| error.to_string())
    }

    /// Works where that may take its time, beside one other such work. Nothing, if it panics.
    async fn hashed<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        // Nothing closes the semaphore.
        let _turn = self.hashing.acquire().await.ok()?;
        tokio::task::spawn_blocking(work).await.ok()
    }

    /// Ends all log-ins: credentials are looked at anew, cookies are worth nothing, and whoever
    /// has asked for [`Self::ends`] is told.
    pub fn end_all(&self) {
        self.verified.forget_all();
        self.sessions.end_all();
        self.ended.send_modify(|times| *times += 1);
    }

    /// To be told when all log-ins end.
    pub fn ends(&self) -> watch::Receiver<u64> {
        self.ended.subscribe()
    }
}

/// HMAC-SHA256 of several texts: no two lists of them have the same bytes.
fn keyed_hash(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else {
        // A key of any length fits. If not, nothing may.
        return rand::random();
    };
    for part in parts {
        mac.update(&part.len().to_le_bytes());
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::prelude::BASE64_STANDARD;

    use super::*;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    fn auth(password: &str) -> AuthSettings {
        AuthSettings {
            enabled: true,
            username: "jürgen".to_owned(),
            password: Secret::new(password),
        }
    }

    fn header(credentials: &[u8]) -> HeaderValue {
        HeaderValue::try_from(format!("Basic {}", BASE64_STANDARD.encode(credentials))).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn credentials_are_taken_as_utf8_and_as_latin1_and_must_both_be_right() {
        let access = Access::new("installation");
        let hashed = auth(&password::hash("a:b").unwrap());
        for auth in [auth("a:b"), hashed] {
            let verdict = async |given: &[u8]| access.admit(&auth, &header(given), HERE).await;
            assert_eq!(verdict("jürgen:a:b".as_bytes()).await, Ok(()));
            assert_eq!(verdict(b"j\xfcrgen:a:b").await, Ok(()));
            assert_eq!(verdict("jürgen:a".as_bytes()).await, Err(Refusal::Wrong));
            assert_eq!(verdict(b"admin:a:b").await, Err(Refusal::Wrong));
            assert_eq!(verdict(b":").await, Err(Refusal::Wrong));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_page_that_asks_for_much_at_once_does_not_wait_for_itself() {
        let access = Access::new("installation");
        let auth = auth(&password::hash("right").unwrap());
        let right = header("jürgen:right".as_bytes());
        let started = tokio::time::Instant::now();
        let page = (0..20).map(|_| access.admit(&auth, &right, HERE));
        let all = futures_util::future::join_all(page).await;
        assert!(all.iter().all(Result::is_ok));
        assert!(
            started.elapsed().as_millis() < 250,
            "{:?}",
            started.elapsed()
        );
    }

    #[tokio::test(start_paused = true)]
    async fn remembered_credentials_are_not_slowed_by_the_failures_of_others() {
        let access = Access::new("installation");
        let auth = auth("right");
        let right = header("jürgen:right".as_bytes());
        access.admit(&auth, &right, HERE).await.unwrap();
        for _ in 0..6 {
            let wrong = access.admit(&auth, &header(b"a:b"), HERE).await;
            assert_eq!(wrong, Err(Refusal::Wrong));
        }
        let started = tokio::time::Instant::now();
        access.admit(&auth, &right, HERE).await.unwrap();
        assert!(started.elapsed().is_zero());
        access.end_all();
        access.admit(&auth, &right, HERE).await.unwrap();
        assert!(started.elapsed().as_secs() >= 4, "looked at anew");
    }
}
