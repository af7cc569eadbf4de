//! The table of environment variables: what `--help` and `.env.example` say, and the only names
//! that may be read.

use std::fmt::Write as _;

/// One environment variable.
#[derive(Clone, Copy, Debug)]
pub struct Variable {
    /// Its exact name.
    pub name: &'static str,
    /// The value in force when it is unset or empty; empty where there is none.
    pub default: &'static str,
    /// What it does, in one line.
    pub meaning: &'static str,
    /// Its value must not be shown.
    pub secret: bool,
    /// Section and key in `config.json` that win over it.
    pub stored: Option<(&'static str, &'static str)>,
}

impl Variable {
    const fn stored(self, section: &'static str, key: &'static str) -> Self {
        Self {
            stored: Some((section, key)),
            ..self
        }
    }
}

/// Variables that belong together, with a heading.
#[derive(Clone, Copy, Debug)]
pub struct Group {
    /// The heading.
    pub title: &'static str,
    /// The variables, in the order in which they are shown.
    pub variables: &'static [Variable],
}

const fn var(name: &'static str, default: &'static str, meaning: &'static str) -> Variable {
    Variable {
        name,
        default,
        meaning,
        secret: false,
        stored: None,
    }
}

const fn secret(name: &'static str, default: &'static str, meaning: &'static str) -> Variable {
    Variable {
        name,
        default,
        meaning,
        secret: true,
        stored: None,
    }
}

