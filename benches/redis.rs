//! What Redis costs while it works, and that nobody notices when it does not.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use komandorr::demo::Simulator;
use serde_json::Value;
use tempfile::TempDir;
use tokio::time::sleep;

use crate::load;
use crate::running::Komandorr;

const PATH: &str = "/api/plex/activities";
/// Requests per second, whether or not the answers come in time.
const RATE: u32 = 2_000;
/// At a server without Redis meanwhile: what is slow there, too, is the machine's doing.
const CONTROL_RATE: u32 = 200;
/// A fault begins when the load runs already.
const LEAD: Duration = Duration::from_millis(500);
/// Nothing that is waited for takes this long, unless it never happens.
const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) async fn measure(plex: &Simulator) {
    let redis = Redis::start().await;
    let port = redis.address.port().to_string();
    let off = Komandorr::start(plex);
    let on = Komandorr::start_with(
        plex,
        &[
            ("REDIS_ENABLED", "true"),
            ("REDIS_HOST", "127.0.0.1"),
            ("REDIS_PORT", &port),
        ],
    );
    println!("\nRedis in use {}", until_connected(&on).await);
    let (without, with, ratio) = load::in_turns(&address(&off), &address(&on));
    println!(
        "{PATH}: {without:.0}/s without Redis, {with:.0}/s with it, ratio {ratio:.2} (goal >= 0.95)"
    );
    faults(&on, &off, redis).await;
}

async fn faults(komandorr: &Komandorr, control: &Komandorr, mut redis: Redis) {
    println!("\n{PATH} at {RATE} requests per second, times in milliseconds");
    println!(
        "{:<10} {:>8} {:>6} {:>8} {:>8} {:>8} {:>12}   Redis in use at the end",
        "", "requests", "failed", "p50", "p99", "max", "p99 without"
    );
    let servers = (komandorr, control);
    let (before, ()) = phase("before", 10, servers, async {}).await;
    let (frozen, ()) = phase("frozen", 10, servers, async { redis.signal("STOP") }).await;
    let killing = async {
        redis.signal("CONT");
        redis.kill();
    };
    let (killed, ()) = phase("killed", 5, servers, killing).await;
    let restarting = async {
        redis.restart().await;
        until_connected(komandorr).await
    };
    let (restarted, recovery) = phase("restarted", 10, servers, restarting).await;

    let during = [frozen, killed, restarted];
    let failed: u64 = during.iter().map(|load| load.failed).sum();
    let p99 = during.iter().map(|load| load.p99).fold(0.0, f64::max);
    println!(
        "{failed} failed (goal 0); the greatest p99 is {:.2} times that before (goal <= 2)",
        p99 / before.p99
    );
    println!("the restarted Redis was in use {recovery} (goal <= 5 s)");
}

/// Loads both servers for so many seconds, and lets `event` happen meanwhile.
async fn phase<T>(
    name: &str,
    seconds: u32,
    (komandorr, control): (&Komandorr, &Komandorr),
    event: impl Future<Output = T>,
) -> (Load, T) {
    let later = async {
        sleep(LEAD).await;
        event.await
    };
    let (url, control) = (address(komandorr), address(control));
    let (load, control, outcome) = tokio::join!(
        Load::run(&url, RATE, seconds),
        Load::run(&control, CONTROL_RATE, seconds),
        later
    );
    println!(
        "{name:<10} {:>8} {:>6} {:>8.2} {:>8.2} {:>8.2} {:>12.2}   {}",
        load.requests,
        load.failed,
        load.p50,
        load.p99,
        load.max,
        control.p99,
        connected(komandorr).await
    );
    (load, outcome)
}

/// What became of requests at a fixed rate; times in milliseconds.
struct Load {
    requests: u32,
    /// Whatever was not answered with 200.
    failed: u64,
    p50: f64,
    p99: f64,
    max: f64,
}

