//! Inviting somebody, and accepting an invitation in their name.

use reqwest::Method;
use serde::Serialize;
use tokio::time::sleep;

use super::answers::Element;
use super::call::Call;
use super::people::same;
use super::{Account, CloudError, PlexTv, at, at_with};
use crate::settings::Secret;

/// Looks for an invitation that was just made.
const LOOKS: u32 = 3;

/// Who is offered what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Invitation {
    /// The identifier of the server.
    pub(crate) machine: String,
    /// The keys that the server gives its libraries.
    pub(crate) sections: Vec<String>,
    /// Whom.
    pub(crate) email: String,
    /// To take films along.
    pub(crate) allow_sync: bool,
    /// To send pictures.
    pub(crate) allow_camera_upload: bool,
    /// To use channels.
    pub(crate) allow_channels: bool,
    /// Into the owner's Plex Home, too.
    pub(crate) home: bool,
}

/// What became of the wish to accept an invitation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Acceptance {
    /// The server is theirs to use.
    Accepted,
    /// There is no invitation of that owner to that server.
    NothingPending,
}

/// The body of an invitation (contract 04, 7.6).
#[derive(Serialize)]
struct Offer<'a> {
    server_id: &'a str,
    shared_server: Shared<'a>,
    sharing_settings: Allowed,
}

#[derive(Serialize)]
struct Shared<'a> {
    library_section_ids: Vec<u64>,
    invited_email: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Allowed {
    allow_sync: &'static str,
    allow_camera_upload: &'static str,
    allow_channels: &'static str,
    filter_movies: &'static str,
    filter_television: &'static str,
    filter_music: &'static str,
}

impl PlexTv {
    /// Offers a server to somebody. Everything that only has to be asked is asked first, so that a
    /// failure of that has changed nothing. Of an invitation to Home and server whose second half
    /// failed before, that half is made.
    ///
    /// # Errors
    /// The calls'; [`CloudError::NoLibraries`] if plex.tv knows none of the sections;
    /// [`CloudError::OnlyHome`] if the second of two steps has failed.
    pub(crate) async fn invite(
        &self,
        owner: &Secret,
        invitation: &Invitation,
    ) -> Result<(), CloudError> {
        let sections = self.section_ids(owner, invitation).await?;
        if !invitation.home {
            return self.offer(owner, invitation, sections).await;
        }
        let email = &invitation.email;
        let people = self.people(owner).await?;
        let is_known = people.iter().any(|person| same(&person.username, email));
        match self.invite_home(owner, email).await {
            Ok(()) if is_known => return Ok(()),
            Ok(()) => {}
            Err(refusal) => {
                let is_half = !is_known && is_there_already(&refusal);
                if !is_half || self.is_offered(owner, invitation).await? {
                    return Err(refusal);
                }
            }
        }
        let offered = self.offer(owner, invitation, sections).await;
        offered.map_err(|error| CloudError::OnlyHome(Box::new(error)))
    }

    /// Accepts, in the name of `user`, what `owner` has offered. An invitation that was just made
    /// is waited for, some seconds at most.
    ///
    /// # Errors
    /// The calls'.
    pub(crate) async fn accept(
        &self,
        user: &Secret,
        owner: &Account,
        machine: &str,
    ) -> Result<Acceptance, CloudError> {
        let path = [
            "api",
            "v2",
            "shared_servers",
            "invites",
            "received",
            "pending",
        ];
        for look in 1..=LOOKS {
            let call = Call::get(at(&self.clients, &path)).of(user);
            let pending = self.read(call.header("Accept", "application/json")).await?;
            if let Some(id) = pending_share(&pending, owner, machine) {
                let path = ["api", "v2", "shared_servers", &id, "accept"];
                let call = Call::change(Method::POST, at(&self.clients, &path)).of(user);
                self.change(call.header("Accept", "application/json"))
                    .await?;
                return Ok(Acceptance::Accepted);
            }
            if look < LOOKS {
                sleep(self.look_again).await;
            }
        }
        Ok(Acceptance::NothingPending)
    }

    /// Lets plex.tv keep in step what `user` has watched on all servers.
    ///
    /// # Errors
    /// The call's.
    pub(crate) async fn enable_view_state_sync(&self, user: &Secret) -> Result<(), CloudError> {
        let path = ["api", "v2", "user", "view_state_sync"];
        let url = at_with(&self.base, &path, ("consent", "True"));
        self.change(Call::change(Method::PUT, url).of(user)).await?;
        Ok(())
    }

    /// The numbers that plex.tv gives the libraries of an invitation.
    async fn section_ids(
        &self,
        owner: &Secret,
        invitation: &Invitation,
    ) -> Result<Vec<u64>, CloudError> {
        let path = ["api", "servers", &invitation.machine];
        let root = self.read_list(Call::get(at(&self.base, &path)).of(owner));
        let root = root.await?;
        let known = root
            .children
            .first()
            .map_or(&[][..], |server| &server.children);
        let wanted = |section: &&Element| {
            let key = section.text("key");
            invitation.sections.iter().any(|wanted| same(wanted, &key))
        };
        let ids = known.iter().filter(wanted);
        let ids: Vec<u64> = ids.filter_map(|id| id.text("id").parse().ok()).collect();
        if ids.is_empty() {
            return Err(CloudError::NoLibraries);
        }
        Ok(ids)
    }

