//! A simulated Plex Media Server inside the process, with the parts of plex.tv and of GitHub that go
//! with it, and a simulated Telegram, Sonarr, Radarr, Overseerr, Posterizarr, uploader and VPN proxy
//! manager.
//!
//! `komandorr demo` shows the product against it, and the black-box tests use it as their double.
//! It speaks Plex's JSON over real connections and knows nothing of Komandorr. Titles, people and
//! addresses are invented.

mod activities;
mod agents;
mod arr;
mod calls;
mod dice;
mod faults;
mod github;
mod history;
mod invites;
mod library;
mod listener;
mod media;
mod metadata;
mod now_playing;
mod overseerr;
mod pages;
mod people;
mod picture;
mod plex;
mod plex_tv;
mod posterizarr;
mod services;
mod sessions;
mod stage;
mod telegram;
#[cfg(test)]
mod tests;
mod uploader;
mod vpn_proxy;
mod words;

pub use stage::{Demo, Stage};

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

pub use faults::Fault;
use listener::Door;
use plex::Plex;
pub use plex_tv::TakenInvitation;
pub use telegram::Message;

/// Plays in the history unless [`Options::history_plays`] says otherwise.
pub const HISTORY_PLAYS: usize = 600;

/// What to simulate.
#[derive(Clone, Debug)]
pub struct Options {
    /// The same seed gives the same library, people and scene.
    pub seed: u64,
    /// The server's `friendlyName`.
    pub name: String,
    /// The token that clients must send.
    pub token: String,
    /// What happens on the server.
    pub scene: Scene,
    /// How many plays `/status/sessions/history/all` has; only [`Simulator::add_plays`] adds to them.
    pub history_plays: usize,
    /// A PIN of plex.tv is confirmed by itself after so long; `None`: by
    /// [`Simulator::authorize_pin`] only.
    pub pins_confirm_after: Option<Duration>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            seed: 1,
            name: "Demo Plex".to_owned(),
            token: "demo-plex-token-4f1b".to_owned(),
            scene: Scene::Living,
            history_plays: HISTORY_PLAYS,
            pins_confirm_after: None,
        }
    }
}

/// What happens on the simulated server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scene {
    /// Moves: three to eight sessions whose progress advances with real time; they start, pause
    /// and stop, and activities come and go.
    Living,
    /// Exactly this many sessions and no movement besides the clock: nobody comes, goes or changes
    /// state, positions of playing sessions advance (and start over at the end of their item).
    /// Four activities whose progress stands still. For tests and benchmarks.
    Fixed {
        /// How many sessions there are.
        sessions: usize,
    },
}

/// Where one of the services beside Plex is, and the key that it insists on.
#[derive(Clone, Debug)]
pub struct Address {
    /// As it is configured.
    pub url: String,
    /// Anybody without it is refused with 401.
    pub key: &'static str,
}

/// A running simulated server; dropping it stops it and closes its connections.
pub struct Simulator {
    plex: Arc<Plex>,
    door: Door,
}

impl Simulator {
    /// Starts on a free loopback port.
    ///
    /// Must be called within a tokio runtime; fails when no port can be bound.
    pub async fn start(options: Options) -> std::io::Result<Self> {
        let plex = Arc::new(Plex::new(options));
        let door = Door::open(plex::router(Arc::clone(&plex))).await?;
        Ok(Self { plex, door })
    }

    /// `http://127.0.0.1:PORT`, for the server, its plex.tv and its GitHub; stays the same after [`Self::refuse`] and [`Self::accept`].
    pub fn url(&self) -> String {
        format!("http://{}", self.door.address())
    }

    /// Where the simulated Telegram is.
    pub fn telegram_url(&self) -> String {
        format!("{}{}", self.url(), telegram::PATH)
    }

    /// The newest messages that it has taken, in their order.
    pub fn messages(&self) -> Vec<Message> {
        self.plex.telegram.messages()
    }

    /// Lets it refuse the next messages with this status, and ask for so many seconds of peace.
    pub fn refuse_messages(&self, times: usize, status: u16, retry_after: Option<u64>) {
        self.plex.telegram.refuse(times, status, retry_after);
    }

    /// The token that clients must send.
    pub fn token(&self) -> &str {
        &self.plex.options.token
    }

    /// The identifier of the server, as plex.tv knows it.
    pub fn machine_identifier(&self) -> String {
        self.plex.machine_identifier()
    }

    /// The token by which plex.tv knows whoever is called so (user name, mail address or shown
    /// name). Who has no account gets one; the address is NAME@example.org, or the name if it is
    /// one.
    pub fn guest_token(&self, name: &str) -> String {
        self.plex.plex_tv.token_of(name)
    }

    /// Lets this person, as [`Self::guest_token`] finds them, confirm a PIN; `false` if it is not
    /// valid.
    pub fn authorize_pin(&self, id: i64, name: &str) -> bool {
        self.plex.plex_tv.authorize_pin(id, name)
    }

