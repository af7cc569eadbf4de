//! What can go wrong between us and a Plex server, in words for people.

use std::time::Duration;

use crate::cache::FetchError;

/// A failed call to a Plex server. Its text names neither the token nor the address.
///
/// The wording of the first four is the contract's (01-plex, section 14): the settings page
/// shows it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlexError {
    /// 401, or 498 for a short-lived token that has run out.
    #[error("Invalid Plex token")]
    Refused,
    /// Any other status than 2xx. A redirect is one of them: following it would hand the token
    /// to whoever it points to.
    #[error("Server returned status code: {status}")]
    Status {
        /// The HTTP status.
        status: u16,
        /// `Retry-After`, where given in seconds.
        retry_after: Option<Duration>,
    },
    /// No answer within the deadline, the wait for a free slot included.
    #[error("Connection timeout - server not reachable")]
    Timeout,
    /// No connection, or a TLS handshake that failed.
    #[error("Could not connect to server - check URL")]
    Connect,
    /// The connection ended in the middle of an answer.
    #[error("The server broke off its answer")]
    Interrupted,
    /// More than the largest answer that is read.
    #[error("The server's answer is larger than {limit} bytes")]
    TooLarge {
        /// The limit in bytes.
        limit: usize,
    },
    /// Something else than Plex's JSON: a login page of a proxy, for instance.
    #[error("The server's answer is not what a Plex server sends")]
    NotPlex,
}

impl PlexError {
    pub(super) fn from_reqwest(error: &reqwest::Error) -> Self {
        if error.is_timeout() {
            Self::Timeout
        } else if error.is_connect() {
            Self::Connect
        } else {
            Self::Interrupted
        }
    }
}

impl From<PlexError> for FetchError {
    fn from(error: PlexError) -> Self {
        let retry_after = match &error {
            PlexError::Status { retry_after, .. } => *retry_after,
            _ => None,
        };
        Self {
            retry_after,
            refused: error == PlexError::Refused,
            ..Self::new(error.to_string())
        }
    }
}
