//! The simulated Sonarr and Radarr: downloads that advance, what came in before, and what they say of
//! themselves. They listen where the Plex server does, each below a path of its own.

mod places;

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::http::{Response, StatusCode};
use axum::middleware::{self, Next};
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Json, Router};
use chrono::{DateTime, SecondsFormat, TimeDelta};
use serde_json::{Value, json};

use self::places::{PLACES, Place, TORRENT, USENET};
use super::dice::Dice;
use super::library::{Item, Kind, Library};
use super::pages::Ask;
use super::plex::{Plex, Shared};

/// One of the two.
pub(super) struct Arr {
    /// Where it is on the simulator.
    pub(super) path: &'static str,
    /// What clients have to send as `X-Api-Key`.
    pub(super) key: &'static str,
    name: &'static str,
    version: &'static str,
    kind: Kind,
}

pub(super) static SONARR: Arr = Arr {
    path: "/sonarr",
    key: "demo-sonarr-key-81c6",
    name: "Sonarr",
    version: "4.0.11.2680",
    kind: Kind::Episode,
};

pub(super) static RADARR: Arr = Arr {
    path: "/radarr",
    key: "demo-radarr-key-5e02",
    name: "Radarr",
    version: "5.16.3.9541",
    kind: Kind::Movie,
};

const INDEXERS: [&str; 3] = ["Kettle Index", "Owl Post", "Tin Otter"];
const QUALITIES: [(u64, &str, u64); 4] = [
    (3, "WEBDL-1080p", 1080),
    (5, "WEBDL-720p", 720),
    (7, "Bluray-1080p", 1080),
    (18, "WEBDL-2160p", 2160),
];
/// What happened; the first is what happens most.
const EVENTS: [&str; 6] = [
    "downloadFolderImported",
    "grabbed",
    "downloadFolderImported",
    "grabbed",
    "downloadFailed",
    "episodeFileDeleted",
];
/// Entries of the history, one every 97 minutes.
const EVENTS_IN_ALL: usize = 130;
const BETWEEN_EVENTS: i64 = 97 * 60;

/// The paths of both, behind the gate of the server.
pub(super) fn router() -> Router<Arc<Plex>> {
    Router::new()
        .nest(SONARR.path, paths(&SONARR))
        .nest(RADARR.path, paths(&RADARR))
}

fn paths(arr: &'static Arr) -> Router<Arc<Plex>> {
    let queue = async |plex: Shared, ask: Ask| arr.queue(&plex, &ask);
    let queue_status = async || arr.queue_status();
    let history = async |plex: Shared, ask: Ask| arr.history(&plex, &ask);
    let status = async |plex: Shared| arr.status(&plex);
    Router::new()
        .route("/api/v3/queue", get(queue))
        .route("/api/v3/queue/status", get(queue_status))
        .route("/api/v3/history", get(history))
        .route("/api/v3/system/status", get(status))
        .layer(middleware::from_fn(
            async move |request: Request, next: Next| keyed(arr.key, request, next).await,
        ))
}

/// Lets a request in that has the key.
pub(super) async fn keyed(key: &str, request: Request, next: Next) -> Response<Body> {
    let given = request.headers().get("x-api-key");
    if given.is_some_and(|given| given.as_bytes() == key.as_bytes()) {
        next.run(request).await
    } else {
        let refusal = Json(json!({ "error": "Unauthorized" }));
        (StatusCode::UNAUTHORIZED, refusal).into_response()
    }
}

impl Arr {
    fn queue(&self, plex: &Plex, ask: &Ask) -> Response<Body> {
        let library = plex.library();
        let items = library.list(self.kind, None);
        let elapsed = plex.motion();
        let all = PLACES.iter().enumerate().map(|(at, place)| {
            let (round, share) = place.progress(elapsed);
            let number = at as u64 + round * PLACES.len() as u64;
            let mut dice = Dice::new(library.seed, &[number, 70, self.kind.number()]);
            let item = items[dice.index(items.len())];
            self.download(&library, place, item, (number, share), elapsed)
        });
        page(ask, "timeleft", all.collect())
    }

