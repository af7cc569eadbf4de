//! `GET /openapi.json`: the description of the API, gathered from the handlers and completed with
//! what the layers in front of them do.

use axum::http::{Method, StatusCode};
use utoipa::OpenApi as _;
use utoipa::openapi::path::{Operation, PathItem};
use utoipa::openapi::schema::AnyOfBuilder;
use utoipa::openapi::security::{
    ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme,
};
use utoipa::openapi::{Content, OpenApi, Ref, RefOr, Response, ResponseBuilder, Schema};

use super::auth;
use super::error::Detail;

/// The names of the two ways to log in; the first one is 3.3.0's.
const BASIC: &str = "HTTPBasic";
const COOKIE: &str = "SessionCookie";

#[derive(utoipa::OpenApi)]
#[openapi(
    info(title = "Komandorr Dashboard API", version = env!("CARGO_PKG_VERSION")),
    components(schemas(Detail))
)]
struct Frame;

/// Without any operation.
pub(super) fn frame() -> OpenApi {
    Frame::openapi()
}

/// Adds to each operation what it does not know of itself. `cookie` is the name of the session
/// cookie.
pub(super) fn complete(description: &mut OpenApi, cookie: &str) {
    for (path, item) in &mut description.paths.paths {
        for (method, operation) in operations(item) {
            operation.operation_id = Some(id(&method, path));
            guard(operation, &method, path);
            describe_responses(operation);
        }
    }
    let components = description.components.get_or_insert_default();
    components.schemas.values_mut().for_each(let_several_fit);
    let basic = HttpBuilder::new().scheme(HttpAuthScheme::Basic);
    let basic = basic.description(Some("Asked for only where log-in is switched on."));
    let cookie = ApiKeyValue::with_description(
        cookie,
        "Set by an answer to valid credentials; counts where a page can't send them.",
    );
    components.add_security_scheme(BASIC, SecurityScheme::Http(basic.build()));
    components.add_security_scheme(COOKIE, SecurityScheme::ApiKey(ApiKey::Cookie(cookie)));
}

fn operations(item: &mut PathItem) -> Vec<(Method, &mut Operation)> {
    let all = [
        (Method::GET, &mut item.get),
        (Method::PUT, &mut item.put),
        (Method::POST, &mut item.post),
        (Method::DELETE, &mut item.delete),
        (Method::PATCH, &mut item.patch),
    ];
    let all = all.into_iter();
    all.filter_map(|(method, operation)| Some((method, operation.as_mut()?)))
        .collect()
}

/// From method and path, as nothing else is sure to be unique: `get_plex_stats_live`.
fn id(method: &Method, path: &str) -> String {
    let words = path.split(|c: char| !c.is_ascii_alphanumeric());
    let words = words.filter(|word| !word.is_empty() && *word != "api");
    words.fold(method.as_str().to_ascii_lowercase(), |id, word| {
        id + "_" + word
    })
}

/// What the layers may answer before the handler is reached.
fn guard(operation: &mut Operation, method: &Method, path: &str) {
    if auth::needs_credentials(method, path) {
        let mut ways = vec![requirement(BASIC)];
        if auth::takes_cookie(method, path) {
            ways.push(requirement(COOKIE));
        }
        operation.security = Some(ways);
        add(
            operation,
            StatusCode::UNAUTHORIZED,
            "Log-in is on, and credentials are missing or wrong",
        );
    }
    if method != Method::GET {
        add(
            operation,
            StatusCode::FORBIDDEN,
            "The request comes from the page of another site",
        );
    }
}

fn requirement(scheme: &str) -> SecurityRequirement {
    SecurityRequirement::new(scheme, std::iter::empty::<String>())
}

fn add(operation: &mut Operation, status: StatusCode, text: &str) {
    let detail = Content::new(Some(RefOr::Ref(Ref::from_schema_name("Detail"))));
    let response = ResponseBuilder::new()
        .description(text)
        .content("application/json", detail)
        .build();
    let responses = &mut operation.responses.responses;
    let status = status.as_str().to_owned();
    responses.entry(status).or_insert(RefOr::T(response));
}

/// `oneOf` would promise that no answer fits two of the forms; a report fits that of "nothing was
/// reported", too.
fn let_several_fit(schema: &mut RefOr<Schema>) {
    if let RefOr::T(Schema::OneOf(one)) = schema {
        let any = AnyOfBuilder::new().description(one.description.take());
        let forms = std::mem::take(&mut one.items).into_iter();
        *schema = RefOr::T(Schema::AnyOf(forms.fold(any, AnyOfBuilder::item).build()));
    }
}

/// The standard wants a description of each; the name of the status is one.
fn describe_responses(operation: &mut Operation) {
    for (status, response) in &mut operation.responses.responses {
        let RefOr::T(Response { description, .. }) = response else {
            continue;
        };
        let status = status.parse::<StatusCode>().ok();
        let reason = status.and_then(|status| status.canonical_reason());
        if description.is_empty() {
            reason.unwrap_or("The answer").clone_into(description);
        }
    }
}

#[cfg(test)]
mod tests {
    use utoipa::ToSchema;

    use super::*;

    #[derive(ToSchema)]
    #[serde(untagged)]
    #[expect(dead_code, reason = "only described")]
    enum Answer {
        Found { name: Option<String> },
        Nothing { name: Option<String> },
    }

    #[test]
    fn an_answer_may_fit_several_of_the_forms_that_are_described() {
        let mut description = frame();
        let components = description.components.get_or_insert_default();
        let answer = <Answer as utoipa::PartialSchema>::schema();
        components.schemas.insert("Answer".to_owned(), answer);
        complete(&mut description, "session");
        let described = serde_json::to_value(&description).unwrap();
        let answer = &described["components"]["schemas"]["Answer"];
        assert!(answer.get("oneOf").is_none(), "{answer}");
        assert_eq!(answer["anyOf"].as_array().unwrap().len(), 2);
    }

    #[test]
    fn ids_are_made_of_method_and_path() {
        assert_eq!(
            id(&Method::GET, "/api/plex/stats/live"),
            "get_plex_stats_live"
        );
        assert_eq!(
            id(&Method::DELETE, "/api/services/{service_id}"),
            "delete_services_service_id"
        );
        assert_eq!(id(&Method::POST, "/api/upload-icon"), "post_upload_icon");
    }
}
