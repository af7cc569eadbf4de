//! `/api/plex/config` and `/api/plex/validate`: which Plex server, and does it answer?

use std::convert::Infallible;
use std::time::Duration;

use axum::Json;
use serde::Serialize;
use tokio::time::{Instant, timeout_at};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::caches;
use super::error::PlexError;
use super::libraries::{self, Library};
use super::server::PlexServer;
use super::{counts, dashboard};
use crate::app::AppState;
use crate::compat::validation::{Fields, FromFields, JsonBody, ValidationError};
use crate::settings::{PlexTarget, Secret, SettingsError, SettingsStore};
use crate::store::{Store, set_state};
use crate::web::error::{ApiError, ApiResult, Detail};

/// For counting what a server holds.
const COUNTING_TIMEOUT: Duration = Duration::from_secs(8);

/// The body of both POSTs.
#[derive(ToSchema)]
struct Candidate {
    url: String,
    #[schema(value_type = String)]
    token: Secret,
}

impl FromFields for Candidate {
    fn from_fields(fields: &mut Fields) -> Self {
        Self {
            url: fields.string("url"),
            token: Secret::new(fields.string("token")),
        }
    }
}

/// The stored configuration.
#[derive(Serialize, ToSchema)]
struct StoredConfig {
    url: String,
    /// In clear: the settings page shows it for editing.
    token: String,
    server_name: String,
    /// Legacy: the totals are always 0 here (contract 01, section 11).
    #[serde(flatten)]
    totals: Totals,
}

/// The answer to a configuration that was accepted.
#[derive(Serialize, ToSchema)]
struct Saved {
    status: &'static str,
    message: &'static str,
    server_name: String,
    #[serde(flatten)]
    totals: Totals,
}

/// What a server holds.
#[derive(Clone, Copy, Debug, Default, Serialize, ToSchema)]
struct Totals {
    total_users: u64,
    total_movies: u64,
    total_tv_shows: u64,
}

/// The verdict on a configuration.
#[derive(Serialize, ToSchema)]
struct Verdict {
    valid: bool,
    message: String,
    server_name: Option<String>,
}

/// A configuration that has proved to work.
struct Proven {
    target: PlexTarget,
    server_name: String,
    totals: Totals,
}

/// The configured Plex server, token included.
#[utoipa::path(get, path = "/api/plex/config", tag = "plex",
    responses((status = 200, body = StoredConfig)))]
async fn get_config(app: AppState) -> Json<StoredConfig> {
    let settings = app.settings.current();
    let form = &settings.plex_form;
    // As in 3.3.0, half a configuration is none.
    let configured = !form.url.is_empty() && !form.token.expose().is_empty();
    let shown = |text: &str| {
        if configured {
            text.to_owned()
        } else {
            String::new()
        }
    };
    Json(StoredConfig {
        url: shown(&form.url),
        token: shown(form.token.expose()),
        server_name: shown(&form.server_name),
        totals: Totals::default(),
    })
}

/// Checks a configuration and stores it if it works.
#[utoipa::path(post, path = "/api/plex/config", tag = "plex", request_body = Candidate,
    responses((status = 200, body = Saved), (status = 400, body = Detail),
        (status = 422, body = ValidationError), (status = 500, body = Detail)))]
async fn set_config(app: AppState, JsonBody(body): JsonBody<Candidate>) -> ApiResult<Json<Saved>> {
    let proven = prove(&app, &body).await.map_err(ApiError::bad_request)?;
    save(&app, &proven).await.map_err(|error| {
        let detail = format!("Failed to save configuration: {error}");
        ApiError::internal(detail, error)
    })?;
    Ok(Json(Saved {
        status: "success",
        message: "Configuration saved",
        server_name: proven.server_name,
        totals: proven.totals,
    }))
}

/// Checks a configuration. Legacy: one that works is stored as well, and a failure to store it
/// does not show (contract 01, section 13).
#[utoipa::path(post, path = "/api/plex/validate", tag = "plex", request_body = Candidate,
    responses((status = 200, body = Verdict), (status = 422, body = ValidationError)))]
async fn validate(app: AppState, JsonBody(body): JsonBody<Candidate>) -> Json<Verdict> {
    let proven = match prove(&app, &body).await {
        Ok(proven) => proven,
        Err(message) => {
            return Json(Verdict {
                valid: false,
                message,
                server_name: None,
            });
        }
    };
    if let Err(error) = save(&app, &proven).await {
        tracing::error!("The Plex configuration was not saved: {error}");
    }
    let Totals {
        total_users,
        total_movies,
        total_tv_shows,
    } = proven.totals;
    let name = proven.server_name;
    Json(Verdict {
        valid: true,
        message: format!(
            "Successfully connected to {name} ({total_users} users, {total_movies} movies, \
             {total_tv_shows} TV shows)"
        ),
        server_name: Some(name),
    })
}

