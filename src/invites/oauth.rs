//! Using an invite by logging in to Plex (contract 04, section 4): a PIN that the friend confirms at
//! plex.tv, the question whether they have, and the redemption in their name.
//!
//! - A state stands for the PIN: 32 random bytes that only the browser has that asked for it. It lasts
//!   15 minutes, belongs to one PIN, and ends some seconds after the log-in. All instances know it.
//! - Who redeems is who the token belongs to. What the client says about that is not believed
//!   (contract 08, item 17).

use std::time::Duration;

use axum::Json;
use axum::http::HeaderValue;
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::door::Shut;
use super::redeem::{NOT_CONFIGURED, Refusal, Used, redeem, to_the_end, words_for};
use super::redemption::{self, Account, Redeemer, Refused};
use crate::app::AppState;
use crate::cache::Brief;
use crate::compat::datetime;
use crate::compat::validation::{
    Fields, FromFields, JsonBody, PathInteger, QueryParameters, ValidationError,
};
use crate::plex::cloud::{Acceptance, CloudError, PinState, PlexTv};
use crate::settings::Secret;
use crate::web::error::{ApiError, ApiResult, Detail};
use crate::web::pace::Paced;

/// A PIN of plex.tv lives as long.
const STATE_TTL: Duration = Duration::from_secs(15 * 60);
/// For so long after the log-in a state can be asked with still: the answer with the token may be lost
/// with a page that is reloaded or a proxy that has no patience with a slow plex.tv, and the page asks
/// again two seconds after its last question.
const GIVEN_TTL: Duration = Duration::from_secs(10);
/// What the frontend takes for "is a member already" (contract 09, section 6).
const ALREADY_MEMBER: &str = "already_member";

/// Pages ask every two seconds; while plex.tv is slow their questions overlap. Only of states that are
/// known, so that nobody fills it.
static CHECKS: Brief<Asked, Checked, CloudError> = Brief::new(|_| Some(0), CloudError::Broken);

#[derive(Clone, PartialEq, Eq, Hash)]
struct Asked {
    pin: i64,
    /// The key of the state, for the state itself is a secret.
    state: String,
}

/// Where to log in, and how to ask whether that has been done.
#[derive(Serialize, ToSchema)]
struct PlexLogin {
    pin_id: i64,
    pin_code: String,
    /// The page of Plex to open.
    auth_url: String,
    /// To be given with every question.
    state: String,
}

/// Begins a log-in at Plex.
#[utoipa::path(get, path = "/api/oauth/plex/login", tag = "oauth",
    params(("invite_code" = String, Query, description = "only said, not checked")),
    responses((status = 200, body = PlexLogin), (status = 422, body = ValidationError),
        (status = 429, body = Detail), (status = 502, body = Detail)))]
async fn begin_login(
    app: AppState,
    _: Paced,
    query: QueryParameters,
) -> Result<Response, Response> {
    query
        .required_text("invite_code")
        .map_err(ValidationError::into_response)?;
    let pin = PlexTv::of(&app).create_pin().await.map_err(|error| {
        tracing::warn!("No PIN of plex.tv: {error}");
        let words = error.for_strangers();
        ApiError::bad_gateway(format!("Failed to initiate Plex OAuth: {words}")).into_response()
    })?;
    let state = BASE64_URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>());
    let fresh = noted(pin.id, false);
    app.shared.put(&key(&state), &fresh, STATE_TTL).await;
    Ok(Json(PlexLogin {
        auth_url: auth_url(&pin.code),
        pin_id: pin.id,
        pin_code: pin.code,
        state,
    })
    .into_response())
}

/// Plex's page reads what follows the `#` itself; its brackets must not be encoded.
fn auth_url(code: &str) -> String {
    let code: String = url::form_urlencoded::byte_serialize(code.as_bytes()).collect();
    format!(
        "https://app.plex.tv/auth#?clientID=komandorr-invite&code={code}\
         &context[device][product]=Komandorr&context[device][version]=1.0\
         &context[device][platform]=Web"
    )
}

/// What a state is kept by: whoever can read in Redis must not be able to use it.
fn key(state: &str) -> String {
    let digest = BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(state));
    format!("oauth-{digest}")
}

/// Whether the friend has logged in.
#[derive(Clone, Serialize, ToSchema)]
struct Checked {
    authorized: bool,
    /// The PIN's time is over; only then present.
    #[serde(skip_serializing_if = "Option::is_none")]
    expired: Option<bool>,
    #[serde(flatten)]
    who: Option<LoggedIn>,
}

/// Who it was; only then present.
#[derive(Clone, Serialize, ToSchema)]
struct LoggedIn {
    auth_token: String,
    email: String,
    username: String,
    plex_id: i64,
}

impl Checked {
    const NOT_YET: Self = Self {
        authorized: false,
        expired: None,
        who: None,
    };
    const EXPIRED: Self = Self {
        expired: Some(true),
        ..Self::NOT_YET
    };
}

