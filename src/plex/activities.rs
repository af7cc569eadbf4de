//! `GET /api/plex/activities` and `GET /api/downloads`: what the server does right now.
//!
//! Plex's background work (scans, downloads) and its running streams, as one list. The
//! frontend asks for it every five seconds from every open tab.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Json;
use axum::http::HeaderMap;
use axum::response::{IntoResponse as _, Response};
use chrono::Utc;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::NOT_CONFIGURED;
use super::error::PlexError;
use super::freshness::FreshnessLog;
use super::moment::{Moment, from_plex};
use super::progress::percent;
use super::sessions;
use super::sharing::{Need, Sharing};
use super::streams::Streams;
use super::wire::{self, RawItem};
use crate::app::AppState;
use crate::cache::shared::Waited;
use crate::cache::{
    self, Accepts, Answer, CacheEntry, FetchError, Fetched, Origin, Policy, SharedError,
};
use crate::compat::datetime;
use crate::settings::CacheSettings;

/// Plex's answer of the last seconds, ready to send.
pub(super) static ACTIVITIES: Mutex<CacheEntry<Answer>> = Mutex::new(CacheEntry::new(
    "plex_activities",
    Policy {
        ttl: Duration::from_secs(5),
        max_stale: Duration::from_secs(300),
        max_wait: Duration::from_secs(2),
    },
));

/// The name that other instances know it by.
pub(super) static SHARING: Sharing = Sharing {
    name: "plex:activities",
    policy,
};

/// The answer to activities and downloads.
#[derive(Serialize, ToSchema)]
struct Activities {
    /// True when there is neither an answer from Plex nor an older one.
    error: bool,
    /// Background work first, then streams.
    activities: Vec<Activity>,
    /// When Plex was asked: local time without a zone, as 3.3.0 writes it.
    timestamp: String,
}

/// [`Activities`] with the fields that are added per request, for the description of the API.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes what `Answer` writes")]
struct CachedActivities {
    error: bool,
    activities: Vec<Activity>,
    /// When Plex was asked; this and the next ones are missing when there is nothing to show.
    timestamp: Option<String>,
    /// The value was in memory already.
    cached: Option<bool>,
    /// Its age in seconds.
    cache_age: Option<f64>,
    /// It is older than it should be, because Plex does not answer.
    stale: Option<bool>,
    /// For people, when stale or on error.
    message: Option<String>,
}

/// The answer when there is nothing to show.
#[derive(Serialize)]
struct NoActivities {
    error: bool,
    message: String,
    activities: [Activity; 0],
}

/// A stream or a piece of background work.
#[derive(Serialize, ToSchema)]
struct Activity {
    uuid: String,
    title: String,
    subtitle: String,
    /// `stream`, `transcode`, `pause`, or Plex's own name of an activity.
    #[serde(rename = "type")]
    kind: String,
    /// Percent; not capped, -1 where Plex does not know.
    progress: f64,
    /// The object that Plex sent, unchanged.
    #[schema(value_type = Object)]
    raw_data: RawItem,
}

/// `MediaContainer.Activity[]`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct PlexActivity {
    #[serde(deserialize_with = "wire::text")]
    uuid: Option<String>,
    #[serde(deserialize_with = "wire::text")]
    title: Option<String>,
    #[serde(deserialize_with = "wire::text")]
    subtitle: Option<String>,
    #[serde(rename = "type", deserialize_with = "wire::text")]
    kind: Option<String>,
    #[serde(deserialize_with = "wire::number")]
    progress: Option<f64>,
}

/// The part of `MediaContainer.Metadata[]` of a session that is needed here.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct PlexSession {
    #[serde(deserialize_with = "wire::text")]
    session_key: Option<String>,
    #[serde(deserialize_with = "wire::text")]
    key: Option<String>,
    #[serde(deserialize_with = "wire::text")]
    grandparent_title: Option<String>,
    #[serde(deserialize_with = "wire::text")]
    title: Option<String>,
    /// Milliseconds.
    #[serde(deserialize_with = "wire::number")]
    view_offset: Option<f64>,
    /// Milliseconds.
    #[serde(deserialize_with = "wire::number")]
    duration: Option<f64>,
    #[serde(rename = "TranscodeSession", deserialize_with = "wire::filled")]
    transcodes: bool,
    #[serde(rename = "Player", deserialize_with = "wire::object")]
    player: Option<PlexPlayer>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct PlexPlayer {
    #[serde(deserialize_with = "wire::text")]
    state: Option<String>,
}

