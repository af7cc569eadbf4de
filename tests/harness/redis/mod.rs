//! Real `redis-server` processes, each on ports and in a directory of its own.

mod builder;
mod cluster;
mod port;
mod sentinels;
mod slow;

use std::fs::File;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, FromRedisValue, RedisResult, TlsCertificates};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};
use tempfile::TempDir;

use super::{DEADLINE, until_asked};
pub(crate) use builder::Builder;
pub(crate) use cluster::Cluster;
use port::Port;
pub(crate) use sentinels::Sentinels;
pub(crate) use slow::Slow;

/// What a server can be told to use.
pub(crate) trait Reachable {
    /// The variables that say where it is.
    fn env(&self) -> Vec<(String, String)>;
}

/// One server, running or not, which is killed when this is dropped. It keeps nothing on disk:
/// whenever it starts, it is empty.
pub(crate) struct Redis {
    port: Port,
    /// Where a node of a cluster talks to others.
    _bus: Option<Port>,
    directory: TempDir,
    password: Option<String>,
    way: Way,
    arguments: Vec<String>,
    child: Option<Child>,
}

/// How it is reached.
enum Way {
    Tcp,
    /// With the certificate of the authority.
    Tls(PathBuf),
    Socket(PathBuf),
}

impl Redis {
    pub(crate) const HOST: &str = "127.0.0.1";

    pub(crate) async fn start() -> Self {
        Self::builder().start().await
    }

    pub(crate) fn builder() -> Builder {
        Builder::new()
    }

    /// An address where nobody listens, until `start_again`.
    pub(crate) fn nowhere() -> Self {
        Self::builder().nowhere()
    }

    pub(crate) fn port(&self) -> u16 {
        self.port.number()
    }

    /// Its address, with the password.
    pub(crate) fn url(&self) -> String {
        let password = self.password.as_deref().unwrap_or_default();
        let password = utf8_percent_encode(password, NON_ALPHANUMERIC);
        let (host, port) = (Self::HOST, self.port());
        match (&self.way, &self.password) {
            (Way::Tcp, None) => format!("redis://{host}:{port}"),
            (Way::Tcp, Some(_)) => format!("redis://:{password}@{host}:{port}"),
            (Way::Tls(_), None) => format!("rediss://{host}:{port}"),
            (Way::Tls(_), Some(_)) => format!("rediss://:{password}@{host}:{port}"),
            (Way::Socket(path), None) => format!("redis+unix://{}", path.display()),
            (Way::Socket(path), Some(_)) => {
                format!("redis+unix://{}?pass={password}", path.display())
            }
        }
    }

    /// The file with the authority that vouches for it, if it speaks TLS.
    pub(crate) fn authority(&self) -> Option<&Path> {
        match &self.way {
            Way::Tls(authority) => Some(authority),
            Way::Tcp | Way::Socket(_) => None,
        }
    }

    /// Starts it with the options and the port it always had, and waits until it answers.
    pub(crate) async fn start_again(&mut self) {
        assert!(self.child.is_none(), "it runs already");
        self.child = Some(self.spawn());
        until_asked("redis-server answers", async || {
            let child = self.child.as_mut().expect("just started");
            if let Some(status) = child.try_wait().unwrap() {
                let log = std::fs::read_to_string(self.log_file()).unwrap();
                panic!("redis-server did not start: {status}\n{log}");
            }
            self.try_run::<()>(&["PING"]).await.is_ok()
        })
        .await;
    }

    fn spawn(&self) -> Child {
        let log = File::create(self.log_file()).unwrap();
        let child = Command::new("redis-server")
            .args(&self.arguments)
            .stdin(Stdio::null())
            .stderr(log.try_clone().unwrap())
            .stdout(log)
            .spawn();
        match child {
            Err(error) if error.kind() == ErrorKind::NotFound => panic!(
                "redis-server is missing, and tests need it: `make test` installs it as root on \
                 Debian or Ubuntu; otherwise install the package redis-server (7 or later)"
            ),
            child => child.unwrap(),
        }
    }

    fn log_file(&self) -> PathBuf {
        self.directory.path().join("redis.log")
    }

    pub(crate) fn is_running(&self) -> bool {
        self.child.is_some()
    }

    fn pid(&self) -> Pid {
        Pid::from_child(self.child.as_ref().expect("it runs"))
    }

    /// Stops it in the middle of whatever it does: it accepts connections and answers nothing.
    pub(crate) fn freeze(&self) {
        kill_process(self.pid(), Signal::STOP).unwrap();
        // A signal may take effect a little later.
        let options = WaitIdOptions::STOPPED | WaitIdOptions::NOWAIT;
        waitid(WaitId::Pid(self.pid()), options).unwrap();
    }

    /// Lets it go on after `freeze`.
    pub(crate) fn thaw(&self) {
        kill_process(self.pid(), Signal::CONT).unwrap();
    }

    /// Ends it without a chance to say so, frozen or not. Nobody listens afterwards.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    pub(crate) async fn connection(&self) -> MultiplexedConnection {
        self.try_connection().await.expect("a connection")
    }

    async fn try_connection(&self) -> RedisResult<MultiplexedConnection> {
        let client = match self.authority() {
            None => Client::open(self.url())?,
            Some(authority) => {
                let certificates = TlsCertificates {
                    client_tls: None,
                    root_cert: Some(std::fs::read(authority).unwrap()),
                };
                Client::build_with_tls(self.url(), certificates)?
            }
        };
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(DEADLINE))
            .set_response_timeout(Some(DEADLINE));
        client
            .get_multiplexed_async_connection_with_config(&config)
            .await
    }

    /// Runs one command by a connection of its own.
    pub(crate) async fn run<T: FromRedisValue>(&self, words: &[&str]) -> T {
        let answer = self.try_run(words).await;
        answer.unwrap_or_else(|error| panic!("{words:?}: {error}"))
    }

    /// As `run`, where an error is the point.
    pub(crate) async fn try_run<T: FromRedisValue>(&self, words: &[&str]) -> RedisResult<T> {
        let mut connection = self.try_connection().await?;
        let mut command = redis::cmd(words[0]);
        command.arg(&words[1..]);
        command.query_async(&mut connection).await
    }

    /// The names of its keys, sorted.
    pub(crate) async fn keys(&self, pattern: &str) -> Vec<String> {
        let mut keys: Vec<String> = self.run(&["KEYS", pattern]).await;
        keys.sort();
        keys
    }
}

impl Reachable for Redis {
    fn env(&self) -> Vec<(String, String)> {
        let port = self.port().to_string();
        let url = self.url();
        let mut env = vec![("REDIS_ENABLED", "true")];
        match &self.way {
            Way::Socket(_) => env.push(("REDIS_URL", &url)),
            Way::Tcp | Way::Tls(_) => {
                env.extend([("REDIS_HOST", Self::HOST), ("REDIS_PORT", &port)]);
                env.extend(
                    self.password
                        .as_deref()
                        .map(|word| ("REDIS_PASSWORD", word)),
                );
            }
        }
        if let Some(authority) = self.authority() {
            let authority = authority.to_str().unwrap();
            env.extend([("REDIS_TLS", "true"), ("SSL_CERT_FILE", authority)]);
        }
        owned(&env)
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.kill();
    }
}

fn owned(env: &[(&str, &str)]) -> Vec<(String, String)> {
    let owned = env.iter().map(|&(n, v)| (n.to_owned(), v.to_owned()));
    owned.collect()
}
