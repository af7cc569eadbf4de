//! The servers that rows of the watch history name.
//!
//! 3.3.0 stored the whole address of each picture. After a change of the server's address such a
//! row names a server of before; only its path counts then, and the configured server is asked.

use std::sync::Mutex;
use std::time::Duration;

use url::Url;

use super::target::is_same_server;
use crate::app::AppState;
use crate::cache::{self, CacheAdmin as _, CacheEntry, FetchError, Fetched, Origin, Policy};
use crate::store::StoreError;

/// The servers, each once. Looking is a pass over the whole table, which anybody can cause: so
/// it is made at most once per TTL. New rows hold bare paths and add none.
static SERVERS: Mutex<CacheEntry<Vec<String>>> = Mutex::new(CacheEntry::new(
    "former_servers",
    Policy {
        ttl: Duration::from_secs(600),
        max_stale: Duration::from_secs(86_400),
        max_wait: Duration::from_secs(2),
    },
));

/// The address up to the path. `instr` begins at the 9th character, behind `https://`; with
/// `http://` that leaves out one character of the host, which is no slash.
const QUERY: &str = "SELECT DISTINCT substr(thumb, 1, 7 + instr(substr(thumb, 9), '/')) \
                     FROM watch_history WHERE thumb LIKE 'http%' LIMIT 100";

/// Whether the watch history has rows of the server that `address` is on.
pub(super) async fn is_known(app: &AppState, address: &Url) -> bool {
    let source = || (Origin::LOCAL, look(app.clone()));
    match cache::read(&SERVERS, source).await {
        Ok(servers) => {
            let mut servers = servers.stored.value.iter();
            servers.any(|server| {
                Url::parse(server).is_ok_and(|server| is_same_server(&server, address))
            })
        }
        Err(error) => {
            tracing::warn!("The servers of the watch history are not known: {error}");
            false
        }
    }
}

/// Looks anew at the next occasion.
pub(super) fn clear() {
    SERVERS.clear();
}

async fn look(app: AppState) -> Result<Fetched<Vec<String>>, FetchError> {
    let rows = sqlx::query_scalar::<_, String>(QUERY);
    let rows = rows.fetch_all(app.store.reader()).await;
    rows.map(Fetched::Whole)
        .map_err(|error| FetchError::new(StoreError::from(error).to_string()))
}
