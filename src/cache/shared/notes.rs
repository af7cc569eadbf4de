//! Small texts that all instances share for a while: log-ins, and what an authorization by another
//! site has to bring back.
//!
//! They stand in Redis. Without it, and while it fails, each instance has its own in memory.

use std::collections::HashMap;
use std::fmt;
use std::sync::PoisonError;
use std::time::Duration;

use redis::{Cmd, Value, cmd};
use sha2::{Digest as _, Sha256};
use tokio::time::Instant;

use super::Shared;
use super::generation::NOTES;
use super::lease::script;
use super::record::{hex, whole_ms};
use super::trouble::Trouble;

/// In memory there are as many at most.
const MOST: usize = 1000;
/// What is put for longer ends then all the same.
const LONGEST: Duration = Duration::from_hours(366 * 24);
/// A longer key is hashed.
const LONGEST_KEY: usize = 128;

/// What is no text is as good as nothing.
/// KEYS note.
const GET: &str = r"
local text = redis.pcall('GET', KEYS[1])
return type(text) == 'string' and text
";
/// As GET, and removes it in the same step; servers before 6.2 have no command for that.
/// KEYS note.
const TAKE: &str = r"
local text = redis.pcall('GET', KEYS[1])
redis.call('DEL', KEYS[1])
return type(text) == 'string' and text
";

impl Shared {
    /// Keeps `text` for `ttl`, at most for a year, for all instances to read. Text and key are of
    /// our making. Who can read in Redis can read both: a key that is a secret itself is for the
    /// caller to hash.
    ///
    /// A copy stays here: if Redis fails later, this instance still has it. What is put while Redis
    /// fails only this instance knows, also when Redis is back. Of such copies there are
    /// a thousand; one more costs the oldest.
    pub async fn put(&self, key: &str, text: &str, ttl: Duration) {
        let (name, ttl) = (name(key), ttl.min(LONGEST));
        let mut set = cmd("SET");
        set.arg(in_redis(&name)).arg(text);
        // Redis refuses a time of zero.
        set.arg("PX").arg(whole_ms(ttl).max(1));
        let shared = self.ask_note::<Value>(&set).await.is_ok();
        let note = Note {
            text: Some(text.to_owned()),
            shared,
            expires: Instant::now() + ttl,
            number: 0,
        };
        self.notes(|notes| notes.put(name, note));
    }

    /// The text of this key, until it expires or is taken.
    ///
    /// If it was put here, it is found here while Redis fails, even if another instance has taken it.
    pub async fn get(&self, key: &str) -> Option<String> {
        let name = name(key);
        let own = self.notes(|notes| notes.get(&name).cloned());
        if own.as_ref().is_some_and(Note::is_taken) {
            return None;
        }
        let get = script(GET, &[&in_redis(&name)], |command| command);
        either(self.ask_note(&get).await, own)
    }

    /// [`Self::get`] for the last time: one caller gets it, of all callers in all instances.
    ///
    /// In one instance this holds while Redis fails, too. Two instances may both give it out if Redis
    /// fails meanwhile: the one where it was put has its copy, another one finds it in Redis before
    /// or afterwards. What Redis has lost, as by a restart, counts as taken.
    pub async fn take(&self, key: &str) -> Option<String> {
        let name = name(key);
        // From now on nobody else gets it here, whatever becomes of this.
        let own = self.notes(|notes| notes.take(&name));
        if own.as_ref().is_some_and(Note::is_taken) {
            return None;
        }
        let take = script(TAKE, &[&in_redis(&name)], |command| command);
        let taken = self.ask_note(&take).await;
        // It is not in Redis any more, or never was: nothing to remember.
        if taken.is_ok() || !self.is_wanted() {
            self.notes(|notes| notes.forget_taken(&name));
        }
        either(taken, own)
    }

    async fn ask_note<T: redis::FromRedisValue>(&self, command: &Cmd) -> Result<T, Trouble> {
        let link = self.link().ok_or(Trouble::Lost)?;
        let answer = link.commands.ask(command, self.0.settings.timeout).await;
        self.noted(&link, answer)
    }

    fn notes<T>(&self, work: impl FnOnce(&mut Notes) -> T) -> T {
        let mut notes = self.0.notes.lock().unwrap_or_else(PoisonError::into_inner);
        work(&mut notes)
    }
}

/// What Redis has; else what it never had, or can't say at present.
fn either(found: Result<Option<Vec<u8>>, Trouble>, own: Option<Note>) -> Option<String> {
    match found {
        Ok(Some(text)) => String::from_utf8(text).ok(),
        Ok(None) => own.filter(|note| !note.shared)?.text,
        Err(_) => own?.text,
    }
}

/// A key that may stand in Redis as it is, in place of any other a hash.
fn name(key: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    if (1..=LONGEST_KEY).contains(&key.len()) && key.bytes().all(plain) {
        return key.to_owned();
    }
    // With a sign that no plain key has.
    format!(":{}", hex(&Sha256::digest(key)))
}

fn in_redis(name: &str) -> String {
    format!("{NOTES}{name}")
}

#[derive(Clone)]
struct Note {
    /// None once it was taken here.
    text: Option<String>,
    /// Redis had it.
    shared: bool,
    expires: Instant,
    /// Tells which of two is older.
    number: u64,
}

impl Note {
    const fn is_taken(&self) -> bool {
        self.text.is_none()
    }
}

/// What was put here.
#[derive(Default)]
pub(super) struct Notes {
    by_name: HashMap<String, Note>,
    put: u64,
}

