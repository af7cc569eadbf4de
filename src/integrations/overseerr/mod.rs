//! `/api/overseerr/*`: people and wishes in Overseerr or Jellyseerr, which the pages call
//! `VoDWisharr` (contract 04, section 9).

mod pages;
mod users;

use std::time::Duration;

use axum::Json;
use axum::response::{IntoResponse as _, Response};
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use self::pages::{List, all};
use super::upstream::{Answer, Failure, Key, Shape, Upstream, is_whole, made};
use crate::app::AppState;
use crate::web::error::{ApiError, ApiResult, Detail};

/// For a call (contract 04, section 9) …
const LIMIT: Duration = Duration::from_secs(30);
/// … and for the one that only asks whether it is there.
const STATUS_LIMIT: Duration = Duration::from_secs(10);
const NOT_CONFIGURED: &str = "VoDWisharr is not configured";

/// Whether the pages can work with it.
#[derive(Serialize, ToSchema)]
#[schema(as = OverseerrStatus)]
struct Status {
    /// It has an address and a key.
    configured: bool,
    /// It answers as it should.
    reachable: bool,
    /// For people.
    message: String,
}

/// What people wish for.
#[derive(Serialize, ToSchema)]
#[schema(as = OverseerrRequests)]
struct Requests<'a> {
    /// As they come.
    #[schema(value_type = Vec<Object>)]
    requests: &'a [Box<RawValue>],
    total: usize,
}

/// Whether it is configured and answers. Always 200. The key is not tested: this question needs none.
#[utoipa::path(get, path = "/api/overseerr/status", tag = "overseerr",
    responses((status = 200, body = Status)))]
async fn status(app: AppState) -> Json<Status> {
    let Ok(mut upstream) = configured(&app) else {
        return Json(Status {
            configured: false,
            reachable: false,
            message: NOT_CONFIGURED.to_owned(),
        });
    };
    upstream.limit = STATUS_LIMIT;
    let trouble = trouble(upstream.get(&app, "/api/v1/status", &[]).await);
    Json(Status {
        configured: true,
        reachable: trouble.is_none(),
        message: trouble.unwrap_or_else(|| "VoDWisharr is configured and reachable".to_owned()),
    })
}

/// What is wrong with the answer about the status.
fn trouble(answer: Result<Answer, Failure>) -> Option<String> {
    let read = |answer: Answer| match answer.status {
        200 => answer.json(Shape::Object).map(|_status| None),
        status => Ok(Some(format!("VoDWisharr returned status code: {status}"))),
    };
    answer
        .and_then(read)
        .unwrap_or_else(|failure| Some(format!("Failed to connect: {failure}")))
}

/// All that people wish for.
#[utoipa::path(get, path = "/api/overseerr/requests", tag = "overseerr",
    responses((status = 200, body = Requests<'_>), (status = 502, body = Detail),
        (status = 503, body = Detail)))]
async fn requests(app: AppState) -> ApiResult<Response> {
    let upstream = configured(&app)?;
    let series = all(&app, &upstream, List::Requests).await;
    let series = series.map_err(|failure| match failure {
        Failure::Status { status, .. } => no_page(status),
        Failure::Address | Failure::Call(_) => {
            ApiError::unavailable(format!("Could not connect to VoDWisharr: {failure}"))
        }
        Failure::NotJson | Failure::Shape => {
            ApiError::bad_gateway(format!("Failed to fetch requests: {failure}"))
        }
    })?;
    // Overseerr breaks on single requests of old; those of the other pages are shown.
    if let Some(failure) = &series.broken {
        let seen = series.entries.len();
        tracing::warn!("VoDWisharr: only the first {seen} requests could be read: {failure}");
    }
    made(series.length, move || {
        let requests = Requests {
            requests: &series.entries,
            total: series.entries.len(),
        };
        Json(requests).into_response()
    })
    .await
}

/// The service, if it has an address and a key.
///
/// # Errors
/// It has not.
fn configured(app: &AppState) -> ApiResult<Upstream> {
    let settings = app.settings.current();
    let form = &settings.integrations.overseerr;
    if !is_whole(&form.url, &form.api_key) {
        return Err(ApiError::unavailable(NOT_CONFIGURED));
    }
    Ok(Upstream {
        name: "VoDWisharr".to_owned(),
        url: base(&form.url).to_owned(),
        key: Key::Header("X-Api-Key", form.api_key.clone()),
        limit: LIMIT,
    })
}

/// The address of the service itself. The settings page asks for that of its users, and people give
/// the other one as well; 3.3.0 cut off letters instead of the end (contract 08, item 109).
fn base(url: &str) -> &str {
    let url = url.trim().trim_end_matches('/');
    let base = url.strip_suffix("/api/v1/user").unwrap_or(url);
    base.trim_end_matches('/')
}

/// Status 502: a page of a list is not to be had.
fn no_page(status: u16) -> ApiError {
    ApiError::bad_gateway(format!("VoDWisharr API returned status code: {status}"))
}

/// The routes of this folder.
pub(super) fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(status))
        .routes(routes!(requests))
        .merge(users::router())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn either_address_leads_to_the_service() {
        for url in [
            "http://127.0.0.1:18111/api/v1/user",
            " http://127.0.0.1:18111/api/v1/user// ",
            "http://127.0.0.1:18111",
            "http://127.0.0.1:18111//",
            "http://127.0.0.1:18111//api/v1/user",
        ] {
            assert_eq!(base(url), "http://127.0.0.1:18111", "{url}");
        }
        for (url, expected) in [
            ("http://overseerr/api/v1/user", "http://overseerr"),
            ("https://requests.tv/api/v1/user", "https://requests.tv"),
            ("https://home/wishes/api/v1/user/", "https://home/wishes"),
            ("https://user/api/v1/users", "https://user/api/v1/users"),
        ] {
            assert_eq!(base(url), expected);
        }
    }
}
