//! `REDIS_URL`: one line for every kind of Redis.
//!
//! | Kind | Form |
//! |---|---|
//! | one server | `redis://[user:password@]host[:port][/db]` |
//! | a socket | `redis+unix:///path[?db=n&user=…&pass=…]`, or `unix://` |
//! | Sentinel | `redis-sentinel://[user:password@]host[:port],…/master[/db]` |
//! | a cluster | `redis-cluster://[user:password@]host[:port],…` |
//!
//! `rediss` in place of `redis` means TLS. The first two are what redis-py and the redis crate
//! take. A list of hosts is no URL by RFC 3986, so the line is taken apart here, and the crate
//! `url` judges each host. What is not understood is refused, never skipped: a `/` or `#` that
//! was not encoded would otherwise make a part of the password a host or a name, and those are
//! shown.

use std::path::PathBuf;

use percent_encoding::percent_decode_str;
use url::{Host, form_urlencoded};

use super::{RedisNode, RedisNodes, Secret};

const PORT: u16 = 6379;
const SENTINEL_PORT: u16 = 26379;

const FORMS: &str = "redis://host:port/db or rediss://…, redis+unix:///path?db=0, \
     redis-sentinel://host:port,host:port/master/db or redis-cluster://host:port,host:port";
const HOST: &str = "each host as name, name:port or [IPv6]:port";
const LOGIN: &str = "user:password@host with all other special characters percent-encoded as UTF-8 \
     (%40 for @)";
const DATABASE: &str = "nothing but the number of a database behind the host";
const MASTER: &str = "the master's name behind the hosts: redis-sentinel://host,host/master/db";
const CLUSTER: &str = "no database but 0 with redis-cluster://";
const SOCKET: &str = "three slashes and a path to a socket: redis+unix:///path?db=0";
const QUERY: &str = "no ? and # but for redis+unix:///path?db=0&user=…&pass=…";

/// What a URL says; `None` where it is silent.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct RedisUrl {
    /// The servers. The Sentinels' own log-in is not part of a URL and empty here.
    pub(super) nodes: RedisNodes,
    /// Whether the scheme asks for TLS.
    pub(super) tls: bool,
    /// The data servers' user.
    pub(super) username: Option<String>,
    /// The data servers' password.
    pub(super) password: Option<Secret>,
    /// The number of the database.
    pub(super) db: Option<u32>,
}

impl RedisUrl {
    /// Takes `text` apart.
    ///
    /// # Errors
    /// What would be allowed where it makes no sense; nothing of `text` itself.
    pub(super) fn parse(text: &str) -> Result<Self, &'static str> {
        let (scheme, rest) = text.split_once("://").ok_or(FORMS)?;
        let scheme = scheme.to_ascii_lowercase();
        let parts = Parts::of(rest)?;
        let (nodes, db) = match scheme.as_str() {
            "redis" | "rediss" => server(&parts)?,
            "redis-sentinel" | "rediss-sentinel" => sentinel(&parts)?,
            "redis-cluster" | "rediss-cluster" => cluster(&parts)?,
            "redis+unix" | "unix" => return socket(&parts),
            _ => return Err(FORMS),
        };
        if parts.query.is_some() {
            return Err(QUERY);
        }
        Ok(Self {
            nodes,
            tls: scheme.starts_with("rediss"),
            username: parts.username,
            password: parts.password,
            db,
        })
    }
}

/// What is behind `://`, not yet looked into but for the log-in.
struct Parts<'a> {
    username: Option<String>,
    password: Option<Secret>,
    hosts: &'a str,
    /// Without the slash in front.
    path: &'a str,
    query: Option<&'a str>,
}