/// Current streams and background work of the Plex server.
#[utoipa::path(get, path = "/api/plex/activities", tag = "plex",
    responses((status = 200, body = CachedActivities)))]
async fn get_activities(app: AppState, headers: HeaderMap) -> Response {
    respond(&app, &headers).await
}

/// The same as `/api/plex/activities`, under its older name.
#[utoipa::path(get, path = "/api/downloads", tag = "plex",
    responses((status = 200, body = CachedActivities)))]
async fn get_downloads(app: AppState, headers: HeaderMap) -> Response {
    respond(&app, &headers).await
}

async fn respond(app: &AppState, headers: &HeaderMap) -> Response {
    static SAID: AtomicBool = AtomicBool::new(false);
    static LOG: FreshnessLog = FreshnessLog::of("activities");
    if app.settings.current().plex.is_none() {
        if !SAID.swap(true, Ordering::Relaxed) {
            tracing::info!("Plex not configured — skipping request");
        }
        return nothing(NOT_CONFIGURED);
    }
    match cache::read(&ACTIVITIES, || source(app, Need::Fresh)).await {
        Ok(cached) => {
            LOG.note(&cached);
            Answer::respond(&cached, &Accepts::of(headers))
        }
        Err(error) => nothing(&error.message),
    }
}

/// Status 200 even on failure: the frontend reads `error` (contract 08, item 125).
fn nothing(message: &str) -> Response {
    Json(NoActivities {
        error: true,
        message: message.to_owned(),
        activities: [],
    })
    .into_response()
}

/// The times that govern the cache.
pub(super) fn policy(settings: &CacheSettings) -> Policy {
    Policy {
        ttl: settings.activities_ttl,
        max_stale: settings.live_max_stale(),
        max_wait: settings.max_wait,
    }
}

/// Fetches anew, however fresh the cached value is.
pub(super) async fn refresh(app: AppState, need: Need) -> Result<(), SharedError> {
    cache::refresh(&ACTIVITIES, || source(&app, need)).await
}

fn source(
    app: &AppState,
    need: Need,
) -> (
    Origin,
    impl Future<Output = Result<Fetched<Answer>, FetchError>> + Send + use<>,
) {
    let (origin, fetched) = from_plex(app, Waited::default(), &SHARING, need, fetch);
    let noted = async {
        let fetched = fetched.await;
        if let Ok(Fetched::Taken { .. }) = &fetched {
            sessions::fall_behind();
        }
        fetched
    };
    (origin, noted)
}

/// Both calls at once.
async fn fetch(now: Moment) -> Result<Fetched<Answer>, FetchError> {
    tracing::info!("Cache miss - fetching fresh activities from Plex");
    let timestamp = datetime::iso_local(Utc::now(), now.settings.process_timezone);
    let server = now.server();
    let streams = async {
        // At once: the other call may take long.
        let streams = now.streams().await;
        streams.inspect(|streams| sessions::feed(&now, streams))
    };
    let (work, streams) = tokio::join!(server.activities(), streams);
    combine(work, streams, timestamp)
}

