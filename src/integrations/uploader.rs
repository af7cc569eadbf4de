//! `/api/uploader/…`: what is being uploaded, waits, is done or has failed (contract 05, section 3).
//!
//! The frontend asks for ten thousand finished uploads every 15 seconds; they are passed on as they
//! come.

use std::time::Duration;

use axum::Json;
use axum::response::{IntoResponse as _, Response};
use serde_json::{Map, Value};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::mend::Form;
use super::relay::{Connection, Parameter, Route, Service};
use super::upstream::{Failure, Key, Upstream};
use crate::app::AppState;

const LIMIT: Duration = Duration::from_secs(10);

/// The frontend asks for pages of 10,000 at most.
const PAGING: &[Parameter] = &[
    Parameter::Count {
        name: "pageNumber",
        default: Some(1),
        range: 1..=1_000_000,
    },
    Parameter::Count {
        name: "pageSize",
        default: Some(25),
        range: 1..=10_000,
    },
];
const NO_PAGE: &str = r#"{"jobs":[],"total":0,"not_configured":true}"#;
const NO_COUNT: &str = r#"{"count":0,"not_configured":true}"#;

static SERVICE: Service = Service {
    tag: "uploader",
    upstream: |settings| {
        let url = &settings.uploader_url;
        (!url.trim().is_empty()).then(|| Upstream {
            name: "Uploader".to_owned(),
            url: url.clone(),
            key: Key::None,
            limit: LIMIT,
        })
    },
    takes_text: true,
    routes: &[
        Route {
            summary: "The files that wait.",
            unconfigured: r#"{"files":[],"not_configured":true}"#,
            form: Form::Object(&[("files", Form::List(&[("filesize", Form::Number)]))]),
            ..path("/api/uploader/queue", "/srv/api/jobs/queue.php")
        },
        Route {
            summary: "What is being uploaded.",
            unconfigured: r#"{"jobs":[],"not_configured":true}"#,
            form: Form::Object(&[("jobs", Form::List(&[]))]),
            ..path("/api/uploader/inprogress", "/srv/api/jobs/inprogress.php")
        },
        Route {
            summary: "What has been uploaded, the newest first.",
            unconfigured: NO_PAGE,
            form: Form::Object(&[("jobs", Form::List(&[]))]),
            parameters: PAGING,
            ..path("/api/uploader/completed", "/srv/api/jobs/completed.php")
        },
        Route {
            summary: "How much waits.",
            ..path("/api/uploader/queue_stats", "/srv/api/jobs/queue_stats.php")
        },
        Route {
            summary: "How many uploads have ended today.",
            ..path(
                "/api/uploader/completed_today_stats",
                "/srv/api/jobs/completed_today_stats.php",
            )
        },
        Route {
            summary: "What could not be uploaded.",
            unconfigured: NO_PAGE,
            form: Form::Object(&[("jobs", Form::List(&[]))]),
            parameters: PAGING,
            ..path("/api/uploader/failed", "/srv/api/jobs/failed.php")
        },
        Route {
            summary: "How many uploads have failed.",
            ..path(
                "/api/uploader/failed_count",
                "/srv/api/jobs/failed_count.php",
            )
        },
    ],
};

const fn path(path: &'static str, upstream: &'static str) -> Route {
    Route {
        path,
        upstream,
        summary: "",
        unconfigured: NO_COUNT,
        form: Form::Object(&[("count", Form::Number), ("total_size", Form::Number)]),
        parameters: &[],
    }
}

/// Whether the uploader answers, and what it says of itself.
///
/// Always 200. `connected` is ours, whatever the uploader says.
#[utoipa::path(get, path = "/api/uploader/status", tag = "uploader",
    responses((status = 200, body = Map<String, Value>)))]
async fn status(app: AppState) -> Response {
    let Some(upstream) = SERVICE.greeted(&app) else {
        return Json(Connection::unconfigured()).into_response();
    };
    match state(&app, &upstream).await {
        Ok(state) => Json(state).into_response(),
        Err(_failure) => Json(Connection::missing("Unreachable")).into_response(),
    }
}

async fn state(app: &AppState, upstream: &Upstream) -> Result<Map<String, Value>, Failure> {
    /// Each is a text on the page.
    const FORM: Form = Form::Object(&[
        ("status", Form::Text),
        ("uptime", Form::Text),
        ("storage", Form::Text),
    ]);
    let path = "/srv/api/system/status.php";
    let answer = upstream.get(app, path, &[]).await?;
    let shown = SERVICE.shown(upstream, &answer, &FORM)?;
    let mut state = Map::new();
    state.insert("connected".to_owned(), true.into());
    if let Ok(Value::Object(said)) = serde_json::from_str(&shown) {
        let said = said.into_iter().filter(|(name, _)| name != "connected");
        state.extend(said);
    }
    Ok(state)
}

/// The routes of this file.
pub(super) fn router() -> OpenApiRouter<AppState> {
    SERVICE.router().routes(routes!(status))
}
