//! Starts the binary, talks to it, and waits for things with a deadline.

pub(crate) mod database;
pub(crate) mod redis;
pub(crate) mod schema;
mod server;
mod target;

use std::path::Path;
use std::time::{Duration, Instant};

use komandorr::demo::{Options, Scene, Simulator};
pub(crate) use server::{Answer, Builder, Server};
pub(crate) use target::{Target, nowhere};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Nothing here takes this long, unless it never happens.
const DEADLINE: Duration = Duration::from_secs(40);

/// A simulated Plex server with this many sessions that stand still.
pub(crate) async fn plex(sessions: usize) -> Simulator {
    let options = Options {
        scene: Scene::Fixed { sessions },
        ..Options::default()
    };
    Simulator::start(options).await.expect("a loopback port")
}

/// Waits until `condition` holds.
pub(crate) async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    until_asked(what, async || condition()).await;
}

/// Waits until `condition`, which has to ask somebody, holds.
pub(crate) async fn until_asked(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let started = Instant::now();
    while !condition().await {
        assert!(started.elapsed() < DEADLINE, "in vain: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// The answer to a request line that no well-behaved client would send.
pub(crate) async fn raw(server: &Server, target: &str) -> String {
    let address = server.url.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

/// Whether the long versions are wanted: `KOMANDORR_SOAK=1`.
#[expect(clippy::disallowed_methods, reason = "of the test, not of the program")]
pub(crate) fn soak() -> bool {
    std::env::var_os("KOMANDORR_SOAK").is_some()
}

/// The binary under test, without an environment but for what the caller gives it.
pub(crate) fn command(directory: &Path) -> tokio::process::Command {
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_komandorr"));
    command
        .env_clear()
        .current_dir(directory)
        .kill_on_drop(true);
    command
}
