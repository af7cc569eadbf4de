//! The agents of invented machines, which report traffic and disks to the demonstration over HTTP,
//! as the real ones do from elsewhere.

use std::f64::consts::TAU;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::{Instant, interval};

use super::dice::Dice;

/// As the real agents.
const TRAFFIC_EVERY: Duration = Duration::from_secs(2);
/// Reports of traffic for each one of disks.
const TRAFFIC_PER_STORAGE: u64 = 30;
/// Nobody waits for an answer, and the next report is due.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);

/// A machine with an agent on it.
struct Machine {
    /// Its service, which the demonstration's database holds.
    id: &'static str,
    /// Megabytes per second that its line can carry.
    line: f64,
    /// Its share of that on an average day: sent, received.
    load: (f64, f64),
    storage: fn() -> Value,
}

/// The service of a machine whose disks are in order.
pub(super) const NORDLICHT: &str = "11111111-1111-4111-8111-111111111111";
/// The service of a machine that has just got a new disk.
pub(super) const SUEDWIND: &str = "22222222-2222-4222-8222-222222222222";

const MACHINES: [Machine; 2] = [
    Machine {
        id: NORDLICHT,
        line: 250.0,
        load: (0.12, 0.03),
        storage: nordlicht,
    },
    Machine {
        id: SUEDWIND,
        line: 125.0,
        load: (0.05, 0.22),
        storage: suedwind,
    },
];

/// The running agents; dropping them ends them.
pub(super) struct Agents {
    _running: JoinSet<()>,
}

impl Agents {
    /// Lets all machines report to the server at `address`.
    ///
    /// # Errors
    /// TLS can't be set up, though it is not used.
    pub(super) fn start(address: SocketAddr) -> reqwest::Result<Self> {
        let server = format!("http://{}", reachable(address));
        // Without certificates of the system, which there may be none of.
        let client = reqwest::Client::builder()
            .no_proxy()
            .timeout(ANSWER_TIMEOUT)
            .tls_certs_only([])
            .build()?;
        let mut running = JoinSet::new();
        for machine in &MACHINES {
            running.spawn(report(machine, server.clone(), client.clone()));
        }
        Ok(Self { _running: running })
    }
}

/// Who listens on all addresses is found on the loopback one.
const fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

async fn report(machine: &Machine, server: String, client: reqwest::Client) {
    let mut meter = Meter::of(machine);
    let mut ticks = interval(TRAFFIC_EVERY);
    for tick in 0_u64.. {
        ticks.tick().await;
        let traffic = meter.read(machine, tick);
        post(&client, &format!("{server}/api/traffic/update"), &traffic).await;
        if tick % TRAFFIC_PER_STORAGE == 0 {
            let mut storage = (machine.storage)();
            storage["service_id"] = machine.id.into();
            storage["timestamp"] = chrono::Utc::now().to_rfc3339().into();
            post(&client, &format!("{server}/api/storage/update"), &storage).await;
        }
    }
}

/// Sends a report. An agent that is refused, or finds nobody, tries again with the next one.
async fn post(client: &reqwest::Client, url: &str, body: &Value) {
    let request = client.post(url).header("content-type", "application/json");
    let _ = request.body(body.to_string()).send().await;
}

/// The counters of a machine since its agent was started, some days ago.
struct Meter {
    dice: Dice,
    last: Instant,
    total_up: f64,
    total_down: f64,
}

impl Meter {
    fn of(machine: &Machine) -> Self {
        let mut dice = Dice::new(1, &[u64::from(machine.id.as_bytes()[0])]);
        let mut gigabytes = |load: f64| load * machine.line * share(&mut dice, 200, 400);
        Self {
            total_up: gigabytes(machine.load.0),
            total_down: gigabytes(machine.load.1),
            last: Instant::now(),
            dice,
        }
    }

    /// What the agent says now: the load comes and goes in waves, with some noise.
    fn read(&mut self, machine: &Machine, tick: u64) -> Value {
        let seconds = self.last.elapsed().as_secs_f64();
        self.last = Instant::now();
        let up = self.bandwidth(machine, machine.load.0, wave(tick, 90));
        let down = self.bandwidth(machine, machine.load.1, wave(tick, 47));
        self.total_up += up * seconds / 1024.0;
        self.total_down += down * seconds / 1024.0;
        json!({
            "service_id": machine.id,
            "bandwidth_up": rounded(up),
            "bandwidth_down": rounded(down),
            "total_up": rounded(self.total_up),
            "total_down": rounded(self.total_down),
            "max_bandwidth": machine.line,
            "cpu_percent": rounded(20.0 + 40.0 * wave(tick, 90) * share(&mut self.dice, 60, 100)),
            "memory_percent": rounded(48.0 + 6.0 * wave(tick, 400)),
        })
    }

    fn bandwidth(&mut self, machine: &Machine, load: f64, wave: f64) -> f64 {
        machine.line * load * (0.2 + 1.6 * wave) * share(&mut self.dice, 80, 120)
    }
}

/// Between 0 and 1, with so many ticks from one peak to the next.
#[expect(clippy::cast_precision_loss, reason = "a demonstration runs for days")]
fn wave(tick: u64, period: u64) -> f64 {
    ((tick % period) as f64 / period as f64 * TAU)
        .sin()
        .mul_add(0.5, 0.5)
}

