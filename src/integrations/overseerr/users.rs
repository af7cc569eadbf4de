//! The people who may wish: looked at, created, removed.

use axum::Json;
use axum::extract::Path;
use axum::response::{IntoResponse as _, Response, Result};
use reqwest::Method;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::super::outside::CallError;
use super::super::upstream::{Answer, Failure, Upstream, made};
use super::pages::{List, all, forget};
use super::{NOT_CONFIGURED, configured, no_page};
use crate::app::AppState;
use crate::compat::validation::{
    Fields, FromFields, JsonBody, QueryParameters, ValidationError, integer_in_path,
};
use crate::web::error::{ApiError, ApiResult, Detail};

const USERS: &str = "/api/v1/user";

/// Everybody whom it knows, or whom was searched for.
#[derive(Serialize, ToSchema)]
#[schema(as = OverseerrUsers)]
struct Users<'a> {
    success: bool,
    /// As they come.
    #[schema(value_type = Vec<Object>)]
    users: Vec<&'a RawValue>,
    total: usize,
}

/// By what somebody is found.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Names {
    username: Value,
    email: Value,
    display_name: Value,
}

/// Somebody who is to be created. Not to be logged.
#[derive(ToSchema)]
#[schema(as = OverseerrNewUser)]
struct NewUser {
    username: String,
    password: String,
    /// Made up if there is none.
    email: Option<String>,
    /// For one that is made up; else that of the settings.
    email_domain: Option<String>,
}

/// Somebody who was created.
#[derive(Serialize, ToSchema)]
#[schema(as = OverseerrUserCreated)]
struct Created {
    success: bool,
    message: String,
    username: String,
}

/// Somebody who was removed.
#[derive(Serialize, ToSchema)]
#[schema(as = OverseerrUserDeleted)]
struct Deleted {
    success: bool,
    message: &'static str,
}

impl FromFields for NewUser {
    fn from_fields(fields: &mut Fields) -> Self {
        Self {
            username: fields.string("username"),
            password: fields.string("password"),
            email: fields.optional_string("email"),
            email_domain: fields.optional_string("email_domain"),
        }
    }
}

impl NewUser {
    /// The address that is given, or one that is made up.
    fn address(&self, default_domain: &str) -> Option<String> {
        let some = |text: Option<&str>| text.filter(|t| !t.is_empty()).map(str::to_owned);
        let given = some(self.email.as_deref());
        given.or_else(|| {
            let own = some(self.email_domain.as_deref());
            let domain = own.or_else(|| some(Some(default_domain)))?;
            Some(format!("{}@{domain}", self.username))
        })
    }
}

/// Everybody, or whose name or address contains what is searched for.
#[utoipa::path(get, path = "/api/overseerr/users", tag = "overseerr",
    params(("search" = Option<String>, Query,
        description = "A part of the user name, the address or the shown name, in any case.")),
    responses((status = 200, body = Users<'_>), (status = 502, body = Detail),
        (status = 503, body = Detail)))]
async fn list_users(app: AppState, query: QueryParameters) -> ApiResult<Response> {
    let upstream = configured(&app)?;
    let series = all(&app, &upstream, List::Users)
        .await
        .map_err(not_listed)?;
    if let Some(failure) = &series.broken {
        return Err(not_listed(failure.clone()));
    }
    let wanted = query.optional_text("search").unwrap_or_default();
    let wanted = wanted.to_lowercase();
    made(series.length, move || {
        let everybody = series.entries.iter().map(|user| &**user);
        let users: Vec<&RawValue> = everybody
            .filter(|user| wanted.is_empty() || is_found(user, &wanted))
            .collect();
        let users = Users {
            success: true,
            total: users.len(),
            users,
        };
        Json(users).into_response()
    })
    .await
}

fn not_listed(failure: Failure) -> ApiError {
    match failure {
        Failure::Status { status, .. } => no_page(status),
        failure => ApiError::bad_gateway(format!("Failed to fetch users: {failure}")),
    }
}

fn is_found(user: &RawValue, wanted: &str) -> bool {
    let names: Names = serde_json::from_str(user.get()).unwrap_or_default();
    let names = [&names.username, &names.email, &names.display_name];
    let mut names = names.into_iter().filter_map(Value::as_str);
    names.any(|name| name.to_lowercase().contains(wanted))
}

/// Creates somebody who logs in with a password, without any rights beyond the usual ones.
#[utoipa::path(post, path = "/api/overseerr/users", tag = "overseerr", request_body = NewUser,
    responses((status = 200, body = Created), (status = 400, body = Detail),
        (status = 409, body = Detail), (status = 422, body = ValidationError),
        (status = 500, body = Detail), (status = 503, body = Detail), (status = 504, body = Detail)))]
