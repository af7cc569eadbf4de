//! `GET /api/plex/watch-history`: what was watched last, from the database.
//!
//! [`super::history_sync`] writes it there. Rows of 3.3.0 are among it, so any column may be NULL
//! or of another type than declared: such a value counts as absent and costs nothing else.

use std::sync::Mutex;
use std::time::Duration;

use axum::Json;
use axum::http::HeaderMap;
use axum::response::{IntoResponse as _, Response};
use serde::Serialize;
use sqlx::sqlite::SqliteRow;
use sqlx::{Decode, Row as _, Sqlite, SqlitePool, TypeInfo as _, ValueRef as _};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::history_sync;
use super::links;
use super::moment::Moment;
use super::sharing::{Need, Sharing};
use crate::app::AppState;
use crate::cache::{
    self, Accepts, Answer, CacheAdmin as _, CacheEntry, FetchError, Fetched, Origin, Policy,
    SharedError,
};
use crate::compat::datetime;
use crate::compat::numbers::round2;
use crate::settings::CacheSettings;

/// The newest plays, ready to send. They come from the database, so a change of the Plex server
/// does not outdate them.
pub(super) static WATCH_HISTORY: Mutex<CacheEntry<Answer>> = Mutex::new(CacheEntry::new(
    "watch_history",
    Policy {
        ttl: Duration::from_secs(300),
        max_stale: Duration::from_secs(3600),
        max_wait: Duration::from_secs(2),
    },
));

/// Readers wait so long for a database that has to catch up with another instance's.
const PATIENCE: Duration = Duration::from_secs(5);

/// The name that other instances know it by.
pub(super) static SHARING: Sharing = Sharing {
    name: "plex:watch_history",
    policy,
};

/// The newest 500 (contract 01, section 15). The index on `viewed_at` gives them in this order.
const NEWEST: &str = "SELECT * FROM watch_history ORDER BY viewed_at DESC, id DESC LIMIT 500";

/// One play.
#[derive(Debug, Serialize, ToSchema)]
struct Play {
    /// Plex's number of the account, as text.
    user_id: Option<String>,
    /// The user's name where it is known. Legacy: 3.3.0 puts it into this field.
    email: Option<String>,
    #[serde(rename = "type")]
    kind: String,
    title: String,
    /// The show.
    grandparent_title: Option<String>,
    /// Number of the season.
    parent_index: Option<i64>,
    /// Number of the episode.
    index: Option<i64>,
    /// Local time without a zone.
    viewed_at: String,
    /// Seconds.
    duration: i64,
    /// Seconds.
    view_offset: Option<i64>,
    /// Percent.
    progress: f64,
    view_count: Option<i64>,
    rating: Option<f64>,
    year: Option<i64>,
    /// A path of our image proxy, ready to be the source of an image.
    thumb: Option<String>,
    content_rating: Option<String>,
    studio: Option<String>,
    summary: Option<String>,
    genres: Vec<String>,
}

/// The newest 500 plays, newest first.
#[utoipa::path(get, path = "/api/plex/watch-history", tag = "plex",
    responses((status = 200, body = Vec<Play>)))]
async fn get_watch_history(app: AppState, headers: HeaderMap) -> Response {
    match cache::read(&WATCH_HISTORY, || source(&app, Need::Fresh)).await {
        Ok(cached) => Answer::respond(&cached, &Accepts::of(&headers)),
        // The frontend's page is blank for anything but an array (contract 08, item 124).
        Err(_logged) => Json([(); 0]).into_response(),
    }
}

/// The database has changed: readers see it at once, those of other instances as well, unless
/// theirs may hold more.
pub(super) async fn renew(app: &AppState) {
    WATCH_HISTORY.expire();
    let shared = app.shared.is_wanted() && !history_sync::is_behind();
    let (true, Some(now)) = (shared, Moment::now(app)) else {
        return;
    };
    // What can't be read here does not make theirs untrue.
    if let Ok(answer) = fetch(app).await {
        now.replace(&SHARING, &answer).await;
        // Somebody may have taken the old ones from Redis meanwhile.
        WATCH_HISTORY.expire();
    }
}

/// Reads the plays anew, for the warmer and for operators.
pub(super) async fn refresh(app: AppState, need: Need) -> Result<(), SharedError> {
    cache::refresh(&WATCH_HISTORY, || source(&app, need)).await
}

/// The times that govern the cache.
pub(super) fn policy(settings: &CacheSettings) -> Policy {
    Policy {
        ttl: settings.watch_history_ttl,
        max_stale: settings.max_stale,
        max_wait: settings.max_wait,
    }
}

