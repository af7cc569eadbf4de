//! The simulated server: its state, its routes and who may use them.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, Response, Uri, header};
use axum::middleware::{self, Next};
use axum::response::IntoResponse;
use axum::routing::get;
use serde_json::{Map, Value, json};
use subtle::ConstantTimeEq;
use tokio::time::Instant;
use url::form_urlencoded;

use super::activities::{activities, scanned_section};
use super::calls::Calls;
use super::dice::Dice;
use super::faults::Faults;
use super::history::History;
use super::library::{Item, Kind, Library, SECTIONS, Section, find_section};
use super::metadata::{Detail, library_item};
use super::overseerr::{self, Overseerr};
use super::pages::{Ask, error_page, media_container};
use super::people::accounts;
use super::picture::{self, Size};
use super::plex_tv::{self, Here, PlexTv};
use super::telegram::{self, Telegram};
use super::{
    Options, Scene, arr, github, locked, now_playing, posterizarr, sessions, uploader, vpn_proxy,
};

const TOKEN: &str = "X-Plex-Token";
/// Below these are services that Plex's token does not concern.
const OTHERS: [&str; 6] = [
    arr::SONARR.path,
    arr::RADARR.path,
    overseerr::PATH,
    posterizarr::PATH,
    uploader::PATH,
    vpn_proxy::PATH,
];
const VERSION: &str = "1.41.3.9314-a0bfb8370";

/// Everything the handlers share.
pub(super) struct Plex {
    pub(super) options: Options,
    pub(super) scene: Mutex<Scene>,
    pub(super) calls: Calls,
    pub(super) faults: Faults,
    /// Replaced as a whole by [`Plex::change`]; whoever holds the former one may go on with it.
    library: Mutex<Arc<Library>>,
    pub(super) history: Mutex<History>,
    pub(super) telegram: Telegram,
    pub(super) plex_tv: PlexTv,
    pub(super) overseerr: Overseerr,
    started: Instant,
}

pub(super) type Shared = State<Arc<Plex>>;

impl Plex {
    pub(super) fn new(options: Options) -> Self {
        let library = Library::new(options.seed, chrono::Utc::now().timestamp());
        Self {
            scene: Mutex::new(options.scene.clone()),
            calls: Calls::default(),
            faults: Faults::default(),
            history: Mutex::new(History::new(&library, options.history_plays)),
            library: Mutex::new(Arc::new(library)),
            telegram: Telegram::default(),
            plex_tv: PlexTv::new(&options.token),
            overseerr: Overseerr::default(),
            started: Instant::now(),
            options,
        }
    }

    pub(super) fn library(&self) -> Arc<Library> {
        Arc::clone(&locked(&self.library))
    }

    /// Adds something to a section, as a scan that has found a new folder.
    pub(super) fn change(&self, section: u64) {
        let mut library = locked(&self.library);
        let mut changed = Library::clone(&library);
        changed.grow(section, chrono::Utc::now().timestamp());
        *library = Arc::new(changed);
    }

    /// The clock of things that stand still in a fixed scene.
    pub(super) fn motion(&self) -> Option<Duration> {
        matches!(*locked(&self.scene), Scene::Living).then(|| self.started.elapsed())
    }

    pub(super) fn machine_identifier(&self) -> String {
        Dice::new(self.options.seed, &[60]).hex(40)
    }

    fn is_token(&self, text: &str) -> bool {
        text.as_bytes().ct_eq(self.options.token.as_bytes()).into()
    }
}

