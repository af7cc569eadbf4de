//! `POST /api/plex/watch-history/sync`: a run on demand.

use std::time::Duration;

use axum::Json;
use serde::Serialize;
use tokio::sync::oneshot;
use tokio::time::timeout;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{Counts, LOOP, Outcome};
use crate::app::AppState;

/// A client waits no longer than this; the first import of a long history takes minutes.
const PATIENCE: Duration = Duration::from_secs(25);

/// The answer to watch-history/sync.
#[derive(Serialize, ToSchema)]
struct Synced {
    /// False if the run did not come to its end. True also while it goes on.
    success: bool,
    /// What became of it; for people.
    message: String,
    /// Plays that were not stored before.
    new: u64,
    /// Plays of Plex that were looked at.
    scanned: u64,
    /// Plays still to be looked at; null where that is not known.
    remaining: Option<u64>,
}

/// Brings the watch history up to date, or joins the run that does so already.
#[utoipa::path(post, path = "/api/plex/watch-history/sync", tag = "plex",
    responses((status = 200, body = Synced)))]
async fn sync_watch_history(_app: AppState) -> Json<Synced> {
    let stopped = || {
        answer(
            Counts::default(),
            Err("The server is being stopped".to_owned()),
        )
    };
    let (report, done) = oneshot::channel();
    let Some(runs) = LOOP.get() else {
        return stopped();
    };
    if runs.requests.send(report).await.is_err() {
        return stopped();
    }
    match timeout(PATIENCE, done).await {
        Ok(Ok(Outcome { counts, failure })) => {
            let completed = "Watch history sync completed";
            answer(counts, failure.map_or(Ok(completed), Err))
        }
        Ok(Err(_ended)) => stopped(),
        Err(_elapsed) => {
            let goes_on = "Watch history sync goes on in the background";
            answer(*runs.counts.borrow(), Ok(goes_on))
        }
    }
}

/// Status 200 even on failure, as in 3.3.0.
fn answer(counts: Counts, end: Result<&str, String>) -> Json<Synced> {
    Json(Synced {
        success: end.is_ok(),
        message: end.map_or_else(|failure| failure, str::to_owned),
        new: counts.new,
        scanned: counts.scanned,
        remaining: counts.remaining,
    })
}

/// The routes of this file.
pub(in crate::plex) fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(sync_watch_history))
}
