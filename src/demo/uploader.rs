//! The simulated uploader: files on their way to a store elsewhere, waiting ones, and those that
//! are there. It has no key. It listens where the server does, below a path of its own.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::Response;
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Json, Router};
use chrono::DateTime;
use serde_json::{Value, json};

use super::dice::Dice;
use super::pages::Ask;
use super::plex::{Plex, Shared};
use super::words::{ODD_FILMS, SHOWS};

/// Where it is on the simulator.
pub(super) const PATH: &str = "/uploader";
const DRIVES: [&str; 2] = ["tvshows", "movies"];
/// Uploads at a time, and files that wait, are done, and have failed.
const RUNNING: u64 = 3;
const WAITING: u64 = 5;
const DONE: usize = 64;
const FAILED: usize = 3;
const MEGABYTE: u64 = 1_000_000;

/// Its scripts, behind the gate of the server.
pub(super) fn router() -> Router<Arc<Plex>> {
    Router::new()
        .route(&path("system/status"), get(status))
        .route(&path("jobs/queue"), get(queue))
        .route(&path("jobs/inprogress"), get(in_progress))
        .route(&path("jobs/completed"), get(completed))
        .route(&path("jobs/failed"), get(failures))
        .route(&path("jobs/queue_stats"), get(queue_stats))
        .route(
            &path("jobs/completed_today_stats"),
            get(async || Json(json!({ "count": 12 }))),
        )
        .route(
            &path("jobs/failed_count"),
            get(async || Json(json!({ "count": FAILED }))),
        )
}

fn path(script: &str) -> String {
    format!("{PATH}/srv/api/{script}.php")
}

async fn status(State(plex): Shared) -> Response<Body> {
    let hours = 61 + plex.motion().unwrap_or_default().as_secs() / 3600;
    Json(json!({
        "status": "STARTED",
        "uptime": format!("{} days, {} hours", hours / 24, hours % 24),
        "storage": "2.1 TB of 8 TB used",
    }))
    .into_response()
}

async fn queue(State(plex): Shared) -> Response<Body> {
    let born = plex.library().born_at;
    let files = (0..WAITING).map(|n| {
        let file = File::new(100 + n);
        json!({
            "filename": file.name,
            "drive": file.drive,
            "filedir": file.directory,
            "filesize": file.size,
            "created_at": born - 60 * i64::try_from(n).unwrap_or(0),
        })
    });
    Json(json!({ "files": files.collect::<Vec<_>>() })).into_response()
}

async fn queue_stats() -> Response<Body> {
    let sizes = (0..WAITING).map(|n| File::new(100 + n).size);
    Json(json!({ "count": WAITING, "total_size": sizes.sum::<u64>() })).into_response()
}

/// Each place is taken by another file when the one before has arrived.
async fn in_progress(State(plex): Shared) -> Response<Body> {
    let now = plex.motion().unwrap_or_default().as_secs();
    let jobs = (0..RUNNING).map(|place| {
        let (speed, seconds) = (12 + 7 * place, 90 + 40 * place);
        let (round, passed) = ((now + 30 * place) / seconds, (now + 30 * place) % seconds);
        let file = File::new(200 + round * RUNNING + place);
        let left = seconds - passed;
        json!({
            "file_name": file.name,
            "drive": file.drive,
            "file_directory": file.directory,
            "gdsa": file.store,
            "upload_percentage": format!("{}%", passed * 100 / seconds),
            "file_size": speed * seconds * MEGABYTE,
            "upload_remainingtime": format!("{}m{}s", left / 60, left % 60),
            "upload_speed": format!("{speed}.{}M", now % 10),
        })
    });
    Json(json!({ "jobs": jobs.collect::<Vec<_>>() })).into_response()
}

async fn completed(State(plex): Shared, ask: Ask) -> Response<Body> {
    let born = plex.library().born_at;
    page(&ask, DONE, |number| {
        let file = File::new(300 + number);
        let mut job = file.ended(born, number);
        job["gdsa"] = file.store.into();
        job["time_elapsed"] = format!("{}m{}s", 1 + number % 9, number * 7 % 60).into();
        job
    })
}

async fn failures(State(plex): Shared, ask: Ask) -> Response<Body> {
    let born = plex.library().born_at;
    page(&ask, FAILED, |number| {
        let mut job = File::new(400 + number).ended(born, 40 * (number + 1));
        job["error_message"] = "The store was full for a moment".into();
        job
    })
}

/// The page of `total` entries that was asked for, the newest first.
fn page(ask: &Ask, total: usize, entry: impl Fn(u64) -> Value) -> Response<Body> {
    let size = ask.number("pageSize").unwrap_or(25).max(1);
    let first = (ask.number("pageNumber").unwrap_or(1).max(1) - 1_usize).saturating_mul(size);
    let jobs = (0..total as u64).skip(first).take(size).map(entry);
    Json(json!({ "jobs": jobs.collect::<Vec<_>>(), "total_count": total })).into_response()
}

/// A made-up file; equal numbers give equal files.
struct File {
    name: String,
    directory: String,
    drive: &'static str,
    store: String,
    size: u64,
}

impl File {
    fn new(number: u64) -> Self {
        let mut dice = Dice::new(number, &[70]);
        let drive = *dice.pick(&DRIVES);
        let (name, directory) = if drive == "tvshows" {
            let (show, season) = (dice.pick(&SHOWS), dice.between(1, 4));
            let episode = dice.between(1, 12);
            let name = format!("{show} - S{season:02}E{episode:02}.mkv");
            (name, format!("{show}/Season {season}"))
        } else {
            let film = dice.pick(&ODD_FILMS);
            (format!("{film}.mkv"), (*film).to_owned())
        };
        Self {
            name,
            directory,
            drive,
            store: format!("STORE{:02}", dice.between(1, 20)),
            size: dice.between(300, 9000) * MEGABYTE,
        }
    }

    /// An upload that had ended so many quarters of an hour before `now`.
    fn ended(&self, now: i64, quarters: u64) -> Value {
        let ended = now - 900 * i64::try_from(quarters).unwrap_or(0);
        let date = DateTime::from_timestamp(ended, 0).unwrap_or_default();
        json!({
            "file_name": self.name,
            "drive": self.drive,
            "file_directory": self.directory,
            "file_size": self.size,
            "time_end": ended,
            "time_end_clean": date.format("%d.%m.%Y %H:%M").to_string(),
        })
    }
}