/// All routes, behind the gate that counts, misbehaves and asks for the token.
pub(super) fn router(plex: Arc<Plex>) -> Router {
    Router::new()
        // `/photo/:/transcode` has a colon that axum's check for its old syntax refuses.
        .without_v07_checks()
        .route("/", get(root))
        .route("/identity", get(identity))
        .route("/accounts", get(list_accounts))
        .route("/activities", get(list_activities))
        .route("/status/sessions", get(list_sessions))
        .route("/status/sessions/history/all", get(list_history))
        .route("/library/sections", get(list_sections))
        .route("/library/sections/{key}/{list}", get(list_section))
        .route(
            "/library/sections/{key}/composite/{time}",
            get(section_picture),
        )
        .route("/library/metadata/{ids}", get(find_metadata))
        .route("/library/metadata/{id}/children", get(list_children))
        .route("/library/metadata/{id}/{kind}", get(item_picture))
        .route("/library/metadata/{id}/{kind}/{time}", get(item_picture_at))
        .route("/photo/:/transcode", get(transcoded_picture))
        .merge(plex_tv::router())
        .merge(telegram::router())
        .merge(github::router())
        .merge(arr::router())
        .merge(overseerr::router())
        .merge(posterizarr::router())
        .merge(uploader::router())
        .merge(vpn_proxy::router())
        .fallback(async || error_page(404))
        .method_not_allowed_fallback(async || error_page(405))
        .layer(middleware::from_fn_with_state(Arc::clone(&plex), gate))
        .with_state(plex)
}

async fn gate(State(plex): Shared, request: Request, next: Next) -> Response<Body> {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let token = token_of(request.headers(), request.uri());
    let mentioned = request.uri().query().is_some_and(mentions_token);
    let _serving = plex.calls.arrive(&path, mentioned);
    let allowed = path == "/identity"
        || plex_tv::is_public(&path)
        || telegram::is_public(&path)
        || github::is_public(&path)
        || is_of_others(&path)
        || token.is_some_and(|token| {
            plex.is_token(&token) || (plex_tv::is_its_own(&path) && plex.plex_tv.knows(&token))
        });
    let real = async {
        if allowed {
            next.run(request).await
        } else {
            error_page(401)
        }
    };
    plex.faults.answer(&method, &path, real).await
}

/// The token of a request, from its header or else its query.
pub(super) fn token_of(headers: &HeaderMap, uri: &Uri) -> Option<String> {
    let in_header = headers.get(TOKEN).and_then(|value| value.to_str().ok());
    in_header.map(str::to_owned).or_else(|| token_in_query(uri))
}

fn is_of_others(path: &str) -> bool {
    let mut rests = OTHERS.iter().filter_map(|other| path.strip_prefix(other));
    rests.any(|rest| rest.starts_with('/'))
}

fn token_in_query(uri: &Uri) -> Option<String> {
    let mut pairs = form_urlencoded::parse(uri.query()?.as_bytes());
    pairs
        .find(|(name, _)| name == TOKEN)
        .map(|(_, value)| value.into_owned())
}

/// Also finds it inside an address that is itself a parameter, as the photo transcoder takes one.
fn mentions_token(query: &str) -> bool {
    let name = TOKEN.to_lowercase();
    form_urlencoded::parse(query.as_bytes())
        .any(|(key, value)| key.to_lowercase() == name || value.to_lowercase().contains(&name))
}

async fn root(State(plex): Shared) -> Response<Body> {
    let directories = [
        "accounts",
        "activities",
        "butler",
        "devices",
        "library",
        "playlists",
        "status",
    ]
    .map(|name| json!({ "count": 1, "key": name, "title": name }));
    container(json!({
        "size": directories.len(),
        "allowCameraUpload": true,
        "allowMediaDeletion": true,
        "allowSharing": true,
        "allowSync": true,
        "backgroundProcessing": true,
        "certificate": true,
        "companionProxy": true,
        "friendlyName": plex.options.name,
        "machineIdentifier": plex.machine_identifier(),
        "multiuser": true,
        "myPlex": true,
        "myPlexMappingState": "mapped",
        "myPlexSigninState": "ok",
        "myPlexSubscription": true,
        "platform": "Linux",
        "platformVersion": "12 (bookworm)",
        "pushNotifications": false,
        "streamingBrainABRVersion": 3,
        "transcoderActiveVideoSessions": 0,
        "transcoderVideo": true,
        "updatedAt": plex.library().born_at,
        "version": VERSION,
        "Directory": directories,
    }))
}

async fn identity(State(plex): Shared) -> Response<Body> {
    container(json!({
        "size": 0,
        "apiVersion": "1.1.1",
        "claimed": true,
        "machineIdentifier": plex.machine_identifier(),
        "version": VERSION,
    }))
}

