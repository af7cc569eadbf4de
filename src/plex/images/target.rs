//! From the text of `?url=` to what may be fetched for it, or to nothing.
//!
//! Only forms that are listed here pass. That matters on the Plex server most of all: a GET
//! there can end a stream, start a scan, or make the server fetch an address somebody else names.

use url::{Host, Url, form_urlencoded};

use super::super::links;

/// Longer addresses of pictures don't exist.
const LONGEST: usize = 2048;
/// What an item has pictures of.
const KINDS: [&str; 7] = [
    "thumb",
    "art",
    "banner",
    "poster",
    "clearLogo",
    "squareArt",
    "background",
];
/// Plex's way to a smaller picture.
const TRANSCODE: &str = "/photo/:/transcode";
/// What it may be told beside the picture, with the least and the greatest value.
const SIZES: [(&str, u32, u32); 4] = [
    ("width", 1, 4096),
    ("height", 1, 4096),
    ("minSize", 0, 1),
    ("upscale", 0, 1),
];
/// Where avatars are or where plex.tv redirects to for them.
const AVATAR_SUFFIXES: [&str; 2] = [".plex.tv", ".gravatar.com"];
const AVATAR_HOSTS: [&str; 4] = ["i0.wp.com", "i1.wp.com", "i2.wp.com", "i3.wp.com"];
const PLEX_TV: &str = "plex.tv";

/// What to fetch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// This path and query of the configured Plex server, in their one canonical spelling.
    Plex(String),
    /// The same, if the server that the address names is one our database has rows of.
    Former {
        /// The address as given; it is never dialled.
        server: Url,
        /// To be asked of the configured server.
        path: String,
    },
    /// A picture of a public host, without any token.
    Public(Url),
}

/// Who may be asked for pictures.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules<'a> {
    /// The configured Plex server.
    pub(super) plex: Option<&'a Url>,
    /// Where plex.tv is. When it is elsewhere, for a test or the demonstration, the real one and
    /// the hosts that it redirects to are out of bounds.
    pub(super) plex_tv: &'a Url,
    /// The operator's public hosts.
    pub(super) hosts: &'a [String],
}

impl Rules<'_> {
    /// What `text` means; `None` if it is none of the forms that pass.
    pub(super) fn resolve(self, text: &str) -> Option<Target> {
        let plain = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'\\' | b'#');
        if text.len() > LONGEST || !text.bytes().all(plain) {
            return None;
        }
        let text = links::without_token(text)?;
        if text.starts_with('/') {
            return picture(&text).map(Target::Plex);
        }
        let (server, path) = absolute(&text)?;
        if let Some(plex) = self.plex.filter(|plex| is_same_server(plex, &server)) {
            let base = plex.path().trim_end_matches('/');
            if let Some(path) = path.strip_prefix(base).and_then(behind_server) {
                return Some(Target::Plex(path));
            }
        }
        if let Some(url) = self.public(&server) {
            return Some(Target::Public(url));
        }
        let path = behind_server(path)?;
        Some(Target::Former { server, path })
    }

    /// Where a redirect of a public host leads; `None` if nobody may be asked there.
    pub(super) fn next_hop(self, from: &Url, location: &str) -> Option<Url> {
        let mut url = from.join(location).ok()?;
        url.set_fragment(None);
        self.public(&url)
    }

    /// The address to dial for one that is public: HTTPS at its usual port, but for a
    /// `PLEX_TV_URL` of the operator's.
    fn public(self, url: &Url) -> Option<Url> {
        if !url.username().is_empty() || url.password().is_some() {
            return None;
        }
        // It may be where the Plex server is, as in the demonstration.
        if url.origin() == self.plex_tv.origin() {
            return Some(url.clone());
        }
        if self.plex.is_some_and(|plex| is_same_server(plex, url)) {
            return None;
        }
        let Some(Host::Domain(host)) = url.host() else {
            return None;
        };
        if !matches!(url.scheme(), "http" | "https") || url.port().is_some() {
            return None;
        }
        let mut dialled = if host == PLEX_TV {
            self.plex_tv.clone()
        } else if self.is_listed(host) {
            let mut secure = url.clone();
            secure.set_scheme("https").ok()?;
            secure
        } else {
            return None;
        };
        dialled.set_path(url.path());
        dialled.set_query(url.query());
        Some(dialled)
    }

    fn is_listed(self, host: &str) -> bool {
        let of_avatars = AVATAR_HOSTS.contains(&host)
            || AVATAR_SUFFIXES.iter().any(|suffix| host.ends_with(suffix));
        (of_avatars && is_real_plex_tv(self.plex_tv)) || self.hosts.iter().any(|own| own == host)
    }
}

