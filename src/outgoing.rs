//! What the clients for outgoing HTTP have in common.

use std::net::Ipv4Addr;
use std::sync::Once;

use reqwest::{Client, ClientBuilder};
use url::{Host, Url};

/// A client that checks certificates, even on a system that has none to check them against: plain
/// HTTP works there, HTTPS is refused.
///
/// # Errors
/// The TLS library can't be set up at all.
pub fn verifying(builder: impl Fn() -> ClientBuilder) -> Result<Client, reqwest::Error> {
    static WARNED: Once = Once::new();
    if let Ok(client) = builder().build() {
        return Ok(client);
    }
    WARNED.call_once(|| {
        tracing::warn!(
            "No CA certificates found on this system (package ca-certificates): \
             HTTPS to public names will be refused"
        );
    });
    builder().tls_certs_only([]).build()
}

/// Whether a server's certificate can't match the name it is addressed by: a private, loopback,
/// link-local or shared (RFC 6598) address, a name without a dot, or one under a suffix that is
/// reserved for private use. Plex's certificates are made out to `*.plex.direct` names; others on a
/// private network have signed theirs themselves.
pub fn is_private(url: &Url) -> bool {
    let is_private_v4 = |ip: Ipv4Addr| {
        let [a, b, ..] = ip.octets();
        ip.is_loopback()
            || ip.is_private()
            || ip.is_link_local()
            || (a == 100 && (64..128).contains(&b))
    };
    match url.host() {
        Some(Host::Ipv4(ip)) => is_private_v4(ip),
        Some(Host::Ipv6(ip)) => {
            ip.to_ipv4_mapped().is_some_and(is_private_v4)
                || ip.is_loopback()
                || ip.is_unicast_link_local()
                || ip.is_unique_local()
        }
        Some(Host::Domain(name)) => is_private_name(name),
        None => false,
    }
}

/// Whether only this network can know such a name: one without a dot, or below a suffix that is
/// reserved for that.
pub fn is_private_name(name: &str) -> bool {
    const SUFFIXES: [&str; 5] = [".local", ".lan", ".home.arpa", ".internal", ".localhost"];
    let name = name.trim_end_matches('.');
    !name.contains('.') || SUFFIXES.iter().any(|suffix| name.ends_with(suffix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn certificates_go_unverified_for_private_hosts_only() {
        for private in [
            "https://192.168.1.5:32400",
            "https://10.0.0.1",
            "https://127.0.0.1",
            "https://169.254.3.4",
            "https://100.100.1.1",
            "https://[fd00::1]",
            "https://[::1]",
            "https://[fe80::1]",
            "https://[::ffff:10.0.0.1]",
            "https://[::ffff:100.64.0.1]",
            "https://plex:32400",
            "https://nas.local",
            "https://plex.home.arpa",
        ] {
            assert!(is_private(&Url::parse(private).unwrap()), "{private}");
        }
        for public in [
            "https://plex.example.org",
            "https://8.8.8.8",
            "https://100.128.0.1",
            "https://172.32.0.1",
            "https://[2001:db8::1]",
            "https://[::ffff:8.8.8.8]",
            "https://local.example",
        ] {
            assert!(!is_private(&Url::parse(public).unwrap()), "{public}");
        }
    }
}
