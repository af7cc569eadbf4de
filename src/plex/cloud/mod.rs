//! plex.tv: accounts, whom a server is shared with, invitations, and log-in by PIN.
//!
//! The calls are those that 3.3.0's library made (contract 04, section 7), with the differences
//! that docs/compatibility.md lists. Nothing of the answers is kept here.

mod answers;
mod call;
mod error;
mod inviting;
mod people;
mod pins;
mod removing;
#[cfg(test)]
mod tests;

use std::fmt::Write as _;
use std::time::Duration;

use chrono::{DateTime, Utc};
use sha2::{Digest as _, Sha256};
use url::Url;

use crate::app::App;
use answers::Element;
use call::{Call, Reply};

pub(crate) use call::Line;
pub(crate) use error::CloudError;
pub(crate) use inviting::{Acceptance, Invitation};
pub(crate) use people::{Account, Person, Who, find_in, same};
pub(crate) use pins::PinState;
pub(crate) use removing::Removal;

/// How plex.tv knows this program by name.
const PRODUCT: &str = "Komandorr";
/// An invitation that was just made needs a moment to arrive: three looks in five seconds.
const LOOK_AGAIN: Duration = Duration::from_secs(2);

/// plex.tv, asked in the name of whoever's token is given with each call.
#[derive(Clone, Debug)]
pub(crate) struct PlexTv {
    line: Line,
    base: Url,
    /// Where pending invitations are answered.
    clients: Url,
    /// The same for as long as this installation lives: plex.tv lists every one it sees as a
    /// device.
    identifier: String,
    look_again: Duration,
}

impl PlexTv {
    /// plex.tv, or what stands in for it in the settings of this moment.
    pub(crate) fn of(app: &App) -> Self {
        let settings = app.settings.current();
        Self {
            line: app.plex.plex_tv().clone(),
            base: settings.plex_tv_url.clone(),
            clients: settings.plex_clients_url.clone(),
            identifier: client_identifier(app.store.installation()),
            look_again: LOOK_AGAIN,
        }
    }

    /// What time it is at plex.tv.
    ///
    /// # Errors
    /// The call's; [`CloudError::NotPlexTv`] for an answer without a date.
    pub(crate) async fn clock(&self) -> Result<DateTime<Utc>, CloudError> {
        // Needs no token and no answer: any head tells the time.
        let call = self.named(Call::get(at(&self.base, &["api", "v2", "ping"])));
        let date = self.line.date(&call).await?;
        let date = date.and_then(|date| httpdate::parse_http_date(&date).ok());
        date.map(Into::into).ok_or(CloudError::NotPlexTv)
    }

    /// Asks plex.tv.
    async fn read(&self, call: Call<'_>) -> Result<Element, CloudError> {
        let reply = self.line.make(&self.named(call)).await?;
        Element::read(&reply.body).ok_or(CloudError::NotPlexTv)
    }

    /// Asks plex.tv for a list of `/api/*`.
    async fn read_list(&self, call: Call<'_>) -> Result<Element, CloudError> {
        let call = self.named(call).header("Accept", "application/xml");
        let reply = self.line.make(&call).await?;
        Element::read_list(&reply.body).ok_or(CloudError::NotPlexTv)
    }

    /// Lets plex.tv change something.
    async fn change(&self, call: Call<'_>) -> Result<Reply, CloudError> {
        self.line.make(&self.named(call)).await
    }

    /// Says who is calling.
    fn named<'a>(&'a self, call: Call<'a>) -> Call<'a> {
        call.header("X-Plex-Client-Identifier", &self.identifier)
            .header("X-Plex-Product", PRODUCT)
            .header("X-Plex-Version", env!("CARGO_PKG_VERSION"))
            .header("X-Plex-Platform", std::env::consts::OS)
            .header("X-Plex-Device", "Server")
            .header("X-Plex-Device-Name", PRODUCT)
    }
}

/// What plex.tv knows this installation by. Derived, because the installation's own identifier is a
/// secret.
fn client_identifier(installation: &str) -> String {
    let digest = Sha256::digest(format!("X-Plex-Client-Identifier:{installation}"));
    digest.iter().take(16).fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

/// A path below `base`. Each part is one segment: whatever claims to be an identifier must not lead
/// elsewhere.
fn at(base: &Url, path: &[&str]) -> Url {
    let mut url = base.clone();
    if let Ok(mut segments) = url.path_segments_mut() {
        segments.pop_if_empty().extend(path);
    }
    url
}

/// As [`at`], with one parameter, encoded.
fn at_with(base: &Url, path: &[&str], (name, value): (&str, &str)) -> Url {
    let mut url = at(base, path);
    url.query_pairs_mut().append_pair(name, value);
    url
}
