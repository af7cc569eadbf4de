//! `make bench`: what a cached answer costs, beside the least that axum can do.
//!
//! Both servers send the same body of ten sessions, to the same load tool, in turns within one
//! run, so that the ratio says something whatever the machine. Printed besides: resident memory
//! and the time from start to the first answer.

#![expect(
    clippy::expect_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a program for developers: it prints figures and may panic"
)]

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::routing::get;
use bytes::Bytes;
use komandorr::demo::{Options, Scene, Simulator};

const PATH: &str = "/api/plex/activities";
/// The ratio that is asked for.
const GOAL: f64 = 0.7;
const PAIRS: usize = 5;
const SECONDS: &str = "4s";
const CONNECTIONS: &str = "32";

fn main() {
    // This program is its own bare server: in a process of its own, as the other one is.
    let arguments: Vec<String> = std::env::args().collect();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    match arguments.iter().position(|argument| argument == "--bare") {
        Some(at) => runtime.block_on(serve_bare(&arguments[at + 1])),
        None => runtime.block_on(compare()),
    }
}

async fn serve_bare(file: &str) {
    let body = Bytes::from(std::fs::read(file).expect("the body"));
    let handler = get(async move || ([(CONTENT_TYPE, "application/json")], body.clone()));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port");
    println!(
        "listening on http://{}",
        listener.local_addr().expect("an address")
    );
    axum::serve(listener, Router::new().route(PATH, handler))
        .await
        .expect("serving");
}

/// A server that is ended with this value.
struct Running {
    child: Child,
    url: String,
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn start(command: &mut Command) -> Running {
    let mut child = command.stdout(Stdio::piped()).spawn().expect("it starts");
    let mut line = String::new();
    let out = child.stdout.take().expect("its output");
    BufReader::new(out)
        .read_line(&mut line)
        .expect("its first line");
    let url = line
        .trim()
        .strip_prefix("listening on ")
        .expect("its address")
        .to_owned();
    Running {
        child,
        url: format!("{url}{PATH}"),
    }
}

fn start_komandorr(plex: &Simulator) -> (Running, tempfile::TempDir) {
    let directory = tempfile::tempdir().expect("a directory");
    let mut command = Command::new(env!("CARGO_BIN_EXE_komandorr"));
    command
        .env_clear()
        .current_dir(directory.path())
        .envs([
            ("HOST", "127.0.0.1"),
            ("PORT", "0"),
            ("LOG_LEVEL", "WARNING"),
        ])
        .envs([
            ("PLEX_SERVER_URL", plex.url().as_str()),
            ("PLEX_SERVER_TOKEN", plex.token()),
        ])
        .stderr(Stdio::null());
    (start(&mut command), directory)
}

async fn compare() {
    let options = Options {
        scene: Scene::Fixed { sessions: 10 },
        ..Options::default()
    };
    let plex = Simulator::start(options).await.expect("a port");
    println!(
        "start to first answer: {:?} (goal < 100 ms)",
        time_to_first_answer(&plex).await
    );

    let (komandorr, directory) = start_komandorr(&plex);
    println!("resident memory, idle: {}", memory(&komandorr));
    let body = reqwest::get(&komandorr.url)
        .await
        .expect("an answer")
        .bytes()
        .await;
    let body = body.expect("a body");
    let file = directory.path().join("body.json");
    std::fs::write(&file, &body).expect("the body is written");
    let this = std::env::current_exe().expect("this program");
    let bare = start(Command::new(this).arg("--bare").arg(&file));
    println!(
        "body: {} bytes; {CONNECTIONS} connections, {SECONDS} each run",
        body.len()
    );

    let mut ratios = Vec::new();
    for _ in 0..PAIRS {
        let (bare, ours) = (
            requests_per_second(&bare.url),
            requests_per_second(&komandorr.url),
        );
        println!(
            "bare axum {bare:>9.0}/s   komandorr {ours:>9.0}/s   ratio {:.2}",
            ours / bare
        );
        ratios.push(ours / bare);
    }
    ratios.sort_by(f64::total_cmp);
    println!("median ratio: {:.2} (goal >= {GOAL})", ratios[PAIRS / 2]);
    println!(
        "resident memory, after the load: {} (goal < 30 MiB)",
        memory(&komandorr)
    );
    println!("calls to Plex meanwhile: {:?}", plex.calls_by_path());
}

/// The median of several starts, from the call of the program to an answer that came from Plex.
async fn time_to_first_answer(plex: &Simulator) -> Duration {
    let mut times = Vec::new();
    for _ in 0..9 {
        let client = reqwest::Client::new();
        let started = Instant::now();
        let (komandorr, _directory) = start_komandorr(plex);
        let answer = client.get(&komandorr.url).send().await.expect("an answer");
        assert!(
            answer
                .text()
                .await
                .expect("a body")
                .contains("\"error\":false")
        );
        times.push(started.elapsed());
    }
    times.sort();
    times[times.len() / 2]
}

/// One run of wrk.
fn requests_per_second(url: &str) -> f64 {
    let arguments = ["-t1", "-c", CONNECTIONS, "-d", SECONDS, url];
    let output = Command::new("wrk")
        .args(arguments)
        .output()
        .expect("wrk (package wrk)");
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

fn memory(running: &Running) -> String {
    let status = std::fs::read_to_string(format!("/proc/{}/status", running.child.id()));
    let status = status.expect("a Linux system");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib: f64 = line
        .and_then(|l| l.trim().strip_suffix(" kB"))
        .expect("VmRSS")
        .parse()
        .expect("a number");
    format!("{:.1} MiB", kib / 1024.0)
}
