//! `/api/posterizarr/…`: what Posterizarr, which makes posters, has done and will do (contract 05,
//! section 2).

use std::time::Duration;

use axum::Json;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::mend::Form;
use super::relay::{Connection, Parameter, Route, Service, with_key};
use super::upstream::Key;
use crate::app::AppState;

const LIMIT: Duration = Duration::from_secs(15);

static SERVICE: Service = Service {
    tag: "posterizarr",
    upstream: |settings| {
        let key = |key| Key::Query("api_key", key);
        with_key(&settings.posterizarr, "Posterizarr", key, LIMIT)
    },
    takes_text: false,
    routes: &[
        Route {
            summary: "What runs, which version it is, and when it runs next.",
            form: Form::Object(&[(
                "scheduler_status",
                Form::Object(&[("next_run", Form::Scalar)]),
            )]),
            ..path("/api/posterizarr/dashboard", "/api/dashboard/all")
        },
        Route {
            summary: "The machine that it runs on.",
            ..path("/api/posterizarr/system-info", "/api/system-info")
        },
        Route {
            summary: "Its version, and the newest one.",
            ..path("/api/posterizarr/version", "/api/version")
        },
        Route {
            summary: "Whether it is at work.",
            ..path("/api/posterizarr/execution-status", "/api/status")
        },
        Route {
            summary: "When it is to run.",
            form: Form::Object(&[
                ("last_run", Form::Scalar),
                ("next_run", Form::Scalar),
                ("schedules", Form::List(&[])),
                ("active_jobs", Form::List(&[("next_run", Form::Scalar)])),
            ]),
            ..path("/api/posterizarr/scheduler", "/api/scheduler/status")
        },
        Route {
            summary: "Its runs so far, the newest first.",
            unconfigured: r#"{"not_configured":true,"runs":[]}"#,
            // In some versions the answer is the list itself.
            form: Form::Object(&[
                ("timestamp", Form::Scalar),
                ("history", Form::List(&[("timestamp", Form::Scalar)])),
            ]),
            parameters: &[Parameter::Count {
                name: "limit",
                default: None,
                range: 0..=1000,
            }],
            ..path("/api/posterizarr/runtime-history", "/api/runtime-history")
        },
        Route {
            summary: "What is missing among its pictures.",
            ..path("/api/posterizarr/assets/overview", "/api/assets/overview")
        },
        Route {
            summary: "How many pictures there are, by library.",
            form: Form::Object(&[("stats", Form::Object(&[("folders", Form::List(&[]))]))]),
            ..path("/api/posterizarr/assets/stats", "/api/assets/stats")
        },
        Route {
            summary: "What it has read from Plex.",
            form: Form::Object(&[("statistics", Form::Object(&[("latest_run", Form::Scalar)]))]),
            ..path(
                "/api/posterizarr/plex-export/statistics",
                "/api/plex-export/statistics",
            )
        },
        Route {
            summary: "When it has read from Plex.",
            unconfigured: r#"{"not_configured":true,"runs":[]}"#,
            form: Form::Any,
            ..path("/api/posterizarr/plex-export/runs", "/api/plex-export/runs")
        },
    ],
};

const fn path(path: &'static str, upstream: &'static str) -> Route {
    Route {
        path,
        upstream,
        summary: "",
        unconfigured: r#"{"not_configured":true}"#,
        form: Form::Object(&[]),
        parameters: &[],
    }
}

/// Whether Posterizarr answers.
#[utoipa::path(get, path = "/api/posterizarr/status", tag = "posterizarr",
    responses((status = 200, body = Connection)))]
async fn status(app: AppState) -> Json<Connection> {
    Json(SERVICE.connection(&app, "/api").await)
}

/// The routes of this file.
pub(super) fn router() -> OpenApiRouter<AppState> {
    SERVICE.router().routes(routes!(status))
}
