//! [`ApiError`]: what goes wrong in a handler, as the client sees it.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::BytesRejection;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use crate::settings::SettingsError;
use crate::store::StoreError;

/// The result of a handler.
pub type ApiResult<T> = Result<T, ApiError>;

/// The body of every error but 422: the frontend shows `detail`.
#[derive(Debug, Serialize, ToSchema)]
pub struct Detail {
    /// For people; a string in every case (contract 09, section 1.2).
    pub detail: String,
}

/// A status and a text for the client, and perhaps a cause for the log.
#[derive(Debug)]
pub struct ApiError {
    status: StatusCode,
    detail: String,
    cause: Option<Cause>,
}

/// The cause of a 500. It travels in the response's extensions to the one place that logs it,
/// where the id of the request is known.
#[derive(Clone, Debug)]
pub(super) struct Cause(pub(super) Arc<str>);

impl ApiError {
    /// Status 400: the request can't be fulfilled as it is.
    pub fn bad_request(detail: impl Into<String>) -> Self {
        Self::of(StatusCode::BAD_REQUEST, detail)
    }

    /// Status 401, never with `WWW-Authenticate`, which would open the browser's own prompt over the
    /// frontend's log-in page.
    pub fn unauthorized(detail: impl Into<String>) -> Self {
        Self::of(StatusCode::UNAUTHORIZED, detail)
    }

    /// Status 403: not for who asks in this way, whatever the credentials.
    pub fn forbidden(detail: impl Into<String>) -> Self {
        Self::of(StatusCode::FORBIDDEN, detail)
    }

    /// Status 429: too often.
    pub fn too_many_requests(detail: impl Into<String>) -> Self {
        Self::of(StatusCode::TOO_MANY_REQUESTS, detail)
    }

    /// Status 404 with FastAPI's text.
    pub fn not_found() -> Self {
        Self::of(StatusCode::NOT_FOUND, "Not Found")
    }

    /// Status 404 with a text that says what is not there.
    pub fn missing(detail: impl Into<String>) -> Self {
        Self::of(StatusCode::NOT_FOUND, detail)
    }

    /// Status 405 with FastAPI's text.
    pub fn method_not_allowed() -> Self {
        Self::of(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed")
    }

    /// Status 409: it is there already.
    pub fn conflict(detail: impl Into<String>) -> Self {
        Self::of(StatusCode::CONFLICT, detail)
    }

    /// Status 413: a body that is larger than what it is for.
    pub fn too_large(detail: impl Into<String>) -> Self {
        Self::of(StatusCode::PAYLOAD_TOO_LARGE, detail)
    }

    /// A form that can't be read: too large (413), or broken (400, with FastAPI's text).
    pub fn broken_form(status: StatusCode) -> Self {
        if status == StatusCode::PAYLOAD_TOO_LARGE {
            Self::too_large("Payload Too Large")
        } else {
            Self::bad_request("There was an error parsing the body")
        }
    }

    /// Status 408: it took too long, sending it or answering it.
    pub fn request_timeout() -> Self {
        Self::of(StatusCode::REQUEST_TIMEOUT, "Request Timeout")
    }

    /// Status 502: a server that we depend on does not answer as it should. Never its own status,
    /// for a 401 would log the user out of the frontend.
    pub fn bad_gateway(detail: impl Into<String>) -> Self {
        Self::of(StatusCode::BAD_GATEWAY, detail)
    }

    /// Status 504: a server that we depend on does not answer in time.
    pub fn gateway_timeout(detail: impl Into<String>) -> Self {
        Self::of(StatusCode::GATEWAY_TIMEOUT, detail)
    }

    /// Status 503: not now, for a reason that passes.
    pub fn unavailable(detail: impl Into<String>) -> Self {
        Self::of(StatusCode::SERVICE_UNAVAILABLE, detail)
    }

    /// Reads of the database fail only when something is broken (500); writes also for reasons that
    /// pass (503).
    pub fn of_store(detail: impl Into<String>, error: StoreError) -> Self {
        match error {
            StoreError::Busy | StoreError::ReadOnly | StoreError::DiskFull => {
                Self::unavailable(detail)
            }
            StoreError::Other(_) => Self::internal(detail, error),
        }
    }

    /// Status 500: our own fault. `cause` is logged, `detail` is sent.
    pub fn internal(detail: impl Into<String>, cause: impl std::fmt::Display) -> Self {
        let cause = Some(Cause(cause.to_string().into()));
        Self {
            cause,
            ..Self::of(StatusCode::INTERNAL_SERVER_ERROR, detail)
        }
    }

    /// Status 500: `config.json` was not written. The text names the file and, where it can't be
    /// parsed, line and column, but none of its values.
    pub fn unsaved_settings(error: SettingsError) -> Self {
        Self::internal(format!("Failed to save settings: {error}"), error)
    }

    fn of(status: StatusCode, detail: impl Into<String>) -> Self {
        Self {
            status,
            detail: detail.into(),
            cause: None,
        }
    }
}

/// A body that can't be received: too large (413), or broken off.
impl From<BytesRejection> for ApiError {
    fn from(rejection: BytesRejection) -> Self {
        Self::of(rejection.status(), rejection.body_text())
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = (
            self.status,
            Json(Detail {
                detail: self.detail,
            }),
        )
            .into_response();
        if let Some(cause) = self.cause {
            response.extensions_mut().insert(cause);
        }
        response
    }
}