/// Their texts are secrets, and their names may be.
impl fmt::Debug for Notes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} notes", self.by_name.len())
    }
}

impl Notes {
    fn put(&mut self, name: String, note: Note) {
        self.by_name.remove(&name);
        if self.by_name.len() >= MOST {
            self.make_room();
        }
        self.put += 1;
        let number = self.put;
        self.by_name.insert(name, Note { number, ..note });
    }

    fn make_room(&mut self) {
        let now = Instant::now();
        self.by_name.retain(|_, note| note.expires > now);
        if self.by_name.len() >= MOST {
            let oldest = self.by_name.iter().min_by_key(|(_, note)| note.number);
            if let Some(name) = oldest.map(|(name, _)| name.clone()) {
                self.by_name.remove(&name);
            }
        }
    }

    fn get(&self, name: &str) -> Option<&Note> {
        let note = self.by_name.get(name)?;
        (note.expires > Instant::now()).then_some(note)
    }

    /// As it was; here it is taken from now on.
    fn take(&mut self, name: &str) -> Option<Note> {
        let found = self.get(name).cloned();
        if let Some(note) = self.by_name.get_mut(name) {
            note.text = None;
        }
        found
    }

    fn forget_taken(&mut self, name: &str) {
        if self.by_name.get(name).is_some_and(Note::is_taken) {
            self.by_name.remove(name);
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use tokio::time::advance;

    use super::*;
    use crate::settings::{RedisNode, RedisNodes, RedisPlace, RedisSettings, Secret};

    const TTL: Duration = Duration::from_secs(60);

    /// Never connects: nobody keeps it.
    pub(crate) fn alone(enabled: bool) -> Shared {
        Shared::new(RedisSettings {
            enabled,
            place: RedisPlace {
                nodes: RedisNodes::Server(RedisNode {
                    host: "localhost".to_owned(),
                    port: 1,
                }),
                db: 0,
                username: String::new(),
                password: Secret::default(),
                tls: false,
            },
            timeout: Duration::from_millis(100),
        })
    }

    #[tokio::test(start_paused = true)]
    async fn a_note_is_read_until_it_expires() {
        for shared in [alone(false), alone(true)] {
            shared.put("a", "one", TTL).await;
            assert_eq!(shared.get("a").await.as_deref(), Some("one"));
            assert_eq!(shared.get("b").await, None);
            shared.put("a", "two", TTL).await;
            assert_eq!(shared.get("a").await.as_deref(), Some("two"));
            let last = Duration::from_millis(1);
            advance(TTL.saturating_sub(last)).await;
            assert_eq!(shared.get("a").await.as_deref(), Some("two"));
            advance(last).await;
            assert_eq!(shared.get("a").await, None);
            assert_eq!(shared.take("a").await, None);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_note_is_taken_once() {
        for shared in [alone(false), alone(true)] {
            shared.put("a", "one", TTL).await;
            assert_eq!(shared.take("a").await.as_deref(), Some("one"));
            assert_eq!(shared.take("a").await, None);
            assert_eq!(shared.get("a").await, None);
            shared.put("a", "two", TTL).await;
            assert_eq!(shared.take("a").await.as_deref(), Some("two"));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_note_that_is_too_short_or_too_long_lived_is_no_trouble() {
        let shared = alone(false);
        shared.put("a", "one", Duration::ZERO).await;
        assert_eq!(shared.get("a").await, None);
        shared.put("a", "one", Duration::MAX).await;
        assert_eq!(shared.get("a").await.as_deref(), Some("one"));
    }

    #[tokio::test(start_paused = true)]
    async fn there_is_room_for_a_thousand() {
        let shared = alone(false);
        shared.put("oldest", "1", TTL).await;
        shared.put("brief", "2", TTL / 2).await;
        for number in 2..MOST {
            shared.put(&number.to_string(), "3", TTL).await;
        }
        shared.put("oldest", "still", TTL).await;
        advance(TTL / 2).await;
        // What has expired goes first.
        shared.put("new", "4", TTL).await;
        assert_eq!(shared.get("2").await.as_deref(), Some("3"));
        // Then the oldest, and "oldest" was put again.
        shared.put("newer", "5", TTL).await;
        assert_eq!(shared.get("2").await, None);
        for key in ["3", "999", "oldest", "new", "newer"] {
            assert!(shared.get(key).await.is_some(), "{key}");
        }
        assert_eq!(shared.notes(|notes| notes.by_name.len()), MOST);
    }

    #[tokio::test(start_paused = true)]
    async fn without_redis_nothing_is_remembered_of_what_was_taken() {
        let shared = alone(false);
        shared.put("a", "one", TTL).await;
        shared.take("a").await;
        assert!(shared.notes(|notes| notes.by_name.is_empty()));
    }

    #[test]
    fn a_key_that_is_not_plain_is_hashed() {
        assert_eq!(name("login-A_9"), "login-A_9");
        let long = "a".repeat(LONGEST_KEY + 1);
        for key in ["", "a b", "a:b", "{a}", "ä", "a\n", ":00", &long] {
            let hashed = name(key);
            assert!(hashed.starts_with(':') && hashed.len() == 65, "{key}");
            assert!(key.is_empty() || !hashed.contains(key), "{hashed}");
        }
        assert_ne!(name("a b"), name("a c"));
    }

    #[tokio::test(start_paused = true)]
    async fn notes_are_shown_to_nobody() {
        let shared = alone(false);
        shared.put("key", "geheim", TTL).await;
        let shown = format!("{shared:?}");
        assert!(
            !shown.contains("geheim") && shown.contains("1 notes"),
            "{shown}"
        );
    }
}
