//! Log-ins of browsers, by a cookie: for what can't send credentials in the frontend (a WebSocket,
//! pictures, some of its calls).
//!
//! A session is known by the hash of its token. With Redis it outlives a restart: there stands a
//! seal that only this installation can make, and only for the log-in that is in force.

use std::num::NonZeroUsize;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use lru::LruCache;
use sha2::{Digest as _, Sha256};
use tokio::time::Instant;

use super::keyed_hash;
use crate::cache::shared::Shared;
use crate::settings::{AuthSettings, Settings};

/// A session ends when it was not used for so long.
pub const SESSION_TTL: Duration = Duration::from_secs(24 * 3600);
/// How often browser and Redis are told that it lasts longer now.
const RENEW_EVERY: Duration = Duration::from_secs(3600);
/// More than one household has tabs; the one that was not used longest goes.
const MOST: NonZeroUsize = NonZeroUsize::new(1000).expect("more than 0");
/// Of random bytes in a token.
const TOKEN_BYTES: usize = 32;

/// The sessions.
pub struct Sessions {
    installation: String,
    /// Another one after [`Self::end_all`], so that no older seal fits.
    generation: Mutex<String>,
    by_hash: Mutex<LruCache<Hash, Session>>,
}

/// What a session is known by.
type Hash = [u8; 32];

struct Session {
    expires: Instant,
    renewed: Instant,
    /// The log-in that it was begun with ([`Settings::auth_revision`]).
    revision: u64,
}

/// The value of a cookie.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// For the cookie, and for nothing else.
    pub fn expose(&self) -> &str {
        &self.0
    }

    fn hash(token: &str) -> Hash {
        Sha256::digest(token).into()
    }
}

/// What to do about the cookie of a session that is valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cookie {
    /// The browser has it, and for long enough.
    Keep,
    /// It is to be sent again, to last longer.
    Renew,
}

impl Sessions {
    pub(super) fn new(installation: &str) -> Self {
        Self {
            installation: installation.to_owned(),
            generation: Mutex::new(fresh()),
            by_hash: Mutex::new(LruCache::new(MOST)),
        }
    }

    /// What the seals of all sessions depend on; to be kept over a restart.
    pub fn generation(&self) -> String {
        self.generation_now().clone()
    }

    /// Goes on with the seals of the last run.
    pub fn resume(&self, generation: String) {
        *self.generation_now() = generation;
    }

    /// Begins a session: its token.
    pub fn begin(&self, settings: &Settings, shared: &Shared) -> Token {
        let token = Token(fresh());
        let hash = Token::hash(&token.0);
        self.insert(settings, hash);
        self.share(settings, shared, hash);
        token
    }

    /// Whether a session of this token is known here; uses it, if so.
    pub fn touch(&self, settings: &Settings, shared: &Shared, token: &str) -> Option<Cookie> {
        let (hash, now) = (Token::hash(token), Instant::now());
        let mut sessions = self.sessions();
        let session = sessions.get_mut(&hash)?;
        if session.expires <= now || session.revision != settings.auth_revision {
            return None;
        }
        session.expires = now + SESSION_TTL;
        let renew = now.duration_since(session.renewed) >= RENEW_EVERY;
        if renew {
            session.renewed = now;
        }
        drop(sessions);
        if !renew {
            return Some(Cookie::Keep);
        }
        self.share(settings, shared, hash);
        Some(Cookie::Renew)
    }

    /// As [`Self::touch`]; a session that is not known here may be known to Redis.
    pub async fn find(&self, settings: &Settings, shared: &Shared, token: &str) -> Option<Cookie> {
        let known = self.touch(settings, shared, token);
        if known.is_some() || !shared.is_wanted() || token.len() != fresh().len() {
            return known;
        }
        let hash = Token::hash(token);
        let seal = shared.get(&key(&hash)).await?;
        if seal != self.seal(&settings.auth, &hash) {
            return None;
        }
        self.insert(settings, hash);
        Some(Cookie::Renew)
    }

    /// Ends the session of this token, here and in Redis.
    pub fn end(&self, shared: &Shared, token: &str) {
        let hash = Token::hash(token);
        self.sessions().pop(&hash);
        if shared.is_wanted() {
            let shared = shared.clone();
            tokio::spawn(async move { shared.take(&key(&hash)).await });
        }
    }

    pub(super) fn end_all(&self) {
        *self.generation_now() = fresh();
        self.sessions().clear();
    }

    fn insert(&self, settings: &Settings, hash: Hash) {
        let now = Instant::now();
        let session = Session {
            expires: now + SESSION_TTL,
            renewed: now,
            revision: settings.auth_revision,
        };
        self.sessions().put(hash, session);
    }

    /// Tells Redis, where that is in use; nobody waits for it.
    fn share(&self, settings: &Settings, shared: &Shared, hash: Hash) {
        if !shared.is_wanted() {
            return;
        }
        let (shared, seal) = (shared.clone(), self.seal(&settings.auth, &hash));
        tokio::spawn(async move { shared.put(&key(&hash), &seal, SESSION_TTL).await });
    }

