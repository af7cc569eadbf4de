//! Addresses of pictures as the API gives them out: without the owner's token.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

const TOKEN: &str = "x-plex-token";
/// What Python's `quote` leaves as it is.
const QUOTED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'_')
    .remove(b'.')
    .remove(b'-')
    .remove(b'~')
    .remove(b'/');

/// A path on the Plex server, or the address of an avatar, without a token; `None` for none.
pub(super) fn shown(link: &str) -> Option<String> {
    let link = link.trim();
    if link.is_empty() {
        return None;
    }
    let Some((before, query)) = link.split_once('?') else {
        return Some(link.to_owned());
    };
    let kept: Vec<&str> = query
        .split('&')
        .filter(|pair| {
            let name = pair.split('=').next().unwrap_or_default();
            !name.eq_ignore_ascii_case(TOKEN)
        })
        .collect();
    Some(if kept.is_empty() {
        before.to_owned()
    } else {
        format!("{before}?{}", kept.join("&"))
    })
}

/// The same behind our own image proxy, ready to be the source of an image.
pub(super) fn proxied(link: &str) -> Option<String> {
    let link = shown(link)?;
    Some(format!(
        "/api/plex/proxy/image?url={}",
        utf8_percent_encode(&link, QUOTED)
    ))
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
        ] {
            assert_eq!(shown(link).as_deref(), Some(expected));
        }
        assert_eq!(shown(" "), None);
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