async fn list_accounts(ask: Ask) -> Response<Body> {
    let attributes = json!({ "identifier": "com.plexapp.system.accounts" });
    ask.answer(attributes, "Account", &accounts(), Value::clone)
}

async fn list_activities(State(plex): Shared, ask: Ask) -> Response<Body> {
    let list = activities(&plex.library(), plex.motion());
    ask.answer(json!({}), "Activity", &list, Value::clone)
}

async fn list_sessions(State(plex): Shared, Here(plex_tv): Here, ask: Ask) -> Response<Body> {
    let library = &plex.library();
    let elapsed = plex.started.elapsed();
    let scene = locked(&plex.scene).clone();
    let playing = match scene {
        Scene::Living => sessions::living(library, elapsed),
        Scene::Fixed { sessions } => sessions::fixed(library, sessions, elapsed),
    };
    let now = Duration::from_secs(u64::try_from(library.born_at).unwrap_or(0)) + elapsed;
    ask.answer(json!({}), "Metadata", &playing, |one| {
        now_playing::session(library, one, now, &plex_tv)
    })
}

async fn list_history(State(plex): Shared, ask: Ask) -> Response<Body> {
    let (total, list) = locked(&plex.history).page(&plex.library(), &ask);
    ask.answer_page(json!({}), "Metadata", total, list)
}

async fn list_sections(State(plex): Shared, ask: Ask) -> Response<Body> {
    let scanned = scanned_section(plex.motion()).map(|section| section.key);
    let attributes = json!({ "allowSync": false, "title1": "Plex Library" });
    let library = &plex.library();
    ask.answer(attributes, "Directory", &SECTIONS, |section| {
        directory(library, section, scanned == Some(section.key))
    })
}

fn directory(library: &Library, section: &Section, refreshing: bool) -> Value {
    let mut dice = library.dice(section.key, 61);
    let agent = match section.kind {
        Kind::Movie => ("tv.plex.agents.movie", "Plex Movie"),
        Kind::Show => ("tv.plex.agents.series", "Plex TV Series"),
        _ => ("tv.plex.agents.music", "Plex Music"),
    };
    let kind = section.kind.name();
    let changed_at = library.born_at - 7200;
    json!({
        "allowSync": true,
        "art": format!("/:/resources/{kind}-fanart.jpg"),
        "composite": format!("/library/sections/{}/composite/{changed_at}", section.key),
        "filters": true,
        "refreshing": refreshing,
        "thumb": format!("/:/resources/{kind}.png"),
        "key": section.key.to_string(),
        "type": kind,
        "title": section.title,
        "agent": agent.0,
        "scanner": agent.1,
        "language": "en-US",
        "uuid": dice.uuid(),
        "updatedAt": changed_at,
        "createdAt": library.born_at - 1000 * 86_400,
        "scannedAt": library.born_at - 600,
        "content": true,
        "directory": true,
        // Not a date: a counter that grows with every change.
        "contentChangedAt": dice.between(1_000_000, 9_000_000) + library.changes(section.key),
        "hidden": 0,
        "Location": [{ "id": section.key, "path": section.path }],
    })
}

async fn list_section(
    State(plex): Shared,
    Path((key, list)): Path<(u64, String)>,
    ask: Ask,
) -> Response<Body> {
    let Some(section) = find_section(key) else {
        return error_page(404);
    };
    let library = &plex.library();
    let wanted = ask.number::<u64>("type").unwrap_or(section.kind.number());
    let items: Vec<&Item> = match list.as_str() {
        "all" => library.of_number(wanted, key),
        "allLeaves" => library.list(section.kind.leaf(), Some(key)),
        "recentlyAdded" => {
            let mut items = library.list(section.kind.leaf(), Some(key));
            items.sort_by_key(|item| std::cmp::Reverse(item.added_at));
            items
        }
        _ => return error_page(404),
    };
    let attributes = json!({
        "allowSync": true,
        "librarySectionID": section.key,
        "librarySectionTitle": section.title,
        "librarySectionUUID": library.dice(section.key, 61).uuid(),
        "title1": section.title,
        "viewGroup": section.kind.name(),
    });
    ask.answer(attributes, "Metadata", &items, |item| {
        library_item(library, item, Detail::List)
    })
}

