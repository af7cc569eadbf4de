//! Requests that a page of another site makes a browser send: refused where they change anything.
//! And the names by which this server may be called.

use std::net::{IpAddr, SocketAddr};
use std::sync::Mutex;

use axum::extract::Request;
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderValue, Method, header};
use url::{Host, Url};

use super::error::ApiError;
use crate::outgoing;
use crate::settings::Settings;

/// Public names that a warning was written for; more would only fill the log.
const MOST_WARNINGS: usize = 8;

/// Why a request is refused: another site has sent it, or it was sent to another name.
pub(super) fn refusal(request: &Request, settings: &Settings) -> Option<ApiError> {
    let headers = request.headers();
    let host = headers.get(header::HOST);
    if host.is_some_and(|host| !is_welcome(host, settings)) {
        return Some(ApiError::forbidden(
            "This server is not called by this name",
        ));
    }
    let is_foreign = changes_something(request) && is_cross_site(headers, &settings.cors_origins);
    is_foreign.then(|| ApiError::forbidden("Requests of other sites are refused"))
}

/// Whether the server may be called by this name.
fn is_welcome(host: &HeaderValue, settings: &Settings) -> bool {
    let host = host_of(host);
    if host.as_ref().is_some_and(|host| is_known(host, settings)) {
        return true;
    }
    if let Some(host) = &host
        && settings.access.allowed_hosts.is_none()
    {
        warn_of(host);
    }
    settings.access.allowed_hosts.is_none()
}

/// Everything but reading; a WebSocket too, since its answers can be read by whoever opens it.
fn changes_something(request: &Request) -> bool {
    let reads = matches!(
        *request.method(),
        Method::GET | Method::HEAD | Method::OPTIONS
    );
    !reads || request.headers().contains_key(header::UPGRADE)
}

/// By Fetch Metadata where the browser sends it, which is with TLS and on localhost, else by
/// Origin. Programs that are no browsers send neither.
fn is_cross_site(headers: &HeaderMap, allowed: &[String]) -> bool {
    let origin = headers.get(header::ORIGIN);
    let origin = origin.map(|origin| origin.to_str().unwrap_or("null"));
    let is_allowed = |origin: &str| allowed.iter().any(|one| one == "*" || one == origin);
    match (headers.get("sec-fetch-site"), origin) {
        (Some(site), _) if site == "same-origin" || site == "none" => false,
        (Some(_), origin) => !origin.is_some_and(is_allowed),
        (None, Some(origin)) => !is_own(origin, headers) && !is_allowed(origin),
        (None, None) => false,
    }
}

/// Whether `origin` names the server that was asked, by its own name or by one that a proxy says
/// it was asked by. (No page can make a browser send these headers without asking first.)
fn is_own(origin: &str, headers: &HeaderMap) -> bool {
    let Ok(origin) = Url::parse(origin) else {
        return false;
    };
    let port = headers.get("x-forwarded-port");
    let port = port.and_then(|port| port.to_str().ok()?.trim().parse::<u16>().ok());
    let is_origin = |name: &str, port: Option<u16>| {
        // Read in the scheme of the origin, so that its usual port may be left out.
        let url = Url::parse(&format!("{}://{name}", origin.scheme()));
        url.is_ok_and(|mut url| {
            if url.port().is_none() && port.is_some() && url.set_port(port).is_err() {
                return false;
            }
            url.origin().is_tuple() && url.origin() == origin.origin()
        })
    };
    let named = |header: &str| {
        let values = headers.get_all(header).iter();
        let names = values.filter_map(|value| value.to_str().ok());
        names.flat_map(|names| names.split(',')).map(str::trim)
    };
    let mut all = named("host").chain(named("x-forwarded-host"));
    all.any(|name| is_origin(name, None) || (port.is_some() && is_origin(name, port)))
}

