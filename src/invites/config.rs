//! What the pages of invites need to know of the settings: `GET /api/invites/plex/config` and
//! `GET /api/invites/tmdb/api-key` (contract 04, sections 2 and 3).

use axum::Json;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::model::named;
use crate::app::AppState;
use crate::plex;

/// What an invite can let somebody into.
#[derive(Serialize, ToSchema)]
struct Offer {
    servers: Vec<OfferedServer>,
    libraries: Vec<OfferedLibrary>,
    /// Only where no server is configured.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'static str>,
}

/// The one server there is.
#[derive(Serialize, ToSchema)]
struct OfferedServer {
    /// `default`.
    id: &'static str,
    name: String,
    url: String,
}

/// A library of any kind.
#[derive(Serialize, ToSchema)]
struct OfferedLibrary {
    /// Its key, of which the field `libraries` of invites is made.
    id: String,
    name: String,
    r#type: String,
}

/// The answer about TMDB.
#[derive(Serialize, ToSchema)]
struct TmdbKey {
    /// Empty where there is none.
    api_key: String,
}

impl From<plex::Library> for OfferedLibrary {
    fn from(library: plex::Library) -> Self {
        Self {
            id: library.key,
            name: library.title,
            r#type: library.kind,
        }
    }
}

/// Which libraries an invite can open. Without them, if Plex does not answer.
#[utoipa::path(get, path = "/api/invites/plex/config", tag = "invites",
    responses((status = 200, body = Offer)))]
async fn get_offer(app: AppState) -> Json<Offer> {
    let settings = app.settings.current();
    let Some(target) = &settings.plex else {
        return Json(Offer {
            servers: Vec::new(),
            libraries: Vec::new(),
            error: Some("Plex server not configured"),
        });
    };
    let libraries = plex::libraries(&app).await.unwrap_or_else(|error| {
        tracing::warn!("Could not fetch libraries: {error}");
        Vec::new()
    });
    Json(Offer {
        servers: vec![OfferedServer {
            id: "default",
            name: named(&settings.plex_form.server_name).to_owned(),
            url: target.stored_url().to_owned(),
        }],
        libraries: libraries.into_iter().map(OfferedLibrary::from).collect(),
        error: None,
    })
}

/// The key for pictures of TMDB. Public: the page of an invite uses it in the visitor's browser.
#[utoipa::path(get, path = "/api/invites/tmdb/api-key", tag = "invites",
    responses((status = 200, body = TmdbKey)))]
async fn get_tmdb_key(app: AppState) -> Json<TmdbKey> {
    let settings = app.settings.current();
    Json(TmdbKey {
        api_key: settings.integrations.tmdb_api_key.expose().to_owned(),
    })
}

/// The routes of this file.
pub(super) fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(get_offer))
        .routes(routes!(get_tmdb_key))
}
