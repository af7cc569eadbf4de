//! `GET /api/plex/proxy/image`: pictures of the Plex server and of its users.
//!
//! Public, for invite pages show posters to people without an account. So it fetches nothing but
//! pictures, from nowhere but the configured Plex server and the hosts of avatars ([`target`]),
//! and gives out nothing but pictures ([`kind`]).

mod address;
mod cache;
mod fetch;
mod former;
mod kind;
mod memory;
mod target;

use std::sync::Arc;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use self::cache::{How, Key, Served};
use self::fetch::{PictureError, Place};
use self::target::{Rules, Target};
use crate::app::AppState;
use crate::cache::Accepts;
use crate::compat::validation::{QueryParameters, ValidationError};
use crate::settings::Settings;
use crate::web::error::{ApiError, ApiResult, Detail};

pub(super) use self::cache::adopt;
pub(super) use self::fetch::PublicHosts;

const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");
/// For clients, as in 3.3.0.
const KEEP: HeaderValue = HeaderValue::from_static("public, max-age=86400");
/// Should a browser take it for a document after all, it is one that can do nothing.
const POLICY: HeaderValue = HeaderValue::from_static("default-src 'none'; sandbox");
/// The wording is 3.3.0's.
const NOT_CONFIGURED: &str = "Plex server not configured";
const NOT_ALLOWED: &str = "Not the address of a picture that is shown here";

/// A picture of the Plex server, or the avatar of a user.
#[utoipa::path(get, path = "/api/plex/proxy/image", tag = "plex",
    params(("url" = String, Query, description = "a path of the Plex server or an absolute address, \
                                                  as other answers give them")),
    responses(
        (status = 200, description = "the picture", content_type = "image/*", body = Vec<u8>),
        (status = 304, description = "the client has it"),
        (status = 404, body = Detail), (status = 422, body = ValidationError),
        (status = 502, body = Detail), (status = 503, body = Detail), (status = 504, body = Detail)))]
async fn proxy_image(app: AppState, headers: HeaderMap, query: QueryParameters) -> Response {
    match query.required_text("url") {
        Ok(url) => match picture(&app, url).await {
            Ok(served) => respond(&served, &Accepts::of(&headers)),
            Err(error) => error.into_response(),
        },
        Err(missing) => missing.into_response(),
    }
}

async fn picture(app: &AppState, url: &str) -> ApiResult<Served> {
    loop {
        let settings = app.settings.current();
        let (key, place) = locate(app, &settings, url).await?;
        let of_plex = key.revision.is_some();
        let capacity = settings.images.cache_bytes;
        let served = cache::read(key, capacity, || {
            fetch::fetch(app.clone(), Arc::clone(&settings), place)
        });
        let served = served.await;
        // What came from a server that was changed meanwhile is for nobody.
        let changed = app.settings.current().plex_revision != settings.plex_revision;
        if !(of_plex && changed) {
            return served.map_err(ApiError::from);
        }
    }
}

/// Where the picture is that `url` means. Nobody is asked for that but our own database.
async fn locate(app: &AppState, settings: &Settings, url: &str) -> ApiResult<(Key, Place)> {
    let target = rules(settings).resolve(url);
    let (address, of_plex, place) = match target.ok_or_else(not_allowed)? {
        Target::Public(url) => (url.to_string(), false, Place::Public(url)),
        Target::Plex(_) | Target::Former { .. } if settings.plex.is_none() => {
            return Err(ApiError::missing(NOT_CONFIGURED));
        }
        Target::Plex(path) => (path.clone(), true, Place::Plex(path)),
        Target::Former { server, path } => {
            if !former::is_known(app, &server).await {
                return Err(not_allowed());
            }
            (path.clone(), true, Place::Plex(path))
        }
    };
    let revision = of_plex.then_some(settings.plex_revision);
    Ok((Key { revision, address }, place))
}

fn rules(settings: &Settings) -> Rules<'_> {
    Rules {
        plex: settings.plex.as_ref().map(|plex| &plex.base_url),
        plex_tv: &settings.plex_tv_url,
        hosts: &settings.images.hosts,
    }
}

fn not_allowed() -> ApiError {
    ApiError::missing(NOT_ALLOWED)
}

fn respond(served: &Served, accepts: &Accepts<'_>) -> Response {
    let picture = &served.picture;
    let mut response = Response::new(Body::empty());
    if accepts.has(&picture.etag) {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    } else {
        *response.body_mut() = Body::from(picture.bytes.clone());
        let kind = HeaderValue::from_static(picture.kind);
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
    }
    let headers = response.headers_mut();
    headers.insert(header::ETAG, picture.etag.clone());
    headers.insert(header::CACHE_CONTROL, KEEP);
    headers.insert(header::AGE, HeaderValue::from(served.age.as_secs()));
    let nosniff = HeaderValue::from_static("nosniff");
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, nosniff);
    headers.insert(header::CONTENT_SECURITY_POLICY, POLICY);
    if let Ok(status) = HeaderValue::try_from(cache_status(served.how)) {
        headers.insert(CACHE_STATUS, status);
    }
    response
}

/// RFC 9211.
fn cache_status(how: How) -> String {
    match how {
        How::Hit(left) => format!("komandorr; hit; ttl={}", left.as_secs()),
        How::Stale => "komandorr; hit; ttl=-1; detail=stale".to_owned(),
        How::Fetched => "komandorr; fwd=miss".to_owned(),
        How::Shared => "komandorr; fwd=miss; collapsed".to_owned(),
    }
}

impl From<PictureError> for ApiError {
    fn from(error: PictureError) -> Self {
        let detail = error.to_string();
        match error {
            PictureError::Missing => Self::missing(detail),
            PictureError::Busy => Self::unavailable(detail),
            PictureError::Timeout => Self::gateway_timeout(detail),
            PictureError::NotAPicture | PictureError::TooLarge | PictureError::Failed => {
                Self::bad_gateway(detail)
            }
        }
    }
}

/// Forgets all pictures.
pub(super) fn clear() {
    cache::clear();
    former::clear();
}

/// The routes of this file.
pub(super) fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(proxy_image))
}