/// The name in `Host`, without the port.
fn host_of(host: &HeaderValue) -> Option<Host> {
    let text = host.to_str().ok()?;
    // Most look like this, and need no long way.
    if let Ok(address) = text.parse::<SocketAddr>() {
        return Some(match address.ip() {
            IpAddr::V4(address) => Host::Ipv4(address),
            IpAddr::V6(address) => Host::Ipv6(address),
        });
    }
    let (name, port) = text.split_once(':').unwrap_or((text, ""));
    if is_plain(name) && port.bytes().all(|byte| byte.is_ascii_digit()) {
        return Some(Host::Domain(name.to_owned()));
    }
    let authority: Authority = text.parse().ok()?;
    Host::parse(authority.host()).ok()
}

/// Whether a name is written as [`Host::parse`] would write it, and can't be meant as a number.
fn is_plain(name: &str) -> bool {
    let is_usual = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.');
    let last = name.rsplit('.').next().unwrap_or_default();
    name.bytes().all(is_usual)
        && last.starts_with(|first: char| first.is_ascii_lowercase())
        && !name.contains("xn--")
}

/// Whether nobody else can have a name that leads here under his control: an address, a name of
/// this network, or one that the operator has named.
fn is_known(host: &Host, settings: &Settings) -> bool {
    let Host::Domain(name) = host else {
        return true;
    };
    let name = name.trim_end_matches('.');
    let is_private = outgoing::is_private_name(name);
    let is_listed = || {
        let listed = settings.access.allowed_hosts.iter().flatten();
        listed.into_iter().any(|one| one == name)
    };
    let has_origin = || {
        let origins = settings.cors_origins.iter();
        let mut urls = origins.filter_map(|origin| Url::parse(origin).ok());
        urls.any(|url| url.host_str() == Some(name))
    };
    is_private || is_listed() || has_origin()
}

