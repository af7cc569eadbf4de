//! How to start a Redis.

use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tempfile::TempDir;

use super::port::Port;
use super::{Redis, Way};

/// A Redis that is not yet running.
pub(crate) struct Builder {
    port: Port,
    bus: Option<Port>,
    directory: TempDir,
    password: Option<String>,
    way: Way,
    arguments: Vec<String>,
}

impl Builder {
    pub(super) fn new() -> Self {
        Self {
            port: Port::free(),
            bus: None,
            directory: tempfile::tempdir().unwrap(),
            password: None,
            way: Way::Tcp,
            arguments: Vec::new(),
        }
    }

    /// Clients have to give this password.
    pub(crate) fn password(mut self, password: &str) -> Self {
        self.password = Some(password.to_owned());
        self.config("requirepass", password)
    }

    /// A line of redis.conf; spaces separate the values.
    pub(crate) fn config(mut self, name: &str, values: &str) -> Self {
        self.arguments.push(format!("--{name}"));
        self.arguments
            .extend(values.split_whitespace().map(str::to_owned));
        self
    }

    /// It listens on a Unix socket in its directory, and on no port.
    pub(crate) fn socket(mut self) -> Self {
        let path = self.directory.path().join("redis.sock");
        self.way = Way::Socket(path.clone());
        self.config("unixsocket", text(&path))
    }

    /// It speaks nothing but TLS, with a certificate for 127.0.0.1 by an authority of its own.
    pub(crate) fn tls(mut self) -> Self {
        let [authority, certificate, key] = certify(self.directory.path());
        self.way = Way::Tls(authority.clone());
        let port = self.port.number().to_string();
        self.config("tls-port", &port)
            .config("tls-auth-clients", "no")
            .config("tls-ca-cert-file", text(&authority))
            .config("tls-cert-file", text(&certificate))
            .config("tls-key-file", text(&key))
    }

    /// It is a cluster's first node, so far without keys.
    pub(crate) fn cluster(mut self) -> Self {
        let bus = Port::free();
        let number = bus.number().to_string();
        self.bus = Some(bus);
        self.config("cluster-enabled", "yes")
            .config("cluster-port", &number)
    }

    pub(crate) async fn start(self) -> Redis {
        let mut redis = self.nowhere();
        redis.start_again().await;
        redis
    }

    /// Its address, where nobody listens until it is started.
    pub(crate) fn nowhere(self) -> Redis {
        let port = match self.way {
            Way::Tcp => self.port.number(),
            Way::Tls(_) | Way::Socket(_) => 0,
        };
        let port = port.to_string();
        // What the caller asks for comes last and wins.
        let own = [
            ("bind", "127.0.0.1"),
            ("port", &port),
            ("dir", text(self.directory.path())),
            ("save", ""),
            ("appendonly", "no"),
            ("daemonize", "no"),
            ("loglevel", "warning"),
        ];
        let own = own.map(|(name, value)| [format!("--{name}"), value.to_owned()]);
        let mut arguments = own.concat();
        arguments.extend(self.arguments);
        Redis {
            port: self.port,
            _bus: self.bus,
            directory: self.directory,
            password: self.password,
            way: self.way,
            arguments,
            child: None,
        }
    }

    /// A Sentinel, which keeps what it learns in a file, with these lines in it.
    pub(super) async fn sentinel(self, lines: &str) -> Redis {
        let directory = text(self.directory.path());
        let port = self.port.number();
        let file = format!("{directory}/sentinel.conf");
        let own = format!("bind 127.0.0.1\nport {port}\ndir {directory}\nloglevel warning\n");
        std::fs::write(&file, own + lines).unwrap();
        let mut redis = Redis {
            port: self.port,
            _bus: self.bus,
            directory: self.directory,
            password: None,
            way: Way::Tcp,
            arguments: vec![file, "--sentinel".to_owned()],
            child: None,
        };
        redis.start_again().await;
        redis
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Writes an authority's certificate, and a server's with its key.
fn certify(directory: &Path) -> [PathBuf; 3] {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let authority = params.self_signed(&key).unwrap();
    let issuer = Issuer::new(params, key);
    let key = KeyPair::generate().unwrap();
    let names = ["127.0.0.1".to_owned(), "localhost".to_owned()];
    let params = CertificateParams::new(names).unwrap();
    let server = params.signed_by(&key, &issuer).unwrap();
    [
        ("authority.pem", authority.pem()),
        ("server.pem", server.pem()),
        ("server.key", key.serialize_pem()),
    ]
    .map(|(name, content)| {
        let path = directory.join(name);
        std::fs::write(&path, content).unwrap();
        path
    })
}
