//! What can be wrong with Redis, in few words and without secrets.

use redis::{ErrorKind, RedisError, ServerErrorKind};

/// Why Redis can't be used. Its text is what operators read in `last_error`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Trouble {
    /// Nobody listens there.
    #[error("refused")]
    Refused,
    /// It does not answer in time.
    #[error("timeout")]
    Timeout,
    /// The name is unknown or no way leads there.
    #[error("unreachable")]
    Unreachable,
    /// The connection broke.
    #[error("lost")]
    Lost,
    /// User or password are wrong or missing.
    #[error("auth")]
    Auth,
    /// The user may not do what is needed.
    #[error("permission")]
    Permission,
    /// Encryption could not be agreed on.
    #[error("tls")]
    Tls,
    /// It takes no writes: a replica, or it could not save to its disk.
    #[error("read_only")]
    ReadOnly,
    /// Its memory is full.
    #[error("out_of_memory")]
    OutOfMemory,
    /// It is still reading its data.
    #[error("loading")]
    Loading,
    /// Some of the cluster's nodes are missing.
    #[error("cluster_down")]
    ClusterDown,
    /// The Sentinels know no such master.
    #[error("no_master")]
    NoMaster,
    /// It answered something else than Redis would.
    #[error("protocol")]
    Protocol,
}

impl From<tokio::time::error::Elapsed> for Trouble {
    fn from(_: tokio::time::error::Elapsed) -> Self {
        Self::Timeout
    }
}

impl From<RedisError> for Trouble {
    fn from(error: RedisError) -> Self {
        if error.is_timeout() {
            return Self::Timeout;
        }
        if error.is_connection_refusal() {
            return Self::Refused;
        }
        let text = error.to_string();
        match error.kind() {
            ErrorKind::AuthenticationFailed => Self::Auth,
            ErrorKind::MasterNameNotFoundBySentinel => Self::NoMaster,
            ErrorKind::ClusterConnectionNotFound => Self::ClusterDown,
            ErrorKind::InvalidClientConfig => Self::Tls,
            ErrorKind::Server(kind) => of_server(kind, &text),
            ErrorKind::Extension => of_code(error.code().unwrap_or_default(), &text),
            ErrorKind::Io => of_io(&error, &text),
            _ => Self::Protocol,
        }
    }
}

fn of_server(kind: ServerErrorKind, text: &str) -> Trouble {
    match kind {
        ServerErrorKind::ReadOnly => Trouble::ReadOnly,
        ServerErrorKind::BusyLoading => Trouble::Loading,
        ServerErrorKind::NoPerm => Trouble::Permission,
        ServerErrorKind::ClusterDown
        | ServerErrorKind::MasterDown
        | ServerErrorKind::TryAgain
        | ServerErrorKind::Moved
        | ServerErrorKind::Ask => Trouble::ClusterDown,
        // Servers before 7.0 wrap what a script was refused into a general error.
        _ if text.contains("READONLY") => Trouble::ReadOnly,
        _ if text.contains("OOM") => Trouble::OutOfMemory,
        _ if text.contains("invalid password") => Trouble::Auth,
        _ => Trouble::Protocol,
    }
}

fn of_code(code: &str, text: &str) -> Trouble {
    match code {
        "OOM" => Trouble::OutOfMemory,
        "MISCONF" => Trouble::ReadOnly,
        "NOAUTH" | "WRONGPASS" => Trouble::Auth,
        _ if text.contains("OOM") => Trouble::OutOfMemory,
        _ => Trouble::Protocol,
    }
}

fn of_io(error: &RedisError, text: &str) -> Trouble {
    let io = std::error::Error::source(error).and_then(|e| e.downcast_ref::<std::io::Error>());
    match io.map(std::io::Error::kind) {
        Some(std::io::ErrorKind::InvalidData) => Trouble::Tls,
        Some(
            std::io::ErrorKind::HostUnreachable
            | std::io::ErrorKind::NetworkUnreachable
            | std::io::ErrorKind::AddrNotAvailable,
        ) => Trouble::Unreachable,
        // The resolver's failures have no kind of their own.
        _ if text.contains("lookup") || text.contains("resolve") => Trouble::Unreachable,
        _ => Trouble::Lost,
    }
}
