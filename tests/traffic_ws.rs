//! The WebSocket that shows traffic as it is reported.

use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use reqwest::StatusCode;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use crate::harness::Server;
use crate::traffic::{machine, report};

type Client = WebSocketStream<MaybeTlsStream<TcpStream>>;

async fn connect(server: &Server) -> Result<Client, Error> {
    let url = format!("{}/api/traffic/ws", server.url.replace("http://", "ws://"));
    connect_async(url).await.map(|(client, _)| client)
}

/// The next frame.
async fn frame(client: &mut Client) -> Message {
    let next = timeout(Duration::from_secs(20), client.next()).await;
    next.expect("a frame")
        .expect("not the end")
        .expect("a whole frame")
}

#[tokio::test]
async fn the_first_frame_is_the_summary_and_the_next_one_the_change() {
    let server = Server::builder().start().await;
    let id = machine(&server, "one").await;
    let mut client = connect(&server).await.unwrap();
    let empty = server.get("/api/traffic/summary").await.text;
    assert_eq!(frame(&mut client).await, Message::text(empty));

    server.post("/api/traffic/update", &report(&id, 1.5)).await;
    let summary = server.get("/api/traffic/summary").await.text;
    assert!(
        summary.contains("\"timestamp\":\"20"),
        "points are objects: {summary}"
    );
    assert_eq!(frame(&mut client).await, Message::text(summary.clone()));
    let mut second = connect(&server).await.unwrap();
    assert_eq!(frame(&mut second).await, Message::text(summary));
}

#[tokio::test]
async fn services_that_come_go_or_change_their_name_are_shown() {
    let server = Server::builder().start().await;
    let mut client = connect(&server).await.unwrap();
    frame(&mut client).await;
    let id = machine(&server, "one").await;
    let text = frame(&mut client).await.into_text().unwrap();
    assert!(text.contains("\"total_services\":1"), "{text}");
    server.post("/api/traffic/update", &report(&id, 1.5)).await;
    frame(&mut client).await;
    let path = format!("/api/services/{id}");
    let renamed = server.request(&reqwest::Method::PUT, &path);
    let renamed = renamed
        .header("content-type", "application/json")
        .body(r#"{"name":"other"}"#);
    assert_eq!(server.send(renamed).await.status, StatusCode::OK);
    let text = frame(&mut client).await.into_text().unwrap();
    assert!(text.contains("\"name\":\"other\""), "{text}");
    server
        .send(server.request(&reqwest::Method::DELETE, &path))
        .await;
    let text = frame(&mut client).await.into_text().unwrap();
    assert!(text.contains("\"total_services\":0"), "{text}");
}

#[tokio::test]
async fn four_frames_a_second_at_most_and_readers_that_do_not_read_hold_nobody_up() {
    let server = Server::builder().start().await;
    let id = machine(&server, "one").await;
    // None of these is ever read.
    let mut lazy = Vec::new();
    for _ in 0..20 {
        lazy.push(connect(&server).await.unwrap());
    }
    let mut client = connect(&server).await.unwrap();
    frame(&mut client).await;
    let started = Instant::now();
    let reading = tokio::spawn(async move {
        let mut frames = 0_u128;
        loop {
            let text = frame(&mut client).await.into_text().unwrap();
            frames += 1;
            if text.contains("\"total_bandwidth_up\":999.0") {
                return frames;
            }
        }
    });
    let mut longest = Duration::ZERO;
    while started.elapsed() < Duration::from_secs(2) {
        let asked = Instant::now();
        let taken = server.post("/api/traffic/update", &report(&id, 1.5)).await;
        assert_eq!(taken.status, StatusCode::OK);
        longest = longest.max(asked.elapsed());
    }
    server
        .post("/api/traffic/update", &report(&id, 999.0))
        .await;
    let frames = reading.await.unwrap();
    let possible = started.elapsed().as_millis() / 250 + 1;
    assert!((2..=possible).contains(&frames), "{frames} of {possible}");
    assert!(longest < Duration::from_secs(2), "{longest:?}");
    drop(lazy);
}

#[tokio::test]
async fn a_stop_closes_it_as_the_protocol_wants() {
    let mut server = Server::builder().start().await;
    let mut clients = Vec::new();
    for _ in 0..5 {
        let mut client = connect(&server).await.unwrap();
        frame(&mut client).await;
        clients.push(client);
    }
    let started = Instant::now();
    server.signal("TERM").await;
    for mut client in clients {
        match frame(&mut client).await {
            Message::Close(Some(close)) => assert_eq!(u16::from(close.code), 1001),
            other => panic!("{other:?}"),
        }
        // The answer goes out with the next read, which finds the end.
        while client.next().await.is_some_and(|received| received.is_ok()) {}
    }
    assert!(server.end().await.success());
    assert!(started.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn what_is_no_handshake_is_told_so() {
    let server = Server::builder().start().await;
    let answer = server.get("/api/traffic/ws").await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    assert!(answer.json()["detail"].is_string());
    let url = format!("{}/api/other/ws", server.url.replace("http://", "ws://"));
    match connect_async(url).await {
        Err(Error::Http(refusal)) => assert_eq!(refusal.status(), StatusCode::NOT_FOUND.as_u16()),
        other => panic!("{other:?}"),
    }
}