/// A number of hundredths.
#[expect(clippy::cast_precision_loss, reason = "a few hundred")]
fn share(dice: &mut Dice, low: u64, high: u64) -> f64 {
    dice.between(low, high) as f64 / 100.0
}

/// The agents round.
fn rounded(number: f64) -> f64 {
    (number * 100.0).round() / 100.0
}

/// All in order: a union file system over an array and a pool.
fn nordlicht() -> Value {
    let member =
        |device: &str, role: &str| json!({"device": device, "state": "active", "role": role});
    let disk = |device: &str| {
        json!({"device": device, "state": "ONLINE", "vdev_type": "mirror",
            "read_errors": 0, "write_errors": 0, "cksum_errors": 0})
    };
    json!({
        "hostname": "nordlicht",
        "storage_paths": [
            {"path": "/mnt/unionfs", "total": 43_200.0, "used": 31_870.5, "free": 11_329.5, "percent": 73.8},
            {"path": "/", "total": 468.0, "used": 112.3, "free": 355.7, "percent": 24.0},
        ],
        "raid_arrays": [{
            "device": "/dev/md0", "status": "healthy", "level": "raid5", "devices": 4,
            "active_devices": 4, "failed_devices": 0, "spare_devices": 0,
            "disks": [member("sda1", "0"), member("sdb1", "1"), member("sdc1", "2"), member("sdd1", "3")],
        }],
        "zfs_pools": [{
            "pool": "tank", "status": "healthy", "state": "ONLINE", "type": "zfs",
            "scan": "scrub repaired 0B in 05:12:44 with 0 errors", "errors": "No known data errors",
            "size": "14.5T", "allocated": "9.1T", "free": "5.4T", "capacity": "62%",
            "disks": [disk("sde"), disk("sdf")],
        }],
        "disks": [],
    })
}

/// Has just got a new disk.
fn suedwind() -> Value {
    let member = |device: &str, state: &str, role: &str| json!({"device": device, "state": state, "role": role});
    json!({
        "hostname": "suedwind",
        "storage_paths": [
            {"path": "/home/unionfs", "total": 7_400.0, "used": 2_516.0, "free": 4_884.0, "percent": 34.0},
        ],
        "raid_arrays": [{
            "device": "/dev/md1", "status": "recovering", "level": "raid1", "devices": 2,
            "active_devices": 1, "failed_devices": 0, "spare_devices": 1,
            "disks": [member("nvme0n1p2", "active", "0"), member("nvme1n1p2", "rebuilding", "1")],
        }],
        "zfs_pools": [],
        "disks": [],
    })
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::extract::Request;
    use axum::http::StatusCode;
    use http_body_util::BodyExt as _;
    use tokio::sync::mpsc;

    use super::*;
    use crate::demo::listener::Door;

    #[tokio::test]
    async fn they_report_moving_traffic_and_the_state_of_disks() {
        let (told, mut reports) = mpsc::unbounded_channel();
        let router = Router::new().fallback(async move |request: Request| {
            let path = request.uri().path().to_owned();
            let body = request.into_body().collect().await.unwrap().to_bytes();
            let body: Value = serde_json::from_slice(&body).unwrap();
            told.send((path, body)).unwrap();
            StatusCode::NOT_FOUND
        });
        let door = Door::open(router).await.unwrap();
        let agents = Agents::start(door.address()).unwrap();
        let (mut traffic, mut disks) = (Vec::new(), Vec::new());
        while traffic.len() < 4 || disks.len() < 2 {
            let (path, body) = reports.recv().await.unwrap();
            match path.as_str() {
                "/api/traffic/update" => traffic.push(body),
                "/api/storage/update" => disks.push(body),
                other => panic!("{other}"),
            }
        }
        drop(agents);
        for machine in &MACHINES {
            let of = |reports: &[Value]| -> Vec<Value> {
                let mine = reports.iter().filter(|one| one["service_id"] == machine.id);
                mine.cloned().collect()
            };
            let (traffic, disks) = (of(&traffic), of(&disks));
            assert!(traffic.len() >= 2, "refused, it goes on: {traffic:?}");
            assert_ne!(traffic[0]["bandwidth_up"], traffic[1]["bandwidth_up"]);
            let total = |report: &Value| report["total_down"].as_f64().unwrap();
            assert!(total(&traffic[0]) <= total(&traffic[1]), "a counter");
            let bandwidth = traffic[1]["bandwidth_down"].as_f64().unwrap();
            assert!((0.0..machine.line).contains(&bandwidth), "{bandwidth}");
            let path = disks[0]["storage_paths"][0]["path"].as_str().unwrap();
            assert!(path.contains("unionfs"), "else the page shows no card");
        }
    }

    #[test]
    fn who_listens_everywhere_is_found_on_loopback() {
        let found = |address: &str| reachable(address.parse().unwrap()).to_string();
        assert_eq!(found("0.0.0.0:80"), "127.0.0.1:80");
        assert_eq!(found("[::]:80"), "[::1]:80");
        assert_eq!(found("192.0.2.1:80"), "192.0.2.1:80");
    }
}
