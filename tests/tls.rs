//! A Plex server behind a certificate that nobody vouches for.

use std::sync::Arc;

use komandorr::demo::Simulator;
use serde_json::json;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

use crate::harness::{Server, plex};

/// An address that speaks TLS with a certificate of its own making and leads to `plex`.
async fn self_signed(plex: &Simulator) -> String {
    let made = rcgen::generate_simple_self_signed(["some.plex.direct".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let upstream = plex.url().strip_prefix("http://").unwrap().to_owned();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, upstream) = (acceptor.clone(), upstream.clone());
            tokio::spawn(async move {
                let Ok(mut outside) = acceptor.accept(stream).await else {
                    return;
                };
                let mut inside = TcpStream::connect(upstream).await.unwrap();
                let _ = copy_bidirectional(&mut outside, &mut inside).await;
            });
        }
    });
    format!("https://{address}")
}

#[tokio::test]
async fn a_private_address_is_trusted_unless_the_operator_says_otherwise() {
    let plex = plex(2).await;
    let url = self_signed(&plex).await;
    let body = json!({"url": url, "token": plex.token()});
    let trusting = Server::builder().start().await;
    let verdict = trusting.post("/api/plex/validate", &body).await.json();
    assert_eq!(verdict["valid"], true, "{verdict}");
    assert_eq!(trusting.get("/api/plex/activities").await.titles().len(), 6);

    // A service has no such excuse: its certificate is part of what is checked.
    let service = trusting
        .add_service("Plex", &format!("{url}/identity"))
        .await;
    assert_eq!(service["status"], "offline", "{service}");
    let failed = "ERROR - Service Plex check failed: invalid peer certificate";
    assert!(trusting.log().contains(failed), "{}", trusting.log());

    let strict = Server::builder()
        .env("PLEX_TLS_VERIFY", "true")
        .start()
        .await;
    let verdict = strict.post("/api/plex/validate", &body).await.json();
    assert_eq!(
        verdict["message"],
        "Could not connect to server - check URL"
    );
}
