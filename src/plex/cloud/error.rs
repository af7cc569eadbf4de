//! Why plex.tv did not do what was asked, in words for people.

use std::time::Duration;

use reqwest::StatusCode;
use url::Url;

use crate::cache::FetchError;
use crate::settings::Secret;

/// So many characters of an answer that is no are shown: plex.tv's own words are much shorter.
const LONGEST_BODY: usize = 500;

/// A failed call to plex.tv. Its text names no token and no query.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CloudError {
    /// plex.tv answered no: any other status than 2xx, redirects included.
    #[error("{text}")]
    Status {
        /// The HTTP status.
        status: u16,
        /// `(<status>) <name>; <url> <body>` (contract 04, section 6): what the person has to know
        /// stands in plex.tv's body.
        text: String,
        /// `Retry-After`, where given in seconds.
        retry_after: Option<Duration>,
    },
    /// No connection, or a TLS handshake that failed.
    #[error("plex.tv can't be reached")]
    Connect,
    /// No answer within the deadline, the wait for a free slot included.
    #[error("plex.tv did not answer in time")]
    Timeout,
    /// The connection ended in the middle of an answer.
    #[error("plex.tv broke off its answer")]
    Broken,
    /// More than the largest answer that is read.
    #[error("plex.tv's answer is too large")]
    TooLarge,
    /// Something else than plex.tv sends: the log-in page of a network, for instance.
    #[error("the answer is not what plex.tv sends")]
    NotPlexTv,
    /// None of the libraries of an invitation is one of the server's (contract 04, section 6).
    #[error("No valid libraries selected")]
    NoLibraries,
    /// The call may have had its effect all the same.
    #[error("{0}")]
    Uncertain(Box<Self>),
    /// An invitation to the Plex Home was made, the one to the server failed.
    #[error("invited to the Plex Home, but not to the server: {0}")]
    OnlyHome(Box<Self>),
}

impl CloudError {
    /// plex.tv's answer that is no. The query is left out: it may hold a mail address. So is the
    /// token, which nothing should ever repeat.
    pub(super) fn refusal(
        status: StatusCode,
        url: &Url,
        body: &[u8],
        token: Option<&Secret>,
        retry_after: Option<Duration>,
    ) -> Self {
        let reason = status.canonical_reason().unwrap_or("unknown");
        let name = reason.to_lowercase().replace([' ', '-'], "_");
        let mut url = url.clone();
        url.set_query(None);
        let mut body = String::from_utf8_lossy(body).into_owned();
        if let Some(token) = token.map(Secret::expose).filter(|token| !token.is_empty()) {
            body = body.replace(token, "***");
        }
        let body = body.replace(char::is_control, " ");
        let body: String = body.trim().chars().take(LONGEST_BODY).collect();
        let text = format!("({}) {name}; {url} {body}", status.as_u16());
        Self::Status {
            status: status.as_u16(),
            text: text.trim_end().to_owned(),
            retry_after,
        }
    }

    /// No whole answer. Nothing was sent if there was no connection.
    pub(super) fn from_reqwest(error: &reqwest::Error) -> Self {
        if error.is_connect() || error.is_builder() {
            Self::Connect
        } else if error.is_timeout() {
            Self::Timeout
        } else {
            Self::Broken
        }
    }

    /// plex.tv's status, if it has answered.
    pub(crate) fn status(&self) -> Option<u16> {
        match self {
            Self::Status { status, .. } => Some(*status),
            Self::Uncertain(cause) | Self::OnlyHome(cause) => cause.status(),
            _ => None,
        }
    }

    /// The same for somebody who is not logged in: of plex.tv's own words, which have the server's
    /// identifier beside them, the status alone.
    pub(crate) fn for_strangers(&self) -> String {
        match self {
            Self::OnlyHome(cause) => format!(
                "invited to the Plex Home, but not to the server: {}",
                cause.for_strangers()
            ),
            other => other.status().map_or_else(
                || other.to_string(),
                |status| format!("plex.tv answered with status {status}"),
            ),
        }
    }

    /// Whether plex.tv does not take the token.
    pub(crate) fn is_refused(&self) -> bool {
        self.status() == Some(401)
    }

    /// Whether it is unknown what of it plex.tv has done: it was asked and gave no whole answer or a
    /// 5xx. Otherwise nothing was done; of an invitation to Home and server, not the second half,
    /// which another try completes.
    pub(crate) fn is_uncertain(&self) -> bool {
        match self {
            Self::Uncertain(_) => true,
            Self::OnlyHome(cause) => cause.is_uncertain(),
            _ => false,
        }
    }

    /// How long plex.tv wants to be left alone.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Status { retry_after, .. } => *retry_after,
            Self::Uncertain(cause) | Self::OnlyHome(cause) => cause.retry_after(),
            _ => None,
        }
    }
}

impl From<CloudError> for FetchError {
    fn from(error: CloudError) -> Self {
        Self {
            retry_after: error.retry_after(),
            refused: error.is_refused(),
            ..Self::new(error.to_string())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(status: u16, url: &str, body: &str) -> CloudError {
        let status = StatusCode::from_u16(status).unwrap();
        let url = Url::parse(url).unwrap();
        let token = Secret::new("s3cret");
        CloudError::refusal(status, &url, body.as_bytes(), Some(&token), None)
    }

    #[test]
    fn a_refusal_says_what_plex_tv_said_and_no_secret() {
        let url = "https://plex.tv/api/home/users?invitedEmail=a%40b.c";
        let error = refusal(
            422,
            url,
            "<Response status=\"s3cret\"\n code='You&apos;re already sharing this'/>\r\n",
        );
        assert_eq!(
            error.to_string(),
            "(422) unprocessable_entity; https://plex.tv/api/home/users \
             <Response status=\"***\"  code='You&apos;re already sharing this'/>"
        );
        assert_eq!(error.status(), Some(422));
        assert!(!error.is_refused() && !error.is_uncertain());
        let error = refusal(401, "https://plex.tv/x", "");
        assert_eq!(error.to_string(), "(401) unauthorized; https://plex.tv/x");
        assert!(error.is_refused());
        let long = refusal(499, "https://plex.tv/x", &"ä".repeat(10_000)).to_string();
        assert!(long.starts_with("(499) unknown; https://plex.tv/x ää"));
        assert!(long.chars().count() < LONGEST_BODY + 60);
    }

    #[test]
    fn what_is_unknown_keeps_its_cause() {
        let refused = refusal(503, "https://plex.tv/x", "later");
        let unknown = CloudError::Uncertain(Box::new(refused.clone()));
        assert_eq!(unknown.to_string(), refused.to_string());
        assert_eq!(unknown.status(), Some(503));
        assert!(unknown.is_uncertain() && !refused.is_uncertain());
        let half = CloudError::OnlyHome(Box::new(refusal(401, "https://plex.tv/x", "")));
        assert!(!half.is_uncertain() && half.is_refused());
        assert!(CloudError::OnlyHome(Box::new(unknown)).is_uncertain());
        assert!(
            half.to_string()
                .contains("Home, but not to the server: (401)")
        );
    }

    #[test]
    fn a_cache_learns_how_long_to_wait() {
        let error = CloudError::Status {
            status: 401,
            text: "no".to_owned(),
            retry_after: Some(Duration::from_secs(9)),
        };
        let told = FetchError::from(error);
        assert!(told.refused);
        assert_eq!(told.retry_after, Some(Duration::from_secs(9)));
    }
}
