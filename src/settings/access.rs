//! Who may reach this server, and from where.

use std::net::IpAddr;

use ipnet::IpNet;

use super::{Environment, SettingsError};

/// Who may reach this server, and from where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessSettings {
    /// The names by which it may be called; `None`: any, with a warning for the public ones.
    pub allowed_hosts: Option<Vec<String>>,
    /// Reverse proxies, whose word about the client is taken.
    pub trusted_proxies: Vec<IpNet>,
    /// Whether a changed password is stored as 3.3.0 reads it, in clear.
    pub plaintext_passwords: bool,
}

/// Collects them.
///
/// # Errors
/// A host or an address that is none.
pub(super) fn access(env: &Environment) -> Result<AccessSettings, SettingsError> {
    // In the form in which a browser sends them.
    let host = |text: &String| url::Host::parse(text.trim_end_matches('.')).ok();
    let hosts: Option<Vec<String>> = names(env.text("ALLOWED_HOSTS"))
        .iter()
        .map(|text| host(text).map(|host| host.to_string()))
        .collect();
    let allowed = "names or addresses of this server (no scheme or port), separated by commas";
    let hosts = hosts.ok_or_else(|| env.refused("ALLOWED_HOSTS", allowed))?;
    let proxies = names(env.text("TRUSTED_PROXIES"));
    let network = |text: &String| {
        let address = text.parse::<IpAddr>().map(IpNet::from);
        address.ok().or_else(|| text.parse().ok())
    };
    let trusted: Option<Vec<IpNet>> = proxies.iter().map(network).collect();
    let allowed = "addresses or networks such as 172.16.0.0/12, separated by commas";
    Ok(AccessSettings {
        allowed_hosts: (!hosts.is_empty()).then_some(hosts),
        trusted_proxies: trusted.ok_or_else(|| env.refused("TRUSTED_PROXIES", allowed))?,
        plaintext_passwords: env.flag("AUTH_PLAINTEXT")?,
    })
}

fn names(list: &str) -> Vec<String> {
    let names = list.split(',').map(str::trim);
    let names = names.filter(|name| !name.is_empty());
    names.map(str::to_ascii_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(name: &str, value: &str) -> Result<AccessSettings, SettingsError> {
        access(&Environment::from_pairs([(name, value)]))
    }

    #[test]
    fn hosts_and_networks_are_lists() {
        let hosts = of(
            "ALLOWED_HOSTS",
            "Example.org., 192.168.1.5,[::1],münchen.example",
        )
        .unwrap();
        assert_eq!(
            hosts.allowed_hosts.unwrap(),
            [
                "example.org",
                "192.168.1.5",
                "[::1]",
                "xn--mnchen-3ya.example"
            ]
        );
        assert_eq!(of("ALLOWED_HOSTS", " ").unwrap().allowed_hosts, None);
        let proxies = of("TRUSTED_PROXIES", "10.0.0.1, 172.16.0.0/12,fd00::/8").unwrap();
        let proxies: Vec<String> = proxies
            .trusted_proxies
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(proxies, ["10.0.0.1/32", "172.16.0.0/12", "fd00::/8"]);
    }

    #[test]
    fn what_is_none_of_them_is_refused() {
        for bad in ["http://a", "a:80", "a b"] {
            assert!(of("ALLOWED_HOSTS", bad).is_err(), "{bad}");
        }
        for bad in ["proxy", "10.0.0.1/40", "10.0.0"] {
            assert!(of("TRUSTED_PROXIES", bad).is_err(), "{bad}");
        }
    }
}