    /// Lets a PIN be too old.
    pub fn expire_pin(&self, id: i64) {
        self.plex.plex_tv.expire_pin(id);
    }

    /// The invitations that plex.tv has taken and that were not taken back, in their order.
    pub fn invitations(&self) -> Vec<TakenInvitation> {
        self.plex.plex_tv.invitations()
    }

    /// Whether the server is shared with, or offered to, this mail address.
    pub fn is_shared_with(&self, email: &str) -> bool {
        self.plex.plex_tv.is_shared_with(email)
    }

    /// Whether this person is a member of the owner's Home.
    pub fn is_at_home(&self, email: &str) -> bool {
        self.plex.plex_tv.is_at_home(email)
    }

    /// Whether this person has agreed that what they have watched is kept in step on all servers.
    pub fn is_synced(&self, name: &str) -> bool {
        self.plex.plex_tv.is_synced(name)
    }

    /// The token of the simulated GitHub.
    pub fn github_token(&self) -> &'static str {
        github::TOKEN
    }

    /// The simulated Sonarr, below `/sonarr`.
    pub fn sonarr(&self) -> Address {
        self.at(arr::SONARR.path, arr::SONARR.key)
    }

    /// The simulated Radarr, below `/radarr`.
    pub fn radarr(&self) -> Address {
        self.at(arr::RADARR.path, arr::RADARR.key)
    }

    /// The simulated Overseerr, below `/overseerr`.
    pub fn overseerr(&self) -> Address {
        self.at(overseerr::PATH, overseerr::KEY)
    }

    /// Lets people join the simulated Overseerr.
    pub fn add_members(&self, count: usize) {
        self.plex.overseerr.add(count);
    }

    /// The simulated Posterizarr, below `/posterizarr`.
    pub fn posterizarr(&self) -> Address {
        self.at(posterizarr::PATH, posterizarr::KEY)
    }

    /// The simulated uploader, below `/uploader`. It has no key.
    pub fn uploader(&self) -> Address {
        self.at(uploader::PATH, "")
    }

    /// The simulated VPN proxy manager, below `/vpn`.
    pub fn vpn_proxy(&self) -> Address {
        self.at(vpn_proxy::PATH, vpn_proxy::KEY)
    }

    fn at(&self, path: &str, key: &'static str) -> Address {
        let url = format!("{}{path}", self.url());
        Address { url, key }
    }

    /// Requests that arrived for exactly this path (without query), faults included.
    pub fn calls(&self, path: &str) -> u64 {
        self.plex.calls.of(path)
    }

    /// All requests that arrived, by path.
    pub fn calls_by_path(&self) -> BTreeMap<String, u64> {
        self.plex.calls.by_path()
    }

    /// Starts counting calls anew; [`Self::tokens_in_queries`] is kept.
    pub fn forget_calls(&self) {
        self.plex.calls.forget();
    }

    /// The highest number of requests served at once since the start or [`Self::forget_calls`].
    /// A request counts from its arrival until its answer begins or its client is gone.
    pub fn most_at_once(&self) -> usize {
        self.plex.calls.most_at_once()
    }

    /// Requests since the start whose query contained `X-Plex-Token`, where logs would keep it.
    pub fn tokens_in_queries(&self) -> u64 {
        self.plex.calls.tokens_in_queries()
    }

    /// Makes requests for a path go wrong until [`Self::clear_faults`]. `*` stands for every path;
    /// a fault of the exact path wins over it, and one of method and path (`POST /x`) over both. Faults come before the check of the token.
    pub fn set_fault(&self, path: &str, fault: Fault) {
        self.plex.faults.set(path, fault);
    }

    /// Ends all faults for requests to come; what is held or delayed stays so.
    pub fn clear_faults(&self) {
        self.plex.faults.clear();
    }

    /// Lets requests held by [`Fault::Hold`] so far continue. Later ones are held again while the
    /// fault is set.
    pub fn release_holds(&self) {
        self.plex.faults.release_holds();
    }

    /// Closes the listener and all connections: from now on connecting is refused.
    pub async fn refuse(&self) {
        self.door.refuse().await;
    }

    /// Listens on the same port again; fails when it cannot be had within two seconds.
    pub async fn accept(&self) -> std::io::Result<()> {
        self.door.accept().await
    }

    /// Adds plays to the history, newer than all before.
    pub fn add_plays(&self, count: usize) {
        locked(&self.plex.history).add(&self.plex.library(), count);
    }

    /// Adds a film, show or artist to the section with this key, whose `contentChangedAt` moves.
    pub fn change_library(&self, section: u64) {
        self.plex.change(section);
    }

    /// Switches to [`Scene::Fixed`] with this many sessions.
    pub fn set_sessions(&self, count: usize) {
        *locked(&self.plex.scene) = Scene::Fixed { sessions: count };
    }
}

/// A lock whose data stays valid even if a thread panicked while holding it.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
