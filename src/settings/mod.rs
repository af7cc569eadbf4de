//! Settings: what the operator chose. Environment over defaults, `config.json` over environment.
//!
//! One immutable snapshot, replaced whole when something changes. Whoever needs several values
//! that belong together takes one snapshot and reads them from it.

mod access;
mod describe;
mod dotenv;
mod env;
mod file;
mod integrations;
mod lists;
mod merge;
mod place;
mod redis;
mod redis_url;
mod sources;
mod store;
mod target;
pub mod variables;

use std::path::PathBuf;
use std::time::Duration;

use chrono_tz::Tz;
use serde_json::{Map, Value};

pub use access::AccessSettings;
pub use describe::{Described, Source};
pub use env::Environment;
pub use file::ConfigFileError;

pub use integrations::{GithubSettings, IntegrationSettings, ServiceForm, TelegramSettings};
pub use lists::{ArrInstance, ExternalApp};
pub use place::Place;
pub use redis::{RedisNode, RedisNodes, RedisPlace, RedisSettings};
pub use store::{SettingsStore, change_object};
pub use target::InvalidTarget;

/// Text that must not be shown: a token or a password.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Hides `text`.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself, for the one call that needs it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

/// All settings at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Address or name to listen on.
    pub host: String,
    /// Port to listen on; 0 means any free one.
    pub port: u16,
    /// Only named in the log.
    pub debug: bool,
    /// Where `config.json`, the database and the icons are.
    pub data_dir: PathBuf,
    /// Where the built frontend is, or would be.
    pub frontend_dir: PathBuf,
    /// How to log.
    pub log: LogSettings,
    /// The dashboard's time zone (`general.timezone`).
    pub timezone: Tz,
    /// The zone of zoneless timestamps: `TZ` of the environment only; `None` is the system's.
    pub process_timezone: Option<Tz>,
    /// Origins whose pages may call the API.
    pub cors_origins: Vec<String>,
    /// Who may use the API.
    pub auth: AuthSettings,
    /// Rises with every change of [`Self::auth`], and never falls.
    pub auth_revision: u64,
    /// From where, and by which names.
    pub access: AccessSettings,
    /// Time between two checks of all services; `None`: they are checked by hand only.
    pub monitor_interval: Option<Duration>,
    /// The services besides Plex.
    pub integrations: IntegrationSettings,
    /// What of all this the settings page shows as somebody has typed it.
    pub typed: TypedSettings,
    /// The Plex server as stored, complete or not.
    pub plex_form: PlexForm,
    /// The Plex server, when address and token are both usable.
    pub plex: Option<PlexTarget>,
    /// Rises with every change of [`Self::plex`]'s address or token, and never falls.
    pub plex_revision: u64,
    /// How to call it.
    pub plex_client: PlexClientSettings,
    /// The times that govern the caches.
    pub cache: CacheSettings,
    /// Which caches are kept warm.
    pub warm: WarmSettings,
    /// How pictures are passed on.
    pub images: ImageSettings,
    /// Where plex.tv is.
    pub plex_tv_url: url::Url,
    /// Where plex.tv answers clients about invitations.
    pub plex_clients_url: url::Url,
    /// Between two looks for friends whose time is over; `None`: nobody looks.
    pub expiry_interval: Option<Duration>,
    /// Time between two synchronisations of the watch history.
    pub history_sync_interval: Duration,
    /// The shared second tier.
    pub redis: RedisSettings,
    /// What was odd about the given values and replaced by a default; for the log.
    pub warnings: Vec<String>,
}

/// How to log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogSettings {
    /// The least severe level that is written.
    pub level: tracing::Level,
    /// Whether there is a log file.
    pub enable_file: bool,
    /// Its path.
    pub file: PathBuf,
    /// Whether console lines begin with the time.
    pub show_timestamp_console: bool,
    /// Whether file lines name the place in the program.
    pub show_location_file: bool,
}

