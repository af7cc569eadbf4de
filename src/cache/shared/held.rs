//! A lease that this instance holds: kept while the fetch runs, and given back with its outcome.

use std::time::Duration;

use futures_util::future::join_all;
use redis::{Cmd, Value};
use serde_json::value::RawValue;
use tokio::time::{Instant, timeout};

use super::Shared;
use super::lease::{LEASE, script};
use super::link::Commands;
use super::record::{Failure, Keys, Lease, Realm, Record, whole_ms};
use super::state::Link;
use super::trouble::Trouble;

/// Other instances spare the upstream for so long after a failure.
const FAILURE: Duration = Duration::from_secs(5);

/// KEYS lease. ARGV the lease, its time.
const EXTEND: &str = r"
if redis.pcall('GET', KEYS[1]) ~= ARGV[1] then
    return 0
end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
";

/// Writes a value, unless the lease was lost, and gives the lease back. A server that was frozen
/// may come to this late: the value is then as old as it is, or not written at all.
/// KEYS value, record, lease. ARGV the lease (empty: whoever holds it), value, record, their time,
/// channel, name, when it was fetched.
const PUBLISH: &str = r"
if ARGV[1] ~= '' and redis.pcall('GET', KEYS[3]) ~= ARGV[1] then
    return 0
end
local time = redis.call('TIME')
local age = time[1] * 1000 + math.floor(time[2] / 1000) - tonumber(ARGV[7])
local left = tonumber(ARGV[4]) - math.max(age, 0)
if left > 0 then
    redis.call('SET', KEYS[1], ARGV[2], 'PX', left)
    redis.call('SET', KEYS[2], ARGV[3], 'PX', left)
end
redis.call('DEL', KEYS[3])
redis.call('PUBLISH', ARGV[5], ARGV[6])
return 1
";

/// Gives the lease back, or leaves word of a failure in its place.
/// KEYS lease. ARGV the lease, what to put in its place (empty: nothing), for how long, channel,
/// name.
const RELEASE: &str = r"
if redis.pcall('GET', KEYS[1]) ~= ARGV[1] then
    return 0
end
if ARGV[2] == '' then
    redis.call('DEL', KEYS[1])
else
    redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
end
redis.call('PUBLISH', ARGV[4], ARGV[5])
return 1
";

/// The server's time. KEYS one that lives there.
const NOW: &str = r"
local time = redis.call('TIME')
return time[1] * 1000 + math.floor(time[2] / 1000)
";

/// A lease that this instance holds, or may hold. Dropped, it is given back.
pub(super) struct Held {
    shared: Shared,
    /// By which it was taken.
    link: Link,
    name: String,
    keys: Keys,
    realm: Realm,
    lease: Lease,
    /// In force when it was taken: what is fetched belongs to it.
    generation: String,
    /// When it was asked for, and when that was for Redis, in milliseconds.
    since: (Instant, u64),
    settled: bool,
}

/// A lease that could not be given back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Orphan {
    key: String,
    lease: String,
    name: String,
}

#[cfg(test)]
impl Orphan {
    pub(super) fn of(name: &str, lease: &str) -> Self {
        Self {
            key: Keys::of(name, false).lease,
            lease: lease.to_owned(),
            name: name.to_owned(),
        }
    }
}

impl Shared {
    /// Lets all instances have `value`, whoever is fetching it at present: it is newer than what
    /// they will bring.
    pub async fn give(&self, name: &str, realm: &Realm, ttl: Duration, value: &RawValue) {
        let (Some(link), Some(generation)) = (self.link(), self.generation()) else {
            return;
        };
        let Some(record) = Record::of(name, value, realm, &generation, ttl, None) else {
            return;
        };
        let keys = Keys::of(name, link.commands.is_cluster());
        let given = timeout(self.0.settings.timeout, async {
            let patience = self.0.settings.timeout;
            let now = script(NOW, &[&keys.value], |command| command);
            let now = link.commands.ask(&now, patience).await?;
            let command = self.publish(&keys, "", value, &record, (ttl, now), name);
            link.commands.ask::<Value>(&command, patience).await
        });
        let given = given.await.map_err(Trouble::from).flatten();
        // Without it they fetch for themselves.
        let _ = self.noted(&link, given);
    }

    /// Gives back what could not be given back while Redis was away.
    pub(super) async fn release_all(&self, commands: &Commands, orphans: &[Orphan]) {
        let patience = self.0.settings.timeout;
        let released = orphans.iter().map(|orphan| async move {
            let command = self.release(orphan, "");
            // They end by themselves, too.
            let _ = commands.ask::<Value>(&command, patience).await;
        });
        join_all(released).await;
    }