    /// One download of the queue. Legacy: a real one adds the episode only when asked to, which
    /// 3.3.0 never does, though its pages would show it.
    fn download(
        &self,
        library: &Library,
        place: &Place,
        item: &Item,
        (number, share): (u64, f64),
        elapsed: Option<Duration>,
    ) -> Value {
        let mut dice = Dice::new(library.seed, &[number, 71, self.kind.number()]);
        let size = place.megabytes * 1_048_576 + dice.below(1_048_576);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "a share of a size, both positive"
        )]
        let left = (size as f64 * (1.0 - share)) as u64;
        let now = library.born_at + seconds(elapsed.unwrap_or_default().as_secs());
        let mut entry = Self::entry(library, item, &mut dice);
        let what_it_is = json!({
            "id": 4_000 + number,
            "title": entry["sourceTitle"],
            "status": place.status,
            "trackedDownloadStatus": if place.trouble.is_some() { "warning" } else { "ok" },
            "trackedDownloadState": if left == 0 { "importPending" } else { "downloading" },
            "size": size,
            "sizeleft": left,
            "protocol": place.by.0,
            "downloadClient": place.by.1,
            "indexer": dice.pick(&INDEXERS),
            "downloadId": dice.hex(40).to_uppercase(),
            "added": time(now - 600 - seconds(place.takes)),
            "statusMessages": place.trouble.map(|text| json!({ "title": "", "messages": [text] })),
        });
        entry.extend(what_it_is.as_object().cloned().unwrap_or_default());
        if place.takes > 0 {
            let left = Duration::from_secs(place.takes)
                .mul_f64(1.0 - share)
                .as_secs();
            let clock = format!("{:02}:{:02}:{:02}", left / 3600, left / 60 % 60, left % 60);
            entry.insert("timeleft".to_owned(), clock.into());
            entry.insert(
                "estimatedCompletionTime".to_owned(),
                time(now + seconds(left)).into(),
            );
        }
        entry.remove("sourceTitle");
        Value::Object(entry)
    }

    fn queue_status(&self) -> Response<Body> {
        let warnings = PLACES.iter().any(|place| place.trouble.is_some());
        Json(json!({
            "totalCount": PLACES.len(),
            "count": PLACES.len(),
            "unknownCount": 0,
            "errors": false,
            "warnings": warnings,
            "unknownErrors": false,
            "unknownWarnings": false,
            "id": self.kind.number(),
        }))
        .into_response()
    }

    fn history(&self, plex: &Plex, ask: &Ask) -> Response<Body> {
        let library = plex.library();
        let items = library.list(self.kind, None);
        let all = (0..EVENTS_IN_ALL).map(|back| {
            let mut dice = Dice::new(library.seed, &[back as u64, 72, self.kind.number()]);
            let item = items[dice.index(items.len())];
            let mut entry = Self::entry(&library, item, &mut dice);
            let event = EVENTS[back % EVENTS.len()];
            let event = if self.kind == Kind::Movie {
                event.replace("episodeFile", "movieFile")
            } else {
                event.to_owned()
            };
            let by = if dice.chance(50) { USENET } else { TORRENT };
            let what_happened = json!({
                "id": 9_000 + EVENTS_IN_ALL - back,
                "eventType": event,
                "date": time(library.born_at - seconds(back as u64) * BETWEEN_EVENTS),
                "downloadId": dice.hex(40).to_uppercase(),
                "downloadClient": by.1,
                "indexer": dice.pick(&INDEXERS),
                "qualityCutoffNotMet": false,
                "data": { "downloadClient": by.1, "protocol": by.0 },
            });
            entry.extend(what_happened.as_object().cloned().unwrap_or_default());
            for (name, asked) in [
                ("series", "includeSeries"),
                ("episode", "includeEpisode"),
                ("movie", "includeMovie"),
            ] {
                if ask.value(asked) != Some("true") {
                    entry.remove(name);
                }
            }
            Value::Object(entry)
        });
        page(ask, "date", all.collect())
    }

    /// What queue and history say of an item.
    fn entry(library: &Library, item: &Item, dice: &mut Dice) -> serde_json::Map<String, Value> {
        let (quality, name, resolution) = *dice.pick(&QUALITIES);
        let formats = if dice.chance(40) {
            json!([{ "id": 1, "name": "Repack" }])
        } else {
            json!([])
        };
        let season = library.parent(item);
        let show = season.and_then(|season| library.parent(season));
        let number = season.and_then(|season| season.index).unwrap_or(0);
        let episode = item.index.unwrap_or(0);
        let (release, own) = match show {
            Some(show) => (
                format!("{} S{number:02}E{episode:02} {name}", show.title),
                json!({
                    "seriesId": show.id,
                    "episodeId": item.id,
                    "seasonNumber": number,
                    "series": { "id": show.id, "title": show.title, "year": show.year },
                    "episode": {
                        "id": item.id,
                        "seriesId": show.id,
                        "seasonNumber": number,
                        "episodeNumber": episode,
                        "title": item.title,
                    },
                }),
            ),
            None => (
                format!("{} {name}", item.title),
                json!({
                    "movieId": item.id,
                    "movie": { "id": item.id, "title": item.title, "year": item.year },
                }),
            ),
        };
        let mut entry = own.as_object().cloned().unwrap_or_default();
        let common = json!({
            "sourceTitle": release.replace(' ', "."),
            "languages": [{ "id": 1, "name": "English" }],
            "quality": {
                "quality": { "id": quality, "name": name, "source": "web", "resolution": resolution },
                "revision": { "version": 1, "real": 0, "isRepack": false },
            },
            "customFormats": formats,
            "customFormatScore": 0,
        });
        entry.extend(common.as_object().cloned().unwrap_or_default());
        entry
    }

    fn status(&self, plex: &Plex) -> Response<Body> {
        Json(json!({
            "appName": self.name,
            "instanceName": self.name,
            "version": self.version,
            "buildTime": "2026-09-30T17:20:11Z",
            "isDebug": false,
            "isProduction": true,
            "isAdmin": false,
            "isUserInteractive": false,
            "startupPath": format!("/app{}/bin", self.path),
            "appData": "/config",
            "osName": "alpine",
            "osVersion": "3.20.3",
            "isNetCore": true,
            "isLinux": true,
            "isDocker": true,
            "mode": "console",
            "branch": "main",
            "authentication": "forms",
            "migrationVersion": 217,
            "urlBase": self.path,
            "runtimeVersion": "6.0.35",
            "runtimeName": ".NET",
            "startTime": time(plex.library().born_at),
        }))
        .into_response()
    }
}

/// The page of `all` that was asked for.
fn page(ask: &Ask, sorted_by: &str, all: Vec<Value>) -> Response<Body> {
    let number = ask.number("page").unwrap_or(1_usize).max(1);
    let size = ask.number("pageSize").unwrap_or(10_usize);
    let total = all.len();
    let start = (number - 1).saturating_mul(size);
    let records: Vec<Value> = all.into_iter().skip(start).take(size).collect();
    Json(json!({
        "page": number,
        "pageSize": size,
        "sortKey": sorted_by,
        "sortDirection": ask.value("sortDirection").unwrap_or("ascending"),
        "totalRecords": total,
        "records": records,
    }))
    .into_response()
}

fn seconds(seconds: u64) -> i64 {
    i64::try_from(seconds).unwrap_or(i64::MAX)
}

/// As these services write it.
pub(super) fn time(epoch: i64) -> String {
    let time = DateTime::UNIX_EPOCH + TimeDelta::seconds(epoch);
    time.to_rfc3339_opts(SecondsFormat::Secs, true)
}
