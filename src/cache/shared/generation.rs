//! How all instances learn what is no longer true.
//!
//! A hash in Redis holds an epoch, which changes when everything becomes invalid, and a count of
//! all invalidations. Whoever invalidates something changes it and tells the others, in one step.
//! An instance that finds a count which it was not told of has missed something.

use std::time::Duration;

use futures_util::future::try_join_all;
use redis::{Value, cmd};
use serde::{Deserialize, Serialize};
use tokio::time::timeout;

use super::Shared;
use super::lease::script;
use super::link::Commands;
use super::record::{PREFIX, random};
use super::state::Link;
use super::trouble::Trouble;

const KEY: &str = "komandorr:generation";
/// Below are things that are no cached values: clearing the caches leaves them alone.
pub(super) const NOTES: &str = "komandorr:note:";

/// Operators wait for the removal of all keys, but not longer.
const LONGEST_CLEAR: Duration = Duration::from_secs(5);
const KEYS_PER_LOOK: u32 = 1000;

/// Whatever somebody else has put there is replaced: a wrong type, an epoch or a count that is none.
/// It writes each time, which a server that takes no writes refuses.
const MEND: &str = r"
local kind = redis.call('TYPE', KEYS[1]).ok
if kind ~= 'hash' and kind ~= 'none' then
    redis.call('DEL', KEYS[1])
end
local epoch = redis.call('HGET', KEYS[1], 'epoch')
if not epoch or #epoch ~= 32 or string.find(epoch, '%X') then
    redis.call('HSET', KEYS[1], 'epoch', ARGV[1])
end
local events = redis.pcall('HINCRBY', KEYS[1], 'events', 0)
if type(events) ~= 'number' or events < 0 or events > 1e15 then
    redis.call('HSET', KEYS[1], 'events', 0)
end
";
/// KEYS generation. ARGV an epoch, should there be none.
const LOOK: &str = r"
return redis.call('HMGET', KEYS[1], 'epoch', 'events')
";
/// KEYS generation. ARGV an epoch, whether it replaces the old one, channel, message.
const INVALIDATE: &str = r"
if ARGV[2] == '1' then
    redis.call('HSET', KEYS[1], 'epoch', ARGV[1])
end
redis.call('HINCRBY', KEYS[1], 'events', 1)
local now = redis.call('HMGET', KEYS[1], 'epoch', 'events')
redis.call('PUBLISH', ARGV[3], now[1] .. ' ' .. now[2] .. ' ' .. ARGV[4])
return now
";

/// Where instances talk to each other.
#[derive(Debug)]
pub(super) struct Channels {
    /// Names what an instance has stopped fetching, without a whole value to show for it.
    pub(super) ended: String,
    /// Names what can be had as a whole.
    pub(super) published: String,
    /// Tells of invalidations.
    pub(super) invalidated: String,
}

impl Channels {
    /// Redis has the same channels for all its databases; other users of other ones are not meant.
    pub(super) fn of(db: u32) -> Self {
        Self {
            ended: format!("{PREFIX}{db}:ended"),
            published: format!("{PREFIX}{db}:published"),
            invalidated: format!("{PREFIX}{db}:invalidated"),
        }
    }
}

/// What all instances have in common; it differs once something was invalidated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Generation {
    pub(super) epoch: String,
    pub(super) events: u64,
}

impl Generation {
    fn read(answer: Vec<String>) -> Result<Self, Trouble> {
        let [epoch, events] = <[String; 2]>::try_from(answer).map_err(|_| Trouble::Protocol)?;
        let events = events.parse().map_err(|_| Trouble::Protocol)?;
        Ok(Self { epoch, events })
    }
}

/// What another instance has done, or may have done unheard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Heard {
    /// Somebody has emptied all caches.
    Cleared,
    /// All values may be outdated.
    Expired,
    /// The values of this name are outdated; a new one may be in Redis already.
    Replaced {
        /// Without the prefix.
        name: String,
    },
    /// A whole value of this name can be had: whatever was wrong with the upstream is over.
    Published {
        /// Without the prefix.
        name: String,
    },
    /// Something that the cache knows nothing of.
    Told {
        /// In words of those who know.
        what: String,
    },
}

impl Heard {
    /// Whether it is about everything, and changes the epoch.
    pub(super) const fn outdates_all(&self) -> bool {
        matches!(self, Self::Cleared | Self::Expired)
    }
}

#[derive(Serialize, Deserialize)]
pub(super) struct Message {
    /// The instance that sends it.
    pub(super) from: String,
    #[serde(flatten)]
    pub(super) heard: Heard,
}

/// Reads a message of [`Channels::invalidated`]: the generation after it, and what has happened.
pub(super) fn read_message(text: &str) -> Option<(Generation, Message)> {
    let mut parts = text.splitn(3, ' ');
    let (epoch, events) = (parts.next()?.to_owned(), parts.next()?.parse().ok()?);
    let message = serde_json::from_str(parts.next()?).ok()?;
    Some((Generation { epoch, events }, message))
}

/// What is in force now.
pub(super) async fn look(commands: &Commands, patience: Duration) -> Result<Generation, Trouble> {
    let text = format!("{MEND}{LOOK}");
    let command = script(&text, &[KEY], |command| command.arg(random()));
    Generation::read(commands.ask(&command, patience).await?)
}