async fn create_user(app: AppState, JsonBody(new): JsonBody<NewUser>) -> ApiResult<Json<Created>> {
    let upstream = configured(&app).map_err(|_not_configured| {
        ApiError::unavailable(format!(
            "{NOT_CONFIGURED}. Please set OVERSEERR_URL and OVERSEERR_API_KEY in config.json"
        ))
    })?;
    let settings = app.settings.current();
    let email = new.address(&settings.integrations.overseerr_email_domain);
    let email = email.ok_or_else(|| ApiError::bad_request("Email or email_domain is required"))?;
    let NewUser {
        username, password, ..
    } = new;
    let body =
        json!({"email": email, "username": username, "password": password, "permissions": 0});
    let answer = change(&app, &upstream, Method::POST, USERS, Some(&body)).await;
    let answer = answer.map_err(|failure| not_reached(&failure))?;
    match answer.status {
        201 => Ok(Json(Created {
            success: true,
            message: format!("User {username} created successfully"),
            username,
        })),
        409 => Err(ApiError::conflict(format!(
            "User {username} already exists in VoDWisharr"
        ))),
        status => Err(ApiError::internal(
            format!("VoDWisharr API error: {}", upstream.words_of(&answer)),
            format!("VoDWisharr did not create a user: status {status}"),
        )),
    }
}

fn not_reached(failure: &Failure) -> ApiError {
    match failure {
        Failure::Call(CallError::Timeout) => {
            ApiError::gateway_timeout("Timeout connecting to VoDWisharr")
        }
        failure => ApiError::unavailable(format!("Failed to connect to VoDWisharr: {failure}")),
    }
}

/// Removes somebody.
#[utoipa::path(delete, path = "/api/overseerr/users/{user_id}", tag = "overseerr",
    params(("user_id" = i64, Path, description = "As Overseerr counts them.")),
    responses((status = 200, body = Deleted), (status = 404, body = Detail),
        (status = 422, body = ValidationError), (status = 502, body = Detail),
        (status = 503, body = Detail)))]
async fn delete_user(app: AppState, Path(user_id): Path<String>) -> Result<Json<Deleted>> {
    let id = integer_in_path("user_id", &user_id)?;
    let upstream = configured(&app)?;
    let path = format!("{USERS}/{id}");
    let answer = change(&app, &upstream, Method::DELETE, &path, None).await;
    let answer = answer
        .map_err(|failure| ApiError::bad_gateway(format!("Failed to delete user: {failure}")))?;
    let text = format!("VoDWisharr returned status {}", answer.status);
    match answer.status {
        200 | 204 => Ok(Json(Deleted {
            success: true,
            message: "User deleted successfully",
        })),
        404 => Err(ApiError::missing(text).into()),
        _ => Err(ApiError::bad_gateway(text).into()),
    }
}

async fn change(
    app: &AppState,
    upstream: &Upstream,
    method: Method,
    path: &str,
    body: Option<&Value>,
) -> Result<Answer, Failure> {
    let (app, upstream) = (app.clone(), upstream.clone());
    let (path, body) = (path.to_owned(), body.cloned());
    // To its end even if nobody waits for it any more: the old lists have to be forgotten.
    let changed = tokio::spawn(async move {
        let answer = upstream.send(&app, method, &path, body.as_ref()).await;
        forget(&upstream);
        answer
    });
    changed.await.unwrap_or(Err(CallError::Broken.into()))
}

/// The routes of this file.
pub(super) fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(list_users, create_user))
        .routes(routes!(delete_user))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_that_is_too_slow_is_told_from_one_that_is_not_there() {
        let status = |error: CallError| not_reached(&error.into()).into_response().status();
        assert_eq!(status(CallError::Timeout), 504);
        assert_eq!(status(CallError::Connect), 503);
        assert_eq!(status(CallError::Broken), 503);
    }

    #[test]
    fn an_address_is_made_up_where_none_is_given() {
        let address = |email: Option<&str>, domain: Option<&str>, default| {
            let new = NewUser {
                username: "pip".to_owned(),
                password: String::new(),
                email: email.map(str::to_owned),
                email_domain: domain.map(str::to_owned),
            };
            new.address(default)
        };
        let is = |text: &str| Some(text.to_owned());
        assert_eq!(address(Some("a@b"), Some("c"), "d"), is("a@b"));
        assert_eq!(address(Some(""), Some("c"), "d"), is("pip@c"));
        assert_eq!(address(None, Some(""), "d"), is("pip@d"));
        assert_eq!(address(None, None, ""), None);
    }

    #[test]
    fn somebody_is_found_by_a_part_of_any_name() {
        let found = |user: Value, wanted: &str| {
            let user = serde_json::value::to_raw_value(&user).unwrap();
            is_found(&user, wanted)
        };
        let user =
            json!({"username": null, "email": "Zoë@x.org", "displayName": "ÄRZTIN", "id": 7});
        for wanted in ["zoë", "x.o", "ärz"] {
            assert!(found(user.clone(), wanted), "{wanted}");
        }
        assert!(!found(user, "null"));
        assert!(!found(json!({"username": 7}), "7"));
    }
}