    async fn offer(
        &self,
        owner: &Secret,
        invitation: &Invitation,
        library_section_ids: Vec<u64>,
    ) -> Result<(), CloudError> {
        let flag = |flag| if flag { "1" } else { "0" };
        let offer = Offer {
            server_id: &invitation.machine,
            shared_server: Shared {
                library_section_ids,
                invited_email: &invitation.email,
            },
            sharing_settings: Allowed {
                allow_sync: flag(invitation.allow_sync),
                allow_camera_upload: flag(invitation.allow_camera_upload),
                allow_channels: flag(invitation.allow_channels),
                filter_movies: "",
                filter_television: "",
                filter_music: "",
            },
        };
        let path = ["api", "servers", &invitation.machine, "shared_servers"];
        let call = Call::change(Method::POST, at(&self.base, &path)).of(owner);
        let body = serde_json::to_string(&offer).map_err(|_| CloudError::NotPlexTv)?;
        self.change(call.json(body)).await?;
        Ok(())
    }

    /// Whether the server is shared with them, or offered to them, already.
    async fn is_offered(
        &self,
        owner: &Secret,
        invitation: &Invitation,
    ) -> Result<bool, CloudError> {
        let shares = self.shares(owner, &invitation.machine).await?;
        Ok(shares.iter().any(|share| share.is_with(&invitation.email)))
    }

    async fn invite_home(&self, owner: &Secret, email: &str) -> Result<(), CloudError> {
        let path = ["api", "home", "users"];
        let url = at_with(&self.base, &path, ("invitedEmail", email));
        let call = Call::change(Method::POST, url).of(owner);
        self.change(call.json(String::new())).await?;
        Ok(())
    }
}

/// Whether plex.tv did not invite somebody because it has done so before (contract 04, section 6).
fn is_there_already(refusal: &CloudError) -> bool {
    !refusal.is_uncertain() && refusal.to_string().to_lowercase().contains("already")
}

/// The number of the share that `owner` offers: that of the server, or one that names none.
fn pending_share(pending: &Element, owner: &Account, machine: &str) -> Option<String> {
    let names = [&owner.username, &owner.email, &owner.title, &owner.id];
    let is_theirs = |invitation: &&Element| {
        invitation.named("owner").any(|from| {
            let said = ["username", "email", "title", "friendlyName", "id"];
            let mut said = said.iter().filter_map(|name| from.attribute(name));
            said.any(|said| names.iter().any(|name| same(name, said)))
        })
    };
    let theirs = pending.children.iter().filter(is_theirs);
    // In JSON the entries of a list, in XML perhaps children of one element.
    let lists = theirs.flat_map(|invitation| {
        let lists = invitation.children.iter();
        lists.filter(|list| list.name.starts_with("sharedServer"))
    });
    let offered: Vec<(String, String)> = lists
        .flat_map(|list| std::iter::once(list).chain(&list.children))
        .map(|share| {
            let server = share.first_of(&["machineIdentifier", "serverId", "clientIdentifier"]);
            (share.text("id"), server)
        })
        .filter(|(id, _)| !id.is_empty())
        .collect();
    let of_server = offered.iter().find(|(_, server)| same(server, machine));
    let unnamed = || offered.iter().find(|(_, server)| server.is_empty());
    of_server.or_else(unnamed).map(|(id, _)| id.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(pending: &str) -> Option<String> {
        let owner = Account {
            username: "Captain".to_owned(),
            email: "captain@sea.org".to_owned(),
            ..Account::default()
        };
        pending_share(&Element::read(pending.as_bytes()).unwrap(), &owner, "m1")
    }

    #[test]
    fn an_invitation_is_chosen_by_its_owner_and_its_server() {
        let other = r#"{"owner":{"username":"other"},"sharedServers":[{"id":1}]}"#;
        for (owner, shares, id) in [
            (r#"{"username":"captain"}"#, r#"[{"id":7}]"#, Some("7")),
            (
                r#"{"email":"CAPTAIN@sea.org"}"#,
                r#"[{"id":"7"}]"#,
                Some("7"),
            ),
            (r#"{"friendlyName":"captain"}"#, r#"[{"id":7}]"#, Some("7")),
            (
                r#"{"title":"captain"}"#,
                r#"[{"id":6,"machineIdentifier":"m2"},{"id":7},{"id":8,"machineIdentifier":"m1"}]"#,
                Some("8"),
            ),
            (
                r#"{"username":"captain"}"#,
                r#"[{"id":6,"machineIdentifier":"m2"},{"id":7}]"#,
                Some("7"),
            ),
            (
                r#"{"username":"captain"}"#,
                r#"[{"id":6,"machineIdentifier":"m2"}]"#,
                None,
            ),
            (r#"{"username":"captain"}"#, "[]", None),
            (r#"{"username":"captain"}"#, r#"[{"name":"x"}]"#, None),
            (r#"{"username":""}"#, r#"[{"id":7}]"#, None),
            (r#"{"username":null}"#, r#"[{"id":7}]"#, None),
        ] {
            let list = format!(r#"[{other},{{"owner":{owner},"sharedServers":{shares}}},7]"#);
            assert_eq!(chosen(&list).as_deref(), id, "{list}");
        }
        let xml = "<invites><invite><owner username='captain'/><sharedServers>\
                   <sharedServer id='9'/></sharedServers></invite></invites>";
        assert_eq!(chosen(xml).as_deref(), Some("9"));
        assert_eq!(chosen("[]"), None);
        assert_eq!(chosen("{}"), None);
    }
}
