//! `GET /api/version` and `/api/version/debug`: which frontend is installed, and is there a newer
//! one?

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use axum::Json;
use axum::response::{IntoResponse as _, Response};
use semver::{Prerelease, Version};
use serde::Serialize;
use tokio::task::spawn_blocking;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::github;
use crate::app::AppState;
use crate::cache::answer::describe;
use crate::web::error::{ApiError, ApiResult, Detail};

/// What is installed when no file says so.
const UNKNOWN: &str = "unknown";
/// A version is a word, not a book.
const LONGEST: u64 = 256;
/// Docker and Podman leave one of these.
const CONTAINER_MARKS: [&str; 2] = ["/.dockerenv", "/run/.containerenv"];

/// The answer to version.
#[derive(Serialize, ToSchema)]
struct Versions {
    /// Of the installed frontend, without a `v`; `unknown` if it does not say.
    local: String,
    /// Of the newest release; null if that is not known.
    remote: Option<String>,
    is_update_available: bool,
}

/// The answer to version/debug.
#[derive(Serialize, ToSchema)]
struct Debug {
    /// `docker` or `local`.
    environment: &'static str,
    current_file: &'static str,
    root_dir: &'static str,
    paths_checked: Paths,
}

/// Where the version is looked for, in this order.
#[derive(Serialize, ToSchema)]
struct Paths {
    dist: Looked,
    public: Looked,
}

/// One of these files.
#[derive(Serialize, ToSchema)]
struct Looked {
    path: &'static str,
    exists: bool,
    content: Option<String>,
    /// Why it could not be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// The installed version, and the newest one.
///
/// GitHub is asked every 15 minutes at most.
#[utoipa::path(get, path = "/api/version", tag = "version",
    responses((status = 200, body = Versions)))]
async fn get_version(app: AppState) -> Response {
    let [dist, public] = places(&app);
    let local = spawn_blocking(move || read(&dist).or_else(|| read(&public)));
    let (local, latest) = tokio::join!(local, github::latest(&app));
    let local = local.ok().flatten().unwrap_or_else(|| UNKNOWN.to_owned());
    match latest {
        Ok(cached) => {
            let mut response = versions(local, Some(&cached.stored.value)).into_response();
            describe(response.headers_mut(), &cached);
            response
        }
        Err(_logged) => versions(local, None).into_response(),
    }
}

/// Where the installed version is looked for, and what is there.
#[utoipa::path(get, path = "/api/version/debug", tag = "version",
    responses((status = 200, body = Debug), (status = 500, body = Detail)))]
async fn debug_version(app: AppState) -> ApiResult<Json<Debug>> {
    let [dist, public] = places(&app);
    let look = spawn_blocking(move || Debug {
        environment: if CONTAINER_MARKS.iter().any(|mark| Path::new(mark).exists()) {
            "docker"
        } else {
            "local"
        },
        current_file: "komandorr",
        root_dir: ".",
        // Where the directory really is concerns nobody but its operator.
        paths_checked: Paths {
            dist: looked("frontend/dist/release.txt", &dist),
            public: looked("frontend/public/release.txt", &public),
        },
    });
    let debug = look.await;
    Ok(Json(debug.map_err(|error| {
        ApiError::internal("Internal Server Error", error)
    })?))
}

fn versions(local: String, remote: Option<&String>) -> Json<Versions> {
    Json(Versions {
        is_update_available: remote.is_some_and(|remote| is_newer(remote, &local)),
        remote: remote.cloned(),
        local,
    })
}

/// What can't be compared is no update.
fn is_newer(remote: &str, local: &str) -> bool {
    match (parse(remote), parse(local)) {
        (Some(remote), Some(local)) => remote > local,
        _ => false,
    }
}

/// Up to three numbers, and perhaps a name behind them; more tolerant than the standard, which
/// wants exactly three.
fn parse(text: &str) -> Option<Version> {
    let text = text.trim_start_matches('v');
    let (text, _build) = text.split_once('+').unwrap_or((text, ""));
    let (numbers, name) = text.split_once('-').unwrap_or((text, ""));
    let numbers: Vec<u64> = numbers
        .split('.')
        .map(|number| number.parse().ok())
        .collect::<Option<_>>()?;
    let [major, minor, patch] = match numbers[..] {
        [major] => [major, 0, 0],
        [major, minor] => [major, minor, 0],
        [major, minor, patch] => [major, minor, patch],
        _ => return None,
    };
    let pre = Prerelease::new(name).ok()?;
    Some(Version {
        pre,
        ..Version::new(major, minor, patch)
    })
}

/// The installed frontend's file, and that of a checkout, where none is built.
fn places(app: &AppState) -> [PathBuf; 2] {
    let dist = app.settings.current().frontend_dir.clone();
    let public = dist.with_file_name("public");
    [dist, public].map(|directory| directory.join("release.txt"))
}

fn read(path: &Path) -> Option<String> {
    let content = content(path).ok()?;
    let version = content.strip_prefix('v').unwrap_or(&content);
    (!version.is_empty()).then(|| version.to_owned())
}

fn content(path: &Path) -> std::io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(LONGEST).read_to_string(&mut text)?;
    Ok(text.trim().to_owned())
}

fn looked(shown: &'static str, path: &Path) -> Looked {
    let exists = path.exists();
    let content = exists.then(|| content(path)).transpose();
    Looked {
        path: shown,
        exists,
        error: content.as_ref().err().map(ToString::to_string),
        content: content.unwrap_or_default(),
    }
}

/// The routes of this file.
pub(super) fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(get_version))
        .routes(routes!(debug_version))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_newer_version_is_an_update() {
        for (remote, local) in [
            ("3.3.1", "3.3.0"),
            ("3.10.0", "3.9.9"),
            ("v4", "3.99.99"),
            ("3.4", "3.3.9"),
            ("3.3.0", "3.3.0-beta.2"),
            ("3.3.0-beta.10", "3.3.0-beta.9"),
            ("2026.01", "3.3.0"),
        ] {
            assert!(is_newer(remote, local), "{remote} after {local}");
            assert!(!is_newer(local, remote), "{local} after {remote}");
        }
        for (remote, local) in [
            ("3.3.0", UNKNOWN),
            ("3.3.0", "3.3.0"),
            ("3.3", "3.3.0"),
            ("3.3.0+two", "3.3.0+one"),
            ("nightly", "3.3.0"),
            ("3.3.0.1", "3.3.0"),
            ("3.3.-1", "3.3.0"),
            ("99999999999999999999999.0.0", "3.3.0"),
            ("", ""),
        ] {
            assert!(!is_newer(remote, local), "{remote} after {local}");
        }
    }

    #[test]
    fn a_file_holds_one_word() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("release.txt");
        for (content, version) in [
            (&b" v3.3.0\r\n"[..], Some("3.3.0")),
            (b"vv1", Some("v1")),
            (b"3.3.0-beta", Some("3.3.0-beta")),
            (b"", None),
            (b"v\n", None),
            (b"\xff\xfe", None),
        ] {
            std::fs::write(&path, content).unwrap();
            assert_eq!(read(&path).as_deref(), version, "{content:?}");
        }
        std::fs::write(&path, vec![b'1'; 5000]).unwrap();
        assert_eq!(read(&path).unwrap().len(), 256);
        assert_eq!(read(directory.path()), None);
    }
}
