//! What is common to all HTTP: the router, its layers, and what answers when no route does.

mod assets;
mod auth;
mod client;
mod contained;
mod cors;
mod description;
mod docs;
pub mod error;
mod files;
mod headers;
mod health;
pub mod icons;
mod origin;
pub mod pace;
mod patient;
mod policy;
mod requests;
pub mod serve;
mod settings_api;
mod welcome;

use std::sync::Arc;

use axum::extract::{DefaultBodyLimit, Request};
use axum::http::{HeaderValue, Method, Uri, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use axum::{Json, Router, middleware};
use tower::ServiceBuilder;
use utoipa_axum::router::OpenApiRouter;

use self::error::ApiError;
use crate::app::AppState;
use crate::{integrations, invites, monitor, plex};

/// The largest request body. Nothing that is posted here comes near it.
const LARGEST_BODY: usize = 1024 * 1024;

/// The whole application.
pub fn router(app: AppState) -> Router {
    let (routes, mut description) = OpenApiRouter::with_openapi(description::frame())
        .merge(auth::router())
        .merge(health::router())
        .merge(settings_api::router())
        .merge(icons::router())
        .merge(plex::router())
        .merge(monitor::router())
        .merge(integrations::router())
        .merge(invites::router())
        .split_for_parts();
    description::complete(&mut description, app.access.cookie.name());
    let description = Arc::new(description);
    let routes = routes
        .merge(docs::router())
        .route(
            "/openapi.json",
            get(async move || Json(&*description).into_response()),
        )
        .route("/icons/{*name}", get(icons::serve))
        .fallback(assets::fallback)
        .method_not_allowed_fallback(async || ApiError::method_not_allowed());
    layered(routes, &app).with_state(app)
}

/// What every request passes, from the outside in.
fn layered(routes: Router<AppState>, app: &AppState) -> Router<AppState> {
    // One stack, for each call of `Router::layer` costs every request a boxed service more; and one
    // function, for each clones and boxes all that is further in.
    let layers = ServiceBuilder::new()
        .layer(middleware::from_fn_with_state(
            app.clone(),
            requests::observe,
        ))
        .layer(DefaultBodyLimit::max(LARGEST_BODY));
    routes.layer(layers)
}

/// Both spellings of an API path are answered: with and without a slash at the end.
pub(crate) fn without_final_slash(mut request: Request) -> Request {
    let uri = request.uri();
    let path = uri.path();
    let shorter = path
        .strip_suffix('/')
        .filter(|p| p.starts_with("/api/") && !p.ends_with('/'));
    if let Some(shorter) = shorter {
        let target = match uri.query() {
            Some(query) => format!("{shorter}?{query}"),
            None => shorter.to_owned(),
        };
        if let Ok(target) = Uri::try_from(target) {
            *request.uri_mut() = target;
        }
    }
    request
}

/// 405 outside of the API, where only pages and their files are.
fn read_only() -> Response {
    let mut response = ApiError::method_not_allowed().into_response();
    response
        .headers_mut()
        .insert(header::ALLOW, HeaderValue::from_static("GET,HEAD"));
    response
}

const fn is_read(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD)
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::http::StatusCode;
    use tower::ServiceExt as _;

    use super::*;
    use crate::settings::Environment;

    async fn panics() -> &'static str {
        panic!("a secret")
    }

    #[tokio::test]
    async fn a_panic_is_a_500_with_cors_headers_and_without_its_text() {
        let directory = tempfile::tempdir().unwrap();
        let app = AppState::for_test(directory.path(), Environment::default()).await;
        let panics = Router::new().route("/api/panic", get(panics));
        let request = Request::builder()
            .uri("/api/panic")
            .header("origin", "http://localhost:3000");
        let router: Router = layered(panics, &app).with_state(app);
        let response = router
            .oneshot(request.body(Body::empty()).unwrap())
            .await
            .unwrap();
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(
            response.headers()["access-control-allow-origin"],
            "http://localhost:3000"
        );
        let body = axum::body::to_bytes(response.into_body(), usize::MAX)
            .await
            .unwrap();
        assert_eq!(body, r#"{"detail":"Internal Server Error"}"#);
    }

    #[test]
    fn one_final_slash_of_an_api_path_is_of_no_importance() {
        let after = |target: &str| {
            let request = Request::builder().uri(target).body(Body::empty()).unwrap();
            without_final_slash(request).uri().to_string()
        };
        assert_eq!(after("/api/services/"), "/api/services");
        assert_eq!(after("/api/services/?a=b/"), "/api/services?a=b/");
        assert_eq!(after("/api/services//"), "/api/services//");
        assert_eq!(after("/invite/"), "/invite/");
        assert_eq!(after("/api/"), "/api/");
    }
}