/// When one of the two calls failed its half is missing; when both did, so is the answer.
fn combine(
    work: Result<Vec<RawItem>, PlexError>,
    streams: Result<Streams, PlexError>,
    timestamp: String,
) -> Result<Fetched<Answer>, FetchError> {
    let work = none_if_forbidden(work, streams.is_ok());
    let failed = |path: &str, error: PlexError| {
        tracing::error!("Error fetching {path}: {error}");
        FetchError::from(error)
    };
    let work = work.map_err(|error| failed("/activities", error));
    let streams = streams.map_err(|error| failed("/status/sessions", error));
    let (work, streams, missing) = match (work, streams) {
        (Ok(work), Ok(streams)) => (work, streams, None),
        (Ok(work), Err(error)) => (work, Streams::default(), Some(error)),
        (Err(error), Ok(streams)) => (Vec::new(), streams, Some(error)),
        (Err(of_work), Err(of_streams)) => return Err(of_streams.and(&of_work)),
    };
    let activities = list(work, streams.list.to_vec());
    tracing::debug!("Total activities retrieved: {}", activities.len());
    let answer = Answer::object(&Activities {
        error: false,
        activities,
        timestamp,
    })
    .map_err(|error| FetchError::new(error.to_string()))?;
    Ok(match missing {
        None => Fetched::Whole(answer),
        Some(error) => Fetched::Partial(answer, error),
    })
}

/// A token without the owner's rights may not see the server's background work, and old servers
/// have no such list: that is an empty list, not a failure. But only where the server answers
/// otherwise: a proxy that knows nothing of Plex says 404 to everything.
fn none_if_forbidden(
    work: Result<Vec<RawItem>, PlexError>,
    server_answers: bool,
) -> Result<Vec<RawItem>, PlexError> {
    static SAID: AtomicBool = AtomicBool::new(false);
    match work {
        Err(PlexError::Status {
            status: status @ (403 | 404),
            ..
        }) if server_answers => {
            if !SAID.swap(true, Ordering::Relaxed) {
                tracing::info!("Plex answers /activities with {status}: only streams are shown");
            }
            Ok(Vec::new())
        }
        other => other,
    }
}

/// Background work first, then streams, each in Plex's order.
fn list(work: Vec<RawItem>, streams: Vec<RawItem>) -> Vec<Activity> {
    static WORK_REPORTED: AtomicBool = AtomicBool::new(false);
    static STREAM_REPORTED: AtomicBool = AtomicBool::new(false);
    let work = wire::read_items(work, "activities", &WORK_REPORTED);
    let streams = wire::read_items(streams, "sessions", &STREAM_REPORTED);
    let work = work.into_iter().map(|(item, raw)| from_work(item, raw));
    work.chain(
        streams
            .into_iter()
            .map(|(item, raw)| from_session(item, raw)),
    )
    .collect()
}

fn from_work(item: PlexActivity, raw_data: RawItem) -> Activity {
    Activity {
        uuid: item.uuid.unwrap_or_default(),
        title: item.title.unwrap_or_else(unknown),
        subtitle: item.subtitle.unwrap_or_default(),
        kind: item.kind.unwrap_or_else(|| "download".to_owned()),
        progress: item.progress.unwrap_or_default(),
        raw_data,
    }
}

fn from_session(item: PlexSession, raw_data: RawItem) -> Activity {
    let paused = item
        .player
        .and_then(|p| p.state)
        .is_some_and(|state| state == "paused");
    let kind = match (paused, item.transcodes) {
        (true, _) => "pause",
        (false, true) => "transcode",
        (false, false) => "stream",
    };
    Activity {
        uuid: item.session_key.or(item.key).unwrap_or_default(),
        title: item
            .grandparent_title
            .or_else(|| item.title.clone())
            .unwrap_or_else(unknown),
        subtitle: item.title.unwrap_or_else(unknown),
        kind: kind.to_owned(),
        progress: percent(item.view_offset, item.duration),
        raw_data,
    }
}

fn unknown() -> String {
    "Unknown".to_owned()
}

/// The routes of this file.
pub(super) fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(get_activities))
        .routes(routes!(get_downloads))
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "rounded values are compared to the digit")]
mod tests {
    use proptest::prelude::*;
    use serde_json::value::RawValue;
    use serde_json::{Value, json};

    use super::*;
    use crate::arbitrary::spoiled;

    fn raw(value: &Value) -> RawItem {
        serde_json::value::to_raw_value(value).unwrap()
    }

    fn stream(value: &Value) -> Activity {
        list(Vec::new(), vec![raw(value)]).remove(0)
    }

    fn work(value: &Value) -> Activity {
        list(vec![raw(value)], Vec::new()).remove(0)
    }

