//! Credentials that were looked at a moment ago, so that an agent which sends them every two
//! seconds does not pay for Argon2 each time, and a page with an old password does not count as
//! twenty guesses.

use std::collections::HashSet;
use std::net::IpAddr;
use std::num::NonZeroUsize;
use std::sync::{Mutex, MutexGuard, PoisonError};

use lru::LruCache;
use tokio::sync::Notify;

use super::keyed_hash;
use crate::settings::AuthSettings;

/// Of either verdict; the one that was not asked for longest goes.
const MOST: NonZeroUsize = NonZeroUsize::new(1024).expect("more than 0");

/// A keyed hash of credentials, of who sent them, and of what they were compared with: after a
/// change it is another one, so nothing outdated can be found. Who sent them, or the time of the
/// answer would tell somebody else that a guess is right.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Fingerprint([u8; 32]);

/// What is known of credentials.
pub(super) struct Verdicts {
    /// Neither this nor a fingerprint leaves the process.
    key: [u8; 32],
    known: Mutex<Known>,
    /// A look has ended.
    ended: Notify,
}

struct Known {
    right: LruCache<Fingerprint, ()>,
    wrong: LruCache<Fingerprint, ()>,
    /// Being looked at.
    running: HashSet<Fingerprint>,
}

/// The one look at credentials that runs; the others wait for it.
pub(super) struct Look<'a> {
    all: &'a Verdicts,
    fingerprint: Fingerprint,
}

/// How one comes by a verdict.
pub(super) enum Verdict<'a> {
    /// They were right or wrong before.
    Known(bool),
    /// By looking.
    Look(Look<'a>),
}

impl Default for Verdicts {
    fn default() -> Self {
        Self {
            key: rand::random(),
            known: Mutex::new(Known {
                right: LruCache::new(MOST),
                wrong: LruCache::new(MOST),
                running: HashSet::new(),
            }),
            ended: Notify::new(),
        }
    }
}

impl Verdicts {
    pub(super) fn fingerprint(
        &self,
        auth: &AuthSettings,
        credentials: &[u8],
        from: IpAddr,
    ) -> Fingerprint {
        let username = auth.username.as_bytes();
        let password = auth.password.expose().as_bytes();
        let from = from.to_string();
        let parts = [username, password, credentials, from.as_bytes()];
        Fingerprint(keyed_hash(&self.key, &parts))
    }

    /// What is known, or the task of finding out. If somebody else has that task, waits for him.
    pub(super) async fn ask(&self, fingerprint: Fingerprint) -> Verdict<'_> {
        loop {
            let ended = self.ended.notified();
            {
                let mut known = self.known();
                if known.right.get(&fingerprint).is_some() {
                    return Verdict::Known(true);
                }
                if known.wrong.get(&fingerprint).is_some() {
                    return Verdict::Known(false);
                }
                if known.running.insert(fingerprint) {
                    let all = self;
                    return Verdict::Look(Look { all, fingerprint });
                }
            }
            ended.await;
        }
    }

    pub(super) fn forget_all(&self) {
        let mut known = self.known();
        known.right.clear();
        known.wrong.clear();
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Look<'_> {
    /// Remembers what was found, for those who wait and those who come.
    pub(super) fn found(self, right: bool) {
        let mut known = self.all.known();
        let verdicts = if right {
            &mut known.right
        } else {
            &mut known.wrong
        };
        verdicts.put(self.fingerprint, ());
    }
}

/// However it ended, nobody waits for it any longer; without a verdict the next one looks.
impl Drop for Look<'_> {
    fn drop(&mut self) {
        self.all.known().running.remove(&self.fingerprint);
        self.all.ended.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;
    use crate::settings::Secret;

    const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
    const THERE: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));

    fn auth(username: &str, password: &str) -> AuthSettings {
        AuthSettings {
            enabled: true,
            username: username.to_owned(),
            password: Secret::new(password),
        }
    }

    async fn known(verdicts: &Verdicts, fingerprint: Fingerprint) -> Option<bool> {
        match verdicts.ask(fingerprint).await {
            Verdict::Known(right) => Some(right),
            Verdict::Look(_) => None,
        }
    }

    async fn learn(verdicts: &Verdicts, fingerprint: Fingerprint, right: bool) {
        match verdicts.ask(fingerprint).await {
            Verdict::Look(look) => look.found(right),
            Verdict::Known(_) => panic!("known already"),
        }
    }

    #[tokio::test]
    async fn a_verdict_holds_for_one_address_and_until_any_change() {
        let verdicts = Verdicts::default();
        let before = auth("admin", "a");
        let of = |auth: &AuthSettings, given: &[u8], from| verdicts.fingerprint(auth, given, from);
        learn(&verdicts, of(&before, b"admin:a", HERE), true).await;
        learn(&verdicts, of(&before, b"admin:b", HERE), false).await;
        assert_eq!(
            known(&verdicts, of(&before, b"admin:a", HERE)).await,
            Some(true)
        );
        assert_eq!(
            known(&verdicts, of(&before, b"admin:b", HERE)).await,
            Some(false)
        );
        assert_eq!(known(&verdicts, of(&before, b"admin:a", THERE)).await, None);
        for after in [auth("admin", "b"), auth("root", "a"), auth("admina", "")] {
            for given in [b"admin:a", b"admin:b"] {
                assert_eq!(known(&verdicts, of(&after, given, HERE)).await, None);
            }
        }
        verdicts.forget_all();
        assert_eq!(known(&verdicts, of(&before, b"admin:a", HERE)).await, None);
    }

    #[tokio::test]
    async fn guesses_do_not_push_out_who_is_known() {
        let verdicts = Verdicts::default();
        let auth = auth("", "");
        let numbered = |number: usize| verdicts.fingerprint(&auth, &number.to_le_bytes(), HERE);
        learn(&verdicts, numbered(0), true).await;
        for number in 1..=MOST.get() + 1 {
            learn(&verdicts, numbered(number), false).await;
        }
        assert_eq!(known(&verdicts, numbered(0)).await, Some(true));
        assert_eq!(known(&verdicts, numbered(1)).await, None, "made room");
        assert_eq!(known(&verdicts, numbered(2)).await, Some(false));
    }

    #[tokio::test]
    async fn one_looks_and_the_others_wait_for_him_or_take_over() {
        let verdicts = Verdicts::default();
        let fingerprint = verdicts.fingerprint(&auth("", ""), b"", HERE);
        let first = verdicts.ask(fingerprint).await;
        let second = verdicts.ask(fingerprint);
        let gives_up = async {
            tokio::task::yield_now().await;
            drop(first);
        };
        let (second, ()) = tokio::join!(second, gives_up);
        let third = verdicts.ask(fingerprint);
        let finds_out = async {
            tokio::task::yield_now().await;
            match second {
                Verdict::Look(look) => look.found(true),
                Verdict::Known(_) => panic!("nobody has looked yet"),
            }
        };
        let (third, ()) = tokio::join!(third, finds_out);
        assert!(matches!(third, Verdict::Known(true)));
    }
}
