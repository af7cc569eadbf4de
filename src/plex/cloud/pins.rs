//! Log-in by PIN: a person confirms, on plex.tv, the code that this program has got there.

use reqwest::Method;

use super::answers::Element;
use super::call::Call;
use super::{CloudError, PRODUCT, PlexTv, at, at_with};
use crate::settings::Secret;

/// What the page of plex.tv that the person sees is called with; 3.3.0's, so that log-ins that are
/// under way while it is replaced can be ended (contract 04, section 4).
const CLIENT_IDENTIFIER: &str = "komandorr-invite";
const VERSION: &str = "1.0";

/// A log-in that has begun.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pin {
    pub(crate) id: i64,
    /// What the person confirms.
    pub(crate) code: String,
}

/// How far a log-in is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum PinState {
    /// The person has not confirmed yet.
    Waiting,
    /// With their token.
    Authorized(Secret),
    /// It took too long.
    Expired,
}

impl PlexTv {
    /// Begins a log-in.
    ///
    /// # Errors
    /// The call's; [`CloudError::NotPlexTv`] for an answer without a PIN.
    pub(crate) async fn create_pin(&self) -> Result<Pin, CloudError> {
        let url = at_with(&self.base, &["api", "v2", "pins"], ("strong", "true"));
        let call = Call::change(Method::POST, url)
            .header("X-Plex-Product", PRODUCT)
            .header("X-Plex-Version", VERSION);
        let reply = self.line.make(&as_invite_page(call)).await?;
        let pin = Element::read(&reply.body).and_then(|pin| {
            Some(Pin {
                id: pin.text("id").parse().ok()?,
                code: Some(pin.text("code")).filter(|code| !code.is_empty())?,
            })
        });
        pin.filter(|_| reply.status == 201)
            .ok_or(CloudError::NotPlexTv)
    }

    /// How far the log-in with this number is.
    ///
    /// # Errors
    /// The call's; [`CloudError::NotPlexTv`] for an answer that is no PIN.
    pub(crate) async fn pin(&self, id: i64) -> Result<PinState, CloudError> {
        let url = at(&self.base, &["api", "v2", "pins", &id.to_string()]);
        let reply = match self.line.make(&as_invite_page(Call::get(url))).await {
            Ok(reply) => reply,
            Err(error) if error.status() == Some(404) => return Ok(PinState::Expired),
            Err(error) => return Err(error),
        };
        let pin = Element::read(&reply.body).ok_or(CloudError::NotPlexTv)?;
        if pin.text("id").is_empty() && pin.text("code").is_empty() {
            return Err(CloudError::NotPlexTv);
        }
        Ok(match pin.attribute("authToken") {
            None | Some("") => PinState::Waiting,
            Some(token) => PinState::Authorized(Secret::new(token)),
        })
    }
}

fn as_invite_page(call: Call<'_>) -> Call<'_> {
    call.header("X-Plex-Client-Identifier", CLIENT_IDENTIFIER)
        .header("Accept", "application/json")
}
