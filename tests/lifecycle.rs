//! Start, signals, and one process per data directory.

use std::time::{Duration, Instant};

use komandorr::demo::Fault;
use serde_json::json;
use tokio::process::Command;

use crate::harness::{Server, command, plex, until};

#[tokio::test]
async fn a_stop_finishes_what_runs_and_exits_with_0() {
    for signal in ["TERM", "INT"] {
        let plex = plex(2).await;
        plex.set_fault("/status/sessions", Fault::Hold);
        let mut server = Server::builder().plex(&plex).start().await;
        let client = server.client.clone();
        let url = format!("{}/api/plex/activities", server.url);
        let running = tokio::spawn(async move { client.get(url).send().await });
        until("the fetch", || plex.calls("/status/sessions") == 1).await;
        server.signal(signal).await;
        until("the stop", || {
            server.log().contains("Shutting down") || refused(&server)
        })
        .await;
        plex.release_holds();
        let answer = running
            .await
            .unwrap()
            .expect("a whole answer")
            .text()
            .await
            .unwrap();
        assert!(answer.contains("\"error\":false"), "{answer}");
        assert_eq!(server.end().await.code(), Some(0), "{}", server.log());
    }
}

/// Whether new connections are refused.
fn refused(server: &Server) -> bool {
    let address = server.url.strip_prefix("http://").unwrap();
    std::net::TcpStream::connect(address).is_err()
}

#[tokio::test]
async fn a_stop_with_nothing_running_is_quick() {
    let mut server = Server::builder().start().await;
    server.get("/api/health").await;
    let started = Instant::now();
    server.signal("TERM").await;
    assert_eq!(server.end().await.code(), Some(0));
    assert!(
        started.elapsed() < Duration::from_secs(2),
        "idle connections hold nothing up"
    );
    until("the last line", || {
        server.log().contains("Shutting down Komandorr")
    })
    .await;
}

#[tokio::test]
async fn a_second_signal_ends_at_once() {
    let plex = plex(2).await;
    plex.set_fault("/status/sessions", Fault::Hang);
    let mut server = Server::builder().plex(&plex).start().await;
    let client = server.client.clone();
    let url = format!("{}/api/plex/activities", server.url);
    let running = tokio::spawn(async move { client.get(url).send().await });
    until("the fetch", || plex.calls("/status/sessions") == 1).await;
    server.signal("TERM").await;
    until("the stop", || refused(&server)).await;
    let started = Instant::now();
    server.signal("TERM").await;
    assert_eq!(server.end().await.code(), Some(130));
    assert!(started.elapsed() < Duration::from_secs(2));
    assert!(running.await.unwrap().is_err());
}

#[tokio::test]
async fn a_data_directory_has_one_process() {
    let server = Server::builder().start().await;
    let mut second = command(server.directory.path());
    let output = second.env("PORT", "0").output().await.unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    let address = server.url.strip_prefix("http://").unwrap();
    let line = said.lines().last().unwrap();
    assert!(
        line.starts_with("komandorr: data is in use by another Komandorr (pid "),
        "{said}"
    );
    assert!(line.ends_with(&format!(", address {address})")), "{said}");
    assert_eq!(server.get("/healthz").await.status, 200);
    let log = std::fs::read_to_string(server.directory.path().join("logs/komandorr.log")).unwrap();
    assert_eq!(
        log.matches("Starting Komandorr").count(),
        1,
        "the second left the log alone"
    );
}

#[tokio::test]
async fn an_address_that_is_taken_is_named() {
    let server = Server::builder().start().await;
    let port = server.url.rsplit(':').next().unwrap();
    let other = tempfile::tempdir().unwrap();
    let mut second = command(other.path());
    let output = second
        .args(["--host", "127.0.0.1", "--port", port])
        .output()
        .await
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        said.contains(&format!("can't listen on 127.0.0.1:{port}: ")),
        "{said}"
    );
}

#[tokio::test]
async fn healthcheck_tells_a_running_server_from_none() {
    let mut server = Server::builder().start().await;
    let directory = server.directory.path().to_owned();
    let check = async |arguments: &[&str]| {
        let mut check: Command = command(&directory);
        check
            .arg("healthcheck")
            .args(arguments)
            .output()
            .await
            .unwrap()
            .status
            .code()
    };
    // The port is in nobody's settings: the server has noted it in its data directory.
    assert_eq!(check(&[]).await, Some(0));
    let port = server.url.rsplit(':').next().unwrap().to_owned();
    assert_eq!(check(&["--port", &port]).await, Some(0));
    // A broken hand edit does not make a running server ill.
    std::fs::write(directory.join("data/config.json"), "{").unwrap();
    assert_eq!(check(&[]).await, Some(0));
    server.signal("TERM").await;
    server.end().await;
    assert_eq!(check(&["--port", &port]).await, Some(1));
    assert_eq!(check(&[]).await, Some(1));
}

#[tokio::test]
async fn log_in_does_not_concern_the_healthcheck() {
    let server = Server::builder()
        .config(&json!({"auth": {"enabled": true}}))
        .start()
        .await;
    let mut check = command(server.directory.path());
    let output = check.arg("healthcheck").output().await.unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
}

#[tokio::test]
async fn a_request_without_end_holds_a_stop_up_for_ten_seconds_only() {
    let plex = plex(2).await;
    plex.set_fault("*", Fault::Hang);
    let mut server = Server::builder()
        .plex(&plex)
        .env("PLEX_TIMEOUT", "50")
        .start()
        .await;
    let client = server.client.clone();
    let url = format!("{}/api/plex/activities", server.url);
    let running = tokio::spawn(async move { client.get(url).send().await });
    until("the fetch", || plex.calls("/status/sessions") == 1).await;
    let started = Instant::now();
    server.signal("TERM").await;
    assert_eq!(server.end().await.code(), Some(0));
    assert!(
        (9..14).contains(&started.elapsed().as_secs()),
        "{:?}",
        started.elapsed()
    );
    assert!(running.await.unwrap().is_err());
}
