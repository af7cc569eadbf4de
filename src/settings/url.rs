//! The address of a Plex server as people type it.

use url::Url;

/// Why an address can't be used; for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidUrl {
    /// No `http://` or `https://` in front. The wording is 3.3.0's.
    #[error("Request URL is missing an 'http://' or 'https://' protocol.")]
    Scheme,
    /// Something else is wrong with it.
    #[error("Could not connect to server - check URL")]
    Malformed,
}

/// One form for all spellings of an address: blanks and final slashes removed, query and
/// fragment refused. A path stays, for servers behind a reverse proxy. The same server always
/// gives the same form, which identifies it.
pub fn normalise_server_url(text: &str) -> Result<Url, InvalidUrl> {
    let text = text.trim().trim_end_matches('/');
    let has_scheme = text
        .get(..7)
        .is_some_and(|s| s.eq_ignore_ascii_case("http://"))
        || text
            .get(..8)
            .is_some_and(|s| s.eq_ignore_ascii_case("https://"));
    if !has_scheme {
        return Err(InvalidUrl::Scheme);
    }
    let url = Url::parse(text).map_err(|_| InvalidUrl::Malformed)?;
    if url.query().is_some() || url.fragment().is_some() || !url.has_host() {
        return Err(InvalidUrl::Malformed);
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_one_server_agree() {
        let plain = normalise_server_url("http://plex:32400").unwrap();
        for spelling in [" http://plex:32400/ ", "HTTP://PLEX:32400//"] {
            assert_eq!(normalise_server_url(spelling).unwrap(), plain, "{spelling}");
        }
        let behind_proxy = normalise_server_url("https://example.org/plex/").unwrap();
        assert_eq!(behind_proxy.as_str(), "https://example.org/plex");
    }

    #[test]
    fn other_things_are_refused() {
        for (text, error) in [
            ("", InvalidUrl::Scheme),
            ("plex:32400", InvalidUrl::Scheme),
            ("ftp://plex", InvalidUrl::Scheme),
            ("http://", InvalidUrl::Scheme),
            ("http://ä:b:c", InvalidUrl::Malformed),
            ("http://plex?X-Plex-Token=1", InvalidUrl::Malformed),
            ("http://plex#a", InvalidUrl::Malformed),
        ] {
            assert_eq!(normalise_server_url(text), Err(error), "{text}");
        }
    }
}