/// What a state is kept with: its PIN, and whether the token was given out.
fn noted(pin: i64, is_given: bool) -> String {
    if is_given {
        format!("{pin} given")
    } else {
        pin.to_string()
    }
}

/// Asks whether the friend has confirmed the PIN.
///
/// The token goes to nobody but the browser that holds the state, and for some seconds only.
#[utoipa::path(get, path = "/api/oauth/plex/check/{pin_id}", tag = "oauth",
    params(("pin_id" = i64, Path), ("state" = String, Query)),
    responses((status = 200, body = Checked), (status = 400, body = Detail),
        (status = 422, body = ValidationError), (status = 502, body = Detail)))]
async fn check_login(
    app: AppState,
    PathInteger(pin): PathInteger,
    query: QueryParameters,
) -> Result<Json<Checked>, Response> {
    let state = query
        .required_text("state")
        .map_err(ValidationError::into_response)?;
    let asked = Asked {
        pin,
        state: key(state),
    };
    let known = app.shared.get(&asked.state).await;
    let is = |is_given| known.as_deref() == Some(&noted(pin, is_given));
    let is_given = is(true);
    if !is_given && !is(false) {
        return Err(ApiError::bad_request("Invalid state").into_response());
    }
    let checked = CHECKS.get(asked.clone(), check(app, asked, is_given)).await;
    checked.map(Json).map_err(|error| {
        tracing::warn!("A PIN of plex.tv could not be checked: {error}");
        let words = error.for_strangers();
        ApiError::bad_gateway(format!("Failed to check PIN: {words}")).into_response()
    })
}

async fn check(app: AppState, asked: Asked, is_given: bool) -> Result<Checked, CloudError> {
    let plex_tv = PlexTv::of(&app);
    let token = match plex_tv.pin(asked.pin).await? {
        PinState::Waiting => return Ok(Checked::NOT_YET),
        // The state ends by itself, so that this answer can be asked for again, too.
        PinState::Expired => return Ok(Checked::EXPIRED),
        PinState::Authorized(token) => token,
    };
    let account = match plex_tv.account(&token).await {
        Ok(account) => account,
        Err(error) if error.status().is_some() => return Ok(Checked::NOT_YET),
        Err(error) => return Err(error),
    };
    // Once: who goes on asking does not make it last.
    if !is_given {
        let given = noted(asked.pin, true);
        app.shared.put(&asked.state, &given, GIVEN_TTL).await;
    }
    Ok(Checked {
        authorized: true,
        expired: None,
        who: Some(LoggedIn {
            auth_token: token.expose().to_owned(),
            email: account.email,
            username: account.username,
            plex_id: account.id.parse().unwrap_or_default(),
        }),
    })
}

/// Who wants to use an invite, by their log-in at Plex. But for the first two, nothing of it is believed.
#[derive(ToSchema)]
struct PlexRedeemRequest {
    invite_code: String,
    auth_token: String,
    #[expect(dead_code, reason = "only has to be there")]
    email: String,
    #[expect(dead_code, reason = "only has to be there")]
    username: String,
    #[expect(dead_code, reason = "only has to be there")]
    plex_id: String,
}

impl FromFields for PlexRedeemRequest {
    fn from_fields(fields: &mut Fields) -> Self {
        Self {
            invite_code: fields.string("invite_code"),
            auth_token: fields.string("auth_token"),
            email: fields.string("email"),
            username: fields.string("username"),
            plex_id: fields.string("plex_id"),
        }
    }
}

/// What came of it.
#[derive(Serialize, ToSchema)]
struct RedeemedByPlex {
    success: bool,
    /// Whether the friend has still to accept.
    message: String,
    user: NewMember,
}

/// Who was let in.
#[derive(Serialize, ToSchema)]
struct NewMember {
    email: String,
    username: String,
    /// UTC, without a zone.
    created_at: String,
}

/// Uses an invite in the name of who has logged in, and accepts Plex's invitation for them.
#[utoipa::path(post, path = "/api/oauth/plex/redeem", tag = "oauth",
    request_body = PlexRedeemRequest,
    responses((status = 200, body = RedeemedByPlex), (status = 400, body = Detail),
        (status = 404, body = Detail), (status = 422, body = ValidationError),
        (status = 429, body = Detail), (status = 500, body = Detail), (status = 503, body = Detail),
        (status = 504, body = Detail)))]
