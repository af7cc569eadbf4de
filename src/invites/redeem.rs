//! Using an invite: what is common to both ways, and the way by e-mail address (contract 04,
//! sections 3 and 6).

use std::time::Duration;

use axum::Json;
use serde::Serialize;
use tokio::time::timeout;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::door::{self, Door, Shut};
use super::model::{Invite, PlexUser};
use super::redemption::{self, Redeemer, Redemption, Refused};
use super::under_way::UnderWay;
use super::{email, people};
use crate::app::AppState;
use crate::compat::validation::{Fields, FromFields, JsonBody, ValidationError};
use crate::plex::PlexError;
use crate::plex::cloud::CloudError;
use crate::store::StoreError;
use crate::web::error::{ApiError, ApiResult, Detail};
use crate::web::pace::Paced;

/// So long its client waits for what plex.tv is asked, which goes on without it. Calls that all take
/// as long as they may are longer; but a request may not be, and this one has an answer of its own.
const LONGEST: Duration = Duration::from_secs(50);
/// The text of an error while no Plex server is configured.
pub(super) const NOT_CONFIGURED: &str = "Plex server not configured";

/// Why somebody is not told that they have used an invite. In the last two cases the use is counted
/// and noted, and settled later; in the others nothing is counted (if that can't be written, it is
/// settled later, too).
#[derive(Debug)]
pub(super) enum Refusal {
    /// It can't be.
    Invite(Refused),
    /// There is no server to let anybody into.
    NotConfigured,
    /// The server, or plex.tv, did not let them in. Also tells whether they were to come into the
    /// Plex Home.
    Shut(Shut, bool),
    /// The database could not be read or written.
    Store(StoreError),
    /// plex.tv has invited them, but that could not be written down yet.
    Unwritten(StoreError),
    /// It is not known yet whether plex.tv has invited them: it has not said so, and does not show
    /// them among the invited either, which it may do later.
    Open(CloudError),
}

/// A use that was made.
pub(super) struct Used {
    pub(super) friend: PlexUser,
    pub(super) door: Door,
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<PlexError> for Refusal {
    fn from(error: PlexError) -> Self {
        Self::Shut(error.into(), false)
    }
}

/// Lets `redeemer` use the invite of this code. To be called through [`to_the_end`].
///
/// # Errors
/// It was not used, or it is not known whether.
pub(super) async fn redeem(
    app: &AppState,
    code: &str,
    redeemer: &Redeemer,
) -> Result<Used, Refusal> {
    // First without a trace: most of what fails fails here.
    let look = redemption::look(app, code, redeemer).await?;
    let invite = look.map_err(Refusal::Invite)?;
    let door = Door::find(app).await?.ok_or(Refusal::NotConfigured)?;
    let sections = door::sections(app, &invite).await;
    let sections = sections.map_err(|shut| Refusal::Shut(shut, invite.plex_home))?;

    let reserved = redemption::reserve(app, code, redeemer, &door.machine).await?;
    let (invite, redemption) = reserved.map_err(Refusal::Invite)?;
    let _under_way = UnderWay::with(&redemption);
    if let Err(error) = door.invite(&invite, sections, &redeemer.email).await {
        settle(app, &door, &invite, &redemption, error).await?;
    }
    match redemption::keep(app, redemption).await {
        Ok(Some(friend)) => {
            tracing::info!("{} was invited with {}", friend.email, invite.code);
            people::look_soon();
            Ok(Used { friend, door })
        }
        Ok(None) => Err(Refusal::Unwritten(StoreError::Busy)),
        Err(error) => Err(Refusal::Unwritten(error)),
    }
}

/// plex.tv has not said that somebody was invited: finds out whether they were all the same.
///
/// # Errors
/// They were not, and nothing is counted; or it can't be found out now.
async fn settle(
    app: &AppState,
    door: &Door,
    invite: &Invite,
    redemption: &Redemption,
    error: CloudError,
) -> Result<(), Refusal> {
    tracing::warn!(
        "plex.tv did not invite {}: {error}",
        redemption.redeemer.email
    );
    if error.is_uncertain() {
        // That they are not invited at this moment says little: plex.tv may be at it still.
        return match door.has_invited(redemption).await {
            Ok(true) => Ok(()),
            Ok(false) | Err(_) => Err(Refusal::Open(error)),
        };
    }
    // If it can't be written, the note stays, and is settled later.
    redemption::undo(app, redemption.clone()).await?;
    Err(Refusal::Shut(error.into(), invite.plex_home))
}

/// Does `work` to its end even if its client leaves: plex.tv has been asked by then.
pub(super) async fn to_the_end<T: Send + 'static>(
    work: impl Future<Output = ApiResult<T>> + Send + 'static,
) -> ApiResult<T> {
    match timeout(LONGEST, tokio::spawn(work)).await {
        Ok(Ok(done)) => done,
        Ok(Err(panic)) => Err(ApiError::internal("Internal Server Error", panic)),
        Err(_) => Err(ApiError::gateway_timeout("Plex did not answer in time")),
    }
}

