//! `/api/arr-activity/*`: what Sonarr and Radarr are downloading, and what they have downloaded
//! (contract 05, section 1).
//!
//! Each answer has an object for every configured server, whatever became of asking it: what is
//! wrong with one is an `error` beside its name, and the others are shown. All are asked at the same
//! time. Lists are passed on as they come, for a queue may have ten thousand entries.

mod ask;
mod shapes;

use axum::response::{Response, Result};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use self::ask::{ask_all, written};
use self::shapes::{History, Queue, QueueStatus, SystemStatus};
use crate::app::AppState;
use crate::compat::validation::{QueryParameters, ValidationError};
use crate::web::error::ApiResult;

/// Entries of a page of the history, unless the request says otherwise.
const PAGE_SIZE: i64 = 50;
/// With more of them a page could be larger than an answer may be: one entry has up to 10 KB.
const LARGEST_PAGE: i64 = 1000;
/// Sonarr counts entries in 32 bits.
const LAST_PAGE: i64 = 1_000_000;

/// What each server is downloading, all of it.
#[utoipa::path(get, path = "/api/arr-activity/queue", tag = "arr-activity",
    responses((status = 200, body = BTreeMap<String, Queue<'_>>)))]
async fn queue(app: AppState) -> ApiResult<Response> {
    let servers = ask_all(&app, |kind| {
        let unknown = match kind {
            "sonarr" => Some(("includeUnknownSeriesItems", "true")),
            "radarr" => Some(("includeUnknownMovieItems", "true")),
            _ => None,
        };
        let mut query = vec![("pageSize", "10000"), ("page", "1")];
        query.extend(unknown);
        ("/api/v3/queue", query)
    })
    .await;
    written(servers, |all| serde_json::to_vec(&all.map(Queue::of))).await
}

/// How many downloads each server has, and all together.
#[utoipa::path(get, path = "/api/arr-activity/queue/status", tag = "arr-activity",
    responses((status = 200, body = QueueStatus<'_>)))]
async fn queue_status(app: AppState) -> ApiResult<Response> {
    let servers = ask_all(&app, |_| ("/api/v3/queue/status", Vec::new())).await;
    written(servers, |all| serde_json::to_vec(&QueueStatus::of(all))).await
}

/// What each server has downloaded, deleted or failed to get, the newest first.
#[utoipa::path(get, path = "/api/arr-activity/history", tag = "arr-activity",
    params(("page" = Option<i64>, Query, description = "From 1 on, which is the default."),
        ("page_size" = Option<i64>, Query, description = "Entries of each server, 1 to 1000; 50 by default.")),
    responses((status = 200, body = BTreeMap<String, History<'_>>),
        (status = 422, body = ValidationError)))]
async fn history(app: AppState, query: QueryParameters) -> Result<Response> {
    let page = query.optional_integer("page")?.unwrap_or(1);
    let page = page.clamp(1, LAST_PAGE).to_string();
    let size = query.optional_integer("page_size")?.unwrap_or(PAGE_SIZE);
    let size = size.clamp(1, LARGEST_PAGE).to_string();
    let servers = ask_all(&app, |_| {
        let query = vec![
            ("page", &*page),
            ("pageSize", &*size),
            ("sortKey", "date"),
            ("sortDirection", "descending"),
            ("includeSeries", "true"),
            ("includeEpisode", "true"),
            ("includeMovie", "true"),
        ];
        ("/api/v3/history", query)
    })
    .await;
    Ok(written(servers, |all| serde_json::to_vec(&all.map(History::of))).await?)
}

/// What each server is. The settings page takes one for well that names its version, its branch or
/// when it was built.
#[utoipa::path(get, path = "/api/arr-activity/system/status", tag = "arr-activity",
    responses((status = 200, body = BTreeMap<String, SystemStatus<'_>>)))]
async fn system_status(app: AppState) -> ApiResult<Response> {
    let servers = ask_all(&app, |_| ("/api/v3/system/status", Vec::new())).await;
    written(servers, |all| {
        serde_json::to_vec(&all.map(SystemStatus::of))
    })
    .await
}

/// The routes of this folder.
pub(super) fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(queue))
        .routes(routes!(queue_status))
        .routes(routes!(history))
        .routes(routes!(system_status))
}

#[cfg(test)]
mod tests;
