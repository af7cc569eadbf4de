//! `make bench`: what cached answers cost, and how often Plex is asked for them.
//!
//! Six measurements in one run: start and memory; each cached endpoint beside the least that
//! axum can do with the same body, in turns, so that the ratio says something whatever the
//! machine; a long watch history; fifty open tabs for a minute, and the calls that reach Plex
//! meanwhile; reports, checks and the list of services; Redis, working and failing.
//! `cargo bench -- redis` and `cargo bench -- monitor` make one of the last two only.

#![expect(
    clippy::expect_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a program for developers: it prints figures and may panic"
)]

mod history;
mod load;
mod monitor;
mod redis;
mod running;
mod tabs;

use std::time::{Duration, Instant};

use komandorr::demo::{Options, Scene, Simulator};

use crate::running::Komandorr;

fn main() {
    // This program is its own bare server: in a process of its own, as the other one is.
    let arguments: Vec<String> = std::env::args().collect();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let only = |part: &str| arguments.iter().any(|argument| argument == part);
    match arguments.iter().position(|argument| argument == "--bare") {
        Some(at) => runtime.block_on(load::serve_bare(&arguments[at + 1])),
        None if only("redis") => {
            runtime.block_on(async { redis::measure(&simulator().await).await });
        }
        None if only("monitor") => {
            runtime.block_on(async { monitor::measure(&simulator().await).await });
        }
        None => runtime.block_on(measure()),
    }
}

async fn simulator() -> Simulator {
    let options = Options {
        scene: Scene::Fixed { sessions: 10 },
        ..Options::default()
    };
    Simulator::start(options).await.expect("a port")
}

async fn measure() {
    let plex = simulator().await;
    println!(
        "start to first answer: {:?} (goal < 100 ms)",
        time_to_first_answer(&plex).await
    );
    let komandorr = Komandorr::start(&plex);
    println!("resident memory, idle: {:.1} MiB", komandorr.memory());
    load::compare(&komandorr, &load::ENDPOINTS).await;
    println!(
        "resident memory, after the load: {:.1} MiB (goal < 30 MiB)",
        komandorr.memory()
    );
    drop(komandorr);
    history::import().await;
    tabs::poll(&plex).await;
    monitor::measure(&plex).await;
    redis::measure(&plex).await;
}

/// The median of several starts, from the call of the program to an answer that came from Plex.
async fn time_to_first_answer(plex: &Simulator) -> Duration {
    let mut times = Vec::new();
    for _ in 0..9 {
        let client = reqwest::Client::new();
        let started = Instant::now();
        let komandorr = Komandorr::start(plex);
        let url = format!("{}/api/plex/activities", komandorr.url());
        let answer = client.get(url).send().await.expect("an answer");
        let body = answer.text().await.expect("a body");
        assert!(body.contains("\"error\":false"));
        times.push(started.elapsed());
    }
    times.sort();
    times[times.len() / 2]
}