async fn find_metadata(State(plex): Shared, Path(ids): Path<String>, ask: Ask) -> Response<Body> {
    let library = &plex.library();
    let ids = ids.split(',').filter_map(|id| id.parse().ok());
    let items: Vec<&Item> = ids.filter_map(|id| library.find(id)).collect();
    if items.is_empty() {
        return error_page(404);
    }
    ask.answer(json!({ "allowSync": true }), "Metadata", &items, |item| {
        library_item(library, item, Detail::Full)
    })
}

async fn list_children(State(plex): Shared, Path(id): Path<u64>, ask: Ask) -> Response<Body> {
    let library = &plex.library();
    let Some(parent) = library.find(id) else {
        return error_page(404);
    };
    let attributes = json!({ "key": id.to_string(), "parentTitle": parent.title });
    ask.answer(attributes, "Metadata", &library.children(id), |item| {
        library_item(library, item, Detail::List)
    })
}

async fn item_picture(
    State(plex): Shared,
    Path((id, kind)): Path<(u64, String)>,
) -> Response<Body> {
    match picture_of(&plex.library(), id, &kind) {
        Some((number, size)) => drawn(number, size).await,
        None => error_page(404),
    }
}

async fn item_picture_at(
    plex: Shared,
    Path((id, kind, _time)): Path<(u64, String, String)>,
) -> Response<Body> {
    item_picture(plex, Path((id, kind))).await
}

async fn section_picture(Path((key, _time)): Path<(u64, String)>) -> Response<Body> {
    match find_section(key) {
        Some(section) => drawn(section.key, Size::SQUARE).await,
        None => error_page(404),
    }
}

/// Only pictures of this server: a real one would fetch foreign addresses, the demo must not.
async fn transcoded_picture(State(plex): Shared, ask: Ask) -> Response<Body> {
    let (Some(width), Some(height)) = (ask.number("width"), ask.number("height")) else {
        return error_page(400);
    };
    let path = ask
        .value("url")
        .and_then(|url| url.strip_prefix("/library/metadata/"));
    let mut parts = path.unwrap_or_default().split(['/', '?']);
    let id = parts.next().and_then(|id| id.parse().ok());
    let kind = parts.next().unwrap_or_default();
    match id.and_then(|id| picture_of(&plex.library(), id, kind)) {
        Some((number, size)) => drawn(number, size.fit(width, height)).await,
        None => error_page(404),
    }
}

/// What to draw for an item, if it has such a picture.
fn picture_of(library: &Library, id: u64, kind: &str) -> Option<(u64, Size)> {
    let item = library.find(id)?;
    match (kind, item.kind) {
        ("art" | "banner", _) => Some((id + 1_000_000, Size::ART)),
        ("thumb" | "poster", _) if !item.has_thumb => None,
        ("thumb", Kind::Episode) => Some((id, Size::ART)),
        ("thumb", Kind::Artist | Kind::Album | Kind::Track) => Some((id, Size::SQUARE)),
        ("thumb" | "poster", _) => Some((id, Size::POSTER)),
        _ => None,
    }
}

/// Drawn on a blocking thread, so that a page full of posters does not delay other answers.
pub(super) async fn drawn(number: u64, size: Size) -> Response<Body> {
    match tokio::task::spawn_blocking(move || picture::draw(number, size)).await {
        Ok(Ok(file)) => ([(header::CONTENT_TYPE, "image/png")], file).into_response(),
        _ => error_page(500),
    }
}

fn container(fields: Value) -> Response<Body> {
    match fields {
        Value::Object(fields) => media_container(fields),
        _ => media_container(Map::new()),
    }
}

#[cfg(test)]
mod tests {
    use super::is_of_others;

    #[test]
    fn only_their_own_paths_are_theirs() {
        assert!(is_of_others("/sonarr/api/v3/queue") && is_of_others("/radarr/x"));
        assert!(!is_of_others("/sonarrs/x") && !is_of_others("/library/sections"));
        assert!(is_of_others("/vpn/api/health") && !is_of_others("/vpnx/health"));
    }
}