/// Asks the server about itself. The error is for people (contract 01, section 14).
async fn prove(app: &AppState, candidate: &Candidate) -> Result<Proven, String> {
    let target = PlexTarget::parse(&candidate.url, candidate.token.expose());
    let target = target.map_err(|error| error.to_string())?;
    let server = app.plex.server(&target);
    let about = server.about().await.map_err(|error| error.to_string())?;
    let server_name = about.name.unwrap_or_else(|| "Plex Server".to_owned());
    tracing::info!("Successfully connected to Plex server: {server_name}");
    caches::forgive_failures();
    let totals = count(&server).await;
    Ok(Proven {
        target,
        server_name,
        totals,
    })
}

/// What the server holds; what can't be counted in time is shown as 0.
async fn count(server: &PlexServer) -> Totals {
    let deadline = Instant::now() + COUNTING_TIMEOUT;
    let users = counted("user count", deadline, counts::users_of(server));
    let sections = counted("library sections", deadline, server.sections());
    let (total_users, sections) = tokio::join!(users, sections);
    let libraries = libraries::read_list(sections);
    let count = |library: Library, content| async move {
        let what = counts::what(&library);
        let count = counted(&what, deadline, server.count(&library.key, content));
        Ok::<u64, Infallible>(count.await)
    };
    let Ok(found) = counts::sum(&libraries, counts::TITLES, count).await;
    Totals {
        total_users,
        total_movies: found.movies,
        total_tv_shows: found.tv_shows,
    }
}

/// The result of one call, or nothing at all: somebody waits in front of the settings page.
async fn counted<T: Default>(
    what: &str,
    deadline: Instant,
    call: impl Future<Output = Result<T, PlexError>>,
) -> T {
    let result = timeout_at(deadline, call)
        .await
        .unwrap_or(Err(PlexError::Timeout));
    result.unwrap_or_else(|error| {
        tracing::warn!("Could not fetch {what}: {error}");
        T::default()
    })
}

/// Stores a configuration that works, and lets the caches try it at once.
async fn save(app: &AppState, proven: &Proven) -> Result<(), SettingsError> {
    let url = proven.target.stored_url().to_owned();
    let token = proven.target.token.expose().to_owned();
    let name = proven.server_name.clone();
    let change = move |plex: &mut serde_json::Map<String, serde_json::Value>| {
        plex.insert("server_url".to_owned(), url.into());
        plex.insert("server_token".to_owned(), token.into());
        plex.insert("server_name".to_owned(), name.into());
    };
    app.settings.save_section("plex", change).await?;
    follow_server(app);
    Ok(())
}

/// Puts the Plex server of the settings in force: the caches let go of what an earlier one has
/// told, and what the new one holds is counted at once.
pub fn follow_server(app: &AppState) {
    if caches::adopt_server(app) {
        dashboard::refresh_now(app);
    }
}

/// Takes the Plex server that a version before `config.json` stored in the database over into
/// `config.json`, unless there is one in the settings (contract 06, section 3). Once: who removes
/// it from the settings later has decided so.
pub async fn adopt_old_config(settings: &SettingsStore, store: &Store) {
    const DONE: &str = "plex_stats_config";
    let form = &settings.current().plex_form;
    if !form.url.is_empty() || !form.token.expose().is_empty() || !store.is_writable() {
        return;
    }
    let adopted = async {
        if store.state(DONE).await?.is_some() {
            return anyhow::Ok(());
        }
        let Some(old) = store.old_plex_config().await? else {
            return Ok(());
        };
        tracing::info!("Migrating Plex config from database to config.json...");
        let change = move |plex: &mut serde_json::Map<String, serde_json::Value>| {
            plex.insert("server_url".to_owned(), old.url.into());
            plex.insert("server_token".to_owned(), old.token.into());
            if let Some(name) = old.name {
                plex.insert("server_name".to_owned(), name.into());
            }
        };
        settings.save_section("plex", change).await?;
        store
            .write(|c| Box::pin(set_state(c, DONE, "adopted")))
            .await?;
        tracing::info!("Plex config migration completed successfully");
        Ok(())
    };
    if let Err(error) = adopted.await {
        tracing::error!("The Plex configuration in the database was not adopted: {error}");
    }
}

/// The routes of this file.
pub(super) fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(get_config, set_config))
        .routes(routes!(validate))
}
