//! `GET /api/plex/media/recent`: the newest films and shows, for the page of an invite.

use std::cmp::Reverse;
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use axum::Json;
use axum::http::HeaderMap;
use axum::response::{IntoResponse as _, Response};
use futures_util::{StreamExt as _, stream};
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, timeout_at};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::error::PlexError;
use super::libraries::{self, Library};
use super::moment::{Moment, from_plex};
use super::server::PlexServer;
use super::sharing::{Need, Sharing};
use super::wire::{self, RawItem, whole};
use super::{counts, links};
use crate::app::AppState;
use crate::cache::shared::Waited;
use crate::cache::{self, Accepts, Answer, CacheEntry, FetchError, Fetched, Policy, SharedError};
use crate::settings::CacheSettings;
use crate::web::error::{ApiError, ApiResult, Detail};

/// Libraries that have not answered by then are missing: their readers wait, and each may take as
/// long as a call may.
const PATIENCE: Duration = Duration::from_secs(20);
/// As many are shown.
const MOST: u32 = 30;

/// The answer, ready to send.
pub(super) static RECENT_MEDIA: Mutex<CacheEntry<Answer>> = Mutex::new(CacheEntry::new(
    "plex_recent_media",
    Policy {
        ttl: Duration::from_secs(300),
        max_stale: Duration::from_secs(3600),
        max_wait: Duration::from_secs(2),
    },
));

/// The name that other instances know it by.
pub(super) static SHARING: Sharing = Sharing {
    name: "plex:recent_media",
    policy,
};

/// What of the answer is fetched.
#[derive(Serialize, ToSchema)]
struct RecentMedia {
    /// The newest first.
    media: Vec<Item>,
}

/// [`RecentMedia`] with the fields that are added per request, for the description of the API.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes what `Answer` writes")]
struct CachedRecentMedia {
    media: Vec<Item>,
    /// Empty, and only if no server is configured. Legacy: 3.3.0's name of the list then.
    items: Option<Vec<Item>>,
    /// True if no server is configured, else absent.
    not_configured: Option<bool>,
    /// The value was in memory already.
    cached: Option<bool>,
    /// Its age in seconds.
    cache_age: Option<f64>,
    /// It is older than it should be, because Plex does not answer.
    stale: Option<bool>,
    /// For people, when stale.
    message: Option<String>,
}

/// The answer where no server is configured (contract 08, item 42).
#[derive(Serialize)]
struct NotConfigured {
    media: [Item; 0],
    items: [Item; 0],
    not_configured: bool,
}

/// A film, a show, a season or an episode.
#[derive(Serialize, ToSchema)]
struct Item {
    /// With the show's in front, for a season or an episode.
    title: String,
    /// What its library holds: `movie` or `show`.
    #[serde(rename = "type")]
    kind: String,
    year: Option<i64>,
    /// A path on the Plex server, for `/api/plex/proxy/image`.
    poster: String,
    rating: Option<f64>,
}

/// `MediaContainer.Metadata[]` of `recentlyAdded`.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct PlexItem {
    #[serde(rename = "type", deserialize_with = "wire::text")]
    kind: Option<String>,
    #[serde(deserialize_with = "wire::text")]
    title: Option<String>,
    #[serde(deserialize_with = "wire::text")]
    parent_title: Option<String>,
    #[serde(deserialize_with = "wire::text")]
    grandparent_title: Option<String>,
    #[serde(deserialize_with = "wire::number")]
    year: Option<f64>,
    #[serde(deserialize_with = "wire::text")]
    thumb: Option<String>,
    #[serde(deserialize_with = "wire::number")]
    rating: Option<f64>,
    /// Epoch seconds.
    #[serde(deserialize_with = "wire::number")]
    added_at: Option<f64>,
}

/// The newest films and shows. Public: the page of an invite shows them.
#[utoipa::path(get, path = "/api/plex/media/recent", tag = "plex",
    responses((status = 200, body = CachedRecentMedia), (status = 500, body = Detail)))]
