//! The monitor: reports of traffic, checks of services, and the list of all of them.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use axum::Router;
use futures_util::StreamExt as _;
use komandorr::demo::Simulator;
use serde_json::{Value, json};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, Connection as _, SqliteConnection};
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::load;
use crate::running::Komandorr;

/// Checks that would disturb what is measured.
const NO_CHECKS: (&str, &str) = ("MONITOR_INTERVAL", "3600");
const SERVICES: usize = 100;
const SOCKETS: usize = 10;
const UPDATES: &str = "10s";
const CHECKED: Duration = Duration::from_secs(60);
const LISTED: usize = 200;

pub(crate) async fn measure(plex: &Simulator) {
    let target = target().await;
    updates(plex, target).await;
    checks(plex, target).await;
    list(plex).await;
}

/// Something to watch: answers everything at once.
async fn target() -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await;
    let listener = listener.expect("a port");
    let address = listener.local_addr().expect("an address");
    let router = Router::new().fallback(async || "here");
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

/// Adds services and gives their ids.
async fn add_services(komandorr: &Komandorr, target: SocketAddr) -> Vec<String> {
    let client = reqwest::Client::new();
    let mut ids = Vec::new();
    for n in 0..SERVICES {
        let body = json!({"name": format!("Service {n}"), "type": "server",
            "url": format!("http://{target}/{n}")});
        let request = client
            .post(format!("{}/api/services/", komandorr.url()))
            .header("content-type", "application/json")
            .body(body.to_string());
        let answer = request.send().await.expect("an answer");
        let answer = answer.text().await.expect("a body");
        let created: Value = serde_json::from_str(&answer).expect("JSON");
        ids.push(created["id"].as_str().expect("an id").to_owned());
    }
    ids
}

/// Reports per second, from `wrk`, while clients look on.
async fn updates(plex: &Simulator, target: SocketAddr) {
    let komandorr = Komandorr::start_with(plex, &[NO_CHECKS]);
    let ids = add_services(&komandorr, target).await;
    let script = komandorr.directory.path().join("report.lua");
    std::fs::write(&script, reporting(&ids)).expect("the script is written");
    let mut clients = JoinSet::new();
    for _ in 0..SOCKETS {
        let url = format!("{}/api/traffic/ws", komandorr.url().replace("http", "ws"));
        let (mut socket, _) = tokio_tungstenite::connect_async(url)
            .await
            .expect("a socket");
        clients
            .spawn(async move { while socket.next().await.is_some_and(|frame| frame.is_ok()) {} });
    }
    let url = format!("{}/api/traffic/update", komandorr.url());
    let mut wrk = Command::new("wrk");
    wrk.args(["-t1", "-c", load::CONNECTIONS, "-d", UPDATES, "-s"]);
    wrk.arg(script).arg(url);
    let rate = tokio::task::spawn_blocking(move || load::rate(&mut wrk)).await;
    let rate = rate.expect("a figure");
    assert_eq!(clients.len(), SOCKETS);
    println!(
        "\n{SERVICES} services, {SOCKETS} sockets: {rate:.0} reports of traffic per second \
         (goal >= 10,000), resident memory {:.1} MiB",
        komandorr.memory()
    );
}

/// A script for `wrk` that reports for one service after the other.
fn reporting(ids: &[String]) -> String {
    let bodies = ids.iter().map(|id| {
        let report = json!({"service_id": id, "bandwidth_up": 12.34, "bandwidth_down": 56.78,
            "total_up": 1234.56, "total_down": 6543.21, "max_bandwidth": 250.0,
            "cpu_percent": 12.5, "memory_percent": 50.0});
        format!("[==[{report}]==]")
    });
    let bodies = bodies.collect::<Vec<_>>().join(",");
    format!(
        "local bodies = {{{bodies}}}\nlocal next = 0\n\
         wrk.method = 'POST'\nwrk.headers['Content-Type'] = 'application/json'\n\
         function request()\n  next = next % #bodies + 1\n  \
         return wrk.format(nil, nil, nil, bodies[next])\nend\n"
    )
}

