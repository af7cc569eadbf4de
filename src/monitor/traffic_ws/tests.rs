//! The socket over a connection in memory, by a clock that stands still.

use axum::http::StatusCode;
use futures_util::{FutureExt as _, SinkExt as _, StreamExt as _};
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncReadExt as _, DuplexStream, duplex};
use tokio::time::sleep;
use tokio_tungstenite::tungstenite::{Error, Message as Received};
use tokio_tungstenite::{WebSocketStream, client_async};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::compat::Stamp;
use crate::monitor::model::Service;
use crate::settings::Environment;

type Client = WebSocketStream<DuplexStream>;

struct Bench {
    app: AppState,
    tasks: Tasks,
    _directory: tempfile::TempDir,
}

/// One service with traffic, and a clock that stands still while anything can be done.
async fn bench() -> Bench {
    let directory = tempfile::tempdir().unwrap();
    let app = AppState::for_test(directory.path(), Environment::default()).await;
    let tasks = Tasks::new(CancellationToken::new());
    start_sockets(&app, &tasks);
    app.monitor.insert(Service::for_test("a"));
    tokio::time::pause();
    let bench = Bench {
        app,
        tasks,
        _directory: directory,
    };
    bench.report(0);
    bench
}

impl Bench {
    fn report(&self, bandwidth: u32) {
        let watched = self.app.monitor.find("a").unwrap();
        watched
            .lock()
            .report_for_test(bandwidth.into(), Stamp::now());
    }

    /// A client, and 4 KB on the way to it.
    async fn client(&self) -> Result<Client, Error> {
        let (ours, theirs) = duplex(4096);
        let router: axum::Router = router().with_state(self.app.clone()).into();
        tokio::spawn(
            http1::Builder::new()
                .serve_connection(TokioIo::new(ours), TowerToHyperService::new(router))
                .with_upgrades(),
        );
        let opened = client_async("ws://localhost/api/traffic/ws", theirs).await;
        opened.map(|(client, _response)| client)
    }

    fn open(&self) -> usize {
        MOST_SOCKETS as usize - self.app.monitor.sockets.places.available_permits()
    }
}

/// The bandwidth in the next frame of text.
async fn bandwidth(client: &mut Client) -> f64 {
    loop {
        if let Received::Text(text) = client.next().await.unwrap().unwrap() {
            let summary: serde_json::Value = serde_json::from_str(&text).unwrap();
            return summary["total_bandwidth_up"].as_f64().unwrap();
        }
    }
}

#[tokio::test]
#[expect(clippy::float_cmp, reason = "small whole numbers")]
async fn frames_are_250_ms_apart_and_the_last_one_is_the_newest() {
    let bench = bench().await;
    // Between two steps.
    sleep(Duration::from_millis(100)).await;
    let mut client = bench.client().await.unwrap();
    let reading = tokio::spawn(async move {
        let mut times = Vec::new();
        while bandwidth(&mut client).await != 300.0 {
            times.push(Instant::now());
        }
        times
    });
    let started = Instant::now();
    for n in 1..=300 {
        sleep(Duration::from_millis(10)).await;
        bench.report(n);
    }
    let times = reading.await.unwrap();
    let gaps = times.windows(2).map(|pair| pair[1] - pair[0]);
    let shortest = gaps.min().unwrap();
    assert!(shortest >= Duration::from_millis(249), "{shortest:?}");
    let possible = started.elapsed().as_millis() / PERIOD.as_millis() + 1;
    let sent = times.len() as u128;
    assert!(
        (possible - 2..=possible).contains(&sent),
        "{sent} of {possible}"
    );
}

#[tokio::test]
async fn without_a_change_there_is_no_frame() {
    let bench = bench().await;
    let mut client = bench.client().await.unwrap();
    bandwidth(&mut client).await;
    let watched = bench.app.monitor.find("a").unwrap();
    for n in 0..20 {
        sleep(Duration::from_millis(500)).await;
        watched.lock().service.response_time = Some(f64::from(n));
    }
    assert!(
        client.next().now_or_never().is_none(),
        "a check is no traffic"
    );
    bench.report(7);
    bandwidth(&mut client).await;
}

