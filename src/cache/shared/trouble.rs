//! What can be wrong with Redis, in few words and without secrets.

use std::io;
use std::sync::Arc;

use redis::{ErrorKind, RedisError, ServerErrorKind};

/// Why Redis can't be used. Its text is what operators read in `last_error`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Trouble {
    /// Nobody listens there, or nobody else is let in.
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
            // A name without any address is the only part of it that is not ours.
            ErrorKind::InvalidClientConfig => Self::Unreachable,
            ErrorKind::Server(kind) => of_server(kind, &text),
            ErrorKind::Extension => of_code(error.code().unwrap_or_default(), &text),
            ErrorKind::Io => of_io(&error, &text),
            _ => Self::Protocol,
        }
    }
}

fn of_server(kind: ServerErrorKind, text: &str) -> Trouble {
    match kind {
        // A replica that has lost its master is as good as one that takes no writes.
        ServerErrorKind::ReadOnly | ServerErrorKind::MasterDown => Trouble::ReadOnly,
        ServerErrorKind::BusyLoading => Trouble::Loading,
        ServerErrorKind::NoPerm => Trouble::Permission,
        ServerErrorKind::ClusterDown
        | ServerErrorKind::TryAgain
        | ServerErrorKind::Moved
        | ServerErrorKind::Ask => Trouble::ClusterDown,
        _ => of_text(text),
    }
}

fn of_code(code: &str, text: &str) -> Trouble {
    match code {
        "OOM" => Trouble::OutOfMemory,
        "MISCONF" | "NOREPLICAS" => Trouble::ReadOnly,
        "NOAUTH" | "WRONGPASS" => Trouble::Auth,
        // Protected mode: only its own machine may come in.
        "DENIED" => Trouble::Refused,
        // It runs somebody's script and does nothing else meanwhile.
        "BUSY" => Trouble::Timeout,
        _ => of_text(text),
    }
}

/// What a script was refused comes as a general error, from servers before 7.0 always.
fn of_text(text: &str) -> Trouble {
    const MEANINGS: [(&str, Trouble); 10] = [
        ("ACL failure", Trouble::Permission),
        ("has no permissions", Trouble::Permission),
        ("can't run this command", Trouble::Permission),
        ("can't access at least one of the keys", Trouble::Permission),
        ("READONLY", Trouble::ReadOnly),
        ("MISCONF", Trouble::ReadOnly),
        ("OOM", Trouble::OutOfMemory),
        ("invalid password", Trouble::Auth),
        ("max number of clients", Trouble::Refused),
        ("MASTERDOWN", Trouble::ReadOnly),
    ];
    let mut meanings = MEANINGS.into_iter();
    let meaning = meanings.find(|(words, _)| text.contains(words));
    meaning.map_or(Trouble::Protocol, |(_, trouble)| trouble)
}

