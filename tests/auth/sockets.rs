//! The WebSocket, which can send no credentials: who may open it, and when it is closed.

use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use serde_json::json;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use super::sessions::log_in;
use super::{PASSWORD, USER, locked, post, right};
use crate::harness::Server;

type Client = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// Opens the socket with these headers; the status if it is refused.
async fn open(server: &Server, headers: &[(&'static str, &str)]) -> Result<Client, u16> {
    let url = format!("{}/api/traffic/ws", server.url.replace("http://", "ws://"));
    let mut request = url.into_client_request().unwrap();
    for (name, value) in headers {
        request.headers_mut().insert(*name, value.parse().unwrap());
    }
    match connect_async(request).await {
        Ok((mut client, _)) => {
            assert!(client.next().await.unwrap().unwrap().is_text());
            Ok(client)
        }
        Err(Error::Http(answer)) => Err(answer.status().as_u16()),
        Err(error) => panic!("{error}"),
    }
}

/// Why the server closes it, and after how long.
async fn closed(client: &mut Client) -> (CloseCode, Duration) {
    let started = Instant::now();
    let frame = timeout(Duration::from_secs(30), client.next()).await;
    let Some(Ok(Message::Close(Some(reason)))) = frame.expect("an end") else {
        panic!("not closed");
    };
    (reason.code, started.elapsed())
}

#[tokio::test]
async fn it_opens_for_who_has_logged_in() {
    let server = locked().start().await;
    assert_eq!(open(&server, &[]).await.err(), Some(401));
    let cookie = log_in(&server).await;
    open(&server, &[("cookie", &cookie)]).await.unwrap();
    let unknown = format!("{cookie}x");
    assert_eq!(
        open(&server, &[("cookie", &unknown)]).await.err(),
        Some(401)
    );
}

#[tokio::test]
async fn pages_of_other_sites_can_not_open_it_even_while_log_in_is_off() {
    let server = Server::builder().start().await;
    let own = server.url.clone();
    open(&server, &[("origin", &own)]).await.unwrap();
    for foreign in [
        ("origin", "https://evil.example"),
        ("sec-fetch-site", "cross-site"),
    ] {
        assert_eq!(open(&server, &[foreign]).await.err(), Some(403));
    }
    let host = [("host", "evil.example")];
    let strict = Server::builder().env("ALLOWED_HOSTS", "dash.example");
    assert_eq!(open(&strict.start().await, &host).await.err(), Some(403));
}

#[tokio::test]
async fn it_is_closed_within_a_second_when_the_log_in_changes() {
    let server = locked().start().await;
    let cookie = log_in(&server).await;
    let mut client = open(&server, &[("cookie", &cookie)]).await.unwrap();
    let change = json!({"username": USER, "current_password": PASSWORD, "new_password": "new"});
    let changed = server.send(right(post(&server, "/api/auth/update", &change)));
    assert_eq!(changed.await.status, 200);
    let (code, waited) = closed(&mut client).await;
    assert_eq!(code, CloseCode::Policy);
    assert!(waited < Duration::from_secs(1), "{waited:?}");
    assert_eq!(open(&server, &[("cookie", &cookie)]).await.err(), Some(401));
}

#[tokio::test]
async fn switching_log_in_on_closes_what_was_opened_without() {
    let server = Server::builder().start().await;
    let mut client = open(&server, &[]).await.unwrap();
    server
        .post("/api/auth/toggle", &json!({"enabled": true}))
        .await;
    let (code, waited) = closed(&mut client).await;
    assert_eq!(code, CloseCode::Policy);
    assert!(waited < Duration::from_secs(1), "{waited:?}");
}
