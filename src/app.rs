//! [`App`]: what every handler may use. Built once at start.

use std::convert::Infallible;
use std::ops::Deref;
use std::sync::Arc;

use axum::extract::{FromRef, FromRequestParts};
use axum::http::request::Parts;

use crate::cache::shared::Shared;
use crate::plex::PlexClient;
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
}

/// A shared [`App`]; as an argument of a handler it extracts itself.
#[derive(Clone, Debug)]
pub struct AppState(Arc<App>);

impl AppState {
    /// Shares `app`.
    pub fn new(app: App) -> Self {
        Self(Arc::new(app))
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
