//! `POST /api/invites/` (contract 04, section 2).

use std::time::Duration;

use axum::Json;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::model::{Invite, ShownInvite};
use super::{changes, codes, failed};
use crate::app::AppState;
use crate::compat::Stamp;
use crate::compat::validation::{Fields, FromFields, JsonBody, ValidationError};
use crate::settings::Settings;
use crate::web::error::{ApiError, ApiResult, Detail};

/// Of nearly three million millions that can be drawn, so many are tried.
const DRAWN: usize = 8;
/// Nearly 2,740 years: the end still has a year of four digits.
const MOST_DAYS: u32 = 1_000_000;
/// Who creates invites where nobody logs in.
const NOBODY: &str = "admin";

/// An invite that is to be created.
#[derive(Debug, ToSchema)]
pub(super) struct NewInvite {
    /// None or an empty one: a code is drawn.
    pub(super) custom_code: Option<String>,
    /// None: it can be used without end.
    #[schema(minimum = 1)]
    pub(super) usage_limit: Option<i64>,
    /// None or 0: it does not expire.
    #[schema(value_type = Option<i64>, minimum = 0, maximum = 1_000_000)]
    pub(super) expires_in_days: Option<u32>,
    #[schema(required = false)]
    pub(super) allow_sync: bool,
    #[schema(required = false)]
    pub(super) allow_camera_upload: bool,
    #[schema(required = false)]
    pub(super) allow_channels: bool,
    #[schema(required = false)]
    pub(super) plex_home: bool,
    /// `all`, or keys of libraries with commas between.
    #[schema(required = false)]
    pub(super) libraries: String,
}

impl FromFields for NewInvite {
    fn from_fields(fields: &mut Fields) -> Self {
        Self {
            custom_code: fields.optional_string("custom_code"),
            usage_limit: usage_limit(fields, "usage_limit"),
            expires_in_days: days(fields, "expires_in_days"),
            allow_sync: fields.boolean_or("allow_sync", false),
            allow_camera_upload: fields.boolean_or("allow_camera_upload", false),
            allow_channels: fields.boolean_or("allow_channels", false),
            plex_home: fields.boolean_or("plex_home", false),
            libraries: fields.string_or("libraries", "all"),
        }
    }
}

/// How often an invite may be used. 3.3.0 took 0 for "without end" here and for "used up" there, and
/// negative numbers too (contract 08, item 94).
pub(super) fn usage_limit(fields: &mut Fields, name: &'static str) -> Option<i64> {
    let limit = fields.optional_integer(name);
    if limit.is_some_and(|limit| limit < 1) {
        fields.refuse(
            name,
            "greater_than_equal",
            "Input should be greater than or equal to 1",
        );
    }
    limit
}

fn days(fields: &mut Fields, name: &'static str) -> Option<u32> {
    let given = fields.optional_integer(name)?;
    let days = u32::try_from(given).ok().filter(|days| *days <= MOST_DAYS);
    if given < 0 {
        fields.refuse(
            name,
            "greater_than_equal",
            "Input should be greater than or equal to 0",
        );
    } else if days.is_none() {
        fields.refuse(
            name,
            "less_than_equal",
            "Input should be less than or equal to 1000000",
        );
    }
    days
}

impl NewInvite {
    /// When it expires, if it is created now.
    pub(super) fn expires_at(&self, now: Stamp) -> Option<Stamp> {
        const DAY: Duration = Duration::from_secs(24 * 60 * 60);
        let days = self.expires_in_days.filter(|days| *days > 0)?;
        Some(now + DAY * days)
    }

    /// The codes that it may get, the first that is not taken.
    fn codes(&self) -> Result<Vec<String>, codes::CodeError> {
        match self.custom_code.as_deref() {
            None | Some("") => Ok((0..DRAWN).map(|_| codes::draw()).collect()),
            Some(text) => Ok(vec![codes::chosen(text)?]),
        }
    }
}

/// Creates an invite.
#[utoipa::path(post, path = "/api/invites", tag = "invites", request_body = NewInvite,
    responses((status = 200, body = ShownInvite), (status = 400, body = Detail),
        (status = 422, body = ValidationError), (status = 500, body = Detail),
        (status = 503, body = Detail)))]
async fn create_invite(
    app: AppState,
    JsonBody(new): JsonBody<NewInvite>,
) -> ApiResult<Json<ShownInvite>> {
    let settings = app.settings.current();
    let invite = create(&app, new, creator(&settings)).await?;
    let server = &settings.plex_form.server_name;
    Ok(Json(ShownInvite::of(invite, server, Stamp::now())))
}

async fn create(app: &AppState, new: NewInvite, creator: &str) -> ApiResult<Invite> {
    let codes = new.codes();
    let codes = codes.map_err(|error| ApiError::bad_request(error.to_string()))?;
    let created_by = creator.to_owned();
    let create = app.store.write_for_certain(|c| {
        Box::pin(async move { changes::create(c, codes, &new, &created_by, Stamp::now()).await })
    });
    let created = create
        .await
        .map_err(|error| failed("creating invite", error))?;
    let taken = || ApiError::bad_request("This invite code already exists");
    let invite = created.ok_or_else(taken)?;
    tracing::info!("Created invite {} by {creator}", invite.code);
    Ok(invite)
}

/// The name of who is logged in.
fn creator(settings: &Settings) -> &str {
    if settings.auth.enabled {
        &settings.auth.username
    } else {
        NOBODY
    }
}

/// The routes of this file.
pub(super) fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(create_invite))
}
