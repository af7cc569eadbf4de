//! The client against the simulated plex.tv, and on the wire.

mod flows;
mod script;
mod wire;

use std::time::Duration;

use reqwest::{Client, redirect};
use tokio::time::sleep;
use url::Url;

use super::people::Share;
use super::pins::Pin;
use super::{
    Acceptance, Account, CloudError, Invitation, Line, Person, PinState, PlexTv, Removal, Who,
};
use crate::app::AppState;
use crate::demo::{Fault, Options, Simulator};
use crate::settings::{Environment, Secret};

/// A simulated plex.tv and its client.
struct Stage {
    plex: Simulator,
    tv: PlexTv,
    owner: Secret,
    machine: String,
}

impl Stage {
    async fn new() -> Self {
        let plex = Simulator::start(Options::default()).await.unwrap();
        Self {
            tv: client(&plex.url()),
            owner: Secret::new(plex.token()),
            machine: plex.machine_identifier(),
            plex,
        }
    }

    /// An invitation to films and shows.
    fn invitation(&self, email: &str) -> Invitation {
        Invitation {
            machine: self.machine.clone(),
            sections: vec!["1".to_owned(), "3".to_owned()],
            email: email.to_owned(),
            allow_sync: true,
            allow_camera_upload: false,
            allow_channels: true,
            home: false,
        }
    }

    async fn invite(&self, email: &str) -> Result<(), CloudError> {
        self.tv.invite(&self.owner, &self.invitation(email)).await
    }

    async fn remove(&self, email: &str) -> Result<Removal, CloudError> {
        self.remove_known(email, None).await
    }

    async fn remove_known(&self, email: &str, id: Option<&str>) -> Result<Removal, CloudError> {
        let who = Who { email, plex_id: id };
        self.tv.remove(&self.owner, Some(&self.machine), who).await
    }

    async fn accept(&self, guest: &str) -> Result<Acceptance, CloudError> {
        let guest = Secret::new(self.plex.guest_token(guest));
        let owner = self.tv.account(&self.owner).await.unwrap();
        self.tv.accept(&guest, &owner, &self.machine).await
    }

    fn guest(&self, name: &str) -> Secret {
        Secret::new(self.plex.guest_token(name))
    }

    fn shared_servers(&self) -> String {
        format!("/api/servers/{}/shared_servers", self.machine)
    }
}

/// Somebody whose number is not known.
fn named(email: &str) -> Who<'_> {
    let plex_id = None;
    Who { email, plex_id }
}

/// A client of what is at `url`, which does not wait long for an invitation.
fn client(url: &str) -> PlexTv {
    let http = Client::builder()
        .no_proxy()
        .connect_timeout(Duration::from_secs(2))
        .redirect(redirect::Policy::none());
    let base = Url::parse(url).unwrap();
    PlexTv {
        line: Line::new(http.build().unwrap()),
        clients: base.clone(),
        base,
        identifier: "an-installation".to_owned(),
        look_again: Duration::from_millis(1),
    }
}

async fn until(mut holds: impl FnMut() -> bool) {
    for _ in 0..4000 {
        if holds() {
            return;
        }
        sleep(Duration::from_millis(5)).await;
    }
    panic!("in vain");
}

/// Lets time pass without anything that waits for the network taking it for a time-out.
async fn pass(seconds: u64) {
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(seconds)).await;
    tokio::time::resume();
}

#[tokio::test]
async fn plex_tv_is_where_the_settings_say_and_knows_the_installation_again() {
    let directory = tempfile::tempdir().unwrap();
    let env = Environment::from_pairs([
        ("PLEX_TV_URL", "http://127.0.0.1:1/tv"),
        ("PLEX_CLIENTS_URL", "http://127.0.0.1:1/clients"),
    ]);
    let app = AppState::for_test(directory.path(), env).await;
    let tv = PlexTv::of(&app);
    assert_eq!(tv.base.path(), "/tv");
    assert_eq!(tv.clients.path(), "/clients");
    assert_eq!(tv.identifier, PlexTv::of(&app).identifier);
    assert_eq!(tv.identifier.len(), 32);
    assert!(!app.store.installation().contains(&tv.identifier));

    let directory = tempfile::tempdir().unwrap();
    let app = AppState::for_test(directory.path(), Environment::default()).await;
    let other = PlexTv::of(&app);
    assert_eq!(other.base.as_str(), "https://plex.tv/");
    assert_eq!(other.clients.as_str(), "https://clients.plex.tv/");
    assert_ne!(other.identifier, tv.identifier);
}