impl<'a> Parts<'a> {
    fn of(text: &'a str) -> Result<Self, &'static str> {
        if text.contains('#') {
            return Err(QUERY);
        }
        let (text, query) = match text.split_once('?') {
            Some((text, query)) => (text, Some(query)),
            None => (text, None),
        };
        let (authority, path) = text.split_once('/').unwrap_or((text, ""));
        // An `@` in there is the end of a log-in with a slash.
        if path.contains('@') {
            return Err(LOGIN);
        }
        // At the first `@`: with a log-in for each host, or with an `@` in the password, the rest
        // is no host.
        let (login, hosts) = authority.split_once('@').unwrap_or(("", authority));
        let (username, password) = login.split_once(':').unwrap_or((login, ""));
        Ok(Self {
            username: given(decoded(username).ok_or(LOGIN)?),
            password: given(decoded(password).ok_or(LOGIN)?).map(Secret::new),
            hosts,
            path,
            query,
        })
    }
}

fn server(parts: &Parts<'_>) -> Result<(RedisNodes, Option<u32>), &'static str> {
    let node = RedisNodes::Server(node(parts.hosts, PORT)?);
    Ok((node, database(parts.path)?))
}

fn sentinel(parts: &Parts<'_>) -> Result<(RedisNodes, Option<u32>), &'static str> {
    let (name, db) = parts.path.split_once('/').unwrap_or((parts.path, ""));
    let master = decoded(name).ok_or(MASTER)?;
    if master.is_empty() {
        return Err(MASTER);
    }
    let nodes = RedisNodes::Sentinel {
        sentinels: list(parts.hosts, SENTINEL_PORT)?,
        master,
        username: String::new(),
        password: Secret::default(),
    };
    Ok((nodes, database(db)?))
}

fn cluster(parts: &Parts<'_>) -> Result<(RedisNodes, Option<u32>), &'static str> {
    let nodes = RedisNodes::Cluster(list(parts.hosts, PORT)?);
    match database(parts.path)? {
        db @ (None | Some(0)) => Ok((nodes, db)),
        Some(_) => Err(CLUSTER),
    }
}

/// The only kind with a query. redis-py has the log-in in front of the path, the redis crate
/// behind it; where both are given, what is behind wins.
fn socket(parts: &Parts<'_>) -> Result<RedisUrl, &'static str> {
    let path = decoded(parts.path).ok_or(SOCKET)?;
    if !parts.hosts.is_empty() || path.is_empty() {
        return Err(SOCKET);
    }
    let mut url = RedisUrl {
        nodes: RedisNodes::Socket(PathBuf::from(format!("/{path}"))),
        tls: false,
        username: parts.username.clone(),
        password: parts.password.clone(),
        db: None,
    };
    for (name, value) in form_urlencoded::parse(parts.query.unwrap_or_default().as_bytes()) {
        match &*name {
            "db" => url.db = database(&value)?,
            "user" | "username" => url.username = given(value.into_owned()),
            "pass" | "password" => url.password = given(value.into_owned()).map(Secret::new),
            _ => return Err(QUERY),
        }
    }
    Ok(url)
}

fn list(hosts: &str, default_port: u16) -> Result<Vec<RedisNode>, &'static str> {
    let hosts = hosts.split(',');
    hosts.map(|host| node(host, default_port)).collect()
}

fn node(text: &str, default_port: u16) -> Result<RedisNode, &'static str> {
    let text = text.trim();
    let (host, port) = match text.rsplit_once(':') {
        // The last colon inside the brackets is none in front of a port.
        Some((host, port)) if !port.ends_with(']') => (host, number(port).ok_or(HOST)?),
        _ => (text, default_port),
    };
    let is_name_byte = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    let host = match Host::parse(host).map_err(|_| HOST)? {
        Host::Domain(name) if name.bytes().all(is_name_byte) => name,
        Host::Domain(_) => return Err(HOST),
        Host::Ipv4(address) => address.to_string(),
        Host::Ipv6(address) => address.to_string(),
    };
    Ok(RedisNode { host, port })
}

fn database(text: &str) -> Result<Option<u32>, &'static str> {
    match text.trim_end_matches('/') {
        "" => Ok(None),
        digits => number(digits).map(Some).ok_or(DATABASE),
    }
}

/// Digits alone; `parse` would take a sign too.
fn number<T: std::str::FromStr>(text: &str) -> Option<T> {
    let only_digits = text.bytes().all(|byte| byte.is_ascii_digit());
    only_digits.then(|| text.parse().ok()).flatten()
}

fn decoded(text: &str) -> Option<String> {
    let decoded = percent_decode_str(text).decode_utf8().ok()?;
    Some(decoded.into_owned())
}

/// Empty counts as not given, as for variables.
fn given(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(host: &str, port: u16) -> RedisNode {
        let host = host.to_owned();
        RedisNode { host, port }
    }

    fn parsed(text: &str) -> RedisUrl {
        RedisUrl::parse(text).unwrap_or_else(|why| panic!("{text}: {why}"))
    }

    /// User and password as far as the URL has them.
    fn login(url: &RedisUrl) -> (Option<&str>, Option<&str>) {
        let password = url.password.as_ref().map(Secret::expose);
        (url.username.as_deref(), password)
    }

    #[test]
    fn one_server() {
        for (text, host, port, db) in [
            ("redis://cache", "cache", 6379, None),
            ("redis://cache/", "cache", 6379, None),
            ("REDIS://Cache:1/0", "cache", 1, Some(0)),
            (
                "redis://my_cache.lan:6380/15/",
                "my_cache.lan",
                6380,
                Some(15),
            ),
            ("redis://192.0.2.7:65535/2", "192.0.2.7", 65535, Some(2)),
            ("redis://[::1]", "::1", 6379, None),
            ("redis://[2001:DB8::1]:7000/3", "2001:db8::1", 7000, Some(3)),
        ] {
            let url = parsed(text);
            assert_eq!(url.nodes, RedisNodes::Server(at(host, port)), "{text}");
            assert_eq!((url.db, url.tls), (db, false), "{text}");
            assert_eq!(login(&url), (None, None), "{text}");
        }
        let encrypted = parsed("rediss://cache:6380/1");
        assert_eq!((encrypted.tls, encrypted.db), (true, Some(1)));
    }

    #[test]
    fn a_log_in_is_decoded_and_may_be_half() {
        for (text, user, password) in [
            ("redis://ada:geheim@cache", Some("ada"), Some("geheim")),
            ("redis://:geheim@cache/1", None, Some("geheim")),
            ("redis://ada@cache", Some("ada"), None),
            ("redis://ada:@cache", Some("ada"), None),
            ("redis://@cache", None, None),
            (
                "redis://:a%40b%2Fc%3F%23%2C%25@cache",
                None,
                Some("a@b/c?#,%"),
            ),
            (
                "rediss://%C3%A4:p:q+r,%s@[::1]:1/0",
                Some("ä"),
                Some("p:q+r,%s"),
            ),
            ("redis-cluster://ada:g%20h@a,b", Some("ada"), Some("g h")),
            ("redis-sentinel://:x@a/m", None, Some("x")),
        ] {
            assert_eq!(login(&parsed(text)), (user, password), "{text}");
        }
    }

    #[test]
    fn a_socket_in_the_spellings_of_redis_py_and_the_redis_crate() {
        for (text, path, db, who) in [
            (
                "redis+unix:///run/redis.sock",
                "/run/redis.sock",
                None,
                (None, None),
            ),
            (
                "unix:///run/a%20b.sock?db=3",
                "/run/a b.sock",
                Some(3),
                (None, None),
            ),
            (
                "redis+unix:///s?pass=%26%3F+%2B&user=a%40b&db=1",
                "/s",
                Some(1),
                (Some("a@b"), Some("&? +")),
            ),
            (
                "unix://ada:geheim@/s?db=",
                "/s",
                None,
                (Some("ada"), Some("geheim")),
            ),
            (
                "unix://ada@/s?password=geheim&username=eva",
                "/s",
                None,
                (Some("eva"), Some("geheim")),
            ),
        ] {
            let url = parsed(text);
            assert_eq!(url.nodes, RedisNodes::Socket(path.into()), "{text}");
            assert_eq!((url.db, url.tls), (db, false), "{text}");
            assert_eq!(login(&url), who, "{text}");
        }
    }

    #[test]
    fn sentinels() {
        for (text, nodes, name, number) in [
            ("redis-sentinel://a/m", vec![at("a", 26379)], "m", None),
            (
                "redis-sentinel://a, b:5,[::1]/my%2Fmaster/4",
                vec![at("a", 26379), at("b", 5), at("::1", 26379)],
                "my/master",
                Some(4),
            ),
        ] {
            let url = parsed(text);
            let RedisNodes::Sentinel {
                sentinels, master, ..
            } = url.nodes
            else {
                panic!("{text}: {:?}", url.nodes)
            };
            assert_eq!((sentinels, master.as_str()), (nodes, name), "{text}");
            assert_eq!((url.db, url.tls), (number, false), "{text}");
        }
        assert!(parsed("rediss-sentinel://a/m").tls);
    }

    #[test]
    fn a_cluster() {
        let url = parsed("redis-cluster://a:7000,b,[::1]:7002");
        let nodes = vec![at("a", 7000), at("b", 6379), at("::1", 7002)];
        assert_eq!((url.nodes, url.db), (RedisNodes::Cluster(nodes), None));
        let encrypted = parsed("rediss-cluster://a/0");
        assert_eq!((encrypted.tls, encrypted.db), (true, Some(0)));
    }

    fn assert_refused(allowed: &str, texts: &[&str]) {
        for text in texts {
            assert_eq!(RedisUrl::parse(text), Err(allowed), "{text}");
        }
    }

    #[test]
    fn schemes_and_hosts_that_make_no_sense() {
        assert_refused(
            FORMS,
            &["cache", "redis:cache", "http://cache", "redis-other://a"],
        );
        assert_refused(HOST, &["redis://", "redis:///1", "redis://:geheim@/1"]);
        assert_refused(
            HOST,
            &["redis://a b", "redis://a=b", "redis://h%40", "redis://a,b"],
        );
        assert_refused(
            HOST,
            &[
                "redis://a:",
                "redis://a:x",
                "redis://a:+1",
                "redis://a:65536",
            ],
        );
        assert_refused(HOST, &["redis://::1", "redis://[::1", "redis://[::1]x"]);
        assert_refused(
            HOST,
            &[
                "redis-cluster://",
                "redis-cluster://a,,b",
                "redis-cluster://a,",
            ],
        );
        assert_refused(
            HOST,
            &["redis-cluster://u:p@a,u:p@b", "redis-sentinel://a,:1/m"],
        );
        assert_refused(
            SOCKET,
            &["unix://", "unix:///", "redis+unix://run/s", "unix:///%ff"],
        );
    }

    #[test]
    fn log_ins_that_make_no_sense_or_were_not_encoded() {
        assert_refused(LOGIN, &["redis://%ff@cache", "redis://ada:%C3@cache"]);
        assert_refused(
            LOGIN,
            &["redis://ada:ge/heim@cache", "unix://ada:p@/heim@/s"],
        );
        assert_refused(
            LOGIN,
            &["redis-sentinel://ada:1/heim@a/m", "unix:///run/r@main"],
        );
        assert_refused(HOST, &["redis://:p@ss@cache", "redis://:ge?heim@a"]);
        assert_refused(QUERY, &["redis://:ge#heim@a", "redis://geheim?x@a"]);
    }

    #[test]
    fn databases_and_names_that_make_no_sense() {
        assert_refused(DATABASE, &["redis://a/x", "redis://a/-1", "redis://a/+1"]);
        assert_refused(DATABASE, &["redis://a/1/2", "redis://a/4294967296"]);
        assert_refused(DATABASE, &["redis-sentinel://a/m/x", "redis-cluster://a/x"]);
        assert_refused(DATABASE, &["redis+unix:///s?db=x"]);
        assert_refused(MASTER, &["redis-sentinel://a,b", "redis-sentinel://a,b/"]);
        assert_refused(MASTER, &["redis-sentinel://a//1", "redis-sentinel://a/%ff"]);
        assert_refused(CLUSTER, &["redis-cluster://a,b/1", "rediss-cluster://a/16"]);
        assert_refused(
            QUERY,
            &["redis://a?db=1", "redis://a?", "rediss://a#insecure"],
        );
        assert_refused(QUERY, &["redis-cluster://a?x", "redis-sentinel://a/m?db=1"]);
        assert_refused(QUERY, &["unix:///s?timeout=1", "unix:///s#x"]);
    }

    #[test]
    fn debug_output_shows_no_password() {
        let shown = format!("{:?}", parsed("redis://ada:geheim@cache"));
        assert!(!shown.contains("geheim"), "{shown}");
    }

    proptest! {
        #[test]
        fn no_text_panics(text in any::<String>()) {
            let _ = RedisUrl::parse(&text);
        }

        #[test]
        fn no_url_panics_or_shows_a_password_that_was_not_encoded(
            scheme in "rediss?(-sentinel|-cluster)?|(redis\\+)?unix",
            front in "[a-z0-9:/?#@,%.\\[\\]=&]{0,8}",
            behind in "[a-z0-9:/?#@,%.\\[\\]=&]{0,8}",
            rest in "[a-z0-9:/?,%.\\[\\]]{0,12}",
        ) {
            let text = format!("{scheme}://ada:{front}geheim{behind}@{rest}");
            if let Ok(url) = RedisUrl::parse(&text) {
                let shown = format!("{:?}", url.nodes);
                prop_assert!(!shown.contains("geheim"), "{text}: {shown}");
            }
        }
    }
}
