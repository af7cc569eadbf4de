//! A long watch history: the first import, and the first answer afterwards.

use std::time::Duration;

use komandorr::demo::{Options, Simulator};
use serde_json::Value;
use tokio::time::{Instant, sleep};

use crate::running::Komandorr;

const PLAYS: u64 = 100_000;
const STARTS: usize = 9;

pub(crate) async fn import() {
    let options = Options {
        history_plays: usize::try_from(PLAYS).expect("a number of plays"),
        ..Options::default()
    };
    let plex = Simulator::start(options).await.expect("a port");
    let mut komandorr = Komandorr::start(&plex);
    let client = reqwest::Client::new();
    println!(
        "\n{PLAYS} plays; resident memory before: {:.1} MiB",
        komandorr.memory()
    );
    let started = Instant::now();
    let mut most = 0.0_f64;
    // A run outlives the request that started it.
    loop {
        let url = format!("{}/api/plex/watch-history/sync", komandorr.url());
        let answer = client.post(url).send().await.expect("an answer");
        let answer: Value =
            serde_json::from_str(&answer.text().await.expect("a body")).expect("JSON");
        assert_eq!(answer["success"], true, "{answer}");
        most = most.max(komandorr.memory());
        if answer["message"] == "Watch history sync completed" {
            break;
        }
        sleep(Duration::from_millis(50)).await;
    }
    println!(
        "imported with all details in {:.1} s (goal < 60 s), resident memory {most:.1} MiB at most",
        started.elapsed().as_secs_f64()
    );
    let mut times = Vec::new();
    for _ in 0..STARTS {
        komandorr = komandorr.again(&plex, &[]);
        let url = format!("{}/api/plex/watch-history", komandorr.url());
        // The connection is there already, as a browser's would be.
        let health = format!("{}/healthz", komandorr.url());
        client.get(health).send().await.expect("an answer");
        let begin = Instant::now();
        let answer = client.get(url).send().await.expect("an answer");
        let bytes = answer.bytes().await.expect("a body");
        times.push(begin.elapsed());
        assert!(bytes.len() > 10_000, "500 plays");
    }
    times.sort();
    println!(
        "first answer of a started server: {:?} (goal < 20 ms)",
        times[STARTS / 2]
    );
}
