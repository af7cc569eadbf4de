//! `/status/sessions`, asked once for all who need it at the same time.
//!
//! Activities, sessions and the count of concurrent streams are made from the same list, and an
//! open tab polls two of them in the same second.

use std::sync::{Arc, Mutex, PoisonError};

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, Shared, WeakShared};

use super::error::PlexError;
use super::server::PlexServer;
use super::wire::RawItem;

/// The list as Plex sent it.
pub(super) type Streams = Arc<[RawItem]>;

type Call = BoxFuture<'static, Result<Streams, PlexError>>;

/// The call that runs, and the revision of the Plex server that it goes to.
static RUNNING: Mutex<Option<(u64, WeakShared<Call>)>> = Mutex::new(None);

/// What is being played. Joins the call that runs, if it goes to the same server.
pub(super) async fn streams(server: PlexServer, revision: u64) -> Result<Streams, PlexError> {
    let call = join_or_start(server, revision);
    call.await
}

fn join_or_start(server: PlexServer, revision: u64) -> Shared<Call> {
    let mut running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
    let joined = running
        .as_ref()
        .filter(|(of, _)| *of == revision)
        .and_then(|(_, call)| call.upgrade())
        .filter(|call| call.peek().is_none());
    if let Some(call) = joined {
        return call;
    }
    let call = async move { Ok(server.sessions().await?.into()) };
    let call = call.boxed().shared();
    *running = call.downgrade().map(|weak| (revision, weak));
    call
}