/// Every variable that this program reads.
pub const GROUPS: &[Group] = &[
    Group {
        title: "Server",
        variables: &[
            var("HOST", "0.0.0.0", "address or name to listen on"),
            var("PORT", "8000", "port to listen on; 0 = any free one"),
            var("APP_PORT", "", "wins over PORT, as in the published image"),
            var(
                "DATA_DIR",
                "data",
                "directory of config.json, komandorr.db and icons",
            ),
            var(
                "FRONTEND_DIR",
                "frontend/dist",
                "directory of the built frontend",
            ),
            var(
                "CORS_ORIGINS",
                "http://localhost:3000",
                "origins allowed to call the API, separated by commas",
            ),
            var(
                "TZ",
                "",
                "time zone (IANA name) of timestamps and, unless config.json has one, of the dashboard; unset = the system's and UTC",
            ).stored("general", "timezone"),
            var(
                "ALLOWED_HOSTS",
                "",
                "names by which the server may be called, separated by commas; unset = any",
            ),
            var(
                "TRUSTED_PROXIES",
                "",
                "addresses or networks of reverse proxies, whose X-Forwarded-… headers count, separated by commas",
            ),
            var("DEBUG", "false", "named in the log at start, nothing else"),
        ],
    },
    Group {
        title: "Log-in (config.json: auth)",
        variables: &[
            var("ENABLE_AUTH", "false", "ask for user name and password").stored("auth", "enabled"),
            var("AUTH_USERNAME", "admin", "user name").stored("auth", "username"),
            secret("AUTH_PASSWORD", "admin", "password").stored("auth", "password"),
            var(
                "AUTH_PLAINTEXT",
                "false",
                "store a changed password in clear, as 3.3.0 needs it; otherwise as an Argon2id hash",
            ),
        ],
    },
    Group {
        title: "Plex (config.json: plex)",
        variables: &[
            var(
                "PLEX_SERVER_URL",
                "",
                "address of the Plex server, such as http://192.168.1.10:32400",
            ).stored("plex", "server_url"),
            secret(
                "PLEX_SERVER_TOKEN",
                "",
                "X-Plex-Token of the server's owner",
            ).stored("plex", "server_token"),
            var("PLEX_SERVER_NAME", "Plex Server", "name shown for it").stored("plex", "server_name"),
            var(
                "PLEX_TIMEOUT",
                "10",
                "seconds that one call may take in all",
            ),
            var(
                "PLEX_TLS_VERIFY",
                "",
                "check its certificate: true or false; unset = except for private addresses and names",
            ),
        ],
    },
    Group {
        title: "Cache (seconds, fractions allowed; a TTL of 0 switches caching off)",
        variables: &[
            var(
                "CACHE_ACTIVITIES_TTL",
                "5",
                "age below which activities are fresh",
            ),
            var(
                "CACHE_WATCH_HISTORY_TTL",
                "300",
                "the same for the watch history",
            ),
            var(
                "CACHE_LIBRARY_TTL",
                "300",
                "the same for the list of libraries",
            ),
            var("CACHE_SESSIONS_TTL", "10", "the same for sessions"),
            var("CACHE_STATS_TTL", "60", "the same for statistics"),
            var("CACHE_STATS_LIVE_TTL", "30", "the same for live statistics"),
            var(
                "CACHE_RECENT_MEDIA_TTL",
                "300",
                "the same for recently added media",
            ),
            var(
                "STATS_REFRESH_INTERVAL",
                "60",
                "time between two runs of the statistics refresher; 0 = it does not run",
            ),
            var(
                "CACHE_MAX_STALE",
                "3600",
                "age up to which an old value is served while Plex fails; activities and sessions: 300 at most",
            ),
            var(
                "CACHE_MAX_WAIT",
                "2",
                "longest wait for a slow Plex while an old value could be served",
            ),
            var(
                "CACHE_WARM",
                "activities,watch_history",
                "caches to refresh before they expire: none, or names out of activities, watch_history, sessions, stats, stats_live, recent_media, libraries",
            ),
            var(
                "CACHE_WARM_IDLE",
                "900",
                "stop that for a cache that nobody has read for so long; 0 = never stop",
            ),
        ],
    },
    Group {
        title: "Pictures",
        variables: &[
            var(
                "IMAGE_CACHE_MB",
                "64",
                "memory for cached pictures in MiB; 0 = cache none",
            ),
            var(
                "IMAGE_HOSTS",
                "",
                "public hosts whose pictures may be shown beside those of plex.tv and Gravatar, separated by commas",
            ),
        ],
    },
    Group {
        title: "For tests (intervals in seconds, addresses of services elsewhere)",
        variables: &[
            var(
                "HISTORY_SYNC_INTERVAL",
                "900",
                "time between two synchronisations of the watch history",
            ),
            var(
                "EXPIRY_INTERVAL",
                "3600",
                "time between two looks for users whose time is over; 0: never",
            ),
            var("PLEX_TV_URL", "https://plex.tv", "address of plex.tv"),
            var(
                "PLEX_CLIENTS_URL",
                "https://clients.plex.tv",
                "where plex.tv lets invitations be accepted",
            ),
        ],
    },
    Group {
        title: "Monitoring and messages",
        variables: &[
            var(
                "MONITOR_INTERVAL",
                "10",
                "time between two checks of all services; 0 = only by hand",
            ),
            var(
                "TELEGRAM_API_URL",
                "https://api.telegram.org",
                "address of Telegram's API",
            ),
        ],
    },
    Group {
        title: "Other services (config.json: api, overseerr, uploader, vpn_proxy, posterizarr)",
        variables: &[
            secret("GITHUB_TOKEN", "", "for more than 60 questions an hour about releases")
                .stored("api", "github_token"),
            var(
                "GITHUB_API_URL",
                "https://api.github.com",
                "address of GitHub's API",
            ),
            secret("TMDB_API_KEY", "", "for the pictures of the invite page; visitors see it")
                .stored("api", "tmdb_api_key"),
            var("OVERSEERR_URL", "", "address of Overseerr's users: …/api/v1/user")
                .stored("overseerr", "url"),
            secret("OVERSEERR_API_KEY", "", "its key").stored("overseerr", "api_key"),
            var(
                "DEFAULT_EMAIL_DOMAIN",
                "",
                "domain of mail addresses that are made up for its users",
            )
            .stored("overseerr", "email_domain"),
            var("UPLOADER_BASE_URL", "", "address of the uploader").stored("uploader", "base_url"),
            var("VPN_PROXY_URL", "", "address of the VPN proxy manager")
                .stored("vpn_proxy", "url"),
            secret("VPN_PROXY_API_KEY", "", "its key").stored("vpn_proxy", "api_key"),
            var("POSTERIZARR_URL", "", "address of Posterizarr").stored("posterizarr", "url"),
            secret("POSTERIZARR_API_KEY", "", "its key").stored("posterizarr", "api_key"),
        ],
    },
    Group {
        title: "Log (config.json: logging)",
        variables: &[
            var(
                "LOG_LEVEL",
                "INFO",
                "DEBUG, INFO, WARNING, ERROR or CRITICAL",
            ).stored("logging", "level"),
            var(
                "LOG_ENABLE_FILE",
                "true",
                "write a log file beside the console",
            ).stored("logging", "enable_file"),
            var(
                "LOG_FILE",
                "logs/komandorr.log",
                "its path; with DATA_DIR set, unset means logs/komandorr.log in there",
            ),
            var(
                "LOG_SHOW_TIMESTAMP_CONSOLE",
                "false",
                "write the time on the console too",
            ),
            var(
                "LOG_SHOW_LOCATION_FILE",
                "true",
                "write the place in the program into the file",
            ),
        ],
    },
    Group {
        title: "Redis (optional: several instances share one cache)",
        variables: &[
            var(
                "REDIS_ENABLED",
                "false",
                "share caches through Redis: true, or anything else for no",
            ),
            secret(
                "REDIS_URL",
                "",
                "redis://host:port/db or rediss://…, redis+unix:///path?db=0, redis-sentinel://host,host/master/db or redis-cluster://host,host; wins over REDIS_HOST and REDIS_PORT",
            ),
            var("REDIS_HOST", "localhost", "its host"),
            var("REDIS_PORT", "6379", "its port"),
            var("REDIS_DB", "0", "number of its database; a cluster has 0 only"),
            var("REDIS_USERNAME", "", "its user; unset = the default one"),
            secret("REDIS_PASSWORD", "", "its password"),
            var("REDIS_TLS", "false", "connect with TLS, as rediss:// does"),
            var(
                "REDIS_SENTINEL_USERNAME",
                "",
                "user of the Sentinels themselves; unset = the default one",
            ),
            secret(
                "REDIS_SENTINEL_PASSWORD",
                "",
                "password of the Sentinels themselves",
            ),
            var(
                "REDIS_TIMEOUT_MS",
                "100",
                "longest wait of a request for Redis in milliseconds, 1 to 10000",
            ),
        ],
    },
];