/// What watching services costs.
async fn checks(plex: &Simulator, target: SocketAddr) {
    let komandorr = Komandorr::start(plex);
    add_services(&komandorr, target).await;
    // The first round is over then.
    sleep(Duration::from_secs(15)).await;
    let before = komandorr.cpu();
    sleep(CHECKED).await;
    let used = komandorr.cpu() - before;
    println!(
        "{SERVICES} services watched: {:.2} % of a core (goal < 2 %)",
        100.0 * used / CHECKED.as_secs_f64()
    );
}

/// The list of services with full histories, beside a bare handler.
async fn list(plex: &Simulator) {
    let komandorr = Komandorr::start_with(plex, &[NO_CHECKS]);
    fill(komandorr.directory.path()).await;
    let komandorr = komandorr.again(plex, &[NO_CHECKS]);
    // The only round of checks: nobody answers, which is soon found out.
    sleep(Duration::from_secs(2)).await;
    println!(
        "\nresident memory with {LISTED} services: {:.1} MiB",
        komandorr.memory()
    );
    load::compare(&komandorr, &["/api/services/"]).await;
    println!(
        "resident memory, after the load: {:.1} MiB",
        komandorr.memory()
    );
}

/// Services whose three histories are as long as they are shown. Their agents' clocks are an hour
/// fast, so that the traffic stays in the list.
async fn fill(directory: &Path) {
    const POINTS: usize = 100;
    let options = SqliteConnectOptions::new()
        .filename(directory.join("data/komandorr.db"))
        .foreign_keys(false);
    let mut database = SqliteConnection::connect_with(&options)
        .await
        .expect("it opens");
    let services = format!(
        "WITH RECURSIVE s(s) AS (SELECT 1 UNION ALL SELECT s + 1 FROM s WHERE s < {LISTED})"
    );
    let points =
        format!("{services}, n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < {POINTS})");
    let at =
        "strftime('%Y-%m-%d %H:%M:%S', 'now', '+1 hour', (n - 100) || ' seconds') || '.123456'";
    for statement in [
        format!(
            "{services} INSERT INTO services (id, name, url, type, status, traffic_last_updated, \
             bandwidth_up, bandwidth_down, total_up, total_down, max_bandwidth) \
             SELECT printf('00000000-0000-4000-8000-%012d', s), 'Service ' || s, \
             'http://127.0.0.1:9/', 'server', 'online', \
             strftime('%Y-%m-%d %H:%M:%S', 'now', '+1 hour') || '.123456', \
             12.34, 56.78, 1234.56, 6543.21, 250.0 FROM s"
        ),
        format!(
            "{points} INSERT INTO traffic_history \
             (service_id, timestamp, bandwidth_up, bandwidth_down, total_up, total_down) \
             SELECT printf('00000000-0000-4000-8000-%012d', s), {at}, \
             n * 1.23, n * 4.56, 1234.56 + n, 6543.21 + n FROM s, n"
        ),
        format!(
            "{points} INSERT INTO response_history (service_id, timestamp, response_time) \
             SELECT printf('00000000-0000-4000-8000-%012d', s), {at}, 38.538 + n * 0.001 FROM s, n"
        ),
        format!(
            "{points} INSERT INTO storage_history (service_id, timestamp, hostname, total_capacity, \
             total_used, total_free, average_usage_percent, raid_healthy, raid_degraded, raid_failed) \
             SELECT printf('00000000-0000-4000-8000-%012d', s), {at}, 'machine', \
             43200.5, 31870.25, 11330.25, 73.77, 2, 0, 0 FROM s, n"
        ),
    ] {
        let filled = sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut database);
        filled.await.expect("it is written");
    }
    database.close().await.expect("it closes");
}
