//! The most streams at a time: `POST /api/plex/stats/peak` and `/stats/reset`.
//!
//! It lives in `plex_stats`, in the row with the lowest id, and only rises until it is reset.
//! Browsers report it, as with 3.3.0, and the server counts as well, with every list of sessions
//! that it fetches. What is on disk is mirrored in memory, so that reading it costs nothing.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use axum::Json;
use chrono::{NaiveDateTime, Utc};
use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};
use sqlx::sqlite::SqliteRow;
use sqlx::{Row as _, SqliteConnection};
use tokio::sync::Mutex as Turn;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::moment::Moment;
use crate::app::AppState;
use crate::compat::datetime;
use crate::compat::validation::{Fields, FromFields, JsonBody, ValidationError};
use crate::store::{Store, StoreError};
use crate::web::error::{ApiError, ApiResult, Detail};

/// What is stored, and what is being stored.
static MIRROR: Mutex<Mirror> = Mutex::new(Mirror {
    stored: Peak {
        streams: 0,
        at: None,
    },
    observed: 0,
});

/// Held over a write and the look at its result, so that the mirror follows in the same order.
static WRITING: Turn<()> = Turn::const_new(());

struct Mirror {
    stored: Peak,
    /// The most that has been seen and is on its way to the disk.
    observed: i64,
}

/// The most streams at a time, and since when that is the most.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Peak {
    pub streams: i64,
    at: Option<NaiveDateTime>,
}

impl Peak {
    /// UTC without a zone (contract 00, section 2).
    pub(super) fn last_updated(self) -> Option<String> {
        self.at.map(datetime::iso)
    }
}

/// What instances tell each other of the peak: each keeps it in its own database.
#[derive(Serialize, Deserialize)]
#[serde(tag = "peak", content = "streams", rename_all = "snake_case")]
enum Word {
    Raised(i64),
    Reset,
}

/// The body of stats/peak.
#[derive(ToSchema)]
struct Reported {
    peak_concurrent: i64,
}

impl FromFields for Reported {
    fn from_fields(fields: &mut Fields) -> Self {
        Self {
            peak_concurrent: fields.integer("peak_concurrent"),
        }
    }
}

/// The answer to both.
#[derive(Serialize, ToSchema)]
struct Stored {
    success: bool,
    peak_concurrent: i64,
    /// UTC without a zone.
    last_updated: Option<String>,
}

impl From<Peak> for Stored {
    fn from(peak: Peak) -> Self {
        Self {
            success: true,
            peak_concurrent: peak.streams,
            last_updated: peak.last_updated(),
        }
    }
}

/// Raises the peak, if this is more. Answers when it is on disk.
#[utoipa::path(post, path = "/api/plex/stats/peak", tag = "plex", request_body = Reported,
    responses((status = 200, body = Stored), (status = 422, body = ValidationError),
        (status = 500, body = Detail), (status = 503, body = Detail)))]
async fn report_peak(app: AppState, JsonBody(body): JsonBody<Reported>) -> ApiResult<Json<Stored>> {
    let peak = raise(&app, body.peak_concurrent).await;
    let peak = peak.map_err(|error| failed("Error updating peak concurrent", error))?;
    tell(&app, &Word::Raised(peak.streams));
    Ok(Json(peak.into()))
}

/// Starts counting the peak anew. What plays now raises it again at the next look.
#[utoipa::path(post, path = "/api/plex/stats/reset", tag = "plex",
    responses((status = 200, body = Stored), (status = 500, body = Detail),
        (status = 503, body = Detail)))]
async fn reset_peak(app: AppState) -> ApiResult<Json<Stored>> {
    let peak = reset(&app).await;
    let peak = peak.map_err(|error| failed("Error resetting peak concurrent", error))?;
    tell(&app, &Word::Reset);
    Ok(Json(peak.into()))
}

fn failed(what: &str, error: StoreError) -> ApiError {
    ApiError::of_store(format!("{what}: {error}"), error)
}

/// The peak as it is on disk.
pub(super) fn current() -> Peak {
    mirror().stored
}

/// So many streams play now. A new peak is written in the background; nobody waits for it.
pub(super) fn observe(app: &AppState, streams: usize) {
    let streams = i64::try_from(streams).unwrap_or(i64::MAX);
    {
        let mut mirror = mirror();
        if streams <= mirror.stored.streams.max(mirror.observed) {
            return;
        }
        mirror.observed = streams;
    }
    let app = app.clone();
    tokio::spawn(async move {
        let raised = raise(&app, streams).await;
        // The next look may try again, and after a reset it must.
        mirror().observed = 0;
        match raised {
            Ok(peak) => tell(&app, &Word::Raised(peak.streams)),
            Err(error) => warn(&error),
        }
    });
}

/// Lets the other instances know, which count the streams themselves only when it is their turn to
/// ask Plex. Nobody waits for it.
fn tell(app: &AppState, word: &Word) {
    if let (Ok(word), Some(now)) = (serde_json::to_string(word), Moment::now(app)) {
        let signed = format!("{} {word}", now.realm().sign(&word));
        let app = app.clone();
        tokio::spawn(async move { app.shared.tell(signed).await });
    }
}

