//! `/status/sessions`, asked once for all who need it at the same time.
//!
//! Activities, sessions and the count of concurrent streams are made from the same list, and an
//! open tab polls two of them in the same second.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, Shared, WeakShared};
use tokio::time::Instant;

use super::error::PlexError;
use super::server::PlexServer;
use super::wire::RawItem;

/// What is being played.
#[derive(Clone, Debug, Default)]
pub(super) struct Streams {
    /// As Plex sent it.
    pub(super) list: Arc<[RawItem]>,
    /// The number of the call that brought it: greater for a later one.
    pub(super) number: u64,
}

impl Streams {
    /// How many play; what is no object is no stream.
    pub(super) fn count(&self) -> usize {
        let streams = self.list.iter().filter(|raw| raw.get().starts_with('{'));
        streams.count()
    }
}

type Call = BoxFuture<'static, Result<Streams, PlexError>>;

static CALLS: Mutex<Calls> = Mutex::new(Calls {
    last: 0,
    running: None,
    began: None,
});

struct Calls {
    /// The number of the last one.
    last: u64,
    /// The one that runs, and the revision of the Plex server that it goes to.
    running: Option<(u64, WeakShared<Call>)>,
    /// When the last one began, and the revision of its server.
    began: Option<(u64, Instant)>,
}

fn calls() -> MutexGuard<'static, Calls> {
    CALLS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What is being played. Joins the call that runs, if it goes to the same server.
pub(super) async fn streams(server: PlexServer, revision: u64) -> Result<Streams, PlexError> {
    let call = join_or_start(server, revision);
    call.await
}

/// Whether the server of this revision has been asked within this time: then its streams have been
/// counted.
pub(super) fn asked_within(time: Duration, revision: u64) -> bool {
    let began = calls().began;
    began.is_some_and(|(of, at)| of == revision && at.elapsed() < time)
}

/// Lets nobody join the call that runs. The number of the last call so far.
pub(super) fn forget() -> u64 {
    let mut calls = calls();
    calls.running = None;
    calls.last
}

fn join_or_start(server: PlexServer, revision: u64) -> Shared<Call> {
    let mut calls = calls();
    let joined = calls
        .running
        .as_ref()
        .filter(|(of, _)| *of == revision)
        .and_then(|(_, call)| call.upgrade())
        .filter(|call| call.peek().is_none());
    if let Some(call) = joined {
        return call;
    }
    calls.last += 1;
    calls.began = Some((revision, Instant::now()));
    let number = calls.last;
    let call = async move {
        let list = server.sessions().await?.into();
        Ok(Streams { list, number })
    };
    let call = call.boxed().shared();
    calls.running = call.downgrade().map(|weak| (revision, weak));
    call
}