impl Shared {
    /// The epoch in force, while connected; none while something is owed.
    pub(super) fn generation(&self) -> Option<String> {
        self.state().epoch()
    }

    /// Empties Redis of all our values and tells the other instances to empty their memory.
    /// False if that could not be done; then it is made good when Redis is back. True without
    /// Redis (contract 01, section 19).
    pub async fn clear(&self) -> bool {
        if !self.is_wanted() {
            return true;
        }
        let shared = self.clone();
        // In a task of its own: a client that hangs up ends nothing half-way.
        let cleared = tokio::spawn(async move {
            shared.invalidate(&Heard::Cleared).await?;
            let link = shared.link().ok_or(Trouble::Lost)?;
            timeout(LONGEST_CLEAR, shared.remove_all(&link)).await?
        });
        matches!(cleared.await, Ok(Ok(())))
    }

    /// Tells the other instances that all values may be outdated, as of now.
    pub async fn expire_all(&self) {
        // A failure is remembered and made good later.
        let _ = self.invalidate(&Heard::Expired).await;
    }

    /// Tells the other instances that what they have of this name is not true any more.
    pub async fn replaced(&self, name: &str) {
        let name = name.to_owned();
        let _ = self.invalidate(&Heard::Replaced { name }).await;
    }

    /// Tells the other instances something that the cache knows nothing of. Who is away does not
    /// hear it.
    pub async fn tell(&self, what: String) {
        if self.is_connected() {
            let _ = self.invalidate(&Heard::Told { what }).await;
        }
    }

    pub(super) async fn invalidate(&self, heard: &Heard) -> Result<(), Trouble> {
        let told = match self.link() {
            Some(link) => {
                let told = self.tell_all(&link.commands, heard).await;
                self.noted(&link, told)
            }
            None => Err(Trouble::Lost),
        };
        // What is not told now the keeper makes good when Redis is back.
        let owed = self.is_wanted() && !matches!(heard, Heard::Told { .. });
        let mut state = self.state();
        told.map(|now| state.missed |= state.follow(now, heard))
            .inspect_err(|_| state.owed += u64::from(owed))
    }

    /// Changes what all instances have in common, and tells them why.
    pub(super) async fn tell_all(
        &self,
        commands: &Commands,
        heard: &Heard,
    ) -> Result<Generation, Trouble> {
        let message = Message {
            from: self.0.instance.clone(),
            heard: heard.clone(),
        };
        let message = serde_json::to_string(&message).map_err(|_| Trouble::Protocol)?;
        let text = format!("{MEND}{INVALIDATE}");
        let command = script(&text, &[KEY], |command| {
            command
                .arg(random())
                .arg(u8::from(heard.outdates_all()))
                .arg(&self.0.channels.invalidated)
                .arg(message)
        });
        Generation::read(commands.ask(&command, self.0.settings.timeout).await?)
    }

    /// Removes all keys of ours but those that are no cached values, server by server, a thousand
    /// at a look: other users of the same Redis are not held up.
    async fn remove_all(&self, link: &Link) -> Result<(), Trouble> {
        let patience = LONGEST_CLEAR;
        let scan = |cursor: &[u8]| {
            let mut command = cmd("SCAN");
            let pattern = format!("{PREFIX}*");
            command.arg(cursor).arg("MATCH").arg(pattern);
            command.arg("COUNT").arg(KEYS_PER_LOOK);
            command
        };
        for (node, answer) in link.commands.ask_all(&scan(b"0"), patience).await? {
            let mut answer = answer;
            loop {
                let (cursor, keys): (Vec<u8>, Vec<Vec<u8>>) =
                    redis::from_redis_value(answer).map_err(|_| Trouble::Protocol)?;
                let unlinked = keys
                    .iter()
                    .filter(|key| is_value(key))
                    .map(|key| async move {
                        let mut command = cmd("UNLINK");
                        command.arg(key);
                        link.commands.ask::<Value>(&command, patience).await
                    });
                try_join_all(unlinked).await?;
                if cursor == b"0" {
                    break;
                }
                answer = link
                    .commands
                    .ask_one(node.as_ref(), &scan(&cursor), patience)
                    .await?;
            }
        }
        Ok(())
    }
}

fn is_value(key: &[u8]) -> bool {
    key != KEY.as_bytes() && !key.starts_with(NOTES.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_say_who_did_what_and_what_is_in_force_now() {
        let message = Message {
            from: "a".to_owned(),
            heard: Heard::Replaced {
                name: "plex:watch_history".to_owned(),
            },
        };
        let text = format!("e1 7 {}", serde_json::to_string(&message).unwrap());
        let (generation, read) = read_message(&text).unwrap();
        assert_eq!((generation.epoch.as_str(), generation.events), ("e1", 7));
        assert_eq!((read.from, read.heard), (message.from, message.heard));
        for junk in ["", "e1", "e1 x {}", "e1 7 {}", "e1 7 {\"from\":1}"] {
            assert!(read_message(junk).is_none(), "{junk}");
        }
    }

    #[test]
    fn clearing_leaves_alone_what_is_no_cached_value() {
        assert!(is_value(b"komandorr:plex:activities"));
        assert!(is_value(b"komandorr:meta:plex:activities"));
        assert!(!is_value(b"komandorr:generation"));
        assert!(!is_value(b"komandorr:note:session:1"));
    }
}
