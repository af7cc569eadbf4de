//! Icons that people upload, and their way back to pages. They lie in `icons` in the data
//! directory, as in 3.3.0, and are public.

mod kind;

use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use axum::Json;
use axum::extract::multipart::MultipartRejection;
use axum::extract::{DefaultBodyLimit, Multipart, Request, State};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use tokio::sync::Semaphore;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use self::kind::Kind;
use super::error::{ApiError, Detail};
use super::files::{self, Found};
use crate::app::AppState;
use crate::compat::validation::{FormFile, ValidationError};

/// The largest icon. The frontend allows 2 MB where it looks at the size at all.
const LARGEST: usize = 5 * 1024 * 1024;
/// What a form has around its file.
const FORM: usize = 64 * 1024;
/// Uploads at a time: each may hold one whole form in memory.
const MOST_UPLOADS: usize = 8;
static UPLOADS: Semaphore = Semaphore::const_new(MOST_UPLOADS);
/// What an unfinished file is called; these are never sent.
const UNFINISHED: &str = ".upload-";
/// What a browser may call an icon (contract 02, section 8).
const DECLARED: [&str; 5] = [
    "image/png",
    "image/jpeg",
    "image/jpg",
    "image/svg+xml",
    "image/webp",
];
const NOT_ALLOWED: &str = "Invalid file type. Allowed types: image/png, image/jpeg, image/jpg, \
                           image/svg+xml, image/webp";
/// A name stands for one content for ever, unless somebody changes the file by hand.
const CACHING: HeaderValue = HeaderValue::from_static("public, max-age=604800");
/// An SVG may style itself and nothing else: no scripts, no requests, an origin of its own.
const CONFINED: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; font-src data:; sandbox",
);
const NO_SNIFFING: HeaderValue = HeaderValue::from_static("nosniff");

/// The answer to an upload.
#[derive(Serialize, ToSchema)]
#[schema(as = UploadedIcon)]
struct Uploaded {
    /// Where the icon is from now on.
    path: String,
    filename: String,
}

/// The form of an upload.
#[derive(ToSchema)]
#[schema(as = IconUpload)]
#[expect(dead_code, reason = "for the description only")]
struct Upload {
    #[schema(value_type = String, format = Binary)]
    file: Vec<u8>,
}

/// Where icons are.
fn directory(data_dir: &Path) -> PathBuf {
    data_dir.join("icons")
}

/// Makes the directory of icons, and removes what uploads that were cut off have left in it. For
/// the start of the server.
///
/// # Errors
/// It can't be made or read.
pub fn prepare(data_dir: &Path) -> io::Result<()> {
    let directory = directory(data_dir);
    std::fs::create_dir_all(&directory)?;
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        if entry
            .file_name()
            .as_encoded_bytes()
            .starts_with(UNFINISHED.as_bytes())
        {
            std::fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// Stores a picture for use as an icon: PNG, JPEG, WebP or SVG, by its content, up to 5 MiB.
#[utoipa::path(post, path = "/api/upload-icon", tag = "icons",
    request_body(content = Upload, content_type = "multipart/form-data", encoding(("file" = (
        content_type = "image/png, image/jpeg, image/jpg, image/svg+xml, image/webp")))),
    responses((status = 200, body = Uploaded), (status = 400, body = Detail),
        (status = 413, body = Detail), (status = 422, body = ValidationError),
        (status = 500, body = Detail), (status = 503, body = Detail)))]
async fn upload(
    app: AppState,
    form: Result<Multipart, MultipartRejection>,
) -> Result<Json<Uploaded>, Response> {
    let place = UPLOADS.try_acquire();
    let _place = place.map_err(|_all_taken| {
        ApiError::unavailable("Too many uploads at a time").into_response()
    })?;
    let file = FormFile::of(form, "file").await?;
    store(&app, file).await.map_err(IntoResponse::into_response)
}