impl Load {
    /// One run of oha. Each time counts from the moment at which the request was due, so that
    /// those that wait for a connection behind a slow answer are slow, too.
    async fn run(url: &str, rate: u32, seconds: u32) -> Self {
        let requests = rate * seconds;
        let output = tokio::process::Command::new("oha")
            .args(["--no-tui", "--output-format", "json"])
            .args(["-q", &rate.to_string(), "-n", &requests.to_string()])
            .args(["--latency-correction", "-c", "50", "-t", "5s", url])
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output()
            .await
            .expect("oha (cargo install oha)");
        let text = String::from_utf8_lossy(&output.stdout);
        let report: Value = serde_json::from_str(&text).expect("a report of oha");
        let good = report["statusCodeDistribution"]["200"]
            .as_u64()
            .unwrap_or(0);
        // There is none if nothing was answered.
        let milliseconds = |seconds: &Value| seconds.as_f64().map_or(f64::NAN, |time| time * 1e3);
        Self {
            requests,
            failed: u64::from(requests).saturating_sub(good),
            p50: milliseconds(&report["latencyPercentiles"]["p50"]),
            p99: milliseconds(&report["latencyPercentiles"]["p99"]),
            max: milliseconds(&report["summary"]["slowest"]),
        }
    }
}

fn address(komandorr: &Komandorr) -> String {
    format!("{}{PATH}", komandorr.url())
}

/// After how long the server says that it uses Redis, in words.
async fn until_connected(komandorr: &Komandorr) -> String {
    let started = Instant::now();
    while started.elapsed() < PATIENCE {
        if connected(komandorr).await {
            return format!("after {:.2} s", started.elapsed().as_secs_f64());
        }
        sleep(Duration::from_millis(20)).await;
    }
    format!("never within {} s", PATIENCE.as_secs())
}

async fn connected(komandorr: &Komandorr) -> bool {
    let url = format!("{}/api/plex/cache/stats", komandorr.url());
    let answer = reqwest::get(url).await.expect("an answer");
    let answer: Value = serde_json::from_str(&answer.text().await.expect("a body")).expect("JSON");
    answer["redis"]["connected"] == true
}

/// A `redis-server` that keeps nothing on disk and is ended with this value, frozen or not.
struct Redis {
    child: Child,
    address: SocketAddr,
    directory: TempDir,
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Redis {
    /// On a free port; returns when it answers.
    async fn start() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let free = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = free.local_addr().expect("an address");
        drop(free);
        let redis = Self {
            child: Self::spawn(address, &directory),
            address,
            directory,
        };
        redis.answers().await;
        redis
    }

    /// Starts it again after [`kill`](Self::kill), on the same port and empty.
    async fn restart(&mut self) {
        self.child = Self::spawn(self.address, &self.directory);
        self.answers().await;
    }

    fn spawn(address: SocketAddr, directory: &TempDir) -> Child {
        let port = address.port().to_string();
        // The kernel kills it with this program, whose end a frozen process would not notice.
        Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "redis-server"])
            .args(["--bind", "127.0.0.1", "--port", &port])
            .args(["--save", "", "--appendonly", "no"])
            .current_dir(directory.path())
            .stdout(Stdio::null())
            .spawn()
            .expect("setpriv (package util-linux)")
    }

    async fn answers(&self) {
        let started = Instant::now();
        while self.ping().is_err() {
            assert!(
                started.elapsed() < PATIENCE,
                "no redis-server (package redis-server)"
            );
            sleep(Duration::from_millis(5)).await;
        }
    }

    fn ping(&self) -> std::io::Result<()> {
        let mut connection = TcpStream::connect(self.address)?;
        connection.set_read_timeout(Some(PATIENCE))?;
        connection.write_all(b"PING\r\n")?;
        connection.read_exact(&mut [0; b"+PONG\r\n".len()])
    }

    fn signal(&self, name: &str) {
        let line = format!("kill -{name} {}", self.child.id());
        let done = Command::new("sh").args(["-c", &line]).status();
        assert!(done.expect("a shell").success(), "{line}");
    }

    fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