    #[test]
    fn a_stream_takes_its_names_and_progress_from_the_session() {
        let activity = stream(&json!({
            "sessionKey": "10", "key": "/library/metadata/7", "title": "Pilot",
            "grandparentTitle": "A Show", "viewOffset": 600_000, "duration": 7_200_000,
        }));
        assert_eq!(activity.uuid, "10");
        assert_eq!(activity.title, "A Show");
        assert_eq!(activity.subtitle, "Pilot");
        assert_eq!(activity.kind, "stream");
        assert_eq!(activity.progress, 8.33);
    }

    #[test]
    fn a_session_without_anything_still_shows() {
        let activity = stream(&json!({}));
        assert_eq!(
            (activity.uuid.as_str(), activity.title.as_str()),
            ("", "Unknown")
        );
        assert_eq!(
            (activity.subtitle.as_str(), activity.kind.as_str()),
            ("Unknown", "stream")
        );
        assert_eq!(activity.progress, 0.0);
    }

    #[test]
    fn pausing_outranks_transcoding() {
        let transcoding = json!({"TranscodeSession": {"speed": 1.5}});
        assert_eq!(stream(&transcoding).kind, "transcode");
        let paused = json!({"TranscodeSession": {"speed": 1.5}, "Player": {"state": "paused"}});
        assert_eq!(stream(&paused).kind, "pause");
        assert_eq!(stream(&json!({"TranscodeSession": {}})).kind, "stream");
        assert_eq!(stream(&json!({"Player": "odd"})).kind, "stream");
    }

    #[test]
    fn numbers_as_text_are_numbers() {
        let activity = stream(&json!({"viewOffset": "600000", "duration": "7200000"}));
        assert_eq!(activity.progress, 8.33);
        assert_eq!(work(&json!({"progress": "12.5"})).progress, 12.5);
    }

    #[test]
    fn background_work_keeps_plex_own_type_and_unknown_progress() {
        let activity = work(&json!({
            "uuid": "u", "title": "Scanning", "subtitle": "Films",
            "type": "library.update.section", "progress": -1,
        }));
        assert_eq!(activity.kind, "library.update.section");
        assert_eq!(activity.progress, -1.0);
        assert_eq!(work(&json!({})).kind, "download");
    }

    #[test]
    fn raw_data_is_what_plex_sent_to_the_letter() {
        let sent = r#"{"z":1,"a":1.50,"title":"\u00e9","nested":{"b":[1,2]}}"#;
        let item = RawValue::from_string(sent.to_owned()).unwrap();
        let activity = list(Vec::new(), vec![item]).remove(0);
        assert_eq!(activity.title, "é");
        let written = serde_json::to_string(&activity).unwrap();
        assert!(
            written.ends_with(&format!(r#""raw_data":{sent}}}"#)),
            "{written}"
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn an_odd_entry_costs_only_itself(
            work in spoiled(json!({"uuid": "u", "title": "t", "subtitle": "s", "type": "k",
                                   "progress": 3, "Context": {"key": "/"}})),
            stream in spoiled(json!({"sessionKey": "1", "key": "/", "title": "t",
                "grandparentTitle": "g", "viewOffset": 1, "duration": 2, "Player": {"state": "paused"},
                "TranscodeSession": {"speed": 1}})),
        ) {
            let shown = |list: Vec<Activity>| -> Vec<Value> {
                list.iter().map(|one| serde_json::to_value(one).unwrap()).collect()
            };
            let good = json!({"title": "good"});
            wire::costs_only_itself(&good, &work, |items| shown(list(items, Vec::new())))?;
            wire::costs_only_itself(&good, &stream, |items| shown(list(Vec::new(), items)))?;
            let both = list(vec![raw(&work)], vec![raw(&stream)]);
            prop_assert_eq!(both.len(), [&work, &stream].iter().filter(|one| one.is_object()).count());
            for activity in both {
                prop_assert!(activity.progress.is_finite());
                let verbatim = [work.to_string(), stream.to_string()];
                prop_assert!(verbatim.iter().any(|sent| sent == activity.raw_data.get()));
            }
        }
    }
}
