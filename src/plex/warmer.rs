//! The warmer: refreshes what is being read shortly before it expires, so that no reader waits.
//!
//! Contract 10: it looks every two seconds, and refreshes at 80 % of the TTL. What will reach that
//! age before the next look gets a timer, or a TTL of five seconds would be missed every other
//! time. A cache that nobody reads any more is left alone until the next reader.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::caches::{CACHES, Registered};
use super::sharing::Need;
use crate::app::AppState;
use crate::tasks::Tasks;

/// Time between two looks; less where the TTL is so short that it would be over by then.
const LOOK: Duration = Duration::from_secs(2);
const LOOKS_PER_TTL: u32 = 4;
/// What expires sooner is not kept warm: Plex would be asked all the time for what nobody may read.
const SHORTEST_TTL: Duration = Duration::from_millis(200);

/// Starts a loop for each cache that is to be kept warm: a slow one must not delay the others.
pub fn start_warmer(app: &AppState, tasks: &Tasks) {
    let settings = app.settings.current();
    let wanted = &settings.warm;
    for one in CACHES.iter().filter(|one| wanted.caches.contains(&one.key)) {
        let (app, idle) = (app.clone(), wanted.idle);
        let ttl = (one.sharing.policy)(&settings.cache).ttl;
        if ttl < SHORTEST_TTL {
            continue;
        }
        let period = LOOK.min(ttl / LOOKS_PER_TTL);
        tasks.every("Cache warmer", period, move || {
            let app = app.clone();
            async move {
                look(one, &app, idle, period).await;
                Ok::<(), std::convert::Infallible>(())
            }
        });
    }
}

/// Refreshes the cache as often as it becomes due before the next look.
async fn look(one: &Registered, app: &AppState, idle: Option<Duration>, period: Duration) {
    let next_look = Instant::now() + period;
    while let Some(due) = one.cache.due_in(idle) {
        if Instant::now() + due > next_look {
            return;
        }
        sleep(due).await;
        // A reader may have come first, or the last one have been gone for too long meanwhile.
        if one.cache.due_in(idle) != Some(Duration::ZERO) {
            continue;
        }
        let key = one.key;
        match (one.refresh)(app.clone(), Need::Warm).await {
            Ok(()) => tracing::debug!("Cache warmer refreshed {key} cache at 80% TTL"),
            Err(error) => tracing::debug!("Cache warmer could not refresh {key}: {error}"),
        }
    }
}