async fn store(app: &AppState, file: FormFile) -> Result<Json<Uploaded>, ApiError> {
    let FormFile { declared, content } = file;
    if content.len() > LARGEST {
        return Err(ApiError::too_large("File too large (5 MiB at most)"));
    }
    let directory = directory(&app.settings.current().data_dir);
    let stored = tokio::task::spawn_blocking(move || {
        let kind = Kind::of(&content).filter(|_| DECLARED.contains(&&*declared));
        let kind = kind.ok_or_else(|| ApiError::bad_request(NOT_ALLOWED))?;
        let filename = format!("{}.{}", Uuid::new_v4(), kind.extension());
        match write(&directory, &filename, &content) {
            Ok(()) => Ok(filename),
            Err(error) => Err(ApiError::internal("Failed to upload icon", error)),
        }
    });
    let filename = stored
        .await
        .unwrap_or_else(|panic| Err(ApiError::internal("Failed to upload icon", panic)))?;
    tracing::info!("Uploaded icon: {filename}");
    Ok(Json(Uploaded {
        path: format!("/icons/{filename}"),
        filename,
    }))
}

/// Writes a file that appears under its name only when it is whole and on the disk.
fn write(directory: &Path, filename: &str, content: &[u8]) -> io::Result<()> {
    std::fs::create_dir_all(directory)?;
    let mut file = tempfile::Builder::new()
        .prefix(UNFINISHED)
        .permissions(std::fs::Permissions::from_mode(0o644))
        .tempfile_in(directory)?;
    file.write_all(content)?;
    file.as_file().sync_all()?;
    // The name is nobody else's, and not every file system can tell.
    file.persist(directory.join(filename))?;
    Ok(())
}

/// Sends an icon.
pub(super) async fn serve(State(app): State<AppState>, request: Request) -> Response {
    let path = request.uri().path();
    let name = path.strip_prefix("/icons").unwrap_or_default().to_owned();
    let directory = directory(&app.settings.current().data_dir);
    let found = tokio::task::spawn_blocking(move || Found::look(&directory, &name)).await;
    let found = found.ok().flatten().filter(|found| {
        let name = found.path.file_name().unwrap_or_default();
        !name.as_encoded_bytes().starts_with(b".")
    });
    let Some(found) = found else {
        return ApiError::not_found().into_response();
    };
    let mut response = files::send(&found, request).await;
    let status = response.status();
    if status.is_success() || status.is_redirection() {
        let headers = response.headers_mut();
        headers.insert(header::CACHE_CONTROL, CACHING);
    }
    confine(response.headers_mut(), media_type(&found.path));
    response
}

/// Old icons have the extension that their sender chose, `.html` for instance, and any content.
fn media_type(file: &Path) -> Option<&'static str> {
    let extension = file.extension()?.to_str()?.to_ascii_lowercase();
    Some(match &*extension {
        "png" | "apng" => "image/png",
        "jpg" | "jpeg" | "jpe" | "jfif" => "image/jpeg",
        "webp" => "image/webp",
        "svg" => "image/svg+xml",
        "gif" => "image/gif",
        "avif" => "image/avif",
        "bmp" => "image/bmp",
        "ico" => "image/x-icon",
        _ => return None,
    })
}

/// Sees to it that nothing that lies there can be a page, or do anything as one.
fn confine(headers: &mut HeaderMap, media_type: Option<&'static str>) {
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, NO_SNIFFING);
    headers.insert(header::CONTENT_SECURITY_POLICY, CONFINED);
    // A 304 has no content, and so no type.
    let has_type = headers.contains_key(header::CONTENT_TYPE);
    if has_type {
        let shown = media_type.unwrap_or("application/octet-stream");
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(shown));
    }
    if media_type.is_none() {
        let attachment = HeaderValue::from_static("attachment");
        headers.insert(header::CONTENT_DISPOSITION, attachment);
    }
}

/// The route for uploads.
pub(super) fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(upload))
        .layer(DefaultBodyLimit::max(LARGEST + FORM))
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::http::StatusCode;
    use tower::ServiceExt as _;

    use super::*;
    use crate::settings::Environment;

    #[tokio::test]
    async fn uploads_beyond_the_bound_are_told_to_come_back() {
        let directory = tempfile::tempdir().unwrap();
        let app = AppState::for_test(directory.path(), Environment::default()).await;
        let (routes, _) = router().split_for_parts();
        let routes = routes.with_state(app);
        let status = async || {
            let request = Request::post("/api/upload-icon").body(Body::empty());
            let response = routes.clone().oneshot(request.unwrap()).await;
            response.unwrap().status()
        };
        let all = UPLOADS.acquire_many(8).await.unwrap();
        assert_eq!(status().await, StatusCode::SERVICE_UNAVAILABLE);
        drop(all);
        assert_eq!(status().await, StatusCode::UNPROCESSABLE_ENTITY);
    }
}
