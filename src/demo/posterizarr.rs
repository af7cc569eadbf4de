//! The simulated Posterizarr: what it has made of the simulated library. It insists on its key, in
//! the query. It listens where the server does, below a path of its own.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{Response, StatusCode};
use axum::middleware::{self, Next};
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Json, Router};
use chrono::{SecondsFormat, TimeDelta, Utc};
use serde_json::{Value, json};

use super::pages::Ask;
use super::plex::{Plex, Shared};

/// Where it is on the simulator.
pub(super) const PATH: &str = "/posterizarr";
/// The key that it insists on.
pub(super) const KEY: &str = "demo-posterizarr-key";
/// Runs that it remembers.
const RUNS: i64 = 40;

/// Its API, behind the gate of the server.
pub(super) fn router() -> Router<Arc<Plex>> {
    let api = Router::new()
        .route(
            "/",
            get(async || Json(json!({ "message": "Posterizarr API" }))),
        )
        .route("/dashboard/all", get(dashboard))
        .route(
            "/system-info",
            get(async || Json(json!({ "platform": "Linux", "memory": "8 GB" }))),
        )
        .route("/version", get(async || Json(version())))
        .route(
            "/status",
            get(async |plex: Shared| Json(json!({ "running": is_running(&plex) }))),
        )
        .route("/scheduler/status", get(scheduler))
        .route("/runtime-history", get(history))
        .route(
            "/assets/overview",
            get(async || Json(json!({ "categories": { "missing": 3 } }))),
        )
        .route("/assets/stats", get(assets))
        .route("/plex-export/statistics", get(statistics))
        .route(
            "/plex-export/runs",
            get(async || Json(json!({ "success": true, "runs": [at(-7)] }))),
        )
        .layer(middleware::from_fn(insist));
    Router::new().nest(&format!("{PATH}/api"), api)
}

async fn insist(ask: Ask, request: Request, next: Next) -> Response<Body> {
    if ask.value("api_key") == Some(KEY) {
        return next.run(request).await;
    }
    let refusal = Json(json!({ "detail": "Invalid or missing API key" }));
    (StatusCode::UNAUTHORIZED, refusal).into_response()
}

/// It works for one minute of three.
fn is_running(State(plex): &Shared) -> bool {
    plex.motion().unwrap_or_default().as_secs() / 60 % 3 == 1
}

fn version() -> Value {
    json!({ "local": "2.1.4", "remote": "2.2.0", "is_update_available": true })
}

async fn dashboard(plex: Shared) -> Response<Body> {
    Json(json!({
        "success": true,
        "status": { "running": is_running(&plex), "current_mode": "normal" },
        "version": version(),
        "scheduler_status": { "enabled": true, "running": true, "next_run": at(5) },
    }))
    .into_response()
}

async fn scheduler(plex: Shared) -> Response<Body> {
    Json(json!({
        "success": true,
        "enabled": true,
        "running": true,
        "is_executing": is_running(&plex),
        "timezone": "UTC",
        "last_run": at(-7),
        "next_run": at(5),
        "schedules": [
            { "time": "03:00", "description": "At night" },
            { "time": "15:00", "description": "In the afternoon" },
        ],
        "active_jobs": [{ "id": "posterizarr_0", "name": "Posterizarr at 03:00", "next_run": at(5) }],
    }))
    .into_response()
}

async fn history(ask: Ask) -> Response<Body> {
    let limit = ask.number("limit").unwrap_or(50);
    let runs = (0..RUNS).take(limit).map(|n| {
        json!({
            "id": RUNS - n,
            "timestamp": at(-7 - 12 * n),
            "mode": if n % 5 == 4 { "backup" } else { "normal" },
            "runtime_formatted": format!("0h:{}m:{}s", 2 + n % 7, n * 11 % 60),
            "total_images": n * 13 % 50,
            "errors": i64::from(n % 9 == 3),
            "status": if n % 9 == 3 { "failed" } else { "completed" },
        })
    });
    let runs: Vec<Value> = runs.collect();
    Json(json!({ "success": true, "total": RUNS, "history": runs })).into_response()
}

async fn assets() -> Response<Body> {
    let folder = |name, posters, files, size| {
        json!({ "name": name, "path": format!("/assets/{name}"), "poster_count": posters,
                "files": files, "size": size })
    };
    Json(json!({
        "success": true,
        "stats": {
            "posters": 76,
            "backgrounds": 61,
            "seasons": 25,
            "titlecards": 177,
            "total_size": 412_316_860,
            "folders": [
                folder("Films", 64, 121, 187_002_411),
                folder("TV Shows", 12, 218, 225_314_449),
            ],
        },
    }))
    .into_response()
}

async fn statistics(State(plex): Shared) -> Response<Body> {
    Json(json!({
        "success": true,
        "statistics": {
            "total_runs": RUNS,
            "total_library_records": 76,
            "total_episode_records": 177,
            "latest_run": at(-7),
            "server": plex.options.name,
        },
    }))
    .into_response()
}

/// So many hours from the last full one.
fn at(hours: i64) -> String {
    let now = Utc::now();
    let hour = now.timestamp().rem_euclid(3600);
    let time = now - TimeDelta::seconds(hour) + TimeDelta::hours(hours);
    time.to_rfc3339_opts(SecondsFormat::Secs, true)
}
