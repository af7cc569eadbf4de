//! Whether the user may do all that will be asked of it (docs/operations.md names the rights).
//!
//! Without this a user with some of the rights would be let in, and fail at the first request,
//! over and over.

use std::time::Duration;

use redis::{Value, cmd};
use tokio::try_join;

use super::generation::Channels;
use super::lease::script;
use super::link::Commands;
use super::record::PREFIX;
use super::trouble::Trouble;

/// What scripts do, but for what [`super::generation::look`] fails without. Leaves nothing behind.
/// KEYS any of ours. ARGV channel.
const REHEARSE: &str = r"
redis.call('SET', KEYS[1], '', 'PX', 1000)
redis.call('STRLEN', KEYS[1])
redis.call('GET', KEYS[1])
redis.call('TIME')
redis.call('PTTL', KEYS[1])
redis.call('PEXPIRE', KEYS[1], 1000)
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], 'a', 1)
redis.call('HINCRBY', KEYS[1], 'a', 1)
redis.call('DEL', KEYS[1])
return redis.call('PUBLISH', ARGV[1], '')
";

/// Does once what requests will do.
///
/// # Errors
/// Something of it is not allowed, or fails.
pub(super) async fn rehearse(
    commands: &Commands,
    channels: &Channels,
    patience: Duration,
) -> Result<(), Trouble> {
    let key = format!("{PREFIX}rehearsal");
    // The end of no fetch: nobody waits for this name.
    let scripted = script(REHEARSE, &[&key], |command| command.arg(&channels.ended));
    let (ping, mut exists, mut unlink, mut scan) =
        (cmd("PING"), cmd("EXISTS"), cmd("UNLINK"), cmd("SCAN"));
    exists.arg(&key);
    unlink.arg(&key);
    scan.arg(0).arg("MATCH").arg(&key).arg("COUNT").arg(1);
    try_join!(
        commands.ask::<Value>(&scripted, patience),
        commands.ask::<Value>(&ping, patience),
        commands.ask::<Value>(&exists, patience),
        commands.ask::<Value>(&unlink, patience),
        commands.ask_all(&scan, patience),
    )?;
    Ok(())
}
