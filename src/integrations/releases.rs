//! `GET /api/releases`: what the About page lists.

use axum::Json;
use axum::response::{IntoResponse as _, Response};
use chrono::Utc;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::github::{self, Release};
use crate::app::AppState;
use crate::cache::answer::describe;

/// The answer, with `releases` or with `error`.
#[derive(Serialize, ToSchema)]
struct Releases {
    success: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    releases: Option<Vec<Listed>>,
    /// Why there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// One release.
#[derive(Serialize, ToSchema)]
struct Listed {
    /// Its tag, with the `v`.
    version: String,
    html_url: String,
    /// Whole days since it was published.
    days_ago: i64,
    is_prerelease: bool,
    /// As GitHub writes it.
    published_at: String,
}

/// The ten newest releases on GitHub.
///
/// The status is 200 in any case. GitHub is asked every 15 minutes at most.
#[utoipa::path(get, path = "/api/releases", tag = "version",
    responses((status = 200, body = Releases)))]
async fn list_releases(app: AppState) -> Response {
    match github::releases(&app).await {
        Ok(cached) => {
            let mut response = Json(listed(&cached.stored.value)).into_response();
            describe(response.headers_mut(), &cached);
            response
        }
        Err(error) => Json(Releases {
            success: false,
            releases: None,
            error: Some(error.message.clone()),
        })
        .into_response(),
    }
}

fn listed(releases: &[Release]) -> Releases {
    let now = Utc::now();
    let listed = releases.iter().filter_map(|release| {
        Some(Listed {
            version: release.tag.clone(),
            html_url: release.html_url.clone(),
            days_ago: release.days_ago(now)?,
            is_prerelease: release.prerelease,
            published_at: release.published_at.clone(),
        })
    });
    Releases {
        success: true,
        releases: Some(listed.collect()),
        error: None,
    }
}

/// The routes of this file.
pub(super) fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(list_releases))
}
