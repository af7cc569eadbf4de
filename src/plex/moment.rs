//! [`Moment`]: what a fetch works with.

use std::sync::Arc;

use super::error::PlexError;
use super::server::PlexServer;
use super::sharing::{Need, Sharing};
use super::streams::{self, Streams};
use super::{NOT_CONFIGURED, peak};
use crate::app::AppState;
use crate::cache::shared::Waited;
use crate::cache::{FetchError, Fetched, Origin, Portable};
use crate::settings::{PlexTarget, Settings};

/// The settings of one moment and the Plex server that they name. A fetch takes all it needs from
/// one of these, so that it can't mix two servers.
#[derive(Clone)]
pub(super) struct Moment {
    pub(super) app: AppState,
    pub(super) settings: Arc<Settings>,
    pub(super) target: PlexTarget,
    /// How long the request that it serves has waited for Redis.
    pub(super) waited: Waited,
}

impl Moment {
    /// Now; `None` without a configured server.
    pub(super) fn now(app: &AppState) -> Option<Self> {
        Self::of(app, app.settings.current(), Waited::default())
    }

    fn of(app: &AppState, settings: Arc<Settings>, waited: Waited) -> Option<Self> {
        let target = settings.plex.clone()?;
        let app = app.clone();
        Some(Self {
            app,
            settings,
            target,
            waited,
        })
    }

    pub(super) fn server(&self) -> PlexServer {
        self.app.plex.server(&self.target)
    }

    /// Which server this is: rises with every change.
    pub(super) fn revision(&self) -> u64 {
        self.settings.plex_revision
    }

    /// What is being played. Joins the call that runs; counts for the peak.
    pub(super) async fn streams(&self) -> Result<Streams, PlexError> {
        let streams = streams::streams(self.server(), self.revision()).await?;
        peak::observe(&self.app, streams.count());
        Ok(streams)
    }
}

/// Where a cache gets its values from, if that is the Plex server: the current one, another
/// instance that has asked it, and `fetch`. `waited` is how long the request has waited for Redis
/// already, if this is a part of something larger.
pub(super) fn from_plex<T, F, Fetching>(
    app: &AppState,
    waited: Waited,
    sharing: &'static Sharing,
    need: Need,
    fetch: F,
) -> (
    Origin,
    impl Future<Output = Result<Fetched<T>, FetchError>> + Send + use<T, F, Fetching>,
)
where
    T: Portable + Send,
    F: FnOnce(Moment) -> Fetching + Send,
    Fetching: Future<Output = Result<Fetched<T>, FetchError>> + Send,
{
    let settings = app.settings.current();
    let origin = Origin(settings.plex_revision);
    let app = app.clone();
    (origin, async move {
        // Not before it is polled: most readers find a value.
        match Moment::of(&app, settings, waited) {
            Some(moment) => {
                let fetch = Box::pin(fetch(moment.clone()));
                moment.shared(sharing, need, fetch).await
            }
            // It was removed after somebody had looked.
            None => Err(FetchError::new(NOT_CONFIGURED)),
        }
    })
}