/// What the settings page shows as it was typed, be it of use or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TypedSettings {
    /// The log level.
    pub log_level: String,
    /// The dashboard's time zone.
    pub timezone: String,
    /// Whether anything at all was typed for Overseerr.
    pub has_overseerr: bool,
}

/// Who may use the API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthSettings {
    /// Whether credentials are asked for.
    pub enabled: bool,
    /// The one user.
    pub username: String,
    /// Their password.
    pub password: Secret,
}

impl AuthSettings {
    /// Completes the section of `config.json`: 3.3.0 expects all three keys.
    pub fn fill_up(&self, section: &mut Map<String, Value>) {
        let mut missing = |key: &str, value: Value| {
            let stored = section.entry(key).or_insert(Value::Null);
            if stored.is_null() {
                *stored = value;
            }
        };
        missing("enabled", self.enabled.into());
        missing("username", self.username.as_str().into());
        missing("password", self.password.expose().into());
    }
}

/// The Plex server as the settings page shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlexForm {
    /// Its address as stored.
    pub url: String,
    /// The owner's token.
    pub token: Secret,
    /// The name shown for it.
    pub server_name: String,
}

/// A Plex server that can be called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlexTarget {
    /// Its normalised address.
    pub base_url: url::Url,
    /// The owner's token.
    pub token: Secret,
}

/// How to call a Plex server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlexClientSettings {
    /// For one call in all, from waiting for a slot to the last byte.
    pub timeout: Duration,
    /// Whether certificates are checked; `None`: except for private addresses and names.
    pub tls_verify: Option<bool>,
}

/// The times that govern the caches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheSettings {
    /// TTL of activities.
    pub activities_ttl: Duration,
    /// TTL of the watch history.
    pub watch_history_ttl: Duration,
    /// TTL of the list of libraries.
    pub library_ttl: Duration,
    /// TTL of sessions.
    pub sessions_ttl: Duration,
    /// TTL of statistics.
    pub stats_ttl: Duration,
    /// TTL of live statistics.
    pub stats_live_ttl: Duration,
    /// TTL of recently added media.
    pub recent_media_ttl: Duration,
    /// Time between two runs of the statistics refresher; zero: it does not run.
    pub stats_refresh_interval: Duration,
    /// Age up to which an old value may be served.
    pub max_stale: Duration,
    /// Longest wait of a reader that could be given an old value.
    pub max_wait: Duration,
}

/// Which caches are refreshed before they expire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WarmSettings {
    /// Their names, out of [`WARMABLE`].
    pub caches: Vec<&'static str>,
    /// Without a reader for this long a cache is no longer kept warm; `None`: it always is.
    pub idle: Option<Duration>,
}

/// The names that `CACHE_WARM` knows.
pub const WARMABLE: [&str; 7] = [
    "activities",
    "watch_history",
    "sessions",
    "stats",
    "stats_live",
    "recent_media",
    "libraries",
];

/// How pictures are passed on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageSettings {
    /// Public hosts beside plex.tv's and Gravatar's whose pictures are passed on, in lower case.
    pub hosts: Vec<String>,
    /// The most memory that cached pictures take, in bytes; 0 = none are cached.
    pub cache_bytes: usize,
}

/// Settings given on the command line; they win over everything else.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    /// Address or name to listen on.
    pub host: Option<String>,
    /// Port to listen on.
    pub port: Option<u16>,
    /// Where `config.json`, the database and the icons are.
    pub data_dir: Option<PathBuf>,
    /// Where the built frontend is.
    pub frontend_dir: Option<PathBuf>,
}

/// Why settings can't be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// A variable with a value that means nothing.
    #[error("{name}={value:?}: expected {allowed}")]
    Variable {
        /// Its name.
        name: &'static str,
        /// Its value, masked if secret.
        value: String,
        /// What would be allowed.
        allowed: &'static str,
    },
    /// A `.env` that can't be used.
    #[error(".env: {0}")]
    DotEnv(String),
    /// A `config.json` that can't be used.
    #[error(transparent)]
    File(#[from] ConfigFileError),
}
