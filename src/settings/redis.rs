//! Where Redis is: `REDIS_URL`, or `REDIS_HOST` and its companions.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use super::Secret;

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