    /// Gives a lease back by whatever connection there is, or as soon as there is one: nobody is to
    /// wait for what nobody fetches.
    async fn abandon(&self, orphan: Orphan) {
        let link = {
            let mut state = self.state();
            let link = state.link();
            if link.is_none() {
                state.remember(orphan.clone());
            }
            link
        };
        if let Some(link) = link {
            self.release_all(&link.commands, &[orphan]).await;
        }
    }

    fn release(&self, lease: &Orphan, instead: &str) -> Cmd {
        script(RELEASE, &[&lease.key], |command| {
            command
                .arg(&lease.lease)
                .arg(instead)
                .arg(whole_ms(FAILURE))
                .arg(&self.0.channels.ended)
                .arg(&lease.name)
        })
    }

    /// `lease` may be empty: whoever holds it. `fetched` is Redis' time.
    fn publish(
        &self,
        keys: &Keys,
        lease: &str,
        value: &RawValue,
        record: &Record,
        (ttl, fetched): (Duration, u64),
        name: &str,
    ) -> Cmd {
        let keys = [&*keys.value, &keys.record, &keys.lease];
        let channels = &self.0.channels;
        let channel = match record.missing {
            None => &channels.published,
            Some(_) => &channels.ended,
        };
        script(PUBLISH, &keys, |command| {
            command
                .arg(lease)
                .arg(value.get())
                // Strings and numbers only: it can't fail.
                .arg(serde_json::to_string(record).unwrap_or_default())
                .arg(whole_ms(ttl))
                .arg(channel)
                .arg(name)
                .arg(fetched)
        })
    }
}

impl Held {
    /// About to be asked for, in the generation in force.
    pub(super) fn asked(
        shared: &Shared,
        link: &Link,
        name: &str,
        realm: &Realm,
        generation: String,
    ) -> Self {
        Self {
            shared: shared.clone(),
            link: link.clone(),
            name: name.to_owned(),
            keys: Keys::of(name, link.commands.is_cluster()),
            realm: realm.clone(),
            lease: Lease::new(realm, &shared.0.instance),
            generation,
            since: (Instant::now(), 0),
            settled: false,
        }
    }

    /// What stands in Redis while it is held.
    pub(super) fn lease(&self) -> String {
        self.lease.to_json()
    }

    /// It is ours since `now`, in Redis' milliseconds.
    pub(super) const fn taken(&mut self, now: u64) {
        self.since.1 = now;
    }

    /// It is not ours, so there is nothing to give back.
    pub(super) const fn not_taken(&mut self) {
        self.settled = true;
    }

    /// Keeps the lease for another while. If it was lost, nothing happens: publishing will tell.
    pub(super) fn extend(&self) {
        let command = script(EXTEND, &[&self.keys.lease], |command| {
            command.arg(self.lease()).arg(whole_ms(LEASE))
        });
        self.send(command);
    }

    /// Lets all instances have `value`, unless the lease was lost meanwhile.
    pub(super) fn publish(mut self, value: &RawValue, missing: Option<Failure>, ttl: Duration) {
        let record = Record::of(
            &self.name,
            value,
            &self.realm,
            &self.generation,
            ttl,
            missing,
        );
        // Too large to be shared: the next instance fetches for itself.
        let Some(record) = record else { return };
        self.settled = true;
        let lease = self.lease();
        let (asked, then) = self.since;
        let times = (ttl, then + whole_ms(asked.elapsed()));
        let command = self
            .shared
            .publish(&self.keys, &lease, value, &record, times, &self.name);
        self.send(command);
    }

    /// Lets other instances know that the fetch has failed.
    pub(super) fn fail(mut self, failure: Failure) {
        self.settled = true;
        self.release(&self.lease.failed(failure, &self.realm).to_json());
    }

    fn release(&self, instead: &str) {
        self.send(self.shared.release(&self.orphan(), instead));
    }

    fn orphan(&self) -> Orphan {
        Orphan {
            key: self.keys.lease.clone(),
            lease: self.lease(),
            name: self.name.clone(),
        }
    }

    /// In the background: whoever waits for the value does not wait for this. By the connection
    /// that took the lease, even if it has failed: what was sent by it before comes first.
    fn send(&self, command: Cmd) {
        let (shared, link, orphan) = (self.shared.clone(), self.link.clone(), self.orphan());
        // Without a runtime the program is ending; the lease ends by itself.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                let patience = shared.0.settings.timeout;
                let sent = link.commands.ask::<Value>(&command, patience).await;
                if shared.noted(&link, sent).is_err() {
                    shared.abandon(orphan).await;
                }
            });
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if !self.settled {
            self.release("");
        }
    }
}