fn source(
    app: &AppState,
    need: Need,
) -> (
    Origin,
    impl Future<Output = Result<Fetched<Answer>, FetchError>> + Send + use<>,
) {
    let app = app.clone();
    (Origin::LOCAL, async move {
        match Moment::now(&app) {
            Some(now) => now.shared(&SHARING, need, Box::pin(for_all(&app))).await,
            None => fetch(&app).await.map(Fetched::Whole),
        }
    })
}

/// What all instances will show: from a database that is not behind another instance's.
async fn for_all(app: &AppState) -> Result<Fetched<Answer>, FetchError> {
    // Alone it shows what it has, and catches up meanwhile.
    let alone = !app.shared.is_connected();
    let patience = if alone { Duration::ZERO } else { PATIENCE };
    let caught_up = history_sync::catch_up(patience).await;
    let answer = fetch(app).await?;
    Ok(if caught_up || alone {
        Fetched::Whole(answer)
    } else {
        // Others may have more in theirs.
        Fetched::Partial(
            answer,
            FetchError {
                local: true,
                ..FetchError::new("The history is still being read")
            },
        )
    })
}

async fn fetch(app: &AppState) -> Result<Answer, FetchError> {
    let answer = newest(app.store.reader()).await.map_err(|error| {
        tracing::error!("Error fetching watch history from database: {error}");
        FetchError {
            local: true,
            ..FetchError::new("The database can't be read")
        }
    })?;
    Ok(answer)
}

async fn newest(database: &SqlitePool) -> anyhow::Result<Answer> {
    let rows = sqlx::query(NEWEST).fetch_all(database).await?;
    let plays: Vec<Play> = rows.iter().map(Play::from_row).collect();
    Ok(Answer::array(&plays)?)
}

impl Play {
    fn from_row(row: &SqliteRow) -> Self {
        let viewed_at = text(row, "viewed_at").unwrap_or_default();
        Self {
            user_id: text(row, "user_id"),
            email: filled(row, "username").or_else(|| text(row, "email")),
            kind: text(row, "type").unwrap_or_default(),
            title: text(row, "title").unwrap_or_default(),
            grandparent_title: text(row, "grandparent_title"),
            parent_index: whole(row, "parent_index"),
            index: whole(row, "index"),
            // What can't be read as a time is shown as it stands: it hides nothing else.
            viewed_at: datetime::from_sql(&viewed_at).map_or(viewed_at, datetime::iso),
            duration: whole(row, "duration").unwrap_or_default(),
            view_offset: whole(row, "view_offset"),
            progress: round2(number(row, "progress").unwrap_or_default()),
            view_count: whole(row, "view_count"),
            rating: number(row, "rating"),
            year: whole(row, "year"),
            thumb: filled(row, "thumb").and_then(|thumb| links::proxied(&thumb)),
            content_rating: text(row, "content_rating"),
            studio: text(row, "studio"),
            summary: text(row, "summary"),
            genres: genres(&text(row, "genres").unwrap_or_default()),
        }
    }
}

/// A column whatever its declared type; `None` for NULL and what can't be read as a `T`.
fn column<'r, T: Decode<'r, Sqlite>>(row: &'r SqliteRow, name: &str) -> Option<T> {
    row.try_get_unchecked::<Option<T>, _>(name).ok().flatten()
}

fn text(row: &SqliteRow, name: &str) -> Option<String> {
    column(row, name)
}

fn filled(row: &SqliteRow, name: &str) -> Option<String> {
    text(row, name).filter(|text| !text.is_empty())
}

/// SQLite keeps any type in any column: text in a column of numbers is none.
fn is_number(row: &SqliteRow, name: &str) -> bool {
    row.try_get_raw(name)
        .is_ok_and(|value| matches!(value.type_info().name(), "INTEGER" | "REAL"))
}

fn whole(row: &SqliteRow, name: &str) -> Option<i64> {
    is_number(row, name).then(|| column(row, name)).flatten()
}

fn number(row: &SqliteRow, name: &str) -> Option<f64> {
    let number = is_number(row, name).then(|| column(row, name)).flatten();
    number.filter(|number: &f64| number.is_finite())
}

/// Names may hold commas themselves, which nothing can mend; the blanks that this leaves go.
fn genres(joined: &str) -> Vec<String> {
    let names = joined.split(',').map(str::trim);
    names
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect()
}

/// The routes of this file.
pub(super) fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(get_watch_history))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn genres_lose_the_blanks_around_them() {
        assert_eq!(genres("Comedy, Dark,Drama"), ["Comedy", "Dark", "Drama"]);
        assert!(genres("").is_empty());
        assert!(genres(" ,").is_empty());
    }
}
