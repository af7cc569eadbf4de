//! Faults, refusing, and the ends of connections.

use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::net::TcpStream;

use super::super::Fault;
use super::{Guest, LIMIT, content_type};

#[tokio::test]
async fn faults_answer_in_place_of_the_server() {
    let guest = Guest::new(1).await;
    let fault = |fault| guest.plex.set_fault("/accounts", fault);

    fault(Fault::Status(498));
    let response = guest.get("/accounts").await;
    assert_eq!(response.status(), 498);
    assert_eq!(content_type(&response), "text/html");

    fault(Fault::StatusWith {
        status: 429,
        header: ("retry-after", "7".to_owned()),
    });
    let response = guest.get("/accounts").await;
    assert_eq!(
        (
            response.status().as_u16(),
            &response.headers()["retry-after"] == "7"
        ),
        (429, true)
    );

    fault(Fault::Html);
    let response = guest.get("/accounts").await;
    assert_eq!(
        (response.status().as_u16(), content_type(&response)),
        (200, "text/html")
    );

    fault(Fault::BrokenJson);
    let response = guest.get("/accounts").await;
    assert_eq!(content_type(&response), "application/json");
    assert!(serde_json::from_str::<Value>(&response.text().await.unwrap()).is_err());

    fault(Fault::Body("[1]".to_owned()));
    assert_eq!(guest.get("/accounts").await.text().await.unwrap(), "[1]");

    fault(Fault::Huge(200_001));
    let response = guest.get("/accounts").await;
    assert_eq!(response.content_length(), None);
    assert_eq!(response.bytes().await.unwrap().len(), 200_001);

    fault(Fault::Redirect("http://192.0.2.1/".to_owned()));
    let response = guest.get("/accounts").await;
    assert_eq!(response.status(), 302);
    assert_eq!(response.headers()["location"], "http://192.0.2.1/");
}

#[tokio::test]
async fn a_fault_of_the_exact_path_wins_and_faults_can_be_cleared() {
    let guest = Guest::new(1).await;
    guest.plex.set_fault("*", Fault::Status(503));
    guest.plex.set_fault("/accounts", Fault::Status(418));
    assert_eq!(guest.get("/accounts").await.status(), 418);
    assert_eq!(guest.get("/identity").await.status(), 503);
    guest.plex.clear_faults();
    assert_eq!(guest.get("/accounts").await.status(), 200);
}

#[tokio::test]
async fn a_cut_answer_breaks_off_half_way() {
    let guest = Guest::new(10).await;
    guest.plex.set_fault("/status/sessions", Fault::Cut);
    let mut response = guest.get("/status/sessions").await;
    let promised = response.content_length().unwrap();
    let mut received = 0;
    let error = loop {
        match response.chunk().await {
            Ok(Some(chunk)) => received += chunk.len() as u64,
            Ok(None) => panic!("the answer looked complete"),
            Err(error) => break error,
        }
    };
    assert!(!error.is_timeout());
    assert_eq!(received, promised / 2);
}

#[tokio::test]
async fn slow_answers_are_slow_and_complete() {
    let guest = Guest::new(0).await;
    let begin = Instant::now();
    guest
        .plex
        .set_fault("*", Fault::Delay(Duration::from_millis(50)));
    assert_eq!(guest.container("/status/sessions").await["size"], 0);
    assert!(begin.elapsed() >= Duration::from_millis(50));

    // 29 bytes.
    guest
        .plex
        .set_fault("*", Fault::Drip(Duration::from_millis(1)));
    let begin = Instant::now();
    assert_eq!(guest.container("/status/sessions").await["size"], 0);
    assert!(begin.elapsed() >= Duration::from_millis(29));
}

/// Waits for something the simulator has to notice first, e.g. that a client has gone.
async fn until(condition: impl Fn() -> bool) {
    let waiting = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(LIMIT, waiting).await.unwrap();
}

#[tokio::test]
async fn held_requests_wait_together_until_released() {
    let guest = Guest::new(2).await;
    guest.plex.set_fault("/status/sessions", Fault::Hold);
    let release = async {
        until(|| guest.plex.calls("/status/sessions") == 3).await;
        assert_eq!(guest.plex.most_at_once(), 3);
        guest.plex.clear_faults();
        guest.plex.release_holds();
    };
    let get = || guest.container("/status/sessions");
    let (one, two, three, ()) = tokio::join!(get(), get(), get(), release);
    assert_eq!([&one["size"], &two["size"], &three["size"]], [2, 2, 2]);
}

#[tokio::test]
async fn hanging_requests_end_with_their_client() {
    let guest = Guest::new(0).await;
    guest.plex.set_fault("/accounts", Fault::Hang);
    let short = guest
        .request("/accounts")
        .timeout(Duration::from_millis(30));
    assert!(short.send().await.unwrap_err().is_timeout());
    until(|| {
        guest.plex.forget_calls();
        guest.plex.most_at_once() == 0
    })
    .await;
}

#[tokio::test]
async fn a_refusing_server_is_gone_and_comes_back_on_its_port() {
    let guest = Guest::new(1).await;
    let url = guest.plex.url();
    guest.get("/identity").await;
    guest.plex.set_fault("/accounts", Fault::Hang);
    // A request under way is cut off, new ones are refused; twice, since once may be luck.
    for _ in 0..2 {
        let calls = guest.plex.calls("/accounts");
        let refuse = async {
            until(|| guest.plex.calls("/accounts") > calls).await;
            guest.plex.refuse().await;
        };
        let (cut_off, ()) = tokio::join!(guest.try_get("/accounts"), refuse);
        assert!(!cut_off.unwrap_err().is_timeout());
        let error = guest.try_get("/identity").await.unwrap_err();
        assert!(error.is_connect(), "{error:?}");
        guest.plex.refuse().await;
        guest.plex.accept().await.unwrap();
        guest.plex.accept().await.unwrap();
        assert_eq!(guest.plex.url(), url);
        assert_eq!(guest.get("/identity").await.status(), 200);
    }
}

#[tokio::test]
async fn dropping_the_simulator_stops_it() {
    let Guest { plex, client } = Guest::new(1).await;
    let url = plex.url();
    assert!(client.get(&url).send().await.is_ok());
    drop(plex);
    let gone = async { while client.get(&url).send().await.is_ok() {} };
    tokio::time::timeout(LIMIT, gone).await.unwrap();
}

#[tokio::test]
async fn idle_connections_are_closed_after_twenty_seconds() {
    let guest = Guest::new(0).await;
    let address = guest.plex.url().replace("http://", "");
    let stream = TcpStream::connect(address).await.unwrap();
    let request = b"GET /identity HTTP/1.1\r\nhost: plex\r\n\r\n";
    assert_eq!(stream.try_write(request).unwrap(), request.len());
    let mut answer = [0; 4096];
    let read = async |answer: &mut [u8]| loop {
        stream.readable().await.unwrap();
        if let Ok(bytes) = stream.try_read(answer) {
            break bytes;
        }
    };
    assert!(read(&mut answer).await > 0);

    // From here on only the idle timer is left to wait for, so its time may be skipped.
    tokio::time::pause();
    let begin = tokio::time::Instant::now();
    while read(&mut answer).await > 0 {}
    let idle = begin.elapsed();
    assert!((15..=21).contains(&idle.as_secs()), "{idle:?}");
}
