//! [`Door`]: the configured Plex server as one that friends are let into.

use super::model::Invite;
use super::redemption::Redemption;
use crate::app::AppState;
use crate::plex::cloud::{CloudError, Invitation, PlexTv, same};
use crate::plex::{self, PlexError};
use crate::settings::Secret;

/// What an invite's `libraries` means all of them with.
const ALL: &str = "all";

/// The configured server, and its owner.
#[derive(Debug)]
pub(super) struct Door {
    pub(super) tv: PlexTv,
    /// In whose name plex.tv is asked.
    pub(super) owner: Secret,
    /// What plex.tv knows the server by.
    pub(super) machine: String,
}

/// Why nobody was let in.
#[derive(Clone, Debug, thiserror::Error)]
pub(super) enum Shut {
    /// The server can't be asked what plex.tv knows it by.
    #[error(transparent)]
    Server(#[from] PlexError),
    /// The server can't be asked for its libraries, and never could.
    #[error("Failed to fetch libraries: {0}")]
    Libraries(String),
    /// None of those that the invite names is there, or known to plex.tv (contract 04, section 6).
    #[error("No valid libraries selected")]
    NoLibraries,
    /// plex.tv did not do it.
    #[error(transparent)]
    Cloud(CloudError),
}

impl From<CloudError> for Shut {
    fn from(error: CloudError) -> Self {
        match error {
            CloudError::NoLibraries => Self::NoLibraries,
            error => Self::Cloud(error),
        }
    }
}

impl Door {
    /// The one of the configured server; `None` without one.
    ///
    /// # Errors
    /// The server can't be asked.
    pub(super) async fn find(app: &AppState) -> Result<Option<Self>, PlexError> {
        let settings = app.settings.current();
        let Some(target) = &settings.plex else {
            return Ok(None);
        };
        let identity = app.plex.server(target).identity().await?;
        let machine = identity.machine_identifier.filter(|id| !id.is_empty());
        Ok(Some(Self {
            tv: PlexTv::of(app),
            owner: target.token.clone(),
            machine: machine.ok_or(PlexError::NotPlex)?,
        }))
    }

    /// The configured owner's server that plex.tv knows by `machine`, without asking anybody; `None`
    /// without a configured server.
    pub(super) fn to(app: &AppState, machine: &str) -> Option<Self> {
        let owner = app.settings.current().plex.as_ref()?.token.clone();
        Some(Self {
            tv: PlexTv::of(app),
            owner,
            machine: machine.to_owned(),
        })
    }

    /// Lets plex.tv invite `email` to what `invite` offers.
    ///
    /// # Errors
    /// plex.tv's.
    pub(super) async fn invite(
        &self,
        invite: &Invite,
        sections: Vec<String>,
        email: &str,
    ) -> Result<(), CloudError> {
        let invitation = Invitation {
            machine: self.machine.clone(),
            sections,
            email: email.to_owned(),
            allow_sync: invite.allow_sync,
            allow_camera_upload: invite.allow_camera_upload,
            allow_channels: invite.allow_channels,
            home: invite.plex_home,
        };
        self.tv.invite(&self.owner, &invitation).await
    }

    /// Whether plex.tv knows of the invitation that `redemption` asked for, accepted or not.
    ///
    /// # Errors
    /// plex.tv's.
    pub(super) async fn has_invited(&self, redemption: &Redemption) -> Result<bool, CloudError> {
        let who = &redemption.redeemer;
        let names = [
            Some(who.email.as_str()),
            who.account.as_ref().map(|account| account.plex_id.as_str()),
        ];
        let is_meant = |known: [&str; 3]| {
            let is_one = |known: &str| names.iter().flatten().any(|name| same(name, known));
            known.into_iter().any(is_one)
        };
        let shares = self.tv.shares(&self.owner, &redemption.machine).await?;
        let is_shared = shares
            .iter()
            .any(|share| is_meant([&share.email, &share.username, &share.user_id]));
        if is_shared || !redemption.home {
            return Ok(is_shared);
        }
        // Somebody who is known by that name is invited to the Home only.
        let people = self.tv.people(&self.owner).await?;
        let mut members = people.iter().filter(|person| person.home);
        Ok(members.any(|person| is_meant([&person.email, &person.username, &person.id])))
    }
}

/// The keys of the libraries that `invite` offers.
///
/// # Errors
/// There are none, or it is not known which there are.
pub(super) async fn sections(app: &AppState, invite: &Invite) -> Result<Vec<String>, Shut> {
    let known = plex::libraries(app).await;
    let known = known.map_err(|error| Shut::Libraries(error.message.clone()))?;
    let wanted = invite.libraries.trim();
    let wanted: Option<Vec<&str>> =
        (!wanted.is_empty() && wanted != ALL).then(|| wanted.split(',').map(str::trim).collect());
    let keys = known.iter().map(|library| &library.key);
    let sections: Vec<String> = keys
        .filter(|key| {
            wanted
                .as_ref()
                .is_none_or(|wanted| wanted.contains(&key.as_str()))
        })
        .cloned()
        .collect();
    if sections.is_empty() {
        return Err(Shut::NoLibraries);
    }
    Ok(sections)
}
