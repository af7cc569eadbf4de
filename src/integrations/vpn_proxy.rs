//! `/api/vpn-proxy/…`: the containers of a VPN proxy manager, what they are connected to, and what
//! passes through them (contract 05, section 4).

use std::time::Duration;

use axum::Json;
use axum::response::Response;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::mend::Form;
use super::relay::{Connection, Parameter, Route, Service, with_key};
use super::upstream::{Key, json};
use crate::app::AppState;

const LIMIT: Duration = Duration::from_secs(15);
/// The provider's name goes into an address.
const LONGEST_PROVIDER: usize = 100;

/// Megabits per second of what is asked for, by address.
const BY_ADDRESS: Form =
    Form::Object(&[("Proxy", Form::Map(&Form::Object(&[("Mbps", Form::Number)])))]);

static SERVICE: Service = Service {
    tag: "vpn-proxy",
    upstream: |settings| {
        let key = |key| Key::Header("x-api-key", key);
        with_key(&settings.vpn_proxy, "VPN Proxy Manager", key, LIMIT)
    },
    takes_text: false,
    routes: &[
        Route {
            summary: "The containers that hold a VPN.",
            unconfigured: "[]",
            form: Form::List(&[]),
            ..path("/api/vpn-proxy/containers", "/api/containers")
        },
        Route {
            summary: "What each is connected to, by its number.",
            unconfigured: "{}",
            form: Form::Map(&Form::Object(&[])),
            ..path(
                "/api/vpn-proxy/containers/vpn-info-batch",
                "/api/containers/vpn-info-batch",
            )
        },
        Route {
            summary: "The containers that use the network of another.",
            unconfigured: "[]",
            form: Form::List(&[("network_mode", Form::Text)]),
            ..path(
                "/api/vpn-proxy/containers/dependents",
                "/api/containers/dependents",
            )
        },
        Route {
            summary: "One container.",
            parameters: &[Parameter::InPath("container_id")],
            ..path(
                "/api/vpn-proxy/containers/{container_id}",
                "/api/containers/{container_id}",
            )
        },
        Route {
            summary: "What one container is connected to.",
            parameters: &[Parameter::InPath("container_id")],
            ..path(
                "/api/vpn-proxy/containers/{container_id}/vpn-info",
                "/api/containers/{container_id}/vpn-info",
            )
        },
        Route {
            summary: "Whether its Docker works.",
            ..path(
                "/api/vpn-proxy/system/docker-status",
                "/api/system/docker-status",
            )
        },
        Route {
            summary: "The streams that pass through, and the load.",
            unconfigured: "{}",
            form: Form::Object(&[
                ("TotalBwIn", Form::Text),
                ("TotalBwOut", Form::Text),
                ("Readers", Form::List(&[("Bw", Form::Text)])),
            ]),
            ..path("/api/vpn-proxy/monitoring", "/api/monitoring")
        },
        Route {
            summary: "What the streams of a provider need.",
            unconfigured: "{}",
            form: Form::Object(&[(
                "Usage",
                Form::Object(&[
                    ("Script", BY_ADDRESS),
                    ("Manifest", BY_ADDRESS),
                    ("Media", BY_ADDRESS),
                ]),
            )]),
            parameters: &[Parameter::Text {
                name: "provider",
                default: "demagentatv",
                longest: LONGEST_PROVIDER,
            }],
            ..path(
                "/api/vpn-proxy/monitoring/network-usage",
                "/api/monitoring/network-usage",
            )
        },
    ],
};

const fn path(path: &'static str, upstream: &'static str) -> Route {
    Route {
        path,
        upstream,
        summary: "",
        unconfigured: r#"{"error":"Not configured"}"#,
        form: Form::Any,
        parameters: &[],
    }
}

/// Whether the VPN proxy manager answers.
#[utoipa::path(get, path = "/api/vpn-proxy/status", tag = "vpn-proxy",
    responses((status = 200, body = Connection)))]
async fn status(app: AppState) -> Json<Connection> {
    Json(SERVICE.connection(&app, "/api/health").await)
}

/// Whether it watches the streams. Always 200: without an answer it does not.
#[utoipa::path(get, path = "/api/vpn-proxy/monitoring/status", tag = "vpn-proxy",
    responses((status = 200, body = Value)))]
async fn monitoring_status(app: AppState) -> Response {
    let shown = match SERVICE.configured(&app) {
        Some(upstream) => {
            let answer = upstream.get(&app, "/api/monitoring/status", &[]).await;
            answer
                .and_then(|answer| SERVICE.shown(&upstream, &answer, &Form::Any))
                .ok()
        }
        None => None,
    };
    json(shown.unwrap_or_else(|| r#"{"configured":false}"#.to_owned()))
}

/// The routes of this file.
pub(super) fn router() -> OpenApiRouter<AppState> {
    SERVICE
        .router()
        .routes(routes!(status))
        .routes(routes!(monitoring_status))
}
