//! Where Redis is: `REDIS_URL`, or `REDIS_HOST` and its companions.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use super::redis_url::RedisUrl;
use super::{Environment, Secret, SettingsError};

/// The shared second tier of the caches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RedisSettings {
    /// Whether it is wanted.
    pub enabled: bool,
    /// Where it is and how to log in.
    pub place: RedisPlace,
    /// The longest a request waits for Redis.
    pub timeout: Duration,
}

/// A Redis, whatever its kind, and how to log in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RedisPlace {
    /// The servers to ask first.
    pub nodes: RedisNodes,
    /// Number of the database; a cluster has 0 only.
    pub db: u32,
    /// Empty for the default user.
    pub username: String,
    /// Empty for none.
    pub password: Secret,
    /// Whether connections are encrypted.
    pub tls: bool,
}

/// The kinds of Redis, each with the servers to ask first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RedisNodes {
    /// One server.
    Server(RedisNode),
    /// One server on this machine.
    Socket(PathBuf),
    /// Servers that know which one is the master of this name at present.
    Sentinel {
        /// The Sentinels.
        sentinels: Vec<RedisNode>,
        /// The name by which they know the master.
        master: String,
        /// The Sentinels' own user; empty for the default one.
        username: String,
        /// The Sentinels' own password; empty for none.
        password: Secret,
    },
    /// Some nodes of a cluster; they tell the others.
    Cluster(Vec<RedisNode>),
}

/// The address of one server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RedisNode {
    /// Name or address, an IPv6 address without brackets.
    pub host: String,
    /// Port.
    pub port: u16,
}

impl fmt::Display for RedisNode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            return write!(f, "[{}]:{}", self.host, self.port);
        }
        write!(f, "{}:{}", self.host, self.port)
    }
}

/// For people; without credentials.
impl fmt::Display for RedisPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |nodes: &[RedisNode]| {
            let nodes: Vec<String> = nodes.iter().map(RedisNode::to_string).collect();
            nodes.join(",")
        };
        match &self.nodes {
            RedisNodes::Server(node) => write!(f, "{node} (DB: {})", self.db),
            RedisNodes::Socket(path) => write!(f, "{} (DB: {})", path.display(), self.db),
            RedisNodes::Sentinel {
                sentinels, master, ..
            } => write!(f, "{master} of {} (DB: {})", list(sentinels), self.db),
            RedisNodes::Cluster(nodes) => write!(f, "cluster {}", list(nodes)),
        }
    }
}

/// `REDIS_URL` wins over `REDIS_HOST` and `REDIS_PORT`; the other variables fill in what it does
/// not say.
///
/// # Errors
/// A variable with a meaningless value, whether Redis is wanted or not.
pub(super) fn redis(env: &Environment) -> Result<RedisSettings, SettingsError> {
    Ok(RedisSettings {
        // Legacy: exactly this word; 3.3.0 takes anything else for "no".
        enabled: env.text("REDIS_ENABLED").eq_ignore_ascii_case("true"),
        place: place(env)?,
        timeout: timeout(env)?,
    })
}

fn place(env: &Environment) -> Result<RedisPlace, SettingsError> {
    let plain = RedisPlace {
        nodes: RedisNodes::Server(RedisNode {
            host: env.text("REDIS_HOST").to_owned(),
            port: env.parsed("REDIS_PORT", "a port number, 0 to 65535")?,
        }),
        db: env.parsed("REDIS_DB", "the number of a database, 0 or more")?,
        username: env.text("REDIS_USERNAME").to_owned(),
        password: Secret::new(env.text("REDIS_PASSWORD")),
        tls: env.flag("REDIS_TLS")?,
    };
    let Some(text) = env.get("REDIS_URL") else {
        return Ok(plain);
    };
    let mut url = RedisUrl::parse(text).map_err(|allowed| env.refused("REDIS_URL", allowed))?;
    if let RedisNodes::Sentinel {
        username, password, ..
    } = &mut url.nodes
    {
        env.text("REDIS_SENTINEL_USERNAME").clone_into(username);
        *password = Secret::new(env.text("REDIS_SENTINEL_PASSWORD"));
    }
    let db = url.db.unwrap_or(plain.db);
    if matches!(url.nodes, RedisNodes::Cluster(_)) && db != 0 {
        return Err(env.refused("REDIS_DB", "0: a cluster, as in REDIS_URL, has no other"));
    }
    let is_socket = matches!(url.nodes, RedisNodes::Socket(_));
    Ok(RedisPlace {
        nodes: url.nodes,
        db,
        username: url.username.unwrap_or(plain.username),
        password: url.password.unwrap_or(plain.password),
        tls: !is_socket && (url.tls || plain.tls),
    })
}