fn of_io(error: &RedisError, text: &str) -> Trouble {
    // Of the client's own making, without a cause: a connection that is no more.
    let Some(source) = std::error::Error::source(error) else {
        return Trouble::Lost;
    };
    let source = source.downcast_ref::<Arc<dyn std::error::Error + Send + Sync>>();
    let Some(io) = source.and_then(|source| source.downcast_ref::<io::Error>()) else {
        // No certificates could be read, or the host's name can't stand in one.
        return Trouble::Tls;
    };
    match io.kind() {
        io::ErrorKind::InvalidData => Trouble::Tls,
        io::ErrorKind::HostUnreachable
        | io::ErrorKind::NetworkUnreachable
        | io::ErrorKind::AddrNotAvailable => Trouble::Unreachable,
        // The system does not let us: a socket of another user.
        io::ErrorKind::PermissionDenied => Trouble::Permission,
        // The resolver's failures have no kind of their own.
        _ if text.contains("lookup") || text.contains("resolve") => Trouble::Unreachable,
        _ => Trouble::Lost,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a server's `line` comes to.
    fn said(line: &str) -> Trouble {
        let value = redis::parse_redis_value(format!("-{line}\r\n").as_bytes()).unwrap();
        value.extract_error().unwrap_err().into()
    }

    #[test]
    fn what_a_server_says_is_understood() {
        for (line, trouble) in [
            ("NOAUTH Authentication required.", Trouble::Auth),
            ("WRONGPASS invalid username-password pair", Trouble::Auth),
            ("ERR invalid password", Trouble::Auth),
            ("NOPERM this user has no permissions", Trouble::Permission),
            (
                "READONLY You can't write against a read only replica.",
                Trouble::ReadOnly,
            ),
            ("MASTERDOWN Link with MASTER is down", Trouble::ReadOnly),
            ("MISCONF Redis is configured to save", Trouble::ReadOnly),
            (
                "NOREPLICAS Not enough good replicas to write.",
                Trouble::ReadOnly,
            ),
            ("OOM command not allowed", Trouble::OutOfMemory),
            (
                "LOADING Redis is loading the dataset in memory",
                Trouble::Loading,
            ),
            ("BUSY Redis is busy running a script.", Trouble::Timeout),
            ("CLUSTERDOWN The cluster is down", Trouble::ClusterDown),
            ("MOVED 3999 127.0.0.1:6381", Trouble::ClusterDown),
            ("TRYAGAIN Multiple keys request", Trouble::ClusterDown),
            ("ERR max number of clients reached", Trouble::Refused),
            (
                "DENIED Redis is running in protected mode",
                Trouble::Refused,
            ),
            ("ERR unknown command 'EVAL'", Trouble::Protocol),
            ("WRONGTYPE Operation against a key", Trouble::Protocol),
        ] {
            assert_eq!(said(line), trouble, "{line}");
        }
    }

    #[test]
    fn what_a_script_was_refused_is_understood_from_any_version() {
        for (cause, trouble) in [
            ("-OOM command not allowed", Trouble::OutOfMemory),
            ("-READONLY You can't write", Trouble::ReadOnly),
            ("-MISCONF Redis is configured to save", Trouble::ReadOnly),
            (
                "The user executing the script can't run this command or subcommand",
                Trouble::Permission,
            ),
            (
                "The user executing the script can't access at least one of the keys mentioned",
                Trouble::Permission,
            ),
        ] {
            let line = format!("ERR Error running script (call to f_1): @user_script:2: {cause}");
            assert_eq!(said(&line), trouble, "{line}");
        }
        let line =
            "ERR ACL failure in script: User ada has no permissions to run the 'set' command";
        assert_eq!(said(line), Trouble::Permission);
    }

    #[test]
    fn what_went_wrong_on_the_way_is_understood() {
        use io::ErrorKind as Io;
        for (kind, trouble) in [
            (Io::ConnectionRefused, Trouble::Refused),
            // A socket that is not there.
            (Io::NotFound, Trouble::Refused),
            (Io::PermissionDenied, Trouble::Permission),
            (Io::TimedOut, Trouble::Timeout),
            (Io::HostUnreachable, Trouble::Unreachable),
            (Io::NetworkUnreachable, Trouble::Unreachable),
            (Io::InvalidData, Trouble::Tls),
            (Io::ConnectionReset, Trouble::Lost),
            (Io::BrokenPipe, Trouble::Lost),
            (Io::UnexpectedEof, Trouble::Lost),
        ] {
            let error = RedisError::from(io::Error::from(kind));
            assert_eq!(Trouble::from(error), trouble, "{kind}");
        }
        let unknown = io::Error::other("failed to lookup address information: Name not known");
        assert_eq!(
            Trouble::from(RedisError::from(unknown)),
            Trouble::Unreachable
        );
    }

    #[test]
    fn what_the_client_finds_itself_is_understood() {
        for (kind, trouble) in [
            (ErrorKind::AuthenticationFailed, Trouble::Auth),
            (ErrorKind::MasterNameNotFoundBySentinel, Trouble::NoMaster),
            (ErrorKind::ClusterConnectionNotFound, Trouble::ClusterDown),
            (ErrorKind::InvalidClientConfig, Trouble::Unreachable),
            (ErrorKind::Io, Trouble::Lost),
            (ErrorKind::Parse, Trouble::Protocol),
            (ErrorKind::UnexpectedReturnType, Trouble::Protocol),
        ] {
            let error = RedisError::from((kind, "some", "words".to_owned()));
            assert_eq!(Trouble::from(error), trouble, "{kind:?}");
        }
    }
}
