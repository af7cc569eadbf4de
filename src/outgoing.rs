//! What the clients for outgoing HTTP have in common.

use std::sync::Once;

use reqwest::{Client, ClientBuilder};

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
