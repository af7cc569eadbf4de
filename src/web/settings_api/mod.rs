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
    use axum::extract::{FromRequest as _, Request};
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::settings::{Environment, Overrides, SettingsStore};

    fn store_in(directory: &tempfile::TempDir) -> SettingsStore {
        let data_dir = Some(directory.path().to_owned());
        let overrides = Overrides {
            data_dir,
            ..Overrides::default()
        };
        SettingsStore::open(Environment::default(), overrides).unwrap()
    }

    fn shown(store: &SettingsStore) -> Value {
        serde_json::to_value(Sections::of(&store.current())).unwrap()
    }

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

    /// Each section or null, with any texts.
    fn sections() -> impl Strategy<Value = Value> {
        let sample = json!({
            "logging": {"level": "", "enable_file": true}, "general": {"timezone": ""},
            "api": {"github_token": "", "tmdb_api_key": ""},
            "plex": {"server_url": "", "server_token": "", "server_name": ""},
            "overseerr": {"url": "", "api_key": "", "email_domain": ""},
            "uploader": {"base_url": ""}, "vpn_proxy": {"url": "", "api_key": ""},
            "posterizarr": {"url": "", "api_key": ""},
            "arr": {"instances": [{"id": "", "name": "", "type": "", "url": "", "api_key": "",
                                   "access_url": ""}]},
            "external_apps": {"apps": [{"id": "", "name": "", "url": "", "icon": ""}]},
        });
        let text = prop_oneof![any::<String>(), "[a-z:/.]{0,12}"];
        let texts = prop::collection::vec(text, 30);
        (texts, any::<[bool; 10]>()).prop_map(move |(texts, given)| {
            let (mut sections, mut texts) = (sample.clone(), texts.into_iter());
            let each = sections.as_object_mut().unwrap().values_mut();
            for (section, given) in each.zip(given) {
                if given {
                    fill(section, &mut texts);
                } else {
                    *section = Value::Null;
                }
            }
            sections
        })
    }

    fn fill(value: &mut Value, texts: &mut impl Iterator<Item = String>) {
        match value {
            Value::String(text) => *text = texts.next().unwrap(),
            Value::Array(values) => values.iter_mut().for_each(|value| fill(value, texts)),
            Value::Object(fields) => fields.values_mut().for_each(|value| fill(value, texts)),
            _ => {}
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]

        #[test]
        fn what_is_saved_is_shown_again_and_the_rest_stays(given in sections()) {
            let directory = tempfile::tempdir().unwrap();
            let file = directory.path().join("config.json");
            std::fs::write(&file, r#"{"own": {"b": 1, "a": [null]}, "auth": {"username": "u"}}"#).unwrap();
            let store = store_in(&directory);
            let before = shown(&store);
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let request = Request::post("/").header("content-type", "application/json");
            let request = request.body(given.to_string().into()).unwrap();
            let JsonBody(body) = runtime.block_on(JsonBody::<Sections>::from_request(request, &())).unwrap();
            let body = serde_json::to_value(body).unwrap();
            runtime.block_on(store.save(|document| replace_sections(document, body))).unwrap();

            for (name, section) in given.as_object().unwrap() {
                let expected = if section.is_null() { &before[name] } else { section };
                for store in [&store, &store_in(&directory)] {
                    prop_assert_eq!(&shown(store)[name], expected, "{}", name);
                }
            }
            let stored: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
            prop_assert_eq!(stored["own"].to_string(), r#"{"b":1,"a":[null]}"#);
            prop_assert_eq!(&stored["auth"], &json!({"username": "u"}));
        }
    }
}
