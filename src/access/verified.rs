//! Credentials that were right a moment ago, so that an agent which sends them every two seconds
//! does not pay for Argon2 each time.

use std::num::NonZeroUsize;
use std::sync::{Mutex, MutexGuard, PoisonError};

use lru::LruCache;
use tokio::sync::Notify;

use super::keyed_hash;
use crate::settings::AuthSettings;

/// More than there are programs that log in at one server.
const MOST: NonZeroUsize = NonZeroUsize::new(64).expect("more than 0");

/// A keyed hash of credentials and of what they were compared with: after a change of either it
/// is another one, so nothing outdated can be found.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Fingerprint([u8; 32]);

/// Fingerprints of credentials that were right. Neither these nor the key leave the process.
pub(super) struct Verified {
    key: [u8; 32],
    right: Mutex<LruCache<Fingerprint, ()>>,
    /// One more was right.
    more: Notify,
}

impl Default for Verified {
    fn default() -> Self {
        Self {
            key: rand::random(),
            right: Mutex::new(LruCache::new(MOST)),
            more: Notify::new(),
        }
    }
}

impl Verified {
    pub(super) fn fingerprint(&self, auth: &AuthSettings, credentials: &[u8]) -> Fingerprint {
        let username = auth.username.as_bytes();
        let password = auth.password.expose().as_bytes();
        Fingerprint(keyed_hash(&self.key, &[username, password, credentials]))
    }

    /// Whether these credentials were right before.
    pub(super) fn has(&self, fingerprint: &Fingerprint) -> bool {
        self.right().get(fingerprint).is_some()
    }

    pub(super) fn remember(&self, fingerprint: Fingerprint) {
        self.right().put(fingerprint, ());
        self.more.notify_waiters();
    }

    /// Returns when these credentials have proved right.
    pub(super) async fn proved(&self, fingerprint: &Fingerprint) {
        loop {
            let more = self.more.notified();
            if self.has(fingerprint) {
                return;
            }
            more.await;
        }
    }

    pub(super) fn forget_all(&self) {
        self.right().clear();
    }

    fn right(&self) -> MutexGuard<'_, LruCache<Fingerprint, ()>> {
        self.right.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Secret;

    #[test]
    fn what_was_right_is_forgotten_with_any_change() {
        let verified = Verified::default();
        let auth = |username: &str, password: &str| AuthSettings {
            enabled: true,
            username: username.to_owned(),
            password: Secret::new(password),
        };
        let before = auth("admin", "a");
        verified.remember(verified.fingerprint(&before, b"admin:a"));
        assert!(verified.has(&verified.fingerprint(&before, b"admin:a")));
        assert!(!verified.has(&verified.fingerprint(&before, b"admin:b")));
        for after in [auth("admin", "b"), auth("root", "a"), auth("admina", "")] {
            assert!(!verified.has(&verified.fingerprint(&after, b"admin:a")));
        }
    }

    #[test]
    fn only_so_many_are_remembered() {
        let verified = Verified::default();
        let auth = AuthSettings {
            enabled: true,
            username: String::new(),
            password: Secret::default(),
        };
        let numbered = |number: usize| verified.fingerprint(&auth, &number.to_le_bytes());
        for number in 0..=MOST.get() {
            verified.remember(numbered(number));
        }
        assert!(!verified.has(&numbered(0)));
        assert!(verified.has(&numbered(1)) && verified.has(&numbered(MOST.get())));
    }
}