/// Another instance has said something; one of another Plex server is not meant.
pub(super) fn hear(app: &AppState, signed: &str) {
    let (Some((sign, word)), Some(now)) = (signed.split_once(' '), Moment::now(app)) else {
        return;
    };
    let (true, Ok(word)) = (sign == now.realm().sign(word), serde_json::from_str(word)) else {
        return;
    };
    let app = app.clone();
    tokio::spawn(async move {
        let changed = match word {
            Word::Raised(streams) => raise(&app, streams).await,
            Word::Reset => reset(&app).await,
        };
        if let Err(error) = changed {
            warn(&error);
        }
    });
}

/// A warning when the trouble begins, not with every look.
fn warn(error: &StoreError) {
    static SAID: AtomicBool = AtomicBool::new(false);
    if SAID.swap(true, Ordering::Relaxed) {
        tracing::debug!("The peak of streams was not stored: {error}");
    } else {
        tracing::warn!("The peak of streams was not stored: {error}");
    }
}

/// Reads what an earlier run has stored; once, at start. Where it can't be read, none is known.
pub async fn load_peak(store: &Store) {
    let row = sqlx::query(SELECT).fetch_optional(store.reader()).await;
    match row.and_then(|row| row.as_ref().map(read).transpose()) {
        Ok(peak) => mirror().stored = peak.unwrap_or_default(),
        Err(error) => tracing::warn!("The peak of streams can't be read: {error}"),
    }
}

/// The greater of what is stored and `streams`. Less than none can't play.
async fn raise(app: &AppState, streams: i64) -> Result<Peak, StoreError> {
    let now = datetime::sql(Utc::now().naive_utc());
    let streams = streams.max(0);
    change(app, move |connection| {
        Box::pin(set_if_greater(connection, streams, now))
    })
    .await
}

async fn reset(app: &AppState) -> Result<Peak, StoreError> {
    let now = datetime::sql(Utc::now().naive_utc());
    change(app, move |connection| {
        Box::pin(set_to_zero(connection, now))
    })
    .await
}

/// Runs `job` and shows its result to readers once it is on disk, even if the client has gone by
/// then: what is shown must not differ from what is stored.
async fn change(
    app: &AppState,
    job: impl for<'c> FnOnce(&'c mut SqliteConnection) -> BoxFuture<'c, Result<Peak, sqlx::Error>>
    + Send
    + 'static,
) -> Result<Peak, StoreError> {
    let app = app.clone();
    let change = tokio::spawn(async move {
        let _turn = WRITING.lock().await;
        let peak = app.store.write(job).await?;
        mirror().stored = peak;
        Ok(peak)
    });
    let changed = change.await;
    changed.unwrap_or_else(|_panic| Err(StoreError::failed("the peak could not be changed")))
}

/// SQLite keeps any type in any column.
const SELECT: &str = "SELECT CAST(peak_concurrent AS INTEGER) AS peak_concurrent, \
    CAST(last_updated AS TEXT) AS last_updated FROM plex_stats ORDER BY id LIMIT 1";

/// The comparison is the database's: whatever else has written, the greater one stays.
async fn set_if_greater(
    connection: &mut SqliteConnection,
    streams: i64,
    now: String,
) -> Result<Peak, sqlx::Error> {
    sqlx::query(
        "INSERT INTO plex_stats (peak_concurrent, last_updated) \
         SELECT ?, ? WHERE NOT EXISTS (SELECT 1 FROM plex_stats)",
    )
    .bind(streams)
    .bind(now.clone())
    .execute(&mut *connection)
    .await?;
    sqlx::query(
        "UPDATE plex_stats SET peak_concurrent = ?1, last_updated = ?2 \
         WHERE id = (SELECT MIN(id) FROM plex_stats) \
         AND COALESCE(CAST(peak_concurrent AS INTEGER), 0) < ?1",
    )
    .bind(streams)
    .bind(now)
    .execute(&mut *connection)
    .await?;
    read(&sqlx::query(SELECT).fetch_one(connection).await?)
}

/// Without a row there is nothing to reset (contract 01, section 6).
async fn set_to_zero(connection: &mut SqliteConnection, now: String) -> Result<Peak, sqlx::Error> {
    sqlx::query(
        "UPDATE plex_stats SET peak_concurrent = 0, last_updated = ? \
         WHERE id = (SELECT MIN(id) FROM plex_stats)",
    )
    .bind(now)
    .execute(&mut *connection)
    .await?;
    let row = sqlx::query(SELECT).fetch_optional(connection).await?;
    Ok(row.as_ref().map(read).transpose()?.unwrap_or_default())
}

fn read(row: &SqliteRow) -> Result<Peak, sqlx::Error> {
    let at: Option<String> = row.try_get("last_updated")?;
    Ok(Peak {
        streams: row
            .try_get::<Option<i64>, _>("peak_concurrent")?
            .unwrap_or_default(),
        at: at.as_deref().and_then(datetime::from_sql),
    })
}

fn mirror() -> MutexGuard<'static, Mirror> {
    MIRROR.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The routes of this file.
pub(super) fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(report_peak))
        .routes(routes!(reset_peak))
}
