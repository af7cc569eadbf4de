//! A Plex server as people type it: address and token.

use url::Url;

use super::{PlexTarget, Secret};

/// Why a server can't be called; for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTarget {
    /// No `http://` or `https://` in front. The wording is 3.3.0's.
    #[error("Request URL is missing an 'http://' or 'https://' protocol.")]
    Scheme,
    /// Something else is wrong with it.
    #[error("Could not connect to server - check URL")]
    Malformed,
    /// The token has characters that can't be sent in a header (RFC 9110, 5.5), or none at all.
    #[error("Invalid Plex token")]
    Token,
}

impl PlexTarget {
    /// The server that this address and this token mean, blanks around them aside.
    ///
    /// # Errors
    /// Such a server can't be called.
    pub fn parse(url: &str, token: &str) -> Result<Self, InvalidTarget> {
        let base_url = normalise(url)?;
        let token = token.trim();
        if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(InvalidTarget::Token);
        }
        Ok(Self {
            base_url,
            token: Secret::new(token),
        })
    }

    /// The address as it is stored: without a slash at the end, as 3.3.0 does.
    pub fn stored_url(&self) -> &str {
        self.base_url.as_str().trim_end_matches('/')
    }
}

/// One form for all spellings of an address: blanks and final slashes removed, query and
/// fragment refused. A path stays, for servers behind a reverse proxy. The same server always
/// gives the same form, which identifies it.
fn normalise(text: &str) -> Result<Url, InvalidTarget> {
    let text = text.trim().trim_end_matches('/');
    let has_scheme = text
        .get(..7)
        .is_some_and(|s| s.eq_ignore_ascii_case("http://"))
        || text
            .get(..8)
            .is_some_and(|s| s.eq_ignore_ascii_case("https://"));
    if !has_scheme {
        return Err(InvalidTarget::Scheme);
    }
    let url = Url::parse(text).map_err(|_| InvalidTarget::Malformed)?;
    if url.query().is_some() || url.fragment().is_some() || !url.has_host() {
        return Err(InvalidTarget::Malformed);
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_one_server_agree() {
        let plain = normalise("http://plex:32400").unwrap();
        for spelling in [" http://plex:32400/ ", "HTTP://PLEX:32400//"] {
            assert_eq!(normalise(spelling).unwrap(), plain, "{spelling}");
        }
        let behind_proxy = normalise("https://example.org/plex/").unwrap();
        assert_eq!(behind_proxy.as_str(), "https://example.org/plex");
    }

    #[test]
    fn other_things_are_refused() {
        for (text, error) in [
            ("", InvalidTarget::Scheme),
            ("plex:32400", InvalidTarget::Scheme),
            ("ftp://plex", InvalidTarget::Scheme),
            ("http://", InvalidTarget::Scheme),
            ("http://ä:b:c", InvalidTarget::Malformed),
            ("http://plex?X-Plex-Token=1", InvalidTarget::Malformed),
            ("http://plex#a", InvalidTarget::Malformed),
        ] {
            assert_eq!(normalise(text), Err(error), "{text}");
        }
    }

    #[test]
    fn a_token_must_be_fit_for_a_header() {
        let target = PlexTarget::parse("http://plex/", " abc-1 ").unwrap();
        assert_eq!(
            (target.stored_url(), target.token.expose()),
            ("http://plex", "abc-1")
        );
        for token in ["", "  ", "a b", "a\nb", "tök"] {
            assert_eq!(
                PlexTarget::parse("http://plex", token),
                Err(InvalidTarget::Token)
            );
        }
    }
}