#[tokio::test]
async fn a_client_that_reads_nothing_is_dropped_and_holds_nobody_up() {
    let bench = bench().await;
    for n in 0..100 {
        bench.report(n);
    }
    // Its first frame does not fit on the way.
    let _stuck = bench.client().await.unwrap();
    let mut other = bench.client().await.unwrap();
    bandwidth(&mut other).await;
    assert_eq!(bench.open(), 2);
    let started = Instant::now();
    while bench.open() == 2 {
        bench.report(5);
        bandwidth(&mut other).await;
        bench.report(6);
        bandwidth(&mut other).await;
    }
    let waited = started.elapsed().as_secs_f64();
    assert!((9.5..11.0).contains(&waited), "{waited}");
}

#[tokio::test]
async fn a_client_that_answers_no_ping_is_dropped_after_40_seconds() {
    let bench = bench().await;
    let mut client = bench.client().await.unwrap();
    bandwidth(&mut client).await;
    let started = Instant::now();
    // Reads, but says nothing.
    let mut rest = Vec::new();
    let reading = client.get_mut().read_to_end(&mut rest);
    let _ = timeout(Duration::from_secs(300), reading).await.unwrap();
    assert_eq!(started.elapsed().as_secs(), 40);
    assert_eq!(bench.open(), 0);
}

#[tokio::test]
async fn a_client_that_answers_pings_stays() {
    let bench = bench().await;
    let mut client = bench.client().await.unwrap();
    bandwidth(&mut client).await;
    let mut pings = 0;
    let asked = async {
        while let Some(Ok(Received::Ping(_))) = client.next().await {
            pings += 1;
        }
    };
    let _ = timeout(Duration::from_secs(310), asked).await;
    assert_eq!((pings, bench.open()), (15, 1));
}

#[tokio::test]
async fn what_a_client_sends_is_ignored_unless_it_is_too_large() {
    let bench = bench().await;
    let mut client = bench.client().await.unwrap();
    bandwidth(&mut client).await;
    client.send(Received::text("hello")).await.unwrap();
    client
        .send(Received::binary(vec![0; 60_000]))
        .await
        .unwrap();
    bench.report(3);
    bandwidth(&mut client).await;
    let _ = client.send(Received::binary(vec![0; 70_000])).await;
    while client.next().await.is_some_and(|received| received.is_ok()) {}
    assert_eq!(bench.open(), 0);
}

#[tokio::test]
async fn there_are_512_places() {
    let bench = bench().await;
    let places = Arc::clone(&bench.app.monitor.sockets.places);
    let taken = places.try_acquire_many(MOST_SOCKETS).unwrap();
    match bench.client().await {
        Err(Error::Http(refusal)) => {
            assert_eq!(refusal.status(), StatusCode::SERVICE_UNAVAILABLE);
        }
        other => panic!("{other:?}"),
    }
    drop(taken);
    bandwidth(&mut bench.client().await.unwrap()).await;
}

#[tokio::test]
async fn the_end_waits_for_the_close_frames() {
    let bench = bench().await;
    let mut client = bench.client().await.unwrap();
    bandwidth(&mut client).await;
    let places = Arc::clone(&bench.app.monitor.sockets.places);
    bench.app.stop.cancel();
    bench.tasks.stop(Duration::from_secs(2)).await;
    // The client has not read it yet, so its own part is missing.
    let closed = client.next().await.unwrap().unwrap();
    match closed {
        Received::Close(Some(frame)) => assert_eq!(u16::from(frame.code), 1001),
        other => panic!("{other:?}"),
    }
    drop(client);
    let _ = timeout(GOODBYE, places.acquire_many(MOST_SOCKETS))
        .await
        .unwrap();
}
