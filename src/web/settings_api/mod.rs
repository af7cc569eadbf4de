//! `/api/settings`: what the settings page shows and stores (contract 02, section 6).

mod sections;

use axum::Json;
use serde_json::{Map, Value};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use self::sections::Sections;
use super::error::{ApiError, ApiResult, Detail};
use crate::app::AppState;
use crate::compat::validation::{JsonBody, ValidationError};

/// All sections, keys and tokens included: the page sends them back with every save.
#[utoipa::path(get, path = "/api/settings", tag = "settings",
    responses((status = 200, body = Sections)))]
async fn get_settings(app: AppState) -> Json<Sections> {
    Json(Sections::of(&app.settings.current()))
}

/// Stores the sections that are given, each as a whole, and answers all of them. They are in force
/// with the answer.
#[utoipa::path(post, path = "/api/settings", tag = "settings", request_body = Sections,
    responses((status = 200, body = Sections), (status = 422, body = ValidationError),
        (status = 500, body = Detail)))]
async fn update_settings(
    app: AppState,
    JsonBody(given): JsonBody<Sections>,
) -> ApiResult<Json<Sections>> {
    let given = serde_json::to_value(&given)
        .map_err(|error| ApiError::internal("Failed to save settings", error))?;
    let changed = app
        .settings
        .save(|document| replace_sections(document, given))
        .await
        .map_err(ApiError::unsaved_settings)?;
    if !changed.is_empty() {
        tracing::info!("Settings changed: {}", changed.join(", "));
    }
    app.put_settings_in_force().await;
    Ok(Json(Sections::of(&app.settings.current())))
}

/// Puts the sections that are not null into `document`, and gives back the names of those that
/// differ from before.
fn replace_sections(document: &mut Map<String, Value>, given: Value) -> Vec<String> {
    let Value::Object(given) = given else {
        return Vec::new();
    };
    let given = given.into_iter().filter(|(_, section)| !section.is_null());
    let mut changed = Vec::new();
    for (name, section) in given {
        // What an old version has left; it would come back with the last server removed.
        let had_older = name == "arr" && document.shift_remove("instances").is_some();
        let before = document.insert(name.clone(), section);
        if had_older || before.as_ref() != document.get(&name) {
            changed.push(name);
        }
    }
    changed
}

/// The routes of this folder.
pub(super) fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(get_settings, update_settings))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn sections_are_replaced_as_a_whole_and_named_when_they_differ() {
        let mut document = json!({
            "auth": {"enabled": true},
            "general": {"timezone": "UTC"},
            "plex": {"server_url": "http://a", "note": "mine"},
            "instances": [],
        });
        let document = document.as_object_mut().unwrap();
        let given = json!({
            "logging": null,
            "general": {"timezone": "UTC"},
            "plex": {"server_url": "http://b"},
        });
        assert_eq!(replace_sections(document, given), ["plex"]);
        assert_eq!(document["plex"], json!({"server_url": "http://b"}));
        assert!(document.contains_key("auth") && !document.contains_key("logging"));
        assert!(document.contains_key("instances"));

        let arr = || json!({"arr": {"instances": []}});
        assert_eq!(replace_sections(document, arr()), ["arr"]);
        assert!(!document.contains_key("instances"));
        assert!(replace_sections(document, arr()).is_empty());
        let order: Vec<&String> = document.keys().collect();
        assert_eq!(order, ["auth", "general", "plex", "arr"]);
    }
}