fn timeout(env: &Environment) -> Result<Duration, SettingsError> {
    let (name, allowed) = ("REDIS_TIMEOUT_MS", "milliseconds, 1 to 10000");
    let milliseconds: u64 = env.parsed(name, allowed)?;
    if !(1..=10_000).contains(&milliseconds) {
        return Err(env.refused(name, allowed));
    }
    Ok(Duration::from_millis(milliseconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(pairs: &[(&str, &str)]) -> Result<RedisSettings, SettingsError> {
        redis(&Environment::from_pairs(pairs.iter().copied()))
    }

    fn refusal(pairs: &[(&str, &str)]) -> String {
        with(pairs).unwrap_err().to_string()
    }

    #[test]
    fn nothing_given_means_the_documented_defaults() {
        let settings = with(&[]).unwrap();
        assert!(!settings.enabled);
        assert_eq!(settings.place.to_string(), "localhost:6379 (DB: 0)");
        assert_eq!(settings.place.username, "");
        assert_eq!(settings.place.password, Secret::default());
        assert!(!settings.place.tls);
        assert_eq!(settings.timeout, Duration::from_millis(100));
    }

    #[test]
    fn variables_alone_describe_one_server() {
        let settings = with(&[
            ("REDIS_ENABLED", "True"),
            ("REDIS_HOST", "cache"),
            ("REDIS_PORT", "6380"),
            ("REDIS_DB", "2"),
            ("REDIS_USERNAME", "ada"),
            ("REDIS_PASSWORD", "geheim"),
            ("REDIS_TLS", "yes"),
            ("REDIS_TIMEOUT_MS", "250"),
        ])
        .unwrap();
        assert!(settings.enabled && settings.place.tls);
        assert_eq!(settings.place.to_string(), "cache:6380 (DB: 2)");
        assert_eq!(settings.place.username, "ada");
        assert_eq!(settings.place.password.expose(), "geheim");
        assert_eq!(settings.timeout, Duration::from_millis(250));
        assert!(!format!("{settings:?}").contains("geheim"));
    }

    const ALL: [(&str, &str); 6] = [
        ("REDIS_HOST", "other"),
        ("REDIS_PORT", "1"),
        ("REDIS_DB", "2"),
        ("REDIS_USERNAME", "ada"),
        ("REDIS_PASSWORD", "own"),
        ("REDIS_TLS", "true"),
    ];

    fn all_and(url: &str) -> RedisPlace {
        let pairs = ALL.into_iter().chain([("REDIS_URL", url)]);
        redis(&Environment::from_pairs(pairs)).unwrap().place
    }

    #[test]
    fn the_url_wins_over_host_and_port() {
        assert_eq!(all_and("redis://a").to_string(), "a:6379 (DB: 2)");
        assert_eq!(all_and("redis://[::1]:2").to_string(), "[::1]:2 (DB: 2)");
        assert_eq!(all_and("unix:///s").to_string(), "/s (DB: 2)");
    }

    #[test]
    fn variables_fill_in_what_the_url_does_not_say() {
        let silent = all_and("redis://a");
        assert_eq!((silent.db, silent.username.as_str()), (2, "ada"));
        assert_eq!((silent.password.expose(), silent.tls), ("own", true));
        let telling = all_and("redis://eva:hers@a/0");
        assert_eq!((telling.db, telling.username.as_str()), (0, "eva"));
        assert_eq!(telling.password.expose(), "hers");
        let half = all_and("redis://eva@a");
        let half = (half.username.as_str(), half.password.expose());
        assert_eq!(half, ("eva", "own"), "a URL without the secret");
        let only_url = with(&[("REDIS_URL", "rediss://a"), ("REDIS_TLS", "false")]);
        assert!(only_url.unwrap().place.tls);
        assert!(!all_and("unix:///s").tls, "a socket is never encrypted");
    }

    #[test]
    fn the_sentinels_have_a_log_in_of_their_own() {
        let pairs = [
            ("REDIS_URL", "redis-sentinel://eva:hers@s1,s2:1/main/3"),
            ("REDIS_PASSWORD", "own"),
            ("REDIS_SENTINEL_USERNAME", "guard"),
            ("REDIS_SENTINEL_PASSWORD", "theirs"),
        ];
        let place = with(&pairs).unwrap().place;
        assert_eq!(place.to_string(), "main of s1:26379,s2:1 (DB: 3)");
        assert_eq!(
            (place.username.as_str(), place.password.expose()),
            ("eva", "hers")
        );
        let RedisNodes::Sentinel {
            username, password, ..
        } = &place.nodes
        else {
            panic!("{place:?}")
        };
        assert_eq!((username.as_str(), password.expose()), ("guard", "theirs"));
        let shown = format!("{place:?}");
        assert!(
            !shown.contains("hers") && !shown.contains("theirs"),
            "{shown}"
        );
    }

    #[test]
    fn a_cluster_has_database_0_only() {
        let cluster = ("REDIS_URL", "redis-cluster://a,b:1");
        let place = with(&[cluster]).unwrap().place;
        assert_eq!(place.to_string(), "cluster a:6379,b:1");
        assert_eq!(
            refusal(&[cluster, ("REDIS_DB", "2")]),
            "REDIS_DB=\"2\": expected 0: a cluster, as in REDIS_URL, has no other"
        );
        let said = ("REDIS_URL", "redis-cluster://a/0");
        assert!(with(&[said, ("REDIS_DB", "2")]).is_ok(), "the URL wins");
    }

    #[test]
    fn a_bad_value_is_refused_whether_redis_is_wanted_or_not() {
        for (name, value, message) in [
            (
                "REDIS_PORT",
                "x",
                "REDIS_PORT=\"x\": expected a port number, 0 to 65535",
            ),
            (
                "REDIS_DB",
                "-1",
                "REDIS_DB=\"-1\": expected the number of a database, 0 or more",
            ),
            (
                "REDIS_TLS",
                "maybe",
                "REDIS_TLS=\"maybe\": expected true or false (also 1/0, yes/no, on/off)",
            ),
            (
                "REDIS_TIMEOUT_MS",
                "0",
                "REDIS_TIMEOUT_MS=\"0\": expected milliseconds, 1 to 10000",
            ),
            (
                "REDIS_TIMEOUT_MS",
                "10001",
                "REDIS_TIMEOUT_MS=\"10001\": expected milliseconds, 1 to 10000",
            ),
            (
                "REDIS_TIMEOUT_MS",
                "0.1",
                "REDIS_TIMEOUT_MS=\"0.1\": expected milliseconds, 1 to 10000",
            ),
            (
                "REDIS_URL",
                "redis://ada:geheim@cache:port",
                "REDIS_URL=\"***\": expected each host as name, name:port or [IPv6]:port",
            ),
        ] {
            for enabled in ["true", "false"] {
                let pairs = [("REDIS_ENABLED", enabled), (name, value)];
                assert_eq!(refusal(&pairs), message);
            }
        }
    }
}
