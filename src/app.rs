//! [`App`]: what every handler may use. Built once at start.

use std::convert::Infallible;
use std::ops::Deref;
use std::sync::Arc;

use axum::extract::{FromRef, FromRequestParts};
use axum::http::request::Parts;

use tokio_util::sync::CancellationToken;

use crate::access::Access;
use crate::cache::shared::Shared;
use crate::integrations::{Outbox, Outside};
use crate::logging::Log;
use crate::monitor::{Checker, Monitor};
use crate::plex::{self, PlexClient};
use crate::settings::SettingsStore;
use crate::store::Store;

/// The parts that handlers and background tasks share. Caches are not among them: each is a
/// `static` of the module that owns the data.
#[derive(Debug)]
pub struct App {
    /// What the operator chose, as of now.
    pub settings: SettingsStore,
    /// The way to any Plex server.
    pub plex: PlexClient,
    /// The database.
    pub store: Store,
    /// The way to other instances.
    pub shared: Shared,
    /// The monitored services.
    pub monitor: Monitor,
    /// The way to them.
    pub checker: Checker,
    /// The way to servers on the internet.
    pub outside: Outside,
    /// Messages to people.
    pub telegram: Outbox,
    /// What is remembered of log-ins.
    pub access: Access,
    /// The log, for changing it.
    pub log: Arc<Log>,
    /// Cancelled when the server is to stop: what would go on for ever, such as a WebSocket, has
    /// to end then.
    pub stop: CancellationToken,
}

impl App {
    /// All parts, with `settings` and `store` as the first of them.
    ///
    /// # Errors
    /// TLS can't be set up.
    pub fn new(
        settings: SettingsStore,
        store: Store,
        monitor: Monitor,
        log: Arc<Log>,
        stop: CancellationToken,
    ) -> Result<Self, reqwest::Error> {
        let now = settings.current();
        Ok(Self {
            plex: PlexClient::new(now.plex_client)?,
            shared: Shared::new(now.redis.clone()),
            checker: Checker::new()?,
            outside: Outside::new()?,
            telegram: Outbox::default(),
            access: Access::new(store.installation()),
            log,
            settings,
            store,
            monitor,
            stop,
        })
    }
}

/// A shared [`App`]; as an argument of a handler it extracts itself.
#[derive(Clone, Debug)]
pub struct AppState(Arc<App>);

impl AppState {
    /// Shares `app`.
    pub fn new(app: App) -> Self {
        Self(Arc::new(app))
    }

    /// Puts in force what the settings of this moment mean outside of handlers, which ask for them
    /// with every request: the log's level and file, and the Plex server that caches belong to.
    /// For whoever has changed them, before the answer.
    pub async fn put_settings_in_force(&self) {
        self.log.follow(&self.settings).await;
        plex::follow_server(self);
    }
}

impl Deref for AppState {
    type Target = App;

    fn deref(&self) -> &App {
        &self.0
    }
}

impl<S: Send + Sync> FromRequestParts<S> for AppState
where
    Self: FromRef<S>,
{
    type Rejection = Infallible;

    async fn from_request_parts(_: &mut Parts, state: &S) -> Result<Self, Infallible> {
        Ok(Self::from_ref(state))
    }
}

#[cfg(test)]
impl AppState {
    /// A server's parts in `directory`, for tests beside the code.
    pub(crate) async fn for_test(
        directory: &std::path::Path,
        environment: crate::settings::Environment,
    ) -> Self {
        let overrides = crate::settings::Overrides {
            data_dir: Some(directory.to_owned()),
            ..Default::default()
        };
        let settings = SettingsStore::open(environment, overrides).unwrap();
        let store = Store::open(directory).await.unwrap();
        let stop = CancellationToken::new();
        let log = Arc::new(Log::detached());
        Self::new(App::new(settings, store, Monitor::default(), log, stop).unwrap())
    }
}
