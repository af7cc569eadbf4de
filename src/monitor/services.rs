//! `/api/services/{id}` and its relatives: what people do with services (contract 03, section 2).

use axum::extract::Path;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa::openapi::{Object, ObjectBuilder, Type};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::check::{check, check_all};
use super::edit;
use super::model::{Form, KINDS};
use super::registry::Watched;
use super::shown::Shown;
use crate::app::AppState;
use crate::compat::validation::{Fields, FromFields, JsonBody, Said, ValidationError};
use crate::web::error::{ApiError, ApiResult, Detail};

/// For the description: the kinds of service.
fn kind() -> Object {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .enum_values(Some(KINDS))
        .build()
}

/// A service that is to be created.
#[derive(ToSchema)]
struct NewService {
    name: String,
    url: String,
    #[schema(schema_with = kind)]
    r#type: &'static str,
    description: Option<String>,
    icon: Option<String>,
    group: Option<String>,
}

impl FromFields for NewService {
    fn from_fields(fields: &mut Fields) -> Self {
        Self {
            name: fields.string("name"),
            url: fields.string("url"),
            r#type: fields.word("type", &KINDS),
            description: fields.optional_string("description"),
            icon: fields.optional_string("icon"),
            group: fields.optional_string("group"),
        }
    }
}

impl From<NewService> for Form {
    fn from(new: NewService) -> Self {
        Self {
            name: new.name,
            url: new.url,
            kind: new.r#type.to_owned(),
            description: new.description,
            icon: new.icon,
            group: new.group,
        }
    }
}

/// What is to be changed about a service: the fields that are there. `null` empties the last three;
/// 3.3.0 accepted it for all, and could not store the service any more (contract 08, item 78).
#[derive(ToSchema)]
struct ServiceChange {
    #[schema(nullable = false)]
    name: Option<String>,
    #[schema(nullable = false)]
    url: Option<String>,
    #[schema(schema_with = kind, required = false)]
    r#type: Option<&'static str>,
    #[schema(value_type = Option<String>)]
    description: Said<String>,
    #[schema(value_type = Option<String>)]
    icon: Said<String>,
    #[schema(value_type = Option<String>)]
    group: Said<String>,
}

impl FromFields for ServiceChange {
    fn from_fields(fields: &mut Fields) -> Self {
        Self {
            name: fields.given("name", Fields::string),
            url: fields.given("url", Fields::string),
            r#type: fields.given("type", |fields, name| fields.word(name, &KINDS)),
            description: fields.said("description", Fields::optional_string),
            icon: fields.said("icon", Fields::optional_string),
            group: fields.said("group", Fields::optional_string),
        }
    }
}

impl ServiceChange {
    fn apply(self, form: &mut Form) {
        if let Some(name) = self.name {
            form.name = name;
        }
        if let Some(url) = self.url {
            form.url = url;
        }
        if let Some(kind) = self.r#type {
            kind.clone_into(&mut form.kind);
        }
        for (field, said) in [
            (&mut form.description, self.description),
            (&mut form.icon, self.icon),
            (&mut form.group, self.group),
        ] {
            if let Said::This(text) = said {
                *field = text;
            }
        }
    }
}

/// Creates a service and checks it; the answer comes after the check.
#[utoipa::path(post, path = "/api/services", tag = "services", request_body = NewService,
    responses((status = 201, body = Shown<'static>), (status = 422, body = ValidationError),
        (status = 500, body = Detail), (status = 503, body = Detail)))]
async fn create_service(app: AppState, JsonBody(new): JsonBody<NewService>) -> ApiResult<Response> {
    let watched = edit::add(&app, new.into()).await?;
    check(&app, &watched).await;
    show(StatusCode::CREATED, &watched)
}

/// A service.
#[utoipa::path(get, path = "/api/services/{id}", tag = "services", params(("id" = String, Path)),
    responses((status = 200, body = Shown<'static>), (status = 404, body = Detail)))]
async fn get_service(app: AppState, Path(id): Path<String>) -> ApiResult<Response> {
    show(StatusCode::OK, &*app.monitor.known(&id)?)
}

/// Changes a service and checks it; the answer comes after the check.
#[utoipa::path(put, path = "/api/services/{id}", tag = "services", params(("id" = String, Path)),
    request_body = ServiceChange,
    responses((status = 200, body = Shown<'static>), (status = 404, body = Detail),
        (status = 422, body = ValidationError), (status = 500, body = Detail),
        (status = 503, body = Detail)))]
async fn change_service(
    app: AppState,
    Path(id): Path<String>,
    JsonBody(change): JsonBody<ServiceChange>,
) -> ApiResult<Response> {
    let watched = edit::change(&app, id, |form| change.apply(form)).await?;
    check(&app, &watched).await;
    show(StatusCode::OK, &watched)
}

/// Removes a service with all that is known of it.
#[utoipa::path(delete, path = "/api/services/{id}", tag = "services",
    params(("id" = String, Path)),
    responses((status = 204), (status = 404, body = Detail), (status = 500, body = Detail),
        (status = 503, body = Detail)))]
async fn delete_service(app: AppState, Path(id): Path<String>) -> ApiResult<Response> {
    edit::remove(&app, id).await?;
    Ok(json(StatusCode::NO_CONTENT, Vec::new()))
}

/// Checks a service now.
#[utoipa::path(post, path = "/api/services/{id}/check", tag = "services",
    params(("id" = String, Path)),
    responses((status = 200, body = Shown<'static>), (status = 404, body = Detail)))]
async fn check_service(app: AppState, Path(id): Path<String>) -> ApiResult<Response> {
    let watched = app.monitor.known(&id)?;
    check(&app, &watched).await;
    show(StatusCode::OK, &watched)
}

/// Checks all services now.
#[utoipa::path(post, path = "/api/services/check-all", tag = "services",
    responses((status = 200, body = Vec<Shown<'static>>)))]
async fn check_all_services(app: AppState) -> ApiResult<Response> {
    let services = check_all(&app).await;
    let mut list = vec![b'['];
    for watched in services {
        if list.len() > 1 {
            list.push(b',');
        }
        write(&watched, &mut list)?;
    }
    list.push(b']');
    Ok(json(StatusCode::OK, list))
}

/// One service, as it is.
fn show(status: StatusCode, watched: &Watched) -> ApiResult<Response> {
    let mut body = Vec::new();
    write(watched, &mut body)?;
    Ok(json(status, body))
}

/// Adds a service as JSON.
fn write(watched: &Watched, body: &mut Vec<u8>) -> ApiResult<()> {
    let state = watched.lock();
    Shown::whole(&state.service)
        .serialize(&mut serde_json::Serializer::new(body))
        .map_err(|error| ApiError::internal("Internal Server Error", error))
}

fn json(status: StatusCode, body: Vec<u8>) -> Response {
    (status, [(header::CONTENT_TYPE, "application/json")], body).into_response()
}

/// The routes of this file.
pub(super) fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(create_service))
        .routes(routes!(check_all_services))
        .routes(routes!(get_service, change_service, delete_service))
        .routes(routes!(check_service))
}
