//! Requests per second, beside a bare axum handler that sends the same bytes.

use std::process::Command;

use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::routing::get;
use bytes::Bytes;

use crate::running::{Komandorr, Running};

/// What tabs ask for of Plex.
pub(crate) const ENDPOINTS: [&str; 8] = [
    "/api/plex/activities",
    "/api/plex/sessions",
    "/api/plex/watch-history",
    "/api/plex/stats",
    "/api/plex/stats/live",
    "/api/plex/stats/dashboard",
    "/api/plex/media/recent",
    "/api/plex/users/count",
];
const PAIRS: usize = 5;
const SECONDS: &str = "2s";
pub(crate) const CONNECTIONS: &str = "32";

/// Serves the file's content on every path, with nothing around it.
pub(crate) async fn serve_bare(file: &str) {
    let body = Bytes::from(std::fs::read(file).expect("the body"));
    let handler = get(async move || ([(CONTENT_TYPE, "application/json")], body.clone()));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port");
    println!(
        "listening on http://{}",
        listener.local_addr().expect("an address")
    );
    axum::serve(listener, Router::new().fallback(handler))
        .await
        .expect("serving");
}

pub(crate) async fn compare(komandorr: &Komandorr, endpoints: &[&str]) {
    println!("\n{CONNECTIONS} connections, {PAIRS} pairs of {SECONDS} each, medians");
    println!(
        "{:<27} {:>8} {:>10} {:>10} {:>6}",
        "", "bytes", "bare/s", "ours/s", "ratio"
    );
    for path in endpoints {
        let url = format!("{}{path}", komandorr.url());
        let answer = reqwest::get(&url).await.expect("an answer");
        assert!(answer.status().is_success(), "{path}: {}", answer.status());
        let body = answer.bytes().await.expect("a body");
        let file = komandorr.directory.path().join("body.json");
        std::fs::write(&file, &body).expect("the body is written");
        let this = std::env::current_exe().expect("this program");
        let bare = Running::start(Command::new(this).arg("--bare").arg(&file));
        let bare_url = format!("{}{path}", bare.url);
        let (bare, ours, ratio) = in_turns(&bare_url, &url);
        let goal = if *path == ENDPOINTS[0] {
            "(goal >= 0.7)"
        } else {
            ""
        };
        println!(
            "{path:<27} {:>8} {bare:>10.0} {ours:>10.0} {ratio:>6.2} {goal}",
            body.len()
        );
    }
}

/// Loads one address and the other several times in turn. The medians of the requests per second
/// at the first, at the second, and of the second relative to the first.
pub(crate) fn in_turns(first: &str, second: &str) -> (f64, f64, f64) {
    let pairs: Vec<(f64, f64)> = (0..PAIRS)
        .map(|_| (requests_per_second(first), requests_per_second(second)))
        .collect();
    (
        median(pairs.iter().map(|(first, _)| *first)),
        median(pairs.iter().map(|(_, second)| *second)),
        median(pairs.iter().map(|(first, second)| second / first)),
    )
}

fn median(numbers: impl Iterator<Item = f64>) -> f64 {
    let mut numbers: Vec<f64> = numbers.collect();
    numbers.sort_by(f64::total_cmp);
    numbers[numbers.len() / 2]
}

/// One run of wrk.
fn requests_per_second(url: &str) -> f64 {
    rate(Command::new("wrk").args(["-t1", "-c", CONNECTIONS, "-d", SECONDS, url]))
}

/// What a run of wrk says.
pub(crate) fn rate(wrk: &mut Command) -> f64 {
    let output = wrk.output().expect("wrk (package wrk)");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        !text.contains("Non-2xx") && !text.contains("Socket errors"),
        "{text}"
    );
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("Requests/sec:"));
    line.expect("a figure").trim().parse().expect("a number")
}
