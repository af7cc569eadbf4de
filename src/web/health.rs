//! Signs of life, and what a page needs to know first.

use axum::Json;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::app::AppState;

/// The answer to health.
#[derive(Serialize, ToSchema)]
struct Health {
    status: &'static str,
    version: &'static str,
    /// Monitored services.
    services_count: usize,
}

/// The answer to config.
#[derive(Serialize, ToSchema)]
struct PageConfig {
    /// An IANA name: the frontend breaks on anything else.
    timezone: &'static str,
}

/// Is the server up, and are these credentials right? The log-in page asks here.
#[utoipa::path(get, path = "/api/health", tag = "server",
    responses((status = 200, body = Health)))]
async fn health(app: AppState) -> Json<Health> {
    Json(Health {
        status: "healthy",
        version: env!("CARGO_PKG_VERSION"),
        services_count: app.monitor.len(),
    })
}

/// Is the process alive? For Docker and load balancers: public and without any work.
#[utoipa::path(get, path = "/healthz", tag = "server",
    responses((status = 200, body = str)))]
async fn healthz() -> &'static str {
    "ok"
}

/// The dashboard's time zone.
#[utoipa::path(get, path = "/api/config", tag = "server",
    responses((status = 200, body = PageConfig)))]
async fn config(app: AppState) -> Json<PageConfig> {
    Json(PageConfig {
        timezone: app.settings.current().timezone.name(),
    })
}

/// The routes of this file.
pub(super) fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(health))
        .routes(routes!(healthz))
        .routes(routes!(config))
}