/// Once per name, and for a few names only.
fn warn_of(host: &Host) {
    static WARNED: Mutex<Vec<Host>> = Mutex::new(Vec::new());
    let Ok(mut warned) = WARNED.lock() else {
        return;
    };
    if warned.len() >= MOST_WARNINGS || warned.contains(host) {
        return;
    }
    warned.push(host.to_owned());
    drop(warned);
    tracing::warn!(
        "Called as {host}: set ALLOWED_HOSTS to the names of this server, so that no other site \
         can point its own name here"
    );
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::http::HeaderName;

    use super::*;
    use crate::settings::{Environment, Overrides, SettingsStore};

    fn is_refused(headers: &[(&'static str, &str)]) -> bool {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(HeaderName::from_static(name), value.parse().unwrap());
        }
        is_cross_site(&map, &["https://friend.example".to_owned()])
    }

    #[test]
    fn fetch_metadata_decides_where_it_is_sent() {
        for own in ["same-origin", "none"] {
            // A proxy may have changed the host.
            let origin = ("origin", "https://komandorr.example");
            assert!(!is_refused(&[
                ("sec-fetch-site", own),
                origin,
                ("host", "backend:8000")
            ]));
        }
        for other in ["cross-site", "same-site", "anything"] {
            assert!(is_refused(&[("sec-fetch-site", other)]));
            let host = ("host", "a.example");
            assert!(is_refused(&[
                ("sec-fetch-site", other),
                ("origin", "https://a.example"),
                host
            ]));
            let friend = ("origin", "https://friend.example");
            assert!(!is_refused(&[("sec-fetch-site", other), friend]));
        }
    }

    #[test]
    fn without_it_the_origin_must_be_the_host_that_was_asked() {
        let asked = |origin: &str, host: &str| is_refused(&[("origin", origin), ("host", host)]);
        assert!(!asked("http://192.168.1.5:8000", "192.168.1.5:8000"));
        assert!(!asked("http://dash", "dash"));
        assert!(!asked("http://dash", "dash:80"));
        assert!(!asked("https://dash:443", "dash"));
        assert!(!asked("https://friend.example", "dash"));
        assert!(asked("http://dash:8001", "dash:8000"));
        assert!(asked("https://dash", "dash:80"));
        assert!(asked("http://evil.example", "dash"));
        assert!(asked("null", "dash"));
        assert!(asked("file://", "dash"));
        let forwarded = ("x-forwarded-host", "dash.example");
        let origin = ("origin", "https://dash.example");
        assert!(!is_refused(&[origin, forwarded, ("host", "backend:8000")]));
        let two_proxies = ("x-forwarded-host", "dash.example, inner");
        assert!(!is_refused(&[
            origin,
            two_proxies,
            ("host", "backend:8000")
        ]));
        let (origin, port) = (("origin", "http://nas:8080"), ("x-forwarded-port", "8080"));
        assert!(!is_refused(&[origin, port, ("host", "nas")]));
        assert!(is_refused(&[origin, ("host", "nas")]));
        assert!(is_refused(&[
            ("origin", "http://evil:8080"),
            port,
            ("host", "nas")
        ]));
    }

    #[test]
    fn programs_that_are_no_browsers_pass() {
        assert!(!is_refused(&[("host", "dash"), ("user-agent", "curl/8")]));
    }

    #[test]
    fn reading_changes_nothing_but_a_socket_can_be_read() {
        let request = |method: Method, upgrade: bool| {
            let mut request = Request::builder().method(method);
            if upgrade {
                request = request.header("upgrade", "websocket");
            }
            changes_something(&request.body(Body::empty()).unwrap())
        };
        assert!(!request(Method::GET, false) && !request(Method::HEAD, false));
        assert!(request(Method::GET, true) && request(Method::DELETE, false));
    }

    #[test]
    fn the_short_way_to_a_name_ends_where_the_long_one_does() {
        for host in [
            "192.168.1.5:8000",
            "[2001:db8::1]:8000",
            "nas",
            "nas:8000",
            "nas:",
            "front.example",
            "a-b.front.example:443",
            "front.example.",
            "192.168.1.5",
            "[2001:db8::1]",
            "127.1",
            "0x7f.1:80",
            "a.0x7f",
            "Front.Example",
            "xn--mnchen-3ya.example",
            "xn--a.example",
            "m%c3%bcnchen.example",
            "a_b.example",
            "user@front.example",
            "nas:x",
            "a:b:c",
            "",
            ":8000",
        ] {
            let authority = host.parse::<Authority>().ok();
            let long = authority.and_then(|authority| Host::parse(authority.host()).ok());
            assert_eq!(host_of(&host.parse().unwrap()), long, "{host}");
        }
    }

    #[test]
    fn names_that_others_can_have_are_told_apart() {
        let directory = tempfile::tempdir().unwrap();
        let settings = |hosts: &str| {
            let env = [
                ("ALLOWED_HOSTS", hosts),
                ("CORS_ORIGINS", "https://front.example"),
            ];
            let data_dir = Some(directory.path().to_owned());
            let overrides = Overrides {
                data_dir,
                ..Overrides::default()
            };
            let env = Environment::from_pairs(env);
            SettingsStore::open(env, overrides).unwrap().current()
        };
        let known = |host: &str, settings: &Settings| {
            is_known(&host_of(&host.parse().unwrap()).unwrap(), settings)
        };
        let open = settings("");
        for name in [
            "192.168.1.5:8000",
            "203.0.113.9",
            "[::1]:8000",
            "localhost:8000",
            "komandorr",
            "nas.local",
            "Nas.Lan:80",
            "front.example",
        ] {
            assert!(known(name, &open), "{name}");
        }
        assert!(!known("dash.example", &open));
        let listed = settings("dash.example");
        assert!(known("dash.example:443", &listed) && known("DASH.example.", &listed));
        assert!(!known("evil.example", &listed));
        let unreadable = HeaderValue::from_static("ev%zzil");
        assert!(is_welcome(&unreadable, &open) && !is_welcome(&unreadable, &listed));
    }
}
