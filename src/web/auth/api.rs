//! `/api/auth/…`: is log-in on, switch it, change user name and password.

use axum::http::{HeaderMap, header};
use axum::{Extension, Json};
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{AdmittedBy, answer_to};
use crate::access::Refusal;
use crate::access::password::{self, Unusable};
use crate::app::AppState;
use crate::compat::validation::{Fields, FromFields, JsonBody, ValidationError};
use crate::settings::{Secret, SettingsError};
use crate::web::client::Client;
use crate::web::error::{ApiError, ApiResult, Detail};

/// The answer to auth/status.
#[derive(Serialize, ToSchema)]
struct AuthStatus {
    enabled: bool,
}

/// The body of auth/toggle.
#[derive(ToSchema)]
struct Toggle {
    enabled: bool,
}

impl FromFields for Toggle {
    fn from_fields(fields: &mut Fields) -> Self {
        Self {
            enabled: fields.boolean("enabled"),
        }
    }
}

/// The answer to auth/toggle.
#[derive(Serialize, ToSchema)]
struct Toggled {
    enabled: bool,
    message: &'static str,
}

/// The body of auth/update.
#[derive(ToSchema)]
struct NewCredentials {
    #[schema(
        min_length = 1,
        max_length = 1024,
        pattern = "^[ -9;-~\\u00a0-\\u00ff]*$"
    )]
    username: String,
    #[schema(value_type = String)]
    current_password: Secret,
    #[schema(value_type = String, min_length = 1, max_length = 1024,
        pattern = "^[ -~\\u00a0-\\u00ff]*$")]
    new_password: Secret,
}

impl FromFields for NewCredentials {
    fn from_fields(fields: &mut Fields) -> Self {
        let new = Self {
            username: fields.string("username"),
            current_password: Secret::new(fields.string("current_password")),
            new_password: Secret::new(fields.string("new_password")),
        };
        let username = password::check_username(&new.username);
        let password = password::check_password(new.new_password.expose());
        for (name, verdict) in [("username", username), ("new_password", password)] {
            if let Err(why) = verdict
                && fields.is_text(name)
            {
                fields.refuse(name, kind(why), why.to_string());
            }
        }
        new
    }
}

/// Pydantic's name of it.
const fn kind(why: Unusable) -> &'static str {
    match why {
        Unusable::Empty => "string_too_short",
        Unusable::TooLong => "string_too_long",
        Unusable::Unsendable | Unusable::Colon | Unusable::Hash => "value_error",
    }
}

/// The answer to auth/update.
#[derive(Serialize, ToSchema)]
struct Updated {
    message: &'static str,
}

/// Whether credentials are asked for.
#[utoipa::path(get, path = "/api/auth/status", tag = "auth",
    responses((status = 200, body = AuthStatus)))]
async fn status(app: AppState) -> Json<AuthStatus> {
    Json(AuthStatus {
        enabled: app.settings.current().auth.enabled,
    })
}

/// Switches log-in on or off. While it is on this needs credentials, as everything does. All
/// sessions end.
#[utoipa::path(post, path = "/api/auth/toggle", tag = "auth", request_body = Toggle,
    responses((status = 200, body = Toggled), (status = 401, body = Detail),
        (status = 422, body = ValidationError), (status = 500, body = Detail)))]
async fn toggle(
    app: AppState,
    Extension(admitted): Extension<AdmittedBy>,
    JsonBody(body): JsonBody<Toggle>,
) -> ApiResult<Json<Toggled>> {
    let Toggle { enabled } = body;
    let switch = move |section: &mut Map<String, Value>| {
        section.insert("enabled".to_owned(), enabled.into());
    };
    store(&app, admitted, switch).await?;
    let state = if enabled { "enabled" } else { "disabled" };
    tracing::info!("Authentication {state}");
    Ok(Json(Toggled {
        enabled,
        message: "Authentication settings updated",
    }))
}

/// Changes user name and password. While log-in is on this needs credentials and the current
/// password once more. All sessions end.
#[utoipa::path(post, path = "/api/auth/update", tag = "auth", request_body = NewCredentials,
    responses((status = 200, body = Updated), (status = 401, body = Detail),
        (status = 422, body = ValidationError), (status = 429, body = Detail),
        (status = 500, body = Detail)))]
async fn update(
    app: AppState,
    client: Client,
    Extension(admitted): Extension<AdmittedBy>,
    headers: HeaderMap,
    JsonBody(body): JsonBody<NewCredentials>,
) -> ApiResult<Json<Updated>> {
    let NewCredentials {
        username,
        current_password,
        new_password,
    } = body;
    let settings = app.settings.current();
    if settings.auth.enabled {
        let header = headers.get(header::AUTHORIZATION);
        let header = header.ok_or_else(|| answer_to(Refusal::Missing, true))?;
        let given = current_password.expose();
        let confirmed = app.access.confirm(header, given, client.address).await;
        confirmed.map_err(|refusal| answer_to(refusal, true))?;
    }
    let password = if settings.access.plaintext_passwords {
        new_password
    } else {
        let hashed = app.access.hash(new_password).await;
        let hashed = hashed.map_err(|refusal| answer_to(refusal, true))?;
        Secret::new(hashed.map_err(|why| ApiError::internal("Internal Server Error", why))?)
    };
    let change = move |section: &mut Map<String, Value>| {
        section.insert("username".to_owned(), username.into());
        section.insert("password".to_owned(), password.expose().into());
    };
    store(&app, admitted, change).await?;
    tracing::info!("The credentials were changed");
    Ok(Json(Updated {
        message: "Credentials updated successfully",
    }))
}

/// Puts a change in force and into `config.json`, unless the log-in that it was allowed by has
/// been changed meanwhile. The keys that are missing get the values in force, so that 3.3.0 would
/// go on with them too.
async fn store(
    app: &AppState,
    AdmittedBy(revision): AdmittedBy,
    change: impl FnOnce(&mut Map<String, Value>) + Send,
) -> ApiResult<()> {
    let save = app.settings.save_auth(revision, change);
    let saved = save.await.map_err(|error: SettingsError| {
        ApiError::internal(format!("Failed to save settings: {error}"), error)
    })?;
    if saved {
        Ok(())
    } else if app.settings.current().auth.enabled {
        Err(answer_to(Refusal::Wrong, true))
    } else {
        // Never a 401 while log-in is off.
        Err(ApiError::unavailable("The log-in was changed meanwhile"))
    }
}

/// The routes of this file.
pub(in crate::web) fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(status))
        .routes(routes!(toggle))
        .routes(routes!(update))
}
