//! `/api/auth/…`: is log-in on, switch it, change user name and password.

use axum::Json;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::answer_to;
use crate::access::password::{self, Unusable};
use crate::app::AppState;
use crate::compat::validation::{Fields, FromFields, JsonBody, ValidationError};
use crate::settings::{AuthSettings, Secret, SettingsError};
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
    username: String,
    #[schema(value_type = String)]
    current_password: Secret,
    #[schema(value_type = String)]
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
async fn toggle(app: AppState, JsonBody(body): JsonBody<Toggle>) -> ApiResult<Json<Toggled>> {
    let Toggle { enabled } = body;
    let auth = app.settings.current().auth.clone();
    store(&app, AuthSettings { enabled, ..auth }).await?;
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
    JsonBody(body): JsonBody<NewCredentials>,
) -> ApiResult<Json<Updated>> {
    let NewCredentials {
        username,
        current_password,
        new_password,
    } = body;
    let settings = app.settings.current();
    let auth = &settings.auth;
    if auth.enabled {
        let given = current_password.expose();
        let confirmed = app
            .access
            .confirm(&auth.password, given, client.address)
            .await;
        confirmed.map_err(|refusal| answer_to(refusal, true))?;
    }
    let password = if settings.access.plaintext_passwords {
        new_password
    } else {
        let hashed = app.access.hash(new_password).await;
        Secret::new(hashed.map_err(|why| ApiError::internal("Internal Server Error", why))?)
    };
    let changed = AuthSettings {
        enabled: auth.enabled,
        username,
        password,
    };
    store(&app, changed).await?;
    tracing::info!("The credentials were changed");
    Ok(Json(Updated {
        message: "Credentials updated successfully",
    }))
}

/// Puts `auth` in force and into `config.json`. All three keys, so that 3.3.0 would go on with
/// them too.
async fn store(app: &AppState, auth: AuthSettings) -> ApiResult<()> {
    let saved = app
        .settings
        .save_section("auth", |section| auth.fill(section));
    saved.await.map_err(|error: SettingsError| {
        ApiError::internal(format!("Failed to save settings: {error}"), error)
    })
}

/// The routes of this file.
pub(in crate::web) fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(status))
        .routes(routes!(toggle))
        .routes(routes!(update))
}