async fn redeem_by_login(
    app: AppState,
    _: Paced,
    JsonBody(asked): JsonBody<PlexRedeemRequest>,
) -> ApiResult<Json<RedeemedByPlex>> {
    to_the_end(async move {
        let token = Secret::new(asked.auth_token);
        let code = asked.invite_code;
        // plex.tv is asked for nobody who has no invite.
        let invite = redemption::find(&app, &code).await;
        invite
            .map_err(Refusal::Store)
            .and_then(|found| found.map_err(Refusal::Invite))
            .map_err(refused_by_login)?;
        let redeemer = redeemer(&PlexTv::of(&app), &token).await?;
        let used = redeem(&app, &code, &redeemer).await;
        let used = used.map_err(refused_by_login)?;
        let is_in = accept(&used, &token).await;
        Ok(Json(answer(used, is_in)))
    })
    .await
}

/// Whose token it is.
async fn redeemer(plex_tv: &PlexTv, token: &Secret) -> ApiResult<Redeemer> {
    const NOT_ACCEPTED: &str = "Failed to redeem invite: Plex does not accept this log-in";
    // It is sent in a header.
    if HeaderValue::from_str(token.expose()).is_err() {
        return Err(ApiError::bad_request(NOT_ACCEPTED));
    }
    let account = plex_tv.account(token).await.map_err(|error| {
        if error.is_refused() {
            return ApiError::bad_request(NOT_ACCEPTED);
        }
        let words = error.for_strangers();
        ApiError::internal(format!("Failed to redeem invite: {words}"), error)
    })?;
    // Members of a Home may have no address; plex.tv takes their name as well.
    let named = [&account.email, &account.username, &account.id];
    let email = named.into_iter().find(|name| !name.is_empty());
    Ok(Redeemer {
        email: email.map(|name| name.to_lowercase()).unwrap_or_default(),
        account: Some(Account {
            username: account.username,
            plex_id: account.id,
            thumb: account.thumb,
        }),
    })
}

/// Accepts the invitation in the friend's name. Whether they are in: if not, they are invited all the same.
async fn accept(used: &Used, token: &Secret) -> bool {
    let Used { friend, door } = used;
    let accepted = async {
        let owner = door.tv.account(&door.owner).await?;
        let accepted = door.tv.accept(token, &owner, &door.machine).await?;
        if let Err(error) = door.tv.enable_view_state_sync(token).await {
            tracing::debug!("View state sync of {}: {error}", friend.email);
        }
        Ok::<_, CloudError>(accepted)
    };
    match accepted.await {
        Ok(Acceptance::Accepted) => true,
        Ok(Acceptance::NothingPending) => {
            let email = &friend.email;
            tracing::warn!("Auto-accept failed for {email}: plex.tv shows no open invitation");
            false
        }
        Err(error) => {
            tracing::warn!("Auto-accept failed for {}: {error}", friend.email);
            false
        }
    }
}

fn answer(used: Used, is_in: bool) -> RedeemedByPlex {
    const IN: &str = "Successfully added to Plex server!";
    const INVITED: &str = "Invited to the Plex server! Please accept the invitation in Plex.";
    let friend = used.friend;
    RedeemedByPlex {
        success: true,
        message: if is_in { IN } else { INVITED }.to_owned(),
        user: NewMember {
            email: friend.email,
            username: friend.username.unwrap_or_default(),
            created_at: datetime::iso_utc(friend.created_at.utc()),
        },
    }
}

fn refused_by_login(refusal: Refusal) -> ApiError {
    match refusal {
        Refusal::Invite(Refused::Unknown) => ApiError::missing("Invite not found"),
        Refusal::Invite(Refused::Inactive) => ApiError::bad_request("Invite has been disabled"),
        Refusal::Invite(Refused::Expired) => ApiError::bad_request("Invite has expired"),
        Refusal::Invite(Refused::Exhausted) => ApiError::bad_request("Invite has been fully used"),
        Refusal::Invite(Refused::Known) => {
            ApiError::bad_request("You have already redeemed this invite")
        }
        Refusal::NotConfigured => ApiError::internal(NOT_CONFIGURED, NOT_CONFIGURED),
        Refusal::Shut(shut, _) => {
            let text = shut.to_string().to_lowercase();
            let is_member = ["already sharing", "already a"]
                .iter()
                .any(|words| text.contains(words));
            match shut {
                Shut::Cloud(ref error)
                    if is_member && !matches!(error, CloudError::OnlyHome(_)) =>
                {
                    ApiError::bad_request(ALREADY_MEMBER)
                }
                Shut::NoLibraries => ApiError::internal(shut.to_string(), shut),
                shut => {
                    let words = words_for(&shut);
                    ApiError::internal(format!("Failed to invite user: {words}"), shut)
                }
            }
        }
        Refusal::Open(error) => ApiError::internal(
            "Failed to redeem invite: plex.tv has not confirmed the invitation; \
             try again in some minutes",
            error,
        ),
        Refusal::Store(error) | Refusal::Unwritten(error) => {
            // Strangers are not told what the database says.
            ApiError::of_store("Failed to redeem invite", error)
        }
    }
}

/// The routes of this file.
pub(super) fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(begin_login))
        .routes(routes!(check_login))
        .routes(routes!(redeem_by_login))
}