async fn get_recent_media(app: AppState, headers: HeaderMap) -> ApiResult<Response> {
    if app.settings.current().plex.is_none() {
        return Ok(Json(NotConfigured {
            media: [],
            items: [],
            not_configured: true,
        })
        .into_response());
    }
    match cache::read(&RECENT_MEDIA, || {
        from_plex(&app, Waited::default(), &SHARING, Need::Fresh, fetch)
    })
    .await
    {
        Ok(cached) => Ok(Answer::respond(&cached, &Accepts::of(&headers))),
        Err(error) => Err(ApiError::internal(error.message.clone(), error)),
    }
}

async fn fetch(now: Moment) -> Result<Fetched<Answer>, FetchError> {
    let libraries = libraries::at_most(&now, now.settings.cache.library_ttl).await;
    let libraries = libraries.map_err(|error| without_libraries(&error))?;
    newest_of_all(&now.server(), &libraries.stored.value).await
}

/// A status of its own text, anything else with its reason (contract 01, section 8).
fn without_libraries(error: &FetchError) -> FetchError {
    if error.message.starts_with("Server returned status code") {
        return FetchError {
            message: "Failed to fetch library sections".to_owned(),
            ..error.clone()
        };
    }
    failed(error)
}

fn failed(error: &FetchError) -> FetchError {
    FetchError {
        message: format!("Error fetching recent media: {error}"),
        ..error.clone()
    }
}

/// Asks all libraries of films and shows, some at a time. Those that fail are missing; when all
/// do, so is the answer.
async fn newest_of_all(
    server: &PlexServer,
    libraries: &[Library],
) -> Result<Fetched<Answer>, FetchError> {
    let wanted: Vec<Library> = libraries
        .iter()
        .filter(|library| library.kind().is_some())
        .cloned()
        .collect();
    let until = Instant::now() + PATIENCE;
    let lists: Vec<_> = stream::iter(wanted)
        .map(|library| async move {
            let list = newest(server, &library, until).await;
            (library, list)
        })
        .buffered(counts::AT_ONCE)
        .collect()
        .await;
    let (mut items, mut failure, mut any) = (Vec::new(), None, lists.is_empty());
    for (library, list) in lists {
        match list {
            Ok(list) => {
                items.extend(read(list, &library.kind));
                any = true;
            }
            Err(error) => {
                let error = failed(&error.into());
                failure = Some(match failure {
                    Some(other) => error.and(&other),
                    None => error,
                });
            }
        }
    }
    if let Some(error) = failure.take_if(|_| !any) {
        return Err(error);
    }
    // Stable: entries of the same moment keep the order of their libraries.
    items.sort_by_key(|(added_at, _)| Reverse(*added_at));
    let media = items.into_iter().map(|(_, item)| item);
    let answer = Answer::object(&RecentMedia {
        media: media.take(MOST as usize).collect(),
    })
    .map_err(|error| FetchError::new(error.to_string()))?;
    Ok(match failure {
        None => Fetched::Whole(answer),
        Some(error) => Fetched::Partial(answer, error),
    })
}

async fn newest(
    server: &PlexServer,
    library: &Library,
    until: Instant,
) -> Result<Vec<RawItem>, PlexError> {
    let list = timeout_at(until, server.recently_added(&library.key, MOST)).await;
    let list = list.unwrap_or(Err(PlexError::Timeout));
    list.inspect_err(|error| {
        let (kind, key) = (&library.kind, &library.key);
        tracing::warn!("Could not fetch {kind}s from section {key}: {error}");
    })
}

/// The entries that have a picture, each with the moment it came in.
fn read(list: Vec<RawItem>, kind: &str) -> Vec<(i64, Item)> {
    static REPORTED: AtomicBool = AtomicBool::new(false);
    // A server that does not page sends everything it has.
    let list = list.into_iter().take(MOST as usize).collect();
    wire::read_items::<PlexItem>(list, "recently added media", &REPORTED)
        .into_iter()
        .filter_map(|(item, _)| {
            let poster = links::shown(item.thumb.as_deref()?)?;
            let added_at = item.added_at.and_then(whole).unwrap_or(0);
            Some((
                added_at,
                Item {
                    title: title(&item),
                    kind: kind.to_owned(),
                    year: item.year.and_then(whole),
                    poster,
                    rating: item.rating,
                },
            ))
        })
        .collect()
}

