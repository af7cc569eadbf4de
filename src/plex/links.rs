//! Addresses of pictures as the API gives them out: without the owner's token.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use url::form_urlencoded;

const TOKEN: &str = "x-plex-token";
/// What Python's `quote` leaves as it is.
const QUOTED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'_')
    .remove(b'.')
    .remove(b'-')
    .remove(b'~')
    .remove(b'/');

/// A path on the Plex server, or the address of an avatar, without a token, a password or a
/// fragment; `None` for none, or where a token can't be taken out.
pub(super) fn shown(link: &str) -> Option<String> {
    let link = link.trim();
    let link = link.split_once('#').map_or(link, |(before, _)| before);
    if link.is_empty() {
        return None;
    }
    without_token(&without_user(link))
}

/// The same behind our own image proxy, ready to be the source of an image.
pub(super) fn proxied(link: &str) -> Option<String> {
    let link = shown(link)?;
    Some(format!(
        "/api/plex/proxy/image?url={}",
        utf8_percent_encode(&link, QUOTED)
    ))
}

/// Removes the token wherever 3.3.0 put it: in the query, behind an address that has none
/// (`…/avatar&X-Plex-Token=…`), and in the address that the photo transcoder is given. `None` if it
/// is somewhere else.
pub(super) fn without_token(link: &str) -> Option<String> {
    let without = cleaned(link, |pair| match value_with_token(pair) {
        None => pair.to_owned(),
        Some((name, address)) => {
            // Deeper than that nobody puts a token: then the value goes.
            let inner = cleaned(&address, str::to_owned);
            let value = if mentions_token(&inner) { "" } else { &inner };
            form_urlencoded::Serializer::new(String::new())
                .append_pair(&name, value)
                .finish()
        }
    });
    (!mentions_token(&without)).then_some(without)
}

fn cleaned(link: &str, pair: impl Fn(&str) -> String) -> String {
    let (path, query) = link
        .split_once('?')
        .map_or((link, None), |(path, query)| (path, Some(query)));
    let without = |text: &str, pair: &dyn Fn(&str) -> String| -> Vec<String> {
        let kept = text.split('&').filter(|pair| !is_token(pair));
        kept.map(pair).collect()
    };
    let path = without(path, &str::to_owned).join("&");
    let query = query.map(|query| without(query, &pair).join("&"));
    match query.as_deref() {
        None | Some("") => path,
        Some(query) => format!("{path}?{query}"),
    }
}

/// Whether a pair of a query is the token, however its name is spelled. 3.3.0 put a `?` in front
/// even where there was one already: `?a?X-Plex-Token=…`.
fn is_token(pair: &str) -> bool {
    let name = |name: &str| {
        let name = name.rsplit('?').next().unwrap_or_default();
        name.eq_ignore_ascii_case(TOKEN)
    };
    form_urlencoded::parse(pair.as_bytes()).any(|(given, _)| name(&given))
}

/// Name and value of a pair whose value holds a token: an address within the address.
fn value_with_token(pair: &str) -> Option<(String, String)> {
    form_urlencoded::parse(pair.as_bytes())
        .find(|(_, value)| mentions_token(value))
        .map(|(name, value)| (name.into_owned(), value.into_owned()))
}

/// Whether the token's name is in there, encoded up to three times.
fn mentions_token(text: &str) -> bool {
    let mut text = text.to_ascii_lowercase();
    for _ in 0..3 {
        if text.contains(TOKEN) {
            return true;
        }
        text = percent_decode_str(&text)
            .decode_utf8_lossy()
            .to_ascii_lowercase();
    }
    text.contains(TOKEN)
}

/// Without user and password in front of the host.
fn without_user(link: &str) -> String {
    let Some((scheme, rest)) = link.split_once("://") else {
        return link.to_owned();
    };
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    match rest[..end].rfind('@') {
        Some(at) => format!("{scheme}://{}", &rest[at + 1..]),
        None => link.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_removed_and_the_rest_is_kept() {
        for (link, expected) in [
            ("/library/metadata/1/thumb/2", "/library/metadata/1/thumb/2"),
            (
                "http://plex:32400/library/metadata/1/thumb/2?X-Plex-Token=T",
                "http://plex:32400/library/metadata/1/thumb/2",
            ),
            (
                "https://plex.tv/users/a/avatar?c=1&x-plex-token=T",
                "https://plex.tv/users/a/avatar?c=1",
            ),
            ("/photo?X-Plex-Token=T&width=1", "/photo?width=1"),
            (
                "https://plex.tv/users/a/avatar&X-Plex-Token=T",
                "https://plex.tv/users/a/avatar",
            ),
            ("/a?X%2DPlex%2dToken=T&b=%20", "/a?b=%20"),
            ("/a?b=1?X-Plex-Token=T", "/a?b=1"),
            ("/a?b?X-Plex-Token=T&c=1", "/a?c=1"),
            ("/a?", "/a"),
            ("/a#X-Plex-Token=T", "/a"),
            ("http://me:word@plex/a?x=@", "http://plex/a?x=@"),
            (
                "/photo/:/transcode?width=1&url=%2Flibrary%2Fmetadata%2F1%2Fthumb%3FX-Plex-Token%3DT",
                "/photo/:/transcode?width=1&url=%2Flibrary%2Fmetadata%2F1%2Fthumb",
            ),
            (
                "/photo?url=%2Fa%3Furl%3D%252Fb%253FX%252DPlex-Token%253DT&width=1",
                "/photo?url=&width=1",
            ),
        ] {
            assert_eq!(shown(link).as_deref(), Some(expected));
        }
        for none in [
            " ",
            "/a%3FX-Plex-Token%3DT",
            "/a;x-plex-token=T",
            "/X-Plex-Token/T?b=1",
            "/a?b%253FX-Plex-Token=T",
        ] {
            assert_eq!(shown(none), None, "{none}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_token_is_shown_wherever_it_stands(
            before in "(/|https://plex.tv/)[a-z/?&=;%25]{0,12}",
            between in "([?&/;=]|%3[fF]|%26|%253F)",
            after in "[&?/]?[a-z=&?]{0,8}",
        ) {
            let link = format!("{before}{between}X-Plex-Token=geheim{after}");
            if let Some(shown) = shown(&link) {
                proptest::prop_assert!(!shown.contains("geheim"), "{shown}");
            }
        }
    }

    #[test]
    fn the_proxy_path_is_quoted_as_python_does() {
        assert_eq!(
            proxied("http://host:32400/library/a b?X-Plex-Token=T").as_deref(),
            Some("/api/plex/proxy/image?url=http%3A//host%3A32400/library/a%20b")
        );
        assert_eq!(proxied(""), None);
    }
}
