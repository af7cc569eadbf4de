//! `GET /api/plex/debug/raw-activities`: what Plex answers, unread. For bug reports.

use axum::Json;
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::error::PlexError;
use super::server::PlexServer;
use crate::app::AppState;
use crate::settings::Secret;

/// The answer.
#[derive(Serialize, ToSchema)]
struct RawActivities {
    activities_endpoint: Endpoint,
    sessions_endpoint: Endpoint,
}

/// What one path answers.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
enum Endpoint {
    /// Plex answered: JSON for status 200, else text.
    Answered {
        status: u16,
        #[schema(value_type = Value)]
        data: Data,
    },
    /// It did not, or not in JSON.
    Failed { error: String },
}

#[derive(Serialize)]
#[serde(untagged)]
enum Data {
    Json(Box<RawValue>),
    Text(String),
}

/// The answer without a server.
#[derive(Serialize, ToSchema)]
struct NoConfig {
    error: &'static str,
}

/// Either of the two answers, for the description of the API.
#[derive(ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "only describes what is sent")]
enum RawAnswer {
    Asked(RawActivities),
    NotConfigured(NoConfig),
}

/// What Plex answers to `/activities` and `/status/sessions`, unread and from no cache.
#[utoipa::path(get, path = "/api/plex/debug/raw-activities", tag = "plex",
    responses((status = 200, body = RawAnswer)))]
async fn raw_activities(app: AppState) -> Response {
    let settings = app.settings.current();
    let Some(target) = &settings.plex else {
        let error = "No config found";
        return Json(NoConfig { error }).into_response();
    };
    let server = app.plex.server(target);
    let (activities, sessions) = tokio::join!(
        ask(&server, "/activities", &target.token),
        ask(&server, "/status/sessions", &target.token),
    );
    Json(RawActivities {
        activities_endpoint: activities,
        sessions_endpoint: sessions,
    })
    .into_response()
}

async fn ask(server: &PlexServer, path: &str, token: &Secret) -> Endpoint {
    match server.raw(path).await.and_then(|raw| read(raw, token)) {
        Ok((status, data)) => Endpoint::Answered { status, data },
        Err(error) => Endpoint::Failed {
            error: error.to_string(),
        },
    }
}

fn read((status, body): (u16, Bytes), token: &Secret) -> Result<(u16, Data), PlexError> {
    // A proxy's error page may repeat the request.
    let text = String::from_utf8_lossy(&body).replace(token.expose(), "***");
    let data = match status {
        200 => Data::Json(serde_json::from_str(&text).map_err(|_not_json| PlexError::NotPlex)?),
        _ => Data::Text(text),
    };
    Ok((status, data))
}

/// The routes of this file.
pub(super) fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(raw_activities))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn json_and_text_are_passed_on_without_the_token() {
        let token = Secret::new("geheim");
        let of = |status, body: &'static str| {
            let read = read((status, Bytes::from_static(body.as_bytes())), &token);
            read.map(|(status, data)| (status, serde_json::to_value(data).unwrap()))
        };
        let sent = r#"{"MediaContainer":{"size":0,"x":"geheim"}}"#;
        let json = json!({"MediaContainer": {"size": 0, "x": "***"}});
        assert_eq!(of(200, sent), Ok((200, json)));
        assert_eq!(of(404, "<h1>geheim"), Ok((404, json!("<h1>***"))));
        assert_eq!(of(200, "<html>"), Err(PlexError::NotPlex));
    }
}
