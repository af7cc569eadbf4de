//! Who asks: the address of a client, also behind reverse proxies.

use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{Extensions, HeaderMap};

use crate::app::AppState;
use crate::settings::AccessSettings;

/// The other end of a connection; every request carries it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Peer(pub(super) SocketAddr);

/// Where a request comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Client {
    /// The address of who asks, as far as we trust those who say so.
    pub(super) address: IpAddr,
    /// Whether a trusted proxy says that it was asked with TLS.
    pub(super) secure: bool,
}

impl Client {
    /// What connection and headers say. `X-Forwarded-…` counts from trusted proxies only: from
    /// anybody else it would be a wish.
    pub(super) fn of(
        extensions: &Extensions,
        headers: &HeaderMap,
        access: &AccessSettings,
    ) -> Self {
        // Without a connection there is no server around it: a test.
        let peer = extensions.get::<Peer>();
        let peer = peer.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.0.ip());
        let peer = peer.to_canonical();
        let is_trusted = |address: &IpAddr| {
            let mut networks = access.trusted_proxies.iter();
            networks.any(|network| network.contains(address))
        };
        if !is_trusted(&peer) {
            return Self {
                address: peer,
                secure: false,
            };
        }
        // From the nearest hop to the farthest. Beyond one that can't be read nothing is known.
        let hops = list(headers, "x-forwarded-for").rev().map(address);
        let known: Vec<IpAddr> = hops.map_while(|hop| hop).collect();
        let client = known.iter().find(|hop| !is_trusted(hop));
        let protocol = list(headers, "x-forwarded-proto").next_back();
        Self {
            address: *client.or(known.last()).unwrap_or(&peer),
            secure: protocol.is_some_and(|protocol| protocol.eq_ignore_ascii_case("https")),
        }
    }
}

/// The elements of a header that may come several times.
fn list<'a>(headers: &'a HeaderMap, name: &str) -> impl DoubleEndedIterator<Item = &'a str> {
    let values = headers.get_all(name).iter().collect::<Vec<_>>().into_iter();
    values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
}

/// `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]:80`.
fn address(hop: &str) -> Option<IpAddr> {
    let bare = hop.parse().ok();
    let bracketed = || hop.strip_prefix('[')?.strip_suffix(']')?.parse().ok();
    let with_port = || hop.parse::<SocketAddr>().ok().map(|socket| socket.ip());
    let address: Option<IpAddr> = bare.or_else(bracketed).or_else(with_port);
    address.map(|address| address.to_canonical())
}

impl FromRequestParts<AppState> for Client {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, app: &AppState) -> Result<Self, Infallible> {
        let settings = app.settings.current();
        Ok(Self::of(
            &parts.extensions,
            &parts.headers,
            &settings.access,
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(peer: &str, headers: &[(&'static str, &'static str)]) -> (String, bool) {
        let access = AccessSettings {
            allowed_hosts: None,
            trusted_proxies: vec!["10.0.0.0/8".parse().unwrap()],
            plaintext_passwords: false,
        };
        let mut extensions = Extensions::new();
        extensions.insert(Peer(SocketAddr::new(peer.parse().unwrap(), 1)));
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().unwrap());
        }
        let client = Client::of(&extensions, &map, &access);
        (client.address.to_string(), client.secure)
    }

    #[test]
    fn only_trusted_proxies_are_believed() {
        let claim = [
            ("x-forwarded-for", "192.0.2.9"),
            ("x-forwarded-proto", "https"),
        ];
        assert_eq!(client("192.0.2.1", &claim), ("192.0.2.1".to_owned(), false));
        assert_eq!(client("10.0.0.1", &claim), ("192.0.2.9".to_owned(), true));
        assert_eq!(
            client("::ffff:10.0.0.1", &claim),
            ("192.0.2.9".to_owned(), true)
        );
    }

    #[test]
    fn the_last_hop_that_is_no_proxy_of_ours_is_the_client() {
        let through = |header| client("10.0.0.1", &[("x-forwarded-for", header)]).0;
        // The client has made the first one up.
        assert_eq!(through("1.1.1.1, 192.0.2.9, 10.0.0.7"), "192.0.2.9");
        assert_eq!(through("[2001:db8::1]:443, 10.0.0.7"), "2001:db8::1");
        assert_eq!(through("192.0.2.9:5555"), "192.0.2.9");
        assert_eq!(through("10.0.0.3, 10.0.0.7"), "10.0.0.3");
        assert_eq!(through("1.1.1.1, unknown, 10.0.0.7"), "10.0.0.7");
        assert_eq!(through(""), "10.0.0.1");
        let twice = [
            ("x-forwarded-for", "1.1.1.1"),
            ("x-forwarded-for", "192.0.2.9"),
        ];
        assert_eq!(client("10.0.0.1", &twice).0, "192.0.2.9");
    }
}