/// "Season 2" alone says nothing (contract 08, item 43).
fn title(item: &PlexItem) -> String {
    let above = match item.kind.as_deref() {
        Some("season") => item.parent_title.as_deref(),
        Some("episode") => item.grandparent_title.as_deref(),
        _ => None,
    };
    let title = item.title.as_deref().unwrap_or("Unknown");
    match above.filter(|above| !above.is_empty()) {
        Some(above) => format!("{above} - {title}"),
        None => title.to_owned(),
    }
}

/// Fetches anew.
pub(super) async fn refresh(app: AppState, need: Need) -> Result<(), SharedError> {
    cache::refresh(&RECENT_MEDIA, || {
        from_plex(&app, Waited::default(), &SHARING, need, fetch)
    })
    .await
}

/// The times that govern this cache.
pub(super) const fn policy(settings: &CacheSettings) -> Policy {
    Policy {
        ttl: settings.recent_media_ttl,
        ..libraries::policy(settings)
    }
}

/// The routes of this file.
pub(super) fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(get_recent_media))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::arbitrary::spoiled;

    fn only(value: &Value) -> Option<(i64, Value)> {
        let raw = serde_json::value::to_raw_value(value).unwrap();
        let (added_at, item) = read(vec![raw], "show").pop()?;
        Some((added_at, serde_json::to_value(item).unwrap()))
    }

    #[test]
    fn seasons_and_episodes_are_named_after_their_show() {
        let title = |mut item: Value| {
            item["thumb"] = "/t".into();
            only(&item).unwrap().1["title"].clone()
        };
        let season = json!({"type": "season", "title": "Season 2", "parentTitle": "A <Show> 🦊"});
        assert_eq!(title(season), "A <Show> 🦊 - Season 2");
        let episode = json!({"type": "episode", "title": "Pilot", "parentTitle": "Season 1",
                             "grandparentTitle": "A Show"});
        assert_eq!(title(episode), "A Show - Pilot");
        assert_eq!(title(json!({"type": "episode", "title": "Pilot"})), "Pilot");
        let film = json!({"type": "movie", "title": "Film", "parentTitle": "no"});
        assert_eq!(title(film), "Film");
        assert_eq!(title(json!({"title": null})), "Unknown");
    }

    #[test]
    fn values_of_any_type_are_read_and_pictures_carry_no_token() {
        let item = json!({"title": 7, "year": "1999", "rating": 8, "addedAt": "12",
                          "thumb": "/library/metadata/1/thumb/2?X-Plex-Token=T"});
        let expected = json!({"title": "7", "type": "show", "year": 1999, "rating": 8.0,
                              "poster": "/library/metadata/1/thumb/2"});
        assert_eq!(only(&item), Some((12, expected)));
        let odd = json!({"title": [], "year": {}, "rating": "good", "thumb": "/t"});
        let expected = json!({"title": "Unknown", "type": "show", "year": null, "rating": null,
                              "poster": "/t"});
        assert_eq!(only(&odd), Some((0, expected)));
        for without in [
            json!({}),
            json!({"thumb": ""}),
            json!({"thumb": null}),
            json!("x"),
        ] {
            assert_eq!(only(&without), None, "{without}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn an_odd_entry_costs_only_itself(odd in spoiled(json!({
            "type": "season", "title": "t", "parentTitle": "p", "grandparentTitle": "g",
            "year": 1999, "rating": 8, "addedAt": 12, "thumb": "/t",
        }))) {
            wire::costs_only_itself(&json!({"title": "good", "thumb": "/t"}), &odd, |items| {
                let items = read(items, "show").into_iter();
                items.map(|(at, item)| json!([at, serde_json::to_value(item).unwrap()])).collect()
            })?;
        }
    }
}
