//! One instance of all fetches: a lease on a name, taken, kept and given back by scripts, each of
//! which Redis runs as one step.

use std::time::Duration;

use redis::{Cmd, Value};
use serde_json::value::RawValue;
use tokio::time::Instant;

use super::Shared;
use super::held::Held;
use super::record::{Failure, Keys, LARGEST, LARGEST_RECORD, Lease, Realm, Record, whole_ms};
use super::state::Link;
use super::trouble::Trouble;

/// A holder that is gone is waited for so long at most.
pub(super) const LEASE: Duration = Duration::from_secs(3);
/// What nobody can have written as a lease is no lease: one without an end, or with a distant one.
const LONGEST_LEASE: Duration = Duration::from_secs(60);

/// Looks at a value and takes the lease if there is none that will do.
/// KEYS value, record, lease. ARGV the lease, its time, the greatest age (negative: take no value),
/// the longest time that a lease can have, the instance whose failures do not count (empty: all
/// failures do not), the greatest length of a value and of the rest. Times in milliseconds.
const CLAIM: &str = r#"
local function text(key, most)
    local size = redis.pcall('STRLEN', key)
    if type(size) == 'number' and size > 0 and size <= tonumber(most) then
        return redis.call('GET', key)
    end
end
local oldest = tonumber(ARGV[3])
local record = oldest >= 0 and text(KEYS[2], ARGV[7])
local value = record and text(KEYS[1], ARGV[6])
if value then
    local left = redis.call('PTTL', KEYS[1])
    local ttl = tonumber(string.match(record, '"ttl_ms":(%d+)'))
    if ttl and left > 0 and left <= ttl and ttl - left <= oldest then
        return {'value', value, record, left}
    end
end
local rest = redis.call('PTTL', KEYS[3])
if rest >= 0 and rest <= tonumber(ARGV[4]) then
    local lease = text(KEYS[3], ARGV[7])
    local failed = lease and string.find(lease, '"failed":', 1, true)
    local mine = failed and string.find(lease, ARGV[5], 1, true)
    if lease and not mine then
        return {'busy', lease}
    end
end
redis.call('SET', KEYS[3], ARGV[1], 'PX', ARGV[2])
local time = redis.call('TIME')
return {'claimed', time[1] * 1000 + math.floor(time[2] / 1000)}
"#;

/// What was found under a name.
pub(super) enum Claim {
    /// A value of our realm, so old.
    Value(Box<RawValue>, Option<Failure>, Duration),
    /// Nothing that will do; this instance fetches.
    Ours(Box<Held>),
    /// Another instance fetches.
    Busy,
    /// It has just failed.
    Failed(Failure),
    /// An instance of another realm uses the same name.
    Foreign,
}

impl Claim {
    /// What the lease of somebody else says.
    fn of_other(lease: &[u8], realm: &Realm) -> Self {
        match Lease::read(lease, realm).map(|lease| lease.failed) {
            None => Self::Foreign,
            Some(Some(failure)) => Self::Failed(failure),
            Some(None) => Self::Busy,
        }
    }
}

impl Shared {
    /// One look at `name`: a value not older than `oldest` (none: whatever there is will not do),
    /// or the lease.
    pub(super) async fn claim(
        &self,
        link: &Link,
        name: &str,
        realm: &Realm,
        oldest: Option<Duration>,
        deadline: Instant,
    ) -> Result<Claim, Trouble> {
        // Who wants a new value whatever there is does not take a failure for an answer. Failures
        // of this instance's own are spaced by the cache itself.
        let pardoned = oldest.map_or("", |_| self.0.instance.as_str());
        let keys = Keys::of(name, link.commands.is_cluster());
        let Some(generation) = self.generation() else {
            return Err(Trouble::Lost);
        };
        // Before it is known who has it: a server that was frozen may come to this late, and then
        // comes to its return as well.
        let mut held = Box::new(Held::asked(self, link, name, realm, generation.clone()));
        let json = held.lease();
        let mut oldest = oldest;
        loop {
            let greatest_age =
                oldest.map_or(-1, |age| i64::try_from(age.as_millis()).unwrap_or(i64::MAX));
            let all = [&*keys.value, &keys.record, &keys.lease];
            let command = script(CLAIM, &all, |command| {
                command
                    .arg(&json)
                    .arg(whole_ms(LEASE))
                    .arg(greatest_age)
                    .arg(whole_ms(LONGEST_LEASE))
                    .arg(pardoned)
                    .arg(LARGEST)
                    .arg(LARGEST_RECORD)
            });
            let patience = deadline.saturating_duration_since(Instant::now());
            let answer = link.commands.ask(&command, patience).await;
            // Whoever has little time left proves nothing by running out of it.
            let hurried = patience < self.0.settings.timeout / 2;
            let answer: Vec<Value> = match answer {
                Err(Trouble::Timeout) if hurried => return Err(Trouble::Timeout),
                answer => self.noted(link, answer)?,
            };
            let found = match answer.as_slice() {
                [_, Value::Int(now)] => {
                    held.taken(u64::try_from(*now).unwrap_or_default());
                    return Ok(Claim::Ours(held));
                }
                [_, Value::BulkString(lease)] => {
                    held.not_taken();
                    return Ok(Claim::of_other(lease, realm));
                }
                [
                    _,
                    Value::BulkString(value),
                    Value::BulkString(record),
                    Value::Int(left),
                ] => {
                    let value = value.clone();
                    let opened = Record::open(name, record, value, realm, &generation);
                    opened.map(|(record, value)| (record, value, *left))
                }
                _ => return Err(Trouble::Protocol),
            };
            if let Some((record, value, left)) = found {
                held.not_taken();
                let left = Duration::from_millis(u64::try_from(left).unwrap_or_default());
                let age = Duration::from_millis(record.ttl_ms).saturating_sub(left);
                return Ok(Claim::Value(value, record.missing, age));
            }
            // Somebody else's, or outdated: as good as none.
            oldest = None;
        }
    }
}

/// A script with its keys, and its arguments added by `arguments`. The text is sent every time: a
/// server that was restarted knows none, and a second round trip costs more than some hundred bytes.
pub(super) fn script(
    text: &str,
    keys: &[&str],
    arguments: impl FnOnce(&mut Cmd) -> &mut Cmd,
) -> Cmd {
    let mut command = redis::cmd("EVAL");
    command.arg(text).arg(keys.len()).arg(keys);
    arguments(&mut command);
    command
}