    /// What Redis has of a session: of no use to who reads it, and nobody else can make it.
    fn seal(&self, auth: &AuthSettings, hash: &Hash) -> String {
        let generation = self.generation();
        let parts = [
            generation.as_bytes(),
            auth.username.as_bytes(),
            auth.password.expose().as_bytes(),
            hash,
        ];
        BASE64_URL_SAFE_NO_PAD.encode(keyed_hash(self.installation.as_bytes(), &parts))
    }

    fn generation_now(&self) -> MutexGuard<'_, String> {
        self.generation
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn sessions(&self) -> MutexGuard<'_, LruCache<Hash, Session>> {
        self.by_hash.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn fresh() -> String {
    BASE64_URL_SAFE_NO_PAD.encode(rand::random::<[u8; TOKEN_BYTES]>())
}

fn key(hash: &Hash) -> String {
    format!("session-{}", BASE64_URL_SAFE_NO_PAD.encode(hash))
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;
    use crate::cache::shared::alone;
    use crate::settings::{Environment, Overrides, SettingsStore};

    fn settings(password: &str) -> Settings {
        let directory = tempfile::tempdir().unwrap();
        let overrides = Overrides {
            data_dir: Some(directory.path().to_owned()),
            ..Overrides::default()
        };
        let env = Environment::from_pairs([("AUTH_PASSWORD", password)]);
        let store = SettingsStore::open(env, overrides).unwrap();
        store.current().as_ref().clone()
    }

    #[tokio::test(start_paused = true)]
    async fn a_session_lasts_a_day_after_its_last_use() {
        let (sessions, now, shared) = (Sessions::new("i"), settings("a"), alone(false));
        let token = sessions.begin(&now, &shared);
        assert_eq!(token.expose().len(), 43, "256 bits");
        let touch = || sessions.touch(&now, &shared, token.expose());
        assert_eq!(touch(), Some(Cookie::Keep));
        advance(RENEW_EVERY).await;
        assert_eq!(touch(), Some(Cookie::Renew));
        assert_eq!(touch(), Some(Cookie::Keep));
        advance(SESSION_TTL.checked_sub(Duration::from_secs(1)).unwrap()).await;
        assert_eq!(touch(), Some(Cookie::Renew));
        advance(SESSION_TTL).await;
        assert_eq!(touch(), None);
        assert_eq!(sessions.touch(&now, &shared, "guessed"), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_change_of_the_log_in_ends_it_whoever_notices_that() {
        let (sessions, now, shared) = (Sessions::new("i"), settings("a"), alone(false));
        let token = sessions.begin(&now, &shared);
        let changed = Settings {
            auth_revision: now.auth_revision + 1,
            ..now
        };
        assert_eq!(sessions.touch(&changed, &shared, token.expose()), None);
    }

    #[tokio::test(start_paused = true)]
    async fn ended_sessions_are_over_and_the_least_used_make_room() {
        let (sessions, now) = (Sessions::new("i"), settings("a"));
        let shared = alone(false);
        let first = sessions.begin(&now, &shared);
        let second = sessions.begin(&now, &shared);
        let is_valid = |token: &Token| sessions.touch(&now, &shared, token.expose()).is_some();
        for _ in 2..MOST.get() {
            sessions.begin(&now, &shared);
        }
        assert!(is_valid(&first));
        sessions.begin(&now, &shared);
        assert!(is_valid(&first) && !is_valid(&second));
        sessions.end(&shared, first.expose());
        assert!(!is_valid(&first));
        let third = sessions.begin(&now, &shared);
        sessions.end_all();
        assert!(!is_valid(&third));
    }

    #[tokio::test(start_paused = true)]
    async fn a_sealed_session_survives_a_restart_but_no_change_of_the_log_in() {
        let (before, now, shared) = (Sessions::new("i"), settings("a"), alone(true));
        let token = before.begin(&now, &shared);
        tokio::task::yield_now().await;
        let after = |installation: &str, generation: Option<String>| {
            let sessions = Sessions::new(installation);
            if let Some(generation) = generation {
                sessions.resume(generation);
            }
            sessions
        };
        let generation = before.generation();
        let valid = async |sessions: Sessions, settings: &Settings| {
            let found = sessions.find(settings, &shared, token.expose());
            found.await.is_some()
        };
        assert!(valid(after("i", Some(generation.clone())), &now).await);
        assert!(!valid(after("i", None), &now).await);
        assert!(!valid(after("j", Some(generation.clone())), &now).await);
        let changed = settings("b");
        assert!(!valid(after("i", Some(generation.clone())), &changed).await);
        before.end(&shared, token.expose());
        tokio::task::yield_now().await;
        assert!(!valid(after("i", Some(generation)), &now).await);
    }
}
