//! Who may use this server: passwords, log-ins that are remembered, and failed ones.
//!
//! Knows nothing of paths: which of them ask for credentials is decided in `web`.

mod attempts;
mod cookie;
mod credentials;
mod follow;
mod pace;
pub mod password;
mod sessions;
mod verdicts;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::http::HeaderValue;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use tokio::sync::{Semaphore, watch};
use tokio::task::spawn_blocking;

use crate::settings::{AuthSettings, Secret};
use attempts::{Attempts, TooMany};
pub use cookie::SessionCookie;
use credentials::Credentials;
pub use follow::start;
use pace::Pace;
pub use sessions::{Cookie, SESSION_TTL, Sessions, Token};
use verdicts::{Verdict, Verdicts};

/// Passwords that are hashed at a time: each takes 19 MiB and a core.
const HASHING: usize = 2;
/// Passwords that wait to be hashed; more are refused.
const WAITING_TO_BE_HASHED: usize = 32;

/// What is remembered of log-ins.
pub struct Access {
    verdicts: Verdicts,
    attempts: Attempts,
    pace: Pace,
    hashing: Arc<Semaphore>,
    to_be_hashed: Semaphore,
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
            verdicts: Verdicts::default(),
            attempts: Attempts::default(),
            pace: Pace::default(),
            hashing: Arc::new(Semaphore::new(HASHING)),
            to_be_hashed: Semaphore::new(WAITING_TO_BE_HASHED),
            sessions: Sessions::new(installation),
            cookie: SessionCookie::of(installation),
            ended: watch::Sender::new(0),
        }
    }

    /// Counts a request of `address` that needs no log-in and costs something.
    ///
    /// # Errors
    /// It has asked too often: how long to wait.
    pub fn pace(&self, address: IpAddr) -> Result<(), Duration> {
        self.pace.count(address)
    }

    /// Whether the credentials of `header` are those of `auth`. Wrong ones from `address` make its
    /// next tries wait; what is known of an address and its credentials is answered at once.
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
        let whole = credentials.whole();
        let fingerprint = self.verdicts.fingerprint(auth, whole, address);
        let look = match self.verdicts.ask(fingerprint).await {
            Verdict::Known(true) => return Ok(()),
            Verdict::Known(false) => return Err(Refusal::Wrong),
            Verdict::Look(look) => look,
        };
        let attempt = self.attempts.begin(address).await;
        let attempt = attempt.map_err(|TooMany| Refusal::TooMany)?;
        // Both are looked at in any case, so that the time tells nothing.
        let is_user = password::is_same(&auth.username, credentials.username());
        let given = credentials.password().to_vec();
        let is_password = self.is_password(&auth.password, given).await?;
        let right = bool::from(is_user) & is_password;
        look.found(right);
        if !right {
            return Err(Refusal::Wrong);
        }
        attempt.succeeded();
        Ok(())
    }

    /// Whether `given` is the password of `header`, which was admitted before. If not, that counts
    /// like a failed log-in.
    ///
    /// # Errors
    /// Why it is not accepted.
    pub async fn confirm(
        &self,
        header: &HeaderValue,
        given: &str,
        address: IpAddr,
    ) -> Result<(), Refusal> {
        let credentials = Credentials::of(header)?;
        if bool::from(password::is_same(given, credentials.password())) {
            return Ok(());
        }
        let attempt = self.attempts.begin(address).await;
        attempt.map_err(|TooMany| Refusal::TooMany)?;
        Err(Refusal::Wrong)
    }

    async fn is_password(&self, stored: &Secret, given: Vec<u8>) -> Result<bool, Refusal> {
        if !password::is_hash(stored.expose()) {
            return Ok(password::is_right(stored.expose(), &given));
        }
        let stored = stored.clone();
        self.hashed(move || password::is_right(stored.expose(), &given))
            .await
    }

    /// The hash of a new password.
    ///
    /// # Errors
    /// Too many others are being hashed; or, inside, there is no memory or no randomness for it.
    pub async fn hash(&self, new: Secret) -> Result<Result<String, String>, Refusal> {
        let hash = move || password::hash(new.expose()).map_err(|error| error.to_string());
        self.hashed(hash).await
    }

    /// Works where that may take its time, beside one other such work.
    async fn hashed<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Refusal> {
        let place = self.to_be_hashed.try_acquire();
        let _place = place.map_err(|_full| Refusal::TooMany)?;
        let turn = Arc::clone(&self.hashing).acquire_owned().await;
        // It goes on if nobody waits for it any longer, and so it keeps its turn.
        let done = spawn_blocking(move || {
            let done = work();
            drop(turn);
            done
        });
        done.await.map_err(|_ended| Refusal::TooMany)
    }

    /// Ends all log-ins: credentials are looked at anew, cookies are worth nothing, and whoever
    /// has asked for [`Self::ends`] is told.
    pub fn end_all(&self) {
        self.verdicts.forget_all();
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
    async fn a_page_with_an_old_password_is_one_guess() {
        let access = Access::new("installation");
        let auth = auth("right");
        let old = header("jürgen:old".as_bytes());
        let started = tokio::time::Instant::now();
        for _ in 0..20 {
            let page = (0..20).map(|_| access.admit(&auth, &old, HERE));
            let all = futures_util::future::join_all(page).await;
            assert!(all.iter().all(|one| *one == Err(Refusal::Wrong)));
        }
        assert!(started.elapsed().is_zero(), "{:?}", started.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn what_another_address_knows_is_not_known_here() {
        let access = Access::new("installation");
        let auth = auth("right");
        let right = header("jürgen:right".as_bytes());
        access.admit(&auth, &right, HERE).await.unwrap();
        let there: IpAddr = [192, 0, 2, 1].into();
        for number in 0..3 {
            let guess = header(format!("jürgen:{number}").as_bytes());
            assert!(access.admit(&auth, &guess, there).await.is_err());
        }
        // A right guess must not be told by its time.
        let started = tokio::time::Instant::now();
        access.admit(&auth, &right, there).await.unwrap();
        assert!(started.elapsed().as_secs() >= 1);
    }

    #[tokio::test]
    async fn two_passwords_are_hashed_at_a_time_whether_or_not_anybody_waits() {
        let access = Access::new("installation");
        let (release, held) = std::sync::mpsc::channel::<()>();
        let held = Arc::new(std::sync::Mutex::new(held));
        for _ in 0..HASHING {
            let held = Arc::clone(&held);
            let work = access.hashed(move || held.lock().unwrap().recv());
            let abandoned = tokio::time::timeout(Duration::from_millis(20), work);
            assert!(abandoned.await.is_err());
        }
        assert_eq!(access.hashing.available_permits(), 0);
        for _ in 0..HASHING {
            release.send(()).unwrap();
        }
        assert_eq!(access.hashed(|| 1).await, Ok(1));
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
        for number in 0..6 {
            let guess = header(format!("a:{number}").as_bytes());
            let wrong = access.admit(&auth, &guess, HERE).await;
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