/// What somebody who is not logged in may read of plex.tv's answer.
pub(super) fn words_for(shut: &Shut) -> String {
    match shut {
        Shut::Cloud(error) => error.for_strangers(),
        other => other.to_string(),
    }
}

/// Who wants to use an invite by e-mail.
#[derive(ToSchema)]
struct RedeemRequest {
    code: String,
    #[schema(format = "email")]
    email: String,
}

impl FromFields for RedeemRequest {
    fn from_fields(fields: &mut Fields) -> Self {
        Self {
            code: fields.string("code"),
            email: email::of(fields, "email"),
        }
    }
}

/// What came of it.
#[derive(Serialize, ToSchema)]
struct RedeemedByEmail {
    success: bool,
    message: String,
    user: PlexUser,
}

/// Uses an invite: Plex sends an invitation to the address.
#[utoipa::path(post, path = "/api/invites/redeem", tag = "invites", request_body = RedeemRequest,
    responses((status = 200, body = RedeemedByEmail), (status = 400, body = Detail),
        (status = 404, body = Detail), (status = 422, body = ValidationError),
        (status = 429, body = Detail), (status = 500, body = Detail), (status = 503, body = Detail),
        (status = 504, body = Detail)))]
async fn redeem_invite(
    app: AppState,
    _: Paced,
    JsonBody(asked): JsonBody<RedeemRequest>,
) -> ApiResult<Json<RedeemedByEmail>> {
    to_the_end(async move {
        let redeemer = Redeemer {
            email: asked.email.to_lowercase(),
            account: None,
        };
        let used = redeem(&app, &asked.code, &redeemer).await;
        let used = used.map_err(refused_by_email)?;
        Ok(Json(RedeemedByEmail {
            success: true,
            message: format!(
                "Successfully invited to Plex! Check {} for the invitation email.",
                asked.email
            ),
            user: used.friend,
        }))
    })
    .await
}

fn refused_by_email(refusal: Refusal) -> ApiError {
    match refusal {
        Refusal::Invite(Refused::Unknown) => ApiError::missing("Invite code not found"),
        Refusal::Invite(Refused::Inactive) => {
            ApiError::bad_request("This invite has been disabled")
        }
        Refusal::Invite(Refused::Expired) => ApiError::bad_request("This invite has expired"),
        Refusal::Invite(Refused::Exhausted) => {
            ApiError::bad_request("This invite has reached its usage limit")
        }
        Refusal::Invite(Refused::Known) => {
            ApiError::bad_request("This email has already been invited and is currently active")
        }
        Refusal::NotConfigured => ApiError::internal(NOT_CONFIGURED, NOT_CONFIGURED),
        Refusal::Shut(shut, home) => {
            let words = invitation_failed(&shut, home);
            ApiError::internal(format!("Failed to invite user to Plex: {words}"), shut)
        }
        Refusal::Open(error) => ApiError::internal(
            "Failed to invite user to Plex: plex.tv has not confirmed the invitation; \
             try again in some minutes",
            error,
        ),
        Refusal::Store(error) | Refusal::Unwritten(error) => {
            // Strangers are not told what the database says.
            ApiError::of_store("Error redeeming invite", error)
        }
    }
}

/// Tells friends what plex.tv means (contract 04, section 6).
fn invitation_failed(shut: &Shut, home: bool) -> String {
    const ALREADY_SHARED: &str = "This user is already shared with this server";
    const ALREADY_HOME: &str = "This user is already a Plex Home member";
    const NO_PASS: &str = "Plex Home requires an active Plex Pass subscription";
    const NOBODY: &str = "User not found or invalid email";
    match shut {
        // What plex.tv says is about the second half then.
        Shut::Cloud(CloudError::OnlyHome(_)) => return words_for(shut),
        Shut::Cloud(_) => {}
        other => return other.to_string(),
    }
    let text = shut.to_string().to_lowercase();
    let known: &[(&str, &str)] = if home {
        &[
            ("already", ALREADY_HOME),
            ("plex pass", NO_PASS),
            ("not found", NOBODY),
        ]
    } else {
        &[("already sharing", ALREADY_SHARED), ("not found", NOBODY)]
    };
    let known = known.iter().find(|(words, _)| text.contains(words));
    known.map_or_else(
        || format!("Failed to invite user: {}", words_for(shut)),
        |(_, meaning)| (*meaning).to_owned(),
    )
}

/// The routes of this file.
pub(super) fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(redeem_invite))
}