/// The table entry of `name`.
pub fn find(name: &str) -> Option<&'static Variable> {
    GROUPS
        .iter()
        .flat_map(|group| group.variables)
        .find(|variable| variable.name == name)
}

/// The table for `--help`.
pub fn help_text() -> String {
    let mut text =
        String::from("Environment variables (also read from .env; config.json wins over them):\n");
    for group in GROUPS {
        let _ = write!(text, "\n{}:\n", group.title);
        for Variable {
            name,
            default,
            meaning,
            ..
        } in group.variables
        {
            let default = if default.is_empty() { "unset" } else { default };
            let _ = writeln!(text, "  {name:<27} {meaning} [{default}]");
        }
    }
    text
}

/// The content of `.env.example`: every variable, commented out, with its default.
pub fn example_file() -> String {
    let mut text = String::from(
        "# Settings of Komandorr. Copy this file to .env and remove the `#` of what you change.\n\
         # A variable that is unset or empty has the value shown. What the settings page saves\n\
         # (config.json in the data directory) wins over this file.\n",
    );
    for group in GROUPS {
        let _ = write!(text, "\n## {}\n", group.title);
        for Variable {
            name,
            default,
            meaning,
            ..
        } in group.variables
        {
            let _ = write!(text, "# {meaning}\n#{name}={default}\n");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// After a change of the table: `komandorr env-example > .env.example`.
    #[test]
    fn the_example_file_is_the_table() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/.env.example");
        let checked_in = std::fs::read_to_string(path).unwrap();
        assert!(
            checked_in == example_file(),
            ".env.example differs from settings/variables.rs; write it anew with \
             `cargo run -- env-example > .env.example`"
        );
    }

    #[test]
    fn the_example_file_sets_nothing_by_itself() {
        let pairs: Vec<_> = dotenvy::from_read_iter(example_file().as_bytes()).collect();
        assert!(pairs.is_empty(), "{pairs:?}");
    }

    #[test]
    fn names_are_unique() {
        let names: Vec<_> = GROUPS
            .iter()
            .flat_map(|group| group.variables)
            .map(|v| v.name)
            .collect();
        assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len());
    }
}