/// Whether this is plex.tv itself and not what the operator put in its place.
pub(super) fn is_real_plex_tv(url: &Url) -> bool {
    url.scheme() == "https" && url.host_str() == Some(PLEX_TV) && url.port().is_none()
}

/// Whether two addresses lead to the same host and port. Schemes may differ, for 3.3.0 wrote
/// `http://` for some servers that it was given with `https://`.
pub(super) fn is_same_server(one: &Url, other: &Url) -> bool {
    one.host_str() == other.host_str()
        && (one.port() == other.port()
            || one.port_or_known_default() == other.port_or_known_default())
}

/// An absolute address and its path as written. Only the one usual spelling of the host passes:
/// without user, without other notations of an address (`0x7f.1`, `2130706433`).
fn absolute(text: &str) -> Option<(Url, &str)> {
    let (scheme, rest) = text.split_once("://")?;
    if !scheme.eq_ignore_ascii_case("http") && !scheme.eq_ignore_ascii_case("https") {
        return None;
    }
    let (authority, path) = rest.split_at(rest.find(['/', '?'])?);
    let url = Url::parse(text).ok()?;
    let host = url.host_str()?;
    let with_port = format!("{host}:{}", url.port_or_known_default()?);
    let usual = authority.eq_ignore_ascii_case(&with_port)
        || (url.port().is_none() && authority.eq_ignore_ascii_case(host));
    usual.then_some((url, path))
}

/// As [`picture`], of an absolute address. 3.3.0 wrote `//` where the server's own ended in a slash.
fn behind_server(text: &str) -> Option<String> {
    let path = text.trim_start_matches('/');
    if path.len() == text.len() {
        return None;
    }
    picture(&format!("/{path}"))
}

/// The canonical spelling of a path and query of a Plex server that lead to a picture.
fn picture(text: &str) -> Option<String> {
    match text.split_once('?') {
        None => is_picture(text).then(|| text.to_owned()),
        Some((TRANSCODE, query)) => transcoded(query),
        Some(_) => None,
    }
}

/// `/library/metadata/ID/KIND[/TIME]` or `/library/(sections|collections)/ID/composite[/TIME]`.
fn is_picture(path: &str) -> bool {
    let Some(path) = path.strip_prefix("/library/") else {
        return false;
    };
    let parts: Vec<&str> = path.split('/').collect();
    let (owner, id, kind, time) = match parts[..] {
        [owner, id, kind] => (owner, id, kind, None),
        [owner, id, kind, time] => (owner, id, kind, Some(time)),
        _ => return false,
    };
    let known = match owner {
        "metadata" => KINDS.contains(&kind),
        "sections" | "collections" => kind == "composite",
        _ => false,
    };
    known && is_number(id) && time.is_none_or(is_number)
}

fn is_number(text: &str) -> bool {
    (1..=20).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// The transcoder with one picture, its width and height, each parameter once, in a fixed order.
fn transcoded(query: &str) -> Option<String> {
    let mut path = None;
    let mut sizes = [None; SIZES.len()];
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        if name == "url" {
            let earlier = path.replace(value);
            if earlier.is_some() {
                return None;
            }
            continue;
        }
        let at = SIZES.iter().position(|(known, ..)| *known == name)?;
        let (_, least, greatest) = SIZES[at];
        let number: u32 = is_number(&value).then(|| value.parse().ok())??;
        let earlier = sizes[at].replace(number);
        if earlier.is_some() || !(least..=greatest).contains(&number) {
            return None;
        }
    }
    let path = path.filter(|path| is_picture(path))?;
    let [Some(_), Some(_), ..] = sizes else {
        return None;
    };
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.append_pair("url", &path);
    for ((name, ..), size) in SIZES.iter().zip(sizes) {
        if let Some(size) = size {
            query.append_pair(name, &size.to_string());
        }
    }
    Some(format!("{TRANSCODE}?{}", query.finish()))
}

#[cfg(test)]
mod tests;
